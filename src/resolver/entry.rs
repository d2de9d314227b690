//! Answers ready to be sent: a message without OPT, where its TTLs are, and what a record keeps
//! of it. One is made once per answer and sent many times without allocating.

use std::{ops::Deref, sync::Arc, time::Instant};

use arc_swap::{ArcSwapOption, Guard};
use metrics::Counter;

use super::{
    Context, Transport,
    enforce::{Memo, Validity},
    message::{Builder, Ede, Extended, HEADER_BYTES, Rcode, Record, rtype},
    query::Query,
    read::{self, Sections},
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
    /// Errors to send.
    pub ede: Vec<Extended>,
    /// Who answered us; empty for ourselves.
    pub upstream: String,
    /// How it leaves.
    pub manner: Manner,
    /// The rule that decided; none where no rule applies.
    pub applied: Option<Box<Applied>>,
    /// Where it is a failure, whose fault that is.
    pub fault: Fault,
}

/// Whether a failure is that of validation (RFC 4035 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no failure, or has another cause.
    Other,
    /// An upstream that may validate says SERVFAIL, and not why.
    Unsaid,
    /// An upstream says that the answer is forged.
    Bogus,
    /// An upstream failed although it was asked not to check.
    Unchecked,
}

/// How an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With its records, as far as there is room.
    Whole,
    /// With TC set and without records.
    Truncated,
    /// Not at all: it is recorded, and nothing is sent.
    Silent,
}

/// What policy did to an answer, as its record keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The column `action`.
    pub action: &'static str,
    /// The rule's trigger.
    pub rule: String,
    pub feed: String,
    pub feed_version: String,
    /// What it replaced, where that is known.
    pub original: Vec<Record>,
    /// Count the answers it is applied to.
    pub counts: Vec<Counter>,
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
            manner: Manner::Whole,
            applied: None,
            fault: Fault::Other,
        }
    }

    /// An answer without records that says why.
    pub(crate) fn error(rcode: Rcode, ede: Ede, text: &'static str) -> Self {
        Self { ede: vec![Extended::new(ede, text)], ..Self::bare(rcode) }
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
    /// The same for an answer that a rule decided.
    pub full_decided: FullPolicy,
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
    /// Records are left out, and TC says so.
    cut: bool,
    /// Nothing is sent.
    silent: bool,
    ede: Box<[Extended]>,
    tail: Box<[u8]>,
    /// The tail for clients without EDNS, which get no extended errors.
    tail_without_ede: Option<Box<[u8]>>,
    upstream: Box<str>,
    life: Life,
    /// The last good answer, where this one is a failure.
    stale: Option<Arc<Entry>>,
    /// Where a rule decided: what counts the answers it is applied to.
    applied: Option<Box<[Counter]>>,
    /// For how long it may be served, where a rule decided.
    validity: Option<Validity>,
    /// There are signatures in it.
    signed: bool,
    /// See [`Answer::fault`].
    fault: Fault,
    /// What the rules in force make of it.
    memo: ArcSwapOption<Memo>,
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

    /// With TTLs that stay as they are, to be made again at `expires`.
    pub(crate) fn not_counting(expires: Option<Instant>) -> Self {
        Self { since: None, expires }
    }

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
            applied: answer.applied.as_deref(),
        };
        let codes: Vec<u16> = answer.ede.iter().map(|e| e.code.0).collect();
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
            cut: b.full || answer.manner == Manner::Truncated,
            silent: answer.manner == Manner::Silent,
            applied: answer.applied.as_ref().map(|a| a.counts.clone().into()),
            validity: None,
            signed: s.answer.iter().chain(&s.authority).any(|r| r.rtype == rtype::RRSIG),
            fault: answer.fault,
            memo: ArcSwapOption::const_empty(),
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
            + size_of::<Memo>()
            + self.wire.len()
            + 2 * self.ttls.len()
            + self.tail.len()
            + without
            + stale
    }

    /// Its response code.
    pub(crate) fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// The answer it was made of, with the TTLs it was made with, before any rule.
    pub(crate) fn answer(&self) -> Answer {
        Answer {
            rcode: self.rcode,
            authoritative: self.authoritative,
            // What we wrote can be read.
            sections: read::response(&self.wire).map(|r| r.sections).unwrap_or_default(),
            ede: self.ede.to_vec(),
            upstream: self.upstream.to_string(),
            manner: if self.cut { Manner::Truncated } else { Manner::Whole },
            applied: None,
            fault: self.fault,
        }
    }

    /// Whether there are signatures in it.
    pub(crate) fn is_signed(&self) -> bool {
        self.signed
    }

    /// Where it is a failure, whose fault that is.
    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    /// What a set of rules made of it, when it was last looked at.
    pub(crate) fn memo(&self) -> Guard<Option<Arc<Memo>>> {
        self.memo.load()
    }

    /// Keeps what a set of rules makes of it.
    pub(crate) fn remember(&self, memo: Memo) {
        self.memo.store(Some(Arc::new(memo)));
    }

    /// For how long it may be served, where a rule decided.
    pub(crate) fn validity(&self) -> Option<Validity> {
        self.validity
    }

    /// Says for how long it may be served.
    pub(crate) fn hold(&mut self, validity: Validity) {
        self.validity = Some(validity);
    }

    /// How long it lives.
    pub(crate) fn life(&self) -> Life {
        self.life
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
        for count in self.applied.as_deref().unwrap_or_default() {
            count.increment(1);
        }
        let full = if self.applied.is_some() { style.full_decided } else { style.full };
        if self.silent {
            let tail = Tail(TailOf::Entry { entry: Arc::clone(self), ede: false });
            return Answered { tail, flags: 0, min_ttl: 0, cache, full, rcode: self.rcode };
        }
        let limit = limit(q, ctx.transport, style);
        let fits = |words| !self.cut && self.wire.len() + self.opt_len(q, style, words) <= limit;
        // Text makes way before a record does (RFC 8914 §3).
        let mut words = Words::wanted(q);
        let whole = fits(words) || {
            words = Words::None;
            fits(words)
        };
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
            self.opt(q, style, words, out);
        }
        let tail = Tail(TailOf::Entry { entry: Arc::clone(self), ede: edns });
        let flags = u32::from(flags) | u32::from(edns) << 16 | u32::from(q.do_bit()) << 17;
        Answered { tail, flags, min_ttl, cache, full, rcode: self.rcode }
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

    fn opt_len(&self, q: &Query, style: &Style, words: Words) -> usize {
        if q.edns.is_none() {
            return 0;
        }
        let ede: usize = self.ede.iter().map(|e| 6 + words.of(e).len()).sum();
        OPT_BYTES + ede + if asks_nsid(q, style) { 4 + style.nsid.len() } else { 0 }
    }

    fn opt(&self, q: &Query, style: &Style, words: Words, out: &mut Vec<u8>) {
        let additional = u16::from_be_bytes([out[10], out[11]]) + 1;
        out[10..12].copy_from_slice(&additional.to_be_bytes());
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&style.udp_payload_max.to_be_bytes());
        out.extend_from_slice(&[(self.rcode.0 >> 4) as u8, 0, u8::from(q.do_bit()) << 7, 0]);
        let len = self.opt_len(q, style, words) - OPT_BYTES;
        out.extend_from_slice(&(len as u16).to_be_bytes());
        if asks_nsid(q, style) {
            option(out, 3, &[], &style.nsid);
        }
        for e in &self.ede {
            option(out, 15, &e.code.0.to_be_bytes(), words.of(e).as_bytes());
        }
    }
}

/// In what words a response says its extended errors.
#[derive(Clone, Copy)]
enum Words {
    /// For programs.
    Structured,
    /// For people.
    Plain,
    /// By their codes alone.
    None,
}

impl Words {
    fn wanted(q: &Query) -> Self {
        if q.edns.is_some_and(|e| e.structured_errors) { Self::Structured } else { Self::Plain }
    }

    fn of(self, e: &Extended) -> &str {
        match self {
            Self::Structured if !e.structured.is_empty() => &e.structured,
            Self::Structured | Self::Plain => &e.text,
            Self::None => "",
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
