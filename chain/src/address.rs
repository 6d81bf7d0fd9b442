//! Addresses as people know them: SS58, an account with the number of its chain and a checksum, in base 58.
//!
//! ```text
//!   text = base58(prefix: 1 or 2 bytes | account: 32 bytes | checksum: 2 bytes)
//!   checksum = the first bytes of blake2b-512("SS58PRE" | prefix | account)
//! ```

use blake2::{Blake2b512, Digest};
use protocol::AccountId;
use std::fmt;
use thiserror::Error;

/// The number of any chain that has none of its own.
const GENERIC: u16 = 42;
/// The numbers that fit; 46 and 47 are set aside.
const LARGEST: u16 = 16_383;
const SET_ASIDE: [u16; 2] = [46, 47];
/// No address is longer.
const LONGEST: usize = 64;

/// How one chain writes its accounts: SS58 with the chain's own number, its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressFormat(u16);

/// An account as its chain writes it: what is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The account.
    pub account: AccountId,
    /// How its chain writes accounts.
    pub format: AddressFormat,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format.write(&self.account))
    }
}

/// As chains without a number of their own write it.
impl From<AccountId> for Address {
    fn from(account: AccountId) -> Self {
        AddressFormat::GENERIC.address(account)
    }
}

impl PartialEq<AccountId> for Address {
    fn eq(&self, account: &AccountId) -> bool {
        self.account == *account
    }
}

/// Why a text is not the address of an account of this chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ss58Error {
    /// It is no address of any chain.
    #[error("{text:?} is no address: {cause}; an address looks like {example}, or is 0x and 64 hex digits")]
    Malformed {
        /// As it was given, cut where it is long.
        text: String,
        /// What is wrong with it.
        cause: &'static str,
        /// Some address of this chain.
        example: String,
    },
    /// It is an address of another chain.
    #[error(
        "{text} is an address of chains with the SS58 prefix {got}, and this chain's is {want}: check which chain is meant; the same account is \
         {here} here"
    )]
    OtherChain {
        /// As it was given.
        text: String,
        /// Its prefix.
        got: u16,
        /// This chain's.
        want: u16,
        /// How the account is written on this chain.
        here: String,
    },
}

impl AddressFormat {
    /// That of chains without a number of their own, development chains among them.
    pub const GENERIC: Self = Self(GENERIC);

    /// That of the chain with this prefix; none where no chain can have it.
    #[must_use]
    pub fn new(prefix: u16) -> Option<Self> {
        (prefix <= LARGEST && !SET_ASIDE.contains(&prefix)).then_some(Self(prefix))
    }

    /// The chain's number.
    #[must_use]
    pub const fn prefix(self) -> u16 {
        self.0
    }

    /// An account of this chain.
    #[must_use]
    pub const fn address(self, account: AccountId) -> Address {
        Address { account, format: self }
    }

    /// An account's address on this chain.
    #[must_use]
    pub fn write(self, account: &AccountId) -> String {
        let mut bytes = self.prefix_bytes();
        bytes.extend_from_slice(account.as_bytes());
        let [one, two] = checksum(&bytes);
        bytes.extend_from_slice(&[one, two]);
        bs58::encode(bytes).into_string()
    }

    /// The account of an address of this chain, or of 0x and 64 hex digits.
    ///
    /// # Errors
    /// [`Ss58Error::OtherChain`] where it is another chain's, [`Ss58Error::Malformed`] where it is none.
    pub fn read(self, text: &str) -> Result<AccountId, Ss58Error> {
        let malformed = |cause| Ss58Error::Malformed {
            text: text.chars().take(LONGEST).collect(),
            cause,
            example: self.write(&AccountId([0; 32])),
        };
        if let Some(digits) = text.strip_prefix("0x") {
            let mut account = [0; 32];
            hex::decode_to_slice(digits, &mut account)
                .map_err(|_error| malformed("it has not 64 hex digits after 0x"))?;
            return Ok(AccountId(account));
        }
        let (Self(got), account) = parse(text).map_err(malformed)?;
        if got == self.0 {
            return Ok(account);
        }
        Err(Ss58Error::OtherChain { text: text.to_owned(), got, want: self.0, here: self.write(&account) })
    }

    fn prefix_bytes(self) -> Vec<u8> {
        let [high, low] = self.0.to_be_bytes();
        if self.0 < 64 {
            return vec![low];
        }
        // Six bits of the lower byte, then its other two and the six that are left.
        vec![0b0100_0000 | (low >> 2), high | (low << 6)]
    }
}

/// The chain and the account of an address, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<(AddressFormat, AccountId), &'static str> {
    if text.len() > LONGEST {
        return Err("it is too long");
    }
    let bytes = bs58::decode(text).into_vec().map_err(|_error| "it has letters that base 58 has not")?;
    let (prefix, rest) = match *bytes {
        [one @ 0..=63, ref rest @ ..] => (u16::from(one), rest),
        [one @ 64..=127, two, ref rest @ ..] => {
            (u16::from_be_bytes([two & 0b0011_1111, (one << 2) | (two >> 6)]), rest)
        }
        _ => return Err("it has no prefix"),
    };
    let Some((account, [one, two])) = rest.split_first_chunk::<32>() else {
        return Err("it has not the length of an account");
    };
    let format = AddressFormat::new(prefix).ok_or("no chain has its prefix")?;
    let payload = bytes.get(..bytes.len().saturating_sub(2)).unwrap_or_default();
    if checksum(payload) != [*one, *two] || format.prefix_bytes().len() != bytes.len().saturating_sub(34) {
        return Err("its checksum is another one, so it is mistyped");
    }
    Ok((format, AccountId(*account)))
}

fn checksum(payload: &[u8]) -> [u8; 2] {
    let digest: [u8; 64] = Blake2b512::new().chain_update(b"SS58PRE").chain_update(payload).finalize().into();
    let [one, two, ..] = digest;
    [one, two]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// //Alice's account.
    const ALICE: AccountId = AccountId([
        0xd4, 0x35, 0x93, 0xc7, 0x15, 0xfd, 0xd3, 0x1c, 0x61, 0x14, 0x1a, 0xbd, 0x04, 0xa9, 0x9f, 0xd6, 0x82, 0x2c,
        0x85, 0x58, 0x85, 0x4c, 0xcd, 0xe3, 0x9a, 0x56, 0x84, 0xe7, 0xa5, 0x6d, 0xa2, 0x7d,
    ]);

    /// As polkadot.js writes it (`encodeAddress`).
    const WRITTEN: [(u16, &str); 5] = [
        (42, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        (0, "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"),
        (5, "ajYMsCKsEAhEvHpeA4XqsfiA9v1CdzZPrCfS6pEfeGHW9j8"),
        (64, "cEaNSpz4PxFcZ7nT1VEKrKewH67rfx6MfcM6yKojyyPz7qaqp"),
        (1_284, "VdvKmYJfD4VXA9fzz1SbmCo2eYHSzUFbaDCZSuaNKJAe8YNg6"),
    ];

    #[test]
    fn addresses_are_those_of_the_tools_that_people_have() {
        for (prefix, text) in WRITTEN {
            let format = AddressFormat::new(prefix).unwrap();
            assert_eq!(format.write(&ALICE), text, "{prefix}");
            assert_eq!(format.read(text), Ok(ALICE), "{prefix}");
        }
    }

    #[test]
    fn another_chains_address_is_refused_with_both_prefixes_and_what_it_is_here() {
        let ((_, generic), (astar, here)) = (WRITTEN[0], WRITTEN[2]);
        let format = AddressFormat::new(astar).unwrap();
        let error = format.read(generic).unwrap_err();
        let expected = Ss58Error::OtherChain { text: generic.into(), got: 42, want: 5, here: here.into() };
        assert_eq!(error, expected);
        let said = error.to_string();
        assert!([generic, "prefix 42", "is 5", here].iter().all(|word| said.contains(word)), "{said}");
    }

    #[test]
    fn an_account_is_shown_as_its_chain_writes_it() {
        let (prefix, text) = WRITTEN[2];
        assert_eq!(AddressFormat::new(prefix).unwrap().address(ALICE).to_string(), text);
        assert_eq!(Address::from(ALICE).to_string(), WRITTEN[0].1);
    }

    #[test]
    fn hex_is_read_on_any_chain() {
        for prefix in [42, 5, 1_284] {
            assert_eq!(AddressFormat::new(prefix).unwrap().read(&ALICE.to_string()), Ok(ALICE));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong_with_it() {
        let (_, good) = WRITTEN[0];
        for (text, said) in [
            (String::new(), "prefix"),
            (good.replace('z', "y"), "mistyped"),
            (good.replace('z', "0"), "base 58"),
            (good[1..].to_owned(), "it"),
            (good.repeat(2), "too long"),
            (format!("0x{}", "1".repeat(63)), "64 hex digits"),
            (format!("0x{}", "g".repeat(64)), "64 hex digits"),
            (bs58::encode([42; 20]).into_string(), "length"),
            (bs58::encode([46; 35]).into_string(), "no chain"),
            (bs58::encode([200; 36]).into_string(), "prefix"),
        ] {
            let error = AddressFormat::GENERIC.read(&text).unwrap_err();
            assert!(matches!(error, Ss58Error::Malformed { .. }), "{text}: {error}");
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn only_prefixes_that_a_chain_can_have_are_taken() {
        for (prefix, is_one) in
            [(0, true), (45, true), (46, false), (47, false), (48, true), (16_383, true), (16_384, false)]
        {
            assert_eq!(AddressFormat::new(prefix).is_some(), is_one, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_by_no_other_chain(account: [u8; 32], prefix in 0_u16..=16_383, other in 0_u16..=16_383) {
            let (Some(format), Some(other)) = (AddressFormat::new(prefix), AddressFormat::new(other)) else { return Ok(()) };
            let text = format.write(&AccountId(account));
            prop_assert_eq!(format.read(&text), Ok(AccountId(account)));
            prop_assert_eq!(other.read(&text).is_ok(), format == other);
        }

        /// A letter more, another one, or one less.
        #[test]
        fn a_mistyped_address_is_refused_or_is_another_one_of_this_chain_to_the_letter(
            account: [u8; 32],
            prefix in 0_u16..=16_383,
            place in 0_usize..52,
            letter in "[0-9A-Za-z ]{0,2}",
        ) {
            let Some(format) = AddressFormat::new(prefix) else { return Ok(()) };
            let mut text = format.write(&AccountId(account));
            let place = place.min(text.len().saturating_sub(1));
            text.replace_range(place..=place, &letter);
            if let Ok(read) = format.read(&text) {
                prop_assert_eq!(format.write(&read), text);
            }
        }

        #[test]
        fn bytes_of_any_kind_with_a_good_checksum_are_one_address_of_one_chain(payload in proptest::collection::vec(any::<u8>(), 0..40), prefix in 0_u16..=16_383) {
            let Some(format) = AddressFormat::new(prefix) else { return Ok(()) };
            let text = bs58::encode([&payload[..], &checksum(&payload)].concat()).into_string();
            if let Ok(read) = format.read(&text) {
                prop_assert_eq!(format.write(&read), text);
            }
        }

        #[test]
        fn no_text_breaks_it(text: String) {
            let _refused = AddressFormat::GENERIC.read(&text);
        }
    }
}
