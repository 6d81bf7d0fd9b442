//! Random stories: three to five nodes in random topologies, payments at any time, crashes at any commit, links that break, nodes that go away and
//! come back. In the end everybody is honest and there: each payment has moved all of its coins or none, and nothing is under way.

use crate::harness::{Crash, CrashPoint, Work, World, assert_ended_well_after, hub_policy};
use network::{Invoice, PaymentId, PaymentState};
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

const FULL: u128 = 1_000_000;

/// A line, a star, a ring, and channels beside each other.
fn topology(shape: u8) -> (usize, Vec<(usize, usize, u128, u128)>) {
    let full =
        |pairs: &[(usize, usize)]| pairs.iter().map(|(one, other)| (*one, *other, FULL, FULL)).collect::<Vec<_>>();
    match shape % 6 {
        0 => (3, full(&[(0, 1), (1, 2)])),
        1 => (4, full(&[(0, 1), (1, 2), (1, 3)])),
        2 => (4, full(&[(0, 1), (1, 2), (2, 3), (3, 0)])),
        3 => (5, full(&[(0, 4), (1, 4), (2, 4), (3, 4)])),
        4 => (
            3,
            vec![
                (0, 1, 60_000, FULL),
                (0, 1, 50_000, FULL),
                (1, 2, 70_000, 10),
                (1, 2, 40_000, 10),
                (0, 2, 5_000, 5_000),
            ],
        ),
        _ => (5, full(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)])),
    }
}

/// Forgets a payment that is over, and makes another one by its id: of the same invoice where that is not paid and `is_same`, of a new one otherwise. Whether the
/// forgotten one was made; none where it could not be forgotten.
fn make_again(
    world: &mut World,
    (payer, payee, id, number): (usize, usize, u8, u8),
    invoice: &mut Invoice,
    is_same: bool,
) -> Option<bool> {
    let name = PaymentId([id; 32]);
    let was_made = matches!(world.payment(payer, id), Some(PaymentState::Paid(_)));
    let outputs = world.nodes[payer].router.forget_payment(name)?;
    world.commit_outside(payer, outputs);
    if world.payment(payer, id).is_some() {
        return None;
    }
    if was_made || !is_same {
        *invoice = world.invoice(payee, number, invoice.amount, &[]);
    }
    let seed = [number; 32];
    if let Ok((_, outputs)) = world.nodes[payer].router.pay(name, invoice, None, 1_000_000, seed) {
        world.commit_outside(payer, outputs);
    }
    Some(was_made)
}

fn is_away(world: &World, one: usize, other: usize) -> bool {
    world.nodes[one].is_away || world.nodes[other].is_away
}

/// A link that breaks, and is up again.
fn break_link(world: &mut World, channel: usize) {
    let (one, other) = world.channels[&channel];
    world.give(one, channel, Work::Down);
    world.give(other, channel, Work::Down);
    world.link(channel);
}

/// Tells a story, and how many payments of how many it has made.
fn play(shape: u8, bytes: &[u8]) -> (usize, usize) {
    play_with(shape, bytes, false)
}

/// As [`play`]; where it `forgets`, payments are also forgotten and made again by their ids.
fn play_with(shape: u8, bytes: &[u8], forgets: bool) -> (usize, usize) {
    let (count, channels) = topology(shape);
    let mut world = World::new(vec![hub_policy(); count], &channels);
    let mut paid = Vec::new();
    let (mut made, mut invoices) = (Vec::new(), Vec::new());
    // Of invoices and seeds beyond those of the first payments.
    let mut numbers = if forgets { 100_u8 } else { 250 };
    let mut away = 0;
    let mut bytes = bytes.iter().copied();
    while let (Some(what), Some(which)) = (bytes.next(), bytes.next()) {
        let which = usize::from(which);
        match what % 16 {
            0 | 1 => {
                let (payer, payee) = (which % count, (which / count) % count);
                let number = u8::try_from(paid.len() % 250 + 1).unwrap();
                let most = if forgets { 99 } else { 250 };
                let amount = [10, 3_000, 45_000, 90_000][which % 4];
                if payer == payee || is_away(&world, payer, payee) || paid.len() >= most {
                    continue;
                }
                let invoice = world.invoice(payee, number, Some(amount), &[]);
                let _state = world.pay(payer, number, &invoice, None);
                paid.push((payer, payee, number, amount));
                invoices.push(invoice);
            }
            7 if forgets => {
                let Some(place) = which.checked_rem(paid.len()) else { continue };
                let (payer, payee, id, amount) = paid[place];
                if is_away(&world, payer, payee) || numbers == 250 {
                    continue;
                }
                numbers += 1;
                let again = (payer, payee, id, numbers);
                if make_again(&mut world, again, &mut invoices[place], which > 127) == Some(true) {
                    made.push((payer, payee, amount));
                }
            }
            2 => {
                let node = which % count;
                let commit = world.nodes[node].commits + which / 32;
                let crash = if which % 2 == 0 { Crash::Before } else { Crash::After };
                world.crashes.push(CrashPoint { node, commit, crash });
            }
            3 => {
                // Nobody is so slow, or away for so long, that it misses the blocks in which it could register.
                let blocks = u32::try_from(which % 8).unwrap();
                let somebody_is_away = world.nodes.iter().any(|node| node.is_away);
                away = if somebody_is_away { away + blocks } else { 0 };
                if away <= 6 {
                    world.run();
                    world.advance(blocks);
                    world.run();
                }
            }
            4 => world.tick(u64::try_from(which).unwrap() * 300),
            5 => break_link(&mut world, which % channels.len()),
            6 => {
                let node = which % count;
                if world.nodes[node].is_away {
                    world.come_back(node);
                } else if which > 200 {
                    world.vanish(node);
                }
            }
            _ => {
                for _ in 0..which % 8 + 1 {
                    let ready = world.ready();
                    if let Some((node, channel)) = ready.get(which % ready.len().max(1)).copied() {
                        world.step(node, channel);
                    }
                }
            }
        }
    }
    end(world, &made, &paid)
}

/// Whatever is under way ends, and ends well.
fn end(mut world: World, made: &[(usize, usize, u128)], paid: &[(usize, usize, u8, u128)]) -> (usize, usize) {
    world.crashes.clear();
    world.settle();
    assert_ended_well_after(&world, made, paid);
    let count = world.nodes.len();
    // With fees of nothing but what payers allow, who only carries on has lost nothing.
    let own = |node: usize| paid.iter().any(|(payer, payee, ..)| *payer == node || *payee == node);
    for node in (0..count).filter(|node| !own(*node)) {
        assert!(world.gain(node) >= 0);
    }
    let is_made = |(payer, _, id, _): &&(usize, usize, u8, u128)| {
        matches!(world.payment(*payer, *id), Some(PaymentState::Paid(_)))
    };
    (paid.iter().filter(is_made).count(), paid.len())
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    // The same cases every time, unless PROPTEST_RNG_SEED asks for others.
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(7) } else { default.rng_seed };
    ProptestConfig { rng_seed, failure_persistence: None, max_shrink_iters: 5_000, ..default }
}

/// The stories are about something: most payments are made, and some are not.
#[test]
fn most_payments_of_random_stories_are_made() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 24).unwrap()
    };
    let (mut made, mut asked) = (0, 0);
    for shape in 0..60 {
        let bytes: Vec<u8> = (0..300).map(|_| next()).collect();
        let (some, all) = play(shape, &bytes);
        made += some;
        asked += all;
    }
    assert!(made > asked / 3 && made < asked, "{made} of {asked}");
}

/// Stories that once ended badly.
#[test]
fn stories_that_once_ended_badly_end_well() {
    let stories: [(u8, &[u8]); 2] = [
        (
            8,
            &[
                22, 0, 6, 0, 224, 77, 7, 153, 20, 0, 3, 84, 71, 21, 117, 192, 211, 0, 83, 0, 144, 39, 99, 0, 83, 0, 16,
                222, 167, 21, 144, 135, 39, 101, 86, 0, 5, 152, 7, 119, 55, 91, 146, 13, 100, 4, 7, 22, 167, 18, 7, 29,
                7, 163, 167, 212, 165, 219, 50, 28, 6, 0, 23, 5, 71, 71, 7, 119, 7, 1, 23, 227, 7, 26, 7, 43, 87, 98,
                7, 124, 70, 240, 118, 202, 7, 10, 99, 108, 7, 23, 83, 37, 55, 150, 39, 0, 23, 0, 6, 134, 144, 0, 2, 12,
                48, 0, 71, 2, 134, 116, 7, 13,
            ],
        ),
        (
            // An offer said again after another part's pre-image has paid for it.
            154,
            &[
                0, 8, 70, 0, 6, 0, 0, 8, 5, 0, 21, 0, 71, 13, 82, 58, 71, 1, 0, 195, 7, 6, 210, 53, 55, 234, 87, 193,
                7, 139, 167, 158, 39, 166, 0, 0,
            ],
        ),
    ];
    for (shape, bytes) in stories {
        let _made = play(shape, bytes);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_story_ends_well(shape: u8, bytes in vec(any::<u8>(), 2..400)) {
        let _made = play(shape, &bytes);
    }

    #[test]
    fn any_story_in_which_payments_are_forgotten_and_made_again_by_their_ids_ends_well(
        shape: u8,
        bytes in vec(any::<u8>(), 2..400),
    ) {
        let _made = play_with(shape, &bytes, true);
    }
}
