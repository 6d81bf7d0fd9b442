//! The router: one for a process, across chains (D8).

mod claims;
mod claims_due;
mod forward;
mod guard;
mod io;
mod offers;
mod parts;
mod payments;
mod pledge_deltas;
mod policy;
mod receive;
mod recover;
mod requests;
mod rows;
mod stakes;
mod staking;
mod state;
mod swap_requests;
mod swaps;
mod tables;
mod terms;

pub use guard::HubLoad;
pub use io::{
    At, CommandRefusal, Millis, Origin, Restored, RestoredChannel, RouterInput, RouterNotice, RouterOutput, RowKey,
};
pub use payments::{PayError, PaymentState};
pub use policy::{ChainPolicy, RoutingPolicy, SwapPolicy};
pub use requests::{Earned, InvoiceRequest, InvoiceState, Opening, ReceiveError, Spontaneous};
pub use swaps::kinds::{SwapError, SwapEvent, SwapOrder, SwapOutcome, SwapRole, SwapStage, SwapState};

use crate::{
    announce::{Announcement, AnnouncementError},
    invoice::{Invoice, InvoiceError},
    keys::{OfferName, PaymentId},
    seal::SealKey,
};
use channel::{
    IdempotencyKey,
    transfer::{Offer, Registered, Stake, TransferCommand, TransferEvent, TransferTerms, Verdict},
};
use claims::Claims;
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    crypto::{Native, SigningKey},
    signing::Domain,
};
use state::{Core, Heads};
use swaps::{clear, early, legs, negotiate, restored};
use tables::{Reached, Source};

/// Carries transfers on, pays and is paid: see the crate's page for what its shell owes to it.
#[derive(Debug)]
pub struct Router {
    core: Core,
}

impl Router {
    /// A router that knows nothing yet: [`RouterInput::Restored`] comes first. Both keys are made from the identity's seed.
    #[must_use]
    pub fn new(identity: SigningKey, seal: SealKey, policy: RoutingPolicy) -> Self {
        Self { core: Core::new(identity, seal, policy) }
    }

    /// Takes an input in, and says what is to be done, in order.
    #[must_use]
    pub fn handle(&mut self, input: RouterInput) -> Vec<RouterOutput> {
        let core = &mut self.core;
        match input {
            RouterInput::Restored(restored) => recover::restored(core, restored),
            RouterInput::Transfer(at, event) => on_transfer(core, at, event),
            RouterInput::ChannelUp { at, peer, limits } => {
                let link = core.link(at, peer);
                (link.is_up, link.is_fresh, link.limits) = (true, true, limits);
                terms::changed(core, at.chain);
                negotiate::peer_up(core, at.chain, peer);
            }
            RouterInput::ChannelDown(at) => {
                if let Some(link) = core.links.get_mut(&at) {
                    link.is_up = false;
                }
            }
            RouterInput::Spendable { at, amount, risked } => on_spendable(core, at, amount, risked),
            RouterInput::Pledges { at, last } => {
                if let Some(link) = core.links.get_mut(&at) {
                    link.pledges = last;
                }
            }
            RouterInput::ChannelClosed(at) => {
                core.links.remove(&at);
                terms::changed(core, at.chain);
            }
            RouterInput::Head { chain, best, finalised } => on_head(core, chain, best, finalised),
            RouterInput::Shown { chain, lock, preimage, at } => on_shown(core, chain, lock, preimage, at),
            RouterInput::Refused { at, command, why } => on_refused(core, at, command, why),
            RouterInput::Tick(now) => {
                core.now = core.now.max(now);
                receive::tick(core);
                recover::look_again(core);
                negotiate::tick(core);
                terms::tick(core);
            }
            RouterInput::Swap { chain, peer, bytes } => negotiate::heard(core, chain, peer, &bytes),
            // What cannot be taken is as if it had not been said; `read_announcement` says why.
            RouterInput::Announced { peer, bytes } => drop(terms::heard(core, &peer, &bytes)),
        }
        let unused = core.transfers.take_unused();
        core.sweep(unused);
        core.take_outputs()
    }

    /// Whether the peer may claim the own transfer of this key now (A2): where it goes on from another one, if that one is safe; of a payment, as
    /// long as it is in time. `registered` is what the registry of the channel's own arbiter has of the lock.
    #[must_use]
    pub fn may_be_claimed(
        &self,
        at: &At,
        key: &IdempotencyKey,
        terms: &TransferTerms,
        registered: Registered,
    ) -> Verdict {
        let core = &self.core;
        let best = core.best(&at.chain);
        if registered.is_shown_before(terms.expiry) {
            return Verdict::Agree;
        }
        if !core.heads.contains_key(&at.chain) {
            // Just started: whether there is time is not known before a block was shown.
            return Verdict::NotYet;
        }
        let own = || if best < terms.expiry { Verdict::Agree } else { late(registered, terms.expiry) };
        let origins = match OfferName::read(key) {
            Some(OfferName::Forward(channel, contract)) => match core.transfers.named(channel, contract) {
                Some(origin) => vec![origin],
                None => {
                    // One that has ended was claimed, or could not be any more. One that cannot be read expires later than what went on.
                    let least = terms.expiry.saturating_add(forward::LEAST_DELTA);
                    let margin = core.policy.chain(&at.chain).margins.forward();
                    let is_in_time = !forward::is_of_unread(core, key) || best < least.saturating_sub(margin);
                    return if is_in_time { own() } else { late(registered, terms.expiry) };
                }
            },
            Some(OfferName::Leg(id, _)) => match legs::origins_of(core, id) {
                Some(origins) => origins,
                // Its row, and what came in, are in a store that has not joined; or nothing can be said of what came in.
                None => return late(registered, terms.expiry),
            },
            Some(OfferName::Part(..)) | None => Vec::new(),
        };
        let is_safe = |origin: &Origin| {
            let Some(entry) = core.transfers.incoming(origin) else { return best < terms.expiry };
            let upstream = origin.at.chain;
            let shown = core.transfers.lock(&terms.lock).and_then(|used| used.shown.get(&upstream));
            let margin = core.policy.chain(&upstream).margins.forward();
            shown.is_some_and(|block| *block < entry.terms.expiry)
                || (upstream == at.chain && registered.is_shown_before(entry.terms.expiry))
                || core.best(&upstream) < entry.terms.expiry.saturating_sub(margin)
        };
        if origins.is_empty() {
            return own();
        }
        if origins.iter().all(is_safe) { Verdict::Agree } else { late(registered, terms.expiry) }
    }

    /// Whether this side loses coins where it is not paid for a transfer of the peer's that it claims: only then is its pre-image worth a registration (B1).
    #[must_use]
    pub fn is_owed(&self, at: &At, contract: &ContractId) -> bool {
        self.core.is_owed(&Origin { at: *at, contract: *contract })
    }

    /// Whether this side stakes the premium of an offer beside it, which would make this contract (A7, R6.5d, R8.5h).
    #[must_use]
    pub fn stakes(&self, at: &At, contract: &ContractId, offer: &Offer) -> Stake {
        staking::stakes(&self.core, &Origin { at: *at, contract: *contract }, offer)
    }

    /// Whether this side takes an offer with these calls of apps (R8.3g).
    #[must_use]
    pub fn takes_calls(&self, at: &At, offer: &Offer) -> bool {
        legs::takes_calls(&self.core, at, offer)
    }

    /// A pre-image that the router knows, for the channels' transfer books.
    #[must_use]
    pub fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        self.core.transfers.lock(lock)?.preimage
    }

    /// The locks in use of which the router does not know all that a chain's registry may have: what that has is to be told by [`RouterInput::Shown`], with each block.
    #[must_use]
    pub fn unseen(&self, chain: Domain) -> Vec<HashLock> {
        self.core.transfers.unseen(chain)
    }

    /// Takes another policy from now on; peers are told.
    #[must_use]
    pub fn configure(&mut self, policy: RoutingPolicy) -> Vec<RouterOutput> {
        self.core.policy = policy;
        for chain in self.core.links.chains() {
            terms::changed(&mut self.core, chain);
        }
        self.core.take_outputs()
    }

    /// What holds now.
    #[must_use]
    pub const fn policy(&self) -> &RoutingPolicy {
        &self.core.policy
    }

    /// Pays an invoice, once by this id: asked again, it says how far the payment is. `amount` is given where the invoice asks for any, or to pay
    /// more. `seed` is drawn at random, and kept.
    ///
    /// # Errors
    /// [`PayError`]; nothing is kept then.
    pub fn pay(
        &mut self,
        id: PaymentId,
        invoice: &Invoice,
        amount: Option<Amount>,
        max_fee: Amount,
        seed: [u8; 32],
    ) -> Result<(PaymentState, Vec<RouterOutput>), PayError> {
        let order = requests::order(invoice, amount, max_fee)?;
        if !self.core.payments.contains_key(&id) {
            invoice.check(&self.chain_of(invoice)?, self.core.seconds())?;
        }
        let state = payments::pay(&mut self.core, id, order, seed)?;
        Ok((state, self.core.take_outputs()))
    }

    /// Pays somebody who has not asked for it, once by this id. `seed` is drawn at random, and kept.
    ///
    /// # Errors
    /// [`PayError`]; nothing is kept then.
    pub fn pay_spontaneously(
        &mut self,
        id: PaymentId,
        payment: Spontaneous,
        seed: [u8; 32],
    ) -> Result<(PaymentState, Vec<RouterOutput>), PayError> {
        let order = requests::spontaneous(payment, &seed)?;
        let state = payments::pay(&mut self.core, id, order, seed)?;
        Ok((state, self.core.take_outputs()))
    }

    /// How far a payment is; none where it was never begun, is forgotten, or cannot be read. A router that is [ahead](Self::is_ahead) says of none that it has
    /// failed: by what is stored it may yet be made.
    #[must_use]
    pub fn payment(&self, id: &PaymentId) -> Option<PaymentState> {
        let state = self.core.payments.get(id).map(|paying| paying.row.state.into())?;
        let is_unsure = self.core.is_ahead && matches!(state, PaymentState::Failed(_));
        Some(if is_unsure { PaymentState::Pending } else { state })
    }

    /// What this router said last is kept by no store, and cannot be: whoever was to keep it has broken down. Until it is built again from the stores (B9) it
    /// claims and registers what it has pre-images of, and does nothing else: it offers nothing, gives nothing back, forgets and writes nothing.
    pub fn get_ahead(&mut self) {
        self.core.is_ahead = true;
        self.core.outputs.clear();
    }

    /// Whether it is ahead of what the stores have: see [`get_ahead`](Self::get_ahead).
    #[must_use]
    pub const fn is_ahead(&self) -> bool {
        self.core.is_ahead
    }

    /// Forgets a payment that is over: asked for again by its id it would be made again. None where it is under way, or unknown.
    #[must_use]
    pub fn forget_payment(&mut self, id: PaymentId) -> Option<Vec<RouterOutput>> {
        payments::forget(&mut self.core, id).then(|| self.core.take_outputs())
    }

    /// Asks to be paid. The text may be given away once the row is durable.
    ///
    /// # Errors
    /// [`ReceiveError`]; nothing is kept then.
    pub fn add_invoice(
        &mut self,
        request: InvoiceRequest,
    ) -> Result<(Invoice, String, Vec<RouterOutput>), ReceiveError> {
        let (invoice, text) = requests::add_invoice(&mut self.core, request)?;
        Ok((invoice, text, self.core.take_outputs()))
    }

    /// How far an invoice is; none where there is none, or it cannot be read.
    #[must_use]
    pub fn invoice(&self, lock: &HashLock) -> Option<InvoiceState> {
        requests::invoice_state(&self.core, lock)
    }

    /// Takes what is held for an invoice.
    ///
    /// # Errors
    /// [`ReceiveError::NotHeld`], [`ReceiveError::WrongPreimage`], [`ReceiveError::TooLate`].
    pub fn settle(&mut self, lock: HashLock, preimage: Preimage) -> Result<Vec<RouterOutput>, ReceiveError> {
        requests::settle(&mut self.core, lock, preimage)?;
        Ok(self.core.take_outputs())
    }

    /// Gives back what is held for an invoice, and takes nothing for it any more.
    ///
    /// # Errors
    /// [`ReceiveError::Unknown`], [`ReceiveError::PaidAlready`].
    pub fn cancel(&mut self, lock: HashLock) -> Result<Vec<RouterOutput>, ReceiveError> {
        requests::cancel(&mut self.core, lock)?;
        Ok(self.core.take_outputs())
    }

    /// Forgets an invoice that is over: paid to its end, cancelled, or expired with nothing on its way.
    ///
    /// # Errors
    /// [`ReceiveError::Unknown`], [`ReceiveError::UnderWay`].
    pub fn forget_invoice(&mut self, lock: HashLock) -> Result<Vec<RouterOutput>, ReceiveError> {
        requests::forget_invoice(&mut self.core, lock)?;
        Ok(self.core.take_outputs())
    }

    /// Lets a peer offer again that left a claim unanswered (B1).
    #[must_use]
    pub fn let_offer(&mut self, chain: Domain, peer: PublicKey) -> Vec<RouterOutput> {
        self.core.let_offer(chain, peer);
        self.core.take_outputs()
    }

    /// The fees that were earned on a chain, by whose transfers brought them.
    #[must_use]
    pub fn earned(&self, chain: Domain) -> Vec<Earned> {
        self.core.guard.earned(chain).map(|(peer, amount)| Earned { peer, amount }).collect()
    }

    /// What is open on a chain, against its bounds (B2).
    #[must_use]
    pub fn load(&self, chain: Domain) -> HubLoad {
        self.core.guard.load(chain, &self.core.policy)
    }

    /// How many transfers are known: those that came in, and those of one's own.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        self.core.transfers.open()
    }

    /// What a hub has told of itself, as long as it is valid.
    #[must_use]
    pub fn announcement(&self, chain: Domain, hub: PublicKey) -> Option<&Announcement> {
        self.core.announcements.of(chain, hub, self.core.seconds())
    }

    /// The own terms on a chain, as peers are told them.
    #[must_use]
    pub fn own_terms(&self, chain: Domain) -> Announcement {
        terms::own(&self.core, chain)
    }

    /// Takes a peer's announcement as [`RouterInput::Announced`] does, and says what is wrong with it.
    ///
    /// # Errors
    /// [`AnnouncementError`].
    pub fn announced(&mut self, peer: &PublicKey, bytes: &[u8]) -> Result<(), AnnouncementError> {
        terms::heard(&mut self.core, peer, bytes)
    }

    /// The invoice's registry, where this side has channels in it.
    fn chain_of(&self, invoice: &Invoice) -> Result<Domain, InvoiceError> {
        let chain = invoice.asset.registry;
        self.core.links.are_on(chain).then_some(chain).ok_or(InvoiceError::OtherChain)
    }
}

/// Too late to agree: not yet, until it is known for good that nobody showed the pre-image in time.
const fn late(registered: Registered, expiry: BlockNumber) -> Verdict {
    if registered.is_silent_at(expiry) { Verdict::Refuse } else { Verdict::NotYet }
}

fn on_transfer(core: &mut Core, at: At, event: TransferEvent) {
    match event {
        TransferEvent::Prepaid { amount } => on_prepaid(core, at, amount),
        TransferEvent::Claimed { key } => core.note_claimed(at, &key),
        TransferEvent::Offered(incoming) => {
            offers::offered(core, Origin { at, contract: incoming.contract }, incoming);
        }
        TransferEvent::Ended { contract, end } => {
            let origin = Origin { at, contract };
            if let Some(terms) = core.transfers.incoming(&origin).map(|entry| entry.terms) {
                receive::ended(core, origin, &terms.lock, terms.amount);
                forward::ended(core, origin, end);
                clear::ended(core, origin, &terms.lock, end);
            }
        }
        TransferEvent::PledgeWanted { contract, offer, valid_until } => {
            staking::wanted(core, Origin { at, contract }, &offer, valid_until);
        }
        TransferEvent::Pledged { key, valid_until } => {
            staking::pledged(core, at, &key, valid_until);
            early::pledged(core, at, &key);
        }
        TransferEvent::PledgeGiven(given) => legs::pledge_given(core, at, &given),
        TransferEvent::PledgeNotGiven { contract } => {
            legs::pledge_not_given(core, &Origin { at, contract });
            staking::not_given(core, &Origin { at, contract });
        }
        TransferEvent::Accepted { key, .. } => {
            core.stakes.accepted(at, &key);
            early::accepted(core, at, &key);
        }
        TransferEvent::Fulfilled { key, preimage } => {
            if core.reach(at, &key, Reached::Fulfilled(preimage)) {
                if let Some(lock) = core.transfers.outgoing(at, &key).map(|onward| onward.terms.lock) {
                    core.learn(lock, preimage);
                }
                recover::resolve(core, at, key);
            }
        }
        TransferEvent::Failed { key, why } => {
            if core.reach(at, &key, Reached::Failed(why)) {
                recover::resolve(core, at, key);
            }
        }
    }
}

fn on_spendable(core: &mut Core, at: At, amount: Amount, risked: Amount) {
    let Some(link) = core.links.get_mut(&at) else { return };
    (link.spendable, link.told, link.risked) = (amount, amount, risked);
    if std::mem::take(&mut link.is_fresh) {
        recover::look_again(core);
    }
}

fn on_head(core: &mut Core, chain: Domain, best: BlockNumber, finalised: BlockNumber) {
    let before = core.heads.get(&chain).copied();
    let finalised = finalised.max(before.unwrap_or_default().finalised);
    // An endpoint that shows blocks which are not there is taken back (R8.30): the best block may fall.
    let best = best.max(finalised);
    let _former = core.heads.insert(chain, Heads { best, finalised });
    if !core.claims.get(&chain).is_some_and(Claims::has_begun) {
        claims_due::begin(core, chain);
    }
    match before {
        None => restored::look_again(core),
        Some(before) if best < before.best => claims_due::fall(core, chain),
        Some(_) => {}
    }
    clear::due(core, chain);
    claims_due::due(core, chain);
    staking::due(core, chain);
    early::due(core, chain);
    receive::holds_due(core, chain);
    if core.is_ahead {
        core.claim_again(chain);
    }
}

fn on_shown(core: &mut Core, chain: Domain, lock: HashLock, preimage: Preimage, at: Option<BlockNumber>) {
    if preimage.lock(lock.function, &Native) != lock {
        return;
    }
    if let (Some(used), Some(block)) = (core.transfers.lock_mut(&lock), at) {
        let first = used.shown.entry(chain).or_insert(block);
        *first = (*first).min(block);
    }
    core.keep(chain, lock, preimage);
    core.learn(lock, preimage);
    recover::pays_unread(core, lock, preimage);
}

fn on_refused(core: &mut Core, at: At, command: TransferCommand, why: CommandRefusal) {
    let origin = forward::origin_of(at, &command);
    match (without_pledge(command), origin) {
        (TransferCommand::Offer { key, offer, fee }, _) => {
            let Some(onward) = core.unmake(at, &key) else { return };
            if let Some(link) = core.links.get_mut(&at) {
                guard::return_coins(link, offer.terms.amount.saturating_add(fee));
            }
            match onward.source {
                Source::Forward(Some(origin)) => {
                    staking::failed(core, at, &origin);
                    forward::refused(core, at, origin, why, &offer);
                }
                Source::Part(id, number) => payments::refused(core, at, id, number, why),
                Source::Leg(id, number) => legs::leg_failed(core, at, None, (id, number)),
                Source::Forward(None) => {}
            }
        }
        (TransferCommand::Claim { preimage, .. }, Some(origin)) => forward::claim_refused(core, origin, preimage),
        // There is nothing left to give back, or to forget.
        _ => {}
    }
}

/// An offer, whether or not its payee was to pledge something for it.
fn without_pledge(command: TransferCommand) -> TransferCommand {
    match command {
        TransferCommand::OfferStaked { key, offer, .. } => TransferCommand::Offer { key, offer, fee: 0 },
        command => command,
    }
}

fn on_prepaid(core: &mut Core, at: At, amount: Amount) {
    let Some(peer) = core.links.get(&at).map(|link| link.peer) else { return };
    let row = core.guard.row_mut((at.chain, peer));
    row.prepaid = row.prepaid.saturating_add(amount);
    core.write_peer(at.chain, peer);
}
