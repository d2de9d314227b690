//! What a feed's rules did: hits by version, rule and order, counted in the store.
//!
//! Nothing here is about a person; but it is read from records, so that whoever asks is recorded.

use serde_json::Value;

use super::{
    Error, Limit, Look, Tracer, Window,
    access::{Asked, Begun},
    coverage,
    query::{Param, Statement, micros, since, text},
    reader::Reader,
};
use crate::{
    clock::Timestamp,
    record::{
        Table,
        rowbinary::{self, Truncated},
    },
};

/// The tables whose gaps could hide something here.
const STREAMS: [Table; 3] = [Table::Rules, Table::Resolutions, Table::Jumps];

/// What a feed did.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Node → time through which everything is counted.
    pub complete_through: Value,
    /// What could not be kept since then.
    pub gaps: Value,
    /// By version and by what was done.
    pub versions: Vec<VersionHits>,
    /// The rules hit most often, by version and by what was done.
    pub rules: Vec<RuleHit>,
    /// The orders behind the rules.
    pub orders: Vec<OrderRules>,
    /// Hits by order and by what was done.
    pub order_hits: Vec<OrderHits>,
    /// Whether there are more rules that were hit, or more orders.
    pub more: bool,
}

/// Hits of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHits {
    /// Whether they are of jumps, else of resolutions.
    pub jumps: bool,
    /// The version.
    pub version: String,
    /// What was done.
    pub action: String,
    /// How often.
    pub count: u64,
}

/// Hits of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHit {
    /// Whether they are of jumps, else of resolutions.
    pub jumps: bool,
    /// The version.
    pub version: String,
    /// The rule.
    pub rule: String,
    /// What was done.
    pub action: String,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

/// The rules that one order made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRules {
    /// Who ordered.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
    /// The class of content.
    pub content_class: String,
    /// The first version that has one of them.
    pub version: u64,
    /// How many.
    pub rules: u64,
    /// By when the first of them was due; [`Timestamp::ZERO`] for no date.
    pub due_at: Timestamp,
}

/// Hits of an order's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderHits {
    /// Who ordered.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
    /// Whether they are of jumps, else of resolutions.
    pub jumps: bool,
    /// What was done.
    pub action: String,
    /// How often.
    pub count: u64,
}

impl Tracer {
    /// Writes a report on `feed` from what its rules did since `from`, recorded before it is
    /// returned. `write` gets none where the store cannot be asked: the rest of a report is known
    /// without it.
    ///
    /// # Errors
    /// As [`Tracer::page`], and what `write` says.
    pub async fn report<E: From<Error>, W: Future<Output = Result<Vec<u8>, E>>>(
        &self,
        look: &Look,
        feed: &str,
        from: Timestamp,
        write: impl FnOnce(Option<Counted>) -> W,
    ) -> Result<Vec<u8>, E> {
        let asked = Asked { text: feed, kind: Some("feed"), from: None, to: None, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let counted = match look.sight() {
            Ok(_) => self.counted(feed, from).await,
            Err(e) => return Err(begun.unanswered(e).await.into()),
        };
        let counted = match counted {
            Ok(counted) => Some(counted),
            Err(Error::Store { code, name }) => {
                tracing::warn!(code, name, "a report was written without hits");
                None
            }
            Err(e) => return Err(begun.unanswered(e).await.into()),
        };
        let rows = counted.as_ref().map_or(0, |c| c.versions.iter().map(|v| v.count).sum());
        match write(counted).await {
            Ok(page) => {
                let kept = self.finish(begun, Ok((page, rows))).await;
                kept.map_err(Into::into)
            }
            Err(e) => {
                // Dropped without an end, the look is recorded as failed.
                drop(begun);
                Err(e)
            }
        }
    }

    async fn counted(&self, feed: &str, from: Timestamp) -> Result<Counted, Error> {
        let _permit = self.permit()?;
        let (reader, limits) = (self.reader(), &self.parts().limits);
        let rows_max = u64::from(limits.page_rows_max);
        let ask = Ask { reader, feed, from, rows_max };
        let through = coverage::through(reader, self.local()).await?;
        let versions = ask.versions().await?;
        let (rules, more_rules) = ask.rules().await?;
        let (orders, more_orders) = ask.orders().await?;
        let (order_hits, more_hits) = ask.order_hits().await?;
        let window = Window { from, to: Window::ALL.to };
        let coverage = coverage::of_streams(reader, &STREAMS, window, through).await?;
        let json = |v: Result<Value, serde_json::Error>| v.map_err(|_| Error::Malformed);
        Ok(Counted {
            complete_through: json(serde_json::to_value(&coverage.complete_through))?,
            gaps: json(serde_json::to_value(&coverage.gaps))?,
            versions,
            rules,
            orders,
            order_hits,
            more: more_rules || more_orders || more_hits,
        })
    }
}

struct Ask<'a> {
    reader: &'a Reader,
    feed: &'a str,
    from: Timestamp,
    rows_max: u64,
}

/// One row of what each of both tables has of a feed.
fn hits(columns: &str, group: &str) -> String {
    let one = |jumps: u8, table: &str| {
        format!(
            "SELECT toUInt8({jumps}) AS jumps, {columns} FROM {table} \
             WHERE feed = {{feed:String}} AND {} GROUP BY {group}",
            since("ts", "from"),
        )
    };
    format!("{} UNION ALL {}", one(0, "resolutions"), one(1, "jumps"))
}

impl Ask<'_> {
    async fn versions(&self) -> Result<Vec<VersionHits>, Error> {
        let hits = hits(
            "feed_version, toString(action) AS action, count() AS times",
            "feed_version, action",
        );
        let sql = format!(
            "SELECT jumps, feed_version, action, times FROM ({hits}) \
             ORDER BY toUInt64OrZero(feed_version), jumps, action LIMIT {{rows_max:UInt64}}"
        );
        let row = |r: &mut rowbinary::Reader<'_>| {
            Ok(VersionHits {
                jumps: r.u8()? != 0,
                version: word(r)?,
                action: word(r)?,
                count: r.u64()?,
            })
        };
        match self.read(sql, row).await? {
            (rows, false) => Ok(rows),
            (_, true) => Err(Limit::Rows.into()),
        }
    }

    async fn rules(&self) -> Result<(Vec<RuleHit>, bool), Error> {
        let hits = hits(
            "feed_version, rule, toString(action) AS action, count() AS times, \
             min(ts) AS first, max(ts) AS last",
            "feed_version, rule, action",
        );
        let sql = format!(
            "SELECT jumps, feed_version, rule, action, times, first, last FROM ({hits}) \
             ORDER BY times DESC, rule, toUInt64OrZero(feed_version), jumps, action \
             LIMIT {{rows_max:UInt64}}"
        );
        let row = |r: &mut rowbinary::Reader<'_>| {
            Ok(RuleHit {
                jumps: r.u8()? != 0,
                version: word(r)?,
                rule: word(r)?,
                action: word(r)?,
                count: r.u64()?,
                first: r.ts()?,
                last: r.ts()?,
            })
        };
        self.read(sql, row).await
    }

    async fn orders(&self) -> Result<(Vec<OrderRules>, bool), Error> {
        let due = "JSONExtractString(legal, 'due_at')";
        let sql = format!(
            "SELECT authority, order_number, max(JSONExtractString(legal, 'content_class')), \
             min(toUInt64OrZero(version)) AS first, uniqExact(rule), minIf({due}, {due} != '') \
             FROM rules WHERE feed = {{feed:String}} AND rule != '' AND action != '{REMOVED}' \
             GROUP BY authority, order_number ORDER BY first, order_number \
             LIMIT {{rows_max:UInt64}}"
        );
        let row = |r: &mut rowbinary::Reader<'_>| {
            Ok(OrderRules {
                authority: word(r)?,
                order_number: word(r)?,
                content_class: word(r)?,
                version: r.u64()?,
                rules: r.u64()?,
                due_at: word(r)?.parse().unwrap_or_default(),
            })
        };
        self.read(sql, row).await
    }

    async fn order_hits(&self) -> Result<(Vec<OrderHits>, bool), Error> {
        let hits = hits("rule, toString(action) AS action, count() AS times", "rule, action");
        // Of each rule that was hit, the order that its newest row names.
        let sql = format!(
            "WITH hits AS ({hits}) \
             SELECT authority, order_number, jumps, hits.action AS done, sum(times) \
             FROM hits INNER JOIN (\
               SELECT rule, argMax(authority, (toUInt64OrZero(version), ts)) AS authority, \
               argMax(order_number, (toUInt64OrZero(version), ts)) AS order_number \
               FROM rules WHERE feed = {{feed:String}} AND rule != '' AND action != '{REMOVED}' \
               AND rule IN (SELECT rule FROM hits) GROUP BY rule\
             ) AS named ON hits.rule = named.rule \
             GROUP BY authority, order_number, jumps, done \
             ORDER BY authority, order_number, jumps, done LIMIT {{rows_max:UInt64}}"
        );
        let row = |r: &mut rowbinary::Reader<'_>| {
            Ok(OrderHits {
                authority: word(r)?,
                order_number: word(r)?,
                jumps: r.u8()? != 0,
                action: word(r)?,
                count: r.u64()?,
            })
        };
        self.read(sql, row).await
    }

    /// The rows, and whether there are more.
    async fn read<T>(
        &self,
        sql: String,
        row: impl Fn(&mut rowbinary::Reader<'_>) -> Result<T, Truncated>,
    ) -> Result<(Vec<T>, bool), Error> {
        let params = vec![
            text("feed", self.feed),
            micros("from", self.from),
            ("rows_max", Param::Unsigned(self.rows_max + 1)),
        ];
        let (bytes, whole) = self.reader.bytes(Statement { sql, params }).await?;
        let mut input = rowbinary::Reader(&bytes);
        let mut rows = Vec::new();
        while !input.is_empty() {
            match row(&mut input) {
                Ok(found) => rows.push(found),
                Err(Truncated) if !whole => break,
                Err(Truncated) => return Err(Error::Malformed),
            }
        }
        let more = !whole || rows.len() as u64 > self.rows_max;
        rows.truncate(usize::try_from(self.rows_max).unwrap_or(usize::MAX));
        Ok((rows, more))
    }
}

/// The action of a row that says a rule is gone.
const REMOVED: &str = "removed";

fn word(r: &mut rowbinary::Reader<'_>) -> Result<String, Truncated> {
    Ok(String::from_utf8_lossy(r.bytes()?).into_owned())
}
