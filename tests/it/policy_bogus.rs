//! Rules and answers that a validating upstream refuses: a bogus answer never becomes one that
//! looks valid.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use hickory_proto::{
    op::{Edns, ResponseCode},
    rr::rdata::opt::EdnsOption,
};
use tempfile::TempDir;
use tracegate::{
    config::{Dns, Policy},
    policy::{Action, Tier},
    resolver::Transport,
};

use crate::{
    dns_client::{Fixture, Got, ask, fixture_under, free_port},
    forward::{Upstream, a, asked_name, reply, soa},
    harness::eventually,
    policy_lab::{Feed, alias, below, feed, local, set},
};

const A: u16 = 1;

/// Unbound, which has a trust anchor for `bogus.zz` and asks somebody who has no signatures.
struct Validator {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
    _world: Upstream,
}

impl Validator {
    /// One that says why it fails, or one that does not, as is its default.
    fn start(says_why: bool) -> Self {
        let world = Upstream::new(|q, _| {
            let mut m = reply(q, ResponseCode::NoError);
            match u16::from(q.queries[0].query_type()) {
                A => m.answers = vec![a(&asked_name(q), 300, 1)],
                _ => m.authorities = vec![soa("zz.", 60, 60)],
            }
            Some(m)
        });
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let conf = format!(
            "server:\n num-threads: 1\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n \
             username: \"\"\n chroot: \"\"\n directory: \"{d}\"\n pidfile: \"{d}/unbound.pid\"\n \
             use-syslog: no\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n \
             module-config: \"validator iterator\"\n qname-minimisation: no\n ede: {ede}\n \
             trust-anchor: \"bogus.zz. DS 4711 13 2 {digest}\"\n\
             remote-control:\n control-enable: no\n\
             forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{up}\n",
            d = dir.path().display(),
            ede = if says_why { "yes" } else { "no" },
            digest = "ab".repeat(32),
            up = world.address.port(),
        );
        let path = dir.path().join("unbound.conf");
        fs::write(&path, conf).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("/usr/sbin/unbound")
            .args(["-d", "-p", "-c"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("unbound: run scripts/test-deps");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let validator = Self { address, child, _dir: dir, _world: world };
        eventually("unbound answers", || {
            let f = validator.resolver();
            (f.get(&ask("up.zz", A)).message.response_code == ResponseCode::NoError).then_some(())
        });
        validator
    }

    /// A resolver of ours that asks it.
    fn resolver(&self) -> Fixture {
        let rules =
            Policy { gateway_addresses: vec!["192.0.2.99".parse().unwrap()], ..Policy::default() };
        let zone =
            "$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nout CNAME x.bogus.zz.\n";
        fixture_under(&[("our.test", zone)], &[self.address], rules, |_| ()).unwrap()
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Feeds that put something valid-looking in the place of an answer.
fn rewriting(name: &str) -> Vec<Feed> {
    let block = [
        Action::Nxdomain,
        Action::Nodata,
        local(&[(A, &[192, 0, 2, 7])]),
        alias("good.zz"),
        below("garden.zz"),
    ];
    let blocks = block.into_iter().map(|action| feed("f").rule(name, action));
    let gateway = feed("f").rule(name, Action::Nxdomain).tier(Tier::Interstitial);
    blocks.chain([gateway]).collect()
}

/// The code, the number of records, and the columns of the rule.
fn said(got: &Got) -> (ResponseCode, usize, String, String, String) {
    let row = got.row();
    let text = |c: &str| row[c].as_str().unwrap().to_owned();
    let records = got.message.answers.iter().filter(|r| u16::from(r.record_type()) == A).count();
    (got.message.response_code, records, text("action"), text("feed"), text("rule"))
}

fn left(rule: &str) -> (ResponseCode, usize, String, String, String) {
    (ResponseCode::ServFail, 0, "leave-bogus".into(), "f".into(), rule.into())
}

#[test]
fn a_bogus_answer_that_is_known_stays_servfail_whatever_the_rule() {
    for says_why in [true, false] {
        let validator = Validator::start(says_why);
        for f in rewriting("x.bogus.zz") {
            // It is in the cache before the rule is in force.
            let lab = validator.resolver();
            let plain = lab.get(&ask("x.bogus.zz", A));
            assert_eq!(plain.message.response_code, ResponseCode::ServFail);
            assert_eq!(plain.ede().iter().any(|e| (5..=12).contains(e)), says_why);
            lab.in_force.swap(set(&[&f]));
            for _ in 0..2 {
                let got = lab.get(&ask("x.bogus.zz", A));
                assert_eq!(said(&got), left("x.bogus.zz"));
                assert_eq!(got.ede().iter().any(|e| (5..=12).contains(e)), says_why, "why");
            }
            // The same with feeds that do not wait, and behind an alias of our own zone.
            let hasty = f.settings(|s| s.qname_wait_recurse = false);
            lab.in_force.swap(set(&[&hasty]));
            assert_eq!(said(&lab.get(&ask("x.bogus.zz", A))), left("x.bogus.zz"));
            assert_eq!(said(&lab.get(&ask("out.our.test", A))), left("x.bogus.zz"));
        }
        // It is asked for because an earlier feed might decide by the answer.
        for f in rewriting("*.bogus.zz") {
            let lab = validator.resolver();
            let early = feed("early").rule("32.200.2.0.192.rpz-ip", Action::Nxdomain);
            lab.in_force.swap(set(&[&early, &f]));
            for _ in 0..2 {
                assert_eq!(said(&lab.get(&ask("y.bogus.zz", A))), left("*.bogus.zz"));
            }
        }
    }
}

#[test]
fn what_does_not_look_valid_is_done_to_a_bogus_answer_too() {
    let validator = Validator::start(true);
    let lab = validator.resolver();
    lab.get(&ask("x.bogus.zz", A));
    let check = |action: Action, tier: Tier, expected: &str, truncated: bool| {
        lab.in_force.swap(set(&[&feed("f").rule("x.bogus.zz", action).tier(tier)]));
        let got = lab.get(&ask("x.bogus.zz", A));
        assert_eq!(
            (got.row()["action"].as_str(), got.message.truncation),
            (Some(expected), truncated)
        );
        assert!(got.message.answers.is_empty());
    };
    check(Action::TcpOnly, Tier::Block, "tcp-only", true);
    check(Action::Passthru, Tier::Block, "passthru", false);
    check(Action::Nxdomain, Tier::Hint, "hint", false);
    let by = |transport| lab.get_by(&ask("x.bogus.zz", A), transport, std::time::Duration::ZERO);
    lab.in_force.swap(set(&[&feed("f").rule("x.bogus.zz", Action::TcpOnly)]));
    assert_eq!(by(Transport::Tcp).message.response_code, ResponseCode::ServFail);
}

#[test]
fn where_a_rule_decides_before_anybody_is_asked_nothing_is_known() {
    let validator = Validator::start(true);
    let lab = validator.resolver();
    lab.in_force.swap(set(&[&feed("f").rule("x.bogus.zz", Action::Nxdomain)]));
    let got = lab.get(&ask("x.bogus.zz", A));
    assert_eq!(
        (got.message.response_code, got.row()["upstream"].as_str()),
        (ResponseCode::NXDomain, Some(""))
    );
}

#[test]
fn a_failure_with_another_cause_is_none_of_it() {
    for (rcode, why, bogus) in [
        (ResponseCode::ServFail, Some(22), false),
        (ResponseCode::ServFail, Some(7), true),
        (ResponseCode::ServFail, None, false),
        (ResponseCode::Refused, None, false),
    ] {
        let up = Upstream::new(move |q, _| {
            let mut m = reply(q, rcode);
            if let Some(why) = why {
                let mut edns = Edns::new();
                edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, why]));
                m.edns = Some(edns);
            }
            Some(m)
        });
        let lab = fixture_under(&[], &[up.address], Policy::default(), |_| ()).unwrap();
        lab.get(&ask("lame.zz", A));
        lab.in_force.swap(set(&[&feed("f").rule("lame.zz", Action::Nxdomain)]));
        let code = lab.get(&ask("lame.zz", A)).message.response_code;
        let expected = if bogus { ResponseCode::ServFail } else { ResponseCode::NXDomain };
        assert_eq!(code, expected, "{rcode} {why:?}");
    }
}

#[test]
fn whoever_does_not_say_why_it_fails_is_asked_once_more_without_checking() {
    // What it does then: nothing, fail again, or answer what it found forged.
    for (unchecked, expected) in [
        (None, ResponseCode::ServFail),
        (Some(ResponseCode::ServFail), ResponseCode::NXDomain),
        (Some(ResponseCode::Refused), ResponseCode::NXDomain),
        (Some(ResponseCode::NoError), ResponseCode::ServFail),
        (Some(ResponseCode::NXDomain), ResponseCode::ServFail),
    ] {
        let (checked, not) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let asked = (Arc::clone(&checked), Arc::clone(&not));
        let up = Upstream::new(move |q, _| {
            let cd = q.metadata.checking_disabled;
            (if cd { &asked.1 } else { &asked.0 }).fetch_add(1, Ordering::Relaxed);
            let rcode = if cd { unchecked? } else { ResponseCode::ServFail };
            let mut m = reply(q, rcode);
            match rcode {
                ResponseCode::NoError => m.answers = vec![a(&asked_name(q), 300, 1)],
                _ => m.authorities = vec![soa("zz.", 60, 60)],
            }
            Some(m)
        });
        let zone = "$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nout CNAME lame.zz.\n";
        let soon = |dns: &mut Dns| {
            (dns.upstream.timeout_ms, dns.cache_failure_ttl_s) = (500, 60);
        };
        let lab =
            fixture_under(&[("our.test", zone)], &[up.address], Policy::default(), soon).unwrap();
        lab.get(&ask("lame.zz", A));
        assert_eq!(not.load(Ordering::Relaxed), 0, "no rule would act");
        lab.in_force.swap(set(&[&feed("f").rule("lame.zz", Action::Nxdomain)]));
        for name in ["lame.zz", "lame.zz", "out.our.test"] {
            let code = lab.get(&ask(name, A)).message.response_code;
            assert_eq!(code, expected, "{name}: {unchecked:?}");
        }
        if unchecked.is_some() {
            let times = (checked.load(Ordering::Relaxed), not.load(Ordering::Relaxed));
            assert_eq!(times, (1, 1), "{unchecked:?}");
        }
    }
}
