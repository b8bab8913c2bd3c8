//! A relay of TCP between a client and a server that may move: cuts connections after a request was sent, and answers
//! slowly. Knows no protocol.

use crate::wait;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct Shared {
    to: Mutex<Option<SocketAddr>>,
    cuts: AtomicUsize,
    delay_ms: AtomicUsize,
    has_ended: AtomicBool,
}

/// The relay. Listens on a free port of the loopback until it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Relay {
    /// Begins to listen; connections go to this server.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared { to: Mutex::new(Some(to)), ..Shared::default() });
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Relay { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there; with `None` they are closed at once.
    pub fn lead(&self, to: Option<SocketAddr>) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// So many answers are thrown away with their connections, after the server has given them.
    pub fn cut(&self, answers: usize) {
        self.shared.cuts.store(answers, Ordering::SeqCst);
    }

    /// How many of these are still to come.
    #[must_use]
    pub fn cuts_left(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Answers wait so long from now on.
    ///
    /// # Panics
    /// Where it is longer than a machine word of milliseconds.
    pub fn delay(&self, time: Duration) {
        let ms = usize::try_from(time.as_millis()).expect("a short time");
        self.shared.delay_ms.store(ms, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.has_ended.load(Ordering::SeqCst) {
            return;
        }
        let to = *shared.to.lock().unwrap_or_else(PoisonError::into_inner);
        let (Ok(client), Some(to)) = (client, to) else { continue };
        let Ok(server) = TcpStream::connect(to) else { continue };
        let shared = shared.clone();
        // A side that is gone ends its connection; that is what the tests are about.
        thread::spawn(move || drop(relay(&client, &server, &shared)));
    }
}

fn relay(client: &TcpStream, server: &TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    let (mut server, mut to, mut buffer) = (server, client, vec![0; 64 * 1024]);
    loop {
        let count = server.read(&mut buffer)?;
        let one_less = |cuts: usize| cuts.checked_sub(1);
        let is_cut = count > 0 && shared.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if count == 0 || is_cut {
            server.shutdown(Shutdown::Both)?;
            return to.shutdown(Shutdown::Both);
        }
        let delay = shared.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            wait::pause(Duration::from_millis(delay as u64));
        }
        to.write_all(&buffer[..count])?;
    }
}
