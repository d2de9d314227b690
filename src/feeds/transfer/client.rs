//! The client: asks a primary for its serial, and for what is newer than what we hold.
//!
//! The serial is asked over UDP, then TCP (over TLS alone where the feed says so). Only a newer
//! one is transferred, as differences where we hold a version, and as a whole where we do not,
//! where the feed wants it so, or where differences did not work out. Whatever is wrong on the way,
//! the answer is an error and nothing else happens.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::tsig::Key;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    apply::{Applier, Asked, Caps, Outcome, Progress, Refusal},
    query::{QueryError, Sent, soa_of},
    serial::Serial,
    tls::Tls,
    wire::rtype,
    zone::{Soa, Zone},
};
use crate::{clock::Clock, config, feeds::Meter, name::Name};

/// Where a zone is transferred from.
#[derive(Clone, Debug)]
pub struct Primary {
    /// The server's addresses, tried in order.
    pub addresses: Vec<SocketAddr>,
    /// The name in its certificate, for transfers over TLS.
    pub tls: Option<ServerName<'static>>,
    /// The zone.
    pub zone: Name,
    /// What to sign with.
    pub key: Option<Key>,
    /// Whether the whole zone is wanted each time.
    pub whole: bool,
}

/// How long everything may take, and how much there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The wait for the answer to one question, and for a connection.
    pub query_timeout: Duration,
    /// The wait for the next message of a transfer.
    pub idle_timeout: Duration,
    /// From the first question to the last message, for one address.
    pub transfer_timeout: Duration,
    /// The transfer's size.
    pub caps: Caps,
}

impl Bounds {
    /// What the configuration says, for lists of at most `bytes_max` bytes.
    pub const fn new(config: &config::Transfers, bytes_max: u64) -> Self {
        Self {
            query_timeout: Duration::from_millis(config.query_timeout_ms),
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            transfer_timeout: Duration::from_millis(config.transfer_timeout_ms),
            caps: Caps {
                messages_max: config.messages_max,
                records_max: config.records_max,
                bytes_max,
            },
        }
    }
}

/// Why there is no transfer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("the primary has no address that may be asked")]
    NoAddress,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("the connection failed: {0}")]
    Io(io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("transfers over TLS are not set up")]
    NoTls,
    #[error("the transfer was interrupted")]
    Stopped,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Transfers zones.
#[derive(Clone, Debug)]
pub struct Client {
    clock: Clock,
    bounds: Bounds,
    tls: Option<Tls>,
    meter: Meter,
}

impl Client {
    /// A client. Without `tls`, primaries that want it cannot be asked.
    pub fn new(clock: Clock, bounds: Bounds, tls: Option<Tls>) -> Self {
        Self { clock, bounds, tls, meter: Meter::default() }
    }

    /// The same, which counts the bytes of transfers there.
    #[must_use]
    pub fn counting(&self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self.clone() }
    }

    /// What `primary` has that is newer than `held`.
    ///
    /// # Errors
    /// When no address of the primary gave an answer that counts; that of the last one.
    pub async fn fetch(
        &self,
        primary: &Primary,
        held: Option<&Arc<Zone>>,
    ) -> Result<Outcome, Error> {
        let mut last = Error::NoAddress;
        for address in &primary.addresses {
            let fetching = self.fetch_from(primary, *address, held);
            match timeout(self.bounds.transfer_timeout, fetching).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(error)) => last = error,
                Err(_) => last = Error::Timeout,
            }
        }
        Err(last)
    }

    /// The SOA record that `primary` has now.
    ///
    /// # Errors
    /// When no address of the primary gave an answer that counts; that of the last one.
    pub async fn newest(&self, primary: &Primary) -> Result<Soa, Error> {
        let mut last = Error::NoAddress;
        for address in &primary.addresses {
            match self.soa(primary, *address).await {
                Ok(soa) => return Ok(soa),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn fetch_from(
        &self,
        primary: &Primary,
        address: SocketAddr,
        held: Option<&Arc<Zone>>,
    ) -> Result<Outcome, Error> {
        let soa = self.soa(primary, address).await?;
        let serial = held.map(|held| held.soa().serial);
        if let Some(held) = serial {
            if soa.serial == held {
                return Ok(Outcome::UpToDate(soa));
            }
            if !soa.serial.is_after(held) {
                return Err(Refusal::Regress { offered: soa.serial, held }.into());
            }
        }
        if let Some(held) = held.filter(|_| !primary.whole) {
            match self.transfer(primary, address, Some(held), serial).await {
                Err(Error::Refused(refusal)) if !matches!(refusal, Refusal::Regress { .. }) => {
                    tracing::debug!(zone = %primary.zone, %refusal, "differences did not work out");
                }
                other => return other,
            }
        }
        self.transfer(primary, address, None, serial).await
    }

    /// The zone's SOA record.
    async fn soa(&self, primary: &Primary, address: SocketAddr) -> Result<Soa, Error> {
        if primary.tls.is_none() {
            match self.soa_by_udp(primary, address).await {
                // What is wrong there may be right over TCP; what the primary says, it says there, too.
                Err(Error::Io(_) | Error::Timeout | Error::Refused(Refusal::Truncated)) => {}
                other => return other,
            }
        }
        let mut sent = self.question(primary, rtype::SOA, None)?;
        let mut stream = self.connect(primary, address).await?;
        let mut message = Vec::new();
        let asked = async {
            write(&mut stream, &sent.message).await?;
            read(&mut stream, &mut message).await
        };
        timeout(self.bounds.query_timeout, asked).await.map_err(|_| Error::Timeout)??;
        sent.verify(&mut message, self.clock.now())?;
        Ok(soa_of(&message, sent.id, &primary.zone)?)
    }

    async fn soa_by_udp(&self, primary: &Primary, address: SocketAddr) -> Result<Soa, Error> {
        let mut sent = self.question(primary, rtype::SOA, None)?;
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await.map_err(Error::Io)?;
        socket.connect(address).await.map_err(Error::Io)?;
        socket.send(&sent.message).await.map_err(Error::Io)?;
        let answer = async {
            let mut buffer = vec![0; 65_535];
            loop {
                let len = socket.recv(&mut buffer).await?;
                if buffer[..len].starts_with(&sent.id.to_be_bytes()) {
                    return Ok(buffer[..len].to_vec());
                }
            }
        };
        let answer = timeout(self.bounds.query_timeout, answer).await;
        let mut message = answer.map_err(|_| Error::Timeout)?.map_err(Error::Io)?;
        sent.verify(&mut message, self.clock.now())?;
        Ok(soa_of(&message, sent.id, &primary.zone)?)
    }

    fn question(
        &self,
        primary: &Primary,
        qtype: u16,
        soa: Option<&Soa>,
    ) -> Result<Sent, QueryError> {
        Sent::new(0, &primary.zone, qtype, soa, primary.key.as_ref(), self.clock.now())
    }

    async fn connect(
        &self,
        primary: &Primary,
        address: SocketAddr,
    ) -> Result<Box<dyn Stream>, Error> {
        let connecting = async {
            let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
            stream.set_nodelay(true).map_err(Error::Connect)?;
            let Some(name) = &primary.tls else {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            };
            let tls = self.tls.as_ref().ok_or(Error::NoTls)?;
            let stream = tls.connect(name.clone(), stream).await.map_err(Error::Connect)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        timeout(self.bounds.query_timeout, connecting).await.map_err(|_| Error::Timeout)?
    }

    async fn transfer(
        &self,
        primary: &Primary,
        address: SocketAddr,
        from: Option<&Arc<Zone>>,
        at_least: Option<Serial>,
    ) -> Result<Outcome, Error> {
        let qtype = if from.is_some() { rtype::IXFR } else { rtype::AXFR };
        let mut sent = self.question(primary, qtype, from.map(|held| held.soa()))?;
        let asked = Asked { id: sent.id, zone: primary.zone, from: from.cloned(), at_least };
        let mut applier = Applier::new(asked, self.bounds.caps);
        let mut stream = self.connect(primary, address).await?;
        let idle = self.bounds.idle_timeout;
        let writing = timeout(idle, write(&mut stream, &sent.message));
        writing.await.map_err(|_| Error::Timeout)??;
        let mut message = Vec::new();
        // How much there is, a primary does not say.
        self.meter.begin(0);
        loop {
            let reading = timeout(idle, read(&mut stream, &mut message));
            reading.await.map_err(|_| Error::Timeout)??;
            self.meter.add(message.len());
            sent.verify(&mut message, self.clock.now())?;
            if applier.message(&message)? == Progress::Done {
                break;
            }
        }
        sent.end()?;
        // Sorting a large zone takes a while.
        let outcome = tokio::task::spawn_blocking(move || applier.finish());
        Ok(outcome.await.map_err(|_| Error::Stopped)??)
    }
}

async fn write(stream: &mut Box<dyn Stream>, message: &[u8]) -> Result<(), Error> {
    let len = u16::try_from(message.len()).map_err(|_| QueryError::TooLarge)?;
    let framed = [&len.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await.map_err(Error::Io)?;
    stream.flush().await.map_err(Error::Io)
}

/// The next message. An end of the stream is the end of a transfer that has no end yet.
async fn read(stream: &mut Box<dyn Stream>, message: &mut Vec<u8>) -> Result<(), Error> {
    let ended = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::Refused(Refusal::Unfinished),
        _ => Error::Io(e),
    };
    let len = stream.read_u16().await.map_err(ended)?;
    message.clear();
    message.resize(usize::from(len), 0);
    stream.read_exact(message).await.map_err(ended)?;
    Ok(())
}
