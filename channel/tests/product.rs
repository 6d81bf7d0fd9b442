//! Every message in every state: it is taken, or it meets its one typed violation, and then it changes nothing.

use crate::harness::{
    Initiator, Responder, SHARE, World, account,
    contracts::{counter, forced, of, puppet},
    forge::payment,
    opening, party_terms,
};
use channel::{
    Acceptance, Change, Channel, ChannelAccept, Command, FundingCreated, FundingSigned, Input, Message, Notice,
    PledgeBody, Reestablish, RefusalCode, Shutdown, Stage, State, Update, Violation,
    transfer::{LockedCalls, Offer, TransferTerms},
};
use protocol::{
    Base, Hash, Pair, Party, Signature,
    contracts::conditional::{HashFunction, HashLock},
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, WithdrawBody},
};
use std::collections::BTreeSet;

const WRONG: Signature = Signature([1; 64]);

/// One of each, well-formed, and signed by nobody. In the order of [`column`].
pub(crate) fn one_of_each(of: Party) -> Vec<Message> {
    let round = match of {
        Initiator => 4,
        Responder => 3,
    };
    let (ours, code) = (7 - round, RefusalCode::APPLICATION);
    let balances = Pair::new(SHARE, SHARE);
    let body = CloseMutualBody { balances, fee: 0, valid_until: 110 };
    let changes = vec![Change::Transfer(payment(5))];
    let (party, amount, state_hash, valid_until) = (of.peer(), 5, Hash::ZERO, 110);
    let (at, base, to) = (Base::of(9), Base::of(1), account(of.peer()));
    let signatures = Some(Pair::new(WRONG, WRONG));
    let lock = HashLock { function: HashFunction::Sha2_256, digest: Hash::ZERO };
    let terms = TransferTerms { amount, lock, expiry: 130 };
    let offer = Offer { terms, premium: 1, calls: LockedCalls::NONE, instruction: Vec::new() };
    let reestablish = Reestablish { at, base, state: State::of(balances).commitment(), signatures };
    vec![
        Message::ChannelOpen(opening()),
        Message::ChannelAccept(ChannelAccept {
            responder: party_terms(Initiator),
            transfers: channel::transfer::TransferLimits::default(),
        }),
        Message::FundingCreated(FundingCreated { nonce: 0, valid_until, signature: WRONG }),
        Message::FundingSigned(FundingSigned { signature: WRONG }),
        Message::FundingLocked,
        Message::Update(Update { round, base, height: 0, refuses: None, changes, state_hash, signature: WRONG }),
        Message::UpdateAck { round: ours, signature: WRONG },
        Message::UpdateError { round: ours, code },
        Message::DepositCreated(DepositBody { party, amount, round, base, state_hash, valid_until }),
        Message::DepositSigned { round: ours, signature: WRONG },
        Message::DepositLocked { round },
        Message::DepositError { round: ours, code },
        Message::WithdrawCreated(WithdrawBody { party, amount, to, round, base, state_hash, valid_until }),
        Message::WithdrawSigned { round: ours, signature: WRONG },
        Message::WithdrawLocked { round },
        Message::WithdrawError { round: ours, code },
        Message::Shutdown(Shutdown { body, signature: WRONG }),
        Message::ShutdownAck { valid_until: 201, signature: WRONG },
        Message::ShutdownError { code },
        Message::SetDelegatesCreated(SetDelegatesBody {
            delegates: Pair::default(),
            round,
            base,
            state_hash,
            valid_until,
        }),
        Message::SetDelegatesSigned { round: ours, signature: WRONG },
        Message::SetDelegatesLocked { round },
        Message::SetDelegatesError { round: ours, code },
        Message::Reestablish(reestablish.clone()),
        Message::ReestablishAck(reestablish),
        Message::Leave,
        Message::LeaveAck,
        Message::Inband(b"words".to_vec()),
        Message::Error { code },
        Message::ForceProgressLocked { round },
        Message::PledgeCreated(PledgeBody { round, base, offer, state_hash, valid_until }),
        Message::PledgeSigned { round: ours, signature: WRONG },
        Message::PledgeError { round: ours, code },
    ]
}

/// Where a message stands in the table. A new message has no column here, and so does not compile.
const fn column(message: &Message) -> usize {
    match message {
        Message::ChannelOpen(_) => 0,
        Message::ChannelAccept(_) => 1,
        Message::FundingCreated(_) => 2,
        Message::FundingSigned(_) => 3,
        Message::FundingLocked => 4,
        Message::Update(_) => 5,
        Message::UpdateAck { .. } => 6,
        Message::UpdateError { .. } => 7,
        Message::DepositCreated(_) => 8,
        Message::DepositSigned { .. } => 9,
        Message::DepositLocked { .. } => 10,
        Message::DepositError { .. } => 11,
        Message::WithdrawCreated(_) => 12,
        Message::WithdrawSigned { .. } => 13,
        Message::WithdrawLocked { .. } => 14,
        Message::WithdrawError { .. } => 15,
        Message::Shutdown(_) => 16,
        Message::ShutdownAck { .. } => 17,
        Message::ShutdownError { .. } => 18,
        Message::SetDelegatesCreated(_) => 19,
        Message::SetDelegatesSigned { .. } => 20,
        Message::SetDelegatesLocked { .. } => 21,
        Message::SetDelegatesError { .. } => 22,
        Message::Reestablish(_) => 23,
        Message::ReestablishAck(_) => 24,
        Message::Leave => 25,
        Message::LeaveAck => 26,
        Message::Inband(_) => 27,
        Message::Error { .. } => 28,
        Message::ForceProgressLocked { .. } => 29,
        Message::PledgeCreated(_) => 30,
        Message::PledgeSigned { .. } => 31,
        Message::PledgeError { .. } => 32,
    }
}

/// The letter of a violation in the table: each pair of message and state has its one.
const fn letter(violation: &Violation) -> char {
    match violation {
        Violation::OutOfPlace { .. } => 'o',
        Violation::RoundTooOld { .. } => 'r',
        Violation::RoundNotProposed { .. } => 'n',
        Violation::SignatureInvalid => 'i',
        Violation::StateHashMismatch { .. } => 'h',
        Violation::CloseUnfair => 'u',
        Violation::WrongTotal { .. } => 'w',
        _ => '?',
    }
}

/// A world in which `party` is in the state of that name.
pub(crate) fn in_state(name: &str, party: Party) -> World {
    let mut world = World::new();
    world.answer_nonce = name != "initialized, accepted";
    if name == "open, undecided" {
        world.sides[party].config.acceptance = Acceptance::Manual;
    }
    world.open();
    let deliver = |world: &mut World, count: usize| {
        (0..count).for_each(|n| assert!(world.deliver(if n % 2 == 0 { Responder } else { Initiator })));
    };
    match name {
        "initialized" => return world,
        "accepted" => deliver(&mut world, 1),
        "initialized, accepted" | "half_signed" => deliver(&mut world, 2),
        _ => world.run(),
    }
    if matches!(name, "accepted" | "initialized, accepted" | "half_signed" | "signed") {
        return world;
    }
    world.mine();
    if name == "signed, locked" {
        world.wire = Pair::default();
        return world;
    }
    world.run();
    match name {
        "open" => {}
        "open, proposed" => drop(world.pay(party, 5)),
        "open, undecided" => {
            let _id = world.pay(party.peer(), 5).unwrap();
            world.run();
        }
        "open, asked" => world.deposit(party, 5).unwrap(),
        "open, bound and submitting" => {
            world.deposit(party, 5).unwrap();
            world.run();
        }
        "open, bound" => {
            world.deposit(party.peer(), 5).unwrap();
            world.run();
        }
        "open, locked" => {
            world.deposit(party, 5).unwrap();
            world.run();
            world.lag[party.peer()] = 5;
            world.mine();
        }
        "open, parted" => {
            world.command(party, Command::Leave).unwrap();
            world.run();
        }
        "open, leaving" => world.command(party, Command::Leave).unwrap(),
        "open, disconnected" => {
            world.disconnect();
            world.linked = true;
        }
        "open, outdated" => {
            let old = world.sides[party].stored.clone();
            let _id = world.pay(party.peer(), 5).unwrap();
            world.run();
            world.disconnect();
            world.sides[party].agreed = 0;
            world.sides[party].channel = Some(Channel::load(&old.unwrap(), [], [], []).unwrap());
            world.run();
        }
        "open, closing alone" => {
            let _new = world.chain.censored.insert("channel_close_solo");
            world.close_solo(party).unwrap();
        }
        "closing, offered" => world.shutdown(party, 0).unwrap(),
        "closing, agreed" => {
            world.shutdown(party, 0).unwrap();
            world.run();
        }
        "closing, solo" => {
            world.close_solo(party).unwrap();
            world.mine();
        }
        "open, forcing" => {
            let ids = world.create(party, vec![counter(Pair::default(), 9)]);
            let _new = world.chain.censored.insert("channel_force_progress");
            world.force(party, vec![forced(ids[0], 0, &1_u64)]).unwrap();
        }
        "open, forced (awaiting lock)" => {
            // Final here, and the peer has not said that it sees it.
            let ids = world.create(party, vec![counter(Pair::default(), 9)]);
            world.force(party, vec![forced(ids[0], 0, &1_u64)]).unwrap();
            world.lag[party.peer()] = 5;
            world.mine();
        }
        "closing, residual" => {
            let _ids = world.create(party, vec![puppet(of(party, 50))]);
            world.close_solo(party).unwrap();
            world.mine_blocks(crate::harness::LOCK + 4);
            assert!(world.is_residual(party));
        }
        "closed" => {
            world.shutdown(party, 0).unwrap();
            world.run();
            world.mine();
        }
        other => panic!("{other}"),
    }
    world
}

/// What became of a message: a violation's letter, `.` nothing at all, `s` something was said or told, `C` committed.
fn outcome(name: &str, party: Party, message: Message) -> char {
    let mut world = in_state(name, party);
    let side = &world.sides[party];
    let (events, notices, commits) = (side.events.len(), side.noticed.len(), side.commits);
    world.wire = Pair::default();
    // The harness checks that what is refused changes nothing.
    world.input(party, Input::Peer(message.clone())).unwrap();
    let (events, notices) = (&world.sides[party].events[events..], &world.sides[party].noticed[notices..]);
    let said = &world.wire[party.peer()];
    let violation = notices.iter().find_map(|notice| match notice {
        Notice::PeerViolated(violation) => Some(violation),
        _ => None,
    });
    if let Some(violation) = violation {
        let code = violation.code();
        let answer = match message {
            Message::Update(update) => Message::UpdateError { round: update.round, code },
            Message::DepositCreated(body) => Message::DepositError { round: body.round, code },
            Message::WithdrawCreated(body) => Message::WithdrawError { round: body.round, code },
            Message::SetDelegatesCreated(body) => Message::SetDelegatesError { round: body.round, code },
            Message::PledgeCreated(body) => Message::PledgeError { round: body.round, code },
            Message::Shutdown(_) => Message::ShutdownError { code },
            ref other => {
                if let Violation::OutOfPlace { message, state } = violation {
                    assert_eq!((*message, *state), (other.name(), world.sides[party].machine().status().phase.name()));
                }
                Message::Error { code }
            }
        };
        assert_eq!(*said, [answer], "the peer is told, once");
        assert_eq!((events.len(), notices.len()), (0, 1));
        return letter(violation);
    }
    match (world.sides[party].commits > commits, events.is_empty() && notices.is_empty() && said.is_empty()) {
        (true, _) => 'C',
        (false, true) => '.',
        (false, false) => 's',
    }
}

#[test]
fn every_message_in_every_state_is_taken_or_refused_by_a_typed_violation() {
    // open accept created signed locked | update ack error | deposit: created signed locked error | withdraw | shutdown ack error
    // | set_delegates | reestablish ack | leave ack | inband | error | force_progress_locked
    // | pledge: created signed error
    let table = [
        ("initialized", Initiator, "oiooo ooo oooo oooo ooo oooo oo oo o s o ooo"),
        ("initialized, accepted", Initiator, "ooooo ooo oooo oooo ooo oooo oo oo o s o ooo"),
        ("accepted", Responder, "ooioo ooo oooo oooo ooo oooo oo oo o s o ooo"),
        ("half_signed", Initiator, "oooio ooo oooo oooo ooo oooo oo oo o s o ooo"),
        ("signed", Initiator, "ooo.C ooo oooo oooo ooo oooo ii so o s o ooo"),
        ("signed", Responder, "ooooC ooo oooo oooo ooo oooo ii so o s o ooo"),
        ("signed, locked", Initiator, "ooo.C ooo oooo oooo ooo oooo ii so o s o ooo"),
        ("signed, locked", Responder, "ooooC ooo oooo oooo ooo oooo ii so o s o ooo"),
        ("open", Initiator, "ooo.. in. hn.. hn.. i.. hn.. ii s. s s . hn."),
        ("open", Responder, "oooo. in. hn.. hn.. i.. hn.. ii s. s s . hn."),
        ("open, proposed", Initiator, "ooo.. iis .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, proposed", Responder, "oooo. .is .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, undecided", Initiator, "ooo.. in. hn.. hn.. i.. hn.. ii s. s s . hn."),
        ("open, undecided", Responder, "oooo. in. hn.. hn.. i.. hn.. ii s. s s . hn."),
        ("open, asked", Initiator, "ooo.. in. hi.C h... i.. h... ii s. s s . h.."),
        ("open, asked", Responder, "oooo. in. .i.C .... i.. .... ii s. s s . ..."),
        ("open, bound and submitting", Initiator, "ooo.. sn. s... s... ... s... ii s. s s . s.."),
        ("open, bound and submitting", Responder, "oooo. sn. s... s... ... s... ii s. s s . s.."),
        ("open, bound", Initiator, "ooo.. sn. sn.. sn.. ... sn.. ii s. s s . sn."),
        ("open, bound", Responder, "oooo. sn. sn.. sn.. ... sn.. ii s. s s . sn."),
        ("open, locked", Initiator, "ooo.. s.. s... s... u.. s... ii s. s s . s.."),
        ("open, locked", Responder, "oooo. ... .... .... u.. .... ii s. s s . ..."),
        ("open, parted", Initiator, "ooo.. .n. .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, parted", Responder, "oooo. .n. .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, leaving", Initiator, "ooo.. in. hn.. hn.. i.. hn.. ii ss s s . hn."),
        ("open, leaving", Responder, "oooo. in. hn.. hn.. i.. hn.. ii ss s s . hn."),
        ("open, disconnected", Initiator, "ooo.. .n. .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, disconnected", Responder, "oooo. .n. .n.. .n.. ... .n.. ii s. s s . .n."),
        ("open, outdated", Initiator, "ooo.. sn. sn.. sn.. u.. sn.. ii s. s s . sn."),
        ("open, outdated", Responder, "oooo. sn. sn.. sn.. u.. sn.. ii s. s s . sn."),
        ("open, closing alone", Initiator, "ooo.. sn. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("open, closing alone", Responder, "oooo. sn. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("closing, offered", Initiator, "ooo.. sn. sn.. sn.. .iC sn.. ii s. s s . sn."),
        ("closing, offered", Responder, "oooo. sn. sn.. sn.. iiC sn.. ii s. s s . sn."),
        ("closing, agreed", Initiator, "ooo.. sn. sn.. sn.. i.C sn.. ii s. s s . sn."),
        ("closing, agreed", Responder, "oooo. sn. sn.. sn.. i.C sn.. ii s. s s . sn."),
        ("closing, solo", Initiator, "ooo.. sn. sn.. sn.. s.C sn.. ii s. s s . sn."),
        ("closing, solo", Responder, "oooo. sn. sn.. sn.. s.C sn.. ii s. s s . sn."),
        ("open, forcing", Initiator, "ooo.. sn. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("open, forcing", Responder, "oooo. sn. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("open, forced (awaiting lock)", Initiator, "ooo.. s.. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("open, forced (awaiting lock)", Responder, "oooo. s.. sn.. sn.. s.. sn.. ii s. s s . sn."),
        ("closing, residual", Initiator, "ooo.. sn. sn.. sn.. s.C sn.. ww s. s s . sn."),
        ("closing, residual", Responder, "oooo. sn. sn.. sn.. s.C sn.. ww s. s s . sn."),
        ("closed", Initiator, "ooooo ooo oooo oooo ooo oooo oo o. o s o ooo"),
        ("closed", Responder, "ooooo ooo oooo oooo ooo oooo oo o. o s o ooo"),
    ];
    let mut wrong = String::new();
    for (name, party, want) in table {
        let messages = one_of_each(party);
        assert!(messages.iter().map(column).eq(0..messages.len()), "one of each, in order");
        let want: String = want.split(' ').collect();
        let got: String = messages.into_iter().map(|message| outcome(name, party, message)).collect();
        if got != want {
            wrong += &format!("        (\"{name}\", {party:?}, \"{}\"),\n", grouped(&got));
        }
    }
    assert!(wrong.is_empty(), "the table should say:\n{wrong}");
    let states: BTreeSet<_> =
        table.iter().map(|(name, party, _)| in_state(name, *party).sides[*party].machine().status().phase).collect();
    assert_eq!(states, Stage::PHASES.into_iter().collect(), "every state is in the table");
}

fn grouped(outcomes: &str) -> String {
    let mut groups = Vec::new();
    let mut rest = outcomes;
    for length in [5, 3, 4, 4, 3, 4, 2, 2, 1, 1, 1] {
        let (group, others) = rest.split_at(length);
        groups.push(group);
        rest = others;
    }
    groups.join(" ")
}
