use super::{NotAnIdentity, check_identity};
use protocol::PublicKey;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Where a peer listens and who must answer there: `<identity>@<host>:<port>`.
///
/// The identity is 64 hex digits, with or without `0x`; the host is a name, an IPv4 address, or an IPv6 address in brackets.
///
/// ```
/// use sdk::keys::PeerAddress;
///
/// let text = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a@localhost:9735";
/// let address: PeerAddress = text.parse()?;
/// assert_eq!((address.host(), address.port()), ("localhost", 9735));
/// assert_eq!(address.to_string(), text);
/// # Ok::<(), sdk::keys::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    identity: PublicKey,
    host: String,
    port: u16,
}

impl PeerAddress {
    /// The address of the node `identity` at `host` (IPv6 without brackets) and `port`.
    ///
    /// # Errors
    /// [`AddressError`] where the identity is no key, the host is empty or holds characters that no host has, or the port is zero.
    pub fn new(identity: PublicKey, host: &str, port: u16) -> Result<Self, AddressError> {
        check_identity(&identity)?;
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        if !host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%')) {
            return Err(AddressError::BadHost);
        }
        if port == 0 {
            return Err(AddressError::BadPort);
        }
        Ok(Self { identity, host: host.to_owned(), port })
    }

    /// Who must answer.
    #[must_use]
    pub const fn identity(&self) -> PublicKey {
        self.identity
    }

    /// The host to connect to; IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// Why a text is no peer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Nothing separates identity and host.
    #[error("the peer address has no `@`; {EXPECTED}")]
    NoIdentity,
    /// The identity is not 32 bytes in hex.
    #[error("the part before `@` is not 64 hex digits; {EXPECTED}")]
    BadIdentity,
    /// The identity is 32 bytes, but no key.
    #[error("the part before `@` is nobody's key: {0}; {EXPECTED}")]
    NotAnIdentity(#[from] NotAnIdentity),
    /// Nothing stands between `@` and the port.
    #[error("the peer address has no host; {EXPECTED}")]
    NoHost,
    /// The host has characters that no host has, or an IPv6 address stands without brackets.
    #[error("the host is neither a name nor an IP address (IPv6 needs brackets); {EXPECTED}")]
    BadHost,
    /// Nothing follows the host.
    #[error("the peer address has no port; {EXPECTED}")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535; {EXPECTED}")]
    BadPort,
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (identity, place) = text.trim().split_once('@').ok_or(AddressError::NoIdentity)?;
        let mut key = [0; 32];
        hex::decode_to_slice(identity.strip_prefix("0x").unwrap_or(identity), &mut key)
            .map_err(|_| AddressError::BadIdentity)?;

        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or(AddressError::BadHost)?;
                (host, after.strip_prefix(':').ok_or(AddressError::NoPort)?)
            }
            None => {
                let (host, port) = place.rsplit_once(':').ok_or(AddressError::NoPort)?;
                if host.contains(':') {
                    return Err(AddressError::BadHost);
                }
                (host, port)
            }
        };
        Self::new(PublicKey(key), host, port.parse().map_err(|_| AddressError::BadPort)?)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}", self.identity, self.host, self.port)
        } else {
            write!(f, "{}@{}:{}", self.identity, self.host, self.port)
        }
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const EXPECTED: &str = "expected <identity: 64 hex digits>@<host>:<port>";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Identity;
    use proptest::prelude::*;

    fn identity() -> PublicKey {
        Identity::from_seed(&[1; 32]).public()
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for host in ["localhost", "127.0.0.1", "::1", "fe80::1%eth0", "node-1.example.org"] {
            let address = PeerAddress::new(identity(), host, 9735).unwrap();
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn the_identity_may_stand_without_0x_and_in_capitals() {
        let bare = hex::encode_upper(identity());
        assert_eq!(format!("{bare}@h:1").parse::<PeerAddress>().unwrap().identity(), identity());
    }

    #[test]
    fn each_fault_is_named_and_the_expected_form_shown() {
        let key = identity();
        let off_the_curve = "02".to_owned() + &"00".repeat(31);
        let nobody = NotAnIdentity({
            let mut bytes = [0; 32];
            bytes[0] = 2;
            PublicKey(bytes)
        });
        for (text, fault) in [
            ("localhost:1".to_owned(), AddressError::NoIdentity),
            ("abc@localhost:1".to_owned(), AddressError::BadIdentity),
            (format!("{}zz@localhost:1", "00".repeat(31)), AddressError::BadIdentity),
            (format!("{off_the_curve}@localhost:1"), AddressError::NotAnIdentity(nobody)),
            (format!("{key}@:1"), AddressError::NoHost),
            (format!("{key}@[]:1"), AddressError::NoHost),
            (format!("{key}@a b:1"), AddressError::BadHost),
            (format!("{key}@::1:1"), AddressError::BadHost),
            (format!("{key}@[::1:1"), AddressError::BadHost),
            (format!("{key}@localhost"), AddressError::NoPort),
            (format!("{key}@[::1]"), AddressError::NoPort),
            (format!("{key}@localhost:"), AddressError::BadPort),
            (format!("{key}@localhost:0"), AddressError::BadPort),
            (format!("{key}@localhost:65536"), AddressError::BadPort),
            (format!("{key}@localhost:-1"), AddressError::BadPort),
        ] {
            assert_eq!(text.parse::<PeerAddress>(), Err(fault), "{text}");
            assert!(fault.to_string().contains("64 hex digits>@<host>:<port>"), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _parsed = text.parse::<PeerAddress>();
            let _parsed = format!("{}@{text}", identity()).parse::<PeerAddress>();
        }
    }
}
