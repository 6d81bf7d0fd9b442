//! What becomes of a swap between two chains, whatever goes wrong from whichever step on: played over real routers, and compared with `docs/swap-outcomes.md`.

mod cases;
mod page;
mod play;

use crate::{
    harness::{Flight, Order},
    swaps::INITIATOR,
};
use cases::Case;
use play::{Begins, End, LONGEST, TICK, Way, play};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The worst end of a case, and how many ways were played.
pub(crate) struct Row {
    case: Case,
    end: End,
    ways: usize,
}

/// In which orders, at which paces, and how fast messages are.
const BASES: [(Order, (u64, u64), bool); 5] = [
    (Order::First, (TICK, TICK), false),
    (Order::Last, (TICK, LONGEST), false),
    (Order::Seeded(11), (LONGEST, TICK), false),
    (Order::Seeded(5), (TICK, LONGEST), true),
    (Order::Last, (LONGEST, LONGEST), true),
];

/// The ways in which each case is played.
fn ways() -> impl Iterator<Item = Way> {
    let flights = [Flight::Arrives, Flight::Lost, Flight::WithoutClaims];
    let begins = [Begins::AtOnce, Begins::BeforeTarget, Begins::BeforeSource];
    (0..BASES.len() * 12).map(move |number| {
        let (base, late, kind) = (number % BASES.len(), number / BASES.len() % 4, number / BASES.len() / 4);
        let (order, paces, is_slow) = BASES[base];
        // A step has several pieces of work.
        let after = (kind + late) % 4;
        Way {
            order,
            paces,
            is_slow,
            after,
            message: kind + late,
            flight: flights[(base + kind) % 3],
            back: [8, 90, 180][(after + base) % 3],
            begins: begins[kind],
            silence: [0, 4, 60][(base + after + kind) % 3],
        }
    })
}

/// The worst end of a case.
fn row(case: Case) -> Row {
    let ends = ways().filter_map(|way| play(case, way).inspect(|end| check(&case, way, end)));
    let ends: Vec<End> = ends.collect();
    let end = ends.iter().max_by_key(|end| end.badness()).copied();
    Row { case, end: end.unwrap_or_else(|| panic!("{case:?} was never played")), ways: ends.len() }
}

/// Within the published bounds nobody who keeps to the rules loses a leg, nor an initiator its premium but where it lets the target leg expire.
fn check(case: &Case, way: Way, end: &End) {
    let keeps_premium = !end.premium_moved || !case.counts(INITIATOR) || case.lets_expire();
    assert!(!case.is_within() || (end.lost == [0, 0] && keeps_premium), "{case:?} {way:?}: {end:?}");
}

/// All cases of a list, played on two threads.
fn rows(cases: &[Case]) -> Vec<Row> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((place, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?)))
        {
            let row = row(*case);
            let _new = done.lock().unwrap().insert(place, row);
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        other.join().unwrap();
    });
    done.into_inner().unwrap().into_values().collect()
}

#[test]
fn the_page_of_outcomes_says_what_becomes_of_swaps_and_nobody_loses_a_leg_within_the_bounds() {
    let page = page::page(&rows(&Case::of_peers()), &rows(&Case::of_chains()), &rows(&Case::of_both()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/swap-outcomes.md");
    if std::env::var_os("UPDATE_OUTCOMES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    let differs = known.lines().zip(page.lines()).find(|(known, now)| known != now);
    assert!(
        known == page,
        "docs/swap-outcomes.md says something else than was played: {differs:?}; UPDATE_OUTCOMES=1 writes it anew"
    );
}
