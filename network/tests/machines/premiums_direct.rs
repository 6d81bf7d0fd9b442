//! A premium where the two have a channel with each other on either chain (R8.5c), between real machines: it takes as many flights as a swap without one, and whatever goes wrong at whichever step,
//! both legs move or neither does.

use super::{
    link::{Initiator, Responder},
    net::{Net, OTHER_CHAIN, SHARE, identity},
    premiums::{Fault, GOT, ID, INITIATOR, PAID, PREMIUM, chain, desk, happen, has},
    premiums_attack::Dice,
};
use channel::{Message, RefusalCode};
use network::{RouterOutput, SwapId, SwapOrder, SwapQuote, SwapStage};
use protocol::{Amount, Party};

const RESPONDER: usize = 1;
const SOURCE: usize = 0;
const TARGET: usize = 1;

/// Two nodes with a channel on either chain. The responder asks for a premium where one is to be paid.
fn net(premium: Amount) -> Net {
    let (ends, mut responds) = ([(INITIATOR, RESPONDER)], desk(true));
    if premium == 0 {
        responds.swaps.quotes.iter_mut().for_each(|quote| quote.premium = 0);
    }
    Net::on_two_chains(vec![desk(false), responds], &ends, &ends)
}

fn propose(net: &mut Net, premium: Amount) {
    let order =
        SwapOrder { responder: identity(RESPONDER), source: (chain(), PAID), target: (OTHER_CHAIN, GOT), premium };
    let _stage = net.node(INITIATOR).act(|router| router.propose_swap(ID, order, &ID.0)).unwrap();
}

fn stage(net: &Net, node: usize) -> Option<SwapStage> {
    net.node(node).shared().router.swap(&ID).map(|swap| swap.stage)
}

/// What both have gained, on the source chain and on the target chain.
fn gains(net: &Net) -> [(i128, i128); 2] {
    let signed = |amount: Amount| i128::try_from(amount).unwrap() - i128::try_from(SHARE).unwrap();
    [Initiator, Responder].map(|party| (signed(has(net, SOURCE, party)), signed(has(net, TARGET, party))))
}

const MOVED: [(i128, i128); 2] = [(-50, 100), (50, -100)];
const NONE: [(i128, i128); 2] = [(0, 0), (0, 0)];
const FORFEITED: [(i128, i128); 2] = [(0, -20), (0, 20)];

/// What a process does by itself is done, up to what it says to another one.
fn work(net: &mut Net, node: usize) {
    loop {
        let is_own = matches!(net.node(node).shared().outbox.front(), Some(RouterOutput::Command { .. }));
        if !is_own {
            return;
        }
        net.carry_out(node);
    }
}

/// All that is on its way arrives: words between nodes before the messages of channels, or after them. False where nothing is.
fn flight(net: &mut Net, are_words_first: bool) -> bool {
    (0..net.count()).for_each(|node| work(net, node));
    let words: Vec<usize> =
        (0..net.count()).flat_map(|node| vec![node; net.node(node).shared().outbox.len()]).collect();
    let said = |net: &Net, link: usize, party| net.links[link].wire[party].len();
    let waiting: Vec<(usize, Party, usize)> = (0..net.links.len())
        .flat_map(|link| Party::BOTH.map(|party| (link, party)))
        .map(|(link, party)| (link, party, said(net, link, party)))
        .collect();
    let is_any = !words.is_empty() || waiting.iter().any(|(.., count)| *count > 0);
    if are_words_first {
        words.iter().for_each(|node| net.carry_out(*node));
    }
    for (link, party, count) in waiting {
        for _ in 0..count {
            let _is_there = net.links[link].deliver(party);
        }
    }
    if !are_words_first {
        words.iter().for_each(|node| net.carry_out(*node));
    }
    is_any
}

/// How many flights it takes until both have all they are to have.
fn flights(premium: Amount, are_words_first: bool) -> usize {
    let mut net = net(premium);
    propose(&mut net, premium);
    for count in 0..20 {
        if gains(&net) == MOVED {
            return count;
        }
        assert!(
            flight(&mut net, are_words_first),
            "it stands still after {count} flights: {:?}",
            stage(&net, RESPONDER)
        );
    }
    panic!("it takes too long: {:?}", stage(&net, RESPONDER))
}

#[test]
fn a_swap_with_a_premium_takes_no_more_flights_than_one_without() {
    for are_words_first in [true, false] {
        assert_eq!((flights(0, are_words_first), flights(PREMIUM, are_words_first)), (7, 7), "{are_words_first}");
    }
}

/// Both legs have moved, or neither; who has not claimed what was locked has lost its premium to the responder.
fn assert_fair(net: &Net, is_late: bool, context: &str) {
    let gains = gains(net);
    let is_open = (0..net.count()).any(|node| net.node(node).shared().router.open() != (0, 0));
    assert!(!is_open, "{context}: something is still open");
    if is_late {
        // An initiator that is away from showing the pre-image to the expiry of its leg has nobody else to blame, and nobody else loses.
        assert!(gains[1].1 >= 0 || gains[1].0 > 0, "{context}: {gains:?}");
    } else {
        assert!([MOVED, NONE, FORFEITED].contains(&gains), "{context}: {gains:?}");
    }
    for node in [INITIATOR, RESPONDER] {
        let stage = stage(net, node);
        assert!(matches!(stage, None | Some(SwapStage::Ended { .. })), "{context}: {node} at {stage:?}");
    }
    for link in &net.links {
        for party in Party::BOTH {
            assert!(!link.sides[party].machine().status().stale_store, "{context}");
        }
    }
}

/// A swap in which something goes wrong after so many steps, in the order in which they come or in the opposite one. Whether both legs have moved; none where the swap was over before.
fn story(after: usize, is_backwards: bool, fault: Fault) -> Option<bool> {
    let mut net = net(PREMIUM);
    propose(&mut net, PREMIUM);
    for _ in 0..after {
        let ready = net.ready();
        let next = if is_backwards { ready.last() } else { ready.first() };
        let next = *next?;
        net.step(next);
    }
    happen(&mut net, fault);
    net.run();
    net.settle();
    let is_late = matches!(fault, Fault::Away(INITIATOR, 30..));
    assert_fair(&net, is_late, &format!("{fault:?} after {after}, backwards: {is_backwards}"));
    Some(gains(&net) == MOVED)
}

/// In how many of the stories, one for each step and each order, both legs move.
fn stories(fault: Fault) -> (usize, usize) {
    let all = [false, true].map(|is_backwards| (0..200).map_while(move |after| story(after, is_backwards, fault)));
    let (mut moved, mut count) = (0, 0);
    for has_moved in all.into_iter().flatten() {
        moved += usize::from(has_moved);
        count += 1;
    }
    assert!(count > 40, "{count} steps");
    (moved, count)
}

#[test]
fn a_crash_at_any_step_of_a_swap_with_a_premium_costs_nobody_anything() {
    for node in [INITIATOR, RESPONDER] {
        let (moved, count) = stories(Fault::Crash(node));
        assert!(moved * 3 > count * 2, "{moved} of {count} moved where {node} crashed and was back at once");
    }
}

#[test]
fn whoever_is_away_for_a_while_costs_the_other_one_nothing() {
    for node in [INITIATOR, RESPONDER] {
        for blocks in [2, 8, 30] {
            let _counts = stories(Fault::Away(node, blocks));
        }
    }
}

#[test]
fn a_connection_that_is_lost_on_either_chain_costs_nobody_anything() {
    for link in [SOURCE, TARGET] {
        for blocks in [1, 10, 40] {
            let _counts = stories(Fault::Cut(link, blocks));
        }
    }
}

#[test]
fn words_that_are_kept_back_on_either_chain_cost_nobody_anything() {
    for link in [SOURCE, TARGET] {
        for party in Party::BOTH {
            for blocks in [4, 12, 40] {
                let _counts = stories(Fault::Deaf(link, party, blocks));
            }
        }
    }
}

#[test]
fn finality_that_lags_as_far_as_is_tolerated_lets_every_swap_with_a_premium_move() {
    for node in [INITIATOR, RESPONDER] {
        let (moved, count) = stories(Fault::Lag(node, 30));
        assert_eq!(moved, count);
    }
}

/// Both ask for premiums.
fn net_both_ways() -> Net {
    let ends = [(INITIATOR, RESPONDER)];
    let both = [(chain(), OTHER_CHAIN), (OTHER_CHAIN, chain())].map(|(source, target)| SwapQuote {
        source,
        target,
        ..desk(true).swaps.quotes[0]
    });
    let mut quotes = desk(true);
    quotes.swaps.quotes = both.to_vec();
    Net::on_two_chains(vec![quotes.clone(), quotes], &ends, &ends)
}

/// Of swaps both ways at once, by other chains and by the same ones, none waits for the other one: the source leg of either is not behind what is kept back for the other.
#[test]
fn swaps_both_ways_at_once_all_move() {
    for seed in 0..60_u64 {
        let mut net = net_both_ways();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let ways =
            [(INITIATOR, chain(), OTHER_CHAIN), (RESPONDER, OTHER_CHAIN, chain()), (RESPONDER, chain(), OTHER_CHAIN)];
        let ids = ways.iter().zip(1_u8..).map(|((from, source, target), number)| {
            let id = SwapId([number; 32]);
            let responder = identity(1 - from);
            let order = SwapOrder { responder, source: (*source, PAID), target: (*target, GOT), premium: PREMIUM };
            let _stage = net.node(*from).act(|router| router.propose_swap(id, order, &id.0)).unwrap();
            (*from, id)
        });
        let ids: Vec<(usize, SwapId)> = ids.collect();
        let mut steps = 0;
        while !net.ready().is_empty() {
            let ready = net.ready();
            net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
            steps += 1;
            assert!(steps < 2_000, "seed {seed}: it never ends");
        }
        for (from, id) in ids {
            let stage = net.node(from).shared().router.swap(&id).map(|swap| swap.stage);
            let Some(SwapStage::Ended { outcome, .. }) = stage else { panic!("seed {seed}, {id:?}: {stage:?}") };
            assert!(outcome.source_moved && outcome.target_moved, "seed {seed}: {id:?} comes to nothing");
        }
    }
}

/// Many swaps with premiums are negotiated in one message; one of them is asked for early, and holds none of the others up.
#[test]
fn many_swaps_with_premiums_at_once_all_move_with_no_block_in_between() {
    let mut net = net(PREMIUM);
    let ids: Vec<SwapId> = (1..=3).map(|number| SwapId([number; 32])).collect();
    for id in &ids {
        let order =
            SwapOrder { responder: identity(RESPONDER), source: (chain(), 5), target: (OTHER_CHAIN, 10), premium: 2 };
        let _stage = net.node(INITIATOR).act(|router| router.propose_swap(*id, order, &id.0)).unwrap();
    }
    net.run();
    for id in ids {
        let stage = net.node(INITIATOR).shared().router.swap(&id).map(|swap| swap.stage);
        let Some(SwapStage::Ended { outcome, .. }) = stage else { panic!("{id:?}: {stage:?}") };
        assert!(outcome.source_moved && outcome.target_moved, "{id:?} comes to nothing");
    }
}

/// A question that comes with the word of agreement and is refused, before the source leg is here or after, is asked again with the source leg: nothing depends on it.
#[test]
fn a_question_that_is_refused_early_is_asked_again_once_the_source_leg_is_there() {
    for is_here in [false, true] {
        let mut net = net(PREMIUM);
        propose(&mut net, PREMIUM);
        let asks = |net: &Net| match net.links[TARGET].wire[Initiator].front() {
            Some(Message::PledgeCreated(body)) => Some(body.round),
            _ => None,
        };
        let round = loop {
            if let Some(round) = asks(&net) {
                break round;
            }
            let next = net.ready()[0];
            net.step(next);
        };
        let _asked = net.links[TARGET].wire[Initiator].pop_front();
        if is_here {
            net.run();
        }
        net.links[TARGET].hear(Responder, Message::PledgeError { round, code: RefusalCode::POLICY });
        net.run();
        // Its source leg is in the store by then.
        net.tick(1_000);
        net.run();
        assert_eq!(gains(&net), MOVED, "source leg there: {is_here}; {:?}", stage(&net, RESPONDER));
    }
}
