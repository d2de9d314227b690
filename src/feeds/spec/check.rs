//! What the types cannot say of a feed's settings.

use std::{borrow::Cow, net::IpAddr, net::SocketAddr, path::Path, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{ALLOW, ActionOverride, Fault, FeedSpec, INSTANT, Location, SpecError, is_feed_name};
use crate::{config, feeds::format, name::Name, policy::ContentClass};

/// Every format's word.
pub(super) const FORMATS: &[&str] =
    &["rpz", "hosts", "domains", "csv", "xlsx", "jsonl", "adblock", "dnsmasq", "stix"];

const ENCODINGS: &[&str] = &["auto", "utf-8", "gb18030"];

/// The reasons for which a rule may be behind an answer (RFC 8914 §4).
const EDE_CODES: &[&str] = &["4", "15", "16", "17", "18"];

const ACTIONS: &[&str] =
    &["given", "observe", "nxdomain", "nodata", "passthru", "drop", "tcp-only", "cname:NAME"];

const CLASSES: &[&str] = &[
    "constitution",
    "state-security",
    "state-interest",
    "ethnic-hatred",
    "cult",
    "rumour",
    "vice-or-crime",
    "infringement",
    "other",
];

/// Columns, contacts and secondaries of one feed.
const ITEMS_MAX: usize = 64;

/// The longest time between two looks at a source, in seconds.
const REFRESH_S_MAX: u64 = 30 * 86_400;

/// The longest time that a feed's version may count unconfirmed, in seconds: ten years.
const STALE_AFTER_S_MAX: u64 = 10 * 366 * 86_400;

fn fail<T>(key: &str, fault: Fault) -> Result<T, SpecError> {
    Err(SpecError::new(key, fault))
}

fn ensure(good: bool, key: &str, fault: Fault) -> Result<(), SpecError> {
    if good { Ok(()) } else { fail(key, fault) }
}

fn is_name(text: &str) -> bool {
    Name::from_text(text).is_ok()
}

impl FeedSpec {
    pub(super) fn check(&self, limits: &config::Feeds) -> Result<(), SpecError> {
        ensure(is_feed_name(&self.name), "name", Fault::FeedName)?;
        ensure(![INSTANT, ALLOW].contains(&self.name.as_str()), "name", Fault::Reserved)?;
        ensure(FORMATS.contains(&self.format.as_str()), "format", Fault::NotOneOf(FORMATS))?;
        self.check_source(limits)?;
        self.check_options()?;
        self.check_texts(limits.note_bytes_max)?;
        self.check_numbers(limits)?;
        if let ActionOverride::Cname(name) = &self.action {
            let name = name.strip_prefix("*.").unwrap_or(name);
            ensure(is_name(name), "action", Fault::DomainName)?;
        }
        let code = self.ede.as_ref().map_or(15, |e| e.code).to_string();
        ensure(EDE_CODES.contains(&code.as_str()), "ede.code", Fault::NotOneOf(EDE_CODES))?;
        let class = &self.content_class;
        let known = class.is_empty() || ContentClass::find(class).is_some();
        ensure(known, "content_class", Fault::NotOneOf(CLASSES))?;
        self.check_share()
    }

    fn check_source(&self, limits: &config::Feeds) -> Result<(), SpecError> {
        let transfer = self.source.is_transfer();
        if let Location::Path(path) = &self.source {
            ensure(below_a_root(path, limits), "source", Fault::OutsideRoots)?;
        }
        let zone_text = !transfer || self.format == "rpz";
        ensure(zone_text, "format", Fault::NotOneOf(&["rpz"]))?;
        let of_verdicts = matches!(self.source, Location::Verdicts(_));
        let lines = !of_verdicts || self.format == "jsonl";
        ensure(lines, "format", Fault::NotOneOf(&["jsonl"]))?;
        let unsigned = self.tsig_key.is_empty();
        ensure(unsigned || transfer, "tsig_key", Fault::OnlyFor("axfr, ixfr, xot"))?;
        ensure(unsigned || is_name(&self.tsig_key), "tsig_key", Fault::DomainName)?;
        let https = matches!(self.source, Location::Https(_));
        ensure(self.ca_file.is_empty() || https, "ca_file", Fault::OnlyFor("https"))?;
        let authorities = Path::new(&self.ca_file);
        let inside = self.ca_file.is_empty() || below_a_root(authorities, limits);
        ensure(inside, "ca_file", Fault::OutsideRoots)?;
        let key = &self.minisign_key;
        let file = !transfer && !of_verdicts;
        ensure(key.is_empty() || file, "minisign_key", Fault::OnlyFor("path, https"))?;
        let form = key.len() == 56 && key.starts_with("RW") && key.is_ascii();
        ensure(key.is_empty() || form, "minisign_key", Fault::MinisignKey)
    }

    fn check_options(&self) -> Result<(), SpecError> {
        let o = &self.options;
        let origin = o.origin.is_empty() || is_name(&o.origin);
        ensure(origin, "options.origin", Fault::DomainName)?;
        let encoding = o.encoding.is_empty() || ENCODINGS.contains(&o.encoding.as_str());
        ensure(encoding, "options.encoding", Fault::NotOneOf(ENCODINGS))?;
        let delimiter = matches!(o.delimiter.as_str(), "" | "," | ";" | "\t" | "|");
        ensure(delimiter, "options.delimiter", Fault::NotOneOf(&[",", ";", "\t", "|"]))?;
        ensure(o.columns.len() <= ITEMS_MAX, "options.columns", Fault::TooMany(ITEMS_MAX))?;
        for word in o.columns.keys() {
            let known = format::COLUMN_WORDS.contains(&word.as_str());
            let key = format!("options.columns.{word}");
            ensure(known, &key, Fault::NotOneOf(format::COLUMN_WORDS))?;
        }
        let offset = format::utc_offset(&o.utc_offset).is_some();
        ensure(offset, "options.utc_offset", Fault::UtcOffset)?;
        let row = o.header_row.unwrap_or(1);
        ensure(row <= 1_000, "options.header_row", Fault::OutOfRange(0, 1_000))
    }

    fn check_texts(&self, max: usize) -> Result<(), SpecError> {
        let ede = self.ede.as_ref().map_or("", |e| &e.text);
        let o = &self.options;
        let texts = [
            ("authority", self.authority.as_str()),
            ("order_number", &self.order_number),
            ("justification", &self.justification),
            ("ede.text", ede),
            ("options.sheet", &o.sheet),
            ("options.manifest", &o.manifest),
        ];
        for (key, text) in texts {
            ensure(text.len() <= max, key, Fault::TooLong(max))?;
        }
        for (field, column) in &o.columns {
            let long = field.len().max(column.len());
            ensure(long <= max, "options.columns", Fault::TooLong(max))?;
        }
        ensure(self.contact.len() <= ITEMS_MAX, "contact", Fault::TooMany(ITEMS_MAX))?;
        for (i, contact) in self.contact.iter().enumerate() {
            let key = format!("contact[{i}]");
            ensure(contact.len() <= max, &key, Fault::TooLong(max))?;
            let schemes = ["mailto:", "tel:", "https:"];
            let good = schemes.iter().any(|s| contact.starts_with(s));
            ensure(good && url::Url::parse(contact).is_ok(), &key, Fault::Contact)?;
        }
        Ok(())
    }

    fn check_numbers(&self, limits: &config::Feeds) -> Result<(), SpecError> {
        let l = &self.limits;
        let within = |key, value: Option<u64>, min: u64, max: u64| {
            let good = value.is_none_or(|v| (min..=max).contains(&v));
            ensure(good, key, Fault::OutOfRange(min, max))
        };
        within("limits.rules_max", l.rules_max, 1, limits.rules_max)?;
        within("limits.rejected_max", l.rejected_max, 0, u64::from(u32::MAX))?;
        within("limits.shrink_percent", l.shrink_percent.map(u64::from), 0, 100)?;
        within("limits.growth_percent", l.growth_percent.map(u64::from), 0, 1_000_000)?;
        within("limits.blast_percent", l.blast_percent.map(u64::from), 0, 100)?;
        let refresh = (self.refresh_s > 0).then_some(self.refresh_s);
        within("refresh_s", refresh, limits.refresh_s_min, REFRESH_S_MAX)?;
        let stale = (self.stale_after_s > 0).then_some(self.stale_after_s);
        within("stale_after_s", stale, 1, STALE_AFTER_S_MAX)
    }

    fn check_share(&self) -> Result<(), SpecError> {
        let Some(share) = &self.share else { return Ok(()) };
        ensure(is_name(&share.zone), "share.zone", Fault::DomainName)?;
        let key = share.tsig_key.is_empty() || is_name(&share.tsig_key);
        ensure(key, "share.tsig_key", Fault::DomainName)?;
        let many = share.secondaries.len() > ITEMS_MAX;
        ensure(!many, "share.secondaries", Fault::TooMany(ITEMS_MAX))?;
        for (i, address) in share.secondaries.iter().enumerate() {
            let good = address.parse::<IpAddr>().is_ok() || address.parse::<SocketAddr>().is_ok();
            ensure(good, &format!("share.secondaries[{i}]"), Fault::Address)?;
        }
        Ok(())
    }
}

/// Whether the path as written is below a root; links are followed when it is opened.
fn below_a_root(path: &Path, limits: &config::Feeds) -> bool {
    limits.roots.iter().any(|root| {
        let real = root.canonicalize();
        path.starts_with(root) || real.is_ok_and(|real| path.starts_with(real))
    })
}

impl ActionOverride {
    /// Its word.
    pub fn name(&self) -> String {
        match self {
            Self::Given => "given".into(),
            Self::Observe => "observe".into(),
            Self::Nxdomain => "nxdomain".into(),
            Self::Nodata => "nodata".into(),
            Self::Passthru => "passthru".into(),
            Self::Drop => "drop".into(),
            Self::TcpOnly => "tcp-only".into(),
            Self::Cname(name) => format!("cname:{name}"),
        }
    }
}

impl FromStr for ActionOverride {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Ok(match text {
            "given" => Self::Given,
            "observe" => Self::Observe,
            "nxdomain" => Self::Nxdomain,
            "nodata" => Self::Nodata,
            "passthru" => Self::Passthru,
            "drop" => Self::Drop,
            "tcp-only" => Self::TcpOnly,
            text => match text.strip_prefix("cname:") {
                Some(name) => Self::Cname(name.to_ascii_lowercase()),
                None => return fail("action", Fault::NotOneOf(ACTIONS)),
            },
        })
    }
}

impl JsonSchema for ActionOverride {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ActionOverride".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(given|observe|nxdomain|nodata|passthru|drop|tcp-only|cname:.+)$",
        })
    }
}

impl Serialize for ActionOverride {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for ActionOverride {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e: SpecError| D::Error::custom(e.fault))
    }
}
