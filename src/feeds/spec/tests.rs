use serde_json::{Value, json};

use super::*;

fn limits() -> config::Feeds {
    config::Feeds { roots: vec!["/srv/lists".into()], ..config::Feeds::default() }
}

fn minimal() -> Value {
    json!({"name": "bureau", "source": "/srv/lists/bureau.txt", "format": "domains"})
}

fn with(key: &str, value: Value) -> Value {
    let mut spec = minimal();
    spec[key] = value;
    spec
}

#[test]
fn a_short_object_has_defaults_and_comes_back_whole() {
    let spec = FeedSpec::parse(&minimal().to_string(), &limits()).unwrap();
    assert_eq!(spec.position, 100);
    assert_eq!(spec.tier, Tier::Block);
    assert_eq!(spec.action, ActionOverride::Given);
    assert_eq!(spec.on_failure, OnFailure::KeepLast);
    assert!(spec.allow_may_win && !spec.subtree);
    assert_eq!(spec.rules_max(&limits()), limits().rules_max);
    let again = FeedSpec::parse(&spec.to_json().unwrap(), &limits()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn every_key_is_taken() {
    let spec = json!({
        "name": "cac-2026", "position": 5, "source": "xot://[2001:db8::1]/rpz.example",
        "format": "rpz", "options": {"origin": "rpz.example", "header_row": 0},
        "authority": "CAC", "order_number": "2026-17", "content_class": "cult",
        "tier": "interstitial", "action": "cname:*.garden.example", "subtree": true,
        "qname_wait_recurse": true, "allow_may_win": false,
        "ede": {"code": 16, "text": "order"}, "on_failure": "closed", "refresh_s": 60,
        "limits": {"rules_max": 10, "rejected_max": 0, "shrink_percent": 10,
            "growth_percent": 500, "blast_percent": 1},
        "tsig_key": "key.example",
        "share": {"zone": "rpz.local", "secondaries": ["192.0.2.1", "[2001:db8::1]:5353"]},
        "contact": ["mailto:abuse@example.org"], "justification": "ordered"
    });
    let spec = FeedSpec::parse(&spec.to_string(), &limits()).unwrap();
    assert_eq!(spec.action, ActionOverride::Cname("*.garden.example".into()));
    assert_eq!(spec.rules_max(&limits()), 10);
    let again = FeedSpec::parse(&spec.to_json().unwrap(), &limits()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn what_is_refused_names_its_key() {
    let check = |spec: Value, key: &str, part: &str| {
        let error = FeedSpec::parse(&spec.to_string(), &limits()).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.chinese().is_empty());
    };
    check(json!([]), "", "struct FeedSpec");
    check(json!({"name": "a", "format": "rpz"}), "source", "missing");
    check(with("nmae", json!(1)), "nmae", "unknown field");
    check(with("position", json!("x")), "position", "invalid type");
    check(with("limits", json!({"rules_maxx": 1})), "limits.rules_maxx", "unknown field");
    check(with("name", json!("Bureau")), "name", "1 to 63");
    check(with("name", json!("../x")), "name", "1 to 63");
    check(with("name", json!("instant")), "name", "our own");
    check(with("format", json!("xml")), "format", "rpz, hosts");
    check(with("source", json!("lists/a")), "source", "absolute path");
    check(with("source", json!("/srv/lists/../../etc/passwd")), "source", "absolute path");
    check(with("source", json!("/etc/passwd")), "source", "feeds.roots");
    check(with("source", json!("http://example.org/list")), "source", "https://");
    check(with("source", json!("https://u:p@example.org/list")), "source", "without a password");
    check(with("source", json!("axfr://192.0.2.1/rpz")), "format", "rpz");
    check(with("tsig_key", json!("k")), "tsig_key", "axfr");
    check(with("action", json!("explode")), "action", "tcp-only");
    check(with("action", json!("cname:a..b")), "action", "domain name");
    check(with("tier", json!("maybe")), "tier", "unknown variant");
    check(with("content_class", json!("10")), "content_class", "cult");
    check(with("ede", json!({"code": 3})), "ede.code", "15");
    check(with("refresh_s", json!(1)), "refresh_s", "number from");
    check(with("limits", json!({"shrink_percent": 101})), "limits.shrink_percent", "100");
    check(with("limits", json!({"rules_max": u64::MAX})), "limits.rules_max", "number from");
    check(with("authority", json!("x".repeat(100_000))), "authority", "longer than");
    check(with("contact", json!(["javascript:x"])), "contact[0]", "mailto");
    check(with("share", json!({"zone": "a..b"})), "share.zone", "domain name");
    check(
        with("share", json!({"zone": "z", "secondaries": ["here"]})),
        "share.secondaries[0]",
        "address",
    );
    check(with("minisign_key", json!("short")), "minisign_key", "56");
}

#[test]
fn locations_print_as_they_are_written() {
    for text in [
        "/srv/lists/a.txt",
        "https://lists.example.org/a?b=c",
        "axfr://192.0.2.1",
        "verdicts:RES-07,contradicted",
        "axfr://192.0.2.1:5300/rpz.example",
        "axfr://192.0.2.1:80/rpz.example",
        "ixfr://ns.example.org/rpz.example",
        "xot://[2001:db8::1]:8853/rpz.example",
    ] {
        assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
    }
    let transfer = |text: &str| match text.parse() {
        Ok(Location::Zone(transfer)) => transfer,
        other => panic!("{other:?}"),
    };
    assert_eq!(transfer("xot://ns.example.org").port, 853);
    assert_eq!(transfer("axfr://ns.example.org/RPZ.example.").zone, "rpz.example");
    for bad in [
        "",
        "a",
        "./a",
        "ftp://a/b",
        "axfr://",
        "axfr://a:0/b",
        "axfr://a/b?c",
        "axfr://u@a",
        "verdicts:",
        "verdicts:a,",
        "verdicts:a b",
    ] {
        assert!(bad.parse::<Location>().is_err(), "{bad}");
    }
}
