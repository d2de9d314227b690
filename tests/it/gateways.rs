//! Several gateways on one PostgreSQL: what one changes, the others obey; what the database's
//! absence leaves.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tracegate::{
    clock::{Clock, Timestamp},
    config::Config,
    links::{
        Error, Freshness, Keep, LinkSettings, LinkStore, Operation, OutboxRow, PostgresLinks,
        Revision, State,
    },
    record::{LaneId, SchemaId, Table},
    sql::postgres::Settings,
};

use crate::{
    harness::{Builder, Server, eventually},
    postgres_lab::Postgres,
    server::call,
    site::{Reply, ask},
};

/// A node named `name` on a database, with the key that all of them have.
pub(crate) fn node(postgres: &Postgres, database: &str, name: &str) -> Builder {
    let (url, password_file) = (postgres.url(database), postgres.password_file());
    let builder = Server::builder().config(|c| {
        c.node = Some(name.parse().unwrap());
        c.control.url = url;
        c.control.password_file = password_file;
        // Nobody is there; the spool keeps what comes.
        c.store.url = "http://127.0.0.1:9".into();
        c.dns.listen.clear();
    });
    let secrets = builder.path().join("data/secrets");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets).unwrap();
    fs::write(secrets.join("codes.key"), "ab".repeat(32)).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(secrets.join("codes.key"), mode).unwrap();
    builder
}

pub(crate) fn api(server: &Server, method: &str, path: &str, body: &Value) -> Reply {
    call(server, &server.token(), method, path, &body.to_string())
}

pub(crate) fn create(server: &Server, code: &str) -> Reply {
    api(
        server,
        "POST",
        "/api/v1/links",
        &json!({"target": "https://www.example.com/", "code": code}),
    )
}

pub(crate) fn set(server: &Server, code: &str, state: &str) -> Reply {
    api(server, "PATCH", &format!("/api/v1/links/{code}"), &json!({"state": state}))
}

pub(crate) fn visit(server: &Server, code: &str) -> u16 {
    let host = server.gateway().to_string();
    ask(server.gateway(), "GET", &format!("/{code}"), &[("Host", &host)], "").status
}

#[test]
fn what_one_gateway_changes_the_others_obey() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let nodes = ["a", "b", "c"].map(|name| node(&postgres, &database, name).start());
    let made = create(&nodes[0], "shared-link");
    assert_eq!(made.status, 201, "{}", made.body);
    let mut times = Vec::new();
    let clock = Clock::system();
    for round in 0..20 {
        for server in &nodes {
            eventually("it is followed everywhere", || {
                (visit(server, "shared-link") == 302).then_some(())
            });
        }
        let changed = set(&nodes[round % 3], "shared-link", "disabled");
        assert_eq!(changed.status, 200, "{}", changed.body);
        let began = clock.monotonic();
        for server in &nodes {
            eventually("it is stopped everywhere", || {
                (visit(server, "shared-link") == 410).then_some(())
            });
        }
        times.push(began.elapsed());
        assert_eq!(set(&nodes[(round + 1) % 3], "shared-link", "enabled").status, 200);
    }
    times.sort();
    eprintln!("obeyed everywhere after: half {:?}, all {:?}", times[10], times[19]);
    // Tokens too.
    let token = api(&nodes[0], "POST", "/api/v1/tokens", &json!({"name": "w", "role": "writer"}));
    assert_eq!(token.status, 201, "{}", token.body);
    let secret = token.json()["token"].as_str().unwrap().to_owned();
    let asks =
        |server: &Server| call(server, &secret, "GET", "/api/v1/links/shared-link", "").status;
    eventually("it is known elsewhere", || (asks(&nodes[1]) == 200).then_some(()));
    let revoked = call(&nodes[2], &nodes[2].token(), "DELETE", "/api/v1/tokens/w", "");
    assert_eq!(revoked.status, 204, "{}", revoked.body);
    eventually("it has ended elsewhere", || (asks(&nodes[0]) == 401).then_some(()));
    // Forty-one revisions, each once, whoever made them.
    let last = api(&nodes[2], "GET", "/api/v1/links/shared-link", &Value::Null);
    assert_eq!(last.json()["revision"], 41);
    // A gateway that dies and comes back goes on.
    let [a, ..] = nodes;
    let a = a.kill9().start();
    assert_eq!(visit(&a, "shared-link"), 302);
    assert_eq!(set(&a, "shared-link", "disabled").json()["revision"], 42);
}

#[test]
fn without_the_database_links_in_memory_go_on_and_nothing_is_made() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    let serves = node(&postgres, &database, "serves").start();
    let stops = node(&postgres, &database, "stops")
        .config(|c| c.control.on_down = tracegate::config::OnDown::Stop)
        .start();
    let config = serves.home().path().join("tracegate.toml");
    let backup =
        serves.cli(["link", "backup", "links.backup", "--config", config.to_str().unwrap()]);
    let why = String::from_utf8(backup.stderr).unwrap();
    assert!(!backup.status.success() && why.contains("pg_dump"), "{why}");
    assert_eq!(create(&serves, "known").status, 201);
    assert_eq!(create(&stops, "unseen").status, 201);
    assert_eq!((visit(&serves, "known"), visit(&stops, "known")), (302, 302));
    postgres.kill();
    eventually("it stops where it shall", || (visit(&stops, "known") == 503).then_some(()));
    assert_eq!(visit(&serves, "known"), 302);
    assert_eq!(visit(&serves, "unseen"), 503, "nobody can say");
    let refused = create(&serves, "another-one");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("control_away")));
    let ready = || call(&serves, "", "GET", "/readyz", "").json();
    eventually("it says so", || {
        ready()["checks"]["control"].as_str().unwrap().contains("not heard").then_some(())
    });
    postgres.restart();
    eventually("it goes on", || (create(&serves, "another-one").status == 201).then_some(()));
    for code in ["known", "unseen", "another-one"] {
        eventually("links are followed again", || (visit(&stops, code) == 302).then_some(()));
    }
    eventually("it says so", || (ready()["checks"]["control"] == "ok").then_some(()));
}

/// Three gateways make and stop links, and are killed in turn while they do: what was answered holds
/// on every one of them.
#[test]
fn gateways_that_die_under_load_lose_and_double_nothing() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let mut nodes: Vec<Option<Server>> =
        ["a", "b", "c"].map(|name| Some(with_store(node(&postgres, &database, name)))).into();
    let (mut made, mut stopped) = (Vec::new(), Vec::new());
    for victim in 0..3 {
        let done = std::sync::atomic::AtomicBool::new(false);
        let answered = std::sync::Mutex::new((Vec::new(), Vec::new()));
        let dying = nodes[victim].take().unwrap();
        let at: Vec<_> = (0..3)
            .map(|i| nodes[i].as_ref().unwrap_or(&dying))
            .map(|n| (n.api(), n.token()))
            .collect();
        let home = std::thread::scope(|s| {
            // Set on the way out, a panic's too: nobody goes on then.
            let _ends = Ends(&done);
            for (api, token) in &at {
                let (done, answered) = (&done, &answered);
                s.spawn(move || {
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        let Some(code) = make(*api, token) else { continue };
                        answered.lock().unwrap().0.push(code.clone());
                        if stop(*api, token, &code) {
                            answered.lock().unwrap().1.push(code);
                        }
                    }
                });
            }
            let some = |n: usize| (answered.lock().unwrap().1.len() >= n).then_some(());
            eventually("links are made and stopped", || some(30));
            let home = dying.kill9();
            let before = answered.lock().unwrap().1.len();
            eventually("the others go on", || some(before + 30));
            home
        });
        nodes[victim] = Some(home.start());
        let (codes, ended) = answered.into_inner().unwrap();
        made.extend(codes);
        stopped.extend(ended);
    }
    let distinct: std::collections::BTreeSet<_> = made.iter().collect();
    assert_eq!(distinct.len(), made.len(), "a code was given twice");
    let nodes: Vec<Server> = nodes.into_iter().flatten().collect();
    for server in &nodes {
        // Changes that a node left half-way are settled once it is back.
        for code in &made {
            let status = visit(server, code);
            assert!(matches!(status, 302 | 410), "{code}: {status}");
        }
        for code in &stopped {
            assert_eq!(visit(server, code), 410, "{code} leads although it was stopped");
        }
    }
    for code in &made {
        let link = api(&nodes[0], "GET", &format!("/api/v1/links/{code}"), &Value::Null).json();
        let revisions = link["revisions"].as_array().unwrap();
        for (n, revision) in (1u64..).zip(revisions) {
            assert_eq!(revision["revision"], n, "{link}");
        }
    }
}

/// A node with a store of its own, started: codes are given out once that was asked for older ones.
fn with_store(node: Builder) -> Server {
    node.config(|c| c.store.url = Config::default().store.url).start()
}

struct Ends<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A code that was answered; none when the node is gone.
fn make(api: std::net::SocketAddr, token: &str) -> Option<String> {
    let body = json!({"target": "https://www.example.com/"}).to_string();
    let reply = over(api, token, "POST", "/api/v1/links", &body)?;
    let reply: Value = serde_json::from_str(&reply).ok()?;
    reply["code"].as_str().filter(|_| reply["short_url"].is_string()).map(str::to_owned)
}

/// Whether it was answered that the link is stopped.
fn stop(api: std::net::SocketAddr, token: &str, code: &str) -> bool {
    let body = json!({"state": "disabled", "reason": "test"}).to_string();
    let reply = over(api, token, "PATCH", &format!("/api/v1/links/{code}"), &body);
    let reply = reply.and_then(|r| serde_json::from_str::<Value>(&r).ok());
    reply.is_some_and(|r| r["state"] == "disabled")
}

/// The body of an answer that came whole; none from a node that dies.
fn over(
    api: std::net::SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(api).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}

struct Kept<F>(u64, F);

impl<F: FnMut() -> Result<(), Error>> Keep for Kept<F> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        let row = |seq| OutboxRow {
            lane: LaneId::new(1_800_000_000, u16::MAX, Table::Conversions),
            seq,
            schema: SchemaId::newest(Table::Conversions),
            bytes: vec![1; 10],
        };
        Ok((self.0..).take(accepted.len()).map(row).collect())
    }

    fn append(&mut self) -> Result<(), Error> {
        (self.1)()
    }

    fn abandon(&mut self) {}
}

fn revise(
    store: &dyn LinkStore,
    n: u32,
    append: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let revision = Revision {
        code: "a".into(),
        revision: n,
        ts: Timestamp::from_secs(1_800_000_000),
        operation: if n == 1 { Operation::Create } else { Operation::Edit },
        target_submitted: "https://www.example.com/".into(),
        target: "https://www.example.com/".into(),
        target_host: "www.example.com".into(),
        target_registrable_domain: "example.com".into(),
        state: State::Enabled,
        expires: Timestamp::ZERO,
        actor: "operator".into(),
        owner: "somebody".into(),
        reason: String::new(),
        psl_version: "1".into(),
        domain: String::new(),
        settings: LinkSettings::default(),
        request: String::new(),
    };
    store.revise(&[revision], &mut Kept(n.into(), append))?.pop().unwrap()
}

#[test]
fn what_a_dead_node_left_waits_for_it() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let a = postgres.links(&database, "a").unwrap();
    let b = postgres.links(&database, "b").unwrap();
    revise(&a, 1, || Ok(())).unwrap();
    let died = catch_unwind(AssertUnwindSafe(|| revise(&a, 2, || panic!("dies"))));
    assert!(died.is_err());
    drop(a);
    assert_eq!(b.current("a").unwrap().unwrap().revision, 1, "nobody sees what is not kept");
    for n in [2, 3] {
        let pending = revise(&b, n, || panic!("appended")).unwrap_err();
        assert!(matches!(&pending, Error::Pending { node, .. } if node == "a"), "{pending}");
    }
    assert_eq!(b.outbox().unwrap(), [], "it is the other's");
    let a = postgres.links(&database, "a").unwrap();
    let left = a.outbox().unwrap();
    assert_eq!(left.len(), 1);
    a.forget(&[(left[0].lane, left[0].seq)]).unwrap();
    assert_eq!(b.current("a").unwrap().unwrap().revision, 2);
    revise(&b, 3, || Ok(())).unwrap();
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let postgres = Postgres::start();
    let settings = Settings {
        statement_timeout: Duration::from_secs(3),
        ..postgres.settings_of(&postgres.database())
    };
    let open = || {
        let fresh = Freshness::new(Clock::system(), Duration::from_secs(1), true);
        let node = "a".parse().unwrap();
        PostgresLinks::open(settings.clone(), &node, Arc::new(fresh), Clock::system())
    };
    let first = open().unwrap();
    let second = open().unwrap_err();
    assert!(matches!(second, Error::OtherNode(_)), "{second}");
    drop(first);
    eventually("the name is free again", || open().ok());
}

/// Over and over the database dies somewhere in the middle of conversions: what was answered is
/// there, what was refused is not, and nothing is there twice.
#[test]
fn a_database_that_dies_under_load_loses_nothing() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    let mut expected = 1;
    for round in 0..3 {
        let settings = Settings {
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(2),
            ..postgres.settings_of(&database)
        };
        let fresh = Freshness::new(Clock::system(), Duration::from_secs(1), true);
        let node = "a".parse().unwrap();
        let store = PostgresLinks::open(settings, &node, Arc::new(fresh), Clock::system()).unwrap();
        let mut appended = expected - 1;
        let (stop, stopped) = std::sync::mpsc::channel();
        std::thread::scope(|s| {
            let (store, expected, appended) = (&store, &mut expected, &mut appended);
            s.spawn(move || {
                // Until somebody refuses.
                while stopped.try_recv().is_err() {
                    let n = *expected;
                    match revise(store, n, || {
                        *appended = n;
                        Ok(())
                    }) {
                        Ok(()) => *expected += 1,
                        Err(Error::Away(_) | Error::Unshown) => break,
                        Err(e) => panic!("{e}"),
                    }
                }
            });
            eventually("some were made", || {
                let newest = store.current("a").ok()??.revision;
                (newest > 20 * (round + 1)).then_some(())
            });
            postgres.kill();
            stop.send(()).ok();
        });
        postgres.restart();
        // The next change settles what is left; it may itself be the one that was kept.
        eventually("what was left is settled", || store.forget(&[]).ok());
        let newest = eventually("it is read again", || store.current("a").ok());
        assert_eq!(newest.unwrap().revision, appended, "kept is seen");
        assert!(appended == expected - 1 || appended == expected, "answered is kept");
        expected = appended + 1;
        assert_eq!(store.outbox().unwrap(), []);
        assert_eq!(store.revisions("a", 1, 10_000).unwrap().len(), appended as usize);
    }
}
