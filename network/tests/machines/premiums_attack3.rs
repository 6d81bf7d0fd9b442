//! Attacks on what two earlier attacks on premiums through a hub led to.

use super::{
    link::{Initiator, Responder},
    net::{Net, identity},
    premiums_attack::{DELTA, against_a_hub, ask, carried, hear},
};
use protocol::BlockNumber;
use std::{sync::mpsc, time::Duration};

const TO_R: usize = 1;

/// *Sequence:* a responder asks for seventeen pledges, one after the other, of which the hub can carry on none: each lasts a block too long for it. *Loss:* of the seventeenth nothing
/// is noted, so that the hub's channel puts the question off, its router has it answered, the channel puts it off again, and so on, without an end: the hub's process does
/// nothing else any more. *Right:* it is refused.
#[test]
fn the_seventeenth_question_in_vain_is_answered() {
    let (done, is_done) = mpsc::channel();
    let _worker = std::thread::spawn(move || {
        let mut net: Net = against_a_hub();
        let head = net.head();
        let (expiry, until): (BlockNumber, BlockNumber) = (head + 40, head + 16);
        for number in 1..=17 {
            let offer = carried(number, identity(0), expiry, until, Vec::new());
            ask(&mut net.links[TO_R], Responder, number, offer, until - DELTA + 1);
            hear(&mut net, TO_R, Initiator);
            hear(&mut net, TO_R, Responder);
            done.send(number).unwrap();
        }
    });
    let mut last = 0;
    while let Ok(number) = is_done.recv_timeout(Duration::from_secs(20)) {
        last = number;
    }
    assert_eq!(last, 17, "the hub does not come to an end with the question after {last}");
}
