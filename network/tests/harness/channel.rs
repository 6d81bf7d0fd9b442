//! One side of a modelled channel: what it commits, and how it answers.

use super::chain::Sight;
use ::channel::{
    ChangeId, IdempotencyKey,
    transfer::{
        FailReason, Failure, IncomingEnd, IncomingTransfer, Intent, LockedCalls, Margins, Offer, OutgoingTransfer,
        Progress, TransferCommand, TransferEvent, TransferTerms,
    },
};
use network::CommandRefusal;
use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    crypto::{Crypto, Native},
};
use scale::Encode;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// What the two sides say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Msg {
    Offer {
        contract: ContractId,
        terms: TransferTerms,
        premium: Amount,
        instruction: Vec<u8>,
    },
    /// The payee's coins are not staked as premium: it is not agreed to.
    Refuse(ContractId),
    /// What was staked for a transfer that came to nothing is the payer's, also where the payer never heard that it was staked.
    Forfeit(ContractId),
    OfferAck(ContractId),
    Claim(ContractId, Preimage),
    ClaimAck(ContractId),
    Fail(ContractId, FailReason),
    FailAck(ContractId),
}

/// What a task has to do.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Message(Msg),
    Command(TransferCommand),
    Tell(network::RouterInput),
    Up,
    Down,
    /// Time or height has changed: ask again, register, refund.
    Poll,
}

/// An own transfer as the state has it, whatever becomes of its row.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) key: IdempotencyKey,
    pub(crate) terms: TransferTerms,
    pub(crate) premium: Amount,
    /// Whether the peer is known to have staked the premium.
    pub(crate) is_staked: bool,
    /// True: paid. False: back.
    pub(crate) end: Option<bool>,
}

/// What one side has committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) balance: Amount,
    pub(crate) incoming: BTreeMap<ContractId, IncomingTransfer>,
    pub(crate) outgoing: BTreeMap<IdempotencyKey, OutgoingTransfer>,
    pub(crate) ended: BTreeMap<ContractId, IncomingEnd>,
    pub(crate) own: BTreeMap<ContractId, Open>,
    /// Own offers whose payee has pledged, kept back, with the last blocks of the pledges.
    pub(crate) kept_back: BTreeMap<IdempotencyKey, (Offer, BlockNumber)>,
    /// What this side has staked beside transfers to it.
    pub(crate) staked: BTreeMap<ContractId, Amount>,
    /// What it staked in vain.
    pub(crate) forfeited: BTreeSet<ContractId>,
    pub(crate) is_up: bool,
    pub(crate) made: u64,
    /// Whether the channel is settled on chain: its transfers end by registry and expiry alone.
    pub(crate) is_closed: bool,
    /// Own transfers that the state has not on which it was settled.
    pub(crate) void: BTreeSet<ContractId>,
    /// Transfers of the peer's that had ended in the state on which it was settled.
    pub(crate) settled: BTreeMap<ContractId, IncomingEnd>,
}

/// What comes of a piece of work.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) events: Vec<TransferEvent>,
    pub(crate) messages: Vec<Msg>,
    pub(crate) refused: Option<CommandRefusal>,
    pub(crate) register: Vec<(ContractId, HashLock, Preimage, BlockNumber)>,
}

/// Names a transfer: one offer, one contract.
pub(crate) fn contract(channel: usize, payer: usize, key: &IdempotencyKey, offer: &Offer) -> ContractId {
    ContractId(Native.hash(&(channel as u64, payer as u64, key, offer).encode()).0)
}

/// Whether it names a part of a payment.
fn is_part(key: &IdempotencyKey) -> bool {
    key.0.first() == Some(&0xf1)
}

impl Side {
    /// Applies a command; `named` names the contract of an offer.
    pub(crate) fn command(
        &mut self,
        command: &TransferCommand,
        named: impl Fn(&IdempotencyKey, &Offer) -> ContractId,
    ) -> Said {
        let mut said = Said::default();
        match command {
            TransferCommand::Offer { key, offer, fee } => {
                assert_eq!(*fee, 0, "places are paid for in real channels alone");
                if self.begin(key, offer, &mut said) {
                    self.propose(key, offer, named(key, offer), &mut said);
                }
            }
            TransferCommand::OfferStaked { key, offer, pledged_until: valid_until, is_kept_back } => {
                let is_new = self.begin(key, offer, &mut said);
                if is_new && *is_kept_back {
                    // The modelled payee pledges at once.
                    let _new = self.kept_back.insert(key.clone(), (offer.clone(), *valid_until));
                    said.events.push(TransferEvent::Pledged { key: key.clone(), valid_until: *valid_until });
                } else if is_new {
                    // It signs its premium in the round itself.
                    self.propose(key, offer, named(key, offer), &mut said);
                }
            }
            TransferCommand::Release { key } if self.is_closed => self.drop_kept_back(key, Failure::Dropped, &mut said),
            TransferCommand::Release { key } => {
                if let Some((offer, _)) = self.kept_back.remove(key) {
                    self.propose(key, &offer, named(key, &offer), &mut said);
                }
            }
            TransferCommand::TakeBack { key } => self.drop_kept_back(key, Failure::Dropped, &mut said),
            TransferCommand::Claim { contract, preimage } => {
                if let Some(row) = self.incoming.get_mut(contract) {
                    assert!(!matches!(row.intent, Intent::Fail(_)), "claimed after it was failed");
                    row.intent = Intent::Claim(*preimage);
                    said.messages.push(Msg::Claim(*contract, *preimage));
                }
            }
            TransferCommand::Fail { contract, reason } => {
                if let Some(row) = self.incoming.get_mut(contract) {
                    assert!(!matches!(row.intent, Intent::Claim(_)), "failed once a pre-image was known (I4)");
                    row.intent = Intent::Fail(reason.clone());
                    said.messages.push(Msg::Fail(*contract, reason.clone()));
                }
            }
            TransferCommand::Forget { key } => {
                if let Some(row) = self.outgoing.remove(key) {
                    let is_over = matches!(row.progress, Progress::Fulfilled(_) | Progress::Failed(_));
                    assert!(is_over, "forgotten while it could be paid (I5)");
                }
            }
            other => unreachable!("places are paid for, and pledges put off, in real channels alone: {other:?}"),
        }
        said
    }

    /// Makes the row of an own offer. False where there is one, or none can be made.
    fn begin(&mut self, key: &IdempotencyKey, offer: &Offer, said: &mut Said) -> bool {
        // A row whose payment is forgotten stays until its coins have left it.
        let holds_coins = |open: &Open| is_part(key) && open.key == *key && open.end.is_none();
        let known = self.outgoing.get(key);
        said.refused = if known.map_or_else(|| self.own.values().any(holds_coins), |known| known.offer != *offer) {
            Some(CommandRefusal::Other)
        } else if known.is_some() {
            None
        } else if !self.is_up {
            Some(CommandRefusal::NotOpen)
        } else if self.balance < offer.terms.amount {
            Some(CommandRefusal::Coins)
        } else {
            None
        };
        if known.is_some() || said.refused.is_some() {
            return false;
        }
        self.made += 1;
        let (change, progress) = (ChangeId(self.made), Progress::Proposed);
        let (contract, premium) = (None, None);
        let row = OutgoingTransfer { change, key: key.clone(), offer: offer.clone(), contract, premium, progress };
        let _new = self.outgoing.insert(key.clone(), row);
        true
    }

    /// An offer leaves.
    fn propose(&mut self, key: &IdempotencyKey, offer: &Offer, contract: ContractId, said: &mut Said) {
        let Some(rest) = self.balance.checked_sub(offer.terms.amount) else {
            return self.fail(key, Failure::Dropped, said);
        };
        self.balance = rest;
        // A part's name is free again, once its payment is forgotten.
        let is_free = |open: &Open| open.key != *key || (is_part(key) && open.end.is_some());
        assert!(self.own.values().all(is_free), "offered twice by one key (I9)");
        let (terms, premium, instruction) = (offer.terms, offer.premium, offer.instruction.clone());
        let open = Open { key: key.clone(), terms, premium, is_staked: false, end: None };
        let _new = self.own.insert(contract, open);
        said.messages.push(Msg::Offer { contract, terms, premium, instruction });
    }

    /// What is kept back is not said any more.
    fn drop_kept_back(&mut self, key: &IdempotencyKey, why: Failure, said: &mut Said) {
        if self.kept_back.remove(key).is_some() {
            self.fail(key, why, said);
        }
    }

    /// Takes a message in. `agrees` is the router's verdict about a claim, `stakes` about a premium.
    pub(crate) fn message(
        &mut self,
        message: Msg,
        agrees: impl Fn(&IdempotencyKey, &TransferTerms) -> bool,
        stakes: impl Fn(&ContractId, &Offer) -> bool,
    ) -> Said {
        let mut said = Said::default();
        match message {
            Msg::Offer { contract, terms, premium, instruction } => {
                let is_known = self.incoming.contains_key(&contract) || self.ended.contains_key(&contract);
                if premium > 0 && !is_known {
                    let offer = Offer { terms, premium, calls: LockedCalls::NONE, instruction: instruction.clone() };
                    let Some(rest) = self.balance.checked_sub(premium).filter(|_| stakes(&contract, &offer)) else {
                        said.messages.push(Msg::Refuse(contract));
                        return said;
                    };
                    self.balance = rest;
                    let _new = self.staked.insert(contract, premium);
                }
                said.messages.push(Msg::OfferAck(contract));
                if !self.incoming.contains_key(&contract) && !self.ended.contains_key(&contract) {
                    let intent = Intent::Undecided;
                    let premium = (premium > 0).then_some(ContractId([0xee; 32]));
                    let row =
                        IncomingTransfer { contract, premium, terms, calls: LockedCalls::NONE, instruction, intent };
                    let _new = self.incoming.insert(contract, row.clone());
                    said.events.push(TransferEvent::Offered(row));
                }
            }
            Msg::Forfeit(contract) => self.stake(contract),
            Msg::OfferAck(contract) => {
                self.stake(contract);
                let Some(open) = self.own.get(&contract) else { return said };
                match open.end {
                    Some(true) => said.messages.push(Msg::ClaimAck(contract)),
                    Some(false) => said.messages.push(Msg::FailAck(contract)),
                    None => {}
                }
                if open.end.is_some() {
                    return said;
                }
                let key = open.key.clone();
                if let Some(row) = self.outgoing.get_mut(&key)
                    && row.progress == Progress::Proposed
                {
                    (row.progress, row.contract) = (Progress::Offered, Some(contract));
                    said.events.push(TransferEvent::Accepted { key, contract });
                }
            }
            Msg::Refuse(contract) => {
                // It is as if it had not been proposed.
                let Entry::Occupied(open) = self.own.entry(contract) else { return said };
                if open.get().end.is_some() {
                    return said;
                }
                let Open { key, terms, .. } = open.remove();
                self.balance += terms.amount;
                self.fail(&key, Failure::Refused(::channel::RefusalCode::POLICY), &mut said);
            }
            Msg::Claim(contract, preimage) => self.on_claim(contract, preimage, agrees, &mut said),
            Msg::ClaimAck(contract) => self.end(contract, IncomingEnd::Claimed, &mut said),
            Msg::Fail(contract, reason) => {
                self.stake(contract);
                let Some(open) = self.own.get_mut(&contract) else { return said };
                match open.end {
                    None => {
                        open.end = Some(false);
                        self.balance += open.terms.amount + open.premium;
                        let key = open.key.clone();
                        self.fail(&key, Failure::ByPayee(reason), &mut said);
                        said.messages.push(Msg::FailAck(contract));
                    }
                    Some(false) => said.messages.push(Msg::FailAck(contract)),
                    Some(true) => said.messages.push(Msg::ClaimAck(contract)),
                }
            }
            Msg::FailAck(contract) => self.end(contract, IncomingEnd::Failed, &mut said),
        }
        said
    }

    /// The peer has staked its premium: where the transfer has come to nothing, it is this side's.
    fn stake(&mut self, contract: ContractId) {
        let Some(open) = self.own.get_mut(&contract) else { return };
        let is_new = !std::mem::replace(&mut open.is_staked, true);
        if is_new && open.end == Some(false) {
            self.balance += open.premium;
        }
    }

    fn on_claim(
        &mut self,
        contract: ContractId,
        preimage: Preimage,
        agrees: impl Fn(&IdempotencyKey, &TransferTerms) -> bool,
        said: &mut Said,
    ) {
        let Some(open) = self.own.get(&contract).cloned() else { return };
        if open.end.is_none() {
            self.fulfil(&open.key, contract, preimage, said);
            if !agrees(&open.key, &open.terms) {
                return;
            }
            self.own.get_mut(&contract).unwrap().end = Some(true);
            said.events.push(TransferEvent::Claimed { key: open.key });
        } else if open.end == Some(false) {
            return;
        }
        said.messages.push(Msg::ClaimAck(contract));
    }

    fn fulfil(&mut self, key: &IdempotencyKey, contract: ContractId, preimage: Preimage, said: &mut Said) {
        if let Some(row) = self.outgoing.get_mut(key)
            && matches!(row.progress, Progress::Proposed | Progress::Offered)
        {
            (row.progress, row.contract) = (Progress::Fulfilled(preimage), Some(contract));
            said.events.push(TransferEvent::Fulfilled { key: key.clone(), preimage });
        }
    }

    fn fail(&mut self, key: &IdempotencyKey, why: Failure, said: &mut Said) {
        if let Some(row) = self.outgoing.get_mut(key)
            && matches!(row.progress, Progress::Proposed | Progress::Offered)
        {
            row.progress = Progress::Failed(why.clone());
            said.events.push(TransferEvent::Failed { key: key.clone(), why });
        }
    }

    fn end(&mut self, contract: ContractId, end: IncomingEnd, said: &mut Said) {
        if let Some(row) = self.incoming.remove(&contract) {
            let staked = self.staked.remove(&contract).unwrap_or(0);
            if end == IncomingEnd::Claimed {
                self.balance += row.terms.amount + staked;
            } else if staked > 0 {
                let _is_new = self.forfeited.insert(contract);
                said.messages.push(Msg::Forfeit(contract));
            }
            let _new = self.ended.insert(contract, end);
            said.events.push(TransferEvent::Ended { contract, end });
        }
    }

    /// What is asked again on a new connection.
    pub(crate) fn pending(&self) -> Vec<Msg> {
        let open = self.own.iter().filter(|(_, open)| open.end.is_none());
        let offers = open.filter_map(|(contract, open)| {
            let row = self.outgoing.get(&open.key)?;
            let (premium, instruction) = (row.offer.premium, row.offer.instruction.clone());
            (row.progress == Progress::Proposed).then_some(Msg::Offer {
                contract: *contract,
                terms: open.terms,
                premium,
                instruction,
            })
        });
        let wishes = self.incoming.values().filter_map(|row| match &row.intent {
            Intent::Undecided => None,
            Intent::Claim(preimage) => Some(Msg::Claim(row.contract, *preimage)),
            Intent::Fail(reason) => Some(Msg::Fail(row.contract, reason.clone())),
        });
        let forfeits = self.forfeited.iter().map(|contract| Msg::Forfeit(*contract));
        offers.chain(wishes).chain(forfeits).collect()
    }

    /// What time and the registry do.
    pub(crate) fn poll(&mut self, sight: &Sight, margins: Margins) -> Said {
        let mut said = Said::default();
        let is_over = |until: BlockNumber| self.is_closed || sight.finalised >= until;
        let over = self.kept_back.iter().filter(|(_, (_, until))| is_over(*until)).map(|(key, _)| key.clone());
        for key in over.collect::<Vec<_>>() {
            self.drop_kept_back(&key, Failure::TooLate, &mut said);
        }
        for row in self.incoming.values().cloned().collect::<Vec<_>>() {
            let terms = row.terms;
            // What is given back in agreement is not claimed as well, as long as the two talk.
            let may_claim = self.is_closed || !matches!(row.intent, Intent::Fail(_));
            if let Some(end) = self.settled.get(&row.contract).copied() {
                self.end(row.contract, end, &mut said);
            } else if may_claim && sight.shown_in_time(&terms).is_some() {
                self.end(row.contract, IncomingEnd::Claimed, &mut said);
            } else if sight.finalised >= terms.expiry && self.is_up && matches!(row.intent, Intent::Claim(_)) {
                // The peer may have signed the claim and never been heard: it says which.
                said.messages.push(Msg::OfferAck(row.contract));
            } else if sight.finalised >= terms.expiry {
                self.end(row.contract, IncomingEnd::Refunded, &mut said);
            } else if let Intent::Claim(preimage) = row.intent
                && sight.best < terms.expiry
            {
                said.messages.push(Msg::Claim(row.contract, preimage));
                if sight.best >= terms.expiry.saturating_sub(margins.register) {
                    said.register.push((row.contract, terms.lock, preimage, terms.expiry));
                }
            }
        }
        for (contract, open) in self.own.clone() {
            if open.end.is_some() {
                continue;
            }
            if self.void.contains(&contract) {
                self.own.get_mut(&contract).unwrap().end = Some(false);
                self.balance += open.terms.amount;
                self.fail(&open.key, Failure::Dropped, &mut said);
            } else if let Some(preimage) = sight.shown_in_time(&open.terms) {
                self.own.get_mut(&contract).unwrap().end = Some(true);
                self.fulfil(&open.key, contract, preimage, &mut said);
                said.events.push(TransferEvent::Claimed { key: open.key });
            } else if sight.finalised >= open.terms.expiry {
                self.own.get_mut(&contract).unwrap().end = Some(false);
                self.balance += open.terms.amount + if open.is_staked { open.premium } else { 0 };
                self.fail(&open.key, Failure::Expired, &mut said);
            }
        }
        said
    }

    /// The channel is settled on the newest state that both have signed: what either has committed of it counts for both.
    pub(crate) fn settle_with(&mut self, peer: &mut Self) {
        for (contract, open) in self.own.clone() {
            if !peer.incoming.contains_key(&contract) && !peer.ended.contains_key(&contract) {
                let _is_new = self.void.insert(contract);
            }
            if peer.staked.contains_key(&contract) || peer.forfeited.contains(&contract) {
                self.stake(contract);
            }
            if let Some(is_paid) = open.end {
                let end = if is_paid { IncomingEnd::Claimed } else { IncomingEnd::Failed };
                let _new = peer.settled.insert(contract, end);
            }
        }
        (self.is_up, self.is_closed) = (false, true);
    }
}
