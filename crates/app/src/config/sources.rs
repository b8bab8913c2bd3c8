//! Which files make up the configuration, and their texts. Knows no YAML and no setting.

use super::yaml::FILE_BYTES_MAX;
use balefire_model::settings::{Place, Problem};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looked for, in this order, where no file was named.
const DEFAULT_PATHS: [&str; 2] = ["./balefire.yaml", "/etc/balefire/balefire.yaml"];
/// The directory beside the main file whose files belong to the configuration too.
const MORE_DIR: &str = "conf.d";
/// How many files that directory may hold.
const MORE_FILES_MAX: usize = 1_000;
/// How large a secret's file may be; the largest secret is a key of some kilobytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// In force where there is no file at all: everything from low up is shown on standard error, info is history only.
const BUILT_IN: &str = "\
data: ./balefire-data
http: {listen: 127.0.0.1:9480}
channels:
  screen: {console: {}}
routing: custom
routes:
  - name: screen
    match: ['severity >= low']
    to: [screen]
";

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is; none for the built-in text.
    pub(crate) path: Option<PathBuf>,
    /// Its name in messages.
    pub(crate) name: Arc<str>,
    /// What it says.
    pub(crate) text: String,
    /// Whether every user of the machine may read it.
    pub(crate) readable_by_all: bool,
}

impl Source {
    /// The text that applies without any file.
    pub(crate) fn built_in() -> Source {
        Source { path: None, name: "built-in configuration".into(), text: BUILT_IN.to_owned(), readable_by_all: false }
    }
}

/// Reads the named file, or the first of the default ones that is there, and `conf.d/*.yaml` beside it in the order of
/// their names. Every file that cannot be read is told.
pub(crate) fn read(path: Option<&Path>) -> Result<Vec<Source>, Vec<Problem>> {
    let default = || DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists());
    let Some(main) = path.or_else(default) else { return Ok(vec![Source::built_in()]) };
    let mut problems = Vec::new();
    let more = more_files(main).unwrap_or_else(|problem| {
        problems.push(*problem);
        Vec::new()
    });
    let mut sources = Vec::new();
    for path in std::iter::once(main.to_owned()).chain(more) {
        match read_one(&path) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

/// SHA-256 in hexadecimal over the names and texts of all files, as they are before substitution.
pub(crate) fn digest(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        let name = source.path.as_deref().and_then(Path::file_name).unwrap_or_default().as_encoded_bytes();
        for part in [name, source.text.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

/// The content of a secret's file; the error says why not, without the content.
pub(crate) fn read_secret(path: &str) -> Result<String, String> {
    let bytes = read_bounded(Path::new(path), SECRET_BYTES_MAX).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn more_files(main: &Path) -> Result<Vec<PathBuf>, Box<Problem>> {
    let directory = main.parent().unwrap_or(Path::new("")).join(MORE_DIR);
    let refuse = |error: io::Error| unreadable(&directory, &error);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refuse)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(refuse)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
        if files.len() > MORE_FILES_MAX {
            return Err(refuse(io::Error::other(format!("it holds more than {MORE_FILES_MAX} files"))));
        }
    }
    files.sort();
    Ok(files)
}

fn read_one(path: &Path) -> Result<Source, Box<Problem>> {
    let refuse = |error: io::Error| unreadable(path, &error);
    let mode = fs::metadata(path).map_err(refuse)?.permissions().mode();
    let bytes = read_bounded(path, FILE_BYTES_MAX).map_err(refuse)?;
    let name: Arc<str> = path.display().to_string().into();
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
        let place = Place { file: name.clone(), line, column };
        let what = "this is not UTF-8 text".to_owned();
        Box::new(Problem { place, path: String::new(), what, allowed: None, hint: None })
    })?;
    Ok(Source { path: Some(path.to_owned()), name, text, readable_by_all: mode & 0o004 != 0 })
}

fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Box<Problem> {
    Box::new(Problem {
        place: Place { file: path.display().to_string().into(), line: 0, column: 0 },
        path: String::new(),
        what: format!("cannot be read: {error}"),
        allowed: None,
        hint: None,
    })
}
