//! The configuration: bad files with their messages, and what the machine refuses.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Output,
};

use tempfile::TempDir;
use tracegate::config;

use crate::harness::{hold, tracegate};

fn messages(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = fs::read_to_string(path).unwrap();
    config::parse(Path::new(file), &text).unwrap_err().to_string()
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(messages("bad_unknown_keys.toml"));
}

#[test]
fn types() {
    insta::assert_snapshot!(messages("bad_types.toml"));
}

#[test]
fn ranges() {
    insta::assert_snapshot!(messages("bad_ranges.toml"));
}

#[test]
fn listeners() {
    insta::assert_snapshot!(messages("bad_listeners.toml"));
}

#[test]
fn names() {
    insta::assert_snapshot!(messages("bad_names.toml"));
}

#[test]
fn versions_and_syntax() {
    let files = ["bad_version.toml", "bad_no_version.toml", "bad_syntax.toml"];
    insta::assert_snapshot!(files.map(messages).join("\n"));
}

/// A directory with a configuration of free ports and no upstream.
struct Case {
    dir: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Checks the configuration that `keys` make: lines such as `gateway.listen = "…"`.
    fn check(&self, keys: &str, more: &[&str]) -> Output {
        let base = [
            ("data_dir", format!("{:?}", self.path("data"))),
            ("dns.listen", "[]".to_owned()),
            ("dns.zone_root", format!("{:?}", self.dir.path())),
            ("dns.upstream.mode", "\"off\"".to_owned()),
            ("gateway.listen", "\"127.0.0.1:0\"".to_owned()),
            ("api.listen", "\"127.0.0.1:0\"".to_owned()),
            ("store.engine.listen", "\"127.0.0.1:0\"".to_owned()),
            ("store.disk_bytes_max", "1_000_000_000".to_owned()),
        ];
        let base = base.iter().filter(|(k, _)| !keys.contains(&format!("{k} =")));
        let base: String = base.map(|(k, v)| format!("{k} = {v}\n")).collect();
        fs::write(self.path("tracegate.toml"), format!("version = 1\n{keys}\n{base}")).unwrap();
        tracegate(["check-config", "tracegate.toml"])
            .args(more)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    /// The one problem of such a configuration, as a line with the directory's name cut out.
    fn problem(&self, keys: &str) -> String {
        let output = self.check(keys, &[]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stdout}");
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{stdout}");
        assert_eq!(lines[1], "1 problem.");
        lines[0].replace(self.dir.path().to_str().unwrap(), "DIR")
    }
}

#[test]
fn good() {
    let case = Case::new();
    let output = case.check("", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "The configuration is good.\n");
    assert_eq!(output.status.code(), Some(0));
    let left: Vec<_> = fs::read_dir(case.dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the configuration itself is there: {left:?}");
}

#[test]
fn an_engine_without_a_limit_is_warned_of() {
    let case = Case::new();
    let output = case.check("store.disk_bytes_max = 0", &[]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @"
    warning: tracegate.toml:2: store.disk_bytes_max: without a limit the embedded engine fills the disk, until the spool has no room either. Write the bytes its tables may take, such as three quarters of the disk.
    The configuration is good.
    ");
    let output = case.check("store.disk_bytes_max = 0", &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(report["warnings"][0]["key"], "store.disk_bytes_max");
    // Another server's disk is its own affair.
    let output = case.check("store.disk_bytes_max = 0\nstore.url = \"http://127.0.0.1:8123\"", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "The configuration is good.\n");
}

#[test]
fn as_json() {
    let case = Case::new();
    let output = case.check("dns.missesmax = 1", &["--format", "json", "--file-only"]);
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    insta::assert_json_snapshot!(report, @r#"
    {
      "ok": false,
      "problems": [
        {
          "advice": "Perhaps \"misses_max\" was meant; otherwise remove it",
          "file": "tracegate.toml",
          "key": "dns.missesmax",
          "line": 2,
          "problem": "unknown key \"missesmax\""
        }
      ],
      "warnings": []
    }
    "#);
}

#[test]
fn no_such_file() {
    let output = tracegate(["check-config", "/no/such/file.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        Case::new().problem(&format!("gateway.listen = \"{address}\"")),
        format!(
            "tracegate.toml:2: gateway.listen: cannot listen on {address}: address already in \
             use. Stop what listens there, or choose another port."
        )
    );
}

#[test]
fn udp_port_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        Case::new().problem(&format!("dns.listen = [\"{address}\"]")),
        format!(
            "tracegate.toml:2: dns.listen[0]: cannot listen on {address}: address already in use. \
             Stop what listens there, or choose another port."
        )
    );
}

#[test]
fn ports_of_our_own_server_are_left_alone() {
    let case = Case::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fs::create_dir(case.path("data")).unwrap();
    let run = format!("{{\"pid\": {}, \"gateway\": \"{address}\"}}", std::process::id());
    fs::write(case.path("data/run.json"), run).unwrap();
    let _held = hold(&case.path("data/run.json"));
    let output = case.check(&format!("gateway.listen = \"{address}\""), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn data_directory_below_a_file() {
    let case = Case::new();
    fs::write(case.path("file"), "").unwrap();
    insta::assert_snapshot!(
        case.problem("data_dir = \"file/data\""),
        @"tracegate.toml:2: data_dir: cannot write in file: not a directory. Choose a directory that this user may write, or change its owner."
    );
}

#[test]
fn data_directory_that_nobody_can_write() {
    let problem = Case::new().problem("data_dir = \"/proc/tracegate\"");
    assert!(
        problem.starts_with("tracegate.toml:2: data_dir: cannot write in /proc: "),
        "{problem}"
    );
}

#[test]
fn zone_file_missing() {
    insta::assert_snapshot!(
        Case::new().problem("dns.zones = [{ name = \"a.test\", file = \"a.zone\" }]"),
        @"tracegate.toml:2: dns.zones[0].file: DIR/a.zone cannot be read: no such file or directory. Name a file that this user may read."
    );
}

#[test]
fn zone_file_through_a_link() {
    let case = Case::new();
    std::os::unix::fs::symlink("/etc/passwd", case.path("a.zone")).unwrap();
    insta::assert_snapshot!(
        case.problem("dns.zones = [{ name = \"a.test\", file = \"a.zone\" }]"),
        @"tracegate.toml:2: dns.zones[0].file: a.zone leads out of dns.zone_root. Put the file itself below it."
    );
}

#[test]
fn password_file_of_everybody() {
    let case = Case::new();
    let file = case.path("password");
    fs::write(&file, "secret").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(
        case.problem("store.password_file = \"password\""),
        @"tracegate.toml:2: store.password_file: password can be read by others (mode 644). chmod 600 it."
    );
}

#[test]
fn resolv_conf_names_only_us() {
    let case = Case::new();
    fs::write(case.path("resolv.conf"), "# ours\nnameserver 127.0.0.53\n").unwrap();
    let output = case.check(
        "dns.upstream.mode = \"forward\"\ndns.upstream.resolv_conf = \"resolv.conf\"\n\
         dns.listen = [\"127.0.0.53:53\"]",
        &[],
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = "tracegate.toml:3: dns.upstream.resolv_conf: resolv.conf names only our own \
                listener. List resolvers in dns.upstream.servers, or set dns.upstream.mode = \
                \"off\".";
    assert!(stdout.lines().any(|l| l == line), "{stdout}");
}

#[test]
fn what_warnings_are_made_from_is_tried() {
    let case = Case::new();
    let tiers = "format = 1\nversion = \"x\"\n[[rules]]\ntier = \"interstitial\"\n";
    fs::write(case.path("tiers.toml"), tiers).unwrap();
    insta::assert_snapshot!(
        case.problem("gateway.notices.tier_rules = \"tiers.toml\""),
        @r#"tiers.toml:3: rules: what a list means as "block" would be let through. Add a rule with when = { listed = ["block"] } and that tier."#
    );
    fs::create_dir(case.path("pages")).unwrap();
    let keys = "gateway.notices.dir = \"pages\"";
    insta::assert_snapshot!(
        case.problem(keys),
        @r#"tracegate.toml:2: gateway.notices.dir: pages: there are templates here and no notices.toml. Add one with version = "…". Correct the file, or remove it to use ours."#
    );
    fs::write(case.path("pages/notices.toml"), "version = \"isp-1\"\n").unwrap();
    fs::write(case.path("pages/password.html"), "{{ w.password.nothing }}").unwrap();
    let problem = case.problem(keys);
    assert!(problem.contains("gateway.notices.dir: ") && problem.contains("password.html"));
    fs::write(case.path("pages/password.html"), "{{ w.password.title }}").unwrap();
    assert_eq!(case.check(keys, &[]).status.code(), Some(0));
    fs::remove_file(case.path("tiers.toml")).unwrap();
    insta::assert_snapshot!(
        case.problem("gateway.notices.tier_rules = \"tiers.toml\""),
        @"tracegate.toml:2: gateway.notices.tier_rules: tiers.toml cannot be read: no such file or directory. Name a file that this user may read."
    );
}
