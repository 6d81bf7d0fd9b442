//! The numbered words of a swap, in both directions: said until they are acknowledged, heard once (R8.5a).

use super::{
    message::{SwapBody, SwapItem},
    terms::{SwapId, SwapTerms},
};
use protocol::Hash;
use scale::{Decode, Encode};

/// The most words that one side says in a swap: proposal or answer, a cancel, the end, and some to spare.
const MAX_WORDS: u32 = 16;

/// What has been said and heard in a swap. Part of its stored row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Talk {
    said: u32,
    /// What the peer has not acknowledged.
    unacknowledged: Vec<(u32, SwapBody)>,
    /// The hashes of what was heard, in the order of its numbers.
    heard: Vec<Hash>,
}

/// What is wrong with a peer's words: a violation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TalkFault {
    /// Words under a number after one that was never heard.
    #[error("number {number} comes after number {heard}: one is missing")]
    Skipped {
        /// Theirs.
        number: u32,
        /// The highest that was heard.
        heard: u32,
    },
    /// Other words under a number that was used.
    #[error("number {number} had other words")]
    Changed {
        /// The number.
        number: u32,
    },
    /// An acknowledgement of what was never said.
    #[error("number {number} is acknowledged, and only {said} were said")]
    Unsaid {
        /// What is acknowledged.
        number: u32,
        /// What was said.
        said: u32,
    },
    /// More words than a swap has.
    #[error("more words than a swap has")]
    TooMany,
}

impl Talk {
    /// Says something: it is said again until it is acknowledged.
    pub fn say(&mut self, body: SwapBody) {
        self.said = self.said.saturating_add(1);
        self.unacknowledged.push((self.said, body));
    }

    /// Takes in what the peer says. The words, where they are new; none where they were heard before, or there are none.
    ///
    /// # Errors
    /// [`TalkFault`]; nothing has changed then.
    pub fn hear(&mut self, item: &SwapItem) -> Result<Option<SwapBody>, TalkFault> {
        let (number, heard) = (item.number, self.heard_up_to());
        if item.acknowledges > self.said {
            return Err(TalkFault::Unsaid { number: item.acknowledges, said: self.said });
        }
        let new = match &item.body {
            None => None,
            Some(body) => {
                let hash = SwapTerms::acknowledged(body);
                let place = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
                let place = place.ok_or(TalkFault::Changed { number })?;
                match self.heard.get(place) {
                    Some(known) if *known == hash => None,
                    Some(_) => return Err(TalkFault::Changed { number }),
                    None if number > MAX_WORDS => return Err(TalkFault::TooMany),
                    None if place == self.heard.len() => {
                        self.heard.push(hash);
                        Some(body.clone())
                    }
                    None => return Err(TalkFault::Skipped { number, heard }),
                }
            }
        };
        self.unacknowledged.retain(|(number, _)| *number > item.acknowledges);
        Ok(new)
    }

    /// The highest number that was heard.
    #[must_use]
    pub fn heard_up_to(&self) -> u32 {
        u32::try_from(self.heard.len()).unwrap_or(u32::MAX)
    }

    /// Whether all that was said is acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// What is to be said, or said again: with nothing to say, that what was heard is acknowledged.
    #[must_use]
    pub fn items(&self, id: SwapId) -> Vec<SwapItem> {
        let acknowledges = self.heard_up_to();
        let item = |number, body| SwapItem { id, number, acknowledges, body };
        if self.unacknowledged.is_empty() {
            return vec![item(0, None)];
        }
        self.unacknowledged.iter().map(|(number, body)| item(*number, Some(body.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::SwapCode;

    const ID: SwapId = SwapId([1; 32]);

    #[test]
    fn words_are_heard_once_in_order_and_said_until_they_are_acknowledged() {
        let (mut one, mut other) = (Talk::default(), Talk::default());
        one.say(SwapBody::Accept { sequence: 7 });
        one.say(SwapBody::Done);
        let said = one.items(ID);
        assert_eq!(said.len(), 2);
        let missing = other.hear(&said[1]);
        assert_eq!(missing, Err(TalkFault::Skipped { number: 2, heard: 0 }));
        assert_eq!(other.hear(&said[0]), Ok(Some(SwapBody::Accept { sequence: 7 })));
        assert_eq!(other.hear(&said[0]), Ok(None), "heard before");
        assert_eq!(other.hear(&said[1]), Ok(Some(SwapBody::Done)));
        let changed = SwapItem { body: Some(SwapBody::Cancel(SwapCode::Cancelled)), ..said[1].clone() };
        assert_eq!(other.hear(&changed), Err(TalkFault::Changed { number: 2 }));
        let answer = other.items(ID);
        assert_eq!(answer, vec![SwapItem { id: ID, number: 0, acknowledges: 2, body: None }]);
        assert_eq!(one.hear(&answer[0]), Ok(None));
        assert!(one.is_acknowledged());
        let unsaid = SwapItem { acknowledges: 3, ..answer[0].clone() };
        assert_eq!(one.hear(&unsaid), Err(TalkFault::Unsaid { number: 3, said: 2 }));
    }

    #[test]
    fn words_without_a_number_and_more_words_than_a_swap_has_are_refused() {
        let mut talk = Talk::default();
        let item = |number| SwapItem { id: ID, number, acknowledges: 0, body: Some(SwapBody::Done) };
        assert_eq!(talk.hear(&item(0)), Err(TalkFault::Changed { number: 0 }));
        for number in 1..=MAX_WORDS {
            assert_eq!(talk.hear(&item(number)), Ok(Some(SwapBody::Done)));
        }
        assert_eq!(talk.hear(&item(MAX_WORDS + 1)), Err(TalkFault::TooMany));
    }
}
