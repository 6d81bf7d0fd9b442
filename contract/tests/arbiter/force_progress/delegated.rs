//! Forced steps by delegates: only while closing, only for their principal, and without its coins (R5.10).

use super::*;
use protocol::{Rejection, terms::Delegate};

/// A delegate of the initiator's that may defend and no more.
const TOWER: Actor = Actor::Deployer;

/// A channel that the responder closed on round 6.
async fn with_a_tower() -> (World, Channel, Inside) {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.parties.initiator.delegates.push(Delegate::defender(TOWER.id()));
    let channel = world.create(&body).await;
    let base = agreed(&world, 6);
    let _done = world.accept(Actor::Responder, &channel.close_solo(&base.state()), 0).await;
    (world, channel, base)
}

mutations! {
    /// One thing wrong with a forced step by a delegate of the initiator, on a closing channel.
    Delegated {
        AttachesCoins,
        AttachesOneCoinInTheLastCall,
        InThePeersName,
        ByThePeersDelegate,
        /// R5.10: a delegate that the terms give no such power.
        ByADelegateThatOnlyDefends,
        ByStranger,
        /// The principal's quota is the delegate's.
        WhenThePrincipalsStepsAreUsedUp,
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_delegates_forced_step_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel, base) = with_a_tower().await;
    let healthy = channel.step_on_chain(&base, Party::Initiator, vec![count(1), count(2)]);
    let _done = world.fork().await.force_as(Actor::InitiatorsDelegate, &healthy).await;
    for &mutation in Delegated::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut who, mut step) = (Actor::InitiatorsDelegate, healthy.clone());
        let rejection = match mutation {
            Delegated::AttachesCoins => {
                step.calls[0].value = UNIT;
                Rejection::DelegateAttachesCoins
            }
            Delegated::AttachesOneCoinInTheLastCall => {
                step.calls[1].value = 1;
                Rejection::DelegateAttachesCoins
            }
            Delegated::InThePeersName => {
                step.party = Party::Responder;
                Rejection::MayNotForce { party: Party::Responder }
            }
            Delegated::ByThePeersDelegate => {
                who = Actor::RespondersDelegate;
                Rejection::MayNotForce { party: Party::Initiator }
            }
            Delegated::ByADelegateThatOnlyDefends => {
                who = TOWER;
                Rejection::DelegateMayNotCall { party: Party::Initiator }
            }
            Delegated::ByStranger => {
                who = Actor::Stranger;
                Rejection::MayNotForce { party: Party::Initiator }
            }
            Delegated::WhenThePrincipalsStepsAreUsedUp => {
                for _ in 0..3 {
                    step.base = world.force(&step).await;
                }
                Rejection::ForcedStepsUsedUp { max: 3 }
            }
        };
        world.refuse_step_of(who, &step, rejection).await;
    }
}
