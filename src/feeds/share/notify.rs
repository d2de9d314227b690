//! Telling secondaries of a new version (RFC 1996), again and again until they have heard.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use domain::tsig::Key;
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    clock::Clock,
    config,
    feeds::transfer::{
        OPCODE_NOTIFY, QueryError, Sent, Soa,
        wire::{Reader, rtype},
    },
    name::Name,
};

/// How often and how long a secondary is told.
#[derive(Clone, Copy, Debug)]
pub struct NotifyBounds {
    /// Attempts, the first included.
    pub attempts_max: u32,
    /// The wait for an answer to the first; twice as long each time.
    pub timeout: Duration,
}

impl NotifyBounds {
    /// What the configuration says.
    pub const fn new(config: &config::Transfers) -> Self {
        Self {
            attempts_max: config.notify_attempts_max,
            timeout: Duration::from_millis(config.notify_timeout_ms),
        }
    }
}

/// Why a secondary has not heard.
#[derive(Debug, thiserror::Error)]
pub enum NotHeard {
    /// The message cannot be made.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// There is no socket.
    #[error("no socket: {0}")]
    Io(#[from] std::io::Error),
    /// It did not answer.
    #[error("no answer")]
    Silence,
    /// It does not want to know; its response code.
    #[error("it answered with response code {0}")]
    Refused(u8),
}

/// Tells `secondary` of the version that `soa` is of.
///
/// # Errors
/// When it has not heard after all attempts.
pub async fn tell(
    secondary: SocketAddr,
    zone: &Name,
    soa: &Soa,
    key: Option<&Key>,
    clock: &Clock,
    bounds: NotifyBounds,
) -> Result<(), NotHeard> {
    let any: SocketAddr = match secondary {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(secondary).await?;
    let mut wait = bounds.timeout;
    for _ in 0..bounds.attempts_max {
        let mut sent = Sent::new(OPCODE_NOTIFY, zone, rtype::SOA, Some(soa), key, clock.now())?;
        let asking = ask(&socket, &mut sent, clock);
        match timeout(wait, asking).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(rcode)) => return Err(NotHeard::Refused(rcode)),
            // A closed port answers at once: the secondary may be starting.
            Ok(Err(_)) => tokio::time::sleep(wait).await,
            Err(_) => {}
        }
        wait *= 2;
    }
    Err(NotHeard::Silence)
}

/// The response code of the answer.
async fn ask(socket: &UdpSocket, sent: &mut Sent, clock: &Clock) -> Result<u8, NotHeard> {
    socket.send(&sent.message).await?;
    let mut buffer = vec![0; 4_096];
    loop {
        let len = socket.recv(&mut buffer).await?;
        let mut message = buffer[..len].to_vec();
        let Ok((header, _)) = Reader::new(&message) else { continue };
        let ours = header.id == sent.id && header.is_response() && header.opcode() == OPCODE_NOTIFY;
        // An answer that is not signed as the question was may be anybody's: wait for a better one.
        if ours && (header.rcode() != 0 || sent.verify(&mut message, clock.now()).is_ok()) {
            return Ok(header.rcode());
        }
    }
}
