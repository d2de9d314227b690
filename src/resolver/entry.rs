//! Answers ready to be sent: a message without OPT, where its TTLs are, and what a record keeps
//! of it. One is made once per answer and sent many times without allocating.

use std::{ops::Deref, sync::Arc, time::Instant};

use super::{
    Context, Transport,
    message::{Builder, Ede, HEADER_BYTES, Rcode, Record},
    query::Query,
    read::Sections,
    tail::{self, Facts},
};
use crate::{config::FullPolicy, record::PublicSuffixes};

/// An answer as the stage that made it sees it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub rcode: Rcode,
    /// We are authoritative for the first owner name.
    pub authoritative: bool,
    pub sections: Sections,
    /// Errors to send, with a text of ours.
    pub ede: Vec<(Ede, &'static str)>,
    /// Who answered us; empty for ourselves.
    pub upstream: String,
}

impl Answer {
    /// An answer without records.
    pub(crate) fn bare(rcode: Rcode) -> Self {
        Self {
            rcode,
            authoritative: false,
            sections: Sections::default(),
            ede: Vec::new(),
            upstream: String::new(),
        }
    }

    /// An answer without records that says why.
    pub(crate) fn error(rcode: Rcode, ede: Ede, text: &'static str) -> Self {
        Self { ede: vec![(ede, text)], ..Self::bare(rcode) }
    }
}

/// What every response needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Style {
    /// The largest UDP response, in bytes.
    pub udp_payload_max: u16,
    /// The name server identifier; empty for none.
    pub nsid: Vec<u8>,
    /// Recursion is offered.
    pub recursion: bool,
    /// Presentation text kept of one answer, in bytes.
    pub record_data_bytes_max: usize,
    /// What happens to the record of an answer without a decision when the spool is full.
    pub full: FullPolicy,
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
}

/// The smallest UDP limit there is (RFC 6891 §6.2.3).
const UDP_PAYLOAD_MIN: u16 = 512;

/// An OPT record without options, in bytes.
const OPT_BYTES: usize = 11;

/// An answer ready to be sent.
#[derive(Debug)]
pub(crate) struct Entry {
    wire: Box<[u8]>,
    question_end: usize,
    ttls: Box<[u16]>,
    min_ttl: u32,
    rcode: Rcode,
    authoritative: bool,
    /// Not every record fitted into a message.
    cut: bool,
    ede: Box<[(Ede, &'static str)]>,
    tail: Box<[u8]>,
    /// The tail for clients without EDNS, which get no extended errors.
    tail_without_ede: Option<Box<[u8]>>,
    upstream: Box<str>,
    life: Life,
    /// The last good answer, where this one is a failure.
    stale: Option<Arc<Entry>>,
}

/// How long an answer lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When its TTLs begin to count down; never for our own zones.
    since: Option<Instant>,
    /// When it must be asked for again; never for our own zones.
    expires: Option<Instant>,
}

impl Life {
    /// As long as the zones it was made from.
    pub(crate) const FOR_EVER: Self = Self { since: None, expires: None };

    /// From `since` on, to be asked for again at `expires`.
    pub(crate) fn until(since: Instant, expires: Option<Instant>) -> Self {
        Self { since: Some(since), expires }
    }
}

impl Entry {
    /// An answer to `q`.
    pub(crate) fn new(q: &Query, answer: &Answer, life: Life, style: &Style) -> Self {
        let mut entry = Self::unrecorded(q, answer);
        let facts = Facts {
            qname: q.lower.wire(),
            qtype: q.qtype,
            qclass: q.qclass,
            rcode: answer.rcode,
            upstream: &answer.upstream,
        };
        let codes: Vec<u16> = answer.ede.iter().map(|(e, _)| e.0).collect();
        let records = &answer.sections.answer;
        let encode = |codes: &[u16]| {
            tail::encode(&facts, records, codes, &style.suffixes, style.record_data_bytes_max)
        };
        entry.tail = encode(&codes);
        entry.tail_without_ede = (!codes.is_empty()).then(|| encode(&[]));
        entry.life = life;
        entry
    }

    /// An answer of which no record is kept.
    pub(crate) fn unrecorded(q: &Query, answer: &Answer) -> Self {
        let mut b = Builder::new(q.lower.wire(), q.qtype, q.qclass);
        let question_end = b.wire.len();
        let s = &answer.sections;
        for (i, records) in [&s.answer, &s.authority, &s.additional].into_iter().enumerate() {
            b.section(i + 1, records);
        }
        b.wire[2] = 0x80;
        Self {
            question_end,
            min_ttl: records(s).map(|r| r.ttl).min().unwrap_or(0),
            rcode: answer.rcode,
            authoritative: answer.authoritative,
            cut: b.full,
            tail: Box::default(),
            tail_without_ede: None,
            ede: answer.ede.clone().into(),
            upstream: answer.upstream.as_str().into(),
            life: Life::FOR_EVER,
            stale: None,
            wire: b.wire.into(),
            ttls: b.ttls.into(),
        }
    }

    /// What it takes in memory, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let without = self.tail_without_ede.as_ref().map_or(0, |t| t.len());
        let stale = self.stale.as_ref().map_or(0, |s| s.bytes());
        size_of::<Self>()
            + self.wire.len()
            + 2 * self.ttls.len()
            + self.tail.len()
            + without
            + stale
    }

    /// The message, without id and flags.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Its response code.
    pub(crate) fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// Its extended errors.
    pub(crate) fn ede(&self) -> &[(Ede, &'static str)] {
        &self.ede
    }

    /// Who answered us; empty for ourselves.
    pub(crate) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// When it must be asked for again.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.life.expires
    }

    /// Whether it is within its time.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.life.expires.is_none_or(|e| now < e)
    }

    /// Whether it says that we failed.
    pub(crate) fn failed(&self) -> bool {
        self.rcode == Rcode::SERVFAIL
    }

    /// Remembers the last good answer.
    pub(crate) fn keep_stale(&mut self, stale: Option<Arc<Self>>) {
        self.stale = stale;
    }

    /// The last good answer, where this one is a failure.
    pub(crate) fn stale(&self) -> Option<Arc<Self>> {
        self.stale.clone()
    }

    /// Seconds gone since its TTLs began to count down.
    pub(crate) fn age_s(&self, now: Instant) -> u32 {
        let age = self.life.since.map_or(0, |s| now.saturating_duration_since(s).as_secs());
        u32::try_from(age).unwrap_or(u32::MAX)
    }

    /// Writes the whole response to `q` into `out`, which is cleared first; at most the limit of
    /// the transport, with TC set where records are missing. Does not allocate when `out` is large
    /// enough.
    pub(crate) fn serve(
        self: &Arc<Self>,
        q: &Query,
        ctx: &Context,
        style: &Style,
        cache: &'static str,
        out: &mut Vec<u8>,
    ) -> Answered {
        out.clear();
        let opt = q.edns.map_or(0, |_| self.opt_len(q, style));
        let whole = !self.cut && self.wire.len() + opt <= limit(q, ctx.transport, style);
        out.extend_from_slice(if whole { &self.wire } else { &self.wire[..self.question_end] });
        let flags = self.header(q, style, whole, out);
        let qname = q.qname.wire();
        out[HEADER_BYTES..HEADER_BYTES + qname.len()].copy_from_slice(qname);
        let mut min_ttl = 0;
        if whole {
            min_ttl = self.min_ttl;
            let age = self.age_s(ctx.now_mono);
            if age > 0 {
                min_ttl = min_ttl.saturating_sub(age);
                self.count_down(age, out);
            }
        }
        let edns = q.edns.is_some();
        if edns {
            self.opt(q, style, out);
        }
        let tail = Tail(TailOf::Entry { entry: Arc::clone(self), ede: edns });
        let flags = u32::from(flags) | u32::from(edns) << 16 | u32::from(q.do_bit()) << 17;
        Answered { tail, flags, min_ttl, cache, full: style.full, rcode: self.rcode }
    }

    fn header(&self, q: &Query, style: &Style, whole: bool, out: &mut [u8]) -> u16 {
        out[..2].copy_from_slice(&q.id.to_be_bytes());
        let bit = |on: bool, at: u16| u16::from(on) << at;
        let flags = bit(true, 15)
            | bit(self.authoritative, 10)
            | bit(!whole, 9)
            | bit(q.rd, 8)
            | bit(style.recursion, 7)
            | bit(q.cd, 4)
            | (self.rcode.0 & 0xf);
        out[2..4].copy_from_slice(&flags.to_be_bytes());
        if !whole {
            out[6..12].fill(0);
        }
        flags
    }

    fn count_down(&self, age: u32, out: &mut [u8]) {
        for &at in &self.ttls {
            let at = usize::from(at);
            if let Some(ttl) = out.get_mut(at..at + 4).and_then(|s| s.first_chunk_mut::<4>()) {
                *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
            }
        }
    }

    fn opt_len(&self, q: &Query, style: &Style) -> usize {
        let ede: usize = self.ede.iter().map(|(_, text)| 6 + text.len()).sum();
        OPT_BYTES + ede + if asks_nsid(q, style) { 4 + style.nsid.len() } else { 0 }
    }

    fn opt(&self, q: &Query, style: &Style, out: &mut Vec<u8>) {
        let additional = u16::from_be_bytes([out[10], out[11]]) + 1;
        out[10..12].copy_from_slice(&additional.to_be_bytes());
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&style.udp_payload_max.to_be_bytes());
        out.extend_from_slice(&[(self.rcode.0 >> 4) as u8, 0, u8::from(q.do_bit()) << 7, 0]);
        let len = self.opt_len(q, style) - OPT_BYTES;
        out.extend_from_slice(&(len as u16).to_be_bytes());
        if asks_nsid(q, style) {
            option(out, 3, &[], &style.nsid);
        }
        for (ede, text) in &self.ede {
            option(out, 15, &ede.0.to_be_bytes(), text.as_bytes());
        }
    }
}

fn records(s: &Sections) -> impl Iterator<Item = &Record> {
    s.answer.iter().chain(&s.authority).chain(&s.additional)
}

fn asks_nsid(q: &Query, style: &Style) -> bool {
    q.edns.is_some_and(|e| e.nsid) && !style.nsid.is_empty()
}

fn option(out: &mut Vec<u8>, code: u16, head: &[u8], data: &[u8]) {
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&((head.len() + data.len()) as u16).to_be_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(data);
}

/// The largest response to `q`, in bytes.
fn limit(q: &Query, transport: Transport, style: &Style) -> usize {
    let udp = match q.edns {
        Some(e) => e.payload.clamp(UDP_PAYLOAD_MIN, style.udp_payload_max.max(UDP_PAYLOAD_MIN)),
        None => UDP_PAYLOAD_MIN,
    };
    match transport {
        Transport::Udp => usize::from(udp),
        Transport::Tcp => usize::from(u16::MAX),
    }
}

/// The encoded columns of a record that depend on the answer alone: [`crate::record::Resolution`]'s
/// `tail`. Cheap to clone; derefs to the bytes.
#[derive(Clone, Debug)]
pub struct Tail(TailOf);

#[derive(Clone, Debug)]
enum TailOf {
    Entry {
        entry: Arc<Entry>,
        /// Extended errors were sent.
        ede: bool,
    },
    /// Of a response that is not recorded.
    Nothing,
}

impl Tail {
    pub(crate) const NOTHING: Self = Self(TailOf::Nothing);
}

impl Deref for Tail {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            TailOf::Entry { entry, ede: true } => &entry.tail,
            TailOf::Entry { entry, ede: false } => {
                entry.tail_without_ede.as_deref().unwrap_or(&entry.tail)
            }
            TailOf::Nothing => &[],
        }
    }
}

/// What a record needs to know of a response that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The columns that depend on the answer alone.
    pub tail: Tail,
    /// The column `flags`: the header's flags as sent, bit 16 EDNS, bit 17 DO.
    pub flags: u32,
    /// The smallest TTL sent, in seconds; 0 without records.
    pub min_ttl: u32,
    /// `local`, `hit`, `miss` or `none`.
    pub cache: &'static str,
    /// What happens to its record when the spool is full.
    pub full: FullPolicy,
    /// The response code sent.
    pub rcode: Rcode,
}
