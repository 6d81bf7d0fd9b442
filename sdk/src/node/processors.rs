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
    thread,
    time::Duration,
};
use thiserror::Error;

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
    /// The system has refused it, which was told of.
    has_failed: AtomicBool,
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
                let (commits, is_held, has_failed) =
                    (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
                Ok(Self(Some(Arc::new(Awake { device, commits, is_held, has_failed }))))
            }
            Err(source) => Err(StayAwakeError { device, source }),
        }
    }

    /// A commit begins.
    pub(super) fn note_commit(&self) {
        let Some(held) = self.0.as_ref().and_then(Awake::note_commit) else { return };
        // A thread of its own: whoever drives this runtime may stop, and other runtimes may share the setting.
        let thread = thread::Builder::new().name("processors".to_owned());
        if let Err(error) = thread.spawn(move || held.until_unused(|| thread::sleep(AFTER))) {
            tracing::warn!(%error, "processors are not kept awake");
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

/// Processors are awake until this is dropped.
struct Held(Arc<Awake>);

impl Held {
    /// Holds processors awake until a pause passes without a commit.
    fn until_unused(self, mut pause: impl FnMut()) {
        let Self(awake) = &self;
        let asked = open(&awake.device).and_then(|mut device| {
            device.write_all(&0_i32.to_ne_bytes())?;
            Ok(device)
        });
        match &asked {
            Ok(_held) => awake.has_failed.store(false, Ordering::Relaxed),
            Err(error) if !awake.has_failed.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, device = %awake.device.display(), "processors are not kept awake");
            }
            Err(_known) => {}
        }
        let mut before = None;
        loop {
            let now = awake.commits.load(Ordering::Relaxed);
            if before.replace(now) == Some(now) {
                return;
            }
            pause();
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
    use std::fs;

    #[test]
    fn processors_are_awake_from_a_commit_on_until_a_pause_passes_without_one() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let Processors(Some(awake)) = Processors::asked_of(device.path()).unwrap() else { panic!("it may be written") };
        assert!(fs::read(device.path()).unwrap().is_empty(), "nothing is asked for yet");
        for _ in 0..2 {
            let held = awake.note_commit().unwrap();
            let mut pauses = 0;
            held.until_unused(|| {
                pauses += 1;
                assert_eq!(fs::read(device.path()).unwrap(), [0; 4]);
                if pauses < 4 {
                    assert!(awake.note_commit().is_none(), "they are awake already");
                }
            });
            assert_eq!(pauses, 4, "there was none in the last pause alone");
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        let error = Processors::asked_of(&missing).unwrap_err().to_string();
        assert!(error.contains(missing.to_str().unwrap()) && error.contains("udev"), "{error}");
    }
}
