//! Every format from bytes to rules, and what no input may do to any of them.

mod any;
mod companions;
mod lists;
mod tables;
mod zones;

use std::io::BufReader;

use super::*;
use crate::{
    name::Name,
    policy::{Action, NamePattern, Trigger},
};

/// What came out of one run, as text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) rules: Vec<String>,
    pub(super) rejected: Vec<(u64, &'static str, String)>,
    pub(super) all: Vec<Rule>,
    pub(super) stop_at: Option<usize>,
}

impl Sink for Seen {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        self.rules.push(format!(
            "{}: {} {}",
            at.line,
            trigger(&rule.trigger),
            action(&rule.action)
        ));
        self.all.push(rule);
    }

    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        assert!(!reason.text.is_empty());
        self.rejected.push((at.line, reason.code, String::from_utf8_lossy(at.text).into_owned()));
    }

    fn wants_more(&self) -> bool {
        self.stop_at.is_none_or(|n| self.rules.len() < n)
    }
}

fn pattern(p: &NamePattern) -> String {
    format!("{}{}", if p.wildcard { "*." } else { "" }, p.name)
}

fn trigger(t: &Trigger) -> String {
    match t {
        Trigger::Qname(p) => pattern(p),
        Trigger::ClientIp(net) => format!("client {net}"),
        Trigger::ResponseIp(net) => format!("answer {net}"),
        Trigger::Nsdname(p) => format!("ns {}", pattern(p)),
        Trigger::Nsip(net) => format!("ns {net}"),
        Trigger::Url(kind, text) => format!("{kind:?} {text}"),
        Trigger::Code(code) => format!("code {code}"),
    }
}

fn action(a: &Action) -> String {
    let name = |wire: &[u8]| Name::from_wire(wire).unwrap();
    match a {
        Action::LocalData(records) => {
            let all =
                records.iter().map(|r| format!("{} {} {}", r.rtype, r.ttl, hex::encode(&r.rdata)));
            all.collect::<Vec<_>>().join(" + ")
        }
        Action::Cname(to) => format!("cname {}", name(to)),
        Action::CnameBelow(to) => format!("cname *.{}", name(to)),
        other => other.name().to_owned(),
    }
}

pub(super) fn options() -> Options {
    Options { origin: Origin::Feed(Name::from_text("feed").unwrap()), ..Options::default() }
}

pub(super) fn read(format: Format, text: &[u8], options: &Options) -> (Seen, Summary) {
    let mut seen = Seen::default();
    // A small buffer: entries come in pieces.
    let mut input = BufReader::with_capacity(7, text);
    let summary = parse(format, &mut input, options, &mut seen).unwrap();
    assert_eq!(summary.rules, seen.rules.len() as u64);
    assert_eq!(summary.rejected, seen.rejected.len() as u64);
    (seen, summary)
}

#[track_caller]
pub(super) fn check(
    format: Format,
    text: &str,
    rules: &[&str],
    rejected: &[(u64, &str)],
) -> Summary {
    let (seen, summary) = read(format, text.as_bytes(), &options());
    assert_eq!(seen.rules, rules);
    let found: Vec<_> = seen.rejected.iter().map(|(line, code, _)| (*line, *code)).collect();
    assert_eq!(found, rejected, "{:?}", seen.rejected);
    summary
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    assert_eq!("nonsense".parse::<Format>(), Err(UnknownFormat("nonsense".into())));
}
