//! Every row is in the store exactly once, whatever breaks on the way.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tracegate::{
    clock::Clock,
    config::{Durability, FullPolicy},
    record::{NodeRow, Table},
    store::engine::State,
};

use crate::{
    store::{connect, read_back},
    store_lab::{Fault, Lab},
};

async fn exactly_once(faults: &[Fault]) {
    let late = faults.iter().any(|f| matches!(f, Fault::Late(_)));
    let mut lab = Lab::with(Clock::system(), |c| {
        // Elsewhere a busy machine must not add a fault: an INSERT that is given up while it
        // commits may leave a view without its part (`migrations/README.md`).
        if late {
            c.insert_timeout_ms = 2_000;
        }
    })
    .await;
    lab.push(7, "www.example");
    lab.proxy.script(faults.iter().cloned());
    lab.ship_until(&format!("shipped in spite of {faults:?}"), Lab::all_shipped).await;
    assert!(lab.proxy.inserts.load(std::sync::atomic::Ordering::SeqCst) > faults.len());
    lab.assert_exactly_once().await;
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn without_faults_the_bytes_come_back() {
    let mut lab = Lab::start().await;
    lab.push(5, "www.example");
    lab.push(2, "other.example");
    lab.ship_until("shipped and described", |lab| {
        let described = lab.spool.in_grace().into_iter().filter(|f| f.table == Table::Frames);
        lab.all_shipped() && described.map(|f| f.count).sum::<u64>() >= 7
    })
    .await;
    lab.assert_exactly_once().await;
    let mut frames = lab.spool.in_grace();
    frames.retain(|f| f.table == Table::Resolutions);
    assert_eq!(frames.len(), 7);
    let mut lanes: Vec<_> = frames.iter().map(|f| f.lane).collect();
    lanes.dedup();
    for lane in lanes {
        let of_lane = frames.iter().filter(|f| f.lane == lane);
        let kept: Vec<u8> = of_lane.flat_map(|f| lab.spool.read(f).unwrap()).collect();
        assert!(read_back(&lab.store, Table::Resolutions, lane.0).await == kept, "lane {lane}");
    }
    // Every frame is described once, and the node said how far it is complete.
    let described = "count() FROM frames WHERE stream = 'resolutions'";
    assert_eq!(lab.count(described).await, 7);
    assert!(lab.count("count() FROM nodes WHERE complete_through > '2020-01-01'").await > 0);
    // Whoever loses the spool learns from there which lanes are used.
    let highest = lab.store.highest_lane(&lab.node).await.unwrap().expect("lanes");
    assert!(frames.iter().all(|f| f.lane <= highest), "{highest}");
    let nobody = "nobody".parse().unwrap();
    assert_eq!(lab.store.highest_lane(&nobody).await.unwrap(), None);
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn exactly_once_when_refused() {
    exactly_once(&[Fault::Refuse, Fault::Refuse, Fault::Exception(202), Fault::Exception(60)])
        .await;
}

#[tokio::test]
async fn exactly_once_when_the_body_is_cut() {
    exactly_once(&[Fault::CutBody, Fault::None, Fault::CutBody]).await;
}

#[tokio::test]
async fn exactly_once_when_the_answer_is_lost() {
    exactly_once(&[Fault::CloseBeforeReply, Fault::CloseBeforeReply, Fault::None]).await;
}

#[tokio::test]
async fn exactly_once_when_the_answer_is_an_error() {
    let after = [319, 241, 49].map(Fault::ExceptionAfter);
    exactly_once(&[&after[..], &[Fault::Exception(243)]].concat()).await;
}

#[tokio::test]
async fn exactly_once_when_the_answer_is_late() {
    exactly_once(&[Fault::Late(Duration::from_secs(3)), Fault::Late(Duration::from_secs(3))]).await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_store_is_away() {
    let mut lab = Lab::start().await;
    lab.push(3, "before.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    lab.proxy.script(std::iter::repeat_n(Fault::Refuse, 40));
    for _ in 0..5 {
        lab.push(4, "meanwhile.example");
    }
    lab.ship_until("shipped afterwards", Lab::all_shipped).await;
    lab.assert_exactly_once().await;
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_frame_that_can_never_be_stored_is_set_aside_alone() {
    let mut lab = Lab::start().await;
    lab.push(3, "good.example");
    lab.push(1, "poison.example");
    lab.push(3, "fine.example");
    lab.ship_until("set aside", |lab| {
        let gaps = lab.spool.frames().iter().any(|f| f.table == Table::Gaps);
        lab.spool.stats().frames_aside == 1 && lab.all_shipped() && !gaps
    })
    .await;
    lab.pushed -= 100;
    lab.assert_exactly_once().await;
    let gap = "sum(count) FROM gaps WHERE reason = 'quarantine' AND bound = 'exact'";
    assert_eq!(lab.count(gap).await, 100);
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn an_unlisted_refusal_is_tried_a_few_times() {
    let mut lab = Lab::start().await;
    lab.push(1, "www.example");
    lab.proxy.script(std::iter::repeat_n(Fault::Exception(49), 3));
    lab.ship_until("set aside", |lab| lab.spool.stats().frames_aside == 1).await;
    assert_eq!(lab.count("count() FROM resolutions").await, 0);
    lab.engine.supervisor.shutdown().await;
}

/// A frame that spans two months becomes two parts; the engine kept one of them.
#[tokio::test]
async fn what_is_missing_of_a_frame_is_sent_again() {
    for resend_s in [300, 0] {
        let december = tracegate::clock::Timestamp::from_secs(1_796_083_200);
        let clock = Clock::fixed(december.saturating_sub(Duration::from_micros(1)));
        let mut lab = Lab::with(clock, |c| c.doubt_resend_s = resend_s).await;
        lab.push_slowly(1, "www.example", Duration::from_secs(1));
        assert_eq!(lab.spool.frames().len(), 1);
        lab.leave_open(|rows| rows[..rows.len() / 2].to_vec()).await;
        lab.ship_until("completed", Lab::all_shipped).await;
        assert_eq!(lab.count("count() FROM resolutions").await, 100);
        assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 100);
        lab.engine.supervisor.shutdown().await;
    }
}

/// The engine says "already there" of rows that it never kept.
#[tokio::test]
async fn a_token_that_outlived_its_part_is_not_believed() {
    for resend_s in [300, 0] {
        let mut lab = Lab::with(Clock::system(), |c| c.doubt_resend_s = resend_s).await;
        lab.push(3, "www.example");
        lab.leave_open(|rows| rows).await;
        // A mutation forgets no token.
        let lose = "ALTER TABLE resolutions DELETE WHERE seq >= 120 SETTINGS mutations_sync = 1";
        lab.store.execute(lose).await.unwrap();
        lab.ship_until("sent again", Lab::all_shipped).await;
        assert_eq!(lab.count("count() FROM resolutions").await, 300);
        assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 300);
        lab.engine.supervisor.shutdown().await;
    }
}

/// The engine is killed again and again under many small INSERTs: between token and part too.
#[tokio::test]
async fn exactly_once_when_the_engine_is_killed() {
    let seed = getrandom::u64().unwrap();
    eprintln!("seed {seed:#x}");
    let mut random = seed | 1;
    let mut lab = Lab::with(Clock::system(), |c| c.shipment_rows_max = 100).await;
    for round in 0..8 {
        lab.push(12, "www.example");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let inserts = &lab.proxy.inserts;
        let after =
            inserts.load(std::sync::atomic::Ordering::SeqCst) + (random >> 60) as usize % 10;
        let state = lab.engine.supervisor.state();
        let mut killed = false;
        lab.ship_until(&format!("shipped in round {round}, seed {seed:#x}"), |lab| {
            let seen = lab.proxy.inserts.load(std::sync::atomic::Ordering::SeqCst);
            if let State::Ready(endpoint) = &*state.borrow()
                && !killed
                && seen >= after
            {
                kill(Pid::from_raw(endpoint.pid.cast_signed()), Signal::SIGKILL).ok();
                killed = true;
            }
            killed && lab.all_shipped()
        })
        .await;
    }
    assert_eq!(lab.count("count() FROM resolutions").await, lab.pushed, "seed {seed:#x}");
    let ids = "uniqExact(lane, seq) FROM resolutions";
    assert_eq!(lab.count(ids).await, lab.pushed, "seed {seed:#x}");
    lab.engine.supervisor.shutdown().await;
}

/// Our own process ends between the INSERT and its acknowledgement, or before the INSERT.
#[tokio::test]
async fn open_shipments_are_settled_by_the_next_run() {
    for resend_s in [300, 0] {
        let mut lab = Lab::with(Clock::system(), |c| c.doubt_resend_s = resend_s).await;
        lab.push(2, "www.example");
        lab.leave_open(|rows| rows).await;
        lab.push(2, "other.example");
        lab.spool.begin_shipment(lab.spool.frames()).unwrap();
        lab.reopen();
        assert_eq!(lab.spool.open_shipments().len(), 2);
        lab.ship_until("settled", Lab::all_shipped).await;
        lab.assert_exactly_once().await;
        lab.engine.supervisor.shutdown().await;
    }
}

/// The store lost what it had acknowledged, and the boot is another one.
#[tokio::test]
async fn after_a_reboot_what_is_in_grace_is_counted() {
    let mut lab = Lab::start().await;
    lab.push(5, "www.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    lab.reopen();
    let lose = "ALTER TABLE resolutions DELETE WHERE seq >= 100 AND seq < 250 \
                SETTINGS mutations_sync = 1";
    lab.store.execute(lose).await.unwrap();
    // The same boot: nothing is counted.
    ship_until_said(&lab).await;
    assert_eq!(lab.count("count() FROM resolutions").await, 350);
    lab.reopen();
    lab.store.execute("TRUNCATE TABLE nodes").await.unwrap();
    ship_until_said(&lab).await;
    assert_eq!(lab.count("count() FROM resolutions").await, 500);
    assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 500);
    lab.engine.supervisor.shutdown().await;
}

/// Ships until the node has said something in this run, which it does after it has counted.
async fn ship_until_said(lab: &Lab) {
    let said = |lab: &Lab| {
        let all = lab.spool.in_grace().into_iter().chain(lab.spool.frames());
        all.filter(|f| f.table == Table::Nodes).count()
    };
    let before = said(lab);
    lab.ship_until("counted", |lab| said(lab) > before && lab.all_shipped()).await;
}

#[tokio::test]
async fn two_live_nodes_of_one_name_are_refused() {
    let mut lab = Lab::start().await;
    lab.store.prepare(tracegate::config::Durability::Written).await.unwrap();
    lab.push(1, "www.example");
    let ts = lab.clock.now().0;
    let stranger = format!(
        "INSERT INTO nodes SELECT 'lab', 99, 0, fromUnixTimestamp64Micro({ts}, 'UTC'), now64(6), \
         '', '', now64(6), 0"
    );
    lab.store.execute(&stranger).await.unwrap();
    let cancel = tokio_util::sync::CancellationToken::new();
    let run = lab.shipper().run(cancel.clone());
    let waited = tokio::time::timeout(Duration::from_secs(2), run).await;
    assert!(waited.is_err(), "the shipper waits");
    assert_eq!(lab.count("count() FROM resolutions").await, 0);
    lab.store.execute("TRUNCATE TABLE nodes").await.unwrap();
    lab.ship_until("shipped", Lab::all_shipped).await;
    lab.assert_exactly_once().await;
    lab.engine.supervisor.shutdown().await;
}

/// What the last run said last is in its spool, closed and not shipped, when the next one starts.
#[tokio::test]
async fn a_node_that_restarts_quickly_is_not_its_own_twin() {
    let mut lab = Lab::start().await;
    ship_until_said(&lab).await;
    for _ in 0..2 {
        let row = NodeRow {
            complete_through: lab.clock.now(),
            version: "",
            boot_id: &lab.spool.boot_id(),
            oldest_unshipped: lab.clock.now(),
            unshipped_rows: 0,
        };
        let nodes = lab.spool.shared(Table::Nodes).unwrap();
        nodes.append(&row, FullPolicy::Refuse).unwrap();
    }
    lab.reopen();
    let lanes = |lab: &Lab| {
        let shipped = lab.spool.in_grace().into_iter().filter(|f| f.table == Table::Nodes);
        shipped.map(|f| f.lane).collect::<std::collections::BTreeSet<_>>()
    };
    let before = lanes(&lab);
    lab.push(1, "www.example");
    let held = std::cell::Cell::new(false);
    let said = std::cell::Cell::new(0);
    lab.ship_until("said in the new run", |lab| {
        held.set(held.get() || lab.gauge("tracegate_store_held") == Some("1".into()));
        let frames = lab.spool.in_grace();
        let new =
            |f: &&tracegate::spool::Frame| f.table == Table::Nodes && !before.contains(&f.lane);
        said.set(frames.iter().filter(new).count());
        held.get() || said.get() >= 4
    })
    .await;
    assert!(!held.get(), "took itself for another after {} rows", said.get());
    assert_eq!(lab.gauge("tracegate_store_held").as_deref(), Some("0"));
    lab.engine.supervisor.shutdown().await;
}

/// Begins a shipment of everything whose first `rows` rows the store keeps, past the proxy; then
/// our process starts again.
async fn leave_open_in_part(lab: &mut Lab, rows: usize) {
    lab.store.prepare(Durability::Written).await.unwrap();
    let frames = lab.spool.frames();
    let all: Vec<u8> = frames.iter().flat_map(|f| lab.spool.read(f).unwrap()).collect();
    let count = usize::try_from(frames.iter().map(|f| f.count).sum::<u64>()).unwrap();
    let schema = frames[0].schema;
    let shipment = lab.spool.begin_shipment(frames).unwrap();
    let kept = all[..all.len() / count * rows].to_vec();
    let past = connect(&lab.engine, None, lab.store.config());
    past.insert(Table::Resolutions, schema, &shipment.token, vec![kept.into()]).await.unwrap();
    lab.reopen();
}

/// A lab whose next frame spans two partitions.
async fn lab_between_months() -> Lab {
    let december = tracegate::clock::Timestamp::from_secs(1_796_083_200);
    Lab::with(Clock::fixed(december.saturating_sub(Duration::from_micros(1))), |_| {}).await
}

#[tokio::test]
async fn the_rest_of_a_frame_is_tried_alone_when_the_whole_is_refused() {
    let mut lab = lab_between_months().await;
    lab.push_slowly(1, "www.example", Duration::from_secs(1));
    leave_open_in_part(&mut lab, 50).await;
    lab.proxy.script([Fault::Exception(117)]);
    lab.ship_until("completed", Lab::all_shipped).await;
    assert_eq!(lab.spool.stats().frames_aside, 0);
    assert_eq!(lab.count("count() FROM resolutions").await, 100);
    assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 100);
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_frame_set_aside_says_how_much_of_it_is_there() {
    let mut lab = lab_between_months().await;
    lab.push_slowly(1, "poison.example", Duration::from_secs(1));
    leave_open_in_part(&mut lab, 50).await;
    lab.ship_until("set aside", |lab| {
        let gap = lab.spool.in_grace().iter().any(|f| f.table == Table::Gaps);
        lab.spool.stats().frames_aside == 1 && lab.all_shipped() && gap
    })
    .await;
    lab.pushed = 50;
    lab.assert_exactly_once().await;
    let gap = "count() FROM gaps WHERE reason = 'quarantine' \
               AND count = 50 AND startsWith(detail, '50 of these 100 rows are in the store; ')";
    assert_eq!(lab.count(gap).await, 1);
    lab.engine.supervisor.shutdown().await;
}

/// Half of it came into the store before it was set aside.
#[tokio::test]
async fn a_released_frame_is_counted_before_it_is_sent() {
    let mut lab = lab_between_months().await;
    lab.push_slowly(1, "www.example", Duration::from_secs(1));
    leave_open_in_part(&mut lab, 50).await;
    let token = lab.spool.open_shipments()[0].token.clone();
    lab.proxy.script([117, 117].map(Fault::Exception));
    lab.ship_until("set aside", |lab| lab.spool.stats().frames_aside == 1).await;
    lab.spool.release(&token).unwrap();
    lab.reopen();
    lab.ship_until("completed", Lab::all_shipped).await;
    assert_eq!(lab.spool.stats().frames_aside, 0);
    assert_eq!(lab.count("count() FROM resolutions").await, 100);
    assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 100);
    lab.engine.supervisor.shutdown().await;
}

/// A power cut of the server's machine took the token, whose list nobody fsyncs, and left the rows.
#[tokio::test]
async fn a_server_that_restarted_is_not_trusted_to_remember_a_token() {
    let elsewhere = |c: &mut tracegate::config::Store| c.url = "http://clickhouse.example".into();
    let mut lab = Lab::with(Clock::system(), elsewhere).await;
    lab.push(2, "www.example");
    lab.leave_open(|rows| rows).await;
    for sql in [
        "CREATE TABLE copy ENGINE = Memory AS SELECT * FROM resolutions",
        "TRUNCATE TABLE resolutions",
        "INSERT INTO resolutions SELECT * FROM copy",
    ] {
        lab.store.execute(sql).await.unwrap();
    }
    restart(&lab, || {}).await;
    lab.ship_until("settled", Lab::all_shipped).await;
    assert_eq!(lab.count("count() FROM resolutions").await, 200);
    lab.engine.supervisor.shutdown().await;
}

/// Kills the engine, calls `meanwhile` while it is away, and waits for the next one.
async fn restart(lab: &Lab, meanwhile: impl FnOnce()) {
    let mut state = lab.engine.supervisor.state();
    let State::Ready(before) = state.borrow_and_update().clone() else { panic!("not ready") };
    kill(Pid::from_raw(before.pid.cast_signed()), Signal::SIGKILL).unwrap();
    meanwhile();
    state.wait_for(|s| matches!(s, State::Ready(e) if e.run > before.run)).await.unwrap();
}

/// A power cut of the server's machine took rows that it had acknowledged. Ours lived on, and the
/// server was away for longer than the grace.
#[tokio::test]
async fn what_a_server_lost_is_sent_again_after_its_restart() {
    let elsewhere = |c: &mut tracegate::config::Store| c.url = "http://clickhouse.example".into();
    let clock = Clock::fixed(tracegate::clock::Timestamp::from_secs(1_800_000_000));
    let mut lab = Lab::with(clock.clone(), elsewhere).await;
    lab.push(5, "www.example");
    let (lab, back) = (&lab, std::cell::Cell::new(false));
    let power_cut = async {
        while !lab.all_shipped() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lose = "ALTER TABLE resolutions DELETE WHERE seq >= 100 AND seq < 250 \
                    SETTINGS mutations_sync = 1";
        lab.store.execute(lose).await.unwrap();
        assert_eq!(lab.count("count() FROM resolutions").await, 350);
        restart(lab, || clock.advance(Duration::from_secs(3_600))).await;
        while lab.count("count() FROM resolutions").await < 500 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        back.set(true);
    };
    tokio::join!(lab.ship_until("sent again", |_| back.get()), power_cut);
    assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 500);
    assert_eq!(lab.count("count() FROM resolutions").await, 500);
    lab.engine.supervisor.shutdown().await;
}

/// The same while we were away too: nobody saw the server before.
#[tokio::test]
async fn what_a_server_lost_is_found_by_our_next_run() {
    let elsewhere = |c: &mut tracegate::config::Store| c.url = "http://clickhouse.example".into();
    let clock = Clock::fixed(tracegate::clock::Timestamp::from_secs(1_800_000_000));
    let mut lab = Lab::with(clock.clone(), elsewhere).await;
    lab.push(5, "www.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    lab.reopen();
    let lose = "ALTER TABLE resolutions DELETE WHERE seq >= 100 SETTINGS mutations_sync = 1";
    lab.store.execute(lose).await.unwrap();
    restart(&lab, || clock.advance(Duration::from_secs(60))).await;
    let rows = |lab: &Lab| lab.gauge("tracegate_store_rows_total").unwrap().parse::<u64>().unwrap();
    let before = rows(&lab);
    lab.ship_until("sent again", |lab| rows(lab) >= before + 400 && lab.all_shipped()).await;
    assert_eq!(lab.count("count() FROM resolutions").await, 500);
    assert_eq!(lab.count("uniqExact(lane, seq) FROM resolutions").await, 500);
    lab.engine.supervisor.shutdown().await;
}

/// One frame is there, one will never be taken, one only waits for it.
#[tokio::test]
async fn a_refused_shipment_of_which_some_is_there_ends() {
    let mut lab = Lab::start().await;
    for name in ["firsts.example", "poison.example", "fourth.example"] {
        lab.push(1, name);
    }
    leave_open_in_part(&mut lab, 100).await;
    lab.ship_until("set aside", |lab| {
        let gap = lab.spool.in_grace().iter().any(|f| f.table == Table::Gaps);
        lab.spool.stats().frames_aside == 1 && lab.all_shipped() && gap
    })
    .await;
    lab.pushed -= 100;
    lab.assert_exactly_once().await;
    let gap = "sum(count) FROM gaps WHERE reason = 'quarantine' AND detail NOT LIKE '%are in%'";
    assert_eq!(lab.count(gap).await, 100);
    lab.engine.supervisor.shutdown().await;
}

/// As `migrations/README.md` says, after the counts went wrong.
#[tokio::test]
async fn passive_dns_is_built_again_from_the_records() {
    let mut lab = Lab::start().await;
    lab.push(3, "www.example");
    lab.push(2, "other.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    let twice = "INSERT INTO passive_dns_by_data SELECT * FROM passive_dns_by_data";
    lab.store.execute(twice).await.unwrap();
    lab.store
        .execute(
            "ALTER TABLE passive_dns DELETE WHERE rrname = 'www.example' SETTINGS \
                       mutations_sync = 1",
        )
        .await
        .unwrap();
    assert_eq!(lab.count("sum(count) FROM passive_dns").await, 200);
    let views = tracegate::store::migrate::MIGRATIONS[5].statements(false);
    let (_, select) = views[0].split_once("passive_dns_mv MODIFY QUERY\n").unwrap();
    for sql in [
        "TRUNCATE TABLE passive_dns",
        "TRUNCATE TABLE passive_dns_by_data",
        &format!("INSERT INTO passive_dns {select}"),
    ] {
        lab.store.execute(sql).await.unwrap();
    }
    lab.assert_exactly_once().await;
    assert_eq!(lab.count("count() FROM passive_dns FINAL").await, 2);
    assert_eq!(lab.count("count() FROM passive_dns_by_data FINAL").await, 2);
    lab.engine.supervisor.shutdown().await;
}

/// What a rule warned of, watched or let pass was answered all the same; what it replaced was not.
#[tokio::test]
async fn passive_dns_has_what_was_answered_under_rules() {
    let mut lab = Lab::start().await;
    // The shipper makes the tables before it ships.
    lab.push(1, "other.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    for (i, (action, transport, address)) in [
        ("", "udp", "::ffff:192.0.2.1"),
        ("observe", "udp", "::ffff:192.0.2.2"),
        ("hint", "tcp", "::ffff:192.0.2.3"),
        ("interstitial", "udp", "::ffff:192.0.2.4"),
        ("leave-signed", "udp", "::ffff:192.0.2.5"),
        ("tcp-only", "tcp", "::ffff:192.0.2.6"),
        ("tcp-only", "udp", "::ffff:192.0.2.7"),
        ("gateway", "udp", "::ffff:192.0.2.8"),
        ("nxdomain", "udp", "::ffff:192.0.2.9"),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = format!(
            "INSERT INTO resolutions (node, lane, seq, ts, qname, qclass, action, transport, \
                 answers, original_answers) VALUES \
             ('n', 1, {i}, now64(6), 'www.example', 1, '{action}', '{transport}', ['{address}'], \
                 [('www.example', 16, 60, 'was here'), ('www.example', 1, 60, '; cut: 3')])"
        );
        lab.store.execute(&sql).await.unwrap();
    }
    let seen = "arrayStringConcat(arraySort(groupArray(rdata)), ' ') FROM \
                (SELECT DISTINCT rdata FROM passive_dns WHERE rrname = 'www.example')";
    let rows = lab.store.client().query_raw(&format!("SELECT {seen}"));
    let seen: String = rows.fetch_one().await.unwrap();
    assert_eq!(seen, "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 was here",);
    lab.engine.supervisor.shutdown().await;
}
