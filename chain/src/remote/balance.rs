//! How wide the chain's balances are. Its metadata says so; where the pallet's runtime API takes and gives bytes without types, this writes and reads them.

use crate::{ChainError, Transaction};
use protocol::Amount;
use scale::{Decode, Encode, Input};
use scale_info::{TypeDef, TypeDefPrimitive};
use subxt::metadata::Metadata;

/// The width of a chain's balances. Here, amounts have 128 bits throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BalanceWidth {
    Bits64,
    Bits128,
}

impl BalanceWidth {
    /// That of the existential deposit, or what is wrong with it.
    pub(super) fn of(metadata: &Metadata) -> Result<Self, String> {
        let pallet = metadata.pallet_by_name("Balances").ok_or("it has no pallet named Balances")?;
        let deposit = pallet
            .constant_by_name("ExistentialDeposit")
            .ok_or("its pallet Balances has no constant ExistentialDeposit, which says how wide balances are")?;
        let kind = metadata.types().resolve(deposit.ty()).map(|kind| &kind.type_def);
        match kind {
            Some(TypeDef::Primitive(TypeDefPrimitive::U64)) => Ok(Self::Bits64),
            Some(TypeDef::Primitive(TypeDefPrimitive::U128)) => Ok(Self::Bits128),
            other => Err(format!("its balances are {other:?}, and this client knows those of 64 and 128 bits")),
        }
    }

    /// The most coins that the chain can say.
    pub(super) const fn most(self) -> Amount {
        match self {
            // Nothing is lost: the other one is wider.
            Self::Bits64 => u64::MAX as Amount,
            Self::Bits128 => Amount::MAX,
        }
    }

    /// Refuses an amount that the chain cannot say.
    pub(super) const fn check(self, amount: Amount) -> Result<(), ChainError> {
        if amount > self.most() { Err(ChainError::AmountTooLarge { amount, most: self.most() }) } else { Ok(()) }
    }

    /// Refuses a transaction that names an amount which the chain cannot say.
    pub(super) const fn check_transaction(self, transaction: &Transaction) -> Result<(), ChainError> {
        match transaction {
            Transaction::Call { value, .. } | Transaction::Instantiate { value, .. } => self.check(*value),
            Transaction::Transfer { amount, .. } => self.check(*amount),
        }
    }

    /// Writes an amount as the chain reads it.
    pub(super) fn encode_to(self, amount: Amount, bytes: &mut Vec<u8>) -> Result<(), ChainError> {
        self.check(amount)?;
        match (self, u64::try_from(amount)) {
            (Self::Bits64, Ok(amount)) => amount.encode_to(bytes),
            _ => amount.encode_to(bytes),
        }
        Ok(())
    }

    /// Reads an amount as the chain writes it.
    pub(super) fn decode(self, input: &mut impl Input) -> Result<Amount, scale::Error> {
        match self {
            Self::Bits64 => u64::decode(input).map(Amount::from),
            Self::Bits128 => Amount::decode(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_and_read_in_the_chains_width() {
        for (width, length) in [(BalanceWidth::Bits64, 8), (BalanceWidth::Bits128, 16)] {
            for amount in [0, 1, Amount::from(u64::MAX)] {
                let mut bytes = Vec::new();
                width.encode_to(amount, &mut bytes).unwrap();
                assert_eq!((bytes.len(), width.decode(&mut &*bytes)), (length, Ok(amount)), "{width:?}");
                assert!(width.decode(&mut &bytes[1..]).is_err());
            }
        }
    }

    #[test]
    fn an_amount_that_the_chain_cannot_say_is_refused_with_the_most_that_it_can() {
        let (amount, mut bytes) = (Amount::from(u64::MAX) + 1, Vec::new());
        let refused = Err(ChainError::AmountTooLarge { amount, most: Amount::from(u64::MAX) });
        assert_eq!(BalanceWidth::Bits64.check(amount), refused);
        assert_eq!((BalanceWidth::Bits64.encode_to(amount, &mut bytes), bytes.len()), (refused, 0));
        assert_eq!(BalanceWidth::Bits128.check(Amount::MAX), Ok(()));
        assert_eq!(BalanceWidth::Bits64.check(Amount::from(u64::MAX)), Ok(()));
    }
}
