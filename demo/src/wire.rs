//! A wire between two nodes that can be cut for one of them: what it says does not arrive any more, and it hears the other one still.

use anyhow::{Context, Result};
use sdk::keys::PeerAddress;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A relay on the loopback interface.
pub(crate) struct Wire {
    address: PeerAddress,
    is_cut: watch::Sender<bool>,
}

impl Wire {
    /// A wire to whoever listens at this address: dial [`Wire::address`] instead.
    pub(crate) async fn to(peer: &PeerAddress) -> Result<Self> {
        let (identity, target) = (peer.identity(), peer.to_string());
        let (_identity, target) = target.rsplit_once('@').context("an address has a host")?;
        let target: SocketAddr = target.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = PeerAddress::new(identity, "127.0.0.1", listener.local_addr()?.port())?;
        let (is_cut, cut) = watch::channel(false);
        let _task = tokio::spawn(async move {
            while let Ok((dialled, _from)) = listener.accept().await {
                let Ok(listening) = TcpStream::connect(target).await else { return };
                let _relay = tokio::spawn(relay(dialled, listening, cut.clone()));
            }
        });
        Ok(Self { address, is_cut })
    }

    pub(crate) const fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// From now on nothing arrives that the dialling side says.
    pub(crate) fn cut(&self) {
        let _former = self.is_cut.send_replace(true);
    }
}

async fn relay(dialled: TcpStream, listening: TcpStream, mut cut: watch::Receiver<bool>) {
    let (mut from_dialled, mut to_dialled) = dialled.into_split();
    let (mut from_listening, mut to_listening) = listening.into_split();
    let there = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) = from_dialled.read(&mut bytes).await {
            let Some(said) = bytes.get(..count).filter(|said| !said.is_empty()) else { return };
            // What is cut off is read and forgotten: the dialling side notices nothing.
            let is_cut = *cut.borrow_and_update();
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
