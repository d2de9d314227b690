//! The place after a page: opaque to callers, checked when it comes back.
//!
//! A cursor is the key of the page's last record and the window the first page was asked with, so
//! that a relative window does not move from page to page. Pages continue strictly after a key,
//! never at an offset: records that arrive in between neither repeat nor displace others. The
//! digest binds a cursor to its question; it protects against mistakes, not against forgery,
//! which would gain nothing: a cursor grants no right.

use sha2::{Digest, Sha256};

use super::{Question, Window};
use crate::{
    clock::Timestamp,
    record::{LaneId, NodeName},
};

const VERSION: u8 = 1;
const DIGEST: usize = 16;
const FIXED: usize = 1 + 5 * 8;

/// The order of a trace: oldest first, then by record id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The record's time.
    pub(super) ts: Timestamp,
    /// Its node.
    pub(super) node: NodeName,
    /// Its lane.
    pub(super) lane: LaneId,
    /// Its number in the lane.
    pub(super) seq: u64,
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The window of the first page.
    pub(super) window: Window,
    /// The last record already given.
    pub(super) after: Key,
}

/// The text is no cursor of this question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this question: pass `next_cursor` of the page before, unchanged")]
pub struct BadCursor;

impl Cursor {
    /// As text, for pages of `question` alone.
    pub(super) fn print(&self, question: &Question) -> String {
        let mut bytes = Vec::with_capacity(FIXED + 64 + DIGEST);
        bytes.push(VERSION);
        let numbers = [self.window.from.0, self.window.to.0, self.after.ts.0];
        bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(self.after.lane.0.to_be_bytes());
        bytes.extend(self.after.seq.to_be_bytes());
        bytes.extend(self.after.node.as_str().as_bytes());
        let digest = digest(&bytes, question);
        bytes.extend(digest);
        hex::encode(bytes)
    }

    /// Reads what [`Cursor::print`] wrote for the same question.
    ///
    /// # Errors
    /// When the text was altered or belongs to another question.
    pub(super) fn parse(text: &str, question: &Question) -> Result<Self, BadCursor> {
        let bytes = hex::decode(text).map_err(|_| BadCursor)?;
        let at = bytes.len().checked_sub(DIGEST).ok_or(BadCursor)?;
        let (body, sum) = bytes.split_at(at);
        if digest(body, question) != sum || body.first() != Some(&VERSION) || body.len() < FIXED {
            return Err(BadCursor);
        }
        let (fixed, node) = body.split_at(FIXED);
        let mut numbers = fixed[1..]
            .chunks_exact(8)
            .map(|c| c.iter().fold(0u64, |n, b| (n << 8) | u64::from(*b)));
        let mut next = || numbers.next().ok_or(BadCursor);
        let (from, to) = (time(next()?), time(next()?));
        let (ts, lane, seq) = (time(next()?), LaneId(next()?), next()?);
        let node = std::str::from_utf8(node).map_err(|_| BadCursor)?;
        let node = node.parse().map_err(|_| BadCursor)?;
        Ok(Self { window: Window { from, to }, after: Key { ts, node, lane, seq } })
    }
}

fn time(n: u64) -> Timestamp {
    Timestamp(n.cast_signed())
}

fn digest(body: &[u8], question: &Question) -> [u8; DIGEST] {
    let mut h = Sha256::new();
    h.update(b"tracegate cursor\0");
    h.update(question.kind().name());
    h.update([0]);
    h.update((question.text.len() as u64).to_be_bytes());
    h.update(&question.text);
    h.update(body);
    let mut short = [0; DIGEST];
    short.copy_from_slice(&h.finalize()[..DIGEST]);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Kind, ShortUrls, question};
    use super::*;
    use crate::record::Table;

    fn asked(text: &str) -> Question {
        question::parse(text, Some(Kind::Domain), &ShortUrls::default(), |_| false).unwrap()
    }

    fn cursor(ts: i64, lane: u64, seq: u64) -> Cursor {
        Cursor {
            window: Window { from: Timestamp(3), to: Timestamp(1 << 60) },
            after: Key {
                ts: Timestamp(ts),
                node: "edge-1.example".parse().unwrap(),
                lane: LaneId(lane),
                seq,
            },
        }
    }

    proptest! {
        #[test]
        fn cursors_come_back_whole(ts: i64, lane: u64, seq: u64) {
            let q = asked("demo.test");
            let c = cursor(ts, lane, seq);
            prop_assert_eq!(Cursor::parse(&c.print(&q), &q), Ok(c));
        }

        #[test]
        fn altered_cursors_are_refused(at in 0..100usize, flip in 1..16u8) {
            let q = asked("demo.test");
            let lane = LaneId::new(1_795_000_000, 1, Table::Jumps).0;
            let text = cursor(1_795_000_000_000_000, lane, 7).print(&q);
            let mut bytes = text.into_bytes();
            let at = at % bytes.len();
            let digit = (bytes[at] as char).to_digit(16).unwrap() as u8 ^ flip;
            bytes[at] = char::from_digit(digit.into(), 16).unwrap() as u8;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(Cursor::parse(&text, &q), Err(BadCursor));
        }

        #[test]
        fn any_text_is_read_without_panic(s in "[0-9a-f]{0,200}|.{0,40}") {
            prop_assert_eq!(Cursor::parse(&s, &asked("demo.test")), Err(BadCursor));
        }
    }

    #[test]
    fn another_questions_cursor_is_refused() {
        let text = cursor(1, 2, 3).print(&asked("demo.test"));
        assert_eq!(Cursor::parse(&text, &asked("www.demo.test")), Err(BadCursor));
    }
}
