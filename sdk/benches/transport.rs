//! The encrypted connection over the loopback: handshakes, round trips, and bulk.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sdk::{
    keys::{Identity, PeerAddress},
    transport::{ConnectionTimeouts, Listener, MAX_MESSAGE, Receiver, Sender, Session, dial},
};
use std::{hint::black_box, time::Instant};
use tokio::runtime::{Builder, Runtime};

async fn pair() -> (Session, Session) {
    let (us, peer) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let listener = Listener::bind("127.0.0.1:0", ConnectionTimeouts::default()).await.expect("a free port");
    let address = PeerAddress::new(peer.public(), "127.0.0.1", listener.local_addr().port()).expect("an address");
    let (dialled, accepted) = tokio::join!(dial(&us, &address, ConnectionTimeouts::default()), async {
        listener.accept().await.expect("a connection").handshake(&peer).await
    });
    (dialled.expect("a session"), accepted.expect("a session"))
}

fn runtime(threads: usize) -> Runtime {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        more => Builder::new_multi_thread().worker_threads(more).enable_all().build(),
    }
    .expect("a runtime")
}

/// The other side sends everything back.
async fn echo(mut sender: Sender, mut receiver: Receiver) {
    while let Ok(message) = receiver.recv().await {
        if sender.send(&message).await.is_err() {
            return;
        }
    }
}

fn handshake(c: &mut Criterion) {
    let runtime = runtime(1);
    let _group = c.bench_function("transport/handshake", |b| b.to_async(&runtime).iter(pair));
}

fn round_trip(c: &mut Criterion) {
    for (threads, name) in [(1, "one thread"), (2, "two threads")] {
        let runtime = runtime(threads);
        let (mut sender, mut receiver) = runtime.block_on(async {
            let (us, peer) = pair().await;
            let (sender, receiver) = peer.split();
            drop(tokio::spawn(echo(sender, receiver)));
            us.split()
        });
        let message = [7; 200];
        let _group = c.bench_function(&format!("transport/round trip of 200 bytes, {name}"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        sender.send(&message).await.expect("sent");
                        let _echo = black_box(receiver.recv().await.expect("received"));
                    }
                    start.elapsed()
                })
            });
        });
    }
}

/// One way, many messages per flush: what a loaded hub does.
fn stream(c: &mut Criterion) {
    let mut group = c.benchmark_group("transport/stream");
    for (length, batch) in [(200_usize, 256_u64), (65_000, 8), (MAX_MESSAGE, 1)] {
        let runtime = runtime(2);
        let (sender, mut receiver, _keep) = runtime.block_on(async {
            let (us, peer) = pair().await;
            let ((sender, keep_a), (keep_b, receiver)) = (us.split(), peer.split());
            (sender, receiver, (keep_a, keep_b))
        });
        let (orders, mut todo) = tokio::sync::mpsc::unbounded_channel::<u64>();
        drop(runtime.spawn(async move {
            let mut sender = sender;
            let message = vec![7; length];
            while let Some(messages) = todo.recv().await {
                for number in 1..=messages {
                    sender.feed(&message).await.expect("fed");
                    if number.is_multiple_of(batch) || number == messages {
                        sender.flush().await.expect("flushed");
                    }
                }
            }
        }));
        let _group = group.throughput(Throughput::Bytes(length.try_into().expect("a length")));
        let _group = group.bench_function(format!("messages of {length} bytes, {batch} per flush"), |b| {
            b.iter_custom(|messages| {
                runtime.block_on(async {
                    let start = Instant::now();
                    orders.send(messages).expect("the sender runs");
                    for _ in 0..messages {
                        let _message = black_box(receiver.recv().await.expect("received"));
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// The own work of one small message, system calls apart: sealing a batch into one frame and opening it.
fn own_work(c: &mut Criterion) {
    let runtime = runtime(1);
    let (mut sender, mut receiver, _keep) = runtime.block_on(async {
        let (us, peer) = pair().await;
        let ((sender, keep_a), (keep_b, receiver)) = (us.split(), peer.split());
        (sender, receiver, (keep_a, keep_b))
    });
    let message = [7; 200];
    let mut group = c.benchmark_group("transport/own work");
    let _group = group.throughput(Throughput::Elements(256));
    let _group = group.bench_function("256 messages of 200 bytes, one write and one read", |b| {
        b.iter_batched(
            || (),
            |()| {
                runtime.block_on(async {
                    for _ in 0..256 {
                        sender.feed(&message).await.expect("fed");
                    }
                    sender.flush().await.expect("flushed");
                    for _ in 0..256 {
                        let _message = black_box(receiver.recv().await.expect("received"));
                    }
                });
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, handshake, round_trip, stream, own_work);
criterion_main!(benches);
