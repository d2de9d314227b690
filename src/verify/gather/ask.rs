//! One question to one name server: UDP, then TCP where the reply did not fit.
//!
//! Each question has a socket, a port and an id of its own; what comes back counts only when it
//! comes from where it was sent, with that id and that question.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use domain::base::{
    Message, MessageBuilder, Rtype, ToName as _,
    iana::{Class, Rcode},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::verify::{Fault, dns::reply::OwnName, evidence::Transport};

/// What we say we can take over UDP, in bytes (DNS flag day 2020).
const UDP_BYTES_MAX: u16 = 1_232;

/// How name servers are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often over UDP.
    pub attempts: u8,
    /// RD: whether whoever is asked may ask others. Name servers are asked without.
    pub recursion: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub qname: OwnName,
    pub qtype: Rtype,
}

impl Asker {
    /// Asks, and says over what the reply came; its id is zeroed.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        query: &Query,
    ) -> (Transport, Result<Vec<u8>, Fault>) {
        let mut fault = Fault::Silent;
        let mut with_edns = true;
        for _ in 0..self.attempts {
            let reply =
                match timeout(self.timeout, udp(server, query, self.recursion, with_edns)).await {
                    Err(_) => continue,
                    Ok(Err(e)) => {
                        fault = fault_of(&e);
                        continue;
                    }
                    Ok(Ok(reply)) => reply,
                };
            let header = reply[2..4].to_vec();
            if with_edns && u16::from(header[1] & 0xf) == u16::from(Rcode::FORMERR.to_int()) {
                // RFC 6891 §7: it may be older than EDNS.
                with_edns = false;
                continue;
            }
            let is_truncated = header[0] & 2 != 0;
            if !is_truncated {
                return (Transport::Udp, Ok(reply));
            }
            let whole = match timeout(self.timeout, tcp(server, query, self.recursion)).await {
                Err(_) => Err(Fault::Silent),
                Ok(Err(e)) => Err(fault_of(&e)),
                Ok(Ok(reply)) => Ok(reply),
            };
            return (Transport::Tcp, whole);
        }
        (Transport::Udp, Err(fault))
    }
}

fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidData => Fault::Malformed { why: error.to_string() },
        io::ErrorKind::UnexpectedEof => Fault::Cut { at: 0 },
        _ => Fault::Unreachable,
    }
}

fn message(id: u16, query: &Query, recursion: bool, with_edns: bool) -> io::Result<Vec<u8>> {
    let too_large = |_| io::Error::other("too large");
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(recursion);
    let mut builder = builder.question();
    builder.push((&query.qname, query.qtype, Class::IN)).map_err(too_large)?;
    let mut builder = builder.additional();
    if with_edns {
        let edns = builder.opt(|opt| {
            opt.set_udp_payload_size(UDP_BYTES_MAX);
            opt.set_dnssec_ok(true);
            Ok(())
        });
        edns.map_err(too_large)?;
    }
    Ok(builder.finish())
}

/// Whether `reply` answers `query`, asked with `id`.
fn answers(reply: &[u8], id: u16, query: &Query) -> bool {
    let Ok(message) = Message::from_octets(reply) else { return false };
    let asked = || {
        let question = message.sole_question().ok()?;
        let same = question.qname().name_eq(&query.qname) && question.qtype() == query.qtype;
        same.then_some(())
    };
    let header = message.header();
    // Whoever cannot read a question does not always repeat it.
    let is_blank = message.header_counts().qdcount() == 0 && header.rcode() != Rcode::NOERROR;
    header.id() == id && header.qr() && (is_blank || asked().is_some())
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(id))
}

async fn udp(
    server: SocketAddr,
    query: &Query,
    recursion: bool,
    with_edns: bool,
) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let id = random_id()?;
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&message(id, query, recursion, with_edns)?).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], id, query) {
            return Ok(without_id(&buffer[..length]));
        }
    }
}

async fn tcp(server: SocketAddr, query: &Query, recursion: bool) -> io::Result<Vec<u8>> {
    let id = random_id()?;
    let mut stream = TcpStream::connect(server).await?;
    let message = message(id, query, recursion, true)?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    if answers(&reply, id, query) {
        Ok(without_id(&reply))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to something else"))
    }
}

/// Evidence has no id: the same reply is the same bytes.
fn without_id(reply: &[u8]) -> Vec<u8> {
    [&[0, 0], &reply[2..]].concat()
}
