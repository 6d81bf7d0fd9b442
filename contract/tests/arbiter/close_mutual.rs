//! `channel_close_mutual` (R5.12).
use crate::harness::*;
use protocol::*;

#[tokio::test]
async fn time() {
    let t = std::time::Instant::now();
    let (mut world, channel) = World::open().await;
    println!("open {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _f = world.fork().await;
    println!("fork {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _f = world.snapshot().await;
    println!("snapshot {:?}", t.elapsed());
    let t = std::time::Instant::now();
    world.refuse(Actor::Initiator, &channel.settle(), 0, Rejection::NotClosing).await;
    println!("refuse {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let d = world.accept(Actor::Stranger, &channel.close_mutual(Pair::new(TOTAL - 1, 0), 1, world.now()), 0).await;
    println!("accept {:?} {:?}", t.elapsed(), d);
}
