//! Channels of which rows are damaged: what may have gone on by them, or come in, is as if it had.

use crate::{
    forwarding::{DOWN, UP, code, commands, forward_key, key, lock, offered},
    harness::{CHAIN, World, hub_policy},
};
use ::channel::{
    ChangeId,
    transfer::{
        Failure, IncomingTransfer, Offer, OutgoingTransfer, Progress, Registered, TransferCommand, TransferEvent,
        TransferLimits, TransferTerms, Verdict,
    },
};
use network::{
    At, Instruction, PaymentState, Restored, RestoredChannel, Router, RouterInput, RouterNotice, RouterOutput,
    RoutingPolicy, RowKey, SealKey,
};
use protocol::{
    contracts::{ContractId, conditional::Preimage},
    crypto::SigningKey,
};

const SECRET: Preimage = Preimage([3; 32]);

fn channel(at: At, peer: u8, is_whole: bool) -> RestoredChannel {
    RestoredChannel { at, peer: key(peer), incoming: Vec::new(), outgoing: Vec::new(), is_whole }
}

/// What came in from peer 1, to go on to peer 2.
fn came_in() -> IncomingTransfer {
    let (incoming, forward) = offered(1);
    IncomingTransfer { instruction: Instruction::Forward(forward).to_bytes().unwrap(), ..incoming }
}

/// What went on because of it.
fn gone_on(progress: Progress) -> OutgoingTransfer {
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    let offer = Offer { terms, premium: 0, instruction: vec![5; 100] };
    OutgoingTransfer { change: ChangeId(1), key: forward_key(), offer, contract: None, premium: None, progress }
}

/// A hub at block 100 that was started on these.
fn started(channels: Vec<RestoredChannel>) -> (Router, Vec<RouterOutput>) {
    let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    drop(hub.handle(RouterInput::Tick(100_000)));
    drop(hub.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let outputs = hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels, rows: Vec::new() }));
    (hub, outputs)
}

/// Another channel to peer 2 is there, and the time to wait for anybody is over.
fn wait(hub: &mut Router) -> Vec<RouterOutput> {
    let other = At { chain: CHAIN, channel: ::channel::ChannelRef([7; 16]) };
    let mut outputs = hub.handle(RouterInput::ChannelUp { at: other, peer: key(2), limits: TransferLimits::default() });
    outputs.extend(hub.handle(RouterInput::Spendable { at: other, amount: 1_000_000, risked: 1_000_000 }));
    outputs.extend(hub.handle(RouterInput::Tick(900_000)));
    outputs
}

fn shown() -> RouterInput {
    RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: Some(101) }
}

#[test]
fn i4_what_may_have_gone_on_unread_goes_on_nowhere_else_is_not_given_back_and_is_claimed_once_it_is_paid() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let (mut hub, outputs) = started(vec![up.clone(), channel(DOWN, 2, false)]);
    assert_eq!(commands(outputs), vec![]);
    let outputs = wait(&mut hub);
    assert_eq!((code(&outputs), commands(outputs)), (None, vec![]));
    let claim = (UP, TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET });
    assert_eq!(commands(hub.handle(shown())), vec![claim]);
    // Where all can be read it was never signed: it goes on.
    let (mut hub, _) = started(vec![up, channel(DOWN, 2, true)]);
    assert!(matches!(commands(wait(&mut hub)).as_slice(), [(_, TransferCommand::Offer { .. })]));
}

#[test]
fn what_can_be_read_of_a_damaged_channel_counts() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = |progress| RestoredChannel { outgoing: vec![gone_on(progress)], ..channel(DOWN, 2, false) };
    let claim = (UP, TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET });
    let (_, outputs) = started(vec![up.clone(), down(Progress::Fulfilled(SECRET))]);
    assert_eq!(commands(outputs), vec![claim.clone()]);
    let (mut hub, outputs) = started(vec![up.clone(), down(Progress::Offered)]);
    assert_eq!(commands(outputs), vec![]);
    // The channel says nothing by itself.
    assert_eq!(commands(hub.handle(shown())), vec![claim]);
    let (_, outputs) = started(vec![up, down(Progress::Failed(Failure::Expired))]);
    assert!(code(&outputs).is_some(), "it is irrevocably absent");
}

#[test]
fn i5_what_came_in_unread_is_registered_in_time_and_what_went_on_because_of_it_is_remembered() {
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Offered)], ..channel(DOWN, 2, true) };
    let (mut hub, _) = started(vec![channel(UP, 1, false), down.clone()]);
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    for (best, verdict) in [(134, Verdict::NotYet), (133, Verdict::Agree)] {
        drop(hub.handle(RouterInput::Head { chain: CHAIN, best, finalised: 100 }));
        let silent = Registered::Silent { at: 100 };
        assert_eq!(hub.may_be_claimed(&DOWN, &forward_key(), &terms, silent), verdict, "at {best}");
    }
    let paid = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    // It expires two blocks after what went on, at least.
    let register = RouterOutput::Register { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, expiry: 152 };
    assert_eq!(hub.handle(RouterInput::Transfer(DOWN, paid.clone())), vec![register]);
    let (mut hub, _) = started(vec![channel(UP, 1, true), down]);
    let forgotten = commands(hub.handle(RouterInput::Transfer(DOWN, paid)));
    assert_eq!(forgotten, vec![(DOWN, TransferCommand::Forget { key: forward_key() })], "what came in has ended");
}

#[test]
fn nothing_goes_on_from_a_channel_of_which_not_all_can_be_read() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, false) };
    let (mut hub, outputs) = started(vec![up, channel(DOWN, 2, true)]);
    assert_eq!((commands(outputs), commands(wait(&mut hub))), (vec![], vec![]));
}

#[test]
fn a_claim_whose_command_was_lost_is_registered_before_its_expiry() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Fulfilled(SECRET))], ..channel(DOWN, 2, true) };
    let (mut hub, _the_command_is_lost) = started(vec![up, down]);
    let head = |best| RouterInput::Head { chain: CHAIN, best, finalised: best };
    assert_eq!(hub.handle(head(139)), vec![]);
    let register = RouterOutput::Register { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, expiry: 152 };
    assert!(hub.handle(head(140)).contains(&register), "Rg before its expiry");
}

#[test]
fn a_part_that_may_have_been_offered_unread_is_neither_offered_again_nor_given_up() {
    let mut world = World::new(
        vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()],
        &[(0, 1, 1_000_000, 0), (0, 1, 900_000, 0), (1, 2, 1_000_000, 0)],
    );
    let invoice = world.invoice(2, 1, Some(50_000), &[1]);
    world.run();
    let _begun = world.pay(0, 1, &invoice, None).unwrap();
    let rows: Vec<(RowKey, Vec<u8>)> = world.nodes[0].store.rows.clone().into_iter().collect();
    let start = |is_whole| {
        let mut payer =
            Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), RoutingPolicy::default());
        drop(payer.handle(RouterInput::Tick(world.now)));
        drop(payer.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
        let of = |number, is_whole| RestoredChannel {
            at: crate::harness::at(number),
            peer: world.key(1),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            is_whole,
        };
        let restored = Restored { chain: CHAIN, channels: vec![of(0, is_whole), of(1, true)], rows: rows.clone() };
        drop(payer.handle(RouterInput::Restored(restored)));
        let up =
            RouterInput::ChannelUp { at: crate::harness::at(1), peer: world.key(1), limits: TransferLimits::default() };
        let mut outputs = payer.handle(up);
        outputs.extend(payer.handle(RouterInput::Spendable { at: crate::harness::at(1), amount: 900_000, risked: 0 }));
        outputs.extend(payer.handle(RouterInput::Tick(world.now + 900_000)));
        (payer, outputs)
    };
    let (mut payer, outputs) = start(false);
    let id = network::PaymentId([1; 32]);
    assert_eq!((commands(outputs), payer.payment(&id)), (vec![], Some(PaymentState::Pending)));
    let preimage = Preimage([1; 32]);
    let told = payer.handle(RouterInput::Shown { chain: CHAIN, lock: invoice.lock, preimage, at: None });
    assert!(told.contains(&RouterOutput::Notify(RouterNotice::Paid { id, preimage })), "{told:?}");
    let (payer, _) = start(true);
    assert!(matches!(payer.payment(&id), Some(PaymentState::Failed(_))), "it was never signed: {payer:?}");
}
