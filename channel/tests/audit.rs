//! Attacks that an audit of the peers' machine found, or tried in vain: each test asserts what ought to be.

use crate::harness::{
    DOMAIN, Initiator, LOCK, PACE, Responder, SHARE, World, apps,
    apps::Tokens,
    chain::FUNDS,
    contracts::{call, counter, escrow, forced, of, pays, puppet, state_of, without_calls},
    forge::{payment, sign, state_body},
    key, opening, party_terms, policy,
    side::Fate,
};
use channel::{
    Change, ChangeId, Channel, ChannelRef, Command, Config, Context, Event, FundingCreated, Input,
    MAX_UPDATES_PER_ROUND, Message, Refusal, RefusalCode, Refused, State, Update, transfer::NoTransfers,
};
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, Signature, StateCommitment,
    arbiter::{Plan, Start, plan},
    call::{Call, CloseSolo, ForcedCall, Payload, SnapshotSolo},
    contracts::Predictor,
    signing::{CreateBody, signed_bytes},
    terms::Terms,
};

/// A forced step as a cheat makes it, with the state after it.
fn step(world: &World, by: Party, state: &State, payload: Option<Payload>, calls: Vec<ForcedCall>) -> Plan {
    let (&channel, record) = world.chain.ledger.channels.first_key_value().unwrap();
    let State { balances, contracts, calls_root, .. } = state;
    let start = Start { channel, record, payload, balances: *balances, contracts, calls_root: *calls_root };
    let deployed = |code: &Hash| channel::AppBook::deployed(&world.sides[by].book, code);
    let mut executor = Predictor::new(&world.chain.ledger.apps, &|_| None);
    plan(&start, by, calls, world.chain.head() + 1, &deployed, &mut executor).unwrap()
}

fn commitment(plan: &Plan) -> StateCommitment {
    StateCommitment { balances: plan.balances, contracts_root: plan.contracts.root(), calls_root: plan.calls_root }
}

fn agreed_on_chain(world: &World) -> u64 {
    world.chain.ledger.channels.first_key_value().map_or(0, |(_, record)| record.on_chain.at.agreed)
}

fn snapshot(world: &mut World, by: Party, payload: Payload) {
    let channel = world.channel_id();
    world.chain.submit(by, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
}

fn update(message: Message) -> Update {
    match message {
        Message::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

/// The peer pays 900 in the newest round; the cheat keeps the round before, in which an empty contract stands.
fn paid_by(cheat: Party) -> (World, State, Payload, ForcedCall) {
    let victim = cheat.peer();
    // The cheat's own machine does not stand in its way.
    let mut world = World::opened_with(cheat, |config| config.defend = false);
    let ids = world.create(victim, vec![counter(Pair::default(), 9)]);
    let state = world.sides[cheat].machine().state().unwrap().clone();
    let payload = world.sides[cheat].machine().evidence().unwrap().payload.unwrap();
    let _id = world.pay(cheat, 900).unwrap();
    world.run();
    assert_eq!(world.sides[victim].balances().ours, SHARE + 900);
    (world, state, payload, forced(ids[0], 0, &1_u64))
}

// Money stolen.

#[test]
fn a_forced_step_on_an_old_round_is_replaced_also_while_a_close_is_offered() {
    for cheat in Party::BOTH {
        let (mut world, state, payload, calls) = paid_by(cheat);
        let victim = cheat.peer();
        let newest = world.sides[victim].round();
        // The victim's user wants to close in agreement; the cheat never answers, and forces on the round before.
        world.shutdown(victim, 0).unwrap();
        world.kill(cheat);
        let plan = step(&world, cheat, &state, Some(payload), vec![calls]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call.clone()));
        world.mine_blocks(LOCK - 1);
        let replaced = agreed_on_chain(&world);
        world.mine_blocks(2);
        // Now the payment's round counts no more: the cheat closes, and takes the 900 back.
        let channel = world.channel_id();
        let close = CloseSolo { channel, payload: None, commitment: commitment(&plan) };
        world.chain.submit(cheat, Call::ChannelCloseSolo(close));
        world.mine_blocks(LOCK + 4);
        let ours = world.chain.wealth(victim)
            + world.sides[victim].channel.as_ref().and_then(Channel::balances).map_or(0, |it| it.ours);
        assert_eq!((replaced, ours), (newest, FUNDS + 900), "{cheat:?}: the newest round was shown in time");
    }
}

#[test]
fn a_newer_state_does_not_wait_for_a_claim_that_may_come_too_late() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let mut world = World::opened_with(cheat, |config| config.defend = false);
        world.pace.include_within = 4;
        let deadline = world.chain.head() + 20;
        let ids = world.create(victim, vec![counter(Pair::default(), 9), escrow(deadline)]);
        let old = world.sides[cheat].machine().state().unwrap().clone();
        let payload = world.sides[cheat].machine().evidence().unwrap().payload.unwrap();
        let _id = world.pay(cheat, 900).unwrap();
        world.run();
        let newest = world.sides[victim].round();
        world.mine_blocks(deadline - world.chain.head() - 4);
        // The cheat forces on the round before. The victim's claim, with which the newest round would go, is in no block.
        let plan = step(&world, cheat, &old, Some(payload), vec![forced(ids[0], 0, &1_u64)]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        world.kill(cheat);
        let _new = world.chain.censored.insert("channel_force_progress");
        world.force(victim, vec![forced(ids[1], 20, &Tokens::Issue)]).unwrap();
        world.mine_blocks(2);
        assert!(world.chain.head() + 1 < deadline, "the claim may still be made");
        assert_eq!(agreed_on_chain(&world), newest, "{cheat:?}: the newest round went alone");
    }
}

#[test]
fn a_peer_that_offers_closes_over_and_over_keeps_nobody_from_answering_a_forced_step() {
    for cheat in Party::BOTH {
        let (mut world, state, payload, calls) = paid_by(cheat);
        let victim = cheat.peer();
        let newest = world.sides[victim].round();
        let plan = step(&world, cheat, &state, Some(payload), vec![calls]);
        // A fair close, that the victim signs, and that expires before the victim would submit it; and another, and another.
        let offer = |world: &mut World| {
            if world.sides[victim].closed().is_some() {
                return;
            }
            let shutdown = world.forge_shutdown(cheat, 0, world.chain.head() + 6);
            world.hear(victim, Message::Shutdown(shutdown));
            world.wire = Pair::default();
        };
        offer(&mut world);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call.clone()));
        for _ in 0..LOCK + 1 {
            world.mine();
            offer(&mut world);
        }
        let (replaced, state) = (agreed_on_chain(&world), world.sides[victim].state());
        if !world.chain.is_closed() {
            let channel = world.channel_id();
            let close = CloseSolo { channel, payload: None, commitment: commitment(&plan) };
            world.chain.submit(cheat, Call::ChannelCloseSolo(close));
            world.mine_blocks(2 * LOCK);
        }
        let gained = world.chain.wealth(victim);
        assert_eq!(gained, FUNDS + 900, "{cheat:?}: {state}, {replaced} on chain, {newest} is the newest");
    }
}

#[test]
fn a_round_told_as_made_is_not_taken_back_by_ones_own_refusal() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, ids) = World::with(cheat, vec![puppet(of(cheat, 100))]);
        let before = world.sides[cheat].machine().state().unwrap().clone();
        // The victim takes what the contract owes it.
        let mut mine = Pair::default();
        mine[victim] = 100;
        let id = world.make_one(victim, call(ids[0], 0, &pays(mine.initiator, mine.responder))).unwrap();
        // The cheat has it refuse something above that, and then agrees to the lower round all the same.
        let (ours, counter) = refuse_above(&mut world, cheat);
        assert!(counter.refuses.is_some() && counter.round > ours.round && counter.base == ours.base);
        sign_late(&mut world, cheat, &ours);
        let told_made = matches!(world.fate(victim, id), Fate::Paid(_));
        // Weeks later, after whatever deadline the contract has.
        world.kill(cheat);
        world.mine_blocks(5 * LOCK);
        let refusal = world.co_signed(victim, &counter);
        snapshot(&mut world, cheat, refusal);
        world.mine();
        let undone = world.sides[victim].was_told(|event| matches!(event, Event::Undone { .. }));
        // Then the cheat has the coins.
        let (&_channel, record) = world.chain.ledger.channels.first_key_value().unwrap();
        assert_eq!(record.on_chain.at.agreed, counter.round);
        let mut theirs = Pair::default();
        theirs[cheat] = 100;
        let plain = without_calls(before);
        let plan =
            step(&world, cheat, &plain, None, vec![forced(ids[0], 0, &pays(theirs.initiator, theirs.responder))]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        world.mine_blocks(2);
        let owns = world.sides[victim].balances().ours;
        assert!(
            !told_made || owns == SHARE + 100,
            "{cheat:?}: told as made, and {owns} is left; undone was told {undone} times"
        );
    }
}

/// The victim's proposal, and its refusal of a round of the cheat's above that, which goes on from the state before it.
fn refuse_above(world: &mut World, cheat: Party) -> (Update, Update) {
    let ours = update(world.steal(cheat));
    let balances = world.agreed(cheat.peer());
    let bad = world.forge_update_to(cheat, ours.round + 1, vec![Change::Transfer(payment(0))], balances);
    world.hear(cheat.peer(), Message::Update(bad));
    (ours, update(world.steal(cheat)))
}

/// The cheat signs a round of the victim's after all.
fn sign_late(world: &mut World, cheat: Party, ours: &Update) {
    let signature = sign(cheat, world.channel_id(), &state_body(ours.round, ours.base, ours.state_hash));
    world.hear(cheat.peer(), Message::UpdateAck { round: ours.round, signature });
}

/// The victim pays, refuses a round of the cheat's above that payment, and then has the payment signed. With the payment's id.
fn pay_and_refuse(world: &mut World, cheat: Party, amount: Amount) -> (ChangeId, Update, Update) {
    let id = world.pay(cheat.peer(), amount).unwrap();
    let (ours, counter) = refuse_above(world, cheat);
    sign_late(world, cheat, &ours);
    (id, ours, counter)
}

/// The same in a new channel, and then the cheat falls silent.
fn paid_and_refused(cheat: Party) -> (World, ChangeId, Update) {
    let mut world = World::opened();
    let (id, _ours, counter) = pay_and_refuse(&mut world, cheat, 40);
    world.kill(cheat);
    (world, id, counter)
}

#[test]
fn what_ones_own_refusal_takes_back_on_chain_is_told_as_undone() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, id, counter) = paid_and_refused(cheat);
        let refusal = world.co_signed(victim, &counter);
        snapshot(&mut world, cheat, refusal);
        world.mine();
        assert_eq!(world.sides[victim].balances().ours, world.told(victim), "{cheat:?}: {:?}", world.fate(victim, id));
    }
}

#[test]
fn what_is_taken_back_while_closing_is_told_as_undone() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, id, counter) = paid_and_refused(cheat);
        world.close_solo(victim).unwrap();
        world.mine();
        let slash = world.co_sign(victim, &counter, Pair::new(SHARE, SHARE));
        let (channel, payload, commitment) = (slash.channel, slash.payload.unwrap(), slash.commitment);
        world.chain.submit(cheat, Call::ChannelSlash(protocol::call::Slash { channel, payload, commitment }));
        world.mine_blocks(2 * LOCK);
        let wealth = world.chain.wealth(victim);
        assert_eq!(wealth, FUNDS - SHARE + world.told(victim), "{cheat:?}: {:?}", world.fate(victim, id));
    }
}

#[test]
fn a_snapshot_that_was_lost_is_asked_for_again_whatever_stands_on_chain_beside_the_mark() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, ids) = World::with(victim, vec![counter(Pair::default(), 9)]);
        // An own round of the victim's, and its refusal above it; the lower one is agreed.
        let (_id, ours, counter) = pay_and_refuse(&mut world, cheat, 1);
        let old = world.sides[victim].machine().state().unwrap().clone();
        if world.sides[victim].round() != ours.round {
            // The answer does not count: no attack.
            continue;
        }
        let lower = world.co_signed(victim, &ours);
        let refusal = world.co_signed(victim, &counter);
        // The cheat pays 900 above both.
        let mut after = old.clone();
        after.balances[cheat] -= 900;
        after.balances[victim] += 900;
        let hash = without_calls(after).hash();
        let (base, round) = (world.base(victim), counter.round + 1);
        let signature = sign(cheat, world.channel_id(), &state_body(round, base, hash));
        let changes = vec![Change::Transfer(payment(900))];
        world.hear(
            victim,
            Message::Update(Update { round, base, height: 0, refuses: None, changes, state_hash: hash, signature }),
        );
        assert_eq!(world.sides[victim].round(), round);
        world.kill(cheat);
        // In one block: a step on the lower round, which marks it, and the refusal on top, which is not forced.
        let plan = step(&world, cheat, &old, Some(lower), vec![forced(ids[0], 0, &1_u64)]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        snapshot(&mut world, cheat, refusal);
        world.mine();
        assert_eq!(agreed_on_chain(&world), counter.round);
        // The one transaction that the victim sends is lost (its era is over, its node was restarted).
        world.chain.drop_pool();
        world.mine_blocks(LOCK + 2);
        assert_eq!(agreed_on_chain(&world), round, "{cheat:?}: the round that pays 900 was shown in time");
    }
}

/// One machine cannot tell; whoever keeps several has to refuse the second.
#[test]
fn two_openings_that_share_a_nonce_are_not_both_opened_by_one_channel_on_chain() {
    let (own, apps) = (key(Responder), channel::NoApps);
    let ctx = Context { key: &own, now: 0, head: 100, apps: &apps, pace: PACE, transfers: &NoTransfers };
    let open = opening();
    let body = open.body(&party_terms(Responder), 120);
    let id = body.terms.channel_id(&DOMAIN, 0, &protocol::crypto::Native);
    let signature = key(Initiator).sign(&signed_bytes(&DOMAIN, &id, &body));
    let record = protocol::record::Record {
        on_chain: protocol::record::OnChain::agreed(1, State::of(open.balances).hash()),
        terms: body.terms,
        total: open.balances.sum().unwrap(),
        forced_steps: Pair::default(),
        phase: protocol::record::Phase::Open,
    };
    let states: Vec<_> = [1, 2]
        .into_iter()
        .map(|name| {
            let reference = ChannelRef([name; 16]);
            let (peer, terms) = (open.initiator.key, party_terms(Responder));
            let accepted =
                Channel::accept(reference, peer, open.clone(), terms, &policy(), Config::default(), &ctx).unwrap();
            let mut channel = accepted.0;
            let created = FundingCreated { nonce: 0, valid_until: 120, signature };
            // A shell that has a channel with this id says so instead (R6.7).
            let offered = channel.offered_id(&created);
            assert_eq!(offered, Some(id));
            let heard = match name {
                1 => Input::Peer(Message::FundingCreated(created)),
                _ => Input::IdInUse(id),
            };
            let _step = channel.handle(heard, &ctx).unwrap();
            let event = protocol::event::ArbiterEvent::ChannelCreated { record: record.clone() };
            let _step = channel.handle(Input::Chain(channel::ChainInput::Event(event)), &ctx).unwrap();
            let _step = channel.handle(Input::Peer(Message::FundingLocked), &ctx).unwrap();
            (channel.status().state, channel.channel_id())
        })
        .collect();
    assert_ne!(states[0], states[1], "two open channels, one record");
}

// Money blocked.

#[test]
fn a_side_whose_newest_round_was_kept_off_the_chain_is_not_told_that_its_store_is_old_and_can_close() {
    for cheat in Party::BOTH {
        let (mut world, state, payload, calls) = paid_by(cheat);
        let victim = cheat.peer();
        world.kill(cheat);
        let _new = world.chain.censored.insert("channel_snapshot_solo");
        let plan = step(&world, cheat, &state, Some(payload), vec![calls]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        world.mine_blocks(LOCK + 2);
        world.chain.censored.clear();
        let outdated = world.sides[victim].machine().status().stale_store;
        let close = world.close_solo(victim);
        world.mine_blocks(2 * LOCK);
        assert_eq!((outdated, close, world.chain.is_closed()), (false, Ok(()), true), "{cheat:?}");
    }
}

#[test]
fn a_side_that_was_away_for_longer_than_a_lock_period_still_has_what_the_chain_leaves_it() {
    for cheat in Party::BOTH {
        let (mut world, state, payload, calls) = paid_by(cheat);
        let victim = cheat.peer();
        world.kill(cheat);
        world.kill(victim);
        let plan = step(&world, cheat, &state, Some(payload), vec![calls]);
        world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        world.mine_blocks(LOCK + 2);
        world.restart(victim);
        // The cheat does nothing more: it need not.
        let _close = world.close_solo(victim);
        world.mine_blocks(3 * LOCK);
        let wealth = world.chain.wealth(victim);
        assert!(wealth >= FUNDS, "{cheat:?}: {wealth}, {:?}", world.sides[victim].machine().status());
    }
}

#[test]
fn offers_to_close_that_nobody_submits_do_not_keep_the_user_from_going_on() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, ids) = World::with(victim, vec![counter(Pair::default(), 9)]);
        let (mut paid, mut forced_at) = (false, false);
        for _ in 0..300 {
            if world.sides[victim].closed().is_some() {
                break;
            }
            let shutdown = world.forge_shutdown(cheat, 0, world.chain.head() + 6);
            world.hear(victim, Message::Shutdown(shutdown));
            world.wire = Pair::default();
            world.mine();
            paid |= world.pay(victim, 1).is_ok();
            forced_at |= world.force(victim, vec![forced(ids[0], 0, &1_u64)]).is_ok();
            world.wire = Pair::default();
        }
        assert!(paid || forced_at || world.chain.is_closed(), "{cheat:?}: neither closed nor open for 300 blocks");
    }
}

#[test]
fn one_word_of_the_peer_does_not_end_all_payments() {
    for victim in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(victim, 1).unwrap();
        let ours = update(world.steal(victim.peer()));
        world.hear(victim, Message::UpdateError { round: ours.round, code: RefusalCode::STALE_STORE });
        // From now on the peer is as honest as any.
        let later = world.pay(victim, 2).unwrap();
        for _ in 0..20 {
            world.disconnect();
            world.run();
            world.mine();
            world.run();
        }
        assert!(matches!(world.fate(victim, later), Fate::Paid(_)), "{victim:?}: {:?}", world.fate(victim, later));
    }
}

// Untrue events.

#[test]
fn an_operation_over_a_round_that_was_given_up_does_not_take_back_what_was_told_as_paid() {
    for victim in Party::BOTH {
        let cheat = victim.peer();
        let mut world = World::opened_with(victim, |config| config.force_after = Some(1_000));
        let ids = world.create(victim, vec![counter(of(victim, 50), 100)]);
        let _ids = world.make(victim, vec![Change::Transfer(payment(7)), call(ids[0], 3, &1_u64)]).unwrap();
        let ours = update(world.steal(cheat));
        world.tick(0);
        world.tick(1_000);
        for _ in 0..3 {
            world.mine();
            world.run();
        }
        world.deposit(victim, 44).unwrap();
        world.run();
        world.chain.drop_pool();
        world.kill(cheat);
        let payload = world.co_signed(victim, &ours);
        snapshot(&mut world, cheat, payload);
        world.mine_blocks(3);
        assert_eq!(world.sides[victim].balances().ours, world.told(victim), "{victim:?}");
    }
}

// Exhaustion.

#[test]
fn a_refusal_lists_no_more_than_a_round_may_hold() {
    let mut world = World::opened();
    let _id = world.pay(Responder, 5).unwrap();
    let theirs = update(world.steal(Initiator));
    let places = 0..u32::try_from(MAX_UPDATES_PER_ROUND + 1).unwrap();
    let items = Refused::Some(places.map(|place| (place, RefusalCode::SUPERSEDED)).collect());
    let mut counter = world.forge_update(Initiator, theirs.round + 1, &[]);
    counter.refuses = Some(Refusal { round: theirs.round, items });
    let round = counter.round;
    world.hear(Responder, Message::Update(counter));
    assert_ne!(world.sides[Responder].round(), round);
}

#[test]
fn how_long_a_peer_can_keep_a_machine_busy_with_one_refusal() {
    let mut world = World::opened_with(Responder, |config| config.max_queued = 1 << 20);
    world.sides[Responder].strict = false;
    let payments = (0..64).map(|_| channel::Payment { amount: 1, reference: Vec::new() }).collect::<Vec<_>>();
    for (id, payment) in (1..).zip(&payments) {
        let _none = world.sides[Responder].sent.insert(ChangeId(id), (payment.clone(), Fate::Pending));
    }
    world.command(Responder, Command::PayAll(payments)).unwrap();
    let theirs = update(world.steal(Initiator));
    assert_eq!(theirs.changes.len(), 64);
    // Just below 4 MiB.
    let items = Refused::Some((0..690_000_u32).map(|_| (u32::MAX, RefusalCode::SUPERSEDED)).collect());
    let mut counter = world.forge_update(Initiator, theirs.round + 1, &[]);
    counter.refuses = Some(Refusal { round: theirs.round, items });
    let begun = std::time::Instant::now();
    world.hear(Responder, Message::Update(counter));
    let taken = begun.elapsed();
    assert!(taken < std::time::Duration::from_millis(1_000), "{taken:?} for 64 of at most 16384 changes");
}

#[test]
fn a_round_with_too_many_changes_is_not_kept_until_an_app_is_here() {
    let (mut world, ids) = World::with(Initiator, vec![puppet(Pair::default())]);
    world.fetch_code = false;
    let _new = world.sides[Responder].book.missing.insert(apps::PUPPET.code);
    let calls = std::iter::once(call(ids[0], 0, &pays(0, 0)));
    let changes: Vec<_> = calls.chain((0..MAX_UPDATES_PER_ROUND).map(|_| Change::Meta(Vec::new()))).collect();
    let balances = world.agreed(Responder);
    let mut update = world.forge_update_to(Initiator, 5, changes, balances);
    update.signature = Signature([1; 64]);
    world.hear(Responder, Message::Update(update));
    assert!(world.sides[Responder].fetched.is_empty(), "{} bytes each in memory, 2 on the wire", size_of::<Change>());
}

/// Apps that count how often they run.
#[derive(Debug)]
struct Counting(protocol::contracts::NativeApps, std::sync::atomic::AtomicUsize);

impl protocol::contracts::Apps for Counting {
    fn knows(&self, code: &Hash) -> bool {
        self.0.knows(code)
    }

    fn init(
        &self,
        code: &Hash,
        context: &protocol::contracts::AppContext,
        input: &[u8],
    ) -> Result<protocol::contracts::AppReply, protocol::contracts::CallFault> {
        self.0.init(code, context, input)
    }

    fn call(
        &self,
        code: &Hash,
        context: &protocol::contracts::AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<protocol::contracts::AppReply, protocol::contracts::CallFault> {
        let _before = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.call(code, context, state, input)
    }
}

impl channel::AppBook for Counting {
    fn accepts(&self, _code: &Hash) -> bool {
        true
    }

    fn worthless_when_empty(&self, _code: &Hash) -> bool {
        false
    }

    fn deployed(&self, _code: &Hash) -> Option<protocol::AccountId> {
        None
    }
}

#[test]
fn nothing_is_executed_for_a_round_that_its_proposer_has_not_signed() {
    let (world, ids) = World::with(Initiator, vec![puppet(Pair::default())]);
    let changes: Vec<_> = (0..512).map(|_| call(ids[0], 0, &pays(0, 0))).collect();
    let mut update = world.forge_update_to(Initiator, 5, changes, world.agreed(Responder));
    update.signature = Signature([1; 64]);
    update.height = world.chain.head();
    let book = Counting(apps::native(), std::sync::atomic::AtomicUsize::new(0));
    let side = &world.sides[Responder];
    let ctx = Context { key: &side.key, now: 0, head: side.seen, apps: &book, pace: PACE, transfers: &NoTransfers };
    let mut machine = side.channel.clone().unwrap();
    let _step = machine.handle(Input::Peer(Message::Update(update)), &ctx).unwrap();
    assert_eq!(book.1.into_inner(), 0, "calls were made for one unsigned message");
}

// Nuisances.

#[test]
fn a_round_that_its_proposer_has_not_signed_is_not_refused_by_a_signed_round() {
    let mut world = World::opened();
    // The responder has signed a round that came to nothing.
    world.command(Initiator, Command::SetDelegates { delegates: Vec::new() }).unwrap();
    assert!(world.deliver(Responder));
    let Message::SetDelegatesSigned { round, .. } = world.steal(Initiator) else { panic!("signed") };
    world.wire = Pair::default();
    let _new = world.chain.censored.insert("channel_set_delegates");
    world.mine_blocks(60);
    world.wire = Pair::default();
    let mut other = world.forge_update(Initiator, round, &[5]);
    other.signature = Signature([1; 64]);
    world.hear(Responder, Message::Update(other));
    let answer = world.steal(Initiator);
    assert!(matches!(answer, Message::UpdateError { .. }), "{answer:?}");
}

#[test]
fn own_calls_are_forced_also_while_a_signature_on_the_peers_operation_lives() {
    for victim in Party::BOTH {
        let mut world = World::opened_with(victim, |config| config.force_after = Some(1_000));
        let ids = world.create(victim, vec![counter(of(victim, 50), 9)]);
        world.command(victim.peer(), Command::SetDelegates { delegates: Vec::new() }).unwrap();
        assert!(world.deliver(victim));
        // The victim has signed; the cheat never submits.
        world.kill(victim.peer());
        let id = world.make_one(victim, call(ids[0], 0, &1_u64)).unwrap();
        world.tick_one(victim, 0);
        world.tick_one(victim, 1_000);
        let begun = world.chain.head();
        let mut waited: BlockNumber = 0;
        while !matches!(world.fate(victim, id), Fate::Forced(_)) && waited < 120 {
            world.mine();
            world.tick_one(victim, 1_000);
            waited = world.chain.head() - begun;
        }
        assert!(waited < 5, "{victim:?} waited for {waited} blocks");
    }
}

impl World {
    fn tick_one(&mut self, party: Party, millis: u64) {
        self.now += millis;
        self.input(party, Input::Tick).unwrap();
    }
}

// What held.

#[test]
fn held_the_longest_dispute_against_an_honest_closer_ends_and_costs_it_nothing() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let (mut world, ids) = World::with(victim, vec![counter(Pair::default(), 1_000)]);
        // A proposal and a refusal of the victim's are open; it closes.
        let newest = world.sides[victim].machine().state().unwrap().clone();
        let _id = world.pay(victim, 40).unwrap();
        let (ours, refusal) = refuse_above(&mut world, cheat);
        let (lower, higher) = (world.co_signed(victim, &ours), world.co_signed(victim, &refusal));
        let plain = without_calls(newest.clone());
        let mut paid = plain.clone();
        paid.balances[victim] -= 40;
        paid.balances[cheat] += 40;
        world.kill(cheat);
        world.close_solo(victim).unwrap();
        world.mine();
        let begun = world.chain.head();
        let channel = world.channel_id();
        let unlock = |world: &World| {
            let record = world.chain.ledger.channels.first_key_value().map(|(_, record)| record.clone());
            record.and_then(|record| record.closing().ok().map(|closing| closing.unlock_at))
        };
        let slash = |payload: Payload, state: &State| {
            let commitment = state.commitment();
            Call::ChannelSlash(protocol::call::Slash { channel, payload, commitment })
        };
        let mut on_chain = newest;
        for turn in 0..7 {
            // In the last block before the lock runs out.
            let until = unlock(&world).unwrap();
            while world.chain.head() + 2 < until {
                world.mine();
            }
            match turn {
                0 => {
                    world.chain.submit(cheat, slash(lower, &paid));
                    on_chain = paid.clone();
                }
                2 => {
                    world.chain.submit(cheat, slash(higher, &plain));
                    on_chain = plain.clone();
                }
                _ => {
                    let plan = step(&world, cheat, &on_chain, None, vec![forced(ids[0], 0, &1_u64)]);
                    let Plan { call, contracts, balances, calls_root, .. } = plan;
                    on_chain = state_of(balances, contracts, calls_root);
                    world.chain.submit(cheat, Call::ChannelForceProgress(call));
                }
            }
            let before = unlock(&world);
            world.mine();
            // The quota is used up at the seventh turn: three steps on the refusal. (Begun by a step on what was closed on, the refusal is too late.)
            assert_eq!(unlock(&world) > before, turn < 6, "turn {turn}");
        }
        while !world.chain.is_closed() {
            world.mine();
            assert!(world.chain.head() - begun < (2 * 2 + 3) * LOCK + 4);
        }
        let lasted = world.chain.head() - begun;
        assert_eq!(world.chain.wealth(victim), FUNDS, "no penalty; {lasted} blocks for a lock period of {LOCK}");
        println!("{lasted} blocks");
    }
}

#[test]
fn held_a_stranger_that_names_somebody_elses_account_moves_nothing_of_it() {
    use protocol::{arbiter, crypto::SigningKey, terms::PartyTerms};
    let mut world = World::new();
    let (victim, own, other) =
        (party_terms(Initiator), SigningKey::from_seed(&[77; 32]), SigningKey::from_seed(&[78; 32]));
    let stranger = protocol::AccountId([99; 32]);
    let named = PartyTerms { key: own.public(), ..victim.clone() };
    let theirs = PartyTerms { account: stranger, key: other.public(), ..victim.clone() };
    let before = world.chain.ledger.clone();
    for (nonce, share) in [(0, 1_000), (0, 0), (1_023, 0)] {
        let parties = Pair::new(named.clone(), theirs.clone());
        let terms = Terms { parties, reserve: 0, lock_period: 10, penalty: 0, max_forced: 1 };
        let body = CreateBody { terms, balances: Pair::new(0, share), shares: Pair::new(share, 0), valid_until: 110 };
        let id = body.terms.channel_id(&DOMAIN, nonce, &protocol::crypto::Native);
        let bytes = signed_bytes(&DOMAIN, &id, &body);
        let signatures = Pair::new(own.sign(&bytes), other.sign(&bytes));
        let call = Call::ChannelCreate(protocol::call::Create { body, nonce, signatures });
        let ctx = arbiter::CallContext { domain: DOMAIN, limits: crate::harness::LIMITS, now: 101, caller: stranger };
        let done = world.chain.ledger.apply(&ctx, call, 0, &|_, _| true);
        assert_eq!(done.is_ok(), share == 0);
    }
    assert_eq!(world.chain.ledger.vaults, before.vaults);
    world.open();
    world.run();
    world.mine();
    world.run();
    assert_eq!(world.states(), ("open", "open"), "no nonce of the pair is used up");
}

#[test]
fn held_marks_on_all_old_rounds_do_not_keep_the_newest_one_out() {
    for cheat in Party::BOTH {
        let victim = cheat.peer();
        let mut world = World::opened_with(cheat, |config| config.defend = false);
        let ids = world.create(victim, vec![counter(Pair::default(), 1_000)]);
        let mut old = Vec::new();
        for _ in 0..30 {
            let machine = world.sides[cheat].machine();
            old.push((machine.state().unwrap().clone(), machine.evidence().unwrap().payload.unwrap()));
            let _id = world.pay(cheat, 10).unwrap();
            world.run();
        }
        let newest = world.sides[victim].round();
        let _new = world.chain.censored.insert("channel_snapshot_solo");
        // A step on each old round, thirty in a block: more marks than are kept.
        for (state, payload) in old {
            let plan = step(&world, cheat, &state, Some(payload), vec![forced(ids[0], 0, &1_u64)]);
            world.chain.submit(cheat, Call::ChannelForceProgress(plan.call));
        }
        world.mine_blocks(LOCK - 2);
        world.chain.censored.clear();
        world.mine_blocks(2);
        assert_eq!(agreed_on_chain(&world), newest, "{cheat:?}: {:?}", world.chain.asked.last());
    }
}
