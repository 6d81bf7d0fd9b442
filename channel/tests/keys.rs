//! Payments with a key against a peer that refuses, keeps back and ends the channel as it likes (R6.3c).

use crate::harness::{
    Initiator, LOCK, PACE, Responder, SHARE, World, effects_of,
    forge::{sign, state_body},
};
use channel::{
    Channel, Command, Effect, Event, IdempotencyKey, Input, MAX_REMEMBERED, Message, Payment, PaymentOutcome, Refusal,
    RefusalCode, Refused, State, Update,
};
use protocol::{Base, Round, Signature};

/// The payer's machine alone: its peer is whatever the test says.
struct Payer {
    world: World,
    machine: Channel,
    agreed: Base,
}

impl Payer {
    fn new() -> Self {
        let mut world = World::opened();
        let machine = world.sides[Initiator].channel.take().unwrap();
        Self { world, machine, agreed: Base::of(1) }
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let side = &self.world.sides[Initiator];
        let ctx = side.context(0, PACE);
        effects_of(self.machine.handle(input, &ctx).unwrap())
    }

    fn pays(&mut self, number: u64) -> Vec<Effect> {
        let (key, payment) = order(number);
        self.input(Input::User(Command::PayOnce { key, payment }))
    }

    fn outcome(&self, number: u64) -> Option<PaymentOutcome> {
        self.machine.payment(&order(number).0).map(|record| record.outcome)
    }

    fn signs(&self, round: Round, state: &State) -> Signature {
        let channel = self.machine.channel_id().unwrap();
        sign(Responder, channel, &state_body(round, self.agreed, state.hash()))
    }

    /// The peer refuses a round by the counter-round after it, which is agreed.
    fn refuses(&mut self, ours: &Update, items: Refused) -> Vec<Effect> {
        let (round, state) = (ours.round + 1, self.machine.state().unwrap().clone());
        let counter = Update {
            round,
            base: self.agreed,
            height: 0,
            refuses: Some(Refusal { round: ours.round, items }),
            changes: Vec::new(),
            state_hash: state.hash(),
            signature: self.signs(round, &state),
        };
        let effects = self.input(Input::Peer(Message::Update(counter)));
        self.agreed = Base::of(round);
        effects
    }

    /// The peer signs a round.
    fn accepts(&mut self, ours: &Update) -> Vec<Effect> {
        let channel = self.machine.channel_id().unwrap();
        let signature = sign(Responder, channel, &state_body(ours.round, ours.base, ours.state_hash));
        self.agreed = Base::of(ours.round);
        self.input(Input::Peer(Message::UpdateAck { round: ours.round, signature }))
    }
}

fn order(number: u64) -> (IdempotencyKey, Payment) {
    (number.to_be_bytes().into(), Payment { amount: 1, reference: number.to_be_bytes().to_vec() })
}

/// The round that is proposed.
fn proposed(effects: &[Effect]) -> Update {
    let mut updates = effects.iter().rev().filter_map(|effect| match effect {
        Effect::Send(Message::Update(update)) => Some(update.clone()),
        _ => None,
    });
    updates.next().expect("a round is proposed")
}

/// A peer that lets one payment wait until enough others are over has its key forgotten at the moment at which it is made.
#[test]
fn a_payment_that_was_just_made_is_remembered_however_many_newer_ones_were_refused() {
    let mut payer = Payer::new();
    let share = u64::try_from(SHARE).unwrap();
    let first = payer.pays(0);
    let mut ours = proposed(&first);
    let mut next = 1;
    let most = u64::try_from(MAX_REMEMBERED).unwrap();
    while next <= most {
        // As many as the balance has room for: none of them will be made.
        let count = (share / 2).min(most + 1 - next);
        for number in next..next + count {
            let _queued = payer.pays(number);
        }
        // "Not yet", and the first one goes into one round with the others.
        let again = payer.refuses(&ours, Refused::All(RefusalCode::SUPERSEDED));
        ours = proposed(&again);
        assert_eq!(ours.changes.len(), usize::try_from(count).unwrap() + 1);
        let others = (1..u32::try_from(ours.changes.len()).unwrap()).map(|place| (place, RefusalCode::VALIDATION));
        let again = payer.refuses(&ours, Refused::Some(others.collect()));
        ours = proposed(&again);
        assert_eq!(ours.changes.len(), 1, "the first one alone");
        next += count;
    }
    assert_eq!(payer.outcome(0), Some(PaymentOutcome::Pending));
    let _told = payer.accepts(&ours);
    let paid = payer.machine.balances().unwrap().peers;
    assert_eq!(paid, SHARE + 1);
    // The payer's future was dropped, or its process was killed: it asks again by the same key.
    let again = payer.pays(0);
    let twice = again.iter().any(|effect| matches!(effect, Effect::Send(Message::Update(_))));
    assert!(!twice, "one key is paid twice");
    assert_eq!(payer.outcome(0), Some(PaymentOutcome::Paid(ours.round)));
}

/// The peer keeps its answer back, closes on the payer's round while nobody looks, and is paid: the payer's store says that it was not made.
#[test]
fn a_payment_in_a_round_that_the_peer_may_have_shown_unseen_is_not_said_to_be_dropped() {
    let mut world = World::opened();
    world.pay_once(Initiator, "order-1", 40).unwrap();
    // The peer has it, signs, and answers nobody.
    assert!(world.deliver(Responder));
    world.kill(Initiator);
    world.close_solo(Responder).unwrap();
    world.mine_blocks(2 * LOCK + 5);
    assert!(world.sides[Responder].is_over());
    world.restart_from_record(Initiator);
    assert!(world.sides[Initiator].is_over());
    world.assert_paid_out(SHARE - 40, SHARE + 40);
    let record = world.sides[Initiator].machine().payment(&"order-1".into()).unwrap();
    assert_eq!(record.outcome, PaymentOutcome::Unknown, "40 coins were paid for it");
}

/// A refusal with as many reasons as changes costs the payer one look at each.
#[test]
fn a_refusal_with_a_reason_for_each_change_tells_of_each_change_once() {
    let count = 900_u16;
    let mut payer = Payer::new();
    let now = payer.pays(0);
    let first = proposed(&now);
    for number in 1..=u64::from(count) {
        let _queued = payer.pays(number);
    }
    let again = payer.refuses(&first, Refused::All(RefusalCode::VALIDATION));
    let ours = proposed(&again);
    assert_eq!(ours.changes.len(), usize::from(count));
    let items = (0..count).map(|place| (u32::from(place), RefusalCode(200 + place))).collect();
    let told = payer.refuses(&ours, Refused::Some(items));
    let reasons = told.iter().filter_map(|effect| match effect {
        Effect::Deliver { event: Event::Refused { payments, code }, .. } => Some((payments.len(), code.0 - 200)),
        _ => None,
    });
    assert!(reasons.eq((0..count).map(|place| (1, place))));
}

/// "My store is old", says the peer, unsigned; the payer hears that its payment is refused, and tries again as it is told to: by another key.
#[test]
fn what_the_peer_can_still_sign_is_not_said_to_be_refused() {
    let mut payer = Payer::new();
    let now = payer.pays(1);
    let ours = proposed(&now);
    let _told = payer.input(Input::Peer(Message::UpdateError { round: ours.round, code: RefusalCode::STALE_STORE }));
    let first = payer.outcome(1);
    let _second_attempt = payer.pays(2);
    let made = payer.accepts(&ours);
    let _made = payer.accepts(&proposed(&made));
    assert_eq!(payer.machine.balances().unwrap().peers, SHARE + 2, "both attempts are paid");
    assert_eq!(first, Some(PaymentOutcome::Unknown));
    assert_eq!(payer.outcome(1), Some(PaymentOutcome::Paid(ours.round)));
}
