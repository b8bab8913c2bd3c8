//! Which configuration, which data and which server a command is about.

use super::client::{Client, Reach};
use super::{Exit, Failure};
use crate::config::{Config, Loaded, Overrides, Problems};
use crate::environment;
use std::path::{Path, PathBuf};

/// Which configuration and which data a command is about.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
}

impl Place {
    /// The configuration, or everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        let overrides = Overrides { data: self.data.clone(), listen: None };
        Config::load(self.config.as_deref(), &overrides, &environment::variable, &environment::host())
    }

    /// The data directory and the socket. With --data a configuration that cannot be used, or not by this user, is no
    /// obstacle.
    fn directory_and_socket(&self) -> Result<(PathBuf, PathBuf), Failure> {
        match (self.load(), &self.data) {
            (Ok(loaded), _) => Ok((loaded.config.data, loaded.config.socket.path)),
            (Err(_), Some(data)) => Ok((data.clone(), data.join("balefire.sock"))),
            (Err(problems), None) => {
                let error = anyhow::Error::from(problems)
                    .context("the configuration says where the server is, and cannot be used; --data DIR says it too");
                Err(Failure { exit: Exit::Usage, error })
            }
        }
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> Result<PathBuf, Failure> {
        Ok(self.directory_and_socket()?.0)
    }

    /// The server that is asked.
    pub(crate) fn client(&self, reach: &Reach) -> Result<Client, Failure> {
        Client::new(reach, || Ok(self.directory_and_socket()?.1))
    }

    /// Where the journal is in a data directory.
    pub(crate) fn journal(data: &Path) -> PathBuf {
        data.join("journal")
    }

    /// Where the view is in a data directory.
    pub(crate) fn view(data: &Path) -> PathBuf {
        data.join("view")
    }
}
