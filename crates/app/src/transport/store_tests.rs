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
    StorePart { set: set.to_owned(), begun: None, is_first, is_last, files, frame: ["[", ",", "]"] }
}

/// A set of one part that began then.
fn whole(set: &str, begun: &str, files: &[(&str, &[&str])]) -> Vec<StorePart> {
    vec![StorePart { begun: Some(begun.parse().unwrap()), ..part(set, (true, true), files) }]
}

fn beside(directory: &TempDir) -> Store {
    Store::open(StoreTransport { directory: directory.path().join("a/b") })
}

fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = beside(&directory);
    (directory, store)
}

fn read(directory: &TempDir, name: &str) -> Option<String> {
    fs::read_to_string(directory.path().join("a/b").join(name)).ok()
}

/// The names of what is in the directory.
fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path().join("a/b")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_takes_its_place_when_the_last_part_is_in_and_not_before() {
    let (directory, mut store) = open();
    let first = vec![part("one", (true, false), &[("x.json", &["1", "2"]), ("y.json", &["a"])])];
    assert!(matches!(&store.exec(first).await[..], [Reply::Written(_)]));
    // Another channel's set of the same names.
    let other = beside(&directory).exec(vec![part("two", (true, true), &[("x.json", &["other"])])]).await;
    assert!(matches!(&other[..], [Reply::Written(_)]), "{other:?}");
    let more = store.exec(vec![part("one", (false, false), &[("x.json", &["3"])])]).await;
    assert!(matches!(&more[..], [Reply::Written(_)]), "{more:?}");
    assert_eq!(read(&directory, "x.json").unwrap(), "[other]");
    let last = store.exec(vec![part("one", (false, true), &[])]).await;
    assert!(matches!(&last[0], Reply::Written(told) if told.starts_with("2 files on disk")), "{last:?}");
    assert_eq!(read(&directory, "x.json").unwrap(), "[1,2,3]");
    assert_eq!(read(&directory, "y.json").unwrap(), "[a]");
    assert_eq!(names(&directory), ["x.json", "y.json"], "nothing else is left");
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

#[tokio::test]
async fn a_late_attempt_of_an_older_run_leaves_the_files_of_a_newer_one() {
    let (directory, mut store) = open();
    let newer = store.exec(whole("new", "2026-11-21T02:00:00Z", &[("x.json", &["new"])])).await;
    assert!(matches!(&newer[..], [Reply::Written(told)] if told.starts_with("1 files on disk")), "{newer:?}");
    // The knowledge outlives the process.
    let mut store = beside(&directory);
    let older = whole("old", "2026-11-20T02:00:00Z", &[("x.json", &["old"]), ("y.json", &["old"])]);
    let older = store.exec(older).await;
    let Reply::Written(told) = &older[0] else { panic!("{older:?}") };
    assert!(told.starts_with("1 files on disk") && told.contains("1 files there are from a newer run"), "{told}");
    assert_eq!(read(&directory, "x.json").unwrap(), "[new]");
    assert_eq!(read(&directory, "y.json").unwrap(), "[old]");
    // A repeat of the newest is no older one, and what was taken away is not there to be kept.
    store.exec(whole("new", "2026-11-21T02:00:00Z", &[("x.json", &["again"])])).await;
    assert_eq!(read(&directory, "x.json").unwrap(), "[again]");
    fs::remove_file(directory.path().join("a/b/x.json")).unwrap();
    store.exec(whole("old", "2026-11-20T02:00:00Z", &[("x.json", &["old"])])).await;
    assert_eq!(read(&directory, "x.json").unwrap(), "[old]");
    assert_eq!(names(&directory), [".balefire-order", "x.json", "y.json"]);
}

#[tokio::test]
async fn what_an_attempt_that_failed_or_was_given_up_has_left_is_removed() {
    let (directory, mut store) = open();
    // It cannot take its place: a directory stands there.
    fs::create_dir_all(directory.path().join("a/b/x.json/in")).unwrap();
    let failed = store.exec(vec![part("one", (true, true), &[("x.json", &["1"]), ("y.json", &["1"])])]).await;
    assert!(matches!(&failed[..], [Reply::Failed { cause: Cause::Network, .. }]), "{failed:?}");
    assert!(!names(&directory).iter().any(|name| name.ends_with("tmp")), "{:?}", names(&directory));
    // Nobody comes back to this one; the next one knows.
    store.exec(vec![part("two", (true, false), &[("z.json", &["1"])])]).await;
    assert!(names(&directory).iter().any(|name| name.ends_with("tmp")), "{:?}", names(&directory));
    store.exec(vec![part("three", (true, true), &[("z.json", &["2"])])]).await;
    assert!(!names(&directory).iter().any(|name| name.ends_with("tmp")), "{:?}", names(&directory));
    assert_eq!(read(&directory, "z.json").unwrap(), "[2]");
}

#[tokio::test]
async fn what_a_crash_has_left_is_begun_anew_by_its_next_attempt_and_otherwise_removed_when_it_is_old() {
    let (directory, mut crashed) = open();
    crashed.exec(vec![part("one", (true, false), &[("x.json", &["half"])])]).await;
    crashed.exec(vec![part("one", (false, false), &[("x.json", &["more"])])]).await;
    let mut store = beside(&directory);
    store.exec(vec![part("one", (true, true), &[("x.json", &["whole"])])]).await;
    assert_eq!(read(&directory, "x.json").unwrap(), "[whole]");
    let at = |name: &str| directory.path().join("a/b").join(name);
    let hour = Duration::from_secs(3600);
    for (name, age) in
        [("x.json.old.balefire.tmp", 2 * hour), ("x.json.young.balefire.tmp", hour / 2), ("x.tmp", 2 * hour)]
    {
        let written = SystemTime::from(clock::now()) - age;
        fs::File::create(at(name)).unwrap().set_modified(written).unwrap();
    }
    store.exec(vec![part("two", (true, true), &[("y.json", &["1"])])]).await;
    assert_eq!(names(&directory), ["x.json", "x.json.young.balefire.tmp", "x.tmp", "y.json"], "others' files stay");
}

#[tokio::test]
async fn a_link_in_the_place_of_an_unfinished_file_leads_nowhere() {
    let (directory, mut store) = open();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, directory.path().join("a/b/x.json.one.balefire.tmp")).unwrap();
    store.exec(vec![part("one", (true, true), &[("x.json", &["1"])])]).await;
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    assert_eq!(read(&directory, "x.json").unwrap(), "[1]");
}
