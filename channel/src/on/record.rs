//! What the record on chain tells where the blocks that led to it cannot be read any more (R6.9b): nodes keep the states of old blocks for a while
//! only.
//!
//! ```text
//!   blocks from..to unread --> Record(at to) --> a state of ours that both signed is there: adopted, and told as its event would have been
//!                                            |-> forced steps that nobody can show any more: an own one is run again, else PendingReplay
//!                                            |-> closing: answered as if it had just been announced
//!                                            '-> no record: over (Unseen), or an opening that is still awaited
//! ```
//!
//! A record says where a channel stands, and not how it came there. What is not in it is told as unknown, never guessed.

use super::chain::ExecutedOperation;
use crate::{
    channel::Channel,
    event::{CloseReason, Event, Notice},
    input::Context,
    message::RefusalCode,
    phase::{
        Phase,
        closing::{ClosePath, Residual, Solo},
        live::{Live, agreed::Posted, dispute::PendingReplay},
    },
    step::Step,
};
use protocol::{
    Amount, Base, BlockNumber, Party,
    record::{Closing, Phase as RecordPhase, Record},
};

impl Channel {
    /// The blocks from `from` up to the head were not read; this is what the chain has of the channel after them. `nonce` is the least one that its
    /// parties may name next.
    pub(crate) fn on_chain_record(
        &mut self,
        from: BlockNumber,
        record: Option<Record>,
        nonce: u64,
        ctx: &Context<'_>,
    ) -> Step {
        if self.channel_id().is_none() {
            // Nothing of it can be on chain: nobody has signed, or it is over here.
            return Step::default();
        }
        let told = Event::BlocksSkipped { from, to: ctx.head };
        let step = match record {
            None => self.on_no_record(nonce),
            Some(record) => self.on_record(record, ctx),
        };
        Step::tell([told]).and(step)
    }

    /// Transition: half_signed | signed | open | closing -> closed. An opening whose nonce is not used up goes on being awaited.
    fn on_no_record(&mut self, nonce: u64) -> Step {
        let (named, agreed) = match &self.phase {
            Phase::HalfSigned(half) => (Some(half.nonce), half.body.balances),
            Phase::Signed(signed) => ((!signed.locked).then_some(signed.nonce), signed.funding.first().balances),
            Phase::Open(live) | Phase::Closing(live, _) => (None, live.agreed.state().balances),
            Phase::Initialized(_) | Phase::Accepted(_) | Phase::Closed(_) => return Step::default(),
        };
        if named.is_some_and(|named| nonce <= named) {
            return Step::default();
        }
        self.close_once(CloseReason::Unseen { agreed })
    }

    fn on_record(&mut self, record: Record, ctx: &Context<'_>) -> Step {
        let step = match &self.phase {
            Phase::HalfSigned(_) => self.on_record_of_opening(&record),
            Phase::Signed(signed) if !signed.locked => self.on_record_of_opening(&record),
            _ => Step::default(),
        };
        let is_fresh = record.on_chain.at == Base::of(1) && record.check_open().is_ok();
        match &self.phase {
            // Not the one that was signed here; or there, and as it was opened.
            Phase::Signed(signed) if !signed.locked || is_fresh => return step,
            Phase::Signed(_) => {
                if let Some(live) = self.take_live() {
                    self.phase = Phase::Open(live);
                }
            }
            Phase::Open(_) | Phase::Closing(..) => {}
            Phase::Initialized(_) | Phase::Accepted(_) | Phase::HalfSigned(_) | Phase::Closed(_) => return step,
        }
        step.and(self.on_record_of_live(record, ctx))
    }

    /// Transition: half_signed | signed -> signed (locked), where the channel on chain is the one that this side signed.
    fn on_record_of_opening(&mut self, record: &Record) -> Step {
        // Whatever is above the first round carries this side's signature too.
        if record.on_chain.at > Base::of(1) && self.has_terms_of(record) {
            return self.on_opening_final();
        }
        self.on_chain_created(record)
    }

    /// What a running channel makes of its record.
    fn on_record_of_live(&mut self, record: Record, ctx: &Context<'_>) -> Step {
        let Record { terms, total, on_chain, forced_steps, phase } = record;
        let posted = Posted { at: on_chain.at, state_hash: on_chain.state_hash };
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Step::default() };
        let before = live.funding.total();
        let is_news = live.dispute.on_chain().at != posted.at;
        let mut step = self.adopt_from_record(&posted, total);
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return step };
        let forced_by_us = forced_steps[self.me] > live.dispute.forced_steps()[self.me];
        live.dispute.see_record(on_chain, forced_steps, &phase);
        let _before = live.funding.set_total(total);
        live.funding.set_delegates(terms.parties.as_ref().map(|theirs| theirs.delegates.as_slice()));
        if is_news {
            // What was to be followed lies below steps that nobody can show any more.
            live.dispute.drop_replay();
        }
        if is_news && posted.is_forced() {
            let is_residual = matches!(phase, RecordPhase::Residual { .. });
            let ours = forced_by_us.then(|| live.own_steps(self.me, posted, before, is_residual)).flatten();
            if let Some(ours) = ours {
                live.dispute.await_replay(ours);
            }
        }
        step = step.and(match phase {
            RecordPhase::Open => self.on_record_open(),
            RecordPhase::Closing(closing) => self.on_record_closing(posted, &closing, ctx),
            RecordPhase::Residual { .. } => self.on_record_residual(is_news),
        });
        step = step.and(self.replay_on(ctx));
        if is_news {
            step = step.and(self.lose_track(&posted, ctx));
        }
        step.and(self.end_residual()).and(self.advance(ctx))
    }

    /// Adopts the newest state on chain that both have signed, where this side knows it. Below forced steps only its round is known, and it is the
    /// one state that this side has signed with that number.
    fn adopt_from_record(&mut self, posted: &Posted, total: Amount) -> Step {
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let round = posted.at.agreed;
        let known =
            live.operation.hash_in(round).or_else(|| live.outgoing.find(round).map(|ours| ours.update().state_hash));
        let state_hash = if posted.is_forced() { known } else { Some(posted.state_hash) };
        let Some(shown) = state_hash.map(|state_hash| Posted { at: Base::of(round), state_hash }) else {
            return Step::default();
        };
        if !live.is_behind(&shown) {
            return Step::default();
        }
        if let Some((kind, event)) = live.operation.as_done(&shown) {
            let total = (!posted.is_forced()).then_some(total);
            return self.take_operated(ExecutedOperation { kind, round, state_hash: shown.state_hash, total, event });
        }
        let from = live.agreed.round();
        match live.adopt_from_chain(&shown, me) {
            Some(events) => {
                live.operation.note_peer_saw(round);
                live.operation.retry_above();
                Step::tell(events)
            }
            // It carries our signature, and we know of none: our store is old (R6.6).
            None if round > live.outgoing.signed() => live.note_stale(from, round),
            None => Step::commit(Vec::new()),
        }
    }

    /// Transition: closing (solo) -> open, where the close that was announced never was.
    fn on_record_open(&mut self) -> Step {
        if matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_)))
            && let Some(live) = self.take_live()
        {
            self.phase = Phase::Open(live);
        }
        Step::commit(Vec::new())
    }

    /// Transition: open | closing -> closing (solo). Whether it was answered already is not in the record: where this side had not seen the close it
    /// is told of as one.
    fn on_record_closing(&mut self, posted: Posted, closing: &Closing, ctx: &Context<'_>) -> Step {
        let known = matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_)));
        let solo = Solo::new(posted, closing);
        let (round, unlock_at) = (posted.at.round(), closing.unlock_at);
        self.on_chain_closing(solo, ctx, |outdated| match known {
            true => Event::Slashed { round, unlock_at },
            false => Event::ClosingSolo { round, unlock_at, outdated },
        })
    }

    /// Transition: open | closing -> closing (residual), without knowing what was paid out.
    fn on_record_residual(&mut self, is_news: bool) -> Step {
        let was_residual = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        if was_residual && !is_news {
            return Step::default();
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let held = live.funding.total();
        live.wish.drop_solo();
        let mut told = live.drop_pending(RefusalCode::CLOSING);
        // What a residual channel has paid since the last look is not known either.
        if !was_residual {
            told.push(Event::ResidualUnseen { held });
        }
        self.move_to_closing(ClosePath::Residual(Residual { balances: None }));
        Step::tell(told)
    }

    /// The state on chain was forced by calls that cannot be read any more, and nothing that is held here replaces it: what the channel's contracts
    /// are now is not known, so that nothing more is signed.
    pub(crate) fn lose_track(&mut self, posted: &Posted, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let is_known =
            live.agreed.base() == posted.at || live.dispute.pending_replay().is_some() || live.open_pledge().is_some();
        if !posted.is_forced() || is_known || live.store.is_stale() || live.newer_than_chain(ctx.head).is_some() {
            return Step::default();
        }
        let (from, to) = (live.agreed.round(), posted.at.round());
        Step::notify(Notice::PendingReplay { round: to }).and(live.note_stale(from, to))
    }
}

impl Live {
    /// Own calls that were being forced, as the step that they are in on chain: all of its facts but the calls are in the record. None where they
    /// are not all of what has happened there.
    fn own_steps(&self, me: Party, posted: Posted, total: Amount, is_residual: bool) -> Option<PendingReplay> {
        let base = self.agreed.base();
        let steps = posted.at.steps.checked_sub(base.steps).filter(|_| posted.at.agreed == base.agreed)?;
        let mark = self.dispute.on_chain().maturity.marks().last().filter(|mark| mark.reached == posted.at)?;
        let calls = self.dispute.forcing()?.first_calls(usize::try_from(steps).ok()?)?;
        Some(PendingReplay { party: me, posted, calls, height: mark.block, total, is_residual })
    }
}
