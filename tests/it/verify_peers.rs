//! Tables and names of others: what they say of the same things, and where we differ and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::IpAddr,
    path::PathBuf,
    process::Stdio,
};

use ipnet::IpNet;
use serde_json::Value;
use tracegate::{
    config,
    record::PublicSuffixes,
    special::{Reachable, registered},
    verify::{
        data::Data,
        idn::{How, Protected},
        registration::bootstrap::Bootstrap,
    },
};

use crate::harness::python;

/// Where `scripts/test-deps` keeps things: above the Python environment.
pub(crate) fn cache() -> PathBuf {
    let python = PathBuf::from(python().get_program().to_owned());
    python.ancestors().nth(3).unwrap().to_owned()
}

/// npm's `whoisserver-world`: top-level domains, and names below them.
fn world() -> BTreeMap<String, Value> {
    let file = cache().join("whoisserver-world/whoisservers.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Names that people have, in A-labels.
fn real_names() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for tld in world().values() {
        for names in tld["sampleDomains"].as_object().into_iter().flat_map(|m| m.values()) {
            for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
                found.extend(idna::domain_to_ascii(name).ok().filter(|n| n.contains('.')));
            }
        }
    }
    found
}

/// What `script` prints, given `input`.
fn said(script: &str, input: &str) -> String {
    let mut child =
        python().args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whole_labels_lead_to_registries_over_the_whole_table() {
    let (table, world) = (Bootstrap::known(), world());
    let mut asked = 0;
    for tld in world.keys() {
        let tld = idna::domain_to_ascii(tld).unwrap();
        let own = table.of(&tld).map(|(name, _)| name.to_owned());
        for name in [format!("example.{tld}"), format!("A.b.{tld}.").to_uppercase()] {
            let found = table.of(&name).map(|(name, _)| name.to_owned());
            assert_eq!(found, own, "{name}");
            asked += 1;
        }
        // A label that only ends like it is another.
        for other in [format!("x{tld}"), format!("example.x{tld}")] {
            let label = other.rsplit('.').next().unwrap();
            let found = table.of(&other).map(|(name, _)| name.to_owned());
            assert!(found.as_deref().is_none_or(|f| f == label), "{other}: {found:?}");
        }
    }
    assert!(asked > 2_800, "{asked}");
}

/// The rows of IANA's registry as CSV; cells may hold commas, quotes and line ends.
fn rows(file: &str) -> Vec<(IpNet, Option<bool>)> {
    let script = "import csv,sys\nfor r in csv.reader(open(sys.stdin.read())):\n  print(r[0].replace('\\n',' '),'|',r[8])";
    let mut found = Vec::new();
    for line in said(script, file).lines().skip(1) {
        let (blocks, reachable) = line.split_once('|').unwrap();
        let reachable = match reachable.split(['[', ' ']).find(|word| !word.is_empty()) {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        };
        for block in blocks.split(',') {
            // Footnotes stand behind the block.
            let block = block.split_whitespace().next().unwrap();
            found.push((block.parse().unwrap(), reachable));
        }
    }
    found
}

/// An address one further, or one back.
fn beside(address: IpAddr, step: i128) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => {
            let n = u32::try_from(i128::from(a.to_bits()) + step).ok()?;
            Some(IpAddr::V4(n.into()))
        }
        IpAddr::V6(a) => {
            let n = if step < 0 { a.to_bits().checked_sub(1) } else { a.to_bits().checked_add(1) };
            Some(IpAddr::V6(n?.into()))
        }
    }
}

#[test]
fn addresses_are_special_where_iana_says_so_to_the_very_ends() {
    let share = "/usr/share/perl5/auto/share/dist/Zonemaster-Engine";
    let mut all = rows(&format!("{share}/iana-ipv4-special-registry.csv"));
    all.extend(rows(&format!("{share}/iana-ipv6-special-registry.csv")));
    assert!(all.len() > 40, "{}", all.len());
    // LISP's block, which was given back in 2019.
    all.retain(|(net, _)| net.to_string() != "2001:5::/32");
    let mut edges = BTreeSet::new();
    for (net, _) in &all {
        let (first, last) = (net.network(), net.broadcast());
        edges.extend(
            [Some(first), Some(last), beside(first, -1), beside(last, 1)].into_iter().flatten(),
        );
    }
    let mut newer = BTreeSet::new();
    for edge in &edges {
        let iana =
            all.iter().filter(|(net, _)| net.contains(edge)).max_by_key(|(n, _)| n.prefix_len());
        let ours = registered(*edge);
        let reachable = ours.map(|r| match r.reachable {
            Reachable::Yes => Some(true),
            Reachable::No => Some(false),
            Reachable::Depends => None,
        });
        if iana.map(|(_, reachable)| *reachable) != reachable {
            newer.insert((ours.map_or("none", |r| r.purpose), *edge, iana.map(|i| i.1)));
        }
    }
    // What the registries leave to those of multicast and of IPv6 addresses, and what is newer than
    // the copy.
    let known = [
        "IPv4-IPv6 translation",
        "multicast",
        "reserved by the IETF",
        "reserved, local or multicast",
        "dummy IPv6 prefix",
        "drone remote ID entity tags",
        "service registration anycast",
        "documentation",
        "segment routing (SRv6) SIDs",
    ];
    for (purpose, edge, iana) in newer {
        assert!(known.contains(&purpose), "{purpose} {edge} {iana:?}");
    }
    others_agree(&edges);
}

/// PyPI's `bogons`, which goes by lists of operators.
fn others_agree(edges: &BTreeSet<IpAddr>) {
    let script = "import bogons,sys\nfor a in sys.stdin.read().split():\n  print(a, int(bogons.is_public_ip(a)))";
    let input: Vec<String> = edges.iter().map(ToString::to_string).collect();
    let mut differ = BTreeMap::new();
    for line in said(script, &input.join("\n")).lines() {
        let (address, public) = line.split_once(' ').unwrap();
        let address: IpAddr = address.parse().unwrap();
        let ours = registered(address);
        let is_public = ours.is_none_or(|r| r.reachable == Reachable::Yes);
        if is_public != (public == "1") {
            differ.insert(ours.map_or("none", |r| r.purpose), (address, is_public));
        }
    }
    let purposes: Vec<&str> = differ.keys().copied().collect();
    insta::assert_debug_snapshot!(purposes);
}

#[test]
fn countries_of_a_real_set_are_read() {
    let files = ["geoip", "geoip6"].map(|f| PathBuf::from("/usr/share/tor").join(f));
    let config = config::Data { countries_files: files.into(), ..config::Data::default() };
    let data = Data::load(&config).unwrap();
    for (address, expected) in
        [("114.114.114.114", "CN"), ("193.0.6.139", "NL"), ("2001:7fd::1", "NL")]
    {
        let rows = data.rows(address.parse().unwrap());
        let codes: Vec<&str> = rows.countries.iter().map(|c| c.code.as_str()).collect();
        assert_eq!(codes, [expected], "{address}");
    }
    assert!(!data.reload().unwrap(), "nothing changed");
    let missing = config::Data { vrps_file: Some("/nowhere".into()), ..config::Data::default() };
    let error = Data::load(&missing).unwrap_err().to_string();
    assert!(error.starts_with("verify.data: /nowhere: "), "{error}");
}

/// Names that are imitated.
const BRANDS: [&str; 6] =
    ["taobao.com", "icbc.com.cn", "alipay.com", "paypal.com", "bankofchina.com", "weixin.com"];

fn protected() -> (Protected, PublicSuffixes) {
    let suffixes = PublicSuffixes::load(None).unwrap();
    let registrable = |name: &str| suffixes.registrable_domain(name).to_owned();
    (Protected::new(BRANDS, registrable).unwrap(), suffixes)
}

#[test]
fn imitations_are_found() {
    let script = "import dnstwist,sys\nfor b in sys.stdin.read().split():\n  f=dnstwist.Fuzzer(b)\n  f.generate()\n  for d in f.domains:\n    print(b, d['fuzzer'], d['domain'])";
    let (protected, suffixes) = protected();
    let mut seen: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for line in said(script, &BRANDS.join("\n")).lines() {
        let cells: Vec<&str> = line.split(' ').collect();
        let &[brand, fuzzer, name] = cells.as_slice() else { panic!("{line}") };
        if fuzzer == "*original" {
            continue;
        }
        let Ok(name) = idna::domain_to_ascii(name) else { continue };
        let alike = protected.alike(&name, suffixes.registrable_domain(&name));
        let count = seen.entry(fuzzer.to_owned()).or_default();
        count.0 += 1;
        count.1 += u32::from(alike.iter().any(|a| a.name == brand));
    }
    let mut table = String::new();
    for (fuzzer, (made, found)) in &seen {
        let share = f64::from(*found) / f64::from(*made);
        table.push_str(&format!("{fuzzer:>14} {found:>6} of {made:>6}  {share:.3}\n"));
        // What is left of four letters is three, which is anybody's name: those are missed.
        assert!(share > 0.85, "{fuzzer}: {found} of {made}");
    }
    println!("{table}");
    assert!(seen.values().map(|(made, _)| made).sum::<u32>() > 5_000, "{table}");
}

#[test]
fn honest_names_are_left_alone() {
    let (protected, suffixes) = protected();
    let names = real_names();
    let mut adverse = Vec::new();
    let mut noted = 0_usize;
    for name in &names {
        let alike = protected.alike(name, suffixes.registrable_domain(name));
        if let Some(first) = alike.first() {
            noted += 1;
            if matches!(first.how, How::Left | How::Same) {
                adverse.push(format!("{name} {first:?}"));
            }
        }
    }
    println!("{} names, {noted} noted, {} adverse: {adverse:#?}", names.len(), adverse.len());
    assert!(names.len() > 50_000, "{}", names.len());
    // One in a thousand noted, one in ten thousand accused: brands of this list have names of their own there.
    assert!(noted * 1_000 < names.len() * 3, "{noted}");
    assert!(adverse.len() * 10_000 < names.len() * 2, "{adverse:#?}");
}
