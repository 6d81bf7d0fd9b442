//! Where the tasks of peers run: those of strangers, and handshakes, on a thread that gives way to all others (R6.9c).
//!
//! ```text
//!   accept --> handshake --> stranger's task ..... the strangers' thread: one, with a low priority
//!                                  |  ^
//!                       known      v  |  no channel any more
//!                            peer's task ......... the threads of whoever started the node
//! ```

#[cfg(test)]
mod busy;

use std::{fmt, io};
use tokio::runtime::{Builder, Handle, Runtime};

/// How much the strangers' thread gives way, as `nice` counts: where others want the processor too, it has a tenth of what one of them has. Still far more than
/// those have that are to have what is left (19).
#[cfg(target_os = "linux")]
const GIVES_WAY: i32 = 10;

/// Where tasks run.
#[derive(Clone)]
pub(super) struct Quarters {
    known: Handle,
    strangers: Handle,
}

/// The strangers' thread, until it is dropped: then all that runs there is dropped too.
pub(super) struct Outside(Option<Runtime>);

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Quarters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarters").finish_non_exhaustive()
    }
}

impl Quarters {
    /// Those of a node that is started here.
    ///
    /// # Errors
    /// The system's, where it has no thread to give.
    pub(super) fn open() -> io::Result<(Self, Outside)> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("strangers")
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        Ok((Self { known: Handle::current(), strangers: runtime.handle().clone() }, Outside(Some(runtime))))
    }

    /// Where the task of a peer runs.
    pub(super) const fn of(&self, is_stranger: bool) -> &Handle {
        if is_stranger { &self.strangers } else { &self.known }
    }
}

/// The thread runs where others leave it room from now on.
fn give_way() {
    // Elsewhere it is the whole process whose priority would change.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let given = getpriority_process(None).and_then(|ours| match ours < GIVES_WAY {
            true => setpriority_process(None, GIVES_WAY),
            false => Ok(()),
        });
        if let Err(error) = given {
            tracing::warn!(%error, "strangers are served with the priority of everybody");
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_strangers_thread_gives_way_and_no_other_does() {
        use super::{GIVES_WAY, Quarters};
        use rustix::process::getpriority_process;
        let ours = getpriority_process(None).unwrap();
        let (quarters, _outside) = Quarters::open().unwrap();
        let of = async |is_stranger| {
            quarters.of(is_stranger).spawn(async { getpriority_process(None).unwrap() }).await.unwrap()
        };
        assert_eq!((of(true).await, of(false).await), (GIVES_WAY.max(ours), ours));
        assert_eq!(getpriority_process(None).unwrap(), ours);
    }
}
