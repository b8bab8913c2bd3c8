//! Files of settings as they are: whole, bounded, and told apart when they are missing and when they may not be read.

use crate::posture::Text;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// As much of one file is read.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// As many files of a directory are read.
const FILES_MAX: usize = 200;

/// One file.
pub(crate) fn file(path: &Path) -> Text {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Text::Read(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Text::Missing,
        Err(error) => Text::Denied(format!("open {}: {error}", path.display())),
    }
}

/// The first of these that is there.
pub(crate) fn first(paths: &[&Path]) -> Text {
    paths.iter().map(|path| file(path)).find(|text| *text != Text::Missing).unwrap_or(Text::Missing)
}

/// One file and those of a directory that end so, in the order of their names, one behind the other.
pub(crate) fn all(path: &Path, directory: &Path, ending: &str) -> Text {
    let mut texts = vec![file(path)];
    match fs::read_dir(directory) {
        Ok(entries) => {
            let paths = entries.take(FILES_MAX).filter_map(|entry| entry.ok().map(|entry| entry.path()));
            let mut paths: Vec<PathBuf> =
                paths.filter(|path| path.extension().is_some_and(|end| end == ending)).collect();
            paths.sort();
            texts.extend(paths.iter().map(|path| file(path)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => texts.push(Text::Denied(format!("open {}: {error}", directory.display()))),
    }
    if let Some(denied) = texts.iter().find(|text| matches!(text, Text::Denied(_))) {
        return denied.clone();
    }
    let read: Vec<String> = texts
        .into_iter()
        .filter_map(|text| match text {
            Text::Read(text) => Some(text),
            Text::Missing | Text::Denied(_) => None,
        })
        .collect();
    if read.is_empty() { Text::Missing } else { Text::Read(read.join("\n")) }
}
