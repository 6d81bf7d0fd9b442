//! Attacks on when a pledge is shown by a slash beside the snapshot (R6.5d): finality lags by less than what a transaction takes in the worst case.

use super::pledges_audit::{mine_until, on_chain, proposed};
use super::*;
use channel::transfer::Margins;

/// The payee has pledged, and answers nothing. It closes on the state before with its own account, `before` blocks before the last one of the pledge, in front of whatever
/// its peer has in that block; what its peer submits is in a block `slow` blocks later than it could be. Whether the round counts in the end.
fn counts(register: BlockNumber, lag: BlockNumber, before: BlockNumber, slow: BlockNumber) -> bool {
    let mut world = World::opened();
    for party in Party::BOTH {
        world.sides[party].registry.margins = Margins { register, answer: 1 };
    }
    for party in Party::BOTH {
        let _paid = world.pay(party, 1).unwrap();
        world.run();
    }
    let kept = world.kept(Responder);
    let (until, update) = proposed(&mut world, 16);
    world.kill(Responder);
    world.lag[Initiator] = lag;
    // The last block before the payer shows the pledge.
    mine_until(&mut world, until - register - 1);
    for _ in 0..register + lag + 4 {
        // Whatever the payer sends comes behind the close.
        for call in ["channel_snapshot_solo", "channel_slash"] {
            let _new = world.chain.censored.insert(call);
        }
        world.mine();
        let next = world.chain.head() + 1;
        if next == until - before {
            world.chain.submit(Responder, Call::ChannelCloseSolo(kept));
        }
        if next > until - register + slow {
            world.chain.censored.clear();
        }
        world.sides[Initiator].registry.best = world.chain.head();
        world.tick(1_000);
    }
    on_chain(&world).agreed >= update.round
}

/// *Sequence:* the payee pledges and keeps its answer back. Finality lags by one block less than showing a pledge takes at most (`Rg`), and each transaction is in the very next block. When
/// the payer shows the pledge, the payee closes on the state before, in the same block and in front of the snapshot. *Loss:* the payer sees the close only once it is
/// final, when no block is left for the slash, and beside the snapshot it has sent none: the round, and the premium with it, never counts. The payee
/// had the choice until then. *Right:* what the peer has pledged counts whatever it does: a slash goes beside the snapshot wherever a close that is not final may leave no
/// time for it, that is, where the lag and what a transaction takes are together more than what is left; or the pledge is shown sooner by as much.
#[test]
fn a_payee_that_closes_in_front_of_the_snapshot_has_no_choice_for_it() {
    let mut lost = Vec::new();
    for register in [2, 4, 8] {
        for lag in 0..=register {
            for before in 0..register {
                if !counts(register, lag, before, 0) {
                    lost.push((register, lag, before));
                }
            }
        }
    }
    assert!(lost.is_empty(), "for such an Rg, with such a lag, closed so long before the last block: {lost:?}");
}

/// *Sequence:* as above, with a lag of as little as one block, and what the payer submits is in a block later than the next one, but no later than the
/// last one of the pledge, as `Rg` allows. *Right:* as above.
#[test]
fn a_payee_that_closes_while_the_snapshot_waits_has_no_choice_for_it() {
    let mut lost = Vec::new();
    for register in [4, 8] {
        for lag in 0..=register {
            for slow in 1..register {
                for before in 0..register {
                    if !counts(register, lag, before, slow) {
                        lost.push((register, lag, before, slow));
                    }
                }
            }
        }
    }
    assert!(
        lost.is_empty(),
        "for such an Rg, with such a lag, closed so long before the last block, so slow: {lost:?}"
    );
}
