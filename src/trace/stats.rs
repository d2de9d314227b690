//! What became of a link: visits and clients by outcome, tier, kind of client, referrer, hour and
//! day, counted in the store.
//!
//! Nothing here names a client; but it is read from records, so that whoever asks is recorded.
//! Clients are counted by what is kept of their addresses, about: from some ten thousand on the
//! number is an estimate, off by a percent.

use schemars::JsonSchema;
use serde::Serialize;

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

/// What became of a link.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LinkStats")]
pub struct LinkStats<'a, S> {
    /// The link's code.
    code: &'a str,
    /// What the control state says of the link.
    #[serde(flatten)]
    standing: Option<S>,
    #[serde(flatten)]
    coverage: Coverage,
    /// Requests for the link in the window, whatever came of them.
    visits: u64,
    /// How many clients made them, about.
    clients: u64,
    /// By what came of them and the tier shown, the largest first.
    outcomes: Vec<ByOutcome>,
    /// By kind of client, the largest first.
    classes: Vec<ByClass>,
    /// By the site that visitors came from, the largest first; at most 100.
    referrers: Vec<ByReferrer>,
    /// By hour, oldest first; the newest 8,784.
    hours: Vec<ByHour>,
    /// By day, oldest first; the newest 3,660.
    days: Vec<ByDay>,
}

/// How many.
#[derive(Serialize, JsonSchema)]
struct Visits {
    /// Requests.
    visits: u64,
    /// Clients, about.
    clients: u64,
}

/// Visits of one outcome and tier.
#[derive(Serialize, JsonSchema)]
struct ByOutcome {
    /// What came of them: `jumped`, or why not.
    outcome: String,
    /// The tier; empty for none.
    tier: String,
    #[serde(flatten)]
    visits: Visits,
}

/// Visits of one kind of client.
#[derive(Serialize, JsonSchema)]
struct ByClass {
    /// `person`, or what else they say they are.
    client_class: String,
    #[serde(flatten)]
    visits: Visits,
}

/// Visits from one site.
#[derive(Serialize, JsonSchema)]
struct ByReferrer {
    /// The site's host; empty where the visitor did not say.
    referrer_host: String,
    #[serde(flatten)]
    visits: Visits,
}

/// Visits of one hour.
#[derive(Serialize, JsonSchema)]
struct ByHour {
    /// Its beginning, in UTC.
    #[schemars(extend("format" = "date-time"))]
    hour: String,
    #[serde(flatten)]
    visits: Visits,
}

/// Visits of one day.
#[derive(Serialize, JsonSchema)]
struct ByDay {
    /// In UTC.
    #[schemars(extend("format" = "date"))]
    day: String,
    #[serde(flatten)]
    visits: Visits,
}

impl Tracer {
    /// Counts the visits of the link `code` in a window, as JSON, recorded before it is returned.
    /// `standing` is what the control state says of the link.
    ///
    /// # Errors
    /// As [`Tracer::page`].
    pub async fn link_stats<S: Serialize>(
        &self,
        look: &Look,
        code: &str,
        (from, to): (Option<&str>, Option<&str>),
        standing: Option<S>,
    ) -> Result<Vec<u8>, Error> {
        let asked = Asked { text: code, kind: Some("link_stats"), from, to, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let counted = match look.sight() {
            Ok(_) => self.counted_link(code, (from, to), standing).await,
            Err(e) => Err(e),
        };
        self.finish(begun, counted).await
    }

    async fn counted_link<S: Serialize>(
        &self,
        code: &str,
        (from, to): (Option<&str>, Option<&str>),
        standing: Option<S>,
    ) -> Result<(Vec<u8>, u64), Error> {
        let code = capped(code, TEXT_BYTES_MAX);
        let window = Window::parse(from, to, self.parts().clock.now())?;
        let _permit = self.permit()?;
        let reader = self.reader();
        let ask = Ask { reader, code, window };
        let through = coverage::through(reader, self.local()).await?;
        let (visits, clients) = ask.all().await?;
        let page = LinkStats {
            code,
            standing,
            visits,
            clients,
            outcomes: ask
                .by(["outcome", "tier"], |[outcome, tier], visits| ByOutcome {
                    outcome,
                    tier,
                    visits,
                })
                .await?,
            classes: ask
                .by(["client_class"], |[client_class], visits| ByClass { client_class, visits })
                .await?,
            referrers: ask
                .by(["referrer_host"], |[referrer_host], visits| ByReferrer {
                    referrer_host,
                    visits,
                })
                .await?,
            hours: ask.over(HOUR, HOURS_MAX, |[hour], visits| ByHour { hour, visits }).await?,
            days: ask.over(DAY, DAYS_MAX, |[day], visits| ByDay { day, visits }).await?,
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
    async fn by<T, const N: usize>(
        &self,
        columns: [&str; N],
        row: impl Fn([String; N], Visits) -> T,
    ) -> Result<Vec<T>, Error> {
        let group = columns.join(", ");
        let rest = format!("GROUP BY {group} ORDER BY n DESC, {group} LIMIT {GROUPS_MAX}");
        let bytes = self.read(&format!("{group}, "), &rest).await?;
        rows(&bytes, row).map_err(|_| Error::Malformed)
    }

    /// By a stretch of time, the newest `rows_max`, oldest first.
    async fn over<T>(
        &self,
        stretch: &str,
        rows_max: usize,
        row: impl Fn([String; 1], Visits) -> T,
    ) -> Result<Vec<T>, Error> {
        let rest = format!("GROUP BY at ORDER BY at DESC LIMIT {rows_max}");
        let bytes = self.read(&format!("{stretch} AS at, "), &rest).await?;
        let mut rows = rows(&bytes, row).map_err(|_| Error::Malformed)?;
        rows.reverse();
        Ok(rows)
    }
}

fn rows<T, const N: usize>(
    bytes: &[u8],
    row: impl Fn([String; N], Visits) -> T,
) -> Result<Vec<T>, Truncated> {
    let mut input = rowbinary::Reader(bytes);
    let mut rows = Vec::new();
    while !input.is_empty() {
        let mut words = [const { String::new() }; N];
        for word in &mut words {
            *word = String::from_utf8_lossy(input.bytes()?).into_owned();
        }
        let visits = Visits { visits: input.u64()?, clients: input.u64()? };
        rows.push(row(words, visits));
    }
    Ok(rows)
}
