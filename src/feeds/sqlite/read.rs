//! Reading what stands, and what happened.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::Type};

use crate::{
    clock::Timestamp,
    feeds::{
        events::EventKind,
        spec::{ALLOW, INSTANT},
        store::{
            Appeal, AppealStatus, Event, EventQuery, FeedRow, Judgement, NewVersion, OwnRule,
            Standing, VersionRow,
        },
    },
};

type Read<T> = rusqlite::Result<T>;

/// The columns that [`event`] reads, in its order.
const EVENT: &str = "id, ts, node, actor, kind, feed, version, subject, reason, detail";

/// The columns that [`own_rule_row`] reads, in its order, and where from; `?1` is the newest event
/// that counts.
const OWN_RULE: &str = "
    SELECT r.event_id, r.rule, r.owner, e.actor, e.reason, e.ts, r.expires, r.expires_confirmed,
           coalesce(ce.actor, ''), coalesce(ee.actor, ''), coalesce(ee.ts, 0), cs.event_id IS NULL,
           r.authority, r.order_number, coalesce(ce.ts, 0),
           iif(r.person = '', e.actor, r.person)
    FROM own_rules AS r
    JOIN events AS e ON e.id = r.event_id
    LEFT JOIN own_rule_steps AS cs
        ON cs.own_rule_id = r.event_id AND cs.step = 'confirmed' AND cs.event_id <= ?1
    LEFT JOIN events AS ce ON ce.id = cs.event_id
    LEFT JOIN own_rule_steps AS es
        ON es.own_rule_id = r.event_id AND es.step = 'ended' AND es.event_id <= ?1
    LEFT JOIN events AS ee ON ee.id = es.event_id ";

/// Every event.
const ALL: i64 = i64::MAX;

/// Numbers of rows as SQLite counts them.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(ALL)
}

/// A bound that 0 leaves open.
fn below(id: u64) -> i64 {
    if id == 0 { ALL } else { i64::try_from(id).unwrap_or(ALL) }
}

fn collect<T>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    db.prepare_cached(sql)?.query_map(params, read)?.collect()
}

pub(super) fn newest_of(db: &Connection, feed: &str) -> Read<u64> {
    let sql = "SELECT coalesce(max(id), 0) FROM events WHERE feed = ?1 AND kind NOT IN ('in-force', 'expired', 'renewed')";
    db.prepare_cached(sql)?.query_row([feed], |row| row.get(0))
}

pub(super) fn standing(db: &Connection, upto: u64, now: Timestamp) -> Read<Standing> {
    // One look: a change in between would be half seen otherwise.
    let db = db.unchecked_transaction()?;
    let version = |feed: &str| -> Read<u64> {
        let sql = "SELECT coalesce(max(version), 0) FROM events WHERE feed = ?1 AND id <= ?2";
        db.prepare_cached(sql)?.query_row(params![feed, upto], |row| row.get(0))
    };
    let sql = "
        SELECT a.feed, a.rule FROM appeals AS a
        WHERE a.event_id <= ?1 AND
            (SELECT s.status FROM appeal_steps AS s
             WHERE s.appeal_id = a.event_id AND s.event_id <= ?1
             ORDER BY s.event_id DESC LIMIT 1) IN ('suspended', 'lifted')
        ORDER BY a.event_id";
    Ok(Standing {
        event: upto,
        feeds: feeds(&db, upto)?,
        instant: standing_rules(&db, INSTANT, upto, now)?,
        allow: standing_rules(&db, ALLOW, upto, now)?,
        instant_version: version(INSTANT)?,
        allow_version: version(ALLOW)?,
        suspended: collect(&db, sql, [upto], |row| Ok((row.get(0)?, row.get(1)?)))?,
    })
}

fn feeds(db: &Connection, upto: u64) -> Read<Vec<FeedRow>> {
    let sql = "
        SELECT s.feed, s.spec, e.ts, e.actor,
            (SELECT max(id) FROM events WHERE feed = s.feed AND kind = 'feed-added' AND id <= ?1)
        FROM specs AS s JOIN events AS e ON e.id = s.event_id
        WHERE s.event_id = (SELECT max(event_id) FROM specs WHERE feed = s.feed AND event_id <= ?1)
            AND NOT EXISTS (SELECT 1 FROM events AS r WHERE r.feed = s.feed
                AND r.kind = 'feed-removed' AND r.id > s.event_id AND r.id <= ?1)
        ORDER BY s.feed";
    let mut feeds = collect(db, sql, [upto], |row| {
        Ok(FeedRow {
            name: row.get(0)?,
            spec: row.get(1)?,
            changed_at: Timestamp(row.get(2)?),
            changed_by: row.get(3)?,
            added: row.get(4)?,
            version: 0,
            version_event: 0,
            read_by: String::new(),
            newest: 0,
            newest_failed: false,
        })
    })?;
    for feed in &mut feeds {
        let sql = "SELECT version, id FROM events WHERE feed = ?1 AND id > ?2 AND id <= ?3
                       AND kind IN ('activated', 'approved', 'rolled-back')
                   ORDER BY id DESC LIMIT 1";
        let found = db
            .prepare_cached(sql)?
            .query_row(params![feed.name, feed.added, upto], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        (feed.version, feed.version_event) = found.unwrap_or_default();
        let sql = "SELECT s.spec FROM versions AS v
                   JOIN specs AS s ON s.feed = v.feed AND s.event_id <= v.event_id
                   WHERE v.feed = ?1 AND v.number = ?2 ORDER BY s.event_id DESC LIMIT 1";
        let read_by = db
            .prepare_cached(sql)?
            .query_row(params![feed.name, feed.version], |row| row.get(0))
            .optional()?;
        feed.read_by = read_by.unwrap_or_default();
        let sql = "SELECT coalesce(max(number), 0) FROM versions WHERE feed = ?1
                       AND event_id > ?2 AND event_id <= ?3";
        feed.newest = db
            .prepare_cached(sql)?
            .query_row(params![feed.name, feed.added, upto], |row| row.get(0))?;
        let sql = "SELECT id FROM events WHERE feed = ?1 AND version = ?2 AND id <= ?3
                       AND kind = 'failed' ORDER BY id DESC LIMIT 1";
        let failed: Option<u64> = db
            .prepare_cached(sql)?
            .query_row(params![feed.name, feed.newest, upto], |row| row.get(0))
            .optional()?;
        // Whoever decided for a version since then ended the failure.
        feed.newest_failed = feed.newest > 0 && failed.is_some_and(|id| id > feed.version_event);
    }
    Ok(feeds)
}

fn standing_rules(db: &Connection, feed: &str, upto: u64, now: Timestamp) -> Read<Vec<OwnRule>> {
    let sql = format!(
        "{OWN_RULE} WHERE r.feed = ?2 AND r.event_id <= ?1 AND es.event_id IS NULL
             AND iif(cs.event_id IS NULL, r.expires, r.expires_confirmed) NOT BETWEEN 1 AND ?3
         ORDER BY r.event_id"
    );
    collect(db, &sql, params![upto, feed, now.0], own_rule_row)
}

pub(super) fn own_rules(
    db: &Connection,
    feed: &str,
    before: u64,
    most: usize,
) -> Read<Vec<OwnRule>> {
    let sql = format!(
        "{OWN_RULE} WHERE r.feed = ?2 AND r.event_id < ?3 ORDER BY r.event_id DESC LIMIT ?4"
    );
    collect(db, &sql, params![ALL, feed, below(before), limit(most)], own_rule_row)
}

pub(super) fn own_rule(db: &Connection, id: u64, upto: u64) -> Read<Option<OwnRule>> {
    let sql = format!("{OWN_RULE} WHERE r.event_id = ?2 AND r.event_id <= ?1");
    let upto = i64::try_from(upto).unwrap_or(ALL);
    db.prepare_cached(&sql)?.query_row(params![upto, id], own_rule_row).optional()
}

fn own_rule_row(row: &Row<'_>) -> Read<OwnRule> {
    let confirmed = !row.get::<_, bool>(11)?;
    let expires = Timestamp(row.get(if confirmed { 7 } else { 6 })?);
    Ok(OwnRule {
        id: row.get(0)?,
        rule: row.get(1)?,
        owner: row.get(2)?,
        authority: row.get(12)?,
        order_number: row.get(13)?,
        actor: row.get(3)?,
        person: row.get(15)?,
        reason: row.get(4)?,
        since: Timestamp(row.get(5)?),
        expires,
        expires_confirmed: Timestamp(row.get(7)?),
        confirmed_by: row.get(8)?,
        confirmed_at: Timestamp(row.get(14)?),
        ended_by: row.get(9)?,
        ended_at: Timestamp(row.get(10)?),
    })
}

pub(super) fn events(db: &Connection, q: &EventQuery<'_>) -> Read<Vec<Event>> {
    let mut sql = format!("SELECT {EVENT} FROM events WHERE ");
    let from = if q.newest_first { below(q.from) } else { i64::try_from(q.from).unwrap_or(ALL) };
    let (sign, order) = if q.newest_first { ("<", "DESC") } else { (">", "ASC") };
    let mut values: Vec<&dyn ToSql> = vec![&from];
    let mut condition = format!("id {sign} ?1");
    let mut add = |column: &str, value| {
        values.push(value);
        // Writing to a String cannot fail.
        write!(condition, " AND {column} = ?{}", values.len()).unwrap_or_default();
    };
    if let Some(feed) = &q.feed {
        add("feed", feed);
    }
    if let Some(version) = &q.version {
        add("version", version);
    }
    if let Some(node) = &q.node {
        add("node", node);
    }
    if let Some(subject) = &q.subject {
        add("subject", subject);
    }
    // Our own words: nothing in them has to be escaped.
    let kinds: Vec<_> = q.kinds.iter().map(|k| format!("'{}'", k.name())).collect();
    if !kinds.is_empty() {
        write!(condition, " AND kind IN ({})", kinds.join(", ")).unwrap_or_default();
    }
    let most = limit(q.limit);
    values.push(&most);
    let last = values.len();
    write!(sql, "{condition} ORDER BY id {order} LIMIT ?{last}").unwrap_or_default();
    collect(db, &sql, values.as_slice(), event)
}

fn event(row: &Row<'_>) -> Read<Event> {
    event_at(row, 0)
}

fn event_at(row: &Row<'_>, at: usize) -> Read<Event> {
    Ok(Event {
        id: row.get(at)?,
        ts: Timestamp(row.get(at + 1)?),
        node: row.get(at + 2)?,
        actor: row.get(at + 3)?,
        kind: word(row, at + 4, EventKind::from_name)?,
        feed: row.get(at + 5)?,
        version: row.get(at + 6)?,
        subject: row.get(at + 7)?,
        reason: row.get(at + 8)?,
        detail: row.get(at + 9)?,
    })
}

pub(super) fn versions(
    db: &Connection,
    feed: &str,
    from: u64,
    before: u64,
    most: usize,
) -> Read<Vec<VersionRow>> {
    let sql = "
        SELECT e.id, e.ts, e.node, e.actor, e.kind, e.feed, e.version, e.subject, e.reason,
               e.detail, v.digest, v.bytes, v.received_at, v.source, v.signer, v.event_id,
               (SELECT node FROM events WHERE id = v.event_id), j.accepted, j.rejected,
               j.duplicates, j.conflicts, j.not_evaluable, j.findings
        FROM versions AS v
        JOIN events AS e ON e.id =
            (SELECT max(id) FROM events WHERE feed = v.feed AND version = v.number AND kind IN
                ('received', 'held', 'activated', 'approved', 'refused', 'rolled-back', 'failed'))
        LEFT JOIN judgements AS j ON j.feed = v.feed AND j.number = v.number
        WHERE v.feed = ?1 AND v.number >= ?2 AND v.number < ?3
        ORDER BY v.number DESC LIMIT ?4";
    collect(db, sql, params![feed, from, below(before), limit(most)], |row| {
        let last = event_at(row, 0)?;
        let judgement = match row.get::<_, Option<u64>>(17)? {
            None => None,
            Some(accepted) => Some(Judgement {
                accepted,
                rejected: row.get(18)?,
                duplicates: row.get(19)?,
                conflicts: row.get(20)?,
                not_evaluable: row.get(21)?,
                findings: row.get(22)?,
            }),
        };
        Ok(VersionRow {
            feed: last.feed.clone(),
            number: last.version,
            arrived: NewVersion {
                digest: row.get(10)?,
                bytes: row.get(11)?,
                received_at: Timestamp(row.get(12)?),
                source: row.get(13)?,
                signer: row.get(14)?,
            },
            event: row.get(15)?,
            node: row.get(16)?,
            judgement,
            last,
        })
    })
}

pub(super) fn appeals(
    db: &Connection,
    status: Option<AppealStatus>,
    from: u64,
    before: u64,
    most: usize,
) -> Read<Vec<Appeal>> {
    let sql = "
        SELECT a.event_id, e.ts, a.feed, a.rule, a.claimant, e.reason, e.actor,
               coalesce(s.status, 'open'), coalesce(d.reason, ''), coalesce(d.actor, ''),
               coalesce(d.ts, 0)
        FROM appeals AS a
        JOIN events AS e ON e.id = a.event_id
        LEFT JOIN appeal_steps AS s ON s.event_id =
            (SELECT max(event_id) FROM appeal_steps WHERE appeal_id = a.event_id)
        LEFT JOIN events AS d ON d.id = s.event_id
        WHERE a.event_id >= ?1 AND a.event_id < ?2
            AND (?4 IS NULL OR coalesce(s.status, 'open') = ?4)
        ORDER BY a.event_id DESC LIMIT ?3";
    let status = status.map(AppealStatus::name);
    collect(db, sql, params![from, below(before), limit(most), status], |row| {
        Ok(Appeal {
            id: row.get(0)?,
            ts: Timestamp(row.get(1)?),
            feed: row.get(2)?,
            subject: row.get(3)?,
            claimant: row.get(4)?,
            reason: row.get(5)?,
            opened_by: row.get(6)?,
            status: word(row, 7, AppealStatus::from_name)?,
            decision: row.get(8)?,
            decided_by: row.get(9)?,
            decided_at: Timestamp(row.get(10)?),
        })
    })
}

/// A column that holds one of our words.
fn word<T>(row: &Row<'_>, at: usize, from: fn(&str) -> Option<T>) -> Read<T> {
    let name = row.get_ref(at)?.as_str()?;
    from(name).ok_or_else(|| rusqlite::Error::InvalidColumnType(at, name.to_owned(), Type::Text))
}
