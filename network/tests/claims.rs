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

/// Whether what peer 1 offers next, under this number, is refused since it left a claim unanswered.
fn is_refused(router: &mut Router, number: u8) -> bool {
    let (incoming, forward) = offered(number);
    let forward = Forward { expiry: 190, ..forward };
    let terms = TransferTerms { expiry: 192, lock: lock(Preimage([number; 32])), ..incoming.terms };
    let incoming = IncomingTransfer { terms, ..incoming };
    code(&offer(router, (incoming, forward))) == Some(FailureCode::NotServed)
}

/// An endpoint shows blocks that are not there, and takes them back. What is owed is registered in its block, and nobody is to blame for what has not been.
#[test]
fn a_head_that_is_taken_back_loses_no_claim_and_bars_nobody() {
    for real in [101, 139, 140, 145, 151] {
        let mut router = owed(&[]);
        let told = show(&mut router, 5_000, 100);
        assert!(!registers(&told), "by that block it is too late");
        assert!(!bars(&told));
        let mut is_registered = false;
        for best in real..EXPIRY {
            let told = show(&mut router, best, 100);
            is_registered = is_registered || registers(&told);
            assert!(!bars(&told), "block {best} is not final");
            assert_eq!(is_registered, best >= DUE, "taken back to {real}, at {best}");
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

/// A peer that answers before its claim's block comes for good was not late.
#[test]
fn who_answers_before_the_block_comes_for_good_is_served() {
    let mut router = owed(&[]);
    drop(show(&mut router, DUE, 130));
    drop(show(&mut router, DUE - 1, 130));
    answer(&mut router);
    assert!(!bars(&show(&mut router, DUE + 5, DUE + 5)));
    assert!(!is_refused(&mut router, 2));
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

/// A step of the chain as a node sees it: up or down, with the final block behind.
#[derive(Clone, Copy, Debug)]
enum Step {
    Show { best: u32, lag: u32 },
    Answer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near = (DUE - 8..EXPIRY + 3, 0..6_u32).prop_map(|(best, lag)| Step::Show { best, lag });
    let far = (101..6_000_u32).prop_map(|best| Step::Show { best, lag: u32::MAX });
    prop::collection::vec(prop_oneof![8 => near, 1 => far, 1 => Just(Step::Answer)], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// By whatever heads: while a claim is open and its block is there, its pre-image has been asked for since that block came last; and who is barred had left it open
    /// in its block, which is final and has not been taken back since.
    #[test]
    fn claims_are_registered_and_peers_barred_by_what_is_there(steps in steps()) {
        let mut router = owed(&[]);
        let (mut best, mut finalised) = (100, 100);
        let (mut is_open, mut is_late, mut is_barred, mut is_asked) = (true, false, false, false);
        for step in steps {
            match step {
                Step::Show { best: shown, lag } => {
                    let before = best;
                    finalised = finalised.max(shown.saturating_sub(lag));
                    best = shown.max(finalised);
                    if best < before {
                        is_asked = false;
                        is_late = is_late && best >= DUE;
                    }
                    let told = show(&mut router, shown, finalised);
                    is_asked = is_asked || registers(&told);
                    prop_assert!(!registers(&told) || is_open, "nothing is registered that has ended");
                    prop_assert!(!is_open || is_asked || !(DUE..EXPIRY).contains(&best), "open, and not asked for at {best}");
                    is_late = is_late || (is_open && best >= DUE);
                    let bars_now = is_late && !is_barred && finalised >= DUE;
                    prop_assert_eq!(bars(&told), bars_now, "late: {}, best {}, final {}", is_late, best, finalised);
                    is_barred = is_barred || bars_now;
                }
                Step::Answer => {
                    is_open = false;
                    answer(&mut router);
                }
            }
        }
        prop_assert_eq!(is_refused(&mut router, 2), is_late || is_barred);
    }
}
