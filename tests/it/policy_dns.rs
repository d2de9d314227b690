//! DNS under rules: every trigger and every action, for answers from everywhere.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType, rdata::NULL},
};
use serde_json::json;
use tracegate::{
    clock::{Clock, Timestamp},
    config::{Policy, PolicyDnssec},
    name::Name,
    policy::{Action, EdeNote, Extras, Legal, Override, PolicySet, Suspended, Tier},
    resolver::{Context, Step, Transport},
};

use crate::{
    dns_client::{Ask, Fixture, Got, ask, fixture_under, options},
    forward::{Upstream, a, asked_name, cname, name, reply, soa},
    policy_lab::{Feed, alias, below, feed, local, set, set_with},
};

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const ANY: u16 = 255;
const NO_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Our own zone: an alias within, one that leads out, a wildcard.
const ZONE: &str = "$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\n@ NS ns.far.test.\nns A 192.0.2.53\n\
    www A 192.0.2.80\nin CNAME www\nout CNAME chain.up.test.\n\
    below DNAME far.up.test.\n*.wild A 192.0.2.81\n";

fn now() -> Timestamp {
    Clock::system().now()
}

fn raw(owner: &str, rtype: u16, data: &[u8]) -> Record {
    let code = RecordType::from(rtype);
    Record::from_rdata(name(owner), 300, RData::Unknown { code, rdata: NULL::with(data.to_vec()) })
}

/// What upstream knows.
fn world(q: &Message, _: bool) -> Option<Message> {
    let asked = asked_name(q);
    let qtype = u16::from(q.queries[0].query_type());
    let mut m = reply(q, ResponseCode::NoError);
    let signed = |m: &mut Message| {
        if q.edns.as_ref().is_some_and(|e| e.flags().dnssec_ok) {
            m.answers.push(raw(
                &asked,
                46,
                &[&[0, 1, 13, 2][..], &[0; 14], &[0], &[7; 64]].concat(),
            ));
        }
    };
    match asked.as_str() {
        "fail.up.test." => {
            let mut edns = hickory_proto::op::Edns::new();
            let ede = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(15, vec![0, 6]);
            edns.options_mut().insert(ede);
            m.metadata.response_code = ResponseCode::ServFail;
            m.edns = Some(edns);
        }
        "gone.up.test." => {
            m.metadata.response_code = ResponseCode::NXDomain;
            m.authorities = vec![soa("up.test.", 60, 60)];
        }
        "chain.up.test." if qtype == A => {
            m.answers = vec![
                cname("chain.up.test.", "mid.up.test."),
                cname("mid.up.test.", "end.up.test."),
                a("end.up.test.", 300, 9),
            ];
        }
        "served.up.test." => {
            m.answers = vec![a("served.up.test.", 300, 1)];
            let ns = hickory_proto::rr::rdata::NS(name("ns.evil.test."));
            m.authorities = vec![Record::from_rdata(name("up.test."), 300, RData::NS(ns))];
        }
        _ if qtype == A => {
            m.answers = vec![a(&asked, 300, 1)];
            signed(&mut m);
        }
        _ if qtype == AAAA => {
            let v6 = "2001:db8::1".parse().unwrap();
            m.answers = vec![Record::from_rdata(name(&asked), 300, RData::AAAA(v6))];
        }
        "hints.up.test." if qtype == HTTPS || qtype == SVCB => {
            // An alpn, two addresses of IPv4, one of IPv6.
            let v4 = b"\0\x04\0\x08\xc0\0\x02\x41\xc0\0\x02\x42";
            let v6 = [&b"\0\x06\0\x10\x20\x01\x0d\xb8"[..], &[0; 11], &[0x66]].concat();
            let rdata = [&b"\0\x01\0\0\x01\0\x03\x02h2"[..], v4, &v6].concat();
            m.answers = vec![raw(&asked, qtype, &rdata)];
        }
        _ if qtype == HTTPS => {
            let hints = b"\0\x01\0\0\x04\0\x04\xc0\0\x02\x37";
            m.answers = vec![raw(&asked, HTTPS, hints)];
        }
        _ => m.authorities = vec![soa("up.test.", 60, 60)],
    }
    Some(m)
}

/// A resolver with our zone and that world, under these feeds.
pub(crate) struct Lab {
    pub(crate) f: Fixture,
    pub(crate) up: Upstream,
}

impl Lab {
    pub(crate) fn new(feeds: &[&Feed]) -> Self {
        Self::with(feeds, |_| ())
    }

    pub(crate) fn with(feeds: &[&Feed], change: impl FnOnce(&mut Policy)) -> Self {
        let mut rules = Policy::default();
        change(&mut rules);
        let up = Upstream::new(world);
        let warns = !rules.gateway_addresses.is_empty();
        let f = fixture_under(&[("our.test", ZONE)], &[up.address], rules, |_| ()).unwrap();
        let lab = Self { f, up };
        lab.under(set_with(feeds, Extras { warns, ..Extras::default() }));
        lab
    }

    pub(crate) fn under(&self, set: Arc<PolicySet>) {
        self.f.in_force.swap(set);
    }

    pub(crate) fn get(&self, qname: &str, qtype: u16) -> Got {
        self.f.get(&ask(qname, qtype))
    }

    /// Asks as this client over this transport at this time.
    fn ask(
        &self,
        what: &Ask<'_>,
        client: IpAddr,
        transport: Transport,
        now: Timestamp,
    ) -> (Vec<u8>, Got) {
        let (q, mut wire) = (what.query(), Vec::new());
        let ctx = Context {
            client: SocketAddr::new(client, 4242),
            transport,
            now,
            now_mono: Clock::system().monotonic(),
        };
        let answered = match self.f.resolver.answer(&q, &ctx, &mut wire) {
            Step::Done(answered) => answered,
            Step::Ask(pending) => {
                let done = self.f.runtime.block_on(self.f.resolver.resolve(*pending));
                wire = done.wire;
                done.answered
            }
        };
        let message = match wire.as_slice() {
            [] => Message::new(
                0,
                hickory_proto::op::MessageType::Response,
                hickory_proto::op::OpCode::Query,
            ),
            wire => Message::from_vec(wire).unwrap(),
        };
        (wire.clone(), Got { wire, message, answered })
    }

    pub(crate) fn by(&self, qname: &str, qtype: u16, transport: Transport) -> Got {
        self.ask(&ask(qname, qtype), NO_CLIENT, transport, now()).1
    }
}

/// `rcode` and the answer section, as `type data` with the owner where it is not the name asked.
pub(crate) fn said(got: &Got) -> String {
    let mut text = got.message.response_code.low().to_string();
    let asked = got.message.queries.first().map(|q| q.name().to_string().to_lowercase());
    for r in &got.message.answers {
        let owner = r.name.to_string().to_lowercase();
        if Some(&owner) != asked.as_ref() {
            text += &format!(" {owner}");
        }
        text += &format!(" {}={}", u16::from(r.record_type()), r.data);
    }
    text
}

/// The columns about the rule.
pub(crate) fn ruled(got: &Got) -> (String, String, String, String) {
    let row = got.row();
    let text = |c: &str| row[c].as_str().unwrap().to_owned();
    (text("action"), text("rule"), text("feed"), text("feed_version"))
}

pub(crate) fn decided(action: &str, rule: &str) -> (String, String, String, String) {
    (action.into(), rule.into(), "f".into(), "7".into())
}

pub(crate) fn nothing() -> (String, String, String, String) {
    Default::default()
}

#[test]
fn every_action_over_both_transports_fresh_and_again() {
    let data = local(&[(A, &[198, 51, 100, 7]), (TXT, b"\x04text"), (A, &[198, 51, 100, 8])]);
    // The action, a type, what is said over UDP, whether upstream is needed, the extended error.
    let cases = [
        (Action::Nxdomain, A, "3", false, vec![15]),
        (Action::Nodata, A, "0", false, vec![15]),
        (Action::Passthru, A, "0 1=192.0.2.1", true, vec![]),
        (data.clone(), A, "0 1=198.51.100.7 1=198.51.100.8", false, vec![4]),
        (data.clone(), TXT, "0 16=text", false, vec![4]),
        (data.clone(), AAAA, "0", false, vec![15]),
        (data.clone(), HTTPS, "0", false, vec![15]),
        (data, ANY, "0 1=198.51.100.7 16=text 1=198.51.100.8", false, vec![4]),
        (alias("end.up.test"), A, "0 5=end.up.test. end.up.test. 1=192.0.2.1", true, vec![4]),
        (alias("www.our.test"), A, "0 5=www.our.test. www.our.test. 1=192.0.2.80", false, vec![4]),
        (alias("gone.up.test"), A, "3 5=gone.up.test.", true, vec![4]),
        (alias("end.up.test"), CNAME, "0 5=end.up.test.", false, vec![4]),
        (
            below("wild.our.test"),
            A,
            "0 5=www.up.test.wild.our.test. www.up.test.wild.our.test. 1=192.0.2.81",
            false,
            vec![4],
        ),
    ];
    for (action, qtype, expected, upstream, ede) in cases {
        let word = action.name();
        let lab = Lab::new(&[&feed("f").rule("www.up.test", action)]);
        for (i, transport) in
            [Transport::Udp, Transport::Tcp, Transport::Udp, Transport::Tcp].into_iter().enumerate()
        {
            let got = lab.by("wWw.up.test", qtype, transport);
            assert_eq!(said(&got), expected, "{word} {qtype} {i}");
            assert_eq!(ruled(&got), decided(word, "www.up.test"));
            assert_eq!((got.message.truncation, got.ede()), (false, ede.clone()), "{word} {qtype}");
            assert!(!got.message.authoritative && got.message.recursion_available);
        }
        assert_eq!(lab.up.asked() > 0, upstream, "{word} {qtype}");
        assert!(lab.up.asked() < 2);
        let counted = format!("{{feed=\"f\",action=\"{word}\"}} 4");
        assert!(lab.f.metrics.render().contains(&counted), "{counted}");
        // The names beside it are nobody's business.
        let other = lab.get("www2.up.test", A);
        assert_eq!((said(&other), ruled(&other)), ("0 1=192.0.2.1".to_owned(), nothing()));
    }
}

#[test]
fn silence_and_truncation() {
    let f = feed("f").rule("drop.up.test", Action::Drop).rule("tcp.up.test", Action::TcpOnly);
    let lab = Lab::new(&[&f]);
    for transport in [Transport::Udp, Transport::Tcp, Transport::Udp] {
        let (wire, got) = lab.ask(&ask("drop.up.test", A), NO_CLIENT, transport, now());
        assert!(wire.is_empty());
        assert_eq!(ruled(&got), decided("drop", "drop.up.test"));
        assert_eq!((got.answered.flags, got.row()["flags"].as_u64()), (0, Some(0)));
    }
    let udp = lab.by("tcp.up.test", A, Transport::Udp);
    assert_eq!((said(&udp), udp.message.truncation), ("0".to_owned(), true));
    assert_eq!(lab.up.asked(), 0, "nobody was asked for nothing");
    let tcp = lab.by("tcp.up.test", A, Transport::Tcp);
    assert_eq!((said(&tcp), tcp.message.truncation), ("0 1=192.0.2.1".to_owned(), false));
    assert!([udp, tcp].iter().all(|g| ruled(g) == decided("tcp-only", "tcp.up.test")));
    assert!(lab.by("tcp.up.test", A, Transport::Udp).message.truncation);
}

#[test]
fn every_trigger() {
    let hit = |trigger: &str, qname: &str, qtype: u16| {
        let lab = Lab::new(&[&feed("f").rule(trigger, Action::Nxdomain)]);
        for again in [false, true] {
            let got = lab.get(qname, qtype);
            assert_eq!(got.message.response_code, ResponseCode::NXDomain, "{trigger} {again}");
            assert_eq!(ruled(&got), decided("nxdomain", trigger));
        }
        lab.up.asked()
    };
    assert_eq!(hit("www.up.test", "www.up.test", A), 0);
    assert_eq!(hit("*.up.test", "a.b.up.test", A), 0);
    assert_eq!(hit("8.0.0.0.127.rpz-client-ip", "www.up.test", A), 0);
    assert_eq!(hit("32.1.2.0.192.rpz-ip", "www.up.test", A), 1);
    assert_eq!(hit("24.0.2.0.192.rpz-ip", "chain.up.test", A), 1);
    assert_eq!(hit("64.zz.db8.2001.rpz-ip", "www.up.test", AAAA), 1);
    assert_eq!(hit("32.55.2.0.192.rpz-ip", "www.up.test", HTTPS), 1);
    // Every name of a chain, in our zones and beyond them.
    assert_eq!(hit("mid.up.test", "chain.up.test", A), 1);
    assert_eq!(hit("end.up.test", "chain.up.test", A), 1);
    assert_eq!(hit("www.our.test", "in.our.test", A), 0);
    assert_eq!(hit("end.up.test", "out.our.test", A), 1);
    assert_eq!(hit("*.wild.our.test", "x.wild.our.test", A), 0);
    assert_eq!(hit("32.80.2.0.192.rpz-ip", "www.our.test", A), 0);
    assert_eq!(hit("32.9.2.0.192.rpz-ip", "out.our.test", A), 1);
    // Servers, as far as we know them: those of our zones, and what upstream said beside its answer.
    assert_eq!(hit("ns.far.test.rpz-nsdname", "www.our.test", A), 0);
    assert_eq!(hit("32.53.2.0.192.rpz-nsip", "www.our.test", A), 0);
    assert_eq!(hit("*.evil.test.rpz-nsdname", "served.up.test", A), 1);
}

#[test]
fn what_cannot_be_evaluated_is_counted() {
    let names = feed("names").rule("ns.evil.test.rpz-nsdname", Action::Nxdomain);
    let addresses = feed("addresses").rule("32.1.2.0.192.rpz-nsip", Action::Nxdomain);
    let lab = Lab::new(&[&names, &addresses]);
    let count = |feed: &str| {
        let line = format!("tracegate_policy_not_evaluable_total{{feed=\"{feed}\"}} ");
        let text = lab.f.metrics.render();
        text.lines().find_map(|l| l.strip_prefix(&line).map(|n| n.parse::<u64>().unwrap()))
    };
    // Once for each answer, however often it is asked for.
    for _ in 0..3 {
        assert_eq!(said(&lab.get("www.up.test", A)), "0 1=192.0.2.1");
    }
    assert_eq!((count("names"), count("addresses")), (Some(1), Some(1)));
    // Of a failure there is nothing to know.
    lab.get("fail.up.test", A);
    assert_eq!(count("names"), Some(1));
}

#[test]
fn the_chain_up_to_the_rule_stays_in_front() {
    let data = local(&[(A, &[198, 51, 100, 7])]);
    let front = "0 5=mid.up.test.";
    for (trigger, action, expected) in [
        ("mid.up.test", Action::Nxdomain, "3 5=mid.up.test.".to_owned()),
        ("mid.up.test", Action::Nodata, front.to_owned()),
        ("mid.up.test", data.clone(), format!("{front} mid.up.test. 1=198.51.100.7")),
        (
            "end.up.test",
            data.clone(),
            format!("{front} mid.up.test. 5=end.up.test. end.up.test. 1=198.51.100.7"),
        ),
        // An address is the last name's.
        (
            "32.9.2.0.192.rpz-ip",
            data,
            format!("{front} mid.up.test. 5=end.up.test. end.up.test. 1=198.51.100.7"),
        ),
        (
            "mid.up.test",
            alias("www.our.test"),
            format!("{front} mid.up.test. 5=www.our.test. www.our.test. 1=192.0.2.80"),
        ),
        (
            "mid.up.test",
            below("wild.our.test"),
            format!(
                "{front} mid.up.test. 5=mid.up.test.wild.our.test. mid.up.test.wild.our.test. 1=192.0.2.81"
            ),
        ),
    ] {
        let lab = Lab::new(&[&feed("f").rule(trigger, action)]);
        for _ in 0..2 {
            let got = lab.get("chain.up.test", A);
            assert_eq!(said(&got), expected, "{trigger}");
            let original = got.row()["original_answers"].as_array().unwrap().len();
            assert_eq!(original, 3, "all that upstream said is on record");
        }
    }
}

#[test]
fn the_record_keeps_what_would_have_been_answered_where_that_is_known() {
    let f = feed("f")
        .rule("www.up.test", Action::Nxdomain)
        .rule("32.1.2.0.192.rpz-ip", alias("www.our.test"));
    let lab = Lab::new(&[]);
    assert_eq!(said(&lab.get("www.up.test", A)), "0 1=192.0.2.1");
    lab.under(set(&[&f]));
    let original = json!([{"owner": "www.up.test", "type": 1, "ttl": 300, "rdata": "192.0.2.1"}]);
    let got = lab.get("www.up.test", A);
    assert_eq!((got.row()["original_answers"].clone(), said(&got)), (original, "3".into()));
    // Nobody is asked for the sake of the record.
    assert_eq!(lab.get("www.up.test", AAAA).row()["original_answers"], json!([]));
    assert_eq!(lab.up.asked(), 1);
    let by_answer = lab.get("other.up.test", A).row();
    assert_eq!(by_answer["original_answers"][0]["rdata"], "192.0.2.1");
    assert_eq!(by_answer["answers"], json!(["192.0.2.80"]));
    assert_eq!(by_answer["answer_names"], json!(["www.our.test"]));
    assert_eq!(
        (&by_answer["rule"], &by_answer["action"]),
        (&json!("32.1.2.0.192.rpz-ip"), &json!("cname"))
    );
}

#[test]
fn tiers_in_dns() {
    let f = |tier| feed("f").rule("www.up.test", Action::Nxdomain).tier(tier);
    let gateway = |p: &mut Policy| p.gateway_addresses = vec!["198.51.100.80".parse().unwrap()];
    let lab = Lab::new(&[&f(Tier::Hint)]);
    let hint = lab.get("www.up.test", A);
    assert_eq!(
        (said(&hint).as_str(), ruled(&hint)),
        ("0 1=192.0.2.1", decided("hint", "www.up.test"))
    );
    assert!(hint.ede().is_empty());
    let lab = Lab::new(&[&f(Tier::Interstitial)]);
    let got = lab.get("www.up.test", A);
    assert_eq!(said(&got), "0 1=192.0.2.1");
    assert_eq!(ruled(&got), decided("interstitial", "www.up.test"));
    let lab = Lab::with(&[&f(Tier::Interstitial)], gateway);
    for (qtype, expected, action) in [
        (A, "0 1=198.51.100.80", "gateway"),
        // The ways around: another family, and hints.
        (AAAA, "0", "gateway"),
        (HTTPS, "0", "gateway"),
        (TXT, "0", "interstitial"),
    ] {
        let got = lab.get("www.up.test", qtype);
        assert_eq!(said(&got), expected, "{qtype}");
        assert_eq!(ruled(&got), decided(action, "www.up.test"));
        assert!(got.message.answers.iter().all(|r| r.ttl == 30));
    }
    let lab = Lab::with(&[&f(Tier::Block)], gateway);
    assert_eq!(said(&lab.get("www.up.test", A)), "3");
    // PASSTHRU passes, whatever the tier.
    let pass = feed("f").rule("www.up.test", Action::Passthru).tier(Tier::Interstitial);
    let lab = Lab::with(&[&pass], gateway);
    assert_eq!(said(&lab.get("www.up.test", A)), "0 1=192.0.2.1");
}

#[test]
fn a_feed_that_observes_is_recorded_and_counted() {
    let observer =
        feed("o").rule("www.up.test", Action::Nxdomain).settings(|s| s.action = Override::Observe);
    let lab = Lab::new(&[&observer]);
    for _ in 0..2 {
        let got = lab.get("www.up.test", A);
        assert_eq!(said(&got), "0 1=192.0.2.1");
        assert_eq!(got.row()["action"], "observe");
        assert_eq!((&got.row()["feed"], &got.row()["rule"]), (&json!("o"), &json!("www.up.test")));
    }
    // Where another acts, it is the one on record, and both are counted.
    lab.under(set(&[&observer, &feed("f").rule("www.up.test", Action::Nodata)]));
    let got = lab.get("www.up.test", A);
    assert_eq!(ruled(&got), decided("nodata", "www.up.test"));
    let text = lab.f.metrics.render();
    assert!(text.contains("{feed=\"o\",action=\"observe\"} 3"), "{text}");
    assert!(text.contains("{feed=\"f\",action=\"nodata\"} 1"));
}

#[test]
fn clients_are_looked_at_at_every_query() {
    let f = feed("f")
        .rule("8.0.0.0.10.rpz-client-ip", Action::Passthru)
        .rule("www.up.test", Action::Nxdomain)
        .rule("32.7.0.0.10.rpz-client-ip", Action::Drop);
    let lab = Lab::new(&[&f]);
    let by = |client: &str, qname: &str| {
        lab.ask(&ask(qname, A), client.parse().unwrap(), Transport::Udp, now())
    };
    for _ in 0..2 {
        let (_, blocked) = by("192.0.2.200", "www.up.test");
        assert_eq!(ruled(&blocked), decided("nxdomain", "www.up.test"));
        let (_, passed) = by("10.1.1.1", "www.up.test");
        assert_eq!(said(&passed), "0 1=192.0.2.1");
        assert_eq!(ruled(&passed), decided("passthru", "8.0.0.0.10.rpz-client-ip"));
        assert_eq!(by("10.0.0.7", "www.up.test").0, b"");
        let (_, plain) = by("192.0.2.200", "other.up.test");
        assert_eq!((said(&plain).as_str(), ruled(&plain)), ("0 1=192.0.2.1", nothing()));
    }
}

#[test]
fn a_swap_is_obeyed_by_the_next_query_and_the_cache_never_serves_the_old() {
    let lab = Lab::new(&[]);
    let block = |version| feed("f").version(version).rule("www.up.test", Action::Nxdomain);
    let by_address = feed("f").version(3).rule("32.1.2.0.192.rpz-ip", Action::Nodata);
    let row = |got: &Got| (said(got), got.row()["feed_version"].clone());
    assert_eq!(row(&lab.get("www.up.test", A)), ("0 1=192.0.2.1".into(), json!("")));
    for _ in 0..2 {
        lab.under(set(&[&block(1)]));
        assert_eq!(row(&lab.get("www.up.test", A)), ("3".into(), json!("1")));
        lab.under(set(&[&block(2)]));
        assert_eq!(row(&lab.get("www.up.test", A)), ("3".into(), json!("2")));
        lab.under(set(&[&by_address]));
        assert_eq!(row(&lab.get("www.up.test", A)), ("0".into(), json!("3")));
        lab.under(set(&[]));
        assert_eq!(row(&lab.get("www.up.test", A)), ("0 1=192.0.2.1".into(), json!("")));
    }
    // A suspended rule is lifted on the next query.
    let suspended = vec![Suspended { feed: "f".into(), rule: "www.up.test".into() }];
    lab.under(set_with(&[&block(4)], Extras { suspended, ..Extras::default() }));
    assert_eq!(said(&lab.get("www.up.test", A)), "0 1=192.0.2.1");
    assert_eq!(lab.up.asked(), 1);
}

#[test]
fn what_waits_for_upstream_obeys_the_set_that_is_in_force_then() {
    let lab = Lab::new(&[]);
    let pending = |qname: &str| {
        let q = ask(qname, A).query();
        match lab.f.resolver.answer(
            &q,
            &lab.f.context(Transport::Udp, Duration::ZERO),
            &mut Vec::new(),
        ) {
            Step::Ask(pending) => lab.f.resolver.resolve(*pending),
            Step::Done(_) => panic!("{qname} needs upstream"),
        }
    };
    let waiting = pending("www.up.test");
    lab.under(set(&[&feed("f").rule("www.up.test", Action::Nxdomain)]));
    let done = lab.f.runtime.block_on(waiting);
    assert_eq!(done.wire[3] & 15, 3);
    // And the other way around: what would have been an alias is lifted meanwhile.
    lab.under(set(&[&feed("f").rule("b.up.test", alias("garden.up.test"))]));
    let waiting = pending("b.up.test");
    lab.under(set(&[]));
    let done = lab.f.runtime.block_on(waiting);
    let message = Message::from_vec(&done.wire).unwrap();
    assert_eq!(message.answers.len(), 1);
    assert_eq!(message.answers[0].name, name("b.up.test."));
}

#[test]
fn rules_begin_and_end_by_the_clock() {
    let times = |from, until| Legal {
        effective_from: Timestamp::from_secs(from),
        expires_at: Timestamp::from_secs(until),
        ..Legal::default()
    };
    let f = feed("f").legal_rule("www.up.test", Action::Nxdomain, times(100, 200)).legal_rule(
        "www.our.test",
        Action::Nodata,
        times(150, 300),
    );
    let lab = Lab::new(&[&f]);
    let at = |qname: &str, now| {
        said(&lab.ask(&ask(qname, A), NO_CLIENT, Transport::Udp, Timestamp::from_secs(now)).1)
    };
    // A first look fills the cache; what is decided while waiting is decided by the real clock.
    lab.get("www.up.test", A);
    for _ in 0..2 {
        for (now, up, our) in [
            (99, "0 1=192.0.2.1", "0 1=192.0.2.80"),
            (100, "3", "0 1=192.0.2.80"),
            (149, "3", "0 1=192.0.2.80"),
            (150, "3", "0"),
            (199, "3", "0"),
            (200, "0 1=192.0.2.1", "0"),
            (300, "0 1=192.0.2.1", "0 1=192.0.2.80"),
        ] {
            assert_eq!(
                (at("www.up.test", now).as_str(), at("www.our.test", now).as_str()),
                (up, our),
                "{now}"
            );
        }
    }
    assert_eq!(lab.up.asked(), 1);
}

#[test]
fn a_failure_is_not_made_a_valid_looking_answer_by_what_an_answer_would_trigger() {
    let f = feed("f")
        .rule("0.0.0.0.0.rpz-ip", Action::Nxdomain)
        .rule("*.evil.test.rpz-nsdname", Action::Nxdomain)
        .rule("other.up.test", Action::Nxdomain);
    let lab = Lab::new(&[&f]);
    for _ in 0..2 {
        let got = lab.get("fail.up.test", A);
        assert_eq!((got.message.response_code, ruled(&got)), (ResponseCode::ServFail, nothing()));
        assert!(got.ede().contains(&6), "why it is bogus: {:?}", got.ede());
    }
    // What rules about the name itself do to it is in `policy_bogus`.
}

#[test]
fn signed_answers_follow_the_setting() {
    let f = feed("f").rule("www.up.test", Action::Nxdomain).rule("www.our.test", Action::Nxdomain);
    let with = |do_bit| Ask { edns: Some((1232, do_bit, false)), ..ask("www.up.test", A) };
    let rewrite = Lab::new(&[&f]);
    let leave = Lab::with(&[&f], |p| p.dnssec = PolicyDnssec::LeaveSigned);
    for _ in 0..2 {
        assert_eq!(said(&rewrite.f.get(&with(true))), "3");
        let signed = leave.f.get(&with(true));
        assert_eq!((signed.message.answers.len(), ruled(&signed).0.as_str()), (2, "leave-signed"));
        assert_eq!(said(&leave.f.get(&with(false))), "3", "who wants no signatures needs none");
        let ours = Ask { edns: Some((1232, true, false)), ..ask("www.our.test", A) };
        assert_eq!(said(&leave.f.get(&ours)), "3", "what is not signed is replaced");
    }
}

#[test]
fn a_feed_that_must_be_there_closes() {
    let mut must = feed("must");
    must.closed = true;
    let lab = Lab::new(&[&must]);
    for qname in ["www.up.test", "www.our.test"] {
        let got = lab.get(qname, A);
        assert_eq!((got.message.response_code, got.ede()), (ResponseCode::ServFail, vec![14]));
        assert_eq!((&got.row()["action"], &got.row()["feed"]), (&json!("closed"), &json!("must")));
    }
    assert_eq!(lab.up.asked(), 0);
    lab.under(set(&[]));
    assert_eq!(said(&lab.get("www.up.test", A)), "0 1=192.0.2.1");
}

#[test]
fn extended_errors_say_why_in_the_words_asked_for() {
    let legal = Legal {
        authority: "通信管理局".into(),
        order_number: "2026-17".into(),
        ..Legal::default()
    };
    let f = feed("f").legal_rule("www.up.test", Action::Nxdomain, legal.clone()).settings(|s| {
        s.ede = Some(EdeNote { code: 16, text: "blocked by order".into() });
        s.contact = "mailto:ask@isp.example abuse@isp.example".into();
        s.justification = "反诈".into();
    });
    let lab = Lab::new(&[&f]);
    let texts = |got: &Got| {
        options(&got.message, 15)
            .map(|o| (u16::from_be_bytes([o[0], o[1]]), String::from_utf8(o[2..].into()).unwrap()))
            .collect::<Vec<_>>()
    };
    let plain = lab.get("www.up.test", A);
    assert_eq!(
        texts(&plain),
        [(16, "blocked by order (authority 下达机关: 通信管理局, order 文号: 2026-17)".to_owned())]
    );
    assert_eq!(plain.row()["ede"], json!([16]));
    // Asked for as the draft has it: an empty error 0.
    let structured = |lab: &Lab| {
        let mut wire = ask("www.up.test", A).wire();
        let end = wire.len();
        wire[end - 1] = 6;
        wire.extend([0, 15, 0, 2, 0, 0]);
        let tracegate::resolver::query::Parsed::Query(q) = tracegate::resolver::query::parse(&wire)
        else {
            panic!("no query")
        };
        let mut out = Vec::new();
        let ctx = lab.f.context(Transport::Udp, Duration::ZERO);
        let Step::Done(_) = lab.f.resolver.answer(&q, &ctx, &mut out) else { panic!("waits") };
        let message = Message::from_vec(&out).unwrap();
        options(&message, 15).map(|o| String::from_utf8(o[2..].into()).unwrap()).next().unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&structured(&lab)).unwrap();
    assert_eq!(
        json,
        json!({
            "c": ["mailto:ask@isp.example", "mailto:abuse@isp.example"],
            "j": "反诈 (authority 下达机关: 通信管理局, order 文号: 2026-17)",
            "o": "通信管理局",
            "l": "zh",
        })
    );
    // Without words of its own, the feed's errors say what happened, in both languages.
    let silent = feed("f").legal_rule("www.up.test", Action::Nxdomain, legal).settings(|s| {
        s.ede = Some(EdeNote { code: 16, text: "".into() });
    });
    assert_eq!(
        texts(&Lab::new(&[&silent]).get("www.up.test", A)),
        [(
            16,
            "Blocked as an authority requires 依主管机关要求拦截 (authority 下达机关: 通信管理局, \
             order 文号: 2026-17)"
                .to_owned()
        )]
    );
    let off = Lab::with(&[&f], |p| p.structured_errors = false);
    assert_eq!(
        structured(&off),
        "blocked by order (authority 下达机关: 通信管理局, order 文号: 2026-17)"
    );
    // Clients without EDNS get none, and their records say so.
    let without = lab.f.get(&Ask { edns: None, ..ask("www.up.test", A) });
    assert_eq!((without.message.edns.is_none(), &without.row()["ede"]), (true, &json!([])));
}

#[test]
fn text_makes_way_before_a_record_does() {
    let long = "x".repeat(240);
    let txt: Vec<u8> = std::iter::once(200).chain([b'y'; 200]).collect();
    let data = local(&[(TXT, &txt), (TXT, &[&txt[..200], b"z"].concat())]);
    let f = feed("f").rule("www.up.test", data).settings(|s| {
        s.ede = Some(EdeNote { code: 15, text: long.as_str().into() });
    });
    let lab = Lab::new(&[&f]);
    let text = |payload| {
        let got =
            lab.f.get(&Ask { edns: Some((payload, false, false)), ..ask("www.up.test", TXT) });
        assert_eq!(
            (got.message.answers.len(), got.ede(), got.message.truncation),
            (2, vec![15], false)
        );
        options(&got.message, 15).next().unwrap().len() - 2
    };
    assert_eq!((text(1232), text(512)), (240, 0));
}

#[test]
fn negative_answers_name_feed_and_version_in_the_additional_section() {
    let f = feed("regulator-a").version(12).rule("www.up.test", Action::Nxdomain);
    let lab = Lab::new(&[&f]);
    let got = lab.get("www.up.test", A);
    assert!(got.message.authorities.is_empty());
    let [soa] = &got.message.additionals[..] else { panic!("{:?}", got.message) };
    assert_eq!((soa.name.to_string().as_str(), soa.ttl), ("regulator-a.", 30));
    assert!(matches!(&soa.data, RData::SOA(s) if s.serial == 12));
}

#[test]
fn precedence_is_one_rule_per_answer() {
    let one = feed("one").rule("www.up.test", Action::Passthru).rule("*.up.test", Action::Nxdomain);
    let two =
        feed("two").rule("www.up.test", Action::Nxdomain).rule("chain.up.test", Action::Nodata);
    let lab = Lab::new(&[&one, &two]);
    let fact = |qname: &str| {
        let got = lab.get(qname, A);
        let row = got.row();
        (said(&got), row["feed"].as_str().unwrap().to_owned())
    };
    assert_eq!(fact("www.up.test"), ("0 1=192.0.2.1".into(), "one".into()));
    assert_eq!(fact("chain.up.test"), ("3".into(), "one".into()));
    lab.under(set(&[&two, &one]));
    assert_eq!(fact("www.up.test"), ("3".into(), "two".into()));
    // The alias of a rule is not looked at again.
    let garden =
        feed("g").rule("a.up.test", alias("b.up.test")).rule("b.up.test", Action::Nxdomain);
    lab.under(set(&[&garden]));
    assert_eq!(fact("a.up.test").0, "0 5=b.up.test. b.up.test. 1=192.0.2.1");
    assert_eq!(fact("b.up.test").0, "3");
}

#[test]
fn refusals_are_none_of_policys() {
    let lab = Lab::new(&[&feed("f").rule("*.up.test", Action::Nxdomain)]);
    let got = lab.f.get(&Ask { rd: false, ..ask("www.up.test", A) });
    assert_eq!((got.message.response_code, ruled(&got)), (ResponseCode::Refused, nothing()));
    let chaos = lab.f.get(&Ask { qclass: 3, ..ask("www.up.test", A) });
    assert_eq!(chaos.message.response_code, ResponseCode::Refused);
    // Our own zones answer those who want no recursion, under the rules.
    lab.under(set(&[&feed("f").rule("www.our.test", Action::Nxdomain)]));
    assert_eq!(said(&lab.f.get(&Ask { rd: false, ..ask("www.our.test", A) })), "3");
}

#[test]
fn a_jumps_addresses_are_those_before_policy() {
    let lab = Lab::new(&[&feed("f").rule("www.up.test", Action::Nxdomain)]);
    let addresses = lab.f.resolver.addresses("www.up.test", Duration::from_secs(5));
    let lookup = lab.f.runtime.block_on(addresses);
    assert_eq!((lookup.outcome, lookup.addresses.len()), ("resolved", 2));
    assert_eq!(said(&lab.get("www.up.test", A)), "3");
}

#[test]
fn a_name_that_an_alias_makes_too_long_stays_blocked() {
    let long = format!("{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(60));
    let qname = format!("{long}.up.test");
    assert!(Name::from_text(&qname).is_ok());
    let garden = format!("{}.test", "g".repeat(60));
    let lab = Lab::new(&[&feed("f").rule("*.up.test", below(&garden))]);
    let got = lab.get(&qname, A);
    assert_eq!((said(&got).as_str(), lab.up.asked()), ("6", 0));
    assert_eq!(ruled(&got), decided("cname", "*.up.test"));
}

#[test]
fn answers_that_rules_made_are_bounded_in_bytes() {
    let f = feed("f").rule("*.up.test", local(&[(TXT, &[200; 201])]));
    let lab = Lab::with(&[&f], |p| p.answers_bytes_max = 64 << 10);
    for n in 0..300 {
        assert_eq!(lab.get(&format!("n{n}.up.test"), TXT).message.answers.len(), 1);
    }
    let (entries, bytes) = lab.f.resolver.made_size();
    assert!(entries > 5 && entries < 100 && bytes <= 64 << 10, "{entries} entries, {bytes} bytes");
    assert_eq!(lab.f.resolver.cache_size().0, 0);
}

#[test]
fn rules_that_change_at_every_question_do_not_keep_a_client_waiting_for_ever() {
    // Whenever upstream is asked, the rule leads elsewhere.
    let in_force = Arc::new(std::sync::OnceLock::<tracegate::policy::InForce>::new());
    let (swap, next) = (Arc::clone(&in_force), std::sync::atomic::AtomicU64::new(0));
    let up = Upstream::new(move |q, tcp| {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let elsewhere = feed("f").rule("www.up.test", alias(&format!("e{n}.up.test")));
        swap.get().unwrap().swap(set(&[&elsewhere]));
        world(q, tcp)
    });
    let f = fixture_under(&[], &[up.address], Policy::default(), |_| ()).unwrap();
    in_force.set(f.in_force.clone()).unwrap();
    f.in_force.swap(set(&[&feed("f").rule("www.up.test", alias("first.up.test"))]));
    let got = f.get(&ask("www.up.test", A));
    assert_eq!((got.message.response_code, up.asked()), (ResponseCode::ServFail, 5));
}
