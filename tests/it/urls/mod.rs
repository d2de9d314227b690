//! Two parsers: what we take as a target, and what a browser's reading of the same text is.
//!
//! Node's `URL` is the second reader. Over a thousand hostile texts, made and written, go to both:
//! whatever we take, Node takes, to the same URL in every part; whatever the readers disagree
//! about, or a person would read otherwise than a browser, is refused. What a visitor gets as
//! `Location` is then read by Node as a browser would, on a page of ours.

mod made;
mod node;
mod written;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use node::Parts;
use tracegate::{
    config::Gateway,
    links::{Target, TargetRules},
    record::{PublicSuffixes, Table},
};
use url::Url;
use written::WRITTEN;

use crate::site::{Site, ask};

/// Everything, with the kind of trick that each is.
fn texts() -> Vec<(&'static str, String)> {
    let written = WRITTEN.iter().map(|t| ("written by hand", (*t).to_owned()));
    let all: Vec<_> = made::all().into_iter().chain(written).collect();
    assert!(all.len() > 1_000, "{}", all.len());
    all
}

/// The rules as they are by default, and with everything allowed that can be.
fn both_rules() -> [TargetRules; 2] {
    let mut wide = Gateway::default();
    wide.targets.allow_ip_literal = true;
    wide.targets.allow_special_host = true;
    wide.targets.allow_user_info = true;
    [Gateway::default(), wide].map(|g| TargetRules::new(&g, &[]))
}

/// The library's reading in the same parts.
fn parts(text: &str) -> Option<Parts> {
    let url = Url::parse(text).ok()?;
    let after = |sign: &str, part: Option<&str>| {
        part.filter(|p| !p.is_empty()).map_or(String::new(), |p| format!("{sign}{p}"))
    };
    Some(Parts {
        href: url.as_str().to_owned(),
        protocol: format!("{}:", url.scheme()),
        username: url.username().to_owned(),
        password: url.password().unwrap_or_default().to_owned(),
        hostname: url.host_str().unwrap_or_default().to_owned(),
        port: url.port().map_or(String::new(), |p| p.to_string()),
        pathname: url.path().to_owned(),
        search: after("?", url.query()),
        hash: after("#", url.fragment()),
    })
}

/// A browser's host as [`Target::host`] has it.
fn plain_host(hostname: &str) -> String {
    let literal = hostname.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match literal.map(|l| l.parse::<Ipv6Addr>().unwrap()) {
        Some(a) => {
            let [.., hi, lo] = a.segments();
            let ([a0, b0], [c0, d0]) = (hi.to_be_bytes(), lo.to_be_bytes());
            let well_known = a.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
            let v4 = if well_known { Some([a0, b0, c0, d0].into()) } else { a.to_ipv4_mapped() };
            let six_to_four = (a.segments()[0] == 0x2002).then(|| {
                let o = a.octets();
                IpAddr::from([o[2], o[3], o[4], o[5]])
            });
            v4.map(IpAddr::V4).or(six_to_four).unwrap_or(IpAddr::V6(a)).to_string()
        }
        None => hostname.strip_suffix('.').unwrap_or(hostname).to_owned(),
    }
}

/// Letters that came with Unicode 15.1 and later, after Node 20.
const YOUNG: [char; 5] = ['\u{1c89}', '\u{a7cb}', '\u{10d40}', '\u{16d40}', '\u{2ebf0}'];

/// Why the two readings are not the same, where we took the text.
fn difference(text: &str, ours: &Target, node: Option<&Parts>) -> Option<String> {
    let Some(node) = node else {
        // Documented where targets are read: followed nowhere by a browser that is older.
        return (!text.contains(YOUNG)).then(|| "Node refuses it".into());
    };
    let read = parts(&ours.serialised);
    if read.as_ref() != Some(node) {
        return Some(format!("ours {read:?}, Node's {node:?}"));
    }
    let host = plain_host(&node.hostname);
    (host != ours.host).then(|| format!("our host {}, Node's {host}", ours.host))
}

#[test]
fn what_we_take_is_what_a_browser_reads() {
    let texts = texts();
    let read = node::read(texts.iter().map(|(_, t)| (t.as_str(), None)));
    let suffixes = PublicSuffixes::load(None).unwrap();
    let mut wrong = Vec::new();
    let (mut taken, mut refused) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    for rules in both_rules() {
        for ((kind, text), node) in texts.iter().zip(&read) {
            match rules.parse(text, &suffixes) {
                Ok(ours) => {
                    *taken.entry(*kind).or_default() += 1;
                    if let Some(why) = difference(text, &ours, node.as_ref()) {
                        wrong.push(format!("{kind}: {text:?}: {why}"));
                    }
                }
                Err(reason) => {
                    if node.is_some() {
                        *refused.entry(reason.code()).or_default() += 1;
                    }
                }
            }
        }
    }
    // The library alone, to see what the rules in front of it are good for.
    let alone: Vec<_> = texts
        .iter()
        .zip(&read)
        .filter(|((_, text), node)| parts(text).as_ref() != node.as_ref())
        .map(|((kind, text), node)| format!("{kind}: {text:?}: {:?} {node:?}", parts(text)))
        .collect();
    eprintln!("taken, by kind: {taken:?}\nread by Node, refused by us: {refused:?}");
    eprintln!("the libraries differ about {}: {alone:#?}", alone.len());
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), texts.len());
    // Tricks that nobody takes, or everybody, would show nothing.
    assert!(taken.values().sum::<u32>() > 400, "{taken:?}");
    assert!(refused.len() >= 10, "{refused:?}");
}

/// At the door: every text goes to the API, every link that comes of it is followed.
#[test]
fn location_is_read_as_what_was_approved() {
    let site = Site::start(|c| {
        c.gateway.targets.allow_user_info = true;
        c.gateway.targets.special_hosts.push("example".into());
    });
    let (mut visits, mut refused) = (Vec::new(), 0);
    for (kind, text) in texts() {
        let body = serde_json::json!({ "target": text }).to_string();
        let made = site.call(&site.operator, "POST", "/api/v1/links", &body);
        if made.status == 422 {
            refused += 1;
            continue;
        }
        assert_eq!(made.status, 201, "{kind}: {text:?}: {}", made.body);
        let made = made.json();
        let reply = site.visit("GET", &format!("/{}", made["code"].as_str().unwrap()), &[]);
        assert_eq!(reply.status, 302, "{kind}: {text:?}: {}", reply.body);
        assert_eq!(reply.head.to_ascii_lowercase().matches("\r\nlocation:").count(), 1, "{text:?}");
        let location = reply.header("Location").unwrap().to_owned();
        visits.push((text, made["target"].as_str().unwrap().to_owned(), location));
    }
    assert!(visits.len() > 200 && refused > 300, "{} {refused}", visits.len());
    let page = format!("http://{}/code", site.gateway);
    let read = node::read(visits.iter().map(|(_, _, l)| (l.as_str(), Some(page.as_str()))));
    let mut followed_nowhere = 0;
    for ((text, approved, location), read) in visits.iter().zip(read) {
        assert_eq!(location, approved, "{text:?}");
        match read {
            Some(read) => assert_eq!(&read.href, approved, "{text:?}"),
            None => {
                assert!(text.contains(YOUNG), "{text:?}: nobody can follow {location}");
                followed_nowhere += 1;
            }
        }
    }
    eprintln!("{refused} refused, {} followed, {followed_nowhere} nowhere", visits.len());
    let made = visits.len();
    let kept = site.stop();
    let mut targets = kept.column(Table::Jumps, "target");
    targets.sort();
    let mut locations: Vec<_> = visits.into_iter().map(|(_, _, l)| l).collect();
    locations.sort();
    assert_eq!(targets, locations, "what was sent is what is on record");
    assert_eq!(kept.of(Table::Conversions).len(), made);
}

/// What a visitor adds behind a code stays behind the target, whatever it is.
#[test]
fn what_is_handed_on_stays_at_the_target() {
    let site = Site::start(|_| {});
    let targets = [
        "https://www.demo.test/",
        "https://www.demo.test:8443/a/b",
        "http://www.demo.test/a/?own=1#part",
    ];
    let codes = targets.map(|target| {
        let body = serde_json::json!({
            "target": target, "forward_path": true, "forward_query": true, "status": 307
        });
        let made = site.call(&site.operator, "POST", "/api/v1/links", &body.to_string());
        made.json()["code"].as_str().unwrap().to_owned()
    });
    let host = site.gateway.to_string();
    let mut visits = Vec::new();
    for (n, (kind, text)) in texts().into_iter().enumerate() {
        // Bytes that no request line holds go as browsers send them.
        let rest: String =
            text.bytes()
                .map(|b| {
                    if b.is_ascii_graphic() {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                })
                .collect();
        let path = format!("/{}/{rest}", codes[n % codes.len()]);
        let reply = ask(site.gateway, "GET", &path, &[("Host", &host)], "");
        match reply.header("Location") {
            Some(location) => {
                assert_eq!(reply.status, 307, "{kind}: {text:?}");
                visits.push((targets[n % targets.len()], path, location.to_owned()));
            }
            None => assert!([400, 404, 414].contains(&reply.status), "{kind}: {text:?}: {reply:?}"),
        }
    }
    assert!(visits.len() > 400, "{}", visits.len());
    let page = format!("http://{host}/code");
    let page = Some(page.as_str());
    let read = node::read(
        visits
            .iter()
            .flat_map(|(target, _, location)| [(*target, page), (location.as_str(), page)]),
    );
    for ((_, path, location), pair) in visits.iter().zip(read.chunks(2)) {
        let [Some(target), Some(read)] = pair else {
            panic!("{path}: nobody can follow {location}")
        };
        assert_eq!(&read.href, location, "{path}");
        assert_eq!(read.place(), target.place(), "{path}");
        assert!(read.pathname.starts_with(target.pathname.trim_end_matches('/')), "{path}");
        assert!(read.search.starts_with(&target.search), "{path}");
        assert_eq!(read.hash, target.hash, "{path}");
    }
    site.stop();
}
