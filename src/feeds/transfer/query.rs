//! Questions to a primary: SOA, AXFR and IXFR, signed where there is a key; and what comes back.

use domain::{
    base::{
        Message, MessageBuilder, Ttl,
        iana::{Class, Opcode, Rtype},
        rdata::UnknownRecordData,
    },
    tsig::{ClientSequence, Key, ValidationError},
};

use super::{
    apply::Refusal,
    key::{signature_time, wire_name},
    wire::{CLASS_IN, Question, Reader, counted_end, rtype},
    zone::Soa,
};
use crate::{
    clock::Timestamp,
    name::{Malformed, Name},
};

/// NOTIFY (RFC 1996).
pub const OPCODE_NOTIFY: u8 = 4;

/// A question on its way, and what checks the signatures of its answer.
pub struct Sent {
    /// The question's id.
    pub id: u16,
    /// The message.
    pub message: Vec<u8>,
    signed: Option<ClientSequence<Key>>,
}

impl Sent {
    /// A question about a zone. With `soa` in its authority section (IXFR, RFC 1995 §3) or answer
    /// section (NOTIFY, RFC 1996 §3.7).
    ///
    /// # Errors
    /// When it does not fit in a message, or the system has no randomness.
    pub fn new(
        opcode: u8,
        zone: &Name,
        qtype: u16,
        soa: Option<&Soa>,
        key: Option<&Key>,
        now: Timestamp,
    ) -> Result<Self, QueryError> {
        let mut id = [0; 2];
        getrandom::fill(&mut id)?;
        let id = u16::from_be_bytes(id);
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_id(id);
        header.set_opcode(Opcode::from_int(opcode));
        // A NOTIFY comes from who is authoritative (RFC 1996 §4.5).
        header.set_aa(opcode == OPCODE_NOTIFY);
        let mut builder = builder.question();
        let name = wire_name(zone);
        let fits = |_| QueryError::TooLarge;
        builder.push((name, Rtype::from_int(qtype), Class::IN)).map_err(fits)?;
        let soa = match soa {
            None => None,
            Some(soa) => {
                let data = UnknownRecordData::from_octets(Rtype::SOA, &soa.rdata[..]);
                let data = data.map_err(|_| QueryError::TooLarge)?;
                Some((wire_name(zone), Class::IN, Ttl::from_secs(soa.ttl), data))
            }
        };
        let mut answer = builder.answer();
        let mut builder = match soa {
            Some(soa) if opcode == OPCODE_NOTIFY => {
                answer.push(soa).map_err(fits)?;
                answer.additional()
            }
            Some(soa) => {
                let mut authority = answer.authority();
                authority.push(soa).map_err(fits)?;
                authority.additional()
            }
            None => answer.additional(),
        };
        let sign =
            |key: &Key| ClientSequence::request(key.clone(), &mut builder, signature_time(now));
        let signed = key.map(sign).transpose().map_err(fits)?;
        Ok(Self { id, message: builder.finish(), signed })
    }

    /// Checks the signature of the next message of the answer and takes it off.
    ///
    /// # Errors
    /// When it is missing where it must not be, or wrong.
    pub fn verify(&mut self, message: &mut Vec<u8>, now: Timestamp) -> Result<(), QueryError> {
        let Some(signed) = &mut self.signed else { return Ok(()) };
        let taken = std::mem::take(message);
        let mut parsed = Message::from_octets(taken).map_err(|_| Malformed)?;
        signed.answer(&mut parsed, signature_time(now)).map_err(QueryError::Signature)?;
        *message = parsed.into_octets();
        // The record is no longer counted; its bytes are still there.
        let end = counted_end(message)?;
        message.truncate(end);
        Ok(())
    }

    /// Checks that the answer may end here: its last message was signed.
    ///
    /// # Errors
    /// When it was not.
    pub fn end(self) -> Result<(), QueryError> {
        match self.signed {
            Some(signed) => signed.done().map_err(QueryError::Signature),
            None => Ok(()),
        }
    }
}

/// Why a question has no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question is too large.
    #[error("the question does not fit in a message")]
    TooLarge,
    /// No randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// An answer is malformed.
    #[error("a message is malformed")]
    Malformed,
    /// Not signed, or not signed right.
    #[error("the signature does not hold: {0}")]
    Signature(ValidationError),
}

impl From<Malformed> for QueryError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The zone's SOA record in the answer to a question for it.
///
/// # Errors
/// When the answer is another one.
pub fn soa_of(message: &[u8], id: u16, zone: &Name) -> Result<Soa, Refusal> {
    let (header, mut reader) = Reader::new(message)?;
    if header.id != id || !header.is_response() || header.opcode() != 0 {
        return Err(Refusal::NotOurs);
    }
    if header.rcode() != 0 {
        return Err(Refusal::Rcode(header.rcode()));
    }
    if header.is_truncated() {
        return Err(Refusal::Truncated);
    }
    if !header.is_authoritative() {
        return Err(Refusal::NotAuthoritative);
    }
    let asked = Question { name: zone.lower(), qtype: rtype::SOA, qclass: CLASS_IN };
    if header.counts[0] != 1 || reader.question()? != asked {
        return Err(Refusal::NotOurs);
    }
    for _ in 0..header.counts[1] {
        let record = reader.record()?;
        if record.rtype == rtype::SOA && record.owner == asked.name {
            let mut data = Vec::new();
            record.rdata(&mut data)?;
            return Ok(Soa::from_rdata(record.ttl, &data)?);
        }
    }
    Err(Refusal::NoSoa)
}
