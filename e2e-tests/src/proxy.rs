//! The network between two nodes, as bad as a story needs it: TCP in, TCP out, and in between the bytes of each direction pass, wait, are lost,
//! or are damaged.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who dialled to who listens.
    Forth,
    /// From who listens to who dialled.
    Back,
}

/// What happens to the bytes of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// They stay where they are: the sender's buffers fill up.
    Stall,
    /// So many pass, and what comes after them stays where it is.
    StallAfter(usize),
    /// They are taken and never delivered.
    Swallow,
    /// One bit of the next bytes is turned.
    Damage,
}

/// Stands between those who dial it and one listener.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    forth: watch::Sender<Mode>,
    back: watch::Sender<Mode>,
    connections: Mutex<Vec<JoinHandle<()>>>,
    /// How many connections were made, and how many have ended.
    counts: watch::Sender<(usize, usize)>,
    passed: watch::Sender<[usize; 2]>,
    lost: watch::Sender<[usize; 2]>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Proxy {
    /// Stands in front of the listener at `to`.
    pub async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            forth: watch::Sender::new(Mode::Pass),
            back: watch::Sender::new(Mode::Pass),
            connections: Mutex::default(),
            counts: watch::Sender::new((0, 0)),
            passed: watch::Sender::new([0, 0]),
            lost: watch::Sender::new([0, 0]),
        });
        let accepting = tokio::spawn(accept(listener, to, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Where to dial.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, at once and on both sides.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Lets everything pass again; what had stalled comes first.
    pub fn mend(&self) {
        let _was = (self.shared.forth.send_replace(Mode::Pass), self.shared.back.send_replace(Mode::Pass));
    }

    /// Delivers nothing more in either direction. Both sides keep their connections.
    pub fn stall(&self) {
        let _was = (self.shared.forth.send_replace(Mode::Stall), self.shared.back.send_replace(Mode::Stall));
    }

    /// Delivers nothing more in one direction once so many bytes in all have passed in it.
    pub fn stall_after(&self, direction: Direction, bytes: usize) {
        let _was = self.mode(direction).send_replace(Mode::StallAfter(bytes));
    }

    /// Takes and loses whatever comes in one direction.
    pub fn swallow(&self, direction: Direction) {
        let _was = self.mode(direction).send_replace(Mode::Swallow);
    }

    /// Turns one bit of the next bytes in one direction.
    pub fn damage(&self, direction: Direction) {
        let _was = self.mode(direction).send_replace(Mode::Damage);
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.counts.borrow().0
    }

    /// Waits until so many connections in all have been ended, by whichever side.
    pub async fn ended(&self, count: usize) {
        let mut counts = self.shared.counts.subscribe();
        let ended = counts.wait_for(|(_made, ended)| *ended >= count);
        let _counts = crate::within("connections through the proxy to end", ended).await.unwrap();
    }

    /// How many bytes have passed in one direction.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> usize {
        self.shared.passed.borrow()[direction.index()]
    }

    /// Waits until something has been lost in one direction.
    pub async fn loses(&self, direction: Direction) {
        let mut lost = self.shared.lost.subscribe();
        let something = lost.wait_for(|lost| lost[direction.index()] > 0);
        let _bytes = crate::within("something to be lost on the way", something).await.unwrap();
    }

    fn mode(&self, direction: Direction) -> &watch::Sender<Mode> {
        match direction {
            Direction::Forth => &self.shared.forth,
            Direction::Back => &self.shared.back,
        }
    }
}

impl Direction {
    const fn index(self) -> usize {
        match self {
            Self::Forth => 0,
            Self::Back => 1,
        }
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, shared: Arc<Shared>) {
    while let Ok((dialled, _from)) = listener.accept().await {
        let Ok(listening) = TcpStream::connect(to).await else { continue };
        let task = tokio::spawn(carry(dialled, listening, Arc::clone(&shared)));
        shared.connections.lock().unwrap().push(task);
    }
}

/// Counts a connection from its beginning to its end, also where it is cut.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.counts.send_modify(|(made, _ended)| *made += 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts.send_modify(|(_made, ended)| *ended += 1);
    }
}

/// Carries bytes both ways until either side ends the connection.
async fn carry(dialled: TcpStream, listening: TcpStream, shared: Arc<Shared>) {
    let _counted = Counted::new(Arc::clone(&shared));
    let ((from_dialler, to_dialler), (from_listener, to_listener)) = (dialled.into_split(), listening.into_split());
    tokio::select! {
        () = pass(from_dialler, to_listener, shared.forth.subscribe(), &shared, Direction::Forth) => {}
        () = pass(from_listener, to_dialler, shared.back.subscribe(), &shared, Direction::Back) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    shared: &Shared,
    direction: Direction,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *mode.borrow_and_update();
        let stalls = match now {
            Mode::Stall => true,
            Mode::StallAfter(bytes) => shared.passed.borrow()[direction.index()] >= bytes,
            Mode::Pass | Mode::Swallow | Mode::Damage => false,
        };
        let read = tokio::select! {
            biased;
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_gone) => return,
            },
            read = from.read(&mut buffer), if !stalls => read,
        };
        let Ok(length @ 1..) = read else { return };
        match now {
            Mode::Swallow => {
                shared.lost.send_modify(|lost| lost[direction.index()] += length);
                continue;
            }
            Mode::Damage => buffer[length - 1] ^= 1,
            Mode::Pass | Mode::Stall | Mode::StallAfter(_) => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        shared.passed.send_modify(|passed| passed[direction.index()] += length);
    }
}
