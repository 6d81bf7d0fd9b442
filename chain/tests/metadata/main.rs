//! Chains as their metadata describes them: what was recorded of three, what others would say that differ from the development node in one thing each, and
//! what an endpoint may make up.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking, and so do its helpers"
)]
#![cfg(feature = "remote")]

mod random;
mod recorded;

use async_trait::async_trait;
use chain::{
    AddressFormat, BlockRef, ChainError, ChainSignature, DryRun, NotSigned, Signer, Transaction, Weight,
    remote::for_test_only::Codec,
};
use frame_metadata::{
    RuntimeMetadata, RuntimeMetadataPrefixed,
    v14::{RuntimeMetadataV14, SignedExtensionMetadata},
};
use protocol::{AccountId, Amount, Hash};
use scale::{Decode, Encode};
use scale_info::{PortableType, TypeDef, TypeDefCompact, TypeDefPrimitive, TypeDefTuple};
use std::sync::atomic::{AtomicUsize, Ordering};

const RECORDED: &[u8] = recorded::CONTRACTS_NODE;
const NARROW: Amount = u64::MAX as Amount;

/// The recorded metadata with a change, as a node would send it.
fn changed(change: impl FnOnce(&mut RuntimeMetadataV14)) -> Vec<u8> {
    let mut metadata = RuntimeMetadataPrefixed::decode(&mut &*RECORDED).unwrap();
    let RuntimeMetadata::V14(inner) = &mut metadata.1 else { panic!("version 14 was recorded") };
    change(inner);
    metadata.encode()
}

/// That of a chain whose balances have 64 bits, as Bittensor's have.
fn with_64_bits(metadata: &mut RuntimeMetadataV14) {
    for PortableType { ty, .. } in &mut metadata.types.types {
        if ty.type_def == TypeDef::Primitive(TypeDefPrimitive::U128) {
            ty.type_def = TypeDef::Primitive(TypeDefPrimitive::U64);
        }
    }
    constant(metadata, "Balances", "ExistentialDeposit").truncate(8);
}

fn constant<'a>(metadata: &'a mut RuntimeMetadataV14, pallet: &str, name: &str) -> &'a mut Vec<u8> {
    let pallet = metadata.pallets.iter_mut().find(|one| one.name == pallet).unwrap();
    &mut pallet.constants.iter_mut().find(|one| one.name == name).unwrap().value
}

/// One type more; its id.
fn new_type(metadata: &mut RuntimeMetadataV14, type_def: TypeDef<scale_info::form::PortableForm>) -> u32 {
    let id = u32::try_from(metadata.types.types.len()).unwrap();
    let ty =
        scale_info::Type { path: scale_info::Path::default(), type_params: Vec::new(), type_def, docs: Vec::new() };
    metadata.types.types.push(PortableType { id, ty });
    id
}

fn with_extension(metadata: &mut RuntimeMetadataV14, name: &str, ty: u32, additional: u32) {
    let extension =
        SignedExtensionMetadata { identifier: name.into(), ty: ty.into(), additional_signed: additional.into() };
    metadata.extrinsic.signed_extensions.push(extension);
}

fn primitive(metadata: &RuntimeMetadataV14, kind: TypeDefPrimitive) -> u32 {
    metadata.types.types.iter().find(|entry| entry.ty.type_def == TypeDef::Primitive(kind.clone())).unwrap().id
}

fn nothing(metadata: &mut RuntimeMetadataV14) -> u32 {
    new_type(metadata, TypeDef::Tuple(TypeDefTuple::new_portable(Vec::new())))
}

fn codec(metadata: &[u8]) -> Result<Codec, ChainError> {
    Codec::new(Hash([1; 32]), 100, 1, metadata)
}

/// Signs whatever it is shown, and counts.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Signer for Counting {
    fn account(&self) -> AccountId {
        AccountId([7; 32])
    }

    async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        let _before = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(ChainSignature::Sr25519([9; 64]))
    }
}

/// A transaction as it is sent, and how often something was signed for it.
async fn signed(codec: &Codec, transaction: &Transaction) -> (Result<Vec<u8>, ChainError>, usize) {
    let (signer, birth) = (Counting::default(), BlockRef { number: 64, hash: Hash([2; 32]) });
    let dry_run = DryRun { storage_deposit: 5, ..DryRun::of(Weight { ref_time: 1, proof_size: 2 }) };
    let signed = codec.sign(transaction, &dry_run, &signer, 3, birth).await;
    (signed, signer.0.into_inner())
}

const fn transfer(amount: Amount) -> Transaction {
    Transaction::Transfer { to: AccountId([8; 32]), amount }
}

fn call(value: Amount) -> Transaction {
    Transaction::Call { contract: AccountId([8; 32]), value, data: vec![1, 2, 3] }
}

#[tokio::test]
async fn the_recorded_chain_has_128_bits_and_the_prefix_of_development_chains() {
    let codec = codec(RECORDED).unwrap();
    assert_eq!((codec.most(), codec.address_format()), (Amount::MAX, Ok(AddressFormat::GENERIC)));
    for transaction in [transfer(NARROW + 1), call(NARROW + 1)] {
        let (done, signatures) = signed(&codec, &transaction).await;
        assert!(done.is_ok() && signatures == 1, "{done:?}");
    }
}

#[tokio::test]
async fn where_balances_have_64_bits_transactions_are_written_in_64_and_more_is_refused_unsigned() {
    let codec = codec(&changed(with_64_bits)).unwrap();
    assert_eq!(codec.most(), NARROW);
    for transaction in [transfer, call] {
        let (done, signatures) = signed(&codec, &transaction(NARROW)).await;
        assert!(done.is_ok() && signatures == 1, "{done:?}");
        let (refused, signatures) = signed(&codec, &transaction(NARROW + 1)).await;
        assert_eq!((refused, signatures), (Err(ChainError::AmountTooLarge { amount: NARROW + 1, most: NARROW }), 0));
    }
    // An account there: nonce, three counters, free, reserved, frozen, flags.
    let account =
        [(1_u32, 1_u32, 1_u32, 0_u32).encode(), (1_000_u64, 200_u64, 300_u64).encode(), (1_u64 << 63).encode()]
            .concat();
    assert_eq!(codec.spendable(&account), Ok(900));
}

#[tokio::test]
async fn an_extension_of_fees_by_another_name_is_told_the_tip_and_one_that_wants_nothing_gets_nothing() {
    let recorded = signed(&codec(RECORDED).unwrap(), &transfer(1)).await.0.unwrap();
    let metadata = changed(|metadata| {
        let (number, nothing) = (primitive(metadata, TypeDefPrimitive::U128), nothing(metadata));
        let compact = new_type(metadata, TypeDef::Compact(TypeDefCompact::new(number.into())));
        let wrapper = new_type(metadata, TypeDef::Tuple(TypeDefTuple::new_portable([compact.into()])));
        with_extension(metadata, "ChargeTransactionPaymentWrapper", wrapper, nothing);
        with_extension(metadata, "DrandPriority", nothing, nothing);
    });
    let (done, signatures) = signed(&codec(&metadata).unwrap(), &transfer(1)).await;
    assert_eq!(signatures, 1);
    // One byte more: a tip of nothing.
    assert_eq!(done.unwrap().len(), recorded.len() + 1);
}

#[tokio::test]
async fn an_extension_that_nobody_here_knows_is_refused_by_its_name_and_nothing_is_signed() {
    for (wants, change) in [
        ("a value", (|number, nothing| (number, nothing)) as fn(u32, u32) -> (u32, u32)),
        ("something that is signed and not sent", |number, nothing| (nothing, number)),
    ] {
        let metadata = changed(|metadata| {
            let (number, nothing) = (primitive(metadata, TypeDefPrimitive::U32), nothing(metadata));
            let (ty, additional) = change(number, nothing);
            with_extension(metadata, "CheckTheWeather", ty, additional);
        });
        let (refused, signatures) = signed(&codec(&metadata).unwrap(), &transfer(1)).await;
        let error = refused.unwrap_err();
        assert_eq!((&error, signatures), (&ChainError::ExtensionUnknown { name: "CheckTheWeather".into(), wants }, 0));
        assert!(
            error.to_string().contains("CheckTheWeather") && error.to_string().contains("use a version"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_chains_own_prefix_is_read_and_one_that_no_chain_has_is_refused() {
    let with_prefix = |prefix: u16| {
        codec(&changed(|metadata| *constant(metadata, "System", "SS58Prefix") = prefix.encode()))
            .unwrap()
            .address_format()
    };
    assert_eq!(with_prefix(5), Ok(AddressFormat::new(5).unwrap()));
    let error = with_prefix(20_000).unwrap_err().to_string();
    assert!(error.contains("20000") && error.contains("SS58"), "{error}");
}

#[test]
fn metadata_that_lacks_what_is_needed_is_refused_with_what_it_lacks() {
    let without = |pallet: &'static str| changed(move |metadata| metadata.pallets.retain(|one| one.name != pallet));
    let without_deposit = changed(|metadata| {
        let balances = metadata.pallets.iter_mut().find(|one| one.name == "Balances").unwrap();
        balances.constants.retain(|one| one.name != "ExistentialDeposit");
    });
    let with_256 = changed(|metadata| {
        for entry in &mut metadata.types.types {
            if entry.ty.type_def == TypeDef::Primitive(TypeDefPrimitive::U128) {
                entry.ty.type_def = TypeDef::Primitive(TypeDefPrimitive::U256);
            }
        }
    });
    for (metadata, said) in [
        (without("Contracts"), "Contracts"),
        (without("Balances"), "Balances"),
        (without_deposit, "ExistentialDeposit"),
        (with_256, "64 and 128 bits"),
        (vec![1, 2, 3], "does not decode"),
    ] {
        let error = codec(&metadata).err().unwrap().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}
