//! Certificates of authorities that only these tests trust, made with the `openssl` command.

use crate::daemon::needed;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What every key is made of.
const CURVE: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority of its own, and a server certificate that it has signed.
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// A fresh authority; its server certificate is for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// Where `openssl` is missing or fails.
    #[must_use]
    pub fn new() -> Certificates {
        Certificates::naming("DNS:localhost,IP:127.0.0.1")
    }

    /// A fresh authority; its server certificate has these alternative names, such as `DNS:elsewhere.example.org`.
    ///
    /// # Panics
    /// Where `openssl` is missing or fails.
    #[must_use]
    pub fn naming(names: &str) -> Certificates {
        Certificates::lasting(names, "2")
    }

    /// A fresh authority; its server certificate for `localhost` and 127.0.0.1 has expired yesterday.
    ///
    /// # Panics
    /// Where `openssl` is missing or fails.
    #[must_use]
    pub fn expired() -> Certificates {
        Certificates::lasting("DNS:localhost,IP:127.0.0.1", "-1")
    }

    fn lasting(names: &str, days: &str) -> Certificates {
        let dir = tempfile::Builder::new().prefix("balefire-ca-").tempdir().expect("a temporary directory can be made");
        let certificates = Certificates { dir };
        let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n");
        fs::write(certificates.path("extensions"), extensions).expect("the directory is ours");
        let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=Authority of a test", "-keyout", "ca.key", "-out"];
        let rights =
            ["ca.pem", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
        certificates.openssl(&[&authority[..], &rights[..], &CURVE[..]].concat());
        let request = ["req", "-subj", "/CN=Server of a test", "-keyout", "server.key", "-out", "server.csr"];
        certificates.openssl(&[&request[..], &CURVE[..]].concat());
        let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        certificates
            .openssl(&[&sign[..], &["-days", days, "-extfile", "extensions", "-out", "server.pem"][..]].concat());
        certificates
    }

    /// A client's certificate for this name, signed by the authority, and its key.
    ///
    /// # Panics
    /// Where `openssl` fails.
    #[must_use]
    pub fn client(&self, name: &str) -> (PathBuf, PathBuf) {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        fs::write(self.path("client"), "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
            .expect("the directory is ours");
        let subject = format!("/CN={name}");
        let request = ["req", "-subj", &subject, "-keyout", &key, "-out", &csr];
        self.openssl(&[&request[..], &CURVE[..]].concat());
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&sign[..], &["-days", "2", "-extfile", "client", "-out", &pem][..]].concat());
        (self.path(&pem), self.path(&key))
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The server's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    /// The server's key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.path("server.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let program = needed(Path::new("/usr/bin/openssl"), "openssl");
        let output = Command::new(program).args(arguments).current_dir(self.dir.path()).output();
        let output = output.expect("openssl can be started");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}
