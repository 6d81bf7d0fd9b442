//! Storage deposits: who lays them down, and who has them.

use crate::{
    harness::*,
    page::{Cell, Page, Table, Unit},
};
use protocol::{
    Amount, Pair, Party,
    call::Call,
    contracts::conditional::{HashFunction, Preimage},
    terms::Destination,
};
use sdk::chain::arbiter::FinalisedCall;

/// One kind of storage: laid down by one call, given back by another.
struct Row {
    what: &'static str,
    by: &'static str,
    laid_down: Amount,
    to: &'static str,
    given_back: Amount,
}

fn laid_down(done: &FinalisedCall) -> Amount {
    Amount::try_from(done.receipt.storage_deposit).unwrap()
}

fn given_back(done: &FinalisedCall) -> Amount {
    Amount::try_from(-done.receipt.storage_deposit).unwrap()
}

/// What a pair's nonce takes: an entry of eight bytes.
const NONCE: Amount = 100_040_000_000;
const STATE: State = State::new(6, 30 * UNIT, 130 * UNIT);

pub(crate) async fn measure() -> Page {
    let mut rows = Vec::new();
    vaults(&mut rows).await;
    records(&mut rows).await;
    forced(&mut rows).await;
    let mut world = World::deployed().await;
    let register = Call::PreimageRegister { preimage: Preimage([7; 32]), function: HashFunction::Blake2b256 };
    let done = world.accept(Actor::Stranger, &register, 0).await;
    let (by, to) = ("whoever shows it", "nobody: it counts for ever");
    rows.push(Row { what: "a pre-image", by, laid_down: laid_down(&done), to, given_back: 0 });

    let mut page = Page::default();
    page.heading(2, "Storage deposits");
    page.text(
        "The pallet gives a deposit to the sender of the transaction that frees the storage, whoever laid it down. Who that can be follows from \
         R5.1, R5.11 and R5.15. Each party has one delegate.",
    );
    let mut table = Table::new(&["storage", "laid down by", "units", "goes to", "units "]);
    for Row { what, by, laid_down, to, given_back } in rows {
        let coins = |amount| Cell::coins(amount, Unit::Deposit);
        table.row(what, vec![Cell::text(by), coins(laid_down), Cell::text(to), coins(given_back)]);
    }
    page.table(table);
    page
}

async fn vaults(rows: &mut Vec<Row>) {
    let mut world = World::deployed().await;
    let filled = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), SHARES.responder).await;
    let mut emptied = world.fork().await;
    let withdraw = Actor::Responder.vault_withdraw(SHARES.responder);
    let done = emptied.accept(Actor::Responder, &withdraw, 0).await;
    let (by, to) = ("its owner", "its owner, with the last coin");
    let what = "a vault, emptied by its owner";
    rows.push(Row { what, by, laid_down: laid_down(&filled), to, given_back: given_back(&done) });

    let create = world.create_call(&create_body(world.now()));
    let _done = world.accept(Actor::Initiator, &create, SHARES.initiator).await;
    let _done = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), UNIT).await;
    let done = world.accept(Actor::Responder, &Actor::Responder.vault_withdraw(UNIT), 0).await;
    let what = "a vault, emptied by an opening that its peer submits";
    let to = "its owner, once it has filled and emptied it anew";
    rows.push(Row { what, by, laid_down: laid_down(&filled), to, given_back: given_back(&done) });

    // A vault that a payout makes: the initiator has none before, and asked for its payouts there.
    let mut world = World::deployed().await;
    let mut body = create_body(world.now());
    body.terms.parties.initiator.payout = Destination::Vault;
    (body.shares, body.balances) = (SHARES, SHARES);
    let _done = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), SHARES.responder).await;
    body.valid_until = world.now();
    let channel = world.next_channel(&parties());
    let create = world.create_call(&body);
    let opened = world.accept(Actor::Initiator, &create, SHARES.initiator).await;
    let close = channel.close_mutual(SHARES, 0, world.now());
    let done = world.accept(Actor::Responder, &close, 0).await;
    let record = laid_down(&opened) - NONCE;
    let paid = record - given_back(&done);
    let withdrawn = world.accept(Actor::Initiator, &Actor::Initiator.vault_withdraw(SHARES.initiator), 0).await;
    let (what, by, to) = ("a vault that a payout makes", "whoever ends the channel", "its owner, with the last coin");
    rows.push(Row { what, by, laid_down: paid, to, given_back: given_back(&withdrawn) });
}

async fn records(rows: &mut Vec<Row>) {
    let mut world = World::funded().await;
    let first = world.create_call(&create_body(world.now()));
    let first = world.accept(Actor::Initiator, &first, 0).await;
    let channel = world.next_channel(&parties());
    let second = world.create_call(&create_body(world.now()));
    let second = world.accept(Actor::Initiator, &second, 0).await;
    let (record, nonce) = (laid_down(&second), laid_down(&first) - laid_down(&second));
    assert_eq!(nonce, NONCE);
    let (by, to) = ("whoever submits the first opening", "nobody: an id is never used twice");
    rows.push(Row { what: "a pair's nonce", by, laid_down: nonce, to, given_back: 0 });

    let by = "whoever submits the opening";
    let mut agreed = world.fork().await;
    let close = channel.close_mutual(BALANCES, 0, agreed.now());
    let done = agreed.accept(Actor::Stranger, &close, 0).await;
    let (what, to) = ("a record, closed in agreement", "whoever submits that: anybody whom both signed for");
    rows.push(Row { what, by, laid_down: record, to, given_back: given_back(&done) });

    let closed = world.accept(Actor::Responder, &channel.close_solo(&STATE), 0).await;
    let (what, to) = ("what a close adds to it", "whoever settles");
    rows.push(Row { what, by: "the closer", laid_down: laid_down(&closed), to, given_back: laid_down(&closed) });
    let unlock_at = world.record(&channel).await.unwrap().closing().unwrap().unlock_at;
    for (who, block, what, to) in [
        (Actor::Responder, unlock_at, "a record with its close, settled in time", "the party or delegate that settles"),
        (
            Actor::Stranger,
            unlock_at + LOCK_PERIOD,
            "a record with its close, settled a lock period late",
            "whoever settles: anybody",
        ),
    ] {
        let mut world = world.fork().await;
        world.travel_to(block).await;
        let done = world.accept(who, &channel.settle(), 0).await;
        let by = "opener and closer";
        rows.push(Row { what, by, laid_down: record + laid_down(&closed), to, given_back: given_back(&done) });
    }
}

async fn forced(rows: &mut Vec<Row>) {
    let (mut world, channel) = World::open().await;
    let counter = (COUNTER, world.apps.counting(5 * UNIT, 0, 99));
    let base = Inside::new(6, Pair::new(85 * UNIT, 70 * UNIT), [counter]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![count(1)]);
    let (done, _after) = world.force_as(Actor::Initiator, &step).await;
    let (what, by, to) = ("a mark of a forced step (R5.4b)", "the forcer", "whoever ends the channel");
    rows.push(Row { what, by, laid_down: laid_down(&done), to, given_back: laid_down(&done) });
}
