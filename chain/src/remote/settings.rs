//! What a client of a node may be told.

use crate::ChainError;
use protocol::Hash;
use std::time::Duration;

/// Where a chain is found, and how patient its client is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The endpoints, `ws://` or `wss://`, the preferred one first. With several, one that fails is replaced by the next.
    pub endpoints: Vec<String>,
    /// Which chain it must be; none to take whatever the first endpoint serves, and to hold the others to that.
    pub genesis: Option<Hash>,
    /// How long a chain may go without a new finalised block before it counts as stalled; none for a chain that makes blocks only when
    /// there is something to put into them.
    pub stalled_after: Option<Duration>,
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// For how many blocks a transaction is valid, at least: one that was lost on the way is dead after as many.
    pub valid_for: u32,
    /// How long a sent transaction is waited for while no block at all becomes final.
    pub patience: Duration,
}

impl Default for Settings {
    /// The usual ones, without any endpoint.
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            genesis: None,
            stalled_after: Some(Duration::from_secs(120)),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            valid_for: 64,
            patience: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// The usual settings for one endpoint.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoints: vec![endpoint.into()], ..Self::default() }
    }

    /// The usual settings for a development chain that makes a block for each transaction: its standing still means nothing.
    #[must_use]
    pub fn for_instant_seal(endpoint: impl Into<String>) -> Self {
        Self { stalled_after: None, ..Self::new(endpoint) }
    }
}

/// A URL that may be dialled.
#[derive(Clone, Debug)]
pub(super) struct Url {
    /// What is dialled. Paths and queries of it may be keys, so it is in no log and no error.
    pub(super) secret: String,
    /// Scheme and host: what may be shown.
    pub(super) shown: String,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, ChainError> {
        let url = url.trim();
        let shown = shown(url);
        let bad = |cause: &str| ChainError::BadUrl { url: shown.clone(), cause: cause.into() };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("it has no scheme"));
        };
        match scheme {
            "ws" | "wss" => {}
            "http" | "https" => return Err(bad("blocks are followed over a websocket, so its scheme is ws or wss")),
            _ => return Err(bad("its scheme is neither ws nor wss")),
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err(bad("it names no host"));
        }
        if host.contains(char::is_whitespace) {
            return Err(bad("its host has a space in it"));
        }
        let after_host = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if let Some((_, port)) = after_host.rsplit_once(':')
            && port.parse::<u16>().is_err()
        {
            return Err(bad("its port is no number up to 65535"));
        }
        Ok(Self { secret: url.to_owned(), shown })
    }
}

/// A URL without user, password, path and query.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    scheme.map_or_else(|| host.to_owned(), |scheme| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(url: &str) -> String {
        match Url::parse(url) {
            Err(ChainError::BadUrl { cause, .. }) => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_that_is_no_nodes_is_refused_with_what_is_wrong_with_it() {
        for (url, said) in [
            ("", "no scheme"),
            ("127.0.0.1:9944", "no scheme"),
            ("http://127.0.0.1:9944", "websocket"),
            ("ftp://127.0.0.1", "neither"),
            ("ws://", "no host"),
            ("ws://:9944", "no host"),
            ("ws://a b:1", "space"),
            ("ws://localhost:99444", "port"),
            ("ws://localhost:port", "port"),
        ] {
            assert!(cause(url).contains(said), "{url}: {}", cause(url));
        }
    }

    #[test]
    fn urls_of_nodes_are_taken() {
        for url in [
            "ws://localhost",
            "ws://127.0.0.1:9944",
            "wss://node.example/path?key=1",
            "ws://[::1]:9944",
            "wss://u:p@host:1/x",
        ] {
            assert_eq!(Url::parse(url).unwrap().secret, url);
        }
    }

    #[test]
    fn what_may_be_a_key_is_not_shown() {
        let url = Url::parse("wss://user:password@node.example:443/v1/s3cr3t?token=s3cr3t#s3cr3t").unwrap();
        assert_eq!(url.shown, "wss://node.example:443");
        let error = Url::parse("https://user:password@node.example/s3cr3t").unwrap_err().to_string();
        assert!(!error.contains("s3cr3t") && !error.contains("password"), "{error}");
    }
}
