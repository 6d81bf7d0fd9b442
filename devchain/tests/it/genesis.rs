use crate::{NOBODY, UNIT, balance};
use chain::{Chain, ChainError};
use devchain::{DEV_ENDOWMENT, DevAccount, DevChain};

const ALICE: &str = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
const FERDIE: &str = "0x1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c";

#[tokio::test]
async fn the_development_accounts_are_the_well_known_ones_and_endowed() {
    assert_eq!(DevAccount::Alice.id().to_string(), ALICE);
    assert_eq!(DevAccount::Ferdie.id().to_string(), FERDIE);
    let chain = DevChain::new().unwrap();
    for account in DevAccount::ALL {
        assert_eq!(balance(&chain, account.id()).await, DEV_ENDOWMENT);
    }
}

#[tokio::test]
async fn accounts_are_endowed_at_genesis_on_request_and_the_last_word_counts() {
    let builder = DevChain::builder().endow(NOBODY, UNIT).endow(NOBODY, 3 * UNIT).endow(DevAccount::Bob.id(), 5 * UNIT);
    let chain = builder.build().unwrap();
    assert_eq!(balance(&chain, NOBODY).await, 3 * UNIT);
    assert_eq!(balance(&chain, DevAccount::Bob.id()).await, 5 * UNIT);
}

#[tokio::test]
async fn chains_built_alike_have_the_same_genesis_and_the_same_blocks() {
    let (one, other) = (DevChain::new().unwrap(), DevChain::new().unwrap());
    let genesis = one.genesis().await.unwrap();
    assert_eq!(genesis, other.genesis().await.unwrap());
    assert_eq!(genesis, one.finalised_head().await.unwrap().hash);
    assert_eq!(one.produce_blocks(10).await.unwrap(), other.produce_blocks(10).await.unwrap());
}

#[tokio::test]
async fn another_endowment_makes_another_chain() {
    let one = DevChain::new().unwrap();
    let other = DevChain::builder().endow(NOBODY, UNIT).build().unwrap();
    assert_ne!(one.genesis().await.unwrap(), other.genesis().await.unwrap());
}

#[test]
fn endowments_that_the_chain_cannot_hold_are_refused() {
    for amount in [0, 999_999_999, u128::MAX] {
        let refused = DevChain::builder().endow(NOBODY, amount).build();
        assert!(matches!(refused, Err(ChainError::Invalid { .. })), "{amount}: {refused:?}");
    }
    assert!(DevChain::builder().endow(NOBODY, 1_000_000_000).build().is_ok());
}
