//! Connections to PostgreSQL: what they refuse, what they survive.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::{Arc, Barrier},
    time::Duration,
};

use tracegate::{
    clock::Clock,
    sql::postgres::{Error, Pool, Settings, apply},
};

use crate::{
    harness::eventually,
    postgres_lab::{Postgres, own},
};

const TWO: [&str; 2] = ["CREATE TABLE a (x int)", "CREATE TABLE b (x int); SELECT 1"];

fn open(settings: Settings) -> Result<Pool, Error> {
    Pool::open(settings, Clock::system())
}

#[test]
fn postgres_schemas_are_made_once_and_refused_when_newer_or_altered() {
    let server = Postgres::start();
    let settings = server.settings_of(&server.database());
    let apply =
        |set: &str, all: &[&str]| open(settings.clone()).unwrap().with(|s| apply(s, set, all));
    apply("one", &TWO[..1]).unwrap();
    // Nodes that start together.
    let together = Barrier::new(3);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                together.wait();
                apply("one", &TWO).unwrap();
            });
        }
    });
    let newer = apply("one", &TWO[..1]);
    assert!(matches!(newer, Err(Error::Newer { found: 2, known: 1 })), "{newer:?}");
    let altered = apply("one", &["CREATE TABLE a (y int)", TWO[1]]);
    assert!(matches!(altered, Err(Error::Altered(1))), "{altered:?}");
    // One that fails leaves nothing.
    assert!(apply("two", &["CREATE TABLE c (x int)", "CREATE TABLE c (x int)"]).is_err());
    apply("two", &["CREATE TABLE c (x int)"]).unwrap();
}

#[test]
fn postgres_passwords_are_neither_shared_nor_told() {
    let server = Postgres::start();
    let good = server.settings_of("postgres");
    open(good.clone()).unwrap();
    let file = server.dir().join("other");
    let with = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        open(Settings { password_file: file.clone(), ..good.clone() }).unwrap_err()
    };
    let wrong = with("not the password", 0o600);
    let told = format!("{wrong} {wrong:?}");
    assert!(told.contains("28P01") && !told.contains("not the password"), "{told}");
    assert!(matches!(with("x", 0o640), Error::Exposed(_)));
    assert!(matches!(with("", 0o600), Error::Io { .. }));
}

#[test]
fn postgres_over_tls_is_verified_or_refused() {
    let mut server = Postgres::start();
    let data = server.dir().join("data");
    let (key, cert) = (data.join("server.key"), data.join("server.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    own(&key);
    own(&cert);
    let plain = server.settings_of("postgres");
    let tls = |host: &str, ca: bool| Settings {
        url: plain.url.replace("127.0.0.1", host) + "?sslmode=require",
        ca_file: if ca { cert.clone() } else { "".into() },
        ..plain.clone()
    };
    // The server does not offer it yet.
    assert!(open(tls("localhost", true)).is_err());
    fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
    server.stop();
    server.restart();
    let pool = open(tls("localhost", true)).unwrap();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let ssl: bool = pool.with::<_, Error>(|s| Ok(s.query(sql, &[])?[0].get(0))).unwrap();
    assert!(ssl);
    assert!(open(tls("127.0.0.1", true)).is_err(), "another name");
    assert!(open(tls("localhost", false)).is_err(), "nobody vouches for it");
}

#[test]
fn a_postgres_that_is_away_or_hangs_is_found_out_and_found_again() {
    let mut server = Postgres::start();
    let settings = Settings {
        statement_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        ..server.settings_of("postgres")
    };
    let pool = Arc::new(open(settings).unwrap());
    let ask = || pool.with::<_, Error>(|s| Ok(s.query("SELECT 1", &[])?.len()));
    assert_eq!(ask().unwrap(), 1);
    let long = pool.with::<_, Error>(|s| s.batch("SELECT pg_sleep(60)")).unwrap_err();
    assert!(matches!(long, Error::Sql(_)), "{long}");
    assert_eq!(ask().unwrap(), 1);
    server.hang(true);
    let hung = ask().unwrap_err();
    assert!(matches!(hung, Error::Down(_)), "{hung}");
    assert!(pool.is_away());
    server.hang(false);
    eventually("it is found again", || ask().ok());
    server.kill();
    eventually("the loss is noticed", || ask().err());
    assert!(matches!(ask(), Err(Error::Down(_))));
    server.restart();
    eventually("it is found again", || ask().ok());
}

#[test]
fn at_most_so_many_connections_to_postgres_are_open() {
    let server = Postgres::start();
    let settings = Settings {
        connections_max: 2,
        connect_timeout: Duration::from_millis(500),
        ..server.settings_of("postgres")
    };
    let pool = open(settings).unwrap();
    let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
    assert!(matches!(pool.take(), Err(Error::Busy)));
    drop(one);
    drop(pool.take().unwrap());
    // One that is left in the middle of a transaction is nobody's any more.
    drop(two);
    let failed = pool.with::<(), Error>(|s| {
        s.transact(|tx| {
            tx.batch("CREATE TABLE half (x int)")?;
            tx.batch("nonsense")
        })
    });
    assert!(failed.is_err());
    let sql = "SELECT to_regclass('half') IS NULL";
    let gone: bool = pool.with::<_, Error>(|s| Ok(s.query(sql, &[])?[0].get(0))).unwrap();
    assert!(gone);
}
