//! The arbiter's messages as a chain gets them, and its answers: the bytes that the contract takes and gives.

use crate::arbiter::selector;
use protocol::{
    call::{Call, Read},
    decode_exact,
};
use scale::Encode;

/// What a call of the contract asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Something to do.
    Call(Call),
    /// Something to know.
    Read(Read),
}

/// The answer to bytes that are no message, as every contract of ink! gives it: `Err(LangError::CouldNotReadInput)`.
pub(super) const NOT_UNDERSTOOD: [u8; 2] = [1, 1];

/// An answer as the contract returns it: within the `Ok` that says the message was understood.
pub(super) fn understood(answer: &impl Encode) -> Vec<u8> {
    [vec![0], answer.encode()].concat()
}

impl Message {
    /// The message that `data` is; none where the selector is unknown, the arguments do not decode, or bytes follow them.
    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        let (wanted, arguments) = data.split_first_chunk::<4>()?;
        let is = |name: &&&str| selector(name) == *wanted;
        if let Some(name) = Call::NAMES.iter().find(is) {
            return decode_call(name, arguments).map(Self::Call);
        }
        decode_read(READS.iter().find(is)?, arguments).map(Self::Read)
    }

    /// Whether coins may come with it; a message of the contract that takes none traps.
    pub(super) const fn is_payable(&self) -> bool {
        matches!(self, Self::Call(Call::VaultDeposit { .. } | Call::ChannelCreate(_) | Call::ChannelDeposit(_)))
    }
}

const READS: [&str; 8] = [
    "channel",
    "vault_balance",
    "pair_nonce",
    "prove_contract_state",
    "preimage_shown_at",
    "limits",
    "domain",
    "version",
];

fn decode_call(name: &str, arguments: &[u8]) -> Option<Call> {
    Some(match name {
        "vault_deposit" => Call::VaultDeposit { key: decode_exact(arguments).ok()? },
        "vault_withdraw" => {
            let (key, amount) = decode_exact(arguments).ok()?;
            Call::VaultWithdraw { key, amount }
        }
        "channel_create" => Call::ChannelCreate(decode_exact(arguments).ok()?),
        "channel_close_mutual" => Call::ChannelCloseMutual(decode_exact(arguments).ok()?),
        "channel_close_solo" => Call::ChannelCloseSolo(decode_exact(arguments).ok()?),
        "channel_slash" => Call::ChannelSlash(decode_exact(arguments).ok()?),
        "channel_settle" => Call::ChannelSettle { channel: decode_exact(arguments).ok()? },
        "channel_deposit" => Call::ChannelDeposit(decode_exact(arguments).ok()?),
        "channel_withdraw" => Call::ChannelWithdraw(decode_exact(arguments).ok()?),
        "channel_snapshot_solo" => Call::ChannelSnapshotSolo(decode_exact(arguments).ok()?),
        "channel_set_delegates" => Call::ChannelSetDelegates(decode_exact(arguments).ok()?),
        "channel_force_progress" => Call::ChannelForceProgress(decode_exact(arguments).ok()?),
        "preimage_register" => {
            let (preimage, function) = decode_exact(arguments).ok()?;
            Call::PreimageRegister { preimage, function }
        }
        "preimages_register" => {
            let (preimages, function) = decode_exact(arguments).ok()?;
            Call::PreimagesRegister { preimages, function }
        }
        "batch" => Call::Batch(decode_exact(arguments).ok()?),
        _ => return None,
    })
}

fn decode_read(name: &str, arguments: &[u8]) -> Option<Read> {
    let nothing = |read: Read| arguments.is_empty().then_some(read);
    match name {
        "channel" => decode_exact(arguments).ok().map(Read::Channel),
        "vault_balance" => decode_exact(arguments).ok().map(Read::VaultBalance),
        "pair_nonce" => decode_exact(arguments).ok().map(Read::PairNonce),
        "prove_contract_state" => decode_exact(arguments).ok().map(Read::ProveContractState),
        "preimage_shown_at" => decode_exact(arguments).ok().map(Read::PreimageShownAt),
        "limits" => nothing(Read::Limits),
        "domain" => nothing(Read::Domain),
        "version" => nothing(Read::Version),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{
        AccountId, ChannelId, Hash, Pair, PartyId, PublicKey,
        contracts::conditional::{HashFunction, HashLock, Preimage},
    };

    fn data(name: &str, arguments: &[u8]) -> Vec<u8> {
        [&selector(name)[..], arguments].concat()
    }

    #[test]
    fn what_the_client_sends_is_understood_as_it_was_meant() {
        let key = PublicKey([7; 32]);
        let preimage = Preimage([1; 32]);
        let function = HashFunction::Sha2_256;
        let channel = ChannelId([3; 32]);
        for call in [
            Call::VaultDeposit { key },
            Call::VaultWithdraw { key, amount: 5 },
            Call::ChannelSettle { channel },
            Call::PreimageRegister { preimage, function },
            Call::PreimagesRegister { preimages: vec![preimage; 2], function },
            Call::Batch(Vec::new()),
        ] {
            assert_eq!(Message::decode(&data(call.name(), &call.arguments())), Some(Message::Call(call)));
        }
        let owner = PartyId { account: AccountId([1; 32]), key };
        let lock = HashLock { function, digest: Hash([5; 32]) };
        for read in [
            Read::Channel(channel),
            Read::VaultBalance(owner),
            Read::PairNonce(Pair::new(owner, owner)),
            Read::PreimageShownAt(lock),
            Read::Limits,
            Read::Domain,
            Read::Version,
        ] {
            assert_eq!(Message::decode(&data(read.name(), &read.arguments())), Some(Message::Read(read)));
        }
    }

    #[test]
    fn what_is_no_message_is_not_understood() {
        assert_eq!(Message::decode(&[]), None);
        assert_eq!(Message::decode(&data("no_such_message", &[])), None);
        let settle = data("channel_settle", &[3; 32]);
        assert!(Message::decode(&settle).is_some());
        assert_eq!(Message::decode(&settle[..35]), None, "too short");
        assert_eq!(Message::decode(&[settle, vec![0]].concat()), None, "too long");
        assert_eq!(Message::decode(&data("limits", &[0])), None, "arguments where there are none");
    }
}
