//! What is installed: the example configuration and the unit file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tracegate::{
    config::{self, Config},
    metrics::Metrics,
};

/// Exposure in tenths, of 100, as `systemd-analyze security` counts it.
const EXPOSURE_MAX: &str = "20";

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// The keys that a section knows, from the answer to one that it does not.
fn keys(section: &str) -> Vec<String> {
    let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let text = format!("version = 1\n{header}zzz = 1\n");
    let config::Error(problems) = config::parse(Path::new("keys"), &text).unwrap_err();
    let advice = &problems[0].advice;
    let (_, list) = advice.split_once("are: ").expect("the list of keys");
    list.split(", ").map(str::to_owned).collect()
}

/// The keys of the example, commented out or not, as `section.key`.
fn shown(text: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = format!("{header}.");
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            found.insert(format!("{section}{key}"));
        }
    }
    found
}

#[test]
fn example_is_the_default() {
    let loaded = config::load(&deploy("tracegate.toml")).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn example_shows_every_key() {
    let shown = shown(&fs::read_to_string(deploy("tracegate.toml")).unwrap());
    let table = toml::Table::try_from(Config::default()).unwrap();
    let mut sections = vec![(String::new(), table)];
    let mut missing = Vec::new();
    while let Some((section, table)) = sections.pop() {
        for key in keys(&section) {
            let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match table.get(&key) {
                Some(toml::Value::Table(inner)) => sections.push((path, inner.clone())),
                _ if shown.contains(&path) => {}
                _ => missing.push(path),
            }
        }
    }
    assert!(missing.is_empty(), "not in deploy/tracegate.toml: {missing:?}");
}

#[test]
fn unit_is_sound_and_hardened() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("tracegate.service");
    let text = fs::read_to_string(deploy("tracegate.service")).unwrap();
    let binary = env!("CARGO_BIN_EXE_tracegate");
    fs::write(&unit, text.replace("/usr/local/bin/tracegate", binary)).unwrap();
    let check = |args: &[&str]| {
        let output = Command::new("systemd-analyze").args(args).arg(&unit).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
        String::from_utf8(said).unwrap()
    };
    let complaints = check(&["verify", "--man=no"]);
    assert!(!complaints.contains("tracegate.service"), "{complaints}");
    check(&["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}")]);
}

#[test]
fn manual_names_measures_that_exist() {
    let text = fs::read_to_string(deploy("README.md")).unwrap();
    let rendered = Metrics::new().render();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names: Vec<&str> = text.split(|c| !is_name(c)).collect();
    names.retain(|n| n.starts_with("tracegate_") && n.len() > "tracegate_".len());
    assert!(names.len() > 5, "the manual names measures: {names:?}");
    for name in names {
        let head = format!("# TYPE {name} ");
        assert!(rendered.contains(&head), "deploy/README.md names {name}, which does not exist");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "deploy/README.md"] {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|l| l.split_once(')')).map(|(l, _)| l);
        for link in links.filter(|l| !l.starts_with('#') && !l.contains("://")) {
            let file = link.split_once('#').map_or(link, |(file, _)| file);
            assert!(path.with_file_name(file).exists(), "{document} links to {link}");
        }
    }
}
