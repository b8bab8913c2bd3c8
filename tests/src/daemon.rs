//! A real server's process in the foreground: started, stopped, and ended with its handle. Knows none by name.

use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program that a test cannot do without.
///
/// # Panics
/// Where it is not installed, with the name of the Debian package that has it.
#[must_use]
pub fn needed(program: &Path, package: &str) -> PathBuf {
    assert!(
        program.exists(),
        "{} is not installed; install the Debian package {package}, or run scripts/test",
        program.display()
    );
    program.to_owned()
}

/// An address of the loopback whose port is free now, for TCP and UDP. For a server that cannot choose one and say so,
/// and for one that comes back at the same place.
///
/// # Panics
/// Where no port is free.
#[must_use]
pub fn free_address() -> SocketAddr {
    wait::until("a port is free for both TCP and UDP", || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        UdpSocket::bind(address).map(|_| address).map_err(|error| error.to_string())
    })
}

/// Waits until somebody listens at each of these addresses.
///
/// # Panics
/// When the patience is over.
pub fn wait_for_listeners(addresses: &[SocketAddr], said: impl Fn() -> String) {
    for address in addresses {
        wait::until(&format!("somebody listens at {address}"), || match TcpStream::connect(address) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}; it said: {}", said())),
        });
    }
}

/// Waits until nobody listens at these addresses any more: children may outlive the process that they belong to.
///
/// # Panics
/// When the patience is over.
pub fn wait_for_silence(addresses: &[SocketAddr]) {
    for address in addresses {
        wait::until(&format!("nobody listens at {address}"), || match TcpStream::connect(address) {
            Ok(_) => Err("it still takes connections".to_owned()),
            Err(_) => Ok(()),
        });
    }
}

/// A running process. Ended when dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it, with its output thrown away: it has a log of its own.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Daemon {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Daemon { child: quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")) }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where the process has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process lives");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .expect("a child that was not awaited can be signalled");
        // One that a test has stopped hears of it only when it goes on.
        kill_process(Pid::from_child(&self.child), Signal::CONT)
            .expect("a child that was not awaited can be signalled");
        wait::until("the process has ended", || match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
