//! A policy service for Postfix that greylists: a recipient is deferred the first few times and let through afterwards.
//! Knows nothing of mails.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The service; lives as long as the process of the tests.
pub struct Greylist {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Greylist {
    /// Defers the first `times` recipients that it is asked about.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn start(times: usize) -> Greylist {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || drop(serve(&stream, times, &counted)));
            }
        });
        Greylist { address, asked }
    }

    /// What recipients meet, in Postfix's words.
    #[must_use]
    pub fn restriction(&self) -> String {
        format!("check_policy_service inet:{}, permit", self.address)
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The protocol of SMTPD_POLICY_README: attributes, an empty line, an action, an empty line.
fn serve(stream: &TcpStream, times: usize, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut to = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            let is_new = asked.fetch_add(1, Ordering::Relaxed) < times;
            let action = if is_new { "DEFER_IF_PERMIT 4.2.0 greylisted, come back later" } else { "DUNNO" };
            to.write_all(format!("action={action}\n\n").as_bytes())?;
        }
    }
    Ok(())
}
