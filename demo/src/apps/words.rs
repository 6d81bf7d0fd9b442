//! How the stories name people, coins, and what apps hear and say.

use crate::report::{UNIT, short};
use protocol::{Amount, Pair, Party};
use std::fmt::Debug;

/// What somebody is called.
pub(super) const fn name(who: Party) -> &'static str {
    match who {
        Party::Initiator => "Alice",
        Party::Responder => "Bob",
    }
}

/// Coins of both, each with this word before the name.
pub(super) fn both(amounts: Pair<Amount>, word: &str) -> String {
    match (amounts.initiator, amounts.responder) {
        (0, 0) => "nothing".into(),
        (alices, 0) => format!("{word}Alice {}", coins(alices)),
        (0, bobs) => format!("{word}Bob {}", coins(bobs)),
        (alices, bobs) => format!("{word}Alice {} and {word}Bob {}", coins(alices), coins(bobs)),
    }
}

/// Coins in units.
pub(super) fn coins(amount: Amount) -> String {
    let plural = if amount == UNIT { "" } else { "s" };
    format!("{} unit{plural}", short(amount))
}

/// The least that is taken for coins where numbers have no other name.
const COINS_FROM: Amount = UNIT / 1_000;

/// What an app hears or says, with coins in units, and without bytes that nobody reads.
pub(super) fn told(what: &impl Debug) -> String {
    let mut told = format!("{what:?}");
    while let Some((before, rest)) = told.split_once('[')
        && let Some((bytes, after)) = rest.split_once(']')
        && bytes.split(", ").all(|byte| byte.parse::<u8>().is_ok())
    {
        told = format!("{before}<{} bytes>{after}", bytes.split(", ").count());
    }
    let mut words = String::new();
    for word in told.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let number = word.trim_end_matches(|character: char| !character.is_ascii_digit());
        let rest = word.strip_prefix(number).unwrap_or_default();
        match number.parse() {
            Ok(amount) if amount >= COINS_FROM => words.push_str(&coins(amount)),
            _ => words.push_str(number),
        }
        words.push_str(rest);
    }
    words
}
