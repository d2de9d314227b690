//! Visitors while something dies: whoever was sent on, from a link or from a page, is on record,
//! once.
//!
//! Every request calls itself by a name of its own (`User-Agent`), so that each answer is held
//! against the very row that tells of it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tracegate::clock::Clock;

use super::{
    Random, addresses, complete,
    load::{self, Addresses, create, exchange},
    node, pause, round_count,
    store::Engine,
};
use crate::{
    harness::{Builder, Server, eventually},
    postgres_lab::Postgres,
};

/// What visitors were answered, by what they called themselves.
#[derive(Debug, Default)]
struct Answered {
    /// Sent on from a link.
    jumped: HashSet<String>,
    /// Sent on from a page, which they were shown before.
    went_on: HashSet<String>,
    shown: HashSet<String>,
    /// Sent nowhere, with the status.
    other: HashMap<u16, u64>,
}

/// Visitors of `codes`, and of the page that `warned` shows, until they are stopped.
struct Visitors {
    stop: Arc<AtomicBool>,
    /// How many were sent on so far.
    sent_on: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Answered>>,
}

impl Visitors {
    fn start(gateway: SocketAddr, tag: &str, codes: &[String], warned: Option<&str>) -> Self {
        let (stop, sent_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let of = |worker: usize| {
            let (stop, sent_on) = (Arc::clone(&stop), Arc::clone(&sent_on));
            let (codes, warned) = (codes.to_vec(), warned.map(str::to_owned));
            let tag = format!("{tag}x{worker}");
            thread::spawn(move || match warned.filter(|_| worker == 0) {
                Some(warned) => readers(gateway, &tag, &warned, &stop, &sent_on),
                None => jumpers(gateway, &tag, &codes, &stop, &sent_on),
            })
        };
        Self { threads: (0..4).map(of).collect(), stop, sent_on }
    }

    /// Waits until so many were sent on.
    fn until(&self, sent_on: u64) {
        eventually("visitors are sent on", || {
            (self.sent_on.load(Ordering::Relaxed) >= sent_on).then_some(())
        });
    }

    fn stop(self) -> Answered {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answered::default();
        for thread in self.threads {
            let a = thread.join().unwrap();
            all.jumped.extend(a.jumped);
            all.went_on.extend(a.went_on);
            all.shown.extend(a.shown);
            for (status, n) in a.other {
                *all.other.entry(status).or_default() += n;
            }
        }
        all
    }
}

/// One request under a name of its own; none when nobody answered it in full.
fn visit(gateway: SocketAddr, method: &str, path: &str, name: &str) -> Option<(u16, String)> {
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {gateway}\r\nUser-Agent: Mozilla/5.0 Firefox/140.0 \
         {name}\r\n{length}Connection: close\r\n\r\n"
    );
    exchange(gateway, &request)
}

fn jumpers(
    gateway: SocketAddr,
    tag: &str,
    codes: &[String],
    stop: &AtomicBool,
    sent_on: &AtomicU64,
) -> Answered {
    let mut got = Answered::default();
    for n in 0..20_000 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{tag}x{n}");
        match visit(gateway, "GET", &format!("/{}", codes[n % codes.len()]), &name) {
            Some((302, _)) => {
                sent_on.fetch_add(1, Ordering::Relaxed);
                got.jumped.insert(name);
            }
            Some((status, _)) => *got.other.entry(status).or_default() += 1,
            None => {}
        }
    }
    got
}

/// Opens the page and goes on from it, also where the page was shown before somebody died.
fn readers(
    gateway: SocketAddr,
    tag: &str,
    warned: &str,
    stop: &AtomicBool,
    sent_on: &AtomicU64,
) -> Answered {
    let mut got = Answered::default();
    for n in 0..20_000 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (first, then) = (format!("{tag}x{n}a"), format!("{tag}x{n}b"));
        let Some((200, page)) = visit(gateway, "GET", &format!("/{warned}"), &first) else {
            continue;
        };
        got.shown.insert(first);
        let at = page.find("/.notice/").unwrap_or_else(|| panic!("{page}"));
        let act = &page[at..at + page[at..].find(".css").unwrap()];
        match visit(gateway, "POST", &format!("{act}/continue"), &then) {
            Some((303, _)) => {
                sent_on.fetch_add(1, Ordering::Relaxed);
                got.went_on.insert(then);
            }
            Some((status, _)) => *got.other.entry(status).or_default() += 1,
            None => {}
        }
    }
    got
}

/// The names in the rows that `condition` is true of, with how often each is there.
fn recorded(engine: &Engine, condition: &str) -> HashMap<String, u64> {
    let sql = format!(
        "SELECT splitByChar(' ', user_agent)[-1] AS name, count() FROM tracegate.jumps \
         WHERE {condition} GROUP BY name FORMAT TSV"
    );
    let text = engine.ask(&sql);
    let pairs = text.lines().filter_map(|l| l.split_once('\t'));
    pairs.map(|(name, n)| (name.to_owned(), n.parse().unwrap())).collect()
}

/// Everybody of `answered` is in the rows of `condition`, once.
fn all_on_record(engine: &Engine, answered: &HashSet<String>, condition: &str) {
    let rows = recorded(engine, condition);
    let lost: Vec<_> = answered.iter().filter(|name| !rows.contains_key(*name)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {:?}", lost.len(), answered.len(), lost.first());
    let twice = rows.iter().find(|(_, n)| **n > 1);
    assert!(twice.is_none(), "more rows than requests: {twice:?}");
}

/// SIGKILL under visitors only: links, pages, and going on from pages.
#[test]
fn killed_under_visitors_loses_none() {
    let (count, mut random) = (round_count().div_ceil(3), Random::new("visitors"));
    let engine = Engine::prepared();
    let home = node();
    let lists = home.path().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("list"), "warn.load.test\n").unwrap();
    let mut server = home
        .config(|c| {
            engine.serve(c);
            c.feeds.roots = vec![lists.clone()];
            c.gateway.threads = 2;
        })
        .start();
    let at = addresses(&server);
    let made =
        |n| eventually("codes are given out", || create(&at, &format!("https://j{n}.load.test/")));
    let codes: Vec<String> = (0..8).map(made).collect();
    let warned = create(&at, "https://warn.load.test/pay").unwrap();
    let list = lists.join("list");
    let added = server.cli([
        "feed",
        "add",
        "bureau",
        "--format",
        "domains",
        "--tier",
        "interstitial",
        "--source",
        list.to_str().unwrap(),
    ]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    eventually("the page is shown", || {
        (visit(server.gateway(), "GET", &format!("/{warned}"), "first")?.0 == 200).then_some(())
    });
    let (mut jumped, mut went_on, mut shown) = (HashSet::new(), HashSet::new(), HashSet::new());
    for round in 0..count {
        let visitors =
            Visitors::start(server.gateway(), &format!("r{round}"), &codes, Some(&warned));
        visitors.until(10);
        pause(random.below(400));
        server = server.kill9().start();
        let got = visitors.stop();
        jumped.extend(got.jumped);
        went_on.extend(got.went_on);
        shown.extend(got.shown);
    }
    complete(&addresses(&server), Clock::system().now());
    assert!(jumped.len() > 20 || count < 5, "hardly anybody was sent on");
    assert!(!went_on.is_empty() || count < 5, "nobody went on from a page");
    all_on_record(&engine, &jumped, "status = 302 AND outcome = 'jumped'");
    all_on_record(&engine, &shown, "status = 200 AND outcome = 'warned'");
    // Whoever went on is in both tables, under the flow of the page.
    let event = |event: &str| {
        format!("flow IN (SELECT flow FROM tracegate.notices WHERE event = '{event}')")
    };
    all_on_record(&engine, &shown, &format!("status = 200 AND {}", event("issued")));
    all_on_record(&engine, &went_on, &format!("status = 303 AND {}", event("continued")));
}

/// A node on a database, and on a store of its own.
fn on_postgres(postgres: &Postgres, engine: &Engine) -> Builder {
    let home = node().config(|c| {
        engine.serve(c);
        c.control.url = postgres.url(&postgres.database());
        c.control.password_file = postgres.password_file();
    });
    let secrets = home.path().join("data/secrets");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets).unwrap();
    fs::write(secrets.join("codes.key"), "cd".repeat(32)).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(secrets.join("codes.key"), mode).unwrap();
    home
}

fn created(at: &Addresses, code: &str) -> Option<u16> {
    let body = format!("{{\"target\":\"https://{code}.load.test/\",\"code\":\"{code}\"}}");
    let request = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        at.api,
        at.token,
        body.len()
    );
    load::exchange(at.api, &request).map(|(status, _)| status)
}

/// The database goes and comes back under visitors and callers: visitors notice nothing, callers
/// are refused, and what was answered is on record.
#[test]
fn visitors_go_on_while_the_link_database_is_away() {
    let mut postgres = Postgres::start();
    let engine = Engine::prepared();
    let server: Server = on_postgres(&postgres, &engine).start();
    let at = addresses(&server);
    let codes: Vec<String> = (0..20).map(|n| format!("known-{n}")).collect();
    let mut made: HashSet<String> = HashSet::new();
    for code in &codes {
        assert_eq!(created(&at, code), Some(201));
        made.insert(code.clone());
        // In memory from now on.
        assert_eq!(visit(at.gateway, "GET", &format!("/{code}"), "first").unwrap().0, 302);
    }
    let visitors = Visitors::start(at.gateway, "away", &codes, None);
    visitors.until(20);
    postgres.kill();
    let (mut refused, mut n) = (0, 0);
    eventually("callers are refused", || {
        n += 1;
        let code = format!("while-{n}");
        match created(&at, &code)? {
            201 => {
                made.insert(code);
            }
            503 => refused += 1,
            status => panic!("{code}: {status}"),
        }
        (refused == 5).then_some(())
    });
    pause(1_500);
    assert_eq!(
        visit(at.gateway, "GET", "/never-seen", "unseen").unwrap().0,
        503,
        "nobody can say whether there is such a link"
    );
    postgres.restart();
    eventually("callers are served again", || {
        n += 1;
        let code = format!("after-{n}");
        (created(&at, &code)? == 201).then(|| made.insert(code))
    });
    let got = visitors.stop();
    assert!(got.jumped.len() > 200, "{}", got.jumped.len());
    assert_eq!(got.other, HashMap::new(), "a visitor of a link in memory noticed");
    complete(&at, Clock::system().now());
    let jumped = &got.jumped;
    all_on_record(&engine, jumped, "status = 302 AND NOT endsWith(user_agent, 'first')");
    let text =
        engine.ask("SELECT code, count() FROM tracegate.conversions GROUP BY code FORMAT TSV");
    let kept: HashMap<_, _> = text.lines().filter_map(|l| l.split_once('\t')).collect();
    for code in &made {
        assert_eq!(kept.get(code.as_str()), Some(&"1"), "{code} was answered with 201");
    }
    // Whoever was refused may still find that it was made; nothing is there twice.
    assert!(kept.values().all(|n| *n == "1"), "{kept:?}");
}
