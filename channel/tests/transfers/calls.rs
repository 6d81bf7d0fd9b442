//! Calls of apps that go with a conditional transfer (R8.3g): they are made with its offer, its claim or its return, or none of it is.

use super::*;
use crate::harness::{
    apps,
    contracts::{call, forced},
    deeds::{deed, deed_of, with_deeds},
    forge::sign,
};
use channel::{
    Change, ChangeFault, Event, RefusalCode, Update,
    transfer::{AppCall, MAX_LOCKED_CALLS, MAX_LOCKED_WORDS, Verdict},
};
use protocol::{
    StateCommitment,
    contracts::{CallFault, Invocation, Predictor, calls_root, execute},
    signing::StateBody,
};

/// A channel in which the initiator owns a deed, and the responder takes the calls that go with it.
fn with_a_deed() -> (World, ContractId) {
    let (mut world, created) = World::with(Initiator, vec![deed(Initiator)]);
    world.sides[Responder].registry.calls = with_deeds(&created);
    (world, created[0])
}

impl World {
    fn offer_deed(&mut self, deed: ContractId, blocks: BlockNumber) -> Result<(), Misuse> {
        let offer = Offer { calls: with_deeds(&[deed]), ..an_offer(1, AMOUNT, self.chain.head() + blocks) };
        self.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(1), offer, fee: 0 }))
    }

    /// Who owns the deed, and whether it is locked: both sides say the same.
    fn deed(&self, deed: ContractId) -> (Party, bool) {
        let of = |party: Party| deed_of(self, party, deed).unwrap();
        assert_eq!(of(Initiator), of(Responder));
        of(Initiator)
    }

    fn is_moved(&self, deed: ContractId) {
        assert_eq!((self.deed(deed), self.open_transfers()), ((Responder, false), 0));
        assert_eq!((self.ours(Initiator), self.ours(Responder)), (SHARE - AMOUNT, SHARE + AMOUNT));
    }

    fn is_as_before(&self, deed: ContractId) {
        assert_eq!((self.deed(deed), self.open_transfers()), ((Initiator, false), 0));
        assert_eq!((self.ours(Initiator), self.ours(Responder)), (SHARE, SHARE));
    }
}

fn locked() -> (World, ContractId) {
    let (mut world, deed) = with_a_deed();
    world.offer_deed(deed, 20).unwrap();
    world.run();
    assert_eq!((world.deed(deed), world.open_transfers()), ((Initiator, true), 1));
    (world, deed)
}

#[test]
fn a_deed_moves_with_the_coins_in_one_round_each() {
    let (mut world, deed) = with_a_deed();
    let before = world.rounds().0;
    world.offer_deed(deed, 20).unwrap();
    world.run();
    assert_eq!(world.rounds().0, before + if before % 2 == 0 { 1 } else { 2 }, "one round of the initiator's");
    assert_eq!((world.deed(deed), world.open_transfers()), ((Initiator, true), 1));
    let before = world.rounds().0;
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!(world.rounds().0, before + 3, "one round of the responder's");
    world.is_moved(deed);
    assert_eq!(world.sides[Initiator].notices().count() + world.sides[Responder].notices().count(), 0);
}

#[test]
fn a_payee_gives_coins_and_deed_back() {
    let (mut world, deed) = locked();
    world.fail(Responder, 1).unwrap();
    world.run();
    world.is_as_before(deed);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::ByPayee(FailReason(vec![1])))));
}

#[test]
fn what_is_not_claimed_in_time_goes_back_with_the_deed() {
    let (mut world, deed) = locked();
    world.mine_blocks(20);
    world.run();
    world.is_as_before(deed);
}

#[test]
fn calls_that_the_payees_router_does_not_know_are_refused_with_their_offer() {
    let (mut world, deed) = with_a_deed();
    world.sides[Responder].registry.calls = LockedCalls::NONE;
    world.offer_deed(deed, 20).unwrap();
    world.run();
    world.is_as_before(deed);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::Refused(RefusalCode::POLICY))));
    assert!(world.sides[Responder].machine().incoming_transfers().is_empty());
}

#[test]
fn a_call_that_is_refused_keeps_the_whole_offer_from_being_made() {
    let (mut world, deed) = locked();
    // The deed is locked already.
    let offer = Offer { calls: with_deeds(&[deed]), ..an_offer(2, AMOUNT, world.chain.head() + 20) };
    world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(2), offer, fee: 3 })).unwrap();
    world.run();
    let fault = ChangeFault::Call(CallFault::Refused);
    assert_eq!(world.progress(Initiator, 2), Some(Progress::Failed(Failure::NotMade(fault))));
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE - AMOUNT, 1));
}

#[test]
fn what_may_go_with_an_offer_is_bounded() {
    let (mut world, deed) = with_a_deed();
    let one = AppCall { contract: deed, input: vec![0] };
    let many = LockedCalls { returning: vec![one.clone(); MAX_LOCKED_CALLS + 1], ..LockedCalls::NONE };
    let long = AppCall { input: vec![0; MAX_LOCKED_WORDS], ..one.clone() };
    let long = LockedCalls { locking: vec![one.clone()], claiming: vec![long], returning: vec![one.clone()] };
    let kept = LockedCalls { locking: vec![one], ..LockedCalls::NONE };
    let unknown = AppCall { contract: ContractId([9; 32]), input: Vec::new() };
    let unknown = LockedCalls { locking: vec![unknown.clone()], returning: vec![unknown], ..LockedCalls::NONE };
    let faults = [
        (many, Misuse::Change(ChangeFault::TooManyCalls)),
        (long, Misuse::Change(ChangeFault::TooManyCalls)),
        (kept, Misuse::Change(ChangeFault::LockedForGood)),
        (unknown, Misuse::ContractUnknown(ContractId([9; 32]))),
    ];
    for (calls, fault) in faults {
        let offer = Offer { calls, ..an_offer(1, AMOUNT, world.chain.head() + 20) };
        let command = Command::Transfer(TransferCommand::Offer { key: name(1), offer, fee: 0 });
        assert_eq!(world.command(Initiator, command), Err(fault));
    }
    let offer = Offer { premium: 5, calls: with_deeds(&[deed]), ..an_offer(1, AMOUNT, world.chain.head() + 20) };
    let staked = world.offer_staked(Initiator, 1, offer, world.chain.head() + 10);
    assert_eq!(staked, Err(Misuse::Change(ChangeFault::PremiumBesideCalls)));
}

/// A round of the responder's that ends the transfer with these calls beside it, its coins to whom they go, which the initiator does not take. What it answers.
fn refused(world: &mut World, to: Party, calls: &[AppCall], change: Change) -> RefusalCode {
    let contract = world.contract_of(Responder, 1).unwrap();
    let last = world.rounds().0;
    let round = [last + 1, last + 2].into_iter().find(|round| Party::owner_of(*round) == Responder).unwrap();
    let machine = world.sides[Initiator].machine();
    let (mut contracts, mut balances) = (machine.contracts().unwrap().clone(), world.agreed(Initiator));
    contracts.set(contract, None);
    balances[to] += AMOUNT;
    let (channel, height) = (world.channel_id(), world.chain.head());
    let mut receipts = Vec::new();
    for AppCall { contract: id, input } in calls {
        let mut called = contracts.get(id).unwrap().clone();
        let invocation =
            Invocation { channel, contract: *id, round, caller: Responder, value: 0, height, input, app: None };
        let native = apps::native();
        receipts.push(execute(&mut Predictor::replaying(&native), &mut called, &invocation).unwrap().receipt);
        contracts.set(*id, Some(called));
    }
    let (contracts_root, calls_root) = (contracts.root(), calls_root(&receipts, &Native));
    let state_hash = StateCommitment { balances, contracts_root, calls_root }.hash(&Native);
    let base = world.base(Initiator);
    let body = StateBody { round, base, state_hash, valid_until: None };
    let signature = sign(Responder, channel, &body);
    let update = Update { round, base, height, refuses: None, changes: vec![change], state_hash, signature };
    world.hear(Initiator, Message::Update(update));
    world.refusal(Initiator)
}

#[test]
fn a_payee_that_keeps_the_deed_back_has_its_failure_refused() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    let reason = FailReason(vec![1]);
    let fail = Change::Fail { contract, reason, calls: Vec::new() };
    assert_eq!(refused(&mut world, Initiator, &[], fail), RefusalCode::VALIDATION);
    assert_eq!((world.deed(deed), world.open_transfers()), ((Initiator, true), 1));
}

#[test]
fn no_other_calls_go_with_a_claim_than_those_of_its_offer() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    let other = vec![AppCall { contract: deed, input: apps::DeedInput::Return.encode() }];
    let claim = Change::Claim { contract, preimage: secret(1).0, calls: other.clone() };
    assert_eq!(refused(&mut world, Responder, &other, claim), RefusalCode::VALIDATION);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)), "and its pre-image is known");
}

#[test]
fn a_deed_that_the_payer_has_moved_already_holds_up_no_claim() {
    let (mut world, deed) = locked();
    world.force(Initiator, vec![forced(deed, 0, &apps::DeedInput::Claim(secret(1).0))]).unwrap();
    for _ in 0..2 {
        world.mine();
        world.run();
    }
    assert_eq!((world.deed(deed), world.open_transfers()), ((Responder, false), 1));
    world.claim(Responder, 1).unwrap();
    world.run();
    world.is_moved(deed);
}

#[test]
fn a_claim_that_is_not_answered_is_forced_with_its_calls_once_the_pre_image_is_shown() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(140);
    world.run();
    world.is_moved(deed);
    assert_eq!(world.sides[Responder].was_told(|event| matches!(event, Event::Forcing { .. })), 1, "one step for both");
    assert_eq!(world.states(), ("open", "open"));
}

#[test]
fn a_refund_that_is_not_answered_is_forced_with_its_calls() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.mine_blocks(140);
    world.run();
    world.is_as_before(deed);
    assert_eq!(world.sides[Initiator].was_told(|event| matches!(event, Event::Forcing { .. })), 1, "one step for both");
}

#[test]
fn what_a_payer_leaves_out_of_a_forced_claim_the_payee_makes_up_for() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.run();
    world.mine();
    world.run();
    world.is_moved(deed);
}

#[test]
fn a_crash_between_any_two_steps_leaves_coins_and_deed_together() {
    for crashed in Party::BOTH {
        for claims in [true, false] {
            for at in 0..12 {
                let (mut world, deed) = with_a_deed();
                world.offer_deed(deed, 20).unwrap();
                let mut steps = 0;
                let mut decided = false;
                loop {
                    if steps == at {
                        world.crash(crashed);
                    }
                    steps += 1;
                    let moved = world.deliver(Initiator) | world.deliver(Responder);
                    if world.sides[Responder].machine().incoming_transfers().len() == 1 && !decided {
                        decided = true;
                        let done = if claims { world.claim(Responder, 1) } else { world.fail(Responder, 1) };
                        done.unwrap();
                    } else if !moved && steps > at {
                        break;
                    }
                }
                world.run();
                if !decided && world.open_transfers() == 1 {
                    decided = true;
                    let done = if claims { world.claim(Responder, 1) } else { world.fail(Responder, 1) };
                    done.unwrap();
                    world.run();
                }
                match (decided, claims) {
                    (true, true) => world.is_moved(deed),
                    _ => world.is_as_before(deed),
                }
            }
        }
    }
}

#[test]
fn a_deed_alone_moves_no_later_than_the_coins_could() {
    let (mut world, deed) = locked();
    world.sides[Initiator].registry.verdict = Some(Verdict::NotYet);
    let claimed = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Claim(secret(1).0))).unwrap();
    world.run();
    assert_eq!(world.deed(deed), (Initiator, true));
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)), "what was shown is known");
    world.mine_blocks(3);
    world.run();
    assert_eq!(world.deed(deed), (Initiator, true));
    assert!(!matches!(world.fate(Responder, claimed), crate::harness::Fate::Paid(_)));
    world.sides[Initiator].registry.verdict = None;
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Claim(secret(1).0))).unwrap();
    world.run();
    assert_eq!(world.deed(deed), (Responder, false));
}

#[test]
fn an_owner_takes_its_deed_back_alone_only_once_the_registry_was_silent() {
    let (mut world, deed) = locked();
    // The height that the owner names is not what counts.
    let _id = world.make_one(Initiator, call(deed, 0, &apps::DeedInput::Return)).unwrap();
    world.run();
    assert_eq!(world.deed(deed), (Initiator, true));
    world.claim(Responder, 1).unwrap();
    world.run();
    world.is_moved(deed);
}

#[test]
fn a_forced_step_of_the_owners_does_not_free_a_deed_whose_pre_image_was_shown_in_time() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(20);
    let forced = world.force(Initiator, vec![forced(deed, 0, &apps::DeedInput::Return)]);
    assert!(matches!(forced, Err(Misuse::WouldBeRefused(_))), "{forced:?}");
    world.run();
    world.is_moved(deed);
}
