//! What happens to one side: inputs, commits, effects, crashes, and a store that takes its time.

use super::{
    CrashPlan, Initiator, Responder, World, chain, party_terms,
    side::{Held, Write},
};
use channel::{
    ChainInput, ChangeId, Channel, Command, Effect, Input, Message, Misuse, Step, UnconfirmedDispute,
    transfer::{TransferCommand, TransferEvent},
};
use protocol::{BlockNumber, Pair, Party, call::Call, contracts::ContractId, event::ArbiterEvent};
use std::collections::VecDeque;

/// Whoever decides about a side's transfers: it is told of a step before that is committed, and what it keeps is in the same commit (D8). A crash at
/// a commit ends the side's process then, and whoever owns that begins it again.
pub(crate) trait Route {
    /// What the machine tells, what can be offered in it included: commands for the same machine, in order.
    fn route(&mut self, channel: &Channel, events: Vec<TransferEvent>) -> Vec<TransferCommand>;
    /// The machine refused a command: others instead.
    fn refused(&mut self, command: TransferCommand, misuse: &Misuse) -> Vec<TransferCommand>;
    /// The commit is durable.
    fn committed(&mut self);
}

impl World {
    /// Gives one input to one side, commits, and does what it wants done.
    pub(crate) fn input(&mut self, party: Party, input: Input) -> Result<(), Misuse> {
        let side = &mut self.sides[party];
        let before = side.before();
        let Some(mut channel) = side.channel.take() else { return Ok(()) };
        let heard = match &input {
            Input::Peer(message) => Some(message.clone()),
            _ => None,
        };
        // What the user has taken is noted with the next commit.
        let before = before.filter(|_| !matches!(input, Input::EventsAcked { .. }));
        let ctx = side.context(self.now, self.pace);
        let handled = channel.handle(input, &ctx);
        side.channel = Some(channel);
        match handled {
            Err(misuse) => {
                side.check_unchanged(before.as_ref());
                Err(misuse)
            }
            Ok(step) => {
                side.check(before.as_ref(), &step, heard.as_ref());
                let steps = self.route(party, step);
                self.act(party, steps, heard);
                while let Some((party, input)) = self.later.pop_front() {
                    self.input(party, input).expect("the chain's answers are no misuse");
                }
                Ok(())
            }
        }
    }

    /// Whoever decides about the side's transfers hears what the step tells of them, and has done what it wants of this channel.
    fn route(&mut self, party: Party, step: Step) -> Vec<Step> {
        let mut steps = vec![step];
        let Some(mut route) = self.routes[party].take() else { return steps };
        let mut heard: Vec<_> = steps[0].transfers().cloned().collect();
        loop {
            let channel = self.sides[party].machine();
            let mut commands = VecDeque::from(route.route(channel, std::mem::take(&mut heard)));
            if commands.is_empty() {
                break;
            }
            while let Some(command) = commands.pop_front() {
                let side = &mut self.sides[party];
                let before = side.before();
                let mut channel = side.channel.take().expect("the machine runs");
                let ctx = side.context(self.now, self.pace);
                let handled = channel.handle(Input::User(Command::Transfer(command.clone())), &ctx);
                side.channel = Some(channel);
                match handled {
                    Err(misuse) => {
                        side.check_unchanged(before.as_ref());
                        commands.extend(route.refused(command, &misuse));
                    }
                    Ok(step) => {
                        side.check(before.as_ref(), &step, None);
                        heard.extend(step.transfers().cloned());
                        steps.push(step);
                    }
                }
            }
        }
        self.routes[party] = Some(route);
        steps
    }

    pub(super) fn act(&mut self, party: Party, steps: Vec<Step>, heard: Option<Message>) {
        let side = &mut self.sides[party];
        let (mut changed, mut effects) = (None, Vec::new());
        for step in steps {
            match step {
                Step::Act(more) => effects.extend(more),
                // They are held back until it is stored.
                Step::Commit(commit) => {
                    let all: &mut (Vec<_>, Vec<_>, Vec<_>) = changed.get_or_insert_default();
                    all.0.extend(commit.contracts());
                    all.1.extend(commit.payments());
                    all.2.extend(commit.transfers());
                    effects.extend(commit.committed());
                }
            }
        }
        let stored = side.channel.as_ref().zip(changed).map(|(channel, (contracts, payments, transfers))| {
            let row = |id: &ContractId| (*id, channel.contract(id).cloned());
            let kept = |id: &ChangeId| (*id, channel.kept_payments().get(id).cloned());
            Write {
                channel: channel.save(),
                rows: contracts.iter().map(row).collect(),
                kept: payments.iter().map(kept).collect(),
                transfers: transfers.iter().map(|id| (*id, channel.transfer(*id))).collect(),
            }
        });
        let seen = side.catches_up_from.unwrap_or(side.seen);
        let held = Held { stored, seen, effects, heard };
        if side.slow || !side.held.is_empty() {
            side.held.push_back(held);
        } else {
            self.perform(party, held);
        }
    }

    /// The store has written what `party` did next; its effects leave.
    pub(crate) fn release(&mut self, party: Party) -> bool {
        let Some(held) = self.sides[party].held.pop_front() else { return false };
        self.perform(party, held);
        while let Some((party, input)) = self.later.pop_front() {
            self.input(party, input).expect("the chain's answers are no misuse");
        }
        true
    }

    /// From now on the store of `party` writes at once again, and first what it owes.
    pub(crate) fn hurry(&mut self, party: Party) {
        self.sides[party].slow = false;
        while self.release(party) {}
    }

    fn perform(&mut self, party: Party, held: Held) {
        let side = &mut self.sides[party];
        let mut stop_after = None;
        side.check_release(&held);
        side.seen_stored = held.seen;
        if let Some(write) = held.stored {
            side.write(write);
            side.note_transfers(&held.effects);
            let plan = self.crash_plan.filter(|plan| plan.party == party && plan.commit == side.commits);
            side.commits += 1;
            stop_after = plan.map(|plan| plan.effects);
        }
        if let Some(route) = &mut self.routes[party] {
            route.committed();
        }
        let effects = held.effects.len();
        for (index, effect) in held.effects.into_iter().enumerate() {
            if stop_after.is_none_or(|stop| index < stop) {
                self.effect(party, effect);
            }
        }
        if stop_after.is_some() {
            let both = self.crash_plan.take().is_some_and(|plan| plan.both);
            self.crashed_with = Some(effects);
            if self.routes[party].is_some() {
                self.kill(party);
            } else {
                self.crash(party);
            }
            if both {
                self.crash(party.peer());
            }
        }
    }

    pub(super) fn effect(&mut self, party: Party, effect: Effect) {
        match effect {
            Effect::Send(message) if self.linked => self.wire[party.peer()].push_back(message),
            Effect::Send(_) => {}
            Effect::Submit(call) => self.chain.submit(party, *call),
            Effect::AskNonce(parties) if self.answer_nonce => {
                let nonce = self.chain.nonce(&parties);
                self.later.push_back((party, Input::Chain(ChainInput::Nonce { parties, nonce })));
            }
            Effect::AskNonce(_) => {}
            Effect::FetchCode(code) => {
                self.sides[party].fetched.push(code);
                if self.fetch_code {
                    let _was_missing = self.sides[party].book.missing.remove(&code);
                }
                self.later.push_back((party, Input::Code(code)));
            }
            Effect::Notify(notice) => self.sides[party].noticed.push(notice),
            // It stays, to be looked at.
            Effect::Forget => {}
            Effect::Transfer(event) => self.sides[party].routed.push(event),
            Effect::Register { lock, preimage, .. } => {
                self.chain.submit(party, Call::PreimageRegister { preimage, function: lock.function });
            }
            Effect::Deliver { number, event } => {
                let side = &mut self.sides[party];
                // The user keeps the number of the last one: it believes nothing twice.
                if number > side.taken {
                    side.taken = number;
                    side.tell(event);
                }
                if side.takes_events {
                    self.input(party, Input::EventsAcked { up_to: number }).expect("taking is no misuse");
                }
            }
        }
    }

    /// Has a side crash at a commit, so many from now on, after some of the effects that follow it; and the other side with it, if `both`.
    pub(crate) fn plan_crash(&mut self, party: Party, commits: usize, effects: usize, both: bool) {
        let commit = self.sides[party].commits + commits;
        self.crash_plan = Some(CrashPlan { party, commit, effects, both });
    }

    /// Kills the process; another one starts at once from what was committed. The link breaks.
    pub(crate) fn crash(&mut self, party: Party) {
        self.kill(party);
        self.restart(party);
    }

    /// Kills the process. The link breaks.
    pub(crate) fn kill(&mut self, party: Party) {
        self.later.retain(|(of, _)| *of != party);
        self.sides[party].channel = None;
        self.sides[party].held.clear();
        self.sides[party].asleep = true;
        self.disconnect();
    }

    /// As [`World::kill`], but the store had written `writes` more commits than the process knew.
    pub(crate) fn kill_after_writes(&mut self, party: Party, writes: usize) {
        let side = &mut self.sides[party];
        let written = side.held.iter().filter_map(|held| Some((held.stored.clone()?, held.seen, held.effects.clone())));
        for (write, seen, effects) in written.take(writes).collect::<Vec<_>>() {
            side.write(write);
            side.note_transfers(&effects);
            side.seen_stored = seen;
        }
        self.kill(party);
    }

    /// As [`World::restart`], where the blocks that it missed cannot be read any more: it is told what the chain has of the channel now.
    pub(crate) fn restart_from_record(&mut self, party: Party) {
        let (from, to) = self.wake(party);
        self.sides[party].seen = to;
        self.tell_record(party, from);
        self.input(party, Input::Chain(ChainInput::Head)).unwrap();
    }

    /// What a node does about an event that nobody confirms: it asks its machine for the answer, and tells it nothing. Whether there is one.
    pub(crate) fn answers_in_doubt(&mut self, party: Party, event: &ArbiterEvent) -> bool {
        let machine = self.sides[party].machine();
        let saved = machine.save();
        let answer = UnconfirmedDispute::of_event(event).and_then(|dispute| machine.answer_to(&dispute));
        assert_eq!(machine.save(), saved);
        answer.map(|call| self.chain.submit(party, call)).is_some()
    }

    /// Tells a side the channel's record instead of the blocks from `from` on.
    pub(crate) fn tell_record(&mut self, party: Party, from: BlockNumber) {
        let Some(channel) = self.sides[party].channel.as_ref().and_then(Channel::channel_id) else { return };
        let record = self.chain.ledger.channels.get(&channel).cloned();
        let nonce = self.chain.nonce(&Pair::new(party_terms(Initiator).id(), party_terms(Responder).id()));
        self.input(party, Input::Chain(ChainInput::Record { from, record, nonce })).unwrap();
    }

    /// Starts the process from what was committed, then tells it the blocks that it missed, and the last one it knew once more.
    pub(crate) fn restart(&mut self, party: Party) {
        let (known, last) = self.wake(party);
        for number in known..=last {
            self.sides[party].seen = number;
            self.tell_block(party, number);
        }
    }

    /// As [`World::restart`], on a store that was copied there from elsewhere.
    pub(crate) fn restart_from_copy(&mut self, party: Party) {
        let (known, last) = self.wake_by(party, Input::RestartedFromCopy);
        for number in known..=last {
            self.sides[party].seen = number;
            self.tell_block(party, number);
        }
    }

    /// Starts the process from what was committed: the last block it knew, and the last there is.
    fn wake(&mut self, party: Party) -> (BlockNumber, BlockNumber) {
        self.wake_by(party, Input::Restarted)
    }

    fn wake_by(&mut self, party: Party, restarted: Input) -> (BlockNumber, BlockNumber) {
        let side = &mut self.sides[party];
        side.asleep = false;
        side.routed.clear();
        side.channel = side.load();
        side.forget_uncommitted();
        let (known, last) = (side.seen_stored, side.seen.max(self.chain.head() - self.lag[party]));
        side.seen = last;
        side.catches_up_from = Some(known);
        self.input(party, restarted).unwrap();
        self.sides[party].catches_up_from = None;
        (known.max(chain::GENESIS + 1), last)
    }
}

/// What a step wants done, for whoever keeps no store.
pub(crate) fn effects_of(step: Step) -> Vec<Effect> {
    match step {
        Step::Act(effects) => effects,
        Step::Commit(commit) => commit.committed(),
    }
}
