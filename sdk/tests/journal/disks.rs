//! The store on disks that fail, run full, and come back; and what it holds of the machine meanwhile.

use super::{image::PAGE, names, open, place};
use rustix::process::{Resource, Rlimit, setrlimit};
use sdk::store::{Batch, Durability, Store, Table};
use std::{
    env, fs,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

const DIRECTORY: &str = "STORE_CHILD_DIRECTORY";

// Another process that does as it is told, line by line: for tests here, and for whoever makes disks fail from outside.

/// Not a test by itself: does what its standard input says, and answers each line with one.
#[test]
fn child_does_as_it_is_told() {
    if env::var_os(DIRECTORY).is_none() {
        return;
    }
    let _told = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    let mut store: Option<Store> = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = match (&words[..], &store) {
            (["open", directory, kind], _) => {
                let durability = if *kind == "danger" { Durability::DangerNone } else { Durability::Immediate };
                match Store::open(Path::new(directory), durability) {
                    Ok(opened) => {
                        let said = format!("opened doubt={:?}", opened.doubt());
                        store = Some(opened);
                        said
                    }
                    Err(error) => format!("not opened: {error}"),
                }
            }
            (["close"], _) => {
                drop(store.take());
                "closed".to_owned()
            }
            (["limit", bytes], _) => {
                setrlimit(Resource::Fsize, Rlimit { current: bytes.parse().ok(), maximum: None }).unwrap();
                "limited".to_owned()
            }
            (["put", key, length, fill], Some(store)) => {
                let value = vec![fill.parse::<u8>().unwrap(); length.parse().unwrap()];
                match store.commit(&Batch::new().put(Table::Meta, *key, value)) {
                    Ok(()) => "stored".to_owned(),
                    Err(error) => format!("not stored: {error}"),
                }
            }
            (["get", key], Some(store)) => match store.get(Table::Meta, key.as_bytes()) {
                Ok(value) => format!(
                    "value {:?}",
                    value.map(|value| (
                        value.len(),
                        value.first().copied(),
                        value.windows(2).all(|two| two[0] == two[1])
                    ))
                ),
                Err(error) => format!("not read: {error}"),
            },
            (["list"], Some(store)) => match store.load_all(Table::Meta) {
                Ok(all) => all
                    .iter()
                    .map(|(key, value)| {
                        let whole = value.windows(2).all(|two| two[0] == two[1]);
                        format!("{}:{}:{:?}:{whole}", String::from_utf8_lossy(key), value.len(), value.first())
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => format!("not read: {error}"),
            },
            _unknown => format!("unknown: {line}"),
        };
        writeln!(out, "> {answer}").unwrap();
    }
}

/// A child that does as it is told.
struct Told {
    child: std::process::Child,
    input: std::process::ChildStdin,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Told {
    fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["disks::child_does_as_it_is_told", "--exact", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, "/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        loop {
            let said = self.output.next().expect("an answer").unwrap();
            if let Some((_, said)) = said.split_once("> ") {
                return said.to_owned();
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        let _ended = self.child.wait().unwrap();
    }
}

// Ends, and room.

/// After a clean end nothing is left in the journal: who copies the values and the lock alone, or loses the journal, has all there was.
#[test]
fn a_clean_end_leaves_nothing_in_the_journal_of_commits_that_changed_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&Batch::new()).unwrap();
    drop(store);
    fs::remove_file(directory.path().join("journal")).unwrap();
    assert_eq!(open(directory.path()).doubt(), None);
}

/// A record that the system cuts short is not said to be stored, whichever byte it is cut at, and is not there later.
#[test]
fn a_write_that_is_cut_short_is_no_commit() {
    let root = tempfile::tempdir().unwrap();
    for (number, cut) in [1, 511, 512, 4_095, 4_096, 4_097, 6_000, 8_192, 12_288, 15_000].into_iter().enumerate() {
        let place = root.path().join(number.to_string());
        let mut told = Told::start();
        assert!(told.tell(&format!("open {} immediate", place.display())).starts_with("opened"));
        assert_eq!(told.tell("put a 10 1"), "stored");
        assert_eq!(told.tell("put b 10 1"), "stored");
        let _limited = told.tell(&format!("limit {}", 2 * PAGE + cut));
        let said = told.tell("put c 15000 2");
        assert_eq!(said.starts_with("not stored"), cut < 4 * PAGE, "{cut}: {said}");
        let later = told.tell("put d 10 2");
        assert!(later.starts_with("not stored"), "{cut}: {later}");
        assert!(told.tell("get a").starts_with("value Some"), "{cut}: it can be read");
        drop(told);
        let store = open(&place);
        assert_eq!((names(&store).concat(), store.doubt()), ("ab".to_owned(), None), "{cut}");
    }
}

/// A file that was cut, as by a copy for which there was no room, holds up nobody who starts with a full disk.
#[test]
fn a_short_journal_on_a_full_disk_holds_up_no_start() {
    let root = tempfile::tempdir().unwrap();
    let place = place(root.path());
    let journal = File::options().write(true).open(place.join("journal")).unwrap();
    journal.set_len(1_000_000).unwrap();
    let mut told = Told::start();
    let _limited = told.tell("limit 2000000");
    let said = told.tell(&format!("open {} immediate", place.display()));
    assert!(said.starts_with("opened"), "{said}");
}

/// The values do not grow with the number of commits.
#[test]
fn neither_values_nor_journal_grow_with_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let length = || fs::metadata(directory.path().join("store.redb")).unwrap().len();
    let mut lengths = Vec::new();
    for round in 0..60_u8 {
        for part in 0..40 {
            store.commit(&Batch::new().put(Table::Meta, [part], vec![round; 150_000])).unwrap();
        }
        lengths.push(length());
    }
    assert!(lengths[59] <= lengths[20], "{lengths:?}");
    assert_eq!(fs::metadata(directory.path().join("journal")).unwrap().len(), 4 * 1024 * 1024);
}

// Disks that are made for a test: as root alone, and where there are the programs for it.

/// Runs a script; none where it failed.
fn shell(script: &str) -> Option<String> {
    let output = Command::new("sh").args(["-ec", script]).stderr(Stdio::null()).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A file system on a disk whose room is taken from a pool that may run full, as a thinly provisioned one.
struct Thin {
    root: tempfile::TempDir,
    device: String,
}

impl Thin {
    /// None where such a disk cannot be made here.
    fn new(megabytes: usize, make: &str) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().display();
        let pool = megabytes + 8;
        let device = shell(&format!(
            "mkdir {at}/pool {at}/disk {at}/later; mount -t tmpfs -o size={pool}m tmpfs {at}/pool
            truncate -s {megabytes}M {at}/pool/sparse; {make} {at}/pool/sparse >/dev/null
            cp --sparse=never {at}/pool/sparse /dev/shm/thin.$$; rm {at}/pool/sparse; mv /dev/shm/thin.$$ {at}/pool/image
            device=$(losetup -f --show {at}/pool/image); mount $device {at}/disk; echo $device"
        ));
        let made = Self { device: device.unwrap_or_default(), root };
        (!made.device.is_empty()).then_some(made)
    }

    fn disk(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    /// Gives blocks that no file has back to the pool, and takes all that is left in the pool.
    fn exhaust(&self) {
        let (at, device) = (self.root.path().display(), &self.device);
        let said = shell(&format!("sync; dumpe2fs {device} 2>/dev/null")).unwrap();
        for line in said.lines().filter_map(|line| line.strip_prefix("  Free blocks: ")) {
            for range in line.split(',').map(str::trim).filter(|range| !range.is_empty()) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                let (from, length) = (first * PAGE, (last - first + 1) * PAGE);
                let _punched = shell(&format!("fallocate -p -o {from} -l {length} {at}/pool/image")).unwrap();
            }
        }
        let _full = shell(&format!("dd if=/dev/zero of={at}/pool/ballast bs=4k"));
    }

    fn give_room(&self) {
        fs::remove_file(self.root.path().join("pool/ballast")).unwrap();
    }

    /// What is on the disk as the power is cut: mounted anew.
    fn cut(&self) -> PathBuf {
        let at = self.root.path().display();
        let _mounted = shell(&format!(
            "cp {at}/pool/image /dev/shm/cut.$$; mount -o loop /dev/shm/cut.$$ {at}/later; rm /dev/shm/cut.$$"
        ))
        .unwrap();
        self.root.path().join("later")
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        let (at, device) = (self.root.path().display(), &self.device);
        let _best_effort = shell(&format!(
            "umount {at}/later || true; umount {at}/disk || true; losetup -d {device} || true; umount {at}/pool"
        ));
    }
}

/// The disk takes no write for a while, the commit is refused, and the node is started again as the error says. What the system's cache holds is not what is on the
/// disk then: a write that failed is not tried again, and its pages count as written.
#[test]
fn what_the_disk_has_not_taken_does_not_count_when_the_store_is_opened_again() {
    let make = "mkfs.ext4 -q -F -b 4096 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    let Some(thin) = Thin::new(128, make) else { return };
    let place = thin.disk().join("store");
    let mut told = Told::start();
    let open = format!("open {} immediate", place.display());
    assert_eq!(told.tell(&open), "opened doubt=None");
    assert_eq!(told.tell("put first 100 1"), "stored");
    thin.exhaust();
    let mut stored = vec!["first".to_owned()];
    let refused = loop {
        let name = format!("c{}", stored.len());
        let said = told.tell(&format!("put {name} 100000 2"));
        if said != "stored" {
            break said;
        }
        stored.push(name);
        assert!(stored.len() < 1_000);
    };
    assert!(refused.contains("start again"), "{refused}");
    drop(told);
    thin.give_room();

    let mut told = Told::start();
    assert_eq!(told.tell(&open), "opened doubt=None");
    assert_eq!(told.tell("put later 100 3"), "stored");
    stored.push("later".to_owned());
    let cut = thin.cut().join("store");
    drop(told);
    let mut told = Told::start();
    let opened = told.tell(&format!("open {} immediate", cut.display()));
    assert_eq!(opened, "opened doubt=None", "after a power cut");
    let found = told.tell("list");
    assert!(stored.iter().all(|name| found.contains(&format!("{name}:"))), "{found}");
}

/// Rows as a node has them: what is kept of payments, one by one.
#[test]
fn a_journal_full_of_payments_takes_as_much_memory_as_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let resident = || -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    for batch in 0..20_u64 {
        let rows = (0..1_000_u64).map(|row| (batch * 1_000 + row).to_be_bytes().repeat(10));
        store.commit(&rows.fold(Batch::new(), |rows, key| rows.put(Table::Payments, key, vec![7; 90]))).unwrap();
    }
    let grown = resident() - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
}
