//! Attacks on premiums that a hub carries on (R8.5h): an initiator and a responder that are one and play against the hub, with real signatures of their own; a hub that
//! plays against others; and strangers that are used up.

use super::{
    link::{
        Initiator, LOCK, Responder, World as Link,
        forge::{sign, state_body},
        side::Side,
    },
    net::{Net, Ready, SHARE, at, identity},
};
use crate::swaps::policy as of_swaps;
use channel::{
    Command, IdempotencyKey, Message, PledgeBody,
    transfer::{LockedCalls, Margins, Offer, TransferCommand, TransferTerms},
};
use network::{ChainPolicy, Forward, Instruction, RoutingPolicy, StakedForward, SwapId, SwapInstruction};
use protocol::{
    Amount, BlockNumber, Party, PublicKey,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Native, SigningKey},
    signing::StateBody,
};

pub(super) const AMOUNT: Amount = 100;
pub(super) const PREMIUM: Amount = 20;
/// What the hub needs between two pledges, by its policy.
pub(super) const DELTA: BlockNumber = 6;

pub(super) fn policy() -> RoutingPolicy {
    let mut policy = of_swaps(false);
    let margins = Margins { register: 4, answer: 2 };
    policy.chain = ChainPolicy { margins, max_lag: 2, ..policy.chain };
    policy.is_hub = true;
    policy.carries_premiums = true;
    policy.revenue = 0;
    policy
}

pub(super) fn lock(number: u8) -> HashLock {
    Preimage([number; 32]).lock(HashFunction::Sha2_256, &Native)
}

pub(super) fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey::from([number])
}

/// A side that says what its owner likes: no router decides for it, and it pledges whatever it is asked for.
pub(super) fn corrupt(link: &mut Link, party: Party) {
    link.routes[party] = None;
    let side = &mut link.sides[party];
    (side.registry.router, side.registry.premium) = (None, PREMIUM);
    (side.is_cheat, side.strict) = (true, false);
}

/// An offer that is to be carried on to `next`, whose pledge lasts until `until`.
pub(super) fn carried(number: u8, next: PublicKey, expiry: BlockNumber, until: BlockNumber, inner: Vec<u8>) -> Offer {
    let (id, acknowledges) = (SwapId([number; 32]), protocol::Hash([number; 32]));
    let said = SwapInstruction { id, source: at(0).chain, sequence: 1, acknowledges };
    let inner = if inner.is_empty() { Instruction::Swap(said).to_bytes().unwrap() } else { inner };
    let forward = Forward { next, chain: None, amount: AMOUNT, expiry, inner };
    let staked = StakedForward { forward, premium: PREMIUM, pledged_until: until };
    let instruction = Instruction::ForwardStaked(staked).to_bytes().unwrap();
    let terms = TransferTerms { amount: AMOUNT, lock: lock(number), expiry: expiry + 2 };
    Offer { terms, premium: PREMIUM, calls: LockedCalls::NONE, instruction }
}

pub(super) fn ask(link: &mut Link, party: Party, number: u8, offer: Offer, pledged_until: BlockNumber) {
    let staked = TransferCommand::OfferStaked { key: key(number), offer, pledged_until, is_kept_back: false };
    link.command(party, Command::Transfer(staked)).unwrap();
}

/// The initiator and the responder are one; the hub keeps to the rules.
const HUB: usize = 1;
const TO_I: usize = 0;
const TO_R: usize = 1;

pub(super) fn against_a_hub() -> Net {
    let mut net = Net::with(policy(), 3, &[(0, HUB), (HUB, 2)]);
    corrupt(&mut net.links[TO_I], Initiator);
    corrupt(&mut net.links[TO_R], Responder);
    net
}

/// What the hub has gained: by what is agreed in both of its channels.
pub(super) fn gain_of_hub(net: &Net) -> i128 {
    let of = |link: usize, party: Party| net.links[link].sides[party].machine().state().unwrap().balances[party];
    let has = of(TO_I, Responder) + of(TO_R, Initiator);
    i128::try_from(has).unwrap() - i128::try_from(2 * SHARE).unwrap()
}

/// A message to a side of a channel is heard, and what the hub's router wants is done.
pub(super) fn hear(net: &mut Net, link: usize, party: Party) {
    net.step(Ready::Message(link, party));
    net.carry_out_all();
}

/// The first question for a pledge that is on its way to this side.
pub(super) fn question(link: &Link, party: Party) -> PledgeBody {
    let asked = link.wire[party].iter().find_map(|message| match message {
        Message::PledgeCreated(body) => Some(body.clone()),
        _ => None,
    });
    asked.expect("it was asked")
}

/// Blocks pass, and everything is said but to the sides of these channels.
pub(super) fn pass(net: &mut Net, blocks: BlockNumber, deaf: &[(usize, Party)]) {
    for _ in 0..blocks {
        net.tick(6_000);
        net.mine();
        talk(net, deaf);
    }
}

pub(super) fn talk(net: &mut Net, deaf: &[(usize, Party)]) {
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

/// *Sequence:* the initiator has two channels with the hub, and is slow to answer the question that it is asked in the first; the responder has the hub forget that, as above, and asks
/// once more in the same round, so that the hub asks in the second channel. There the initiator pledges, and the hub pledges to the responder. Only then the initiator
/// refuses the question in the first channel, and the responder proposes its round. *Loss:* the hub takes the refusal for one of what it holds, gives back what has come
/// in, and its premium goes to the responder, while the pledge that it holds lapses. *Right:* what has failed in a channel concerns a reservation in that channel alone.
#[test]
fn what_fails_in_one_channel_is_not_taken_for_what_is_held_in_another() {
    two_channels(true);
}

/// The same, where nothing fails in the first channel before the round is agreed: the hub shows what it holds in the second.
#[test]
fn a_question_that_is_still_open_in_one_channel_does_no_harm_to_what_is_held_in_another() {
    two_channels(false);
}

fn two_channels(refuses: bool) {
    let mut net = Net::with(policy(), 3, &[(0, HUB), (HUB, 2), (0, HUB)]);
    for (link, party) in [(0, Initiator), (1, Responder), (2, Initiator)] {
        corrupt(&mut net.links[link], party);
    }
    let head = net.head();
    let (expiry, until) = (head + 50, head + 18);
    let fresh: Side = net.links[TO_R].sides[Responder].clone();
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, until, Vec::new()), until - DELTA);
    hear(&mut net, TO_R, Initiator);
    let is_asked = |net: &Net, link: usize| !net.links[link].wire[Initiator].is_empty();
    let slow = if is_asked(&net, 0) { 0 } else { 2 };
    let quick = 2 - slow;
    let first = question(&net.links[slow], Initiator);
    net.tick(31_000);
    net.carry_out_all();
    hear(&mut net, TO_R, Responder);
    let nobody = SigningKey::from_seed(&[99; 32]).public();
    ask(&mut net.links[TO_R], Responder, 2, carried(2, nobody, expiry, until, Vec::new()), until - DELTA);
    hear(&mut net, TO_R, Initiator);
    hear(&mut net, TO_R, Responder);
    net.links[TO_R].sides[Responder] = fresh;
    net.links[TO_R].wire[Responder].clear();
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, until, Vec::new()), until - DELTA);
    hear(&mut net, TO_R, Initiator);
    if !is_asked(&net, quick) {
        return;
    }
    hear(&mut net, quick, Initiator);
    hear(&mut net, quick, Responder);
    let code = channel::RefusalCode::POLICY;
    if refuses {
        net.links[slow].hear(Responder, Message::PledgeError { round: first.round, code });
    }
    net.carry_out_all();
    net.links[slow].wire[Initiator].clear();
    let silent = [(slow, Initiator), (quick, Initiator)];
    talk(&mut net, &silent);
    pass(&mut net, 300, &silent);
    let of = |link: usize, party: Party| net.links[link].sides[party].machine().state().unwrap().balances[party];
    let has = of(0, Responder) + of(TO_R, Initiator) + of(2, Responder);
    assert!(has >= 3 * SHARE, "the hub has lost {}", 3 * SHARE - has);
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
    held_up_for_nothing(true);
}

/// The same, where the accomplice does not even answer: each of the questions waits in the channel between the two hubs for as long as a peer has for an answer.
#[test]
fn a_channel_between_two_hubs_is_not_held_up_by_questions_that_nobody_answers() {
    held_up_for_nothing(false);
}

/// `pledges`: whether the accomplice pledges, or does not even answer.
fn held_up_for_nothing(pledges: bool) {
    // Initiator - hub - hub - responder.
    let mut net = Net::with(policy(), 4, &[(0, 1), (1, 2), (2, 3)]);
    corrupt(&mut net.links[0], Initiator);
    corrupt(&mut net.links[2], Responder);
    let (mut number, mut paid, mut held_up) = (0_u8, 0, 0_u32);
    let blocks = 60;
    for _ in 0..blocks {
        if net.links[2].sides[Responder].machine().outgoing_transfers().values().all(|row| row.is_decided()) {
            number += 1;
            ask_through_two(&mut net, number);
        }
        let has = net.links[1].sides[Responder].machine().state().unwrap().balances[Responder];
        if has == SHARE - paid {
            let _payment = net.links[1].pay(Responder, 1).unwrap();
            paid += 1;
        }
        net.tick(6_000);
        net.mine();
        while let Some(ready) = net.ready().first().copied() {
            // The responder lets every pledge of the hub's lapse.
            let is_lost = match ready {
                Ready::Message(0, Initiator) => !pledges,
                Ready::Message(2, Responder) => {
                    matches!(net.links[2].wire[Responder].front(), Some(Message::PledgeSigned { .. }))
                }
                _ => false,
            };
            match ready {
                Ready::Message(link, party) if is_lost => drop(net.links[link].wire[party].pop_front()),
                _ => net.step(ready),
            }
        }
        let has = net.links[1].sides[Responder].machine().state().unwrap().balances[Responder];
        held_up += u32::from(has > SHARE - paid);
    }
    let has = |link: usize, party: Party| net.links[link].sides[party].machine().state().unwrap().balances[party];
    assert_eq!((has(0, Initiator), has(2, Responder)), (SHARE, SHARE), "neither has locked a coin");
    assert!(held_up * 4 < blocks, "held up in {held_up} of {blocks} blocks; the accomplice pledges: {pledges}");
}

/// A responder asks a hub for a pledge, which is to be carried on by another one.
fn ask_through_two(net: &mut Net, number: u8) {
    let head = net.head();
    let (last, middle) = (head + LOCK - 1, head + LOCK - 1 - DELTA);
    let inner = carried(number, identity(0), head + 40, last, Vec::new()).instruction;
    let forward = Forward { next: identity(1), chain: None, amount: AMOUNT, expiry: head + 42, inner };
    let staked = StakedForward { forward, premium: PREMIUM, pledged_until: middle };
    let instruction = Instruction::ForwardStaked(staked).to_bytes().unwrap();
    let terms = TransferTerms { amount: AMOUNT, lock: lock(number), expiry: head + 44 };
    let offer = Offer { terms, premium: PREMIUM, calls: LockedCalls::NONE, instruction };
    ask(&mut net.links[2], Responder, number, offer, middle - DELTA);
}

/// *Sequence:* the responder shows the hub's pledge in its very last block: as a snapshot, with a close alone, or against a close of its own on the state before, while finality lags at
/// the hub as far as it tolerates, and the initiator is silent, or has closed as soon as it had pledged. *Right:* the hub has what it holds shown in time.
#[test]
fn a_pledge_that_is_shown_in_its_last_block_leaves_the_hub_time_to_show_its_own() {
    for how in 0..3 {
        for lag in 0..=2 {
            for closes in [false, true] {
                let gain = shown_last(how, lag, closes);
                assert!(gain >= 0, "by {how}, with a lag of {lag}, the initiator closes: {closes}: {gain}");
            }
        }
    }
}

fn shown_last(how: u8, lag: BlockNumber, closes: bool) -> i128 {
    use protocol::call::{Call, CloseSolo, Slash, SnapshotSolo};
    let mut net = against_a_hub();
    let before = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    net.lag[HUB] = lag;
    pass(&mut net, 1, &[]);
    let head = net.head();
    let (expiry, until) = (head + 50, head + 16);
    ask(&mut net.links[TO_R], Responder, 1, carried(1, identity(0), expiry, until, Vec::new()), until - DELTA);
    for (link, party) in [(TO_R, Initiator), (TO_I, Initiator), (TO_I, Responder)] {
        hear(&mut net, link, party);
    }
    // What its machine would show by itself is not shown.
    for call in ["channel_snapshot_solo", "channel_slash"] {
        let _new = net.links[TO_R].chain.censored.insert(call);
    }
    let old = net.links[TO_R].sides[Responder].machine().evidence().unwrap();
    hear(&mut net, TO_R, Responder);
    let machine = net.links[TO_R].sides[Responder].machine();
    let pledge = *machine.pledge().expect("the hub has pledged");
    let Some(Message::Update(update)) = net.links[TO_R].wire[Initiator].pop_back() else { panic!("proposed") };
    let channel = net.links[TO_R].channel_id();
    // The state that is pledged, as its owner knows it.
    let mut copy = net.links[TO_R].sides[Responder].clone();
    std::mem::swap(&mut copy, &mut net.links[TO_R].sides[Responder]);
    let signature = sign(Initiator, channel, &state_body(update.round, update.base, update.state_hash));
    net.links[TO_R].hear(Responder, Message::UpdateAck { round: update.round, signature });
    let commitment = net.links[TO_R].sides[Responder].machine().state().unwrap().commitment();
    net.links[TO_R].sides[Responder] = copy;
    net.links[TO_R].wire = protocol::Pair::default();
    if closes {
        let call = net.links[TO_I].sides[Initiator].machine().evidence().unwrap();
        net.links[TO_I].chain.submit(Initiator, Call::ChannelCloseSolo(call));
    }
    let silent = [(TO_I, Initiator), (TO_R, Initiator)];
    while net.head() + 1 < until - DELTA {
        if how == 2 && net.head() + 3 == until - DELTA {
            net.links[TO_R].chain.submit(Responder, Call::ChannelCloseSolo(old));
        }
        pass(&mut net, 1, &silent);
        net.links[TO_R].wire = protocol::Pair::default();
    }
    net.links[TO_R].chain.censored.clear();
    let call = match how {
        0 => Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: pledge }),
        1 => Call::ChannelCloseSolo(CloseSolo { channel, payload: Some(pledge), commitment }),
        _ => Call::ChannelSlash(Slash { channel, payload: pledge, commitment }),
    };
    net.links[TO_R].chain.submit(Responder, call);
    pass(&mut net, 300, &silent);
    let after = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    i128::try_from(after).unwrap() - i128::try_from(before).unwrap()
}

/// Numbers that look like chance.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// What a side has: outside of the channel, and in it.
pub(super) fn worth(link: &Link, party: Party) -> Amount {
    let inside = link.sides[party].machine().state().map_or(0, |state| state.balances[party]);
    link.chain.wealth(party) + if link.chain.is_closed() { 0 } else { inside }
}

/// One of the two who play against the hub does something.
fn misbehave(net: &mut Net, dice: &mut Dice, number: &mut u8, kept: &mut [Vec<protocol::call::CloseSolo>; 2]) {
    let head = net.head();
    let side = |link: usize| if link == TO_I { Initiator } else { Responder };
    match dice.roll(14) {
        0..=3 => {
            *number += 1;
            let until = head + 5 + BlockNumber::try_from(dice.roll(16)).unwrap();
            let expiry = until + 1 + BlockNumber::try_from(dice.roll(30)).unwrap();
            let lock_of = if dice.roll(5) == 0 { 1 } else { *number };
            let mut offer = carried(lock_of, identity(0), expiry, until, Vec::new());
            offer.terms.expiry += BlockNumber::try_from(dice.roll(3)).unwrap();
            let valid = until.saturating_sub(DELTA) + BlockNumber::from(dice.roll(6) == 0);
            let staked =
                TransferCommand::OfferStaked { key: key(*number), offer, pledged_until: valid, is_kept_back: false };
            let _taken = net.links[TO_R].command(Responder, Command::Transfer(staked));
        }
        4 => {
            let link = usize::try_from(dice.roll(2)).unwrap();
            if net.links[link].linked { net.cut(link) } else { net.connect(link) }
        }
        5 => {
            let link = usize::try_from(dice.roll(2)).unwrap();
            kept[link].extend(net.links[link].sides[side(link)].machine().evidence());
        }
        6 if dice.roll(4) == 0 => {
            let link = usize::try_from(dice.roll(2)).unwrap();
            let call = match kept[link].last() {
                Some(kept) if dice.roll(2) == 0 => Some(*kept),
                _ => net.links[link].sides[side(link)].machine().evidence(),
            };
            if let Some(call) = call {
                net.links[link].chain.submit(side(link), protocol::call::Call::ChannelCloseSolo(call));
            }
        }
        7 | 8 => {
            let machine = net.links[TO_I].sides[Initiator].machine();
            let rows: Vec<_> =
                machine.incoming_transfers().values().map(|row| (row.contract, row.terms.lock)).collect();
            if let Some((contract, of)) = rows.first().copied() {
                let opens = (0..=u8::MAX).find(|number| lock(*number) == of).unwrap();
                let reason = channel::transfer::FailReason(Vec::new());
                let end = match dice.roll(3) {
                    0 => TransferCommand::Fail { contract, reason },
                    _ => TransferCommand::Claim { contract, preimage: Preimage([opens; 32]) },
                };
                let _done = net.links[TO_I].command(Initiator, Command::Transfer(end));
            }
        }
        9 => {
            let (link, payer) = if dice.roll(2) == 0 { (TO_I, Initiator) } else { (TO_R, Responder) };
            let _paid = net.links[link].pay(payer, 1);
        }
        10 => {
            // A word is lost, with what comes after it.
            let link = usize::try_from(dice.roll(2)).unwrap();
            if net.links[link].linked {
                net.cut(link);
                net.connect(link);
            }
        }
        11 if dice.roll(3) == 0 => {
            let preimage = Preimage([*number; 32]);
            let call = protocol::call::Call::PreimageRegister { preimage, function: HashFunction::Sha2_256 };
            net.links[TO_I].chain.submit(Initiator, call);
        }
        _ => {}
    }
}

/// *Sequence:* whatever two dishonest ends do with their own machines, in any order: questions with any blocks, words kept back, closes on old states, lost connections,
/// claims and failures, while the hub crashes and finality lags as far as it tolerates. *Right:* the hub has no less than before.
#[test]
fn a_hub_loses_nothing_whatever_both_ends_do_in_whichever_order() {
    let seeds = std::env::var("ATTACK_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let mut lost = Vec::new();
    let mut locked = 0;
    for seed in 1..=seeds {
        let (gain, count) = game(seed);
        locked += count;
        if gain < 0 {
            lost.push((seed, gain));
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
    assert!(locked > 0, "nothing ever was locked");
}

fn game(seed: u64) -> (i128, usize) {
    let mut net = against_a_hub();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let before = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    let mut kept: [Vec<_>; 2] = Default::default();
    let (mut number, mut locked) = (1_u8, 0);
    // How willing each end is to hear.
    let mut hears = [true, true];
    for _ in 0..250 {
        match dice.roll(20) {
            0..=9 => {
                let ready = net.ready();
                let may = |ready: &&Ready| match ready {
                    Ready::Message(TO_I, Initiator) => hears[0],
                    Ready::Message(TO_R, Responder) => hears[1],
                    _ => true,
                };
                let ready: Vec<_> = ready.iter().filter(may).copied().collect();
                if !ready.is_empty() {
                    let at = usize::try_from(dice.roll(ready.len() as u64)).unwrap();
                    net.step(ready[at]);
                }
            }
            10..=12 => {
                // The hub's process is not slow.
                net.carry_out_all();
                for (link, party) in [(TO_I, Responder), (TO_R, Initiator)] {
                    while net.ready().contains(&Ready::Message(link, party)) {
                        net.step(Ready::Message(link, party));
                        net.carry_out_all();
                    }
                }
                net.lag[HUB] = BlockNumber::try_from(dice.roll(3)).unwrap().min(net.lag[HUB] + 1);
                net.tick(6_000);
                net.mine();
                net.carry_out_all();
            }
            13 => {
                let end = usize::try_from(dice.roll(2)).unwrap();
                hears[end] = !hears[end];
            }
            14 if dice.roll(3) == 0 => net.crash(HUB),
            15 if dice.roll(4) == 0 => net.tick(31_000),
            _ => misbehave(&mut net, &mut dice, &mut number, &mut kept),
        }
        locked += net.links[TO_I].sides[Initiator].machine().incoming_transfers().len();
    }
    net.lag[HUB] = 0;
    net.run();
    for _ in 0..160 {
        net.tick(6_000);
        net.mine();
        net.run();
    }
    let after = worth(&net.links[TO_I], Responder) + worth(&net.links[TO_R], Initiator);
    (i128::try_from(after).unwrap() - i128::try_from(before).unwrap(), locked)
}
