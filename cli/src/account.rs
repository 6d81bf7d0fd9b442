//! Which chain account pays: a secret in a file or in the environment, or a development account that everybody knows.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use sdk::chain::{
    Signer,
    account::{Scheme, from_environment, from_file, from_uri, is_for_development},
};
use std::{path::PathBuf, sync::Arc};

/// Where the secret is looked for unless told otherwise.
const VARIABLE: &str = "CHANNEL_SURI";

#[derive(Args)]
#[group(id = "account")]
pub(crate) struct Options {
    /// The file with the account's secret URI (words or seed, derivations, password). Only its owner may open it.
    /// Without it the secret is taken from the environment's CHANNEL_SURI.
    #[arg(long, value_name = "FILE", conflicts_with = "suri")]
    suri_file: Option<PathBuf>,
    /// A development account such as //Alice, whose key everybody knows. Secrets of one's own are not taken here: everybody on the machine
    /// can read a command line.
    #[arg(long, value_name = "//NAME")]
    suri: Option<String>,
    /// The kind of the account's key.
    #[arg(long, value_enum, default_value_t = Kind::Sr25519)]
    scheme: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sr25519,
    Ecdsa,
}

impl Options {
    pub(crate) fn signer(&self) -> Result<Arc<dyn Signer>> {
        let scheme = match self.scheme {
            Kind::Sr25519 => Scheme::Sr25519,
            Kind::Ecdsa => Scheme::Ecdsa,
        };
        match (&self.suri_file, &self.suri) {
            (Some(file), _) => Ok(from_file(file, scheme)?),
            (None, Some(uri)) if is_for_development(uri) => {
                eprintln!(
                    "warning: {uri} is a development account: everybody has its key, so use it on development chains only"
                );
                Ok(from_uri(uri, scheme)?)
            }
            (None, Some(_secret)) => bail!(
                "everybody on this machine can read a command line: put the secret URI into a file (--suri-file, chmod 600) or into \
                 the environment's {VARIABLE}"
            ),
            (None, None) => Ok(from_environment(VARIABLE, scheme)?),
        }
    }
}
