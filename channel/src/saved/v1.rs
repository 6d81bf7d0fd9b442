//! The first stored form: no operations on chain, no outbox, nothing remembered of refusals.

use crate::{
    config::{Config, Timeouts},
    input::Millis,
    message::ChannelRef,
    outbox::Outbox,
    phase::{
        CloseReason, Phase,
        closing::How,
        live::{Agreed, Live, Proposal},
        opening::{Accepted, Funding, HalfSigned, Initialized, Signed},
    },
    state::PaymentId,
};
use protocol::{Amount, BlockNumber, Party, PublicKey, Round, signing::Domain};
use scale::Decode;

#[derive(Decode)]
pub(super) struct Saved {
    reference: ChannelRef,
    me: Party,
    peer: PublicKey,
    domain: Domain,
    config: ConfigV1,
    phase: PhaseV1,
}

#[derive(Decode)]
struct ConfigV1 {
    opening: Millis,
    answer: Millis,
    max_queued: u32,
    close_validity: BlockNumber,
    max_close_fee: Amount,
    defend: bool,
}

#[derive(Decode)]
enum PhaseV1 {
    #[codec(index = 0)]
    Initialized(Initialized),
    #[codec(index = 1)]
    Accepted(Accepted),
    #[codec(index = 2)]
    HalfSigned(HalfSigned),
    #[codec(index = 3)]
    Signed(Signed),
    #[codec(index = 4)]
    Open(LiveV1),
    #[codec(index = 5)]
    Closing(LiveV1, How),
    #[codec(index = 6)]
    Closed(CloseReason),
}

#[derive(Decode)]
struct LiveV1 {
    funding: Funding,
    agreed: Agreed,
    proposal: Option<Proposal>,
    signed: Round,
    first_queued: PaymentId,
    shutdown_wanted: Option<Amount>,
    solo_wanted: bool,
}

impl From<Saved> for super::Saved<Phase, Outbox> {
    fn from(Saved { reference, me, peer, domain, config, phase }: Saved) -> Self {
        let (config, phase) = (config.into(), phase.into());
        Self { reference, me, peer, domain, config, phase, create_given_up: None, outbox: Outbox::default() }
    }
}

impl From<ConfigV1> for Config {
    fn from(old: ConfigV1) -> Self {
        let ConfigV1 { opening, answer, max_queued, close_validity, max_close_fee, defend } = old;
        let timeouts = Timeouts { opening, answer, shutdown: answer, ..Timeouts::default() };
        Self { timeouts, max_queued, close_validity, max_close_fee, defend, ..Self::default() }
    }
}

impl From<PhaseV1> for Phase {
    fn from(old: PhaseV1) -> Self {
        match old {
            PhaseV1::Initialized(state) => Self::Initialized(state),
            PhaseV1::Accepted(state) => Self::Accepted(state),
            PhaseV1::HalfSigned(state) => Self::HalfSigned(state),
            PhaseV1::Signed(state) => Self::Signed(state),
            PhaseV1::Open(live) => Self::Open(live.into()),
            PhaseV1::Closing(live, how) => Self::Closing(live.into(), how),
            PhaseV1::Closed(reason) => Self::Closed(reason),
        }
    }
}

impl From<LiveV1> for Live {
    fn from(old: LiveV1) -> Self {
        let LiveV1 { funding, agreed, proposal, signed, first_queued, shutdown_wanted, solo_wanted } = old;
        let mut live = Self::new(funding);
        (live.agreed, live.proposal, live.signed) = (agreed, proposal, signed);
        (live.first_queued, live.shutdown_wanted, live.solo_wanted) = (first_queued, shutdown_wanted, solo_wanted);
        live
    }
}
