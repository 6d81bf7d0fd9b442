//! The contracts pallet's runtime API: its questions and answers as bytes. The pallet promises to only ever add to the end of an answer.

use super::{balance::BalanceWidth, dispatch::DispatchError, wire};
use crate::{ChainError, DryRun, Transaction, Weight};
use protocol::{AccountId, Amount};
use scale::{Compact, Decode, Encode};

/// A question for `state_call`.
pub(super) struct Question {
    pub(super) method: &'static str,
    arguments: Vec<u8>,
}

impl Question {
    /// How to ask what `transaction` would do if `origin` sent it; none for a transfer, which the pallet knows nothing of.
    ///
    /// # Errors
    /// [`ChainError::AmountTooLarge`].
    pub(super) fn about(
        origin: &AccountId,
        transaction: &Transaction,
        balances: BalanceWidth,
    ) -> Result<Option<Self>, ChainError> {
        // Neither limit is given: a whole block, and what the origin can afford.
        let (gas, deposit) = (None::<()>, None::<()>);
        let mut arguments = origin.encode();
        let method = match transaction {
            Transaction::Call { contract, value, data } => {
                contract.encode_to(&mut arguments);
                balances.encode_to(*value, &mut arguments)?;
                (gas, deposit, data).encode_to(&mut arguments);
                "ContractsApi_call"
            }
            Transaction::Instantiate { code, value, data, salt } => {
                balances.encode_to(*value, &mut arguments)?;
                (gas, deposit, Code::Upload(code), data, salt).encode_to(&mut arguments);
                "ContractsApi_instantiate"
            }
            Transaction::Transfer { .. } => return Ok(None),
        };
        Ok(Some(Self { method, arguments }))
    }

    pub(super) fn arguments(&self) -> String {
        wire::to_hex(&self.arguments)
    }
}

#[derive(Encode)]
enum Code<'a> {
    #[codec(index = 0)]
    Upload(&'a Vec<u8>),
}

/// What every answer starts with.
struct Costs {
    consumed: (Compact<u64>, Compact<u64>),
    required: (Compact<u64>, Compact<u64>),
    /// With a sign: what is taken from the caller, or given back.
    deposit: i128,
    /// Why code was rejected, for one.
    debug_message: Vec<u8>,
}

/// How a deposit says whether it is given back or taken.
const REFUND: u8 = 0;
const CHARGE: u8 = 1;

impl Costs {
    fn decode(input: &mut &[u8], balances: BalanceWidth) -> Result<Self, scale::Error> {
        let (consumed, required) = Decode::decode(input)?;
        let direction = u8::decode(input)?;
        let amount = signed(balances.decode(input)?);
        let deposit = match direction {
            REFUND => amount.saturating_neg(),
            CHARGE => amount,
            _ => return Err("a deposit is given back or taken".into()),
        };
        Ok(Self { consumed, required, deposit, debug_message: Decode::decode(input)? })
    }
}

#[derive(Decode)]
struct Returned {
    flags: u32,
    data: Vec<u8>,
}

/// The bit by which a contract asks to undo everything.
const REVERT: u32 = 1;

/// What the pallet answered.
pub(super) enum Answer {
    Ran(DryRun),
    Failed { error: DispatchError, debug_message: Vec<u8> },
}

impl Answer {
    pub(super) fn decode(
        transaction: &Transaction,
        mut bytes: &[u8],
        balances: BalanceWidth,
    ) -> Result<Self, scale::Error> {
        let input = &mut bytes;
        let Costs { consumed, required, deposit, debug_message } = Costs::decode(input, balances)?;
        let (returned, instantiated) = match transaction {
            Transaction::Instantiate { .. } => match <Result<(Returned, AccountId), DispatchError>>::decode(input)? {
                Ok((returned, address)) => (returned, Some(address)),
                Err(error) => return Ok(Self::Failed { error, debug_message }),
            },
            Transaction::Call { .. } | Transaction::Transfer { .. } => {
                match <Result<Returned, DispatchError>>::decode(input)? {
                    Ok(returned) => (returned, None),
                    Err(error) => return Ok(Self::Failed { error, debug_message }),
                }
            }
        };
        let reverted = returned.flags & REVERT != 0;
        Ok(Self::Ran(DryRun {
            used: weight(consumed),
            required: weight(required),
            storage_deposit: deposit,
            returned: returned.data,
            reverted,
            instantiated: instantiated.filter(|_| !reverted),
        }))
    }
}

const fn weight((ref_time, proof_size): (Compact<u64>, Compact<u64>)) -> Weight {
    Weight { ref_time: ref_time.0, proof_size: proof_size.0 }
}

/// A deposit with a sign. Half of what an amount can hold is more coins than any deposit.
pub(super) fn signed(amount: Amount) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: BalanceWidth = BalanceWidth::Bits128;
    const CALL: Transaction = Transaction::Call { contract: AccountId([2; 32]), value: 5, data: Vec::new() };

    fn costs(deposit: (u8, Amount), message: &[u8]) -> Vec<u8> {
        let weights = (Compact(70_000_u64), Compact(300_u64), Compact(80_000_u64), Compact(400_u64));
        (weights, deposit, message.to_vec()).encode()
    }

    fn ran(transaction: &Transaction, bytes: &[u8]) -> DryRun {
        match Answer::decode(transaction, bytes, WIDE) {
            Ok(Answer::Ran(dry_run)) => dry_run,
            Ok(Answer::Failed { error, .. }) => panic!("{error:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn an_answer_is_read_and_what_follows_is_left() {
        // Ok, flags 0, two bytes of data, no events, and something that a later pallet may have added.
        let rest = [&[0][..], &0_u32.encode(), &[8, 1, 2], &[0], b"more"].concat();
        let dry_run = ran(&CALL, &[costs((1, 1_000), b""), rest].concat());
        assert_eq!(dry_run.used, Weight { ref_time: 70_000, proof_size: 300 });
        assert_eq!(dry_run.required, Weight { ref_time: 80_000, proof_size: 400 });
        assert_eq!((dry_run.storage_deposit, dry_run.returned, dry_run.reverted), (1_000, vec![1, 2], false));
    }

    #[test]
    fn a_refund_is_negative_and_a_revert_is_seen() {
        let rest = [&[0][..], &1_u32.encode(), &[0, 0]].concat();
        let dry_run = ran(&CALL, &[costs((0, 7), b""), rest].concat());
        assert_eq!((dry_run.storage_deposit, dry_run.reverted), (-7, true));
    }

    #[test]
    fn a_new_instances_address_is_told_unless_it_was_undone() {
        let instantiate = Transaction::Instantiate { code: vec![1], value: 0, data: Vec::new(), salt: Vec::new() };
        let rest = |flags: u32| [&[0][..], &flags.encode(), &[0], &[9; 32], &[0]].concat();
        let address = |flags| ran(&instantiate, &[costs((1, 0), b""), rest(flags)].concat()).instantiated;
        assert_eq!((address(0), address(1)), (Some(AccountId([9; 32])), None));
    }

    #[test]
    fn a_failure_keeps_the_debug_message() {
        let rest = [1, 3, 8, 5, 0, 0, 0, 0];
        let bytes = [costs((1, 0), b"why"), rest.to_vec()].concat();
        let Ok(Answer::Failed { error, debug_message }) = Answer::decode(&CALL, &bytes, WIDE) else {
            panic!("it failed")
        };
        assert_eq!((error, &*debug_message), (DispatchError::Module { pallet: 8, error: [5, 0, 0, 0] }, &b"why"[..]));
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [&[][..], &[1, 2, 3], &[0; 9]] {
            assert!(Answer::decode(&CALL, bytes, WIDE).is_err());
        }
    }

    #[test]
    fn a_question_has_its_arguments_in_the_pallets_order() {
        let question = Question::about(&AccountId([1; 32]), &CALL, WIDE).unwrap().unwrap();
        let expected = [&[1; 32][..], &[2; 32], &5_u128.encode(), &[0, 0], &[0]].concat();
        assert_eq!((question.method, question.arguments()), ("ContractsApi_call", wire::to_hex(&expected)));
        let transfer = Transaction::Transfer { to: AccountId([1; 32]), amount: 1 };
        assert!(Question::about(&AccountId([1; 32]), &transfer, WIDE).unwrap().is_none());
    }

    #[test]
    fn where_balances_have_64_bits_they_are_asked_and_answered_in_64() {
        let narrow = BalanceWidth::Bits64;
        let question = Question::about(&AccountId([1; 32]), &CALL, narrow).unwrap().unwrap();
        let expected = [&[1; 32][..], &[2; 32], &5_u64.encode(), &[0, 0], &[0]].concat();
        assert_eq!(question.arguments(), wire::to_hex(&expected));
        let weights = (Compact(1_u64), Compact(2_u64), Compact(3_u64), Compact(4_u64));
        for (direction, deposit) in [(1_u8, 9), (0, -9)] {
            let bytes =
                [(weights, direction, 9_u64, Vec::<u8>::new()).encode(), [&[0][..], &0_u32.encode(), &[0, 0]].concat()]
                    .concat();
            let Ok(Answer::Ran(dry_run)) = Answer::decode(&CALL, &bytes, narrow) else { panic!("it ran") };
            assert_eq!((dry_run.storage_deposit, dry_run.required), (deposit, Weight { ref_time: 3, proof_size: 4 }));
            assert!(Answer::decode(&CALL, &bytes, WIDE).is_err());
        }
        let too_much =
            Transaction::Call { contract: AccountId([2; 32]), value: Amount::from(u64::MAX) + 1, data: Vec::new() };
        let refused = Question::about(&AccountId([1; 32]), &too_much, narrow);
        assert!(matches!(refused, Err(ChainError::AmountTooLarge { .. })));
    }
}
