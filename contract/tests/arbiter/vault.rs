//! Each account's balance inside the arbiter (R5.1).

use crate::harness::*;
use protocol::{Amount, Rejection, call::Call};

const DEPOSIT: Amount = 3 * UNIT;

#[tokio::test]
async fn what_is_deposited_belongs_to_the_depositor_and_can_be_withdrawn_to_the_last_coin() {
    let mut world = World::deployed().await;
    let empty = world.snapshot().await;
    let (stranger, arbiter) = (Actor::Stranger.id(), world.address());

    let deposited = world.accept(Actor::Stranger, &Call::VaultDeposit, DEPOSIT).await;
    let after = world.snapshot().await;
    assert_eq!(after.vaults[&stranger], DEPOSIT);
    assert_eq!(after.free[&arbiter] - empty.free[&arbiter], DEPOSIT);
    assert_eq!(after.info.items, empty.info.items + 1);
    let deposit = Amount::try_from(deposited.receipt.storage_deposit).unwrap();
    assert_eq!(after.free[&stranger], empty.free[&stranger] - DEPOSIT - deposit - deposited.receipt.fee);

    // A second deposit adds to the first; a part may stay.
    let _done = world.accept(Actor::Stranger, &Call::VaultDeposit, 1).await;
    let _done = world.accept(Actor::Stranger, &Call::VaultWithdraw { amount: UNIT }, 0).await;
    assert_eq!(world.snapshot().await.vaults[&stranger], DEPOSIT + 1 - UNIT);

    let _done = world.accept(Actor::Stranger, &Call::VaultWithdraw { amount: DEPOSIT + 1 - UNIT }, 0).await;
    let after = world.snapshot().await;
    assert_eq!(after.vaults.get(&stranger), None);
    assert_eq!(after.info.items, empty.info.items, "an empty vault leaves no storage");
    assert_eq!(after.free[&arbiter], empty.free[&arbiter]);
}

#[tokio::test]
async fn everybody_has_a_vault_of_their_own() {
    let mut world = World::deployed().await;
    for (who, amount) in Actor::ALL.into_iter().zip(1..) {
        let _done = world.accept(who, &Call::VaultDeposit, amount * UNIT).await;
    }
    let _done = world.accept(Actor::Responder, &Call::VaultWithdraw { amount: UNIT }, 0).await;
    let vaults = world.snapshot().await.vaults;
    assert_eq!(Actor::ALL.map(|who| vaults[&who.id()] / UNIT), [1, 1, 3, 4, 5, 6]);
}

mutations! {
    /// One thing wrong with a use of a vault that holds 3 units.
    Mutation {
        /// A deposit that moves nothing.
        DepositOfNothing,
        /// A withdrawal that moves nothing.
        WithdrawNothing,
        /// Coins of everybody else.
        WithdrawOneTooMany,
        /// More than there is anywhere.
        WithdrawEverythingThereIs,
        /// Somebody else's coins.
        WithdrawFromAnEmptyVault,
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_use_of_a_vault_is_refused_by_its_own_error_and_changes_nothing() {
    let mut world = World::funded().await;
    let _done = world.accept(Actor::Stranger, &Call::VaultDeposit, DEPOSIT).await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let withdraw = |amount| Call::VaultWithdraw { amount };
        let too_low = |have, need| Rejection::VaultBalanceTooLow { have, need };
        let (who, call, rejection) = match mutation {
            Mutation::DepositOfNothing => (Actor::Stranger, Call::VaultDeposit, Rejection::AmountZero),
            Mutation::WithdrawNothing => (Actor::Stranger, withdraw(0), Rejection::AmountZero),
            Mutation::WithdrawOneTooMany => (Actor::Stranger, withdraw(DEPOSIT + 1), too_low(DEPOSIT, DEPOSIT + 1)),
            Mutation::WithdrawEverythingThereIs => {
                (Actor::Stranger, withdraw(Amount::MAX), too_low(DEPOSIT, Amount::MAX))
            }
            Mutation::WithdrawFromAnEmptyVault => (Actor::Deployer, withdraw(DEPOSIT), too_low(0, DEPOSIT)),
        };
        world.refuse(who, &call, 0, rejection).await;
    }
}
