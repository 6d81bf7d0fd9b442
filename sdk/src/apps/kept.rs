//! What a node thinks of apps, as its store keeps it: an app that a user has accepted is accepted after a restart too (R7.2b).

use super::{AppTerms, KnownApp, Registry};
use crate::{
    node::StartError,
    store::{Batch, StoreError, StoreHandle, Table},
};
use channel::SavedError;
use protocol::{AccountId, Hash, decode_exact};
use scale::{Decode, Encode};
use std::sync::PoisonError;

/// One app, under its code hash.
#[derive(Encode, Decode)]
struct AcceptedRow {
    deployed: AccountId,
    worthless_when_empty: bool,
    welcome: bool,
}

impl Registry {
    /// Takes part again in what this store says was accepted, unless something else was said of it since, and keeps there what is said from now on.
    ///
    /// # Errors
    /// [`StartError::Store`]. A row that is damaged keeps no node from starting: its app has to be accepted anew.
    pub(crate) async fn keep_in(&self, store: &StoreHandle) -> Result<(), StartError> {
        for (key, bytes) in store.load_all(Table::Apps)? {
            let (code, known) = match read(&key, &bytes) {
                Ok(app) => app,
                Err(error) => {
                    tracing::error!(?key, %error, "what was thought of an app cannot be read: accept the app anew");
                    continue;
                }
            };
            let _said_since = self.write().entry(code).or_insert(known);
        }
        self.stores.write().unwrap_or_else(PoisonError::into_inner).push(store.downgrade());
        // What was said before there was a store.
        let known: Vec<_> = self.write().iter().map(|(code, known)| (*code, *known)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let batch = known.into_iter().fold(Batch::new(), |batch, (code, known)| put(batch, code, known));
        Ok(store.commit(batch).await?)
    }

    /// Keeps what is thought of an app wherever a node of this registry keeps its channels.
    pub(super) async fn keep(&self, code: Hash, known: KnownApp) -> Result<(), StoreError> {
        let stores: Vec<_> = {
            let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
            stores.retain(|store| store.upgrade().is_some());
            stores.iter().filter_map(crate::store::WeakStore::upgrade).collect()
        };
        for store in stores {
            store.commit(put(Batch::new(), code, known)).await?;
        }
        Ok(())
    }
}

fn read(key: &[u8], bytes: &[u8]) -> Result<(Hash, KnownApp), SavedError> {
    let code = key.try_into().map_err(|_key| SavedError::Damaged("an app without its code's hash".into()))?;
    let AcceptedRow { deployed, worthless_when_empty, welcome } = decode_exact(bytes).map_err(SavedError::Damaged)?;
    Ok((Hash(code), KnownApp { terms: AppTerms { deployed, worthless_when_empty }, welcome }))
}

fn put(batch: Batch, code: Hash, KnownApp { terms, welcome }: KnownApp) -> Batch {
    let AppTerms { deployed, worthless_when_empty } = terms;
    batch.put(Table::Apps, code.0, AcceptedRow { deployed, worthless_when_empty, welcome }.encode())
}
