//! Counts of one thread's turn or one message, handed to the measures in one go.

use crate::{
    metrics::DnsMetrics,
    resolver::{Transport, message::Rcode},
};

/// Response codes counted apart; the rest are counted together.
pub(super) const RCODES: usize = 17;

/// What was counted since the last [`Tally::flush`].
#[derive(Default)]
pub(super) struct Tally {
    /// Queries with a parsed question.
    pub(super) queries: u64,
    /// Messages that are no query.
    pub(super) malformed: u64,
    /// Refused by `dns.allow`.
    pub(super) refused: u64,
    /// Not answered because of the rate limit.
    pub(super) rate_limited: u64,
    /// Answered truncated because of the rate limit.
    pub(super) slipped: u64,
    /// Turned away because too many waited.
    pub(super) overload: u64,
    /// Not answered because the spool refused the record.
    pub(super) unrecorded: u64,
    /// Not answered because the grace of a stop ended.
    pub(super) abandoned: u64,
    /// Recorded, but the kernel did not take the response.
    pub(super) unsent: u64,
    /// Dropped by the kernel before we saw them.
    pub(super) overflowed: u64,
    cache_hits: u64,
    cache_misses: u64,
    rcodes: [u64; RCODES],
}

impl Tally {
    /// Counts a response.
    pub(super) fn rcode(&mut self, rcode: Rcode) {
        self.rcodes[usize::from(rcode.0).min(RCODES - 1)] += 1;
    }

    /// Counts where an answer came from, by what its record says of the cache.
    pub(super) fn source(&mut self, cache: &str) {
        match cache {
            "hit" => self.cache_hits += 1,
            "miss" => self.cache_misses += 1,
            _ => (),
        }
    }

    /// Adds everything to the measures and begins anew.
    pub(super) fn flush(&mut self, to: &DnsMetrics, transport: Transport) {
        let queries = match transport {
            Transport::Udp => &to.queries_udp,
            Transport::Tcp => &to.queries_tcp,
        };
        let counts = [
            (queries, self.queries),
            (&to.malformed, self.malformed),
            (&to.refused, self.refused),
            (&to.rate_limited, self.rate_limited),
            (&to.slipped, self.slipped),
            (&to.overload, self.overload),
            (&to.unrecorded, self.unrecorded),
            (&to.abandoned, self.abandoned),
            (&to.unsent, self.unsent),
            (&to.overflowed, self.overflowed),
            (&to.cache_hits, self.cache_hits),
            (&to.cache_misses, self.cache_misses),
        ];
        let nonzero = counts.into_iter().chain(to.responses.iter().zip(self.rcodes));
        for (counter, n) in nonzero.filter(|(_, n)| *n > 0) {
            counter.increment(n);
        }
        *self = Self::default();
    }
}
