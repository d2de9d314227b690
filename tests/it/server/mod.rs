//! The whole server through the real binary, as its users meet it: sockets, files, commands.

mod demo;
mod drain;
mod feeds;
mod health;
mod notify;
mod refusals;
mod story;
mod trust;
mod zones;

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    process::{Command, Output, Stdio},
};

use hickory_proto::op::Message;
use serde_json::Value;
use tracegate::clock::Clock;

use crate::{
    dns_client,
    harness::{Builder, DEADLINE, Server, eventually},
    site::{self, Reply},
};

const ZONE: &str = "\
$ORIGIN demo.test.
$TTL 300
@      SOA  ns hostmaster 1 3600 600 86400 60
@      NS   ns
ns     A    192.0.2.53
www    A    192.0.2.80
www    AAAA 2001:db8::80
*.wild A    192.0.2.20
";

/// A node for demo.test that ships at once.
pub(crate) fn node() -> Builder {
    Server::builder().zone("demo.test", ZONE).config(|c| {
        c.gateway.targets.special_hosts = vec!["demo.test".into()];
        c.spool.frame_age_ms_max = 100;
        c.store.shipment_age_ms_max = 50;
    })
}

/// Asks over UDP from `from`; the response, and the port asked from.
pub(crate) fn query_from(
    from: Ipv4Addr,
    server: SocketAddr,
    name: &str,
    qtype: u16,
) -> (Message, u16) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(server).unwrap();
    socket.send(&dns_client::ask(name, qtype).wire()).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a response");
    (Message::from_vec(&buffer[..length]).unwrap(), socket.local_addr().unwrap().port())
}

/// The addresses of a name.
fn addresses(server: SocketAddr, name: &str) -> Vec<IpAddr> {
    let (response, _) = query_from(Ipv4Addr::LOCALHOST, server, name, 1);
    response.answers.iter().filter_map(|r| r.data.ip_addr()).collect()
}

/// One request to the API with a token.
pub(crate) fn call(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Reply {
    let host = server.api().to_string();
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Host", host.as_str()), ("Authorization", &bearer)];
    if !body.is_empty() || method == "POST" {
        headers.push(("Content-Type", "application/json"));
    }
    site::ask(server.api(), method, path, &headers, body)
}

/// What a command printed as JSON.
#[track_caller]
pub(crate) fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?} {}", said(output)))
}

/// What a command complained of.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must end by itself.
fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let clock = Clock::system();
    let start = clock.monotonic();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{command:?} does not end: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Waits until the node says that everything before now is in the store.
pub(crate) fn complete(server: &Server) {
    let (now, token) = (Clock::system().now().to_string(), server.token());
    eventually("the node is complete", || {
        let reply = call(server, &token, "GET", "/api/v1/trace?q=none.invalid&kind=domain", "");
        // RFC 3339 in UTC with a fixed number of digits sorts as text.
        (reply.status == 200 && reply.json()["complete_through"]["it"].as_str()? >= now.as_str())
            .then_some(())
    });
}

/// A statement with the secret of the engine's readers, which whoever may read the data directory
/// finds there.
pub(crate) fn read(server: &Server, sql: &str) -> Reply {
    let secret = fs::read_to_string(server.data().join("secrets/engine.reader")).unwrap();
    let host = server.engine().to_string();
    let headers = [("Host", host.as_str()), ("X-ClickHouse-Key", secret.trim())];
    site::ask(server.engine(), "POST", "/", &headers, sql)
}

/// The kinds of a page's records.
fn kinds(page: &Value) -> BTreeSet<&str> {
    page["records"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect()
}

/// Whether somebody accepts connections there.
fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
