//! Two honest peers that agree on rounds (R6.1, R6.1a, R6.6): proposals that cross, refusals, links in order, processes that stop between commit
//! and send, connections that are lost and set up again. No chain.
//!
//! Every step uses up a message, a proposal, or a disturbance, so that every path is finite: where nothing more can happen, both must have come
//! to rest on the same round. So quiet agreement can be reached from everywhere.

use protocol::{Pair, Party, Round};
use stateright::{Model, Property};

/// How a peer refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusals {
    /// By a counter-round (R6.1a).
    #[default]
    CounterRound,
    /// While a round of its own is open, without signing anything: to see that the model would notice.
    Silent,
}

/// What a peer tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A round, signed by its owner.
    Proposal(Own),
    /// The other signature.
    Countersigned(Round),
    /// "I do not sign this", and nothing signed.
    Refused(Round),
    /// The newest co-signed round, when a connection begins (R6.6).
    Newest(Round),
}

/// A round of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Own {
    /// Its number.
    pub round: Round,
    /// The agreed round that it goes on from.
    pub base: Round,
    /// Whether it refuses another.
    pub is_counter_round: bool,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its newest agreed round.
    pub agreed: Round,
    /// Its own rounds that may still be countersigned.
    pub open: Vec<Own>,
    /// The highest round that it has signed or seen.
    pub top: Round,
    /// How often it will propose something.
    pub proposals: u8,
    /// What it has refused in silence.
    pub refused: Option<Round>,
}

/// Both, and what is between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// The peers.
    pub peers: Pair<Peer>,
    /// What is on its way to each.
    pub links: Pair<Vec<Message>>,
    /// Whether they are connected.
    pub is_connected: bool,
    /// How often something goes wrong.
    pub disturbances: u8,
    /// Whether a peer was told something that cannot be.
    pub is_broken: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A peer proposes a round; and whether its process stops before that leaves.
    Propose(Party, bool),
    /// A peer takes its next message, and would refuse a proposal if it is one; and whether its process stops before its answer leaves.
    Take(Party, bool, bool),
    /// The connection is lost, with everything on it.
    Lose,
    /// It is set up again.
    Connect,
}

/// Two peers, and how often they propose and are disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Peers {
    /// How many proposals each makes.
    pub proposals: u8,
    /// How often a process stops or a connection is lost.
    pub disturbances: u8,
    /// How they refuse.
    pub refusals: Refusals,
}

impl Peer {
    /// The next round of `party`'s to propose (R6.1).
    fn next(&self, party: Party) -> Round {
        let after = if Party::owner_of(self.agreed) == party { 2 } else { 3 };
        let mut next = self.agreed.saturating_add(after);
        while next <= self.top {
            next = next.saturating_add(2);
        }
        next
    }

    /// Signs a round of its own.
    fn sign(&mut self, own: Own) -> Message {
        self.open.push(own);
        self.top = own.round;
        Message::Proposal(own)
    }

    /// Refuses `refused` by a round of `party`'s above it.
    fn counter(&mut self, party: Party, refused: Round) -> Message {
        let next = refused.max(self.top).saturating_add(1);
        let round = if Party::owner_of(next) == party { next } else { next.saturating_add(1) };
        self.sign(Own { round, base: self.agreed, is_counter_round: true })
    }

    fn agree(&mut self, round: Round) {
        self.agreed = round;
        self.top = self.top.max(round);
        self.open.retain(|own| own.round > round);
        self.refused = self.refused.filter(|refused| *refused > round);
    }

    const fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.refused.is_none()
    }
}

impl Conversation {
    fn send(&mut self, from: Party, messages: Vec<Message>, stops: bool) -> Option<()> {
        if stops {
            self.disturb()
        } else {
            self.links[from.peer()].extend(messages);
            Some(())
        }
    }

    fn disturb(&mut self) -> Option<()> {
        self.disturbances = self.disturbances.checked_sub(1)?;
        self.is_connected = false;
        self.links = Pair::default();
        Some(())
    }

    /// Takes the next message; what it answers.
    fn take(&mut self, party: Party, refuses: bool, refusals: Refusals) -> Option<Vec<Message>> {
        if self.links[party].is_empty() {
            return None;
        }
        let message = self.links[party].remove(0);
        let peer = &mut self.peers[party];
        let is_refusable = matches!(message, Message::Proposal(own) if !own.is_counter_round && own.round > peer.top);
        if refuses && !is_refusable {
            return None;
        }
        Some(match message {
            Message::Countersigned(round) | Message::Newest(round) => {
                let newer = round > peer.agreed;
                // What is agreed bears one's own signature.
                self.is_broken |= newer && !peer.open.iter().any(|own| own.round == round);
                if newer {
                    peer.agree(round);
                }
                match peer.refused.filter(|_| peer.open.is_empty()) {
                    Some(refused) => {
                        peer.refused = None;
                        vec![peer.counter(party, refused)]
                    }
                    None => Vec::new(),
                }
            }
            Message::Refused(_) => Vec::new(),
            // Overtaken: dead, or lower than what is open here.
            Message::Proposal(own) if own.round <= peer.top => Vec::new(),
            Message::Proposal(own) if own.base != peer.agreed => {
                self.is_broken = true;
                Vec::new()
            }
            Message::Proposal(own) if !refuses => {
                peer.agree(own.round);
                vec![Message::Countersigned(own.round)]
            }
            Message::Proposal(own) => match refusals {
                Refusals::Silent if !peer.open.is_empty() => {
                    (peer.top, peer.refused) = (own.round, Some(own.round));
                    vec![Message::Refused(own.round)]
                }
                _ => vec![peer.counter(party, own.round)],
            },
        })
    }
}

impl Model for Peers {
    type State = Conversation;
    type Action = Step;

    fn init_states(&self) -> Vec<Conversation> {
        let peer = || Peer { agreed: 1, open: Vec::new(), top: 1, proposals: self.proposals, refused: None };
        vec![Conversation {
            peers: Pair::new(peer(), peer()),
            links: Pair::default(),
            is_connected: true,
            disturbances: self.disturbances,
            is_broken: false,
        }]
    }

    fn actions(&self, now: &Conversation, steps: &mut Vec<Step>) {
        if !now.is_connected {
            steps.push(Step::Connect);
            return;
        }
        let disturbed = || [false, true].into_iter().filter(|stops| !stops || now.disturbances > 0);
        for (party, peer) in now.peers.iter() {
            if peer.proposals > 0 && peer.is_quiet() {
                steps.extend(disturbed().map(|stops| Step::Propose(party, stops)));
            }
            if !now.links[party].is_empty() {
                let both = [false, true].into_iter();
                steps.extend(both.flat_map(|refuses| disturbed().map(move |stops| Step::Take(party, refuses, stops))));
            }
        }
        if now.disturbances > 0 && Party::BOTH.into_iter().any(|party| !now.links[party].is_empty()) {
            steps.push(Step::Lose);
        }
    }

    fn next_state(&self, now: &Conversation, step: Step) -> Option<Conversation> {
        let mut after = now.clone();
        match step {
            Step::Propose(party, stops) => {
                let peer = &mut after.peers[party];
                peer.proposals = peer.proposals.checked_sub(1)?;
                let own = Own { round: peer.next(party), base: peer.agreed, is_counter_round: false };
                let message = peer.sign(own);
                after.send(party, vec![message], stops)?;
            }
            Step::Take(party, refuses, stops) => {
                let answer = after.take(party, refuses, self.refusals)?;
                after.send(party, answer, stops)?;
            }
            Step::Lose => after.disturb()?,
            Step::Connect => {
                after.is_connected = true;
                for (party, peer) in now.peers.iter() {
                    let open = peer.open.iter().copied().map(Message::Proposal);
                    let messages = [Message::Newest(peer.agreed)].into_iter().chain(open).collect();
                    after.send(party, messages, false)?;
                }
            }
        }
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "where nothing more can happen both rest on one round",
                |model: &Self, now: &Conversation| {
                    let mut steps = Vec::new();
                    model.actions(now, &mut steps);
                    let Pair { initiator, responder } = &now.peers;
                    let rests = initiator.is_quiet() && responder.is_quiet() && initiator.agreed == responder.agreed;
                    !steps.is_empty() || rests
                },
            ),
            Property::always("nobody has more than two open rounds", |_: &Self, now: &Conversation| {
                now.peers.iter().all(|(_, peer)| peer.open.len() <= 2)
            }),
            Property::always("a peer is told only what can be", |_: &Self, now: &Conversation| !now.is_broken),
            Property::sometimes("a proposal and a counter-round are open together", |_: &Self, now: &Conversation| {
                now.peers.iter().any(|(_, peer)| peer.open.len() == 2)
            }),
            Property::sometimes("everything that was proposed comes to rest", |_: &Self, now: &Conversation| {
                now.peers.iter().all(|(_, peer)| peer.proposals == 0 && peer.is_quiet())
            }),
        ]
    }
}
