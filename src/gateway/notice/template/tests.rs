use std::{collections::BTreeMap, fs};

use super::*;

fn of(name: &str) -> &'static str {
    OURS.iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn both_languages_say_the_same_things() {
    let keys_of = |name| {
        let mut found = BTreeSet::new();
        keys("", &of(name).parse().unwrap(), &mut found);
        found
    };
    assert_eq!(keys_of("en.toml"), keys_of("zh.toml"));
}

#[test]
fn an_operators_files_take_their_places_and_make_another_version() {
    let ours = Templates::load(None).unwrap();
    assert!(ours.version().starts_with("default-1+"));
    let dir = tempfile::tempdir().unwrap();
    let load = || Templates::load(Some(dir.path()));
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    assert!(matches!(load(), Err(Error::Edition(_))));
    write("notices.toml", "version = \"isp-3\"\n");
    let same_words = load().unwrap();
    assert!(same_words.version().starts_with("isp-3+"));
    write("en.toml", &of("en.toml").replace("Go back", "Back to safety"));
    let other_words = load().unwrap();
    assert_ne!(other_words.version(), same_words.version());
    assert_eq!(other_words.text(Language::English, &["act", "return"]), "Back to safety");
    assert_eq!(ours.text(Language::English, &["act", "return"]), "Go back");
    let error = |name: &str, text: &str| {
        write(name, text);
        let error = load().err().unwrap().to_string();
        write(name, of(name));
        error
    };
    let bad = error("en.toml", &of("en.toml").replace("user = ", "usr = "));
    assert!(bad.contains("en.toml: the key \"user\" is missing"), "{bad}");
    let bad = error("layout.html", "<p>\n{% if %}\n");
    assert!(bad.contains("layout.html:2: "), "{bad}");
    let bad = error("notices.toml", "version = \"with blanks\"\n");
    assert!(bad.contains("notices.toml:1: version: "), "{bad}");
}

/// Relative luminance and contrast as WCAG 2.2 defines them.
fn luminance(colour: &str) -> f64 {
    let part = |i: usize| {
        let value = f64::from(u8::from_str_radix(&colour[i..i + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn colours_have_the_contrast_that_wcag_aa_asks_for() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
    let css = of("style.css");
    let mut palettes: Vec<BTreeMap<&str, &str>> = Vec::new();
    for block in css.split(":root {").skip(1) {
        let lines = block.split('}').next().unwrap().split([';', '\n']);
        let pairs = lines.filter_map(|l| l.trim().strip_prefix("--")?.split_once(": "));
        let colours = pairs.filter(|(_, value)| value.starts_with('#'));
        // What a palette does not name, it takes from the first.
        let mut palette = palettes.first().cloned().unwrap_or_default();
        palette.extend(colours);
        palettes.push(palette);
    }
    assert!(palettes.len() >= 3, "light, dark and print");
    for palette in &palettes {
        for (text, ground, min) in [
            ("ink", "ground", 4.5),
            ("ink", "panel", 4.5),
            ("dim", "ground", 4.5),
            ("dim", "panel", 4.5),
            ("link", "ground", 4.5),
            ("on-safe", "safe", 4.5),
            ("hint", "ground", 4.5),
            ("interstitial", "ground", 4.5),
            ("block", "ground", 4.5),
            // What is no text but tells a control from its surroundings.
            ("line", "ground", 3.0),
            ("line", "panel", 3.0),
            ("focus", "ground", 3.0),
            ("focus", "panel", 3.0),
        ] {
            let found = contrast(palette[text], palette[ground]);
            assert!(found >= min, "{text} on {ground}: {found:.2} < {min}");
        }
    }
}
