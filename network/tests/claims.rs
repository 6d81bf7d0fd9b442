//! Claims that a peer leaves unanswered, while blocks come, go, and become final: what is registered, and who is barred (B1, R8.4e, R8.30).
//!
//! The transfer comes in by peer 1 and expires in block 152; its pre-image has to be registered from 140 on, and who is asked after 134 has not its time.

use crate::{
    forwarding::{DOWN, UP, code, forward_key, hub, key, lock, offer, offered},
    harness::{CHAIN, hub_policy},
};
use ::channel::transfer::{IncomingEnd, IncomingTransfer, TransferEvent, TransferTerms};
use network::{FailureCode, Forward, Router, RouterInput, RouterNotice, RouterOutput};
use proptest::{prelude::*, test_runner::RngSeed};
use protocol::contracts::{ContractId, conditional::Preimage};

const SECRET: Preimage = Preimage([3; 32]);
const DUE: u32 = 140;
const EXPIRY: u32 = 152;
/// The last block in which who is asked has its time.
const ASKED_IN_TIME: u32 = 134;
/// How far finality may lag: a block further from the final one is not sure.
const MAX_LAG: u32 = 20;

/// A hub that has paid for what it carried on, and has asked its peer for the same; `before` is what it was shown first.
fn owed(before: &[(u32, u32)]) -> Router {
    let mut router = hub(hub_policy());
    drop(offer(&mut router, offered(1)));
    for (best, finalised) in before {
        drop(show(&mut router, *best, *finalised));
    }
    let fulfilled = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    drop(router.handle(RouterInput::Transfer(DOWN, fulfilled)));
    drop(router.handle(RouterInput::Transfer(DOWN, TransferEvent::Claimed { key: forward_key() })));
    router
}

fn show(router: &mut Router, best: u32, finalised: u32) -> Vec<RouterOutput> {
    router.handle(RouterInput::Head { chain: CHAIN, best, finalised })
}

/// The peer agrees to the claim.
fn answer(router: &mut Router) {
    let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed };
    drop(router.handle(RouterInput::Transfer(UP, ended)));
}

fn registers(outputs: &[RouterOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, RouterOutput::Register { expiry: EXPIRY, .. }))
}

fn bars(outputs: &[RouterOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, RouterOutput::Notify(RouterNotice::ClaimUnanswered { .. })))
}

/// What the peer's row says of it now, where it is written. It is the last byte.
fn barred(outputs: &[RouterOutput]) -> Option<bool> {
    outputs.iter().rev().find_map(|output| match output {
        RouterOutput::Row { value: Some(value), .. } => value.last().map(|byte| *byte == 1),
        _ => None,
    })
}

/// Whether what peer 1 offers next, under this number, is refused since it left a claim unanswered.
fn is_refused(router: &mut Router, number: u8) -> bool {
    let (incoming, forward) = offered(number);
    let forward = Forward { expiry: 190, ..forward };
    let terms = TransferTerms { expiry: 192, lock: lock(Preimage([number; 32])), ..incoming.terms };
    let incoming = IncomingTransfer { terms, ..incoming };
    code(&offer(router, (incoming, forward))) == Some(FailureCode::NotServed)
}

/// An endpoint shows blocks that are not there, and takes them back. What is owed is registered by them where final blocks do not say that it is too late, and in its
/// own block where that had not come; nobody is to blame for what has not been.
#[test]
fn a_head_that_is_taken_back_loses_no_claim_and_bars_nobody() {
    for finalised in [100, EXPIRY - MAX_LAG - 1, EXPIRY - MAX_LAG] {
        for real in [133, 137, 139, 140, 145, 151] {
            let mut router = owed(&[]);
            let told = show(&mut router, 5_000, finalised);
            assert_eq!(registers(&told), finalised + MAX_LAG < EXPIRY, "final is {finalised}");
            assert!(!bars(&told));
            for best in real..EXPIRY {
                let told = show(&mut router, best, finalised);
                let has_waited = real < DUE || finalised + MAX_LAG >= EXPIRY;
                let is_registered = has_waited && best == real.max(DUE);
                assert_eq!(registers(&told), is_registered, "final is {finalised}, taken back to {real}, at {best}");
                assert!(!bars(&told), "block {best} is not final");
            }
        }
    }
}

/// What is claimed while such blocks are shown has its own block all the same once they are taken back, and whoever was asked then its time.
#[test]
fn a_claim_made_by_a_head_that_is_not_there_is_registered_in_its_own_block() {
    let mut router = owed(&[(5_000, 100)]);
    for best in 101..DUE {
        assert!(!registers(&show(&mut router, best, 100)), "at {best} the peer has its time");
    }
    let told = show(&mut router, DUE, 138);
    assert!(registers(&told) && !bars(&told));
    assert!(bars(&show(&mut router, DUE + 1, DUE)));
}

/// A peer that answers once its claim had to be registered has had the hub pay for that: it is barred all the same, and offers nothing until that is final.
#[test]
fn who_answers_between_a_block_and_its_finality_is_barred_once_it_is_final() {
    let mut router = owed(&[]);
    let told = show(&mut router, DUE, 138);
    assert!(registers(&told) && !bars(&told));
    answer(&mut router);
    assert!(is_refused(&mut router, 2), "before it is final");
    assert!(!bars(&show(&mut router, DUE + 1, DUE - 1)));
    assert!(bars(&show(&mut router, DUE + 2, DUE)));
    assert!(is_refused(&mut router, 3), "and from then on");
    assert!(!bars(&show(&mut router, DUE + 9, DUE + 9)), "once");
}

/// A peer that answers before its claim's block comes for good was not late. Blocks that a clock or a fork takes back had come for good, as far as anybody can know.
#[test]
fn who_answers_before_the_block_comes_for_good_is_served() {
    for fall in 1..=4 {
        let mut router = owed(&[]);
        drop(show(&mut router, DUE, 130));
        let told = show(&mut router, DUE - fall, 130);
        let is_late = fall <= 2;
        assert_eq!(barred(&told), (!is_late).then_some(false), "its row says so, {fall} back");
        answer(&mut router);
        assert_eq!(bars(&show(&mut router, DUE + 5, DUE + 5)), is_late, "{fall} back");
        assert_eq!(is_refused(&mut router, 2), is_late, "{fall} back");
    }
}

/// A peer that is late is barred in its row before that is final: the process may end in between.
#[test]
fn who_is_late_is_barred_in_its_row_at_once() {
    let mut router = owed(&[]);
    assert_eq!(barred(&show(&mut router, DUE - 1, DUE - 3)), None);
    let told = show(&mut router, DUE, DUE - 3);
    assert!(!bars(&told), "nobody is told of it yet");
    assert_eq!(barred(&told), Some(true));
    let told = show(&mut router, DUE + 3, DUE);
    assert!(bars(&told));
    assert_eq!(barred(&told), None, "it says so already");
}

/// A peer is not late by a block that is further from the final one than finality may lag, and is by the same block once it is not.
#[test]
fn nobody_is_late_by_a_block_that_is_not_sure() {
    let mut router = owed(&[]);
    let told = show(&mut router, DUE, DUE - MAX_LAG - 1);
    assert!(registers(&told), "whatever it is");
    assert_eq!(barred(&told), None);
    let told = show(&mut router, DUE, DUE - MAX_LAG);
    assert!(!registers(&told), "once");
    assert_eq!(barred(&told), Some(true));
}

/// The operator's word holds where clocks and forks take the claim's block back, and not where it has gone for good.
#[test]
fn who_is_let_stays_so_unless_its_block_is_taken_back() {
    for fall in 1..=4 {
        let mut router = owed(&[]);
        drop(show(&mut router, DUE, DUE - 6));
        drop(router.let_offer(CHAIN, key(1)));
        drop(show(&mut router, DUE - fall, DUE - 6));
        let told = show(&mut router, DUE + 3, DUE);
        assert!(registers(&told));
        assert_eq!((bars(&told), is_refused(&mut router, 2)), (fall > 2, fall > 2), "{fall} back");
    }
}

/// Who is let by the operator meanwhile is let.
#[test]
fn who_is_let_before_the_block_is_final_is_not_barred_by_it() {
    let mut router = owed(&[]);
    drop(show(&mut router, DUE, 138));
    answer(&mut router);
    drop(router.let_offer(CHAIN, key(1)));
    assert!(!bars(&show(&mut router, DUE + 5, DUE + 5)));
    assert!(!is_refused(&mut router, 2));
}

/// A step of the chain as a node sees it: up or down, with the final block behind; or what the peer and the operator do.
#[derive(Clone, Copy, Debug)]
enum Step {
    Show { best: u32, lag: u32 },
    Answer,
    Let,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near = (DUE - 8..EXPIRY + 3, 0..6_u32).prop_map(|(best, lag)| Step::Show { best, lag });
    let lagging = (DUE - 8..EXPIRY + 3, MAX_LAG - 6..MAX_LAG + 12).prop_map(|(best, lag)| Step::Show { best, lag });
    let far = (101..6_000_u32).prop_map(|best| Step::Show { best, lag: u32::MAX });
    let step = prop_oneof![8 => near, 4 => lagging, 1 => far, 1 => Just(Step::Answer), 1 => Just(Step::Let)];
    prop::collection::vec(step, 1..40)
}

/// What was shown last before the peer was asked.
fn first() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(100), 2 => ASKED_IN_TIME - 2..EXPIRY + 3, 1 => 101..6_000_u32]
}

/// The chain, a claim and its peer, by the rule alone.
#[derive(Debug)]
struct Rule {
    best: u32,
    finalised: u32,
    due: u32,
    is_open: bool,
    is_asked: bool,
    is_missed: bool,
    is_judged: bool,
    is_late: bool,
    is_barred: bool,
}

impl Rule {
    fn new(best: u32) -> Self {
        let mut rule = Self {
            best,
            finalised: 100,
            due: 0,
            is_open: true,
            is_asked: false,
            is_missed: false,
            is_judged: false,
            is_late: false,
            is_barred: false,
        };
        rule.due = rule.block();
        rule
    }

    fn sure(&self) -> u32 {
        self.best.min(self.finalised + MAX_LAG)
    }

    /// When a claim that is asked for now has to be registered.
    fn block(&self) -> u32 {
        if self.best <= ASKED_IN_TIME { DUE } else { self.sure().max(DUE) + 1 }
    }

    /// Whether its pre-image is registered with this head, and whether the operator is told of the peer.
    fn show(&mut self, best: u32, finalised: u32) -> (bool, bool) {
        let before = self.best;
        (self.best, self.finalised) = (best, finalised);
        if best < before {
            self.is_asked = self.is_asked && self.due <= best && !self.is_missed;
            if self.due > best + 2 {
                self.is_judged = false;
                self.is_barred = self.is_barred && !self.is_late;
                self.is_late = false;
            }
            if !self.is_asked && self.due > DUE {
                self.due = self.block().min(self.due);
            }
        }
        let asks = self.is_open && !self.is_asked && best >= self.due;
        self.is_asked = self.is_asked || asks;
        let is_in_time = self.sure() < EXPIRY;
        self.is_missed = self.is_asked && if asks { !is_in_time } else { self.is_missed };
        let is_unanswered = self.is_open && self.is_asked && self.due == DUE && self.sure() >= DUE;
        if is_unanswered && !std::mem::replace(&mut self.is_judged, true) && !self.is_barred {
            (self.is_late, self.is_barred) = (true, true);
        }
        let tells = self.is_late && finalised >= DUE;
        self.is_late = self.is_late && !tells;
        (asks && is_in_time, tells)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// By whatever heads: a claim is registered when its block comes, and again when that comes again; and who is barred had its time, and left the claim open in its
    /// block, which is sure and has not been taken back since.
    #[test]
    fn claims_are_registered_and_peers_barred_by_what_is_there(first in first(), steps in steps()) {
        let mut router = owed(&[(first, 100)]);
        let mut rule = Rule::new(first);
        for step in steps {
            match step {
                Step::Show { best, lag } => {
                    let finalised = rule.finalised.max(best.saturating_sub(lag));
                    let was_barred = rule.is_barred;
                    let expected = rule.show(best.max(finalised), finalised);
                    let told = show(&mut router, best, finalised);
                    prop_assert_eq!((registers(&told), bars(&told)), expected, "{:?}", rule);
                    let row = (rule.is_barred != was_barred).then_some(rule.is_barred);
                    prop_assert_eq!(barred(&told), row, "{:?}", rule);
                }
                Step::Answer => {
                    rule.is_open = false;
                    answer(&mut router);
                }
                Step::Let => {
                    (rule.is_late, rule.is_barred) = (false, false);
                    drop(router.let_offer(CHAIN, key(1)));
                }
            }
        }
        prop_assert_eq!(is_refused(&mut router, 2), rule.is_barred);
    }
}
