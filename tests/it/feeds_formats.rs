//! Lists as others publish them.

use std::{fs::File, io::BufReader, path::Path};

use tracegate::{
    feeds::format::{Format, Options, Place, Reason, Sink, read},
    policy::{Rule, Trigger, UrlKind},
};

/// URLhaus as Debian's `webext-ublock-origin-chromium` ships it.
pub(crate) const URLHAUS: &str = "/usr/share/chromium/extensions/ublock-origin/assets/thirdparties/urlhaus-filter/urlhaus-filter-online.txt";

#[derive(Default)]
struct Seen {
    rules: Vec<Rule>,
    rejected: Vec<String>,
}

impl Sink for Seen {
    fn rule(&mut self, _: Place<'_>, rule: Rule) {
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
    let count = |what: fn(&Trigger) -> bool| seen.rules.iter().filter(|r| what(&r.trigger)).count();
    let names = count(|t| matches!(t, Trigger::Qname(p) if !p.wildcard));
    let below = count(|t| matches!(t, Trigger::Qname(p) if p.wildcard));
    let hosts = count(|t| matches!(t, Trigger::Url(UrlKind::Host, _)));
    let urls = count(|t| matches!(t, Trigger::Url(UrlKind::Prefix | UrlKind::Exact, _)));
    assert_eq!(names, below);
    assert_eq!(names + hosts + urls + seen.rejected.len(), entries);
    assert!(names > 100 && hosts > 100 && urls > 100, "{names} {hosts} {urls}");
}
