//! Metadata as an endpoint may make it up: what was recorded with anything in it changed, cut short, or blown up. It is read or refused, never breaks
//! the client, and never has anything signed that the chain of that metadata cannot say.

use crate::{
    changed, codec, new_type, nothing,
    recorded::{BITTENSOR, CONTRACTS_NODE, PENDULUM},
    signed, transfer, with_extension,
};
use chain::ChainError;
use frame_metadata::v14::RuntimeMetadataV14;
use protocol::Amount;
use scale_info::{TypeDef, TypeDefComposite, TypeDefPrimitive, TypeDefTuple};
use std::time::{Duration, Instant};

/// Numbers that follow from a seed (SplitMix64): a failure names its seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Reads metadata and signs by it, all that a client does with what an endpoint tells.
async fn hold(metadata: &[u8], what: &str) -> bool {
    let Ok(codec) = codec(metadata) else { return false };
    let most = codec.most();
    assert!([Amount::from(u64::MAX), Amount::MAX].contains(&most), "{what}: {most}");
    let (format, _time, era) = (codec.address_format(), codec.block_time(), codec.longest_era());
    assert!(format.is_err() || format.is_ok_and(|format| format.prefix() < 16_384), "{what}");
    assert!((4..=1_024).contains(&era) && era.is_power_of_two(), "{what}: {era}");
    for transaction in [transfer(1), crate::call(most)] {
        let (done, signatures) = signed(&codec, &transaction).await;
        // Signed once, or not at all; what a made-up type of signatures cannot hold is signed, and never sent.
        assert!(signatures == 1 || (signatures == 0 && done.is_err()), "{what}: {done:?}");
    }
    if let Some(amount) = most.checked_add(1) {
        let refused = (Err(ChainError::AmountTooLarge { amount, most }), 0);
        assert_eq!(signed(&codec, &transfer(amount)).await, refused, "{what}");
    }
    for bytes in [&[][..], &[0xff; 80], &metadata[..metadata.len().min(500)]] {
        let _refused = codec.spendable(bytes);
        let _refused = codec.contract_events(bytes.to_vec());
        let _refused = codec.error_name(bytes);
    }
    true
}

/// As [`hold`], naming whatever breaks.
fn hold_each(cases: impl Iterator<Item = (String, Vec<u8>)>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut read = 0;
    for (what, metadata) in cases {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(hold(&metadata, &what))));
        read += usize::from(held.unwrap_or_else(|_panic| panic!("{what} broke the client")));
    }
    read
}

#[test]
fn whatever_bytes_an_endpoint_changes_the_client_reads_or_refuses() {
    let cases = [CONTRACTS_NODE, BITTENSOR, PENDULUM].into_iter().zip(["node", "Bittensor", "Pendulum"]);
    let read = hold_each(cases.flat_map(|(recorded, name)| {
        (0..120).map(move |seed| {
            let (mut numbers, mut metadata) = (Numbers(seed), recorded.to_vec());
            for _ in 0..=numbers.below(6) {
                let place = numbers.below(metadata.len());
                metadata[place] = numbers.next().to_le_bytes()[0];
            }
            (format!("{name}, bytes of seed {seed}"), metadata)
        })
    }));
    assert!(read > 30, "only {read} were read at all: what is changed should often be a name or a text");
}

#[test]
fn whatever_types_an_endpoint_makes_up_the_client_reads_or_refuses() {
    let read = hold_each((0..250).map(|seed| {
        let mut numbers = Numbers(seed);
        let metadata = changed(|metadata| {
            for _ in 0..=numbers.below(30) {
                change(metadata, &mut numbers);
            }
        });
        (format!("types of seed {seed}"), metadata)
    }));
    assert!(read > 10, "only {read} were read at all");
}

/// One type is another, or refers to another, or to none; or a constant has other bytes.
fn change(metadata: &mut RuntimeMetadataV14, numbers: &mut Numbers) {
    let count = metadata.types.types.len();
    let (one, other) = (numbers.below(count), numbers.below(count));
    match numbers.below(5) {
        0 => metadata.types.types[one].ty.type_def = metadata.types.types[other].ty.type_def.clone(),
        1 => {
            if let TypeDef::Composite(composite) = &mut metadata.types.types[one].ty.type_def {
                composite.fields.iter_mut().for_each(|field| field.ty = u32::try_from(other).unwrap().into());
            }
        }
        2 => metadata.types.types[one].ty.type_def = TypeDef::Primitive(TypeDefPrimitive::U64),
        3 => {
            let unknown = u32::try_from(count + numbers.below(1_000)).unwrap();
            metadata.types.types[one].ty.type_def = TypeDef::Tuple(TypeDefTuple::new_portable([unknown.into()]));
        }
        _ => {
            let pallet = numbers.below(metadata.pallets.len());
            for constant in &mut metadata.pallets[pallet].constants {
                constant.value = (0..numbers.below(20)).map(|_| numbers.next().to_le_bytes()[0]).collect();
            }
        }
    }
}

#[test]
fn a_type_that_contains_itself_is_refused() {
    for far in [0_u32, 1, 5] {
        let metadata = changed(|metadata| {
            let first = u32::try_from(metadata.types.types.len()).unwrap();
            for step in 0..=far {
                let part = if step == far { first } else { first + step + 1 };
                let _id = new_type(metadata, TypeDef::Tuple(TypeDefTuple::new_portable([part.into()])));
            }
        });
        let error = codec(&metadata).err().unwrap().to_string();
        assert!(error.contains("contains itself"), "{error}");
    }
}

#[test]
fn metadata_that_is_cut_short_is_refused() {
    for (recorded, name) in [(CONTRACTS_NODE, "node"), (BITTENSOR, "Bittensor"), (PENDULUM, "Pendulum")] {
        let read = hold_each((0..64).map(|part| {
            let length = recorded.len() * part / 64;
            (format!("{name}, its first {length} bytes"), recorded[..length].to_vec())
        }));
        assert_eq!(read, 0, "{name}");
    }
}

#[test]
fn lengths_that_are_not_there_take_no_memory() {
    for recorded in [CONTRACTS_NODE, BITTENSOR, PENDULUM] {
        // After the magic number and the version comes the number of types: four thousand million of them.
        let metadata = [&recorded[..5], &[0x03, 0xff, 0xff, 0xff, 0xff], &recorded[7..]].concat();
        assert_eq!(hold_each([("a number of types".to_owned(), metadata)].into_iter()), 0);
    }
}

#[test]
fn types_within_types_that_are_nothing_at_all_keep_nobody_busy() {
    // Each of six types has a thousand parts of the one before: to look at all of them would take for ever.
    let metadata = changed(|metadata| {
        let mut part = nothing(metadata);
        for _ in 0..6 {
            let field = scale_info::Field { name: None, ty: part.into(), type_name: None, docs: Vec::new() };
            let fields = vec![field; 1_000];
            part = new_type(metadata, TypeDef::Composite(TypeDefComposite { fields }));
        }
        let nothing = nothing(metadata);
        with_extension(metadata, "CheckEverything", part, nothing);
    });
    let began = Instant::now();
    let (done, signatures) = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async { signed(&codec(&metadata).unwrap(), &transfer(1)).await });
    assert_eq!(signatures, 0);
    assert!(matches!(done, Err(ChainError::ExtensionUnknown { .. })), "{done:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
