//! Messages of a transfer out: records packed with compression, signed where the question was.

use domain::{
    base::{
        MessageBuilder, Ttl,
        iana::{Class, Opcode, Rcode, Rtype},
        message_builder::{AnswerBuilder, HashCompressor, PushError},
        rdata::UnknownRecordData,
    },
    tsig::{Key, ServerSequence},
};

use crate::{
    clock::Timestamp,
    feeds::transfer::{signature_time, wire::Question, wire_name},
    name::Name,
};

/// What TSIG takes at most besides the key's name: type to other data, and the longest algorithm's
/// name and signature (RFC 8945 §4.2), in bytes.
const TSIG_ROOM_BYTES: usize = 10 + 13 + 16 + 64;

/// A message that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit in a message")]
pub struct TooLarge;

/// The head and question that every message of an answer repeats.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The question's id.
    pub id: u16,
    /// QUERY or NOTIFY.
    pub opcode: u8,
    /// The question.
    pub question: Question,
}

/// One message that grows by records.
pub struct Packing {
    builder: AnswerBuilder<HashCompressor<Vec<u8>>>,
    records: usize,
}

impl Packing {
    /// A message of at most `bytes_max` bytes, room for a signature kept.
    ///
    /// # Errors
    /// When not even the question fits.
    pub fn new(head: &Head, bytes_max: usize) -> Result<Self, TooLarge> {
        let mut builder = message(head, Rcode::NOERROR)?;
        let room = TSIG_ROOM_BYTES + crate::name::NAME_BYTES_MAX;
        builder.set_push_limit(bytes_max.saturating_sub(room));
        Ok(Self { builder, records: 0 })
    }

    /// Adds a record; false when the message is full and has to leave first.
    ///
    /// # Errors
    /// When the record does not fit even in a message of its own.
    pub fn push(
        &mut self,
        owner: &Name,
        ttl: u32,
        rtype: u16,
        rdata: &[u8],
    ) -> Result<bool, TooLarge> {
        let owner = wire_name(owner);
        let data =
            UnknownRecordData::from_octets(Rtype::from_int(rtype), rdata).map_err(|_| TooLarge)?;
        match self.builder.push((owner, Class::IN, Ttl::from_secs(ttl), data)) {
            Ok(()) => {
                self.records += 1;
                Ok(true)
            }
            Err(PushError::CountOverflow | PushError::LimitExceeded | PushError::ShortBuf)
                if self.records > 0 =>
            {
                Ok(false)
            }
            Err(_) => Err(TooLarge),
        }
    }

    /// How many records it has.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// The message, signed as the next of `sequence`.
    ///
    /// # Errors
    /// When the signature does not fit.
    pub fn finish(
        mut self,
        sequence: Option<&mut ServerSequence<Key>>,
        now: Timestamp,
    ) -> Result<Vec<u8>, TooLarge> {
        self.builder.clear_push_limit();
        signed(self.builder, sequence, now)
    }
}

/// A message without records: an error, or the answer to NOTIFY.
///
/// # Errors
/// When the signature does not fit.
pub fn bare(
    head: &Head,
    rcode: u8,
    sequence: Option<&mut ServerSequence<Key>>,
    now: Timestamp,
) -> Result<Vec<u8>, TooLarge> {
    let rcode = Rcode::checked_from_int(rcode).unwrap_or(Rcode::SERVFAIL);
    signed(message(head, rcode)?, sequence, now)
}

fn message(head: &Head, rcode: Rcode) -> Result<AnswerBuilder<HashCompressor<Vec<u8>>>, TooLarge> {
    let target = HashCompressor::new(Vec::with_capacity(512));
    let mut builder = MessageBuilder::from_target(target).map_err(|_| TooLarge)?;
    let header = builder.header_mut();
    header.set_id(head.id);
    header.set_opcode(Opcode::from_int(head.opcode));
    header.set_qr(true);
    header.set_aa(rcode == Rcode::NOERROR);
    header.set_rcode(rcode);
    let mut builder = builder.question();
    let question = &head.question;
    let (name, qtype) = (wire_name(&question.name), Rtype::from_int(question.qtype));
    builder.push((name, qtype, Class::from_int(question.qclass))).map_err(|_| TooLarge)?;
    Ok(builder.answer())
}

fn signed(
    builder: AnswerBuilder<HashCompressor<Vec<u8>>>,
    sequence: Option<&mut ServerSequence<Key>>,
    now: Timestamp,
) -> Result<Vec<u8>, TooLarge> {
    let mut builder = builder.additional();
    if let Some(sequence) = sequence {
        sequence.answer(&mut builder, signature_time(now)).map_err(|_| TooLarge)?;
    }
    Ok(builder.finish().into_target())
}
