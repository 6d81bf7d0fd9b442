//! Puts metadata and Wasm together in the format that contract tools exchange (version 5).
//!
//! Written out here rather than by the `contract-metadata` crate, which would bring a URL parser with its Unicode tables
//! into a program that is built first on a bare machine.

use crate::{files::blake2b_256, recipe::Recipe, workspace::Package};
use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

/// The version of metadata that ink! 5 writes.
const METADATA_VERSION: u64 = 5;

/// Where the metadata comes from: the code and what made it.
pub(crate) struct Source<'a> {
    /// The final Wasm.
    pub(crate) wasm: &'a [u8],
    /// `ink! 5.1.1`.
    pub(crate) language: String,
    /// `rustc 1.95.0`.
    pub(crate) compiler: &'a str,
    /// What optimised the Wasm, and how.
    pub(crate) optimiser: String,
    /// The recipe that was followed, if one was: who follows it too gets the same Wasm.
    pub(crate) recipe: Option<Recipe>,
}

/// The texts of `<package>.json` (without the Wasm) and `<package>.contract` (with it).
pub(crate) fn assemble(package: &Package, source: &Source<'_>, abi: Map<String, Value>) -> Result<(String, String)> {
    let version = abi.get("version").and_then(Value::as_u64);
    ensure!(version == Some(METADATA_VERSION), "metadata of version {version:?}, not {METADATA_VERSION}");
    let mut about = json!({
        "hash": prefixed(&blake2b_256(source.wasm)),
        "language": source.language,
        "compiler": source.compiler,
        "build_info": { "builder": "cargo xtask contract", "build_mode": "Release", "wasm_opt": source.optimiser },
    });
    if let Some(recipe) = &source.recipe
        && let Some(info) = about.pointer_mut("/build_info").and_then(Value::as_object_mut)
    {
        let _ = info.insert("recipe".to_owned(), prefixed(&recipe.hash).into());
    }
    let mut whole = abi;
    let _ = whole.insert("contract".to_owned(), contract(&package.facts));
    let _ = whole.insert("image".to_owned(), Value::Null);
    let _ = whole.insert("source".to_owned(), about.clone());
    let metadata = serde_json::to_string_pretty(&whole)?;
    if let Some(about) = about.as_object_mut() {
        let _ = about.insert("wasm".to_owned(), prefixed(source.wasm).into());
    }
    let _ = whole.insert("source".to_owned(), about);
    Ok((metadata, serde_json::to_string(&whole)?))
}

/// What the manifest says about the crate; keys that it leaves out are left out. What people are to call the contract may have a name of its own, in
/// `[package.metadata.contract]`.
fn contract(facts: &Value) -> Value {
    let keys =
        ["name", "version", "authors", "description", "documentation", "repository", "homepage", "license"].into_iter();
    let own = |key| facts.pointer("/metadata/contract").and_then(|own| own.get(key));
    let said = keys.filter_map(|key| {
        let value = own(key).or_else(|| facts.get(key)).filter(|value| !value.is_null())?;
        Some((key.to_owned(), value.clone()))
    });
    Value::Object(said.collect())
}

fn prefixed(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Source, assemble};
    use crate::workspace::Package;
    use serde_json::{Value, json};

    fn package(facts: Value) -> Package {
        Package {
            name: "sample".to_owned(),
            library: "sample".to_owned(),
            folder: "/sample".into(),
            ink_requirement: "=5.1.1".to_owned(),
            facts,
        }
    }

    fn assembled(version: u64) -> anyhow::Result<(String, String)> {
        let package =
            package(json!({ "name": "sample", "version": "1.2.3", "authors": [], "homepage": null, "targets": [] }));
        let wasm = b"\0asm";
        let source = Source {
            wasm,
            language: "ink! 5.1.1".to_owned(),
            compiler: "rustc 1.95.0",
            optimiser: "none".to_owned(),
            recipe: None,
        };
        let Value::Object(abi) = json!({ "version": version, "types": [], "spec": {}, "storage": {} }) else {
            unreachable!("an object was written")
        };
        assemble(&package, &source, abi)
    }

    #[test]
    fn the_bundle_is_the_metadata_with_the_wasm_inside() {
        let (metadata, bundle) = assembled(5).unwrap();
        let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
        let bundle: Value = serde_json::from_str(&bundle).unwrap();
        assert_eq!(metadata["source"].get("wasm"), None);
        metadata["source"]["wasm"] = "0x0061736d".into();
        assert_eq!(metadata, bundle);
        assert_eq!(bundle["contract"], json!({ "name": "sample", "version": "1.2.3", "authors": [] }));
    }

    #[test]
    fn a_contract_may_have_another_name_than_its_crate() {
        let named = super::contract(&json!({ "name": "sample", "metadata": { "contract": { "name": "judge" } } }));
        assert_eq!(named, json!({ "name": "judge" }));
    }

    #[test]
    fn metadata_of_another_version_is_refused() {
        let error = assembled(6).unwrap_err().to_string();
        assert!(error.contains('6'), "{error}");
    }
}
