//! Places, what is owed, and what is kept back, as somebody who means ill would have it.

use crate::{
    forwarding::{DOWN, UP, code, commands, forward_key, hub, key, lock, offered},
    harness::{CHAIN, hub_policy},
};
use ::channel::{
    ChangeId, ChannelRef,
    transfer::{
        FailReason, Failure, IncomingEnd, IncomingTransfer, Intent, LockedCalls, Offer, OutgoingTransfer, Progress,
        TransferEvent, TransferLimits, TransferTerms,
    },
};
use network::{
    At, ChainPolicy, FailureCode, Forward, Instruction, Restored, RestoredChannel, Router, RouterInput, RouterNotice,
    RouterOutput, RoutingPolicy, SealKey,
};
use protocol::{
    contracts::{ContractId, conditional::Preimage},
    crypto::SigningKey,
};

const SECRET: Preimage = Preimage([3; 32]);
/// A channel to peer 3.
const REVENUE: At = At { chain: CHAIN, channel: ChannelRef([4; 16]) };
/// Another channel to peer 2.
const DOWN_TOO: At = At { chain: CHAIN, channel: ChannelRef([7; 16]) };

fn head(best: u32) -> RouterInput {
    RouterInput::Head { chain: CHAIN, best, finalised: best.min(100) }
}

/// What is given back, where something by this channel is offered under a lock of its own.
fn offer_by(router: &mut Router, at: At, number: u8, expiry: u32) -> bool {
    let (incoming, forward) = offered(number);
    let forward = Forward { expiry: expiry - 2, ..forward };
    let terms = TransferTerms { lock: lock(Preimage([number; 32])), expiry, ..incoming.terms };
    let instruction = Instruction::Forward(forward).to_bytes().unwrap();
    let incoming = IncomingTransfer { terms, instruction, ..incoming };
    let outputs = router.handle(RouterInput::Transfer(at, TransferEvent::Offered(incoming)));
    commands(outputs).iter().any(|(_, command)| matches!(command, ::channel::transfer::TransferCommand::Offer { .. }))
}

/// A hub that has 4 places in a window, with peer 3 as one that has brought revenue.
fn with_revenue() -> Router {
    let chain = ChainPolicy { registrations_per_block: 8, inclusion: 5, ..ChainPolicy::default() };
    let mut router = hub(RoutingPolicy { revenue: 1, chain, ..hub_policy() });
    drop(router.handle(RouterInput::ChannelUp { at: REVENUE, peer: key(3), limits: TransferLimits::default() }));
    drop(router.handle(RouterInput::Spendable { at: REVENUE, amount: 1_000_000, risked: 1_000_000 }));
    assert!(offer_by(&mut router, REVENUE, 100, 150));
    let preimage = Preimage([100; 32]);
    drop(router.handle(RouterInput::Shown { chain: CHAIN, lock: lock(preimage), preimage, at: None }));
    let ended = TransferEvent::Ended { contract: ContractId([100; 32]), end: IncomingEnd::Claimed };
    drop(router.handle(RouterInput::Transfer(REVENUE, ended)));
    assert_eq!(router.load(CHAIN).open, 0);
    router
}

/// What a stranger is refused stays open until the stranger agrees that it goes back, which it need not: it takes nothing of what is kept for others.
#[test]
fn strangers_that_do_not_take_back_what_they_were_refused_keep_nobody_out() {
    let mut router = with_revenue();
    let served = (1..=6).filter(|number| offer_by(&mut router, UP, *number, 150)).count();
    assert_eq!(served, 2, "half of the window");
    assert!(offer_by(&mut router, REVENUE, 101, 150), "the other half is for peers that bring revenue");
    assert!(offer_by(&mut router, REVENUE, 102, 150), "all of it");
}

/// Likewise a peer that is barred.
#[test]
fn a_barred_peer_takes_no_places_from_anybody() {
    let mut router = with_revenue();
    assert!(offer_by(&mut router, UP, 1, 150));
    let preimage = Preimage([1; 32]);
    drop(router.handle(RouterInput::Shown { chain: CHAIN, lock: lock(preimage), preimage, at: None }));
    let owed = key_of(&mut hub(hub_policy()), 1);
    drop(router.handle(RouterInput::Transfer(DOWN, TransferEvent::Claimed { key: owed })));
    let due = router.handle(RouterInput::Head { chain: CHAIN, best: 138, finalised: 138 });
    let is_barred =
        |output: &RouterOutput| matches!(output, RouterOutput::Notify(RouterNotice::ClaimUnanswered { .. }));
    assert!(due.iter().any(is_barred), "{due:?}");
    let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed };
    drop(router.handle(RouterInput::Transfer(UP, ended)));
    assert_eq!(router.load(CHAIN).open, 0);
    assert_eq!((10..20).filter(|number| offer_by(&mut router, UP, *number, 190)).count(), 0, "it is barred");
    assert!(offer_by(&mut router, REVENUE, 101, 190));
}

fn key_of(router: &mut Router, number: u8) -> ::channel::IdempotencyKey {
    let (incoming, forward) = offered(number);
    match commands(crate::forwarding::offer(router, (incoming, forward))).pop() {
        Some((_, ::channel::transfer::TransferCommand::Offer { key, .. })) => key,
        other => panic!("{other:?}"),
    }
}

fn came_in(intent: Intent) -> IncomingTransfer {
    let (incoming, forward) = offered(1);
    IncomingTransfer { instruction: Instruction::Forward(forward).to_bytes().unwrap(), intent, ..incoming }
}

fn gone_on(progress: Progress) -> OutgoingTransfer {
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: vec![5; 100] };
    OutgoingTransfer { change: ChangeId(1), key: forward_key(), offer, contract: None, premium: None, progress }
}

fn channel(at: At, peer: u8, outgoing: Vec<OutgoingTransfer>) -> RestoredChannel {
    RestoredChannel { at, peer: key(peer), incoming: Vec::new(), outgoing, is_whole: true }
}

fn started(best: u32, intent: Intent, down: Vec<RestoredChannel>) -> Router {
    let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    let up = RestoredChannel { incoming: vec![came_in(intent)], ..channel(UP, 1, Vec::new()) };
    let channels = std::iter::once(up).chain(down).collect();
    drop(hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels, rows: Vec::new() })));
    drop(hub.handle(RouterInput::Tick(100_000)));
    drop(hub.handle(head(best)));
    hub
}

fn registers(hub: &mut Router, best: u32) -> bool {
    hub.handle(head(best)).iter().any(|output| matches!(output, RouterOutput::Register { expiry: 152, .. }))
}

/// Two channels were asked to carry it on, one after the other: the first has none of it, the second has paid.
#[test]
fn what_was_paid_by_the_second_of_two_channels_is_owed_after_a_start() {
    let failed = || Progress::Failed(Failure::ByPayee(FailReason(vec![1, 3])));
    for (first, second) in [(failed(), Progress::Fulfilled(SECRET)), (Progress::Fulfilled(SECRET), failed())] {
        for intent in [Intent::Undecided, Intent::Claim(SECRET)] {
            let down = vec![
                channel(DOWN, 2, vec![gone_on(first.clone())]),
                channel(DOWN_TOO, 2, vec![gone_on(second.clone())]),
            ];
            let mut hub = started(110, intent.clone(), down);
            let is_owed = hub.is_owed(&UP, &ContractId([1; 32]));
            assert!(is_owed && registers(&mut hub, 140), "{first:?}, {second:?}, {intent:?}: owed: {is_owed}");
        }
    }
}

/// A hub that comes back with few blocks left registers what it is owed in one of them, whoever is to blame.
#[test]
fn a_hub_that_comes_back_shortly_before_an_expiry_registers_all_the_same() {
    for back in [141, 145, 146, 147, 150] {
        let down = vec![channel(DOWN, 2, vec![gone_on(Progress::Fulfilled(SECRET))])];
        let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
        let up = RestoredChannel { incoming: vec![came_in(Intent::Claim(SECRET))], ..channel(UP, 1, Vec::new()) };
        let channels = std::iter::once(up).chain(down).collect();
        drop(hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels, rows: Vec::new() })));
        drop(hub.handle(RouterInput::Tick(100_000)));
        let first = (back..152).find(|best| registers(&mut hub, *best));
        assert!(first.is_some(), "back at {back}: never registered before 152");
    }
}

/// The row of a peer that cannot be read stays as it is, whatever the peer offers: what it had earned may be told from it yet.
#[test]
fn the_row_of_a_peer_that_cannot_be_read_is_not_written_over_by_what_it_offers() {
    let rows = hub(hub_policy()).let_offer(CHAIN, key(1)).into_iter().filter_map(|output| match output {
        RouterOutput::Row { key, .. } => Some((key, vec![9, 9])),
        _ => None,
    });
    let restored = Restored { chain: CHAIN, channels: Vec::new(), rows: rows.collect() };
    let mut router = hub(RoutingPolicy { slot_fee: 5, ..hub_policy() });
    drop(router.handle(RouterInput::Restored(restored)));
    drop(router.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
    let mut outputs = router.handle(RouterInput::Transfer(UP, TransferEvent::Prepaid { amount: 5 }));
    outputs.extend(crate::forwarding::offer(&mut router, offered(1)));
    assert_eq!(code(&outputs), Some(FailureCode::NotServed));
    let written = outputs.iter().filter(|output| matches!(output, RouterOutput::Row { .. })).count();
    assert_eq!(written, 0, "{outputs:?}");
}

/// What was to be registered when somebody broke down is registered again with each block, where the channel's task does not take the claim.
#[test]
fn a_router_that_is_ahead_registers_again_what_no_task_claims() {
    let mut router = hub(hub_policy());
    drop(crate::forwarding::offer(&mut router, offered(1)));
    let fulfilled = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    drop(router.handle(RouterInput::Transfer(DOWN, fulfilled)));
    drop(router.handle(RouterInput::Transfer(DOWN, TransferEvent::Claimed { key: forward_key() })));
    assert!(registers(&mut router, 140), "whoever was to do that has broken down");
    router.get_ahead();
    for best in 141..152 {
        let (at, command) = commands(router.handle(head(best))).pop().unwrap();
        let why = network::CommandRefusal::NotOpen;
        let outputs = router.handle(RouterInput::Refused { at, command, why });
        assert!(matches!(outputs.as_slice(), [RouterOutput::Register { expiry: 152, .. }]), "{outputs:?}");
    }
}

/// What a channel did not take has none of its coins: of one lock it takes one transfer at a time, so that anybody can have it refuse the next.
#[test]
fn offers_that_a_channel_refuses_take_none_of_its_coins() {
    let mut router = hub(hub_policy());
    for number in 1..=5 {
        let (incoming, forward) = offered(number);
        let (amount, paid) = (600_000, 700_000);
        let terms = TransferTerms { amount: paid, ..incoming.terms };
        let offer = (IncomingTransfer { terms, ..incoming }, Forward { amount, ..forward });
        let outputs = crate::forwarding::offer(&mut router, offer);
        assert_eq!(code(&outputs), None, "offer {number} after {} refused ones", number - 1);
        let (at, command) = commands(outputs).pop().unwrap();
        let refused = RouterInput::Refused { at, command, why: network::CommandRefusal::Other };
        assert!(code(&router.handle(refused)).is_some(), "nobody else carries it on");
    }
}

/// A claim that could not be agreed to, and then is, in whatever order the router hears of it: it is registered by `E - Rg`.
#[test]
fn what_went_on_and_is_claimed_is_owed_in_whatever_order_it_is_told() {
    let fulfilled = || TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    let claimed = || TransferEvent::Claimed { key: forward_key() };
    for told in [vec![fulfilled(), claimed()], vec![claimed(), fulfilled()], vec![fulfilled(), claimed(), claimed()]] {
        for shown_at in [None, Some(101), Some(145)] {
            for shown_first in [true, false] {
                let mut router = hub(hub_policy());
                drop(crate::forwarding::offer(&mut router, offered(1)));
                let shown = RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: shown_at };
                if shown_first {
                    drop(router.handle(shown.clone()));
                }
                for event in told.clone() {
                    drop(router.handle(RouterInput::Transfer(DOWN, event)));
                }
                if !shown_first {
                    drop(router.handle(shown));
                }
                assert!(router.is_owed(&UP, &ContractId([1; 32])));
                assert_eq!(registers(&mut router, 140), shown_at != Some(101), "{told:?} {shown_at:?} {shown_first}");
            }
        }
    }
}

/// What is not to be carried on pays for no place, and takes none from those that have paid: whoever offers it need not take it back.
#[test]
fn what_pays_for_no_place_takes_none_from_those_that_pay() {
    let chain = ChainPolicy { registrations_per_block: 8, inclusion: 5, ..ChainPolicy::default() };
    let mut router = hub(RoutingPolicy { slot_fee: 5, chain, ..hub_policy() });
    drop(router.handle(RouterInput::ChannelUp { at: REVENUE, peer: key(3), limits: TransferLimits::default() }));
    drop(router.handle(RouterInput::Spendable { at: REVENUE, amount: 1_000_000, risked: 1_000_000 }));
    for number in 1..=5 {
        let (incoming, _) = offered(number);
        let terms = TransferTerms { lock: lock(Preimage([number; 32])), expiry: 150, ..incoming.terms };
        let incoming = IncomingTransfer { terms, instruction: vec![0xff], ..incoming };
        let outputs = router.handle(RouterInput::Transfer(UP, TransferEvent::Offered(incoming)));
        assert!(code(&outputs).is_some());
    }
    drop(router.handle(RouterInput::Transfer(REVENUE, TransferEvent::Prepaid { amount: 5 })));
    assert!(offer_by(&mut router, REVENUE, 100, 150));
}
