//! Attacks on premiums that a hub carries on (R8.5h): an initiator and a responder that are one and play against the hub, with real signatures of their own; a hub that
//! plays against others; and strangers that are used up.

use super::{
    link::{
        Initiator, LOCK, Responder, World as Link,
        forge::{sign, state_body},
        side::Side,
    },
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
};
use crate::swaps::policy as of_swaps;
use channel::{
    Command, IdempotencyKey, Message, PledgeBody,
    transfer::{Margins, Offer, TransferCommand, TransferTerms},
};
use network::{
    Announcement, ChainPolicy, Forward, HubTerms, Instruction, RouterInput, RoutingPolicy, StakedForward, SwapId,
    SwapOrder, SwapQuote, SwapStage,
};
use protocol::{
    Amount, BlockNumber, Party, PublicKey,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Native, SigningKey},
    signing::{Domain, StateBody},
};

const AMOUNT: Amount = 100;
const PREMIUM: Amount = 20;
/// What the hub needs between two pledges, by its policy.
const DELTA: BlockNumber = 6;

fn policy() -> RoutingPolicy {
    let mut policy = of_swaps(false);
    let margins = Margins { register: 4, answer: 2 };
    policy.chain = ChainPolicy { margins, max_lag: 2, ..policy.chain };
    policy.is_hub = true;
    policy.carries_premiums = true;
    policy.revenue = 0;
    policy
}

fn lock(number: u8) -> HashLock {
    Preimage([number; 32]).lock(HashFunction::Sha2_256, &Native)
}

fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey::from([number])
}

/// A side that says what its owner likes: no router decides for it, and it pledges whatever it is asked for.
fn corrupt(link: &mut Link, party: Party) {
    link.routes[party] = None;
    let side = &mut link.sides[party];
    (side.registry.router, side.registry.premium) = (None, PREMIUM);
    (side.is_cheat, side.strict) = (true, false);
}

/// An offer that is to be carried on to `next`, whose pledge lasts until `until`.
fn carried(number: u8, next: PublicKey, expiry: BlockNumber, until: BlockNumber, inner: Vec<u8>) -> Offer {
    let forward = Forward { next, chain: None, amount: AMOUNT, expiry, inner };
    let staked = StakedForward { forward, premium: PREMIUM, pledged_until: until };
    let instruction = Instruction::ForwardStaked(staked).to_bytes().unwrap();
    let terms = TransferTerms { amount: AMOUNT, lock: lock(number), expiry: expiry + 2 };
    Offer { terms, premium: PREMIUM, instruction }
}

fn ask(link: &mut Link, party: Party, number: u8, offer: Offer, pledged_until: BlockNumber) {
    let staked = TransferCommand::OfferStaked { key: key(number), offer, pledged_until, is_kept_back: false };
    link.command(party, Command::Transfer(staked)).unwrap();
}

/// The initiator and the responder are one; the hub keeps to the rules.
const HUB: usize = 1;
const TO_I: usize = 0;
const TO_R: usize = 1;

fn against_a_hub() -> Net {
    let mut net = Net::with(policy(), 3, &[(0, HUB), (HUB, 2)]);
    corrupt(&mut net.links[TO_I], Initiator);
    corrupt(&mut net.links[TO_R], Responder);
    net
}

/// What the hub has gained: by what is agreed in both of its channels.
fn gain_of_hub(net: &Net) -> i128 {
    let of = |link: usize, party: Party| net.links[link].sides[party].machine().state().unwrap().balances[party];
    let has = of(TO_I, Responder) + of(TO_R, Initiator);
    i128::try_from(has).unwrap() - i128::try_from(2 * SHARE).unwrap()
}

/// A message to a side of a channel is heard, and what the hub's router wants is done.
fn hear(net: &mut Net, link: usize, party: Party) {
    net.step(Ready::Message(link, party));
    net.carry_out_all();
}

/// The first question for a pledge that is on its way to this side.
fn question(link: &Link, party: Party) -> PledgeBody {
    let asked = link.wire[party].iter().find_map(|message| match message {
        Message::PledgeCreated(body) => Some(body.clone()),
        _ => None,
    });
    asked.expect("it was asked")
}

/// Blocks pass, and everything is said but to the sides of these channels.
fn pass(net: &mut Net, blocks: BlockNumber, deaf: &[(usize, Party)]) {
    for _ in 0..blocks {
        net.tick(6_000);
        net.mine();
        talk(net, deaf);
    }
}

fn talk(net: &mut Net, deaf: &[(usize, Party)]) {
    let is_heard = |ready: &Ready| !deaf.iter().any(|(link, party)| *ready == Ready::Message(*link, *party));
    while let Some(ready) = net.ready().into_iter().find(is_heard) {
        net.step(ready);
    }
}

/// *Sequence:* the responder asks, the hub asks the initiator, which pledges and, at once, acknowledges the round that it has pledged and that the hub keeps back. The
/// responder says nothing more. *Loss:* the hub takes the round for agreed, hands its signature over after a lost connection, and pays the initiator the whole leg, for
/// which nothing came in. *Right:* nobody acknowledges what is kept back.
#[test]
fn an_initiator_that_acknowledges_what_is_kept_back_gains_nothing() {
    let mut net = against_a_hub();
    let head = net.head();
    let (expiry, until) = (head + 40, head + 16);
    let offer = carried(1, identity(0), expiry, until, Vec::new());
    ask(&mut net.links[TO_R], Responder, 1, offer, until - DELTA);
    hear(&mut net, TO_R, Initiator);
    let body = question(&net.links[TO_I], Initiator);
    hear(&mut net, TO_I, Initiator);
    hear(&mut net, TO_I, Responder);
    let link = &mut net.links[TO_I];
    let signature = sign(Initiator, link.channel_id(), &state_body(body.round, body.base, body.state_hash));
    link.hear(Responder, Message::UpdateAck { round: body.round, signature });
    net.cut(TO_I);
    net.connect(TO_I);
    let silent = [(TO_R, Initiator), (TO_R, Responder)];
    talk(&mut net, &silent);
    let taken = net.links[TO_I].sides[Initiator].machine().incoming_transfers().keys().next().copied();
    if let Some(contract) = taken {
        let claim = TransferCommand::Claim { contract, preimage: Preimage([1; 32]) };
        net.links[TO_I].command(Initiator, Command::Transfer(claim)).unwrap();
    }
    talk(&mut net, &silent);
    pass(&mut net, 45, &silent);
    assert!(gain_of_hub(&net) >= 0, "the hub has lost {}", -gain_of_hub(&net));
}

/// *Sequence:* the responder asks for a pledge of the initiator's up to U1, and the initiator is slow, so that the hub refuses. The responder asks for something else,
/// by which the hub forgets what it has failed to get; then it asks once more in the first round, with a later U2. The hub commands the same offer by the same key, which
/// its channel has: the question to the initiator stays the one up to U1. The initiator pledges up to U1; the hub takes it for a pledge up to U2, and pledges up to
/// U2 - delta. The responder proposes its round after U1. *Loss:* the premium, to the responder. *Right:* the hub pledges no longer than by what it holds: the
/// reservation is for one question, whose key is not used again, or it is the held pledge that says how long it lasts.
#[test]
fn a_question_asked_again_with_a_later_block_has_the_hub_pledge_no_longer_than_it_is_pledged() {
    let mut net = against_a_hub();
    let head = net.head();
    let (expiry, first, second) = (head + 60, head + 12, head + 32);
    let fresh: Side = net.links[TO_R].sides[Responder].clone();
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, first, Vec::new()), first - DELTA);
    hear(&mut net, TO_R, Initiator);
    assert_eq!(question(&net.links[TO_I], Initiator).valid_until, first);
    // The initiator takes its time.
    net.tick(31_000);
    net.carry_out_all();
    hear(&mut net, TO_R, Responder);
    let nobody = SigningKey::from_seed(&[99; 32]).public();
    ask(&mut net.links[TO_R], Responder, 2, carried(2, nobody, expiry, second, Vec::new()), first - DELTA);
    hear(&mut net, TO_R, Initiator);
    hear(&mut net, TO_R, Responder);
    // As if it had not asked before.
    net.links[TO_R].sides[Responder] = fresh;
    net.links[TO_R].wire[Responder].clear();
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, second, Vec::new()), second - DELTA);
    hear(&mut net, TO_R, Initiator);
    // Now the initiator pledges for the first question.
    let silent = [(TO_I, Initiator)];
    hear(&mut net, TO_I, Initiator);
    hear(&mut net, TO_I, Responder);
    let is_pledged = |message: &Message| matches!(message, Message::PledgeSigned { .. });
    if !net.links[TO_R].wire[Responder].iter().any(is_pledged) {
        return;
    }
    hear(&mut net, TO_R, Responder);
    // The responder keeps its round until the initiator's pledge is over.
    let late = [(TO_I, Initiator), (TO_R, Initiator)];
    while net.head() <= first + 1 {
        pass(&mut net, 1, &late);
    }
    talk(&mut net, &silent);
    pass(&mut net, 70, &[]);
    assert!(gain_of_hub(&net) >= 0, "the hub has lost {}", -gain_of_hub(&net));
}

/// *Sequence:* the responder asks, and cuts the connection, so that its question is gone when the initiator has pledged: the hub holds that pledge, and has given none. In
/// the last block of the pledge the responder proposes that very round, for which it has no pledge of the hub's. *Loss:* the hub agrees, since it "stakes until" some block
/// that is long over, and what it releases comes too late for the pledge to be shown; the initiator does not answer. The premium goes to the responder. *Right:* a
/// round with a premium that this side has not pledged is agreed to no later than the block up to which it would pledge.
#[test]
fn a_round_that_is_proposed_after_the_hub_would_have_pledged_is_not_agreed_to() {
    let mut net = against_a_hub();
    let head = net.head();
    let (expiry, until) = (head + 40, head + 16);
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, until, Vec::new()), until - DELTA);
    let body = question(&net.links[TO_R], Initiator);
    hear(&mut net, TO_R, Initiator);
    // What the responder would propose, computed by its own machine.
    let before = net.links[TO_R].sides[Responder].clone();
    let link = &mut net.links[TO_R];
    let PledgeBody { round, base, state_hash, valid_until, .. } = body;
    let pledged = StateBody { round, base, state_hash, valid_until: Some(valid_until) };
    let signature = sign(Initiator, link.channel_id(), &pledged);
    link.hear(Responder, Message::PledgeSigned { round, signature });
    let Message::Update(update) = link.steal(Initiator) else { panic!("proposed") };
    let mut proposer = std::mem::replace(&mut link.sides[Responder], before);
    net.cut(TO_R);
    hear(&mut net, TO_I, Initiator);
    hear(&mut net, TO_I, Responder);
    net.connect(TO_R);
    talk(&mut net, &[]);
    while net.head() < until {
        pass(&mut net, 1, &[]);
    }
    let silent = [(TO_I, Initiator)];
    let seen = net.links[TO_R].sides[Responder].seen;
    proposer.seen = seen;
    net.links[TO_R].sides[Responder] = proposer;
    net.links[TO_R].wire = protocol::Pair::default();
    net.links[TO_R].hear(Initiator, Message::Update(update));
    net.carry_out_all();
    pass(&mut net, 60, &silent);
    assert!(gain_of_hub(&net) >= 0, "the hub has lost {}", -gain_of_hub(&net));
}

/// *Sequence:* a responder asks a hub for a pledge that is carried on by another hub to its accomplice, again and again, and proposes nothing. *Loss:* the channel between
/// the two hubs, which belongs to neither of the two, takes no payment in nearly every block, for which they have locked no coin. *Right:* a hub asks for such
/// a pledge only who carries nothing on, or puts a price or a bound on it for whoever asks and does not propose.
#[test]
fn a_channel_between_two_hubs_is_not_held_up_by_others_for_nothing() {
    // Initiator - hub - hub - responder.
    let mut net = Net::with(policy(), 4, &[(0, 1), (1, 2), (2, 3)]);
    corrupt(&mut net.links[0], Initiator);
    corrupt(&mut net.links[2], Responder);
    let (mut held_up, mut blocks) = (0_u32, 0_u32);
    let mut paid: Amount = 0;
    for number in 1..=4 {
        let head = net.head();
        let (last, middle) = (head + LOCK - 1, head + LOCK - 1 - DELTA);
        let inner = carried(number, identity(0), head + 40, last, Vec::new()).instruction;
        let forward = Forward { next: identity(1), chain: None, amount: AMOUNT, expiry: head + 42, inner };
        let staked = StakedForward { forward, premium: PREMIUM, pledged_until: middle };
        let instruction = Instruction::ForwardStaked(staked).to_bytes().unwrap();
        let terms = TransferTerms { amount: AMOUNT, lock: lock(number), expiry: head + 44 };
        let offer = Offer { terms, premium: PREMIUM, instruction };
        ask(&mut net.links[2], Responder, number, offer, middle - DELTA);
        // Its round never arrives.
        while let Some(ready) = net.ready().first().copied() {
            if let Ready::Message(2, Initiator) = ready
                && matches!(net.links[2].wire[Initiator].front(), Some(Message::Update(_)))
            {
                let _kept = net.links[2].wire[Initiator].pop_front();
                continue;
            }
            net.step(ready);
        }
        let _payment = net.links[1].pay(Responder, 1).unwrap();
        paid += 1;
        while net.head() <= middle + 1 {
            pass(&mut net, 1, &[(2, Initiator)]);
            let has = net.links[1].sides[Responder].machine().state().unwrap().balances[Responder];
            blocks += 1;
            held_up += u32::from(has > SHARE - paid);
        }
        // It goes on from the state before, as if its process had crashed.
        net.cut(2);
        net.connect(2);
        net.run();
    }
    assert!(held_up * 4 < blocks, "held up in {held_up} of {blocks} blocks");
}

const CHAIN: Domain = super::link::DOMAIN;
const ID: SwapId = SwapId([6; 32]);
const SWAP_PAID: Amount = 50;

fn responding() -> RoutingPolicy {
    let mut policy = policy();
    policy.swaps.quotes = vec![SwapQuote {
        source: CHAIN,
        target: OTHER_CHAIN,
        rate: (2, 1),
        amounts: (1, 100_000),
        premium: 200_000,
        inventory: 500_000,
        expires_at: u64::MAX,
    }];
    policy
}

fn propose(net: &mut Net, responder: usize) -> Result<SwapStage, network::SwapError> {
    let order = SwapOrder {
        responder: identity(responder),
        source: (CHAIN, SWAP_PAID),
        target: (OTHER_CHAIN, AMOUNT),
        premium: PREMIUM,
    };
    net.node(0).act(|router| router.propose_swap(ID, order, &ID.0))
}

/// *Sequence:* somebody who has a channel with the initiator, and nothing else to do with the swap, announces that it needs very many blocks between two pledges. *Loss:*
/// no swap with a premium can be proposed any more, through whichever hub. *Right:* what counts is the hub that may carry the leg: that serves the responder,
/// and whose blocks are within what is sensible.
#[test]
fn a_hub_that_announces_nonsense_does_not_keep_swaps_from_going_by_another() {
    // Initiator, hub, responder, and somebody else.
    let policies = vec![policy(), policy(), responding(), policy()];
    for pledge_delta in [DELTA, 1_000, BlockNumber::MAX] {
        let mut net = Net::on_two_chains(policies.clone(), &[(0, 2)], &[(0, 1), (1, 2), (0, 3)]);
        let signer = SigningKey::from_seed(&[53; 32]);
        assert_eq!(signer.public(), identity(3));
        let terms = HubTerms {
            fee: network::Fee::default(),
            slot_fee: 0,
            delta: 2,
            least_expiry: 6,
            min_amount: 1,
            max_amount: Amount::MAX,
            pledge_delta: Some(pledge_delta),
        };
        let announcement = Announcement {
            chain: OTHER_CHAIN,
            hub: identity(3),
            sequence: u64::MAX,
            terms,
            serves: Vec::new(),
            valid_until: u64::MAX,
        };
        let bytes = announcement.sign(&signer).unwrap();
        net.node(0).tell([RouterInput::Announced { peer: identity(3), bytes }]);
        assert_eq!(propose(&mut net, 2), Ok(SwapStage::Proposed), "{pledge_delta}");
        net.run();
        net.settle();
        let stage = net.node(0).shared().router.swap(&ID).map(|swap| swap.stage);
        assert!(matches!(stage, Some(SwapStage::Ended { code: None, .. })), "{pledge_delta}: {stage:?}");
    }
}

/// *Sequence:* the responder of a swap asks for the initiator's pledge through two hubs at once, with the same words. The initiator pledges to both, since nothing has arrived;
/// both legs are locked, and the initiator is away until they have expired. *Loss:* it forfeits two premiums, and has agreed to one. *Right:* while a pledge of its own for
/// a leg may count, it gives no other one for it.
#[test]
fn an_initiator_stakes_its_premium_once() {
    let policies = vec![policy(), policy(), responding(), policy()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, 1), (1, 2), (0, 3), (3, 2)]);
    let _stage = propose(&mut net, 2).unwrap();
    // The responder's first question.
    let mut body = None;
    for link in [2, 4] {
        net.links[link].sides[Responder].is_cheat = true;
        net.links[link].sides[Responder].strict = false;
    }
    while body.is_none() {
        let ready = net.ready().first().copied().expect("it asks");
        net.step(ready);
        body = [2, 4].into_iter().find_map(|link| match net.links[link].wire[Initiator].front() {
            Some(Message::PledgeCreated(body)) => Some((link, body.clone())),
            _ => None,
        });
    }
    let (asked, body) = body.unwrap();
    let other = 6 - asked;
    net.links[other].routes[Responder] = None;
    ask(&mut net.links[other], Responder, 9, body.offer, body.valid_until);
    // Both questions are answered before either round is proposed.
    let is_early = |net: &Net, ready: &Ready| match ready {
        Ready::Message(link @ (2 | 4), Initiator) => {
            !matches!(net.links[*link].wire[Initiator].front(), Some(Message::Update(_)))
        }
        _ => true,
    };
    while let Some(ready) = net.ready().into_iter().find(|ready| is_early(&net, ready)) {
        net.step(ready);
    }
    let pledged = [2, 4].map(|link| matches!(net.links[link].wire[Initiator].front(), Some(Message::Update(_))));
    // Both rounds are agreed, and those that the hubs have kept back; then the initiator's process is away.
    for link in [2, 4] {
        while net.links[link].deliver(Initiator) {}
    }
    net.carry_out_all();
    for link in [1, 3] {
        // What it is told of the second one is not heard before it has agreed to both.
        while net.links[link].deliver(Initiator) {}
    }
    net.vanish(0);
    for _ in 0..150 {
        net.tick(6_000);
        net.mine();
        while let Some(ready) = net.ready().first().copied() {
            net.step(ready);
        }
    }
    net.come_back(0);
    net.run();
    net.settle();
    let has = |link: usize| net.links[link].sides[Initiator].machine().state().unwrap().balances[Initiator];
    let lost = 2 * SHARE - (has(1) + has(3)).min(2 * SHARE);
    assert!(lost <= PREMIUM, "it has lost {lost}; pledged in both: {pledged:?}");
}
