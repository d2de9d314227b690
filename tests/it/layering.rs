//! Imports follow the table on the crate's page, in both directions of time: a stage that is not
//! in the table fails, and so does a path that the table does not allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rows `| module | … | may import |` of the page: module to what it may import; a row that
/// says `everything` has no entry of its own to check.
fn table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let page = fs::read_to_string(root().join("lib.rs")).unwrap();
    let rows = page.lines().filter_map(|l| l.strip_prefix("//! | `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let module = cells[0].trim_end_matches('`').to_owned();
        let imports = cells[2];
        let names = imports.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (module, (imports != "everything").then_some(names))
    })
    .collect()
}

/// Every Rust file below `src` with the top-level module it belongs to.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(root()).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
                found.push((first.trim_end_matches(".rs").to_owned(), path.clone()));
            }
        }
    }
    found
}

/// The modules that a file's code names by `crate::`, comments left out.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|l| l.split_once("//").map_or(l, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(heads(group)),
            None => names.extend([head(rest)]),
        }
    }
    names
}

fn head(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of a `{a, b::{c, d}, e}` group whose opening brace is cut off.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut item = String::new();
    let mut items = Vec::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            items.push(head(item.trim()));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    items.retain(|i| !i.is_empty());
    items
}

#[test]
fn imports_follow_the_table() {
    let table = table();
    let mut wrong = Vec::new();
    for (module, path) in files() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(allowed) = table.get(&module) else {
            wrong.push(format!("{module} is not in the table of src/lib.rs"));
            continue;
        };
        let Some(allowed) = allowed else { continue };
        for name in named(&fs::read_to_string(&path).unwrap()) {
            if name != module && table.contains_key(&name) && !allowed.contains(&name) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reads_every_form_of_path() {
    let text = "use crate::{a::B, c::{d, e}, f};\nlet x = crate::g::h();\n// crate::i\n";
    let expected = ["a", "c", "f", "g"].map(str::to_owned);
    assert_eq!(named(text), BTreeSet::from(expected));
}
