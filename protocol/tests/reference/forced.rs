//! Forced steps (R5.10), on settled channels too (R5.11).

use crate::{
    channel::{Candidate, Channel, Shown, Stage},
    inside::{self, Place},
    model::{Arbiter, Ruled, covered, is_of},
    tree::{self, Claim},
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, Party, Rejection, Round,
    call::ForceProgress,
    contracts::{
        CallFault, Contract, ContractId,
        conditional::{HashLock, Preimage},
    },
    event::ArbiterEvent,
    terms::Power,
};

impl Arbiter {
    /// R5.10, R5.11, R8.2. Checked in this order: who may; the payload; the commitment; the quota; call by call its number and size, its
    /// coins, that its contract is shown, and what it does; then the proof, the state it belongs to, and the state expected.
    pub(crate) fn force(
        &mut self,
        now: BlockNumber,
        caller: AccountId,
        call: &ForceProgress,
        mut channel: Channel,
        preimages: &mut Vec<(HashLock, Preimage, BlockNumber)>,
    ) -> Ruled {
        let party = call.party;
        if caller != channel.terms.parties[party].account {
            let powers = channel.powers(party, &caller);
            if powers.is_empty() || !matches!(channel.stage, Stage::Closing(_)) {
                return Err(Rejection::MayNotForce { party });
            }
            if !powers.contains(&Power::Call) {
                return Err(Rejection::DelegateMayNotCall { party });
            }
            if call.calls.iter().any(|call| call.value != 0) {
                return Err(Rejection::DelegateAttachesCoins);
            }
        }
        let settled = matches!(channel.stage, Stage::Residual(_));
        if let Some(payload) = &call.payload {
            if settled && channel.candidate(&Shown::from(payload), now)? == Candidate::Newer {
                return Err(Rejection::StateFinal);
            }
            let _known_or_newer = self.adopt(&mut channel, &call.channel, payload, now)?;
        }
        if settled {
            is_of(&channel, &call.commitment)?;
        } else {
            let _balances = covered(&channel, &call.commitment)?;
        }
        count(&mut channel, party, now)?;

        let base = channel.round();
        let mut run = Run::new(&channel, call, settled);
        for number in 0..call.calls.len() {
            run.call(self, now, base + 1 + number as Round, number, preimages)?;
        }
        let Run { balances, paid, shown, receipt, .. } = run;
        let receipt = receipt.ok_or(Rejection::CallsMissing)?;
        let claims: Vec<Claim> = (call.contracts.iter().zip(&shown))
            .map(|(before, (id, after))| Claim {
                key: Hash(id.0),
                before: Some(inside::leaf(&before.contract)),
                after: after.as_ref().map(inside::leaf),
            })
            .collect();
        let (before, after) = tree::shows(&call.proof.nodes, &claims).map_err(Rejection::ProofInvalid)?;
        if before != call.commitment.contracts_root {
            return Err(Rejection::ProofOfAnotherState);
        }
        // The proof has been accepted: it must say what the whole state says.
        let calls_root = tree::hash(&[&[4], &receipt]);
        let mut state = self.states.borrow().get(&channel.state).expect("the parties know it").clone();
        for (id, contract) in shown {
            let _before = match contract {
                Some(contract) => state.contracts.insert(id, contract),
                None => state.contracts.remove(&id),
            };
        }
        (state.balances, state.calls_root) = (balances, calls_root);
        assert_eq!(state.root(), after, "the proof's root after is not that of the state after");
        let computed = state.state_hash();
        if call.state_hash.is_some_and(|expected| expected != computed) {
            return Err(Rejection::ForcedStateDiffers { computed });
        }

        let _known = self.states.borrow_mut().insert(computed, state);
        (channel.state, channel.forced) = (computed, channel.forced + call.calls.len() as u32);
        if !settled {
            channel.mark(now);
        }
        let lock_period = channel.terms.lock_period;
        let mut payouts = Vec::new();
        match &mut channel.stage {
            Stage::Open => {}
            Stage::Closing(waiting) => (waiting.balances, waiting.until) = (balances, now.saturating_add(lock_period)),
            Stage::Residual(_) => {
                channel.total -= paid.initiator + paid.responder;
                payouts = channel.pay(paid);
            }
        }
        let event = ArbiterEvent::ChannelProgressed {
            party,
            at: channel.at(),
            state_hash: computed,
            forced_steps: channel.steps,
            total: channel.total,
            closing: channel.closing(),
            calls: call.calls.clone(),
        };
        Ok((Some(channel).filter(|channel| !settled || channel.total > 0), payouts, event))
    }
}

/// R5.10: so many steps on one co-signed state. R5.11: of a settled channel so many within a lock period, from the first one on.
fn count(channel: &mut Channel, party: Party, now: BlockNumber) -> Result<(), Rejection> {
    let (max, lock_period) = (channel.terms.max_forced, channel.terms.lock_period);
    if let Stage::Residual(counted_from) = &mut channel.stage {
        let is_over = u64::from(now) >= u64::from(counted_from[party]) + u64::from(lock_period);
        if is_over || channel.steps[party] == 0 {
            (counted_from[party], channel.steps[party]) = (now, 0);
        }
    }
    if channel.steps[party] >= max {
        return Err(Rejection::ForcedStepsUsedUp { max });
    }
    channel.steps[party] += 1;
    Ok(())
}

/// A forced step under way.
struct Run<'a> {
    call: &'a ForceProgress,
    settled: bool,
    total: Amount,
    reserve: Amount,
    balances: Pair<Amount>,
    paid: Pair<Amount>,
    shown: Vec<(ContractId, Option<Contract>)>,
    bytes: usize,
    receipt: Option<Vec<u8>>,
}

impl<'a> Run<'a> {
    fn new(channel: &Channel, call: &'a ForceProgress, settled: bool) -> Self {
        Self {
            call,
            settled,
            total: channel.total,
            reserve: channel.terms.reserve,
            balances: call.commitment.balances,
            paid: Pair::default(),
            shown: call.contracts.iter().map(|shown| (shown.id, Some(shown.contract.clone()))).collect(),
            bytes: 0,
            receipt: None,
        }
    }

    fn call(
        &mut self,
        arbiter: &mut Arbiter,
        now: BlockNumber,
        round: Round,
        number: usize,
        preimages: &mut Vec<(HashLock, Preimage, BlockNumber)>,
    ) -> Result<(), Rejection> {
        let (party, one) = (self.call.party, &self.call.calls[number]);
        self.bytes += one.input.len();
        if number >= 64 || self.bytes > 8_192 + 2_048 {
            return Err(Rejection::CallsTooLarge);
        }
        if one.value > 0 {
            // Of a settled channel the parties own nothing any more.
            let have = if self.settled { 0 } else { self.balances[party] };
            let (value, reserve) = (one.value, self.reserve);
            if have < value || have - value < reserve {
                return Err(Rejection::CannotAttach { have, value, reserve });
            }
            self.balances[party] -= value;
        }
        let unshown = Rejection::ContractNotShown { contract: one.contract };
        let place = self.shown.iter().position(|(id, _)| *id == one.contract).ok_or(unshown)?;
        let contract = self.shown[place].1.clone().ok_or(unshown)?;
        let at = Place {
            channel: self.call.channel,
            round,
            caller: party,
            height: now,
            app: self.call.contracts[place].app,
            deployed: &arbiter.deployed,
            apps: &arbiter.apps,
        };
        let failed = |fault: CallFault| Rejection::CallFailed { round, fault };
        let done = inside::call(&at, &contract, one, &arbiter.preimages).map_err(failed)?;
        if let Some(shown @ (lock, _, counts)) = done.shown {
            let _first = arbiter.preimages.entry(lock).or_insert(counts);
            preimages.push(shown);
        }
        self.shown[place].1 = done.contract;
        self.receipt = Some(done.receipt);
        let to = if self.settled { &mut self.paid } else { &mut self.balances };
        for party in [Party::Initiator, Party::Responder] {
            to[party] = to[party].checked_add(done.payouts[party]).ok_or(Rejection::AmountOverflow)?;
        }
        let sum = to.initiator.checked_add(to.responder);
        if sum.is_none_or(|sum| sum > self.total) {
            return Err(Rejection::BalancesExceedTotal { total: self.total });
        }
        Ok(())
    }
}
