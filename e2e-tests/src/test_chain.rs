//! What stories ask of a chain beyond what its users do: so that one story can be told on the embedded chain, on a real node and in memory.

use async_trait::async_trait;
use devchain::DevChain;
use protocol::{Amount, BlockNumber};
use sdk::chain::{SharedChain, testing::MemoryChain};
use std::{fmt, sync::Arc};

/// A chain for stories: its time passes when told to.
#[async_trait]
pub trait TestChain: fmt::Debug + Send + Sync + 'static {
    /// The chain as its users see it.
    fn client(&self) -> SharedChain;

    /// Makes so many blocks; once it answers, they are final and its users know.
    async fn produce_blocks(&self, count: u32);

    /// The newest final block's number.
    async fn block_number(&self) -> BlockNumber;

    /// All coins there are.
    async fn total_issuance(&self) -> Amount;

    /// Where other processes reach it; none where it lives in this one.
    fn url(&self) -> Option<String>;
}

/// An embedded chain, whatever its runtime.
macro_rules! embedded {
    ($chain:ty) => {
        #[async_trait]
        impl TestChain for $chain {
            fn client(&self) -> SharedChain {
                Arc::new(self.clone())
            }

            async fn produce_blocks(&self, count: u32) {
                let _head = Self::produce_blocks(self, count).await.unwrap();
            }

            async fn block_number(&self) -> BlockNumber {
                Self::block_number(self)
            }

            async fn total_issuance(&self) -> Amount {
                Self::total_issuance(self).await.unwrap()
            }

            fn url(&self) -> Option<String> {
                None
            }
        }
    };
}

embedded!(DevChain);
embedded!(devchain_narrow::DevChain);

#[async_trait]
impl TestChain for MemoryChain {
    fn client(&self) -> SharedChain {
        Arc::new(self.clone())
    }

    async fn produce_blocks(&self, count: u32) {
        let _head = self.pass(count);
    }

    async fn block_number(&self) -> BlockNumber {
        Self::block_number(self)
    }

    async fn total_issuance(&self) -> Amount {
        Self::total_issuance(self)
    }

    fn url(&self) -> Option<String> {
        None
    }
}
