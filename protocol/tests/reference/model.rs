//! The arbiter's messages. Where several things are wrong with a call, the first check in the order written here names the refusal; that
//! order is part of the rules:
//!
//! 1. the channel exists;
//! 2. of co-signed calls, the window (R5.3, R5.13), then the phase; of calls by one side, who calls, then the phase;
//! 3. amounts and terms; the round (R5.4), before any signature is looked at: the cheap before the dear;
//! 4. signatures, the initiator's first; what is shown of the state; then what is computed from it;
//! 5. last the vaults that pay.

use crate::{
    channel::{Candidate, Channel, Shown, Stage, Waiting, fee},
    inside::{self, Inside},
    script::alone,
    signed, tree,
};
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, Rejection, Round, StateCommitment,
    call::{Call, Create, Payload},
    contracts::{
        NativeApps,
        conditional::{HashFunction, HashLock, Preimage},
    },
    event::{ArbiterEvent, Payout},
    signing::Domain,
    terms::{Destination, Limits, PartyTerms},
};
use scale::Encode;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// What a call announced and paid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub events: Vec<(ChannelId, ArbiterEvent, Vec<Payout>)>,
    pub batch: Vec<Result<(), Rejection>>,
    pub paid_out: Vec<(AccountId, Amount)>,
    pub preimages: Vec<(HashLock, Preimage, BlockNumber)>,
}

#[derive(Clone)]
pub struct Arbiter {
    pub(crate) domain: Domain,
    pub(crate) limits: Limits,
    /// By account and key. Who had something once stays, with nothing, unless it took the last of it out itself.
    pub coins: BTreeMap<PartyId, Amount>,
    /// The least that a pair may name next.
    pub nonces: BTreeMap<Pair<PartyId>, u64>,
    pub channels: BTreeMap<ChannelId, Channel>,
    pub preimages: BTreeMap<HashLock, BlockNumber>,
    pub(crate) deployed: BTreeMap<AccountId, Hash>,
    pub(crate) apps: NativeApps,
    /// What stands behind a state's hash: true for ever, so it is kept also where the call is undone.
    pub(crate) states: Rc<RefCell<BTreeMap<Hash, Inside>>>,
}

type Accepts<'a> = &'a dyn Fn(&AccountId, Amount) -> bool;
/// What is left of the channel, what it pays, and what is announced.
pub(crate) type Ruled = Result<(Option<Channel>, Vec<Payout>, ArbiterEvent), Rejection>;

impl Arbiter {
    pub fn new(domain: Domain, limits: Limits, deployed: BTreeMap<AccountId, Hash>, apps: NativeApps) -> Self {
        Self {
            domain,
            limits,
            coins: BTreeMap::new(),
            nonces: BTreeMap::new(),
            channels: BTreeMap::new(),
            preimages: BTreeMap::new(),
            deployed,
            apps,
            states: Rc::default(),
        }
    }

    /// What the parties have written down.
    pub fn learn(&mut self, state: Inside) {
        let _known = self.states.borrow_mut().entry(state.state_hash()).or_insert(state);
    }

    /// One call. A refusal changes nothing (R5.14).
    pub fn judge(
        &mut self,
        now: BlockNumber,
        caller: AccountId,
        call: &Call,
        attached: Amount,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        let mut after = self.clone();
        let report = after.take(now, caller, call, attached, accepts)?;
        *self = after;
        Ok(report)
    }

    fn take(
        &mut self,
        now: BlockNumber,
        caller: AccountId,
        call: &Call,
        attached: Amount,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        let mut preimages = Vec::new();
        let known = |id: &ChannelId| self.channels.get(id).cloned().ok_or(Rejection::ChannelUnknown);
        let (id, (left, payouts, event)) = match call {
            Call::VaultDeposit { key } => {
                if attached == 0 {
                    return Err(Rejection::AmountZero);
                }
                self.credit(PartyId { account: caller, key: *key }, attached)?;
                return Ok(Report::default());
            }
            Call::VaultWithdraw { key, amount } => {
                return self.withdraw_from_vault(PartyId { account: caller, key: *key }, *amount, accepts);
            }
            Call::PreimageRegister { preimage, function } => {
                return Ok(Report { preimages: vec![self.show(now, preimage, *function)], ..Report::default() });
            }
            Call::PreimagesRegister { preimages, function } => {
                one_to_64(preimages.len())?;
                let shown = preimages.iter().map(|preimage| self.show(now, preimage, *function)).collect();
                return Ok(Report { preimages: shown, ..Report::default() });
            }
            Call::Batch(calls) => {
                one_to_64(calls.len())?;
                let mut whole = Report::default();
                for call in calls {
                    // As if each were made alone, one after the other, with nothing attached.
                    let outcome = self.judge(now, caller, &alone(call.clone()), 0, accepts);
                    whole.batch.push(outcome.as_ref().map(drop).map_err(|refused| *refused));
                    if let Ok(report) = outcome {
                        whole.events.extend(report.events);
                        whole.paid_out.extend(report.paid_out);
                    }
                }
                return Ok(whole);
            }
            Call::ChannelCreate(call) => self.create(now, caller, call, attached)?,
            Call::ChannelDeposit(call) => {
                let mut channel = known(&call.channel)?;
                let body = &call.body;
                self.window(body.valid_until, now)?;
                channel.must_be_open()?;
                if body.amount == 0 {
                    return Err(Rejection::AmountZero);
                }
                let shown = after(body.round, body.base, body.state_hash);
                channel.must_be_newer(&shown, now)?;
                self.signed(&channel, &call.channel, signed::DEPOSIT, body, &call.signatures)?;
                channel.total = channel.total.checked_add(body.amount).ok_or(Rejection::AmountOverflow)?;
                channel.take(&shown);
                let mut shares = Pair::default();
                shares[body.party] = body.amount;
                self.pay_in(&channel, caller, attached, shares)?;
                let event = ArbiterEvent::ChannelDeposited {
                    party: body.party,
                    amount: body.amount,
                    total: channel.total,
                    round: body.round,
                    state_hash: body.state_hash,
                };
                (call.channel, (Some(channel), Vec::new(), event))
            }
            Call::ChannelWithdraw(call) => {
                let mut channel = known(&call.channel)?;
                let body = &call.body;
                self.window(body.valid_until, now)?;
                channel.must_be_open()?;
                if body.amount == 0 {
                    return Err(Rejection::AmountZero);
                }
                let need = 2 * channel.terms.reserve;
                if channel.total < body.amount || channel.total - body.amount < need {
                    return Err(Rejection::BelowReserves { total: channel.total, amount: body.amount, need });
                }
                let shown = after(body.round, body.base, body.state_hash);
                channel.must_be_newer(&shown, now)?;
                self.signed(&channel, &call.channel, signed::WITHDRAW, body, &call.signatures)?;
                channel.total -= body.amount;
                channel.take(&shown);
                let own = &channel.terms.parties[body.party];
                let mut payout = Payout {
                    party: Some(body.party),
                    to: body.to,
                    amount: body.amount,
                    destination: Destination::Account,
                };
                if body.to == own.account {
                    payout.destination = own.payout;
                }
                let event = ArbiterEvent::ChannelWithdrawn {
                    party: body.party,
                    amount: body.amount,
                    total: channel.total,
                    round: body.round,
                    state_hash: body.state_hash,
                };
                (call.channel, (Some(channel), vec![payout], event))
            }
            Call::ChannelSnapshotSolo(call) => {
                let mut channel = known(&call.channel)?;
                if !channel.may_defend(&caller) {
                    return Err(Rejection::NotPartyOrDelegate);
                }
                channel.must_be_open()?;
                let Payload { round, state_hash, .. } = call.payload;
                channel.must_be_newer(&Shown::from(&call.payload), now)?;
                let _newer = self.adopt(&mut channel, &call.channel, &call.payload, now)?;
                (call.channel, (Some(channel), Vec::new(), ArbiterEvent::ChannelSnapshotted { round, state_hash }))
            }
            Call::ChannelSetDelegates(call) => {
                let mut channel = known(&call.channel)?;
                let body = &call.body;
                self.window(body.valid_until, now)?;
                channel.must_be_open()?;
                if body.delegates.initiator.len() > 8 || body.delegates.responder.len() > 8 {
                    return Err(Rejection::TooManyDelegates);
                }
                let shown = after(body.round, body.base, body.state_hash);
                channel.must_be_newer(&shown, now)?;
                self.signed(&channel, &call.channel, signed::SET_DELEGATES, body, &call.signatures)?;
                channel.take(&shown);
                for party in [Party::Initiator, Party::Responder] {
                    channel.terms.parties[party].delegates = body.delegates[party].clone();
                }
                let (delegates, round, state_hash) = (body.delegates.clone(), body.round, body.state_hash);
                let event = ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash };
                (call.channel, (Some(channel), Vec::new(), event))
            }
            Call::ChannelCloseMutual(call) => {
                let channel = known(&call.channel)?;
                let body = &call.body;
                self.window(body.valid_until, now)?;
                let Pair { initiator, responder } = body.balances;
                let got = initiator.checked_add(responder).and_then(|sum| sum.checked_add(body.fee));
                if got != Some(channel.total) {
                    return Err(Rejection::SumMismatch { got, want: channel.total });
                }
                self.signed(&channel, &call.channel, signed::CLOSE_MUTUAL, body, &call.signatures)?;
                let mut payouts = channel.pay(body.balances);
                payouts.extend(fee(caller, body.fee));
                let event = ArbiterEvent::ChannelClosedMutually { balances: body.balances, fee: body.fee };
                (call.channel, (None, payouts, event))
            }
            Call::ChannelCloseSolo(call) => {
                let mut channel = known(&call.channel)?;
                let Pair { initiator, responder } = &channel.terms.parties;
                let closer = match caller {
                    caller if caller == initiator.account => Party::Initiator,
                    caller if caller == responder.account => Party::Responder,
                    _ => return Err(Rejection::NotParty),
                };
                channel.must_be_open()?;
                if let Some(payload) = &call.payload {
                    let _newer = self.adopt(&mut channel, &call.channel, payload, now)?;
                }
                let balances = covered(&channel, &call.commitment)?;
                let until = now.saturating_add(channel.terms.lock_period);
                let closed_on = channel.co_signed;
                channel.stage = Stage::Closing(Waiting { balances, until, closer, closed_on, proven: false });
                let event = ArbiterEvent::ChannelClosedSolo {
                    at: channel.at(),
                    state_hash: channel.state,
                    closing: channel.closing().unwrap(),
                };
                (call.channel, (Some(channel), Vec::new(), event))
            }
            Call::ChannelSlash(call) => {
                let mut channel = known(&call.channel)?;
                if !channel.may_defend(&caller) {
                    return Err(Rejection::NotPartyOrDelegate);
                }
                if !matches!(channel.stage, Stage::Closing(_)) {
                    return Err(Rejection::NotClosing);
                }
                channel.must_be_newer(&Shown::from(&call.payload), now)?;
                let _newer = self.adopt(&mut channel, &call.channel, &call.payload, now)?;
                let now_due = covered(&channel, &call.commitment)?;
                let lock_period = channel.terms.lock_period;
                if let Stage::Closing(waiting) = &mut channel.stage {
                    (waiting.balances, waiting.until) = (now_due, now.saturating_add(lock_period));
                }
                let closing = channel.closing().unwrap();
                let event = ArbiterEvent::ChannelSlashed { round: channel.round(), state_hash: channel.state, closing };
                (call.channel, (Some(channel), Vec::new(), event))
            }
            Call::ChannelSettle { channel } => (*channel, settle(known(channel)?, now, &caller)?),
            Call::ChannelForceProgress(call) => {
                let channel = known(&call.channel)?;
                (call.channel, self.force(now, caller, call, channel, &mut preimages)?)
            }
        };
        let before = match left.clone() {
            Some(channel) => self.channels.insert(id, channel),
            None => self.channels.remove(&id),
        };
        let channel = before.or(left).expect("it was there, or is now");
        let parties = Pair::new(channel.id_of(Party::Initiator), channel.id_of(Party::Responder));
        self.conclude(id, parties, payouts, event, preimages, accepts)
    }

    /// Pays out, where to be told; what an account does not take goes to the party's vault (R5.1).
    fn conclude(
        &mut self,
        id: ChannelId,
        parties: Pair<PartyId>,
        mut payouts: Vec<Payout>,
        event: ArbiterEvent,
        preimages: Vec<(HashLock, Preimage, BlockNumber)>,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        let mut paid_out = Vec::new();
        // Whoever submits is paid first, or nothing happens (R5.12).
        for fee in payouts.iter().filter(|payout| payout.party.is_none()) {
            if !accepts(&fee.to, fee.amount) {
                return Err(Rejection::TransferFailed);
            }
            paid_out.push((fee.to, fee.amount));
        }
        for payout in &mut payouts {
            let Some(party) = payout.party else { continue };
            if payout.destination == Destination::Account && accepts(&payout.to, payout.amount) {
                paid_out.push((payout.to, payout.amount));
            } else {
                payout.destination = Destination::Vault;
                self.credit(parties[party], payout.amount)?;
            }
        }
        Ok(Report { events: vec![(id, event, payouts)], paid_out, preimages, batch: Vec::new() })
    }

    fn withdraw_from_vault(
        &mut self,
        owner: PartyId,
        amount: Amount,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        if amount == 0 {
            return Err(Rejection::AmountZero);
        }
        let have = self.coins.get(&owner).copied().unwrap_or(0);
        if have < amount {
            return Err(Rejection::VaultBalanceTooLow { have, need: amount });
        }
        if !accepts(&owner.account, amount) {
            return Err(Rejection::TransferFailed);
        }
        if have > amount {
            let _before = self.coins.insert(owner, have - amount);
        } else {
            let _gone = self.coins.remove(&owner);
        }
        Ok(Report { paid_out: vec![(owner.account, amount)], ..Report::default() })
    }

    fn credit(&mut self, owner: PartyId, amount: Amount) -> Result<(), Rejection> {
        let coins = self.coins.entry(owner).or_default();
        *coins = coins.checked_add(amount).ok_or(Rejection::AmountOverflow)?;
        Ok(())
    }

    /// R5.1: what the caller attaches is the caller's, who is a party then; the shares come out of what each has, by account and key.
    fn pay_in(
        &mut self,
        channel: &Channel,
        caller: AccountId,
        attached: Amount,
        shares: Pair<Amount>,
    ) -> Result<(), Rejection> {
        let owners = [Party::Initiator, Party::Responder].map(|party| (party, channel.id_of(party)));
        if attached > 0 && owners.iter().all(|(_, owner)| owner.account != caller) {
            return Err(Rejection::NotParty);
        }
        let before: Vec<_> = owners.iter().map(|(_, owner)| self.coins.get(owner).copied()).collect();
        let brings = |owner: &PartyId| if owner.account == caller { attached } else { 0 };
        for (_, owner) in owners {
            self.credit(owner, brings(&owner))?;
        }
        for (party, owner) in owners {
            let (have, need) = (self.coins[&owner], shares[party]);
            let left = have.checked_sub(need).ok_or(Rejection::VaultTooLow { party, have, need })?;
            let _before = self.coins.insert(owner, left);
        }
        // Nothing is written down for who has what it had before.
        for ((_, owner), before) in owners.iter().zip(before) {
            if before.is_none() && self.coins[owner] == 0 {
                let _never_there = self.coins.remove(owner);
            }
        }
        Ok(())
    }

    /// R8.2.
    fn show(
        &mut self,
        now: BlockNumber,
        preimage: &Preimage,
        function: HashFunction,
    ) -> (HashLock, Preimage, BlockNumber) {
        let lock = inside::lock(preimage, function);
        (lock, *preimage, *self.preimages.entry(lock).or_insert(now))
    }

    /// R5.3, R5.13: from `valid_until` minus the longest window until `valid_until`, both included.
    fn window(&self, valid_until: BlockNumber, now: BlockNumber) -> Result<(), Rejection> {
        if now > valid_until {
            return Err(Rejection::Expired { valid_until, now });
        }
        let max = now.saturating_add(self.limits.validity_max);
        if valid_until > max { Err(Rejection::ExpiryTooFar { valid_until, max }) } else { Ok(()) }
    }

    fn signed(
        &self,
        channel: &Channel,
        id: &ChannelId,
        kind: u8,
        body: &impl Encode,
        signatures: &Pair<protocol::Signature>,
    ) -> Result<(), Rejection> {
        let Pair { initiator, responder } = &channel.terms.parties;
        signed::by_both(&self.domain, id, Pair::new(initiator.key, responder.key), kind, body, signatures)
    }

    /// R5.4: what is newer must be signed, and is taken; what is known need not be. What is taken is held against a closer (R5.9).
    pub(crate) fn adopt(
        &self,
        channel: &mut Channel,
        id: &ChannelId,
        payload: &Payload,
        now: BlockNumber,
    ) -> Result<Candidate, Rejection> {
        let shown = Shown::from(payload);
        let candidate = channel.candidate(&shown, now)?;
        if candidate == Candidate::Newer {
            let Payload { round, base, state_hash, valid_until, .. } = *payload;
            let body = (round, (base.agreed, base.steps), state_hash, valid_until);
            self.signed(channel, id, signed::STATE, &body, &payload.signatures)?;
            channel.take(&shown);
            channel.show_to_closer(&shown);
        }
        Ok(candidate)
    }

    /// R5.1 to R5.4a.
    #[allow(clippy::type_complexity, reason = "as of every call")]
    fn create(
        &mut self,
        now: BlockNumber,
        caller: AccountId,
        call: &Create,
        attached: Amount,
    ) -> Result<(ChannelId, (Option<Channel>, Vec<Payout>, ArbiterEvent)), Rejection> {
        let (body, terms) = (&call.body, &call.body.terms);
        let Pair { initiator, responder } = &terms.parties;
        let owner = |party: &PartyTerms| PartyId { account: party.account, key: party.key };
        let parties = Pair::new(owner(initiator), owner(responder));
        // R5.2: the next one, or one less than 1,024 above; and there is one to follow.
        let next = self.nonces.get(&parties).copied().unwrap_or(0);
        let open = u128::from(next)..u128::from(next) + 1_024;
        if !open.contains(&u128::from(call.nonce)) || call.nonce == u64::MAX {
            return Err(Rejection::NonceOutOfBounds { got: call.nonce, next });
        }
        self.window(body.valid_until, now)?;
        if initiator.account == responder.account {
            return Err(Rejection::PartiesShareAccount);
        }
        if initiator.key == responder.key {
            return Err(Rejection::PartiesShareKey);
        }
        let Limits { lock_period_min: min, lock_period_max: max, .. } = self.limits;
        if !(min..=max).contains(&terms.lock_period) {
            return Err(Rejection::LockPeriodOutOfBounds { got: terms.lock_period, min, max });
        }
        if !(1..=self.limits.max_forced_max).contains(&terms.max_forced) {
            return Err(Rejection::MaxForcedOutOfBounds { got: terms.max_forced, max: self.limits.max_forced_max });
        }
        let reserve = terms.reserve;
        if terms.penalty > reserve {
            return Err(Rejection::PenaltyAboveReserve { penalty: terms.penalty, reserve });
        }
        if initiator.delegates.len() > 8 || responder.delegates.len() > 8 {
            return Err(Rejection::TooManyDelegates);
        }
        for party in [Party::Initiator, Party::Responder] {
            let balance = body.balances[party];
            if balance < reserve {
                return Err(Rejection::BalanceBelowReserve { party, balance, reserve });
            }
        }
        let total = body.balances.initiator.checked_add(body.balances.responder).ok_or(Rejection::AmountOverflow)?;
        let got = body.shares.initiator.checked_add(body.shares.responder);
        if got != Some(total) {
            return Err(Rejection::SumMismatch { got, want: total });
        }
        let Domain { genesis, arbiter } = self.domain;
        let id = tree::hash(&[
            b"ink-statechannel",
            &1u16.to_le_bytes(),
            &genesis.0,
            &arbiter.0,
            &initiator.account.0,
            &initiator.key.0,
            &responder.account.0,
            &responder.key.0,
            &call.nonce.to_le_bytes(),
        ]);
        let id = ChannelId(id.0);
        let keys = Pair::new(initiator.key, responder.key);
        signed::by_both(&self.domain, &id, keys, signed::CREATE, body, &call.signatures)?;
        let first = Inside { balances: body.balances, contracts: BTreeMap::new(), calls_root: Hash([0; 32]) };
        let channel = Channel {
            terms: terms.clone(),
            total,
            co_signed: 1,
            forced: 0,
            state: first.state_hash(),
            steps: Pair::new(0, 0),
            history: Vec::new(),
            stage: Stage::Open,
        };
        self.pay_in(&channel, caller, attached, body.shares)?;
        let _before = self.nonces.insert(parties, call.nonce + 1);
        let event = ArbiterEvent::ChannelCreated { record: channel.record() };
        Ok((id, (Some(channel), Vec::new(), event)))
    }
}

/// R5.11, with the penalty of R5.9.
fn settle(mut channel: Channel, now: BlockNumber, caller: &AccountId) -> Ruled {
    let Stage::Closing(Waiting { mut balances, until, closer, proven, .. }) = channel.stage else {
        return Err(Rejection::NotClosing);
    };
    if now < until {
        return Err(Rejection::StillLocked { unlock_at: until, now });
    }
    let from = until.saturating_add(channel.terms.lock_period);
    if !channel.may_defend(caller) && now < from {
        return Err(Rejection::PartiesSettleFirst { from, now });
    }
    if proven {
        let charged = balances[closer].min(channel.terms.penalty);
        balances[closer] -= charged;
        balances[closer.peer()] += charged;
    }
    let remaining = channel.total - balances.initiator - balances.responder;
    (channel.total, channel.stage, channel.steps) = (remaining, Stage::Residual(Pair::new(now, now)), Pair::default());
    channel.history.clear();
    let payouts = channel.pay(balances);
    let left = (remaining > 0).then_some(channel);
    Ok((left, payouts, ArbiterEvent::ChannelSettled { balances, remaining }))
}

/// The state after an operation, which has a `valid_until` of its own.
fn after(round: Round, base: Base, state: Hash) -> Shown {
    Shown { round, base, state, last_block: None }
}

impl From<&Payload> for Shown {
    fn from(payload: &Payload) -> Self {
        Self { round: payload.round, base: payload.base, state: payload.state_hash, last_block: payload.valid_until }
    }
}

fn one_to_64(length: usize) -> Result<(), Rejection> {
    if (1..=64).contains(&length) { Ok(()) } else { Err(Rejection::ListLength { got: length as u32, max: 64 }) }
}

pub(crate) fn is_of(channel: &Channel, commitment: &StateCommitment) -> Result<(), Rejection> {
    if inside::state_hash(commitment) == channel.state { Ok(()) } else { Err(Rejection::CommitmentMismatch) }
}

/// The balances of the state shown, which the coins in the channel must cover.
pub(crate) fn covered(channel: &Channel, commitment: &StateCommitment) -> Result<Pair<Amount>, Rejection> {
    is_of(channel, commitment)?;
    let Pair { initiator, responder } = commitment.balances;
    let sum = initiator.checked_add(responder);
    if sum.is_none_or(|sum| sum > channel.total) {
        return Err(Rejection::BalancesExceedTotal { total: channel.total });
    }
    Ok(commitment.balances)
}
