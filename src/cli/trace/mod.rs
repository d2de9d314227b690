//! `trace`: one question, its chain of records.

mod text;

use std::io::Write;

use clap::Args;
use http::Method;
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;
use text::Printer;

use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    progress::busy,
};
use crate::escape;

/// Ask for the chain of records behind a link, a name, an address or a record.
#[derive(Clone, Debug, Args)]
pub(super) struct Trace {
    /// What is asked: a record id, URL, code, address or domain.
    #[arg(value_name = "Q", allow_hyphen_values = true)]
    pub question: String,
    /// What kind of question it is: record, url, link, address, domain or client.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// The beginning: RFC 3339, a date, or a span before now such as -2h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// The end.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// The case number; columns about persons need it.
    #[arg(long = "case", value_name = "NUMBER")]
    pub case_number: Option<String>,
    /// What it is for; columns about persons need it.
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
    /// The time zone of text: UTC, local, an IANA name, or an offset such as +08:00.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone,
        allow_hyphen_values = true)]
    pub tz: TimeZone,
    /// At most this many records.
    #[arg(long, value_name = "N", conflicts_with = "all",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Every page, not only the first.
    #[arg(long)]
    pub all: bool,
    /// Where to go on: `next_cursor` of a page of the same question.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

impl Trace {
    /// Asks and prints.
    ///
    /// # Errors
    /// When there is no server, or it gives no answer.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        block_on(async {
            match global.format() {
                Format::Json => self.json(&api).await,
                Format::Text => self.text(&api).await,
            }
        })?;
        Ok(Exit::Ok)
    }

    async fn text(&self, api: &Api) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let mut printer = Printer::new(self.tz.clone());
        let mut pages = Pages::new(self);
        while let Some(page) = pages.next(api).await? {
            if pages.first {
                out.write_all(printer.heading(&page).as_bytes())?;
            }
            for record in page["records"].as_array().into_iter().flatten() {
                out.write_all(printer.record(record).as_bytes())?;
            }
            if pages.last() {
                out.write_all(printer.ending(&page).as_bytes())?;
            }
        }
        Ok(out.flush()?)
    }

    /// One document whatever the number of pages, written as it comes.
    async fn json(&self, api: &Api) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let mut pages = Pages::new(self);
        let mut comma = "";
        while let Some(mut page) = pages.next(api).await? {
            let records = page["records"].take();
            let next = page["next_cursor"].take();
            if let Some(head) = page.as_object_mut().filter(|_| pages.first) {
                head.retain(|name, _| name != "records" && name != "next_cursor");
                let head = serde_json::to_string(&page)?;
                let head = head.strip_suffix('}').unwrap_or(&head);
                write!(out, "{},\"records\":[", escape::json(head))?;
            }
            for record in records.as_array().into_iter().flatten() {
                write!(out, "{comma}{}", escape::json(&serde_json::to_string(record)?))?;
                comma = ",";
            }
            if pages.last() {
                writeln!(out, "],\"next_cursor\":{next}}}")?;
            }
        }
        Ok(out.flush()?)
    }
}

/// The pages of one answer, as many as were asked for.
struct Pages<'a> {
    ask: &'a Trace,
    cursor: Option<String>,
    left: Option<u32>,
    first: bool,
    done: bool,
}

impl<'a> Pages<'a> {
    fn new(ask: &'a Trace) -> Self {
        Self { ask, cursor: ask.cursor.clone(), left: ask.limit, first: false, done: false }
    }

    /// The next page, if one is wanted. `first` and `last` speak of the page given last.
    async fn next(&mut self, api: &Api) -> anyhow::Result<Option<Value>> {
        if self.done {
            return Ok(None);
        }
        let page = busy("asking 查询中", self.ask(api)).await?;
        self.first = self.cursor == self.ask.cursor;
        self.cursor = page["next_cursor"].as_str().map(str::to_owned);
        let rows = page["records"].as_array().map_or(0, Vec::len);
        self.left = self.left.map(|n| n.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX)));
        let more = self.ask.all || self.left.is_some_and(|n| n > 0);
        self.done = self.cursor.is_none() || !more;
        Ok(Some(page))
    }

    const fn last(&self) -> bool {
        self.done
    }

    async fn ask(&self, api: &Api) -> anyhow::Result<Value> {
        let ask = self.ask;
        let limit = self.left.map(|n| n.to_string());
        let given = [
            ("kind", &ask.kind),
            ("from", &ask.from),
            ("to", &ask.to),
            ("case", &ask.case_number),
            ("purpose", &ask.purpose),
            ("limit", &limit),
            ("cursor", &self.cursor),
        ];
        let mut query = vec![("q", ask.question.as_str())];
        query.extend(given.iter().filter_map(|(name, v)| Some((*name, v.as_deref()?))));
        api.json(Method::GET, &["api", "v1", "trace"], &query, None).await
    }
}

/// A zone by the name a person gives it.
pub(super) fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    match name {
        "UTC" | "utc" | "Z" => Ok(TimeZone::UTC),
        "local" => Ok(TimeZone::system()),
        _ => offset(name)
            .map(TimeZone::fixed)
            .map_or_else(|| TimeZone::get(name).map_err(|_| UnknownZone), Ok),
    }
}

fn offset(text: &str) -> Option<Offset> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "0"));
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let good = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    good.then(|| Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok())?
}

/// No such time zone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("use UTC, local, an IANA name such as Asia/Shanghai, or an offset such as +08:00")]
pub(super) struct UnknownZone;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_names_and_offsets() {
        assert_eq!(zone("UTC").unwrap(), TimeZone::UTC);
        for (text, seconds) in [("+08:00", 28_800), ("-3", -10_800), ("+05:45", 20_700)] {
            let at = Offset::from_seconds(seconds).unwrap();
            assert_eq!(zone(text).unwrap(), TimeZone::fixed(at), "{text}");
        }
        for bad in ["", "+", "+99:00", "+08:60", "Nowhere/Nothing", "+-1:00"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }
}
