//! Zones on real servers, good and broken in every way, and what is found of each.

use std::{collections::BTreeMap, time::Duration};

use tracegate::{
    clock::Clock,
    verify::{
        Area, Check, Dossier, Finding, Outcome, RULES_VERSION, Verdict,
        dns::{Grounds, plan::Plan, reply::OwnName},
        evidence::Bundle,
        gather,
    },
};

use crate::verify_lab::{BOTH, FIRST, Lab, ROOT, Signed, Zone, text};

fn name(text: &str) -> OwnName {
    text.parse().unwrap()
}

struct World {
    lab: Lab,
    settings: gather::Settings,
    grounds: Grounds,
}

impl World {
    fn new(zones: &[Zone], more: &str) -> Self {
        let lab = Lab::start(zones, more);
        let allow = vec!["127.0.0.0/8".parse().unwrap()];
        let settings = gather::Settings {
            roots: vec![(name("ns.root"), ROOT.into())],
            port: lab.port,
            servers_allow: allow.clone(),
            attempts: 2,
            timeout: Duration::from_millis(700),
            deadline: Duration::from_secs(20),
            questions_max: 400,
            servers_max: 16,
            keep: Duration::from_secs(3_600),
            vantage: "here".into(),
        };
        let grounds = Grounds { servers_allow: allow, anchors: lab.anchors.clone() };
        Self { lab, settings, grounds }
    }

    fn gather(&self, host: &str) -> (Plan, Bundle) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let domain = host.rsplitn(3, '.').take(2).collect::<Vec<_>>();
        let domain = name(&format!("{}.{}", domain[1], domain[0]));
        let clock = Clock::system();
        let host = name(host);
        let probe = "nobody-made-this";
        runtime.block_on(gather::resolution(&self.settings, &clock, &host, &domain, probe))
    }

    fn verdict(&self, host: &str) -> Verdict {
        let (plan, bundle) = self.gather(host);
        let dossier = Dossier {
            rules_version: RULES_VERSION.to_owned(),
            at: Clock::system().now(),
            subject: host.to_owned(),
            kind: "host".to_owned(),
            network: true,
            address: None,
            registered_domain: String::new(),
            registrable_domain: String::new(),
            alike: None,
            rows: Vec::new(),
            plan: Some(plan),
            grounds: self.grounds.clone(),
            bundle,
        };
        let verdict = dossier.judge().unwrap();
        // The same evidence gives the same verdict, written down and read again.
        let again = Dossier::unpack(&dossier.packed(), dossier.bundle.bodies.clone()).unwrap();
        assert_eq!(again, dossier);
        assert_eq!(again.judge().unwrap(), verdict);
        // Registries have servers of their own in the tests, and are another test's.
        let of_dns = |f: &Finding| f.id.entry().cell.0 != Area::Registration;
        Verdict::of(verdict.subject, verdict.findings.into_iter().filter(of_dns).collect())
    }

    /// Holds the findings about a name to what is expected: every check that is not named is
    /// `true`, or has nothing to do.
    fn check(&self, host: &str, overall: &str, expected: &[(&str, &str)]) {
        let verdict = self.verdict(host);
        let expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
        for finding in &verdict.findings {
            let id = finding.id.entry().id;
            let found = finding.outcome.name();
            let well = matches!(finding.outcome, Outcome::True | Outcome::NotApplicable);
            match expected.get(id) {
                Some(wanted) => assert_eq!(found, *wanted, "{host} {id}: {finding:#?}"),
                None => assert!(well, "{host} {id}: {finding:#?}"),
            }
        }
        for id in expected.keys() {
            assert!(Check::ALL.iter().any(|c| c.entry().id == *id), "{id}");
        }
        assert_eq!(verdict.overall.name(), overall, "{host}: {verdict:#?}");
    }
}

pub(crate) fn zones() -> Vec<Zone> {
    let www = "@ A 5.6.7.8\nwww A 5.6.7.8\n";
    let lines = |more: &str| format!("{BOTH}{www}{more}");
    vec![
        Zone::good("good"),
        Zone::good("signed").signed(Signed::Yes),
        Zone::good("expired").signed(Signed::Expired),
        Zone::good("nods").signed(Signed::NoDs),
        Zone::good("otherds").signed(Signed::OtherDs),
        Zone::good("altered").signed(Signed::Altered),
        Zone::good("stripped").signed(Signed::Stripped),
        Zone::good("mismatch")
            .lines(&format!("@ NS ns1\n@ NS ns3\nns1 A 127.0.0.1\nns3 A 127.30.1.1\n{www}")),
        Zone::good("glue")
            .lines(&format!("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.1.7\n{www}")),
        Zone::good("lame").second(None),
        Zone { texts: [None, None], ..Zone::good("nobody") },
        Zone::good("drift").second(Some(text(2, &lines("")))),
        Zone::good("differ").second(Some(text(1, &format!("{BOTH}@ A 5.6.7.8\nwww A 5.6.7.9\n")))),
        Zone::good("dangling").lines(&lines("gone CNAME www.never-made.test.\n")),
        Zone::good("mail").lines(&lines("@ MX 10 mx.never-made.test.\n")),
        Zone::good("away")
            .delegated("@ NS ns1\n@ NS ns.never-made.test.\nns1 A 127.0.0.1\n")
            .lines(&format!("@ NS ns1\n@ NS ns.never-made.test.\nns1 A 127.0.0.1\n{www}")),
        Zone::good("wild").lines(&lines("* A 5.6.7.8\n")),
        Zone::good("dead")
            .delegated("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.9.9\n")
            .lines(&format!("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.9.9\n{www}")),
        Zone::good("single")
            .delegated("@ NS ns1\nns1 A 127.0.0.1\n")
            .lines(&format!("@ NS ns1\nns1 A 127.0.0.1\n{www}")),
        Zone::good("short").lines(&format!("{BOTH}@ A 5.6.7.8\nwww 30 A 5.6.7.8\n")),
        Zone::good("private").lines(&format!("{BOTH}@ A 5.6.7.8\nwww A 10.1.2.3\n")),
        Zone::good("inside")
            .delegated("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 10.9.9.9\n")
            .lines(&format!("@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 10.9.9.9\n{www}")),
        Zone::good("alias").lines(&lines("to CNAME www.good.test.\n")),
        Zone::good("odd").lines(&lines("under_score A 5.6.7.8\n")),
        Zone::good("hosted")
            .delegated("@ NS ns1.good.test.\n@ NS ns2.good.test.\n")
            .lines(&format!("@ NS ns1.good.test.\n@ NS ns2.good.test.\n{www}")),
    ]
}

#[test]
fn zones_are_found_as_they_are() {
    let world = World::new(&zones(), "");
    world.check("www.good.test", "verified", &[]);
    world.check("good.test", "verified", &[]);
    world.check("www.signed.test", "verified", &[]);
    world.check("www.hosted.test", "verified", &[]);
    world.check("to.alias.test", "verified", &[]);
    world.check("www.expired.test", "discrepant", &[("RES-07", "false")]);
    world.check("www.otherds.test", "discrepant", &[("RES-07", "false")]);
    world.check("www.altered.test", "discrepant", &[("RES-07", "false")]);
    world.check("www.stripped.test", "discrepant", &[("RES-07", "false")]);
    world.check("www.nods.test", "verified", &[]);
    world.check("www.mismatch.test", "discrepant", &[("RES-04", "false"), ("RES-05", "false")]);
    world.check("www.glue.test", "discrepant", &[("RES-05", "false")]);
    world.check("www.lame.test", "discrepant", &[("RES-03", "false")]);
    world.check("www.drift.test", "discrepant", &[("RES-06", "false")]);
    world.check("www.differ.test", "discrepant", &[("RES-09", "false")]);
    world.check("gone.dangling.test", "discrepant", &[("RES-12", "false")]);
    world.check("www.mail.test", "discrepant", &[("RES-12", "false")]);
    world.check("www.away.test", "discrepant", &[("RES-12", "false"), ("RES-17", "false")]);
    world.check("www.wild.test", "verified_with_notes", &[("RES-18", "false")]);
    world.check("www.dead.test", "verified_with_notes", &[("RES-03", "unknown")]);
    world.check("www.single.test", "verified_with_notes", &[("RES-17", "false")]);
    world.check("www.short.test", "verified_with_notes", &[("RES-16", "false")]);
    world.check("www.private.test", "discrepant", &[("IP-01", "false")]);
    world.check(
        "www.inside.test",
        "discrepant",
        &[("RES-03", "not_evaluated"), ("RES-14", "false")],
    );
    world.check("under_score.odd.test", "verified_with_notes", &[("RES-19", "false")]);
}

#[test]
fn what_nobody_serves_is_not_verified_and_not_accused() {
    let world = World::new(&zones(), "");
    let verdict = world.verdict("www.nobody.test");
    let found = |id: Check| verdict.findings.iter().find(|f| f.id == id).unwrap();
    // Both were heard and have no such zone.
    assert_eq!(found(Check::Res02).outcome, Outcome::False);
    assert_eq!(found(Check::Res01).outcome, Outcome::True);
    assert_eq!(verdict.overall.name(), "discrepant");
    let verdict = world.verdict("www.never-made.test");
    let found = |id: Check| verdict.findings.iter().find(|f| f.id == id).unwrap();
    assert_eq!(found(Check::Res01).outcome, Outcome::False, "{verdict:#?}");
    assert_eq!(found(Check::Res02).outcome.name(), "not_evaluated", "{verdict:#?}");
    assert_eq!(world.lab.port, world.settings.port);
    assert_eq!(FIRST.octets()[0], 127);
}
