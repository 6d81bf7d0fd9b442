//! The latest agreed state, and what proves it.
//!
//! Invariants: the hash is that of the state; a state without signatures is on chain; a forced state has none and no base but the chain's own;
//! the height never goes down, but where a co-signed state takes the place of forced ones (R7.3).

use crate::{
    state::{Ids, State},
    transfer::marks::CallMarks,
};
use protocol::{Base, BlockNumber, Hash, Pair, Party, Round, Signature, call::Payload, contracts::Contracts};
use scale::{Decode, Encode};

/// The latest agreed state, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Agreed {
    round: Round,
    /// What the round names as its base, where it is co-signed (R3.5a).
    named: Base,
    state: State,
    hash: Hash,
    /// Both signatures; none for a state that is on chain, as that of round 1 is.
    signatures: Option<Pair<Signature>>,
    /// What it goes on from, where it is not on chain: should it lose its force (R5.4b), the chain is followed from there.
    below: Option<BaseState>,
    /// The own changes that it made.
    made: Ids,
    /// Where the arbiter computed it for one side alone: nobody has agreed, but it counts until a co-signed state replaces it (R5.4).
    forced: Option<Forced>,
    /// The highest height that a round named so far: the next one names none below (R7.3).
    height: BlockNumber,
}

/// The state that the agreed one goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct BaseState {
    at: Base,
    state: State,
}

/// A state that is not co-signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forced {
    /// The co-signed round on chain below it, and how many forced rounds after that.
    pub(crate) at: Base,
    /// Who forced the last step.
    pub(crate) by: Party,
    /// The height that counted before the chain of them: it counts again where a co-signed state replaces them.
    pub(crate) height: BlockNumber,
}

/// A state that the arbiter has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Posted {
    /// Its co-signed round, and how many forced rounds after it.
    pub(crate) at: Base,
    pub(crate) state_hash: Hash,
}

impl Posted {
    pub(crate) const fn is_forced(&self) -> bool {
        self.at.steps > 0
    }
}

/// A round of ours that the peer has signed, as the arbiter or the peer shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnCosigned {
    pub(crate) round: Round,
    pub(crate) state_hash: Hash,
    /// None where it is on chain.
    pub(crate) signatures: Option<Pair<Signature>>,
}

impl Agreed {
    /// The state of round 1, which is on chain.
    pub(crate) fn first(state: State) -> Self {
        let hash = state.hash();
        Self {
            round: 1,
            named: Base::default(),
            state,
            hash,
            signatures: None,
            below: None,
            made: Ids::default(),
            forced: None,
            height: 0,
        }
    }

    pub(crate) const fn round(&self) -> Round {
        self.round
    }

    /// What the round names as its base, where it is co-signed (R3.5a).
    pub(crate) const fn named(&self) -> Base {
        self.named
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// What is known of calls that go with transfers (R8.3g): nothing that the hash commits to.
    pub(crate) const fn marks_mut(&mut self) -> &mut CallMarks {
        &mut self.state.marks
    }

    pub(crate) const fn hash(&self) -> Hash {
        self.hash
    }

    /// Both signatures; none for a state that is on chain.
    pub(crate) const fn signatures(&self) -> Option<Pair<Signature>> {
        self.signatures
    }

    /// Whether the state is on chain, co-signed there or forced.
    pub(crate) const fn is_on_chain(&self) -> bool {
        self.signatures.is_none()
    }

    /// What it goes on from, where it is not on chain itself: should it lose its force (R5.4b), the chain is followed from there.
    pub(crate) fn below(&self) -> Option<(Base, &State)> {
        self.below.as_ref().map(|below| (below.at, &below.state))
    }

    /// The own changes that it made.
    pub(crate) const fn made(&self) -> &Ids {
        &self.made
    }

    /// Where the arbiter computed it for one side alone.
    pub(crate) const fn forced(&self) -> Option<Forced> {
        self.forced
    }

    /// The highest height that a round named so far: the next one names none below (R7.3).
    pub(crate) const fn height(&self) -> BlockNumber {
        self.height
    }

    /// What a round names that goes on from this state (R3.5a).
    pub(crate) fn base(&self) -> Base {
        self.forced.map_or(Base::of(self.round), |forced| forced.at)
    }

    /// The proof of it; none for one that is on chain.
    pub(crate) fn payload(&self) -> Option<Payload> {
        let Self { round, named, hash, signatures, .. } = *self;
        signatures.map(|signatures| Payload { round, base: named, state_hash: hash, valid_until: None, signatures })
    }

    /// Adopts a state that both signed, or that is on chain.
    pub(crate) fn adopt(
        &mut self,
        (round, named): (Round, Base),
        state: State,
        hash: Hash,
        signatures: Option<Pair<Signature>>,
    ) {
        // What was forced and is not in its base has not happened: the height from before counts again (R7.3).
        let replaced = self.forced.filter(|forced| named < forced.at);
        let height = replaced.map_or(self.height, |forced| forced.height);
        let at = self.base();
        let before = std::mem::replace(&mut self.state, State::of(Pair::default()));
        let below = (signatures.is_some() && at == named).then_some(BaseState { at, state: before });
        *self = Self { round, named, state, hash, signatures, below, made: Ids::default(), forced: None, height };
    }

    /// Adopts a state that the arbiter computed for `by` alone, by calls that it made in block `height`.
    pub(crate) fn force(&mut self, posted: &Posted, by: Party, state: State, height: BlockNumber) {
        let height_before = self.forced.map_or(self.height, |forced| forced.height);
        *self = Self {
            round: posted.at.round(),
            named: Base::default(),
            state,
            hash: posted.state_hash,
            signatures: None,
            below: None,
            made: Ids::default(),
            forced: Some(Forced { at: posted.at, by, height: height_before }),
            height: self.height.max(height),
        };
    }

    /// The round that was just adopted named this height.
    pub(crate) const fn set_height(&mut self, height: BlockNumber) {
        self.height = height;
    }

    /// The round that was just adopted has executed something at this height, or nothing at all (R7.3).
    pub(crate) fn raise_height(&mut self, executes_at: Option<BlockNumber>) {
        self.height = executes_at.map_or(self.height, |height| height.max(self.height));
    }

    /// The round that was just adopted made these own changes.
    pub(crate) fn set_made(&mut self, made: Ids) {
        self.made = made;
    }

    /// Takes the contracts that were stored beside it. Says whether they are those of the state.
    pub(crate) fn fill(&mut self, stored: &Contracts) -> bool {
        self.state.fill(stored);
        let is_whole = self.state.is_whole();
        self.state.contracts = stored.clone();
        is_whole
    }

    /// The state it goes on from, to be filled with its contracts.
    pub(crate) fn below_mut(&mut self) -> Option<&mut State> {
        self.below.as_mut().map(|below| &mut below.state)
    }
}

/// Both signatures in the order of the parties.
pub(crate) fn both(me: Party, ours: Signature, peers: Signature) -> Pair<Signature> {
    match me {
        Party::Initiator => Pair::new(ours, peers),
        Party::Responder => Pair::new(peers, ours),
    }
}
