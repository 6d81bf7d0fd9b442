//! Disks and files that are not as they should be.

use crate::Witness;
use channel::{AppBook, ChannelRef, SavedError};
use e2e_tests::World;
use protocol::{Hash, PublicKey};
use sdk::{
    keys::{Identity, KeyFileError},
    node::{Node, StartError, Storage},
    store::{Batch, Durability, OpenError, StoreHandle, Table},
};
use std::{fs, os::unix::fs::PermissionsExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_another_node_uses_is_refused_and_that_node_goes_on() {
    let witness = Witness::new().await;
    let path = witness.world.store_of("bob");
    let refused = StoreHandle::open(&path, Durability::Immediate).unwrap_err();
    assert!(matches!(&refused, OpenError::InUse { path: shown } if *shown == path), "{refused}");
    assert!(refused.to_string().contains("another node runs on it"));
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_a_newer_format_is_refused_and_left_as_it_is() {
    let world = World::new().await;
    let path = world.store_of("alice");
    drop(StoreHandle::open(&path, Durability::Immediate).unwrap());
    let database = redb::Database::open(path.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    drop(
        transaction.open_table(redb::TableDefinition::<&str, u64>::new("store")).unwrap().insert("format", 3).unwrap(),
    );
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let refused = StoreHandle::open(&path, Durability::Immediate).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 3, known: 2, .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_stored_by_other_software_keeps_the_node_from_starting_and_one_that_is_damaged_does_not() {
    let world = World::new().await;
    for (bytes, told) in [
        (&[99, 1, 2, 3][..], "stored channel has version 99, this software reads version 11: use the newer software"),
        (
            &[2, 1, 2, 3],
            "stored channel has version 2, this software reads version 11: close it with the software that wrote it",
        ),
        (&[11, 1, 2, 3], "stored channel does not decode"),
        (&[], "stored channel does not decode"),
    ] {
        let mut config = world.config("alice");
        let directory = tempfile::tempdir().unwrap();
        let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
        store.commit(Batch::new().put(Table::Channels, [1; 48], bytes)).await.unwrap();
        config.storage = Storage::Disk(store);
        match Node::start(config).await {
            Ok(node) => {
                let [damaged] = node.damaged_channels() else { panic!("{:?}", node.damaged_channels()) };
                assert!(matches!(damaged.cause, SavedError::Damaged(_)), "{}", damaged.cause);
                assert_eq!((damaged.peer, damaged.reference), (PublicKey([1; 32]), ChannelRef([1; 16])));
                assert!(damaged.cause.to_string().starts_with(told), "{}", damaged.cause);
                assert!(damaged.evidence.is_none());
            }
            Err(refused) => {
                assert!(
                    matches!(&refused, StartError::Saved(SavedError::Newer(99) | SavedError::Older(2))),
                    "{refused}"
                );
                assert!(refused.to_string().starts_with(told), "{refused}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_app_that_is_damaged_keeps_no_node_from_starting() {
    let world = World::new().await;
    for (key, row) in [(vec![1_u8; 32], vec![9_u8]), (vec![1; 31], vec![0; 34])] {
        let mut config = world.config("alice");
        let directory = tempfile::tempdir().unwrap();
        let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
        store.commit(Batch::new().put(Table::Apps, key, row)).await.unwrap();
        config.storage = Storage::Disk(store);
        let node = Node::start(config).await.unwrap();
        assert!(!node.apps().accepts(&Hash([1; 32])), "it has to be accepted anew");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity.key");
    let identity = Identity::load_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Identity::load_or_create(&path).unwrap_err();
    assert!(matches!(&refused, KeyFileError::OpenToOthers { mode: 0o644, .. }), "{refused}");
    assert!(refused.to_string().contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Identity::load_or_create(&path).unwrap().public(), identity.public());
}
