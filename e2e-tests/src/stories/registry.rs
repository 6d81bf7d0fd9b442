//! Locks and their pre-images, as a node sees and shows them (R8.30 to R8.33).

use crate::{TestChain, World, account, within};
use protocol::{
    Amount, BlockNumber, PublicKey,
    call::MAX_PREIMAGES,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
};
use sdk::node::{Interest, LockRegistry};

/// On whose account everything is registered here.
const PEER: PublicKey = PublicKey([9; 32]);
/// How many blocks there are until an expiry that is not to be met.
const LONG: BlockNumber = 500;

/// A pre-image of its own for each number.
fn preimage(of: usize) -> Preimage {
    Preimage(Native.hash(&of.to_le_bytes()).0)
}

fn lock(of: usize) -> HashLock {
    preimage(of).lock(HashFunction::Sha2_256, &Native)
}

async fn until(what: &str, registry: &LockRegistry, is: impl Fn(&LockRegistry) -> bool) {
    let mut changes = registry.changes();
    let waiting = async {
        while !is(registry) {
            changes.changed().await.unwrap();
        }
    };
    within(what, waiting).await;
}

/// A full call of registrations: one transaction, which costs what the chain had said that it would, and each of them is known once it is final.
pub async fn pre_images_that_wait_are_registered_in_one_call_at_the_price_that_was_told<C: TestChain>(
    world: &World<C>,
) {
    let hub = world.start("hub").await;
    let registry = hub.node.registry().clone();
    let expiry = registry.best() + LONG;
    let watching: Vec<_> = (0..MAX_PREIMAGES).map(|of| registry.watch(lock(of), expiry, Interest::Paid)).collect();
    until("what it costs", &registry, |registry| registry.costs().is_some()).await;
    let costs = registry.costs().unwrap();
    assert_eq!(registry.reserve(), costs.of(MAX_PREIMAGES), "fees are kept for what may have to be registered");
    let chain = world.arbiter.chain();
    let before = chain.free_balance(&account("hub")).await.unwrap();
    let wanted = (0..MAX_PREIMAGES).map(|of| (lock(of), preimage(of)));
    assert_eq!(registry.register_all(wanted, expiry, PEER), []);
    for of in 0..MAX_PREIMAGES {
        let known = within("a registration", registry.settled(&lock(of), expiry)).await;
        assert!(known.is_shown_before(expiry), "{known:?}");
    }
    until("the receipts", &registry, |registry| registry.caused_by(&PEER).count == MAX_PREIMAGES as u64).await;
    assert_eq!(world.recorder.count("preimages_register").await, 1, "what waited went together");
    let paid = before - chain.free_balance(&account("hub")).await.unwrap();
    let caused = registry.caused_by(&PEER).cost;
    // Shares are rounded up.
    assert!(caused >= paid && caused - paid < 2 * MAX_PREIMAGES as Amount, "{caused} of {paid}");
    let told = costs.of(MAX_PREIMAGES) + costs.call_fee;
    assert!(paid <= told, "{paid} was paid, and {told} told");
    println!("{MAX_PREIMAGES} registered for {paid}, told {costs:?}");
    assert_eq!(registry.reserve(), 0, "nothing is left to be registered");
    drop(watching);
    hub.node.stop().await;
}

/// A lock that nobody opens is known to be silent once its expiry is final, and not before.
pub async fn a_lock_that_nobody_opens_is_silent_once_its_expiry_is_final<C: TestChain>(world: &World<C>) {
    let hub = world.start("hub").await;
    let registry = hub.node.registry().clone();
    let expiry = world.chain.block_number().await + 3;
    let _watching = registry.watch(lock(1), expiry, Interest::Pays);
    world.chain.produce_blocks(2).await;
    until("two blocks", &registry, |registry| registry.finalised() + 1 >= expiry).await;
    assert!(!registry.registered(&lock(1)).is_silent_at(expiry));
    world.chain.produce_blocks(1).await;
    let known = within("silence", registry.settled(&lock(1), expiry)).await;
    assert!(known.is_silent_at(expiry), "{known:?}");
    assert!(registry.best() >= registry.finalised());
    hub.node.stop().await;
}
