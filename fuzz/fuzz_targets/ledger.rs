//! Random lives of channels from bytes: no panic, no coin made or lost, refusals change nothing. The lives are those of the property tests
//! (`protocol/tests/support/script.rs`), with steps made of bytes.

#![no_main]

#[path = "../../protocol/tests/support/script.rs"]
#[allow(dead_code, unused_imports, reason = "its strategies are of no use here")]
mod script;

use counter::Counter;
use escrow::Escrow;
use libfuzzer_sys::fuzz_target;
use protocol::{
    AccountId, Amount, Hash, Party, PartyId,
    arbiter::{CallContext, Ledger},
    call::Call,
    contracts::NativeApps,
    crypto::SigningKey,
    record::Phase,
    signing::Domain,
};
use script::{Action, App, Apps, Flaw, LIMITS, Script, Step, Turn, UNIT, Who};

const ACCOUNTS: [AccountId; 4] = [AccountId([11; 32]), AccountId([22; 32]), AccountId([33; 32]), AccountId([44; 32])];
const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
const APPS: Apps = Apps {
    counter: App { account: AccountId([0xC0; 32]), code: Hash([0xC1; 32]) },
    escrow: App { account: AccountId([0x50; 32]), code: Hash([0x51; 32]) },
};
const STEP: usize = 6;
const MOST_STEPS: usize = 60;

fn step(bytes: [u8; STEP]) -> Step {
    let [action, who, flaw, numbers, split, amount] = bytes;
    let actions = Action::ALL;
    // Half of the steps are without a flaw.
    let flaws = Flaw::ALL;
    Step {
        action: actions[usize::from(action) % actions.len()],
        who: Who::ALL[usize::from(who) % 4],
        flaw: if flaw < 128 { Flaw::None } else { flaws[usize::from(flaw) % flaws.len()] },
        channel: numbers % 8,
        round: numbers / 8 % 8,
        base: amount / 16 % 8,
        split: split % 17,
        rest: numbers / 64,
        amount: amount % 16,
        party: if amount < 128 { Party::Initiator } else { Party::Responder },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut apps = NativeApps::new();
    apps.register::<Counter>(APPS.counter.code);
    apps.register::<Escrow>(APPS.escrow.code);
    let deployed = [APPS.counter, APPS.escrow].map(|app| (app.account, app.code)).into_iter().collect();
    // The script's keys are those of the seeds 1 and 2.
    let owner = |account, seed| PartyId { account, key: SigningKey::from_seed(&[seed; 32]).public() };
    let vaults = [(owner(ACCOUNTS[0], 1), 100 * UNIT), (owner(ACCOUNTS[1], 2), 100 * UNIT)].into_iter().collect();
    let mut ledger = Ledger { deployed, apps, vaults, ..Ledger::default() };
    let (mut paid_in, mut paid_out): (Amount, Amount) = (200 * UNIT, 0);
    let mut script = Script::new(DOMAIN, ACCOUNTS, APPS);
    let mut now = 1;
    for bytes in bytes.as_chunks::<STEP>().0.iter().take(MOST_STEPS) {
        now += 1;
        match script.turn(&step(*bytes), &ledger, now) {
            Turn::Wait(blocks) => now += blocks,
            Turn::Call(who, call, attached) => {
                let caller = ACCOUNTS[Who::ALL.iter().position(|other| *other == who).unwrap()];
                let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now, caller };
                let before = ledger.clone();
                let forced = matches!(*call, Call::ChannelForceProgress(_));
                match ledger.apply(&ctx, *call, attached, &|to, amount| *to != ACCOUNTS[1] || amount >= 2 * UNIT) {
                    Ok(applied) => {
                        paid_in += attached;
                        paid_out += applied.paid_out.iter().map(|(_, amount)| amount).sum::<Amount>();
                        assert_eq!(ledger.held() + paid_out, paid_in, "coins are neither made nor lost");
                        assert!(!forced || before.channels.len() >= ledger.channels.len());
                        let accepted = applied.batch.iter().filter(|outcome| outcome.is_ok()).count();
                        assert!(applied.batch.is_empty() || accepted == applied.events.len(), "an event for each");
                    }
                    Err(_) => assert_eq!(ledger, before, "a refusal changes nothing"),
                }
                for record in ledger.channels.values() {
                    let (steps, max) = (record.forced_steps, record.terms.max_forced);
                    assert!(steps.initiator <= max && steps.responder <= max);
                    assert!(record.on_chain.maturity.marks().len() <= 8 * usize::from(max));
                    if let Phase::Closing(closing) = &record.phase {
                        assert!(closing.balances.sum().is_some_and(|sum| sum <= record.total));
                    }
                }
            }
        }
    }
});
