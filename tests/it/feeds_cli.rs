//! Feeds as an operator meets them: commands on a running server, from a regulator's file until the
//! answer to the authority.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};
use tracegate::{
    clock::{Clock, Timestamp},
    config::Config,
};

use crate::{
    harness::{Server, eventually},
    server::{call, complete, json, node, query_from, said},
};

/// A server whose lists lie in a directory of the test.
struct Desk {
    server: Server,
    lists: PathBuf,
}

impl Desk {
    fn open() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let lists = tempfile::Builder::new().prefix("tracegate-it-").tempdir().unwrap().keep();
        let root = lists.clone();
        let server = node()
            .config(move |c| {
                c.feeds.roots = vec![root];
                c.feeds.file_poll_ms = 50;
                c.feeds.change_rules_min = 100;
                change(c);
            })
            .start();
        Self { server, lists }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.lists.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What a command prints as text.
    #[track_caller]
    fn text(&self, args: &[&str]) -> String {
        let output = self.server.cli(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
        text
    }

    /// What a command prints as JSON.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let output = self.server.cli([args, &["--format", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        json(&output)
    }

    /// The complaint of a command that must fail.
    #[track_caller]
    fn fails(&self, args: &[&str]) -> String {
        let output = self.server.cli(args);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        said(&output)
    }

    fn rcode(&self, name: &str) -> ResponseCode {
        query_from(Ipv4Addr::LOCALHOST, self.server.dns(), name, 1).0.metadata.response_code
    }

    fn is_blocked(&self, name: &str) -> bool {
        self.rcode(name) == ResponseCode::NXDomain
    }

    /// A feed of names, in force.
    fn police(&self, names: &str) -> String {
        let path = self.write("police.txt", names);
        let args = ["feed", "add", "police", "--format", "domains", "--source", &path];
        let order = ["--authority", "市公安局", "--order-number", "2026-17"];
        self.text(&[&args[..], &order].concat());
        eventually("the feed is in force", || {
            (self.json(&["feed", "status", "police"])["in_force_here"] == 1).then_some(())
        });
        path
    }

    fn now(&self) -> Timestamp {
        Clock::system().now()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.lists));
    }
}

#[test]
fn from_a_file_to_the_answer_to_the_authority() {
    let desk = Desk::open();
    let before = desk.now();
    assert!(!desk.is_blocked("www.demo.test"));
    let path = desk.police("www.demo.test\na.wild.demo.test\n???\na.wild.demo.test\n");
    assert!(desk.is_blocked("www.demo.test") && desk.is_blocked("a.wild.demo.test"));
    let listed = desk.now();

    let list = desk.text(&["feed", "list"]);
    assert!(list.contains("police") && list.contains("version 1 in force"), "{list}");
    let version = desk.text(&["feed", "versions", "police", "1"]);
    assert!(version.contains("line 3") && version.contains("???"), "{version}");

    // What is written is what is asked about: dry run, refresh, difference.
    fs::write(&path, "other.example\na.wild.demo.test\n").unwrap();
    let dry = desk.json(&["feed", "apply", "police", "--dry-run"]);
    if dry["outcome"] != "unchanged" {
        assert_eq!(dry["dry_run"], true, "{dry}");
    }
    eventually("the second version is in force", || {
        desk.json(&["feed", "refresh", "police"]);
        (!desk.is_blocked("www.demo.test")).then_some(())
    });
    let diff = desk.text(&["feed", "diff", "police"]);
    assert!(diff.contains("+ other.example") && diff.contains("- www.demo.test"), "{diff}");
    let freed = desk.now();

    // The past is told as it was.
    complete(&desk.server);
    let rules = |at: Timestamp| desk.json(&["rules", "www.demo.test", "--at", &at.to_string()]);
    eventually("the records of the rules are in the store", || {
        (rules(listed)["decision"] == "nxdomain").then_some(())
    });
    assert_eq!(rules(before)["decision"], "none");
    assert_eq!(rules(freed)["decision"], "none");
    let then = rules(listed);
    let rule = &then["rules"][0];
    assert_eq!(rule["feed"], "police", "{then}");
    assert_eq!(rule["feed_version"], "1");
    assert_eq!(rule["order_number"], "2026-17");
    assert_eq!(rule["text"], "www.demo.test", "the entry as the list has it: {then}");
    assert_eq!(rule["authority"], "市公安局");
    let since: Timestamp = rule["since"].as_str().unwrap().parse().unwrap();
    assert!(before < since && since < listed, "{then}");
    assert_eq!(rule["nodes"], serde_json::json!(["it"]), "{then}");
    let answers = then["answers"]["resolutions"].as_array().unwrap();
    let of = |rule: &str| answers.iter().find(|a| a["rule"] == rule);
    assert_eq!(of("www.demo.test").unwrap()["count"], 1, "{then}");
    assert_eq!(of("").unwrap()["answers"], serde_json::json!(["192.0.2.80"]), "{then}");
    let text = desk.text(&["rules", "www.demo.test", "--at", &listed.to_string()]);
    for part in ["nxdomain", "police", "2026-17", "市公安局", "192.0.2.80"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Rolled back, what the first version said counts again.
    desk.text(&["feed", "rollback", "police", "--to", "1", "--reason", "wrong list"]);
    eventually("the first version is in force again", || {
        desk.is_blocked("www.demo.test").then_some(())
    });
    let now = desk.json(&["rules", "www.demo.test"]);
    assert_eq!((&now["decision"], &now["rules"][0]["acts"]), (&"nxdomain".into(), &true.into()));
    let text = desk.text(&["rules", "good.example"]);
    assert!(text.contains("not listed"), "{text}");
    report(&desk);
}

/// The figures of the report are what happened.
fn report(desk: &Desk) {
    complete(&desk.server);
    let report = desk.json(&["feed", "report", "police"]);
    let versions = report["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{report}");
    let first = &versions[1];
    assert_eq!((&first["version"], &first["state"]), (&1.into(), &"in-force".into()), "{report}");
    assert_eq!((&first["accepted"], &first["rejected"]), (&2.into(), &1.into()), "{report}");
    assert_eq!(first["duplicates"], 1, "{report}");
    assert!(first["seconds_to_force"].as_f64().unwrap() < 30.0, "{report}");
    assert_eq!(first["in_force"][0]["node"], "it", "{report}");
    let order = &report["orders"][0];
    assert_eq!(order["order_number"], "2026-17", "{report}");
    assert!(order["hits"]["resolutions"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(report["rejected"][0]["line"], 3, "{report}");
    let text = desk.text(&["feed", "report", "police"]);
    assert!(text.contains("2026-17") && text.contains("nxdomain"), "{text}");

    let file = desk.lists.join("report.xlsx");
    let file = file.to_str().unwrap();
    desk.text(&["feed", "report", "police", "--format", "xlsx", "--out", file]);
    assert!(fs::read(file).unwrap().starts_with(b"PK"), "a workbook is a zip file");
    let csv = desk.server.cli(["feed", "report", "police", "--format", "csv", "--part", "orders"]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.starts_with("\u{feff}") && csv.contains("市公安局"), "{csv}");
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[test]
fn no_list_touches_what_the_service_itself_is() {
    let desk = Desk::with(|c| {
        c.policy.gateway_addresses = vec!["192.0.2.200".parse().unwrap()];
        c.gateway.domains = vec!["jump.example".into()];
        c.gateway.own_hosts = vec!["go.example".into()];
        c.api.hosts = vec!["api.example".into()];
        c.feeds.protected = vec!["bank.example".into()];
        c.feeds.ipv4_prefix_min = 12;
    });
    let rules = [
        "jump.example CNAME .",
        "go.example CNAME .",
        "api.example CNAME .",
        "bank.example CNAME .",
        "demo.test CNAME .",
        "com CNAME .",
        "32.200.2.0.192.rpz-ip CNAME .",
        "1.0.0.0.128.rpz-client-ip CNAME rpz-drop.",
        "11.0.0.0.10.rpz-nsip CNAME .",
    ];
    let good = "12.0.0.16.172.rpz-nsip CNAME .\nwww.demo.test CNAME .\n";
    let path = desk.write("rpz", &format!("$TTL 60\n{}\n{good}", rules.join("\n")));
    desk.text(&["feed", "add", "wide", "--format", "rpz", "--source", &path]);
    let version = desk.json(&["feed", "versions", "wide", "1"]);
    assert_eq!(
        (&version["judgement"]["accepted"], &version["judgement"]["rejected"]),
        (&json!(2), &json!(9)),
        "{version}"
    );
    assert!(desk.is_blocked("www.demo.test") && !desk.is_blocked("demo.test"));
    for rejected in version["rejected"].as_array().unwrap() {
        assert_eq!(rejected["code"], "protected", "{version}");
    }
}

#[test]
fn blocks_allow_rules_and_appeals() {
    let desk = Desk::open();
    desk.police("www.demo.test\n");
    let made = desk.json(&[
        "feed",
        "block-now",
        "*.wild.demo.test",
        "--for",
        "2h",
        "--reason",
        "phishing",
    ]);
    let id = made["id"].to_string();
    eventually("the block is in force", || desk.is_blocked("a.wild.demo.test").then_some(()));
    let text = desk.text(&["feed", "blocks"]);
    let told = format!("tracegate feed confirm {id}, by somebody other than operator");
    assert!(text.contains(&told), "{text}");
    // A second person has to confirm it.
    let complaint = desk.fails(&["feed", "confirm", &id]);
    assert!(complaint.contains("409"), "{complaint}");
    // Another token of the same person is not a second person.
    let own = ["token", "create", "own", "--person", "operator", "--role", "operator"];
    let own = desk.json(&own);
    assert_eq!((&own["name"], &own["person"]), (&json!("own"), &json!("operator")));
    let listed = desk.json(&["token", "list"]);
    assert_eq!(listed["tokens"][0]["person"], "operator", "{listed}");
    let confirm = format!("/api/v1/blocks/{}/confirm", made["id"]);
    let refused = call(&desk.server, own["token"].as_str().unwrap(), "POST", &confirm, "{}");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("second_person")));
    let token = desk.json(&["token", "create", "second", "--role", "operator"]);
    assert_eq!(token["person"], "second");
    let file = desk.lists.join("second.token");
    fs::write(&file, token["token"].as_str().unwrap()).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let second = ["--token-file", file.to_str().unwrap()];
    let confirmed = desk.json(&[&["feed", "confirm", &id][..], &second].concat());
    assert_eq!(confirmed["confirmed_by"], "second", "{confirmed}");
    let text = desk.text(&["feed", "blocks"]);
    assert!(text.contains("*.wild.demo.test") && text.contains("phishing"), "{text}");
    desk.text(&["feed", "lift", &id, "--reason", "over"]);
    eventually("the block is lifted", || (!desk.is_blocked("a.wild.demo.test")).then_some(()));

    let allow = ["feed", "allow", "add", "www.demo.test", "--owner", "noc", "--for", "1d"];
    assert!(desk.fails(&allow).contains("--reason"), "nothing is let through without a reason");
    let allowed = desk.json(&[&allow[..], &["--reason", "ours"]].concat());
    eventually("the name is let through", || (!desk.is_blocked("www.demo.test")).then_some(()));
    let rules = desk.json(&["rules", "www.demo.test"]);
    assert_eq!(rules["decision"], "passthru", "{rules}");
    desk.text(&["feed", "allow", "remove", &allowed["id"].to_string()]);
    eventually("the feed counts again", || desk.is_blocked("www.demo.test").then_some(()));

    let appeal = ["feed", "appeal", "open", "www.demo.test", "--contact", "mailto:a@demo.test"];
    let appeal = desk.json(&[&appeal[..], &["--reason", "ours", "--suspend"]].concat());
    assert_eq!(appeal["status"], "suspended", "{appeal}");
    eventually("the rule is suspended", || (!desk.is_blocked("www.demo.test")).then_some(()));
    let rules = desk.json(&["rules", "www.demo.test"]);
    assert_eq!(rules["rules"][0]["effect"], "suspended", "{rules}");
    let id = appeal["id"].to_string();
    desk.text(&["feed", "appeal", "decide", &id, "refused", "--reason", "it is not"]);
    eventually("the rule counts again", || desk.is_blocked("www.demo.test").then_some(()));
    let list = desk.json(&["feed", "appeal", "list", "--status", "refused"]);
    assert_eq!(list["appeals"][0]["decided_by"], "operator", "{list}");
    let mute = desk.fails(&["feed", "appeal", "open", "www.demo.test", "--reason", "ours"]);
    assert!(mute.contains("--contact"), "{mute}");
}

#[test]
fn lists_are_sent_looked_at_and_taken_back_out() {
    let desk = Desk::open();
    desk.police("www.demo.test\n");
    let elsewhere = desk.write("sent.txt", "b.wild.demo.test\nwww.demo.test\n");
    let dry = desk.json(&["feed", "apply", "police", "--file", &elsewhere, "--dry-run"]);
    assert_eq!((&dry["dry_run"], &dry["changes"]["added"]), (&true.into(), &1.into()), "{dry}");
    assert!(!desk.is_blocked("b.wild.demo.test"));
    let sent = desk.text(&[
        "feed",
        "apply",
        "police",
        "--file",
        &elsewhere,
        "--reason",
        "brought by hand",
    ]);
    assert!(sent.contains("Version 2 is in force"), "{sent}");
    desk.text(&["feed", "refresh", "police", "--reason", "somebody called"]);
    assert!(desk.is_blocked("b.wild.demo.test"));
    let version = desk.text(&["feed", "versions", "police", "2"]);
    assert!(version.contains("sent by operator: sent.txt"), "{version}");

    let names = desk.text(&["feed", "export", "police", "--format", "domains"]);
    assert_eq!(names, "b.wild.demo.test\nwww.demo.test\n");
    let zone = desk.text(&["feed", "export", "police", "--version", "1"]);
    assert!(zone.contains("www.demo.test CNAME .") && !zone.contains("b.wild.demo.test"), "{zone}");
    let file = desk.lists.join("out.jsonl");
    let out = file.to_str().unwrap();
    desk.text(&["feed", "export", "police", "--format", "jsonl", "--out", out]);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
    assert!(!desk.fails(&["feed", "export", "police", "--format", "hosts"]).is_empty());
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let desk = Desk::open();
    let complaint = desk.fails(&["feed", "status", "nothing"]);
    assert!(complaint.contains("404"), "{complaint}");
    let complaint =
        desk.fails(&["feed", "add", "x", "--format", "hosts", "--source", "/etc/hosts"]);
    assert!(complaint.contains("feeds.roots") && complaint.contains("422"), "{complaint}");
    let complaint = desk.fails(&["feed", "add", "x", "--source", "/etc/hosts"]);
    assert!(complaint.contains("--format"), "{complaint}");
    let wrong = desk.server.cli(["feed", "list", "--format", "rpz"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let wrong = desk.server.cli(["link", "show", "x", "--format", "csv"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let token = desk.json(&["token", "create", "aud", "--role", "auditor"]);
    let token = token["token"].as_str().unwrap();
    let status =
        |method: &str, path: &str, body: &str| call(&desk.server, token, method, path, body).status;
    assert_eq!(status("GET", "/api/v1/feeds", ""), 200);
    assert_eq!(status("POST", "/api/v1/feeds", "{}"), 403);
    assert_eq!(status("POST", "/api/v1/blocks", r#"{"name":"a.example"}"#), 403);
}

/// What changes from run to run, in brackets: times, directories, durations.
fn lasting(desk: &Desk, text: &str) -> String {
    let text = text.replace(desk.lists.to_str().unwrap(), "[lists]");
    let word = |word: &str| {
        let number = word.replace([':', '-', '.'], "");
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        match word {
            w if w.parse::<Timestamp>().is_ok() => "[instant]".to_owned(),
            w if digits && w.len() == 10 && w.matches('-').count() == 2 => "[date]".to_owned(),
            w if digits && w.len() == 8 && w.matches(':').count() == 2 => "[time]".to_owned(),
            w => w.to_owned(),
        }
    };
    let line = |line: &str| match line.split_once("Seconds to force 用时") {
        Some((before, _)) => format!("{before}Seconds to force 用时     [seconds]"),
        None => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_people_read() {
    let desk = Desk::open();
    let path = desk.police("www.demo.test\na.wild.demo.test\n???\na.wild.demo.test\n");
    assert!(desk.is_blocked("www.demo.test"));
    let listed = desk.now();
    fs::write(&path, "other.example\na.wild.demo.test\n").unwrap();
    eventually("the second version is in force", || {
        (desk.json(&["feed", "status", "police"])["in_force_here"] == 2).then_some(())
    });
    complete(&desk.server);
    let at = listed.to_string();
    let past = ["rules", "www.demo.test", "--at", &at];
    eventually("the records of the rules are in the store", || {
        (desk.json(&past)["decision"] == "nxdomain").then_some(())
    });
    let shown = |args: &[&str]| lasting(&desk, &desk.text(args));
    feeds_read_so(&shown);
    insta::assert_snapshot!(shown(&["rules", "a.wild.demo.test"]), @"
    a.wild.demo.test: nxdomain, by feed police. 已列入名单，处置措施：nxdomain。

    Feed 名单                 police · version 2
    Rule 规则                 a.wild.demo.test
    Action 措施               nxdomain
    Tier 层级                 block
    Authority 下达机关        市公安局
    Order number 文号         2026-17
    ");
    insta::assert_snapshot!(shown(&["rules", "good.example"]), @"
    good.example: not listed. 未列入任何名单。
    ");
    insta::assert_snapshot!(shown(&past), @"
    www.demo.test: nxdomain, by feed police. 已列入名单，处置措施：nxdomain。
    At 时间                   [date] [time] +00:00

    Feed 名单                 police · version 1
    Rule 规则                 www.demo.test
    Entry 原文                www.demo.test
    Action 措施               nxdomain
    Tier 层级                 block
    Authority 下达机关        市公安局
    Order number 文号         2026-17
    Listed since 列入时间     [date] [time] +00:00
    Nodes 节点                it

    Answers 当时应答          [date] [time] +00:00 to [date] [time] +00:00
      1 × www.demo.test rcode 3 — nxdomain by police 1: www.demo.test
        [date] [time] +00:00 to [date] [time] +00:00
    ");
}

/// Of a feed of which a second version is in force, and the first was hit once.
fn feeds_read_so(shown: &dyn Fn(&[&str]) -> String) {
    insta::assert_snapshot!(shown(&["feed", "list"]), @"
    police                    version 2 in force 已生效 · 2 rules · [lists]/police.txt
    ");
    insta::assert_snapshot!(shown(&["feed", "status", "police"]), @"
    Feed 名单                 police
    In force 生效             version 2 in force 已生效
    Since 自                  [instant]
    Rules 规则数              2
    On node 节点              it: version 2 since [instant]
    Newest 最新版本           2
    State 状态                in-force
    Last fetch 上次获取       [instant]
    Last good fetch 上次成功  [instant]
    Source 来源               [lists]/police.txt
    Format 格式               domains
    Authority 下达机关        市公安局
    Order number 文号         2026-17
    Tier 层级                 block
    Action 措施               given
    Changed 设置修改          [instant]
    Changed by 修改人         operator
    ");
    insta::assert_snapshot!(shown(&["feed", "diff", "police"]), @"
    From version 1 to 2: 1 added 新增, 1 removed 移除, 0 changed 变更
    + other.example
    - www.demo.test
    ");
    insta::assert_snapshot!(shown(&["feed", "report", "police"]), @"
    Feed 名单                 police
    Authority 下达机关        市公安局
    Order number 文号         2026-17
    Made 生成时间             [instant]
    Complete through 完整至   [instant] · it

    Order 文号                2026-17
    Authority 下达机关        市公安局
    Rules 规则数              3
    Received 接收             [instant]
    In force 生效             [instant]
    Seconds to force 用时     [seconds]
    Hits 命中                 1 resolutions 解析, 0 jumps 跳转
                              nxdomain 1

    Version 版本              2 · in-force
    Accepted 采纳             2
    Rejected 拒收             0
    Duplicates 重复           0
    Conflicts 冲突            0
    Not evaluable 无法判定    0
    Received 接收             [instant]
    Seconds to force 用时     [seconds]
    In force on 节点生效      it [instant]
    Hits 命中                 0 resolutions 解析, 0 jumps 跳转

    Version 版本              1 · superseded
    Accepted 采纳             2
    Rejected 拒收             1
    Duplicates 重复           1
    Conflicts 冲突            0
    Not evaluable 无法判定    0
    Received 接收             [instant]
    Seconds to force 用时     [seconds]
    In force on 节点生效      it [instant]
    Hits 命中                 1 resolutions 解析, 0 jumps 跳转
                              nxdomain 1
    ");
}
