//! Commits to disk: alone, and shared by many channels.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sdk::store::{Batch, Durability, StoreHandle, Table};
use std::time::Instant;

fn commits(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut group = c.benchmark_group("store");
    for (durability, name) in [(Durability::Immediate, "durable"), (Durability::DangerNone, "not durable")] {
        for channels in [1_u32, 16, 256] {
            let directory = tempfile::tempdir().expect("a directory");
            let store = StoreHandle::open(directory.path(), durability).expect("a store");
            let _group = group.throughput(Throughput::Elements(channels.into()));
            let _group = group.bench_function(format!("{name}, {channels} channels at once, 500 bytes each"), |b| {
                b.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let start = Instant::now();
                        let channels = (0..channels).map(|channel| {
                            let store = store.clone();
                            tokio::spawn(async move {
                                let key: Vec<u8> = channel.to_le_bytes().repeat(8);
                                for _ in 0..rounds {
                                    let batch = Batch::new().put(Table::Channels, key.clone(), vec![7; 500]);
                                    store.commit(batch).await.expect("committed");
                                }
                            })
                        });
                        for channel in futures::future::join_all(channels).await {
                            channel.expect("no panic");
                        }
                        start.elapsed()
                    })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
