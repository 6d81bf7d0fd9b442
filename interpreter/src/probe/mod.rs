//! What a chain charges, found by asking it: a small contract that spends as its input says, and what it has to cost by [`ChainCosts`].
//!
//! A chain runs [`CODE`] as the constructor of a contract that is never kept (a dry run), once with [`Trial::idle`] and once for each of
//! [`Trial::all`]. Everything but what a trial is about costs the same in all of them, so that the difference is the chain's price of just that.

use crate::{
    AppRefused, ChainCosts,
    check::Imports,
    module::{Allowance, LoadedApp},
};
use protocol::contracts::CallFault;
use thiserror::Error;

/// The contract, made of `probe.wat`.
pub const CODE: &[u8] = include_bytes!("probe.wasm");

/// How long the input is in every trial, in bytes: a longer one costs more by itself.
const INPUT: usize = 1_024;
/// More picoseconds than any trial takes.
const AMPLE: u64 = 1_000_000_000_000;

/// Something to spend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What its price is made of.
    pub what: &'static str,
    kind: u8,
    times: u8,
}

/// What the prices could not be predicted for.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The probe is refused as an app.
    #[error("the probe is refused: {0}")]
    Refused(#[from] AppRefused),
    /// It failed.
    #[error("the probe failed")]
    Failed,
}

impl From<CallFault> for ProbeError {
    fn from(_fault: CallFault) -> Self {
        Self::Failed
    }
}

impl Trial {
    /// Spends on nothing.
    #[must_use]
    pub const fn idle() -> Self {
        Self { what: "nothing", kind: 0, times: 0 }
    }

    /// One for each price that calls of apps depend on.
    #[must_use]
    pub const fn all() -> [Self; 5] {
        [
            Self { what: "instructions (fuel)", kind: 0, times: 250 },
            Self { what: "handing out the input (input)", kind: 1, times: 100 },
            Self { what: "telling the coins attached (value_transferred)", kind: 2, times: 100 },
            Self { what: "an empty answer (seal_return)", kind: 3, times: 0 },
            Self { what: "an answer of 3,200 bytes (seal_return)", kind: 3, times: 200 },
        ]
    }

    /// The input that makes the contract spend so.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        let mut input = vec![self.kind, self.times];
        input.resize(INPUT, 0);
        input
    }

    /// What it costs beyond [`Trial::idle`] on a chain that charges `costs`, in picoseconds.
    ///
    /// # Errors
    /// [`ProbeError`], with costs that leave no call any room.
    pub fn price(&self, costs: ChainCosts) -> Result<u64, ProbeError> {
        let app = LoadedApp::new(CODE, Imports::Allowed)?;
        let allowance = Allowance { time: AMPLE, costs };
        let spent = |trial: &Self| app.spend(trial.input(), &allowance);
        Ok(spent(self)?.saturating_sub(spent(&Self::idle())?))
    }
}
