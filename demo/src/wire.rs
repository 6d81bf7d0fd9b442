//! A wire between two nodes that can be cut for one of them: what it says does not arrive any more, and it hears the other one still.

use anyhow::{Context, Result};
use sdk::keys::PeerAddress;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

/// A relay on the loopback interface.
pub(crate) struct Wire {
    address: PeerAddress,
    /// How much of what the dialling side says arrives yet, in parts that it says at once; all of it while there is no number.
    left: Arc<Mutex<Option<usize>>>,
}

impl Wire {
    /// A wire to whoever listens at this address: dial [`Wire::address`] instead.
    pub(crate) async fn to(peer: &PeerAddress) -> Result<Self> {
        let (identity, target) = (peer.identity(), peer.to_string());
        let (_identity, target) = target.rsplit_once('@').context("an address has a host")?;
        let target: SocketAddr = target.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = PeerAddress::new(identity, "127.0.0.1", listener.local_addr()?.port())?;
        let left = Arc::new(Mutex::new(None));
        let counted = Arc::clone(&left);
        let _task = tokio::spawn(async move {
            while let Ok((dialled, _from)) = listener.accept().await {
                let Ok(listening) = TcpStream::connect(target).await else { return };
                let _relay = tokio::spawn(relay(dialled, listening, Arc::clone(&counted)));
            }
        });
        Ok(Self { address, left })
    }

    pub(crate) const fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// After so many more parts nothing arrives that the dialling side says.
    pub(crate) fn cut_after(&self, parts: usize) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts);
    }
}

async fn relay(dialled: TcpStream, listening: TcpStream, left: Arc<Mutex<Option<usize>>>) {
    let (mut from_dialled, mut to_dialled) = dialled.into_split();
    let (mut from_listening, mut to_listening) = listening.into_split();
    let there = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) = from_dialled.read(&mut bytes).await {
            let Some(said) = bytes.get(..count).filter(|said| !said.is_empty()) else { return };
            // What is cut off is read and forgotten: the dialling side notices nothing.
            let is_cut = match &mut *left.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(0) => true,
                Some(parts) => {
                    *parts = parts.saturating_sub(1);
                    false
                }
                None => false,
            };
            if !is_cut && to_listening.write_all(said).await.is_err() {
                return;
            }
        }
    };
    let back = copy(&mut from_listening, &mut to_dialled);
    tokio::select! {
        () = there => {}
        _ended = back => {}
    }
}
