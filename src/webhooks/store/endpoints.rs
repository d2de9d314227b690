//! Endpoints, and what was done to each.

use super::{Endpoint, NewEndpoint, Store};
use crate::{
    clock::Timestamp,
    links::Error,
    sql::{Any, AnyRow, Value},
    webhooks::Kind,
};

const ENDPOINT: &str = "SELECT id, url, kinds, state, why, note, created, actor, salt, salt_before,
    before_until FROM webhooks";

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
