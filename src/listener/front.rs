//! From bytes to a decision, whatever the transport: parse, access control, rate limit, resolver.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use super::{
    acl::AddressSet,
    rate::{RateLimit, Verdict},
    tally::Tally,
};
use crate::{
    clock::Timestamp,
    config,
    record::{Flow, Resolution},
    resolver::{
        Answered, Context, Pending, Resolver, Step, Transport,
        message::{Ede, Rcode},
        query::{self, Parsed, Query},
    },
};

/// What every query meets first. One value, shared by all threads and connections.
pub(super) struct Front {
    pub(super) resolver: Arc<Resolver>,
    allow: AddressSet,
    udp_payload_max: u16,
}

/// Where a query came from and when.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) client: SocketAddr,
    /// The address the query arrived at.
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    /// When it was received.
    pub(super) now: Timestamp,
    pub(super) now_mono: Instant,
}

/// What is to be done about a query.
pub(super) enum Decided {
    /// Nothing leaves and nothing is recorded; it has been counted.
    Nothing,
    /// The response may leave without a record; it has been counted.
    Unrecorded,
    /// The response, or the silence that policy asks for, may follow once its record is kept.
    Answered(Answered),
    /// An upstream has to be asked.
    Ask(Box<Pending>),
}

impl Front {
    pub(super) fn new(resolver: Arc<Resolver>, config: &config::Dns) -> Self {
        Self {
            resolver,
            allow: AddressSet::new(&config.allow),
            udp_payload_max: config.udp_payload_max,
        }
    }

    /// Decides about one message; the response, where there is one, is in `out`.
    ///
    /// `limit` is given for transports whose source address can be forged. It comes before the
    /// resolver, because it looks at the client alone: what is over the limit costs no look-up and
    /// asks no upstream.
    pub(super) fn decide(
        &self,
        message: &[u8],
        asked: &Asked,
        limit: Option<&mut RateLimit>,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Decided {
        if !answerable(asked.client) {
            tally.malformed += 1;
            return Decided::Nothing;
        }
        let parsed = query::parse(message);
        match &parsed {
            Parsed::Drop => {
                tally.malformed += 1;
                return Decided::Nothing;
            }
            Parsed::Answer(_) => tally.malformed += 1,
            Parsed::Query(_) => tally.queries += 1,
        }
        let verdict = limit.map_or(Verdict::Pass, |l| l.check(asked.client.ip(), asked.now_mono));
        match (parsed, verdict) {
            (Parsed::Query(q), Verdict::Pass) => self.answer(&q, asked, out, tally),
            (Parsed::Query(q), Verdict::Slip) => {
                tally.slipped += 1;
                tally.rcode(Rcode::NOERROR);
                truncated(message, &q, self.udp_payload_max, out);
                Decided::Unrecorded
            }
            (Parsed::Answer(header), Verdict::Pass) => {
                tally.rcode(header.rcode());
                out.clear();
                out.extend_from_slice(header.wire());
                Decided::Unrecorded
            }
            // A header alone cannot be cut.
            (_, Verdict::Slip | Verdict::Drop) => {
                tally.rate_limited += 1;
                Decided::Nothing
            }
            (Parsed::Drop, Verdict::Pass) => Decided::Nothing,
        }
    }

    fn answer(&self, q: &Query, asked: &Asked, out: &mut Vec<u8>, tally: &mut Tally) -> Decided {
        if !self.allow.contains(asked.client.ip()) {
            tally.refused += 1;
            tally.rcode(Rcode::REFUSED);
            let text = "not allowed to ask here";
            self.resolver.refuse(q, Rcode::REFUSED, Ede::PROHIBITED, text, out);
            return Decided::Unrecorded;
        }
        match self.resolver.answer(q, &context(asked), out) {
            Step::Done(answered) => Decided::Answered(answered),
            Step::Ask(pending) => Decided::Ask(pending),
        }
    }

    /// The answer to a query for which there is no room to wait.
    pub(super) fn overload(
        &self,
        q: &Query,
        asked: &Asked,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Answered {
        tally.overload += 1;
        self.resolver.turn_away(q, &context(asked), out)
    }
}

fn context(asked: &Asked) -> Context {
    Context {
        client: asked.client,
        transport: asked.transport,
        now: asked.now,
        now_mono: asked.now_mono,
    }
}

/// The record of an answer that is ready at `ready`.
pub(super) fn row<'a>(asked: &Asked, answered: &'a Answered, ready: Instant) -> Resolution<'a> {
    let latency = ready.saturating_duration_since(asked.now_mono).as_micros();
    Resolution {
        client: asked.client,
        client_key: "",
        server: asked.server,
        transport: match asked.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        },
        flags: answered.flags,
        latency_us: u32::try_from(latency).unwrap_or(u32::MAX),
        min_ttl: answered.min_ttl,
        cache: answered.cache,
        flow: Flow::NONE,
        tail: &answered.tail,
    }
}

/// Whether a reply to this source could reach a host that asked.
fn answerable(from: SocketAddr) -> bool {
    let host = match from.ip().to_canonical() {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
    };
    host && from.port() != 0
}

/// The shortest response that sends a client to TCP: header, question and, where the query had
/// one, OPT; no larger than the query.
fn truncated(message: &[u8], q: &Query, udp_payload_max: u16, out: &mut Vec<u8>) {
    let question_end = 12 + q.qname.wire().len() + 4;
    out.clear();
    out.extend_from_slice(&message[..question_end]);
    // QR and TC; RD stays as it came, and so does CD.
    out[2] = 0x82 | (out[2] & 0x01);
    out[3] &= 0x10;
    out[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(q.edns.is_some())]);
    if q.edns.is_some() {
        let [hi, lo] = udp_payload_max.to_be_bytes();
        let flags = u8::from(q.do_bit()) << 7;
        out.extend_from_slice(&[0, 0, 41, hi, lo, 0, 0, flags, 0, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_no_host_has_are_not_answered() {
        for bad in ["192.0.2.1:0", "0.0.0.0:53", "255.255.255.255:53", "224.0.0.1:53"] {
            assert!(!answerable(bad.parse().unwrap()), "{bad}");
        }
        for bad in ["[::]:53", "[ff02::1]:53", "[::ffff:0.0.0.0]:53", "[2001:db8::1]:0"] {
            assert!(!answerable(bad.parse().unwrap()), "{bad}");
        }
        for good in ["192.0.2.1:53", "[2001:db8::1]:1024"] {
            assert!(answerable(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn a_truncated_response_is_no_larger_than_its_query() {
        let plain = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x03WwW\x04test\0\0\x01\0\x01";
        let mut edns = plain.to_vec();
        edns[11] = 1;
        edns.extend(b"\0\0\x29\x10\x00\0\0\x80\0\0\x04\0\x03\0\0");
        for (message, len, additional) in
            [(&plain[..], plain.len(), 0), (&edns, plain.len() + 11, 1)]
        {
            let Parsed::Query(q) = query::parse(message) else { panic!("a query") };
            let mut out = vec![9; 3];
            truncated(message, &q, 1232, &mut out);
            assert_eq!(out.len(), len);
            assert!(out.len() <= message.len());
            let counts = [0, 1, 0, 0, 0, 0, 0, additional];
            assert_eq!(out[..4], [0x12, 0x34, 0x83, 0x10]);
            assert_eq!(out[4..12], counts);
            assert_eq!(out[12..plain.len()], plain[12..]);
        }
    }
}
