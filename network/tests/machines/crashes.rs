//! Three real machines with routers: a crash at each commit of each, with the link cut there, while rounds cross and either of the two wins (case T3d).

use super::{net::Net, oracle::Asked};
use network::{FailureCode, PaymentState};
use protocol::{Party, contracts::conditional::Preimage};

const PAYER: usize = 0;
const HUB: usize = 1;
const PAYEE: usize = 2;

/// Where a machine crashes: the side of a channel, at which of its commits from now on, and after how many effects of that commit.
#[derive(Clone, Copy, Debug)]
struct CrashAt {
    link: usize,
    party: Party,
    commit: usize,
    effects: usize,
}

/// Payments in both directions at once, so that rounds cross in both channels. `last` proposed the last round before: its peer's next one is the higher.
fn scene(last: Party) -> (Net, Vec<Asked>) {
    let mut net = Net::new(3, &[(PAYER, HUB), (HUB, PAYEE)]);
    for link in &mut net.links {
        let _id = link.pay(last, 1).unwrap();
    }
    net.run();
    let asked = [(PAYER, PAYEE, 1, 200), (PAYEE, PAYER, 2, 150), (PAYER, PAYEE, 3, 100)];
    (net, asked.map(|(payer, payee, id, amount)| Asked { payer, payee, id, amount }).to_vec())
}

/// Tells the story, with a crash in it or none. How many effects the commit of the crash had; none where it did not come to it.
fn story(last: Party, crash: Option<CrashAt>, order: usize) -> (Net, Option<usize>) {
    let (mut net, asked) = scene(last);
    let invoices: Vec<_> = asked.iter().map(|one| net.invoice(one.payee, one.id, one.amount, &[HUB])).collect();
    if let Some(CrashAt { link, party, commit, effects }) = crash {
        net.links[link].plan_crash(party, commit, effects, false);
    }
    for round in 0..40 {
        for (one, invoice) in asked.iter().zip(&invoices) {
            if net.payment(one.payer, one.id).is_none() {
                // Where a crash took the word of the hub's terms, it comes again with the hub's link.
                let _state = net.pay(one.payer, one.id, invoice);
            }
        }
        for _ in 0..12 {
            let ready = net.ready();
            let Some(next) = ready.get((round * 7 + order) % ready.len().max(1)).copied() else { break };
            net.step(next);
        }
        if round % 4 == 3 {
            net.run();
            net.tick(2_000);
        }
        if round % 8 == 7 {
            net.mine();
        }
    }
    let crashed = crash.and_then(|crash| net.links[crash.link].crashed_with);
    net.settle();
    let made = net.assert_ended_well(&asked);
    assert!(net.gain(HUB) >= 0);
    // What nobody has signed comes to nothing where the link is cut (R8.3d); what was signed is made.
    let codes = payments(&net, &asked);
    let is_cut = |state: &Option<PaymentState>| matches!(state, Some(PaymentState::Failed(FailureCode::PeerAway)));
    let cut = codes.iter().filter(|state| is_cut(state)).count();
    let most = if crash.is_some() { 2 } else { 0 };
    assert!(made + cut == asked.len() && cut <= most, "{crash:?} of {last:?}, order {order}: {codes:?}");
    (net, crashed)
}

fn payments(net: &Net, asked: &[Asked]) -> Vec<Option<PaymentState>> {
    asked.iter().map(|one| net.payment(one.payer, one.id)).collect()
}

#[test]
fn payments_that_cross_at_a_hub_with_real_machines_are_all_made_and_the_hub_has_its_fees() {
    for last in Party::BOTH {
        for order in 0..5 {
            let (net, _) = story(last, None, order);
            assert_eq!(net.payment(PAYER, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
            assert_eq!(net.gain(HUB), 2 + 2 + 2, "the base and a part of a coin, rounded up, of each");
            assert_eq!(net.links.iter().map(|link| link.chain.preimages.len()).sum::<usize>(), 0, "nothing on chain");
        }
    }
}

#[test]
fn a_crash_at_any_commit_of_any_of_three_machines_with_its_link_cut_loses_nothing_whoever_wins_the_crossing_rounds() {
    let mut crashes = 0;
    for last in Party::BOTH {
        for (link, party) in
            [(0, Party::Initiator), (0, Party::Responder), (1, Party::Initiator), (1, Party::Responder)]
        {
            for commit in 0.. {
                let order = commit % 5;
                let at = |effects| Some(CrashAt { link, party, commit, effects });
                let (_, Some(with)) = story(last, at(0), order) else { break };
                crashes += 1;
                if with > 0 {
                    let _whole = story(last, at(with), order);
                    let _part = (with > 1).then(|| story(last, at(with / 2), order));
                    crashes += 1;
                }
            }
        }
    }
    assert!(crashes > 60, "{crashes}");
}
