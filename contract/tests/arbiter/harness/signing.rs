//! What the parties sign, written down anew from R3.5 instead of taken from `protocol`, and built up so that a test can change one part of it.

use super::actors::keys;
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Hash, Pair, PartyId, Round, Signature, StateCommitment,
    call::{BatchedCall, Call, CloseMutual, CloseSolo, Deposit, Payload, SetDelegates, Slash, SnapshotSolo, Withdraw},
    crypto::{Crypto, Native, SigningKey},
    signing::{CloseMutualBody, DepositBody, Domain, Kind, SetDelegatesBody, WithdrawBody},
};
use scale::Encode;

/// Everything that a signature is bound to, the body apart (R3.5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) tag: [u8; 16],
    pub(crate) version: u16,
    pub(crate) domain: Domain,
    pub(crate) channel: ChannelId,
    pub(crate) kind: Kind,
}

impl Binding {
    pub(crate) const fn new(domain: Domain, channel: ChannelId, kind: Kind) -> Self {
        Self { tag: *b"ink-statechannel", version: 1, domain, channel, kind }
    }

    /// The bytes to sign.
    pub(crate) fn bytes(&self, body: &impl Encode) -> Vec<u8> {
        [
            &self.tag[..],
            &self.version.to_le_bytes(),
            &self.domain.genesis.0,
            &self.domain.arbiter.0,
            &self.channel.0,
            &[self.kind as u8],
            &body.encode(),
        ]
        .concat()
    }

    /// Signs with these keys.
    pub(crate) fn sign(&self, keys: &Pair<SigningKey>, body: &impl Encode) -> Pair<Signature> {
        let bytes = self.bytes(body);
        keys.as_ref().map(|key| key.sign(&bytes))
    }
}

/// The state that opening made: what everything in these tests goes on from, unless it says otherwise.
pub(crate) const OPENING: Base = Base::of(1);

/// A state of the channel: a round, what it goes on from, and what its hash commits to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) round: Round,
    pub(crate) base: Base,
    /// The last block in which it may be shown, if there is one.
    pub(crate) valid_until: Option<BlockNumber>,
    pub(crate) commitment: StateCommitment,
}

impl State {
    /// A state of balances alone.
    pub(crate) const fn new(round: Round, initiator: Amount, responder: Amount) -> Self {
        Self::of(round, StateCommitment::of_balances(Pair::new(initiator, responder)))
    }

    /// A state that commits to this.
    pub(crate) const fn of(round: Round, commitment: StateCommitment) -> Self {
        Self { round, base: OPENING, valid_until: None, commitment }
    }

    /// The same state, gone on from another one.
    pub(crate) const fn from(self, agreed: Round, steps: u32) -> Self {
        Self { base: Base { agreed, steps }, ..self }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.commitment.hash(&Native)
    }
}

/// A channel as its two parties know it: they can sign anything for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    pub(crate) domain: Domain,
}

impl Channel {
    /// The channel between these two with this nonce, its id written down anew from R5.2.
    pub(crate) fn of(domain: Domain, parties: &Pair<PartyId>, nonce: u64) -> Self {
        let Pair { initiator, responder } = parties;
        let bytes = [
            &b"ink-statechannel"[..],
            &1u16.to_le_bytes(),
            &domain.genesis.0,
            &domain.arbiter.0,
            &initiator.account.0,
            &initiator.key.0,
            &responder.account.0,
            &responder.key.0,
            &nonce.to_le_bytes(),
        ];
        Self { id: ChannelId(Native.hash(&bytes.concat()).0), domain }
    }

    pub(crate) const fn binding(&self, kind: Kind) -> Binding {
        Binding::new(self.domain, self.id, kind)
    }

    /// A co-signed state.
    pub(crate) fn payload(&self, state: &State) -> Payload {
        let State { round, base, valid_until, .. } = *state;
        let state_hash = state.hash();
        let body = (round, base.agreed, base.steps, state_hash, valid_until);
        let signatures = self.binding(Kind::State).sign(&keys(), &body);
        Payload { round, base, state_hash, valid_until, signatures }
    }

    /// Closes alone, on this co-signed state.
    pub(crate) fn close_solo_on(&self, state: &State) -> CloseSolo {
        CloseSolo { channel: self.id, payload: Some(self.payload(state)), commitment: state.commitment }
    }

    pub(crate) fn close_solo(&self, state: &State) -> Call {
        Call::ChannelCloseSolo(self.close_solo_on(state))
    }

    /// Closes alone on the state on chain, which is said to be this one.
    pub(crate) fn close_solo_on_chain(&self, commitment: StateCommitment) -> Call {
        Call::ChannelCloseSolo(self.close_solo_with(commitment))
    }

    pub(crate) const fn close_solo_with(&self, commitment: StateCommitment) -> CloseSolo {
        CloseSolo { channel: self.id, payload: None, commitment }
    }

    pub(crate) fn slash_with(&self, state: &State) -> Slash {
        Slash { channel: self.id, payload: self.payload(state), commitment: state.commitment }
    }

    pub(crate) fn slash(&self, state: &State) -> Call {
        Call::ChannelSlash(self.slash_with(state))
    }

    pub(crate) fn close_mutual_as(&self, body: CloseMutualBody) -> CloseMutual {
        let signatures = self.binding(Kind::CloseMutual).sign(&keys(), &body);
        CloseMutual { channel: self.id, body, signatures }
    }

    pub(crate) fn close_mutual(&self, balances: Pair<Amount>, fee: Amount, valid_until: BlockNumber) -> Call {
        Call::ChannelCloseMutual(self.close_mutual_as(CloseMutualBody { balances, fee, valid_until }))
    }

    pub(crate) fn deposit(&self, body: DepositBody) -> Deposit {
        let signatures = self.binding(Kind::Deposit).sign(&keys(), &body);
        Deposit { channel: self.id, body, signatures }
    }

    pub(crate) fn withdraw(&self, body: WithdrawBody) -> Withdraw {
        let signatures = self.binding(Kind::Withdraw).sign(&keys(), &body);
        Withdraw { channel: self.id, body, signatures }
    }

    pub(crate) fn set_delegates(&self, body: SetDelegatesBody) -> SetDelegates {
        let signatures = self.binding(Kind::SetDelegates).sign(&keys(), &body);
        SetDelegates { channel: self.id, body, signatures }
    }

    pub(crate) fn snapshot_with(&self, state: &State) -> SnapshotSolo {
        SnapshotSolo { channel: self.id, payload: self.payload(state) }
    }

    pub(crate) fn snapshot(&self, state: &State) -> Call {
        Call::ChannelSnapshotSolo(self.snapshot_with(state))
    }

    pub(crate) const fn settle(&self) -> Call {
        Call::ChannelSettle { channel: self.id }
    }

    /// A close as one call of a batch (R5.18).
    pub(crate) fn batched_close(&self, state: &State) -> BatchedCall {
        BatchedCall::CloseSolo(self.close_solo_on(state))
    }

    /// An answer to a close as one call of a batch.
    pub(crate) fn batched_slash(&self, state: &State) -> BatchedCall {
        BatchedCall::Slash(self.slash_with(state))
    }
}
