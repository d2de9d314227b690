//! The rules of a version as a list again: zone text, JSON lines or names.
//!
//! Zone text is what other resolvers load; what it cannot say (URLs and codes) stands in comments.
//! JSON lines say everything, and are one of the formats that lists come in. Names are the names
//! alone. Written piece by piece: a list may be longer than memory has room for twice.

use std::io::{self, Write};

use domain::{
    base::{
        ParsedName, Rtype, rdata::ParseAnyRecordData as _, zonefile_fmt::DisplayKind,
        zonefile_fmt::ZonefileFmt as _,
    },
    dep::octseq::Parser,
    rdata::AllRecordData,
};
use serde_json::{Map, Value, json};

use crate::{
    clock::Timestamp,
    escape,
    name::Name,
    policy::{Action, Index, LocalRecord, Rule, Trigger},
};

/// Longer lists are written in the order of the index.
const SORTED_MAX: usize = 1_000_000;

/// What a list is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A response policy zone.
    Rpz,
    /// JSON lines.
    Jsonl,
    /// Names.
    Domains,
}

impl Format {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "rpz" => Self::Rpz,
            "jsonl" => Self::Jsonl,
            "domains" => Self::Domains,
            _ => return None,
        })
    }

    /// The media type, and what file names end in.
    pub(super) const fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Rpz => ("text/dns; charset=utf-8", "zone"),
            Self::Jsonl => ("application/jsonl", "jsonl"),
            Self::Domains => ("text/plain; charset=utf-8", "txt"),
        }
    }
}

/// What is written.
#[derive(Debug)]
pub(super) struct Export<'a> {
    pub(super) feed: &'a str,
    pub(super) version: u64,
    pub(super) index: &'a Index,
    /// The default time to live, in seconds.
    pub(super) ttl_s: u32,
}

impl Export<'_> {
    /// Writes everything.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub(super) fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        if format == Format::Rpz {
            self.head(out)?;
        }
        if self.index.len() > SORTED_MAX {
            return self.index.iter().try_for_each(|rule| self.rule(format, &rule, out));
        }
        let mut rules: Vec<(String, Rule)> =
            self.index.iter().map(|r| (r.trigger.to_string(), r)).collect();
        rules.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        rules.iter().try_for_each(|(_, rule)| self.rule(format, rule, out))
    }

    /// What makes a text a zone. The serial is the version.
    fn head(&self, out: &mut impl Write) -> io::Result<()> {
        let (feed, version, ttl) = (self.feed, self.version, self.ttl_s);
        let serial = u32::try_from(version % (1 << 32)).unwrap_or(u32::MAX);
        writeln!(out, "; feed {feed}, version {version}, {} rules", self.index.len())?;
        writeln!(out, "$ORIGIN {feed}.\n$TTL {ttl}")?;
        writeln!(out, "@ SOA localhost. root.localhost. {serial} 3600 600 604800 {ttl}")?;
        writeln!(out, "@ NS localhost.")
    }

    fn rule(&self, format: Format, rule: &Rule, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Rpz => rpz(rule, out),
            Format::Jsonl => {
                // Strangers wrote most of it, and a terminal may be what reads it.
                writeln!(out, "{}", escape::json(&Value::Object(jsonl(rule)).to_string()))
            }
            Format::Domains => match &rule.trigger {
                Trigger::Qname(_) => writeln!(out, "{}", rule.trigger),
                _ => Ok(()),
            },
        }
    }
}

fn rpz(rule: &Rule, out: &mut impl Write) -> io::Result<()> {
    let owner = &rule.trigger;
    if matches!(owner, Trigger::Url(..) | Trigger::Code(_)) {
        return writeln!(out, "; not in DNS: {owner} {}", rule.action.name());
    }
    let alias = |target: &[u8]| Name::from_wire(target).unwrap_or(Name::ROOT);
    match &rule.action {
        Action::Nxdomain => writeln!(out, "{owner} CNAME ."),
        Action::Nodata => writeln!(out, "{owner} CNAME *."),
        Action::Passthru => writeln!(out, "{owner} CNAME rpz-passthru."),
        Action::Drop => writeln!(out, "{owner} CNAME rpz-drop."),
        Action::TcpOnly => writeln!(out, "{owner} CNAME rpz-tcp-only."),
        Action::Cname(target) => writeln!(out, "{owner} CNAME {}.", alias(target)),
        Action::CnameBelow(target) => writeln!(out, "{owner} CNAME *.{}.", alias(target)),
        Action::LocalData(records) => records.iter().try_for_each(|r| {
            writeln!(out, "{owner} {} {} {}", r.ttl, Rtype::from_int(r.rtype), data(r))
        }),
    }
}

/// Every field that a line can have.
fn jsonl(rule: &Rule) -> Map<String, Value> {
    let legal = &rule.legal;
    let alias = |target: &[u8]| Name::from_wire(target).unwrap_or(Name::ROOT);
    let action = match &rule.action {
        Action::Cname(target) => format!("cname:{}", alias(target)),
        Action::CnameBelow(target) => format!("cname:*.{}", alias(target)),
        other => other.name().to_owned(),
    };
    let records = match &rule.action {
        Action::LocalData(records) => Some(records.iter().map(|r| {
            json!({ "type": Rtype::from_int(r.rtype).to_string(), "ttl": r.ttl, "data": data(r) })
        })),
        _ => None,
    };
    let text = |t: &str| (!t.is_empty()).then(|| Value::from(t));
    let time = |t: Timestamp| (t != Timestamp::ZERO).then(|| Value::from(t.to_string()));
    let all = [
        ("trigger", Some(rule.trigger.to_string().into())),
        ("action", Some(action.into())),
        ("records", records.map(Iterator::collect)),
        ("authority", text(&legal.authority)),
        ("order_number", text(&legal.order_number)),
        ("reason", text(&legal.reason)),
        ("content_class", text(&legal.content_class)),
        ("tier", legal.tier.map(|t| t.name().into())),
        ("issued_at", time(legal.issued_at)),
        ("effective_from", time(legal.effective_from)),
        ("expires_at", time(legal.expires_at)),
        ("due_at", time(legal.due_at)),
        ("approver", text(&legal.approver)),
        ("evidence", text(&legal.evidence)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Record data in presentation form, names in it absolute with their dot.
fn data(record: &LocalRecord) -> String {
    let mut parser = Parser::from_ref(&*record.rdata);
    let parsed = AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(
        Rtype::from_int(record.rtype),
        &mut parser,
    );
    match parsed {
        Ok(parsed) if parser.remaining() == 0 && !matches!(parsed, AllRecordData::Unknown(_)) => {
            parsed.display_zonefile(DisplayKind::Simple).to_string()
        }
        // Whatever it is, RFC 3597 §5 has a form for it.
        _ => format!(r"\# {} {}", record.rdata.len(), hex::encode(&record.rdata)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Legal, Tier};

    fn index() -> Index {
        let mut builder = Index::builder();
        let legal = Arc::new(Legal {
            authority: "police".into(),
            order_number: "2026-1".into(),
            tier: Some(Tier::Hint),
            due_at: Timestamp::from_secs(1_800_000_000),
            ..Legal::default()
        });
        let garden = Name::from_text("garden.example").unwrap();
        let records: Arc<[LocalRecord]> = Arc::new([
            LocalRecord { rtype: 1, ttl: 60, rdata: Box::new([192, 0, 2, 1]) },
            LocalRecord { rtype: 16, ttl: 60, rdata: Box::new(*b"\x03a b") },
        ]);
        for (trigger, action) in [
            ("*.bad.example", Action::Nxdomain),
            ("bad.example", Action::Cname(garden.wire().into())),
            ("local.example", Action::LocalData(records)),
            ("24.0.2.0.192.rpz-ip", Action::Drop),
            ("url:evil.example/a", Action::Nxdomain),
            ("walled.example", Action::CnameBelow(garden.wire().into())),
        ] {
            let trigger = trigger.parse().unwrap();
            builder.add(&Rule { trigger, action, legal: Arc::clone(&legal) });
        }
        builder.finish()
    }

    fn written(format: Format) -> String {
        let index = index();
        let export = Export { feed: "police", version: 3, index: &index, ttl_s: 300 };
        let mut out = Vec::new();
        export.write(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn zone_text() {
        let expected = "\
; feed police, version 3, 6 rules
$ORIGIN police.
$TTL 300
@ SOA localhost. root.localhost. 3 3600 600 604800 300
@ NS localhost.
*.bad.example CNAME .
24.0.2.0.192.rpz-ip CNAME rpz-drop.
bad.example CNAME garden.example.
local.example 60 A 192.0.2.1
local.example 60 TXT \"a b\"
; not in DNS: url:evil.example/a nxdomain
walled.example CNAME *.garden.example.
";
        assert_eq!(written(Format::Rpz), expected);
    }

    #[test]
    fn names_alone() {
        let names = "*.bad.example\nbad.example\nlocal.example\nwalled.example\n";
        assert_eq!(written(Format::Domains), names);
    }

    #[test]
    fn json_lines_are_read_back() {
        let lines = written(Format::Jsonl);
        let all: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(all.len(), 6);
        let local = all.iter().find(|l| l["trigger"] == "local.example").unwrap();
        assert_eq!(
            *local,
            json!({
                "trigger": "local.example", "action": "local-data", "authority": "police",
                "order_number": "2026-1", "tier": "hint", "due_at": "2027-01-15T08:00:00.000000Z",
                "records": [
                    { "type": "A", "ttl": 60, "data": "192.0.2.1" },
                    { "type": "TXT", "ttl": 60, "data": "\"a b\"" },
                ],
            })
        );
    }
}
