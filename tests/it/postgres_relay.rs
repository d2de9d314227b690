//! Between a node and PostgreSQL: hands on what is said, or loses what a test wants lost.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It hands on everything.
    Carries,
    /// A commit comes through, its answer does not, and nobody gets through any more.
    LosesCommits,
    /// Whoever listens hears nothing any more, and their connection stays.
    Deaf,
}

/// The one in between.
pub(crate) struct Relay {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

/// One connection.
#[derive(Clone)]
struct Line {
    mode: Arc<Mutex<Mode>>,
    listens: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

impl Relay {
    /// Stands before `server`.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Carries));
        let told = Arc::clone(&mode);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if *told.lock().unwrap() == Mode::LosesCommits {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                let mode = Arc::clone(&told);
                let line = Line { mode, listens: Arc::default(), lost: Arc::default() };
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let back = line.clone();
                thread::spawn(move || carry(from, to, |_| back.answered()));
                thread::spawn(move || carry(client, server, |said| line.asked(said)));
            }
        });
        Self { address, mode }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does so from now on.
    pub(crate) fn turn(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

/// What becomes of some bytes.
enum Fate {
    Carried,
    Lost,
    End,
}

impl Line {
    fn asked(&self, said: &[u8]) -> Fate {
        let says = |what: &[u8]| said.windows(what.len()).any(|w| w == what);
        if says(b"LISTEN ") {
            self.listens.store(true, Ordering::SeqCst);
        }
        if says(b"COMMIT\0") && *self.mode.lock().unwrap() == Mode::LosesCommits {
            self.lost.store(true, Ordering::SeqCst);
        }
        Fate::Carried
    }

    fn answered(&self) -> Fate {
        let deaf = *self.mode.lock().unwrap() == Mode::Deaf;
        match self.lost.load(Ordering::SeqCst) {
            true => Fate::End,
            false if deaf && self.listens.load(Ordering::SeqCst) => Fate::Lost,
            false => Fate::Carried,
        }
    }
}

/// Carries what comes as `fate` says, which sees it first; at the end both ends are closed.
fn carry(mut from: TcpStream, mut to: TcpStream, fate: impl Fn(&[u8]) -> Fate) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        match fate(&buffer[..n]) {
            Fate::Carried if to.write_all(&buffer[..n]).is_ok() => {}
            Fate::Lost => {}
            _ => break,
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
