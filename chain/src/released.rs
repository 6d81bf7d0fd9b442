//! The arbiters that were released, as this client knows them: by version, the hash of the code that anybody can build (`cargo xtask verify`).

use protocol::Hash;

const FILE: &str = include_str!("released.txt");

/// The version of the released arbiter with this code; none where no release that this client knows has it.
#[must_use]
pub fn version_of(code: &Hash) -> Option<&'static str> {
    parse(FILE).find(|(_, hash)| hash == code).map(|(version, _)| version)
}

/// The code hash of a released arbiter.
#[must_use]
pub fn code_hash(version: &str) -> Option<Hash> {
    parse(FILE).find(|(known, _)| *known == version).map(|(_, hash)| hash)
}

/// The arbiter that was released last: its version, and the hash of its code.
#[must_use]
pub fn newest() -> Option<(&'static str, Hash)> {
    parse(FILE).last()
}

/// Version and hash of each line that is no remark.
fn parse(text: &str) -> impl Iterator<Item = (&str, Hash)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (version, hash) = line.split_once(' ')?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash.strip_prefix("0x")?, &mut bytes).ok()?;
        Some((version, Hash(bytes)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lines_are_versions_with_hashes_and_remarks_are_left_out() {
        let text = format!("# 0.0.0 {}\n0.1.0 {}\nwords\n", Hash([1; 32]), Hash([2; 32]));
        assert_eq!(parse(&text).collect::<Vec<_>>(), [("0.1.0", Hash([2; 32]))]);
    }

    #[test]
    fn each_line_of_the_file_is_read_and_no_version_stands_there_twice() {
        let lines = FILE.lines().filter(|line| !line.starts_with('#')).count();
        let versions: BTreeSet<_> = parse(FILE).map(|(version, _)| version).collect();
        assert_eq!((versions.len(), parse(FILE).count()), (lines, lines));
        for (version, hash) in parse(FILE) {
            assert_eq!((version_of(&hash), code_hash(version)), (Some(version), Some(hash)));
        }
        assert_eq!((version_of(&Hash([7; 32])), code_hash("none")), (None, None));
        assert_eq!(newest().map(|(version, _)| version), FILE.lines().last().and_then(|line| line.split(' ').next()));
    }
}
