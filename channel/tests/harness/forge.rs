//! The pen of a dishonest peer: its own key, and any message it likes.

use super::{DOMAIN, World, key, party_terms};
use channel::{
    Change, ChannelOpen, FundingCreated, FundingSigned, Message, Payment, Reestablish, RefusalCode, Refused, Shutdown,
    State, Update,
};
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, Round, Signature,
    call::{Call, CloseSolo, Create, Payload},
    crypto::Native,
    signing::{CloseMutualBody, Signed, StateBody, signed_bytes},
};

pub(crate) fn sign<T: Signed>(by: Party, channel: ChannelId, body: &T) -> Signature {
    key(by).sign(&signed_bytes(&DOMAIN, &channel, body))
}

/// What is signed of a round.
pub(crate) const fn state_body(round: Round, base: Base, state_hash: Hash) -> StateBody {
    StateBody { round, base, state_hash, valid_until: None }
}

pub(crate) fn payment(amount: Amount) -> Payment {
    Payment { amount, reference: b"forged".to_vec() }
}

/// The opening as the arbiter takes it, from what the peers said to each other.
pub(crate) fn create_call(open: &ChannelOpen, created: FundingCreated, signed: FundingSigned) -> Call {
    Call::ChannelCreate(Create {
        body: open.body(&party_terms(Party::Responder), created.valid_until),
        nonce: created.nonce,
        signatures: Pair::new(created.signature, signed.signature),
    })
}

impl World {
    pub(crate) fn channel_id(&self) -> ChannelId {
        let of = |party| self.sides[party].channel.as_ref().and_then(channel::Channel::channel_id);
        of(Party::Initiator).or_else(|| of(Party::Responder)).expect("the id is known")
    }

    /// What a round has to go on from, as `party` sees it.
    pub(crate) fn base(&self, party: Party) -> Base {
        self.sides[party].machine().base().unwrap_or(Base::of(1))
    }

    /// Why `refuser` refuses what it just heard. A counter-round is signed by its peer, as by an honest one (R6.1a).
    pub(crate) fn refusal(&mut self, refuser: Party) -> RefusalCode {
        match self.steal(refuser.peer()) {
            Message::UpdateError { code, .. } => code,
            Message::Update(counter) => {
                let body = state_body(counter.round, counter.base, counter.state_hash);
                let signature = sign(refuser.peer(), self.channel_id(), &body);
                self.hear(refuser, Message::UpdateAck { round: counter.round, signature });
                match counter.refuses.expect("it refuses").items {
                    Refused::All(code) => code,
                    Refused::Some(items) => items[0].1,
                }
            }
            other => panic!("{other:?} is no refusal"),
        }
    }

    /// The agreed balances as `party` sees them.
    pub(crate) fn agreed(&self, party: Party) -> Pair<Amount> {
        self.sides[party].machine().evidence().unwrap().commitment.balances
    }

    /// A sound update by `by` on top of what its peer has agreed.
    pub(crate) fn forge_update(&self, by: Party, round: Round, amounts: &[Amount]) -> Update {
        let mut balances = self.agreed(by.peer());
        let sum: Amount = amounts.iter().sum();
        balances[by] -= sum;
        balances[by.peer()] += sum;
        let changes = amounts.iter().map(|&amount| Change::Transfer(payment(amount))).collect();
        self.forge_update_to(by, round, changes, balances)
    }

    pub(crate) fn forge_update_to(
        &self,
        by: Party,
        round: Round,
        changes: Vec<Change>,
        balances: Pair<Amount>,
    ) -> Update {
        let state_hash = State::of(balances).hash();
        let base = self.base(by.peer());
        let signature = sign(by, self.channel_id(), &state_body(round, base, state_hash));
        Update { round, base, height: 0, refuses: None, changes, state_hash, signature }
    }

    /// A fair close offered by `by`.
    pub(crate) fn forge_shutdown(&self, by: Party, fee: Amount, valid_until: BlockNumber) -> Shutdown {
        let mut balances = self.agreed(by.peer());
        balances[by] -= fee;
        self.forge_shutdown_to(by, CloseMutualBody { balances, fee, valid_until })
    }

    pub(crate) fn forge_shutdown_to(&self, by: Party, body: CloseMutualBody) -> Shutdown {
        let signature = sign(by, self.channel_id(), &body);
        Shutdown { body, signature }
    }

    /// Makes `update`, which `honest` signed, co-signed by the other party: evidence that the chain takes.
    pub(crate) fn co_sign(&self, honest: Party, update: &Update, balances: Pair<Amount>) -> CloseSolo {
        let commitment = State::of(balances).commitment();
        assert_eq!(commitment.hash(&Native), update.state_hash);
        CloseSolo { channel: self.channel_id(), payload: Some(self.co_signed(honest, update)), commitment }
    }

    /// The proof of such a round alone.
    pub(crate) fn co_signed(&self, honest: Party, update: &Update) -> Payload {
        let Update { round, base, state_hash, signature, .. } = *update;
        let theirs = sign(honest.peer(), self.channel_id(), &state_body(round, base, state_hash));
        let signatures = match honest {
            Party::Initiator => Pair::new(signature, theirs),
            Party::Responder => Pair::new(theirs, signature),
        };
        Payload { round, base, state_hash, valid_until: None, signatures }
    }

    /// A state that the forger signs for both: the peer's signature cannot be forged, so it is the forger's own.
    pub(crate) fn forge_reestablish(&self, by: Party, round: Round, balances: Pair<Amount>) -> Reestablish {
        let state = State::of(balances).commitment();
        let base = self.base(by.peer());
        let signature = sign(by, self.channel_id(), &state_body(round, base, State::of(balances).hash()));
        Reestablish { at: Base::of(round), base, state, signatures: Some(Pair::new(signature, signature)) }
    }

    /// The last message to `party`, taken off the wire.
    pub(crate) fn steal(&mut self, party: Party) -> Message {
        self.wire[party].pop_back().expect("a message is on its way")
    }
}
