//! Endpoints and deliveries in SQL that both databases read alike.

use std::time::Duration;

use super::{Intake, Kind, Message};
use crate::{
    clock::Timestamp,
    links::Error,
    sql::{Any, AnyRow, Value},
};

/// The longest URL of an endpoint, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// Whoever is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number; never used twice.
    pub id: i64,
    /// Where to.
    pub url: String,
    /// What; empty for everything.
    pub kinds: Vec<Kind>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it is not: `asked`, or `gone` where it said so itself.
    pub why: String,
    /// The operator's own words.
    pub note: String,
    /// When it was registered.
    pub created: Timestamp,
    /// By which token.
    pub actor: String,
    /// What its secret is made of.
    pub salt: Vec<u8>,
    /// The same of the secret before, and until when that one signs, too.
    pub before: Option<(Vec<u8>, Timestamp)>,
}

/// An endpoint to be.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    /// Where to.
    pub url: &'a str,
    /// What; empty for everything.
    pub kinds: &'a [Kind],
    /// The operator's own words.
    pub note: &'a str,
    /// Random bytes.
    pub salt: [u8; 32],
    /// The token.
    pub actor: &'a str,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to be made.
    Waiting,
    /// It was.
    Delivered,
    /// It was given up.
    Dead,
}

impl State {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|s| s.name() == name)
    }
}

/// One message on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The message's id.
    pub message: String,
    /// What is told.
    pub kind: String,
    /// How it stands.
    pub state: String,
    /// When it came into the queue, or was sent again.
    pub created: Timestamp,
    /// When it is tried next.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: i64,
    /// When it ended; [`Timestamp::ZERO`] for not yet.
    pub ended: Timestamp,
    /// The status of the last answer; 0 for none.
    pub status: i64,
    /// What came of the last attempt; empty for none or success.
    pub outcome: String,
}

/// A delivery that is ours to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its number.
    pub id: i64,
    /// What proves that it is still ours: the time at which another may take it.
    pub until: Timestamp,
    /// This attempt, from 1.
    pub attempt: i64,
    /// When it came into the queue.
    pub created: Timestamp,
    /// The message's id.
    pub message: String,
    /// What is sent.
    pub body: String,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the delivery stands.
    pub state: State,
    /// When it is tried next.
    pub due: Timestamp,
    /// The status of the answer; 0 for none.
    pub status: u16,
    /// Why it was not taken; empty for success.
    pub outcome: &'static str,
}

/// What there is of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that wait.
    pub waiting: u64,
    /// Those that were given up and are still kept.
    pub dead: u64,
    /// When the oldest that waits came into the queue; [`Timestamp::ZERO`] for none.
    pub oldest: Timestamp,
}

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug)]
pub struct Tidy {
    /// Deliveries that were made.
    pub delivered: Duration,
    /// Those that were given up.
    pub dead: Duration,
    /// At most so many at once.
    pub limit: usize,
}

const ENDPOINT: &str = "SELECT id, url, kinds, state, why, note, created, actor, salt, salt_before,
    before_until FROM webhooks";

/// The queue and its endpoints.
#[derive(Debug)]
pub struct Store {
    to: Vec<(Endpoint, u64)>,
    queue_max: u64,
    now: Timestamp,
}

impl Store {
    /// Every endpoint, by number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn endpoints(db: &mut dyn Any) -> Result<Vec<Endpoint>, Error> {
        db.query(&format!("{ENDPOINT} ORDER BY id"), &[])?.iter().map(endpoint).collect()
    }

    /// One endpoint.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub fn endpoint(db: &mut dyn Any, id: i64) -> Result<Endpoint, Error> {
        let rows = db.query(&format!("{ENDPOINT} WHERE id = $1"), &[id.into()])?;
        endpoint(rows.first().ok_or(Error::Unknown)?)
    }

    /// Lets nobody else change an endpoint until the transaction ends.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub fn hold(db: &mut dyn Any, id: i64) -> Result<(), Error> {
        // What writes nothing new locks the row, in either database.
        match db.execute("UPDATE webhooks SET note = note WHERE id = $1", &[id.into()])? {
            0 => Err(Error::Unknown),
            _ => Ok(()),
        }
    }

    /// The number of an endpoint's last change.
    ///
    /// # Errors
    /// When the database fails.
    pub fn last_step(db: &mut dyn Any, id: i64) -> Result<i64, Error> {
        let sql = "SELECT max(id) FROM webhook_steps WHERE webhook_id = $1";
        Ok(db.query(sql, &[id.into()])?.first().ok_or(Error::Unknown)?.int(0)?)
    }

    /// Registers an endpoint; its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn add(db: &mut dyn Any, new: &NewEndpoint<'_>, now: Timestamp) -> Result<i64, Error> {
        let sql = "INSERT INTO webhooks (url, kinds, state, why, note, created, actor, salt,
                       salt_before, before_until)
                   VALUES ($1, $2, 'enabled', '', $3, $4, $5, $6, $7, 0) RETURNING id";
        let values: [Value; 7] = [
            new.url.into(),
            words(new.kinds).as_str().into(),
            new.note.into(),
            now.0.into(),
            new.actor.into(),
            new.salt.as_slice().into(),
            [].as_slice().into(),
        ];
        let rows = db.query(sql, &values)?;
        let id = rows.first().ok_or(Error::Unknown)?.int(0)?;
        Self::step(db, id, "added", new.url, new.actor, now)?;
        Ok(id)
    }

    /// Writes an endpoint as it is to be.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub fn put(
        db: &mut dyn Any,
        e: &Endpoint,
        step: &str,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE webhooks SET url = $1, kinds = $2, state = $3, why = $4, note = $5,
                       salt = $6, salt_before = $7, before_until = $8 WHERE id = $9";
        let (before, until) = match &e.before {
            Some((salt, until)) => (salt.as_slice(), until.0),
            None => ([].as_slice(), 0),
        };
        let values: [Value; 9] = [
            e.url.as_str().into(),
            words(&e.kinds).as_str().into(),
            if e.enabled { "enabled" } else { "disabled" }.into(),
            e.why.as_str().into(),
            e.note.as_str().into(),
            e.salt.as_slice().into(),
            before.into(),
            until.into(),
            e.id.into(),
        ];
        if db.execute(sql, &values)? == 0 {
            return Err(Error::Unknown);
        }
        Self::step(db, e.id, step, &e.url, actor, now)
    }

    fn step(
        db: &mut dyn Any,
        id: i64,
        step: &str,
        detail: &str,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO webhook_steps (webhook_id, ts, actor, step, detail)
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [id.into(), now.0.into(), actor.into(), step.into(), detail.into()];
        db.execute(sql, &values)?;
        Ok(())
    }

    /// The queue, to put messages into within this transaction.
    pub(super) fn queue(db: &mut dyn Any, how: &Intake) -> Result<Self, Error> {
        let mut to = Vec::new();
        for endpoint in Self::endpoints(db)? {
            if endpoint.enabled {
                let waiting = Self::counts(db, endpoint.id)?.waiting;
                to.push((endpoint, waiting));
            }
        }
        Ok(Self { to, queue_max: how.queue_max, now: how.now })
    }

    /// Puts a message into the queue for every endpoint that wants it and is not to have it already.
    pub(super) fn put_message(&mut self, db: &mut dyn Any, m: &Message) -> Result<(), Error> {
        let now = self.now;
        let wants = |e: &Endpoint| e.kinds.is_empty() || e.kinds.contains(&m.kind);
        for (endpoint, waiting) in self.to.iter_mut().filter(|(e, _)| wants(e)) {
            let full = *waiting >= self.queue_max;
            if deliver(db, endpoint.id, m, now, full)? && !full {
                *waiting += 1;
            }
        }
        Ok(())
    }

    /// Puts a try into the queue of one endpoint; the message's id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn test(db: &mut dyn Any, id: i64, salt: &[u8], now: Timestamp) -> Result<String, Error> {
        let message = Message::test(id, salt, now);
        deliver(db, id, &message, now, false)?;
        Ok(message.id)
    }

    /// Takes at most `limit` deliveries of an endpoint that are due; nobody else gets them before
    /// `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn claim(
        db: &mut dyn Any,
        endpoint: i64,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Claimed>, Error> {
        // Said twice: whoever waited for another's claim looks at the time again.
        let sql = "UPDATE webhook_deliveries SET due = $1, attempts = attempts + 1
                   WHERE state = 'waiting' AND due <= $2 AND id IN
                       (SELECT id FROM webhook_deliveries WHERE webhook_id = $3
                            AND state = 'waiting' AND due <= $2 ORDER BY due, id LIMIT $4)
                   RETURNING id, attempts, created, message_id";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows =
            db.query(sql, &[until.0.into(), now.0.into(), endpoint.into(), limit.into()])?;
        rows.sort_by_key(|row| row.int(0).unwrap_or_default());
        let mut claimed = Vec::new();
        for row in &rows {
            let message = row.text(3)?;
            let sql = "SELECT body FROM webhook_messages WHERE id = $1";
            let body = db.query(sql, &[message.into()])?;
            claimed.push(Claimed {
                id: row.int(0)?,
                until,
                attempt: row.int(1)?,
                created: Timestamp(row.int(2)?),
                message: message.to_owned(),
                body: body.first().ok_or(Error::Unknown)?.text(0)?.to_owned(),
            });
        }
        Ok(claimed)
    }

    /// Whether anything of an endpoint is due: see [`Self::claim`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_due(db: &mut dyn Any, endpoint: i64, now: Timestamp) -> Result<bool, Error> {
        let sql = "SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'waiting'
                       AND due <= $2 LIMIT 1";
        Ok(!db.query(sql, &[endpoint.into(), now.0.into()])?.is_empty())
    }

    /// Ends an attempt; whether the delivery was still ours.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end(
        db: &mut dyn Any,
        claimed: &Claimed,
        end: &Ended,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let sql = "UPDATE webhook_deliveries SET state = $1, due = $2, ended = $3, status = $4,
                       outcome = $5 WHERE id = $6 AND due = $7 AND state = 'waiting'";
        let ended = if end.state == State::Waiting { 0 } else { now.0 };
        let values: [Value; 7] = [
            end.state.name().into(),
            end.due.0.into(),
            ended.into(),
            i64::from(end.status).into(),
            end.outcome.into(),
            claimed.id.into(),
            claimed.until.0.into(),
        ];
        Ok(db.execute(sql, &values)? > 0)
    }

    /// Disables an endpoint that said it is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub fn gone(db: &mut dyn Any, id: i64, now: Timestamp) -> Result<(), Error> {
        let mut endpoint = Self::endpoint(db, id)?;
        if endpoint.enabled {
            (endpoint.enabled, endpoint.why) = (false, "gone".to_owned());
            Self::put(db, &endpoint, "gone", "", now)?;
        }
        Ok(())
    }

    /// Sends dead deliveries of an endpoint again, one or all; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub fn resend(
        db: &mut dyn Any,
        endpoint: i64,
        delivery: Option<i64>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let sql = "UPDATE webhook_deliveries SET state = 'waiting', created = $1, due = $1,
                       attempts = 0, ended = 0, outcome = ''
                   WHERE webhook_id = $2 AND state = 'dead'";
        let values = [now.0.into(), endpoint.into()];
        Ok(match delivery {
            None => db.execute(sql, &values)?,
            Some(id) => {
                let [now, endpoint] = values;
                db.execute(&format!("{sql} AND id = $3"), &[now, endpoint, id.into()])?
            }
        })
    }

    /// What there is of an endpoint's deliveries.
    ///
    /// # Errors
    /// When the database fails.
    pub fn counts(db: &mut dyn Any, endpoint: i64) -> Result<Counts, Error> {
        let sql = "SELECT count(*), coalesce(min(created), 0) FROM webhook_deliveries
                   WHERE webhook_id = $1 AND state = 'waiting'";
        let rows = db.query(sql, &[endpoint.into()])?;
        let row = rows.first().ok_or(Error::Unknown)?;
        let sql =
            "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'dead'";
        let dead = db.query(sql, &[endpoint.into()])?;
        Ok(Counts {
            waiting: row.int(0)?.cast_unsigned(),
            dead: dead.first().ok_or(Error::Unknown)?.int(0)?.cast_unsigned(),
            oldest: Timestamp(row.int(1)?),
        })
    }

    /// Deliveries of an endpoint in a state, with numbers below `before`, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn deliveries(
        db: &mut dyn Any,
        endpoint: i64,
        state: State,
        before: i64,
        limit: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let sql =
            "SELECT d.id, d.message_id, m.kind, d.state, d.created, d.due, d.attempts, d.ended,
                       d.status, d.outcome
                   FROM webhook_deliveries AS d JOIN webhook_messages AS m ON m.id = d.message_id
                   WHERE d.webhook_id = $1 AND d.state = $2 AND d.id < $3
                   ORDER BY d.id DESC LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [endpoint.into(), state.name().into(), before.into(), limit.into()];
        let delivery = |row: &AnyRow| {
            Ok(Delivery {
                id: row.int(0)?,
                message: row.text(1)?.to_owned(),
                kind: row.text(2)?.to_owned(),
                state: row.text(3)?.to_owned(),
                created: Timestamp(row.int(4)?),
                due: Timestamp(row.int(5)?),
                attempts: row.int(6)?,
                ended: Timestamp(row.int(7)?),
                status: row.int(8)?,
                outcome: row.text(9)?.to_owned(),
            })
        };
        db.query(sql, &values)?.iter().map(delivery).collect()
    }

    /// Forgets what ended long ago; how much.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tidy(db: &mut dyn Any, how: &Tidy, now: Timestamp) -> Result<u64, Error> {
        let limit = Value::Int(i64::try_from(how.limit).unwrap_or(i64::MAX));
        let mut gone = 0;
        for (state, keep) in [(State::Delivered, how.delivered), (State::Dead, how.dead)] {
            let sql = "DELETE FROM webhook_deliveries WHERE id IN
                       (SELECT id FROM webhook_deliveries WHERE state = $1 AND ended < $2 LIMIT $3)";
            let before = now.saturating_sub(keep).0;
            gone += db.execute(sql, &[state.name().into(), before.into(), limit.clone()])?;
        }
        let sql = "DELETE FROM webhook_messages WHERE id IN
                   (SELECT m.id FROM webhook_messages AS m WHERE m.created < $1 AND NOT EXISTS
                       (SELECT 1 FROM webhook_deliveries AS d WHERE d.message_id = m.id) LIMIT $2)";
        let before = now.saturating_sub(how.delivered).0;
        Ok(gone + db.execute(sql, &[before.into(), limit])?)
    }
}

/// Puts a message into the queue of one endpoint, or, where that is full, among the dead; false where
/// it is there already.
fn deliver(
    db: &mut dyn Any,
    endpoint: i64,
    m: &Message,
    now: Timestamp,
    full: bool,
) -> Result<bool, Error> {
    let sql = "INSERT INTO webhook_messages (id, kind, created, body) VALUES ($1, $2, $3, $4)
               ON CONFLICT (id) DO NOTHING";
    let (id, kind) = (m.id.as_str(), m.kind.name());
    db.execute(sql, &[id.into(), kind.into(), now.0.into(), m.body.as_str().into()])?;
    let sql =
        "INSERT INTO webhook_deliveries (webhook_id, message_id, state, created, due, attempts,
                   ended, status, outcome)
               VALUES ($1, $2, $3, $4, $4, 0, $5, 0, $6)
               ON CONFLICT (webhook_id, message_id) DO NOTHING";
    let (state, ended, outcome) = match full {
        true => (State::Dead, now.0, "queue_full"),
        false => (State::Waiting, 0, ""),
    };
    let values: [Value; 6] = [
        endpoint.into(),
        id.into(),
        state.name().into(),
        now.0.into(),
        ended.into(),
        outcome.into(),
    ];
    Ok(db.execute(sql, &values)? > 0)
}

fn words(kinds: &[Kind]) -> String {
    match kinds {
        [] => "*".to_owned(),
        kinds => kinds.iter().map(|k| k.name()).collect::<Vec<_>>().join(" "),
    }
}

fn endpoint(row: &AnyRow) -> Result<Endpoint, Error> {
    let kinds = row.text(2)?;
    // A newer build's words are passed over; nothing that was not asked for is sent.
    let mut known: Vec<Kind> = kinds.split(' ').filter_map(Kind::from_name).collect();
    if kinds != "*" && known.is_empty() {
        known.push(Kind::Test);
    }
    let before = row.bytes(9)?;
    Ok(Endpoint {
        id: row.int(0)?,
        url: row.text(1)?.to_owned(),
        kinds: known,
        enabled: row.text(3)? == "enabled",
        why: row.text(4)?.to_owned(),
        note: row.text(5)?.to_owned(),
        created: Timestamp(row.int(6)?),
        actor: row.text(7)?.to_owned(),
        salt: row.bytes(8)?.to_vec(),
        before: (!before.is_empty()).then_some((before.to_vec(), Timestamp(row.int(10)?))),
    })
}
