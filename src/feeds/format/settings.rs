//! A feed's settings as what its parser is told.

use std::sync::Arc;

use super::{Column, Encoding, Format, Options, Origin, TableOptions, utc_offset};
use crate::{
    config,
    feeds::FeedSpec,
    name::Name,
    policy::{Action, ContentClass, Legal},
};

/// A setting that means nothing to its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadOption {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub why: &'static str,
}

fn bad(key: impl Into<String>, why: &'static str) -> BadOption {
    BadOption { key: key.into(), why }
}

impl Options {
    /// How a feed's list is read. Its manifest is not among it: it has to be fetched first.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn of(spec: &FeedSpec, limits: &config::Feeds) -> Result<Self, BadOption> {
        let o = &spec.options;
        Format::from_name(&spec.format)
            .ok_or_else(|| bad("format", "there is none of this name"))?;
        let name = |key: &str, text: &str| {
            Name::from_text(text).map(|n| n.lower()).map_err(|_| bad(key, "not a domain name"))
        };
        let origin = match o.origin.as_str() {
            "" => Origin::Feed(name("name", &spec.name)?),
            given => Origin::Given(name("options.origin", given)?),
        };
        let encoding = match o.encoding.as_str() {
            "" | "auto" => Encoding::Auto,
            "utf-8" => Encoding::Utf8,
            "gb18030" => Encoding::Gb18030,
            _ => return Err(bad("options.encoding", "none of auto, utf-8, gb18030")),
        };
        let offset = utc_offset(&o.utc_offset)
            .ok_or_else(|| bad("options.utc_offset", "not an offset such as +08:00"))?;
        Ok(Self {
            origin,
            legal: Arc::new(legal(spec)),
            // What the feed's rules do whatever the list says is decided with them in force.
            action: Action::Nxdomain,
            encoding,
            line_bytes_max: limits.line_bytes_max,
            ttl_max_s: limits.ttl_max_s,
            ttl_s: limits.ttl_s,
            field_bytes_max: limits.note_bytes_max,
            utc_offset_s: offset,
            manifest: None,
            table: table(spec)?,
            workbook_bytes_max: limits.workbook_bytes_max,
            workbook_unpacked_bytes_max: limits.workbook_unpacked_bytes_max,
        })
    }
}

/// What the feed says of all its rules.
fn legal(spec: &FeedSpec) -> Legal {
    Legal {
        authority: spec.authority.as_str().into(),
        order_number: spec.order_number.as_str().into(),
        content_class: ContentClass::find(&spec.content_class).map_or("", |c| c.code).into(),
        ..Legal::default()
    }
}

fn table(spec: &FeedSpec) -> Result<TableOptions, BadOption> {
    let o = &spec.options;
    let column = |(word, place): (&String, &String)| {
        let why = "no field of a rule: subject, name, url, address, client, nsdname, nsip, code, trigger, action, or one of the law's";
        let column = Column::from_name(word);
        let column = column.ok_or_else(|| bad(format!("options.columns.{word}"), why))?;
        Ok((column, place.clone()))
    };
    Ok(TableOptions {
        columns: o.columns.iter().map(column).collect::<Result<_, BadOption>>()?,
        sheet: o.sheet.clone(),
        header_row: o.header_row,
        delimiter: o.delimiter.bytes().next(),
    })
}
