//! One peer: its machine, its store, and a bookkeeper that believes nothing and checks every step.

use super::{book::Book, key, policy, registry::Registry};
use channel::{
    Balances, Change, ChangeId, Channel, CloseReason, Config, Context, Effect, Event, EventNumber, IdempotencyKey,
    Message, Millis, Notice, Outcome, OwnChanges, Pace, Payment, PaymentOutcome, PaymentRecord, Performed, Policy,
    Step,
    transfer::{TransferEvent, TransferId, TransferRow},
};
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, Round,
    call::Call,
    contracts::{Contract, ContractId},
    crypto::{Crypto, Native, SigningKey},
};
use scale::Encode;
use std::collections::{BTreeMap, VecDeque};

/// What the maker of a payment or of another change was told of it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Paid(Round),
    Refused,
    Dropped,
    /// It could not be made when its turn came.
    Failed,
    /// The arbiter is to make it.
    Forcing,
    /// The arbiter has made it.
    Forced(Round),
    /// The arbiter had made it, and a co-signed state has replaced that.
    Undone,
    /// The arbiter does not make it.
    ForceFailed,
    /// The machine that had accepted it crashed before it was proposed.
    Vanished,
}

#[derive(Clone)]
pub(crate) struct Side {
    pub(super) party: Party,
    pub(crate) key: SigningKey,
    pub(crate) config: Config,
    pub(crate) book: Book,
    /// What it knows outside of the channel.
    pub(crate) registry: Registry,
    /// What it was offered by its peer, and of that what it has, as its router was told.
    pub(crate) offered: BTreeMap<ContractId, Amount>,
    pub(crate) claimed: BTreeMap<ContractId, Amount>,
    /// What its router was told since the process started.
    pub(crate) routed: Vec<TransferEvent>,
    /// Codes that the machine asked for.
    pub(crate) fetched: Vec<Hash>,
    pub(crate) policy: Policy,
    pub(crate) channel: Option<Channel>,
    /// Its process does not run.
    pub(crate) asleep: bool,
    /// What was committed last; none for a channel that was never committed.
    pub(crate) stored: Option<Vec<u8>>,
    /// The contracts that were committed with it.
    pub(crate) rows: BTreeMap<ContractId, Contract>,
    /// The payments with a key that were committed with it.
    pub(crate) kept: BTreeMap<ChangeId, PaymentRecord>,
    /// The conditional transfers that were committed with it.
    pub(crate) transfers: BTreeMap<TransferId, TransferRow>,
    /// The store is slow: what the machine does is held back until it has written.
    pub(crate) slow: bool,
    pub(crate) held: VecDeque<Held>,
    /// The last block of which everything before is stored.
    pub(crate) seen_stored: BlockNumber,
    /// It has just been started, and was told of nothing after this block yet.
    pub(crate) catches_up_from: Option<BlockNumber>,
    /// How many commits there were.
    pub(crate) commits: usize,
    /// The last block that it was told of.
    pub(crate) seen: BlockNumber,
    /// Everything the user was told durably.
    pub(crate) events: Vec<Event>,
    /// Everything the user was told in passing.
    pub(crate) noticed: Vec<Notice>,
    /// Every payment that the machine took, by id; a later one takes the place of one that vanished in a crash.
    pub(crate) sent: BTreeMap<ChangeId, (Payment, Fate)>,
    /// The keys of those that have one.
    pub(crate) keys: BTreeMap<ChangeId, IdempotencyKey>,
    /// The same of all other changes.
    pub(crate) made: BTreeMap<ChangeId, (Change, Fate)>,
    /// What was done to contracts, as the user was told: the round, whether by force, and what.
    pub(crate) performed: Vec<(Round, bool, Performed)>,
    /// Payments whose ids were given again after a crash: they must never appear.
    pub(crate) vanished: Vec<Payment>,
    pub(crate) received: Vec<(Payment, Round)>,
    /// Every round that this side signed, with the state's hash.
    pub(crate) signed: BTreeMap<Round, Hash>,
    /// The highest round that was ever agreed here.
    pub(crate) agreed: Round,
    /// What the channel holds.
    pub(crate) total: Amount,
    /// What this party put in and took out while the channel was open.
    pub(crate) deposited: Amount,
    pub(crate) withdrawn: Amount,
    /// What contracts have paid since the channel was settled, where it is residual: so much has left it.
    left: Option<Amount>,
    /// The number of the last event that the user has, kept where no crash of the machine reaches it.
    pub(crate) taken: EventNumber,
    /// The last event by which the total was counted.
    counted: EventNumber,
    /// Whether the user says that it has taken events.
    pub(crate) takes_events: bool,
    /// Whether every step is also held against the store (slow for storms).
    pub(crate) strict: bool,
    /// It puts old stores back as it likes: nothing that it is told has to fit.
    pub(crate) is_cheat: bool,
}

/// A step of the machine that the store has not written yet.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What is to be written, where something is.
    pub(crate) stored: Option<Write>,
    pub(crate) seen: BlockNumber,
    pub(crate) effects: Vec<Effect>,
    pub(crate) heard: Option<Message>,
}

/// One commit.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) channel: Vec<u8>,
    /// The contracts that have changed; none where one is gone.
    pub(crate) rows: Vec<(ContractId, Option<Contract>)>,
    /// The payments with a key that have changed; none where one is forgotten.
    pub(crate) kept: Vec<(ChangeId, Option<PaymentRecord>)>,
    /// The conditional transfers that have changed; none where one is gone.
    pub(crate) transfers: Vec<(TransferId, Option<TransferRow>)>,
}

/// What is compared around a step.
pub(crate) struct Before {
    saved: Vec<u8>,
    kept: BTreeMap<ChangeId, PaymentRecord>,
    transfers: BTreeMap<TransferId, TransferRow>,
}

/// The rows of a channel's transfers.
pub(crate) fn transfers_of(channel: &Channel) -> BTreeMap<TransferId, TransferRow> {
    let incoming = channel.incoming_transfers().values().cloned();
    let incoming = incoming.map(|row| (TransferId::Incoming(row.contract), TransferRow::Incoming(row)));
    let outgoing = channel.outgoing_transfers().values().cloned();
    let outgoing = outgoing.map(|row| (TransferId::Outgoing(row.change), TransferRow::Outgoing(row)));
    incoming.chain(outgoing).collect()
}

impl Side {
    pub(crate) fn new(party: Party, seen: BlockNumber) -> Self {
        Self {
            party,
            key: key(party),
            config: Config::default(),
            book: Book::new(),
            registry: Registry::new(seen),
            offered: BTreeMap::new(),
            claimed: BTreeMap::new(),
            routed: Vec::new(),
            transfers: BTreeMap::new(),
            fetched: Vec::new(),
            policy: policy(),
            channel: None,
            asleep: false,
            stored: None,
            rows: BTreeMap::new(),
            slow: false,
            held: VecDeque::new(),
            seen_stored: seen,
            catches_up_from: None,
            commits: 0,
            seen,
            events: Vec::new(),
            noticed: Vec::new(),
            sent: BTreeMap::new(),
            keys: BTreeMap::new(),
            kept: BTreeMap::new(),
            made: BTreeMap::new(),
            performed: Vec::new(),
            vanished: Vec::new(),
            received: Vec::new(),
            signed: BTreeMap::new(),
            agreed: 0,
            total: super::TOTAL,
            deposited: 0,
            withdrawn: 0,
            left: None,
            taken: EventNumber(0),
            counted: EventNumber(0),
            takes_events: true,
            strict: true,
            is_cheat: false,
        }
    }

    pub(crate) fn write(&mut self, Write { channel, rows, kept, transfers }: Write) {
        self.stored = Some(channel);
        for (id, row) in transfers {
            match row {
                Some(row) => drop(self.transfers.insert(id, row)),
                None => drop(self.transfers.remove(&id)),
            }
        }
        for (id, row) in kept {
            match row {
                Some(record) => drop(self.kept.insert(id, record)),
                None => drop(self.kept.remove(&id)),
            }
        }
        for (id, row) in rows {
            match row {
                Some(contract) => drop(self.rows.insert(id, contract)),
                None => drop(self.rows.remove(&id)),
            }
        }
    }

    /// What the store has, to be put back when it is old; contracts apart.
    pub(crate) fn copy(&self) -> (Option<Vec<u8>>, BTreeMap<ChangeId, PaymentRecord>) {
        (self.stored.clone(), self.kept.clone())
    }

    /// The machine as it was committed.
    pub(crate) fn load(&self) -> Option<Channel> {
        let bytes = self.stored.as_ref()?;
        let kept = self.kept.values().cloned();
        let transfers = self.transfers.values().cloned();
        Some(Channel::load(bytes, self.rows.clone(), kept, transfers).expect("what was committed can be loaded"))
    }

    /// What its machine may know of its surroundings at this moment.
    pub(crate) fn context(&self, now: Millis, pace: Pace) -> Context<'_> {
        let (key, head, apps, transfers) = (&self.key, self.seen, &self.book, &self.registry);
        Context { key, now, head, apps, pace, transfers }
    }

    pub(crate) fn machine(&self) -> &Channel {
        self.channel.as_ref().expect("the machine runs")
    }

    pub(crate) fn state(&self) -> &'static str {
        self.channel.as_ref().map_or("none", |channel| channel.status().state.name())
    }

    pub(crate) fn balances(&self) -> Balances {
        self.machine().balances().expect("the channel is live")
    }

    pub(crate) fn round(&self) -> Round {
        self.machine().status().round.expect("the channel is live")
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.channel.as_ref().and_then(|channel| channel.status().closed)
    }

    /// Over, or never begun.
    pub(crate) fn is_over(&self) -> bool {
        self.channel.is_none() || self.closed().is_some()
    }

    /// What the user was told of troubles.
    pub(crate) fn notices(&self) -> impl Iterator<Item = &Notice> {
        let is_trouble =
            |it: &&Notice| !matches!(it, Notice::Proposed { .. } | Notice::Left { .. } | Notice::Message(_));
        self.noticed.iter().filter(is_trouble)
    }

    pub(crate) fn was_noticed(&self, test: impl Fn(&Notice) -> bool) -> usize {
        self.noticed.iter().filter(|notice| test(notice)).count()
    }

    pub(crate) fn was_told(&self, test: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| test(event)).count()
    }

    /// References of own payments that are agreed, in the order of their making.
    pub(crate) fn paid(&self) -> Vec<(Payment, Round)> {
        let paid = self.sent.values().filter_map(|(payment, fate)| match fate {
            Fate::Paid(round) => Some((payment.clone(), *round)),
            _ => None,
        });
        paid.collect()
    }

    pub(crate) fn before(&self) -> Option<Before> {
        let channel = self.channel.as_ref().filter(|_| self.strict)?;
        let (saved, kept) = (channel.save(), channel.kept_payments().clone());
        Some(Before { saved, kept, transfers: transfers_of(channel) })
    }

    /// Holds a step against everything that must be true of any step. Called before the commit.
    pub(crate) fn check(&mut self, before: Option<&Before>, step: &Step, heard: Option<&Message>) {
        let (Some(before), Some(channel)) = (before, &self.channel) else { return };
        let saved = channel.save();
        let contracts = channel.contracts().into_iter().flat_map(|contracts| contracts.iter());
        let rows = contracts.map(|(id, contract)| (*id, contract.clone()));
        let kept = channel.kept_payments().values().cloned();
        let transfers = transfers_of(channel).into_values();
        let loaded = Channel::load(&saved, rows, kept, transfers).unwrap();
        assert!(loaded.save() == saved, "what is stored is what is loaded");
        if !step.is_commit() && self.stored.is_some() {
            assert!(before.saved == saved, "what changed without a commit would be lost: {step:?}");
            assert!(before.kept == *channel.kept_payments(), "a payment that changed without a commit would be lost");
            assert!(
                before.transfers == transfers_of(channel),
                "a transfer that changed without a commit would be lost"
            );
        }
        if step.notices().any(|notice| matches!(notice, Notice::PeerViolated(_))) {
            // That a round was refused is remembered: the next one lies above it.
            let floor = step.is_commit() && matches!(heard, Some(Message::Update(_)) | None);
            assert!(floor || before.saved == saved, "a refused message changes nothing: {step:?}");
        }
    }

    /// Holds what leaves the process against what has left it before.
    pub(crate) fn check_release(&mut self, held: &Held) {
        if self.is_cheat {
            return;
        }
        self.count_total(&held.effects);
        self.note_signatures(&held.effects, held.heard.as_ref());
        if self.held.is_empty() {
            self.check_balances_and_round();
        }
    }

    /// What operations on chain put in or took out, as the machine tells of them; each once.
    fn count_total(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Deliver { number, event } = effect else { continue };
            if *number <= self.counted {
                continue;
            }
            self.counted = *number;
            match event {
                Event::Deposited { amount, .. } => self.total += amount,
                Event::Withdrawn { amount, .. } => self.total -= amount,
                // By it the round may go down (R5.4).
                Event::Replaced { round, .. } | Event::Undone { round, .. } => self.agreed = self.agreed.min(*round),
                Event::Residual { .. } => self.left = Some(0),
                Event::Executed { performed, .. } => {
                    for performed in performed {
                        if let (Some(left), Outcome::Called { payouts, .. }) = (&mut self.left, &performed.outcome) {
                            *left += payouts.sum().unwrap();
                        }
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn check_unchanged(&self, before: Option<&Before>) {
        if let (Some(before), Some(channel)) = (before, &self.channel) {
            assert!(before.saved == channel.save(), "a refused command changes nothing");
        }
    }

    /// What is kept of payments is what was told of them.
    fn check_keys(&self) {
        let Some(channel) = &self.channel else { return };
        for (id, record) in channel.kept_payments() {
            let Some((_, fate)) = self.sent.get(id) else { continue };
            let fits = matches!(
                (fate, record.outcome),
                (Fate::Pending, PaymentOutcome::Pending)
                    | (Fate::Paid(_), PaymentOutcome::Paid(_))
                    | (Fate::Refused, PaymentOutcome::Refused(_))
                    | (Fate::Refused | Fate::Failed, PaymentOutcome::Unknown | PaymentOutcome::Dropped)
                    | (Fate::Failed, PaymentOutcome::Failed(_))
                    | (Fate::Dropped, PaymentOutcome::Dropped | PaymentOutcome::Unknown)
                    | (Fate::Undone, PaymentOutcome::Undone(_))
            );
            assert!(fits, "{id:?}: told {fate:?}, kept {:?}", record.outcome);
        }
    }

    fn check_balances_and_round(&mut self) {
        let Some(channel) = &self.channel else { return };
        if let (Some(Balances { ours, peers, spendable }), Some(evidence)) = (channel.balances(), channel.evidence()) {
            assert_eq!(evidence.commitment.balances.sum(), ours.checked_add(peers));
            let held = channel.contracts().map_or(0, protocol::contracts::Contracts::held);
            let outdated = channel.status().stale_store;
            let whole = channel.state().unwrap().is_whole();
            assert!(whole || outdated, "the contracts are those of the state");
            let sum = ours + peers + held + self.left.unwrap_or(0);
            // Steps from before it was settled that could only be followed afterwards left nothing.
            let late = self.left.is_some() && self.notices().any(|it| matches!(it, Notice::PendingReplay { .. }));
            assert!(
                sum == self.total || outdated || late,
                "{sum}: balances and contracts are the channel's total (R4.4)"
            );
            assert!(spendable <= ours);
        }
        if let Some(round) = channel.status().round {
            assert!(round >= self.agreed, "round {round} after {}", self.agreed);
            self.agreed = round;
        }
    }

    fn note_signatures(&mut self, effects: &[Effect], heard: Option<&Message>) {
        for effect in effects {
            let (round, hash) = match (effect, heard) {
                (Effect::Send(Message::Update(update)), _) => (update.round, update.state_hash),
                (Effect::Send(Message::UpdateAck { round, .. }), Some(Message::Update(update))) => {
                    assert_eq!(*round, update.round);
                    (*round, update.state_hash)
                }
                (Effect::Send(Message::DepositSigned { round, .. }), Some(Message::DepositCreated(body))) => {
                    (*round, digest(body))
                }
                (Effect::Send(Message::WithdrawSigned { round, .. }), Some(Message::WithdrawCreated(body))) => {
                    (*round, digest(body))
                }
                (Effect::Send(Message::SetDelegatesSigned { round, .. }), Some(Message::SetDelegatesCreated(body))) => {
                    (*round, digest(body))
                }
                (Effect::Send(Message::PledgeSigned { round, .. }), Some(Message::PledgeCreated(body))) => {
                    (*round, body.state_hash)
                }
                (Effect::Submit(call), _) => match &**call {
                    Call::ChannelDeposit(call) => (call.body.round, digest(&call.body)),
                    Call::ChannelWithdraw(call) => (call.body.round, digest(&call.body)),
                    Call::ChannelSetDelegates(call) => (call.body.round, digest(&call.body)),
                    _ => continue,
                },
                _ => continue,
            };
            let first = self.signed.insert(round, hash);
            assert!(first.is_none_or(|first| first == hash), "round {round} was signed twice");
        }
    }

    /// What the user is told, against what it was told before.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.is_cheat {
            return;
        }
        match &event {
            Event::Paid { payments, round } => self.note_fates(payments, Fate::Paid(*round)),
            Event::Refused { payments, .. } => self.note_fates(payments, Fate::Refused),
            Event::Dropped { payments } => self.note_fates(payments, Fate::Dropped),
            Event::Failed { changes, .. } => self.note_fates(changes, Fate::Failed),
            Event::Forcing { changes } => self.note_fate(changes, Fate::Forcing),
            Event::ForceFailed { changes, .. } => self.note_fate(changes, Fate::ForceFailed),
            Event::Executed { round, forced, performed } => {
                let own: Vec<_> = performed.iter().filter_map(|performed| performed.change).collect();
                if *forced {
                    self.note_fate(&own, Fate::Forced(*round));
                }
                self.performed.extend(performed.iter().map(|performed| (*round, *forced, performed.clone())));
            }
            Event::Replaced { forced: from, round } => {
                assert!(round >= from, "a round below the forced chain does not count (R5.4)");
                let before = self.performed.len();
                self.performed.retain(|(round, forced, _)| !forced || round < from);
                assert!(self.performed.len() < before, "what was forced was told of");
                for (_, fate) in self.made.values_mut() {
                    if matches!(fate, Fate::Forced(round) if *round >= *from) {
                        *fate = Fate::Undone;
                    }
                }
            }
            Event::Undone { changes, .. } => self.note_fates(changes, Fate::Undone),
            Event::Received { payments, round } => {
                self.received.extend(payments.iter().map(|payment| (payment.clone(), *round)));
            }
            Event::Deposited { party, amount, .. } if *party == self.party => self.deposited += amount,
            Event::Withdrawn { party, amount, .. } if *party == self.party => self.withdrawn += amount,
            _ => {}
        }
        self.events.push(event);
    }

    /// What is told of payments names them as their user does.
    fn note_fates(&mut self, changes: &OwnChanges, new: Fate) {
        for own in changes.iter() {
            let key = self.keys.get(&own.id);
            assert_eq!(own.key, key, "{:?} is told by its key", own.id);
            let reference = self.sent.get(&own.id).map_or(&[][..], |(payment, _)| &payment.reference);
            let is_again = self.sent.get(&own.id).is_some_and(|(_, fate)| *fate == Fate::Undone);
            let lost = (new == Fate::Undone || is_again) && key.is_none() && own.reference.is_empty();
            assert!(own.reference == reference || lost, "{:?} is told by its reference", own.id);
        }
        self.note_fate(changes.ids(), new);
    }

    fn note_fate(&mut self, payments: &[ChangeId], new: Fate) {
        for id in payments {
            let sent = self.sent.get_mut(id).map(|(_, fate)| fate);
            let fate = sent.or_else(|| self.made.get_mut(id).map(|(_, fate)| fate));
            let fate = fate.unwrap_or_else(|| panic!("only own changes are reported: {id:?} {new:?}"));
            assert!(fate.may_become(new), "{id:?} was {fate:?}, and is reported again: {new:?}");
            *fate = new;
        }
    }

    /// What contracts have taken from this party, and given to it, as it was told; `created` has what each side put into each.
    pub(crate) fn contracts_turnover(&self, created: &BTreeMap<ContractId, Pair<Amount>>) -> (Amount, Amount) {
        let (mut put_in, mut got) = (0, 0);
        for (_, _, Performed { by, outcome, .. }) in &self.performed {
            match outcome {
                Outcome::Created { contract, balance, .. } => {
                    let coins = created[contract];
                    assert_eq!(coins.sum(), Some(*balance));
                    put_in += coins[self.party];
                }
                Outcome::Called { contract, value, payouts, .. } if created.contains_key(contract) => {
                    put_in += if *by == self.party { *value } else { 0 };
                    got += payouts[self.party];
                }
                Outcome::Removed { shares, .. } => got += shares[self.party],
                Outcome::Called { .. } | Outcome::Upgraded { .. } | Outcome::Noted(_) => {}
            }
        }
        (put_in, got)
    }

    /// What the user was told of each of its creations.
    pub(crate) fn created(&self) -> impl Iterator<Item = (ContractId, Pair<Amount>)> {
        self.performed.iter().filter_map(|(_, _, Performed { change, outcome, .. })| {
            let Outcome::Created { contract, .. } = outcome else { return None };
            match &self.made[&(*change)?].0 {
                Change::CreateContract(creation) => Some((*contract, creation.coins)),
                other => panic!("{other:?} creates nothing"),
            }
        })
    }

    /// The machine crashed: what it had not proposed may be gone. Ids from the stored next one on are given again.
    pub(crate) fn forget_uncommitted(&mut self) {
        if self.is_cheat {
            return;
        }
        let again = match self.channel.as_ref().and_then(Channel::next_change) {
            Some(next) => self.sent.split_off(&next),
            // It was not open yet.
            None if self.closed().is_none() => std::mem::take(&mut self.sent),
            None => BTreeMap::new(),
        };
        for (id, (payment, fate)) in again {
            assert_eq!(fate, Fate::Pending, "an id whose payment was reported is never given again");
            // By its key it may be asked for again.
            if self.keys.remove(&id).is_none() {
                self.vanished.push(payment);
            }
        }
        let again = match self.channel.as_ref().and_then(Channel::next_change) {
            Some(next) => self.made.split_off(&next),
            None if self.closed().is_none() => std::mem::take(&mut self.made),
            None => BTreeMap::new(),
        };
        for (change, fate) in again.into_values() {
            assert_eq!(fate, Fate::Pending, "{change:?}: an id whose change was reported is never given again");
        }
    }

    /// Whatever still waits at the very end, when the machine says that nothing does, vanished in a crash.
    pub(crate) fn bury_the_vanished(&mut self) {
        self.check_keys();
        if self.channel.as_ref().is_none_or(|channel| channel.status().pending == 0) {
            for (id, (payment, fate)) in self.sent.iter_mut().filter(|(_, (_, fate))| *fate == Fate::Pending) {
                assert!(!self.keys.contains_key(id), "{id:?} has a key: it never vanishes");
                *fate = Fate::Vanished;
                self.vanished.push(payment.clone());
            }
            for (_, fate) in self.made.values_mut().filter(|(_, fate)| *fate == Fate::Pending) {
                *fate = Fate::Vanished;
            }
        }
    }

    /// How much of its own coins the user believes to have paid and got.
    pub(crate) fn turnover(&self) -> (Amount, Amount) {
        let paid = self.paid().iter().map(|(payment, _)| payment.amount).sum();
        (paid, self.received.iter().map(|(payment, _)| payment.amount).sum())
    }
}

fn digest(body: &impl Encode) -> Hash {
    Native.hash(&body.encode())
}
