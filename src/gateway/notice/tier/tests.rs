use proptest::prelude::*;

use super::*;

fn rules(text: &str) -> Result<TierRules, Error> {
    TierRules::parse(Path::new("t.toml"), text)
}

const LISTED: &str = r#"
[[rules]]
when = { listed = ["block"] }
tier = "block"
[[rules]]
when = { listed = ["interstitial"] }
tier = "interstitial"
"#;

fn with(head: &str, more: &str) -> String {
    format!("format = 1\nversion = \"{head}\"\n{more}{LISTED}")
}

#[test]
fn our_own_rules_do_what_tiers_mean() {
    let ours = TierRules::load(None).unwrap();
    let listed =
        |tier| Inputs { listed: Some(tier), verdict: "not_evaluated", ..Inputs::default() };
    for tier in [Tier::Hint, Tier::Interstitial, Tier::Block] {
        let found = ours.tier(&listed(tier)).unwrap();
        assert_eq!((found.tier, found.continue_after_s), (tier, None));
    }
    assert_eq!(ours.tier(&listed(Tier::Block)).unwrap().form(), "stop");
    assert_eq!(ours.tier(&Inputs { listed: None, ..listed(Tier::Hint) }), None);
    let unsigned = Inputs { unsigned: true, service: Service::Outbound, ..Inputs::default() };
    let found = ours.tier(&unsigned).unwrap();
    assert_eq!((found.tier, found.reason.name()), (Tier::Hint, "unsigned"));
    assert!(ours.version().starts_with("default-2+"), "{}", ours.version());
}

#[test]
fn the_strongest_wins_and_then_the_first() {
    let text = with(
        "x",
        r#"
[[rules]]
when = { unresolved = true }
tier = "hint"
continue_after_s = 25
reason = "unresolved"
[[rules]]
when = { listed = ["block"], feed = ["bank"] }
tier = "block"
form = "step_up"
"#,
    );
    let rules = rules(&text).unwrap();
    let of = |feed, listed| Inputs { feed, listed, unresolved: true, ..Inputs::default() };
    let form = |i: &Inputs<'_>| rules.tier(i).unwrap().form();
    assert_eq!(form(&of("bank", Some(Tier::Block))), "step_up");
    assert_eq!(form(&of("other", Some(Tier::Block))), "stop");
    let hint = rules.tier(&of("", None)).unwrap();
    assert_eq!((hint.tier, hint.continue_after_s), (Tier::Hint, Some(25)));
}

#[test]
fn a_bad_file_says_where() {
    for (text, says) in [
        (
            with("x", "[[rules]]\ntier = \"hnt\"\n"),
            "t.toml:4: rules[0].tier: unknown value \"hnt\"",
        ),
        (
            with("x", "[[rules]]\ntier = \"hint\"\nform = \"stop\"\n"),
            "t.toml:5: rules[0].form: only a block",
        ),
        (
            with("x", "[[rules]]\ntier = \"block\"\ncontinue_after_s = 30\n"),
            "t.toml:5: rules[0].continue_after_s: only a hint",
        ),
        (with("x", "[[rules]]\ntier = \"hint\"\ncontinue_after_s = 19\n"), "out of range"),
        (with("x", "[[rules]]\nwhen = { lsted = [] }\ntier = \"hint\"\n"), "unknown key \"lsted\""),
        (with("a b", ""), "t.toml:2: version: "),
        (format!("format = 2\nversion = \"x\"\n{LISTED}"), "format 2 is not known"),
        (
            "format = 1\nversion = \"x\"\nrules = []\n".into(),
            "means as \"block\" would be let through",
        ),
        ("format = ".into(), "not TOML"),
    ] {
        let error = rules(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\n--- does not say: {says}");
    }
    let weaker = "format = 1\nversion = \"x\"\n[[rules]]\nwhen = { listed = [\"block\"], unresolved = false }\ntier = \"block\"\n";
    assert!(rules(weaker).is_err(), "a block that only sometimes counts");
}

#[test]
fn versions_tell_texts_apart() {
    let (a, b) = (with("x", ""), with("x", "# one comment more\n"));
    assert_ne!(rules(&a).unwrap().version(), rules(&b).unwrap().version());
    assert_eq!(rules(&a).unwrap().version(), rules(&a).unwrap().version());
}

fn tiers() -> impl Strategy<Value = Option<Tier>> {
    prop_oneof![
        Just(None),
        Just(Some(Tier::Hint)),
        Just(Some(Tier::Interstitial)),
        Just(Some(Tier::Block))
    ]
}

proptest! {
    #[test]
    fn the_same_inputs_give_the_same_tier_and_never_less_than_listed(
        listed in tiers(),
        asked in tiers(),
        flags in any::<[bool; 4]>(),
        verdict in prop_oneof![Just("true"), Just("false"), Just("unknown"), Just("not_evaluated")],
        feed in "[a-z]{0,4}",
        service in 0usize..4,
    ) {
        let service = [Service::Link, Service::Forward, Service::Outbound, Service::Name][service];
        let [unresolved, unsigned, downgrade, first_visit] = flags;
        let findings = ["destination_changed"];
        let inputs = Inputs {
            service, listed, action: "nxdomain", feed: &feed, verdict, findings: &findings[..usize::from(unsigned)],
            asked, unresolved, unsigned, downgrade, first_visit,
        };
        let (one, other) = (TierRules::load(None).unwrap(), TierRules::load(None).unwrap());
        let tier = one.tier(&inputs);
        prop_assert_eq!(tier, other.tier(&inputs));
        prop_assert_eq!(tier, one.tier(&inputs.clone()));
        prop_assert!(tier.map(|t| t.tier) >= listed);
    }
}

/// Whatever is taken lets nothing through that a list stops.
#[test]
fn fuzz_rules() {
    let ours = DEFAULT.as_bytes();
    bolero::check!().with_iterations(500).with_type::<Vec<(u16, u8)>>().for_each(|changes| {
        let mut text = ours.to_vec();
        for (at, byte) in changes {
            let at = usize::from(*at) % text.len();
            text[at] = *byte;
        }
        let Ok(read) = rules(&String::from_utf8_lossy(&text)) else { return };
        for tier in [Tier::Interstitial, Tier::Block] {
            let listed = Inputs { listed: Some(tier), ..Inputs::default() };
            assert!(read.tier(&listed).is_some_and(|t| t.tier >= tier));
        }
    });
}
