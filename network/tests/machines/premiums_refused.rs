//! What a hub that is asked for a pledge waits for, and what it lets go of where it does not pledge (R8.5h).

use super::{
    link::{Initiator, Responder},
    net::{Net, identity},
    premiums_attack::{DELTA, ask, carried, corrupt, hear, policy},
};
use channel::Message;
use protocol::BlockNumber;

const HUB: usize = 1;
const TO_I: usize = 0;
const TO_R: usize = 1;
const TO_OTHER: usize = 2;

/// An initiator, the hub, a responder, and another initiator; all but the hub do what they like.
fn around_a_hub() -> Net {
    let mut net = Net::with(policy(), 4, &[(0, HUB), (HUB, 2), (3, HUB)]);
    for (link, party) in [(TO_I, Initiator), (TO_R, Responder), (TO_OTHER, Initiator)] {
        corrupt(&mut net.links[link], party);
    }
    net
}

fn is_asked(net: &Net, link: usize) -> bool {
    net.links[link].wire[Initiator].iter().any(|message| matches!(message, Message::PledgeCreated(_)))
}

/// *Sequence:* the initiator has pledged to the hub; before the hub hears of that, its finality lags by more than it tolerates, or the responder's connection is lost. It does not pledge to the
/// responder. *Loss:* it keeps its own offer, so that it carries nothing on for the responder, and signs nothing else in its channel with the initiator, until the
/// initiator's pledge is over. *Right:* it takes its own offer back at once.
#[test]
fn a_hub_that_does_not_pledge_once_the_next_one_has_is_bound_in_neither_channel() {
    for is_cut in [false, true] {
        let mut net = around_a_hub();
        let (expiry, until): (BlockNumber, BlockNumber) = (net.head() + 60, net.head() + 18);
        ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, until, Vec::new()), until - DELTA);
        hear(&mut net, TO_R, Initiator);
        hear(&mut net, TO_I, Initiator);
        if is_cut {
            net.cut(TO_R);
        } else {
            net.lag[HUB] = 4;
            (0..4).for_each(|_| net.mine());
        }
        hear(&mut net, TO_I, Responder);
        assert_eq!(net.links[TO_I].sides[Responder].machine().outgoing_transfers().len(), 0, "{is_cut}: taken back");
        if is_cut {
            net.connect(TO_R);
            (0..4).for_each(|_| {
                while let Some(party) =
                    [Initiator, Responder].into_iter().find(|it| !net.links[TO_R].wire[*it].is_empty())
                {
                    hear(&mut net, TO_R, party);
                }
            });
        } else {
            hear(&mut net, TO_R, Responder);
            net.lag[HUB] = 0;
            net.mine();
        }
        let until = net.head() + 18;
        ask(&mut net.links[TO_R], Responder, 2, carried(2, identity(3), expiry, until, Vec::new()), until - DELTA);
        hear(&mut net, TO_R, Initiator);
        assert!(is_asked(&net, TO_OTHER), "{is_cut}: another one is asked");
    }
}

/// *Sequence:* an initiator of one swap is the responder of another one, for which it has asked the hub, whose next one does not answer. Meanwhile the hub is to ask that
/// initiator. *Loss:* it may not before it has answered it, and has no patience left then: whoever does not answer for one swap keeps another one from going through.
/// *Right:* a question that has to wait for another one has its time from when it is said.
#[test]
fn a_question_that_waits_for_another_one_has_its_time_from_when_it_is_said() {
    let mut net = around_a_hub();
    let (expiry, until): (BlockNumber, BlockNumber) = (net.head() + 60, net.head() + 18);
    ask(&mut net.links[TO_I], Initiator, 1, carried(1, identity(3), expiry, until, Vec::new()), until - DELTA);
    hear(&mut net, TO_I, Responder);
    assert!(is_asked(&net, TO_OTHER), "which does not answer");
    net.tick(29_000);
    ask(&mut net.links[TO_R], Responder, 2, carried(2, identity(0), expiry, until, Vec::new()), until - DELTA);
    hear(&mut net, TO_R, Initiator);
    assert!(!is_asked(&net, TO_I), "its own question goes first");
    net.tick(2_000);
    net.carry_out_all();
    assert!(is_asked(&net, TO_I), "it was refused");
    net.tick(29_000);
    net.carry_out_all();
    while !net.links[TO_I].wire[Initiator].is_empty() {
        hear(&mut net, TO_I, Initiator);
    }
    hear(&mut net, TO_I, Responder);
    let answer = net.links[TO_R].wire[Responder].back();
    assert!(matches!(answer, Some(Message::PledgeSigned { .. })), "{answer:?}");
}
