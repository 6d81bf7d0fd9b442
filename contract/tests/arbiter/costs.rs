//! What each message costs. Gas is deterministic, so its bounds are tests; `--no-capture` shows the figures.

use crate::harness::*;
use protocol::{
    call::Call,
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, WithdrawBody},
    Pair, Party,
};
use sdk::chain::Receipt;

/// The largest Wasm that is acceptable, in bytes: 100 KiB.
const MAX_CODE: usize = 100 * 1024;

/// The most computation that each message may be charged for, in picoseconds: what it takes now and a little air, since loading a
/// larger contract costs every message more. To be tightened.
const MAX_REF_TIME: &[(&str, u64)] = &[
    ("vault_deposit", 2_200_000_000),
    ("vault_withdraw", 2_200_000_000),
    ("channel_create", 6_800_000_000),
    ("channel_deposit", 6_400_000_000),
    ("channel_withdraw", 6_000_000_000),
    ("channel_snapshot_solo", 6_000_000_000),
    ("channel_set_delegates", 6_000_000_000),
    ("channel_close_solo", 6_000_000_000),
    ("channel_slash", 6_000_000_000),
    ("channel_settle", 2_400_000_000),
    ("channel_close_mutual", 6_000_000_000),
];

struct Table {
    rows: Vec<(&'static str, Receipt)>,
}

impl Table {
    async fn measure(&mut self, world: &mut World, who: Actor, call: &Call, attached: u128) {
        let done = world.accept(who, call, attached).await;
        self.rows.push((call.name(), done.receipt));
    }

    fn print(&self, code: usize) {
        println!("code: {code} bytes");
        println!("message                  ref_time/us  proof/B  length/B   fee/munit  deposit/munit");
        for (name, receipt) in &self.rows {
            println!(
                "{name:24} {:>11} {:>8} {:>9} {:>11.3} {:>14.3}",
                receipt.weight.ref_time / 1_000_000,
                receipt.weight.proof_size,
                receipt.length,
                receipt.fee as f64 / 1e9,
                receipt.storage_deposit as f64 / 1e9,
            );
        }
    }
}

#[tokio::test]
async fn each_message_stays_within_its_budget() {
    let code = wasm().len();
    let mut table = Table { rows: Vec::new() };
    let mut world = World::deployed().await;
    for party in [Actor::Initiator, Actor::Responder] {
        table.measure(&mut world, party, &Call::VaultDeposit, VAULT).await;
    }
    table.measure(&mut world, Actor::Initiator, &Call::VaultWithdraw { amount: UNIT }, 0).await;
    let body = create_body(world.now());
    let channel = world.next_channel(&accounts());
    let create = world.create_call(&body);
    table.measure(&mut world, Actor::Initiator, &create, 0).await;

    let state = |round, total| State::new(round, 60 * UNIT, total - 60 * UNIT);
    let (amount, valid_until) = (10 * UNIT, world.now() + 10);
    let (party, after) = (Party::Initiator, state(2, TOTAL + amount));
    let deposit = DepositBody { party, amount, round: 2, state_hash: after.hash(), valid_until };
    table.measure(&mut world, Actor::Initiator, &Call::ChannelDeposit(channel.deposit(deposit)), 0).await;
    let withdraw = WithdrawBody { party, amount, round: 3, state_hash: state(3, TOTAL).hash(), valid_until };
    table.measure(&mut world, Actor::Initiator, &Call::ChannelWithdraw(channel.withdraw(withdraw)), 0).await;
    table.measure(&mut world, Actor::Initiator, &channel.snapshot(&state(4, TOTAL)), 0).await;
    let delegates = terms().parties.map(|party| party.delegates);
    let set = SetDelegatesBody { delegates, round: 5, state_hash: state(5, TOTAL).hash(), valid_until };
    table.measure(&mut world, Actor::Initiator, &Call::ChannelSetDelegates(channel.set_delegates(set)), 0).await;

    let mut agreed = world.fork().await;
    table.measure(&mut world, Actor::Initiator, &channel.close_solo(&state(6, TOTAL)), 0).await;
    table.measure(&mut world, Actor::Responder, &channel.slash(&state(7, TOTAL)), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    table.measure(&mut world, Actor::Initiator, &channel.settle(), 0).await;
    let body = CloseMutualBody { balances: Pair::new(60 * UNIT, 99 * UNIT), fee: UNIT, valid_until };
    let close = Call::ChannelCloseMutual(channel.close_mutual_as(body));
    table.measure(&mut agreed, Actor::Initiator, &close, 0).await;

    table.print(code);
    assert!(code <= MAX_CODE, "{code} bytes of code");
    for (name, receipt) in &table.rows {
        let (_name, max) = MAX_REF_TIME.iter().find(|(message, _)| message == name).expect("each message has a budget");
        assert!(receipt.weight.ref_time <= *max, "{name} takes {} ps", receipt.weight.ref_time);
    }
    let measured = Call::NAMES.iter().filter(|name| table.rows.iter().any(|(measured, _)| measured == *name));
    assert_eq!(measured.count(), Call::NAMES.len(), "each message is measured");
}
