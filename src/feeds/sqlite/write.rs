//! Writing an event and what belongs to it.

use rusqlite::{Transaction, params};

use crate::{
    feeds::{
        Error,
        store::{Body, Event, Judgement, NewVersion, Rejection},
    },
    links::OutboxRow,
};

pub(super) fn promise(tx: &Transaction<'_>, node: &str, record: &OutboxRow) -> Result<(), Error> {
    let sql = "INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.prepare_cached(sql)?.execute(params![
        node,
        record.lane.0.cast_signed(),
        record.seq.cast_signed(),
        record.schema.0,
        record.bytes
    ])?;
    Ok(())
}

pub(super) fn event(tx: &Transaction<'_>, e: &Event) -> Result<u64, Error> {
    let sql = "INSERT INTO events (ts, node, actor, kind, feed, version, subject, reason, detail)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    tx.prepare_cached(sql)?.execute(params![
        e.ts.0,
        e.node,
        e.actor,
        e.kind.name(),
        e.feed,
        e.version,
        e.subject,
        e.reason,
        e.detail
    ])?;
    Ok(tx.last_insert_rowid().cast_unsigned())
}

pub(super) fn body(tx: &Transaction<'_>, id: u64, e: &Event, body: Body<'_>) -> Result<(), Error> {
    match body {
        Body::None => {}
        Body::Spec(spec) => {
            let sql = "INSERT INTO specs VALUES (?1, ?2, ?3)";
            tx.execute(sql, params![id, e.feed, spec])?;
        }
        Body::Version(arrived) => version(tx, id, e, arrived)?,
        Body::Judgement(judgement, rejections) => judged(tx, id, e, judgement, rejections)?,
        Body::OwnRule(rule) => {
            let sql = "INSERT INTO own_rules VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let (until, confirmed) = (rule.expires.0, rule.expires_confirmed.0);
            let order = (&rule.authority, &rule.order_number);
            tx.execute(
                sql,
                params![
                    id,
                    e.feed,
                    e.subject,
                    rule.owner,
                    order.0,
                    order.1,
                    until,
                    confirmed,
                    rule.person
                ],
            )?;
        }
        Body::Confirmed(rule) => step(tx, id, rule, "confirmed")?,
        Body::Ended(rule) => step(tx, id, rule, "ended")?,
        Body::Appeal { feed, claimant } => {
            let sql = "INSERT INTO appeals VALUES (?1, ?2, ?3, ?4)";
            tx.execute(sql, params![id, feed, e.subject, claimant])?;
        }
        Body::AppealStep(appeal, status) => {
            let sql = "INSERT INTO appeal_steps VALUES (?1, ?2, ?3)";
            tx.execute(sql, params![id, appeal, status.name()])?;
        }
    }
    Ok(())
}

fn version(tx: &Transaction<'_>, id: u64, e: &Event, v: &NewVersion) -> Result<(), Error> {
    let sql = "INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let received = v.received_at.0;
    tx.execute(
        sql,
        params![e.feed, e.version, id, v.digest, v.bytes, received, v.source, v.signer],
    )?;
    Ok(())
}

fn judged(
    tx: &Transaction<'_>,
    id: u64,
    e: &Event,
    j: &Judgement,
    rejections: &[Rejection],
) -> Result<(), Error> {
    let sql = "INSERT INTO judgements VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let counts = (j.duplicates, j.conflicts, j.not_evaluable);
    tx.execute(
        sql,
        params![
            e.feed, e.version, id, j.accepted, j.rejected, counts.0, counts.1, counts.2, j.findings
        ],
    )?;
    let mut insert = tx.prepare_cached("INSERT INTO rejections VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for r in rejections {
        insert.execute(params![e.feed, e.version, r.line, r.code, r.reason, r.text])?;
    }
    Ok(())
}

fn step(tx: &Transaction<'_>, id: u64, rule: u64, step: &str) -> Result<(), Error> {
    let sql = "INSERT INTO own_rule_steps VALUES (?1, ?2, ?3)";
    tx.execute(sql, params![id, rule, step])?;
    Ok(())
}
