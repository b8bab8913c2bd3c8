//! Sets of files: whole or not at all, and side by side.

use super::*;
use balefire_channels::StoreFile;
use tempfile::TempDir;

fn part(set: &str, (is_first, is_last): (bool, bool), files: &[(&str, &[&str])]) -> StorePart {
    let file = |(name, items): &(&str, &[&str])| StoreFile {
        name: (*name).to_owned(),
        items: items.iter().map(|item| item.as_bytes().to_vec()).collect(),
    };
    let files = files.iter().map(file).collect();
    StorePart { set: set.to_owned(), is_first, is_last, files, frame: ["[", ",", "]"] }
}

fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreTransport { directory: directory.path().join("a/b") });
    (directory, store)
}

fn read(directory: &TempDir, name: &str) -> Option<String> {
    fs::read_to_string(directory.path().join("a/b").join(name)).ok()
}

#[tokio::test]
async fn a_file_takes_its_place_when_the_last_part_is_in_and_not_before() {
    let (directory, mut store) = open();
    let parts = vec![
        part("one", (true, false), &[("x.json", &["1", "2"]), ("y.json", &["a"])]),
        part("two", (true, true), &[("x.json", &["other"])]),
        part("one", (false, false), &[("x.json", &["3"])]),
    ];
    assert!(store.exec(parts).await.iter().all(|reply| matches!(reply, Reply::Written(_))));
    assert_eq!(read(&directory, "x.json").unwrap(), "[other]");
    let last = store.exec(vec![part("one", (false, true), &[])]).await;
    assert!(matches!(&last[0], Reply::Written(told) if told.starts_with("2 files on disk")), "{last:?}");
    assert_eq!(read(&directory, "x.json").unwrap(), "[1,2,3]");
    assert_eq!(read(&directory, "y.json").unwrap(), "[a]");
    assert_eq!(fs::read_dir(directory.path().join("a/b")).unwrap().count(), 2, "nothing else is left");
}

#[tokio::test]
async fn a_new_attempt_begins_anew_and_one_without_a_beginning_fails() {
    let (directory, mut store) = open();
    store.exec(vec![part("one", (true, false), &[("x.json", &["lost", "lost too"])])]).await;
    store.exec(vec![part("one", (true, true), &[("x.json", &["kept"])])]).await;
    assert_eq!(read(&directory, "x.json").unwrap(), "[kept]");
    let replies = store.exec(vec![part("one", (false, true), &[])]).await;
    assert!(matches!(&replies[0], Reply::Failed { cause: Cause::Network, .. }), "{replies:?}");
    assert_eq!(read(&directory, "x.json").unwrap(), "[kept]");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let (directory, mut store) = open();
    for name in ["../x.json", "/tmp/x.json", "..", ""] {
        let replies = store.exec(vec![part("one", (true, true), &[(name, &["1"])])]).await;
        assert!(matches!(&replies[0], Reply::Failed { cause: Cause::Schema, .. }), "{name}: {replies:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
