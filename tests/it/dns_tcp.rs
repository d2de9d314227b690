//! DNS over TCP: the whole answer, many questions at once, and no way to keep others out.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use hickory_proto::op::ResponseCode;

use crate::{
    dns_front::{Front, Upstream, client, parsed, query},
    harness::{DEADLINE, eventually},
};

const A: u16 = 1;

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn send(to: &mut TcpStream, message: &[u8]) {
    let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    to.write_all(&framed).unwrap();
}

fn receive(from: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    from.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    from.read_exact(&mut message).unwrap();
    message
}

/// Whether the other side has closed; waits for it.
fn closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => true,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
        Ok(_) => false,
    }
}

#[test]
fn what_is_cut_over_udp_is_whole_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let many = (0..200).map(|i| format!("many IN A 192.0.2.{i}\n"));
    let zone: String = crate::dns_front::ZONE.to_owned() + &many.collect::<String>();
    std::fs::write(dir.path().join("front.zone"), zone).unwrap();
    let front = Front::start(|s| s.dns.zone_root = dir.path().into());
    let q = query(5, "many.front.test", A, None);
    let cut = crate::dns_front::ask(&client("127.0.0.1"), front.address, &q);
    assert!(parsed(&cut).metadata.truncation);

    let mut stream = connect(front.address);
    send(&mut stream, &q);
    let whole = parsed(&receive(&mut stream));
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
    let here = stream.local_addr().unwrap();
    let kept = front.stop().resolutions;
    let tcp = kept.iter().find(|r| r.transport == "tcp").unwrap();
    assert_eq!((tcp.client, tcp.qname.as_str()), (here, "many.front.test"));
    assert_eq!(kept.len(), 2);
}

#[test]
fn a_slow_question_does_not_hold_up_the_next() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let mut stream = connect(front.address);
    send(&mut stream, &query(1, "slow.example", A, None));
    let question = upstream.question();
    send(&mut stream, &query(2, "www.front.test", A, None));
    assert_eq!(receive(&mut stream)[..2], [0, 2]);
    upstream.answer(&question);
    assert_eq!(receive(&mut stream)[..2], [0, 1]);
    assert_eq!(front.stop().resolutions.len(), 2);
}

#[test]
fn pipelined_questions_beyond_the_limit_are_all_answered() {
    let front = Front::start(|s| s.dns.tcp_pipeline_max = 4);
    let mut stream = connect(front.address);
    for i in 0..100 {
        send(&mut stream, &query(i, "www.front.test", A, None));
    }
    // A client that is done asking still reads.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut ids: Vec<_> = (0..100).map(|_| receive(&mut stream)[1]).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<u8>>());
    assert!(closed(&mut stream));
    assert_eq!(front.stop().resolutions.len(), 100);
}

#[test]
fn idle_connections_make_way_for_those_who_ask() {
    let front = Front::start(|s| {
        s.dns.tcp_connections_max = 8;
        s.dns.tcp_idle_timeout_ms = 600_000;
    });
    let mut idle: Vec<_> = (0..64).map(|_| connect(front.address)).collect();
    for i in 0..20 {
        let mut stream = connect(front.address);
        send(&mut stream, &query(i, "www.front.test", A, None));
        assert_eq!(parsed(&receive(&mut stream)).answers.len(), 1);
    }
    for stream in &idle {
        stream.set_nonblocking(true).unwrap();
    }
    eventually("all but as many as there may be had to go", || {
        idle.retain_mut(|s| !closed(s));
        (idle.len() <= 8).then_some(())
    });
    assert!(front.count("tracegate_dns_tcp_evicted_total") >= 56);
    assert_eq!(front.stop().resolutions.len(), 20);
}

#[test]
fn a_connection_that_says_nothing_is_closed_and_one_that_waits_is_not() {
    let upstream = Upstream::new();
    let front = Front::start(|s| {
        upstream.configure(&mut s.dns);
        s.dns.tcp_idle_timeout_ms = 100;
    });
    let mut waits = connect(front.address);
    send(&mut waits, &query(1, "slow.example", A, None));
    let question = upstream.question();
    let mut says_nothing = connect(front.address);
    let mut says_half = connect(front.address);
    says_half.write_all(&[0, 40, 1, 2, 3]).unwrap();
    assert!(closed(&mut says_nothing) && closed(&mut says_half));
    upstream.answer(&question);
    assert_eq!(parsed(&receive(&mut waits)).answers.len(), 1);
    eventually("the connections are closed", || {
        (front.count("tracegate_dns_tcp_connections") == 0).then_some(())
    });
}

#[test]
fn frames_that_no_query_has_close_the_connection() {
    let front = Front::start(|_| ());
    for frame in [&[0u8, 0, 1, 2][..], &[0xff, 0xff, 1, 2]] {
        let mut stream = connect(front.address);
        stream.write_all(frame).unwrap();
        assert!(closed(&mut stream), "{frame:?}");
    }
    // Junk of a fair length is answered or passed over as over UDP; the connection stays.
    let mut stream = connect(front.address);
    send(&mut stream, &[7; 11]);
    send(&mut stream, &[0; 12]);
    assert_eq!(parsed(&receive(&mut stream)).metadata.response_code, ResponseCode::FormErr);
    send(&mut stream, &query(3, "www.front.test", A, None));
    assert_eq!(receive(&mut stream)[..2], [0, 3]);
    assert_eq!(front.stop().resolutions.len(), 1);
}

#[test]
fn what_waits_at_a_stop_is_answered_and_the_connection_closed() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let mut idle = connect(front.address);
    let mut waits = connect(front.address);
    send(&mut waits, &query(1, "slow.example", A, None));
    let question = upstream.question();
    let left = front.stop_while(DEADLINE, || {
        assert!(closed(&mut idle), "an idle one is closed at once");
        upstream.answer(&question);
    });
    assert_eq!(parsed(&receive(&mut waits)).answers.len(), 1);
    assert!(closed(&mut waits));
    assert_eq!(left.resolutions.len(), 1);
}

#[test]
fn what_the_grace_cuts_off_over_tcp_is_not_recorded() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let mut waits = connect(front.address);
    send(&mut waits, &query(1, "slow.example", A, None));
    upstream.question();
    let left = front.stop_while(Duration::from_millis(1), || ());
    assert!(closed(&mut waits));
    assert!(left.resolutions.is_empty());
}
