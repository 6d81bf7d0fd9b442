//! A node, or a wallet, in a process of its own: see `e2e_tests::peer`.

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    e2e_tests::peer::run().await;
}
