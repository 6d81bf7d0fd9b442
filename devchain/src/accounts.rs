//! The well-known development accounts, and the faucet behind [`DevChain::endow`](crate::DevChain::endow).

use chain::signer::Sr25519Signer;
use protocol::{AccountId, Amount};
use runtime::Balance;
use subxt_signer::{
    SecretUri,
    sr25519::{Keypair, dev},
};

/// What each [`DevAccount`] owns at genesis: the same as on the contracts node's development chain, about 1.15 million units.
pub const DEV_ENDOWMENT: Amount = 1 << 60;

/// What the faucet owns at genesis: more than tests can spend, and far from overflowing the total issuance.
pub(crate) const FAUCET_ENDOWMENT: Balance = 1 << if Balance::BITS > 100 { 100 } else { Balance::BITS - 2 };

/// A development account whose sr25519 key everybody knows (`//Alice` and so on), endowed at genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevAccount {
    /// `//Alice`; also the chain's sudo account.
    Alice,
    /// `//Bob`.
    Bob,
    /// `//Charlie`.
    Charlie,
    /// `//Dave`.
    Dave,
    /// `//Eve`.
    Eve,
    /// `//Ferdie`.
    Ferdie,
}

impl DevAccount {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Alice, Self::Bob, Self::Charlie, Self::Dave, Self::Eve, Self::Ferdie];

    /// Its account on the chain.
    #[must_use]
    pub fn id(self) -> AccountId {
        AccountId(self.keypair().public_key().0)
    }

    /// Its key, as a signer of transactions.
    #[must_use]
    pub fn signer(self) -> Sr25519Signer {
        Sr25519Signer::new(self.keypair())
    }

    fn keypair(self) -> Keypair {
        match self {
            Self::Alice => dev::alice(),
            Self::Bob => dev::bob(),
            Self::Charlie => dev::charlie(),
            Self::Dave => dev::dave(),
            Self::Eve => dev::eve(),
            Self::Ferdie => dev::ferdie(),
        }
    }
}

/// The faucet's key, `//Faucet`.
pub(crate) fn faucet() -> Keypair {
    let uri: SecretUri = "//Faucet".parse().expect("a constant, and well-formed");
    Keypair::from_uri(&uri).expect("a constant, and well-formed")
}
