//! Links in full through the API: settings, idempotent requests, lists, many at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tracegate::{
    clock::{Clock, Timestamp},
    config::Config,
    links::{By, Draft, Edit, Error, How, LinkSettings, Links, NotConverted, State, is_password},
    metrics::Metrics,
    record::Table,
};

use crate::{
    links_crash::{by, draft},
    site::{BEGIN, Reply, Site, ask, open_links},
};

fn operator(site: &Site, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    site.call(&site.operator, method, path, &body)
}

/// With headers of its own.
fn send(site: &Site, path: &str, more: &[(&str, &str)], body: &str) -> Reply {
    let (host, bearer) = (site.api.to_string(), format!("Bearer {}", site.operator));
    let mut headers = vec![("Host", host.as_str()), ("Authorization", &bearer)];
    headers.extend_from_slice(more);
    ask(site.api, "POST", path, &headers, body)
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn with_domain(config: &mut Config) {
    config.gateway.domains = vec!["Go.example.com".into()];
}

#[test]
fn settings_are_kept_told_and_changed() {
    let site = Site::start(with_domain);
    let new = json!({
        "target": "https://www.demo.test/a", "domain": "go.example.com", "tags": ["夏季", "b"],
        "not_before": "2030-06-01T00:00:00Z", "visits_max": 10, "password": "open sesame",
        "purpose": "campaign", "status": 307, "forward_query": true, "tier_hint": "hint",
        "owner_verification": {
            "how": "business_licence", "when": "2030-01-01T00:00:00Z", "reference": "case-7",
            "icp": "京ICP备00000000号"
        }
    });
    let made = operator(&site, "POST", "/api/v1/links", &new);
    assert_eq!(made.status, 201, "{}", made.body);
    let link = made.json();
    let code = link["code"].as_str().unwrap();
    assert_eq!(link["short_url"], format!("http://go.example.com/{code}"));
    assert_eq!(link["password"], true, "that there is one, never which");
    assert!(!made.body.contains("sesame") && !made.body.contains("argon2"), "{}", made.body);
    for member in ["domain", "tags", "visits_max", "purpose", "status", "tier_hint"] {
        assert_eq!(link[member], new[member], "{member}");
    }
    assert_eq!(link["owner_verification"]["reference"], "case-7");
    let path = format!("/api/v1/links/{code}");
    let change = json!({
        "password": null, "visits_max": null, "domain": null, "tags": ["c"], "owner": "other",
        "status": 302, "reason": "moved house"
    });
    let changed = operator(&site, "PATCH", &path, &change).json();
    assert_eq!(changed["operation"], "edit", "{changed}");
    assert_eq!((&changed["password"], &changed["visits_max"]), (&json!(false), &Value::Null));
    assert_eq!((&changed["owner"], &changed["tags"]), (&json!("other"), &json!(["c"])));
    assert_eq!(changed["purpose"], "campaign", "what is not named stays");
    let kept = site.stop();
    let rows = kept.of(Table::Conversions);
    let settings: Value = serde_json::from_str(rows[0]["settings"].as_str().unwrap()).unwrap();
    assert_eq!((&settings["password"], &settings["status"]), (&json!(true), &json!(307)));
    assert_eq!((&rows[0]["domain"], &rows[1]["domain"]), (&json!("go.example.com"), &json!("")));
    let previous: Value = serde_json::from_str(rows[1]["previous"].as_str().unwrap()).unwrap();
    let expected = json!({
        "password": true, "visits_max": 10, "domain": "go.example.com", "tags": ["夏季", "b"],
        "owner": "operator", "status": 307
    });
    assert_eq!(previous, expected);
}

#[test]
fn what_cannot_be_set_is_refused() {
    let site = Site::start(|c| {
        with_domain(c);
        c.api.tags_max = 2;
        c.api.note_bytes_max = 64;
    });
    let long = "x".repeat(65);
    let verification =
        |how: &str| json!({ "how": how, "when": "2030-01-01T00:00:00Z", "reference": "" });
    for (member, value, status) in [
        ("domain", json!("other.example.com"), 422),
        ("status", json!(303), 400),
        ("tier_hint", json!("block"), 400),
        ("tags", json!(["a", "b", "c"]), 400),
        ("tags", json!([""]), 400),
        ("purpose", json!(long), 400),
        ("password", json!(""), 400),
        ("password", json!(long), 400),
        ("visits_max", json!(-1), 400),
        ("not_before", json!("tomorrow"), 400),
        ("owner_verification", verification("id_card"), 400),
        ("owner_verification", json!({ "name": "Zhang San" }), 400),
        ("identity", json!("Zhang San"), 400),
    ] {
        let new = json!({ "target": "https://www.demo.test/", member: value });
        let refused = operator(&site, "POST", "/api/v1/links", &new);
        assert_eq!(refused.status, status, "{new}: {}", refused.body);
    }
    let kept = site.stop();
    assert_eq!(kept.of(Table::Conversions).len(), 0);
}

#[test]
fn the_same_request_is_answered_as_before() {
    let site = Site::start(|_| {});
    let key = ("Idempotency-Key", "order-7");
    let new = json!({ "target": "https://www.demo.test/1", "owner": "shop" }).to_string();
    let first = send(&site, "/api/v1/links", &[JSON, key], &new);
    assert_eq!((first.status, &first.json()["repeated"]), (201, &json!(false)));
    let again = send(&site, "/api/v1/links", &[JSON, key], &new);
    assert_eq!((again.status, &again.json()["repeated"]), (201, &json!(true)));
    assert_eq!(again.json()["code"], first.json()["code"]);
    let other = json!({ "target": "https://www.demo.test/2", "owner": "shop" }).to_string();
    let reused = send(&site, "/api/v1/links", &[JSON, key], &other);
    assert_eq!((reused.status, &reused.json()["code"]), (422, &json!("idempotency_key_reused")));
    let bad = send(&site, "/api/v1/links", &[JSON, ("Idempotency-Key", "a b")], &new);
    assert_eq!(bad.status, 400);
    // Without a key, the same target by the same owner is another link, unless that will do.
    let plain = send(&site, "/api/v1/links", &[JSON], &new);
    assert_ne!(plain.json()["code"], first.json()["code"]);
    let reuse = |owner: &str| {
        let body = json!({
            "target": "https://www.demo.test/1", "owner": owner, "reuse": true
        });
        operator(&site, "POST", "/api/v1/links", &body)
    };
    let same = reuse("shop");
    assert_eq!((same.status, &same.json()["code"]), (200, &plain.json()["code"]));
    assert_eq!(reuse("another").status, 201);
    let kept = site.stop();
    assert_eq!(kept.of(Table::Conversions).len(), 3);
}

#[test]
fn many_are_made_at_once_and_one_takes_no_other_with_it() {
    let site = Site::start(|c| c.api.bulk_items_max = 1_200);
    let item = |i: usize| match i {
        3 => "no json".to_owned(),
        5 => json!({ "target": "javascript:alert(1)" }).to_string(),
        7 => json!({ "target": "https://www.demo.test/", "code": "my-link" }).to_string(),
        9 => json!({ "target": "https://www.demo.test/9", "code": "my-link" }).to_string(),
        _ => json!({ "target": format!("https://www.demo.test/{i}") }).to_string(),
    };
    let body: Vec<String> = (1..=1_200).map(item).collect();
    let headers = [LINES, ("Idempotency-Key", "batch"), ("Accept-Language", "zh-CN")];
    let answers = lines(&send(&site, "/api/v1/links/bulk", &headers, &body.join("\n\n")));
    assert_eq!(answers.len(), 1_200);
    let mut codes = std::collections::HashSet::new();
    for (n, answer) in (1..).zip(&answers) {
        assert_eq!(answer["item"], n);
        let (status, problem) = match n {
            3 => (400, "bad_request"),
            5 => (422, "target_scheme"),
            9 => (409, "code_taken"),
            _ => (201, ""),
        };
        assert_eq!(answer["status"], status, "{answer}");
        if problem.is_empty() {
            assert!(codes.insert(answer["code"].as_str().unwrap().to_owned()), "{answer}");
        } else {
            assert_eq!(answer["problem"]["code"], problem);
        }
    }
    assert!(answers[4]["problem"]["title"].as_str().unwrap().contains("目标网址"));
    // The same request again, with what failed made good, answers the rest as before.
    let good: Vec<String> = (1..=1_200)
        .map(|i| match i {
            3 | 5 | 9 => json!({ "target": format!("https://www.demo.test/good/{i}") }).to_string(),
            i => item(i),
        })
        .collect();
    let again = lines(&send(&site, "/api/v1/links/bulk", &headers, &good.join("\n")));
    for (n, (before, after)) in (1..).zip(answers.iter().zip(&again)) {
        let new = matches!(n, 3 | 5 | 9);
        assert_eq!((&after["status"], &after["repeated"]), (&json!(201), &json!(!new)), "{after}");
        assert!(new || before["code"] == after["code"]);
    }
    // One more than there may be: the others are made.
    let more =
        lines(&send(&site, "/api/v1/links/bulk", &[LINES], &[good.join("\n"), item(1)].join("\n")));
    assert_eq!(more.len(), 1_201);
    assert_eq!(more[1_200]["problem"]["code"], "too_many_items");
    assert_eq!(send(&site, "/api/v1/links/bulk", &[JSON], "{}").status, 415);
    let kept = site.stop();
    // my-link was in use the second time.
    assert_eq!(kept.of(Table::Conversions).len(), 1_197 + 3 + 1_199);
    let flows: std::collections::HashSet<_> =
        kept.column(Table::Conversions, "flow").into_iter().collect();
    assert!(flows.len() < 20, "a chunk is one flow");
}

#[test]
fn lists_are_filtered_and_paged_and_exports_are_whole() {
    let site = Site::start(with_domain);
    let mut body = Vec::new();
    for i in 0..25 {
        let mut new = json!({
            "target": format!("https://{}.demo.test/", if i < 20 { "www" } else { "other" }),
            "code": format!("item-{i:02}"), "owner": if i % 2 == 0 { "even" } else { "odd" },
        });
        if i % 5 == 0 {
            new["tags"] = json!(["five"]);
        }
        if i == 7 {
            new["domain"] = json!("GO.example.com");
        }
        body.push(new.to_string());
    }
    lines(&send(&site, "/api/v1/links/bulk", &[LINES], &body.join("\n")));
    let stop = json!({ "state": "disabled", "reason": "test" });
    assert_eq!(operator(&site, "PATCH", "/api/v1/links/item-10", &stop).status, 200);
    let codes = |query: &str| -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/links?limit=4{query}&cursor={cursor}");
            let page = operator(&site, "GET", &path, &Value::Null).json();
            let links = page["links"].as_array().unwrap();
            assert!(links.len() <= 4);
            all.extend(links.iter().map(|l| l["code"].as_str().unwrap()[5..].to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return all,
            }
        }
    };
    assert_eq!(codes("").len(), 25);
    assert_eq!(codes("&tag=five"), ["00", "05", "10", "15", "20"]);
    assert_eq!(codes("&tag=five&owner=even&state=enabled"), ["00", "20"]);
    assert_eq!(codes("&state=disabled"), ["10"]);
    assert_eq!(codes("&domain=go.example.com"), ["07"]);
    assert_eq!(codes("&target_host=other.demo.test").len(), 5);
    assert_eq!(operator(&site, "GET", "/api/v1/links?state=odd", &Value::Null).status, 400);
    let newest = lines(&operator(&site, "GET", "/api/v1/links/export", &Value::Null));
    assert_eq!(newest.len(), 25);
    assert_eq!(newest[10]["state"], "disabled");
    let all = lines(&operator(&site, "GET", "/api/v1/links/export?revisions=true", &Value::Null));
    assert_eq!(all.len(), 26);
    site.stop();
}

/// Links with a clock of their own, until they are closed.
fn with_links(test: impl FnOnce(&Links, &Clock)) -> crate::site::Records {
    let (dir, config) = (tempfile::tempdir().unwrap(), Config::default());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let (spool, links) = open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    test(&links, &clock);
    drop(links);
    spool.close().unwrap();
    crate::site::records(&spool)
}

#[test]
fn an_end_that_has_come_is_written_down_once() {
    let minute = Duration::from_secs(60);
    let kept = with_links(|links, clock| {
        let expires = clock.now().saturating_add(minute);
        for code in ["ends-1", "ends-2", "ends-3"] {
            links.create(Draft { expires, ..draft(code) }, &by()).unwrap();
        }
        links.create(draft("stays"), &by()).unwrap();
        let stop = Edit { state: Some(State::Disabled), ..Edit::default() };
        links.edit("ends-3", &stop, &by()).unwrap();
        assert_eq!(links.expire(Timestamp::ZERO, 10).unwrap(), 0);
        clock.advance(minute);
        assert_eq!(links.expire(Timestamp::ZERO, 1).unwrap(), 1);
        assert_eq!(links.expire(Timestamp::ZERO, 10).unwrap(), 1);
        assert_eq!(links.expire(Timestamp::ZERO, 10).unwrap(), 0);
        let ended = links.store().current("ends-1").unwrap().unwrap();
        assert_eq!((ended.state, ended.revision), (State::Expired, 2));
        assert!(links.read("ends-1").unwrap().unwrap().is_expired(BEGIN));
        // It goes on when its end is moved, and not before.
        let go_on = Edit { state: Some(State::Enabled), ..Edit::default() };
        assert!(matches!(links.edit("ends-1", &go_on, &by()), Err(NotConverted::Past)));
        let later = Edit { expires: Some(Timestamp::ZERO), ..Edit::default() };
        let again = links.edit("ends-1", &later, &by()).unwrap().revision;
        assert_eq!((again.state, again.operation.name()), (State::Enabled, "enable"));
    });
    let rows = kept.of(Table::Conversions);
    let expired: Vec<_> = rows.iter().filter(|r| r["operation"] == "expire").collect();
    assert_eq!(expired.len(), 2);
    for row in expired {
        assert_eq!((&row["actor"], &row["state"]), (&json!("(end)"), &json!("expired")));
        assert_eq!(row["previous"], r#"{"state":"enabled"}"#);
    }
}

#[test]
fn those_who_write_at_once_keep_what_is_theirs() {
    let from = |port| By { client: SocketAddr::from(([192, 0, 2, 1], port)), ..by() };
    let kept = with_links(|links, _| {
        let write = |port: u16| {
            let by = from(port);
            let mut first = 0;
            for n in 0..10 {
                let code = format!("by-{port}-{n}");
                links.create(draft(&code), &by).unwrap();
                let stop = Edit { state: Some(State::Disabled), ..Edit::default() };
                links.edit(&code, &stop, &by).unwrap();
                // All want this one, and one of them gets it.
                match links.create(draft(&format!("all-{n}")), &by) {
                    Ok(_) => first += 1,
                    Err(NotConverted::Control(Error::Taken)) => {}
                    Err(e) => panic!("{e}"),
                }
            }
            first
        };
        let first: u32 = std::thread::scope(|s| {
            let threads: Vec<_> = (5000..5016).map(|port| s.spawn(move || write(port))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(first, 10);
    });
    let rows = kept.of(Table::Conversions);
    assert_eq!(rows.len(), 16 * 20 + 10);
    for row in rows.iter().filter(|r| r["code"].as_str().unwrap().starts_with("by-")) {
        let code = row["code"].as_str().unwrap();
        assert_eq!(code.split('-').nth(1).unwrap(), row["client_port"].to_string());
        let before = r#"{"state":"enabled","stopped":null}"#;
        let changed = if row["revision"] == 1 { "" } else { before };
        assert_eq!(row["previous"], changed, "{code}");
    }
}

#[test]
fn visits_are_counted_and_never_exceeded() {
    with_links(|links, _| {
        let settings = LinkSettings { visits_max: 20, ..LinkSettings::default() };
        links.create(Draft { settings, ..draft("twenty") }, &by()).unwrap();
        let visit = || {
            let link = links.read("twenty").unwrap().unwrap();
            let known = links.take_visit_in_memory(&link);
            known.unwrap_or_else(|| links.take_visit(&link).unwrap())
        };
        let made: usize = std::thread::scope(|s| {
            let count = || (0..10).filter(|_| visit()).count();
            let threads: Vec<_> = (0..4).map(|_| s.spawn(count)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(made, 20);
        // More are given when the owner allows more.
        let more = Edit {
            settings: tracegate::links::SettingsEdit { visits_max: Some(22), ..Default::default() },
            ..Edit::default()
        };
        links.edit("twenty", &more, &by()).unwrap();
        assert_eq!((0..10).filter(|_| visit()).count(), 2);
        links.create(draft("any"), &by()).unwrap();
        let any = links.read("any").unwrap().unwrap();
        assert_eq!(links.take_visit_in_memory(&any), Some(true));
    });
}

#[test]
fn alike_links_within_one_request_are_one() {
    with_links(|links, _| {
        let alike = || Draft { code: None, reuse: true, ..draft("") };
        let other = || Draft { owner: "other".into(), ..alike() };
        let third = Draft { owner: "third".into(), ..draft("chosen") };
        let drafts = vec![alike(), other(), alike(), third, alike(), other()];
        let made: Vec<_> =
            links.create_many(drafts, &by()).into_iter().map(Result::unwrap).collect();
        let codes: Vec<_> = made.iter().map(|m| m.revision.code.as_str()).collect();
        assert_eq!((codes[0], codes[0], codes[1]), (codes[2], codes[4], codes[5]));
        assert_ne!(codes[0], codes[1]);
        let how: Vec<_> = made.iter().map(|m| m.how).collect();
        assert_eq!(how, [How::New, How::New, How::Same, How::New, How::Same, How::Same]);
    });
}

/// A code that looks like one of ours comes with links taken over from elsewhere alone, and does
/// not lead the sequence astray.
#[test]
fn links_taken_over_keep_their_codes() {
    let (dir, config) = (tempfile::tempdir().unwrap(), Config::default());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let (spool, links) = open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    let code = "abcDEF1";
    assert!(matches!(links.create(draft(code), &by()), Err(NotConverted::Code)));
    let source = LinkSettings { source: "shlink".into(), ..LinkSettings::default() };
    let taken = links.create(Draft { settings: source, ..draft(code) }, &by()).unwrap();
    assert_eq!(taken.revision.code, code);
    let made = links.create(Draft { code: None, ..draft("") }, &by()).unwrap().revision.code;
    drop(links);
    spool.close().unwrap();
    drop(spool);
    clock.advance(Duration::from_secs(2));
    let (spool, _links) = open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    let seen = tracegate::links::codes_in_spool(&spool).codes;
    let ours: Vec<_> = seen.iter().filter(|s| !s.taken_over).map(|s| s.code.as_str()).collect();
    assert_eq!((ours, seen.len() > 1), (vec![made.as_str()], true));
}

/// Codes of another database of ours, made under the same key, are in the way of new ones in one long
/// run: they are passed over, whoever asks first.
#[test]
fn codes_brought_along_keep_nobody_from_getting_one() {
    let (old, new, config) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Config::default());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let open =
        |dir: &std::path::Path| open_links(dir, &config, &clock, &metrics, &[], |s| Arc::new(s));
    let many = || (0..3_000).map(|_| Draft { code: None, ..draft("") }).collect();
    let (spool, links) = open(old.path());
    let made = links.create_many(many(), &by()).into_iter();
    let codes: Vec<String> = made.map(|m| m.unwrap().revision.code).collect();
    drop((links, spool));
    let key = "secrets/codes.key";
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::create_dir(new.path().join("secrets")).unwrap();
    std::fs::set_permissions(new.path().join("secrets"), mode).unwrap();
    std::fs::copy(old.path().join(key), new.path().join(key)).unwrap();
    let (_spool, links) = open(new.path());
    let source = LinkSettings { source: "tracegate".into(), ..LinkSettings::default() };
    let brought = codes.iter().map(|c| Draft { settings: source.clone(), ..draft(c) }).collect();
    assert!(links.create_many(brought, &by()).iter().all(Result::is_ok));
    for _ in 0..3 {
        let made = links.create(Draft { code: None, ..draft("") }, &by()).unwrap();
        assert!(!codes.contains(&made.revision.code));
    }
    let ended = Draft {
        expires: BEGIN.saturating_sub(Duration::from_secs(9)),
        settings: source,
        ..draft("ended")
    };
    assert_eq!(links.create(ended, &by()).unwrap().revision.state, State::Expired);
}

#[test]
fn passwords_are_hashed_before_they_are_kept() {
    let site = Site::start(|_| {});
    let new =
        json!({ "target": "https://www.demo.test/", "code": "my-secret", "password": "芝麻" });
    assert_eq!(operator(&site, "POST", "/api/v1/links", &new).status, 201);
    let kept = site.links.store().current("my-secret").unwrap().unwrap().settings.password;
    assert!(is_password(&kept, "芝麻") && !is_password(&kept, "芝"), "{kept}");
    let link = site.links.read("my-secret").unwrap().unwrap();
    assert_eq!(link.settings().unwrap().password, kept, "a jump can ask for it");
    site.stop();
}
