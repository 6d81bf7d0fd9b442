//! What goes wrong in a swap, from which step on, and whose losses count.

use crate::{
    harness::Tamper,
    swaps::{INITIATOR, RESPONDER},
};

/// How far a swap is when something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Agreed,
    SourceLocked,
    BothLocked,
    Shown,
}

/// A fault of one of the two, or of what is between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerFault {
    Lost,
    Repeated,
    Reordered,
    VanishesAndIsBack,
    VanishesForGood,
    Crashes,
    ClosesOldSource,
    ClosesOldTarget,
    Cheats(Tamper),
    /// Learns the pre-image from the claim of its own leg, signs nothing for it, and claims the other leg.
    SignsNoClaim,
    /// Answers nothing, and shows the pre-image on the target chain in the last block that counts.
    ShowsLast,
}

/// A fault of a chain, or of a connection to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainFault {
    SourceStalls,
    TargetStallsWithin,
    TargetStallsLonger,
    SourceUnseenBy(usize),
    TargetUnseenBy(usize),
    SourceFinality,
    TargetFinality,
    SourceCongested,
    SourceJammed,
    TargetCongested,
    TargetJammed,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) step: Step,
    /// Who commits or suffers the peer's fault, and which.
    pub(super) peer: Option<(usize, PeerFault)>,
    pub(super) chain: Option<ChainFault>,
}

impl Step {
    pub(super) const ALL: [Self; 4] = [Self::Agreed, Self::SourceLocked, Self::BothLocked, Self::Shown];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Agreed => "agreed, nothing locked",
            Self::SourceLocked => "source leg locked",
            Self::BothLocked => "both legs locked",
            Self::Shown => "pre-image shown",
        }
    }
}

impl PeerFault {
    /// Those that nobody commits.
    pub(super) const BETWEEN: [Self; 3] = [Self::Lost, Self::Repeated, Self::Reordered];
    /// Those that either of the two may commit.
    pub(super) const BY_EITHER: [Self; 9] = [
        Self::VanishesAndIsBack,
        Self::VanishesForGood,
        Self::Crashes,
        Self::ClosesOldSource,
        Self::ClosesOldTarget,
        Self::Cheats(Tamper::Amount),
        Self::Cheats(Tamper::Lock),
        Self::Cheats(Tamper::Expiry),
        Self::Cheats(Tamper::Words),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lost => "a message is lost",
            Self::Repeated => "a message is repeated",
            Self::Reordered => "a message arrives after later ones",
            Self::VanishesAndIsBack => "vanishes and is back before the source leg expires",
            Self::VanishesForGood => "vanishes for good",
            Self::Crashes => "crashes and returns",
            Self::ClosesOldSource => "closes on an old state on the source chain",
            Self::ClosesOldTarget => "closes on an old state on the target chain",
            Self::Cheats(Tamper::Amount) => "locks one coin less than agreed",
            Self::Cheats(Tamper::Lock) => "locks its leg under another hash",
            Self::Cheats(Tamper::Expiry) => "locks its leg with an earlier expiry",
            Self::Cheats(Tamper::Words) => "locks its leg with another hash of the peer's words",
            Self::SignsNoClaim => "learns the pre-image, signs no claim of its own leg, and claims the other one",
            Self::ShowsLast => {
                "answers nothing and shows the pre-image in the last block of the target chain that counts"
            }
        }
    }

    /// Whether whoever this befalls has kept to the rules.
    const fn is_nobodys(self) -> bool {
        matches!(self, Self::Lost | Self::Repeated | Self::Reordered | Self::VanishesAndIsBack | Self::Crashes)
    }
}

impl ChainFault {
    pub(super) const ALL: [Self; 13] = [
        Self::SourceStalls,
        Self::TargetStallsWithin,
        Self::TargetStallsLonger,
        Self::SourceUnseenBy(INITIATOR),
        Self::SourceUnseenBy(RESPONDER),
        Self::TargetUnseenBy(INITIATOR),
        Self::TargetUnseenBy(RESPONDER),
        Self::SourceFinality,
        Self::TargetFinality,
        Self::SourceCongested,
        Self::SourceJammed,
        Self::TargetCongested,
        Self::TargetJammed,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SourceStalls => "the source chain stalls for 3 S",
            Self::TargetStallsWithin => "the target chain stalls for S",
            Self::TargetStallsLonger => "the target chain stalls for 3 S while the source chain runs on",
            Self::SourceUnseenBy(INITIATOR) => "the initiator's connection to the source chain is lost",
            Self::SourceUnseenBy(_) => "the responder's connection to the source chain is lost",
            Self::TargetUnseenBy(INITIATOR) => "the initiator's connection to the target chain is lost",
            Self::TargetUnseenBy(_) => "the responder's connection to the target chain is lost",
            Self::SourceFinality => "finality of the source chain stalls while its blocks flow",
            Self::TargetFinality => "finality of the target chain stalls while its blocks flow",
            Self::SourceCongested => "the source chain is congested: a registration takes i blocks",
            Self::SourceJammed => "the source chain is congested: a registration takes 8 i blocks",
            Self::TargetCongested => "the target chain is congested: a registration takes i blocks",
            Self::TargetJammed => "the target chain is congested: a registration takes 8 i blocks",
        }
    }

    /// Whether the published bounds hold.
    pub(super) const fn is_within(self) -> bool {
        !matches!(self, Self::TargetStallsLonger | Self::SourceJammed | Self::TargetJammed)
    }
}

impl Case {
    /// Whether a party's losses count: it keeps to the rules, and is there.
    pub(super) fn counts(&self, node: usize) -> bool {
        self.peer.is_none_or(|(who, fault)| who != node || fault.is_nobodys())
    }

    /// Whether what is published as needed holds: then nobody whose losses count loses a leg.
    pub(super) fn is_within(&self) -> bool {
        self.chain.is_none_or(ChainFault::is_within)
    }

    /// Whether the initiator lets the target leg expire, so that it may lose its premium: it alone is away for so long.
    pub(super) const fn lets_expire(&self) -> bool {
        matches!(self.peer, Some((INITIATOR, PeerFault::VanishesAndIsBack)))
    }

    /// What goes wrong, in words.
    pub(super) fn name(&self) -> String {
        let peer = self.peer.map(|(who, fault)| match (fault, who) {
            (PeerFault::Lost | PeerFault::Repeated | PeerFault::Reordered, _) => fault.name().to_owned(),
            (_, INITIATOR) => format!("the initiator {}", fault.name()),
            _ => format!("the responder {}", fault.name()),
        });
        let all: Vec<String> = peer.into_iter().chain(self.chain.map(|fault| fault.name().to_owned())).collect();
        all.join("; ")
    }

    /// Who keeps to the rules, in words.
    pub(super) fn honest(&self) -> &'static str {
        match (self.counts(INITIATOR), self.counts(RESPONDER)) {
            (true, true) => "both",
            (true, false) => "the initiator",
            _ => "the responder",
        }
    }

    /// Faults of the two and of what is between them.
    pub(super) fn of_peers() -> Vec<Self> {
        let between = PeerFault::BETWEEN.map(|fault| (INITIATOR, fault));
        let by_either = PeerFault::BY_EITHER.into_iter().flat_map(|fault| [(RESPONDER, fault), (INITIATOR, fault)]);
        let last = [(RESPONDER, PeerFault::SignsNoClaim), (INITIATOR, PeerFault::ShowsLast)];
        let all = between.into_iter().chain(by_either).chain(last);
        all.flat_map(|peer| Step::ALL.map(|step| Self { step, peer: Some(peer), chain: None })).collect()
    }

    /// Faults of chains where both parties keep to the rules.
    pub(super) fn of_chains() -> Vec<Self> {
        let all = ChainFault::ALL.into_iter();
        all.flat_map(|chain| Step::ALL.map(|step| Self { step, peer: None, chain: Some(chain) })).collect()
    }

    /// Faults of chains while the peer makes the most of them.
    pub(super) fn of_both() -> Vec<Self> {
        let hostile = [
            (INITIATOR, PeerFault::ShowsLast, Step::BothLocked),
            (RESPONDER, PeerFault::VanishesForGood, Step::BothLocked),
            (RESPONDER, PeerFault::SignsNoClaim, Step::BothLocked),
        ];
        let with = |chain: ChainFault| {
            hostile.map(|(who, fault, step)| Self { step, peer: Some((who, fault)), chain: Some(chain) })
        };
        // A party without a connection is one whose losses count.
        let is_seen = |case: &Self| match case.chain {
            Some(ChainFault::SourceUnseenBy(node) | ChainFault::TargetUnseenBy(node)) => case.counts(node),
            _ => true,
        };
        ChainFault::ALL.into_iter().flat_map(with).filter(is_seen).collect()
    }
}
