//! What a chain wants of its transactions besides the call: its extensions, as the metadata names and types them.
//!
//! The client knows the usual ones. Another one is filled where its type says what it needs, and is refused by its name where it does not: nothing is
//! signed that says something which nobody here understands.

use crate::ChainError;
use scale_info::{PortableRegistry, TypeDef, form::PortableForm};
use subxt::metadata::Metadata;

/// Those that subxt fills.
const KNOWN: [&str; 9] = [
    "ChargeAssetTxPayment",
    "ChargeTransactionPayment",
    "CheckGenesis",
    "CheckMetadataHash",
    "CheckMortality",
    "CheckNonce",
    "CheckSpecVersion",
    "CheckTxVersion",
    "VerifyMultiSignature",
];
/// How a fee's extension begins, whatever it is called then.
const FEE: &str = "Charge";
/// No type of an extension lies deeper.
const DEPTH: u8 = 8;
/// No type of an extension has so many parts: types within types are followed no further, whoever made them up.
const PARTS: u32 = 1_000;

/// The extensions of fees that are not called as usual: each is told the tip.
///
/// # Errors
/// [`ChainError::ExtensionUnknown`].
pub(super) fn other_fees(metadata: &Metadata) -> Result<Vec<String>, ChainError> {
    let types = metadata.types();
    let mut fees = Vec::new();
    for extension in metadata.extrinsic().transaction_extensions_to_use_for_encoding() {
        let name = extension.identifier();
        if KNOWN.contains(&name) {
            continue;
        }
        let is_nothing = |id| is_nothing(types, id, DEPTH, &mut { PARTS });
        if !is_nothing(extension.additional_ty()) {
            return Err(unknown(name, "something that is signed and not sent"));
        }
        if is_nothing(extension.extra_ty()) {
            continue;
        }
        if !(name.starts_with(FEE) && is_compact(types, extension.extra_ty(), DEPTH)) {
            return Err(unknown(name, "a value"));
        }
        fees.push(name.to_owned());
    }
    Ok(fees)
}

fn unknown(name: &str, wants: &'static str) -> ChainError {
    ChainError::ExtensionUnknown { name: name.to_owned(), wants }
}

fn parts(kind: &TypeDef<PortableForm>) -> Option<Vec<u32>> {
    match kind {
        TypeDef::Composite(composite) => Some(composite.fields.iter().map(|field| field.ty.id).collect()),
        TypeDef::Tuple(tuple) => Some(tuple.fields.iter().map(|part| part.id).collect()),
        _ => None,
    }
}

/// Whether a value of this type has no bytes, as far as `left` parts of it say.
fn is_nothing(types: &PortableRegistry, id: u32, depth: u8, left: &mut u32) -> bool {
    let (Some(depth), Some(fewer)) = (depth.checked_sub(1), left.checked_sub(1)) else { return false };
    *left = fewer;
    let parts = types.resolve(id).and_then(|kind| parts(&kind.type_def));
    parts.is_some_and(|parts| parts.into_iter().all(|part| is_nothing(types, part, depth, left)))
}

/// Whether a value of this type is one compact number, under however many names.
fn is_compact(types: &PortableRegistry, id: u32, depth: u8) -> bool {
    let (Some(depth), Some(kind)) = (depth.checked_sub(1), types.resolve(id)) else { return false };
    match (&kind.type_def, parts(&kind.type_def).as_deref()) {
        (TypeDef::Compact(_), _) => true,
        (_, Some([part])) => is_compact(types, *part, depth),
        _ => false,
    }
}
