//! What the rules need of their surroundings, made small: signatures that are looked at instead of computed, one app, one pre-image.

use crate::channel::Offer;
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, PublicKey, Signature,
    arbiter::CallContext,
    call::Payload,
    contracts::{
        App, AppContext, AppReply, CallFault, Executor,
        conditional::{HashLock, Preimage},
    },
    crypto::{Crypto, Native},
    signing::{Domain, Signed, StateBody, signed_bytes},
    terms::{CallWeight, Destination, Limits, PartyTerms, Terms},
};

/// Whether the rules are the arbiter's, or broken in one way: to see that the model would notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// As they are.
    #[default]
    Real,
    /// A slash takes any round, older ones too (against R5.4).
    OlderRoundsCount,
    /// Forced steps are not counted (against R5.10).
    NoQuota,
    /// Settling does not wait for the lock (against R5.11).
    NoLock,
    /// Old signatures never lose their force (against R5.4b).
    NoMaturity,
    /// A forced chain has one mark, that of its first step, and loses it when it is replaced (against R5.4b).
    OneMark,
    /// Bases are compared as the number of the round that they come to (against R3.5a).
    BaseAsNumber,
    /// Marks go when a co-signed round replaces their chain (against R5.4b).
    MarksDropped,
    /// Only a round of the closer's peer proves anything (against R5.9).
    PenaltyByParity,
}

pub(crate) const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
pub(crate) const CHANNEL: ChannelId = ChannelId([3; 32]);
pub(crate) const APP: (AccountId, Hash) = (AccountId([5; 32]), Hash([6; 32]));
pub(crate) const OFFER: (AccountId, Hash) = (AccountId([8; 32]), Hash([9; 32]));
pub(crate) const SECRET: Preimage = Preimage([7; 32]);

const fn number(party: Party) -> u8 {
    match party {
        Party::Initiator => 10,
        Party::Responder => 20,
    }
}

pub(crate) const fn account(party: Party) -> AccountId {
    AccountId([number(party); 32])
}

pub(crate) const fn key(party: Party) -> PublicKey {
    PublicKey([number(party); 32])
}

pub(crate) const fn context(party: Party, now: BlockNumber) -> CallContext {
    let limits = Limits {
        lock_period_min: 1,
        lock_period_max: BlockNumber::MAX,
        validity_max: BlockNumber::MAX,
        max_forced_max: u8::MAX,
        call_weight: CallWeight::STANDARD,
    };
    CallContext { domain: DOMAIN, limits, now, caller: account(party) }
}

/// A state that both signed.
pub(crate) fn payload(body: StateBody) -> Payload {
    let signatures = both_sign(&body);
    let StateBody { round, base, state_hash, valid_until } = body;
    Payload { round, base, state_hash, valid_until, signatures }
}

/// Both parties' signatures over `body`.
pub(crate) fn both_sign(body: &impl Signed) -> Pair<Signature> {
    let message = signed_bytes(&DOMAIN, &CHANNEL, body);
    let sign = |party| signature(&key(party), &message);
    Pair::new(sign(Party::Initiator), sign(Party::Responder))
}

/// The terms of a channel between the two, with nobody to act for them.
pub(crate) fn terms(lock_period: BlockNumber, max_forced: u8, penalty: Amount) -> Terms {
    let party = |party| PartyTerms {
        account: account(party),
        key: key(party),
        payout: Destination::Account,
        delegates: Vec::new(),
    };
    let parties = Pair::new(party(Party::Initiator), party(Party::Responder));
    Terms { parties, reserve: penalty, lock_period, penalty, max_forced }
}

fn signature(PublicKey(key): &PublicKey, message: &[u8]) -> Signature {
    let Hash(message) = Native.hash(message);
    let mut bytes = [0; 64];
    bytes.iter_mut().zip(message.iter().chain(key)).for_each(|(to, from)| *to = *from);
    Signature(bytes)
}

/// The chain around one call.
pub(crate) struct Chain {
    /// The block in which the pre-image was first shown.
    pub(crate) shown_at: Option<BlockNumber>,
}

impl Crypto for Chain {
    fn hash(&self, bytes: &[u8]) -> Hash {
        Native.hash(bytes)
    }

    fn sha2_256(&self, bytes: &[u8]) -> Hash {
        Native.sha2_256(bytes)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], shown: &Signature) -> bool {
        signature(key, message) == *shown
    }

    fn verify_both(&self, keys: &Pair<PublicKey>, message: &[u8], shown: &Pair<Signature>) -> Result<(), Party> {
        let invalid = |party: &Party| !self.verify(&keys[*party], message, &shown[*party]);
        Party::BOTH.into_iter().find(invalid).map_or(Ok(()), Err)
    }
}

impl Executor for Chain {
    fn call_app(
        &mut self,
        code: &Hash,
        at: Option<&AccountId>,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<AppReply, CallFault> {
        match (at, code) {
            (Some(at), code) if (at, code) == (&APP.0, &APP.1) => Ok(Tokens::call_bytes(context, state, input)),
            (Some(at), code) if (at, code) == (&OFFER.0, &OFFER.1) => Ok(Offer::call_bytes(context, state, input)),
            _ => Err(CallFault::CodeNotThere),
        }
    }

    fn shown_at(&self, _lock: &HashLock) -> Option<BlockNumber> {
        self.shown_at
    }

    fn show(&mut self, _lock: &HashLock, _preimage: &Preimage, now: BlockNumber) -> BlockNumber {
        let first = self.shown_at.unwrap_or(now);
        self.shown_at = Some(first);
        first
    }
}

/// An app: each party's coins as tokens, to be taken out or given away.
pub(crate) struct Tokens;

impl App for Tokens {
    type State = Pair<u128>;
    type Creation = ();
    /// Whether the caller's tokens go to its peer, instead of being paid out; and how many. Giving none is a call like others.
    type Input = (bool, u128);
    type Output = ();
    type Error = ();

    fn init(_context: &AppContext, _creation: ()) -> Result<Pair<u128>, ()> {
        Err(())
    }

    fn call(
        context: &AppContext,
        tokens: &mut Pair<u128>,
        (give, amount): (bool, u128),
    ) -> Result<(Pair<u128>, ()), ()> {
        let caller = context.caller;
        tokens[caller] = tokens[caller].checked_sub(amount).filter(|_| give || amount > 0).ok_or(())?;
        let mut payouts = Pair::default();
        if give {
            tokens[caller.peer()] = tokens[caller.peer()].checked_add(amount).ok_or(())?;
        } else {
            payouts[caller] = amount;
        }
        Ok((payouts, ()))
    }
}
