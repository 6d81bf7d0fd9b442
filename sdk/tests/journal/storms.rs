//! The store against what its other tests do not do to it: storms that are killed, readers beside it, records of every length.

use super::{
    HEAD, JOURNAL,
    image::{FILES, Image, PAGE},
    names, open, place, small,
};
use sdk::{
    protocol::crypto::{Crypto, Native},
    store::{Batch, Durability, MAX_KEY, MAX_VALUE, Store, StoreDoubt, StoreHandle, Table},
};
use std::{
    collections::BTreeMap,
    env, fs,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const DIRECTORY: &str = "STORE_CHILD_DIRECTORY";
const SEED: &str = "STORE_CHILD_SEED";
const ROUNDS: &str = "STORE_CHILD_ROUNDS";
const TASKS: u8 = 6;

/// How many records follow one another from the beginning, the first taken as it is.
fn chain_length(journal: &[u8]) -> usize {
    let (mut at, mut count, mut last) = (0, 0, [0; 32]);
    while at + PAGE <= journal.len() {
        let rows = usize::try_from(u32::from_le_bytes(journal[at + 40..at + 44].try_into().unwrap())).unwrap();
        let check = &journal[at..at + 32];
        if check == [0; 32] || at + HEAD + rows > journal.len() {
            break;
        }
        let record = [&last[..], &journal[at + 32..at + HEAD + rows]].concat();
        if count > 0 && Native.hash(&record).0 != check {
            break;
        }
        last.copy_from_slice(check);
        (at, count) = (at + (HEAD + rows).next_multiple_of(PAGE), count + 1);
    }
    count
}

// A storm of tasks that is killed.

/// A number that follows from two others.
fn mixed(seed: u64, number: u64) -> u64 {
    let hash = Native.hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat()).0;
    u64::from_le_bytes(hash[..8].try_into().unwrap())
}

/// What a task keeps with its step `number`.
fn value(task: u8, number: u64) -> Vec<u8> {
    let lengths = [0, 1, 30, 4_000, 4_095, 4_096, 4_097, 12_000, 60_000, 200_000];
    let length = lengths[usize::try_from(mixed(u64::from(task), number) % 10).unwrap()];
    [&number.to_be_bytes()[..], &vec![u8::try_from(number % 251).unwrap(); length]].concat()
}

/// What a task commits with its step `number`.
fn step(task: u8, number: u64) -> Batch {
    let key = [task, u8::try_from(number % 16).unwrap()];
    let gone = [task, u8::try_from((number + 8) % 16).unwrap()];
    Batch::new()
        .put(Table::Channels, [task], value(task, number))
        .put(Table::Apps, key, number.to_be_bytes())
        .delete(Table::Apps, gone)
        .put(Table::Meta, [task], number.to_be_bytes())
}

/// The number of the last step of a task that a store holds; all that it holds of the task belongs to it.
fn stands_at(store: &Store, task: u8) -> u64 {
    let meta = store.get(Table::Meta, &[task]).unwrap();
    let number = meta.map_or(0, |number| u64::from_be_bytes(number.try_into().unwrap()));
    let expected = (number > 0).then(|| value(task, number));
    assert!(store.get(Table::Channels, &[task]).unwrap() == expected, "{task} at {number}: one batch");
    let kept: BTreeMap<u64, u64> =
        (number.saturating_sub(7).max(1)..=number).map(|number| (number % 16, number)).collect();
    let found = store.load(Table::Apps, &[task]).unwrap();
    let found: BTreeMap<u64, u64> = found
        .into_iter()
        .map(|(key, value)| (u64::from(key[1]), u64::from_be_bytes(value.try_into().unwrap())))
        .collect();
    assert_eq!(found, kept, "{task} at {number}: all in order");
    number
}

/// Not a test by itself: tasks commit growing numbers until they are killed, and print each before and after.
#[test]
fn child_storms() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let workers = if env::var(SEED).unwrap().parse::<u64>().unwrap().is_multiple_of(3) { 1 } else { 3 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = StoreHandle::open(Path::new(&directory), Durability::Immediate).unwrap();
        let tasks = (0..TASKS).map(|task| {
            let store = store.clone();
            let from = store.get(Table::Meta, &[task]).unwrap();
            let from = from.map_or(0, |n| u64::from_be_bytes(n.try_into().unwrap()));
            tokio::spawn(async move {
                for number in from + 1.. {
                    store.commit(step(task, number)).await.unwrap();
                    // One call, so that lines stay whole.
                    std::io::stdout().write_all(format!("\n=acked {task} {number}\n").as_bytes()).unwrap();
                }
            })
        });
        let _ended = futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    });
}

/// Not a test by itself: says what the store holds that a storm has left.
#[test]
fn child_looks() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let store = match Store::open(Path::new(&directory), Durability::Immediate) {
        Ok(store) => store,
        Err(error) => return println!("=refused {error}"),
    };
    println!("=doubt {:?}", store.doubt());
    (0..TASKS).for_each(|task| println!("=stands {task} {}", stands_at(&store, task)));
}

/// Kills the storm again and again, each time after another number of acknowledgements.
#[test]
fn a_storm_that_is_killed_again_and_again_loses_nothing_and_tears_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = env::var_os("STORE_CHILD_PLACE").map_or(directory.path().to_owned(), PathBuf::from);
    let rounds = env::var(ROUNDS).map_or(60, |rounds| rounds.parse().unwrap());
    let mut acked = [0_u64; TASKS as usize];
    // Rounds since it was last looked at: each may have stored one step of a task without saying so.
    let mut unseen = 0;
    for round in 0..rounds {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["storms::child_storms", "--exact", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, &directory)
            .env(SEED, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut note = |line: String| {
            let Some((_, rest)) = line.split_once("=acked ") else { return 0 };
            let Some((task, number)) = rest.split_once(' ') else { return 0 };
            let (Ok(task), Ok(number)) = (task.parse::<usize>(), number.parse()) else { return 0 };
            acked[task] = number;
            1
        };
        let kill_after = mixed(7, round) % 160;
        let mut seen = 0;
        while seen < kill_after {
            seen += note(lines.next().expect("the storm goes on"));
        }
        child.kill().unwrap();
        lines.for_each(|line| _ = note(line));
        let _ended = child.wait().unwrap();
        unseen += 1;
        // Now and then nobody looks before the next storm, which goes on from what it finds.
        if round % 4 == 3 {
            continue;
        }
        let store = open(&directory);
        assert_eq!(store.doubt(), None, "round {round}");
        for (task, acked) in (0..).zip(&mut acked) {
            let stands = stands_at(&store, task);
            assert!(
                stands >= *acked && stands <= *acked + unseen,
                "round {round}: {stands} stored, {acked} acknowledged"
            );
            *acked = stands;
        }
        unseen = 0;
        // And now and then it ends without a clean end.
        if round % 3 == 1 {
            let image = Image::of(&directory);
            drop(store);
            image.put_back(&directory);
        }
    }
}

// Records of every length.

/// A batch whose rows have so many bytes.
fn rows_of(name: &str, rows: usize) -> Batch {
    // Table, length of the key, key, some, length of the value.
    let around = |length: usize| {
        1 + 1
            + name.len()
            + 1
            + if length < 64 {
                1
            } else if length < 16_384 {
                2
            } else {
                4
            }
    };
    let length = (0..=rows).rev().take(32).find(|length| around(*length) + length == rows).unwrap();
    Batch::new().put(Table::Meta, name, vec![7; length])
}

#[test]
fn records_that_just_fill_pages_and_the_journal_and_just_do_not_survive_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    for first in [0, 1, 2, 3] {
        for over in [-1_i64, 0, 1] {
            let store = open(&place);
            store
                .commit(&Batch::new().delete(Table::Meta, "a").delete(Table::Meta, "b").delete(Table::Meta, "c"))
                .unwrap();
            drop(store);
            let store = open(&place);
            let mut expected = Vec::new();
            let begin = first * PAGE;
            if first > 0 {
                store.commit(&rows_of("a", begin - HEAD)).unwrap();
                expected.push("a");
            }
            let rows = usize::try_from(i64::try_from(JOURNAL - begin - HEAD).unwrap() + over).unwrap();
            let values = fs::read(place.join("store.redb")).unwrap();
            store.commit(&rows_of("b", rows)).unwrap();
            expected.push("b");
            assert_eq!(fs::read(place.join("store.redb")).unwrap() == values, over <= 0, "{first} {over}");
            let crashed = Image::of(&place);
            store.commit(&small("c")).unwrap();
            let later = Image::of(&place);
            drop(store);
            for (image, more) in [(&crashed, None), (&later, Some("c"))] {
                image.put_back(&place);
                let store = open(&place);
                let expected: Vec<_> = expected.iter().copied().chain(more).collect();
                assert_eq!(
                    (names(&store), store.doubt()),
                    (expected.iter().map(|s| (*s).to_owned()).collect(), None),
                    "{first} {over}"
                );
            }
        }
    }
}

#[test]
fn values_and_keys_of_every_length_are_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    let lengths = [
        0,
        1,
        63,
        64,
        4_000,
        4_043,
        4_044,
        4_045,
        4_095,
        4_096,
        4_097,
        16_383,
        16_384,
        65_536,
        JOURNAL - PAGE,
        JOURNAL,
        MAX_VALUE,
    ];
    let keys = [0, 1, 63, 64, MAX_KEY];
    for (number, length) in (1_u8..).zip(lengths) {
        for key in keys {
            if length > 100_000 && key != MAX_KEY {
                continue;
            }
            let key = [vec![number; key], vec![]].concat();
            store.commit(&Batch::new().put(Table::Routing, key, vec![number; length])).unwrap();
        }
    }
    let image = Image::of(&place);
    drop(store);
    image.put_back(&place);
    let store = open(&place);
    assert_eq!(store.doubt(), None);
    for (number, length) in (1_u8..).zip(lengths) {
        for key in keys {
            if length > 100_000 && key != MAX_KEY || key == 0 {
                continue;
            }
            let found = store.get(Table::Routing, &vec![number; key]).unwrap();
            assert!(found == Some(vec![number; length]), "{key} {length}");
        }
    }
    assert!(store.get(Table::Routing, &[]).unwrap() == Some(vec![14; 65_536]), "the last value of the empty key");
}

/// A record of several pages of which any are missing was not acknowledged.
#[test]
fn a_record_of_several_pages_of_which_some_are_not_written_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    store.commit(&small("a")).unwrap();
    let before = Image::of(&place);
    store.commit(&Batch::new().put(Table::Meta, "b", vec![9; 5 * PAGE + 100])).unwrap();
    let after = Image::of(&place);
    drop(store);
    for written in 0_usize..64 {
        let mut torn = before.clone();
        for page in (0..6).filter(|page| written & (1 << page) != 0) {
            let at = (1 + page) * PAGE;
            torn.0[1][at..at + PAGE].copy_from_slice(&after.0[1][at..at + PAGE]);
        }
        torn.put_back(&place);
        let store = open(&place);
        let expected: &[&str] = if written == 63 { &["a", "b"] } else { &["a"] };
        assert_eq!(
            (names(&store), store.doubt()),
            (expected.iter().map(|s| (*s).to_owned()).collect(), None),
            "{written:b}"
        );
        store.commit(&small("c")).unwrap();
        let crashed = Image::of(&place);
        drop(store);
        crashed.put_back(&place);
        let store = open(&place);
        assert_eq!(names(&store).len(), expected.len() + 1);
        assert_eq!(store.doubt(), None);
    }
}

// Readers beside it.

/// Whoever reads the files by the cache at the same time, as who makes a copy does, sees whole what was acknowledged, and hinders nothing.
#[test]
fn whoever_reads_the_journal_meanwhile_sees_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let journal = File::open(directory.path().join("journal")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (over, path) = (over.clone(), directory.path().join("journal"));
            std::thread::spawn(move || {
                let mut reads = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    reads += u64::try_from(fs::read(&path).unwrap().len()).unwrap() / 4_096;
                }
                reads
            })
        })
        .collect();
    let mut bytes = vec![0; JOURNAL];
    for number in 1..=600_usize {
        store.commit(&Batch::new().put(Table::Meta, "n", number.to_be_bytes())).unwrap();
        journal.read_exact_at(&mut bytes[..number * PAGE], 0).unwrap();
        assert_eq!(chain_length(&bytes[..number * PAGE]), number, "read by the cache");
    }
    over.store(true, Ordering::Relaxed);
    assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>() > 0);
    drop(store);
    assert_eq!(open(directory.path()).doubt(), None);
}

/// A copy of each file that is made while the store is written is no store that was: it opens with what was once committed, or is refused, and is known for a copy.
#[test]
fn a_copy_that_is_made_meanwhile_is_known_for_one_and_holds_nothing_that_never_was() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("store");
    drop(open(&place));
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (over, place) = (over.clone(), place.clone());
        move || {
            let store = open(&place);
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                store.commit(&step(1, number)).unwrap();
            }
        }
    });
    let (mut opened, mut refused) = (0, 0);
    for round in 0..60 {
        let copy = root.path().join(format!("copy {round}"));
        fs::create_dir(&copy).unwrap();
        let mut files = FILES;
        files.rotate_left(round % 3);
        for file in files {
            let _bytes = fs::copy(place.join(file), copy.join(file)).unwrap();
        }
        rustix::fs::chmod(&copy, rustix::fs::Mode::RWXU).unwrap();
        match Store::open(&copy, Durability::Immediate) {
            Ok(store) => {
                opened += 1;
                assert!(
                    matches!(store.doubt(), Some(StoreDoubt::Copied | StoreDoubt::RolledBack)),
                    "{:?}",
                    store.doubt()
                );
                let _number = stands_at(&store, 1);
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("store.redb"), "{error}");
            }
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    eprintln!("{opened} opened, {refused} refused");
}
