//! Several openings of one pair at once, and what others do meanwhile.

use async_trait::async_trait;
use channel::{ChannelAccept, ChannelRef, Event, Message, Stage};
use devchain::Sealing;
use e2e_tests::{
    Actor, Asked, Direction, Impaired, Proxy, UNIT, World,
    hostile::{Intruder, funding_signed, party_terms, signs_opening},
    identity, party, signer, terms, until, within,
};
use futures::future::join_all;
use protocol::{
    AccountId, Pair, Party, PartyId, Rejection,
    call::{Call, CloseMutual, Create},
    crypto::Native,
    signing::{CloseMutualBody, CreateBody, signed_bytes},
    terms::{PartyTerms, Terms, channel_id},
};
use sdk::{
    chain::{Arbiter, CallError, ChainSignature, NotSigned, Signer, signer::Sr25519Signer},
    node::{Ack, ChannelHandle, MAX_OPENINGS_PER_PEER, NodeConfig, NodeError, OpenChannel, Packet},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

const SMALL: OpenChannel = OpenChannel { our_share: 20 * UNIT, peer_share: 20 * UNIT, ..terms() };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_openings_with_one_peer_are_under_way_at_once_and_all_come_to_be() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let blocks = async {
        // No block until all ten wait for one.
        within("ten openings to wait for a block", world.chain.pool_filled(10)).await.unwrap();
        world.chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    };
    let opening = within("ten openings", join_all((0..10).map(|_| alice.open_on(&bob, SMALL))));
    let (channels, ()) = tokio::join!(opening, blocks);
    let parties = Pair::new(party("alice"), party("bob"));
    let domain = world.arbiter.info().domain;
    let mut expected: BTreeSet<_> = (0..10).map(|nonce| channel_id(&domain, &parties, nonce, &Native)).collect();
    for (ours, theirs) in &channels {
        let _paid = ours.pays(UNIT, "hello").await;
        assert_eq!(theirs.has().await.ours, 21 * UNIT);
        let id = ours.status().await.unwrap().channel.unwrap();
        assert!(expected.remove(&id), "each has a nonce of its own");
    }
    assert_eq!(world.arbiter.pair_nonce(parties).await.unwrap(), 10);
    assert_eq!(world.recorder.count("channel_create").await, 10);
    assert!(world.recorder.entries().iter().all(|entry| entry.receipt.is_some()), "no fee was paid in vain");
}

/// One account under two identities, and a hub with which both open at once, or which opens with both at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_identities_of_one_account_open_with_one_hub_at_once() {
    let world = World::new().await;
    let of_alice = |config: &mut NodeConfig| config.signer = Arc::new(signer("alice"));
    let first = world.start_with("peer0", of_alice).await;
    let second = world.start_with("peer1", of_alice).await;
    let hub = world.start_rich("hub", 2_000 * UNIT).await;
    for one in [&first, &second] {
        let _done = within("a deposit", one.node.vault_deposit(1_000 * UNIT)).await.unwrap();
        one.connect(&hub).await;
    }
    for _ in 0..4 {
        let (one, other) = tokio::join!(first.try_open(&hub, SMALL), second.try_open(&hub, SMALL));
        let (back, forth) = tokio::join!(hub.try_open(&first, SMALL), hub.try_open(&second, SMALL));
        for opened in [one, other, back, forth] {
            let _paid = opened.unwrap().pays(UNIT, "it is open").await;
        }
    }
}

/// Alice's wallet, which lets everybody wait for a signature that it will not give.
struct Unwilling {
    key: Sr25519Signer,
    waits: watch::Receiver<bool>,
}

#[async_trait]
impl Signer for Unwilling {
    fn account(&self) -> AccountId {
        self.key.account()
    }

    async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        drop(self.waits.clone().wait_for(|waits| !waits).await);
        Err(NotSigned("not by this wallet".into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_both_signed_before_a_restart_are_submitted_after_it_in_the_order_of_their_nonces() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    alice.stop_and_wait().await;
    let (wallet, waits) = watch::channel(true);
    let unwilling = Arc::new(Unwilling { key: signer("alice"), waits });
    let alice = world.start_with("alice", |config| config.signer = unwilling).await;
    alice.connect(&bob).await;
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let (node, peer) = (alice.node.clone(), bob.identity());
            tokio::spawn(async move { node.open_channel(peer, SMALL).await })
        })
        .collect();
    let states = async |actor: &Actor, peer: &Actor| {
        let channels = actor.node.channels(peer.identity()).await.unwrap();
        join_all(channels.iter().map(|channel| async { channel.status().await.unwrap().state })).await
    };
    until("both to have signed all five", || async {
        (states(&alice, &bob).await == [Stage::Signed; 5]).then_some(())
    })
    .await;
    // The node stops before the wallet says no: nothing was sent, and nobody was told.
    asked.iter().for_each(JoinHandle::abort);
    let _cancelled = join_all(asked).await;
    alice.stop_and_wait().await;
    let _was = wallet.send_replace(false);
    assert_eq!(world.recorder.count("channel_create").await, 0);

    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    until("all five to be open", || async { (states(&alice, &bob).await == [Stage::Open; 5]).then_some(()) }).await;
    let parties = Pair::new(party("alice"), party("bob"));
    assert_eq!(world.arbiter.pair_nonce(parties).await.unwrap(), 5);
    // And the next one is above them.
    let (ours, _theirs) = alice.open_on(&bob, SMALL).await;
    let _paid = ours.pays(UNIT, "hello").await;
    assert_eq!(world.arbiter.pair_nonce(parties).await.unwrap(), 6);
}

/// Mallory as the responder of Bob's openings, who answers when she likes.
struct Responder {
    intruder: Intruder,
    world: World,
    bob: Actor,
}

/// An opening that waits for her signature.
struct Awaited {
    reference: ChannelRef,
    nonce: u64,
    body: CreateBody,
}

impl Responder {
    async fn new() -> Self {
        let world = World::new().await;
        let bob = world.start_rich("bob", 1_000 * UNIT).await;
        let mut intruder = Intruder::connect("mallory", "bob", bob.socket()).await;
        // Bob opens channels with her: he has to have her first.
        assert!(intruder.is_served().await);
        Self { intruder, world, bob }
    }

    fn bob_opens(&self) -> JoinHandle<Result<ChannelHandle, NodeError>> {
        self.bob_opens_on(OpenChannel { peer_share: 0, push: 20 * UNIT, ..terms() })
    }

    fn bob_opens_on(&self, terms: OpenChannel) -> JoinHandle<Result<ChannelHandle, NodeError>> {
        let node = self.bob.node.clone();
        tokio::spawn(async move { node.open_channel(identity("mallory").public(), terms).await })
    }

    async fn hears(&mut self) -> (ChannelRef, Message) {
        let Some(Packet::Channel(reference, message)) = self.intruder.hear().await else { panic!("Bob hung up") };
        (reference, message)
    }

    /// Accepts the next opening, up to the point where her signature is missing.
    async fn accepts(&mut self) -> Awaited {
        let (reference, Message::ChannelOpen(open)) = self.hears().await else { panic!("no opening") };
        let responder = party_terms("mallory");
        self.intruder
            .say(
                reference,
                Message::ChannelAccept(ChannelAccept {
                    responder: responder.clone(),
                    transfers: channel::transfer::TransferLimits::default(),
                }),
            )
            .await;
        let (to, Message::FundingCreated(funding)) = self.hears().await else { panic!("no funding") };
        assert_eq!(to, reference);
        let body = open.body(&responder, funding.valid_until);
        Awaited { reference, nonce: funding.nonce, body }
    }

    async fn signs(&mut self, asked: &Awaited) {
        let domain = self.world.arbiter.info().domain;
        self.intruder.say(asked.reference, funding_signed("mallory", &domain, &asked.body, asked.nonce)).await;
    }

    /// Signs, and says that she has seen it on chain once Bob has.
    async fn opens(&mut self, asked: &Awaited) {
        self.signs(asked).await;
        assert_eq!(self.hears().await, (asked.reference, Message::FundingLocked));
        self.intruder.say(asked.reference, Message::FundingLocked).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_a_later_one_has_overtaken_fails_by_name_and_may_be_asked_for_again() {
    let mut mallory = Responder::new().await;
    let first = mallory.bob_opens();
    let asked_first = mallory.accepts().await;
    let second = mallory.bob_opens();
    let asked_second = mallory.accepts().await;
    assert_eq!((asked_first.nonce, asked_second.nonce), (0, 1), "the one under way counts");
    mallory.opens(&asked_second).await;
    let opened = within("the second opening", second).await.unwrap().unwrap();
    assert_eq!(opened.reference(), asked_second.reference);

    mallory.signs(&asked_first).await;
    let refused = within("the refusal", first).await.unwrap().unwrap_err();
    let NodeError::Call(CallError::Rejected(rejection)) = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::NonceOutOfBounds { got: 0, next: 2 });

    let again = mallory.bob_opens();
    let asked_again = mallory.accepts().await;
    assert_eq!(asked_again.nonce, 2);
    mallory.opens(&asked_again).await;
    assert_eq!(within("the third opening", again).await.unwrap().unwrap().reference(), asked_again.reference);
    let created = mallory.world.recorder.count("channel_create").await;
    assert_eq!(created, 2, "what was refused cost nothing");
}

/// Two parties with the accounts of Alice and Bob, and with keys that are a stranger's own.
fn impostors() -> Pair<PartyTerms> {
    let impostor = |name, key: &str| PartyTerms { key: identity(key).public(), ..party_terms(name) };
    Pair::new(impostor("alice", "mallory"), impostor("bob", "hub"))
}

/// The stranger opens an empty channel in their names.
fn empty_channel(world: &World, nonce: u64) -> Create {
    let domain = world.arbiter.info().domain;
    let terms = Terms { parties: impostors(), reserve: 0, lock_period: 20, penalty: 0, max_forced: 1 };
    let valid_until = world.chain.block_number() + 50;
    let body = CreateBody { terms, balances: Pair::new(0, 0), shares: Pair::new(0, 0), valid_until };
    let signatures = Pair::new("mallory", "hub").map(|name| signs_opening(name, &domain, &body, nonce));
    Create { body, nonce, signatures }
}

/// And closes it.
fn its_close(world: &World, create: &Create) -> Call {
    let domain = world.arbiter.info().domain;
    let channel = create.body.terms.channel_id(&domain, create.nonce, &Native);
    let body = CloseMutualBody { balances: Pair::new(0, 0), fee: 0, valid_until: create.body.valid_until };
    let message = signed_bytes(&domain, &channel, &body);
    let signatures = Pair::new("mallory", "hub").map(|name| identity(name).signing().sign(&message));
    Call::ChannelCloseMutual(CloseMutual { channel, body, signatures })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_opens_and_closes_empty_channels_in_two_others_names_does_not_disturb_their_openings() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (theirs, his) = (Pair::new(party("alice"), party("bob")), impostors().map(|party| PartyTerms::id(&party)));
    let stranger = || signer("mallory");
    // Once before they begin, and once in the same block, before theirs.
    let create = empty_channel(&world, 0);
    let call = Call::ChannelCreate(create.clone());
    let _done = within("an empty channel", world.arbiter.call(&stranger(), &call, 0)).await.unwrap();
    let _done = within("its close", world.arbiter.call(&stranger(), &its_close(&world, &create), 0)).await.unwrap();
    world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let create = empty_channel(&world, 1);
    let in_between = tokio::spawn({
        let (arbiter, call) = (world.arbiter.clone(), Call::ChannelCreate(create.clone()));
        async move { arbiter.call(&signer("mallory"), &call, 0).await }
    });
    within("the stranger's opening to wait", world.chain.pool_filled(1)).await.unwrap();
    let blocks = async {
        within("their opening to wait", world.chain.pool_filled(2)).await.unwrap();
        world.chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    };
    let (opened, ()) = tokio::join!(alice.open(&bob), blocks);
    let (alices, bobs) = opened;
    let _done = within("the stranger's opening", in_between).await.unwrap().unwrap();
    let _done = within("its close", world.arbiter.call(&stranger(), &its_close(&world, &create), 0)).await.unwrap();
    let _paid = alices.pays(UNIT, "undisturbed").await;
    assert_eq!(bobs.has().await.ours, 101 * UNIT);
    let nonces = (world.arbiter.pair_nonce(theirs).await.unwrap(), world.arbiter.pair_nonce(his).await.unwrap());
    assert_eq!(nonces, (1, 2));
    // What lies in their vaults is not his either.
    let mine = PartyId { account: party("alice").account, key: identity("mallory").public() };
    assert_eq!(world.arbiter.vault_balance(mine).await.unwrap(), 0);
    let _ended = within("the close", alices.close(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_the_responder_puts_on_chain_first_is_not_told_as_refused() {
    let mut mallory = Responder::new().await;
    mallory.world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let opening = mallory.bob_opens();
    let asked = mallory.accepts().await;
    let domain = mallory.world.arbiter.info().domain;
    let sign = |name| signs_opening(name, &domain, &asked.body, asked.nonce);
    let signatures = Pair::new(sign("bob"), sign("mallory"));
    let create = Call::ChannelCreate(Create { body: asked.body.clone(), nonce: asked.nonce, signatures });
    let hers = tokio::spawn({
        let arbiter = mallory.world.arbiter.clone();
        async move { arbiter.call(&signer("mallory"), &create, 0).await }
    });
    within("hers to wait for a block", mallory.world.chain.pool_filled(1)).await.unwrap();
    mallory.signs(&asked).await;
    within("his to wait behind it", mallory.world.chain.pool_filled(2)).await.unwrap();
    mallory.world.chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    let _done = within("her call", hers).await.unwrap().unwrap();
    assert_eq!(mallory.hears().await, (asked.reference, Message::FundingLocked));
    // His node hears how his own call ended before she says that she sees the channel.
    until("his call to have ended", || async {
        let entries = mallory.world.recorder.entries();
        (entries.iter().filter(|entry| entry.what == "channel_create").count() == 2).then_some(())
    })
    .await;
    mallory.world.pass(2).await;
    assert!(!opening.is_finished(), "{:?}", opening.await.unwrap().map(drop));
    mallory.intruder.say(asked.reference, Message::FundingLocked).await;
    let opened = within("the opening", opening).await.unwrap();
    assert_eq!(opened.unwrap().reference(), asked.reference);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_responder_that_signs_the_last_opening_first_has_the_initiator_pay_no_fee_in_vain() {
    let mut mallory = Responder::new().await;
    mallory.world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let (mut openings, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        openings.push(mallory.bob_opens());
        asked.push(mallory.accepts().await);
    }
    mallory.signs(&asked[4]).await;
    within("the last to wait for a block", mallory.world.chain.pool_filled(1)).await.unwrap();
    for awaited in &asked[..4] {
        mallory.signs(awaited).await;
    }
    until("the others to be signed", || async {
        let channels = mallory.bob.node.channels(identity("mallory").public()).await.unwrap();
        let states = join_all(channels.iter().map(|channel| async { channel.status().await.unwrap().state })).await;
        (states == [Stage::Signed; 5]).then_some(())
    })
    .await;
    // Those that are asked for wait for a block within a moment.
    let waiting = mallory.world.chain.pool_filled(2);
    let _none = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    mallory.world.chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    mallory.world.pass(3).await;
    for opening in openings.drain(..4) {
        let _refused = within("a refusal", opening).await.unwrap().unwrap_err();
    }
    let entries = mallory.world.recorder.entries();
    let vain = entries.iter().filter(|entry| entry.what == "channel_create" && entry.receipt.is_none()).count();
    assert_eq!(vain, 0, "fees were paid in vain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_has_expired_is_not_in_the_way_of_the_next_where_the_responders_user_takes_events_late() {
    let world = World::new().await;
    let alice = world.start_rich("alice", 300 * UNIT).await;
    let bob = world.start_with("bob", |config| config.ack = Ack::Manual).await;
    alice.connect(&bob).await;
    let short = OpenChannel { validity: 10, ..terms() };
    let refused = alice.try_open(&bob, short).await.unwrap_err();
    assert!(matches!(refused, NodeError::Call(CallError::Rejected(Rejection::VaultTooLow { .. }))), "{refused}");
    let _done = within("a deposit", bob.node.vault_deposit(100 * UNIT)).await.unwrap();
    world.pass(12).await;
    until("the refused opening to be over", || async {
        let left = alice.node.channels(bob.identity()).await.unwrap();
        let his = bob.node.channels(alice.identity()).await.unwrap();
        let over = match his.first() {
            Some(channel) => channel.status().await.unwrap().phase == Stage::Closed,
            None => true,
        };
        (left.is_empty() && over).then_some(())
    })
    .await;
    let (alices, _bobs) = alice.open_on(&bob, short).await;
    let _paid = alices.pays(UNIT, "").await;
}

/// Takes as many openings of strangers as the arbiter would.
fn takes_many(config: &mut NodeConfig) {
    let many = MAX_OPENINGS_PER_PEER * 2;
    config.limits.stranger_openings = many;
    config.limits.strangers_openings = many;
    config.limits.openings_per_address = many;
    config.limits.stranger_burst = u32::MAX;
    // Each opening that comes to nothing is told of.
    config.limits.stranger_events = many;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_were_refused_count_until_they_have_expired_and_the_user_is_told_so() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 300 * UNIT).await, world.start_with("bob", takes_many).await);
    alice.connect(&bob).await;
    for _ in 0..8 {
        let refused = join_all((0..128).map(|_| alice.try_open(&bob, SMALL))).await;
        assert!(refused.iter().all(Result::is_err));
    }
    let _done = within("a deposit", bob.node.vault_deposit(100 * UNIT)).await.unwrap();
    let refused = alice.try_open(&bob, SMALL).await.unwrap_err();
    assert!(matches!(refused, NodeError::TooMany { max: MAX_OPENINGS_PER_PEER, .. }), "{refused}");
    world.pass(SMALL.validity + 1).await;
    until("the refused openings to be forgotten", || async {
        alice.node.channels(bob.identity()).await.unwrap().is_empty().then_some(())
    })
    .await;
    until("the refused openings to be forgotten there", || async {
        bob.node.channels(alice.identity()).await.unwrap().is_empty().then_some(())
    })
    .await;
    let (alices, _bobs) = alice.open_on(&bob, SMALL).await;
    let _paid = alices.pays(UNIT, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_whose_answers_were_lost_with_the_connection_all_come_to_be_on_the_next_one() {
    const COUNT: usize = 100;
    const TINY: OpenChannel = OpenChannel { our_share: UNIT, peer_share: UNIT, reserve: 0, penalty: 0, ..terms() };
    let world = World::new().await;
    let late = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let address = world.arbiter.info().domain.arbiter;
    let mut config = world.config("alice");
    config.arbiter = Arc::new(Arbiter::attach(late.clone(), address, None).await.unwrap());
    let alice = world.start_with("alice", |it| *it = config).await;
    let _done = within("a deposit", alice.node.vault_deposit(1_000 * UNIT)).await.unwrap();
    let bob = world.start_with("bob", takes_many).await;
    let _done = within("a deposit", bob.node.vault_deposit(1_000 * UNIT)).await.unwrap();
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    late.hold_nonces(true);
    let openings: Vec<_> = (0..COUNT)
        .map(|_| {
            let (node, peer) = (alice.node.clone(), bob.identity());
            tokio::spawn(async move { node.open_channel(peer, TINY).await })
        })
        .collect();
    within("questions for nonces", late.was_asked_for_nonces(COUNT)).await;
    proxy.swallow(Direction::Back);
    late.hold_nonces(false);
    until("Bob to have signed all", || async {
        let channels = bob.node.channels(alice.identity()).await.unwrap();
        let states = join_all(channels.iter().map(|channel| async { channel.status().await.unwrap().state })).await;
        (states == [Stage::Signed; COUNT]).then_some(())
    })
    .await;
    proxy.cut();
    proxy.mend();
    alice.connect_at(&bob, proxy.address()).await;
    let opened = within("all openings", join_all(openings)).await;
    let failed: Vec<_> =
        opened.into_iter().filter_map(|opened| opened.unwrap().err()).map(|error| error.to_string()).collect();
    assert!(failed.is_empty(), "{} of {COUNT}: {:?}", failed.len(), failed.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_was_refused_and_that_the_responder_puts_on_chain_all_the_same_is_followed_and_told() {
    let mut mallory = Responder::new().await;
    let opening = mallory.bob_opens_on(SMALL);
    let asked = mallory.accepts().await;
    mallory.signs(&asked).await;
    let refused = within("the refusal", opening).await.unwrap().unwrap_err();
    let NodeError::Call(CallError::Rejected(rejection)) = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::VaultTooLow { party: Party::Responder, have: 0, need: 20 * UNIT });
    // Her vault was empty when he asked; it is not when she does.
    let (arbiter, domain) = (mallory.world.arbiter.clone(), mallory.world.arbiter.info().domain);
    let filling = Call::VaultDeposit { key: identity("mallory").public() };
    let _done = within("a deposit", arbiter.call(&signer("mallory"), &filling, 20 * UNIT)).await.unwrap();
    let signatures = Pair::new("bob", "mallory").map(|name| signs_opening(name, &domain, &asked.body, asked.nonce));
    let create = Call::ChannelCreate(Create { body: asked.body.clone(), nonce: asked.nonce, signatures });
    let _done = within("the opening", arbiter.call(&signer("mallory"), &create, 0)).await.unwrap();
    assert_eq!(mallory.hears().await, (asked.reference, Message::FundingLocked));
    mallory.intruder.say(asked.reference, Message::FundingLocked).await;
    let opened = |event: &Event| matches!(event, Event::Opened { .. }).then_some(());
    mallory.bob.events.wait("the opening", asked.reference, opened).await;
    let channels = mallory.bob.node.channels(identity("mallory").public()).await.unwrap();
    assert_eq!(channels[0].has().await.ours, 20 * UNIT, "his to close or to use");
}
