//! Who disputes about what.

use crate::{Calls, Inside, Policy, Rules};
use protocol::{
    Base, BlockNumber, Hash, Party, Round,
    arbiter::{Candidate, Standing, standing},
    crypto::Native,
    record::Record,
    signing::StateBody,
};

/// A state and its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Its round.
    pub round: Round,
    /// What it goes on from.
    pub base: Base,
    /// What is in it.
    pub inside: Inside,
}

impl Agreed {
    /// What its parties signed.
    pub(crate) fn body(&self, expiry: BlockNumber) -> StateBody {
        let state_hash = self.inside.commitment(expiry).hash(&Native);
        StateBody { round: self.round, base: self.base, state_hash, valid_until: None }
    }

    /// Whether the arbiter would take it in block `now` as newer than what it has.
    pub(crate) fn is_newer(&self, record: &Record, now: BlockNumber) -> bool {
        // Which state it is matters only where the round is on chain already, and then it is not newer.
        let candidate = Candidate { round: self.round, base: self.base, state_hash: Hash::ZERO, valid_until: None };
        standing(&record.on_chain, &record.terms, &candidate, now) == Ok(Standing::Newer)
    }
}

/// A channel's past, and the bounds of what may happen next.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows.
    pub name: &'static str,
    /// Who follows the policy. Its peer does whatever it can.
    pub honest: Party,
    /// Every state that was co-signed, oldest first. The first is on chain; the last is what the honest party relies on.
    pub agreed: Vec<Agreed>,
    /// What the honest party has proposed on top: its peer may show it co-signed at any time, without having answered (R6.1).
    pub proposed: Option<Agreed>,
    /// The channel's lock period.
    pub lock_period: BlockNumber,
    /// The channel's penalty, which is its reserve too.
    pub penalty: u128,
    /// The channel's quota of forced steps.
    pub max_forced: u8,
    /// The expiry of the conditional transfer that the states may hold.
    pub expiry: BlockNumber,
    /// From this block on the honest party wants the channel closed.
    pub leaves_at: BlockNumber,
    /// How many blocks pass at most before the honest party's transaction is included. Twice that is less than the lock period: what it
    /// submitted may come too late, and has then to be made anew.
    pub delay: BlockNumber,
    /// What the other party may call inside: each of these makes one forced step.
    pub calls: Vec<Calls>,
    /// How the honest party defends itself.
    pub policy: Policy,
    /// What judges.
    pub rules: Rules,
}

impl Scenario {
    /// All states that may be shown, oldest first.
    #[must_use]
    pub fn states(&self) -> Vec<Agreed> {
        self.agreed.iter().copied().chain(self.proposed).collect()
    }

    /// The state that the honest party relies on, once its proposal was or was not shown by its peer.
    #[must_use]
    pub fn relied_on(&self, proposal_shown: bool) -> usize {
        let last = self.agreed.len().saturating_sub(1);
        if proposal_shown { last.saturating_add(1) } else { last }
    }

    /// How often a lock can start at most: the close, one slash for each further state, and every quota on every state.
    #[must_use]
    pub fn most_locks(&self) -> u32 {
        let states = u32::try_from(self.states().len()).unwrap_or(u32::MAX);
        states.saturating_mul(u32::from(self.max_forced).saturating_mul(2).saturating_add(1))
    }

    /// The block by which every dispute has ended: each lock and each of the honest party's transactions takes its time, and no more.
    #[must_use]
    pub fn horizon(&self) -> BlockNumber {
        let each = self.lock_period.saturating_add(self.delay.saturating_mul(2));
        let locks = self.most_locks().saturating_add(2);
        self.leaves_at.max(self.expiry).saturating_add(each.saturating_mul(locks))
    }

    /// What the honest party is owed in the end.
    #[must_use]
    pub fn due(&self, proposal_shown: bool) -> u128 {
        let states = self.states();
        let relied_on = states.get(self.relied_on(proposal_shown));
        relied_on.map_or(0, |agreed| agreed.inside.worth(self.honest))
    }
}

/// The scenarios that are checked: `quick` ones in seconds, the others in minutes.
#[must_use]
pub fn scenarios(quick: bool) -> Vec<Scenario> {
    let mut all = Vec::new();
    let none = Calls::default();
    let (redeem, give) = (Calls { redeem: true, ..none }, Calls { give: true, ..none });
    let (claim, refund) = (Calls { claim: true, ..none }, Calls { refund: true, ..none });
    let stall = Calls { stall: true, ..none };
    for honest in Party::BOTH {
        let inside = |ours, theirs, tokens, transfer| Inside::new(honest, (ours, theirs), tokens, transfer);
        // Each round goes on from the one before.
        let agreed = |round, before, inside| Agreed { round, base: Base::of(before), inside };
        // Whose the last rounds are matters for the penalty: here the peer's, and the honest party's own.
        let (peers, own) = if honest == Party::Initiator { (4, 5) } else { (5, 6) };
        let base = Scenario {
            name: "payments alone",
            honest,
            agreed: vec![
                agreed(1, 0, inside(4, 6, None, None)),
                agreed(2, 1, inside(1, 9, None, None)),
                agreed(3, 2, inside(9, 1, None, None)),
                agreed(peers, 3, inside(7, 3, None, None)),
            ],
            proposed: None,
            lock_period: if quick { 3 } else { 5 },
            penalty: 1,
            max_forced: if quick { 1 } else { 2 },
            expiry: 0,
            leaves_at: 3,
            delay: if quick { 1 } else { 2 },
            calls: Vec::new(),
            policy: Policy::Defends,
            rules: Rules::Real,
        };
        all.push(base.clone());
        all.push(Scenario {
            name: "a proposal that the peer kept the answer to",
            proposed: Some(agreed(own, peers, inside(5, 5, None, None))),
            ..base.clone()
        });
        let tokens = vec![
            agreed(1, 0, inside(4, 6, None, None)),
            agreed(2, 1, inside(1, 5, Some((1, 3)), None)),
            agreed(peers, 2, inside(4, 1, Some((3, 2)), None)),
        ];
        let calls = vec![redeem, give, Calls { redeem: true, ..give }];
        all.push(Scenario { name: "an app inside", agreed: tokens.clone(), calls, ..base.clone() });
        // Without the state between, which changes nothing in it.
        let ends = tokens.iter().copied().filter(|state| state.round != 2).collect();
        all.push(Scenario { name: "calls for delay's sake", agreed: ends, calls: vec![stall], ..base.clone() });
        let transfer = vec![
            agreed(1, 0, inside(4, 6, None, None)),
            agreed(2, 1, inside(2, 8, None, None)),
            agreed(peers, 2, inside(5, 2, None, Some(3))),
        ];
        all.push(Scenario {
            name: "a conditional transfer to the honest party",
            agreed: transfer.clone(),
            expiry: 6,
            calls: vec![claim, refund],
            ..base.clone()
        });
        all.push(Scenario {
            name: "a conditional transfer, and a proposal that may replace the claim",
            agreed: transfer,
            proposed: Some(agreed(own, peers, inside(4, 3, None, Some(3)))),
            expiry: 6,
            calls: vec![claim, refund],
            ..base.clone()
        });
        if !quick {
            let everything = vec![
                agreed(1, 0, inside(4, 6, None, None)),
                agreed(2, 1, inside(1, 5, Some((1, 3)), None)),
                agreed(peers, 2, inside(3, 1, Some((2, 2)), Some(2))),
            ];
            all.push(Scenario {
                name: "an app, a transfer and a proposal",
                agreed: everything,
                proposed: Some(agreed(own, peers, inside(2, 2, Some((2, 2)), Some(2)))),
                expiry: 7,
                calls: vec![redeem, refund, claim],
                ..base
            });
        }
    }
    all
}
