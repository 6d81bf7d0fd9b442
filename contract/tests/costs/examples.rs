//! The apps that ship, each in the middle of its life, and the call that a dispute is likely to be about.

use crate::harness::{UNIT, built};
use exchange::{Exchange, Holdings, Order, Side};
use hidden::{Choice, Hidden, Salt, Terms, commitment};
use milestones::{Milestone, Milestones};
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party,
    call::ForcedCall,
    contracts::{
        Code, Contract, ContractId, NativeApps,
        conditional::{HashFunction, Preimage},
    },
    crypto::{Crypto, Native},
};
use scale::Encode;
use stream::Stream;
use titles::{Lock, Title, Titles};

/// How many orders each side has open.
const ORDERS: u64 = 4;
/// No deadline comes while costs are measured.
const LATER: BlockNumber = 1_000;

/// One app.
pub(crate) struct Example {
    pub(crate) package: &'static str,
    /// What the call does.
    pub(crate) what: &'static str,
    pub(crate) contract: Contract,
    /// The initiator's.
    pub(crate) call: ForcedCall,
    /// Tells native apps that this code is the app.
    pub(crate) register: fn(&mut NativeApps, Hash),
}

/// All of them, each as the contract `id` of `channel`.
pub(crate) fn all(channel: &ChannelId, id: ContractId) -> [Example; 5] {
    let example = |package, what, state: Vec<u8>, input: Vec<u8>, register| {
        let code = Code::Contract(Native.hash(&built(package)));
        let contract = Contract { code, balance: UNIT, owner: Party::Initiator, state };
        Example { package, what, contract, call: ForcedCall { contract: id, value: 0, input }, register }
    };
    let stream = stream::State { payer: Party::Responder, rate: 1_000, end: None, paid_until: 0, is_stopped: false };
    let take = exchange::Input::Take { nonce: ORDERS, amount: 1, price: PRICE };
    let moves = Pair::new((Choice::Paper, Salt::from([1; 32])), (Choice::Rock, Salt::from([2; 32])));
    let claim = titles::Input::Claim { title: TITLES, preimage: SECRET };
    let show = hidden::Input::Reveal { choice: moves.initiator.0, salt: moves.initiator.1 };
    [
        example("stream", "collecting", stream.encode(), stream::Input::Collect.encode(), |apps, code| {
            apps.register::<Stream>(code);
        }),
        example("exchange", "taking one of eight orders", orders().encode(), take.encode(), |apps, code| {
            apps.register::<Exchange>(code);
        }),
        example("hidden", "showing a move", committed(channel, &id, &moves).encode(), show.encode(), |apps, code| {
            apps.register::<Hidden>(code);
        }),
        example(
            "milestones",
            "a refund, three left",
            parts().encode(),
            milestones::Input::Expire.encode(),
            |apps, code| {
                apps.register::<Milestones>(code);
            },
        ),
        example("titles", "claiming one of eight titles", register().encode(), claim.encode(), |apps, code| {
            apps.register::<Titles>(code);
        }),
    ]
}

/// Coins for a token.
const PRICE: Amount = 1_000;

fn orders() -> exchange::State {
    let tokens = ORDERS.into();
    let orders = (1..=ORDERS).flat_map(|nonce| {
        let order = |maker, side| Order { maker, nonce, side, amount: 1, price: PRICE, expiry: LATER };
        [order(Party::Initiator, Side::Buy), order(Party::Responder, Side::Sell)]
    });
    let locked = PRICE * Amount::from(ORDERS);
    let free = Pair::new(Holdings { coins: UNIT - locked, tokens }, Holdings { coins: 0, tokens });
    exchange::State { free, nonces: Pair::new(ORDERS, ORDERS), max_validity: LATER, orders: orders.collect() }
}

fn committed(channel: &ChannelId, id: &ContractId, moves: &Pair<(Choice, Salt)>) -> hidden::State {
    let hash = |party: Party| commitment(channel, id, 0, party, moves[party].0, &moves[party].1);
    let commitments = Pair::new(hash(Party::Initiator), hash(Party::Responder));
    hidden::State {
        terms: Terms { stake: UNIT / 2, patience: 30, games: 1 },
        stage: hidden::Stage::Revealing { commitments, shown: Pair::default() },
        deadline: LATER,
        played: 0,
        won: Pair::default(),
    }
}

/// How many titles there are; the last one is locked.
const TITLES: u32 = 8;
const SECRET: Preimage = Preimage([3; 32]);

fn register() -> titles::State {
    let lock = Lock { lock: SECRET.lock(HashFunction::Blake2b256, &Native), expiry: LATER };
    let title = |number| Title { number, owner: Party::Responder, lock: (number == TITLES).then_some(lock) };
    titles::State { titles: (1..=TITLES).map(title).collect() }
}

fn parts() -> milestones::State {
    let open = [1, LATER, LATER, LATER].map(|deadline| Milestone { amount: UNIT / 4, deadline });
    milestones::State { payer: Party::Initiator, is_funded: true, open: open.to_vec(), split: None }
}
