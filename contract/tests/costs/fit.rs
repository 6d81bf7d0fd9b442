//! Straight lines through measured points, by least squares.

/// `at_zero + slope * size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    pub(crate) at_zero: f64,
    pub(crate) slope: f64,
    /// How far the farthest point is from the line, as a share of the line there.
    pub(crate) residual: f64,
}

impl Fit {
    /// The line through points of (size, cost).
    pub(crate) fn of(points: &[(f64, f64)]) -> Self {
        assert!(points.len() > 2, "two points are on a line anyway");
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (mean_size, mean_cost) = (mean(|point| point.0), mean(|point| point.1));
        let covariance: f64 = points.iter().map(|(size, cost)| (size - mean_size) * (cost - mean_cost)).sum();
        let variance: f64 = points.iter().map(|(size, _)| (size - mean_size).powi(2)).sum();
        let slope = covariance / variance;
        let line = Self { at_zero: mean_cost - slope * mean_size, slope, residual: 0.0 };
        let off = |(size, cost): &(f64, f64)| (cost / line.at(*size) - 1.0).abs();
        Self { residual: points.iter().map(off).fold(0.0, f64::max), ..line }
    }

    pub(crate) fn at(&self, size: f64) -> f64 {
        self.at_zero + self.slope * size
    }

    /// The size at which the cost reaches `limit`.
    pub(crate) fn reaches(&self, limit: f64) -> f64 {
        (limit - self.at_zero) / self.slope
    }
}

#[test]
fn a_line_is_found_again_and_what_is_off_it_is_told() {
    let line = Fit::of(&[(0.0, 5.0), (1.0, 7.0), (4.0, 13.0)]);
    assert!((line.at_zero - 5.0).abs() < 1e-9 && (line.slope - 2.0).abs() < 1e-9 && line.residual < 1e-9);
    assert!((line.reaches(25.0) - 10.0).abs() < 1e-9);
    let bent = Fit::of(&[(0.0, 5.0), (1.0, 9.0), (2.0, 5.0)]);
    assert!(bent.slope.abs() < 1e-9 && bent.residual > 0.4, "{bent:?}");
}
