//! The folder of apps: what is written there comes back, and nothing else does.

use crate::{answering, call, interpreter, outcome};
use interpreter::{AddError, AppRefused, Library, MAX_CODE, NotUsed, Unusable, code_hash};
use protocol::{Hash, contracts::Apps};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn open(folder: &Path) -> (Library, Vec<NotUsed>) {
    Library::open(interpreter(), folder).unwrap()
}

fn code(number: u8) -> Vec<u8> {
    answering(0, &outcome(&[number]))
}

fn file(folder: &Path, hash: &Hash) -> PathBuf {
    folder.join(hash.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".wasm")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn apps_are_there_again_after_a_restart_and_only_their_owner_can_read_them() {
    let folder = TempDir::new().unwrap();
    let apps = folder.path().join("deep").join("apps");
    let (library, not_used) = open(&apps);
    assert!(not_used.is_empty());
    let [one, two] = [1, 2].map(|number| library.add(&code(number)).unwrap());
    assert_eq!(library.add(&code(1)).unwrap(), one);
    drop(library);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&apps), mode(&file(&apps, &one))), (0o700, 0o600));
    let (library, not_used) = open(&apps);
    assert!(not_used.is_empty());
    assert_eq!(call(&library, &two).unwrap().unwrap().output, [2]);
    assert_eq!(fs::read(file(&apps, &one)).unwrap(), code(1));
    assert!(library.remove(&one).unwrap());
    drop(library);
    let (library, _) = open(&apps);
    assert!(!library.knows(&one) && library.knows(&two));
    assert_eq!(names(&apps).len(), 1);
}

#[test]
fn a_damaged_file_is_told_of_and_set_aside_and_never_used() {
    let folder = TempDir::new().unwrap();
    let (library, _) = open(folder.path());
    let [one, two] = [1, 2].map(|number| library.add(&code(number)).unwrap());
    drop(library);
    let damaged = file(folder.path(), &one);
    // Good code, but not what the name says.
    fs::write(&damaged, code(3)).unwrap();
    let (library, not_used) = open(folder.path());
    assert!(!library.knows(&one) && !library.knows(&code_hash(&code(3))) && library.knows(&two));
    let [NotUsed { file: told, why: Unusable::Damaged { got } }] = &not_used[..] else { panic!("{not_used:?}") };
    assert_eq!((told, *got), (&damaged, code_hash(&code(3))));
    assert!(not_used[0].to_string().contains("wasm"), "{}", not_used[0]);
    assert!(!damaged.exists() && damaged.with_extension("set-aside").exists());
    // Getting it again heals it.
    assert_eq!(library.add(&code(1)).unwrap(), one);
    let (library, not_used) = open(folder.path());
    assert!(library.knows(&one) && not_used.is_empty());
}

#[test]
fn each_kind_of_strange_file_is_met_and_the_others_are_used() {
    let folder = TempDir::new().unwrap();
    let (library, _) = open(folder.path());
    let good = library.add(&code(1)).unwrap();
    drop(library);
    let at = |hash: &Hash| file(folder.path(), hash);
    let (truncated, huge, no_app) = (Hash([1; 32]), Hash([2; 32]), b"no app".to_vec());
    fs::write(at(&truncated), []).unwrap();
    fs::write(at(&huge), vec![0; MAX_CODE * 4]).unwrap();
    fs::write(at(&code_hash(&no_app)), &no_app).unwrap();
    fs::create_dir(at(&Hash([3; 32]))).unwrap();
    symlink(at(&good), at(&Hash([4; 32]))).unwrap();
    fs::write(at(&Hash([5; 32])).with_extension("part"), b"half").unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    fs::write(folder.path().join("short.wasm"), b"mine").unwrap();
    let (library, not_used) = open(folder.path());
    assert_eq!(library.interpreter().codes(), [good]);
    let told = |hash: &Hash| &not_used.iter().find(|told| told.file == at(hash)).unwrap().why;
    assert!(matches!(told(&truncated), Unusable::Damaged { .. }));
    assert!(matches!(told(&huge), Unusable::Damaged { .. }));
    assert!(matches!(told(&code_hash(&no_app)), Unusable::Refused(AppRefused::Invalid { .. })));
    assert!(matches!(told(&Hash([3; 32])), Unusable::Unreadable(_)));
    assert!(matches!(told(&Hash([4; 32])), Unusable::Unreadable(_)));
    assert_eq!(not_used.len(), 5);
    let left = names(folder.path());
    assert!(!left.iter().any(|name| name.ends_with("part")), "{left:?}");
    assert!(["notes.txt", "short.wasm"].iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
}

#[test]
fn code_that_is_refused_leaves_nothing_on_disk() {
    let folder = TempDir::new().unwrap();
    let (library, _) = open(folder.path());
    assert!(matches!(library.add(b"no app"), Err(AddError::Refused(AppRefused::Invalid { .. }))));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_app_that_cannot_be_kept_is_not_held() {
    let folder = TempDir::new().unwrap();
    let apps = folder.path().join("apps");
    let (library, _) = open(&apps);
    fs::remove_dir(&apps).unwrap();
    assert!(matches!(library.add(&code(1)), Err(AddError::NotKept(_))));
    assert!(library.interpreter().codes().is_empty());
    fs::create_dir(&apps).unwrap();
    let _hash = library.add(&code(1)).unwrap();
}
