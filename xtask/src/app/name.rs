//! The name of a new app, in the forms in which it is written.

use anyhow::{Result, bail, ensure};

/// A name that is free in Rust, and in the source of an app.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    krate: String,
    library: String,
    camel: String,
}

/// What would be understood as something else: the crates that an app uses, Cargo's own folders and tests, the shell's module.
const TAKEN_CRATES: [&str; 15] = [
    "alloc",
    "app_kit",
    "build",
    "contract",
    "core",
    "deps",
    "examples",
    "incremental",
    "ink",
    "proptest",
    "scale",
    "scale_info",
    "shell",
    "std",
    "test",
];

/// Rust's keywords, those kept for later included.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn \
    for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try \
    type typeof unsafe unsized use virtual where while yield";

/// Types that the source of an app names.
const TAKEN_TYPES: &str = "Amount App AppContext Bench BlockNumber Creation Decode Encode Err Error Input Just None Ok Option \
    Output Pair Party Refusal Result Self Some State Strategy String Vec";

impl Name {
    /// # Errors
    /// Says what is wrong with it, and what would be right.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let is_letter = |first: char| first.is_ascii_lowercase();
        let is_allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-' || char == '_';
        if !name.starts_with(is_letter) || !name.chars().all(is_allowed) {
            let suggested: String = words(name).collect::<Vec<_>>().join("-");
            let hint =
                if suggested.starts_with(is_letter) { format!(", such as `{suggested}`") } else { String::new() };
            bail!("`{name}` is no name for an app: small letters, digits, `-` and `_`, and a letter first{hint}");
        }
        let library = name.replace('-', "_");
        let camel: String = words(name).map(|word| capitalised(&word)).collect();
        let is_taken = |list: &str, name: &str| list.split_whitespace().any(|taken| taken == name);
        ensure!(!is_taken(KEYWORDS, &library), "`{name}` is a word of Rust; choose another name");
        ensure!(
            !TAKEN_CRATES.contains(&&*library),
            "`{name}` is the name of something that apps are built with; choose another"
        );
        ensure!(
            !is_taken(TAKEN_TYPES, &camel),
            "the app's type would be `{camel}`, which apps use already; choose another name"
        );
        Ok(Self { krate: name.to_owned(), library, camel })
    }

    /// `piggy-bank`, for Cargo.
    pub(super) fn krate(&self) -> &str {
        &self.krate
    }

    /// `piggy_bank`, in paths of Rust and of files.
    pub(super) fn library(&self) -> &str {
        &self.library
    }

    /// `PiggyBank`, the type.
    pub(super) fn camel(&self) -> &str {
        &self.camel
    }
}

/// What a name is made of, in small letters: `Piggy bank2` is `piggy` and `bank2`, and so is `PiggyBank2`.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    for char in name.chars() {
        if !char.is_ascii_alphanumeric() || char.is_ascii_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| char.is_ascii_alphanumeric()) {
            word.push(char.to_ascii_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_written_as_crate_library_and_type() {
        for (name, library, camel) in [
            ("swap", "swap", "Swap"),
            ("piggy-bank", "piggy_bank", "PiggyBank"),
            ("two_of3-x", "two_of3_x", "TwoOf3X"),
            ("trailing-", "trailing_", "Trailing"),
        ] {
            let parsed = Name::parse(name).unwrap();
            assert_eq!((parsed.krate(), parsed.library(), parsed.camel()), (name, library, camel));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_better_one() {
        for (name, better) in [
            ("PiggyBank", "`piggy-bank`"),
            ("piggy bank", "`piggy-bank`"),
            ("../escape", "`escape`"),
            ("a/b", "`a-b`"),
            ("-x", "`x`"),
        ] {
            let error = Name::parse(name).unwrap_err().to_string();
            assert!(error.contains(&format!("such as {better}")), "{error}");
        }
        for name in ["", "7up", "_", "é"] {
            let error = Name::parse(name).unwrap_err().to_string();
            assert!(error.contains("a letter first") && !error.contains("such as"), "{error}");
        }
    }

    #[test]
    fn names_that_mean_something_already_are_refused() {
        for name in
            ["fn", "self", "ink", "app-kit", "scale_info", "test", "state", "creation", "input", "app", "app-context"]
        {
            let error = Name::parse(name).unwrap_err().to_string();
            assert!(error.contains("choose another"), "{error}");
        }
    }
}
