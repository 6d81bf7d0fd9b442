//! A game of chance against a hub that carries premiums on (R8.5h), in both directions at once, beside whatever else its channels do: deposits, withdrawals, closes in agreement, payments, steps that are forced.

use super::{
    link::{CrashPlan, Initiator, Responder},
    net::{Net, Ready, identity},
    premiums_attack::{DELTA, Dice, carried, corrupt, lock, policy, worth},
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

const HUB: usize = 1;
/// The hub's side of each of its channels: two with one end, two with the other one.
const OWN: [(usize, Party); 4] = [(0, Responder), (1, Initiator), (2, Responder), (3, Initiator)];

fn block(number: u64) -> BlockNumber {
    BlockNumber::try_from(number).unwrap()
}

/// Whoever it is asks the hub for a pledge of the other end's.
fn ask_for_a_pledge(net: &mut Net, dice: &mut Dice, number: &mut u8, link: usize) {
    *number = number.saturating_add(1);
    let side = OWN[link].1.peer();
    let next = identity(if side == Initiator { 2 } else { 0 });
    let head = net.head();
    let until = head + 5 + block(dice.roll(14));
    let expiry = until + 1 + block(dice.roll(30));
    let of = if dice.roll(5) == 0 { 1 } else { *number };
    let mut offer = carried(of, next, expiry, until, Vec::new());
    offer.terms.expiry += block(dice.roll(3));
    let valid = until.saturating_sub(DELTA + block(dice.roll(3)));
    let staked = TransferCommand::OfferStaked {
        key: super::premiums_attack::key(*number),
        offer,
        pledged_until: valid,
        is_kept_back: false,
    };
    let _taken = net.links[link].command(side, Command::Transfer(staked));
}

/// A transfer that has come in to this side is claimed, by force or not, or given back.
fn end_one(net: &mut Net, dice: &mut Dice, (link, side): (usize, Party)) {
    let machine = net.links[link].sides[side].machine();
    let rows: Vec<_> = machine.incoming_transfers().values().map(|row| (row.contract, row.terms.lock)).collect();
    let Some((contract, of)) = rows.first().copied() else { return };
    let Some(opens) = (0..=u8::MAX).find(|number| lock(*number) == of) else { return };
    let command = match dice.roll(4) {
        0 => Command::Transfer(TransferCommand::Fail { contract, reason: FailReason(Vec::new()) }),
        1 => {
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

fn misbehave(net: &mut Net, dice: &mut Dice, number: &mut u8, kept: &mut Vec<(usize, CloseSolo)>) {
    let link = usize::try_from(dice.roll(4)).unwrap();
    let (own, side) = (OWN[link].1, OWN[link].1.peer());
    let either = if dice.roll(2) == 0 { own } else { side };
    match dice.roll(20) {
        0..=5 => ask_for_a_pledge(net, dice, number, link),
        6 if net.links[link].linked => net.cut(link),
        6 | 7 => net.connect(link),
        8 => kept.extend(net.links[link].sides[side].machine().evidence().map(|evidence| (link, evidence))),
        9 if dice.roll(6) == 0 => {
            let of = kept.iter().rev().find(|(of, _)| *of == link).map(|(_, call)| *call);
            let call = of.filter(|_| dice.roll(2) == 0).or_else(|| net.links[link].sides[side].machine().evidence());
            if let Some(call) = call {
                net.links[link].chain.submit(side, Call::ChannelCloseSolo(call));
            }
        }
        10 | 11 => end_one(net, dice, (link, side)),
        12 => drop(net.links[link].pay(either, 1)),
        13 => drop(net.links[link].withdraw(either, 3)),
        14 => drop(net.links[link].deposit(either, 3)),
        15 if dice.roll(8) == 0 => drop(net.links[link].shutdown(either, 0)),
        16 => {
            if let Some(payload) = net.links[link].sides[side].machine().pledge().copied() {
                let channel = net.links[link].channel_id();
                net.links[link].chain.submit(side, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
            }
        }
        17 => drop(net.links[link].wire[own].pop_back()),
        _ => {}
    }
}

fn hub_has(net: &Net) -> i128 {
    OWN.iter().map(|(link, party)| i128::try_from(worth(&net.links[*link], *party)).unwrap()).sum()
}

fn hub_hears_all(net: &mut Net) {
    net.carry_out_all();
    for (link, party) in OWN {
        while net.ready().contains(&Ready::Message(link, party)) {
            net.step(Ready::Message(link, party));
            net.carry_out_all();
        }
    }
}

fn game(seed: u64) -> (i128, usize) {
    let mut net = Net::with(policy(), 3, &[(0, HUB), (HUB, 2), (0, HUB), (HUB, 2)]);
    for (link, party) in OWN {
        corrupt(&mut net.links[link], party.peer());
    }
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let before = hub_has(&net);
    let (mut kept, mut number, mut locked) = (Vec::new(), 1_u8, 0);
    let mut hears = [true; 4];
    let is_crashing = dice.roll(2) == 0;
    for _ in 0..250 {
        match dice.roll(20) {
            0..=9 => {
                let may = |ready: &Ready| match ready {
                    Ready::Message(link, party) if *party == OWN[*link].1.peer() => hears[*link],
                    _ => true,
                };
                let ready: Vec<_> = net.ready().into_iter().filter(may).collect();
                if !ready.is_empty() {
                    net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
                }
            }
            10..=12 => {
                hub_hears_all(&mut net);
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
                let (commit, effects) =
                    (usize::try_from(dice.roll(3)).unwrap(), usize::try_from(dice.roll(3)).unwrap());
                match dice.roll(3) {
                    0 => net.crash(HUB),
                    _ => net.links[link].crash_plan = Some(CrashPlan { party, commit, effects, both: false }),
                }
            }
            15 if dice.roll(4) == 0 => net.tick(31_000),
            _ => misbehave(&mut net, &mut dice, &mut number, &mut kept),
        }
        locked += net.links[0].sides[Initiator].machine().incoming_transfers().len();
        locked += net.links[1].sides[Responder].machine().incoming_transfers().len();
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

/// *Sequence:* whatever two dishonest ends do, which ask the hub for each other's pledges in both directions at once, while coins are paid in and out, channels are closed, finality lags as far as it tolerates, and the hub
/// crashes at its commits. *Right:* the hub has no less than before, but for what its own user has paid, and nothing panics.
#[test]
fn a_hub_loses_nothing_while_premiums_go_both_ways() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(or);
    let (first, count) = (number("ATTACK_FIRST", 1), number("ATTACK_SEEDS", 30));
    let (mut lost, mut locked) = (Vec::new(), 0);
    for seed in first..first + count {
        match std::panic::catch_unwind(|| game(seed)) {
            Ok((gain, count)) => {
                locked += count;
                // A coin is paid at a time, by either side.
                if gain < -PAID_AT_MOST {
                    lost.push((seed, gain));
                }
            }
            Err(_) => lost.push((seed, i128::MIN)),
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
    assert!(locked > 0, "nothing ever was locked");
}

/// More than the hub's own user pays in a game, and less than a premium.
const PAID_AT_MOST: i128 = 15;
