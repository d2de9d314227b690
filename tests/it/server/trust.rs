//! Whom the command line believes, and what a start is refused for.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    thread,
};

use super::{call, json, node, run, said};
use crate::{
    harness::{eventually, hold, tracegate},
    site,
};

/// A data directory that names a server, with a token.
fn data_dir(dir: &Path) {
    fs::create_dir_all(dir.join("secrets")).unwrap();
    put(&dir.join("run.json"), r#"{"pid":1,"dns":[],"api":"127.0.0.1:1"}"#);
    put(&dir.join("secrets/operator.token"), "tg_secret\n");
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn files_of_others_are_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (run_file, token) = ("run.json", "secrets/operator.token");
    let mode = |file: &str, mode: u32| {
        let path = dir.path().join(file);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let refused = |why: &str, file: &str| {
        let mut command = tracegate(["trace", "demo.test", "--data-dir"]);
        command.arg(dir.path());
        let output = run(command);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.contains(file), "{why}: {said}");
        data_dir(dir.path());
    };
    data_dir(dir.path());
    // Nobody holds it: whoever wrote it is gone.
    refused("no server runs on", run_file);
    let _held = hold(&dir.path().join(run_file));
    // Believed, and then there is nobody.
    refused("cannot reach the API at http://127.0.0.1:1", "");
    mode(run_file, 0o666);
    refused("others can write it (mode 666)", run_file);
    mode(token, 0o640);
    refused("others can read it (mode 640)", token);
    mode(token, 0o622);
    refused("others can write it (mode 622)", token);
    fs::rename(dir.path().join(token), dir.path().join("elsewhere")).unwrap();
    symlink(dir.path().join("elsewhere"), dir.path().join(token)).unwrap();
    refused("operator.token", token);
    fs::remove_file(dir.path().join(token)).unwrap();
    refused("operator.token", token);
    if rustix::process::geteuid().is_root() {
        for file in [run_file, token] {
            chown(dir.path().join(file), Some(12_345), None).unwrap();
            let why = "belongs to user 12345, not to you or root";
            refused(why, file);
            chown(dir.path().join(file), Some(0), None).unwrap();
        }
    }
    fs::remove_file(dir.path().join(run_file)).unwrap();
    refused("Is `tracegate serve` running", run_file);
}

/// After `kill -9` the address and the process id of a run file may be anybody's.
#[test]
fn a_run_file_left_behind_sends_no_token_to_strangers() {
    let home = node().start().kill9();
    let run_file = home.path().join("data/run.json");
    let mut left: serde_json::Value =
        serde_json::from_slice(&fs::read(&run_file).expect("left behind")).unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    left["api"] = stranger.local_addr().unwrap().to_string().into();
    let asked = || {
        let mut command = tracegate(["token", "list", "--data-dir"]);
        command.arg(home.path().join("data"));
        run(command)
    };
    // A process that lives has the id: ours.
    for pid in [left["pid"].clone(), std::process::id().into()] {
        left["pid"] = pid;
        put(&run_file, &left.to_string());
        let output = asked();
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(said.contains("no server runs on") && said.contains("run.json"), "{said}");
        let nobody = stranger.accept().map(|(_, from)| from);
        assert!(nobody.is_err(), "{nobody:?} brought something to a stranger");
    }
    // One that is held is believed: that is what keeps the others away.
    let held = hold(&run_file);
    let stranger = thread::spawn(move || {
        eventually("whoever the file names is asked", || stranger.accept().ok());
    });
    assert_eq!(asked().status.code(), Some(1));
    stranger.join().unwrap();
    drop(held);
    let server = home.start();
    let output = server.cli(["token", "list", "--format", "json"]);
    assert!(output.status.success(), "{}", super::said(&output));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = node().start();
    let config = server.home().path().join("tracegate.toml");
    let run_file = server.home().path().join("data/run.json");
    let before = fs::read(&run_file).unwrap();
    let mut second = tracegate(["serve", "--config"]);
    second.arg(&config);
    let second = run(second);
    assert_eq!(second.status.code(), Some(1));
    let said = said(&second);
    assert!(said.contains("is in use by another process"), "{said}");
    assert!(said.contains(server.home().path().join("data").to_str().unwrap()), "{said}");
    // The first one did not notice.
    assert_eq!(fs::read(&run_file).unwrap(), before);
    assert_eq!(super::addresses(server.dns(), "www.demo.test").len(), 1);
}

#[test]
fn ports_in_use_are_named_with_their_keys() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp) = (taken.local_addr().unwrap(), taken_udp.local_addr().unwrap());
    let failed = |key: &str, address: SocketAddr, home: crate::harness::Builder| {
        let (status, log) = home.start_and_fail();
        assert_eq!(status.code(), Some(1), "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.starts_with("tracegate: "), "{log}");
        assert!(last.contains(key) && last.contains(&address.to_string()), "{log}");
        assert!(last.contains("in use"), "{log}");
    };
    failed("gateway.listen", tcp, node().config(|c| c.gateway.listen = Some(tcp)));
    failed("api.listen", tcp, node().config(|c| c.api.listen = Some(tcp)));
    failed("dns.listen", tcp, node().config(|c| c.dns.listen = vec![tcp]));
    failed("dns.listen", udp, node().config(|c| c.dns.listen = vec![udp]));
    // Threads share the gateway's port with each other, not with another server.
    let first = node().config(|c| c.gateway.threads = 2).start();
    let second = node().config(|c| {
        c.gateway.listen = Some(first.gateway());
        c.gateway.threads = 2;
    });
    failed("gateway.listen", first.gateway(), second);

    // The engine may come later: everybody else is served, and readiness says why it is not there.
    let server = node().config(|c| c.store.engine.listen = tcp).start();
    assert_eq!(super::addresses(server.dns(), "www.demo.test").len(), 1);
    eventually("the log says which port", || {
        server.home().log().contains(&format!("cannot listen on {tcp}")).then_some(())
    });
    let host = server.api().to_string();
    let ready = site::ask(server.api(), "GET", "/readyz", &[("Host", &host)], "");
    assert_eq!(ready.json()["status"], "degraded", "{}", ready.body);
    drop(taken);
    eventually("the engine serves once the port is free", || {
        let ready = site::ask(server.api(), "GET", "/readyz", &[("Host", &host)], "");
        (ready.json()["status"] == "ready").then_some(())
    });
}

#[test]
fn command_line_before_variable_before_configuration() {
    let server = node().start();
    let data = server.home().path().join("data");
    let config = server.home().path().join("tracegate.toml");
    let wrong = server.home().path().join("wrong");
    let reached = |args: &[&Path], variable: Option<&Path>| {
        let mut command = tracegate(["token", "list", "--format", "json"]);
        command.args(args).envs(variable.map(|v| ("TRACEGATE_DATA_DIR", v)));
        run(command)
    };
    let (option, file) = (Path::new("--data-dir"), Path::new("--config"));
    for (args, variable) in [
        (&[option, &data][..], None),
        (&[option, &data], Some(wrong.as_path())),
        (&[], Some(&data)),
        (&[file, &config], None),
        (&[file, &config], Some(&data)),
    ] {
        let output = reached(args, variable);
        assert!(output.status.success(), "{args:?} {variable:?}: {}", said(&output));
        assert!(!json(&output).is_null());
    }
    for (args, variable) in [
        (&[option, &wrong][..], Some(data.as_path())),
        (&[file, &config], Some(&wrong)),
        (&[file, &config, option, &wrong], None),
    ] {
        let output = reached(args, variable);
        assert_eq!(output.status.code(), Some(1), "{args:?} {variable:?}");
        assert!(said(&output).contains("wrong/run.json"), "{}", said(&output));
    }
    // Elsewhere, both are named; the token of this machine goes nowhere else.
    let token_file = data.join("secrets/operator.token");
    let url = format!("http://{}", server.api());
    let mut remote = tracegate(["token", "list", "--server", &url, "--token-file"]);
    remote.arg(&token_file);
    assert!(run(remote).status.success());
    let mut remote = tracegate(["token", "list", "--server", &url, "--data-dir"]);
    remote.arg(&data);
    assert!(said(&run(remote)).contains("--server needs --token-file"));
    assert_eq!(call(&server, &server.token(), "GET", "/api/v1/tokens", "").status, 200);
}

#[test]
fn the_server_takes_its_directory_from_the_variable() {
    let home = node();
    let data = home.path().join("from-variable");
    let home = home.variable("TRACEGATE_DATA_DIR", data.to_str().unwrap());
    let server = home.config(|c| c.store.url = "http://127.0.0.1:1".into()).start_below(&data);
    assert!(data.join("run.json").exists());
    assert!(!server.home().path().join("data").exists());
}
