//! Several pre-images in one call (R8.2).

use crate::fixture::*;
use protocol::contracts::conditional::{HashFunction, HashLock, Preimage};

fn preimages(count: usize) -> Vec<Preimage> {
    (0..count).map(|number| Preimage([u8::try_from(number).unwrap(); 32])).collect()
}

fn register(world: &mut World, preimages: Vec<Preimage>, function: HashFunction) -> Result<Applied, Rejection> {
    world.call(thief().account, Call::PreimagesRegister { preimages, function })
}

#[test]
fn one_to_sixty_four_pre_images_are_shown_in_one_call() {
    for function in [HashFunction::Blake2b256, HashFunction::Sha2_256] {
        for count in [0, 1, 2, 63, 64, 65] {
            let mut world = World::new();
            let shown = register(&mut world, preimages(count), function);
            if !(1..=64).contains(&count) {
                let got = u32::try_from(count).unwrap();
                assert_eq!(shown, Err(Rejection::ListLength { got, max: 64 }));
                continue;
            }
            let expected: Vec<(HashLock, Preimage, BlockNumber)> = (preimages(count).into_iter())
                .map(|preimage| (preimage.lock(function, &Native), preimage, NOW))
                .collect();
            assert_eq!(shown.unwrap(), Applied { preimages: expected.clone(), ..Applied::default() });
            let stored = expected.into_iter().map(|(lock, _, shown_at)| (lock, shown_at)).collect();
            assert_eq!(world.ledger.preimages, stored);
        }
    }
}

#[test]
fn showing_again_keeps_the_first_block_of_each_and_a_list_may_repeat_itself() {
    let mut world = World::new();
    let function = HashFunction::Sha2_256;
    let [one, two] = preimages(2)[..] else { panic!() };
    let _first = world.call(alice().account, Call::PreimageRegister { preimage: one, function }).unwrap();
    world.now += 7;
    let applied = register(&mut world, vec![two, one, two], function).unwrap();
    let of = |preimage: Preimage, shown_at| (preimage.lock(function, &Native), preimage, shown_at);
    assert_eq!(applied.preimages, vec![of(two, NOW + 7), of(one, NOW), of(two, NOW + 7)]);
    // Under the other function it is another lock, shown for the first time.
    let other = register(&mut world, vec![one], HashFunction::Blake2b256).unwrap();
    assert_eq!(other.preimages[0].2, NOW + 7);
    assert_eq!(world.ledger.preimages.len(), 3);
}
