//! What the file transport does on a real disk: nothing is called written before it is there, and rotation loses nothing.

use super::*;
use tempfile::TempDir;

fn at(directory: &TempDir, rotate_bytes: Option<u64>, keep: u32) -> File {
    File::open(FileTransport { path: directory.path().join("archive.jsonl"), rotate_bytes, keep })
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The directory's files, by name.
fn content(directory: &TempDir) -> Vec<(String, String)> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    };
    let mut files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(entry).collect();
    files.sort();
    files
}

fn expect(directory: &TempDir, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    assert_eq!(content(directory), expected);
}

fn assert_written(replies: &[Reply], count: usize) {
    assert_eq!(replies.len(), count);
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Written(_))), "{replies:?}");
}

#[tokio::test]
async fn lines_are_appended_to_what_was_there() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("archive.jsonl"), "old\n").unwrap();
    let mut file = at(&directory, None, 3);
    assert_written(&file.exec(lines(&["a", "b"])).await, 2);
    assert_written(&file.exec(lines(&["c"])).await, 1);
    expect(&directory, &[("archive.jsonl", "old\na\nb\nc\n")]);
}

#[tokio::test]
async fn half_a_line_of_a_crash_does_not_swallow_the_next() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("archive.jsonl"), "whole\nhal").unwrap();
    assert_written(&at(&directory, None, 3).exec(lines(&["next"])).await, 1);
    expect(&directory, &[("archive.jsonl", "whole\nhal\nnext\n")]);
}

#[tokio::test]
async fn a_full_file_becomes_number_one_and_the_oldest_goes() {
    let directory = TempDir::new().unwrap();
    let mut file = at(&directory, Some(4), 2);
    // Two lines fit into a file, also when one batch fills several.
    assert_written(&file.exec(lines(&["1", "2", "3", "4", "5", "6", "7"])).await, 7);
    expect(&directory, &[("archive.jsonl", "7\n"), ("archive.jsonl.1", "5\n6\n"), ("archive.jsonl.2", "3\n4\n")]);
    // One that is too large for any file gets one of its own.
    assert_written(&file.exec(lines(&["a longer line"])).await, 1);
    assert_written(&file.exec(lines(&["8"])).await, 1);
    expect(&directory, &[("archive.jsonl", "8\n"), ("archive.jsonl.1", "a longer line\n"), ("archive.jsonl.2", "7\n")]);
}

#[tokio::test]
async fn with_nothing_to_keep_the_full_file_goes() {
    let directory = TempDir::new().unwrap();
    assert_written(&at(&directory, Some(2), 0).exec(lines(&["1", "2"])).await, 2);
    expect(&directory, &[("archive.jsonl", "2\n")]);
}

#[tokio::test]
async fn a_file_moved_or_deleted_by_others_is_begun_anew() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("archive.jsonl");
    let mut file = at(&directory, None, 3);
    assert_written(&file.exec(lines(&["1"])).await, 1);
    fs::rename(&path, directory.path().join("moved")).unwrap();
    assert_written(&file.exec(lines(&["2"])).await, 1);
    expect(&directory, &[("archive.jsonl", "2\n"), ("moved", "1\n")]);
    fs::remove_file(&path).unwrap();
    assert_written(&file.exec(lines(&["3"])).await, 1);
    expect(&directory, &[("archive.jsonl", "3\n"), ("moved", "1\n")]);
}

#[tokio::test]
async fn a_line_with_a_line_break_is_refused_alone() {
    let directory = TempDir::new().unwrap();
    let replies = at(&directory, None, 3).exec(lines(&["1", "2\nforged", "3"])).await;
    assert!(matches!(replies[1], Reply::Failed { cause: Cause::Schema, .. }), "{replies:?}");
    assert_written(&[replies[0].clone(), replies[2].clone()], 2);
    expect(&directory, &[("archive.jsonl", "1\n3\n")]);
}

#[tokio::test]
async fn a_missing_directory_fails_and_is_used_when_it_comes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("later/archive.jsonl");
    let mut file = File::open(FileTransport { path: path.clone(), rotate_bytes: None, keep: 1 });
    let replies = file.exec(lines(&["1", "2"])).await;
    for reply in &replies {
        let Reply::Failed { cause: Cause::Network, detail } = reply else { panic!("{reply:?}") };
        assert!(detail.contains("later/archive.jsonl: No such file"), "{detail}");
    }
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_written(&file.exec(lines(&["1", "2"])).await, 2);
    assert_eq!(fs::read_to_string(path).unwrap(), "1\n2\n");
}

#[tokio::test]
async fn a_device_is_no_archive() {
    let mut file = File::open(FileTransport { path: "/dev/full".into(), rotate_bytes: None, keep: 1 });
    let replies = file.exec(lines(&["1"])).await;
    let Reply::Failed { detail, .. } = &replies[0] else { panic!("{replies:?}") };
    assert!(detail.contains("not a regular file"), "{detail}");
}
