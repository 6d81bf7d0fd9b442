//! Mends the table of types in a contract's metadata: an account is one type in it.
//!
//! ink! has an account type of its own and `protocol`, which knows nothing of ink!, another of the same name and bytes. Tools look for *the* account of a
//! contract: what stands there twice they may know in one place, where they take and show addresses, and take for bare bytes in the other.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

/// The name of an account in the metadata of contracts, which tools know.
const ACCOUNT: [&str; 3] = ["ink_primitives", "types", "AccountId"];

/// Has everything that speaks of an account speak of one type. The other entries are taken out, so all that come later move up.
///
/// # Errors
/// Two types of that name are not the same, or the metadata is none.
pub(crate) fn one_account(abi: &mut Map<String, Value>) -> Result<()> {
    let types = abi.get_mut("types").and_then(Value::as_array_mut).context("the metadata has no types")?;
    let shape = |entry: &Value| entry.pointer("/type/def").cloned();
    let is_account = |entry: &Value| entry.pointer("/type/path").is_some_and(|path| *path == json!(ACCOUNT));
    let accounts: Vec<usize> =
        types.iter().enumerate().filter(|(_, entry)| is_account(entry)).map(|(place, _)| place).collect();
    let Some((&first, others)) = accounts.split_first() else { return Ok(()) };
    for &other in others {
        let same = types.get(other).and_then(shape) == types.get(first).and_then(shape);
        ensure!(same, "the metadata has two types {} that are not the same: {first} and {other}", ACCOUNT.join("::"));
    }
    // Each type moves up by as many as are taken out before it.
    let before = |place: usize| others.iter().filter(|other| **other < place).count();
    let new = |place: usize| if others.contains(&place) { first } else { place.saturating_sub(before(place)) };
    let moved: Vec<usize> = (0..types.len()).map(new).collect();
    for &other in others.iter().rev() {
        let _ = types.remove(other);
    }
    for (place, entry) in types.iter_mut().enumerate() {
        let _ = entry.as_object_mut().and_then(|entry| entry.insert("id".to_owned(), place.into()));
    }
    for part in ["types", "spec", "storage"] {
        if let Some(part) = abi.get_mut(part) {
            renumber(part, &moved)?;
        }
    }
    Ok(())
}

/// Writes other numbers wherever this speaks of types: `type` and `ty` with a number, and the parts of a tuple.
fn renumber(value: &mut Value, moved: &[usize]) -> Result<()> {
    let new = |old: &Value| -> Result<Option<Value>> {
        let Some(old) = old.as_u64() else { return Ok(None) };
        let new = moved.get(usize::try_from(old)?).with_context(|| format!("there is no type {old}"))?;
        Ok(Some((*new).into()))
    };
    match value {
        Value::Array(values) => values.iter_mut().try_for_each(|value| renumber(value, moved)),
        Value::Object(entries) => {
            for (key, value) in entries {
                match (&**key, &mut *value) {
                    ("type" | "ty", Value::Number(_)) => *value = new(value)?.unwrap_or_default(),
                    ("tuple", Value::Array(parts)) => {
                        for part in parts {
                            *part = new(part)?.context("a part of a tuple is a type's number")?;
                        }
                    }
                    (_, value) => renumber(value, moved)?,
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::one_account;
    use serde_json::{Map, Value, json};

    fn entry(id: u32, path: &[&str], def: &Value) -> Value {
        json!({ "id": id, "type": { "path": path, "def": def } })
    }

    fn account(id: u32, bytes: u32) -> Value {
        let def = json!({ "composite": { "fields": [{ "type": bytes, "typeName": "[u8; 32]" }] } });
        entry(id, &["ink_primitives", "types", "AccountId"], &def)
    }

    fn metadata(second: &Value) -> Map<String, Value> {
        let bytes = |id| entry(id, &[], &json!({ "array": { "len": 32, "type": 3 } }));
        let all = json!({
            "types": [account(0, 1), bytes(1), second, entry(3, &[], &json!({ "primitive": "u8" })), entry(4, &[], &json!({ "tuple": [0, 2, 3] }))],
            "spec": { "environment": { "accountId": { "displayName": ["AccountId"], "type": 0 } }, "args": [{ "type": { "type": 4 } }, { "type": { "type": 2 } }] },
            "storage": { "root": { "ty": 3, "layout": { "leaf": { "ty": 4 } } } },
        });
        let Value::Object(all) = all else { unreachable!("an object was written") };
        all
    }

    #[test]
    fn accounts_become_one_type_and_everything_else_means_what_it_meant() {
        let mut abi = metadata(&account(2, 1));
        one_account(&mut abi).unwrap();
        let abi = Value::Object(abi);
        let ids: Vec<_> = abi["types"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        assert_eq!(abi["types"][0]["type"]["def"]["composite"]["fields"][0]["type"], 1);
        assert_eq!(abi["types"][1]["type"]["def"]["array"], json!({ "len": 32, "type": 2 }), "a length is no type");
        assert_eq!(abi["types"][3]["type"]["def"]["tuple"], json!([0, 0, 2]));
        assert_eq!(abi["spec"]["args"], json!([{ "type": { "type": 3 } }, { "type": { "type": 0 } }]));
        assert_eq!(abi["spec"]["environment"]["accountId"]["type"], 0);
        assert_eq!(abi["storage"], json!({ "root": { "ty": 2, "layout": { "leaf": { "ty": 3 } } } }));
    }

    #[test]
    fn two_accounts_of_different_bytes_are_refused() {
        let error = one_account(&mut metadata(&account(2, 3))).unwrap_err().to_string();
        assert!(error.contains("not the same"), "{error}");
    }

    #[test]
    fn metadata_without_an_account_stays_as_it_is() {
        let mut abi = metadata(&account(2, 1));
        let _types = abi.insert("types".to_owned(), json!([]));
        let before = abi.clone();
        one_account(&mut abi).unwrap();
        assert_eq!(abi, before);
    }
}
