//! The same zones given to Zonemaster and DNSViz: where they and we agree, and why not where not. The
//! table is part of the manual; `make agreement` writes it anew.
//!
//! Zonemaster asks on port 53 alone, therefore everything runs in a network namespace of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

use serde_json::Value;
use tempfile::TempDir;
use tracegate::verify::Finding;

use crate::{
    harness::python,
    verify_lab::{Lab, ROOT},
    verify_scenarios::{Scenario, scenarios, zones},
    verify_zones::World,
};

/// Set inside the namespace.
const INSIDE: &str = "TRACEGATE_TEST_NAMESPACE";

/// Set to write the table instead of holding it to what is found.
const WRITE: &str = "TRACEGATE_TEST_WRITE";

/// Why others find something else, by what is the matter.
const REASONS: &[(&str, &str, &str)] = include!("verify_agreement/reasons.in");

/// What others say of every zone here, as all of them are on loopback.
const OF_THE_PLACE: [&str; 7] = [
    "ADDRESS01",
    "ADDRESS02",
    "ADDRESS03",
    "CONNECTIVITY03",
    "GLUE_PRIVATE_IP",
    "NS_NAME_PRIVATE_IP",
    "ZONE01",
];

#[test]
fn others_find_what_the_table_says() {
    if env::var_os(INSIDE).is_none() {
        let name = "verify_agreement::others_find_what_the_table_says";
        let status = Command::new("unshare")
            .args(["-rn", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let all = scenarios();
    let world = World::of(Lab::start_at(53, &zones(), ""));
    let dir = TempDir::new().unwrap();
    let rows: Vec<Row> = all.iter().map(|s| Row::new(s, &world, dir.path())).collect();
    let table = table(&rows);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/agreement.md");
    if env::var_os(WRITE).is_some() {
        fs::write(&file, &table).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept, table, "run make agreement, and look at what changed");
    reasons_are_those_of_differences(&rows);
}

/// A scenario and what everybody finds.
struct Row {
    what: &'static str,
    ours: BTreeSet<String>,
    zonemaster: BTreeSet<String>,
    dnsviz: BTreeSet<String>,
}

impl Row {
    fn new(scenario: &Scenario, world: &World, dir: &Path) -> Self {
        let zone = format!("{}.test", scenario.zone.name);
        let (verdict, ours) = measured(|| world.verdict(&scenario.host));
        let (zonemaster, theirs) = measured(|| zonemaster(&zone, dir));
        let (dnsviz, others) = measured(|| dnsviz(&zone, &scenario.host, dir));
        eprintln!("{}: tracegate {ours}; Zonemaster {theirs}; DNSViz {others}", scenario.what);
        let noted = |f: &&Finding| {
            let is_flaw = f.outcome.name() == "false" && f.severity.name() != "info";
            is_flaw || f.outcome.name() == "unknown"
        };
        Self {
            what: scenario.what,
            ours: verdict.findings.iter().filter(noted).map(|f| f.id.entry().id.into()).collect(),
            zonemaster,
            dnsviz,
        }
    }

    /// Whether another finds something where we do, and nothing where we do not.
    fn agrees(&self, theirs: &BTreeSet<String>) -> bool {
        self.ours.is_empty() == theirs.is_empty()
    }

    fn reason(&self, tool: &str) -> Option<&'static str> {
        REASONS.iter().find(|(what, t, _)| *what == self.what && *t == tool).map(|(_, _, why)| *why)
    }
}

/// What `work` took: time, and packets on the loopback of the namespace, which is used by nobody else.
#[expect(clippy::disallowed_methods, reason = "it tells how long others took, and asserts nothing")]
fn measured<T>(work: impl FnOnce() -> T) -> (T, String) {
    let packets = || -> u64 {
        let devices = fs::read_to_string("/proc/net/dev").unwrap();
        let line = devices.lines().find(|l| l.trim_start().starts_with("lo:")).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let (before, began) = (packets(), Instant::now());
    let done = work();
    let (took, sent) = (began.elapsed(), packets() - before);
    (done, format!("{} ms, {sent} packets", took.as_millis()))
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The test cases with a warning or worse.
fn zonemaster(zone: &str, dir: &Path) -> BTreeSet<String> {
    let hints = dir.join("hints");
    fs::write(&hints, format!(". 3600000 NS ns.root.\nns.root. 3600000 A {ROOT}\n")).unwrap();
    let output = ran(Command::new("zonemaster-cli")
        .arg(zone)
        .arg("--hints")
        .arg(&hints)
        .args(["--no-ipv6", "--level", "WARNING", "--json", "--no-time", "--no-progress"])
        .args(["--show-testcase", "--locale", "C"])
        .env("HOME", dir));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let all = said["results"].as_array().or(said.as_array()).cloned().unwrap_or_default();
    let case = |entry: &Value| Some(entry["testcase"].as_str()?.to_ascii_uppercase());
    elsewhere(all.iter().filter_map(case))
}

/// The codes of errors and warnings about the zone and the name.
fn dnsviz(zone: &str, host: &str, dir: &Path) -> BTreeSet<String> {
    let program: PathBuf = Path::new(python().get_program()).with_file_name("dnsviz");
    let probed = dir.join("probe.json");
    ran(Command::new(&program)
        .args(["probe", "-4", "-A", "-a", ".", "-x", &format!(".:ns.root={ROOT}"), "-o"])
        .arg(&probed)
        .args([zone, host]));
    let output = ran(Command::new(&program).args(["grok", "-l", "warning", "-r"]).arg(&probed));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let mut found = BTreeSet::new();
    for name in [zone, host] {
        codes(&said[format!("{name}.")], &mut found);
    }
    elsewhere(found.into_iter())
}

/// What would be said of a zone anywhere.
fn elsewhere(found: impl Iterator<Item = String>) -> BTreeSet<String> {
    found.filter(|code| !OF_THE_PLACE.contains(&code.as_str())).collect()
}

fn codes(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "errors" || name == "warnings" {
                    let all = member.as_array().into_iter().flatten();
                    found.extend(all.filter_map(|e| e["code"].as_str()).map(str::to_owned));
                } else {
                    codes(member, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| codes(item, found)),
        _ => {}
    }
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "# What tracegate, Zonemaster and DNSViz find of the same zones\n\n\
         Written by `make agreement`: real servers (Knot, NSD, BIND) in a network namespace, Zonemaster-CLI from\n\
         Debian, DNSViz from PyPI. What they say of every zone there, because all are on loopback, is left out. ✓\n\
         agrees that there is something, or nothing; reasons for the rest are below.\n\n\
         | zone | tracegate | Zonemaster | DNSViz |\n|---|---|---|---|\n",
    );
    let list = |set: &BTreeSet<String>| match set.is_empty() {
        true => "–".to_owned(),
        false => set.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    let (mut agreed, mut notes) = (BTreeMap::<&str, usize>::new(), String::new());
    for row in rows {
        let mut cells = String::new();
        for (tool, theirs) in [("Zonemaster", &row.zonemaster), ("DNSViz", &row.dnsviz)] {
            let is_same = row.agrees(theirs);
            *agreed.entry(tool).or_default() += usize::from(is_same);
            write!(cells, " {} {} |", if is_same { "✓" } else { "≠" }, list(theirs)).unwrap();
            if !is_same {
                let why = row.reason(tool).unwrap_or("(no reason given)");
                writeln!(notes, "- {}, {tool}: {why}", row.what).unwrap();
            }
        }
        writeln!(out, "| {} | {} |{cells}", row.what, list(&row.ours)).unwrap();
    }
    let count = |tool| format!("{tool} {} of {}", agreed[tool], rows.len());
    write!(
        out,
        "\nAgreement: {}, {}.\n\n## Why not\n\n{notes}",
        count("Zonemaster"),
        count("DNSViz")
    )
    .unwrap();
    out
}

/// Every difference has a reason, and every reason a difference.
fn reasons_are_those_of_differences(rows: &[Row]) {
    for (what, tool, _) in REASONS {
        let row = rows.iter().find(|r| r.what == *what).unwrap_or_else(|| panic!("{what}"));
        let theirs = if *tool == "Zonemaster" { &row.zonemaster } else { &row.dnsviz };
        assert!(!row.agrees(theirs), "{what}: {tool} agrees by now");
    }
    for row in rows {
        for (tool, theirs) in [("Zonemaster", &row.zonemaster), ("DNSViz", &row.dnsviz)] {
            assert!(row.agrees(theirs) || row.reason(tool).is_some(), "{}: {tool}", row.what);
        }
    }
}
