//! Local zones: what they answer, held to the text and to BIND, and what a bad one does.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record},
};
use tracegate::{name::Name, resolver::Transport};

use crate::dns_client::{Ask, Fixture, ask, fixture, free_port, options};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DS: u16 = 43;
const ANY: u16 = 255;

/// Everything a zone can hold, under names that say what they are for.
const MAIN: &str = r#"
$TTL 1h
@ SOA ns1 hostmaster 7 4h 1h 2w 5m
@ NS ns1
@ NS ns2.other.test.
@ 600 IN MX 10 mail
ns1 A 192.0.2.1
mail A 192.0.2.25
MiXed TXT "case" "two strings"
www A 192.0.2.80
www A 192.0.2.81
www AAAA 2001:db8::80
alias CNAME www
alias2 CNAME alias
cross CNAME www.other.test.
back CNAME away.other.test.
outside CNAME www.elsewhere.invalid.
dangling CNAME nothing
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
a.b.deep A 192.0.2.5
*.wild A 192.0.2.90
*.wild MX 10 mail
host.wild TXT "here by itself"
sub.ent.wild A 192.0.2.91
*.walias CNAME www
*.wout CNAME gone
old DNAME www.wild
alias3 CNAME x.old
toolong DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddd
lab NS ns.lab
lab NS ns.elsewhere.invalid.
lab DS 12345 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC1234
ns.lab A 192.0.2.53
ns.lab AAAA 2001:db8::53
inlab CNAME x.lab
svc SRV 0 5 5060 www
odd TYPE65280 \# 4 C0000201
odd TYPE65281 \# 1 00
caa CAA 0 issue "ca.test"
naptr NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:a@b.test!" .
"#;

const OTHER: &str = "
@ 3600 SOA ns2 hostmaster.main.test. 9 4h 1h 2w 1d
@ NS ns2
ns2 A 192.0.2.2
www A 192.0.2.82
away CNAME back2.main.test.
";

fn two_zones() -> Fixture {
    let f = fixture(&[("main.test", MAIN), ("other.test", OTHER)], &[], |_| ());
    let outcomes: Vec<_> = f.reports.iter().map(|r| (r.outcome, r.problem.clone())).collect();
    assert_eq!(outcomes, [("loaded", None), ("loaded", None)]);
    f
}

/// `owner TYPE data`, or with the TTL where the table gives one.
fn lines(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|r| {
            let data = match &r.data {
                // A DNAME, which the reader does not know.
                RData::Unknown { code, rdata } if u16::from(*code) == 39 => {
                    format!("{}.", Name::from_wire(&rdata.anything).unwrap())
                }
                data => data.to_string(),
            };
            format!("{} {} {} {data}", r.name, r.ttl, r.record_type()).to_lowercase()
        })
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn answers_as_the_zone_says() {
    let f = two_zones();
    let soa = "main.test. 300 soa ns1.main.test. hostmaster.main.test. 7 14400 3600 1209600 300";
    let soa2 =
        "other.test. 3600 soa ns2.other.test. hostmaster.main.test. 9 14400 3600 1209600 86400";
    let www = ["www.main.test. 3600 a 192.0.2.80", "www.main.test. 3600 a 192.0.2.81"];
    let alias = "alias.main.test. 3600 cname www.main.test.";
    use ResponseCode::{NXDomain, NoError};
    let check = |name: &str, qtype, rcode, aa, answer: &[&str], authority: &[&str]| {
        let got = f.get(&ask(name, qtype));
        let m = &got.message;
        assert_eq!((m.response_code, m.authoritative), (rcode, aa), "{name} {qtype}");
        assert_eq!(lines(&m.answers), answer, "{name} {qtype}");
        assert_eq!(lines(&m.authorities), authority, "{name} {qtype}");
        assert!(
            !m.recursion_available && !m.authentic_data && !m.truncation && m.recursion_desired
        );
    };
    check("www.main.test", A, NoError, true, &www, &[]);
    check("WWW.Main.TEST", A, NoError, true, &www, &[]);
    check("www.main.test", MX, NoError, true, &[], &[soa]);
    check("none.main.test", A, NXDomain, true, &[], &[soa]);
    check("deep.main.test", A, NoError, true, &[], &[soa]);
    check("x.b.deep.main.test", A, NXDomain, true, &[], &[soa]);
    check(
        "alias2.main.test",
        A,
        NoError,
        true,
        &["alias2.main.test. 3600 cname alias.main.test.", alias, www[0], www[1]],
        &[],
    );
    check("alias.main.test", CNAME, NoError, true, &[alias], &[]);
    check(
        "cross.main.test",
        A,
        NoError,
        true,
        &["cross.main.test. 3600 cname www.other.test.", "www.other.test. 3600 a 192.0.2.82"],
        &[],
    );
    check(
        "cross.main.test",
        MX,
        NoError,
        true,
        &["cross.main.test. 3600 cname www.other.test."],
        &[soa2],
    );
    check(
        "outside.main.test",
        A,
        NoError,
        true,
        &["outside.main.test. 3600 cname www.elsewhere.invalid."],
        &[],
    );
    check(
        "dangling.main.test",
        A,
        NXDomain,
        true,
        &["dangling.main.test. 3600 cname nothing.main.test."],
        &[soa],
    );
    check("any.wild.main.test", A, NoError, true, &["any.wild.main.test. 3600 a 192.0.2.90"], &[]);
    check(
        "a.b.c.wild.main.test",
        A,
        NoError,
        true,
        &["a.b.c.wild.main.test. 3600 a 192.0.2.90"],
        &[],
    );
    check("any.wild.main.test", TXT, NoError, true, &[], &[soa]);
    check("host.wild.main.test", A, NoError, true, &[], &[soa]);
    check("x.host.wild.main.test", A, NXDomain, true, &[], &[soa]);
    check("ent.wild.main.test", A, NoError, true, &[], &[soa]);
    check("x.ent.wild.main.test", A, NXDomain, true, &[], &[soa]);
    check("wild.main.test", A, NoError, true, &[], &[soa]);
    check("*.wild.main.test", A, NoError, true, &["*.wild.main.test. 3600 a 192.0.2.90"], &[]);
    let dname = "old.main.test. 3600 dname www.wild.main.test.";
    let synthesised = "x.old.main.test. 3600 cname x.www.wild.main.test.";
    check(
        "x.old.main.test",
        A,
        NoError,
        true,
        &[dname, synthesised, "x.www.wild.main.test. 3600 a 192.0.2.90"],
        &[],
    );
    check("old.main.test", A, NoError, true, &[], &[soa]);
    let lab = [
        "lab.main.test. 3600 ns ns.lab.main.test.",
        "lab.main.test. 3600 ns ns.elsewhere.invalid.",
    ];
    check("lab.main.test", A, NoError, false, &[], &lab);
    check("x.y.lab.main.test", A, NoError, false, &[], &lab);
    check("ns.lab.main.test", A, NoError, false, &[], &lab);
    check(
        "inlab.main.test",
        A,
        NoError,
        true,
        &["inlab.main.test. 3600 cname x.lab.main.test."],
        &lab,
    );
    check("lab.main.test", ANY, NoError, false, &[], &lab);
    check("main.test", DS, NoError, true, &[], &[soa]);
    check("www.main.test", ANY, NoError, true, &["www.main.test. 3600 hinfo rfc8482 "], &[]);
    check("alias.main.test", ANY, NoError, true, &[alias], &[]);
    check("none.main.test", ANY, NXDomain, true, &[], &[soa]);

    let ds = f.get(&ask("lab.main.test", DS)).message;
    assert!(ds.authoritative && ds.answers.len() == 1 && ds.authorities.is_empty());
    let referral = f.get(&ask("x.lab.main.test", A)).message;
    assert_eq!(
        lines(&referral.additionals),
        ["ns.lab.main.test. 3600 a 192.0.2.53", "ns.lab.main.test. 3600 aaaa 2001:db8::53"]
    );
    let long = format!("{}.{}.toolong.main.test", "x".repeat(63), "y".repeat(63));
    let long = f.get(&ask(&long, A));
    assert_eq!(long.ede(), [0]);
    assert_eq!(
        (long.message.response_code, long.message.answers.len()),
        (ResponseCode::YXDomain, 1)
    );
    for name in ["loop1.main.test", "self.main.test"] {
        let m = f.get(&ask(name, A)).message;
        assert_eq!(m.response_code, NoError, "{name}");
        assert!((1..=2).contains(&m.answers.len()), "{name}: {:?}", m.answers);
    }
}

#[test]
fn what_is_not_ours_or_not_asked_that_way_is_refused() {
    let f = two_zones();
    let base = ask("www.main.test", A);
    let cases: &[(Ask<'_>, ResponseCode, u16)] = &[
        (ask("www.elsewhere.test", A), ResponseCode::Refused, 20),
        (ask("test", A), ResponseCode::Refused, 20),
        (ask(".", NS), ResponseCode::Refused, 20),
        (Ask { qclass: 3, qtype: TXT, name: "version.bind", ..base }, ResponseCode::Refused, 21),
        (Ask { qclass: 255, ..base }, ResponseCode::Refused, 21),
        (Ask { qclass: 77, ..base }, ResponseCode::NotImp, 21),
        (Ask { qtype: 252, ..base }, ResponseCode::Refused, 21),
        (Ask { qtype: 251, ..base }, ResponseCode::Refused, 21),
        (Ask { qtype: 253, ..base }, ResponseCode::NotImp, 21),
        (Ask { qtype: 249, ..base }, ResponseCode::NotImp, 21),
        (Ask { qtype: 128, ..base }, ResponseCode::NotImp, 21),
    ];
    for (ask, rcode, ede) in cases {
        let got = f.get(ask);
        assert_eq!((got.message.response_code, got.ede()), (*rcode, vec![*ede]), "{ask:?}");
        assert!(got.message.answers.is_empty() && !got.message.authoritative);
        assert_eq!(got.row()["ede"], serde_json::json!([ede]));
        let plain = f.get(&Ask { edns: None, ..*ask });
        assert_eq!((plain.message.response_code, plain.message.edns.is_none()), (*rcode, true));
        assert_eq!(plain.row()["ede"], serde_json::json!([]));
    }
}

#[test]
fn edns_decides_what_fits_and_what_is_told() {
    let txt = format!(
        "big TXT {}\n",
        r#""xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" "#.repeat(20)
    );
    let f = fixture(&[("main.test", &(MAIN.to_owned() + &txt))], &[], |d| d.nsid = "ns-7".into());
    let big = |edns| f.get(&Ask { edns, ..ask("big.main.test", TXT) });
    let sizes = [
        (None, true),
        (Some(0), true),
        (Some(512), true),
        (Some(1100), false),
        (Some(65535), false),
    ];
    for (payload, cut) in sizes {
        let got = big(payload.map(|p| (p, false, false)));
        assert_eq!(got.message.truncation, cut, "{payload:?}");
        assert_eq!(got.message.answers.is_empty(), cut);
        assert!(got.wire.len() <= usize::from(payload.unwrap_or(512).clamp(512, 1232)));
        assert_eq!(got.answered.flags & 0x200 != 0, cut);
    }
    let over_tcp =
        f.get_by(&Ask { edns: None, ..ask("big.main.test", TXT) }, Transport::Tcp, Duration::ZERO);
    assert_eq!((over_tcp.message.truncation, over_tcp.message.answers.len()), (false, 1));

    let got = f.get(&Ask { cd: true, edns: Some((4096, true, true)), ..ask("WwW.main.test", A) });
    let edns = got.message.edns.as_ref().unwrap();
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, true));
    assert_eq!(options(&got.message, 3).collect::<Vec<_>>(), [b"ns-7".to_vec()]);
    assert!(got.message.checking_disabled && !got.message.authentic_data);
    assert_eq!(got.message.queries[0].name().to_string(), "WwW.main.test.");
    assert_eq!(
        (got.answered.flags >> 16, got.answered.min_ttl, got.answered.cache),
        (3, 3600, "local")
    );
    assert_eq!(options(&f.get(&ask("www.main.test", A)).message, 3).count(), 0);

    let mut bad_version = ask("www.main.test", A).wire();
    let opt = bad_version.len() - 11;
    bad_version[opt + 6] = 1;
    let tracegate::resolver::query::Parsed::Query(q) =
        tracegate::resolver::query::parse(&bad_version)
    else {
        panic!("not a query")
    };
    let mut out = Vec::new();
    f.resolver.answer(&q, &f.context(Transport::Udp, Duration::ZERO), &mut out);
    let m = Message::from_vec(&out).unwrap();
    assert_eq!((u16::from(m.response_code), m.edns.as_ref().unwrap().version()), (16, 0));
    let ede: Vec<_> = options(&m, 15).collect();
    assert_eq!(ede, [b"\0\x15only EDNS version 0".to_vec()]);
}

#[test]
fn a_chain_has_a_longest() {
    let head = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nc0 A 192.0.2.1\n";
    let chain: String = (1..9).map(|i| format!("c{i} CNAME c{}\n", i - 1)).collect();
    let text = format!("{head}{chain}out0 CNAME away.elsewhere.test.\nout1 CNAME out0\n");
    let f = fixture(&[("a.test", &text)], &[], |d| d.cname_chain_max = 4);
    let at_limit = f.get(&ask("c4.a.test", A));
    assert_eq!(
        (at_limit.message.response_code, at_limit.message.answers.len(), at_limit.ede()),
        (ResponseCode::NoError, 5, vec![])
    );
    for name in ["c5.a.test", "c8.a.test"] {
        // Kept answers say the same.
        for _ in 0..2 {
            let above = f.get(&ask(name, A));
            assert_eq!(
                (above.message.response_code, above.message.answers.len(), above.ede()),
                (ResponseCode::ServFail, 0, vec![0]),
                "{name}"
            );
            assert!(!above.message.authoritative, "{name}");
        }
    }
    let out = f.get(&ask("out1.a.test", A));
    assert_eq!((out.message.response_code, out.message.answers.len()), (ResponseCode::NoError, 2));
}

#[test]
fn records_hold_the_chain() {
    let f = two_zones();
    let row = f.get(&ask("Cross.main.test", A)).row();
    assert_eq!(row["qname"], "cross.main.test");
    assert_eq!(row["registrable_domain"], "main.test");
    assert_eq!(row["answer_names"], serde_json::json!(["www.other.test"]));
    assert_eq!(row["answers"], serde_json::json!(["192.0.2.82"]));
    assert_eq!(
        (&row["cache"], &row["upstream"]),
        (&serde_json::json!("local"), &serde_json::json!(""))
    );
}

#[test]
fn a_bad_zone_names_file_and_line_and_leaves_the_others() {
    let head = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
    let cases: &[(&str, usize, &str)] = &[
        ("www A 192.0.2\n", 5, ""),
        ("www BOGUS x\n", 5, ""),
        ("ok A 192.0.2.1\n\n; comment\nwww.elsewhere. A 192.0.2.1\n", 8, "outside the zone"),
        ("x CNAME y\nx A 192.0.2.1\n", 6, "CNAME and other data"),
        ("x A 192.0.2.1\nx CNAME y\n", 6, "CNAME and other data"),
        ("x CNAME y\nx CNAME z\n", 6, "more than one CNAME"),
        ("@ SOA ns h 2 1 1 1 1\n", 5, "exactly one SOA"),
        ("x SOA ns h 2 1 1 1 1\n", 5, "apex alone"),
        ("x CH A 192.0.2.1\n", 5, ""),
        ("$INCLUDE ../../etc/passwd\n", 5, ""),
        ("$INCLUDE /etc/passwd\n", 5, "outside dns.zone_root"),
        ("$INCLUDE bad.test.zone\n", 5, "too deep"),
    ];
    for (text, line, reason) in cases {
        let f =
            fixture(&[("good.test", head), ("bad.test", &format!("{head}{text}"))], &[], |_| ());
        let bad = &f.reports[1];
        let problem = bad.problem.as_ref().unwrap_or_else(|| panic!("{text} was accepted"));
        assert_eq!((bad.outcome, problem.line), ("failed", Some(*line)), "{text}: {problem}");
        assert!(problem.reason.contains(reason), "{text}: {problem}");
        assert!(problem.to_string().contains(&format!("bad.test.zone:{line}: ")), "{problem}");
        let got = f.get(&ask("ns.bad.test", A));
        assert_eq!((got.message.response_code, got.ede()), (ResponseCode::ServFail, vec![24]));
        assert_eq!(f.get(&ask("ns.good.test", A)).message.answers.len(), 1);
    }
    for (text, reason) in
        [("@ 60 NS ns\n", "no SOA"), ("@ 60 SOA ns h 1 1 1 1 1\n", "no NS"), ("", "no SOA")]
    {
        let f = fixture(&[("bad.test", text)], &[], |_| ());
        assert!(f.reports[0].problem.as_ref().unwrap().reason.contains(reason), "{text}");
    }
}

#[test]
fn reload_keeps_the_last_good_version() {
    let head = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\n";
    let f =
        fixture(&[("a.test", &format!("{head}www A 192.0.2.1\n")), ("b.test", head)], &[], |_| ());
    let www = || lines(&f.get(&ask("www.a.test", A)).message.answers);
    let write = |text: &str| std::fs::write(f.dir.path().join("a.test.zone"), text).unwrap();
    let gauges = || {
        let text = f.metrics.render();
        let value = |name| text.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
        (value("tracegate_dns_zones "), value("tracegate_dns_zones_bad "))
    };
    assert_eq!(gauges(), ("2".into(), "0".into()));
    assert_eq!(www(), ["www.a.test. 60 a 192.0.2.1"]);
    write(&format!("{head}www A 192.0.2.2\n"));
    assert_eq!(www(), ["www.a.test. 60 a 192.0.2.1"]);
    assert_eq!(f.resolver.reload_zones()[0].outcome, "loaded");
    assert_eq!(www(), ["www.a.test. 60 a 192.0.2.2"]);
    write(&format!("{head}www A 192.0.2.3\nbroken\n"));
    let reports = f.resolver.reload_zones();
    assert_eq!((reports[0].outcome, reports[1].outcome), ("kept-last", "loaded"));
    assert_eq!(reports[0].records, 3);
    assert_eq!(gauges(), ("2".into(), "1".into()));
    assert_eq!(www(), ["www.a.test. 60 a 192.0.2.2"]);
    write(head);
    f.resolver.reload_zones();
    assert_eq!(gauges(), ("2".into(), "0".into()));
    let never_good = fixture(&[("a.test", "broken\n"), ("b.test", head)], &[], |_| ());
    let text = never_good.metrics.render();
    assert!(text.contains("\ntracegate_dns_zones 1\n"), "{text}");
    assert!(text.contains("\ntracegate_dns_zones_bad 1\n"), "{text}");
}

#[test]
fn files_stay_below_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let text = "@ 60 SOA ns h 1 1 1 1 1\n@ 60 NS ns\n";
    std::fs::write(outside.path().join("x.zone"), text).unwrap();
    let f = fixture(&[("in.test", text)], &[], |d| {
        let link = d.zone_root.join("link.zone");
        std::os::unix::fs::symlink(outside.path().join("x.zone"), &link).unwrap();
        std::os::unix::fs::symlink("in.test.zone", d.zone_root.join("fine.zone")).unwrap();
        let up = Path::new("..").join(outside.path().file_name().unwrap()).join("x.zone");
        for (name, file) in [
            ("a.test", link),
            ("b.test", outside.path().join("x.zone")),
            ("c.test", up),
            ("d.test", "fine.zone".into()),
            ("e.test", "none.zone".into()),
        ] {
            d.zones.push(tracegate::config::Zone { name: name.into(), file });
        }
    });
    let outcomes: Vec<_> = f.reports.iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, ["loaded", "failed", "failed", "failed", "loaded", "failed"]);
    for r in &f.reports[1..4] {
        assert!(r.problem.as_ref().unwrap().reason.contains("outside dns.zone_root"), "{r:?}");
    }
}

#[test]
fn records_over_all_zones_are_bounded() {
    let text = "@ 60 SOA ns h 1 1 1 1 1\n@ 60 NS ns\nns 60 A 192.0.2.1\n";
    let zones = [("a.test", text), ("b.test", text)];
    let at_limit = fixture(&zones, &[], |d| d.zone_records_max = 6);
    assert!(at_limit.reports.iter().all(|r| r.outcome == "loaded"));
    assert!(at_limit.resolver.reload_zones().iter().all(|r| r.outcome == "loaded"));
    let beyond = fixture(&zones, &[], |d| d.zone_records_max = 5);
    let problem = beyond.reports[1].problem.as_ref().unwrap();
    assert_eq!((beyond.reports[1].outcome, problem.line), ("failed", Some(3)));
    assert!(problem.reason.contains("zone_records_max"), "{problem}");
}

#[test]
fn the_shipped_zones_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
    let f = fixture(&[], &[], |d| {
        d.zone_root = root;
        for name in ["example", "localhost"] {
            let file = format!("{name}.zone").into();
            d.zones.push(tracegate::config::Zone { name: name.into(), file });
        }
    });
    assert_eq!(f.reports.iter().map(|r| r.problem.clone()).collect::<Vec<_>>(), [None, None]);
    assert_eq!(f.get(&ask("a.old.example", A)).message.answers.len(), 3);
    assert_eq!(f.get(&ask("x.localhost", AAAA)).message.answers.len(), 1);
}

/// The program, which lies where only root's PATH leads.
fn named() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join("named"))
        .find(|file| file.is_file())
        .expect("`named` is missing: run scripts/test-deps, or sudo apt-get install --no-install-recommends bind9")
}

/// BIND, serving the same files. It does not follow aliases into another zone; we do.
struct Named {
    child: Child,
    port: u16,
}

impl Named {
    fn start(dir: &Path) -> Option<Self> {
        let port = free_port();
        let conf = format!(
            "options {{ directory \"{dir}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
             pid-file none; session-keyfile none; recursion no; minimal-responses yes; dnssec-validation no;
             zero-no-soa-ttl no; }};
             controls {{}};
             zone \"main.test\" {{ type primary; file \"main.test.zone\"; check-integrity no; }};
             zone \"other.test\" {{ type primary; file \"other.test.zone\"; check-integrity no; }};",
            dir = dir.display()
        );
        std::fs::write(dir.join("named.conf"), conf).unwrap();
        let child = Command::new(named())
            .args(["-g", "-4", "-n", "1", "-c"])
            .arg(dir.join("named.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let named = Self { child: child.ok()?, port };
        // It answers once it has loaded.
        (0..200)
            .find_map(|_| named.get(&ask("ns1.main.test", A)).filter(|m| !m.answers.is_empty()))?;
        Some(named)
    }

    fn get(&self, ask: &Ask<'_>) -> Option<Message> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        socket.send(&ask.wire()).unwrap();
        let mut buffer = [0; 4096];
        match socket.recv(&mut buffer) {
            Ok(len) => Some(Message::from_vec(&buffer[..len]).unwrap()),
            // Nobody there yet answers at once; wait as long as a silent one takes.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                std::thread::park_timeout(Duration::from_millis(100));
                None
            }
            Err(_) => None,
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn answers_as_bind_does() {
    let f = two_zones();
    let named = Named::start(f.dir.path()).expect("named starts and answers");
    let names = "main.test www.main.test WWW.main.test none.main.test a.none.main.test deep.main.test b.deep.main.test \
        x.b.deep.main.test alias.main.test alias2.main.test outside.main.test dangling.main.test \
        any.wild.main.test a.b.wild.main.test host.wild.main.test x.host.wild.main.test ent.wild.main.test \
        x.ent.wild.main.test sub.ent.wild.main.test wild.main.test *.wild.main.test x.*.wild.main.test x.walias.main.test \
        x.wout.main.test x.old.main.test x.y.old.main.test old.main.test alias3.main.test lab.main.test x.lab.main.test \
        ns.lab.main.test inlab.main.test svc.main.test odd.main.test caa.main.test naptr.main.test mixed.main.test \
        other.test www.other.test none.other.test ns1.main.test mail.main.test";
    let mut compared = 0;
    for name in names.split_whitespace() {
        for qtype in [A, AAAA, NS, CNAME, SOA, MX, TXT, SRV, DS, 35, 39, 257, 65_280, 65_281] {
            let question = ask(name, qtype);
            let theirs = (0..20)
                .find_map(|_| named.get(&question))
                .unwrap_or_else(|| panic!("named does not answer {name} {qtype}"));
            let ours = f.get(&question).message;
            let set = |records: &[Record]| lines(records).into_iter().collect::<BTreeSet<_>>();
            let seen = |m: &Message| {
                (
                    m.response_code,
                    m.authoritative,
                    m.truncation,
                    set(&m.answers),
                    set(&m.authorities),
                )
            };
            assert_eq!(seen(&ours), seen(&theirs), "{name} {qtype}");
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}
