//! What the law wants known of rules, beside lists that cannot say it.

use std::{io::Cursor, sync::Arc};

use super::*;
use crate::policy::{Legal, Tier};

const MANIFEST: &str = r#"{
    "legal": {"authority": "某省通信管理局", "order_number": "17", "content_class": 7},
    "rules": {
        "bad.example": {"expires_at": "2027-01-31", "tier": "hint"},
        "*.bad.example": {"order_number": "18"},
        "24.0.2.0.192.rpz-ip": {"reason": "c2", "issued_at": null},
        "b..d": {"reason": "x"},
        "odd.example": 5,
        "other.example": {"colour": "red", "reason": "kept"}
    }
}"#;

fn with_manifest() -> Options {
    let options = Options {
        legal: Arc::new(Legal { authority: "feed".into(), ..Legal::default() }),
        ..options()
    };
    let manifest = Manifest::parse(MANIFEST.as_bytes(), &options).unwrap();
    Options { manifest: Some(Arc::new(manifest)), ..options }
}

#[test]
fn a_manifest_for_the_list_and_its_rules() {
    let text = "bad.example CNAME .\n*.bad.example CNAME .\n24.0.2.0.192.rpz-ip CNAME .\nnew.example CNAME .\nother.example CNAME .\n";
    let (seen, _) = read(Format::Rpz, text.as_bytes(), &with_manifest());
    let list = Legal {
        authority: "某省通信管理局".into(),
        order_number: "17".into(),
        content_class: "vice-or-crime".into(),
        ..Legal::default()
    };
    let expected = [
        Legal {
            expires_at: "2027-02-01T00:00:00Z".parse().unwrap(),
            tier: Some(Tier::Hint),
            ..list.clone()
        },
        Legal { order_number: "18".into(), ..list.clone() },
        Legal { reason: "c2".into(), ..list.clone() },
        list.clone(),
        Legal { reason: "kept".into(), ..list },
    ];
    let found: Vec<_> = seen.all.iter().map(|r| (*r.legal).clone()).collect();
    assert_eq!(found, expected);
    let mut codes: Vec<_> =
        seen.rejected.iter().map(|(_, code, text)| (*code, text.as_str())).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [("manifest", "b..d"), ("manifest", "odd.example"), ("manifest", "other.example: colour")]
    );
}

#[test]
fn manifests_that_are_none() {
    for text in ["", "[]", "{", r#"{"legal": 5}"#, r#"{"rules": []}"#, r#"{"more": {}}"#] {
        let found = Manifest::parse(text.as_bytes(), &options());
        assert!(matches!(found, Err(Error::Form(_))), "{text}");
    }
}

#[test]
fn txt_records_beside_rules() {
    let long = "x".repeat(200);
    let text = format!(
        "_Tracegate.bad.example TXT \"order_number=19\" \"tier=block\" \"reason={long}\" \"reason={long}\"\n\
         bad.example CNAME .\nplain.example CNAME .\n\
         *.wild.example CNAME *.\n\
         _tracegate.*.wild.example.feed. TXT \"authority=\\232\\175\\136\"\n\
         _tracegate.odd.example TXT \"nonsense\" \"colour=red\" \"tier=odd\"\nodd.example CNAME .\n\
         _tracegate.24.0.2.0.192.rpz-ip TXT \"reason=c2\"\n24.0.2.0.192.rpz-ip CNAME .\n"
    );
    let mut seen = Seen::default();
    let options = with_manifest();
    let summary =
        super::super::read(Format::Rpz, &mut Cursor::new(text.as_bytes()), &options, &mut seen)
            .unwrap();
    assert_eq!(summary.companions, 4);
    let legal = |i: usize| &seen.all[i].legal;
    // What the TXT says comes before the manifest, and that before the feed.
    assert_eq!((&*legal(0).order_number, legal(0).tier), ("19", Some(Tier::Block)));
    assert_eq!(legal(0).reason.len(), 400);
    assert_eq!(legal(0).expires_at, "2027-02-01T00:00:00Z".parse().unwrap());
    assert_eq!((&*legal(1).order_number, &*legal(1).authority), ("17", "某省通信管理局"));
    assert_eq!(&*legal(2).authority, "诈");
    assert_eq!(&*legal(4).reason, "c2");
    assert_eq!(seen.rules.len(), 5);
    let mut codes: Vec<_> = seen.rejected.iter().map(|(line, code, _)| (*line, *code)).collect();
    codes.retain(|(_, code)| *code != "manifest");
    codes.sort_unstable();
    assert_eq!(codes, [(6, "bad-tier"), (6, "syntax"), (6, "syntax")]);
}
