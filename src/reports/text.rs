//! SQL that both databases read alike: parameters are numbered in the order in which they first
//! appear, which SQLite counts as names and PostgreSQL as places.

/// The columns that [`super::sqlite`] and [`super::postgres`] read as a report, in this order.
macro_rules! report {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.number, r.secret, r.received, r.due, r.category, r.kind, r.subject, ",
            "r.code, r.registrable_domain, r.psl_version, r.flow, r.feed, r.appeal_node, r.appeal ",
            "FROM reports AS r ",
            $rest
        )
    };
}

pub(super) const ADD: &str = "INSERT INTO reports (number, secret, received, due, category, kind,
    subject, code, registrable_domain, psl_version, flow, feed, appeal_node, appeal)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id";
pub(super) const ADD_PERSON: &str = "INSERT INTO report_persons VALUES ($1, $2, $3, $4, $5)";
pub(super) const ADD_OPEN: &str = "INSERT INTO report_open VALUES ($1, $2)";
pub(super) const STEPS_OF: &str = "SELECT count(*) FROM report_steps WHERE report_id = $1";
pub(super) const ADD_STEP: &str =
    "INSERT INTO report_steps VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
pub(super) const CLOSE: &str = "DELETE FROM report_open WHERE report_id = $1";
pub(super) const PROMISE: &str = "INSERT INTO report_outbox VALUES ($1, $2, $3, $4, $5)";
pub(super) const FORGET: &str =
    "DELETE FROM report_outbox WHERE node = $1 AND lane = $2 AND seq = $3";
pub(super) const OUTBOX: &str = "SELECT lane, seq, schema, bytes FROM report_outbox WHERE node = $1 \
     ORDER BY lane, seq";
pub(super) const FIND: &str = report!("WHERE r.number = $1");
pub(super) const OF_APPEAL: &str =
    report!("WHERE r.appeal_node = $1 AND r.appeal = $2 AND r.appeal > 0 ORDER BY r.id LIMIT 1");
pub(super) const LIST: &str = report!("WHERE r.id < $1 ORDER BY r.id DESC LIMIT $2");
pub(super) const LIST_OPEN: &str = report!(
    "JOIN report_open AS o ON o.report_id = r.id WHERE r.id < $1 AND o.due < $2
     ORDER BY r.id DESC LIMIT $3"
);
pub(super) const STEPS: &str = "SELECT ts, event, decision, act, reason, answer, actor \
     FROM report_steps WHERE report_id = $1 ORDER BY step";
pub(super) const BY_ID: &str = report!("WHERE r.id = $1");
pub(super) const UNTOLD: &str =
    "SELECT id, report_id, step FROM report_untold ORDER BY id LIMIT $1";
pub(super) const TOLD: &str = "DELETE FROM report_untold WHERE id = $1";
pub(super) const PERSON: &str =
    "SELECT contact, text, client, client_port FROM report_persons WHERE report_id = $1";
pub(super) const OPEN: &str = "SELECT count(*), coalesce(min(due), 0) FROM report_open";
pub(super) const OVERDUE: &str = "SELECT count(*) FROM report_open WHERE due < $1";
