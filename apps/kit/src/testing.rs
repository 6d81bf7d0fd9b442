//! A bench to try an app on: it calls the app by bytes, through the very function that the arbiter and the peers run, and keeps the books.
//!
//! ```
//! use app_kit::{Amount, App, AppContext, Pair, Party, testing::{Bench, Refusal}};
//!
//! /// Keeps what is attached; whoever calls with `true` gets all of it.
//! struct Pot;
//!
//! impl App for Pot {
//!     type State = ();
//!     type Creation = ();
//!     type Input = bool;
//!     type Output = ();
//!     type Error = u8;
//!
//!     fn init(_context: &AppContext, _creation: ()) -> Result<(), u8> {
//!         Ok(())
//!     }
//!
//!     fn call(context: &AppContext, _state: &mut (), takes: bool) -> Result<(Pair<Amount>, ()), u8> {
//!         let mut payouts = Pair::default();
//!         match (takes, context.value) {
//!             (true, 0) => payouts[context.caller] = context.balance,
//!             (false, 1..) => {}
//!             _ => return Err(7),
//!         }
//!         Ok((payouts, ()))
//!     }
//! }
//!
//! let mut bench = Bench::<Pot>::create(Party::Initiator, Pair::default(), 100, ()).unwrap();
//! bench.pay(Party::Initiator, 30, false).unwrap();
//! bench.assert_refused(Party::Responder, 0, false, 7);
//! let done = bench.at(101).call(Party::Responder, true).unwrap();
//! assert_eq!(done.payouts, Pair::new(0, 30));
//! assert_eq!((bench.balance(), bench.gained(Party::Responder)), (0, 30));
//! ```
//!
//! What an app requires of a hash lock (R7.1a) is checked as well, against what [`Bench::show`] and earlier calls have shown: `apps/titles` is tested so.

pub use protocol::{contracts::CallFault, crypto::Native};

use core::{fmt, marker::PhantomData};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round,
    contracts::{
        App, AppContext, AppReply, Code, Contract, ContractId, Executor, Invocation, MAX_STATE,
        conditional::{HashLock, Preimage},
        execute,
    },
    crypto::Crypto,
    decode_exact,
};
use scale::{Decode, Encode};
use std::collections::BTreeMap;

/// The channel in which every bench's contract lives.
pub const CHANNEL: ChannelId = ChannelId([1; 32]);
/// The id of every bench's contract.
pub const CONTRACT: ContractId = ContractId([2; 32]);

/// One contract in one channel, and what it took and gave.
///
/// It panics where the app does what no app may, whatever it is called with: pay out more than it holds, grow its state beyond
/// [`MAX_STATE`] or an output beyond [`MAX_OUTPUT`](protocol::contracts::MAX_OUTPUT), or answer the same call in two ways. So a test that only throws calls at an app is a test already.
pub struct Bench<A> {
    contract: Contract,
    round: Round,
    height: BlockNumber,
    attached: Pair<Amount>,
    paid: Pair<Amount>,
    shown: BTreeMap<HashLock, BlockNumber>,
    app: PhantomData<fn() -> A>,
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<O> {
    /// Coins that went to the parties.
    pub payouts: Pair<Amount>,
    /// The answer to the caller.
    pub output: O,
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// The app said no.
    App(E),
    /// The bytes are not exactly one creation, or one state and one input.
    Undecodable,
    /// What the app required of a hash lock is not so (R7.1a).
    Requirement(CallFault),
}

impl<A: App> Bench<A> {
    /// A new contract: agreed by both, so its first `coins` may come from both. What the app sees as `value` is all of them.
    ///
    /// # Errors
    /// The app's own.
    pub fn create(
        owner: Party,
        coins: Pair<Amount>,
        height: BlockNumber,
        creation: A::Creation,
    ) -> Result<Self, Refusal<A::Error>>
    where
        A::Creation: Encode,
        A::Error: Decode,
    {
        Self::create_bytes(owner, coins, height, &creation.encode())
    }

    /// A new contract by bytes: what a hostile peer may have it begin with.
    ///
    /// # Errors
    /// The app's own.
    pub fn create_bytes(
        owner: Party,
        coins: Pair<Amount>,
        height: BlockNumber,
        creation: &[u8],
    ) -> Result<Self, Refusal<A::Error>>
    where
        A::Error: Decode,
    {
        let balance = coins.sum().expect("the coins of a channel fit the number range");
        let round = 2;
        let context =
            AppContext { channel: CHANNEL, contract: CONTRACT, round, caller: owner, value: balance, balance, height };
        let reply = A::init_bytes(&context, creation);
        assert_eq!(reply, A::init_bytes(&context, creation), "the same creation had two outcomes");
        let outcome = reply.map_err(refusal)?;
        assert!(outcome.state.len() <= MAX_STATE, "a state of {} bytes; {MAX_STATE} are allowed", outcome.state.len());
        let contract = Contract { code: Code::Contract(Hash::ZERO), balance, owner, state: outcome.state };
        Ok(Self {
            contract,
            round,
            height,
            attached: coins,
            paid: Pair::default(),
            shown: BTreeMap::new(),
            app: PhantomData,
        })
    }

    /// Says at which height the next calls are made. It may go back: heights of calls fluctuate by a window (R7.3).
    pub fn at(&mut self, height: BlockNumber) -> &mut Self {
        self.height = height;
        self
    }

    /// Says that the pre-image of a lock was first shown on chain in this block. What was shown before, by a call or in this way, counts instead.
    pub fn show(&mut self, lock: HashLock, block: BlockNumber) -> &mut Self {
        let _first = self.shown.entry(lock).or_insert(block);
        self
    }

    /// A call with no coins attached.
    ///
    /// # Errors
    /// The app's own; nothing has happened then.
    pub fn call(&mut self, caller: Party, input: A::Input) -> Result<Done<A::Output>, Refusal<A::Error>>
    where
        A::Input: Encode,
        A::Output: Decode,
        A::Error: Decode,
    {
        self.pay(caller, 0, input)
    }

    /// A call to which the caller attaches coins.
    ///
    /// # Errors
    /// The app's own; nothing has happened then.
    pub fn pay(&mut self, caller: Party, value: Amount, input: A::Input) -> Result<Done<A::Output>, Refusal<A::Error>>
    where
        A::Input: Encode,
        A::Output: Decode,
        A::Error: Decode,
    {
        let done = self.pay_bytes(caller, value, &input.encode())?;
        let output = decode_exact(&done.output).expect("an output decodes as what it is");
        Ok(Done { payouts: done.payouts, output })
    }

    /// A call by bytes: what a hostile peer may say.
    ///
    /// # Errors
    /// The app's own; nothing has happened then.
    pub fn pay_bytes(&mut self, caller: Party, value: Amount, input: &[u8]) -> Result<Done<Vec<u8>>, Refusal<A::Error>>
    where
        A::Error: Decode,
    {
        let round = self.round.saturating_add(1);
        let call = Invocation {
            channel: CHANNEL,
            contract: CONTRACT,
            round,
            caller,
            value,
            height: self.height,
            input,
            app: None,
        };
        let mut contract = self.contract.clone();
        let mut surroundings = Surroundings::<A> { error: None, shown: self.shown.clone(), app: PhantomData };
        let executed = match execute(&mut surroundings, &mut contract, &call) {
            Ok(executed) => executed,
            Err(CallFault::Refused) => return Err(refusal(surroundings.error.unwrap_or_default())),
            Err(
                fault @ (CallFault::WrongPreimage
                | CallFault::TooLate { .. }
                | CallFault::TooEarly { .. }
                | CallFault::ShownInTime),
            ) => return Err(Refusal::Requirement(fault)),
            Err(fault) => panic!("what no app may do: {fault}"),
        };
        let mut again = self.contract.clone();
        let repeated = execute(&mut surroundings, &mut again, &call);
        assert_eq!((Ok(&executed), &contract), (repeated.as_ref(), &again), "the same call had two outcomes");
        self.contract = contract;
        self.shown = surroundings.shown;
        self.round = round;
        add(&mut self.attached[caller], value);
        Party::BOTH.into_iter().for_each(|party| add(&mut self.paid[party], executed.payouts[party]));
        Ok(Done { payouts: executed.payouts, output: executed.output })
    }

    /// Makes a call that has to be refused with `error`.
    ///
    /// # Panics
    /// Where it is not, or for another reason.
    pub fn assert_refused(&mut self, caller: Party, value: Amount, input: A::Input, error: A::Error)
    where
        A::Input: Encode,
        A::Output: Decode + fmt::Debug + PartialEq,
        A::Error: Decode + fmt::Debug + PartialEq,
    {
        self.assert_refused_by(caller, value, input, Refusal::App(error));
    }

    /// Makes a call with no coins that has to come to nothing because of what the app requires of a hash lock.
    ///
    /// # Panics
    /// Where it does not, or for another reason.
    pub fn assert_unmet(&mut self, caller: Party, input: A::Input, fault: CallFault)
    where
        A::Input: Encode,
        A::Output: Decode + fmt::Debug + PartialEq,
        A::Error: Decode + fmt::Debug + PartialEq,
    {
        self.assert_refused_by(caller, 0, input, Refusal::Requirement(fault));
    }

    fn assert_refused_by(&mut self, caller: Party, value: Amount, input: A::Input, refusal: Refusal<A::Error>)
    where
        A::Input: Encode,
        A::Output: Decode + fmt::Debug + PartialEq,
        A::Error: Decode + fmt::Debug + PartialEq,
    {
        let before = (self.contract.clone(), self.attached, self.paid, self.shown.clone());
        assert_eq!(self.pay(caller, value, input), Err(refusal));
        let after = (self.contract.clone(), self.attached, self.paid, self.shown.clone());
        assert_eq!(before, after, "a refused call changed something");
    }

    /// What the app remembers.
    pub fn state(&self) -> A::State {
        decode_exact(&self.contract.state).expect("a state decodes as what it is")
    }
}

impl<A> Bench<A> {
    /// At which height calls are made.
    pub const fn height(&self) -> BlockNumber {
        self.height
    }

    /// How many bytes the state takes, of [`MAX_STATE`].
    pub const fn state_len(&self) -> usize {
        self.contract.state.len()
    }

    /// What the contract holds.
    pub const fn balance(&self) -> Amount {
        self.contract.balance
    }

    /// What each party has put in so far, at creation and by calls.
    pub const fn attached(&self) -> Pair<Amount> {
        self.attached
    }

    /// What each party has been paid so far.
    pub const fn paid(&self) -> Pair<Amount> {
        self.paid
    }

    /// By how much a party has been paid more than it put in; negative where it put in more.
    pub fn gained(&self, party: Party) -> i128 {
        let signed = |amount: Amount| i128::try_from(amount).expect("tests use amounts below half the number range");
        signed(self.paid[party]).saturating_sub(signed(self.attached[party]))
    }
}

/// A copy goes its own way: try one call, then another instead of it.
impl<A> Clone for Bench<A> {
    fn clone(&self) -> Self {
        Self { contract: self.contract.clone(), shown: self.shown.clone(), app: PhantomData, ..*self }
    }
}

impl<A: App<State: fmt::Debug>> fmt::Debug for Bench<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("height", &self.height)
            .field("balance", &self.contract.balance)
            .field("attached", &self.attached)
            .field("paid", &self.paid)
            .field("state", &self.state())
            .finish()
    }
}

fn add(total: &mut Amount, amount: Amount) {
    *total = total.checked_add(amount).expect("the coins of a test fit the number range");
}

/// An app's error as it was; no bytes at all stand for a creation or a call that does not decode.
fn refusal<E: Decode>(error: Vec<u8>) -> Refusal<E> {
    if error.is_empty() {
        return Refusal::Undecodable;
    }
    Refusal::App(decode_exact(&error).expect("an error decodes as what it is"))
}

/// What an app has around it on the bench: itself.
struct Surroundings<A> {
    error: Option<Vec<u8>>,
    shown: BTreeMap<HashLock, BlockNumber>,
    app: PhantomData<fn() -> A>,
}

impl<A> Crypto for Surroundings<A> {
    fn hash(&self, bytes: &[u8]) -> Hash {
        Native.hash(bytes)
    }

    fn sha2_256(&self, bytes: &[u8]) -> Hash {
        Native.sha2_256(bytes)
    }
}

impl<A: App> Executor for Surroundings<A> {
    fn call_app(
        &mut self,
        _code: &Hash,
        _at: Option<&AccountId>,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<AppReply, CallFault> {
        let reply = A::call_bytes(context, state, input);
        self.error = reply.as_ref().err().cloned();
        Ok(reply)
    }

    fn shown_at(&self, lock: &HashLock) -> Option<BlockNumber> {
        self.shown.get(lock).copied()
    }

    fn show(&mut self, lock: &HashLock, _preimage: &Preimage, now: BlockNumber) -> BlockNumber {
        *self.shown.entry(*lock).or_insert(now)
    }
}

#[cfg(test)]
mod requirements;

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Does as it is told.
    struct Puppet;

    #[derive(Clone, Debug, Encode, Decode)]
    enum Order {
        #[codec(index = 0)]
        Pay(Amount, Amount),
        #[codec(index = 1)]
        Grow(u32),
        #[codec(index = 2)]
        Dice,
        #[codec(index = 3)]
        Refuse(u8),
        #[codec(index = 4)]
        Height,
    }

    impl App for Puppet {
        type State = Vec<u8>;
        /// How long the first state is, or why there is none.
        type Creation = Result<u32, u8>;
        type Input = Order;
        type Output = u64;
        type Error = u8;

        fn init(_context: &AppContext, creation: Result<u32, u8>) -> Result<Vec<u8>, u8> {
            creation.map(|bytes| vec![0; bytes as usize])
        }

        fn call(context: &AppContext, state: &mut Vec<u8>, input: Order) -> Result<(Pair<Amount>, u64), u8> {
            static ROLLS: AtomicU64 = AtomicU64::new(0);
            match input {
                Order::Pay(initiator, responder) => return Ok((Pair::new(initiator, responder), 0)),
                Order::Grow(bytes) => state.resize(bytes as usize, 0),
                Order::Dice => return Ok((Pair::default(), ROLLS.fetch_add(1, Ordering::Relaxed))),
                Order::Refuse(error) => {
                    state.push(1);
                    return Err(error);
                }
                Order::Height => return Ok((Pair::default(), context.height.into())),
            }
            Ok((Pair::default(), 0))
        }
    }

    fn bench() -> Bench<Puppet> {
        Bench::create(Party::Initiator, Pair::new(10, 5), 100, Ok(0)).unwrap()
    }

    #[test]
    fn the_books_hold_what_came_in_and_what_went_out() {
        let mut bench = bench();
        let done = bench.pay(Party::Responder, 7, Order::Pay(4, 9)).unwrap();
        assert_eq!(done.payouts, Pair::new(4, 9));
        assert_eq!((bench.attached(), bench.paid(), bench.balance()), (Pair::new(10, 12), Pair::new(4, 9), 9));
        assert_eq!((bench.gained(Party::Initiator), bench.gained(Party::Responder)), (-6, -3));
    }

    #[test]
    fn calls_are_made_at_the_height_that_was_set_also_a_lower_one() {
        let mut bench = bench();
        let heights =
            [100, 250, 90].map(|height| bench.at(height).call(Party::Initiator, Order::Height).unwrap().output);
        assert_eq!(heights, [100, 250, 90]);
    }

    #[test]
    fn a_refusal_brings_the_apps_error_and_changes_nothing() {
        bench().assert_refused(Party::Initiator, 3, Order::Refuse(9), 9);
        let created = Bench::<Puppet>::create(Party::Initiator, Pair::default(), 1, Err(4));
        assert_eq!(created.err(), Some(Refusal::App(4)));
    }

    #[test]
    fn bytes_that_are_not_exactly_one_creation_or_one_call_are_refused_with_no_error_of_the_apps() {
        let create = |bytes: &[u8]| Bench::<Puppet>::create_bytes(Party::Initiator, Pair::default(), 1, bytes);
        let creation = Ok::<u32, u8>(9).encode();
        assert_eq!(create(&creation).unwrap().state(), [0; 9]);
        let call = Order::Height.encode();
        assert_eq!(bench().pay_bytes(Party::Initiator, 0, &call).unwrap().output, 100_u64.encode());
        let damaged = |bytes: &[u8]| [Vec::new(), bytes[1..].to_vec(), [bytes, &[0]].concat(), vec![250]];
        for bytes in damaged(&creation).into_iter().chain([creation[..4].to_vec(), call.clone()]) {
            assert_eq!(create(&bytes).err(), Some(Refusal::Undecodable), "{bytes:?}");
        }
        for bytes in damaged(&call).into_iter().chain([creation]) {
            assert_eq!(bench().pay_bytes(Party::Initiator, 0, &bytes), Err(Refusal::Undecodable), "{bytes:?}");
        }
    }

    #[test]
    #[should_panic(expected = "holds 15 and would pay out more")]
    fn an_app_that_pays_more_than_it_holds_is_found() {
        let _done = bench().call(Party::Initiator, Order::Pay(8, 8));
    }

    #[test]
    #[should_panic(expected = "longer than allowed")]
    fn an_app_whose_state_outgrows_the_limit_is_found() {
        let _done = bench().call(Party::Initiator, Order::Grow(16 * 1024));
    }

    #[test]
    #[should_panic(expected = "16384 are allowed")]
    fn an_app_whose_first_state_is_too_long_is_found() {
        let _bench = Bench::<Puppet>::create(Party::Initiator, Pair::default(), 1, Ok(16 * 1024));
    }

    #[test]
    #[should_panic(expected = "two outcomes")]
    fn an_app_that_rolls_dice_is_found() {
        let _done = bench().call(Party::Initiator, Order::Dice);
    }

    #[test]
    #[should_panic(expected = "App(3)")]
    fn a_refusal_for_another_reason_than_the_expected_one_is_found() {
        bench().assert_refused(Party::Initiator, 0, Order::Refuse(3), 9);
    }
}
