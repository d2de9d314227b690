//! Zones on real servers, good and broken in every way, and what is found of each.

use std::{collections::BTreeSet, time::Duration};

use tracegate::{
    clock::Clock,
    verify::{
        Area, Check, Dossier, Fault, Finding, Outcome, RULES_VERSION, Severity, Unasked, Verdict,
        dns::{Grounds, plan::Plan, reply::OwnName},
        evidence::{Bundle, Got},
        gather,
    },
};

use crate::{
    verify_lab::{FIRST, Lab, ROOT, Zone},
    verify_scenarios::{Scenario, scenarios, zones},
};

fn name(text: &str) -> OwnName {
    text.parse().unwrap()
}

pub(crate) struct World {
    pub(crate) lab: Lab,
    settings: gather::Settings,
    grounds: Grounds,
}

impl World {
    fn new(zones: &[Zone], more: &str) -> Self {
        Self::of(Lab::start(zones, more))
    }

    pub(crate) fn of(lab: Lab) -> Self {
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

    pub(crate) fn gather(&self, host: &str) -> (Plan, Bundle) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let domain = host.rsplitn(3, '.').take(2).collect::<Vec<_>>();
        let domain = name(&format!("{}.{}", domain[1], domain[0]));
        let clock = Clock::system();
        let host = name(host);
        let probe = "nobody-made-this";
        runtime.block_on(gather::resolution(&self.settings, &clock, &host, &domain, probe))
    }

    fn dossier(&self, host: &str) -> Dossier {
        let (plan, bundle) = self.gather(host);
        Dossier {
            rules_version: RULES_VERSION.to_owned(),
            at: Clock::system().now(),
            subject: host.to_owned(),
            kind: "host".to_owned(),
            network: true,
            address: None,
            registered_domain: String::new(),
            registrable_domain: String::new(),
            declared: None,
            alike: None,
            rows: Vec::new(),
            filed: None,
            own_zone: false,
            listed: Vec::new(),
            asns: std::collections::BTreeMap::new(),
            plan: Some(plan),
            grounds: self.grounds.clone(),
            bundle,
        }
    }

    pub(crate) fn verdict(&self, host: &str) -> Verdict {
        let dossier = self.dossier(host);
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
    /// `true`, or has nothing to do. What is otherwise is returned.
    fn check(&self, scenario: &Scenario) -> Option<String> {
        let Scenario { what, host, overall, expected, .. } = scenario;
        let verdict = self.verdict(host);
        let mut expected: BTreeSet<String> =
            expected.iter().map(|(id, outcome)| format!("{id} {outcome}")).collect();
        expected.insert((*overall).to_owned());
        let mut found = BTreeSet::from([verdict.overall.name().to_owned()]);
        for finding in &verdict.findings {
            let well = matches!(finding.outcome, Outcome::True | Outcome::NotApplicable);
            // What nobody loaded data for is no finding of the zone.
            let is_bare = finding.outcome == Outcome::NotEvaluated(Unasked::NoSource);
            // Nobody has to mend it, and no verdict changes by it.
            let is_small = finding.outcome == Outcome::False && finding.severity == Severity::Info;
            if !well && !is_bare && !is_small {
                found.insert(format!("{} {}", finding.id.entry().id, finding.outcome.name()));
            }
        }
        let is_open = |f: &&Finding| !matches!(f.outcome, Outcome::True | Outcome::NotApplicable);
        let open: Vec<&Finding> = verdict.findings.iter().filter(is_open).collect();
        (found != expected)
            .then(|| format!("{what}, {host}: {found:?}, not {expected:?}: {open:#?}"))
    }
}

#[test]
fn zones_are_found_as_they_are() {
    let all = scenarios();
    assert!(all.len() > 40, "{}", all.len());
    let world = World::new(&zones(), "");
    let wrong: Vec<String> = all.iter().filter_map(|s| world.check(s)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// Whatever fails to answer, and however: nothing that was not found to be false becomes it.
#[test]
fn no_fault_of_any_server_is_held_against_a_zone() {
    let world = World::new(&zones(), "");
    let faults = [
        Fault::Unresolved,
        Fault::Unreachable,
        Fault::Untrusted,
        Fault::Silent,
        Fault::RateLimited { retry_at: None },
        Fault::Failed { status: 2 },
        Fault::NotAuthoritative,
        Fault::Malformed { why: "x".into() },
        Fault::Cut { at: 1 },
        Fault::Refused,
        Fault::Spared,
        Fault::Deadline,
    ];
    for host in ["www.good.test", "www.signed.test", "www.nsec3.test", "to.alias.test"] {
        let whole = world.dossier(host);
        let bad = |dossier: &Dossier| -> BTreeSet<&'static str> {
            let found = dossier.judge().unwrap().findings;
            let bad = found.iter().filter(|f| f.outcome == Outcome::False);
            bad.map(|f| f.id.entry().id).collect()
        };
        let before = bad(&whole);
        let count = whole.bundle.observations.len();
        // Each alone, and then any of them together.
        let alone = (0..count).map(|at| vec![(at, at)]);
        let mut random = Numbers(7);
        let together = (0..2_000).map(|_| {
            let share = random.below(100);
            let each = (0..count).map(|at| (at, random.below(100), random.below(100)));
            let hit = each.filter(|(_, dice, _)| *dice < share);
            hit.map(|(at, _, which)| (at, which)).collect::<Vec<_>>()
        });
        let cases: Vec<Vec<(usize, usize)>> = alone.chain(together).collect();
        for case in cases {
            let mut dossier = whole.clone();
            for (at, which) in &case {
                let fault = faults[which % faults.len()].clone();
                dossier.bundle.observations[*at].got = Got::Fault(fault);
            }
            let after = bad(&dossier);
            let new: Vec<_> = after.difference(&before).collect();
            assert!(new.is_empty(), "{host}: {new:?} of {case:?}: {:#?}", dossier.judge());
        }
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) % end as u64) as usize
    }
}
