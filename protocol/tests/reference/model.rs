//! The arbiter's messages. Where several things are wrong with a call, the first check in the order written here names the refusal; that
//! order is part of the rules:
//!
//! 1. the channel exists;
//! 2. of co-signed calls, the window (R5.3, R5.13), then the phase; of calls by one side, who calls, then the phase;
//! 3. amounts and terms; the round (R5.4), before any signature is looked at: the cheap before the dear;
//! 4. signatures, the initiator's first; what is shown of the state; then what is computed from it;
//! 5. last the vaults that pay.

use crate::{
    channel::{Candidate, Channel, Stage, Waiting, fee},
    inside::{self, Inside},
    signed, tree,
};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, StateCommitment,
    call::{Call, Create, Payload},
    contracts::{
        NativeApps,
        conditional::{HashLock, Preimage},
    },
    event::{Event, Payout},
    signing::{Domain, StateBody},
    terms::{Destination, Limits},
};
use scale::Encode;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// What a call announced and paid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub event: Option<(ChannelId, Event, Vec<Payout>)>,
    pub paid_out: Vec<(AccountId, Amount)>,
    pub preimages: Vec<(HashLock, Preimage, BlockNumber)>,
}

#[derive(Clone)]
pub struct Arbiter {
    pub(crate) domain: Domain,
    pub(crate) limits: Limits,
    /// Accounts that once had something stay, with nothing.
    pub(crate) coins: BTreeMap<AccountId, Amount>,
    pub nonces: BTreeMap<Pair<AccountId>, u64>,
    pub channels: BTreeMap<ChannelId, Channel>,
    pub preimages: BTreeMap<HashLock, BlockNumber>,
    pub(crate) deployed: BTreeMap<AccountId, Hash>,
    pub(crate) apps: NativeApps,
    /// What stands behind a state's hash: true for ever, so it is kept also where the call is undone.
    pub(crate) states: Rc<RefCell<BTreeMap<Hash, Inside>>>,
}

type Accepts<'a> = &'a dyn Fn(&AccountId, Amount) -> bool;
/// What is left of the channel, what it pays, and what is announced.
pub(crate) type Ruled = Result<(Option<Channel>, Vec<Payout>, Event), Rejection>;

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

    pub fn vaults(&self) -> BTreeMap<AccountId, Amount> {
        self.coins.clone().into_iter().filter(|(_, coins)| *coins > 0).collect()
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
            Call::VaultDeposit => {
                if attached == 0 {
                    return Err(Rejection::AmountZero);
                }
                self.credit(caller, attached)?;
                return Ok(Report::default());
            }
            Call::VaultWithdraw { amount } => return self.withdraw_from_vault(caller, *amount, accepts),
            Call::PreimageRegister { preimage, function } => {
                let lock = inside::lock(preimage, *function);
                let counts = *self.preimages.entry(lock).or_insert(now);
                return Ok(Report { preimages: vec![(lock, *preimage, counts)], ..Report::default() });
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
                channel.must_be_newer(body.round, body.state_hash)?;
                self.signed(&channel, &call.channel, signed::DEPOSIT, body, &call.signatures)?;
                channel.total = channel.total.checked_add(body.amount).ok_or(Rejection::AmountOverflow)?;
                channel.take(body.round, body.state_hash);
                self.credit(caller, attached)?;
                self.debit(&channel.terms.parties[body.party].account, body.party, body.amount)?;
                let event = Event::ChannelDeposited {
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
                channel.must_be_newer(body.round, body.state_hash)?;
                self.signed(&channel, &call.channel, signed::WITHDRAW, body, &call.signatures)?;
                channel.total -= body.amount;
                channel.take(body.round, body.state_hash);
                let mut coins = Pair::default();
                coins[body.party] = body.amount;
                let event = Event::ChannelWithdrawn {
                    party: body.party,
                    amount: body.amount,
                    total: channel.total,
                    round: body.round,
                    state_hash: body.state_hash,
                };
                (call.channel, (Some(channel.clone()), channel.pay(coins), event))
            }
            Call::ChannelSnapshotSolo(call) => {
                let mut channel = known(&call.channel)?;
                if !channel.may_defend(&caller) {
                    return Err(Rejection::NotPartyOrDelegate);
                }
                channel.must_be_open()?;
                let Payload { round, state_hash, .. } = call.payload;
                channel.must_be_newer(round, state_hash)?;
                let _newer = self.adopt(&mut channel, &call.channel, &call.payload)?;
                (call.channel, (Some(channel), Vec::new(), Event::ChannelSnapshotted { round, state_hash }))
            }
            Call::ChannelSetDelegates(call) => {
                let mut channel = known(&call.channel)?;
                let body = &call.body;
                self.window(body.valid_until, now)?;
                channel.must_be_open()?;
                if body.delegates.initiator.len() > 8 || body.delegates.responder.len() > 8 {
                    return Err(Rejection::TooManyDelegates);
                }
                channel.must_be_newer(body.round, body.state_hash)?;
                self.signed(&channel, &call.channel, signed::SET_DELEGATES, body, &call.signatures)?;
                channel.take(body.round, body.state_hash);
                for party in [Party::Initiator, Party::Responder] {
                    channel.terms.parties[party].delegates = body.delegates[party].clone();
                }
                let (delegates, round, state_hash) = (body.delegates.clone(), body.round, body.state_hash);
                let event = Event::ChannelDelegatesSet { delegates, round, state_hash };
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
                let event = Event::ChannelClosedMutually { balances: body.balances, fee: body.fee };
                (call.channel, (None, payouts, event))
            }
            Call::ChannelCloseSolo(call) => {
                let mut channel = known(&call.channel)?;
                let Pair { initiator, responder } = channel.terms.accounts();
                let closer = match caller {
                    caller if caller == initiator => Party::Initiator,
                    caller if caller == responder => Party::Responder,
                    _ => return Err(Rejection::NotParty),
                };
                channel.must_be_open()?;
                if let Some(payload) = &call.payload {
                    let _newer = self.adopt(&mut channel, &call.channel, payload)?;
                }
                let balances = covered(&channel, &call.commitment)?;
                let until = now.saturating_add(channel.terms.lock_period);
                channel.stage = Stage::Closing(Waiting { balances, until, closer, proven: false });
                let event = Event::ChannelClosedSolo {
                    round: channel.round(),
                    state_hash: channel.state,
                    forced_from: channel.forced_from(),
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
                channel.must_be_newer(call.payload.round, call.payload.state_hash)?;
                let _newer = self.adopt(&mut channel, &call.channel, &call.payload)?;
                let now_due = covered(&channel, &call.commitment)?;
                channel.show_to_closer(call.payload.round);
                let lock_period = channel.terms.lock_period;
                if let Stage::Closing(waiting) = &mut channel.stage {
                    (waiting.balances, waiting.until) = (now_due, now.saturating_add(lock_period));
                }
                let closing = channel.closing().unwrap();
                let event = Event::ChannelSlashed { round: channel.round(), state_hash: channel.state, closing };
                (call.channel, (Some(channel), Vec::new(), event))
            }
            Call::ChannelSettle { channel } => (*channel, settle(known(channel)?, now)?),
            Call::ChannelForceProgress(call) => {
                let channel = known(&call.channel)?;
                (call.channel, self.force(now, caller, call, channel, &mut preimages)?)
            }
        };
        let _before = match left {
            Some(channel) => self.channels.insert(id, channel),
            None => self.channels.remove(&id),
        };
        self.conclude(id, payouts, event, preimages, accepts)
    }

    /// Pays out, where to be told; what an account does not take goes to its vault (R5.1).
    fn conclude(
        &mut self,
        id: ChannelId,
        mut payouts: Vec<Payout>,
        event: Event,
        preimages: Vec<(HashLock, Preimage, BlockNumber)>,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        let mut paid_out = Vec::new();
        for payout in &mut payouts {
            if payout.destination == Destination::Account && accepts(&payout.to, payout.amount) {
                paid_out.push((payout.to, payout.amount));
            } else {
                payout.destination = Destination::Vault;
                self.credit(payout.to, payout.amount)?;
            }
        }
        Ok(Report { event: Some((id, event, payouts)), paid_out, preimages })
    }

    fn withdraw_from_vault(
        &mut self,
        caller: AccountId,
        amount: Amount,
        accepts: Accepts<'_>,
    ) -> Result<Report, Rejection> {
        if amount == 0 {
            return Err(Rejection::AmountZero);
        }
        let have = self.coins.get(&caller).copied().unwrap_or(0);
        if have < amount {
            return Err(Rejection::VaultBalanceTooLow { have, need: amount });
        }
        if !accepts(&caller, amount) {
            return Err(Rejection::TransferFailed);
        }
        let _before = self.coins.insert(caller, have - amount);
        Ok(Report { paid_out: vec![(caller, amount)], ..Report::default() })
    }

    fn credit(&mut self, account: AccountId, amount: Amount) -> Result<(), Rejection> {
        let coins = self.coins.entry(account).or_default();
        *coins = coins.checked_add(amount).ok_or(Rejection::AmountOverflow)?;
        Ok(())
    }

    fn debit(&mut self, account: &AccountId, party: Party, need: Amount) -> Result<(), Rejection> {
        let have = self.coins.get(account).copied().unwrap_or(0);
        let left = have.checked_sub(need).ok_or(Rejection::VaultTooLow { party, have, need })?;
        let _before = self.coins.insert(*account, left);
        Ok(())
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
        signed::by_both(&self.domain, id, channel.terms.keys(), kind, body, signatures)
    }

    /// R5.4: what is newer must be signed, and is taken; what is known need not be.
    pub(crate) fn adopt(
        &self,
        channel: &mut Channel,
        id: &ChannelId,
        payload: &Payload,
    ) -> Result<Candidate, Rejection> {
        let candidate = channel.candidate(payload.round, payload.state_hash)?;
        if candidate == Candidate::Newer {
            let body = StateBody { round: payload.round, state_hash: payload.state_hash };
            self.signed(channel, id, signed::STATE, &body, &payload.signatures)?;
            channel.take(payload.round, payload.state_hash);
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
    ) -> Result<(ChannelId, (Option<Channel>, Vec<Payout>, Event)), Rejection> {
        let (body, terms) = (&call.body, &call.body.terms);
        self.window(body.valid_until, now)?;
        let Pair { initiator, responder } = &terms.parties;
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
        let accounts = Pair::new(initiator.account, responder.account);
        let nonce = self.nonces.get(&accounts).copied().unwrap_or(0);
        let Domain { genesis, arbiter } = self.domain;
        let (one, two) = (accounts.initiator.0, accounts.responder.0);
        let id = tree::hash(&[
            b"ink-statechannel",
            &1u16.to_le_bytes(),
            &genesis.0,
            &arbiter.0,
            &one,
            &two,
            &nonce.to_le_bytes(),
        ]);
        let id = ChannelId(id.0);
        signed::by_both(&self.domain, &id, terms.keys(), signed::CREATE, body, &call.signatures)?;
        self.credit(caller, attached)?;
        for party in [Party::Initiator, Party::Responder] {
            self.debit(&accounts[party], party, body.shares[party])?;
        }
        let _before = self.nonces.insert(accounts, nonce + 1);
        let first = Inside { balances: body.balances, contracts: BTreeMap::new(), calls_root: Hash([0; 32]) };
        let channel = Channel {
            terms: terms.clone(),
            total,
            co_signed: 1,
            forced: 0,
            state: first.state_hash(),
            steps: Pair::new(0, 0),
            stage: Stage::Open,
        };
        let event = Event::ChannelCreated { record: channel.record() };
        Ok((id, (Some(channel), Vec::new(), event)))
    }
}

/// R5.11, with the penalty of R5.9.
fn settle(mut channel: Channel, now: BlockNumber) -> Ruled {
    let Stage::Closing(Waiting { mut balances, until, closer, proven }) = channel.stage else {
        return Err(Rejection::NotClosing);
    };
    if now < until {
        return Err(Rejection::StillLocked { unlock_at: until, now });
    }
    if proven {
        let charged = balances[closer].min(channel.terms.penalty);
        balances[closer] -= charged;
        balances[closer.peer()] += charged;
    }
    let remaining = channel.total - balances.initiator - balances.responder;
    (channel.total, channel.stage, channel.steps) = (remaining, Stage::Residual, Pair::default());
    let payouts = channel.pay(balances);
    let left = (remaining > 0).then_some(channel);
    Ok((left, payouts, Event::ChannelSettled { balances, remaining }))
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
