//! The apps under test, and what they are told.

use crate::harness::{TOO_MUCH_WORK, apps::hostile_call};
use counter::Counter;
use escrow::Escrow;
use exchange::Exchange;
use hidden::{Choice, Hidden};
use interpreter::{AppRefused, Interpreter};
use milestones::{Milestone, Milestones};
use proptest::{collection::vec, prelude::*};
use protocol::{
    Amount, ChannelId, Hash, Pair, Party,
    contracts::{
        App, AppOutcome, ContractId, NativeCall, NativeInit,
        conditional::{HashFunction, Preimage},
    },
    crypto::Native,
};
use scale::Encode;
use std::fmt::Debug;
use stream::Stream;
use titles::Titles;

/// An app: its native code, its Wasm, and what it is told.
pub(crate) struct Subject {
    pub(crate) wasm: &'static str,
    pub(crate) init: NativeInit,
    pub(crate) call: NativeCall,
    pub(crate) first: BoxedStrategy<Vec<u8>>,
    pub(crate) next: BoxedStrategy<Vec<u8>>,
    /// What a contract holds that begins with this input, where the app insists on it.
    pub(crate) holds: fn(&[u8]) -> Option<Amount>,
}

/// All of them.
pub(crate) fn all() -> Vec<Subject> {
    vec![
        Subject::of::<Counter>("counter", 1..200u64, small()),
        Subject::of::<Escrow>("escrow", escrow_begins(), escrow_goes_on()),
        Subject::of::<Stream>("stream", stream_begins(), stream_goes_on()),
        Subject::of::<Exchange>("exchange", exchange_begins(), exchange_goes_on()).holding(exchange_holds),
        Subject::of::<Hidden>("hidden", hidden_begins(), hidden_goes_on()).holding(hidden_holds),
        Subject::of::<Milestones>("milestones", milestones_begin(), milestones_go_on()).holding(milestones_hold),
        Subject::of::<Titles>("titles", titles_begin(), titles_go_on()).holding(|_input| Some(0)),
        hostile(),
    ]
}

impl Subject {
    /// An app with what begins it and what it is called with; each is also told the other, and bytes that are neither.
    fn of<A: App<Creation: Encode + Debug, Input: Encode + Debug>>(
        wasm: &'static str,
        first: impl Strategy<Value = A::Creation> + 'static,
        next: impl Strategy<Value = A::Input> + 'static,
    ) -> Self {
        let (first, next) = (encoded(first), encoded(next));
        Self {
            wasm,
            init: |context, input| Ok(A::init_bytes(context, input)),
            call: |context, state, input| Ok(A::call_bytes(context, state, input)),
            first: or_bytes(prop_oneof![12 => first.clone(), 1 => next.clone()]),
            next: or_bytes(prop_oneof![12 => next, 1 => first]),
            holds: |_input| None,
        }
    }

    fn holding(self, holds: fn(&[u8]) -> Option<Amount>) -> Self {
        Self { holds, ..self }
    }

    /// Has it interpreted; the hostile one is refused by its imports, and let in to be seen to fail.
    pub(crate) fn add(&self, interpreter: &Interpreter, wasm: &[u8]) -> Hash {
        interpreter.add(wasm).unwrap_or_else(|refused| {
            assert!(matches!(refused, AppRefused::ForbiddenImport { .. }) && self.wasm == "hostile", "{refused}");
            interpreter.add_with_any_imports_for_test_only(wasm).unwrap()
        })
    }
}

/// Bytes that are no app's.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 0..8_192)]
}

fn encoded<T: Encode + Debug>(meant: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Vec<u8>> {
    meant.prop_map(|meant| meant.encode()).boxed()
}

fn or_bytes(meant: impl Strategy<Value = Vec<u8>> + 'static) -> BoxedStrategy<Vec<u8>> {
    prop_oneof![15 => meant, 1 => bytes()].boxed()
}

fn small() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..20u64, 1 => any::<u64>()]
}

fn escrow_begins() -> impl Strategy<Value = escrow::Creation> {
    prop_oneof![8 => 0..400u32, 1 => any::<u32>()].prop_map(|deadline| escrow::Creation { deadline })
}

fn escrow_goes_on() -> impl Strategy<Value = escrow::Input> {
    let amount = || prop_oneof![8 => 0..60u128, 1 => any::<u128>()];
    prop_oneof![
        Just(escrow::Input::Issue),
        amount().prop_map(escrow::Input::Move),
        amount().prop_map(escrow::Input::Redeem),
    ]
}

fn party() -> impl Strategy<Value = Party> {
    prop::sample::select(Party::BOTH.to_vec())
}

fn coins() -> impl Strategy<Value = u128> {
    prop_oneof![8 => 0..60u128, 1 => any::<u128>()]
}

fn height() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..400u32, 1 => any::<u32>()]
}

fn stream_begins() -> impl Strategy<Value = stream::Creation> {
    (party(), 1..5u128, height(), prop::option::of(height())).prop_map(|(payer, rate, start, end)| stream::Creation {
        payer,
        rate,
        start,
        end,
    })
}

fn stream_goes_on() -> impl Strategy<Value = stream::Input> {
    prop_oneof![
        4 => Just(stream::Input::Collect),
        4 => Just(stream::Input::TopUp),
        1 => Just(stream::Input::Stop),
    ]
}

fn exchange_begins() -> impl Strategy<Value = exchange::Creation> {
    let holdings = || (coins(), coins()).prop_map(|(coins, tokens)| exchange::Holdings { coins, tokens });
    (holdings(), holdings(), 1..100u32)
        .prop_map(|(ours, theirs, max_validity)| exchange::Creation { holdings: Pair::new(ours, theirs), max_validity })
}

fn exchange_goes_on() -> impl Strategy<Value = exchange::Input> {
    use exchange::{Input, Side};
    let nonce = || 0..6u64;
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    prop_oneof![
        2 => Just(Input::Deposit),
        2 => coins().prop_map(Input::Withdraw),
        8 => (nonce(), side, 0..20u128, 0..5u128, height())
            .prop_map(|(nonce, side, amount, price, expiry)| Input::Place { nonce, side, amount, price, expiry }),
        8 => (nonce(), 0..20u128, 0..5u128).prop_map(|(nonce, amount, price)| Input::Take { nonce, amount, price }),
        2 => nonce().prop_map(|nonce| Input::Cancel { nonce }),
    ]
}

fn hidden_begins() -> impl Strategy<Value = hidden::Creation> {
    (coins(), 1..50u32, 1..6u8, any::<(bool, bool)>()).prop_map(|(stake, patience, games, (ours, theirs))| {
        hidden::Creation { terms: hidden::Terms { stake, patience, games }, joined: Pair::new(ours, theirs) }
    })
}

fn hidden_goes_on() -> impl Strategy<Value = hidden::Input> {
    use hidden::Input;
    // Few moves, so that some of them are shown as they were committed to.
    let choice = || prop_oneof![Just(Choice::Rock), Just(Choice::Scissors)];
    let salt = [7; 32];
    let commitment = (choice(), party(), 0..3u8).prop_map(move |(choice, party, game)| {
        hidden::commitment(&ChannelId([1; 32]), &ContractId([2; 32]), game, party, choice, &salt)
    });
    prop_oneof![
        2 => Just(Input::Join),
        6 => commitment.prop_map(Input::Commit),
        6 => choice().prop_map(move |choice| Input::Reveal { choice, salt }),
        2 => Just(Input::Claim),
    ]
}

fn exchange_holds(input: &[u8]) -> Option<Amount> {
    let exchange::Creation { holdings, .. } = protocol::decode_exact(input).ok()?;
    holdings.initiator.coins.checked_add(holdings.responder.coins)
}

fn hidden_holds(input: &[u8]) -> Option<Amount> {
    let hidden::Creation { terms, joined } = protocol::decode_exact(input).ok()?;
    terms.stake.checked_mul(u128::from(joined.initiator) + u128::from(joined.responder))
}

fn milestones_hold(input: &[u8]) -> Option<Amount> {
    let milestones::Creation { milestones, .. } = protocol::decode_exact(input).ok()?;
    milestones.iter().try_fold(0, |sum: Amount, milestone| sum.checked_add(milestone.amount))
}

fn milestones_begin() -> impl Strategy<Value = milestones::Creation> {
    let milestone = (1..60u128, 100..400u32).prop_map(|(amount, deadline)| Milestone { amount, deadline });
    let few = prop_oneof![4 => 1..5usize, 1 => 0..40usize].prop_flat_map(move |count| vec(milestone.clone(), count));
    (party(), few, 0..8u8).prop_map(|(payer, mut milestones, sorted)| {
        if sorted > 0 {
            milestones.sort_by_key(|milestone| milestone.deadline);
        }
        milestones::Creation { payer, milestones }
    })
}

fn milestones_go_on() -> impl Strategy<Value = milestones::Input> {
    use milestones::Input;
    prop_oneof![
        2 => Just(Input::Fund),
        4 => (0..4u32).prop_map(|count| Input::Release { count }),
        1 => Just(Input::Decline),
        2 => Just(Input::Expire),
        2 => (coins(), height()).prop_map(|(to_payee, expiry)| Input::Propose { to_payee, expiry }),
        1 => Just(Input::Withdraw),
        2 => coins().prop_map(|to_payee| Input::Accept { to_payee }),
    ]
}

fn titles_begin() -> impl Strategy<Value = titles::Creation> {
    let few = prop_oneof![8 => 1..8usize, 1 => 250..260usize];
    (few.prop_flat_map(|count| vec(party(), count)), 0..8u8).prop_map(|(owners, reversed)| {
        let mut titles: titles::Creation = (0..).zip(owners).collect();
        if reversed == 0 {
            titles.reverse();
        }
        titles
    })
}

fn titles_go_on() -> impl Strategy<Value = titles::Input> {
    use titles::Input;
    let title = || prop_oneof![8 => 0..4u32, 1 => any::<u32>()];
    let preimage = || prop_oneof![Just(Preimage([1; 32])), Just(Preimage([2; 32]))];
    let function = prop_oneof![Just(HashFunction::Blake2b256), Just(HashFunction::Sha2_256)];
    let lock = (preimage(), function).prop_map(|(preimage, function)| preimage.lock(function, &Native));
    prop_oneof![
        1 => title().prop_map(|title| Input::Give { title }),
        4 => (title(), lock, height()).prop_map(|(title, lock, expiry)| Input::Lock { title, lock, expiry }),
        // Whether it is the right one is for the arbiter to say.
        3 => (title(), preimage()).prop_map(|(title, preimage)| Input::Claim { title, preimage }),
        3 => title().prop_map(|title| Input::Return { title }),
    ]
}

/// The app that misbehaves. What its native form says is what the arbiter's own tests expect of it.
fn hostile() -> Subject {
    use hostile::Input;
    let size = || prop_oneof![4 => 0..2_000u32, 2 => 15_000..66_000u32, 1 => any::<u32>()];
    let next = prop_oneof![
        20 => Just(Input::Behave),
        4 => Just(Input::Trap),
        1 => Just(Input::Loop),
        4 => Just(Input::Garbage),
        4 => Just(Input::Silence),
        4 => Just(Input::Trailing),
        20 => size().prop_map(Input::State),
        20 => size().prop_map(Input::Output),
        8 => any::<(u128, u128)>().prop_map(|(initiator, responder)| Input::Pay(initiator, responder)),
        4 => (any::<[u8; 4]>(), bytes()).prop_map(|(selector, arguments)| Input::CallBack { selector, arguments }),
        4 => Just(Input::Write),
        4 => Just(Input::Announce),
        4 => Just(Input::Send),
        4 => Just(Input::Terminate),
        4 => any::<[u8; 32]>().prop_map(Input::ChangeCode),
        8 => size().prop_map(Input::Refuse),
        4 => Just(Input::TakeMemory),
        8 => Just(Input::RevertWithOutcome),
        8 => (0..TOO_MUCH_WORK / 100).prop_map(Input::Work),
    ];
    Subject {
        wasm: "hostile",
        init: |_context, input| Ok(Ok(AppOutcome { state: input.to_vec(), ..AppOutcome::default() })),
        call: hostile_call,
        first: bytes().boxed(),
        next: or_bytes(encoded(next)),
        holds: |_input| None,
    }
}
