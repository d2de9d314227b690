//! What to answer on the sockets for transfers: NOTIFY, SOA, IXFR and AXFR for zones that we know,
//! and REFUSED for everything else.

use std::net::IpAddr;

use domain::tsig::{Key, ServerSequence};

use super::{
    access::{Registry, Sharing},
    pack::{Head, Packing, TooLarge, bare},
    zone::{Served, Step},
};
use crate::{
    clock::Timestamp,
    feeds::transfer::{
        Keys, OPCODE_NOTIFY, Serial, Soa, key_name, verify_request,
        wire::{CLASS_IN, Reader, rtype},
    },
    name::Malformed,
};

const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// The largest answer over UDP to who says nothing of more, in bytes (RFC 1035 §4.2.1).
const UDP_BYTES_MAX: usize = 512 + 1_024;

/// What becomes of a request.
pub(super) enum Answer {
    /// Nothing: it is no request.
    None,
    /// A message.
    Message(Vec<u8>),
    /// Many of them.
    Transfer(Box<Transfer>),
}

/// A zone, or its changes, on their way to a secondary.
pub(super) struct Transfer {
    pub head: Head,
    pub sequence: Option<ServerSequence<Key>>,
    pub served: std::sync::Arc<Served>,
    /// None for the whole zone.
    pub steps: Option<Vec<Step>>,
}

/// Answers one request.
pub(super) fn answer(
    registry: &Registry,
    keys: &Keys,
    mut message: Vec<u8>,
    peer: IpAddr,
    is_stream: bool,
    now: Timestamp,
) -> Answer {
    let Ok((header, _)) = Reader::new(&message) else { return Answer::None };
    if header.is_response() {
        return Answer::None;
    }
    let sequence = match verify_request(keys, &mut message, now) {
        Ok(sequence) => sequence,
        Err(error) if error.is_empty() => return Answer::None,
        Err(error) => return Answer::Message(error),
    };
    let Ok((head, from)) = read(&message) else {
        return match formerr(&message) {
            Some(message) => Answer::Message(message),
            None => Answer::None,
        };
    };
    let signed = sequence.as_ref().map(|s| key_name(s.key()));
    let mut asking = Asking { head, sequence, now };
    let qtype = head.question.qtype;
    if head.question.qclass != CLASS_IN {
        return asking.bare(REFUSED);
    }
    if head.opcode == OPCODE_NOTIFY {
        let told = registry.told(&head.question.name, peer, signed.as_deref());
        return asking.bare(if told { 0 } else { REFUSED });
    }
    if head.opcode != 0 {
        return asking.bare(NOTIMP);
    }
    let sharing = registry.shared(&head.question.name);
    let allowed = |s: &std::sync::Arc<Sharing>| s.allows(peer, signed.as_deref());
    let Some(sharing) = sharing.filter(allowed) else { return asking.bare(REFUSED) };
    let Some(served) = sharing.zone.served() else { return asking.bare(SERVFAIL) };
    let newest = served.soa.serial;
    match (qtype, from) {
        (rtype::SOA, _) => asking.soa(&served.soa),
        // There is nothing newer; or, over UDP, more than fits (RFC 1995 §2).
        (rtype::IXFR, Some(from)) if !is_stream || from == newest || from.is_after(newest) => {
            asking.soa(&served.soa)
        }
        (rtype::IXFR, None) => asking.bare(FORMERR),
        (rtype::IXFR, Some(from)) => {
            let steps = served.since(from);
            asking.transfer(served, steps)
        }
        (rtype::AXFR, _) if is_stream => asking.transfer(served, None),
        _ => asking.bare(REFUSED),
    }
}

struct Asking {
    head: Head,
    sequence: Option<ServerSequence<Key>>,
    now: Timestamp,
}

impl Asking {
    fn bare(&mut self, rcode: u8) -> Answer {
        sent(bare(&self.head, rcode, self.sequence.as_mut(), self.now))
    }

    fn soa(&mut self, soa: &Soa) -> Answer {
        let mut made = || {
            let mut packing = Packing::new(&self.head, UDP_BYTES_MAX)?;
            packing.push(&self.head.question.name, soa.ttl, rtype::SOA, &soa.rdata)?;
            packing.finish(self.sequence.as_mut(), self.now)
        };
        sent(made())
    }

    fn transfer(self, served: std::sync::Arc<Served>, steps: Option<Vec<Step>>) -> Answer {
        let Self { head, sequence, .. } = self;
        Answer::Transfer(Box::new(Transfer { head, sequence, served, steps }))
    }
}

fn sent(message: Result<Vec<u8>, TooLarge>) -> Answer {
    message.map_or(Answer::None, Answer::Message)
}

/// The question, and the serial that an IXFR is from.
fn read(message: &[u8]) -> Result<(Head, Option<Serial>), Malformed> {
    let (header, mut reader) = Reader::new(message)?;
    if header.counts[0] != 1 {
        return Err(Malformed);
    }
    let question = reader.question()?;
    let mut from = None;
    for _ in 0..header.counts[1] {
        reader.record()?;
    }
    for _ in 0..header.counts[2] {
        let record = reader.record()?;
        if record.rtype == rtype::SOA && record.owner == question.name {
            let mut data = Vec::new();
            record.rdata(&mut data)?;
            from = Some(Soa::from_rdata(record.ttl, &data)?.serial);
        }
    }
    Ok((Head { id: header.id, opcode: header.opcode(), question }, from))
}

/// The head alone, turned into a complaint.
fn formerr(message: &[u8]) -> Option<Vec<u8>> {
    let mut head = message.get(..4)?.to_vec();
    head[2] = head[2] & 0x79 | 0x80;
    head[3] = FORMERR;
    head.resize(12, 0);
    Some(head)
}
