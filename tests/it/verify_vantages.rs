//! Several places look at a name, and some of them lie: Unbound, PowerDNS Recursor and another
//! tracegate beside our own way from the root.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tracegate::config::Vantage;

use crate::{
    dns_client::{ask, free_port},
    harness::{Server, eventually},
    transfer::peers::Process,
    verify_cli::builder,
    verify_lab::{FIRST, Lab},
    verify_registry_lab::{Registry, domain},
    verify_scenarios::zones,
};

const HOST: &str = "www.good.test";
const LIE: &str = "6.6.6.6";

/// A resolver, up.
struct Resolver {
    vantage: Vantage,
    _process: Process,
    _dir: TempDir,
}

impl Resolver {
    fn start(name: &str, software: &str, command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-vantage-").tempdir().unwrap();
        let port = free_port();
        let mut command = command(dir.path(), port);
        command.current_dir(dir.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let process = Process::start(&mut command, &dir.path().join("log"));
        let at: SocketAddr = ([127, 0, 0, 1], port).into();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        eventually(&format!("{name} answers"), || {
            socket.send_to(&ask(HOST, 1).wire(), at).unwrap();
            let mut buffer = [0; 4_096];
            let len = socket.recv(&mut buffer).ok()?;
            (len > 12 && buffer[3] & 0xf == 0 && buffer[7] > 0).then_some(())
        });
        let vantage = Vantage {
            name: name.into(),
            software: software.into(),
            resolver: Some(at),
            ..Vantage::default()
        };
        Self { vantage, _process: process, _dir: dir }
    }

    /// Unbound, which asks the zone's own server, or lies.
    fn unbound(name: &str, lab: &Lab, lies: bool) -> Self {
        let from = lab.port;
        Self::start(name, "unbound", |dir, port| {
            let d = dir.display();
            let lie = if lies {
                format!("local-zone: \"{HOST}.\" redirect\n local-data: \"{HOST}. A {LIE}\"\n")
            } else {
                String::new()
            };
            let text = format!(
                "server:\n num-threads: 1\n interface: 127.0.0.1@{port}\n port: {port}\n \
                 do-ip6: no\n username: \"\"\n chroot: \"\"\n directory: \"{d}\"\n \
                 pidfile: \"{d}/pid\"\n use-syslog: no\n do-not-query-localhost: no\n \
                 module-config: \"iterator\"\n local-zone: \"test.\" nodefault\n {lie}\
                 remote-control:\n control-enable: no\n\
                 stub-zone:\n name: \"good.test.\"\n stub-addr: {FIRST}@{from}\n"
            );
            fs::write(dir.join("unbound.conf"), text).unwrap();
            let mut command = Command::new("unbound");
            command.args(["-d", "-c", "unbound.conf"]);
            command
        })
    }

    /// PowerDNS Recursor, which asks the zone's own server, or lies.
    fn recursor(name: &str, lab: &Lab, lies: bool) -> Self {
        let from = lab.port;
        Self::start(name, "pdns-recursor", |dir, port| {
            let d = dir.display();
            fs::write(dir.join("hosts"), format!("{LIE} {HOST}\n")).unwrap();
            let mut command = Command::new("pdns_recursor");
            command.args([
                "--config-dir=/nonexistent".to_owned(),
                format!("--local-address=127.0.0.1:{port}"),
                format!("--forward-zones=good.test={FIRST}:{from}"),
                format!("--socket-dir={d}"),
                format!("--etc-hosts-file={d}/hosts"),
                format!("--export-etc-hosts={}", if lies { "yes" } else { "no" }),
                "--dont-query=".into(),
                "--threads=1".into(),
                "--dnssec=off".into(),
                "--daemon=no".into(),
                "--security-poll-suffix=".into(),
            ]);
            command
        })
    }
}

/// What a server with these other places says of the name.
fn found(lab: &Lab, registry: &Registry, vantages: Vec<Vantage>) -> (Value, Vec<Value>) {
    let server = builder(lab, registry).config(|c| c.verify.vantages = vantages).start();
    let output = server.cli(["check", HOST, "--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let found = findings.iter().filter(|f| f["id"] == "RES-10").cloned().collect();
    (told["overall"].clone(), found)
}

#[test]
fn one_of_five_may_lie_and_two_may_not() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let servers = ["ns1.good.test", "ns2.good.test"];
    registry.keep("/domain/good.test", domain("good.test", &servers, json!({})));
    let other: Server = builder(&lab, &registry).start();
    let token = other.home().path().join("vantage.token");
    fs::write(&token, other.token()).unwrap();
    let node = Vantage {
        name: "south".into(),
        software: "tracegate".into(),
        node: Some(format!("http://{}/", other.api())),
        token_file: Some(token),
        ..Vantage::default()
    };
    let honest = [
        Resolver::unbound("north", &lab, false),
        Resolver::unbound("east", &lab, false),
        Resolver::recursor("west", &lab, false),
    ];
    let liars = [Resolver::unbound("sky", &lab, true), Resolver::recursor("deep", &lab, true)];
    let [north, east, west] = honest.each_ref().map(|r| r.vantage.clone());
    let [sky, deep] = liars.each_ref().map(|r| r.vantage.clone());

    let all = vec![north.clone(), east.clone(), west.clone(), node.clone(), sky.clone()];
    let (overall, one) = found(&lab, &registry, all);
    assert_eq!(overall, "verified_with_notes", "{one:#?}");
    assert_eq!(one[0]["outcome"], "true", "{one:#?}");
    let vantages = &one[0]["args"]["vantages"];
    for (vantage, stands) in
        [("north", "same"), ("west", "same"), ("south", "same"), ("sky", "other")]
    {
        assert_eq!(vantages[vantage], stands, "{one:#?}");
    }
    assert_eq!((one.len(), &one[1]["outcome"]), (2, &"false".into()));
    assert_eq!(one[1]["says"], format!("sky alone sees {LIE}"));

    let (overall, two) = found(&lab, &registry, vec![north.clone(), west.clone(), node, sky, deep]);
    assert_eq!(two.len(), 1, "{two:#?}");
    assert_eq!((&two[0]["outcome"], &two[0]["cause"]), (&"unknown".into(), &"disputed".into()));
    assert_eq!(overall, "unverified", "{two:#?}");

    // Two that do not answer corroborate nothing, and accuse nobody.
    let silent = |name: &str| Vantage {
        name: name.into(),
        software: "unbound".into(),
        resolver: Some(([127, 0, 0, 1], free_port()).into()),
        ..Vantage::default()
    };
    let (overall, none) =
        found(&lab, &registry, vec![north, west, east, silent("one"), silent("two")]);
    assert_eq!(none[0]["cause"], "uncorroborated", "{none:#?}");
    assert_eq!(overall, "verified_with_notes", "{none:#?}");
}
