//! Invoices as text: what is wrong with one is said by name, and others can test their own code with the vectors.

use bech32::{Bech32m, Hrp};
use network::{
    Announcement, Asset, AssetKind, Fee, Forward, HubTerms, Instruction, Invoice, InvoiceError, MAX_DESCRIPTION,
    MAX_HUBS, StakedForward,
};
use protocol::{
    AccountId, Hash, PublicKey,
    contracts::conditional::{HashFunction, Preimage},
    crypto::{Native, SigningKey},
    signing::Domain,
};
use scale::Encode;
use std::{env, fs, path::PathBuf};

const CHAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };

fn signer() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn invoice() -> Invoice {
    Invoice {
        payee: signer().public(),
        asset: Asset { registry: CHAIN, kind: AssetKind::Native },
        amount: Some(250_000),
        lock: Preimage([2; 32]).lock(HashFunction::Blake2b256, &Native),
        secret: [3; 32],
        least_expiry: 40,
        description: "two coffees".to_owned(),
        expires_at: 1_800_000_000,
        hubs: vec![PublicKey([4; 32])],
    }
}

#[test]
fn an_invoice_is_read_as_it_was_signed() {
    let any = Invoice { amount: None, hubs: Vec::new(), description: String::new(), ..invoice() };
    let description = "\u{1f600}".repeat(MAX_DESCRIPTION / 4);
    let longest = Invoice { hubs: vec![PublicKey([4; 32]); MAX_HUBS], description, ..invoice() };
    for invoice in [invoice(), any, longest] {
        let text = invoice.sign(&signer()).expect("text");
        assert!(text.starts_with("isc1") && text.len() <= 1_023, "{} characters", text.len());
        assert_eq!(Invoice::parse(&text), Ok(invoice.clone()));
        assert_eq!(Invoice::parse(&text.to_uppercase()), Ok(invoice.clone()), "as QR codes have it");
        assert_eq!(Invoice::parse(&format!(" {text}\n")), Ok(invoice));
    }
}

#[test]
fn a_character_that_is_changed_lost_or_doubled_is_found() {
    let text = invoice().sign(&signer()).expect("text");
    for place in 4..text.len() {
        let was = text.as_bytes()[place];
        let other = if was == b'q' { 'p' } else { 'q' };
        let mut changed = text.clone();
        changed.replace_range(place..=place, &other.to_string());
        assert_eq!(Invoice::parse(&changed), Err(InvoiceError::Checksum), "at {place}");
        let mut lost = text.clone();
        let _character = lost.remove(place);
        assert!(Invoice::parse(&lost).is_err());
    }
    assert_eq!(Invoice::parse(""), Err(InvoiceError::Checksum));
}

fn text_of(prefix: &str, bytes: &[u8]) -> String {
    bech32::encode::<Bech32m>(Hrp::parse(prefix).unwrap(), bytes).unwrap()
}

#[test]
fn what_is_wrong_with_a_whole_text_is_said_by_its_name() {
    let signed = |invoice: &Invoice, version: u8| {
        let signature = signer().sign(&(b"isc-invoice", 1_u8, invoice).encode());
        (version, invoice, signature).encode()
    };
    let good = invoice();
    assert_eq!(Invoice::parse(&text_of("isc", &signed(&good, 1))), Ok(good.clone()));
    assert_eq!(Invoice::parse(&text_of("lnbc", &signed(&good, 1))), Err(InvoiceError::Prefix));
    assert_eq!(Invoice::parse(&text_of("isc", &signed(&good, 2))), Err(InvoiceError::UnknownVersion(2)));
    assert_eq!(Invoice::parse(&text_of("isc", &[])), Err(InvoiceError::Damaged));
    assert_eq!(Invoice::parse(&text_of("isc", &[1; 60])), Err(InvoiceError::Damaged));
    let mut longer = signed(&good, 1);
    longer.insert(70, 0);
    assert_eq!(Invoice::parse(&text_of("isc", &longer)), Err(InvoiceError::Damaged));
    let many = Invoice { hubs: vec![PublicKey([4; 32]); MAX_HUBS + 1], ..good.clone() };
    assert_eq!(Invoice::parse(&text_of("isc", &signed(&many, 1))), Err(InvoiceError::Damaged));
    assert_eq!(many.sign(&signer()), Err(InvoiceError::TooLong));
    let mut dearer = signed(&good, 1);
    let place = dearer.windows(3).position(|bytes| bytes == 250_000_u32.to_le_bytes()[..3].as_ref()).unwrap();
    dearer[place] ^= 1;
    assert_eq!(Invoice::parse(&text_of("isc", &dearer)), Err(InvoiceError::Signature));
    let stranger = Invoice { payee: SigningKey::from_seed(&[9; 32]).public(), ..good.clone() };
    assert_eq!(Invoice::parse(&text_of("isc", &signed(&stranger, 1))), Err(InvoiceError::Signature));
    assert_eq!(stranger.sign(&signer()), Err(InvoiceError::Signature));
    let other = Domain { genesis: Hash([1; 32]), ..CHAIN };
    assert_eq!(good.check(&other, 0), Err(InvoiceError::OtherChain));
    assert_eq!(good.check(&CHAIN, 1_800_000_000), Ok(()));
    let late = InvoiceError::Expired { at: 1_800_000_000, now: 1_800_000_001 };
    assert_eq!(good.check(&CHAIN, 1_800_000_001), Err(late));
}

/// Bytes that others must make and read alike. `UPDATE_VECTORS=1` writes them anew.
#[test]
fn the_vectors_are_as_they_were() {
    let forward = Forward { next: PublicKey([5; 32]), chain: None, amount: 1_000, expiry: 77, inner: vec![1, 2, 3] };
    let staked = StakedForward { forward: forward.clone(), premium: 20, pledged_until: 60 };
    let terms = HubTerms {
        fee: Fee { base: 1, parts_per_million: 2_000 },
        slot_fee: 0,
        delta: 2,
        least_expiry: 18,
        min_amount: 10,
        max_amount: 1_000_000,
        pledge_delta: Some(32),
    };
    let announcement = Announcement {
        hub: signer().public(),
        chain: CHAIN,
        sequence: 5,
        valid_until: 1_800_000_000,
        terms,
        serves: vec![PublicKey([6; 32])],
    };
    let made = serde_json::json!({
        "invoice": { "payee_seed": hex::encode([1; 32]), "text": invoice().sign(&signer()).unwrap() },
        "forward": hex::encode(Instruction::Forward(forward).to_bytes().unwrap()),
        "forward_staked": hex::encode(Instruction::ForwardStaked(staked).to_bytes().unwrap()),
        "deliver": hex::encode(Instruction::Deliver(vec![9; 4]).to_bytes().unwrap()),
        "failure": hex::encode(network::RouteFailure::new(network::FailureCode::HashUsed).to_reason().0),
        "announcement": hex::encode(announcement.sign(&signer()).unwrap()),
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/v1.json");
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    if env::var_os("UPDATE_VECTORS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
