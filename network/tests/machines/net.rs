//! Nodes, their channels, one registry for all, and an order that is given from outside.

use super::{
    link::{DOMAIN, Initiator, Responder, World as Link, registry::Asked},
    node::{Node, Task, Verdicts, refusal},
};
use channel::{
    ChannelRef, Command, Input,
    transfer::{Margins, TransferCommand, TransferRow},
};
use network::{
    At, ChainPolicy, Invoice, InvoiceRequest, Opening, PayError, PaymentId, PaymentState, Restored, RestoredChannel,
    RouterInput, RouterOutput, RoutingPolicy,
};
use protocol::{
    Amount, BlockNumber, Party, PublicKey,
    call::Call,
    contracts::conditional::{HashLock, Preimage},
    crypto::SigningKey,
    signing::Domain,
};
use std::sync::Arc;

/// The second chain, where there is one.
pub(super) const OTHER_CHAIN: Domain = crate::harness::OTHER_CHAIN;
pub(super) const MARGINS: Margins = Margins { register: 8, answer: 4 };
/// What each side has in each channel at first.
pub(super) const SHARE: Amount = super::link::SHARE;

/// Something that can be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// The next message to this side of this channel.
    Message(usize, Party),
    /// What the router of this node wants done next.
    Wish(usize),
}

pub(super) struct Net {
    pub(super) links: Vec<Link>,
    /// The node at either side of each channel.
    pub(super) ends: Vec<(usize, usize)>,
    nodes: Vec<Node>,
    policies: Vec<RoutingPolicy>,
    /// The first channel of the second chain, where there is one.
    second: usize,
    /// Nodes whose process does not run.
    pub(super) is_away: Vec<bool>,
    /// Nodes that are told of no block, as if they saw none.
    pub(super) is_deaf: Vec<bool>,
    /// How far the final head of each node lies behind.
    pub(super) lag: Vec<BlockNumber>,
    pub(super) now: u64,
    /// How much has been done, whatever it is.
    pub(super) operations: u64,
    pub(super) crashes: u64,
}

pub(super) fn policy() -> RoutingPolicy {
    let chain = ChainPolicy { margins: MARGINS, ..ChainPolicy::default() };
    RoutingPolicy { chain, ..crate::harness::hub_policy() }
}

fn seed(node: usize) -> u8 {
    u8::try_from(node).unwrap() + 50
}

pub(super) fn identity(node: usize) -> PublicKey {
    SigningKey::from_seed(&[seed(node); 32]).public()
}

pub(super) fn at(link: usize) -> At {
    At { chain: DOMAIN, channel: ChannelRef([u8::try_from(link).unwrap() + 1; 16]) }
}

impl Net {
    /// So many nodes, with open channels between these.
    pub(super) fn new(count: usize, ends: &[(usize, usize)]) -> Self {
        Self::with(policy(), count, ends)
    }

    /// A node for each of these policies, with open channels between these: on one chain, and on another one.
    pub(super) fn on_two_chains(
        policies: Vec<RoutingPolicy>,
        first: &[(usize, usize)],
        second: &[(usize, usize)],
    ) -> Self {
        Self::begun(policies, &[first, second].concat(), first.len())
    }

    /// As [`new`](Self::new), all of them with this policy.
    pub(super) fn with(policy: RoutingPolicy, count: usize, ends: &[(usize, usize)]) -> Self {
        Self::begun(vec![policy; count], ends, usize::MAX)
    }

    fn begun(policies: Vec<RoutingPolicy>, ends: &[(usize, usize)], second: usize) -> Self {
        let (count, margins) = (policies.len(), policies[0].chain.margins);
        let mut links: Vec<Link> = ends.iter().map(|_| Link::opened()).collect();
        for link in &mut links {
            for party in Party::BOTH {
                link.sides[party].registry.margins = margins;
            }
        }
        let mut net = Self {
            links,
            ends: ends.to_vec(),
            nodes: policies.iter().enumerate().map(|(node, policy)| Node::new(seed(node), policy.clone())).collect(),
            policies,
            second,
            is_away: vec![false; count],
            is_deaf: vec![false; count],
            lag: vec![0; count],
            now: 1_000_000,
            operations: 0,
            crashes: 0,
        };
        for node in 0..count {
            net.begin(node);
        }
        for _ in 0..4 {
            net.tick(20_000);
            net.run();
        }
        net
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The channels of a node, and which side of each it is.
    pub(super) fn sides_of(&self, node: usize) -> Vec<(usize, Party)> {
        let sides = self.ends.iter().enumerate().filter_map(|(link, (one, other))| {
            let party = if *one == node { Some(Initiator) } else { (*other == node).then_some(Responder) };
            Some((link, party?))
        });
        sides.collect()
    }

    pub(super) fn node_at(&self, link: usize, party: Party) -> usize {
        let (one, other) = self.ends[link];
        if party == Initiator { one } else { other }
    }

    pub(super) fn head(&self) -> BlockNumber {
        self.links[0].chain.head()
    }

    // Processes.

    /// The router takes its rows over, and its tasks begin: before any link is up.
    fn begin(&mut self, node: usize) {
        self.nodes[node].tell([RouterInput::Tick(self.now)]);
        for chain in self.chains() {
            self.join(node, chain);
        }
        for (link, party) in self.sides_of(node) {
            let (of, peer) = (self.nodes[node].clone(), identity(self.node_at(link, party.peer())));
            let verdicts: Arc<dyn Asked> = Arc::new(Verdicts { node: of.clone(), at: self.at(link) });
            self.links[link].sides[party].registry.router = Some(verdicts);
            let at = self.at(link);
            self.links[link].routes[party] = Some(Box::new(Task { node: of, at, peer, told: None }));
        }
    }

    /// The router takes over what the store of one chain has.
    fn join(&mut self, node: usize, chain: Domain) {
        let of_chain = self.sides_of(node).into_iter().filter(|(link, _)| self.at(*link).chain == chain);
        let channels = of_chain.map(|(link, party)| {
            let mut restored = RestoredChannel {
                at: self.at(link),
                peer: identity(self.node_at(link, party.peer())),
                incoming: Vec::new(),
                outgoing: Vec::new(),
                is_whole: true,
            };
            for row in self.links[link].sides[party].transfers.values() {
                match row {
                    TransferRow::Incoming(row) => restored.incoming.push(row.clone()),
                    TransferRow::Outgoing(row) => restored.outgoing.push(row.clone()),
                }
            }
            restored
        });
        let channels = channels.collect();
        let all = self.nodes[node].shared().rows.clone();
        let rows = all.into_iter().filter(|((of, _), _)| *of == chain).map(|((_, key), value)| (key, value)).collect();
        let restored = RouterInput::Restored(Restored { chain, channels, rows });
        self.nodes[node].tell([self.head_of(node, chain), restored]);
    }

    /// The chains that there are.
    fn chains(&self) -> Vec<Domain> {
        if self.second < self.links.len() { vec![DOMAIN, OTHER_CHAIN] } else { vec![DOMAIN] }
    }

    /// A channel's name.
    pub(super) fn at(&self, link: usize) -> At {
        let chain = if link < self.second { DOMAIN } else { OTHER_CHAIN };
        At { chain, ..at(link) }
    }

    /// The process ends.
    pub(super) fn vanish(&mut self, node: usize) {
        self.is_away[node] = true;
        for (link, party) in self.sides_of(node) {
            self.links[link].sides[party].registry.router = None;
            if !self.links[link].sides[party].asleep {
                self.links[link].kill(party);
            }
        }
        self.nodes[node].crash(seed(node), self.policies[node].clone());
    }

    /// It begins again, from what was committed.
    pub(super) fn come_back(&mut self, node: usize) {
        self.is_away[node] = false;
        self.begin(node);
        for (link, party) in self.sides_of(node) {
            self.links[link].restart(party);
        }
        self.tell_registry(node);
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.crashes += 1;
        self.vanish(node);
        self.come_back(node);
    }

    /// A machine that crashed at one of its commits takes its node with it.
    pub(super) fn bury(&mut self) {
        for node in 0..self.count() {
            let is_dead = |(link, party): &(usize, Party)| self.links[*link].sides[*party].asleep;
            if !self.is_away[node] && self.sides_of(node).iter().any(is_dead) {
                self.crash(node);
            }
        }
    }

    // What can be done.

    pub(super) fn ready(&self) -> Vec<Ready> {
        let mut all = Vec::new();
        for (number, link) in self.links.iter().enumerate() {
            let waiting = Party::BOTH.into_iter().filter(|party| link.linked && !link.wire[*party].is_empty());
            all.extend(waiting.map(|party| Ready::Message(number, party)));
        }
        let wishes = (0..self.count()).filter(|node| !self.nodes[*node].shared().outbox.is_empty());
        all.extend(wishes.map(Ready::Wish));
        all
    }

    pub(super) fn step(&mut self, ready: Ready) {
        self.operations += 1;
        match ready {
            Ready::Message(link, party) => drop(self.links[link].deliver(party)),
            Ready::Wish(node) => self.carry_out(node),
        }
        self.bury();
    }

    /// What a node's router wants done next.
    pub(super) fn carry_out(&mut self, node: usize) {
        let Some(wish) = self.nodes[node].shared().outbox.pop_front() else { return };
        match wish {
            RouterOutput::Command { at: wanted, command } => {
                let all = self.sides_of(node);
                let side = all.into_iter().find(|(link, _)| self.at(*link) == wanted).expect("a channel of its own");
                self.command(node, side, command);
            }
            RouterOutput::Register { chain, lock, preimage, .. } => {
                let all = self.sides_of(node);
                let side = all.into_iter().find(|(link, _)| self.at(*link).chain == chain);
                let (link, party) = side.expect("a channel there");
                let call = Call::PreimageRegister { preimage, function: lock.function };
                self.links[link].chain.submit(party, call);
            }
            RouterOutput::Announce { bytes, .. } => {
                for (link, party) in self.sides_of(node) {
                    let other = self.node_at(link, party.peer());
                    if self.links[link].linked && !self.is_away[other] {
                        let announced = RouterInput::Announced { peer: identity(node), bytes: bytes.clone() };
                        self.nodes[other].tell([announced]);
                    }
                }
            }
            RouterOutput::Tell { chain, peer, bytes } => {
                let to = (0..self.count()).find(|other| identity(*other) == peer).expect("somebody known");
                if !self.is_away[node] && !self.is_away[to] {
                    self.nodes[to].tell([RouterInput::Swap { chain, peer: identity(node), bytes }]);
                }
            }
            RouterOutput::Row { .. } | RouterOutput::Notify(_) => unreachable!("neither leaves"),
        }
    }

    fn command(&mut self, node: usize, (link, party): (usize, Party), command: TransferCommand) {
        let input = Input::User(Command::Transfer(command.clone()));
        if let Err(misuse) = self.links[link].input(party, input) {
            let why = refusal(&misuse);
            self.nodes[node].tell([RouterInput::Refused { at: self.at(link), command, why }]);
        }
    }

    /// The routers' wishes are carried out: a process that runs is not slow.
    pub(super) fn carry_out_all(&mut self) {
        while let Some(wish) = self.ready().into_iter().find(|ready| matches!(ready, Ready::Wish(_))) {
            self.step(wish);
        }
    }

    pub(super) fn connect(&mut self, link: usize) {
        let is_there = Party::BOTH.into_iter().all(|party| !self.links[link].sides[party].asleep);
        if !self.links[link].linked && is_there {
            self.links[link].connect();
            self.bury();
        }
    }

    pub(super) fn cut(&mut self, link: usize) {
        self.links[link].disconnect();
        self.bury();
    }

    /// Connects what can be connected, and does everything there is to do, until there is nothing left.
    pub(super) fn run(&mut self) {
        let before = self.operations;
        loop {
            (0..self.links.len()).for_each(|link| self.connect(link));
            let Some(ready) = self.ready().first().copied() else { return };
            self.step(ready);
            assert!(self.operations - before < 100_000, "it never ends");
        }
    }

    // Blocks and time.

    pub(super) fn mine(&mut self) {
        self.operations += 1;
        self.carry_out_all();
        self.links.iter_mut().for_each(|link| link.chain.mine());
        self.share_registry();
        for number in 0..self.links.len() {
            for party in Party::BOTH {
                let node = self.node_at(number, party);
                let is_deaf = self.is_deaf[node];
                self.links[number].lag[party] = if is_deaf { BlockNumber::from(u16::MAX) } else { self.lag[node] };
            }
            self.links[number].tell_blocks();
        }
        self.bury();
        (0..self.count()).for_each(|node| self.tell_registry(node));
    }

    /// What was shown in one ledger was shown in all of its chain.
    fn share_registry(&mut self) {
        let second = self.second.min(self.links.len());
        let (first, second) = self.links.split_at_mut(second);
        for links in [first, second] {
            Self::share_among(links);
        }
    }

    fn share_among(links: &mut [Link]) {
        let all = links.iter().flat_map(|link| link.chain.preimages.clone()).collect::<Vec<_>>();
        for link in links {
            for (lock, (preimage, shown_at)) in &all {
                let _first = link.chain.preimages.entry(*lock).or_insert((*preimage, *shown_at));
                let _first = link.chain.ledger.preimages.entry(*lock).or_insert(*shown_at);
            }
        }
    }

    fn head_of(&self, node: usize, chain: Domain) -> RouterInput {
        let best = self.head();
        RouterInput::Head { chain, best, finalised: best - self.lag[node] }
    }

    fn tell_registry(&mut self, node: usize) {
        if self.is_away[node] || self.is_deaf[node] {
            return;
        }
        let final_head = self.head() - self.lag[node];
        for chain in self.chains() {
            let of_chain = if chain == DOMAIN { 0 } else { self.second };
            let shown = &self.links[of_chain].chain.preimages;
            let unseen = self.nodes[node].shared().router.unseen(chain);
            let known = unseen.into_iter().filter_map(|lock| {
                let (preimage, shown_at) = *shown.get(&lock)?;
                let at = (shown_at <= final_head).then_some(shown_at);
                Some(RouterInput::Shown { chain, lock, preimage, at })
            });
            let inputs: Vec<_> = std::iter::once(self.head_of(node, chain)).chain(known).collect();
            self.nodes[node].tell(inputs);
        }
        self.carry_out_all();
    }

    pub(super) fn tick(&mut self, millis: u64) {
        self.operations += 1;
        self.now += millis;
        for link in &mut self.links {
            link.tick(millis);
        }
        self.bury();
        for node in (0..self.count()).filter(|node| !self.is_away[*node]) {
            self.nodes[node].tell([RouterInput::Tick(self.now)]);
        }
    }

    /// Everything that may still happen by itself does.
    pub(super) fn settle(&mut self) {
        self.links.iter_mut().for_each(|link| link.crash_plan = None);
        for node in 0..self.count() {
            self.is_deaf[node] = false;
            self.lag[node] = 0;
            if self.is_away[node] {
                self.come_back(node);
            }
        }
        self.run();
        for _ in 0..4 {
            self.tick(31_000);
            self.run();
            self.mine();
            self.run();
        }
        for _ in 0..400 {
            if self.is_quiet() {
                break;
            }
            self.mine();
            self.run();
        }
        self.tick(61_000);
        self.run();
    }

    fn is_quiet(&self) -> bool {
        let has_none = |link: &Link| Party::BOTH.into_iter().all(|party| link.sides[party].transfers.is_empty());
        self.links.iter().all(has_none)
            && (0..self.count()).all(|node| self.nodes[node].shared().router.open() == (0, 0))
    }

    // What users do.

    pub(super) fn invoice(&mut self, node: usize, number: u8, amount: Amount, hubs: &[usize]) -> Invoice {
        self.invoice_for(node, number, amount, hubs, Opening::AtOnce(Preimage([number; 32])))
    }

    pub(super) fn invoice_for(
        &mut self,
        node: usize,
        number: u8,
        amount: Amount,
        hubs: &[usize],
        opening: Opening,
    ) -> Invoice {
        let request = InvoiceRequest {
            chain: DOMAIN,
            amount: Some(amount),
            opening,
            secret: [number ^ 0xff; 32],
            least_expiry: 0,
            description: String::new(),
            expires_at: self.now / 1_000 + 3_600,
            hubs: hubs.iter().map(|hub| identity(*hub)).collect(),
        };
        let added = self.nodes[node].act(|router| {
            let (invoice, _text, said) = router.add_invoice(request)?;
            Ok::<_, network::ReceiveError>((invoice, said))
        });
        added.expect("an invoice")
    }

    /// A payee gives back what it holds.
    pub(super) fn cancel(&mut self, node: usize, lock: HashLock) {
        let cancelled = self.nodes[node].act(|router| router.cancel(lock).map(|said| ((), said)));
        cancelled.expect("it is not paid");
    }

    pub(super) fn pay(&mut self, node: usize, id: u8, invoice: &Invoice) -> Result<PaymentState, PayError> {
        self.pay_for(node, id, invoice, 1_000)
    }

    /// As [`pay`](Self::pay), for fees of at most so much.
    pub(super) fn pay_for(
        &mut self,
        node: usize,
        id: u8,
        invoice: &Invoice,
        max_fee: Amount,
    ) -> Result<PaymentState, PayError> {
        self.nodes[node].act(|router| router.pay(PaymentId([id; 32]), invoice, None, max_fee, [id; 32]))
    }

    pub(super) fn payment(&self, node: usize, id: u8) -> Option<PaymentState> {
        self.nodes[node].shared().router.payment(&PaymentId([id; 32]))
    }
}
