//! What is looked at in a round of the peer's before it is signed.

use super::Live;
use crate::{
    config::Config,
    error::Violation,
    input::Context,
    message::{MAX_UPDATES_PER_ROUND, Refused, Update},
    state::{Change, Creation, Results, RoundBuilder, RoundContext, State},
};
use protocol::{
    Base, BlockNumber, Hash, Party, Round,
    contracts::{Code, ContractId, Requirement},
    crypto::VerifyingKey,
    signing::{Domain, StateBody, signed_bytes},
};

/// What is wrong with a round of the peer's.
pub(crate) struct RoundFault {
    /// The place of the change that is to blame, where it is one.
    pub(crate) place: Option<u32>,
    pub(crate) violation: Violation,
}

impl From<Violation> for RoundFault {
    fn from(violation: Violation) -> Self {
        Self { place: None, violation }
    }
}

/// A round of the peer's that breaks no rule.
pub(crate) struct CheckedRound {
    pub(crate) state: State,
    pub(crate) results: Results,
    /// What its calls require of hash locks, by the places of their changes (R7.1a).
    pub(crate) requirements: Vec<(u32, Requirement)>,
    /// What it signed, and what is to be signed.
    pub(crate) message: Vec<u8>,
    /// The height that counts from now on.
    pub(crate) height: BlockNumber,
}

impl Live {
    /// Where the next round of `proposer`'s is made.
    pub(crate) fn round_context<'a>(
        &self,
        proposer: Party,
        round: Round,
        height: BlockNumber,
        config: &Config,
        ctx: &Context<'a>,
    ) -> RoundContext<'a> {
        let (channel, reserve, max_contracts) =
            (self.funding.channel(), self.funding.terms().reserve, config.max_contracts);
        RoundContext { channel, round, height, proposer, reserve, max_contracts, apps: ctx.apps }
    }

    /// What comes of the peer's round, whose signature the caller has verified: what a round changes is executed for nobody else.
    pub(crate) fn check_round(
        &self,
        update: &Update,
        peer: Party,
        (domain, config): (&Domain, &Config),
        ctx: &Context<'_>,
    ) -> Result<CheckedRound, RoundFault> {
        let Update { round, base, height, refuses, changes, state_hash, .. } = update;
        let (got, have) = (*round, self.agreed.round().max(self.signed_before(update)));
        if got <= have {
            // Not only what is agreed counts: the peer may still make co-signed what it refused (R6.1, R6.2).
            return Err(Violation::RoundTooOld { got, have }.into());
        }
        if *base != self.agreed.base() {
            return Err(Violation::WrongBase { got: *base, want: self.agreed.base() }.into());
        }
        self.check_near(got)?;
        if changes.is_empty() == refuses.is_none() {
            return Err(Violation::NoChanges.into());
        }
        let refused = match refuses.as_ref().map(|refusal| &refusal.items) {
            Some(Refused::Some(items)) => items.len(),
            Some(Refused::All(_)) | None => 0,
        };
        let got = changes.len().max(refused);
        if got > MAX_UPDATES_PER_ROUND {
            return Err(Violation::TooManyChanges { got }.into());
        }
        let executes = changes.iter().any(Change::executes);
        if executes {
            // Not before its block is there: no deadline comes nearer than the user sees it. But the height of what is agreed never goes down.
            let behind = ctx.head.saturating_sub(BlockNumber::from(config.height_window.behind));
            let (min, max) = (self.agreed.height().max(behind), config.height_limit(ctx.head));
            if *height < min || *height > max.max(self.agreed.height()) {
                return Err(Violation::HeightOutOfWindow { got: *height, min, max }.into());
            }
        }
        let mut builder =
            RoundBuilder::new(self.round_context(peer, *round, *height, config, ctx), self.agreed.state());
        for (place, change) in (0_u32..).zip(changes) {
            builder.make(change).map_err(|fault| RoundFault { place: Some(place), violation: fault.into() })?;
        }
        let requirements = builder.requirements().to_vec();
        let (state, results) = builder.finish().map_err(Violation::from)?;
        let want = state.hash();
        if want != *state_hash {
            return Err(Violation::StateHashMismatch { got: *state_hash, want }.into());
        }
        let message = signed_bytes(domain, &self.funding.channel(), &Self::body(*round, *base, want));
        let height = if executes { *height } else { self.agreed.height() };
        Ok(CheckedRound { state, results, requirements, message, height })
    }

    /// Whether a round names a block that this side is about to see, as far as it can tell, and has not seen (R7.3).
    pub(crate) fn is_ahead(&self, update: &Update, config: &Config, head: BlockNumber) -> bool {
        let first = config.height_limit(head).max(self.agreed.height());
        let last = head.saturating_add(BlockNumber::from(config.height_window.behind));
        update.changes.iter().any(Change::executes) && update.height > first && update.height <= last
    }

    /// What both sign of a round.
    pub(crate) const fn body(round: Round, base: Base, state_hash: Hash) -> StateBody {
        StateBody { round, base, state_hash, valid_until: None }
    }

    /// Whether the peer signed this round, whatever it changes.
    pub(crate) fn is_signed(&self, update: &Update, key: &VerifyingKey, domain: &Domain) -> bool {
        let body = Self::body(update.round, update.base, update.state_hash);
        key.verify(&signed_bytes(domain, &self.funding.channel(), &body), &update.signature)
    }

    /// The first code that the peer's round needs and that is not here.
    pub(crate) fn missing_code(&self, update: &Update, ctx: &Context<'_>) -> Option<Hash> {
        let begun = |change: &Change| match change {
            Change::CreateContract(creation) => Some(creation.code),
            Change::UpgradeContract { code, .. } => Some(*code),
            _ => None,
        };
        let called = |id: &ContractId| self.agreed.state().contracts.get(id).map(|known| known.code);
        let called = update.changes.iter().flat_map(Change::calls).filter_map(called);
        update.changes.iter().filter_map(begun).chain(called).find_map(|code| match code {
            Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
            _ => None,
        })
    }

    /// A code that the peer wants to begin with, and that this side takes no part in, with the place of the change.
    pub(crate) fn unaccepted_code(update: &Update, ctx: &Context<'_>) -> Option<(u32, Hash)> {
        let code = |change: &Change| match change {
            Change::CreateContract(Creation { code: Code::Contract(code), .. })
            | Change::UpgradeContract { code: Code::Contract(code), .. } => Some(*code),
            _ => None,
        };
        let codes = (0_u32..).zip(&update.changes).filter_map(|(place, change)| Some((place, code(change)?)));
        codes.into_iter().find(|(_, code)| !ctx.apps.accepts(code))
    }

    /// Whether the peer's round touches what is ours to give: then the user decides, whoever decides otherwise.
    pub(crate) fn needs_consent(&self, update: &Update, me: Party, ctx: &Context<'_>) -> bool {
        let worthless = |id: &ContractId| {
            let contract = self.agreed.state().contracts.get(id);
            contract.is_some_and(|contract| match contract.code {
                Code::Contract(code) => contract.balance == 0 && ctx.apps.worthless_when_empty(&code),
                Code::Builtin(_) => false,
            })
        };
        update.changes.iter().any(|change| match change {
            Change::CreateContract(creation) => creation.coins[me] > 0,
            Change::RemoveContract { contract, .. } => !worthless(contract),
            Change::UpgradeContract { .. } => true,
            Change::Transfer(_) | Change::CallContract { .. } | Change::Meta(_) => false,
            // They are judged by what this side sees itself (R8.3c), a premium among it.
            Change::Offer(_) | Change::PaidOffer { .. } => false,
            Change::Claim { .. } | Change::Fail { .. } | Change::Refund { .. } => false,
        })
    }
}
