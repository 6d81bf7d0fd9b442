//! What the nodes of this process log: where a refusal is told to nobody else.

use crate::within;
use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

/// Everything logged so far.
#[derive(Clone, Debug)]
pub struct Logs {
    text: Arc<Mutex<String>>,
    length: Arc<watch::Sender<usize>>,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

impl Logs {
    /// Starts to listen, once in a process.
    pub fn start() -> Self {
        LOGS.get_or_init(|| {
            let logs = Self { text: Arc::default(), length: Arc::new(watch::Sender::new(0)) };
            tracing_subscriber::fmt()
                .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
                .with_ansi(false)
                .with_writer(logs.clone())
                .init();
            logs
        })
        .clone()
    }

    /// Waits for a text.
    pub async fn wait(&self, text: &str) {
        let mut length = self.length.subscribe();
        let there = length.wait_for(|_length| self.text.lock().unwrap().contains(text));
        let _length = within(&format!("the log to say {text:?}"), there).await.unwrap();
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        self.length.send_modify(|length| *length += bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
