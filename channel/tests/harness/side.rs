//! One peer: its machine, its store, and a bookkeeper that believes nothing and checks every step.

use super::{key, policy};
use channel::{
    Balances, Channel, CloseReason, Config, Effect, Event, Message, Notice, Payment, PaymentId, Policy, Step,
};
use protocol::{Amount, BlockNumber, Hash, Party, Round, crypto::SigningKey};
use std::collections::BTreeMap;

/// What a payment's maker was told of it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Paid(Round),
    Refused,
    Dropped,
    /// The machine that had accepted it crashed before it was proposed.
    Vanished,
}

pub(crate) struct Side {
    pub(crate) key: SigningKey,
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) channel: Option<Channel>,
    /// Its process does not run.
    pub(crate) asleep: bool,
    /// What was committed last; none for a channel that was never committed.
    pub(crate) stored: Option<Vec<u8>>,
    /// How many commits there were.
    pub(crate) commits: usize,
    /// The last block that it was told of.
    pub(crate) seen: BlockNumber,
    /// Everything the user was told.
    pub(crate) events: Vec<Event>,
    /// Every payment that the machine took, by id; a later one takes the place of one that vanished in a crash.
    pub(crate) sent: BTreeMap<PaymentId, (Payment, Fate)>,
    /// Payments whose ids were given again after a crash: they must never appear.
    pub(crate) vanished: Vec<Payment>,
    pub(crate) received: Vec<(Payment, Round)>,
    /// Every round that this side signed, with the state's hash.
    pub(crate) signed: BTreeMap<Round, Hash>,
    /// The highest round that was ever agreed here.
    pub(crate) agreed: Round,
    /// What the channel holds.
    pub(crate) total: Amount,
    /// Whether every step is also held against the store (slow for storms).
    pub(crate) strict: bool,
}

/// What is compared around a step.
pub(crate) struct Before {
    saved: Vec<u8>,
}

impl Side {
    pub(crate) fn new(party: Party, seen: BlockNumber) -> Self {
        Self {
            key: key(party),
            config: Config::default(),
            policy: policy(),
            channel: None,
            asleep: false,
            stored: None,
            commits: 0,
            seen,
            events: Vec::new(),
            sent: BTreeMap::new(),
            vanished: Vec::new(),
            received: Vec::new(),
            signed: BTreeMap::new(),
            agreed: 0,
            total: super::TOTAL,
            strict: true,
        }
    }

    pub(crate) fn machine(&self) -> &Channel {
        self.channel.as_ref().expect("the machine runs")
    }

    pub(crate) fn state(&self) -> &'static str {
        self.channel.as_ref().map_or("none", |channel| channel.status().state)
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

    pub(crate) fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.events.iter().filter_map(|event| match event {
            Event::Notice(notice) => Some(notice),
            _ => None,
        })
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
        Some(Before { saved: channel.save() })
    }

    /// Holds a step against everything that must be true of any step. Called before the commit.
    pub(crate) fn check(&mut self, before: Option<&Before>, step: &Step, heard: Option<&Message>) {
        self.check_balances_and_round();
        self.note_signatures(&step.effects, heard);
        let (Some(before), Some(channel)) = (before, &self.channel) else { return };
        let saved = channel.save();
        assert!(Channel::load(&saved).unwrap().save() == saved, "what is stored is what is loaded");
        if !step.commit && self.stored.is_some() {
            assert!(before.saved == saved, "what changed without a commit would be lost: {:?}", step.effects);
        }
        if step.effects.iter().any(|effect| matches!(effect, Effect::Notify(Event::Notice(Notice::PeerViolated(_))))) {
            assert!(before.saved == saved, "a refused message changes nothing: {:?}", step.effects);
        }
    }

    pub(crate) fn check_unchanged(&self, before: Option<&Before>) {
        if let (Some(before), Some(channel)) = (before, &self.channel) {
            assert!(before.saved == channel.save(), "a refused command changes nothing");
        }
    }

    fn check_balances_and_round(&mut self) {
        let Some(channel) = &self.channel else { return };
        if let (Some(Balances { ours, peers, spendable }), Some(evidence)) = (channel.balances(), channel.evidence()) {
            assert_eq!(evidence.commitment.balances.sum(), ours.checked_add(peers));
            assert_eq!(ours + peers, self.total, "the sum of the balances is the channel's total");
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
                _ => continue,
            };
            let first = self.signed.insert(round, hash);
            assert!(first.is_none_or(|first| first == hash), "round {round} was signed twice");
        }
    }

    /// What the user is told, against what it was told before.
    pub(crate) fn tell(&mut self, event: Event) {
        match &event {
            Event::Paid { payments, round } => self.note_fate(payments, Fate::Paid(*round)),
            Event::Refused { payments, .. } => self.note_fate(payments, Fate::Refused),
            Event::Dropped { payments } => self.note_fate(payments, Fate::Dropped),
            Event::Received { payments, round } => {
                self.received.extend(payments.iter().map(|payment| (payment.clone(), *round)));
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn note_fate(&mut self, payments: &[PaymentId], new: Fate) {
        for id in payments {
            let (payment, fate) = self.sent.get_mut(id).expect("only own payments are reported");
            assert_eq!(*fate, Fate::Pending, "{id:?} ({payment:?}) is reported once, and now also {new:?}");
            *fate = new;
        }
    }

    /// The machine crashed: what it had not proposed may be gone. Ids from the stored next one on are given again.
    pub(crate) fn forget_uncommitted(&mut self) {
        let next = self.channel.as_ref().and_then(Channel::next_payment);
        let again = next.map_or_else(BTreeMap::new, |next| self.sent.split_off(&next));
        for (payment, fate) in again.into_values() {
            assert_eq!(fate, Fate::Pending, "an id whose payment was reported is never given again");
            self.vanished.push(payment);
        }
    }

    /// Whatever still waits at the very end, when the machine says that nothing does, vanished in a crash.
    pub(crate) fn bury_the_vanished(&mut self) {
        if self.channel.as_ref().is_none_or(|channel| channel.status().pending == 0) {
            for (payment, fate) in self.sent.values_mut().filter(|(_, fate)| *fate == Fate::Pending) {
                *fate = Fate::Vanished;
                self.vanished.push(payment.clone());
            }
        }
    }

    /// How much of its own coins the user believes to have paid and got.
    pub(crate) fn turnover(&self) -> (Amount, Amount) {
        let paid = self.paid().iter().map(|(payment, _)| payment.amount).sum();
        (paid, self.received.iter().map(|(payment, _)| payment.amount).sum())
    }
}
