//! `resolutions`: one DNS question that we answered or dropped by policy.

use std::net::{IpAddr, SocketAddr};

use super::{Flow, Row, Table, rowbinary::Writer};

/// A resource record in presentation form, for columns that hold more than addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerData {
    /// The owner name: lower case, absolute, without the trailing dot.
    pub owner: String,
    /// The type (RFC 1035 §3.2.2).
    pub rtype: u16,
    /// Seconds, as the source gave them.
    pub ttl: u32,
    /// The data in presentation form (RFC 1035 §5.1).
    pub rdata: String,
}

/// The columns that depend on the answer alone. An answer cache keeps them encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolutionTail {
    /// Public suffix plus one label of `qname`, or `qname` itself where there is none.
    pub registrable_domain: String,
    /// The name asked: lower case, A-labels, absolute without the trailing dot; the root is `.`.
    pub qname: String,
    /// The type asked.
    pub qtype: u16,
    /// The class asked.
    pub qclass: u16,
    /// The extended response code.
    pub rcode: u16,
    /// Extended DNS error codes sent (RFC 8914).
    pub ede: Vec<u16>,
    /// Addresses in the answer; they belong to the last of `answer_names`.
    pub answers: Vec<IpAddr>,
    /// The CNAME chain in order, without `qname`.
    pub answer_names: Vec<String>,
    /// Every other record of the answer section.
    pub answer_data: Vec<AnswerData>,
    /// What would have been answered had policy not replaced it, where known.
    pub original_answers: Vec<AnswerData>,
    /// Who answered us, as `transport://address:port`; empty for local data.
    pub upstream: String,
    /// What validation found; `not_evaluated` without validation.
    pub dnssec: &'static str,
    /// The policy action taken; empty for none.
    pub action: &'static str,
    /// The rule that decided; empty for none.
    pub rule: String,
    /// Its feed.
    pub feed: String,
    /// That feed's version.
    pub feed_version: String,
    /// The public suffix list behind `registrable_domain`.
    pub psl_version: String,
}

impl ResolutionTail {
    /// The encoded columns, for [`Resolution::tail`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let mut w = Writer(&mut out);
        w.str(&self.registrable_domain).str(&self.qname).u16(self.qtype).u16(self.qclass);
        w.u16(self.rcode).len(self.ede.len());
        for e in &self.ede {
            w.u16(*e);
        }
        w.len(self.answers.len());
        for a in &self.answers {
            w.ip(*a);
        }
        w.len(self.answer_names.len());
        for n in &self.answer_names {
            w.str(n);
        }
        rrs(&mut w, &self.answer_data);
        rrs(&mut w, &self.original_answers);
        w.str(&self.upstream).str(self.dnssec).str(self.action).str(&self.rule).str(&self.feed);
        w.str(&self.feed_version).str(&self.psl_version);
        out
    }
}

fn rrs(w: &mut Writer<'_>, list: &[AnswerData]) {
    w.len(list.len());
    for rr in list {
        w.str(&rr.owner).u16(rr.rtype).u32(rr.ttl).str(&rr.rdata);
    }
}

/// One resolution.
#[derive(Clone, Debug)]
pub struct Resolution<'a> {
    /// Who asked, as `privacy` lets it be kept.
    pub client: SocketAddr,
    /// The epoch of the key that encrypted `client`; empty for plain.
    pub client_key: &'a str,
    /// Where the question arrived.
    pub server: SocketAddr,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// Low 16 bits: the response's header flags as sent; bit 16: the query had EDNS; bit 17: DO.
    pub flags: u32,
    /// From receipt to the moment the row was encoded, in microseconds.
    pub latency_us: u32,
    /// The smallest TTL sent, in seconds; 0 without records.
    pub min_ttl: u32,
    /// `local`, `hit`, `miss` or `none`.
    pub cache: &'static str,
    /// The HTTP exchange that caused it; [`Flow::NONE`] for a client's own question.
    pub flow: Flow,
    /// [`ResolutionTail::encode`].
    pub tail: &'a [u8],
}

impl Row for Resolution<'_> {
    const TABLE: Table = Table::Resolutions;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.ip(self.client.ip()).u16(self.client.port()).str(self.client_key);
        w.ip(self.server.ip()).u16(self.server.port()).str(self.transport).u32(self.flags);
        w.u32(self.latency_us).u32(self.min_ttl).str(self.cache).u128(self.flow.0);
        w.raw(self.tail);
    }
}
