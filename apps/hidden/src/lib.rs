//! Rock, paper, scissors for a stake, with hidden moves: each commits to a move by a hash, then both show theirs.
//!
//! ```text
//!   Joining --both stakes in--> Committing --both hashes in--> Revealing --both moves shown--.
//!      |                        ^   |                              |                         |
//!      |                        '---|------------------------------|----- not yet decided ---+
//!      |                            |                              |                         | decided
//!      '---------- Claim -----------'------------ Claim -----------'-----------------------> Over
//! ```
//!
//! Best of `games` games; a tie is a game that nobody wins. Who has won more gets both stakes, as soon as the other cannot catch up; after as many
//! wins each gets its own stake back. A hash binds the move to the channel, the contract, the game and the party, so no hash can be copied from the
//! peer or used again; its salt hides the move, so it has to be 32 random bytes, new for each game.
//!
//! **Deadlines.** Each step gives the peer `patience` blocks. Moves count before the deadline, `Claim` from it on. While joining a claim gives
//! the stakes back; later both stakes go to the one who did its part where the other did not, and each gets its own where neither did. `patience` has to
//! be longer than it takes to put a forced step on chain, and than the window by which heights may differ: who gets no answer forces its own move
//! in time. Every stage can be ended by either party alone, so no stake is stuck.
//!
//! **Free option.** Both moves are fixed when the first is shown. Whoever would show last and has lost may hold back, and loses all the same:
//! only the time until the deadline is theirs to choose. One thing an app cannot see: a move is out as soon as the peer has *received* it. So show it only
//! on top of a state in which the peer's hash cannot be undone: one that both have signed, or a forced one while none of one's own proposals is
//! unanswered. A proposal that the peer still holds may come back signed and replace the forced step in which it committed, and it would choose anew.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use app_kit::{Amount, App, AppContext, BlockNumber, ChannelId, ContractId, Pair, Party};
use blake2::{Blake2b, Digest, digest::consts::U32};
use scale::{Decode, Encode};

app_kit::shell!(crate::Hidden);

/// The logic.
#[derive(Debug)]
pub struct Hidden;

/// A move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Choice {
    /// Beats scissors.
    #[codec(index = 0)]
    Rock,
    /// Beats rock.
    #[codec(index = 1)]
    Paper,
    /// Beats paper.
    #[codec(index = 2)]
    Scissors,
}

impl Choice {
    fn beats(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Rock, Self::Scissors) | (Self::Paper, Self::Rock) | (Self::Scissors, Self::Paper)
        )
    }
}

/// What hides a move: new random bytes for each.
pub type Salt = [u8; 32];
/// What a party says of its move before it shows it: [`commitment`].
pub type Commitment = [u8; 32];

/// The hash by which `party` commits to a move of game number `game` (blake2b-256).
pub fn commitment(
    channel: &ChannelId,
    contract: &ContractId,
    game: u8,
    party: Party,
    choice: Choice,
    salt: &Salt,
) -> Commitment {
    let what = (b"hidden move", channel, contract, game, party, choice, salt);
    Blake2b::<U32>::digest(what.encode()).into()
}

/// What was agreed at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// What each party puts in.
    pub stake: Amount,
    /// The blocks that each step gives the peer for its own.
    pub patience: BlockNumber,
    /// How many games are played at most.
    pub games: u8,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Stakes; who has put one in.
    #[codec(index = 0)]
    Joining(Pair<bool>),
    /// Hashes of moves.
    #[codec(index = 1)]
    Committing(Pair<Option<Commitment>>),
    /// Moves.
    #[codec(index = 2)]
    Revealing {
        /// What each has committed to.
        commitments: Pair<Commitment>,
        /// What each has shown.
        shown: Pair<Option<Choice>>,
    },
    /// Nothing: it is over, and all is paid.
    #[codec(index = 3)]
    Over,
}

/// What it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// What was agreed.
    pub terms: Terms,
    /// What is awaited.
    pub stage: Stage,
    /// The first block in which what is awaited comes too late. It only grows.
    pub deadline: BlockNumber,
    /// How many games have been played; also the number of the one being played.
    pub played: u8,
    /// How many each has won.
    pub won: Pair<u8>,
}

/// What the creation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// What is agreed; nothing zero.
    pub terms: Terms,
    /// Whose stakes are among the coins that the contract is created with.
    pub joined: Pair<bool>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Puts in the stake, attached.
    #[codec(index = 0)]
    Join,
    /// Commits to a move.
    #[codec(index = 1)]
    Commit(Commitment),
    /// Shows the move, once both have committed.
    #[codec(index = 2)]
    Reveal {
        /// The move.
        choice: Choice,
        /// What it was hidden with.
        salt: Salt,
    },
    /// Ends it from the deadline on. Either party may say so.
    #[codec(index = 3)]
    Claim,
}

/// What a call answers: how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Standing {
    /// Games won by each.
    pub won: Pair<u8>,
    /// Whether it is over.
    pub is_over: bool,
}

/// Why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Error {
    /// Not a call of this stage.
    #[codec(index = 0)]
    NotNow,
    /// Terms with a zero in them.
    #[codec(index = 1)]
    Zero,
    /// Two stakes exceed the number range.
    #[codec(index = 2)]
    Overflow,
    /// Coins that are not exactly the stake, or at creation the stakes of those who have joined.
    #[codec(index = 3)]
    NotTheStake,
    /// Coins attached to a call other than `Join`.
    #[codec(index = 4)]
    CoinsUnasked,
    /// The caller has done so already.
    #[codec(index = 5)]
    Already,
    /// Not the move and salt that the caller has committed to.
    #[codec(index = 6)]
    NotTheCommitment,
    /// From the deadline on nothing counts but a claim.
    #[codec(index = 7)]
    TooLate,
    /// Before the deadline there is nothing to claim.
    #[codec(index = 8)]
    TooEarly,
    /// It is over.
    #[codec(index = 9)]
    Over,
}

impl App for Hidden {
    type State = State;
    type Creation = Creation;
    type Input = Input;
    type Output = Standing;
    type Error = Error;

    fn init(context: &AppContext, Creation { terms, joined }: Creation) -> Result<State, Error> {
        if terms.stake == 0 || terms.patience == 0 || terms.games == 0 {
            return Err(Error::Zero);
        }
        let _pot = terms.stake.checked_add(terms.stake).ok_or(Error::Overflow)?;
        if stakes(&terms, joined).sum() != Some(context.balance) {
            return Err(Error::NotTheStake);
        }
        let mut state = State { terms, stage: Stage::Joining(joined), deadline: 0, played: 0, won: Pair::default() };
        state.start_if_all_joined(joined);
        state.give_time(context);
        Ok(state)
    }

    fn call(context: &AppContext, state: &mut State, input: Input) -> Result<(Pair<Amount>, Standing), Error> {
        if context.value > 0 && input != Input::Join {
            return Err(Error::CoinsUnasked);
        }
        let payouts = match input {
            _ if matches!(state.stage, Stage::Over) => return Err(Error::Over),
            Input::Claim => state.claim(context)?,
            _ if context.height >= state.deadline && state.is_awaiting() => return Err(Error::TooLate),
            Input::Join => state.join(context)?,
            Input::Commit(commitment) => state.commit(context.caller, commitment)?,
            Input::Reveal { choice, salt } => state.reveal(context, choice, &salt)?,
        };
        state.give_time(context);
        Ok((payouts, Standing { won: state.won, is_over: matches!(state.stage, Stage::Over) }))
    }
}

impl State {
    /// Whether somebody waits for the other. Nobody waits for the first to join.
    fn is_awaiting(&self) -> bool {
        !matches!(self.stage, Stage::Joining(Pair { initiator: false, responder: false }))
    }

    fn join(&mut self, context: &AppContext) -> Result<Pair<Amount>, Error> {
        let Stage::Joining(mut joined) = self.stage else { return Err(Error::NotNow) };
        do_once(&mut joined[context.caller], true)?;
        if context.value != self.terms.stake {
            return Err(Error::NotTheStake);
        }
        self.stage = Stage::Joining(joined);
        self.start_if_all_joined(joined);
        Ok(Pair::default())
    }

    fn start_if_all_joined(&mut self, joined: Pair<bool>) {
        if joined == Pair::new(true, true) {
            self.stage = Stage::Committing(Pair::default());
        }
    }

    fn commit(&mut self, caller: Party, commitment: Commitment) -> Result<Pair<Amount>, Error> {
        let Stage::Committing(mut commitments) = self.stage else { return Err(Error::NotNow) };
        do_once(&mut commitments[caller], Some(commitment))?;
        self.stage = match (commitments.initiator, commitments.responder) {
            (Some(initiator), Some(responder)) => {
                Stage::Revealing { commitments: Pair::new(initiator, responder), shown: Pair::default() }
            }
            _ => Stage::Committing(commitments),
        };
        Ok(Pair::default())
    }

    fn reveal(&mut self, context: &AppContext, choice: Choice, salt: &Salt) -> Result<Pair<Amount>, Error> {
        let caller = context.caller;
        let Stage::Revealing { commitments, mut shown } = self.stage else { return Err(Error::NotNow) };
        do_once(&mut shown[caller], Some(choice))?;
        if commitment(&context.channel, &context.contract, self.played, caller, choice, salt) != commitments[caller] {
            return Err(Error::NotTheCommitment);
        }
        let (Some(initiator), Some(responder)) = (shown.initiator, shown.responder) else {
            self.stage = Stage::Revealing { commitments, shown };
            return Ok(Pair::default());
        };
        if initiator.beats(responder) {
            self.won.initiator = self.won.initiator.saturating_add(1);
        } else if responder.beats(initiator) {
            self.won.responder = self.won.responder.saturating_add(1);
        }
        self.played = self.played.saturating_add(1);
        Ok(self.next_game_or_end(context))
    }

    /// Ends it where it is decided or played to the end.
    fn next_game_or_end(&mut self, context: &AppContext) -> Pair<Amount> {
        let left = self.terms.games.saturating_sub(self.played);
        let lead = |party: Party| self.won[party].saturating_sub(self.won[party.peer()]);
        let decided = Party::BOTH.into_iter().find(|party| lead(*party) > left);
        if decided.is_none() && left > 0 {
            self.stage = Stage::Committing(Pair::default());
            return Pair::default();
        }
        self.stage = Stage::Over;
        self.share_out(context, Pair::new(decided == Some(Party::Initiator), decided == Some(Party::Responder)))
    }

    fn claim(&mut self, context: &AppContext) -> Result<Pair<Amount>, Error> {
        let did = match self.stage {
            _ if !self.is_awaiting() => return Err(Error::NotNow),
            _ if context.height < self.deadline => return Err(Error::TooEarly),
            Stage::Joining(joined) => {
                self.stage = Stage::Over;
                return Ok(stakes(&self.terms, joined));
            }
            Stage::Committing(commitments) => commitments.map(|commitment| commitment.is_some()),
            Stage::Revealing { shown, .. } => shown.map(|choice| choice.is_some()),
            Stage::Over => return Err(Error::Over),
        };
        self.stage = Stage::Over;
        Ok(self.share_out(context, did))
    }

    /// Both stakes to the one who deserves them; where both do or neither does, each its own.
    fn share_out(&self, context: &AppContext, deserves: Pair<bool>) -> Pair<Amount> {
        match (deserves.initiator, deserves.responder) {
            (true, false) => Pair::new(context.balance, 0),
            (false, true) => Pair::new(0, context.balance),
            _ => stakes(&self.terms, Pair::new(true, true)),
        }
    }

    /// A step was made: what comes next has its full time.
    fn give_time(&mut self, context: &AppContext) {
        self.deadline = self.deadline.max(context.height.saturating_add(self.terms.patience));
    }
}

/// The stakes of those of whom it is true.
fn stakes(terms: &Terms, of: Pair<bool>) -> Pair<Amount> {
    of.map(|of| if of { terms.stake } else { 0 })
}

/// Sets what has not been set.
fn do_once<T: Default + PartialEq>(what: &mut T, to: T) -> Result<(), Error> {
    if *what != T::default() {
        return Err(Error::Already);
    }
    *what = to;
    Ok(())
}
