//! Attacks on pledges that are asked for with the word of agreement (R8.5c): deadlocks, questions that are taken back although they are needed, rounds that are released too late or too soon, and swaps that never
//! end.

use super::{
    link::{
        Initiator, Responder,
        forge::{sign, state_body},
        side::Side,
    },
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
    premiums::{GOT, ID, INITIATOR, PAID, PREMIUM, chain, desk, has, policy},
    premiums_attack::{Dice, ask, worth},
};
use channel::{Command, IdempotencyKey, Message, RefusalCode, transfer::TransferCommand};
use network::{RoutingPolicy, SwapId, SwapOrder, SwapQuote, SwapStage};
use protocol::{Amount, BlockNumber, Party, call::Call, signing::Domain};

const RESPONDER: usize = 1;
const SOURCE: usize = 0;
const TARGET: usize = 1;
const ENDS: [(usize, usize); 1] = [(INITIATOR, RESPONDER)];

/// What comes of a swap whose legs have moved: on the source chain and on the target chain, of either side.
const MOVED: [(i128, i128); 2] = [(-50, 100), (50, -100)];

fn net() -> Net {
    Net::on_two_chains(vec![desk(false), desk(true)], &ENDS, &ENDS)
}

fn propose(net: &mut Net) {
    let order = SwapOrder {
        responder: identity(RESPONDER),
        source: (chain(), PAID),
        target: (OTHER_CHAIN, GOT),
        premium: PREMIUM,
    };
    let _stage = net.node(INITIATOR).act(|router| router.propose_swap(ID, order, &ID.0)).unwrap();
}

fn stage_of(net: &Net, node: usize, id: &SwapId) -> Option<SwapStage> {
    net.node(node).shared().router.swap(id).map(|swap| swap.stage)
}

fn gains(net: &Net) -> [(i128, i128); 2] {
    let signed = |amount: Amount| i128::try_from(amount).unwrap() - i128::try_from(SHARE).unwrap();
    [Initiator, Responder].map(|party| (signed(has(net, SOURCE, party)), signed(has(net, TARGET, party))))
}

/// Everything is done but what is to be heard by these.
fn talk(net: &mut Net, deaf: &[(usize, Party)]) {
    let is_heard = |ready: &Ready| !deaf.iter().any(|(link, party)| *ready == Ready::Message(*link, *party));
    while let Some(ready) = net.ready().into_iter().find(is_heard) {
        net.step(ready);
    }
}

/// The same, with a block after each so many milliseconds.
fn pass(net: &mut Net, (blocks, millis): (BlockNumber, u64), deaf: &[(usize, Party)]) {
    for _ in 0..blocks {
        net.tick(millis);
        net.mine();
        talk(net, deaf);
    }
}

/// Whoever proposes, and which chains the swap is for.
type Way = (usize, Domain, Domain);

fn quoting_both_ways() -> RoutingPolicy {
    let mut quotes = desk(true);
    let ways = [(chain(), OTHER_CHAIN), (OTHER_CHAIN, chain())];
    quotes.swaps.quotes = ways.map(|(source, target)| SwapQuote { source, target, ..quotes.swaps.quotes[0] }).to_vec();
    quotes
}

fn propose_all(net: &mut Net, ways: &[Way]) -> Vec<(usize, SwapId)> {
    let ids = ways.iter().zip(1_u8..).map(|((from, source, target), number)| {
        let id = SwapId([number; 32]);
        let responder = identity(1 - from);
        let order = SwapOrder { responder, source: (*source, PAID), target: (*target, GOT), premium: PREMIUM };
        let _stage = net.node(*from).act(|router| router.propose_swap(id, order, &id.0)).unwrap();
        (*from, id)
    });
    ids.collect()
}

/// *Sequence:* an initiator proposes two swaps to the same responder, one from either chain to the other one. Of each the responder asks for the premium with its word of agreement, and keeps the round
/// back until the source leg is there; the initiator pledges both before it has offered either source leg. *Loss:* the source leg of each is behind what the initiator has pledged for the other one, so
/// that none comes; neither swap moves, and both channels do nothing until `lock_by` is final. *Right:* nothing is kept back in a channel in which a source leg of the same peer's is still to come.
#[test]
fn an_initiator_of_swaps_both_ways_has_both_of_them_move() {
    let mut stuck = Vec::new();
    for seed in 0..100_u64 {
        let mut net = Net::on_two_chains(vec![quoting_both_ways(); 2], &ENDS, &ENDS);
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let ids = propose_all(&mut net, &[(INITIATOR, chain(), OTHER_CHAIN), (INITIATOR, OTHER_CHAIN, chain())]);
        while !net.ready().is_empty() {
            let ready = net.ready();
            net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
        }
        let has_ended =
            |(from, id): &(usize, SwapId)| matches!(stage_of(&net, *from, id), Some(SwapStage::Ended { .. }));
        if ids.iter().all(has_ended) {
            continue;
        }
        // Time passes, and the swaps come to nothing.
        pass(&mut net, (60, 6_000), &[]);
        let moved = ids.iter().filter(|(from, id)| match stage_of(&net, *from, id) {
            Some(SwapStage::Ended { outcome, .. }) => outcome.source_moved && outcome.target_moved,
            _ => false,
        });
        stuck.push((seed, moved.count()));
    }
    assert!(stuck.is_empty(), "{} of 100 seeds stand still; (seed, moved in the end): {stuck:?}", stuck.len());
}

/// A swap whose source leg is heard of by the responder after so many blocks of twelve seconds, and whose early question is refused, or not.
fn slow(blocks: BlockNumber, is_refused: bool) -> [(i128, i128); 2] {
    let mut net = net();
    propose(&mut net);
    let late = [(SOURCE, Responder)];
    if is_refused {
        let mut deaf = late.to_vec();
        deaf.push((TARGET, Initiator));
        talk(&mut net, &deaf);
        let asked = net.links[TARGET].wire[Initiator].pop_front();
        let Some(Message::PledgeCreated(body)) = asked else { panic!("{asked:?}") };
        net.links[TARGET].hear(Responder, Message::PledgeError { round: body.round, code: RefusalCode::POLICY });
    }
    talk(&mut net, &late);
    pass(&mut net, (blocks, 12_000), &late);
    net.run();
    net.settle();
    gains(&net)
}

/// *Sequence:* the source leg comes 36 seconds after both have agreed, which is more than a peer has for an answer, and long before `lock_by`. *Loss:* the responder has taken back by then what the initiator
/// has pledged for; the initiator pledges for no other offer of the swap while that may count, so that the swap comes to nothing, though it moves where the early question is refused. *Right:* nothing depends on
/// the early question: what is pledged already is not taken back before it is over or the swap is, since that frees nobody.
#[test]
fn a_source_leg_that_comes_after_the_time_for_an_answer_and_before_lock_by_still_moves() {
    assert_eq!(slow(3, true), MOVED, "where the question is refused");
    assert_eq!(slow(3, false), MOVED, "where it is pledged for early");
}

/// *Sequence:* the responder keeps a round back; the initiator is gone for good, and has locked nothing. The responder's process ends, and is back after `lock_by`. *Loss:* the swap is not cleared when its time is over, since
/// the row of what is kept back counts as a leg that is locked; then that row goes, and the swap stays agreed for ever, with its share of the idle inventory. *Right:* what is kept back is no leg that is locked.
#[test]
fn a_swap_whose_responder_is_back_after_lock_by_ends_by_itself() {
    let mut net = net();
    propose(&mut net);
    talk(&mut net, &[(SOURCE, Responder)]);
    assert_eq!(stage_of(&net, RESPONDER, &ID), Some(SwapStage::Agreed));
    let lock_by = net.node(RESPONDER).shared().router.swap(&ID).unwrap().terms.lock_by;
    net.vanish(INITIATOR);
    net.vanish(RESPONDER);
    // The pledge may still count, since finality lags, as far as is tolerated.
    net.lag[RESPONDER] = 2;
    let left = lock_by + 1 - net.head();
    pass(&mut net, (left, 6_000), &[]);
    net.come_back(RESPONDER);
    pass(&mut net, (200, 6_000), &[]);
    let stage = stage_of(&net, RESPONDER, &ID);
    assert!(matches!(stage, None | Some(SwapStage::Ended { .. })), "{stage:?} at {}", net.head());
}

/// A swap by an initiator that wants a short `lock_by`, and lets its source leg arrive in that very block. The first block in which the responder's round was on its way.
fn until_released() -> (Net, BlockNumber, Option<BlockNumber>) {
    let mut short = desk(false);
    short.swaps.handshake = 6_000;
    let mut net = Net::on_two_chains(vec![short, desk(true)], &ENDS, &ENDS);
    propose(&mut net);
    let late = [(SOURCE, Responder)];
    talk(&mut net, &late);
    let lock_by = net.node(RESPONDER).shared().router.swap(&ID).unwrap().terms.lock_by;
    let left = lock_by - net.head();
    // Within the time for an answer.
    pass(&mut net, (left, 29_000 / u64::from(left)), &late);
    assert_eq!(net.head(), lock_by);
    talk(&mut net, &[(TARGET, Initiator)]);
    let is_said = net.links[TARGET].wire[Initiator].iter().any(|message| matches!(message, Message::Update(_)));
    let at = is_said.then(|| net.head());
    (net, lock_by, at)
}

/// *Sequence:* an initiator proposes a `lock_by` that lies just as far ahead as showing a pledge takes, pledges at once, and lets its source leg arrive in the block `lock_by`. The responder releases its round. *Loss:* the
/// pledge cannot be shown any more: the initiator, which has the responder's signature, decides until the target leg's expiry whether the leg is locked, and stakes nothing unless it is. *Right:* the round is
/// proposed at least `Rg` before the pledge's last block (R6.5d), or not at all.
#[test]
fn a_round_is_not_released_when_its_pledge_cannot_be_shown_any_more() {
    let (_net, lock_by, at) = until_released();
    assert!(at.is_none(), "released at {at:?}, the pledge lasts until {lock_by}");
}

/// The same, to its end: an initiator that never answers, and one that answers so many blocks after `lock_by`.
#[test]
fn an_initiator_has_no_choice_after_lock_by_for_nothing() {
    let signed = |net: &Net| i128::try_from(has(net, TARGET, Responder)).unwrap() - i128::try_from(SHARE).unwrap();
    let (mut net, lock_by, _at) = until_released();
    let silent = [(TARGET, Initiator)];
    let left = net.node(RESPONDER).shared().router.swap(&ID).unwrap().terms.target.expiry - lock_by - 8;
    pass(&mut net, (left, 6_000), &silent);
    assert!(net.head() > lock_by + 2, "the pledge is over");
    let said = net.links[TARGET].wire[Initiator].iter().find_map(|message| match message {
        Message::Update(update) => Some((update.round, update.base, update.state_hash)),
        _ => None,
    });
    if let Some((round, base, state_hash)) = said {
        let link = &mut net.links[TARGET];
        let signature = sign(Initiator, link.channel_id(), &state_body(round, base, state_hash));
        link.hear(Responder, Message::UpdateAck { round, signature });
    }
    let late = signed(&net);
    let (mut net, ..) = until_released();
    net.vanish(INITIATOR);
    pass(&mut net, (150, 6_000), &[]);
    let never = signed(&net);
    assert!(
        never == 20 || late == 0,
        "{left} blocks after lock_by the initiator has the leg locked ({late}), or leaves it for nothing ({never})"
    );
}

/// *Sequence:* the source leg is agreed in a step whose commit, in the source chain's store, is queued; the initiator's pledge comes right behind, in the target chain's channel, whose store is another one. *Loss:* the router has
/// heard of the source leg, and has the round released in the step of the pledge: that is durable first, and leaves. The responder's process ends before the source chain's store has its step, and the initiator
/// never says its source round again. *Right:* the target leg is released only once the source leg is committed (R8.5c, I1): nothing that the target chain's store commits follows from what the source chain's has not.
#[test]
fn a_round_is_released_only_once_the_source_leg_is_in_the_store() {
    let mut net = net();
    propose(&mut net);
    // Both have agreed; the source leg and the pledge are on their way.
    talk(&mut net, &[(SOURCE, Responder), (TARGET, Responder)]);
    let stored: Side = net.links[SOURCE].sides[Responder].clone();
    // The source leg is agreed. What follows from that waits for its commit.
    while net.links[SOURCE].wire[Responder].front().is_some() {
        let _said = net.links[SOURCE].deliver(Responder);
    }
    net.links[SOURCE].wire[Initiator].clear();
    net.node(RESPONDER).shared().outbox.clear();
    // The pledge is heard by the target chain's node, which commits to its own store.
    while net.links[TARGET].wire[Responder].front().is_some() {
        let _said = net.links[TARGET].deliver(Responder);
    }
    let is_said = |net: &Net| net.links[TARGET].wire[Initiator].iter().any(|said| matches!(said, Message::Update(_)));
    if !is_said(&net) {
        return;
    }
    // The initiator answers; the responder's process ends, and the source chain's store is without the step.
    net.links[SOURCE].disconnect();
    net.links[SOURCE].sides[Responder] = stored;
    talk(&mut net, &[(SOURCE, Responder), (SOURCE, Initiator)]);
    let lost = gains(&net)[1];
    assert!(
        lost.0 + lost.1 >= 0 && lost.1 >= 0,
        "released before the source leg was committed; without that step the responder has {lost:?}"
    );
}

/// *Sequence:* an initiator hears the word of agreement, and at once the question for its pledge, by the other chain's node: it pledges, and the target chain's store has that. Its process ends before the source chain's store has the
/// word, which the responder does not say again; it releases its round. *Loss:* the swap's number is not known, so that the initiator gives the leg back that it has staked its premium beside, and the premium is the
/// responder's. *Right:* a leg with a premium that the initiator has staked is claimed, whatever has become of the swap (R8.5c).
#[test]
fn an_initiator_that_has_pledged_and_lost_the_word_claims_what_it_has_staked_for() {
    let mut net = net();
    propose(&mut net);
    // The responder hears the proposal, and agrees; the question is on its way.
    while stage_of(&net, RESPONDER, &ID).is_none() {
        net.step(Ready::Wish(INITIATOR));
    }
    let question = |net: &Net| matches!(net.links[TARGET].wire[Initiator].front(), Some(Message::PledgeCreated(_)));
    let stored = net.node(INITIATOR).shared().rows.clone();
    for _ in 0..10 {
        if stage_of(&net, INITIATOR, &ID) == Some(SwapStage::Proposed) || !question(&net) {
            net.step(Ready::Wish(RESPONDER));
        }
    }
    net.step(Ready::Message(TARGET, Initiator));
    assert!(matches!(net.links[TARGET].wire[Responder].front(), Some(Message::PledgeSigned { .. })), "it pledges");
    net.step(Ready::Message(TARGET, Responder));
    // What the target chain's store has is there; what the source chain's was to have is not.
    let _now = std::mem::replace(&mut net.node(INITIATOR).shared().rows, stored);
    net.vanish(INITIATOR);
    net.come_back(INITIATOR);
    assert_eq!(stage_of(&net, INITIATOR, &ID), Some(SwapStage::Proposed));
    // The responder says nothing of the swap any more, and has its round released.
    let say_nothing = |net: &mut Net| net.node(RESPONDER).shared().outbox.clear();
    say_nothing(&mut net);
    net.links[TARGET].sides[Responder].strict = false;
    let key = IdempotencyKey::from([&[0xf2][..], &ID.0, &0_u32.to_le_bytes()].concat());
    net.links[TARGET].command(Responder, Command::Transfer(TransferCommand::Release { key })).unwrap();
    net.connect(TARGET);
    for _ in 0..60 {
        while let Some(ready) = net.ready().into_iter().find(|ready| *ready != Ready::Wish(RESPONDER)) {
            net.step(ready);
            say_nothing(&mut net);
        }
        say_nothing(&mut net);
        net.tick(6_000);
        say_nothing(&mut net);
        net.mine();
    }
    assert!(
        gains(&net)[0].1 >= 0,
        "the initiator, which was there all the time, has lost its premium: {:?}",
        gains(&net)
    );
}

/// *Sequence:* A swaps with B: the source leg goes by the hub H on the first chain, the target leg is in their channel on the second one. B swaps with H: the source leg goes by A on the second chain, the target leg is in
/// the channel of H and B on the first one. *Loss:* either source leg is behind what is kept back for the other swap. *Right:* as above.
#[test]
fn swaps_in_a_circle_of_three_all_move() {
    const A: usize = 0;
    const B: usize = 1;
    const H: usize = 2;
    let mut stuck = Vec::new();
    for seed in 0..100_u64 {
        let first = [(A, H), (H, B)];
        let second = [(A, B), (A, H)];
        let mut open = quoting_both_ways();
        (open.swaps.takes_strangers, open.is_hub) = (true, true);
        let mut net = Net::on_two_chains(vec![open; 3], &first, &second);
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let ways = [(A, B, chain(), OTHER_CHAIN), (B, H, OTHER_CHAIN, chain())];
        let later = dice.roll(8);
        let mut ids = Vec::new();
        let mut steps = 0;
        loop {
            if ids.is_empty() || (ids.len() == 1 && (steps >= later || net.ready().is_empty())) {
                let (from, to, source, target) = ways[ids.len()];
                let id = SwapId([u8::try_from(ids.len()).unwrap() + 1; 32]);
                let order = SwapOrder {
                    responder: identity(to),
                    source: (source, PAID),
                    target: (target, GOT),
                    premium: PREMIUM,
                };
                let _stage = net.node(from).act(|router| router.propose_swap(id, order, &id.0)).unwrap();
                ids.push((from, id));
            }
            let ready = net.ready();
            if ready.is_empty() {
                break;
            }
            net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
            steps += 1;
        }
        let has_moved = |(from, id): &(usize, SwapId)| match stage_of(&net, *from, id) {
            Some(SwapStage::Ended { outcome, .. }) => outcome.source_moved && outcome.target_moved,
            _ => false,
        };
        if !ids.iter().all(has_moved) {
            stuck.push((seed, ids.iter().map(|(from, id)| stage_of(&net, *from, id)).collect::<Vec<_>>()));
        }
    }
    assert!(stuck.is_empty(), "{} of 100 seeds stand still: {stuck:?}", stuck.len());
}

/// *Sequence:* a responder that has two channels with the initiator asks for its pledge in both; both questions are there when the initiator's task looks, and it takes both steps before its router hears of either, as a task
/// does with what has gathered. *Loss:* it pledges twice, and may have to claim, or to lose, two legs of one swap. *Right:* a premium is staked once (R8.5c): the router has promised it to one offer when it says that it stakes.
#[test]
fn an_initiator_pledges_once_where_two_questions_are_looked_at_together() {
    let mut net = Net::on_two_chains(vec![desk(false), desk(true)], &ENDS, &[ENDS[0]; 2]);
    propose(&mut net);
    talk(&mut net, &[(SOURCE, Responder), (TARGET, Initiator), (TARGET + 1, Initiator)]);
    let body = |net: &Net, link: usize| match net.links[link].wire[Initiator].front() {
        Some(Message::PledgeCreated(body)) => Some(body.clone()),
        _ => None,
    };
    let asked = if body(&net, TARGET).is_some() { TARGET } else { TARGET + 1 };
    let other = 2 * TARGET + 1 - asked;
    let body = body(&net, asked).expect("it asks early");
    net.links[other].sides[Responder].is_cheat = true;
    net.links[other].sides[Responder].strict = false;
    net.links[other].routes[Responder] = None;
    ask(&mut net.links[other], Responder, 9, body.offer, body.valid_until);
    for link in [asked, other] {
        // Its router hears of the steps behind both of them.
        net.links[link].routes[Initiator] = None;
        let _said = net.links[link].deliver(Initiator);
    }
    let is_pledge = |said: &Message| matches!(said, Message::PledgeSigned { .. });
    let pledges = [asked, other].map(|link| net.links[link].wire[Responder].iter().any(is_pledge));
    assert_ne!(pledges, [true, true], "it pledges for both");
}

/// A swap of A with B, one of A with R whose premium goes by B in the same channel, and one of B with A, in any order and with crashes and lost connections: each moves on both chains or on none, and all of them move where
/// nothing goes wrong.
#[test]
fn swaps_beside_one_whose_premium_the_responder_carries_end_well() {
    const A: usize = 0;
    const B: usize = 1;
    const R: usize = 2;
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(100_u64);
    for seed in 0..seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut net = Net::on_two_chains(vec![policy(true, true); 3], &[(A, B), (A, R)], &[(A, B), (B, R)]);
        let before = totals(&net);
        let ways = [(A, B), (A, R), (B, A)];
        let mut ids: Vec<(usize, usize, SwapId)> = Vec::new();
        let (mut faults, has_faults) = (0, dice.roll(2) == 0);
        if has_faults {
            faults = dice.roll(4);
        }
        let mut steps = 0;
        loop {
            steps += 1;
            if ids.len() < ways.len() && (dice.roll(6) == 0 || net.ready().is_empty()) {
                let (from, to) = ways[ids.len()];
                let id = SwapId([u8::try_from(ids.len()).unwrap() + 1; 32]);
                let order = SwapOrder {
                    responder: identity(to),
                    source: (chain(), 25),
                    target: (OTHER_CHAIN, 50),
                    premium: 10,
                };
                let _stage = net.node(from).act(|router| router.propose_swap(id, order, &id.0));
                ids.push((from, to, id));
            }
            if faults > 0 && dice.roll(15) == 0 {
                faults -= 1;
                match dice.roll(5) {
                    0 | 1 => net.crash(usize::try_from(dice.roll(3)).unwrap()),
                    2 | 3 => net.cut(usize::try_from(dice.roll(4)).unwrap()),
                    _ => pass(&mut net, (u32::try_from(dice.roll(10)).unwrap(), 6_000), &[]),
                }
                (0..net.links.len()).for_each(|link| net.connect(link));
            }
            let ready = net.ready();
            if ready.is_empty() && ids.len() == ways.len() || steps > 2_000 {
                break;
            }
            if !ready.is_empty() {
                net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
            }
        }
        if has_faults {
            net.run();
            net.settle();
            net.settle();
        }
        assert_eq!(totals(&net), before, "seed {seed}: money");
        for (from, to, id) in &ids {
            let [own, others] = [*from, *to].map(|node| stage_of(&net, node, id));
            let moved = |stage| match stage {
                Some(SwapStage::Ended { outcome, .. }) => Some((outcome.source_moved, outcome.target_moved)),
                None if has_faults => Some((false, false)),
                _ => None,
            };
            let (own_moved, others_moved) = (moved(own), moved(others));
            assert_eq!(own_moved, others_moved, "seed {seed}, {id:?}: {own:?}, {others:?}");
            if has_faults {
                assert!(
                    [Some((true, true)), Some((false, false))].contains(&own_moved),
                    "seed {seed}, {id:?}: {own:?}"
                );
            } else {
                assert_eq!(own_moved, Some((true, true)), "seed {seed}, {id:?}: {own:?}, {others:?}");
            }
        }
    }
}

/// The initiator closes on the state before what it has pledged for, after so many blocks; its source leg comes after so many. It answers nothing in the target chain's channel from then on, or goes on as it is told to. What the
/// responder has gained on either chain.
fn closed_while_kept_back(
    (closes, comes): (BlockNumber, BlockNumber),
    lag: BlockNumber,
    is_silent: bool,
) -> (i128, i128) {
    let mut net = net();
    let old = net.links[TARGET].sides[Initiator].machine().evidence().unwrap();
    let before = [SOURCE, TARGET].map(|link| worth(&net.links[link], Responder));
    net.lag[RESPONDER] = lag;
    net.mine();
    propose(&mut net);
    let mut deaf = vec![(SOURCE, Responder)];
    talk(&mut net, &deaf);
    net.links[TARGET].sides[Initiator].is_cheat = true;
    net.links[TARGET].sides[Initiator].strict = false;
    if is_silent {
        deaf.push((TARGET, Initiator));
    }
    for block in 0..60 {
        if block == closes {
            net.links[TARGET].chain.submit(Initiator, Call::ChannelCloseSolo(old));
        }
        if block == comes {
            deaf.retain(|silent| *silent != (SOURCE, Responder));
            talk(&mut net, &deaf);
        }
        pass(&mut net, (1, 3_000), &deaf);
    }
    net.lag[RESPONDER] = 0;
    pass(&mut net, (150, 6_000), &deaf);
    let after = [SOURCE, TARGET].map(|link| worth(&net.links[link], Responder));
    let gained = |link: usize| i128::try_from(after[link]).unwrap() - i128::try_from(before[link]).unwrap();
    (gained(SOURCE), gained(TARGET))
}

#[test]
fn an_initiator_that_closes_on_an_old_state_while_a_round_is_kept_back_gains_nothing() {
    let mut lost = Vec::new();
    for (closes, comes) in (0..7).flat_map(|closes| (0..9).map(move |comes| (closes, comes))) {
        for (lag, is_silent) in [(0, false), (0, true), (2, false), (2, true)] {
            let (source, target) = closed_while_kept_back((closes, comes), lag, is_silent);
            if source < 0 || (source == 0 && target < 0) || target < -100 {
                lost.push((closes, comes, lag, is_silent, source, target));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

/// Swaps both ways with whatever goes wrong at random, but nobody is away: each moves on both chains or on none.
#[test]
fn stories_of_swaps_both_ways_end_well() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(100_u64);
    for seed in 0..seeds {
        story(seed);
    }
}

fn story(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let channels = if dice.roll(2) == 0 { vec![ENDS[0]] } else { vec![ENDS[0]; 2] };
    let mut net = Net::on_two_chains(vec![quoting_both_ways(); 2], &channels, &channels);
    let all = [(chain(), OTHER_CHAIN), (OTHER_CHAIN, chain())];
    let ways: Vec<Way> = (0..1 + dice.roll(4))
        .map(|_| {
            let (source, target) = all[usize::try_from(dice.roll(2)).unwrap()];
            (usize::try_from(dice.roll(2)).unwrap(), source, target)
        })
        .collect();
    let before: Vec<Amount> = totals(&net);
    let ids = propose_all(&mut net, &ways);
    let (mut faults, mut steps) = (dice.roll(5), 0);
    while steps < 600 {
        steps += 1;
        let ready = net.ready();
        if faults > 0 && dice.roll(12) == 0 {
            faults -= 1;
            match dice.roll(6) {
                0 | 1 => net.crash(usize::try_from(dice.roll(2)).unwrap()),
                2 | 3 => net.cut(usize::try_from(dice.roll(channels.len() as u64 * 2)).unwrap()),
                4 => net.tick(31_000),
                _ => pass(&mut net, (u32::try_from(dice.roll(12)).unwrap(), 6_000), &[]),
            }
            (0..net.links.len()).for_each(|link| net.connect(link));
            continue;
        }
        if ready.is_empty() {
            break;
        }
        net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
    }
    net.run();
    net.settle();
    net.settle();
    assert_eq!(totals(&net), before, "seed {seed}: money");
    let mut expected = [0_i128; 2];
    for ((from, id), (_, source, _)) in ids.iter().zip(&ways) {
        let [own, others] = [*from, 1 - *from].map(|node| stage_of(&net, node, id));
        let Some(SwapStage::Ended { outcome, .. }) = own else { panic!("seed {seed}, {id:?}: {own:?}, {others:?}") };
        match others {
            None => assert!(!outcome.source_moved && !outcome.target_moved, "seed {seed}, {id:?}"),
            Some(SwapStage::Ended { outcome: theirs, .. }) => assert_eq!(
                (outcome.source_moved, outcome.target_moved),
                (theirs.source_moved, theirs.target_moved),
                "seed {seed}, {id:?}"
            ),
            Some(other) => panic!("seed {seed}, {id:?}: the responder is at {other:?}"),
        }
        assert_eq!(outcome.source_moved, outcome.target_moved, "seed {seed}, {id:?}: {outcome:?}");
        if outcome.source_moved {
            let sign = if *from == INITIATOR { 1 } else { -1 };
            let of = |domain: &Domain| usize::from(*domain != chain());
            expected[of(source)] -= sign * 50;
            expected[1 - of(source)] += sign * 100;
        }
    }
    let gained = [0, channels.len()].map(|first| {
        let sum: Amount = (first..first + channels.len()).map(|link| has(&net, link, Initiator)).sum();
        i128::try_from(sum).unwrap() - i128::try_from(SHARE).unwrap() * channels.len() as i128
    });
    assert_eq!(gained, expected, "seed {seed}: {ways:?}");
    for node in [INITIATOR, RESPONDER] {
        assert_eq!(net.node(node).shared().router.open(), (0, 0), "seed {seed}");
    }
}

fn totals(net: &Net) -> Vec<Amount> {
    (0..net.links.len()).map(|link| has(net, link, Initiator) + has(net, link, Responder)).collect()
}
