//! What the messages of a transfer make of a zone: pure, message by message, whole or not at all.
//!
//! The answer to AXFR is the zone between two copies of its SOA record (RFC 5936 §2.2). The answer
//! to IXFR (RFC 1995 §4) is one of three: a single SOA record, when there is nothing newer; the
//! zone as for AXFR; or differences, from our serial to the newest, each as SOA record before,
//! records that go, SOA record after, records that come, and the newest SOA record around it all.
//!
//! Nothing of a transfer counts before its last record was read and checked: whoever drives an
//! [`Applier`] gets a zone from [`Applier::finish`] or a [`Refusal`]. Records outside of the zone
//! are passed on with the others: the parser of zone text rejects each with its line.

use std::sync::Arc;

use super::{
    serial::Serial,
    wire::{CLASS_IN, Header, Reader, Record, rtype},
    zone::{Changes, Growing, Soa, Zone},
};
use crate::name::{Malformed, Name};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The message's id.
    pub id: u16,
    /// The zone.
    pub zone: Name,
    /// The zone that we hold, for IXFR; none for AXFR.
    pub from: Option<Arc<Zone>>,
    /// The serial below which no zone is taken; none for a feed without a version.
    pub at_least: Option<Serial>,
}

/// How large a transfer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Messages.
    pub messages_max: u64,
    /// Records in them, those of differences included.
    pub records_max: u64,
    /// Bytes of messages, and of the zone's text.
    pub bytes_max: u64,
}

/// Why a transfer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("a message is malformed")]
    Malformed,
    #[error("a message does not answer our question")]
    NotOurs,
    #[error("the primary answered with response code {0}")]
    Rcode(u8),
    #[error("the primary says that it is not authoritative for the zone")]
    NotAuthoritative,
    #[error("a message is truncated")]
    Truncated,
    #[error("a message holds no record")]
    Empty,
    #[error("a record is of type {0}, which no zone holds, or not of class IN")]
    Foreign(u16),
    #[error("the transfer does not begin with the zone's SOA record")]
    NoSoa,
    #[error("serial {offered} is older than {held}, which we hold")]
    Regress { offered: Serial, held: Serial },
    #[error("the differences do not lead from serial {0} to the newest in rising steps")]
    Chain(Serial),
    #[error("the differences remove a record that the zone does not hold")]
    NotThere,
    #[error("the last SOA record differs from the first")]
    SoaChanged,
    #[error("records follow the end of the transfer")]
    Trailing,
    #[error("the transfer ended early")]
    Unfinished,
    #[error("the transfer holds more than {0} messages")]
    Messages(u64),
    #[error("the transfer holds more than {0} records")]
    Records(u64),
    #[error("the transfer is larger than {0} bytes")]
    Bytes(u64),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Yes.
    More,
    /// No: [`Applier::finish`] has the outcome.
    Done,
}

/// What a transfer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The primary has nothing newer than what we hold; its SOA record.
    UpToDate(Soa),
    /// The newest zone, and whether it came as differences.
    Zone {
        /// The zone.
        zone: Zone,
        /// Whether differences made it of the one we hold.
        incremental: bool,
    },
}

/// What the outcome will be made of.
#[derive(Debug)]
enum Ended {
    UpToDate,
    Whole(Growing),
    Differences(Changes),
}

/// Where in the transfer we are.
#[derive(Debug)]
enum State {
    /// Before the first record.
    Start,
    /// Behind the first SOA record of an answer to IXFR.
    First,
    /// In a whole zone.
    Whole(Growing),
    /// In differences.
    Differences { changes: Changes, at: Serial, adding: bool },
    /// Behind the last record.
    End(Ended),
}

/// Applies one transfer.
#[derive(Debug)]
pub struct Applier {
    asked: Asked,
    caps: Caps,
    state: State,
    soa: Option<Soa>,
    messages: u64,
    records: u64,
    bytes: u64,
    data: Vec<u8>,
}

impl Applier {
    /// One for the answer to `asked`.
    pub fn new(asked: Asked, caps: Caps) -> Self {
        let asked = Asked { zone: asked.zone.lower(), ..asked };
        let data = Vec::new();
        Self {
            asked,
            caps,
            state: State::Start,
            soa: None,
            messages: 0,
            records: 0,
            bytes: 0,
            data,
        }
    }

    /// Takes the next message, without its TSIG record where it had one.
    ///
    /// # Errors
    /// When the transfer is refused. Nothing but dropping this makes sense then.
    pub fn message(&mut self, message: &[u8]) -> Result<Progress, Refusal> {
        self.messages += 1;
        self.bytes += message.len() as u64;
        if self.messages > self.caps.messages_max {
            return Err(Refusal::Messages(self.caps.messages_max));
        }
        if self.bytes > self.caps.bytes_max {
            return Err(Refusal::Bytes(self.caps.bytes_max));
        }
        let (header, mut reader) = Reader::new(message)?;
        self.check_head(&header, &mut reader)?;
        for _ in 0..header.counts[1] {
            let record = reader.record()?;
            self.record(&record)?;
        }
        // Nothing there is of interest, and all of it must be well-formed.
        for _ in 0..u32::from(header.counts[2]) + u32::from(header.counts[3]) {
            reader.record()?;
        }
        if reader.position() != message.len() {
            return Err(Refusal::Malformed);
        }
        self.look_ahead(header.counts[1]);
        Ok(if matches!(self.state, State::End(_)) { Progress::Done } else { Progress::More })
    }

    /// The outcome. Sorts, which takes its time for a large zone.
    ///
    /// # Errors
    /// When the last record has not come.
    pub fn finish(self) -> Result<Outcome, Refusal> {
        let (State::End(ended), Some(soa)) = (self.state, self.soa) else {
            return Err(Refusal::Unfinished);
        };
        Ok(match (ended, self.asked.from) {
            (Ended::Whole(zone), _) => Outcome::Zone { zone: zone.finish(soa), incremental: false },
            (Ended::Differences(changes), Some(held)) => {
                Outcome::Zone { zone: changes.apply(&held, soa), incremental: true }
            }
            (Ended::Differences(_), None) => return Err(Refusal::NotThere),
            (Ended::UpToDate, _) => Outcome::UpToDate(soa),
        })
    }

    fn check_head(&self, header: &Header, reader: &mut Reader<'_>) -> Result<(), Refusal> {
        if header.id != self.asked.id || !header.is_response() || header.opcode() != 0 {
            return Err(Refusal::NotOurs);
        }
        if header.rcode() != 0 {
            return Err(Refusal::Rcode(header.rcode()));
        }
        if header.is_truncated() {
            return Err(Refusal::Truncated);
        }
        // RFC 5936 §2.2.1 wants AA in every message; Knot 3.2 sets it in none. The answer to the
        // question for the serial, which comes before every transfer, has it ([`super::soa_of`]).
        let first = self.messages == 1;
        // Later messages may leave the question out (RFC 5936 §2.2.2).
        let questions = header.counts[0];
        if questions > 1 || (first && questions == 0) {
            return Err(Refusal::NotOurs);
        }
        if questions == 1 {
            let question = reader.question()?;
            let qtype = if self.asked.from.is_some() { rtype::IXFR } else { rtype::AXFR };
            let ours = question.name == self.asked.zone
                && question.qtype == qtype
                && question.qclass == CLASS_IN;
            if !ours {
                return Err(Refusal::NotOurs);
            }
        }
        if header.counts[1] == 0 {
            return Err(Refusal::Empty);
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        self.records += 1;
        if self.records > self.caps.records_max {
            return Err(Refusal::Records(self.caps.records_max));
        }
        // OPT, and the meta types and question types of RFC 6895 §3.1.
        let meta = matches!(record.rtype, 0 | rtype::OPT | 128..=255);
        if meta || record.class != CLASS_IN {
            return Err(Refusal::Foreign(record.rtype));
        }
        let mut data = std::mem::take(&mut self.data);
        record.rdata(&mut data)?;
        let is_soa = record.rtype == rtype::SOA && record.owner == self.asked.zone;
        let done = if is_soa {
            self.soa(Soa::from_rdata(record.ttl, &data)?)
        } else {
            self.other(record, &data)
        };
        self.data = data;
        done
    }

    /// A SOA record of the zone.
    fn soa(&mut self, soa: Soa) -> Result<(), Refusal> {
        let state = std::mem::replace(&mut self.state, State::Start);
        let Some(newest) = &self.soa else {
            return self.first(soa);
        };
        let held = self.asked.from.as_ref();
        let is_last = |soa: &Soa| {
            if soa.rdata == newest.rdata { Ok(()) } else { Err(Refusal::SoaChanged) }
        };
        self.state = match (state, held) {
            (State::First, Some(held)) if soa.serial == held.soa().serial => {
                let at = soa.serial;
                State::Differences { changes: Changes::default(), at, adding: false }
            }
            // A zone of nothing else.
            (State::First, Some(_)) if soa.serial == newest.serial => {
                is_last(&soa)?;
                State::End(Ended::Whole(Growing::new(&self.asked.zone)))
            }
            (State::Whole(zone), _) => {
                is_last(&soa)?;
                State::End(Ended::Whole(zone))
            }
            (State::Differences { changes, at, adding: false }, _) => {
                let rises = soa.serial.is_after(at);
                let stays = soa.serial == newest.serial || newest.serial.is_after(soa.serial);
                if !rises || !stays {
                    return Err(Refusal::Chain(at));
                }
                State::Differences { changes, at: soa.serial, adding: true }
            }
            (State::Differences { changes, at, adding: true }, _) => {
                if soa.serial != at {
                    return Err(Refusal::Chain(at));
                }
                if at == newest.serial {
                    is_last(&soa)?;
                    State::End(Ended::Differences(changes))
                } else {
                    State::Differences { changes, at, adding: false }
                }
            }
            (State::End(_), _) => return Err(Refusal::Trailing),
            _ => return Err(Refusal::Chain(held.map_or(newest.serial, |h| h.soa().serial))),
        };
        Ok(())
    }

    /// The first record.
    fn first(&mut self, soa: Soa) -> Result<(), Refusal> {
        let held = self.asked.from.as_ref().map(|held| held.soa().serial);
        for held in held.into_iter().chain(self.asked.at_least) {
            if soa.serial != held && !soa.serial.is_after(held) {
                return Err(Refusal::Regress { offered: soa.serial, held });
            }
        }
        self.state = match held {
            None => State::Whole(Growing::new(&self.asked.zone)),
            Some(_) => State::First,
        };
        self.soa = Some(soa);
        Ok(())
    }

    /// Any other record.
    fn other(&mut self, record: &Record<'_>, data: &[u8]) -> Result<(), Refusal> {
        if matches!(self.state, State::First) {
            self.state = State::Whole(Growing::new(&self.asked.zone));
        }
        let (owner, ttl, rtype) = (&record.owner, record.ttl, record.rtype);
        match (&mut self.state, &self.asked.from) {
            (State::Whole(zone), _) => {
                zone.add(owner, ttl, rtype, data);
                if zone.bytes() as u64 > self.caps.bytes_max {
                    return Err(Refusal::Bytes(self.caps.bytes_max));
                }
                Ok(())
            }
            (State::Differences { changes, adding, .. }, Some(held)) => {
                if *adding {
                    changes.add(held, owner, ttl, rtype, data);
                } else {
                    changes.remove(held, owner, rtype, data).map_err(|_| Refusal::NotThere)?;
                }
                let bytes = changes.bytes() as u64;
                if bytes > self.caps.bytes_max {
                    return Err(Refusal::Bytes(self.caps.bytes_max));
                }
                Ok(())
            }
            (State::End(_), _) => Err(Refusal::Trailing),
            _ => Err(Refusal::NoSoa),
        }
    }

    /// A first message of nothing but a SOA record with our serial says that there is nothing
    /// newer. With a newer serial there is more to come.
    fn look_ahead(&mut self, answers: u16) {
        let (State::First, Some(soa), Some(held)) = (&self.state, &self.soa, &self.asked.from)
        else {
            return;
        };
        if answers == 1 && soa.serial == held.soa().serial {
            self.state = State::End(Ended::UpToDate);
        }
    }
}
