//! What nodes send: hexadecimal text in JSON.

use protocol::{
    BlockNumber, Hash,
    crypto::{Crypto, Native},
};
use scale::{Compact, Encode};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Bytes as `0x..` text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("bytes without 0x"))?;
        hex::decode(digits).map(Self).map_err(D::Error::custom)
    }
}

/// 32 bytes as `0x..` text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex32(pub(super) Hash);

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Bytes(bytes) = Bytes::deserialize(deserializer)?;
        let hash = bytes.try_into().map_err(|_length| D::Error::custom("a hash has 32 bytes"))?;
        Ok(Self(Hash(hash)))
    }
}

/// A block's header. Its hash is computed here and not believed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) parent_hash: Hex32,
    #[serde(deserialize_with = "number")]
    pub(super) number: BlockNumber,
    state_root: Hex32,
    extrinsics_root: Hex32,
    digest: Digest,
}

#[derive(Clone, Debug, Deserialize)]
struct Digest {
    logs: Vec<Bytes>,
}

/// The digest item that says: from the next block on, another runtime.
const NEW_RUNTIME: &[u8] = &[8];

impl Header {
    pub(super) fn hash(&self) -> Hash {
        let mut bytes = (self.parent_hash.0, Compact(self.number), self.state_root.0, self.extrinsics_root.0).encode();
        let logs = u32::try_from(self.digest.logs.len()).unwrap_or(u32::MAX);
        Compact(logs).encode_to(&mut bytes);
        for Bytes(log) in &self.digest.logs {
            bytes.extend_from_slice(log);
        }
        Native.hash(&bytes)
    }

    pub(super) fn brings_new_runtime(&self) -> bool {
        self.digest.logs.iter().any(|Bytes(log)| log == NEW_RUNTIME)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockNumber, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("a number without 0x"))?;
    BlockNumber::from_str_radix(digits, 16).map_err(D::Error::custom)
}

/// A block's body.
#[derive(Debug, Deserialize)]
pub(super) struct SignedBlock {
    pub(super) block: Body,
}

/// See [`SignedBlock`].
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    /// As they were sent, in `0x..` text.
    pub(super) extrinsics: Vec<String>,
}

/// Which runtime a state has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeVersion {
    pub(super) spec_version: u32,
    pub(super) transaction_version: u32,
}

/// What a node tells of a transaction that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    /// It waits for an earlier nonce.
    Future,
    /// It waits for a block.
    Ready,
    Broadcast(Vec<String>),
    InBlock(Hex32),
    Retracted(Hex32),
    FinalityTimeout(Hex32),
    Finalized(Hex32),
    /// Another one with its nonce took its place.
    Usurped(Hex32),
    /// The pool had no room for it any more.
    Dropped,
    /// It cannot be in a block any more, as the node sees it.
    Invalid,
}

impl Status {
    /// Whether the node has nothing more to say. It says of a transaction that another one with its nonce took the place of in a block that it is
    /// in that block, and final with it: only who looks into the block knows.
    pub(super) const fn is_last(&self) -> bool {
        matches!(self, Self::Usurped(_) | Self::Dropped | Self::Invalid | Self::Finalized(_) | Self::FinalityTimeout(_))
    }
}

/// Bytes as nodes take them.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headers_hash_is_that_of_its_encoding() {
        // The first block after a genesis: parent, number 1, two roots, one pre-runtime digest item.
        let (parent, state, extrinsics) = (Hash([1; 32]), Hash([2; 32]), Hash([3; 32]));
        let log = [&[6_u8][..], b"aura", &[32, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
        let text = format!(
            r#"{{"parentHash":"{parent}","number":"0x1","stateRoot":"{state}","extrinsicsRoot":"{extrinsics}","digest":{{"logs":["{}"]}}}}"#,
            to_hex(&log)
        );
        let header: Header = serde_json::from_str(&text).unwrap();
        let bytes = [&parent.0[..], &[4], &state.0, &extrinsics.0, &[4], &log].concat();
        assert_eq!((header.number, header.hash()), (1, Native.hash(&bytes)));
        assert!(!header.brings_new_runtime());
    }

    #[test]
    fn statuses_are_told_apart() {
        let hash = Hash([7; 32]);
        for (text, status) in [
            (r#""ready""#.to_owned(), Status::Ready),
            (r#""future""#.to_owned(), Status::Future),
            (r#"{"broadcast":["a"]}"#.to_owned(), Status::Broadcast(vec!["a".into()])),
            (format!(r#"{{"inBlock":"{hash}"}}"#), Status::InBlock(Hex32(hash))),
            (format!(r#"{{"finalized":"{hash}"}}"#), Status::Finalized(Hex32(hash))),
            (format!(r#"{{"usurped":"{hash}"}}"#), Status::Usurped(Hex32(hash))),
            (format!(r#"{{"finalityTimeout":"{hash}"}}"#), Status::FinalityTimeout(Hex32(hash))),
            (r#""dropped""#.to_owned(), Status::Dropped),
            (r#""invalid""#.to_owned(), Status::Invalid),
        ] {
            assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
        }
        assert!(Status::Dropped.is_last() && Status::Finalized(Hex32(hash)).is_last());
        assert!(!Status::InBlock(Hex32(hash)).is_last() && !Status::Ready.is_last());
    }

    #[test]
    fn nonsense_does_not_decode() {
        for text in [r#""12""#, r#""0xzz""#, "12", r#""0x1""#] {
            assert!(serde_json::from_str::<Bytes>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Hex32>(r#""0x00""#).is_err());
    }
}
