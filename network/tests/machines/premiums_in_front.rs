//! Attacks on a hub that carries a premium on (R8.5h), by an initiator and a responder that are one: when it shows what it holds while finality lags.

use super::{
    link::{Initiator, Responder},
    net::{Net, identity},
    premiums_attack::{ask, carried, corrupt, hear, policy, talk, worth},
};
use channel::transfer::Margins;
use network::{ChainPolicy, RoutingPolicy};
use protocol::{BlockNumber, call::Call};

const HUB: usize = 1;
const TO_I: usize = 0;
const TO_R: usize = 1;

/// What showing a pledge takes, and the lag that the hub tolerates.
const RG: BlockNumber = 4;
const MAX_LAG: BlockNumber = 4;

fn lagging() -> RoutingPolicy {
    let mut policy = policy();
    policy.chain = ChainPolicy { margins: Margins { register: RG, answer: 2 }, max_lag: MAX_LAG, ..policy.chain };
    policy
}

/// The hub has pledged to the responder, has agreed to its round, and has said its own round to the initiator, which hears nothing. The initiator closes on the state
/// before in the block in which the hub's snapshot is, in front of it. What the hub has gained in the end.
fn closed_in_front(lag: BlockNumber) -> i128 {
    let mut net = Net::with(lagging(), 3, &[(0, HUB), (HUB, 2)]);
    corrupt(&mut net.links[TO_I], Initiator);
    corrupt(&mut net.links[TO_R], Responder);
    net.lag[HUB] = lag;
    let before = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    net.mine();
    let head = net.head();
    let (expiry, until) = (head + 40, head + 18);
    let offer = carried(1, identity(0), expiry, until, Vec::new());
    ask(&mut net.links[TO_R], Responder, 1, offer, until - RG - MAX_LAG);
    for (link, party) in [(TO_R, Initiator), (TO_I, Initiator), (TO_I, Responder)] {
        hear(&mut net, link, party);
    }
    let silent = [(TO_I, Initiator)];
    talk(&mut net, &silent);
    let has_staked = net.links[TO_R].sides[Responder].machine().outgoing_transfers().values().count();
    assert_eq!(has_staked, 1, "the responder's leg is agreed");
    let old = net.links[TO_I].sides[Initiator].machine().evidence().unwrap();
    while net.head() + RG < until - 1 {
        net.mine();
        talk(&mut net, &silent);
    }
    // The hub shows the pledge as soon as it has seen the next block, and not sooner.
    for call in ["channel_snapshot_solo", "channel_slash"] {
        let _new = net.links[TO_I].chain.censored.insert(call);
    }
    net.mine();
    net.links[TO_I].chain.censored.clear();
    net.links[TO_I].chain.submit(Initiator, Call::ChannelCloseSolo(old));
    for _ in 0..120 {
        net.tick(1_000);
        talk(&mut net, &silent);
        net.mine();
        talk(&mut net, &silent);
    }
    let after = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    i128::try_from(after).unwrap() - i128::try_from(before).unwrap()
}

/// *Sequence:* a responder has the hub's pledge, and its round is agreed; the initiator has pledged to the hub, and does not answer the hub's round. Finality lags by one block less than showing
/// a pledge takes at most (`Rg`), which the hub tolerates. When the hub shows the initiator's pledge, by a snapshot alone, the initiator closes on the state before in the same block,
/// in front of it. *Loss:* the hub sees the close when no block is left for its slash; the initiator has staked nothing, and the hub's own premium goes to the
/// responder when its leg expires. *Right:* whatever either end does, the hub has both premiums staked, or none.
#[test]
fn a_hub_does_not_lose_its_premium_to_a_close_in_front_of_its_snapshot() {
    let lost: Vec<_> = (0..=MAX_LAG).map(|lag| (lag, closed_in_front(lag))).filter(|(_, gain)| *gain < 0).collect();
    assert!(lost.is_empty(), "with such a lag the hub has gained: {lost:?}");
}
