//! One connection to one endpoint: questions, answers, subscriptions.

use super::settings::{Settings, Url};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use subxt::{
    ext::jsonrpsee::{
        core::client::async_client::PingConfig,
        ws_client::{WsClient, WsClientBuilder},
    },
    rpcs::{
        Error as RpcError, RpcClient,
        client::{RpcParams, RpcSubscription},
    },
};

/// The longest answer: a block's body is bounded by the chain at a few MiB, twice that in hex.
const MAX_ANSWER_BYTES: u32 = 32 << 20;
/// How often a silent connection is asked for a sign of life, and how long none may come.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));
/// How many items a subscription may hold back before it is given up: its reader only ever moves them on.
const MAX_HELD_BACK: usize = 1024;

/// A server's code for: something went wrong here. A node that is about to end answers so to whatever it can no longer look into.
const INTERNAL_ERROR: i32 = -32_603;

/// Codes of endpoints that have answered enough for now: HTTP's, and those that providers use for it.
const LIMIT_CODES: [i32; 4] = [429, -32_005, -32_006, -32_029];
/// Words of such endpoints, in small letters.
const LIMIT_WORDS: [&str; 8] = [
    "too many requests",
    "too many subscriptions",
    "rate limit",
    "rate-limit",
    "ratelimit",
    "request limit",
    "limit exceeded",
    "quota",
];

/// A connection that has shown to serve the right chain.
pub(super) struct Link {
    /// The endpoint's URL, as it may be shown.
    pub(super) url: String,
    /// Its place in the settings.
    pub(super) index: usize,
    client: Arc<WsClient>,
    rpc: RpcClient,
}

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is gone, or makes no sense, or the server behind it has failed: nobody knows whether it has done what it was asked.
    Lost(String),
    /// The endpoint allows no more questions for now, in these words: it has decided nothing about this one.
    Limited(String),
    /// The node answered that it cannot or will not.
    Answered(Complaint),
}

impl Failure {
    /// What the endpoint said, or what happened to the connection.
    pub(super) fn words(self) -> String {
        match self {
            Self::Lost(words) | Self::Limited(words) => words,
            Self::Answered(complaint) => complaint.words(),
        }
    }
}

/// An error that a node answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<String>,
}

impl Complaint {
    /// The state asked for is older than what the node keeps.
    pub(super) fn is_pruned(&self) -> bool {
        self.mentions("State already discarded")
    }

    /// The block asked for is not there (yet).
    pub(super) fn is_unknown_block(&self) -> bool {
        !self.is_pruned()
            && (self.mentions("UnknownBlock") || self.mentions("unknown Block") || self.mentions("header not found"))
    }

    /// The node does not know that question.
    pub(super) const fn is_unknown_method(&self) -> bool {
        self.code == -32_601
    }

    /// The endpoint allows no more questions for now.
    fn is_limit(&self) -> bool {
        let is_of_the_pool = (1000..2000).contains(&self.code);
        let words = self.words().to_lowercase();
        !is_of_the_pool && (LIMIT_CODES.contains(&self.code) || LIMIT_WORDS.iter().any(|limit| words.contains(limit)))
    }

    /// Its words.
    pub(super) fn words(&self) -> String {
        match &self.data {
            Some(data) => format!("{}: {data}", self.message),
            None => self.message.clone(),
        }
    }

    fn mentions(&self, text: &str) -> bool {
        self.message.contains(text) || self.data.as_ref().is_some_and(|data| data.contains(text))
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::User(error) => {
                let data = error
                    .data
                    .map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|_not_text| raw.get().to_owned()));
                let complaint = Complaint { code: error.code, message: error.message, data };
                match complaint.code {
                    _ if complaint.is_limit() => Self::Limited(complaint.words()),
                    INTERNAL_ERROR => Self::Lost(complaint.words()),
                    _ => Self::Answered(complaint),
                }
            }
            RpcError::Client(error) => Self::Lost(innermost(&*error)),
            other => Self::Lost(other.to_string()),
        }
    }
}

/// The cause at the bottom, where the words are that help.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Link {
    pub(super) async fn open(index: usize, url: &Url, settings: &Settings) -> Result<Self, String> {
        let client = WsClientBuilder::new()
            .connection_timeout(settings.connect_timeout)
            .request_timeout(settings.request_timeout)
            .max_request_size(MAX_ANSWER_BYTES)
            .max_response_size(MAX_ANSWER_BYTES)
            .max_buffer_capacity_per_subscription(MAX_HELD_BACK)
            .enable_ws_ping(PingConfig::new().ping_interval(PING.0).inactive_limit(PING.1))
            .build(&url.secret);
        // The library's own limit is one for each step of a handshake.
        let client = tokio::time::timeout(settings.connect_timeout, client).await;
        let client =
            client.map_err(|_elapsed| "no connection in time".to_owned())?.map_err(|error| innermost(&error))?;
        let client = Arc::new(client);
        Ok(Self { url: url.shown.clone(), index, rpc: RpcClient::new(Arc::clone(&client)), client })
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.is_connected()
    }

    pub(super) async fn ask<R: DeserializeOwned>(&self, method: &str, params: RpcParams) -> Result<R, Failure> {
        self.rpc.request(method, params).await.map_err(Failure::from)
    }

    pub(super) async fn subscribe<R: DeserializeOwned>(
        &self,
        method: &str,
        params: RpcParams,
        end: &str,
    ) -> Result<RpcSubscription<R>, Failure> {
        self.rpc.subscribe(method, params, end).await.map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subxt::rpcs::UserError;

    fn failure(code: i32) -> Failure {
        said(code, "words")
    }

    fn said(code: i32, message: &str) -> Failure {
        RpcError::User(UserError { code, message: message.into(), data: None }).into()
    }

    #[test]
    fn a_limit_is_no_answer_about_what_was_asked_whatever_its_code() {
        for code in [429, -32_000, INTERNAL_ERROR] {
            assert_eq!(said(code, "Too Many Requests"), Failure::Limited("Too Many Requests".into()));
        }
    }

    fn complaint(code: i32, message: &str, data: Option<&str>) -> Complaint {
        Complaint { code, message: message.into(), data: data.map(Into::into) }
    }

    #[test]
    fn an_endpoint_that_has_answered_enough_for_now_is_known_by_its_code_or_its_words() {
        for (code, message, data) in [
            (429, "", None),
            (-32_005, "daily request count exceeded, request rate limited", None),
            (-32_000, "Too Many Requests", None),
            (-32_000, "Server error", Some("Rate limit reached for your plan")),
            (-32_029, "slow down", None),
            (-32_006, "Too many subscriptions on the connection", Some("Exceeded max limit of 1024")),
        ] {
            assert!(complaint(code, message, data).is_limit(), "{code} {message} {data:?}");
        }
        for (code, message, data) in [
            (1010, "Invalid Transaction", Some("Transaction would exhaust the block limits")),
            (1016, "Immediately Dropped", Some("The transaction couldn't enter the pool because of the limit")),
            (4003, "Client error: UnknownBlock: State already discarded for 0x429", None),
            (-32_601, "Method not found", None),
        ] {
            assert!(!complaint(code, message, data).is_limit(), "{code} {message} {data:?}");
        }
    }

    #[test]
    fn a_server_that_failed_has_decided_nothing_about_what_it_was_asked() {
        assert_eq!(failure(INTERNAL_ERROR), Failure::Lost("words".into()));
        let complaint = |code| Failure::Answered(Complaint { code, message: "words".into(), data: None });
        assert_eq!(failure(1010), complaint(1010));
        assert_eq!(failure(-32_000), complaint(-32_000));
    }
}
