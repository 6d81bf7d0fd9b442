//! Apps run here, and may take long: what may is done aside, so that it holds up this peer's task alone (R6.9c).

use channel::{Change, Command, Input, Message};
use std::time::Duration;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
    time::Instant,
};

/// What takes longer is done aside from then on: far more than a round of payments, far less than anybody notices.
const LONG: Duration = Duration::from_micros(500);
/// So many calls of apps in one round may take long together.
const MANY: usize = 4;

/// How long a channel's last inputs have taken: an input of half the time halves it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse(Duration);

impl Pulse {
    /// Does a channel's work, aside where it may take long.
    pub(super) fn run<T>(&mut self, may_be_long: bool, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = if may_be_long || self.0 >= LONG { aside(work) } else { work() };
        self.0 = began.elapsed().max(self.0.checked_div(2).unwrap_or_default());
        done
    }
}

/// Whether an input has apps do much, for all that can be seen of it.
pub(super) fn may_be_long(input: &Input) -> bool {
    let changes = match input {
        Input::Peer(Message::Update(update)) => &update.changes,
        Input::User(Command::Make(changes)) => changes,
        Input::User(Command::Force { .. }) => return true,
        _ => return false,
    };
    let begins = |change: &Change| matches!(change, Change::CreateContract(_) | Change::UpgradeContract { .. });
    changes.iter().flat_map(Change::calls).take(MANY).count() == MANY || changes.iter().any(begins)
}

/// Has another thread do what else this one has to do meanwhile, where the runtime has several.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { block_in_place(work) } else { work() }
}
