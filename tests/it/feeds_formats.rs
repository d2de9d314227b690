//! Lists as others publish them.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::Path};

use serde_json::json;
use tracegate::{
    clock::Timestamp,
    feeds::{
        Took,
        format::{Format, Options, Place, Reason, Sink, read},
    },
    policy::{JumpFacts, Rule, Trigger, UrlKind},
};

use crate::feeds_lab::Machine;

/// URLhaus as Debian's `webext-ublock-origin-chromium` ships it.
pub(crate) const URLHAUS: &str = "/usr/share/chromium/extensions/ublock-origin/assets/thirdparties/urlhaus-filter/urlhaus-filter-online.txt";

#[derive(Default)]
struct Seen {
    rules: Vec<Rule>,
    /// Of those that are rules.
    lines: BTreeSet<u64>,
    rejected: Vec<String>,
}

impl Sink for Seen {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        self.lines.insert(at.line);
        self.rules.push(rule);
    }

    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        self.rejected.push(format!("{}: {reason}: {}", at.line, at.text.escape_ascii()));
    }
}

#[test]
fn urlhaus_of_debian() {
    assert!(Path::new(URLHAUS).exists(), "{URLHAUS} is missing: run scripts/test-deps");
    let mut seen = Seen::default();
    let mut input = BufReader::new(File::open(URLHAUS).unwrap());
    let summary = read(Format::Adblock, &mut input, &Options::default(), &mut seen).unwrap();
    let text = std::fs::read_to_string(URLHAUS).unwrap();
    let entries = text.lines().filter(|l| !l.is_empty() && !l.starts_with('!')).count();
    assert_eq!(summary.lines, text.lines().count() as u64);
    assert!(entries > 1_000, "{entries}");
    // Nearly every line is a rule; names are two (itself, and what is below it).
    assert!(seen.rejected.len() * 100 < entries, "{:#?}", seen.rejected);
    let triggers = || seen.rules.iter().map(|r| &r.trigger);
    let count = |what: fn(&Trigger) -> bool| triggers().filter(|t| what(t)).count();
    let names = count(|t| matches!(t, Trigger::Qname(p) if !p.wildcard));
    let below = count(|t| matches!(t, Trigger::Qname(p) if p.wildcard));
    let hosts = count(|t| matches!(t, Trigger::Url(UrlKind::Host, _)));
    // Filters match in either case. A path is two rules, too: itself, and what is in it.
    let urls = |kinds: [UrlKind; 2]| {
        triggers().filter(|t| matches!(t, Trigger::Url(k, _) if kinds.contains(k))).count()
    };
    assert_eq!(urls([UrlKind::Prefix, UrlKind::Exact]), 0);
    let urls = urls([UrlKind::PrefixAnyCase, UrlKind::ExactAnyCase]);
    assert_eq!(names, below);
    assert_eq!(seen.lines.len() + seen.rejected.len(), entries);
    assert!(names > 100 && hosts > 100 && urls > 100, "{names} {hosts} {urls}");
}

#[test]
fn urlhaus_is_in_force() {
    let machine = Machine::new();
    let text = std::fs::read_to_string(URLHAUS).unwrap();
    machine.write("urlhaus", &text);
    let node = machine.node("n1");
    let source = machine.list("urlhaus");
    node.add(&json!({"name": "urlhaus", "source": source, "format": "adblock"}));
    let outcome = node.refresh("urlhaus");
    assert_eq!(outcome.outcome, Took::InForce);
    assert!(outcome.accepted > 5_000, "{}", outcome.accepted);
    // A name of it in DNS, a URL and an address of it at the gateway.
    let entry = |what: fn(&str) -> bool| text.lines().find(|l| what(l)).unwrap();
    let name = entry(|l| l.ends_with(".com") && !l.contains('/'));
    assert!(node.blocks(name) && node.blocks(&format!("www.{name}")), "{name}");
    let stops = |url: &str| {
        let facts = JumpFacts { url, ..JumpFacts::default() };
        node.in_force.load_full().jump(&facts, Timestamp::from_secs(1_900_000_000)).hit.is_some()
    };
    let url = entry(|l| l.starts_with("||github.com/") && l.ends_with(".zip^$all"));
    let url = url.trim_start_matches('|').trim_end_matches("^$all");
    assert!(stops(&format!("https://{url}")) && stops(&format!("https://{url}?raw=1")), "{url}");
    // The list is in lower case; the URLs that it was made from, and visitors use, are not.
    let (host, path) = url.split_once('/').unwrap();
    let mixed = format!("https://{host}/{}", path.to_uppercase());
    assert!(stops(&mixed) && stops(&format!("{mixed}/part")) && !stops(&format!("{mixed}x")));
    assert!(!stops("https://github.com/") && !node.blocks("github.com"));
    let address = entry(|l| l.parse::<std::net::Ipv4Addr>().is_ok());
    assert!(stops(&format!("http://{address}:8080/bins/x")), "{address}");
    drop(node.end());
}
