//! Conditional transfers between two peers (R8.3): their life, what each side agrees to, and that no crash, race or forced step takes coins from anybody.

mod attack_kept_back;
mod attack_mended;
mod audit;
mod calls;
mod calls_after;
mod calls_again;
mod calls_attack;
mod calls_given_up;
mod calls_held_up;
mod calls_left;
mod calls_marks;
mod calls_parted;
mod calls_storm;
mod calls_told_ends;
mod calls_told_storm;
mod calls_unseen;
mod calls_unseen_storm;
mod cases;
mod crash;
mod drawn;
mod judged;
mod late;
mod life;
mod limits;
mod pledges;
mod pledges_audit;
mod pledges_audit2;
mod pledges_audit3;
mod pledges_in_front;
mod pledges_kept_back;
mod pledges_stories;
mod stories;
mod withheld;

use crate::harness::{
    Initiator, RESERVE, Responder, SHARE, World, apps,
    contracts::forced,
    deeds::{deeds, with_deeds},
};
use channel::{
    Certainty, ChainInput, ChannelAccept, Command, IdempotencyKey, Input, Message, Misuse, State,
    transfer::{
        FailReason, Failure, IncomingTransfer, Intent, LockedCalls, Offer, OutgoingTransfer, Progress, TransferCommand,
        TransferEvent, TransferLimits, TransferTerms,
    },
};
use protocol::{
    Amount, BlockNumber, Party, Rejection,
    call::{Call, CallKind, CloseSolo, ForcedCall, Payload, SnapshotSolo},
    contracts::{
        ContractId,
        conditional::{ConditionalInput, HashFunction, HashLock, Preimage},
    },
    crypto::Native,
};
use scale::Encode;

/// The amount of each transfer that carries calls of apps.
const AMOUNT: Amount = 100;

/// The pre-image of the transfer with this number, and its lock.
pub(crate) fn secret(number: u8) -> (Preimage, HashLock) {
    let preimage = Preimage([number; 32]);
    (preimage, preimage.lock(HashFunction::Sha2_256, &Native))
}

pub(crate) fn name(number: u8) -> IdempotencyKey {
    IdempotencyKey::from([number])
}

pub(crate) fn an_offer(number: u8, amount: Amount, expiry: BlockNumber) -> Offer {
    let terms = TransferTerms { amount, lock: secret(number).1, expiry };
    Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: vec![number; 3] }
}

/// An open channel in which so many deeds of the initiator's are locked with the transfer number 1.
fn locked(count: usize, blocks: BlockNumber) -> (World, Vec<ContractId>) {
    let mut world = World::opened();
    let deeds = deeds(&mut world, count);
    world.offer_with(1, with_deeds(&deeds), blocks);
    assert_eq!(world.open_transfers(), 1);
    (world, deeds)
}

fn refund(contract: ContractId) -> ForcedCall {
    forced(contract, 0, &ConditionalInput::Refund)
}

/// The claim of the coins of the transfer with this number.
fn claim_of(contract: ContractId, number: u8) -> ForcedCall {
    forced(contract, 0, &ConditionalInput::Claim(secret(number).0))
}

/// The claim of a deed that goes with the transfer with this number.
fn deed_claim(deed: ContractId, number: u8) -> ForcedCall {
    ForcedCall { contract: deed, value: 0, input: [&[1][..], &secret(number).0.0].concat() }
}

/// The agreed state of a party, with what shows it.
fn kept_state(world: &World, party: Party) -> (State, Option<Payload>) {
    let machine = world.sides[party].machine();
    (machine.state().unwrap().clone(), machine.evidence().unwrap().payload)
}

impl World {
    /// The initiator offers the transfer with this number and these calls, which the responder's router takes, and both say all that they have to.
    fn offer_with(&mut self, number: u8, calls: LockedCalls, blocks: BlockNumber) {
        self.sides[Responder].registry.calls = calls.clone();
        let offer = Offer { calls, ..an_offer(number, AMOUNT, self.chain.head() + blocks) };
        let offered = Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 });
        self.command(Initiator, offered).unwrap();
        self.run();
    }

    /// The responder forces the refund of the initiator's transfer alone, once that is over and while nobody talks: what returns with it is left.
    fn leave_what_returns(&mut self, contract: ContractId) {
        self.disconnect();
        self.mine_blocks(25);
        self.force(Responder, vec![refund(contract)]).unwrap();
        self.mine();
        self.mine();
    }

    /// The initiator forces the claim of the coins of its transfer number 1 alone while the code of its deeds is not with the responder, and does not come.
    fn leave_deeds_without_code(&mut self) {
        let contract = self.contract_of(Responder, 1).unwrap();
        self.kill(Responder);
        self.sides[Responder].book.missing = [apps::DEED.code].into();
        self.fetch_code = false;
        self.restart(Responder);
        self.run();
        self.force_claim(Initiator, contract, 1).unwrap();
        for _ in 0..400 {
            self.mine();
            self.run();
        }
    }

    /// A party wants to close in agreement. Whether the channel is closed after a time.
    fn is_closed_in_agreement(&mut self, by: Party) -> bool {
        let _closes = self.shutdown(by, 0);
        for _ in 0..60 {
            self.run();
            self.mine();
        }
        self.chain.is_closed()
    }

    /// So many blocks, or until this is true. The first step that a party forces meanwhile is more than the chain can make, so that it is made in halves. Whether there was one.
    fn force_in_halves(&mut self, party: Party, blocks: BlockNumber, is_over: impl Fn(&Self) -> bool) -> bool {
        let call = CallKind::ChannelForceProgress;
        let mut is_told = false;
        for _ in 0..blocks {
            if self.sides[party].machine().status().forcing && !is_told {
                is_told = true;
                self.chain.drop_pool();
                self.input(party, Input::Chain(ChainInput::Undeliverable { call })).unwrap();
            }
            self.mine();
            if is_over(self) {
                break;
            }
        }
        is_told
    }

    /// What a party still forces is too large for a step: it is given up.
    fn refuse_step(&mut self, party: Party) {
        let (call, rejection) = (CallKind::ChannelForceProgress, Rejection::StepTooLarge);
        self.chain.drop_pool();
        self.input(party, Input::Chain(ChainInput::Rejected { call, rejection })).unwrap();
    }

    /// Offers the transfer with this number, which expires so many blocks from now.
    pub(crate) fn offer(
        &mut self,
        party: Party,
        number: u8,
        amount: Amount,
        blocks: BlockNumber,
    ) -> Result<(), Misuse> {
        let offer = an_offer(number, amount, self.chain.head() + blocks);
        self.command(party, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 }))
    }

    /// Offers the transfer with this number, with a premium that the peer pledges until this block.
    pub(crate) fn offer_staked(
        &mut self,
        party: Party,
        number: u8,
        offer: Offer,
        pledged_until: BlockNumber,
    ) -> Result<(), Misuse> {
        let (key, is_kept_back) = (name(number), false);
        self.command(party, Command::Transfer(TransferCommand::OfferStaked { key, offer, pledged_until, is_kept_back }))
    }

    /// The contract of the peer's transfer with this number.
    pub(crate) fn contract_of(&self, payee: Party, number: u8) -> Option<ContractId> {
        let incoming = self.sides[payee].machine().incoming_transfers();
        incoming.values().find(|row| row.terms.lock == secret(number).1).map(|row| row.contract)
    }

    pub(crate) fn claim(&mut self, payee: Party, number: u8) -> Result<(), Misuse> {
        let contract = self.contract_of(payee, number).expect("it is open");
        self.command(payee, Command::Transfer(TransferCommand::Claim { contract, preimage: secret(number).0 }))
    }

    pub(crate) fn fail(&mut self, payee: Party, number: u8) -> Result<(), Misuse> {
        let contract = self.contract_of(payee, number).expect("it is open");
        self.command(payee, Command::Transfer(TransferCommand::Fail { contract, reason: FailReason(vec![number]) }))
    }

    /// Forces the claim of the transfer with this number, or of its premium.
    pub(crate) fn force_claim(&mut self, party: Party, contract: ContractId, number: u8) -> Result<(), Misuse> {
        let input = ConditionalInput::Claim(secret(number).0).encode();
        let calls = vec![ForcedCall { contract, value: 0, input }];
        self.command(party, Command::Force { calls, certainty: Certainty::OwnStoreIsNewest })
    }

    /// What a party may put on chain later.
    pub(crate) fn kept(&self, party: Party) -> CloseSolo {
        self.sides[party].machine().evidence().unwrap()
    }

    /// A party puts on chain what it kept.
    pub(crate) fn show(&mut self, party: Party, kept: &CloseSolo) {
        let (channel, payload) = (kept.channel, kept.payload.expect("a co-signed round"));
        self.chain.submit(party, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    /// A channel in which the responder allows `limits`, and the initiator is made to believe in wider ones.
    pub(crate) fn opened_with_wrong_limits(limits: TransferLimits) -> Self {
        let mut world = Self::new();
        world.sides[Responder].config.transfers = limits;
        world.open();
        let _heard = world.deliver(Responder);
        let Message::ChannelAccept(accept) = world.steal(Initiator) else { panic!("accepted") };
        let accept = ChannelAccept { transfers: TransferLimits::default(), ..accept };
        world.hear(Initiator, Message::ChannelAccept(accept));
        world.run();
        world.mine();
        world.run();
        world
    }

    pub(crate) fn progress(&self, payer: Party, number: u8) -> Option<Progress> {
        self.sides[payer].machine().outgoing_transfer(&name(number)).map(|row| row.progress.clone())
    }

    pub(crate) fn ours(&self, party: Party) -> Amount {
        self.sides[party].balances().ours
    }

    pub(crate) fn open_transfers(&self) -> usize {
        let of =
            |party: Party| self.sides[party].machine().contracts().map_or(0, protocol::contracts::Contracts::transfers);
        assert_eq!(of(Initiator), of(Responder));
        of(Initiator)
    }

    pub(crate) fn was_routed(&self, party: Party, test: impl Fn(&TransferEvent) -> bool) -> usize {
        self.sides[party].routed.iter().filter(|event| test(event)).count()
    }
}
