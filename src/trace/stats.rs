//! What became of a link: visits and clients by outcome, tier, kind of client, referrer, hour and
//! day, counted in the store.
//!
//! Nothing here names a client; but it is read from records, so that whoever asks is recorded.
//! Clients are counted by what is kept of their addresses, about: from some ten thousand on the
//! number is an estimate, off by a percent.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Error, Look, TEXT_BYTES_MAX, Tracer, Window,
    access::{Asked, Begun},
    coverage::{self, Coverage},
    query::{Statement, before, micros, since, text},
    reader::Reader,
};
use crate::record::{
    Table, capped,
    rowbinary::{self, Truncated},
};

/// Hours shown at most, the newest: a year.
const HOURS_MAX: usize = 8_784;

/// Days shown at most, the newest.
const DAYS_MAX: usize = 3_660;

/// Groups of any other kind shown at most, the largest.
const GROUPS_MAX: usize = 100;

const HOUR: &str = "formatDateTime(toStartOfHour(ts, 'UTC'), '%Y-%m-%dT%H:00:00Z')";
const DAY: &str = "toString(toDate(ts, 'UTC'))";

#[derive(Serialize)]
struct Page<'a> {
    code: &'a str,
    /// What the control state says of the link.
    #[serde(flatten)]
    standing: Map<String, Value>,
    #[serde(flatten)]
    coverage: Coverage,
    /// Requests for the link, whatever came of them, and how many clients made them.
    visits: u64,
    clients: u64,
    outcomes: Vec<Value>,
    classes: Vec<Value>,
    referrers: Vec<Value>,
    hours: Vec<Value>,
    days: Vec<Value>,
}

impl Tracer {
    /// Counts the visits of the link `code` in a window, as JSON, recorded before it is returned.
    /// `standing` is what the control state says of the link.
    ///
    /// # Errors
    /// As [`Tracer::page`].
    pub async fn link_stats(
        &self,
        look: &Look,
        code: &str,
        (from, to): (Option<&str>, Option<&str>),
        standing: Map<String, Value>,
    ) -> Result<Vec<u8>, Error> {
        let asked = Asked { text: code, kind: Some("link_stats"), from, to, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let counted = match look.sight() {
            Ok(_) => self.counted_link(code, (from, to), standing).await,
            Err(e) => Err(e),
        };
        self.finish(begun, counted).await
    }

    async fn counted_link(
        &self,
        code: &str,
        (from, to): (Option<&str>, Option<&str>),
        standing: Map<String, Value>,
    ) -> Result<(Vec<u8>, u64), Error> {
        let code = capped(code, TEXT_BYTES_MAX);
        let window = Window::parse(from, to, self.parts().clock.now())?;
        let _permit = self.permit()?;
        let reader = self.reader();
        let ask = Ask { reader, code, window };
        let through = coverage::through(reader, self.local()).await?;
        let (visits, clients) = ask.all().await?;
        let page = Page {
            code,
            standing,
            visits,
            clients,
            outcomes: ask.by(&[("outcome", "outcome"), ("tier", "tier")], GROUPS_MAX).await?,
            classes: ask.by(&[("client_class", "client_class")], GROUPS_MAX).await?,
            referrers: ask.by(&[("referrer_host", "referrer_host")], GROUPS_MAX).await?,
            hours: ask.over("hour", HOUR, HOURS_MAX).await?,
            days: ask.over("day", DAY, DAYS_MAX).await?,
            coverage: coverage::of_streams(reader, &[Table::Jumps], window, through).await?,
        };
        let page = serde_json::to_vec(&page).map_err(|_| Error::Malformed)?;
        Ok((page, visits))
    }
}

struct Ask<'a> {
    reader: &'a Reader,
    code: &'a str,
    window: Window,
}

impl Ask<'_> {
    async fn read(&self, columns: &str, rest: &str) -> Result<Vec<u8>, Error> {
        let (from, to) = (since("ts", "from"), before("ts", "to"));
        let sql = format!(
            "SELECT {columns} count() AS n, uniq(client) FROM jumps
             WHERE code = {{code:String}} AND {from} AND {to} {rest}"
        );
        let params = vec![
            text("code", self.code),
            micros("from", self.window.from),
            micros("to", self.window.to),
        ];
        let (bytes, whole) = self.reader.bytes(Statement { sql, params }).await?;
        if whole { Ok(bytes) } else { Err(Error::Limit(super::Limit::Rows)) }
    }

    async fn all(&self) -> Result<(u64, u64), Error> {
        let bytes = self.read("", "").await?;
        let mut input = rowbinary::Reader(&bytes);
        Ok((input.u64()?, input.u64()?))
    }

    /// By columns, the largest groups first.
    async fn by(&self, columns: &[(&str, &str)], rows_max: usize) -> Result<Vec<Value>, Error> {
        let named: String = columns.iter().map(|(_, column)| format!("{column}, ")).collect();
        let group = named.trim_end_matches(", ");
        let rest = format!("GROUP BY {group} ORDER BY n DESC, {group} LIMIT {rows_max}");
        let bytes = self.read(&named, &rest).await?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        rows(&names, &bytes).map_err(|_| Error::Malformed)
    }

    /// By a stretch of time, the newest `rows_max`, oldest first.
    async fn over(&self, name: &str, stretch: &str, rows_max: usize) -> Result<Vec<Value>, Error> {
        let rest = format!("GROUP BY at ORDER BY at DESC LIMIT {rows_max}");
        let bytes = self.read(&format!("{stretch} AS at, "), &rest).await?;
        let mut rows = rows(&[name], &bytes).map_err(|_| Error::Malformed)?;
        rows.reverse();
        Ok(rows)
    }
}

fn rows(names: &[&str], bytes: &[u8]) -> Result<Vec<Value>, Truncated> {
    let mut input = rowbinary::Reader(bytes);
    let mut rows = Vec::new();
    while !input.is_empty() {
        let mut row = Map::new();
        for name in names {
            let value = String::from_utf8_lossy(input.bytes()?).into_owned();
            row.insert((*name).to_owned(), value.into());
        }
        row.insert("visits".to_owned(), json!(input.u64()?));
        row.insert("clients".to_owned(), json!(input.u64()?));
        rows.push(Value::Object(row));
    }
    Ok(rows)
}
