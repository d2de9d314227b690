//! One page of a chain: the records that answer, and everything that shares a flow with them.
//!
//! Each table is asked apart, every answer sorted and limited alike; the page is the merge, cut
//! where the first of them stops being complete. Flow mates are looked for only where an answer
//! has a flow, which plain resolutions never have, and by the flows themselves: the question is not
//! asked again. Asking twice for the same place gives the same
//! records, whatever was inserted behind it.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::{Map, Value};

use super::{
    Error, Sight, Subject, Window,
    cursor::Key,
    matching::{Flows, Matching},
    persons,
    query::{self, CHAIN, Place},
    reader::{Found, Reader, Rows},
};
use crate::{
    clock::Timestamp,
    record::{RecordId, Table, rowbinary},
};

/// Some records in order.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<Found>,
    /// Where the next page begins; none at the end.
    pub(super) next: Option<Key>,
}

/// The limits of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows_max: u32,
    pub(super) bytes_max: usize,
}

/// The records that `matching` finds in `window` after `after`; `around` is as in [`around`].
pub(super) async fn page(
    reader: &Reader,
    matching: &Matching,
    (window, around): (Window, Window),
    after: Option<Key>,
    room: Room,
) -> Result<Page, Error> {
    let rows_max = u64::from(room.rows_max) + 1;
    // Nothing that shares a flow with the one record lies farther away.
    let asked = window.and(around.and_around());
    let mut place = Place { asked, after, last: None, rows_max };
    let mut found = ask(reader, matching.answers(&place), rows_max).await?;
    place.last = first_end(&found);
    if let Some(flows) = flows(reader, matching, &place, &found).await? {
        let statements =
            CHAIN.into_iter().filter_map(|t| Some((t, matching.mates(t, &place, &flows)?)));
        found.extend(ask(reader, statements, rows_max).await?);
    }
    Ok(merge(found, room))
}

/// One record, wherever it is.
pub(super) async fn record(reader: &Reader, id: &RecordId) -> Result<Option<Found>, Error> {
    let Some(table) = id.lane.table() else { return Ok(None) };
    let around = frame(reader, id).await?;
    let place = Place { asked: around, after: None, last: None, rows_max: 1 };
    let matching = Matching::record(id, around);
    let Some((_, statement)) = matching.answers(&place).next() else { return Ok(None) };
    Ok(reader.rows(table, statement, 1).await?.rows.pop())
}

/// The times that answers may have: those of its frame for one record, else any.
pub(super) async fn around(reader: &Reader, subject: &Subject) -> Result<Window, Error> {
    match subject {
        Subject::Record(id) => frame(reader, id).await,
        _ => Ok(Window::ALL),
    }
}

/// The times between which the record was written, or any where no frame is known yet.
pub(super) async fn frame(reader: &Reader, id: &RecordId) -> Result<Window, Error> {
    let (bytes, _) = reader.bytes(query::frame_of(id)).await?;
    let mut input = rowbinary::Reader(&bytes);
    if input.is_empty() {
        return Ok(Window::ALL);
    }
    let (from, to) = (input.ts()?, input.ts()?);
    Ok(Window { from, to: Timestamp(to.0.saturating_add(1)) })
}

async fn ask(
    reader: &Reader,
    statements: impl Iterator<Item = (Table, query::Statement)>,
    rows_max: u64,
) -> Result<Vec<Rows>, Error> {
    try_join_all(statements.map(|(table, s)| reader.rows(table, s, rows_max))).await
}

/// The flows of all answers near `place`, where there are any: from the answers in hand where
/// those are all there are, else from the store.
async fn flows(
    reader: &Reader,
    matching: &Matching,
    place: &Place,
    found: &[Rows],
) -> Result<Option<Flows>, Error> {
    if place.after.is_none() && place.last.is_none() {
        let rows = found.iter().flat_map(|r| &r.rows);
        return Ok(Flows::of(rows.filter_map(|r| Some((r.flow()?, r.key.ts)))));
    }
    let Some(statement) = matching.flows(place) else { return Ok(None) };
    let (bytes, _) = reader.bytes(statement).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut flows = Vec::new();
    while !input.is_empty() {
        flows.push(input.u128()?);
    }
    Ok(Flows::near(flows))
}

/// The first place at which one of the answers stops being complete.
fn first_end(found: &[Rows]) -> Option<Key> {
    found.iter().filter_map(|r| r.end.clone()).min()
}

fn merge(found: Vec<Rows>, room: Room) -> Page {
    let end = first_end(&found);
    let mut rows: BTreeMap<Key, Found> =
        found.into_iter().flat_map(|r| r.rows).map(|r| (r.key.clone(), r)).collect();
    if let Some(end) = &end {
        rows.retain(|k, _| k <= end);
    }
    let mut records = Vec::with_capacity(rows.len().min(room.rows_max as usize));
    let (mut bytes, mut more) = (0, end.is_some());
    for (_, row) in rows {
        bytes += row.bytes;
        let full = records.len() >= room.rows_max as usize || bytes > room.bytes_max;
        if full && !records.is_empty() {
            more = true;
            break;
        }
        records.push(row);
    }
    let next = records.last().filter(|_| more).map(|r: &Found| r.key.clone());
    Page { records, next }
}

/// A record as JSON: its kind, its id and every column under its own name. The one column whose
/// name is taken, `kind` of a verification, is `verification_kind`.
pub(super) fn json(found: Found, sight: Sight) -> Map<String, Value> {
    let id = found.id().to_string();
    let mut record = found.columns;
    persons::withhold(&mut record, found.table, sight);
    if let Some(kind) = record.remove("kind") {
        record.insert("verification_kind".to_owned(), kind);
    }
    record.insert("kind".to_owned(), kind(found.table).into());
    record.insert("id".to_owned(), id.into());
    record
}

/// The kind of a table's records. The list is open.
pub(super) const fn kind(table: Table) -> &'static str {
    match table {
        Table::Resolutions => "resolution",
        Table::Jumps => "jump",
        Table::Conversions => "conversion",
        Table::Notices => "notice",
        Table::Verifications => "verification",
        Table::FeedEvents => "feed_event",
        Table::Rules => "rule",
        Table::Access => "access",
        Table::Gaps => "gap",
        Table::Frames => "frame",
        Table::Nodes => "node",
        Table::Hops => "hop",
        Table::Reports => "report",
        Table::Evidence => "evidence",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LaneId;

    fn key(ts: i64, seq: u64) -> Key {
        Key { ts: Timestamp(ts), node: "n".parse().unwrap(), lane: LaneId(1), seq }
    }

    fn found(ts: i64, seq: u64) -> Found {
        let (table, columns) = (Table::Jumps, Map::new());
        Found { key: key(ts, seq), table, bytes: 10, columns }
    }

    fn check(answers: Vec<(Vec<(i64, u64)>, bool)>, room: (u32, usize), expected: (&[u64], bool)) {
        let answers = answers.into_iter().map(|(rows, all)| {
            let rows: Vec<_> = rows.into_iter().map(|(t, s)| found(t, s)).collect();
            let end = rows.last().filter(|_| !all).map(|r| r.key.clone());
            Rows { rows, end }
        });
        let room = Room { rows_max: room.0, bytes_max: room.1 };
        let page = merge(answers.collect(), room);
        let seqs: Vec<_> = page.records.iter().map(|r| r.key.seq).collect();
        assert_eq!((seqs.as_slice(), page.next.is_some()), expected);
        if let Some(next) = page.next {
            assert_eq!(Some(&next), page.records.last().map(|r| &r.key));
        }
    }

    #[test]
    fn pages_end_where_an_answer_stops_being_complete() {
        check(vec![], (2, 100), (&[], false));
        check(
            vec![(vec![(1, 1), (3, 3)], true), (vec![(2, 2)], true)],
            (9, 100),
            (&[1, 2, 3], false),
        );
        check(vec![(vec![(1, 1), (9, 9)], true), (vec![(2, 2)], false)], (9, 100), (&[1, 2], true));
        check(vec![(vec![(1, 1), (1, 2), (1, 3)], true)], (2, 100), (&[1, 2], true));
        check(vec![(vec![(1, 1), (1, 2), (1, 3)], true)], (3, 100), (&[1, 2, 3], false));
    }

    #[test]
    fn an_answer_found_twice_is_shown_once() {
        check(vec![(vec![(1, 1)], true), (vec![(1, 1), (2, 2)], true)], (9, 100), (&[1, 2], false));
    }

    #[test]
    fn a_page_has_room_for_one_record_of_any_size() {
        check(vec![(vec![(1, 1), (2, 2)], true)], (9, 5), (&[1], true));
        check(vec![(vec![(1, 1), (2, 2), (3, 3)], true)], (9, 20), (&[1, 2], true));
    }
}
