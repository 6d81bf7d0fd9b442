//! A wire with a delay: what goes in comes out in the same order, each piece after the same time.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Where to dial in order to reach `to`, each way `delay` later.
pub(crate) async fn slow(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _task = tokio::spawn(async move {
        while let Ok((dialler, _)) = listener.accept().await {
            let listener = TcpStream::connect(to).await.unwrap();
            for stream in [&dialler, &listener] {
                stream.set_nodelay(true).unwrap();
            }
            let (from_dialler, to_dialler) = dialler.into_split();
            let (from_listener, to_listener) = listener.into_split();
            carry(from_dialler, to_listener, delay);
            carry(from_listener, to_dialler, delay);
        }
    });
    address
}

fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (put, mut take) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let _reading = tokio::spawn(async move {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if put.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    let _writing = tokio::spawn(async move {
        while let Some((due, bytes)) = take.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
}
