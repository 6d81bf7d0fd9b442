//! How long an initiator's channel does nothing for a question that came before its word.

use super::{
    link::{Initiator, Responder},
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
    premiums::{GOT, INITIATOR, PAID, PREMIUM, chain, desk, has},
};
use channel::{ChannelRef, Message};
use network::{At, Restored, RestoredChannel, RouterInput, SwapId, SwapOrder, SwapStage};

const RESPONDER: usize = 1;
const TARGET: usize = 1;
const ENDS: [(usize, usize); 1] = [(INITIATOR, RESPONDER)];

fn propose(net: &mut Net, number: u8) -> SwapId {
    let id = SwapId([number; 32]);
    let order = SwapOrder {
        responder: identity(RESPONDER),
        source: (chain(), PAID),
        target: (OTHER_CHAIN, GOT),
        premium: PREMIUM,
    };
    let _stage = net.node(INITIATOR).act(|router| router.propose_swap(id, order, &id.0)).unwrap();
    id
}

fn stage(net: &Net, id: &SwapId) -> Option<SwapStage> {
    net.node(RESPONDER).shared().router.swap(id).map(|swap| swap.stage)
}

/// *Sequence:* a responder agrees, asks for the pledge, and its word of agreement is lost for good: the initiator's next swap with the same one, by the same channel, goes on after the time for an answer.
#[test]
fn a_question_whose_word_never_comes_holds_the_channel_up_for_no_longer_than_an_answer() {
    let mut net = Net::on_two_chains(vec![desk(false), desk(true)], &ENDS, &ENDS);
    let _first = propose(&mut net, 1);
    let is_asked = |net: &Net| matches!(net.links[TARGET].wire[Initiator].front(), Some(Message::PledgeCreated(_)));
    net.step(Ready::Wish(INITIATOR));
    while !is_asked(&net) {
        // The word of agreement is not said.
        let is_word = matches!(net.node(RESPONDER).shared().outbox.front(), Some(network::RouterOutput::Tell { .. }));
        if is_word {
            let _word = net.node(RESPONDER).shared().outbox.pop_front();
        } else {
            net.step(Ready::Wish(RESPONDER));
        }
    }
    net.step(Ready::Message(TARGET, Initiator));
    assert!(!net.links[TARGET].wire[Responder].iter().any(|said| matches!(said, Message::PledgeSigned { .. })));
    let mut blocks = 0;
    while !net.links[TARGET].wire[Responder].iter().any(|said| matches!(said, Message::PledgeError { .. })) {
        net.node(RESPONDER).shared().outbox.clear();
        net.tick(6_000);
        net.node(RESPONDER).shared().outbox.clear();
        while net.ready().contains(&Ready::Wish(INITIATOR)) {
            net.step(Ready::Wish(INITIATOR));
            net.node(RESPONDER).shared().outbox.clear();
        }
        blocks += 1;
        assert!(blocks < 8, "it waits for longer than an answer");
    }
    net.run();
    net.settle();
    let second = propose(&mut net, 2);
    net.run();
    net.settle();
    assert!(matches!(stage(&net, &second), Some(SwapStage::Ended { code: None, .. })), "{:?}", stage(&net, &second));
    assert!(has(&net, TARGET, Initiator) >= SHARE + GOT);
}

/// *Sequence:* the responder keeps a round back for an initiator that is gone for good and has locked nothing; its process begins again, and rows of another channel on the target chain cannot be read. *Loss:* what is kept back is
/// not taken back, and counts as a leg that is locked: the swap is not cleared at `lock_by`, and once the pledge is over it is agreed for ever, and idle. *Right:* what is kept back is no leg that is locked.
#[test]
fn a_swap_ends_at_lock_by_where_another_channel_cannot_be_read() {
    let mut net = Net::on_two_chains(vec![desk(false), desk(true)], &ENDS, &ENDS);
    let id = propose(&mut net, 1);
    let is_heard = |ready: &Ready| *ready != Ready::Message(0, Responder);
    while let Some(ready) = net.ready().into_iter().find(is_heard) {
        net.step(ready);
    }
    assert_eq!(stage(&net, &id), Some(SwapStage::Agreed));
    net.vanish(INITIATOR);
    net.vanish(RESPONDER);
    let at = At { chain: OTHER_CHAIN, channel: ChannelRef([99; 16]) };
    let damaged =
        RestoredChannel { at, peer: identity(7), incoming: Vec::new(), outgoing: Vec::new(), is_whole: false };
    let restored = Restored { chain: OTHER_CHAIN, channels: vec![damaged], rows: Default::default() };
    net.node(RESPONDER).tell([RouterInput::Restored(restored)]);
    // Finality lags, as it always does.
    net.lag[RESPONDER] = 1;
    net.come_back(RESPONDER);
    for _ in 0..200 {
        net.tick(6_000);
        net.mine();
        while let Some(ready) = net.ready().first().copied() {
            net.step(ready);
        }
    }
    assert!(matches!(stage(&net, &id), Some(SwapStage::Ended { .. })), "{:?}", stage(&net, &id));
}
