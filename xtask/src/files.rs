//! Small helpers for files and hashes.

use anyhow::{Context, Result};
use blake2::{Blake2b, Digest, digest::consts::U32};
use std::{fs, path::Path};

/// Writes a file unless it holds these bytes already, so that nothing downstream is built again for nothing.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// The chain's hash: what the pallet calls a code hash when taken over the Wasm.
pub(crate) fn blake2b_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}
