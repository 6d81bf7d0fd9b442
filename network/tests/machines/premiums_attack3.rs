//! Attacks on what two earlier attacks on premiums through a hub led to.

use super::{
    link::{CrashPlan, Initiator, Responder},
    net::{Net, Ready, identity},
    premiums_attack::{DELTA, Dice, against_a_hub, ask, carried, corrupt, hear, key, lock, policy, worth},
};
use channel::{
    Certainty, Command,
    transfer::{FailReason, TransferCommand},
};
use protocol::{
    BlockNumber, Party,
    call::{Call, CloseSolo, ForcedCall, SnapshotSolo},
    contracts::conditional::{ConditionalInput, HashFunction, Preimage},
};
use scale::Encode;
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

const HUB: usize = 1;
/// The hub's channels, and its side of each: two with the initiator, two with the responder.
const OWN: [(usize, Party); 4] = [(0, Responder), (1, Initiator), (2, Responder), (3, Initiator)];

fn block(number: u64) -> BlockNumber {
    BlockNumber::try_from(number).unwrap()
}

/// One of the two who play against the hub does something, in one of four channels.
fn misbehave(net: &mut Net, dice: &mut Dice, number: &mut u8, kept: &mut Vec<(usize, CloseSolo)>) {
    let head = net.head();
    let link = usize::try_from(dice.roll(4)).unwrap();
    let side = OWN[link].1.peer();
    let to_responder = 1 + 2 * usize::try_from(dice.roll(2)).unwrap();
    match dice.roll(18) {
        0..=4 => {
            *number = number.saturating_add(1);
            let until = head + 5 + block(dice.roll(14));
            let expiry = until + 1 + block(dice.roll(30));
            let of = if dice.roll(5) == 0 { 1 } else { *number };
            let mut offer = carried(of, identity(0), expiry, until, Vec::new());
            offer.terms.expiry += block(dice.roll(3));
            let valid = until.saturating_sub(DELTA + block(dice.roll(3)));
            let staked =
                TransferCommand::OfferStaked { key: key(*number), offer, pledged_until: valid, is_kept_back: false };
            let _taken = net.links[to_responder].command(Responder, Command::Transfer(staked));
        }
        5 if net.links[link].linked => net.cut(link),
        5 | 6 => net.connect(link),
        7 => {
            if let Some(evidence) = net.links[link].sides[side].machine().evidence() {
                kept.push((link, evidence));
            }
        }
        8 if dice.roll(5) == 0 => {
            let of = kept.iter().rev().find(|(of, _)| *of == link).map(|(_, call)| *call);
            let call = of.filter(|_| dice.roll(2) == 0).or_else(|| net.links[link].sides[side].machine().evidence());
            if let Some(call) = call {
                net.links[link].chain.submit(side, Call::ChannelCloseSolo(call));
            }
        }
        9 | 10 => end_one(net, dice, (link, side)),
        11 => drop(net.links[link].pay(side, 1)),
        12 if net.links[link].linked => {
            net.cut(link);
            net.connect(link);
        }
        13 => {
            // A pledge is shown at once.
            if let Some(payload) = net.links[link].sides[side].machine().pledge().copied() {
                let channel = net.links[link].channel_id();
                net.links[link].chain.submit(side, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
            }
        }
        14 => {
            // A word of its own is lost.
            let _lost = net.links[link].wire[OWN[link].1].pop_back();
        }
        15 => {
            // An offer from the initiator to the hub, which holds something there.
            *number = number.saturating_add(1);
            let offer = carried(*number, identity(2), head + 40, head + 10, Vec::new());
            let offer = channel::transfer::Offer { premium: 0, ..offer };
            let plain = TransferCommand::Offer { key: key(*number), offer, fee: 0 };
            let _taken = net.links[link].command(side, Command::Transfer(plain));
        }
        _ => {}
    }
}

/// A transfer of the hub's that has come in is claimed, by force or not, or given back.
fn end_one(net: &mut Net, dice: &mut Dice, (link, side): (usize, Party)) {
    let machine = net.links[link].sides[side].machine();
    let rows: Vec<_> = machine.incoming_transfers().values().map(|row| (row.contract, row.terms.lock)).collect();
    if let Some((contract, of)) = rows.first().copied() {
        let Some(opens) = (0..=u8::MAX).find(|number| lock(*number) == of) else { return };
        let command = match dice.roll(4) {
            0 => Command::Transfer(TransferCommand::Fail { contract, reason: FailReason(Vec::new()) }),
            1 | 2 => {
                let call = Call::PreimageRegister { preimage: Preimage([opens; 32]), function: HashFunction::Sha2_256 };
                net.links[link].chain.submit(side, call);
                let input = ConditionalInput::Claim(Preimage([opens; 32])).encode();
                let calls = vec![ForcedCall { contract, value: 0, input }];
                Command::Force { calls, certainty: Certainty::OwnStoreIsNewest }
            }
            _ => Command::Transfer(TransferCommand::Claim { contract, preimage: Preimage([opens; 32]) }),
        };
        let _done = net.links[link].command(side, command);
    }
}

fn hub_has(net: &Net) -> i128 {
    OWN.iter().map(|(link, party)| i128::try_from(worth(&net.links[*link], *party)).unwrap()).sum()
}

/// *Sequence:* as the game of chance of the first attack, with two channels to each end, steps that are forced, pledges that are shown early, words that are lost, and a hub
/// that crashes at its commits. *Right:* the hub has no less than before.
#[test]
fn a_hub_loses_nothing_in_four_channels() {
    let count = std::env::var("ATTACK_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let first = std::env::var("ATTACK_FIRST").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    let (mut lost, mut locked) = (Vec::new(), 0);
    for seed in first..first + count {
        let played = std::panic::catch_unwind(|| game(seed));
        match played {
            Ok((gain, count)) => {
                locked += count;
                if gain < 0 {
                    lost.push((seed, gain));
                }
            }
            Err(_) => lost.push((seed, i128::MIN)),
        }
    }
    eprintln!("locked {locked}");
    assert!(lost.is_empty(), "{lost:?}");
    assert!(locked > 0, "nothing ever was locked");
}

fn game(seed: u64) -> (i128, usize) {
    let mut net = Net::with(policy(), 3, &[(0, HUB), (HUB, 2), (0, HUB), (HUB, 2)]);
    for (link, party) in OWN {
        corrupt(&mut net.links[link], party.peer());
    }
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let before = hub_has(&net);
    let mut kept = Vec::new();
    let (mut number, mut locked) = (1_u8, 0);
    let mut hears = [true; 4];
    let is_crashing = dice.roll(2) == 0;
    for _ in 0..250 {
        match dice.roll(20) {
            0..=9 => {
                let ready = net.ready();
                let may = |ready: &&Ready| match ready {
                    Ready::Message(link, party) if *party == OWN[*link].1.peer() => hears[*link],
                    _ => true,
                };
                let ready: Vec<_> = ready.iter().filter(may).copied().collect();
                if !ready.is_empty() {
                    let at = usize::try_from(dice.roll(ready.len() as u64)).unwrap();
                    net.step(ready[at]);
                }
            }
            10..=12 => {
                net.carry_out_all();
                for (link, party) in OWN {
                    while net.ready().contains(&Ready::Message(link, party)) {
                        net.step(Ready::Message(link, party));
                        net.carry_out_all();
                    }
                }
                net.lag[HUB] = block(dice.roll(3)).min(net.lag[HUB] + 1);
                net.tick(6_000);
                net.mine();
                net.carry_out_all();
            }
            13 => {
                let end = usize::try_from(dice.roll(4)).unwrap();
                hears[end] = !hears[end];
            }
            14 if is_crashing => {
                let (link, party) = OWN[usize::try_from(dice.roll(4)).unwrap()];
                if dice.roll(3) == 0 {
                    net.crash(HUB);
                } else {
                    let (commit, effects) =
                        (usize::try_from(dice.roll(3)).unwrap(), usize::try_from(dice.roll(3)).unwrap());
                    net.links[link].crash_plan = Some(CrashPlan { party, commit, effects, both: false });
                }
            }
            15 if dice.roll(4) == 0 => net.tick(31_000),
            _ => misbehave(&mut net, &mut dice, &mut number, &mut kept),
        }
        locked += net.links[0].sides[Initiator].machine().incoming_transfers().len();
    }
    net.links.iter_mut().for_each(|link| link.crash_plan = None);
    net.lag[HUB] = 0;
    net.run();
    for _ in 0..160 {
        net.tick(6_000);
        net.mine();
        net.run();
    }
    (hub_has(&net) - before, locked)
}
