//! The ways around a rule, and the corners of what it covers: hints, aliases of whole subtrees,
//! wildcards, overrides. Silence and truncation on real sockets are in `policy_front`.

use hickory_proto::op::ResponseCode;
use tracegate::{
    config::Policy,
    policy::{Action, Override, Tier},
    resolver::Transport,
};

use crate::{
    policy_dns::{Lab, decided, nothing, ruled, said},
    policy_lab::{alias, below, feed, local, set},
};

const A: u16 = 1;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;

#[test]
fn a_rewritten_name_has_no_service_bindings() {
    let gateway = |p: &mut Policy| p.gateway_addresses = vec!["198.51.100.80".parse().unwrap()];
    let data = local(&[(A, &[198, 51, 100, 7])]);
    for (action, tier, word) in [
        (data, Tier::Block, "local-data"),
        (Action::Nodata, Tier::Block, "nodata"),
        (alias("www.our.test"), Tier::Block, "cname"),
        (below("wild.our.test"), Tier::Block, "cname"),
        (Action::Nxdomain, Tier::Interstitial, "gateway"),
    ] {
        let lab = Lab::with(&[&feed("f").rule("hints.up.test", action).tier(tier)], gateway);
        for qtype in [HTTPS, SVCB, HTTPS, SVCB] {
            let got = lab.get("hints.up.test", qtype);
            assert_eq!((said(&got).as_str(), ruled(&got)), ("0", decided(word, "hints.up.test")));
        }
        assert_eq!(lab.up.asked(), 0, "nobody is asked what is not told");
    }
}

#[test]
fn what_merely_tells_takes_no_force_from_what_stops() {
    let gateway = |p: &mut Policy| p.gateway_addresses = vec!["198.51.100.80".parse().unwrap()];
    let weak = |tier| feed("weak").rule("www.up.test", Action::Nxdomain).tier(tier);
    let block = feed("strong").rule("www.up.test", Action::Nxdomain);
    let by_answer = feed("strong").rule("32.1.2.0.192.rpz-ip", Action::Nodata);
    let pass = feed("strong").rule("www.up.test", Action::Passthru);
    let case = |tier, other, with: fn(&mut Policy), expected: &str, action| {
        let lab = Lab::with(&[&weak(tier), other], with);
        for _ in 0..2 {
            let got = lab.get("www.up.test", A);
            assert_eq!(said(&got), expected, "{tier:?}");
            assert_eq!(got.row()["action"], action, "{tier:?}");
        }
    };
    let none: fn(&mut Policy) = |_| {};
    for tier in [Tier::Hint, Tier::Interstitial] {
        case(tier, &block, none, "3", "nxdomain");
        case(tier, &by_answer, none, "0", "nodata");
    }
    // An exception behind it does not silence it, and one before it does.
    case(Tier::Hint, &pass, none, "0 1=192.0.2.1", "hint");
    let lab = Lab::new(&[&pass, &weak(Tier::Hint)]);
    assert_eq!(lab.get("www.up.test", A).row()["action"], "passthru");
    // A warning that is shown acts.
    case(Tier::Interstitial, &block, gateway, "0 1=198.51.100.80", "gateway");
    case(Tier::Hint, &block, gateway, "3", "nxdomain");
}

#[test]
fn the_apex_of_a_served_zone_stays() {
    let lab = Lab::new(&[&feed("f")
        .rule("*.our.test.rpz-nsdname", Action::Nxdomain)
        .rule("0.0.0.0.0.rpz-nsip", Action::Nxdomain)
        .rule("0.0.0.0.0.rpz-ip", Action::Nxdomain)]);
    for qtype in [A, 6, 2] {
        let got = lab.get("our.test", qtype);
        assert_eq!(got.message.response_code, ResponseCode::NoError, "{qtype}");
        assert_eq!(ruled(&got), nothing(), "{qtype}");
    }
    // What is below it may be listed.
    assert_eq!(said(&lab.get("www.our.test", A)), "3");
}

#[test]
fn hints_of_both_families_are_addresses_of_an_answer() {
    for trigger in ["32.65.2.0.192.rpz-ip", "32.66.2.0.192.rpz-ip", "128.66.zz.db8.2001.rpz-ip"] {
        for qtype in [HTTPS, SVCB] {
            let lab = Lab::new(&[&feed("f").rule(trigger, local(&[(A, &[198, 51, 100, 7])]))]);
            for _ in 0..2 {
                let got = lab.get("hints.up.test", qtype);
                assert_eq!(said(&got), "0", "hints that lead there are not told: {trigger}");
                assert_eq!(ruled(&got), decided("local-data", trigger));
            }
        }
    }
    let lab = Lab::new(&[&feed("f").rule("32.67.2.0.192.rpz-ip", Action::Nxdomain)]);
    assert_eq!(ruled(&lab.get("hints.up.test", HTTPS)), nothing());
}

#[test]
fn an_alias_of_a_whole_subtree_is_part_of_the_chain() {
    // `below` of our zone is all of `far.up.test`, by DNAME.
    let lab = Lab::new(&[&feed("f").rule("a.far.up.test", Action::Nxdomain)]);
    for _ in 0..2 {
        let got = lab.get("a.below.our.test", A);
        assert_eq!(got.message.response_code, ResponseCode::NXDomain, "{}", said(&got));
        assert_eq!(ruled(&got), decided("nxdomain", "a.far.up.test"));
    }
    assert_eq!(ruled(&lab.get("b.below.our.test", A)), nothing());
}

#[test]
fn a_garden_gets_every_name_wherever_it_is_from() {
    let garden = feed("f")
        .rule("*.up.test", below("wild.our.test"))
        .rule("www.our.test", below("wild.our.test"));
    let lab = Lab::new(&[]);
    // The answers are known before the rules are there, and after.
    for round in 0..3 {
        for (name, target) in [
            ("x.up.test", "x.up.test.wild.our.test."),
            ("y.x.up.test", "y.x.up.test.wild.our.test."),
            ("www.our.test", "www.our.test.wild.our.test."),
        ] {
            let got = lab.get(name, A);
            if round == 0 {
                assert_eq!(ruled(&got), nothing());
            } else {
                assert_eq!(said(&got), format!("0 5={target} {target} 1=192.0.2.81"));
            }
        }
        lab.under(set(&[&garden]));
    }
    // The apex of a wildcard is not below itself.
    assert_eq!(ruled(&lab.get("up.test", A)), nothing());
    // By an alias of our own zone, the name it led to is what is put before the garden.
    let got = lab.get("in.our.test", A);
    assert!(said(&got).contains("5=www.our.test.wild.our.test."), "{}", said(&got));
}

#[test]
fn wildcards_at_the_apex_and_at_empty_names() {
    let rules =
        || feed("f").rule("*.up.test", Action::Nodata).rule("a.b.up.test", Action::Nxdomain);
    let lab = Lab::new(&[&rules()]);
    let subtree = Lab::new(&[&rules().settings(|s| s.subtree = true)]);
    for (name, said_, and_below) in [
        // The apex is not below itself, unless the feed means everything there.
        ("up.test", "0 1=192.0.2.1", "0"),
        // `b.up.test` is empty; the wildcard counts there, and beside what is further down.
        ("b.up.test", "0", "0"),
        ("c.b.up.test", "0", "0"),
        ("a.b.up.test", "3", "3"),
        ("x.a.b.up.test", "0", "3"),
        ("test", "0 1=192.0.2.1", "0 1=192.0.2.1"),
    ] {
        for _ in 0..2 {
            assert_eq!(said(&lab.get(name, A)), said_, "{name}");
            assert_eq!(said(&subtree.get(name, A)), and_below, "{name}, with subtree");
        }
    }
}

#[test]
fn what_a_feeds_override_says_is_done_whatever_its_rules_say() {
    let check = |action: Action, transport, expected: &str, word: &str| {
        // What lets through is an exception from the others, and stays one.
        let f = feed("f").rule("www.up.test", Action::Passthru);
        let f = f.settings(|s| s.action = Override::Action(action.clone()));
        let got = Lab::new(&[&f]).by("www.up.test", A, transport);
        let through = ("0 1=192.0.2.1", decided("passthru", "www.up.test"));
        assert_eq!((said(&got).as_str(), ruled(&got)), through);
        for own in [Action::Nxdomain, Action::Drop, alias("www.our.test")] {
            let f = feed("f").rule("www.up.test", own);
            let f = f.settings(|s| s.action = Override::Action(action.clone()));
            let lab = Lab::new(&[&f]);
            let got = lab.by("www.up.test", A, transport);
            assert_eq!(
                (said(&got).as_str(), ruled(&got)),
                (expected, decided(word, "www.up.test"))
            );
        }
    };
    check(Action::Nodata, Transport::Udp, "0", "nodata");
    check(Action::Passthru, Transport::Udp, "0 1=192.0.2.1", "passthru");
    check(Action::TcpOnly, Transport::Udp, "0", "tcp-only");
    check(Action::TcpOnly, Transport::Tcp, "0 1=192.0.2.1", "tcp-only");
    let garden = "0 5=www.up.test.wild.our.test. www.up.test.wild.our.test. 1=192.0.2.81";
    check(below("wild.our.test"), Transport::Udp, garden, "cname");
    // With the address family of IPv6, the same rule and no answer of that kind.
    let f = feed("f").rule("www.up.test", local(&[(A, &[198, 51, 100, 7])]));
    assert_eq!(said(&Lab::new(&[&f]).get("www.up.test", AAAA)), "0");
}
