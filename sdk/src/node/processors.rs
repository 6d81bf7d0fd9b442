//! Processors that stay awake while a node keeps payments (`docs/adr/0016-processors-that-stay-awake.md`).
//!
//! Linux bounds how long an idle processor may take to wake by the least that any open file of `/dev/cpu_dma_latency` asks for, as long as it is open. Zero has idle
//! processors wait in a loop.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::time::sleep;

/// What this machine's processors do while a node waits for its disk and its peers: by default they sleep as the system has them. One that was made by
/// [`stay_awake`](Self::stay_awake) serves any number of nodes.
#[derive(Clone, Debug, Default)]
pub struct Processors(Option<Arc<Awake>>);

/// Why processors cannot be kept awake.
#[derive(Debug, Error)]
#[error(
    "processors cannot be kept awake, since {} cannot be written: {source}; Linux has that file, for root and for whoever is given it, as by a udev rule",
    device.display()
)]
pub struct StayAwakeError {
    device: PathBuf,
    source: io::Error,
}

/// Holds processors awake while commits follow one another.
#[derive(Debug)]
struct Awake {
    device: PathBuf,
    /// How many there were.
    commits: AtomicU64,
    is_held: AtomicBool,
}

/// Where Linux takes requests from.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// How long after a commit processors stay awake.
const AFTER: Duration = Duration::from_millis(100);

impl Processors {
    /// No processor of this machine sleeps from a commit on until there was none for a tenth of a second. Payments one after the other are a quarter faster
    /// with a store that waits for its disk (`docs/benchmarks/told.md`); meanwhile idle processors take as much power as busy ones, whichever process they are idle in.
    ///
    /// # Errors
    /// [`StayAwakeError`] where this process may not ask that of the system.
    pub fn stay_awake() -> Result<Self, StayAwakeError> {
        Self::asked_of(Path::new(DEVICE))
    }

    fn asked_of(device: &Path) -> Result<Self, StayAwakeError> {
        let device = device.to_owned();
        match open(&device) {
            Ok(_asks_for_nothing_yet) => {
                Ok(Self(Some(Arc::new(Awake { device, commits: AtomicU64::new(0), is_held: AtomicBool::new(false) }))))
            }
            Err(source) => Err(StayAwakeError { device, source }),
        }
    }

    /// A commit begins.
    pub(super) fn note_commit(&self) {
        if let Some(held) = self.0.as_ref().and_then(Awake::note_commit) {
            let _task = tokio::spawn(held.until_unused(async || sleep(AFTER).await));
        }
    }
}

impl Awake {
    /// A commit begins. What holds processors awake, where nothing does yet.
    fn note_commit(self: &Arc<Self>) -> Option<Held> {
        let _before = self.commits.fetch_add(1, Ordering::Relaxed);
        let is_held = self.is_held.swap(true, Ordering::AcqRel);
        (!is_held).then(|| Held(Arc::clone(self)))
    }
}

/// Processors are awake until this is dropped, with its task or its runtime.
struct Held(Arc<Awake>);

impl Held {
    /// Holds processors awake until a pause passes without a commit.
    async fn until_unused(self, pause: impl AsyncFn()) {
        let Self(awake) = &self;
        let asked = open(&awake.device).and_then(|mut device| {
            device.write_all(&0_i32.to_ne_bytes())?;
            Ok(device)
        });
        if let Err(error) = &asked {
            tracing::warn!(%error, device = %awake.device.display(), "processors are not kept awake");
        }
        let mut before = None;
        loop {
            let now = awake.commits.load(Ordering::Relaxed);
            if before.replace(now) == Some(now) {
                return;
            }
            pause().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

fn open(device: &Path) -> io::Result<File> {
    File::options().write(true).open(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::{fs, pin::pin};
    use tokio::sync::Notify;

    #[test]
    fn processors_are_awake_from_a_commit_on_until_a_pause_passes_without_one() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let Processors(Some(awake)) = Processors::asked_of(device.path()).unwrap() else { panic!("it may be written") };
        assert!(fs::read(device.path()).unwrap().is_empty(), "nothing is asked for yet");
        for _ in 0..2 {
            let (held, paused) = (awake.note_commit().unwrap(), Notify::new());
            let mut holding = pin!(held.until_unused(async || paused.notified().await));
            for _ in 0..3 {
                assert!(holding.as_mut().now_or_never().is_none());
                assert_eq!(fs::read(device.path()).unwrap(), [0; 4]);
                assert!(awake.note_commit().is_none(), "they are awake already");
                paused.notify_one();
            }
            assert!(holding.as_mut().now_or_never().is_none(), "there was a commit in the last pause");
            paused.notify_one();
            assert!(holding.now_or_never().is_some(), "there was none");
        }
    }

    #[test]
    fn a_runtime_that_ends_lets_processors_sleep() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let Processors(Some(awake)) = Processors::asked_of(device.path()).unwrap() else { panic!("it may be written") };
        for _ in 0..2 {
            let held = awake.note_commit().unwrap();
            drop(held.until_unused(async || std::future::pending().await));
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        let error = Processors::asked_of(&missing).unwrap_err().to_string();
        assert!(error.contains(missing.to_str().unwrap()) && error.contains("udev"), "{error}");
    }
}
