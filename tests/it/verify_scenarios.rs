//! Zones, good and broken in every way, and what is found of each: the checks that are not `true`.

use crate::verify_lab::{BOTH, Signed, Zone, text};

/// A zone, a name in it, and what is found.
pub(crate) struct Scenario {
    /// What is the matter with it.
    pub(crate) what: &'static str,
    pub(crate) zone: Zone,
    /// The name that is asked about.
    pub(crate) host: String,
    pub(crate) overall: &'static str,
    pub(crate) expected: Vec<(&'static str, &'static str)>,
}

const WWW: &str = "@ A 5.6.7.8\nwww A 5.6.7.8\n";

/// The zone as it should be, and these lines.
fn and(more: &str) -> String {
    format!("{BOTH}{WWW}{more}")
}

fn one(
    what: &'static str,
    zone: Zone,
    host: &str,
    overall: &'static str,
    expected: &[(&'static str, &'static str)],
) -> Scenario {
    let host = match host {
        "" => format!("{}.test", zone.name),
        label => format!("{label}.{}.test", zone.name),
    };
    Scenario { what, zone, host, overall, expected: expected.to_vec() }
}

fn in_order() -> Vec<Scenario> {
    let good = Zone::good;
    let v6 = and("www AAAA 2606:4700::1111\n");
    let hosted = "@ NS ns1.good.test.\n@ NS ns2.good.test.\n";
    vec![
        one("in order", good("good"), "www", "verified", &[]),
        one("in order, the apex", good("apex"), "", "verified", &[]),
        one("signed", good("signed").signed(Signed::Yes), "www", "verified", &[]),
        one("signed with NSEC3", good("nsec3").signed(Signed::Nsec3), "www", "verified", &[]),
        one("signed with RSA", good("rsa").signed(Signed::Rsa), "www", "verified", &[]),
        one(
            "signed, and the parent does not say so",
            good("nods").signed(Signed::NoDs),
            "www",
            "verified",
            &[],
        ),
        one(
            "served by another zone's servers",
            good("hosted").delegated(hosted).lines(&format!("{hosted}{WWW}")),
            "www",
            "verified",
            &[],
        ),
        one(
            "an alias into another zone",
            good("alias").lines(&and("to CNAME www.good.test.\n")),
            "to",
            "verified",
            &[],
        ),
        one("reached by IPv6, too", good("six").lines(&v6), "www", "verified", &[]),
        one(
            "a name below a name without records",
            good("empty").lines(&and("a.b.c A 5.6.7.8\n")),
            "a.b.c",
            "verified",
            &[],
        ),
    ]
}

fn signatures() -> Vec<Scenario> {
    let signed = |name, how| Zone::good(name).signed(how);
    let bogus = &[("RES-07", "false")];
    vec![
        one("signatures ended", signed("expired", Signed::Expired), "www", "discrepant", bogus),
        one("signatures not begun", signed("early", Signed::Early), "www", "discrepant", bogus),
        one(
            "the parent vouches for another key",
            signed("otherds", Signed::OtherDs),
            "www",
            "discrepant",
            bogus,
        ),
        one(
            "a record changed after signing",
            signed("altered", Signed::Altered),
            "www",
            "discrepant",
            bogus,
        ),
        one(
            "not signed, and the parent says it is",
            signed("stripped", Signed::Stripped),
            "www",
            "discrepant",
            bogus,
        ),
        one(
            "signatures end tomorrow",
            signed("ending", Signed::Ending),
            "www",
            "verified_with_notes",
            &[("RES-08", "false")],
        ),
    ]
}

fn delegations() -> Vec<Scenario> {
    let good = Zone::good;
    let more = "@ NS ns1\n@ NS ns2\n@ NS ns3\nns1 A 127.0.0.1\nns2 A 127.30.1.1\nns3 A 127.0.0.1\n";
    vec![
        one(
            "parent and zone name other servers",
            good("mismatch")
                .lines(&format!("@ NS ns1\n@ NS ns3\nns1 A 127.0.0.1\nns3 A 127.30.1.1\n{WWW}")),
            "www",
            "discrepant",
            &[("RES-04", "false"), ("RES-05", "false")],
        ),
        one(
            "the zone names one server more",
            good("childmore").lines(&format!("{more}{WWW}")),
            "www",
            "discrepant",
            &[("RES-04", "false")],
        ),
        one(
            "the parent names one server more",
            good("parentmore").delegated(more).lines(&and("ns3 A 127.0.0.1\n")),
            "www",
            "discrepant",
            &[("RES-04", "false")],
        ),
    ]
}

fn servers() -> Vec<Scenario> {
    let good = Zone::good;
    let dead = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.9.9\n";
    let inside = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 10.9.9.9\n";
    let away = "@ NS ns1\n@ NS ns.never-made.test.\nns1 A 127.0.0.1\n";
    let single = "@ NS ns1\nns1 A 127.0.0.1\n";
    let same = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.0.0.1\n";
    vec![
        one(
            "glue is another address",
            good("glue")
                .lines(&format!("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.1.7\n{WWW}")),
            "www",
            "discrepant",
            &[("RES-05", "false")],
        ),
        one(
            "one server does not have it",
            good("lame").second(None),
            "www",
            "discrepant",
            &[("RES-03", "false")],
        ),
        one(
            "no server has it",
            Zone { texts: [None, None], ..good("nobody") },
            "www",
            "discrepant",
            &[
                ("RES-02", "false"),
                ("RES-03", "false"),
                ("RES-04", "unknown"),
                ("RES-05", "not_evaluated"),
                ("RES-06", "unknown"),
                ("RES-09", "unknown"),
                ("RES-12", "not_evaluated"),
                ("RES-18", "not_evaluated"),
            ],
        ),
        one(
            "one server is silent",
            good("dead").delegated(dead).lines(&format!("{dead}{WWW}")),
            "www",
            "verified_with_notes",
            &[("RES-03", "unknown")],
        ),
        one(
            "a server at a private address",
            good("inside").delegated(inside).lines(&format!("{inside}{WWW}")),
            "www",
            "discrepant",
            &[("RES-03", "not_evaluated"), ("RES-14", "false")],
        ),
        one(
            "a server whose name is not there",
            good("away").delegated(away).lines(&format!("{away}{WWW}")),
            "www",
            "discrepant",
            &[("RES-12", "false"), ("RES-17", "false")],
        ),
        one(
            "one server alone",
            good("single").delegated(single).lines(&format!("{single}{WWW}")),
            "www",
            "verified_with_notes",
            &[("RES-17", "false")],
        ),
        one(
            "two servers at one address",
            good("onehost").delegated(same).lines(&format!("{same}{WWW}")),
            "www",
            "verified_with_notes",
            &[("RES-17", "false")],
        ),
    ]
}

fn answers() -> Vec<Scenario> {
    let good = Zone::good;
    vec![
        one(
            "versions differ",
            good("drift").second(Some(text(2, &and("")))),
            "www",
            "discrepant",
            &[("RES-06", "false")],
        ),
        one(
            "answers differ in one version",
            good("differ").second(Some(text(1, &format!("{BOTH}@ A 5.6.7.8\nwww A 5.6.7.9\n")))),
            "www",
            "discrepant",
            &[("RES-09", "false")],
        ),
        one(
            "one server does not know the name",
            good("hides").second(Some(text(1, &format!("{BOTH}@ A 5.6.7.8\n")))),
            "www",
            "discrepant",
            &[("RES-09", "false")],
        ),
    ]
}

fn names() -> Vec<Scenario> {
    let good = Zone::good;
    let lines = |name, more: &str| good(name).lines(&and(more));
    let host = |name, record: &str| good(name).lines(&format!("{BOTH}@ A 5.6.7.8\nwww {record}\n"));
    vec![
        one(
            "an alias to nowhere",
            lines("dangling", "gone CNAME www.never-made.test.\n"),
            "gone",
            "discrepant",
            &[("RES-12", "false")],
        ),
        one(
            "an exchange that is not there",
            lines("mail", "@ MX 10 mx.never-made.test.\n"),
            "www",
            "discrepant",
            &[("RES-12", "false")],
        ),
        one(
            "aliases in a circle",
            lines("circle", "a CNAME b\nb CNAME a\n"),
            "a",
            "discrepant",
            &[("RES-12", "false")],
        ),
        one(
            "every name exists",
            lines("wild", "* A 5.6.7.8\n"),
            "www",
            "verified_with_notes",
            &[("RES-18", "false")],
        ),
        one(
            "a very short time to live",
            host("short", "30 A 5.6.7.8"),
            "www",
            "verified_with_notes",
            &[("RES-16", "false")],
        ),
    ]
}

fn addresses() -> Vec<Scenario> {
    let good = Zone::good;
    let lines = |name, more: &str| good(name).lines(&and(more));
    let host = |name, record: &str| good(name).lines(&format!("{BOTH}@ A 5.6.7.8\nwww {record}\n"));
    vec![
        one(
            "a private address",
            host("private", "A 10.1.2.3"),
            "www",
            "discrepant",
            &[("IP-01", "false")],
        ),
        one(
            "loopback, as in rebinding",
            host("rebind", "A 127.0.0.1"),
            "www",
            "discrepant",
            &[("IP-01", "false")],
        ),
        one(
            "a private address among public ones",
            host("mixed", "A 5.6.7.8\nwww A 192.168.1.1"),
            "www",
            "discrepant",
            &[("IP-01", "false")],
        ),
        one(
            "a private address inside an IPv6 one",
            host("dressed", "AAAA 64:ff9b::a00:1"),
            "www",
            "discrepant",
            &[("IP-02", "false")],
        ),
        one(
            "a multicast address",
            host("many", "A 224.0.0.1"),
            "www",
            "discrepant",
            &[("IP-01", "false"), ("IP-03", "false")],
        ),
        one(
            "a name that is no host's",
            lines("odd", "under_score A 5.6.7.8\n"),
            "under_score",
            "verified_with_notes",
            &[("RES-19", "false")],
        ),
        one("a name that is not there", good("absent"), "nothing", "verified", &[]),
    ]
}

/// All of them.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = in_order();
    all.extend(signatures());
    all.extend(delegations());
    all.extend(servers());
    all.extend(answers());
    all.extend(names());
    all.extend(addresses());
    all
}

/// Their zones.
pub(crate) fn zones() -> Vec<Zone> {
    scenarios().into_iter().map(|s| s.zone).collect()
}
