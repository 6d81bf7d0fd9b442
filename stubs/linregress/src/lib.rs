//! The one function that Substrate's benchmarking names, without the linear algebra behind it: nobody measures pallets here.

/// There is nothing that could fit a model: this crate stands in the place of the one that does.
#[derive(Debug)]
pub struct NoRegression;

/// A model that was fitted. There is none, ever.
#[derive(Debug)]
pub enum LowLevelRegressionModel {}

impl LowLevelRegressionModel {
    /// Never called, since there is no such model.
    pub fn parameters(&self) -> &[f64] {
        match *self {}
    }

    /// Never called, since there is no such model.
    pub fn se(&self) -> &[f64] {
        match *self {}
    }
}

/// Fits no model.
///
/// # Errors
/// Always.
pub fn fit_low_level_regression_model(
    _data: &[f64],
    _rows: usize,
    _columns: usize,
) -> Result<LowLevelRegressionModel, NoRegression> {
    Err(NoRegression)
}
