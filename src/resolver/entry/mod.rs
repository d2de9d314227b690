//! Answers ready to be sent: a message without OPT, where its TTLs are, and what a record keeps
//! of it. One is made once per answer and sent many times without allocating.
//!
//! An [`Answer`] is what a stage says, [`Entry`] the same ready to be sent ([`mod@serve`]), and
//! [`Answered`] what its record needs ([`mod@recorded`]).

mod answer;
mod recorded;
mod serve;

use std::{sync::Arc, time::Instant};

use arc_swap::{ArcSwapOption, Guard};
use metrics::Counter;

pub(crate) use self::answer::{Answer, Applied, Fault, Manner};
pub use self::recorded::{Answered, Tail};
use super::{
    enforce::{Memo, Validity},
    message::{Builder, Extended, Rcode, Record, rtype},
    query::Query,
    read::{self, Sections},
    tail::{self, Facts},
};
use crate::{config::FullPolicy, record::PublicSuffixes};

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
}

fn records(s: &Sections) -> impl Iterator<Item = &Record> {
    s.answer.iter().chain(&s.authority).chain(&s.additional)
}
