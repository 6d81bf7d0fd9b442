//! Hidden moves: every step, every refusal, every boundary, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    Amount, BlockNumber, ChannelId, ContractId, Pair, Party,
    testing::{Bench, CHANNEL, CONTRACT, Refusal},
};
use hidden::{Choice, Commitment, Creation, Error, Hidden, Input, Stage, Standing, Terms, commitment};
use proptest::prelude::*;

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;
const STAKE: Amount = 100;
const NOW: BlockNumber = 1000;
const PATIENCE: BlockNumber = 50;
const CHOICES: [Choice; 3] = [Choice::Rock, Choice::Paper, Choice::Scissors];

fn terms(games: u8) -> Terms {
    Terms { stake: STAKE, patience: PATIENCE, games }
}

fn create(joined: Pair<bool>, games: u8) -> Bench<Hidden> {
    let coins = joined.map(|joined| if joined { STAKE } else { 0 });
    Bench::create(ALICE, coins, NOW, Creation { terms: terms(games), joined }).unwrap()
}

/// Both stakes are in.
fn bench(games: u8) -> Bench<Hidden> {
    create(Pair::new(true, true), games)
}

fn salt(party: Party) -> [u8; 32] {
    [7 + party as u8; 32]
}

fn hash(game: u8, party: Party, choice: Choice) -> Commitment {
    commitment(&CHANNEL, &CONTRACT, game, party, choice, &salt(party))
}

fn commit(bench: &mut Bench<Hidden>, party: Party, choice: Choice) {
    let game = bench.state().played;
    let _done = bench.call(party, Input::Commit(hash(game, party, choice))).unwrap();
}

fn reveal(party: Party, choice: Choice) -> Input {
    Input::Reveal { choice, salt: salt(party) }
}

/// One whole game; what it paid.
fn play(bench: &mut Bench<Hidden>, choices: Pair<Choice>) -> Pair<Amount> {
    commit(bench, ALICE, choices[ALICE]);
    commit(bench, BOB, choices[BOB]);
    let _first = bench.call(ALICE, reveal(ALICE, choices[ALICE])).unwrap();
    bench.call(BOB, reveal(BOB, choices[BOB])).unwrap().payouts
}

fn is_over(bench: &Bench<Hidden>) -> bool {
    bench.state().stage == Stage::Over
}

#[test]
fn each_move_beats_one_loses_to_one_and_ties_with_itself() {
    use Choice::{Paper, Rock, Scissors};
    for [winner, loser] in [[Rock, Scissors], [Scissors, Paper], [Paper, Rock]] {
        assert_eq!(play(&mut bench(1), Pair::new(winner, loser)), Pair::new(200, 0));
        assert_eq!(play(&mut bench(1), Pair::new(loser, winner)), Pair::new(0, 200));
    }
    for choice in CHOICES {
        assert_eq!(play(&mut bench(1), Pair::new(choice, choice)), Pair::new(100, 100));
    }
}

#[test]
fn terms_that_make_no_game_are_refused() {
    let create = |coins, terms, joined| Bench::<Hidden>::create(ALICE, coins, NOW, Creation { terms, joined }).err();
    let (none, both) = (Pair::new(false, false), Pair::new(true, true));
    let refused = |error| Some(Refusal::App(error));
    for zero in [Terms { stake: 0, ..terms(1) }, Terms { patience: 0, ..terms(1) }, terms(0)] {
        assert_eq!(create(Pair::default(), zero, none), refused(Error::Zero));
    }
    let stake = |stake| create(Pair::default(), Terms { stake, ..terms(1) }, none);
    assert_eq!((stake(Amount::MAX / 2), stake(Amount::MAX / 2 + 1)), (None, refused(Error::Overflow)));
    for (coins, joined) in [(0, both), (100, both), (199, both), (201, both), (99, Pair::new(true, false)), (1, none)] {
        assert_eq!(create(Pair::new(coins, 0), terms(1), joined), refused(Error::NotTheStake));
    }
}

#[test]
fn it_begins_when_both_stakes_are_in() {
    let begun = Stage::Committing(Pair::default());
    assert_eq!(bench(1).state().stage, begun);
    let mut later = create(Pair::default(), 1);
    for party in [BOB, ALICE] {
        assert_ne!(later.state().stage, begun);
        let done = later.at(5000).pay(party, STAKE, Input::Join).unwrap();
        assert_eq!((done.payouts, done.output), (Pair::default(), Standing { won: Pair::default(), is_over: false }));
    }
    assert_eq!((later.state().stage, later.state().deadline), (begun, 5000 + PATIENCE));
}

#[test]
fn one_joins_once_with_exactly_the_stake() {
    let mut bench = create(Pair::new(true, false), 1);
    bench.assert_refused(ALICE, STAKE, Input::Join, Error::Already);
    for value in [0, STAKE - 1, STAKE + 1] {
        bench.assert_refused(BOB, value, Input::Join, Error::NotTheStake);
    }
    let _joined = bench.pay(BOB, STAKE, Input::Join).unwrap();
    bench.assert_refused(BOB, STAKE, Input::Join, Error::NotNow);
}

#[test]
fn a_stage_takes_only_its_own_calls() {
    let joining = [Input::Commit([0; 32]), reveal(ALICE, Choice::Rock)];
    let committing = [Input::Join, reveal(ALICE, Choice::Rock)];
    let revealing = [Input::Join, Input::Commit([0; 32])];
    let mut in_reveal = bench(1);
    commit(&mut in_reveal, ALICE, Choice::Rock);
    commit(&mut in_reveal, BOB, Choice::Rock);
    for (mut bench, inputs) in
        [(create(Pair::new(true, false), 1), joining), (bench(1), committing), (in_reveal, revealing)]
    {
        for input in inputs {
            bench.assert_refused(ALICE, 0, input, Error::NotNow);
        }
    }
}

#[test]
fn no_move_is_shown_before_both_have_committed() {
    let mut bench = bench(1);
    commit(&mut bench, ALICE, Choice::Rock);
    bench.assert_refused(ALICE, 0, reveal(ALICE, Choice::Rock), Error::NotNow);
}

#[test]
fn one_commits_once_and_shows_once() {
    let mut bench = bench(1);
    commit(&mut bench, ALICE, Choice::Rock);
    bench.assert_refused(ALICE, 0, Input::Commit(hash(0, ALICE, Choice::Paper)), Error::Already);
    commit(&mut bench, BOB, Choice::Rock);
    let _shown = bench.call(ALICE, reveal(ALICE, Choice::Rock)).unwrap();
    bench.assert_refused(ALICE, 0, reveal(ALICE, Choice::Rock), Error::Already);
}

#[test]
fn one_shows_what_one_has_committed_to_and_nothing_else() {
    let other = ([9; 32], CHANNEL, CONTRACT, 0, ALICE);
    let with = |(salt, channel, contract, game, party): ([u8; 32], ChannelId, ContractId, u8, Party)| {
        commitment(&channel, &contract, game, party, Choice::Rock, &salt)
    };
    let made_otherwise = [
        hash(0, ALICE, Choice::Paper),
        hash(0, ALICE, Choice::Scissors),
        with(other),
        with((salt(ALICE), ChannelId([9; 32]), CONTRACT, 0, ALICE)),
        with((salt(ALICE), CHANNEL, ContractId([9; 32]), 0, ALICE)),
        with((salt(ALICE), CHANNEL, CONTRACT, 1, ALICE)),
        with((salt(ALICE), CHANNEL, CONTRACT, 0, BOB)),
    ];
    for commitment in made_otherwise {
        let mut bench = bench(3);
        let _committed = bench.call(ALICE, Input::Commit(commitment)).unwrap();
        commit(&mut bench, BOB, Choice::Rock);
        bench.assert_refused(ALICE, 0, reveal(ALICE, Choice::Rock), Error::NotTheCommitment);
    }
}

#[test]
fn a_hash_copied_from_the_peer_cannot_be_opened() {
    let mut bench = bench(1);
    commit(&mut bench, ALICE, Choice::Rock);
    let _copied = bench.call(BOB, Input::Commit(hash(0, ALICE, Choice::Rock))).unwrap();
    let _shown = bench.call(ALICE, reveal(ALICE, Choice::Rock)).unwrap();
    bench.assert_refused(BOB, 0, reveal(ALICE, Choice::Rock), Error::NotTheCommitment);
    assert_eq!(bench.at(NOW + PATIENCE).call(ALICE, Input::Claim).unwrap().payouts, Pair::new(200, 0));
}

#[test]
fn a_commitment_is_blake2b_of_fixed_bytes() {
    let made = commitment(&ChannelId([1; 32]), &ContractId([2; 32]), 3, BOB, Choice::Scissors, &[4; 32]);
    let bytes = [&b"hidden move"[..], &[1; 32], &[2; 32], &[3, 1, 2], &[4; 32]].concat();
    use blake2::{Blake2b, Digest, digest::consts::U32};
    assert_eq!(made, <[u8; 32]>::from(Blake2b::<U32>::digest(bytes)));
}

#[test]
fn the_best_of_three_has_won_two_and_ends_then() {
    let (win, tie, loss) = (
        Pair::new(Choice::Paper, Choice::Rock),
        Pair::new(Choice::Rock, Choice::Rock),
        Pair::new(Choice::Rock, Choice::Paper),
    );
    let cases = [
        (vec![win, win], Pair::new(200, 0)),
        (vec![loss, loss], Pair::new(0, 200)),
        (vec![win, loss, win], Pair::new(200, 0)),
        (vec![tie, tie, loss], Pair::new(0, 200)),
        (vec![tie, win, tie], Pair::new(200, 0)),
        (vec![win, tie, loss], Pair::new(100, 100)),
        (vec![tie, tie, tie], Pair::new(100, 100)),
    ];
    for (games, paid) in cases {
        let mut bench = bench(3);
        for game in games {
            assert!(!is_over(&bench));
            let _paid = play(&mut bench, game);
        }
        assert_eq!((is_over(&bench), bench.paid(), bench.balance()), (true, paid, 0));
    }
}

#[test]
fn the_answer_says_how_it_stands() {
    let mut bench = bench(3);
    let _won = play(&mut bench, Pair::new(Choice::Paper, Choice::Rock));
    let done = bench.call(ALICE, Input::Commit([0; 32])).unwrap();
    assert_eq!(done.output, Standing { won: Pair::new(1, 0), is_over: false });
    let done = bench.at(NOW + PATIENCE).call(BOB, Input::Claim).unwrap();
    assert_eq!(done.output, Standing { won: Pair::new(1, 0), is_over: true });
}

/// Where a game can stop, who did its part, and what a claim pays then.
fn stopped() -> Vec<(Bench<Hidden>, Pair<Amount>)> {
    let alone = Pair::new(true, false);
    let none = Pair::new(false, false);
    let after = |commits: Pair<bool>, shows: Pair<bool>| {
        let mut bench = bench(3);
        let _tie = play(&mut bench, Pair::new(Choice::Rock, Choice::Rock));
        for party in Party::BOTH {
            if commits[party] {
                commit(&mut bench, party, Choice::Rock);
            }
        }
        for party in Party::BOTH {
            if shows[party] {
                let _shown = bench.call(party, reveal(party, Choice::Rock)).unwrap();
            }
        }
        bench
    };
    let (bob_alone, both) = (Pair::new(false, true), Pair::new(true, true));
    vec![
        (create(alone, 1), Pair::new(100, 0)),
        (create(bob_alone, 1), Pair::new(0, 100)),
        (after(none, none), Pair::new(100, 100)),
        (after(alone, none), Pair::new(200, 0)),
        (after(bob_alone, none), Pair::new(0, 200)),
        (after(both, none), Pair::new(100, 100)),
        (after(both, alone), Pair::new(200, 0)),
        (after(both, bob_alone), Pair::new(0, 200)),
    ]
}

#[test]
fn from_the_deadline_on_a_claim_pays_whoever_did_its_part() {
    for caller in Party::BOTH {
        for (bench, pays) in stopped() {
            let deadline = bench.state().deadline;
            assert_eq!(deadline, NOW + PATIENCE);
            bench.clone().at(deadline - 1).assert_refused(caller, 0, Input::Claim, Error::TooEarly);
            for height in [deadline, deadline + 1, BlockNumber::MAX] {
                let mut bench = bench.clone();
                assert_eq!(bench.at(height).call(caller, Input::Claim).unwrap().payouts, pays);
                assert_eq!((is_over(&bench), bench.balance()), (true, 0));
            }
        }
    }
}

#[test]
fn from_the_deadline_on_no_move_counts() {
    for (mut bench, _) in stopped() {
        for height in [NOW + PATIENCE, NOW + PATIENCE + 1] {
            for caller in Party::BOTH {
                bench.at(height).assert_refused(caller, STAKE, Input::Join, Error::TooLate);
                bench.at(height).assert_refused(caller, 0, Input::Commit([0; 32]), Error::TooLate);
                bench.at(height).assert_refused(caller, 0, reveal(caller, Choice::Rock), Error::TooLate);
            }
        }
    }
    let mut bench = bench(1);
    bench.at(NOW + PATIENCE - 1);
    commit(&mut bench, ALICE, Choice::Rock);
}

#[test]
fn nobody_waits_for_the_first_to_join_and_there_is_nothing_to_claim() {
    let mut bench = create(Pair::default(), 1);
    bench.at(NOW + 10 * PATIENCE).assert_refused(ALICE, 0, Input::Claim, Error::NotNow);
    let _joined = bench.pay(BOB, STAKE, Input::Join).unwrap();
    assert_eq!(bench.state().deadline, NOW + 11 * PATIENCE);
}

#[test]
fn each_step_gives_the_peer_its_full_time_also_when_heights_go_back() {
    let mut bench = bench(1);
    bench.at(NOW + 30);
    commit(&mut bench, ALICE, Choice::Rock);
    assert_eq!(bench.state().deadline, NOW + 30 + PATIENCE);
    bench.at(NOW + 20);
    commit(&mut bench, BOB, Choice::Rock);
    assert_eq!(bench.state().deadline, NOW + 30 + PATIENCE);
    let _shown = bench.at(NOW + 70).call(BOB, reveal(BOB, Choice::Rock)).unwrap();
    assert_eq!(bench.state().deadline, NOW + 70 + PATIENCE);
}

#[test]
fn at_the_last_blocks_of_all_a_deadline_stays_in_range() {
    let mut bench = create(Pair::default(), 1);
    let _joined = bench.at(BlockNumber::MAX).pay(BOB, STAKE, Input::Join).unwrap();
    assert_eq!(bench.call(BOB, Input::Claim).unwrap().payouts, Pair::new(0, 100));
}

#[test]
fn coins_that_nobody_asked_for_are_refused() {
    for input in [Input::Commit([0; 32]), reveal(ALICE, Choice::Rock), Input::Claim] {
        bench(1).assert_refused(ALICE, 1, input, Error::CoinsUnasked);
    }
}

#[test]
fn what_is_over_is_over() {
    let mut bench = bench(1);
    let _paid = play(&mut bench, Pair::new(Choice::Rock, Choice::Paper));
    for input in [Input::Commit([0; 32]), reveal(ALICE, Choice::Rock), Input::Claim] {
        bench.assert_refused(ALICE, 0, input, Error::Over);
        bench.clone().at(NOW + 9 * PATIENCE).assert_refused(ALICE, 0, input, Error::Over);
    }
    bench.assert_refused(ALICE, STAKE, Input::Join, Error::Over);
}

#[test]
fn the_bytes_of_inputs_and_errors_stay_what_they_are() {
    use scale::Encode;
    let creation = Creation { terms: terms(1), joined: Pair::new(true, false) };
    assert_eq!(creation.encode(), (100u128, 50u32, 1u8, true, false).encode());
    let inputs = [Input::Join, Input::Commit([0; 32]), reveal(ALICE, Choice::Rock), Input::Claim];
    assert_eq!(inputs.map(|input| input.encode()[0]), [0, 1, 2, 3]);
    assert_eq!(CHOICES.map(|choice| choice.encode()), [[0], [1], [2]]);
    assert_eq!([Error::NotNow.encode(), Error::Over.encode()], [[0], [9]]);
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(ALICE), Just(BOB)]
}

fn choice() -> impl Strategy<Value = Choice> {
    prop::sample::select(&CHOICES[..])
}

/// What a party may try: play as it should, show what it did not commit to, commit to nonsense, claim.
fn input() -> impl Strategy<Value = (u8, Choice)> {
    (0..8u8, choice())
}

fn make(bench: &Bench<Hidden>, caller: Party, (kind, choice): (u8, Choice)) -> (Amount, Input) {
    match kind {
        0 => (STAKE, Input::Join),
        1 => (0, Input::Commit([9; 32])),
        2 => (0, Input::Claim),
        3..=5 => (0, Input::Commit(hash(bench.state().played, caller, choice))),
        _ => (0, reveal(caller, choice)),
    }
}

proptest! {
    /// Coins are conserved, and a party that plays its moves and claims in time never loses its stake but by losing games.
    #[test]
    fn whoever_plays_on_loses_nothing_but_games(
        games in 1..5u8,
        choices in prop::collection::vec(choice(), 5),
        attempts in prop::collection::vec((input(), 0..30u32, any::<bool>()), 0..60),
        joined: bool,
    ) {
        let mut bench = create(Pair::new(true, joined), games);
        let mut height = NOW;
        // Alice answers at once whatever there is for her to do; Bob does what he likes, sometimes in his last block.
        for (input, blocks, fluctuates) in attempts {
            if is_over(&bench) {
                break;
            }
            let (value, made) = make(&bench, BOB, input);
            height += blocks;
            let bobs = if fluctuates { height - 5 } else { height };
            let _any = bench.at(bobs).pay(BOB, value, made);
            let game = bench.state().played;
            let choice = choices[game as usize];
            for own in [Input::Commit(hash(game, ALICE, choice)), reveal(ALICE, choice), Input::Claim] {
                let _if_it_fits = bench.at(height).call(ALICE, own);
            }
            prop_assert_eq!(bench.attached().sum().unwrap(), bench.paid().sum().unwrap() + bench.balance());
        }
        let won = bench.state().won;
        if !is_over(&bench) {
            let deadline = bench.state().deadline;
            let _claimed = bench.at(deadline).call(ALICE, Input::Claim).unwrap();
        }
        prop_assert_eq!(bench.balance(), 0);
        prop_assert!(bench.gained(ALICE) >= 0 || won[BOB] > won[ALICE]);
        prop_assert!(bench.gained(ALICE).abs() <= STAKE as i128);
    }

    /// Whatever both do, and in whatever order, coins are conserved, the contract pays both stakes or keeps what came in, and it can be ended.
    #[test]
    fn every_stage_can_be_ended_by_either_party(
        games in 1..4u8,
        calls in prop::collection::vec((party(), input(), 0..60u32), 0..60),
        last in party(),
    ) {
        let mut bench = create(Pair::default(), games);
        for (caller, input, after) in calls {
            let (value, made) = make(&bench, caller, input);
            let _any = bench.at(NOW + after).pay(caller, value, made);
            let attached = bench.attached().sum().unwrap();
            prop_assert_eq!(attached, bench.paid().sum().unwrap() + bench.balance());
            prop_assert!(attached <= 2 * STAKE);
            prop_assert_eq!(bench.balance() == 0, is_over(&bench) || attached == 0);
        }
        let nothing_to_do = bench.balance() == 0;
        prop_assert_eq!(bench.at(BlockNumber::MAX).call(last, Input::Claim).is_err(), nothing_to_do);
        prop_assert_eq!(bench.balance(), 0);
    }
}
