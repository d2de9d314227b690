//! Questions against the real engine: rows go in as the shipper sends them, pages come out of the
//! service behind `GET /api/v1/trace`, looks are read back from the spool.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tracegate::{
    clock::{Clock, Timestamp},
    config::{self, Config},
    metrics::Metrics,
    record::{
        Conversion, Flow, FrameRow, GapRow, Head, Jump, LaneId, NodeName, NodeRow, Notice,
        PublicSuffixes, RecordId, Resolution, ResolutionTail, Row, SchemaId, Table, Verification,
        rowbinary,
    },
    spool::{self, Spool},
    store::{Credentials, Store, migrate::migrate},
    trace::{Ask, Error, Limit, Look, Parts, ShortUrls, Tracer},
};

use crate::{engine::Engine, harness::eventually};

const START: i64 = 1_795_000_000;
pub(crate) const VISITOR: &str = "198.51.100.9:5555";

/// A store with a spool beside it.
pub(crate) struct Bed {
    pub(crate) engine: Engine,
    store: Store,
    spool: Spool,
    node: NodeName,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let engine = Engine::start().await;
        let credentials = Credentials {
            user: "default".into(),
            password: engine.supervisor.secrets().internal.reveal().into(),
        };
        let config = Config::default();
        let url = engine.endpoint.url();
        let store = Store::connect(&config.store, &url, credentials);
        migrate(&store).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let node: NodeName = "here".parse().unwrap();
        let mut limits = config.spool;
        limits.segment_bytes_max = 1 << 20;
        limits.frame_bytes_max = 256 << 10;
        limits.batch_bytes_max = 64 << 10;
        limits.frame_age_ms_max = 10;
        let options = spool::Options {
            dir: dir.path().join("spool"),
            node: node.clone(),
            config: limits,
            clock: Clock::system(),
        };
        let (spool, recovery) = Spool::open(options).unwrap();
        recovery.finish().unwrap();
        Self { engine, store, spool, node, dir }
    }

    pub(crate) fn tracer(&self, change: impl FnOnce(&mut config::Trace)) -> Tracer {
        let mut limits = config::Trace::default();
        change(&mut limits);
        self.tracer_of(self.store.client().clone(), limits)
    }

    fn tracer_of(&self, client: clickhouse::Client, limits: config::Trace) -> Tracer {
        Tracer::new(Parts {
            client,
            external: false,
            spool: self.spool.clone(),
            node: self.node.clone(),
            clock: Clock::system(),
            limits,
            short_urls: ShortUrls::new(["http://127.0.0.1:8080"]),
            known: Box::new(|code| code == "abc1234"),
            suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
            metrics: Metrics::new(),
        })
        .unwrap()
    }

    pub(crate) async fn insert(&self, rows: &Rows) {
        for (table, bytes) in &rows.tables {
            let token = hex::encode(Sha256::digest(bytes));
            let schema = SchemaId::newest(*table);
            self.store.insert(*table, schema, &token, vec![bytes.clone().into()]).await.unwrap();
        }
    }

    /// Ends the engine.
    pub(crate) async fn stop(&self) {
        self.engine.supervisor.shutdown().await;
    }

    /// Looks written so far, oldest first.
    pub(crate) fn looks(&self, count: usize) -> Vec<Value> {
        eventually("looks are in closed frames", || {
            self.spool.maintain();
            let mut looks = Vec::new();
            for frame in self.spool.frames().iter().filter(|f| f.table == Table::Access) {
                let bytes = self.spool.read(frame).unwrap();
                let mut input = rowbinary::Reader(&bytes);
                while !input.is_empty() {
                    let row = frame.schema.read_json(&mut input).unwrap();
                    looks.push(Value::from(row));
                }
            }
            looks.sort_by_key(|l| l["ts"].as_str().map(str::to_owned));
            (looks.len() == count).then_some(looks)
        })
    }
}

/// Rows in the making.
#[derive(Default)]
pub(crate) struct Rows {
    tables: BTreeMap<Table, Vec<u8>>,
    counts: BTreeMap<Table, u64>,
}

impl Rows {
    pub(crate) fn add<R: Row>(&mut self, node: &str, millis: i64, row: &R) -> RecordId {
        let node: NodeName = node.parse().unwrap();
        let lane = LaneId::new(START.cast_unsigned(), 1, R::TABLE);
        let count = self.counts.entry(R::TABLE).or_default();
        let seq = *count;
        *count += 1;
        let head = Head { node: &node, lane, seq, ts: at(millis) };
        row.encode(&head, self.tables.entry(R::TABLE).or_default());
        RecordId { node, lane, seq }
    }
}

/// So many milliseconds after the start.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp(START * 1_000_000 + millis * 1_000)
}

pub(crate) fn tail(qname: &str, domain: &str, answers: &[&str]) -> Vec<u8> {
    ResolutionTail {
        registrable_domain: domain.into(),
        qname: qname.into(),
        qtype: 1,
        qclass: 1,
        answers: answers.iter().map(|a| a.parse().unwrap()).collect(),
        dnssec: "not_evaluated",
        ..ResolutionTail::default()
    }
    .encode()
}

pub(crate) fn resolution<'a>(client: &str, flow: Flow, tail: &'a [u8]) -> Resolution<'a> {
    Resolution {
        client: client.parse().unwrap(),
        client_key: "",
        server: "127.0.0.1:5300".parse().unwrap(),
        transport: "udp",
        flags: 0x8180,
        latency_us: 35,
        min_ttl: 300,
        cache: "local",
        flow,
        tail,
    }
}

pub(crate) fn jump<'a>(code: &'a str, target: &'a str, flow: Flow) -> Jump<'a> {
    Jump {
        client: VISITOR.parse().unwrap(),
        client_key: "",
        server: "127.0.0.1:8080".parse().unwrap(),
        method: "GET",
        host: "127.0.0.1:8080",
        path: "/x",
        code,
        revision: 1,
        target,
        target_host: "www.demo.test",
        target_registrable_domain: "demo.test",
        target_addresses: WEB,
        status: 302,
        outcome: "jumped",
        hop: 0,
        tier: "",
        action: "",
        rule: "",
        feed: "",
        feed_version: "",
        verification: "not_evaluated",
        referrer_host: "",
        user_agent: "a browser",
        latency_us: 1_200,
        psl_version: "",
        flow,
        service: "link",
        reason: "",
        client_class: "person",
        tier_version: "",
    }
}

pub(crate) fn conversion<'a>(code: &'a str, target: &'a str) -> Conversion<'a> {
    Conversion {
        code,
        revision: 1,
        operation: "create",
        target_submitted: target,
        target,
        target_host: "www.demo.test",
        target_registrable_domain: "demo.test",
        actor: "writer-1",
        owner: "shop",
        reason: "",
        client: "203.0.113.1:1".parse().unwrap(),
        client_key: "",
        expires: Timestamp::ZERO,
        verification: "not_evaluated",
        psl_version: "",
        flow: Flow::NONE,
        service: "link",
        domain: "",
        state: "enabled",
        settings: "{}",
        previous: "",
    }
}

const WEB: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80))];
const TARGET: &str = "https://www.demo.test/";

/// One link, one visit to it, and others that have nothing to do with it.
struct Scene {
    conversion: String,
    query: String,
    resolution: String,
    verification: String,
    jump: String,
    notice: String,
}

fn scene(rows: &mut Rows) -> Scene {
    let flow = Flow::new(LaneId::new(START.cast_unsigned(), 1, Table::Jumps), 0);
    let www = tail("www.demo.test", "demo.test", &["192.0.2.80"]);
    let conversion = rows.add("n1", 0, &conversion("abc1234", TARGET)).to_string();
    let query = rows.add("n1", 1_000, &resolution("192.0.2.7:4242", Flow::NONE, &www)).to_string();
    let resolution_ = rows.add("n1", 2_000, &resolution(VISITOR, flow, &www)).to_string();
    let verification = Verification {
        registrable_domain: "demo.test",
        subject: "www.demo.test",
        kind: "name",
        overall: "true",
        grid: "",
        findings: "",
        evidence: &[],
        policy_version: "1",
        flow,
        host: "www.demo.test",
        addresses: &["192.0.2.80".parse().unwrap()],
        code: "",
        occasion: "asked",
        rules_version: "1",
        dossier: &[7; 32],
        valid_until: Timestamp::from_secs(START + 3_600),
        psl_version: "1",
    };
    let verification = rows.add("n1", 2_500, &verification).to_string();
    let jump_ = rows.add("n1", 3_000, &jump("abc1234", TARGET, flow)).to_string();
    let notice = Notice {
        client: VISITOR.parse().unwrap(),
        client_key: "",
        code: "abc1234",
        tier: "hint",
        text_version: "1",
        language: "zh",
        event: "issued",
        dwell_ms: 0,
        rule: "",
        feed: "",
        feed_version: "",
        flow,
        service: "link",
        host: "127.0.0.1:8080",
        target: TARGET,
        target_registrable_domain: "demo.test",
        form: "",
        tier_version: "1",
        authority: "",
        order_number: "",
        reason: "",
        client_class: "person",
        psl_version: "",
        continued_by: "",
    };
    let notice = rows.add("n1", 4_000, &notice).to_string();
    for (i, (name, domain)) in
        [("xdemo.test", "xdemo.test"), ("other.test", "other.test")].iter().enumerate()
    {
        let other = tail(name, domain, &["192.0.2.81"]);
        let millis = 2_100 + i64::try_from(i).unwrap();
        rows.add("n2", millis, &resolution("192.0.2.8:1", Flow::NONE, &other));
    }
    let mut other = jump("zzz", "https://other.test/", Flow::new(LaneId(7), 7));
    (other.target_host, other.target_registrable_domain) = ("other.test", "other.test");
    other.target_addresses = &[];
    other.client = "203.0.113.9:9".parse().unwrap();
    rows.add("n2", 3_100, &other);
    Scene { conversion, query, resolution: resolution_, verification, jump: jump_, notice }
}

pub(crate) fn look(role: &'static str) -> Look {
    Look {
        actor: "somebody".into(),
        role,
        peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        case_number: String::new(),
        purpose: String::new(),
    }
}

pub(crate) fn in_a_case(role: &'static str) -> Look {
    Look { case_number: "A-7".into(), purpose: "fraud report".into(), ..look(role) }
}

pub(crate) fn ask(text: &str) -> Ask {
    Ask { text: text.into(), ..Ask::default() }
}

pub(crate) fn ask_kind(text: &str, kind: &str) -> Ask {
    Ask { kind: Some(kind.into()), ..ask(text) }
}

pub(crate) async fn page(tracer: &Tracer, look: &Look, ask: &Ask) -> Value {
    serde_json::from_slice(&tracer.page(look, ask).await.unwrap()).unwrap()
}

pub(crate) fn ids(page: &Value) -> Vec<String> {
    let records = page["records"].as_array().unwrap();
    records.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_kind_of_question_finds_its_chain() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let s = scene(&mut rows);
    let id: RecordId = s.jump.parse().unwrap();
    let frame = FrameRow {
        stream: Table::Jumps,
        frame_lane: id.lane,
        first_seq: 0,
        count: 2,
        min_ts: at(3_000),
        max_ts: at(3_100),
        schema: SchemaId::newest(Table::Jumps),
        bytes: 1,
        root: [0; 32],
        previous: [0; 32],
        key_id: "",
    };
    rows.add("n1", 5_000, &frame);
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let visit = [&s.resolution, &s.verification, &s.jump, &s.notice];
    let with =
        |more: &[&String]| -> Vec<String> { more.iter().copied().chain(visit).cloned().collect() };
    let since = |from: i64| Ask { from: Some(at(from).to_string()), ..ask("abc1234") };
    for (ask, kind, expected) in [
        (ask("abc1234"), "link", with(&[&s.conversion])),
        (ask("http://127.0.0.1:8080/abc1234"), "link", with(&[&s.conversion])),
        (ask("HTTPS://WWW.demo.test"), "url", with(&[&s.conversion])),
        (ask("192.0.2.80"), "address", with(&[&s.query])),
        (ask("demo.test"), "domain", with(&[&s.conversion, &s.query])),
        (ask("WWW.Demo.TEST."), "domain", with(&[&s.conversion, &s.query])),
        (ask("ww.demo.test"), "domain", vec![]),
        (ask(&s.jump), "record", with(&[])),
        (ask(&s.query), "record", vec![s.query.clone()]),
        (ask("n1-30115102720000258-999"), "record", vec![]),
        (ask_kind(VISITOR, "client"), "client", with(&[])),
        (ask_kind("192.0.2.7", "client"), "client", vec![s.query.clone()]),
        (ask_kind("192.0.2.7:4243", "client"), "client", vec![]),
        (since(3_000), "link", vec![s.jump.clone(), s.notice.clone()]),
    ] {
        let page = page(&tracer, &in_a_case("investigator"), &ask).await;
        assert_eq!(page["question"]["text"], ask.text);
        assert_eq!(page["question"]["kind"], kind, "{}", ask.text);
        assert_eq!(ids(&page), expected, "{} {:?}", ask.text, ask.from);
        assert_eq!(page["next_cursor"], Value::Null);
    }
    // Everything below a public suffix, and everything.
    let all = page(&tracer, &look("operator"), &ask("test")).await;
    assert_eq!(ids(&all).len(), 9);
    assert_eq!(page(&tracer, &look("operator"), &ask(".")).await["records"], all["records"]);
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn every_column_is_shown_under_its_name_and_persons_need_a_case() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let s = scene(&mut rows);
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let with_case = page(&tracer, &in_a_case("operator"), &ask("abc1234")).await;
    for record in with_case["records"].as_array().unwrap() {
        let table = Table::from_name(&format!("{}s", record["kind"].as_str().unwrap())).unwrap();
        for column in SchemaId::newest(table).columns().unwrap() {
            let name = if column.name == "kind" { "verification_kind" } else { column.name };
            assert!(!record[name].is_null(), "{table}.{name}");
        }
        assert!(record.get("withheld").is_none());
    }
    let jump = &with_case["records"][3];
    assert_eq!(jump["client"], "198.51.100.9");
    assert_eq!(jump["user_agent"], "a browser");
    let number = Look { purpose: String::new(), ..in_a_case("operator") };
    let purpose = Look { case_number: " ".into(), ..in_a_case("operator") };
    for blind in [look("operator"), number, purpose, in_a_case("auditor")] {
        let page = page(&tracer, &blind, &ask("abc1234")).await;
        assert_eq!(ids(&page), ids(&with_case));
        let text = page.to_string();
        assert!(!text.contains("198.51.100.9") && !text.contains("browser"), "{text}");
        let withheld = ["client", "client_port", "client_key", "user_agent"];
        assert_eq!(page["records"][3]["withheld"], Value::from(withheld.to_vec()));
        assert_eq!(page["records"][3]["client"], Value::Null);
        let refused = tracer.page(&blind, &ask_kind(VISITOR, "client")).await;
        assert_eq!(refused.unwrap_err(), Error::Persons);
    }
    let one = tracer.record(&look("auditor"), &ask_kind(&s.jump, "record")).await.unwrap();
    let one: Value = serde_json::from_slice(&one).unwrap();
    assert_eq!((&one["kind"], &one["id"]), (&"jump".into(), &s.jump.as_str().into()));
    assert_eq!(one["client"], Value::Null);
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn every_look_is_a_record() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    scene(&mut rows);
    bed.insert(&rows).await;
    let tracer = bed.tracer(|t| t.page_rows_max = 3);
    let first = tracer.page(&in_a_case("investigator"), &ask("abc1234")).await.unwrap();
    let page: Value = serde_json::from_slice(&first).unwrap();
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    let next = Ask { cursor: Some(cursor.clone()), ..ask("abc1234") };
    let second = tracer.page(&in_a_case("investigator"), &next).await.unwrap();
    let other = Ask { cursor: Some(cursor), ..ask("demo.test") };
    for (look, ask, error) in [
        (look("writer"), ask("abc1234"), Error::Role),
        (look("auditor"), ask_kind(VISITOR, "client"), Error::Persons),
        (look("operator"), other, Error::Cursor(tracegate::trace::BadCursor)),
        (look("operator"), Ask { misfit: true, ..ask("a") }, Error::Parameter),
        (look("operator"), ask_kind("n1-30115102720000258-9", "record"), Error::NotFound),
    ] {
        let refused = match error {
            Error::NotFound => tracer.record(&look, &ask).await,
            _ => tracer.page(&look, &ask).await,
        };
        assert_eq!(refused.unwrap_err(), error);
    }
    let looks = bed.looks(7);
    let outcomes: Vec<_> = looks.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    let expected = ["answered", "answered", "refused", "refused", "refused", "refused", "failed"];
    assert_eq!(outcomes, expected);
    for (look, page, rows) in [(&looks[0], &first, 3), (&looks[1], &second, 2)] {
        assert_eq!(look["digest"], hex::encode(Sha256::digest(page)));
        assert_eq!(look["rows"], rows);
        assert_eq!((&look["actor"], &look["role"]), (&"somebody".into(), &"investigator".into()));
        assert_eq!(
            (&look["case_number"], &look["purpose"]),
            (&"A-7".into(), &"fraud report".into())
        );
        assert_eq!((&look["peer"], &look["peer_port"]), (&"127.0.0.1".into(), &40_000.into()));
        let question: Value = serde_json::from_str(look["question"].as_str().unwrap()).unwrap();
        assert_eq!((&question["text"], &question["kind"]), (&"abc1234".into(), &"link".into()));
    }
    assert_eq!(looks[2]["digest"], "0".repeat(64));
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let mut expected = BTreeSet::new();
    // Three records at a time share their time; every fifth visit has a resolution of its own.
    let www = tail("www.demo.test", "demo.test", &[]);
    for i in 0..100u64 {
        let millis = i64::try_from(i / 3).unwrap();
        let flow = Flow::new(LaneId(9), i + 1);
        expected.insert(rows.add("n1", millis, &jump("abc1234", TARGET, flow)).to_string());
        if i % 5 == 0 {
            expected.insert(rows.add("n1", millis, &resolution(VISITOR, flow, &www)).to_string());
        }
    }
    bed.insert(&rows).await;
    let tracer = bed.tracer(|t| t.page_rows_max = 7);
    let (mut seen, mut keys, mut next) = (Vec::new(), Vec::new(), ask("abc1234"));
    for turn in 0.. {
        let page = page(&tracer, &look("operator"), &next).await;
        assert!(ids(&page).len() <= 7);
        seen.extend(ids(&page));
        for r in page["records"].as_array().unwrap() {
            let lane: u64 = r["lane"].as_str().unwrap().parse().unwrap();
            keys.push((r["ts"].to_string(), r["node"].to_string(), lane, r["seq"].as_u64()));
        }
        if turn == 3 {
            // Others arrive before and after the place reached.
            let mut late = Rows::default();
            late.add("n0", 0, &jump("abc1234", TARGET, Flow::NONE));
            expected
                .insert(late.add("n3", 60_000, &jump("abc1234", TARGET, Flow::NONE)).to_string());
            bed.insert(&late).await;
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => next.cursor = Some(cursor.into()),
            None => break,
        }
    }
    assert!(keys.windows(2).all(|w| w[0] < w[1]), "in order, each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    bed.engine.supervisor.shutdown().await;
}

/// More flows than the store is handed at once.
#[tokio::test]
async fn a_crowd_of_visits_is_found_with_all_that_belongs_to_them() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let mut expected = BTreeSet::new();
    let www = tail("www.demo.test", "demo.test", &[]);
    for i in 0..2_100u64 {
        let millis = i64::try_from(i).unwrap();
        let flow = Flow::new(LaneId(9), i + 1);
        expected.insert(rows.add("n1", millis, &jump("abc1234", TARGET, flow)).to_string());
        let of_another = Flow::new(LaneId(10), i + 1);
        rows.add("n1", millis, &resolution(VISITOR, of_another, &www));
        // Before the visit, after it, and farther away than a page reaches.
        for away in [-1, 1, 1_500] {
            if i % 100 == 0 {
                let row = resolution(VISITOR, flow, &www);
                expected.insert(rows.add("n1", millis + away, &row).to_string());
            }
        }
    }
    bed.insert(&rows).await;
    for page_rows_max in [1_000, 5_000] {
        let tracer = bed.tracer(|t| t.page_rows_max = page_rows_max);
        let (mut seen, mut next) = (Vec::new(), ask("abc1234"));
        loop {
            let page = page(&tracer, &look("operator"), &next).await;
            seen.extend(ids(&page));
            match page["next_cursor"].as_str() {
                Some(cursor) => next.cursor = Some(cursor.into()),
                None => break,
            }
        }
        assert_eq!(seen.len(), expected.len(), "{page_rows_max}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected, "{page_rows_max}");
    }
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn hostile_questions_ask_for_themselves_alone() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    scene(&mut rows);
    let hostile = [
        "x'; DROP TABLE jumps; --",
        r"x\' OR 1=1 --",
        "x') UNION ALL SELECT * FROM access --",
        "{name:String}",
        "x\" /* `",
        "a\tb\nc\\",
        "例え\u{202e}\u{1f600}",
        "%_",
    ];
    let mut expected = Vec::new();
    for (i, code) in hostile.iter().enumerate() {
        let millis = 10_000 + i64::try_from(i).unwrap();
        expected.push(rows.add("n1", millis, &jump(code, TARGET, Flow::NONE)).to_string());
    }
    let odd = r"a\.b\'\;.odd.test";
    let bytes = tail(odd, "odd.test", &[]);
    let odd_id = rows.add("n1", 20_000, &resolution("192.0.2.9:1", Flow::NONE, &bytes)).to_string();
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    for (code, id) in hostile.iter().zip(expected) {
        let page = page(&tracer, &look("operator"), &ask_kind(code, "link")).await;
        assert_eq!(ids(&page), [id], "{code}");
    }
    for text in [odd, "odd.test"] {
        let page = page(&tracer, &look("operator"), &ask_kind(text, "domain")).await;
        assert_eq!(ids(&page), std::slice::from_ref(&odd_id), "{text}");
    }
    for text in ["demo.test' OR '1'='1", "%", "_______.test"] {
        if let Ok(bytes) = tracer.page(&look("operator"), &ask_kind(text, "domain")).await {
            let page: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(ids(&page), Vec::<String>::new(), "{text}");
        }
    }
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn no_record_is_a_statement() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    for (millis, through) in [(1_000, 500), (2_000, 1_500), (3_000, 900)] {
        let row = NodeRow {
            complete_through: at(through),
            version: "0",
            boot_id: "",
            oldest_unshipped: Timestamp::ZERO,
            unshipped_rows: 0,
        };
        rows.add("there", millis, &row);
    }
    let gap = |stream, from, to, count| GapRow {
        stream,
        gap_lane: LaneId(5),
        gap_id: 1,
        count,
        bound: "exact",
        from_ts: at(from),
        to_ts: at(to),
        reason: "disk_full",
        detail: "",
    };
    rows.add("there", 4_000, &gap(Table::Resolutions, 1_000, 2_000, 12));
    rows.add("there", 4_001, &gap(Table::Jumps, 90_000, 91_000, 13));
    rows.add("there", 4_002, &gap(Table::Access, 1_000, 2_000, 14));
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let window = Ask {
        from: Some(at(0).to_string()),
        to: Some(at(60_000).to_string()),
        ..ask("nothing.test")
    };
    let page = page(&tracer, &look("auditor"), &window).await;
    assert_eq!(page["records"], Value::Array(vec![]));
    let through = page["complete_through"].as_object().unwrap();
    assert_eq!(through.keys().collect::<Vec<_>>(), ["here", "there"]);
    assert_eq!(through["there"], at(900).to_string());
    let here: jiff::Timestamp = through["here"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp(here.as_microsecond()) <= Clock::system().now());
    let counts: Vec<_> =
        page["gaps"].as_array().unwrap().iter().map(|g| g["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [12]);
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn rows_of_another_suffix_list_are_found() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    // By an older list shop.test was a suffix, so that a.shop.test was registered.
    let old = "1999-01-01";
    let by_old_list = ResolutionTail {
        registrable_domain: "a.shop.test".into(),
        qname: "www.a.shop.test".into(),
        psl_version: old.into(),
        qtype: 1,
        qclass: 1,
        dnssec: "not_evaluated",
        ..ResolutionTail::default()
    }
    .encode();
    let target = "https://www.a.shop.test/";
    let jumped = Jump {
        target_host: "www.a.shop.test",
        target_registrable_domain: "a.shop.test",
        psl_version: old,
        ..jump("zzz9999", target, Flow::NONE)
    };
    let converted = Conversion {
        target_host: "www.a.shop.test",
        target_registrable_domain: "a.shop.test",
        psl_version: old,
        ..conversion("zzz9999", target)
    };
    let now = tail("www.b.shop.test", "shop.test", &[]);
    let elsewhere = tail("www.noshop.test", "noshop.test", &[]);
    let ours = [
        rows.add("n1", 0, &converted),
        rows.add("n1", 1_000, &resolution("192.0.2.7:4242", Flow::NONE, &by_old_list)),
        rows.add("n1", 2_000, &jumped),
        rows.add("n1", 3_000, &resolution("192.0.2.7:4242", Flow::NONE, &now)),
    ]
    .map(|id| id.to_string());
    rows.add("n1", 4_000, &resolution("192.0.2.7:4242", Flow::NONE, &elsewhere));
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let asked = |from, to| Ask {
        from: Some(at(from).to_string()),
        to: Some(at(to).to_string()),
        ..ask("shop.test")
    };
    let found = ids(&page(&tracer, &look("auditor"), &asked(0, 10_000)).await);
    assert_eq!(found, ours);
    // In a window without such rows, too.
    let found = ids(&page(&tracer, &look("auditor"), &asked(2_500, 10_000)).await);
    assert_eq!(found, ours[3..]);
    bed.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn questions_are_bounded() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let long = format!("{TARGET}{}", "x".repeat(3_000));
    for i in 0..20 {
        rows.add("n1", i, &jump("abc1234", &long, Flow::NONE));
    }
    bed.insert(&rows).await;
    let look = look("operator");
    let small = bed.tracer(|t| t.page_bytes_max = 10_000);
    let mut next = ask("abc1234");
    let mut sizes = Vec::new();
    loop {
        let page = page(&small, &look, &next).await;
        sizes.push(ids(&page).len());
        match page["next_cursor"].as_str() {
            Some(cursor) => next.cursor = Some(cursor.into()),
            None => break,
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|n| (1..=3).contains(n)), "{sizes:?}");
    let limited = Ask { limit: Some(2), ..ask("abc1234") };
    assert_eq!(ids(&page(&bed.tracer(|_| {}), &look, &limited).await).len(), 2);
    let poor = bed.tracer(|t| t.memory_bytes_max = 1_024);
    let refused = poor.page(&look, &ask("abc1234")).await.unwrap_err();
    assert_eq!(refused, Error::Limit(Limit::Memory));
    let none = bed.tracer(|t| t.concurrent_max = 0);
    assert_eq!(none.page(&look, &ask("abc1234")).await.unwrap_err(), Error::Busy);
    let nowhere = clickhouse::Client::default().with_url("http://127.0.0.1:1");
    let away = bed.tracer_of(nowhere, config::Trace::default());
    let failed = away.page(&look, &ask("abc1234")).await.unwrap_err();
    assert!(matches!(failed, Error::Store { code: None, .. }), "{failed}");
    assert!(bed.dir.path().join("spool").exists());
    bed.engine.supervisor.shutdown().await;
}
