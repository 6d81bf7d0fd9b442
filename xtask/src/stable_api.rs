//! The functions that a contract may import: the stable ones of `pallet-contracts`.
//!
//! Taken from `pallet-contracts` 38.0.0, `src/wasm/runtime.rs`, module `env`: every function there without `#[unstable]` (only
//! chains that opt in have those) and without `#[deprecated]` (refused in new code). `#[version(n)]` names the module `seal<n>`.
//! `call_chain_extension` is left out: each chain gives it a meaning of its own, and one without extensions refuses it.

/// Whether every chain with the pallet has this function.
pub(crate) fn is_stable(module: &str, name: &str) -> bool {
    let listed = |name| STABLE.contains(&(module, name));
    let aliased = |name| listed(name) && !WITHOUT_ALIAS.contains(&(module, name));
    listed(name) || name.strip_prefix("seal_").is_some_and(aliased)
}

/// Module and name. All but those of [`WITHOUT_ALIAS`] answer to `seal_<name>` too.
const STABLE: [(&str, &str); 52] = [
    ("seal0", "address"),
    ("seal0", "balance"),
    ("seal0", "block_number"),
    ("seal0", "call"),
    ("seal0", "call_runtime"),
    ("seal0", "caller"),
    ("seal0", "caller_is_origin"),
    ("seal0", "caller_is_root"),
    ("seal0", "clear_storage"),
    ("seal0", "code_hash"),
    ("seal0", "contains_storage"),
    ("seal0", "debug_message"),
    ("seal0", "delegate_call"),
    ("seal0", "deposit_event"),
    ("seal0", "ecdsa_recover"),
    ("seal0", "ecdsa_to_eth_address"),
    ("seal0", "gas_left"),
    ("seal0", "get_storage"),
    ("seal0", "hash_blake2_128"),
    ("seal0", "hash_blake2_256"),
    ("seal0", "hash_keccak_256"),
    ("seal0", "hash_sha2_256"),
    ("seal0", "input"),
    ("seal0", "instantiate"),
    ("seal0", "instantiation_nonce"),
    ("seal0", "is_contract"),
    ("seal0", "lock_delegate_dependency"),
    ("seal0", "minimum_balance"),
    ("seal0", "now"),
    ("seal0", "own_code_hash"),
    ("seal0", "seal_return"),
    ("seal0", "set_code_hash"),
    ("seal0", "set_storage"),
    ("seal0", "sr25519_verify"),
    ("seal0", "take_storage"),
    ("seal0", "terminate"),
    ("seal0", "transfer"),
    ("seal0", "unlock_delegate_dependency"),
    ("seal0", "value_transferred"),
    ("seal0", "weight_to_fee"),
    ("seal0", "xcm_execute"),
    ("seal0", "xcm_send"),
    ("seal1", "call"),
    ("seal1", "clear_storage"),
    ("seal1", "contains_storage"),
    ("seal1", "get_storage"),
    ("seal1", "instantiate"),
    ("seal1", "set_storage"),
    ("seal1", "terminate"),
    ("seal2", "call"),
    ("seal2", "instantiate"),
    ("seal2", "set_storage"),
];

/// Functions without `#[prefixed_alias]`.
const WITHOUT_ALIAS: [(&str, &str); 11] = [
    ("seal0", "call_runtime"),
    ("seal0", "caller_is_root"),
    ("seal0", "instantiation_nonce"),
    ("seal0", "lock_delegate_dependency"),
    ("seal0", "seal_return"),
    ("seal0", "sr25519_verify"),
    ("seal0", "unlock_delegate_dependency"),
    ("seal0", "xcm_execute"),
    ("seal0", "xcm_send"),
    ("seal2", "call"),
    ("seal2", "instantiate"),
];

#[cfg(test)]
mod tests {
    use super::is_stable;

    #[test]
    fn stable_functions_are_known_by_name_and_by_alias() {
        assert!(is_stable("seal0", "caller"));
        assert!(is_stable("seal0", "seal_caller"));
        assert!(is_stable("seal2", "set_storage"));
        assert!(is_stable("seal0", "seal_return"));
    }

    #[test]
    fn unstable_deprecated_and_unknown_functions_are_not_stable() {
        for (module, name) in [
            ("seal0", "set_transient_storage"),
            ("seal1", "gas_left"),
            ("seal0", "random"),
            ("seal0", "call_chain_extension"),
            ("seal1", "caller"),
            ("seal0", "seal_sr25519_verify"),
            ("env", "caller"),
        ] {
            assert!(!is_stable(module, name), "{module}.{name}");
        }
    }
}
