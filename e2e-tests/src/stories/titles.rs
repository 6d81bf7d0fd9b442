//! A title for coins, between two chains: the target leg of a swap carries calls of the app `titles` under its lock (R8.3g, R8.5c).

use super::swap::{GOT, PAID, Party, SWAP, Swappers, TwoChains, joins, pass_one};
use crate::{App, TestChain, until, within};
use network::{RoutingPolicy, SwapCalls, SwapError, SwapEvent, SwapPolicy, SwapStage};
use protocol::{Pair, Party as Side, contracts::ContractId, decode_exact};
use scale::Encode;
use sdk::{
    channel::transfer::{AppCall, LockedCalls},
    node::{NewSwap, RouterGroup, SwapFailed},
};
use titles::State;

/// The title that Bob sells.
const TITLE: u32 = 7;

/// Both parties with a channel on each chain, and Bob's title in that on the second one.
struct Sale<C> {
    swappers: Swappers<C>,
    app: App,
    contract: ContractId,
}

/// Starts both nodes of a party. It is asked about swaps, and takes part in contracts of the app on the second chain.
async fn start<C: TestChain>(chains: &TwoChains<C>, name: &'static str, app: &App) -> Party {
    let swaps = SwapPolicy { asks_user: true, ..SwapPolicy::default() };
    let group = RouterGroup::new(RoutingPolicy { swaps, ..RoutingPolicy::default() });
    let first = chains.first.start_with(name, |config| joins(config, &group)).await;
    let mut taking = chains.second.config(name);
    chains.second.give_app(&taking, app).await;
    joins(&mut taking, &group);
    let second = chains.second.start_with(name, |config| *config = taking).await;
    Party { first, second }
}

/// The calls by which the title moves. What locks is told the lock and the expiry by the channel, and what claims the pre-image: they are the last fields of each.
fn calls(contract: ContractId) -> SwapCalls {
    let call = |index: u8| vec![AppCall { contract, input: (index, TITLE).encode() }];
    let target = LockedCalls { locking: call(1), claiming: call(2), returning: call(3) };
    SwapCalls { target, ..SwapCalls::NONE }
}

impl<C: TestChain> Sale<C> {
    async fn begin(chains: TwoChains<C>) -> Self {
        let app = chains.second.deploy_app("titles").await;
        let (alice, bob) = (start(&chains, "alice", &app).await, start(&chains, "bob", &app).await);
        let swappers = Swappers::introduced(chains, alice, bob).await;
        let creation: titles::Creation = vec![(TITLE, Side::Responder)];
        let [_, bobs] = swappers.responders_views().await;
        let created = within("a register", bobs.create_contract(app.code, Pair::default(), creation.encode())).await;
        Self { swappers, app, contract: created.unwrap().contract }
    }

    /// Alice proposes the swap, and Bob agrees once he has seen what goes with it.
    async fn agree(&self) {
        let (alice, bob) = (&self.swappers.initiator.first.node, &self.swappers.responder.first.node);
        let mut notices = bob.routing_notices();
        let swap = NewSwap { premium: 0, ..self.swappers.swap() };
        let proposed = alice.propose_swap_with_calls(SWAP, swap, calls(self.contract));
        let _stage = within("a swap to be proposed", proposed).await.unwrap();
        Party::hears(&mut notices, SwapEvent::Proposed).await;
        assert_eq!(bob.swap_calls(&SWAP), Some(calls(self.contract)));
        within("Bob to agree", bob.accept_swap(SWAP)).await.unwrap();
    }

    /// Whose the title is, as both parties say, and that it is not locked.
    async fn owner(&self) -> Option<Side> {
        let [_, alices] = &self.swappers.channels;
        let [_, bobs] = self.swappers.responders_views().await;
        let mut owners = Vec::new();
        for view in [alices, &bobs] {
            let contract = within("the register", view.contract(self.contract)).await.unwrap()?;
            let state: State = decode_exact(&contract.state).unwrap();
            let title = state.title(TITLE)?;
            owners.push(title.lock.is_none().then_some(title.owner)?);
        }
        (owners[0] == owners[1]).then_some(owners[0])
    }
}

/// The title and Alice's coins change hands.
pub async fn a_title_is_swapped_for_coins<C: TestChain>(chains: TwoChains<C>) {
    let sale = Sale::begin(chains).await;
    let before = sale.swappers.has().await;
    sale.agree().await;
    sale.swappers.both_moved(before).await;
    until("the title to be Alice's", || async { (sale.owner().await == Some(Side::Initiator)).then_some(()) }).await;
    let other = sale.swappers.initiator.first.node.propose_swap(SWAP, sale.swappers.swap()).await;
    assert!(matches!(other, Err(SwapFailed::Swap(SwapError::OtherSwap))), "{other:?}");
}

/// Bob vanishes when his leg is locked, and is away until long after its expiry. Alice has coins and title by one forced step, or nothing has moved.
pub async fn a_title_whose_seller_vanishes_moves_by_force_with_the_coins<C: TestChain>(chains: TwoChains<C>) {
    let mut sale = Sale::begin(chains).await;
    let before = sale.swappers.has().await;
    let mut notices = sale.swappers.initiator.first.node.routing_notices();
    sale.agree().await;
    Party::hears(&mut notices, SwapEvent::Revealed).await;
    drop(notices);
    sale.swappers.responder.stop_and_wait().await;
    let expiry = sale.swappers.initiator.first.node.swap(&SWAP).unwrap().terms.target.expiry;
    // What the peer leaves unanswered is forced a while after the expiry (R8.3e).
    let until_block = expiry + 110;
    let [ours, our_second] = sale.swappers.channels.clone();
    while sale.swappers.chains.second.chain.block_number().await < until_block {
        pass_one(&sale.swappers.chains, &[&ours], &[&our_second]).await;
    }
    sale.swappers.responder = start(&sale.swappers.chains, "bob", &sale.app).await;
    sale.swappers.responder.connect(&sale.swappers.initiator).await;
    sale.swappers.pass_until_ended().await;
    let ended = [sale.swappers.responder.ended().await, sale.swappers.initiator.ended().await];
    assert!(ended.iter().all(|outcome| outcome.source_moved && outcome.target_moved), "{ended:?}");
    let state = sale.swappers.initiator.first.node.swap(&SWAP).unwrap();
    assert!(matches!(state.stage, SwapStage::Ended { code: None, .. }));
    until("coins and title to be where they belong", || async {
        let has = sale.swappers.has().await;
        (has == [before[0] - PAID, before[1] + GOT] && sale.owner().await == Some(Side::Initiator)).then_some(())
    })
    .await;
}
