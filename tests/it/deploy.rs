//! What is installed, and what the documents promise: the example configuration, the unit file,
//! the manual's commands, measures and links.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::{CommandFactory, error::ErrorKind};
use tracegate::{
    cli::Cli,
    config::{self, Config},
    metrics::Metrics,
};

/// Exposure in tenths, of 100, as `systemd-analyze security` counts it.
const EXPOSURE_MAX: &str = "20";

const DOCUMENTS: [&str; 3] = ["README.md", "deploy/README.md", "deploy/verification.md"];

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn deploy(file: &str) -> PathBuf {
    root("deploy").join(file)
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

/// Every Rust file below a directory but the configuration's own, as one text.
fn rust_below(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("src/config") {
            text += &rust_below(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_key_is_read_by_somebody() {
    let code = rust_below(&root("src"));
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let shown = shown(&fs::read_to_string(deploy("tracegate.toml")).unwrap());
    // The version is what the file itself is read by.
    let keys = shown.iter().filter(|k| *k != "version");
    let unused: Vec<_> =
        keys.filter(|k| !words.contains(k.rsplit('.').next().unwrap_or(k).trim())).collect();
    assert!(unused.is_empty(), "documented and used nowhere: {unused:?}");
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
    let metrics = Metrics::new();
    // Measures of feeds are there once there is a feed.
    metrics.decisions("feed", "nxdomain").increment(1);
    metrics.not_evaluable("feed").increment(1);
    let rendered = metrics.render();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names: Vec<&str> = text.split(|c| !is_name(c)).collect();
    names.retain(|n| n.starts_with("tracegate_") && n.len() > "tracegate_".len());
    assert!(names.len() > 5, "the manual names measures: {names:?}");
    for name in names {
        let head = format!("# TYPE {name} ");
        assert!(rendered.contains(&head), "deploy/README.md names {name}, which does not exist");
    }
}

/// What a document shows as code: each block with its language, each span with none.
fn code(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut found = Vec::new();
    for (i, part) in text.split("```").enumerate() {
        if i % 2 == 1 {
            let (language, block) = part.split_once('\n').expect("a block has a first line");
            found.push((Some(language), block));
        } else {
            found.extend(part.split('`').skip(1).step_by(2).map(|span| (None, span)));
        }
    }
    found
}

/// The words of a shell's line that runs tracegate, whoever it runs as.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix("alias tracegate='").map_or(line, |l| l.trim_end_matches('\''));
    let line = line.strip_prefix("runuser -u tracegate -- ").unwrap_or(line);
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => break,
            ' ' | '\n' if !quoted => words.push(String::new()),
            c => words.last_mut()?.push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    (words.first()?.rsplit('/').next() == Some("tracegate")).then_some(words)
}

#[test]
fn documents_show_commands_that_exist() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(root(document)).unwrap();
        let mut seen = 0;
        for (language, code) in code(&text) {
            let lines = if language.is_some() { code.lines().collect() } else { vec![code] };
            for words in lines.into_iter().filter_map(words) {
                let Err(error) = Cli::command().try_get_matches_from(&words) else {
                    seen += 1;
                    continue;
                };
                // A sentence, or an alias, may name a command without its arguments.
                let alias = words.iter().any(|w| w == "--config");
                let short = matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                );
                let whole = language.is_some() && !alias;
                assert!(short && !whole, "{document}: {}: {error}", words.join(" "));
            }
        }
        assert!(seen >= 2, "{document} shows commands, found {seen}");
    }
}

#[test]
fn manual_shows_configurations_that_load() {
    for manual in ["README.md", "verification.md"] {
        let text = fs::read_to_string(deploy(manual)).unwrap();
        let blocks = code(&text);
        let mut shown = blocks.iter().filter(|(l, _)| *l == Some("toml")).peekable();
        assert!(shown.peek().is_some(), "{manual}");
        for (_, block) in shown {
            config::parse(Path::new(manual), block).unwrap();
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in DOCUMENTS {
        let path = root(document);
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|l| l.split_once(')')).map(|(l, _)| l);
        for link in links.filter(|l| !l.starts_with('#') && !l.contains("://")) {
            let file = link.split_once('#').map_or(link, |(file, _)| file);
            assert!(path.with_file_name(file).exists(), "{document} links to {link}");
        }
    }
}
