//! Steps of channels that were taken and are not carried out: none of their effects leaves before the channels are durable (R6.4).

use channel::{ChannelRef, Effect, Step};

/// Steps in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: Vec<(ChannelRef, Step)>,
    effects: usize,
}

impl Steps {
    /// A channel has taken this step.
    pub(super) fn push(&mut self, reference: ChannelRef, step: Step) {
        if !step.is_empty() {
            self.effects = self.effects.saturating_add(step.len());
            self.steps.push((reference, step));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether nothing comes of them but events for the user.
    pub(super) fn only_tell(&self) -> bool {
        self.steps.iter().all(|(_, step)| step.events().count() == step.len())
    }

    /// How many effects they have.
    pub(super) const fn effects(&self) -> usize {
        self.effects
    }

    /// The connection is gone: what was to be sent on it never is.
    pub(super) fn drop_messages(&mut self) {
        self.steps.iter_mut().for_each(|(_, step)| step.drop_messages());
        self.steps.retain(|(_, step)| !step.is_empty());
        self.effects = self.steps.iter().map(|(_, step)| step.len()).sum();
    }

    /// Their effects, each with its channel, now that all of these channels are durable.
    pub(super) fn committed(self) -> Vec<(ChannelRef, Effect)> {
        let mut effects = Vec::with_capacity(self.effects);
        for (reference, step) in self.steps {
            let done = match step {
                Step::Act(effects) => effects,
                Step::Commit(commit) => commit.committed(),
            };
            effects.extend(done.into_iter().map(|effect| (reference, effect)));
        }
        effects
    }
}
