//! Sending: an entry as the response to one question.

use std::sync::Arc;

use super::{
    super::{
        Context, Transport,
        message::{Extended, HEADER_BYTES},
        query::Query,
    },
    Answered, Entry, Style,
    recorded::Tail,
};

/// The smallest UDP limit there is (RFC 6891 §6.2.3).
const UDP_PAYLOAD_MIN: u16 = 512;

/// An OPT record without options, in bytes.
const OPT_BYTES: usize = 11;

impl Entry {
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
            let tail = Tail::of(self, false);
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
        let tail = Tail::of(self, edns);
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
