//! A TCP proxy on the loopback that hands connections on, or takes them and says nothing. Knows nothing of what passes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// As many connections are held that get no answer; the oldest end first.
const HELD_MAX: usize = 64;

/// A running proxy. Its thread ends with the test's process.
pub struct Proxy {
    address: SocketAddr,
    hangs: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts it on a free port, before `target`, where nobody need listen yet.
    ///
    /// # Panics
    /// Where no port is free.
    #[must_use]
    pub fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let hangs = Arc::new(AtomicBool::new(false));
        let shared = hangs.clone();
        thread::spawn(move || {
            let mut held = std::collections::VecDeque::new();
            for stream in listener.incoming().filter_map(Result::ok) {
                if shared.load(Ordering::Relaxed) {
                    held.push_back(stream);
                    if held.len() > HELD_MAX {
                        held.pop_front();
                    }
                } else {
                    held.clear();
                    thread::spawn(move || carry(stream, target));
                }
            }
        });
        Proxy { address, hangs }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections from now on and says nothing.
    pub fn hang(&mut self) {
        self.hangs.store(true, Ordering::Relaxed);
    }

    /// Hands connections on again.
    pub fn forward(&mut self) {
        self.hangs.store(false, Ordering::Relaxed);
    }
}

/// Until one side ends; an error ends the connection, which is what the other side then sees.
fn carry(client: TcpStream, target: SocketAddr) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let there = thread::spawn(move || copy(from_client, to_server));
    drop(copy(server, client));
    drop(there.join());
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&piece[..length])?;
    }
}
