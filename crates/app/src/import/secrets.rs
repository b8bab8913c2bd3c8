//! Secrets on their way from one configuration into files of their own. Prints none.

use crate::import::Out;
use balefire_model::text::Secret;

/// One file that holds one secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    /// Where it goes.
    pub path: String,
    /// What is in it.
    pub content: Secret,
}

/// The secrets that were found.
pub(super) struct Secrets {
    directory: String,
    pub(super) files: Vec<SecretFile>,
}

impl Secrets {
    pub(super) fn new(directory: &str) -> Secrets {
        Secrets { directory: directory.to_owned(), files: Vec::new() }
    }

    /// Takes a secret, and gives the reference to the file that will hold it.
    pub(super) fn keep(&mut self, name: &str, secret: &str) -> Out {
        let path = format!("{}/{name}", self.directory);
        self.files.push(SecretFile { path: path.clone(), content: Secret::new(secret.to_owned()) });
        Out::FileOf(path)
    }
}

/// Whether an argument's name says that its value is secret.
pub(super) fn says_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "private_key", "credential"]
        .iter()
        .any(|word| name.contains(word))
}
