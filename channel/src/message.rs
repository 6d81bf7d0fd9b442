//! What peers say to each other about one channel (section 6). Numbers are never reused.
//!
//! | numbers | messages |
//! |---|---|
//! | 1 to 5 | channel_open, channel_accept, funding_created, funding_signed, funding_locked |
//! | 6 to 8 | update, update_ack, update_error |
//! | 9 to 12 | deposit_created, deposit_signed, deposit_locked, deposit_error |
//! | 13 to 16 | withdraw_created, withdraw_signed, withdraw_locked, withdraw_error |
//! | 20 to 22 | shutdown, shutdown_ack, shutdown_error |
//! | 24 to 27 | set_delegates_created, set_delegates_signed, set_delegates_locked, set_delegates_error |
//! | 28 | force_progress_locked |
//! | 30, 31 | reestablish, reestablish_ack |
//! | 32 to 34 | leave, leave_ack, inband_message |
//! | 40 | error |

pub use crate::refusal::RefusalCode;
use crate::{pledge::PledgeBody, state::Change, transfer::TransferLimits};
use protocol::{
    Amount, Base, BlockNumber, Hash, Pair, Round, Signature, StateCommitment,
    signing::{CloseMutualBody, CreateBody, DepositBody, Domain, SetDelegatesBody, WithdrawBody},
    terms::{PartyTerms, Terms},
};
use scale::{Compact, Decode, Encode, Input};
use std::fmt;

/// The most changes one round may carry: bounds the work that one message can ask for.
pub const MAX_UPDATES_PER_ROUND: usize = 16_384;

/// The longest in-band message, in bytes.
pub const MAX_INBAND: usize = 65_535;

/// Names a channel between two peers. Its initiator draws it at random; the on-chain id exists only once both accounts are known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ChannelRef(pub [u8; 16]);

impl fmt::Debug for ChannelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Proposes a channel: everything the responder checks against its policy (R6.7).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChannelOpen {
    /// The arbiter and its chain.
    pub domain: Domain,
    /// The hash of the arbiter's code.
    pub code_hash: Hash,
    /// The initiator's account, key, payout and delegates.
    pub initiator: PartyTerms,
    /// The least each party keeps.
    pub reserve: Amount,
    /// Blocks a solo close waits for an answer.
    pub lock_period: BlockNumber,
    /// What closing on an old state costs.
    pub penalty: Amount,
    /// Forced steps each party may take on one base.
    pub max_forced: u8,
    /// First balances.
    pub balances: Pair<Amount>,
    /// What each party puts in.
    pub shares: Pair<Amount>,
    /// Within how many blocks of being signed the opening must be on chain.
    pub validity: BlockNumber,
    /// What the initiator lets the responder offer (R8.3b).
    pub transfers: TransferLimits,
}

impl ChannelOpen {
    /// What both sign of the opening where `responder` accepts it (R5.2): the arbiter takes it up to block `valid_until`.
    #[must_use]
    pub fn body(&self, responder: &PartyTerms, valid_until: BlockNumber) -> CreateBody {
        let terms = Terms {
            parties: Pair::new(self.initiator.clone(), responder.clone()),
            reserve: self.reserve,
            lock_period: self.lock_period,
            penalty: self.penalty,
            max_forced: self.max_forced,
        };
        CreateBody { terms, balances: self.balances, shares: self.shares, valid_until }
    }
}

/// Accepts it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChannelAccept {
    /// The responder's account, key, payout and delegates.
    pub responder: PartyTerms,
    /// What the responder lets the initiator offer (R8.3b).
    pub transfers: TransferLimits,
}

/// The initiator's signature of `channel_create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FundingCreated {
    /// The pair's nonce, of which the channel id is made (R5.2).
    pub nonce: u64,
    /// The last block in which the opening counts.
    pub valid_until: BlockNumber,
    /// Over the create body.
    pub signature: Signature,
}

/// The responder's signature of `channel_create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FundingSigned {
    /// Over the create body.
    pub signature: Signature,
}

/// Proposes a round (R6.1).
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Update {
    /// Its number, of the proposer's parity.
    pub round: Round,
    /// What it goes on from (R3.5a): what both have agreed.
    pub base: Base,
    /// The block that counts for its contracts (R7.3). Of no meaning where none is executed.
    pub height: BlockNumber,
    /// The round of the receiver's that it refuses (R6.1a). It makes no changes then.
    pub refuses: Option<Refusal>,
    /// What it changes, in order; at most [`MAX_UPDATES_PER_ROUND`].
    pub changes: Vec<Change>,
    /// The hash of the state after it.
    pub state_hash: Hash,
    /// The proposer's, over round, base and hash.
    pub signature: Signature,
}

/// Longer lists are refused before they are held: a change takes a hundred times as much memory as bytes on the wire.
impl Decode for Update {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        let (round, base, height, refuses) = Decode::decode(input)?;
        let changes = one_for_each_change(input)?;
        let (state_hash, signature) = Decode::decode(input)?;
        Ok(Self { round, base, height, refuses, changes, state_hash, signature })
    }
}

/// A list with at most one item for each change of a round, none of which is decoded where there are more.
fn one_for_each_change<T: Decode, I: Input>(input: &mut I) -> Result<Vec<T>, scale::Error> {
    let Compact(count) = Compact::<u32>::decode(input)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_UPDATES_PER_ROUND {
        return Err("more than one for each change that a round may carry".into());
    }
    (0..count).map(|_| T::decode(input)).collect()
}

/// What a counter-round refuses (R6.1a). What it does not list its proposer makes again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refusal {
    /// The round that is refused.
    pub round: Round,
    /// Which of its changes, and why.
    pub items: Refused,
}

/// Which changes of a round are refused.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub enum Refused {
    /// All of them, for one reason.
    #[codec(index = 0)]
    All(RefusalCode),
    /// These, by their places from 0 on, each for its own reason; at most [`MAX_UPDATES_PER_ROUND`].
    #[codec(index = 1)]
    Some(Vec<(u32, RefusalCode)>),
}

impl Decode for Refused {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        match input.read_byte()? {
            0 => Ok(Self::All(RefusalCode::decode(input)?)),
            1 => Ok(Self::Some(one_for_each_change(input)?)),
            _ => Err("not a refusal".into()),
        }
    }
}

/// Proposes to close in agreement (R5.12).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Shutdown {
    /// What would be paid; the fee comes out of the proposer's balance.
    pub body: CloseMutualBody,
    /// The proposer's, over the body.
    pub signature: Signature,
}

/// The sender's latest state, after a connection was lost (R6.6): co-signed, or on chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reestablish {
    /// Where it stands: a co-signed round, and how many forced rounds after it.
    pub at: Base,
    /// What that round goes on from, where it is co-signed (R3.5a).
    pub base: Base,
    /// The state itself, without its contracts: both know them.
    pub state: StateCommitment,
    /// Both signatures; none for a state that is on chain, as that of round 1 is.
    pub signatures: Option<Pair<Signature>>,
}

/// Everything peers say about one channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// See [`ChannelOpen`].
    #[codec(index = 1)]
    ChannelOpen(ChannelOpen),
    /// See [`ChannelAccept`].
    #[codec(index = 2)]
    ChannelAccept(ChannelAccept),
    /// See [`FundingCreated`].
    #[codec(index = 3)]
    FundingCreated(FundingCreated),
    /// See [`FundingSigned`].
    #[codec(index = 4)]
    FundingSigned(FundingSigned),
    /// The sender has seen the opening on chain, final.
    #[codec(index = 5)]
    FundingLocked,
    /// See [`Update`].
    #[codec(index = 6)]
    Update(Update),
    /// Makes a round co-signed.
    #[codec(index = 7)]
    UpdateAck {
        /// The round.
        round: Round,
        /// The acknowledger's, over round, base and hash.
        signature: Signature,
    },
    /// Refuses a round.
    #[codec(index = 8)]
    UpdateError {
        /// The round.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Asks for a deposit out of the sender's vault (R5.5). It carries no signature: the peer signs first, so that what loses to a crossing
    /// proposal binds nobody.
    #[codec(index = 9)]
    DepositCreated(DepositBody),
    /// Agrees to a deposit. Its sender agrees to nothing else until it is final or expired (R6.5).
    #[codec(index = 10)]
    DepositSigned {
        /// Which round comes after it.
        round: Round,
        /// The acknowledger's, over the body.
        signature: Signature,
    },
    /// The sender has seen the deposit on chain, final.
    #[codec(index = 11)]
    DepositLocked {
        /// Which round came after it.
        round: Round,
    },
    /// Refuses a deposit.
    #[codec(index = 12)]
    DepositError {
        /// Which.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Asks for a withdrawal by the sender (R5.5). As [`Message::DepositCreated`].
    #[codec(index = 13)]
    WithdrawCreated(WithdrawBody),
    /// As [`Message::DepositSigned`].
    #[codec(index = 14)]
    WithdrawSigned {
        /// Which round comes after it.
        round: Round,
        /// The acknowledger's, over the body.
        signature: Signature,
    },
    /// As [`Message::DepositLocked`].
    #[codec(index = 15)]
    WithdrawLocked {
        /// Which round came after it.
        round: Round,
    },
    /// Refuses a withdrawal.
    #[codec(index = 16)]
    WithdrawError {
        /// Which.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Asks for other delegates of the sender (R5.7). As [`Message::DepositCreated`].
    #[codec(index = 24)]
    SetDelegatesCreated(SetDelegatesBody),
    /// As [`Message::DepositSigned`].
    #[codec(index = 25)]
    SetDelegatesSigned {
        /// Which round comes after it.
        round: Round,
        /// The acknowledger's, over the body.
        signature: Signature,
    },
    /// As [`Message::DepositLocked`].
    #[codec(index = 26)]
    SetDelegatesLocked {
        /// Which round came after it.
        round: Round,
    },
    /// Refuses other delegates.
    #[codec(index = 27)]
    SetDelegatesError {
        /// Which.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Asks for a pledge (R6.5d). As [`Message::DepositCreated`].
    #[codec(index = 17)]
    PledgeCreated(PledgeBody),
    /// Pledges: as [`Message::DepositSigned`], but that its sender agrees to the round that was named.
    #[codec(index = 18)]
    PledgeSigned {
        /// The round.
        round: Round,
        /// The sender's, over the round's body with the pledge's last block.
        signature: Signature,
    },
    /// Refuses to pledge.
    #[codec(index = 19)]
    PledgeError {
        /// Which round.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// The sender has seen forced calls on chain, final, and goes on from the state after them.
    #[codec(index = 28)]
    ForceProgressLocked {
        /// The last call's round.
        round: Round,
    },
    /// See [`Shutdown`].
    #[codec(index = 20)]
    Shutdown(Shutdown),
    /// Makes a close co-signed.
    #[codec(index = 21)]
    ShutdownAck {
        /// Of the body: tells which offer, where an earlier one has expired on one side only.
        valid_until: BlockNumber,
        /// The acknowledger's, over the body.
        signature: Signature,
    },
    /// Refuses to close.
    #[codec(index = 22)]
    ShutdownError {
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// See [`Reestablish`].
    #[codec(index = 30)]
    Reestablish(Reestablish),
    /// The answer to it, which is not answered.
    #[codec(index = 31)]
    ReestablishAck(Reestablish),
    /// The sender parts: both keep the channel, and may come back to it by reestablish.
    #[codec(index = 32)]
    Leave,
    /// So be it. The sender's last word until one of the two comes back.
    #[codec(index = 33)]
    LeaveAck,
    /// The application's own words, at most [`MAX_INBAND`] bytes; no state changes by them.
    #[codec(index = 34)]
    Inband(Vec<u8>),
    /// The last word: the sender cannot go on with what it was told.
    #[codec(index = 40)]
    Error {
        /// The refuser's reason.
        code: RefusalCode,
    },
}

impl Message {
    /// The message's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ChannelOpen(_) => "channel_open",
            Self::ChannelAccept(_) => "channel_accept",
            Self::FundingCreated(_) => "funding_created",
            Self::FundingSigned(_) => "funding_signed",
            Self::FundingLocked => "funding_locked",
            Self::Update(_) => "update",
            Self::UpdateAck { .. } => "update_ack",
            Self::UpdateError { .. } => "update_error",
            Self::DepositCreated(_) => "deposit_created",
            Self::DepositSigned { .. } => "deposit_signed",
            Self::DepositLocked { .. } => "deposit_locked",
            Self::DepositError { .. } => "deposit_error",
            Self::WithdrawCreated(_) => "withdraw_created",
            Self::WithdrawSigned { .. } => "withdraw_signed",
            Self::WithdrawLocked { .. } => "withdraw_locked",
            Self::WithdrawError { .. } => "withdraw_error",
            Self::SetDelegatesCreated(_) => "set_delegates_created",
            Self::SetDelegatesSigned { .. } => "set_delegates_signed",
            Self::SetDelegatesLocked { .. } => "set_delegates_locked",
            Self::SetDelegatesError { .. } => "set_delegates_error",
            Self::PledgeCreated(_) => "pledge_created",
            Self::PledgeSigned { .. } => "pledge_signed",
            Self::PledgeError { .. } => "pledge_error",
            Self::ForceProgressLocked { .. } => "force_progress_locked",
            Self::Shutdown(_) => "shutdown",
            Self::ShutdownAck { .. } => "shutdown_ack",
            Self::ShutdownError { .. } => "shutdown_error",
            Self::Reestablish(_) => "reestablish",
            Self::ReestablishAck(_) => "reestablish_ack",
            Self::Leave => "leave",
            Self::LeaveAck => "leave_ack",
            Self::Inband(_) => "inband_message",
            Self::Error { .. } => "error",
        }
    }

    /// Whether it only tells of a refusal or an end. Where no channel is known that it could be about, it is answered by nothing: else two
    /// nodes would go on for ever.
    #[must_use]
    pub const fn is_last_word(&self) -> bool {
        matches!(
            self,
            Self::UpdateError { .. }
                | Self::DepositError { .. }
                | Self::WithdrawError { .. }
                | Self::SetDelegatesError { .. }
                | Self::PledgeError { .. }
                | Self::ShutdownError { .. }
                | Self::LeaveAck
                | Self::Error { .. }
        )
    }
}
