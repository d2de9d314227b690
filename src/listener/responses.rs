//! Responses that wait for their records to be kept.

use std::net::SocketAddr;

use crate::{config::FullPolicy, resolver::message::Rcode, spool::Commit};

/// What a buffer holds before it has to grow, in bytes.
const RESPONSE_BYTES_TYPICAL: usize = 512;

/// The responses of one turn, in buffers that are used again.
#[derive(Default)]
pub(super) struct Responses {
    slots: Vec<Slot>,
    used: usize,
}

struct Slot {
    bytes: Vec<u8>,
    socket: usize,
    to: SocketAddr,
    needs: Needs,
    /// Of a response behind a record.
    rcode: Rcode,
}

/// What has to be kept before a response may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// Its record, which was pushed with this policy.
    Record(FullPolicy),
}

impl Needs {
    /// Whether it may leave after `commit`.
    pub(super) const fn met(self, commit: Commit) -> bool {
        match (self, commit) {
            (Self::Nothing, _) | (Self::Record(_), Commit::Kept) => true,
            (Self::Record(FullPolicy::Shed), Commit::Shed) => true,
            (Self::Record(FullPolicy::Refuse), Commit::Shed) => false,
            (Self::Record(_), Commit::Refused) => false,
        }
    }
}

impl Responses {
    /// A buffer to write the next response into; it counts only once [`Responses::keep`] is called.
    pub(super) fn next(&mut self, socket: usize, to: SocketAddr) -> &mut Vec<u8> {
        if self.used == self.slots.len() {
            self.slots.push(Slot {
                bytes: Vec::with_capacity(RESPONSE_BYTES_TYPICAL),
                socket,
                to,
                needs: Needs::Nothing,
                rcode: Rcode::NOERROR,
            });
        }
        let slot = &mut self.slots[self.used];
        (slot.socket, slot.to) = (socket, to);
        slot.bytes.clear();
        &mut slot.bytes
    }

    /// Takes what was written into [`Responses::next`]'s buffer.
    pub(super) fn keep(&mut self, needs: Needs) {
        self.slots[self.used].needs = needs;
        self.used += 1;
    }

    /// Takes what was written to leave once its record is kept. What is empty does not leave: it is
    /// the silence that a rule asks for, whose record may be refused like any other's.
    pub(super) fn keep_recorded(&mut self, full: FullPolicy, rcode: Rcode) {
        self.slots[self.used].rcode = rcode;
        self.keep(Needs::Record(full));
    }

    /// The response codes of what may leave after `commit` behind its record.
    pub(super) fn recorded(&self, commit: Commit) -> impl Iterator<Item = Rcode> {
        let kept = self.slots[..self.used].iter();
        kept.filter(move |s| s.needs != Needs::Nothing && s.needs.met(commit))
            .filter(|s| !s.bytes.is_empty())
            .map(|s| s.rcode)
    }

    /// What may leave through `socket` after `commit`.
    pub(super) fn leaving(
        &self,
        socket: usize,
        commit: Commit,
    ) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.slots[..self.used]
            .iter()
            .filter(move |s| s.socket == socket && s.needs.met(commit) && !s.bytes.is_empty())
            .map(|s| (s.bytes.as_slice(), s.to))
    }

    /// How many may not leave after `commit`.
    pub(super) fn staying(&self, commit: Commit) -> usize {
        self.slots[..self.used].iter().filter(|s| !s.needs.met(commit)).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Forgets them all and keeps their buffers.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(commit: Commit, expected: [bool; 3]) {
        let all =
            [Needs::Nothing, Needs::Record(FullPolicy::Shed), Needs::Record(FullPolicy::Refuse)];
        assert_eq!(all.map(|n| n.met(commit)), expected, "{commit:?}");
        let mut responses = Responses::default();
        let to = "127.0.0.1:1".parse().unwrap();
        for (i, needs) in all.into_iter().enumerate() {
            responses.next(i % 2, to).push(i as u8);
            responses.keep(needs);
        }
        let left = (0..2).flat_map(|s| responses.leaving(s, commit)).count();
        assert_eq!(left, expected.iter().filter(|e| **e).count());
        assert_eq!(responses.staying(commit), 3 - left);
        assert_eq!(responses.recorded(commit).count(), left - 1, "the first needs no record");
    }

    #[test]
    fn a_response_leaves_only_after_its_record_or_its_count() {
        check(Commit::Kept, [true, true, true]);
        check(Commit::Shed, [true, true, false]);
        check(Commit::Refused, [true, false, false]);
    }

    #[test]
    fn silence_does_not_leave_and_is_counted_where_its_record_is_refused() {
        for (commit, staying) in [(Commit::Kept, 0), (Commit::Shed, 1), (Commit::Refused, 1)] {
            let mut responses = Responses::default();
            responses.next(0, "127.0.0.1:1".parse().unwrap());
            responses.keep_recorded(FullPolicy::Refuse, Rcode::NOERROR);
            assert_eq!(responses.leaving(0, commit).count(), 0);
            assert_eq!(
                (responses.recorded(commit).count(), responses.staying(commit)),
                (0, staying)
            );
        }
    }

    #[test]
    fn buffers_are_used_again_and_what_is_not_kept_does_not_leave() {
        let mut responses = Responses::default();
        let to = "127.0.0.1:1".parse().unwrap();
        responses.next(0, to).extend_from_slice(&[1; 2_000]);
        responses.keep(Needs::Nothing);
        responses.next(0, to).push(2);
        assert_eq!(responses.leaving(0, Commit::Kept).count(), 1);
        responses.clear();
        assert!(responses.is_empty());
        let buffer = responses.next(0, to);
        assert!(buffer.is_empty() && buffer.capacity() >= 2_000);
    }
}
