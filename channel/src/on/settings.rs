//! Settings of a channel that are this side's alone, changed while it lives. What both have signed is in its terms, and no setting (R6.3d).

use crate::{channel::Channel, config::Config, error::Misuse, input::Context, phase::Phase, step::Step};

impl Channel {
    /// Takes other settings from now on. A round that was shown to the user still waits for the user; what begins to count by them is looked at again.
    /// Transition: none
    pub(crate) fn on_user_configure(&mut self, config: Config, ctx: &Context<'_>) -> Result<Step, Misuse> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Err(Misuse::NotOpen { state: self.phase.name() });
        }
        if config == self.config {
            return Ok(Step::default());
        }
        let before = std::mem::replace(&mut self.config, config);
        let mut again = Vec::new();
        if config.defend && !before.defend {
            again.extend(self.defence(ctx.head));
            again.extend(self.snapshot_again(ctx.head));
        }
        Ok(Step::commit(again).and(self.look_again(ctx)))
    }

    /// The settings that count now.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
