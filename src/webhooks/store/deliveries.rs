//! Messages and their deliveries: put into the queue, taken out of it, ended, sent again, forgotten.

use super::{Claimed, Counts, Delivery, Ended, State, Store, Tidy};
use crate::{
    clock::Timestamp,
    links::Error,
    sql::{Any, AnyRow, Value},
    webhooks::{Endpoint, Intake, Message},
};

impl Store {
    /// The queue, to put messages into within this transaction.
    pub(in crate::webhooks) fn queue(db: &mut dyn Any, how: &Intake) -> Result<Self, Error> {
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
    pub(in crate::webhooks) fn put_message(
        &mut self,
        db: &mut dyn Any,
        m: &Message,
    ) -> Result<(), Error> {
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
