//! The store's journal: what was acknowledged is there after every crash, whole and in order, and the two files are not taken for a pair that they are not.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so do its helpers"
)]

#[cfg(target_os = "linux")]
mod disks;
#[path = "../image/mod.rs"]
mod image;
#[cfg(target_os = "linux")]
mod storms;

use image::{Image, PAGE};
use proptest::prelude::*;
use scale::Encode;
use sdk::{
    protocol::crypto::{Crypto, Native},
    store::{Batch, Durability, OpenError, Store, StoreDoubt, StoreError, Table},
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

/// How long a journal is, in bytes.
const JOURNAL: usize = 4 * 1024 * 1024;
/// What stands in front of the rows of a record.
const HEAD: usize = 44;
/// Three of these are more than a journal holds.
const LARGE: usize = 1_500_000;

fn open(directory: &Path) -> Store {
    Store::open(directory, Durability::Immediate).unwrap()
}

/// With the journal of another one.
fn with_journal_of(image: &Image, other: &Image) -> Image {
    let [values, _journal, lock] = image.clone().0;
    Image([values, other.0[1].clone(), lock])
}

/// With the lock of another one.
fn with_lock_of(image: &Image, other: &Image) -> Image {
    let [values, journal, _lock] = image.clone().0;
    Image([values, journal, other.0[2].clone()])
}

/// A directory that had a store, for images.
fn place(root: &Path) -> PathBuf {
    let place = root.join("place");
    drop(open(&place));
    place
}

fn names(store: &Store) -> Vec<String> {
    let entries = store.load_all(Table::Meta).unwrap();
    entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn large(name: &str) -> Batch {
    Batch::new().put(Table::Meta, name, vec![7; LARGE])
}

fn small(name: &str) -> Batch {
    Batch::new().put(Table::Meta, name, "value")
}

#[test]
fn a_commit_touches_the_journal_alone_and_a_clean_end_leaves_nothing_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let [values, journal, _lock] = Image::of(directory.path()).0;
    assert_eq!(journal, [0; JOURNAL]);
    store.commit(&small("a")).unwrap();
    store.commit(&Batch::new().put(Table::Meta, "b", "").delete(Table::Meta, "a")).unwrap();
    let after = Image::of(directory.path());
    assert!(after.0[0] == values && after.0[1] != journal);
    assert_eq!(names(&store), ["b"]);
    assert_eq!((store.get(Table::Meta, b"a").unwrap(), store.get(Table::Meta, b"b").unwrap()), (None, Some(vec![])));
    drop(store);
    fs::remove_file(directory.path().join("journal")).unwrap();
    let store = open(directory.path());
    assert_eq!((names(&store), store.doubt()), (vec!["b".to_owned()], None));
}

#[test]
fn what_is_read_is_what_was_committed_before_and_after_it_moves_to_the_values() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for round in 0..3 {
        for name in ["a/1", "a/2", "b/1"] {
            store.commit(&Batch::new().put(Table::Apps, name, [round])).unwrap();
        }
        store.commit(&Batch::new().delete(Table::Apps, "a/2").put(Table::Apps, "a/0", [round])).unwrap();
        let expected = [(b"a/0".to_vec(), vec![round]), (b"a/1".to_vec(), vec![round])];
        assert_eq!(store.load(Table::Apps, b"a/").unwrap(), expected);
        assert_eq!(store.get(Table::Apps, b"a/2").unwrap(), None);
        assert_eq!(store.get(Table::Apps, b"b/1").unwrap(), Some(vec![round]));
        // Removed from the values as well.
        ["x", "y", "z"].iter().for_each(|name| store.commit(&large(name)).unwrap());
        assert_eq!(store.load(Table::Apps, b"a/").unwrap(), expected);
    }
}

#[test]
fn a_batch_that_no_journal_holds_is_stored_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    store.commit(&small("before")).unwrap();
    store.commit(&Batch::new().put(Table::Apps, "huge", vec![7; JOURNAL])).unwrap();
    store.commit(&small("later")).unwrap();
    let image = Image::of(&place);
    drop(store);
    image.put_back(&place);
    let store = open(&place);
    assert_eq!((names(&store), store.doubt()), (vec!["before".to_owned(), "later".to_owned()], None));
    assert!(store.get(Table::Apps, b"huge").unwrap() == Some(vec![7; JOURNAL]));
}

/// Three records; each of their bytes is turned over, and the journal is cut at each.
#[test]
fn a_damaged_record_and_all_behind_it_are_not_there_and_do_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    let all = ["a", "b", "c"];
    for name in all {
        store.commit(&Batch::new().put(Table::Meta, name, [7; 40]).put(Table::Apps, name, "with it")).unwrap();
    }
    let image = Image::of(&place);
    drop(store);
    for record in 0..3 {
        let begin = record * PAGE;
        let end = begin + image.0[1][begin..begin + PAGE].iter().rposition(|byte| *byte != 0).unwrap() + 1;
        assert!(end - begin > HEAD + 40);
        let flipped = (begin..end).map(|at| {
            let mut image = image.clone();
            image.0[1][at] ^= 1 << (at % 8);
            (format!("byte {at}"), image)
        });
        let cut = (begin..end).step_by(3).map(|at| {
            let mut image = image.clone();
            image.0[1].truncate(at);
            (format!("cut at {at}"), image)
        });
        for (number, (what, image)) in flipped.chain(cut).enumerate() {
            image.put_back(&place);
            let store = open(&place);
            assert_eq!(store.doubt(), Some(StoreDoubt::RolledBack), "{what}");
            assert_eq!(names(&store), &all[..record], "{what}");
            assert_eq!(store.load_all(Table::Apps).unwrap().len(), record, "{what}: whole or not at all");
            if number % 16 != 0 {
                continue;
            }
            // The very same again: another record all the same.
            let name = all[record];
            let again = Batch::new().put(Table::Meta, name, [7; 40]).put(Table::Apps, name, "with it");
            store.commit(&again).unwrap();
            let crashed = Image::of(&place);
            drop(store);
            crashed.put_back(&place);
            assert_eq!(names(&open(&place)), &all[..=record], "{what}: what lay behind it does not come back");
        }
    }
}

#[test]
fn a_crash_at_any_moment_of_moving_to_the_values_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    store.commit(&large("a")).unwrap();
    store.commit(&large("b")).unwrap();
    let before = Image::of(&place);
    store.commit(&large("c")).unwrap();
    let after = Image::of(&place);
    assert!(after.0[0] != before.0[0] && after.0[1] == before.0[1], "the values took it, and the journal not yet");
    store.commit(&small("d")).unwrap();
    let later = Image::of(&place);
    drop(store);
    let found = |image: &Image| {
        image.put_back(&place);
        let store = open(&place);
        for name in names(&store).iter().filter(|name| *name != "d") {
            assert!(store.get(Table::Meta, name.as_bytes()).unwrap() == Some(vec![7; LARGE]), "{name}");
        }
        (names(&store).concat(), store.doubt())
    };
    assert_eq!(found(&before), ("ab".to_owned(), None));
    assert_eq!(found(&after), ("abc".to_owned(), None), "what the journal holds is older");
    assert_eq!(found(&later), ("abcd".to_owned(), None));

    // The next record is torn; it was not acknowledged.
    for written in [1, HEAD, HEAD + 5] {
        let mut torn = with_lock_of(&later, &after);
        torn.0[1][written..PAGE].copy_from_slice(&before.0[1][written..PAGE]);
        assert_eq!(found(&torn), ("abc".to_owned(), None), "{written} bytes written");
    }

    // Some pages of the values are written and others are not.
    let (old, new) = (&before.0[0], &after.0[0]);
    let pages = new.len().div_ceil(PAGE);
    let byte = |from: &[u8], at: usize| from.get(at).copied().unwrap_or(0);
    for written in (0..pages).step_by(pages / 25).chain([1, 2, 3, pages - 2, pages - 1]) {
        for from_the_end in [false, true] {
            let is_new = |at: usize| if from_the_end { at / PAGE >= pages - written } else { at / PAGE < written };
            let mixed = (0..new.len()).map(|at| byte(if is_new(at) { new } else { old }, at)).collect();
            let mut image = before.clone();
            image.0[0] = mixed;
            let (found, doubt) = found(&image);
            assert!(found == "ab" || found == "abc", "{written} pages written, {from_the_end}: {found}");
            assert_eq!(doubt, None);
        }
    }
}

#[test]
fn one_of_the_two_files_put_back_alone_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(directory.path());
    let store = open(&place);
    store.commit(&small("1")).unwrap();
    let first = Image::of(&place);
    ["a", "b", "c"].iter().for_each(|name| store.commit(&large(name)).unwrap());
    store.commit(&small("2")).unwrap();
    let second = Image::of(&place);
    drop(store);
    let other = directory.path().join("other");
    let of_other = open(&other);
    ["x", "y", "z", "u", "v"].iter().for_each(|name| of_other.commit(&small(name)).unwrap());
    let of_another = Image::of(&other);
    drop(of_other);

    let rolled_back = Some(StoreDoubt::RolledBack);
    let old_values = with_lock_of(&with_journal_of(&first, &second), &second);
    let old_journal = with_journal_of(&second, &first);
    let no_journal = {
        let mut image = second.clone();
        image.0[1].clear();
        image
    };
    for (what, image, expected, doubt) in [
        ("as it was", &second, "12abc", None),
        ("old values", &old_values, "", rolled_back),
        ("an old journal", &old_journal, "1abc", rolled_back),
        ("no journal", &no_journal, "1abc", rolled_back),
        ("another store's journal", &with_journal_of(&second, &of_another), "1abc", rolled_back),
        ("both old", &with_lock_of(&first, &second), "1", rolled_back),
    ] {
        image.put_back(&place);
        let store = open(&place);
        assert_eq!((names(&store).concat(), store.doubt()), (expected.to_owned(), doubt), "{what}");
        // It goes on from what it is.
        store.commit(&small("~")).unwrap();
        let crashed = Image::of(&place);
        drop(store);
        crashed.put_back(&place);
        let store = open(&place);
        assert_eq!((names(&store).concat(), store.doubt()), (format!("{expected}~"), doubt), "{what}");
    }
}

/// What the values say of themselves, written from outside.
fn note(directory: &Path, facts: &[(&str, Option<u64>)]) {
    let database = redb::Database::open(directory.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(redb::TableDefinition::<&str, u64>::new("store")).unwrap();
        for (name, value) in facts {
            match value {
                Some(value) => drop(table.insert(name, value).unwrap()),
                None => drop(table.remove(name).unwrap()),
            }
        }
    }
    transaction.commit().unwrap();
}

/// A row as it is stored: the number of its table, its key, its value.
type Row<'a> = (u8, &'a [u8], Option<&'a [u8]>);

/// Bytes of which others may be sure (R6.4b).
#[test]
fn a_journal_that_is_made_by_the_specification_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(open(path));
    note(path, &[("opening", Some(7)), ("commits", Some(3))]);
    let file = fs::OpenOptions::new().write(true).open(path.join("journal")).unwrap();
    let mut last = Native.hash(&[&b"store journal v1"[..], &7_u64.to_le_bytes(), &3_u64.to_le_bytes()].concat());
    let rows: [&[Row<'_>]; 3] = [
        &[(0, b"a", Some(b"one")), (1, b"channel", Some(b"state")), (2, b"c", Some(b"")), (3, b"e", Some(b"ended"))],
        &[],
        &[(4, b"p", Some(b"paid")), (0, b"a", None), (0, b"b", Some(&[7; PAGE])), (5, b"app", Some(b"liked"))],
    ];
    let mut at = 0;
    for rows in rows {
        let rows: Vec<u8> = rows.iter().flat_map(Encode::encode).collect();
        let length = u32::try_from(rows.len()).unwrap().to_le_bytes();
        let rest = [&9_u64.to_le_bytes()[..], &length, &rows].concat();
        last = Native.hash(&[&last.0[..], &rest].concat());
        let record = [&last.0[..], &rest].concat();
        file.write_all_at(&record, at).unwrap();
        at += u64::try_from(record.len().next_multiple_of(PAGE)).unwrap();
    }
    assert_eq!(at, 4 * 4_096);

    let store = open(path);
    let get = |table, key: &str| store.get(table, key.as_bytes()).unwrap();
    assert_eq!(names(&store), ["b"]);
    assert!(get(Table::Meta, "b") == Some(vec![7; PAGE]));
    for (table, key, value) in [
        (Table::Channels, "channel", "state"),
        (Table::Contracts, "c", ""),
        (Table::Ended, "e", "ended"),
        (Table::Payments, "p", "paid"),
        (Table::Apps, "app", "liked"),
    ] {
        assert_eq!(get(table, key), Some(value.as_bytes().to_vec()), "{table:?}");
    }
    assert_eq!(store.doubt(), None);
}

#[test]
fn a_store_from_before_there_were_journals_is_read_and_gets_one_with_its_first_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = open(path);
    store.commit(&small("old")).unwrap();
    drop(store);
    note(path, &[("format", Some(1)), ("opening", None)]);
    fs::remove_file(path.join("journal")).unwrap();

    let store = open(path);
    assert_eq!((names(&store).concat(), store.doubt()), ("old".to_owned(), None));
    let values = || fs::read(path.join("store.redb")).unwrap();
    let before = values();
    store.commit(&small("pair")).unwrap();
    let paired = values();
    assert!(paired != before, "the values note what the journal goes on from");
    store.commit(&small("quick")).unwrap();
    assert!(values() == paired);
    let crashed = Image::of(path);
    drop(store);
    crashed.put_back(path);
    let store = open(path);
    assert_eq!((names(&store).concat(), store.doubt()), ("oldpairquick".to_owned(), None));
}

#[test]
fn what_a_journal_holds_is_there_for_a_store_that_is_not_durable_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&small("durable")).unwrap();
    let crashed = Image::of(directory.path());
    drop(store);
    crashed.put_back(directory.path());
    let store = Store::open(directory.path(), Durability::DangerNone).unwrap();
    assert_eq!(names(&store), ["durable"]);
    store.commit(&small("later")).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!((names(&store).concat(), store.doubt()), ("durablelater".to_owned(), None));
}

#[test]
fn a_journal_whose_making_was_interrupted_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(directory.path().join("journal")).unwrap();
    fs::write(directory.path().join("journal.new"), "half of a jour").unwrap();
    let store = open(directory.path());
    assert_eq!(store.doubt(), None);
    assert!(!directory.path().join("journal.new").exists());
    assert_eq!(fs::read(directory.path().join("journal")).unwrap(), [0; JOURNAL]);
}

// Random stories.

#[derive(Clone, Debug)]
enum Act {
    /// Puts values of these lengths, or removes.
    Commit(Vec<(Table, u8, Option<usize>)>),
    /// The machine stops: the last record is torn behind so many 256ths of it, or whole.
    Crash(Option<u8>),
    End,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let table = prop::sample::select(vec![Table::Meta, Table::Channels, Table::Apps]);
    let length = prop_oneof![8 => 0..300_usize, 4 => 3_900..4_200_usize, 1 => 700_000..2_200_000_usize];
    let row = (table, 0..6_u8, prop::option::weighted(0.8, length));
    let commit = prop::collection::vec(row, 0..5).prop_map(Act::Commit);
    let crash = prop::option::of(any::<u8>()).prop_map(Act::Crash);
    prop::collection::vec(prop_oneof![8 => commit, 2 => crash, 1 => Just(Act::End)], 1..30)
}

type Model = BTreeMap<(u8, u8), Vec<u8>>;

/// Whether the store has just this.
fn holds(store: &Store, model: &Model) -> bool {
    [Table::Meta, Table::Channels, Table::Apps].into_iter().enumerate().all(|(number, table)| {
        let of_table = model.iter().filter(|((table, _), _)| usize::from(*table) == number);
        let expected: Vec<_> = of_table.map(|((_, key), value)| (vec![*key], value.clone())).collect();
        let of_key = |key: u8| model.get(&(u8::try_from(number).unwrap(), key)).cloned();
        store.load_all(table).unwrap() == expected && (0..6).all(|key| store.get(table, &[key]).unwrap() == of_key(key))
    })
}

/// Commits random rows; what the model has then.
fn commit(store: &Store, rows: &[(Table, u8, Option<usize>)], fill: u8, model: &Model) -> Model {
    let (mut batch, mut model) = (Batch::new(), model.clone());
    for (table, key, length) in rows {
        let number = match table {
            Table::Meta => 0,
            Table::Channels => 1,
            _ => 2,
        };
        let value = length.map(|length| vec![fill; length]);
        batch = match &value {
            Some(value) => batch.put(*table, [*key], value.clone()),
            None => batch.delete(*table, [*key]),
        };
        let _before = match value {
            Some(value) => model.insert((number, *key), value),
            None => model.remove(&(number, *key)),
        };
    }
    store.commit(&batch).unwrap();
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_every_crash_all_that_was_acknowledged_is_there_and_a_torn_batch_is_not(acts in acts()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut store = open(path);
        let mut model = Model::new();
        // The files and the model before the last commit.
        let mut before = (Image::of(path), model.clone());
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::Commit(rows) => {
                    before = (Image::of(path), model.clone());
                    model = commit(&store, &rows, u8::try_from(number + 1).unwrap(), &model);
                }
                Act::Crash(torn) => {
                    let mut image = Image::of(path);
                    let (old, old_model) = &before;
                    let differs = |at: &usize| image.0[1][*at] != old.0[1][*at];
                    let span = (0..JOURNAL).find(differs).zip((0..JOURNAL).rfind(differs));
                    drop(store);
                    // Only a commit that went to the journal can be torn there; it was not acknowledged then.
                    if let (Some(torn), Some((first, last)), true) = (torn, span, image.0[0] == old.0[0]) {
                        let at = first + (last - first) * usize::from(torn) / 256;
                        image.0[1][at..].copy_from_slice(&old.0[1][at..]);
                        image.0[2].clone_from(&old.0[2]);
                        image.put_back(path);
                        store = open(path);
                        // Whole where all that is missing are zeros to the end of its page.
                        if holds(&store, old_model) {
                            model = old_model.clone();
                        }
                    } else {
                        image.put_back(path);
                        store = open(path);
                    }
                    before = (Image::of(path), model.clone());
                }
                Act::End => {
                    drop(store);
                    store = open(path);
                    before = (Image::of(path), model.clone());
                }
            }
            prop_assert!(holds(&store, &model));
            prop_assert_eq!(store.doubt(), None);
        }
    }
}

// A full disk: this test program starts itself again, where no file may be longer than so much.

const DIRECTORY: &str = "JOURNAL_TEST_DIRECTORY";
const LINE: &str = "acknowledged ";

/// Not a test by itself: commits rows until there is no room, and says how that is told.
#[test]
fn child_commits_until_there_is_no_room() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let mut out = std::io::stdout();
    for number in 0_u32.. {
        let batch = Batch::new().put(Table::Channels, number.to_be_bytes(), vec![7; 50_000]);
        match store.commit(&batch) {
            Ok(()) => writeln!(out, "{LINE}{number}").unwrap(),
            Err(StoreError::Failed(error)) => return writeln!(out, "failed: {error}").unwrap(),
            Err(error) => panic!("{error}"),
        }
        assert!(number < 10_000);
    }
}

/// What a child says that may write files of so many KiB.
fn child(directory: &Path, limit_kib: usize) -> String {
    let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", limit_kib * 2);
    let output = Command::new("sh")
        .args(["-c", &limited])
        .arg(env::current_exe().unwrap())
        .args(["child_commits_until_there_is_no_room", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn without_room_the_store_fails_as_ever_and_keeps_what_it_acknowledged() {
    for (limit_kib, has_journal) in [(6_000, true), (3_000, false)] {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = 0;
        for run in 0..2 {
            let said = child(directory.path(), limit_kib);
            assert!(said.contains("failed: "), "{said}");
            let acknowledged = said.lines().filter_map(|line| line.split_once(LINE));
            let count = acknowledged.map(|(_, number)| number.parse::<usize>().unwrap() + 1).max().unwrap_or(0);
            assert!(run > 0 || count > 10, "{said}");
            expected = expected.max(count);
            let rooms = directory.path().join("journal");
            assert_eq!(rooms.exists(), has_journal && !directory.path().join("journal.new").exists());
        }
        let store = open(directory.path());
        assert_eq!(store.doubt(), None);
        let stored = store.load_all(Table::Channels).unwrap();
        assert!(stored.len() == expected || stored.len() == expected + 1, "{} and {expected}", stored.len());
        assert!(stored.iter().all(|(_, value)| *value == vec![7; 50_000]));
        store.commit(&small("with room again")).unwrap();
        assert_eq!(names(&store), ["with room again"]);
    }
}

#[test]
fn a_journal_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let journal = directory.path().join("journal");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    let error = Store::open(directory.path(), Durability::Immediate).unwrap_err();
    assert!(matches!(&error, OpenError::Io { path, .. } if *path == journal), "{error}");
}
