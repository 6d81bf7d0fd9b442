//! The page that says what was played.

use super::{
    BASES, Row,
    play::{FINALITY, INCLUSION, JAM, LONGEST, MARGINS, STALL, TICK, UNSEEN},
};
use crate::swaps::{GOT, PAID, PREMIUM};
use std::fmt::Write as _;

/// The whole page.
pub(super) fn page(peers: &[Row], chains: &[Row], both: &[Row]) -> String {
    let mut page = String::new();
    page.push_str(&intro());
    page.push_str(&bounds());
    page.push_str(COLUMNS);
    page.push_str(&limits());
    section(&mut page, "A party, or a message between the two", PEERS, peers);
    section(&mut page, "A chain, or a connection to one, while both parties keep to the rules", CHAINS, chains);
    section(&mut page, "A chain, or a connection to one, while the peer makes the most of it", BOTH, both);
    page
}

fn intro() -> String {
    format!(
        "# What becomes of a swap between two chains\n\n\
         The initiator pays {paid} coins on the source chain and is to get {got} coins on the target chain; its premium is {PREMIUM} coins on the target chain (SPEC R8.5). This page says what each of the two has in the \
         end, whatever goes wrong from whichever step of the swap on.\n\n\
         The test `network/tests/outcomes` makes this page: it plays each swap in virtual time over the routers that nodes run, and over the modelled channels and chains of `network/tests/harness`. It plays each row in \
         several ways and shows the worst end. The ways differ in the order in which the tasks of both nodes work (the first one that is ready, the last one, or one drawn by pseudo-random numbers from a fixed seed), in the \
         times between blocks ({least} or {most} s on either chain, {bases} combinations of order and times), in how many messages the fault comes after, in whether messages take time, and in whether the messages of \
         somebody who vanishes still arrive. The test fails where this page says something else than was played, where a leg moves in part, and where within the bounds below somebody who keeps to the rules loses a leg, or \
         the initiator loses its premium although it has not let the target leg expire. `UPDATE_OUTCOMES=1 cargo nextest run -p ink-state-channels-network -E 'test(outcomes)'` writes the page anew.\n\n",
        paid = grouped(PAID),
        got = grouped(GOT),
        least = TICK / 1_000,
        most = LONGEST / 1_000,
        bases = BASES.len(),
    )
}

fn bounds() -> String {
    format!(
        "## The bounds that hold\n\n\
         | bound | here |\n|---|---|\n\
         | `b`, `B`: the shortest and the longest time between two blocks of either chain | {b} s, {longest} s |\n\
         | `S`: how long the target chain may stand still | {stall} s |\n\
         | `i`: how many blocks a registration takes at most | {INCLUSION} |\n\
         | `f`: how many blocks final ones are behind the newest | {FINALITY} |\n\
         | `a`: what a peer has for an answer | 30 s |\n\
         | `M = Rg + ceil(a / b)` with `Rg = 2 i + f + 2` | {m} blocks, of which `Rg` is {rg} |\n\
         | how long a party may be without a connection to one chain: less than `Rg - i` of the shortest blocks | {unseen} s are played |\n\n\
         How long the source chain stands still, and how long finality of either chain stands still while blocks flow, is not bounded: coins are locked for longer, and nobody loses any. `3 S` and `S` are played.\n\n",
        b = TICK / 1_000,
        longest = LONGEST / 1_000,
        stall = STALL / 1_000,
        m = MARGINS.forward(),
        rg = MARGINS.register,
        unseen = UNSEEN * TICK / 1_000,
    )
}

const COLUMNS: &str = "## What the columns mean\n\n\
    *From* is how far the swap is when it goes wrong: both have agreed and nothing is locked; the responder has the source leg; the initiator has the target leg; or the responder has learned the pre-image. *Keeps to the rules* \
    names the parties whose losses count. *Source* and *target* say whether that leg has moved: the initiator's coins to the responder, the responder's coins to the initiator. *Premium* says whether it is back with the \
    initiator, is the responder's, or was never staked. *Lost* is what each party has less than in its last agreed state, in coins of the leg that it paid in vain, without the premium; a dash stands where that party's losses do not count. \
    *Locked* is for how many blocks of the source chain and of the target chain coins of a party that keeps to the rules were locked. *Ways* is in how many ways the row was played. Fees and deposits of registrations are not \
    in it (R8.33).\n\n";

fn limits() -> String {
    format!(
        "## Where no hash lock can help, and by how much\n\n\
         - The target chain stands still for longer than `S` while the source chain runs on. The source leg expires before the target leg does, and an initiator that has kept the pre-image back gets the source leg back and then \
         claims the target leg: the responder loses the whole target leg, {got} coins here. Two expiries that are counted by two clocks cannot rule this out. `S` is published for this reason, and a responder locks nothing while a \
         chain is known to stand still.\n\
         - A registration takes longer than `Rg` blocks. Who has to register then registers too late: on the source chain the responder loses the whole target leg ({got} coins), on the target chain the initiator \
         loses the whole source leg ({paid} coins) and the premium. Here {jam} blocks are played.\n\
         - A party stays away beyond its expiry. A responder that is not back before `E_A - Rg` of the source leg, once the initiator has the target leg, loses the whole target leg ({got} coins); the initiator has both legs then. An \
         initiator that is away until the target leg has expired loses its premium ({PREMIUM} coins). It loses no leg as long as nobody learns the pre-image from it afterwards, while a responder still holds the source leg.\n\
         - Coins stay locked where the peer answers nothing: those of the target leg until `E_B`, those of the source leg until `E_A`.\n\n",
        got = grouped(GOT),
        paid = grouped(PAID),
        jam = JAM * INCLUSION,
    )
}

const PEERS: &str = "A party that cheats does so in the leg that it locks: from a step on in which its leg is locked already, there is nothing left to cheat in. A close on an old state is slashed, so that the newest state counts; from \
    then on that channel carries no messages, and what is open in it ends by the registry and by its expiry. Who vanishes and is back, or crashes and returns, keeps to the rules, and its losses count. Who vanishes for good does not.";
const CHAINS: &str = "In some of the ways the two cannot hear each other for 24 s or 360 s from the fault on, although both are there: else a swap is over before a chain's fault is noticed.";
const BOTH: &str = "The fault of the chain begins with the step, or when the pre-image may have to be registered on the target chain, or on the source chain. The rows that are outside of the bounds are marked with an asterisk.";

fn section(page: &mut String, title: &str, words: &str, rows: &[Row]) {
    write!(
        page,
        "## {title}\n\n{words}\n\n\
         | what goes wrong | from | keeps to the rules | source | target | premium | initiator lost | responder lost | locked | ways |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    )
    .unwrap();
    rows.iter().for_each(|row| line(page, row));
    page.push('\n');
}

fn line(page: &mut String, row: &Row) {
    let Row { case, end, ways } = row;
    let moved = |has_moved| if has_moved { "moved" } else { "stayed" };
    let premium = match (end.premium_moved, end.target_moved) {
        (true, _) => "the responder's",
        (false, true) => "back",
        (false, false) => "not staked",
    };
    let lost = |node: usize| match (case.counts(node), end.lost[node]) {
        (false, _) => "-".to_owned(),
        (true, 0) => "nothing".to_owned(),
        (true, coins) => grouped(coins),
    };
    writeln!(
        page,
        "| {}{} | {} | {} | {} | {} | {premium} | {} | {} | {}, {} | {ways} |",
        case.name(),
        if case.is_within() { "" } else { " *" },
        case.step.name(),
        case.honest(),
        moved(end.source_moved),
        moved(end.target_moved),
        lost(0),
        lost(1),
        end.locked[0],
        end.locked[1],
    )
    .unwrap();
}

/// A number with a comma before each three digits.
fn grouped(number: u128) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
