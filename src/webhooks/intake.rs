//! From changes to messages and deliveries.

use serde_json::{Value, json};

use super::{Error, Kind, Message, Store};
use crate::{
    clock::Timestamp,
    feeds::{EventQuery, FeedStore},
    links::{self, ForwardFrom, LinkSettings, LinkStore, Operation},
    reports::ReportStore,
    sql::{Any, AnyRow},
};

/// Where changes are looked for.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Links and forwards, and the queue.
    pub links: &'a dyn LinkStore,
    /// Reports.
    pub reports: &'a dyn ReportStore,
    /// Feeds and appeals.
    pub feeds: &'a dyn FeedStore,
    /// The node that looks.
    pub node: &'a str,
}

/// How much is taken in at once.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// Changes in one transaction.
    pub batch_max: usize,
    /// Deliveries of one endpoint that may wait; those beyond are dead at once.
    pub queue_max: u64,
    /// The time.
    pub now: Timestamp,
}

/// Changes of the control database that nobody waits for any more: the rest is hidden until its
/// record is kept.
const UNTOLD: &str = "SELECT u.id, u.source, u.ref FROM webhook_untold AS u
    WHERE NOT (u.source = 'revision'
        AND EXISTS (SELECT 1 FROM outbox AS o WHERE o.revision_id = u.ref))
    ORDER BY u.id LIMIT $1";

const REVISION: &str = "SELECT code, revision, ts, operation, target, target_host,
    target_registrable_domain, state, expires, domain, settings FROM revisions WHERE id = $1";

const DESTINATION: &str =
    "SELECT code, revision, ts, target, url, host, registrable_domain, findings
    FROM destinations WHERE id = $1";

/// Takes in what has changed; how many changes there were. Blocks on the disk.
///
/// # Errors
/// When a database fails; what was taken in stays.
pub fn intake(from: Sources<'_>, how: &Intake) -> Result<usize, Error> {
    Ok(of_links(from.links, how)? + of_reports(from, how)? + of_feeds(from, how)?)
}

fn of_links(store: &dyn LinkStore, how: &Intake) -> Result<usize, Error> {
    let limit = i64::try_from(how.batch_max).unwrap_or(i64::MAX);
    let mut any = false;
    store.look(&mut |db| {
        any = !db.query(UNTOLD, &[1.into()])?.is_empty();
        Ok(())
    })?;
    let mut count = 0;
    if any {
        store.transact(&mut |db| {
            count = 0;
            let untold = db.query(UNTOLD, &[limit.into()])?;
            let mut queue = Store::queue(db, how)?;
            for row in &untold {
                let (id, source, of) = (row.int(0)?, row.text(1)?, row.int(2)?);
                if let Some(message) = change(db, source, of)? {
                    queue.put_message(db, &message)?;
                }
                db.execute("DELETE FROM webhook_untold WHERE id = $1", &[id.into()])?;
                count += 1;
            }
            Ok(())
        })?;
    }
    Ok(count)
}

/// What a row of the control database says; none for one that is gone.
fn change(db: &mut dyn Any, source: &str, of: i64) -> Result<Option<Message>, links::Error> {
    let revision = source == "revision";
    let sql = if revision { REVISION } else { DESTINATION };
    match db.query(sql, &[of.into()])?.first() {
        Some(row) if revision => Ok(Some(converted(row)?)),
        Some(row) => Ok(Some(led_elsewhere(row)?)),
        None => Ok(None),
    }
}

fn converted(row: &AnyRow) -> Result<Message, links::Error> {
    let code = row.text(0)?;
    let damaged = || links::Error::Damaged(code.to_owned());
    let (revision, ts) = (row.int(1)?, Timestamp(row.int(2)?));
    let operation = Operation::from_name(row.text(3)?).ok_or_else(damaged)?;
    let settings = LinkSettings::from_text(row.text(10)?).map_err(|_| damaged())?;
    let expires = row.int(8)?;
    let mut object = json!({
        "revision": revision,
        "target": row.text(4)?,
        "target_host": row.text(5)?,
        "target_registrable_domain": row.text(6)?,
        "state": row.text(7)?,
        "expires": if expires == 0 { Value::Null } else { Timestamp(expires).to_string().into() },
    });
    let from = ForwardFrom::of_code(code);
    match &from {
        Some(from) => object["from"] = from.to_string().into(),
        None => {
            object["code"] = code.into();
            object["domain"] = row.text(9)?.into();
        }
    }
    if let Some(stopped) = &settings.stopped {
        object["public_reason"] = stopped.reason.as_str().into();
    }
    let kind = Kind::of_conversion(operation, from.is_some());
    Ok(Message::new(kind, &[code, &revision.to_string()], ts, object))
}

fn led_elsewhere(row: &AnyRow) -> Result<Message, links::Error> {
    let code = row.text(0)?;
    let object = json!({
        "code": code,
        "revision": row.int(1)?,
        "target": row.text(3)?,
        "url": row.text(4)?,
        "host": row.text(5)?,
        "registrable_domain": row.text(6)?,
        "findings": row.text(7)?.split(' ').collect::<Vec<_>>(),
    });
    let ts = Timestamp(row.int(2)?);
    Ok(Message::new(Kind::DestinationChanged, &[code], ts, object))
}

/// Reports lie in a database of their own: they are taken off it after the deliveries are kept. A
/// crash in between finds the same ids again.
fn of_reports(from: Sources<'_>, how: &Intake) -> Result<usize, Error> {
    let untold = from.reports.untold(how.batch_max)?;
    if untold.is_empty() {
        return Ok(0);
    }
    let message = |u: &crate::reports::Untold| match &u.step {
        None => Message::received(&u.report),
        Some(step) => Message::decided(&u.report, step),
    };
    let messages: Vec<Message> = untold.iter().map(message).collect();
    put(from.links, how, &messages, None)?;
    let ids: Vec<u64> = untold.iter().map(|u| u.id).collect();
    from.reports.told(&ids)?;
    Ok(ids.len())
}

/// What befell feeds is told from a mark on, which is kept with the deliveries.
fn of_feeds(from: Sources<'_>, how: &Intake) -> Result<usize, Error> {
    let newest = from.feeds.newest()?;
    let node = from.node;
    let mut mark = None;
    from.links.look(&mut |db| {
        let sql = "SELECT at FROM webhook_marks WHERE node = $1 AND source = 'feeds'";
        mark = db.query(sql, &[node.into()])?.first().map(|row| row.int(0)).transpose()?;
        Ok(())
    })?;
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    let Some(mark) = mark else {
        // What was before there could be anybody to tell is not told.
        put(from.links, how, &[], Some((node, newest)))?;
        return Ok(0);
    };
    if newest <= mark {
        return Ok(0);
    }
    let query = EventQuery {
        kinds: &Kind::OF_FEEDS,
        from: mark.cast_unsigned(),
        limit: how.batch_max,
        ..EventQuery::default()
    };
    let events = from.feeds.events(&query)?;
    let mut messages = Vec::new();
    for event in &events {
        let Some(kind) = Kind::of_feed(event.kind) else { continue };
        messages.push(Message::of_feed(kind, event));
    }
    let last = events.last().map_or(0, |e| e.id.cast_signed());
    // Behind those that are told lie only others, unless there are more than fit.
    let reached = if events.len() < how.batch_max { newest.max(last) } else { last };
    put(from.links, how, &messages, Some((node, reached)))?;
    Ok(messages.len())
}

fn put(
    store: &dyn LinkStore,
    how: &Intake,
    messages: &[Message],
    mark: Option<(&str, i64)>,
) -> Result<(), Error> {
    store.transact(&mut |db| {
        let mut queue = Store::queue(db, how)?;
        for message in messages {
            queue.put_message(db, message)?;
        }
        if let Some((node, at)) = mark {
            let sql = "INSERT INTO webhook_marks (node, source, at) VALUES ($1, 'feeds', $2)
                       ON CONFLICT (node, source) DO UPDATE SET at = excluded.at";
            db.execute(sql, &[node.into(), at.into()])?;
        }
        Ok(())
    })?;
    Ok(())
}
