//! What a call may take, counted as the chain counts it.

/// What the chain charges, in picoseconds: the constants of its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainCosts {
    /// One unit of the interpreter's fuel.
    pub fuel: u64,
    /// Entering a host function.
    pub host_call: u64,
    /// Handing the app its input.
    pub input: PerByte,
    /// Taking its answer.
    pub answer: PerByte,
    /// Telling it how many coins came with the call.
    pub value_transferred: u64,
}

/// A price that grows with the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerByte {
    /// For nothing at all.
    pub base: u64,
    /// For each byte.
    pub byte: u64,
}

impl ChainCosts {
    /// Those of `pallet-contracts` 38 with its own weights, as `substrate-contracts-node` 0.42 has them.
    pub const CONTRACTS_NODE: Self = Self {
        fuel: 7_191 / 6,
        host_call: 53_173,
        input: PerByte { base: 517_000, byte: 301 },
        answer: PerByte { base: 372_000, byte: 411 },
        value_transferred: 603_000,
    };
}

impl PerByte {
    pub(crate) const fn of(self, bytes: u32) -> u64 {
        // A byte costs some hundreds, and there are fewer than 2^32.
        self.base.saturating_add(self.byte.saturating_mul(bytes as u64))
    }
}

/// It took more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfWeight;

/// One call's account, in two currencies: the interpreter counts fuel while code runs, the chain time while a host function does.
///
/// Both are reconciled where the pallet reconciles them, and with its roundings: what host functions cost is never taken from the
/// interpreter's fuel, so that code may run on for a while with time it no longer has; it is found out at the next reconciliation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    time_left: u64,
    fuel_seen: u64,
    fuel_price: u64,
}

impl Meter {
    pub(crate) const fn new(limit: u64, fuel_price: u64) -> Self {
        let fuel_seen = match limit.checked_div(fuel_price) {
            Some(fuel) => fuel,
            None => 0,
        };
        Self { time_left: limit, fuel_seen, fuel_price }
    }

    /// What the interpreter starts with, or goes on with after a host function.
    pub(crate) const fn fuel(&self) -> u64 {
        self.fuel_seen
    }

    /// Takes time for the fuel used since the last look.
    pub(crate) fn see(&mut self, fuel: u64) -> Result<(), OutOfWeight> {
        let used = self.fuel_seen.saturating_sub(fuel).saturating_mul(self.fuel_price);
        self.fuel_seen = fuel;
        self.charge(used)
    }

    pub(crate) fn charge(&mut self, time: u64) -> Result<(), OutOfWeight> {
        self.time_left = self.time_left.checked_sub(time).ok_or(OutOfWeight)?;
        Ok(())
    }

    pub(crate) const fn time_left(&self) -> u64 {
        self.time_left
    }

    /// Whether the fuel left would pay for what a host function took since `time_before`: the chain looks, and takes nothing.
    pub(crate) const fn leave(&self, time_before: u64) -> Result<(), OutOfWeight> {
        match time_before.saturating_sub(self.time_left).checked_div(self.fuel_price) {
            Some(fuel) if fuel <= self.fuel_seen => Ok(()),
            _ => Err(OutOfWeight),
        }
    }

    /// Whether so much more fuel could have been used without anything coming out differently.
    pub(crate) fn could_spare(&self, fuel: u64) -> bool {
        // One more for what division has rounded away.
        let time = fuel.saturating_add(1).saturating_mul(self.fuel_price);
        self.time_left >= time
    }
}
