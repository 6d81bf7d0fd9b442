//! The store keeps what it acknowledged: over restarts, over `kill -9`, and against whatever a disk may hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod image;

use futures::FutureExt;
use image::{FILES, Image};
use sdk::store::{
    Batch, Counters, Durability, MAX_KEY, MAX_VALUE, OpenError, Store, StoreDoubt, StoreError, StoreHandle, Table,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Lines, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

fn open(directory: &Path) -> Store {
    Store::open(directory, Durability::Immediate).unwrap()
}

fn refused(directory: &Path) -> OpenError {
    Store::open(directory, Durability::Immediate).unwrap_err()
}

fn values(directory: &Path) -> PathBuf {
    directory.join("store.redb")
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("journal")
}

#[test]
fn values_survive_reopening_and_tables_are_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er");
    let store = open(&path);
    assert_eq!(store.load_all(Table::Channels).unwrap(), []);
    store
        .commit(
            &Batch::new()
                .put(Table::Channels, [2; 32], vec![7; 1_000_000])
                .put(Table::Channels, [1; 32], "one")
                .put(Table::Meta, [1; 32], "meta")
                .put(Table::Payments, "gone", "x")
                .delete(Table::Payments, "gone")
                .put(Table::Meta, "", ""),
        )
        .unwrap();
    store.commit(&Batch::new().put(Table::Channels, [1; 32], "uno").delete(Table::Meta, "never there")).unwrap();
    drop(store);

    let store = open(&path);
    let channels = store.load_all(Table::Channels).unwrap();
    assert_eq!(channels, [(vec![1; 32], b"uno".to_vec()), (vec![2; 32], vec![7; 1_000_000])], "ordered by key");
    assert_eq!(store.get(Table::Meta, &[1; 32]).unwrap().unwrap(), b"meta");
    assert_eq!(store.get(Table::Meta, b"").unwrap().unwrap(), b"");
    assert_eq!(store.get(Table::Payments, b"gone").unwrap(), None);
}

#[test]
fn everything_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node");
    drop(open(&path));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&values(&path)), mode(&path.join("lock"))), (0o700, 0o600, 0o600));
    assert_eq!(mode(&journal(&path)), 0o600);

    for file in [values(&path), journal(&path), path.join("lock")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = refused(&path);
        assert!(matches!(&error, OpenError::OpenToOthers { path, mode: 0o644 } if *path == file));
        assert!(error.to_string().contains(&format!("chmod 600 {}", file.display())));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    drop(open(&path));
}

#[test]
fn what_is_over_a_limit_is_refused_and_the_store_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let batch = Batch::new().put(Table::Meta, "with it", "x").put(Table::Meta, vec![0; MAX_KEY + 1], "x");
    assert!(
        matches!(store.commit(&batch), Err(StoreError::TooLong { what: "key", length, limit: MAX_KEY }) if length == MAX_KEY + 1)
    );
    let batch = Batch::new().put(Table::Meta, "with it", "x").put(Table::Meta, "long", vec![0; MAX_VALUE + 1]);
    assert!(matches!(store.commit(&batch), Err(StoreError::TooLong { what: "value", .. })));
    assert_eq!(store.load_all(Table::Meta).unwrap(), [], "nothing of a refused batch is stored");
    store.commit(&Batch::new().put(Table::Meta, vec![0; MAX_KEY], "x")).unwrap();
    assert_eq!(store.load_all(Table::Meta).unwrap().len(), 1);
}

#[test]
fn a_store_that_is_not_durable_still_keeps_everything_over_a_clean_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Durability::DangerNone).unwrap();
    for number in 0..10_u8 {
        store.commit(&Batch::new().put(Table::Meta, "n", [number])).unwrap();
    }
    drop(store);
    assert_eq!(open(directory.path()).get(Table::Meta, b"n").unwrap().unwrap(), [9]);
}

// Bad files.

#[test]
fn a_store_in_use_is_refused_in_the_same_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert!(matches!(refused(directory.path()), OpenError::InUse { path } if path == directory.path()));
    drop(store);
    drop(open(directory.path()));
}

#[test]
fn a_directory_that_cannot_be_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(refused(&file), OpenError::Io { path, .. } if path == file));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let database = redb::Database::open(values(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut facts = transaction.open_table(redb::TableDefinition::<&str, u64>::new("store")).unwrap();
        drop(facts.insert("format", 3).unwrap());
    }
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        assert!(matches!(refused(directory.path()), OpenError::Newer { found: 3, known: 2, .. }));
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for content in [&b""[..], b"hello", &[0; 100_000], b"redb\x1a\x0a\xa9\x0d\x0a"] {
        let file = values(directory.path());
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let error = refused(directory.path());
        assert!(matches!(&error, OpenError::Corrupt { path, .. } if *path == file), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn a_cut_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&Batch::new().put(Table::Channels, [1; 32], vec![7; 100_000])).unwrap();
    drop(store);
    let file = fs::OpenOptions::new().write(true).open(values(directory.path())).unwrap();
    let length = file.metadata().unwrap().len();
    for length in [length / 2, 5_000, 100, 1] {
        file.set_len(length).unwrap();
        let error = refused(directory.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "cut to {length}: {error}");
    }
}

/// Damages one place after the other, in what a crash leaves behind and after a clean end; the store either refuses, or says that it is old, or gives out
/// exactly what was stored.
#[test]
fn damage_is_noticed_when_the_store_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let store = open(place);
    for number in 0..20_u8 {
        store.commit(&Batch::new().put(Table::Channels, [number; 32], vec![number; 3_000])).unwrap();
    }
    let expected = store.load_all(Table::Channels).unwrap();
    let crashed = Image::of(place);
    drop(store);
    let clean = Image::of(place);

    for (name, image, which) in
        [("crashed", &crashed, 0), ("crashed", &crashed, 1), ("clean", &clean, 0), ("clean", &clean, 1)]
    {
        let file = FILES[which];
        let in_use = image.0[which].iter().rposition(|byte| *byte != 0).unwrap();
        let (mut corrupt, mut rolled_back, mut unharmed) = (0, 0, 0);
        for at in (0..320).step_by(5).chain((320..in_use).step_by(4_973)) {
            let mut damaged = image.clone();
            damaged.0[which][at] ^= 0x55;
            damaged.put_back(place);
            match Store::open(place, Durability::Immediate) {
                Err(OpenError::Corrupt { .. }) => corrupt += 1,
                Err(error) => panic!("{name} {file}, byte {at}: {error}"),
                Ok(store) if store.doubt() == Some(StoreDoubt::RolledBack) => rolled_back += 1,
                Ok(store) => {
                    assert!(store.load_all(Table::Channels).unwrap() == expected, "{name} {file}, byte {at}");
                    unharmed += 1;
                }
            }
        }
        eprintln!("{name} {file}: {corrupt} corrupt, {rolled_back} rolled back, {unharmed} unharmed");
        // After a clean end the journal does not count any more.
        assert_eq!(corrupt + rolled_back > 10, (name, file) != ("clean", "journal"));
    }
}

#[test]
fn a_store_older_than_what_was_acknowledged_is_known_at_every_start_until_its_owner_vouches_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&Batch::new().put(Table::Meta, "round", "1")).unwrap();
    drop(store);
    let old = Image::of(directory.path());
    let store = open(directory.path());
    store.commit(&Batch::new().put(Table::Meta, "round", "2")).unwrap();
    drop(store);
    let lock = fs::read(directory.path().join("lock")).unwrap();
    old.put_back(directory.path());
    fs::write(directory.path().join("lock"), lock).unwrap();

    // What is committed from then on does not make it a new one.
    for _ in 0..4 {
        let store = open(directory.path());
        assert_eq!(store.doubt(), Some(StoreDoubt::RolledBack));
        assert_eq!(store.get(Table::Meta, b"round").unwrap().unwrap(), b"1", "it can be read");
        store.commit(&Batch::new().put(Table::Meta, "looked at", "block")).unwrap();
    }
    fs::remove_file(directory.path().join("lock")).unwrap();
    assert_eq!(open(directory.path()).doubt(), None);
}

#[test]
fn a_creation_that_was_interrupted_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("store.redb.new"), "half of a st").unwrap();
    drop(open(directory.path()));
    assert!(!directory.path().join("store.redb.new").exists());
}

// Many tasks.

/// On one thread, which therefore never writes by itself.
#[tokio::test]
async fn commits_at_the_same_time_share_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
    let commits = (0..100_u8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store.commit(Batch::new().put(Table::Channels, [number; 32], [number])).await.unwrap();
            assert_eq!(
                store.get(Table::Channels, &[number; 32]).unwrap().unwrap(),
                [number],
                "readable once acknowledged"
            );
        })
    });
    for commit in futures::future::join_all(commits).await {
        commit.unwrap();
    }
    let Counters { batches, transactions } = store.counters();
    assert_eq!(batches, 100);
    assert!(transactions <= 50, "{transactions} transactions");
    drop(store);
    assert_eq!(
        open(directory.path()).load_all(Table::Channels).unwrap().len(),
        100,
        "the last handle closed the store"
    );
}

#[tokio::test]
async fn one_refused_batch_does_not_disturb_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
    let good = |number: u8| store.commit(Batch::new().put(Table::Meta, [number], [number]));
    let bad = store.commit(Batch::new().put(Table::Meta, vec![0; MAX_KEY + 1], "x"));
    let (first, refused, second) = tokio::join!(good(1), bad, good(2));
    assert!(matches!(refused, Err(StoreError::TooLong { .. })));
    first.and(second).unwrap();
    assert_eq!(store.load_all(Table::Meta).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_queued_and_given_up_is_stored_before_those_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
    let put = |n: u32| store.commit(Batch::new().put(Table::Meta, "n", n.to_be_bytes()));
    for number in (0..2_000).step_by(3) {
        // Each is polled once, which may store it, or queue it and drop the call.
        let _given_up = put(number).now_or_never();
        let _given_up = put(number + 1).now_or_never();
        put(number + 2).await.unwrap();
        assert_eq!(store.get(Table::Meta, b"n").unwrap().unwrap(), (number + 2).to_be_bytes());
    }
    assert_eq!(store.counters().batches, 2_001);
}

#[tokio::test]
async fn batches_are_stored_in_the_order_in_which_they_were_queued() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
    let put = |n: &'static str| store.commit(Batch::new().put(Table::Meta, "n", n));
    for _ in 0..20 {
        let (first, second, third) = tokio::join!(biased; put("first"), put("second"), put("third"));
        first.and(second).and(third).unwrap();
        assert_eq!(store.get(Table::Meta, b"n").unwrap().unwrap(), b"third");
    }
}

#[tokio::test]
async fn the_last_handle_waits_for_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreHandle::open(directory.path(), Durability::DangerNone).unwrap();
    for n in 0..50_u8 {
        // Polled once, which queues the batch, and dropped.
        let _pending = store.commit(Batch::new().put(Table::Meta, [n], "x")).now_or_never();
    }
    drop(store);
    assert_eq!(open(directory.path()).load_all(Table::Meta).unwrap().len(), 50);
}

// Other processes: this test program starts itself again, with one test only and a directory in its environment.

const DIRECTORY: &str = "STORE_TEST_DIRECTORY";
const LINE: &str = "acknowledged ";

/// Starts the test `name` of this program in a process of its own.
fn start(name: &str, directory: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The numbers that a child acknowledges, as far as they come.
fn acknowledged(lines: Lines<BufReader<ChildStdout>>) -> impl Iterator<Item = u64> {
    lines.map_while(Result::ok).filter_map(|line| line.split_once(LINE).and_then(|(_, number)| number.parse().ok()))
}

/// Not a test by itself: commits growing numbers under two keys until it is killed, and prints each once it is acknowledged.
#[test]
fn child_commits_until_it_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let mut out = std::io::stdout();
    let from = store.get(Table::Meta, b"n").unwrap().map_or(0, |n| u64::from_be_bytes(n.try_into().unwrap()));
    for n in from + 1.. {
        let long: Vec<u8> = n.to_be_bytes().repeat(2_000);
        store.commit(&Batch::new().put(Table::Meta, "n", n.to_be_bytes()).put(Table::Channels, [1; 32], long)).unwrap();
        writeln!(out, "{LINE}{n}").unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_no_batch_is_torn() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    // The last one crosses what a journal holds, more than once.
    for kill_after in [1, 7, 40, 500] {
        let (mut child, lines) = start("child_commits_until_it_is_killed", directory.path());
        let mut numbers = acknowledged(lines);
        for _ in 0..kill_after {
            last = numbers.next().unwrap();
        }
        child.kill().unwrap();
        last = numbers.last().unwrap_or(last);
        assert!(!child.wait().unwrap().success());

        let store = open(directory.path());
        let n = u64::from_be_bytes(store.get(Table::Meta, b"n").unwrap().unwrap().try_into().unwrap());
        assert!(n == last || n == last + 1, "{n} stored, {last} acknowledged");
        assert!(store.get(Table::Channels, &[1; 32]).unwrap().unwrap() == n.to_be_bytes().repeat(2_000), "one batch");
    }
    assert!(last >= 548);
}

#[test]
fn a_store_in_use_by_another_process_is_refused_until_that_one_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, lines) = start("child_commits_until_it_is_killed", directory.path());
    let mut numbers = acknowledged(lines);
    let _first = numbers.next().unwrap();
    let error = refused(directory.path());
    assert!(matches!(&error, OpenError::InUse { path } if path == directory.path()));
    assert!(error.to_string().contains("another node runs on it"));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    drop(open(directory.path()));
}

/// Copies the files of a store into another directory, which is made anew.
fn copy_all(from: &Path, to: &Path) {
    let _not_there = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let _bytes = fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_directory_that_was_copied_with_its_lock_is_known_at_every_start_until_its_owner_vouches_for_it() {
    let root = tempfile::tempdir().unwrap();
    let (store, copy) = (root.path().join("store"), root.path().join("copy"));
    let open = |path: &Path| Store::open(path, Durability::Immediate).unwrap();
    for _ in 0..2 {
        let opened = open(&store);
        assert_eq!(opened.doubt(), None, "where it always was");
        opened.commit(&Batch::new().put(Table::Meta, *b"key", *b"value")).unwrap();
    }
    copy_all(&store, &copy);
    for _ in 0..2 {
        let opened = open(&copy);
        assert_eq!(opened.doubt(), Some(StoreDoubt::Copied), "elsewhere");
        assert_eq!(opened.get(Table::Meta, b"key").unwrap(), Some(b"value".to_vec()), "it can be read");
        opened.commit(&Batch::new().put(Table::Meta, *b"key", *b"value")).unwrap();
    }
    // Put back to where the first one was.
    copy_all(&copy, &store);
    assert_eq!(open(&store).doubt(), Some(StoreDoubt::Copied));
    // Renamed it is still the same.
    let renamed = root.path().join("renamed");
    fs::remove_file(store.join("lock")).unwrap();
    assert_eq!(open(&store).doubt(), None, "its owner says that it is the newest");
    fs::rename(&store, &renamed).unwrap();
    assert_eq!(open(&renamed).doubt(), None);
}

#[test]
fn a_lock_from_before_it_noted_which_file_it_is_is_taken_as_it_stands() {
    let root = tempfile::tempdir().unwrap();
    let (store, copy) = (root.path().join("store"), root.path().join("copy"));
    drop(Store::open(&store, Durability::Immediate).unwrap());
    let lock = fs::OpenOptions::new().write(true).open(store.join("lock")).unwrap();
    lock.set_len(8).unwrap();
    assert_eq!(Store::open(&store, Durability::Immediate).unwrap().doubt(), None);
    copy_all(&store, &copy);
    assert_eq!(Store::open(&copy, Durability::Immediate).unwrap().doubt(), Some(StoreDoubt::Copied));
}
