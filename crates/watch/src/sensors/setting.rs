//! Files of settings as they are: whole, bounded, and told apart when they are missing and when they may not be read.

use crate::posture::Text;
use std::collections::BTreeMap;
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
    match named(directory, ending) {
        Ok(mut paths) => {
            paths.sort();
            texts.extend(paths.iter().map(|path| file(path)));
        }
        Err(denied) => texts.push(denied),
    }
    joined(texts)
}

/// The settings of a program of systemd: the first file of this name, and behind it the drop-ins, in the order of their names
/// wherever they are; of one name the first counts (systemd-system.conf(5)).
pub(crate) fn systemd(name: &str) -> Text {
    let main: Vec<PathBuf> = SYSTEMD.iter().map(|place| Path::new(place).join(name)).collect();
    let mut texts = vec![first(&main.iter().map(PathBuf::as_path).collect::<Vec<_>>())];
    let mut drop_ins = BTreeMap::new();
    for place in SYSTEMD {
        match named(&Path::new(place).join(format!("{name}.d")), "conf") {
            Ok(paths) => {
                for path in paths {
                    drop_ins.entry(path.file_name().map(ToOwned::to_owned)).or_insert(path);
                }
            }
            Err(denied) => texts.push(denied),
        }
    }
    texts.extend(drop_ins.values().map(|path| file(path)));
    joined(texts)
}

/// Where systemd looks for settings, the most important place first.
const SYSTEMD: [&str; 4] = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// The files of a directory that end so.
fn named(directory: &Path, ending: &str) -> Result<Vec<PathBuf>, Text> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            let paths = entries.take(FILES_MAX).filter_map(|entry| entry.ok().map(|entry| entry.path()));
            Ok(paths.filter(|path| path.extension().is_some_and(|end| end == ending)).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Text::Denied(format!("open {}: {error}", directory.display()))),
    }
}

/// All of them, one behind the other; none where one may not be read.
fn joined(texts: Vec<Text>) -> Text {
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
