//! Attacks on pledges (R6.5d) from outside: what a party does of which the other one cannot know yet, and what the pledge does to whatever else is under way.

use super::pledges_audit::{AMOUNT, PREMIUM, held, mine_until, on_chain, proposed, staked};
use super::*;
use crate::harness::side::Fate;
use channel::{ChainInput, Change, Event, Input, OperationKind, RefusalCode, Update, transfer::Margins};
use protocol::{event::ArbiterEvent, record::Phase as RecordPhase};

/// The margins that a node has by default, and so long a pledge.
fn proposed_with_margins(world: &mut World, lasts: BlockNumber) -> (BlockNumber, Update) {
    for party in Party::BOTH {
        world.sides[party].registry.margins = Margins::default();
    }
    world.sides[Responder].registry.premium = PREMIUM;
    let head = world.chain.head();
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, head + lasts + 60) };
    world.offer_staked(Initiator, 1, offer, head + lasts).unwrap();
    assert!(world.deliver(Responder));
    assert!(world.deliver(Initiator));
    let Message::Update(update) = world.steal(Responder) else { panic!("proposed") };
    (head + lasts, update)
}

/// The payee closes alone, on the state before, in the block in which the payer would first show the pledge, while finality lags by less than what a swap's policy
/// tolerates (20 blocks) and by no less than `Rg` (12). The payer's snapshot is refused, since the channel is closing; of the close it knows once that is final,
/// which is when no block takes the pledge any more. The payee has staked nothing and pays no penalty, and holds the payer's signature under the round: it had the
/// choice for nothing. Right would be that the pledge is shown in a way that counts whether the channel is open or closing (one `batch` of the snapshot and the
/// slash), or so early that a close has become final before its last block.
#[test]
fn a_payee_that_closes_alone_while_finality_lags_has_no_choice_for_it() {
    let mut lost = Vec::new();
    for lag in [0, 1, 4, 8, 9, 10, 11, 12, 16, 20] {
        let mut world = World::opened();
        let kept = world.kept(Responder);
        let (until, update) = proposed_with_margins(&mut world, 20);
        world.lag[Initiator] = lag;
        mine_until(&mut world, until - Margins::default().register - 1);
        world.chain.submit(Responder, Call::ChannelCloseSolo(kept));
        // No block takes the pledge any more.
        mine_until(&mut world, until + 1);
        let record = world.chain.ledger.channels.first_key_value().unwrap().1.clone();
        assert!(matches!(record.phase, RecordPhase::Closing(_)));
        if on_chain(&world).agreed < update.round {
            lost.push((lag, record.phase));
        }
    }
    assert!(lost.is_empty(), "closed without the pledge, where finality lags by so much: {lost:#?}");
}

/// What a node goes by to know that a withdrawal for a swap is made, or has come to nothing (R8.5g), is that the channel has nothing under way when it tells of it.
/// An own offer that waits for its pledge is under way as well, so that this says nothing.
#[test]
fn a_withdrawal_that_ends_while_an_own_offer_waits_for_its_pledge_leaves_nothing_under_way() {
    let mut bad = Vec::new();
    for is_refused in [false, true] {
        let mut world = World::opened();
        world.sides[Responder].registry.premium = PREMIUM;
        world.withdraw(Initiator, 50).unwrap();
        let round = match world.steal(Responder) {
            Message::WithdrawCreated(body) => {
                world.hear(Responder, Message::WithdrawCreated(body.clone()));
                body.round
            }
            other => panic!("{other:?}"),
        };
        let input = if is_refused {
            let _signed = world.steal(Initiator);
            let _until = staked(&mut world, 20);
            Input::Peer(Message::WithdrawError { round, code: RefusalCode::POLICY })
        } else {
            assert!(world.deliver(Initiator));
            let _until = staked(&mut world, 20);
            // The peer says so before it can know: the block is not there.
            world.hear(Initiator, Message::WithdrawLocked { round });
            world.chain.mine();
            let events = world.chain.block(world.chain.head()).events.clone();
            let done = events.into_iter().find(|event| matches!(event, ArbiterEvent::ChannelWithdrawn { .. }));
            Input::Chain(ChainInput::Event(done.expect("it is made")))
        };
        let side = &world.sides[Initiator];
        let mut machine = side.machine().clone();
        let step = machine.handle(input, &side.context(world.now, world.pace)).unwrap();
        let ended = step.events().any(|event| {
            matches!(event, Event::Withdrawn { .. } | Event::OperationFailed { operation: OperationKind::Withdraw, .. })
        });
        assert!(ended, "{is_refused}");
        bad.extend(machine.status().operation.map(|under_way| (is_refused, under_way)));
    }
    assert!(bad.is_empty(), "whether it was refused, and what is under way: {bad:?}");
}

/// The payer asks for a pledge by one offer, and proposes the pledged round with another one: the same terms, so that the state is the same, and another
/// instruction, which is in no state and under no signature. The payee agrees without looking (`agree_to`, by `is_pledged`, which compares the round and the hash
/// alone), and its router hears of a transfer of which it knows nothing, and gives it back: the premium goes to the payer with it. Right would be that nothing but
/// the change that was pledged is agreed to in this way.
#[test]
fn what_is_agreed_to_of_a_pledged_round_is_what_was_pledged() {
    let mut bad = Vec::new();
    for way in 0..3 {
        let mut world = World::opened();
        let (_until, update) = proposed(&mut world, 8);
        let [Change::Offer(pledged)] = &update.changes[..] else { panic!("{:?}", update.changes) };
        let other = Change::Offer(Offer { instruction: vec![0xee; 40], ..pledged.clone() });
        let changes = match way {
            0 => vec![other],
            1 => vec![other, Change::Meta(vec![7; 1_000])],
            _ => vec![Change::Meta(vec![7; 1_000]), Change::Offer(pledged.clone())],
        };
        world.hear(Responder, Message::Update(Update { changes, ..update.clone() }));
        let rows = world.sides[Responder].machine().incoming_transfers();
        let Some(row) = rows.values().next().cloned() else { continue };
        if row.instruction != pledged.instruction {
            // What a router does with what it does not know.
            world.fail(Responder, 1).unwrap();
            world.run();
            let has = (world.ours(Initiator), world.ours(Responder));
            bad.push(format!(
                "{way}: {:?} agreed to, and then they have {has:?} of {SHARE} each",
                row.instruction.len()
            ));
        } else if way == 2 {
            bad.push("2: more changes than were pledged are agreed to".into());
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A party has asked for a withdrawal, both have signed it, and its process ends. The withdrawal is made; the peer closes alone on what the chain has, and settles,
/// all before the process starts again on a chain that does not have those blocks any more. What is told then is that the withdrawal has failed; a node that pays out
/// a swap's coins erases the row by that, and pays them once more from another channel (R8.5g). Right would be that it is told as unknown, as the end is
/// (`Unseen`), since a block may have taken it.
#[test]
fn a_withdrawal_that_was_made_and_not_seen_is_not_told_as_failed() {
    let mut world = World::opened();
    world.withdraw(Initiator, 50).unwrap();
    assert!(world.deliver(Responder));
    assert!(world.deliver(Initiator));
    world.kill(Initiator);
    world.mine();
    assert_eq!(world.chain.paid_out.values().sum::<Amount>(), 50, "it was made");
    world.close_solo(Responder).unwrap();
    while !world.chain.is_closed() {
        world.mine();
    }
    world.restart_from_record(Initiator);
    let side = &world.sides[Initiator];
    let told =
        side.was_told(|event| matches!(event, Event::OperationFailed { operation: OperationKind::Withdraw, .. }));
    assert_eq!(told, 0, "it was paid, and is told as failed; the channel has ended as {:?}", side.closed());
}

/// A payee has signed a payment that its peer would not answer, and which was given up; a step was forced; and it pledges beside that round, as it may (`may_sign`).
/// The payer shows the round of the payment to the chain: the payee is told that it has paid. Then it shows the pledge, which lies above it and goes on from the
/// forced step, so that the payment is not in it. The coins are back, and the payee goes on believing that it has paid: its payment by that key is never made.
/// Right would be that it is told as undone, as where an own round takes the place of another one (R6.2a).
#[test]
fn a_payment_that_a_pledge_takes_the_place_of_is_told_as_undone() {
    let mut world = World::opened();
    world.offer(Responder, 2, 30, 60).unwrap();
    world.run();
    let contract = world.contract_of(Initiator, 2).unwrap();
    let payment = world.pay(Responder, 5).unwrap();
    let Message::Update(given_up) = world.steal(Initiator) else { panic!("proposed") };
    world.hear(Responder, Message::UpdateError { round: given_up.round, code: RefusalCode::STALE_STORE });
    world.force_claim(Initiator, contract, 2).unwrap();
    world.mine();
    while world.deliver(Responder) || world.deliver(Initiator) {}
    // Its own machine would show the pledge at once.
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    let _until = staked(&mut world, 20);
    let mut update = None;
    for _ in 0..8 {
        let _asked = world.deliver(Responder);
        let _answered = world.deliver(Initiator);
        if let Some(Message::Update(pledged)) = world.wire[Responder].back() {
            update = Some(pledged.clone());
            break;
        }
        world.mine();
    }
    let update = update.expect("pledged and proposed");
    world.wire = protocol::Pair::default();
    let channel = world.channel_id();
    let shown = world.co_signed(Responder, &given_up);
    let pledge = held(&world);
    world.chain.censored.clear();
    world.chain.drop_pool();
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: shown }));
    world.mine();
    world.chain.drop_pool();
    assert_eq!(on_chain(&world).agreed, given_up.round, "{:?}", world.chain.block(world.chain.head()).rejected);
    assert!(matches!(world.fate(Responder, payment), Fate::Paid(_)), "{:?}", world.fate(Responder, payment));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: pledge }));
    world.mine();
    assert_eq!(on_chain(&world).agreed, update.round);
    assert_eq!(world.ours(Responder), SHARE - 30 - PREMIUM, "the payment is not in it");
    assert!(!matches!(world.fate(Responder, payment), Fate::Paid(_)), "told as paid, and not paid");
}
