//! Two peers, a link, a chain and a clock. Every step of every test goes through [`World::input`], which commits, then acts, and checks.
//!
//! ```text
//!   handle --> checks --> commit (stored bytes, what the user is to be told) --> effects, one by one
//!                                     ^-- a crash may come here, or after any effect
//! ```

#[path = "../../../protocol/tests/support/apps.rs"]
pub(crate) mod apps;
pub(crate) mod book;
pub(crate) mod chain;
pub(crate) mod contracts;
pub(crate) mod deeds;
pub(crate) mod forge;
pub(crate) mod process;
pub(crate) mod reckoning;
pub(crate) mod registry;
pub(crate) mod script;
pub(crate) mod side;

pub(crate) use process::effects_of;

use chain::{REFERENCE, SimChain};
use channel::{
    Certainty, ChainInput, ChangeId, Channel, ChannelOpen, Command, Effect, Event, IdempotencyKey, Input, Message,
    Millis, Misuse, Notice, OpenRequest, OperationKind, Pace, Payment, Policy, RefusalCode, Violation,
    transfer::TransferLimits,
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, Party, Round,
    crypto::SigningKey,
    signing::Domain,
    terms::{CallWeight, Destination, Limits, PartyTerms},
};
pub(crate) use side::{Fate, Side};
use std::collections::VecDeque;

pub(crate) use Party::{Initiator, Responder};

pub(crate) const DOMAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };
pub(crate) const LIMITS: Limits = Limits {
    lock_period_min: 2,
    lock_period_max: 1_000,
    validity_max: 1_000,
    max_forced_max: 16,
    call_weight: CallWeight::STANDARD,
};
pub(crate) const SHARE: Amount = 1_000;
pub(crate) const TOTAL: Amount = 2 * SHARE;
pub(crate) const RESERVE: Amount = 10;
pub(crate) const PENALTY: Amount = 7;
pub(crate) const LOCK: BlockNumber = 20;
/// Sides that look at every block, and whose transactions are in the next one.
pub(crate) const PACE: Pace = Pace { look_within: 1, include_within: 1 };
pub(crate) const VALIDITY: BlockNumber = 30;

pub(crate) fn key(party: Party) -> SigningKey {
    SigningKey::from_seed(&[party as u8 + 1; 32])
}

pub(crate) fn account(party: Party) -> AccountId {
    AccountId([party as u8 + 11; 32])
}

pub(crate) fn party_terms(party: Party) -> PartyTerms {
    PartyTerms {
        account: account(party),
        key: key(party).public(),
        payout: Destination::Account,
        delegates: Vec::new(),
    }
}

/// The opening that suits everybody.
pub(crate) fn opening() -> ChannelOpen {
    ChannelOpen {
        domain: DOMAIN,
        code_hash: Hash([3; 32]),
        initiator: party_terms(Initiator),
        reserve: RESERVE,
        lock_period: LOCK,
        penalty: PENALTY,
        max_forced: 3,
        balances: Pair::new(SHARE, SHARE),
        shares: Pair::new(SHARE, SHARE),
        validity: VALIDITY,
        transfers: TransferLimits::default(),
    }
}

/// The most coins that the chain can say: one with balances of 64 bits.
pub(crate) const LARGEST: Amount = u64::MAX as Amount;

pub(crate) fn policy() -> Policy {
    Policy {
        domain: DOMAIN,
        code_hash: Hash([3; 32]),
        limits: LIMITS,
        lock_period_min: 5,
        lock_period_max: 50,
        share_max: 2_000,
        reserve_min: 0,
        reserve_max: 100,
        penalty_min: 0,
        penalty_max: 50,
        largest_amount: LARGEST,
        validity_max: 100,
    }
}

/// When a machine is to crash: at a commit, after some of the effects that follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashPlan {
    pub(crate) party: Party,
    /// Which of its commits, from 0 on.
    pub(crate) commit: usize,
    /// How many of that commit's effects still happen.
    pub(crate) effects: usize,
    /// Whether the other side crashes at the same moment.
    pub(crate) both: bool,
}

pub(crate) struct World {
    pub(crate) sides: Pair<Side>,
    pub(crate) chain: SimChain,
    /// Messages on their way to each side.
    pub(crate) wire: Pair<VecDeque<Message>>,
    pub(crate) linked: bool,
    pub(crate) now: Millis,
    pub(crate) crash_plan: Option<CrashPlan>,
    /// How many effects the commit had at which the plan came true.
    pub(crate) crashed_with: Option<usize>,
    /// How often each side lags behind the chain's head, in blocks.
    pub(crate) lag: Pair<BlockNumber>,
    pub(crate) messages: usize,
    /// Whether answers of the chain come by themselves.
    pub(crate) answer_nonce: bool,
    /// Whether code that is asked for is found.
    pub(crate) fetch_code: bool,
    /// How soon each side believes to see and to answer.
    pub(crate) pace: Pace,
    /// Who decides about each side's transfers, where somebody does.
    pub(crate) routes: Pair<Option<Box<dyn process::Route>>>,
    later: VecDeque<(Party, Input)>,
    references: u64,
}

impl World {
    /// Two funded accounts, connected, without a channel.
    pub(crate) fn new() -> Self {
        let chain = SimChain::new();
        let head = chain.head();
        Self {
            sides: Pair::new(Side::new(Initiator, head), Side::new(Responder, head)),
            chain,
            wire: Pair::default(),
            linked: true,
            now: 0,
            pace: PACE,
            crash_plan: None,
            crashed_with: None,
            lag: Pair::default(),
            messages: 0,
            answer_nonce: true,
            fetch_code: true,
            routes: Pair::default(),
            later: VecDeque::new(),
            references: 0,
        }
    }

    /// An open channel with [`SHARE`] coins of each.
    pub(crate) fn opened() -> Self {
        let mut world = Self::new();
        world.open();
        world.run();
        world.mine();
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        world
    }

    /// The same, with a setting of one side changed.
    pub(crate) fn opened_with(party: Party, change: impl Fn(&mut channel::Config)) -> Self {
        let mut world = Self::new();
        change(&mut world.sides[party].config);
        world.open();
        world.run();
        world.mine();
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        world
    }

    /// The initiator proposes [`opening`].
    pub(crate) fn open(&mut self) {
        self.propose(opening()).unwrap();
    }

    pub(crate) fn propose(&mut self, open: ChannelOpen) -> Result<(), Misuse> {
        for party in Party::BOTH {
            self.sides[party].total = open.balances.sum().unwrap();
        }
        let request = OpenRequest { reference: REFERENCE, peer: key(Responder).public(), open, limits: LIMITS };
        let side = &mut self.sides[Initiator];
        let ctx = side.context(self.now, self.pace);
        let (channel, step) = Channel::propose(request, side.config, &ctx)?;
        side.channel = Some(channel);
        self.act(Initiator, vec![step], None);
        Ok(())
    }

    // The link.

    pub(crate) fn connect(&mut self) {
        assert!(!self.linked && !self.sides[Initiator].asleep && !self.sides[Responder].asleep);
        self.linked = true;
        for party in Party::BOTH {
            // Where the first one crashes, the link is down again.
            if self.linked {
                self.input(party, Input::LinkUp).unwrap();
            }
        }
    }

    /// Messages on their way are lost.
    pub(crate) fn disconnect(&mut self) {
        if self.linked {
            self.linked = false;
            self.wire = Pair::default();
            for party in Party::BOTH {
                // What was not said yet is never said.
                for held in &mut self.sides[party].held {
                    held.effects.retain(|effect| !matches!(effect, Effect::Send(_)));
                }
                self.input(party, Input::LinkDown).unwrap();
            }
        }
    }

    /// Delivers the next message to `party`, if there is one.
    pub(crate) fn deliver(&mut self, party: Party) -> bool {
        let Some(message) = self.wire[party].pop_front() else { return false };
        self.messages += 1;
        self.hear(party, message);
        true
    }

    /// Gives `party` a message as if its peer had sent it, the way a node does.
    pub(crate) fn hear(&mut self, party: Party, message: Message) {
        if self.sides[party].channel.as_ref().is_some_and(|channel| channel.status().closed.is_none()) {
            return self.input(party, Input::Peer(message)).expect("no message is a misuse");
        }
        let code = match message {
            Message::ChannelOpen(open) if self.sides[party].channel.is_none() => match self.accept_opening(party, open)
            {
                Ok(()) => return,
                Err(violation) => violation.code(),
            },
            last if last.is_last_word() => return,
            _ => RefusalCode::UNKNOWN_CHANNEL,
        };
        self.effect(party, Effect::Send(Message::Error { code }));
    }

    fn accept_opening(&mut self, party: Party, open: ChannelOpen) -> Result<(), Violation> {
        let side = &mut self.sides[party];
        let ctx = side.context(self.now, self.pace);
        let (peer, terms) = (key(party.peer()).public(), party_terms(party));
        let (channel, step) = Channel::accept(REFERENCE, peer, open, terms, &side.policy, side.config, &ctx)?;
        side.channel = Some(channel);
        self.act(party, vec![step], None);
        Ok(())
    }

    /// Delivers everything, in turns, until nothing is on its way.
    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..1_000_000 {
            let delivered = [self.deliver(Initiator), self.deliver(Responder)];
            if delivered == [false, false] {
                return;
            }
        }
        panic!("the two sides never stop talking");
    }

    /// Connects where the link is down, and delivers everything, until nothing is on its way.
    pub(crate) fn run(&mut self) {
        loop {
            let asleep = self.sides[Initiator].asleep || self.sides[Responder].asleep;
            if !self.linked && !asleep {
                self.connect();
            }
            self.deliver_all();
            if self.linked || asleep {
                return;
            }
        }
    }

    // Chain and clock.

    /// One block, told to both sides.
    pub(crate) fn mine(&mut self) {
        self.chain.mine();
        self.tell_blocks();
    }

    /// Both sides are told of the blocks that there are, as far as they do not lag.
    pub(crate) fn tell_blocks(&mut self) {
        for party in Party::BOTH {
            while !self.sides[party].asleep && self.sides[party].seen + self.lag[party] < self.chain.head() {
                let number = self.sides[party].seen + 1;
                self.sides[party].seen = number;
                self.tell_block(party, number);
            }
        }
    }

    pub(crate) fn mine_blocks(&mut self, count: BlockNumber) {
        (0..count).for_each(|_| self.mine());
    }

    pub(crate) fn tell_block(&mut self, party: Party, number: BlockNumber) {
        self.sides[party].registry.see(&self.chain, number);
        let block = self.chain.block(number).clone();
        for (submitter, call, rejection) in block.rejected {
            if submitter == party {
                self.input(party, Input::Chain(ChainInput::Rejected { call, rejection })).unwrap();
            }
        }
        for event in block.events {
            self.input(party, Input::Chain(ChainInput::Event(event))).unwrap();
        }
        self.input(party, Input::Chain(ChainInput::Head)).unwrap();
    }

    pub(crate) fn tick(&mut self, millis: Millis) {
        self.now += millis;
        for party in Party::BOTH {
            self.input(party, Input::Tick).unwrap();
        }
    }

    // What users do.

    /// Pays `amount` with a reference of its own, which is its key too.
    pub(crate) fn pay(&mut self, party: Party, amount: Amount) -> Result<ChangeId, Misuse> {
        self.pay_by(party, amount, |payment| {
            let key = IdempotencyKey(payment.reference.clone());
            (Some(key.clone()), Command::PayOnce { key, payment })
        })
    }

    /// Pays `amount` with a reference of its own: nobody remembers it through a crash before it is proposed.
    pub(crate) fn pay_without_key(&mut self, party: Party, amount: Amount) -> Result<ChangeId, Misuse> {
        self.pay_by(party, amount, |payment| (None, Command::Pay(payment)))
    }

    fn pay_by(
        &mut self,
        party: Party,
        amount: Amount,
        command: impl FnOnce(Payment) -> (Option<IdempotencyKey>, Command),
    ) -> Result<ChangeId, Misuse> {
        self.references += 1;
        let payment = Payment { amount, reference: self.references.to_be_bytes().to_vec() };
        let next = self.sides[party].channel.as_ref().and_then(Channel::next_change);
        let id = next.unwrap_or(ChangeId(0));
        // Known before the machine may report it.
        let earlier = next.and_then(|id| self.sides[party].sent.insert(id, (payment.clone(), Fate::Pending)));
        assert!(earlier.is_none(), "{id:?} is given once");
        let (key, command) = command(payment);
        let key = key.filter(|_| next.is_some());
        self.sides[party].keys.extend(key.map(|key| (id, key)));
        if let Err(misuse) = self.input(party, Input::User(command)) {
            let _refused = self.sides[party].keys.remove(&id);
            let _refused = self.sides[party].sent.remove(&id);
            return Err(misuse);
        }
        Ok(id)
    }

    /// Pays by a key, which is the payment's reference too. Asked for before it changes nothing.
    pub(crate) fn pay_once(&mut self, party: Party, key: &str, amount: Amount) -> Result<(), Misuse> {
        let payment = Payment { amount, reference: key.into() };
        let key = IdempotencyKey::from(key);
        let command = Input::User(Command::PayOnce { key: key.clone(), payment: payment.clone() });
        let Some(channel) = &self.sides[party].channel else { return Ok(()) };
        if channel.payment(&key).is_some() {
            let (before, commits) = (channel.clone(), self.sides[party].commits);
            let asked = self.input(party, command);
            let unchanged = self.sides[party].channel.as_ref() == Some(&before);
            assert!(unchanged && self.sides[party].commits == commits, "asked again it changes nothing");
            return asked;
        }
        let id = channel.next_change().unwrap_or(ChangeId(0));
        let earlier = self.sides[party].sent.insert(id, (payment, Fate::Pending));
        assert!(earlier.is_none(), "{id:?} is given once");
        let _none = self.sides[party].keys.insert(id, key);
        let asked = self.input(party, command);
        if asked.is_err() {
            let _refused = self.sides[party].sent.remove(&id);
            let _refused = self.sides[party].keys.remove(&id);
        }
        asked
    }

    /// Pays by keys, which are the payments' references too, all at once.
    pub(crate) fn pay_all_once(&mut self, party: Party, batch: &[(&str, Amount)]) -> Result<(), Misuse> {
        let named = |key: &str, amount| (key.into(), Payment { amount, reference: key.into() });
        let payments: Vec<(IdempotencyKey, Payment)> = batch.iter().map(|(key, amount)| named(key, *amount)).collect();
        let channel = self.sides[party].machine();
        let mut new: Vec<(IdempotencyKey, Payment)> = Vec::new();
        for (key, payment) in &payments {
            if channel.payment(key).is_none() && !new.iter().any(|(known, _)| known == key) {
                new.push((key.clone(), payment.clone()));
            }
        }
        let first = channel.next_change().unwrap_or(ChangeId(0)).0;
        for (id, (key, payment)) in (first..).map(ChangeId).zip(new.clone()) {
            // Known before the machine may report them.
            let earlier = self.sides[party].sent.insert(id, (payment, Fate::Pending));
            assert!(earlier.is_none(), "{id:?} is given once");
            let _none = self.sides[party].keys.insert(id, key);
        }
        let asked = self.input(party, Input::User(Command::PayAllOnce(payments)));
        if asked.is_err() {
            for (id, _) in (first..).map(ChangeId).zip(new) {
                let _refused = self.sides[party].sent.remove(&id);
                let _refused = self.sides[party].keys.remove(&id);
            }
        }
        asked
    }

    pub(crate) fn shutdown(&mut self, party: Party, fee: Amount) -> Result<(), Misuse> {
        self.input(party, Input::User(Command::Shutdown { fee }))
    }

    pub(crate) fn close_solo(&mut self, party: Party) -> Result<(), Misuse> {
        self.command(party, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest })
    }

    pub(crate) fn deposit(&mut self, party: Party, amount: Amount) -> Result<(), Misuse> {
        self.command(party, Command::Deposit { amount })
    }

    pub(crate) fn withdraw(&mut self, party: Party, amount: Amount) -> Result<(), Misuse> {
        self.command(party, Command::Withdraw { amount, to: None })
    }

    pub(crate) fn command(&mut self, party: Party, command: Command) -> Result<(), Misuse> {
        self.input(party, Input::User(command))
    }

    // What must be true in the end.

    pub(crate) fn states(&self) -> (&'static str, &'static str) {
        (self.sides[Initiator].state(), self.sides[Responder].state())
    }

    pub(crate) fn rounds(&self) -> (Round, Round) {
        (self.sides[Initiator].round(), self.sides[Responder].round())
    }

    /// Both own these, as both see it.
    pub(crate) fn assert_balances(&self, initiator: Amount, responder: Amount) {
        let (ours, theirs) = (self.sides[Initiator].balances(), self.sides[Responder].balances());
        assert_eq!((ours.ours, ours.peers), (initiator, responder), "as the initiator sees it");
        assert_eq!((theirs.peers, theirs.ours), (initiator, responder), "as the responder sees it");
    }

    /// Nothing is under way, and what one side paid is what the other received: each payment once, in order.
    pub(crate) fn assert_agreed(&mut self) {
        for party in Party::BOTH {
            let status = self.sides[party].machine().status();
            let waits = (status.pending, status.operation, status.forcing);
            assert_eq!(waits, (0, None, false), "{party:?} waits for nothing");
        }
        assert_eq!(self.sides[Initiator].round(), self.sides[Responder].round());
        let balances = self.sides[Initiator].balances();
        self.assert_balances(balances.ours, balances.peers);
        self.assert_books();
        for party in Party::BOTH {
            assert_eq!(self.sides[party].balances().ours, self.told(party), "{party:?}: the balance is what was told");
        }
    }

    /// What one side paid is what the other received: each payment once, in order.
    pub(crate) fn assert_books(&mut self) {
        for party in Party::BOTH {
            self.sides[party].bury_the_vanished();
        }
        for party in Party::BOTH {
            let (payer, payee) = (&self.sides[party], &self.sides[party.peer()]);
            assert_eq!(payer.paid(), payee.received, "what the {party:?} paid");
            let got_vanished = payee.received.iter().any(|(payment, _)| payer.vanished.contains(payment));
            assert!(!got_vanished, "a payment that vanished never appears");
            let told = |side: &Side| {
                let all = side.performed.iter().cloned();
                all.map(|(round, forced, it)| (round, forced, it.by, it.outcome)).collect::<Vec<_>>()
            };
            assert_eq!(told(payer), told(payee), "what was done to contracts");
        }
    }

    /// Nobody was told of a wrong.
    pub(crate) fn assert_no_complaints(&self) {
        for party in Party::BOTH {
            let complaint = self.sides[party].notices().find(|notice| {
                matches!(notice, Notice::PeerViolated(_) | Notice::PeerError(_) | Notice::StaleStore { .. })
            });
            assert_eq!(complaint, None, "what the {party:?} was told");
        }
        let refused = |event: &Event| matches!(event, Event::Refused { .. } | Event::OperationFailed { .. });
        assert_eq!(self.sides[Initiator].was_told(refused) + self.sides[Responder].was_told(refused), 0);
    }

    /// The channel is off the chain, and of what each party put in at opening it has this now.
    pub(crate) fn assert_paid_out(&self, initiator: Amount, responder: Amount) {
        assert!(self.chain.is_closed());
        let outside = chain::FUNDS - SHARE;
        assert_eq!(self.chain.wealth(Initiator), outside + initiator, "the initiator's coins");
        assert_eq!(self.chain.wealth(Responder), outside + responder, "the responder's coins");
    }
}

/// Which operations of its own `party` was told have failed, and why.
pub(crate) fn failed(world: &World, party: Party) -> Vec<(OperationKind, RefusalCode)> {
    let events = world.sides[party].events.iter();
    let failures = events.filter_map(|event| match event {
        Event::OperationFailed { operation, code } => Some((*operation, *code)),
        _ => None,
    });
    failures.collect()
}
