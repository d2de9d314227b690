//! Primaries that do what no server should, and a wire that breaks.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use domain::tsig::{Key, ServerSequence};
use tracegate::{
    clock::Clock,
    feeds::{
        share::{Head, Packing},
        transfer::{
            Error, Keys, QueryError, Refusal, Serial, verify_request,
            wire::{Reader, rtype},
        },
    },
    name::Name,
};

use super::{
    bounds, fetch, keys,
    peers::{self, Primary as _, SECRET, ZONE, many_rules, zone_text},
    primary, zone,
};
use crate::dns_client::free_port;

/// Something that takes connections, one after the other, until it is dropped.
struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn new(mut serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                serve(stream);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn write(stream: &mut TcpStream, message: &[u8]) {
    let len = u16::try_from(message.len()).unwrap();
    // Whoever asked may have heard enough.
    stream.write_all(&[&len.to_be_bytes()[..], message].concat()).ok();
}

/// Passes on what goes to and fro, and no more than `bytes` of what comes back.
fn cut_after(server: SocketAddr, bytes: u64) -> Listener {
    Listener::new(move |mut near| {
        let mut far = TcpStream::connect(server).unwrap();
        far.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        if let Some(question) = read(&mut near) {
            write(&mut far, &question);
            std::io::copy(&mut far.take(bytes), &mut near).ok();
        }
    })
}

#[test]
fn a_transfer_that_is_cut_is_refused() {
    let server = peers::bind(&zone_text(1, &many_rules(20_000)), free_port());
    let (held, _) = zone(fetch(&primary(server.address()), None));
    server.publish(&zone_text(2, &many_rules(20_001)));
    crate::harness::eventually("serial 2", || {
        peers::serial_at(server.address(), ZONE).filter(|s| *s == 2)
    });
    // Behind the answer about the serial, and within a message or between two of them.
    for bytes in [1_000, 100_000, 300_000] {
        let wire = cut_after(server.address(), bytes);
        let from = tracegate::feeds::transfer::Primary { whole: true, ..primary(wire.address) };
        let error = fetch(&from, Some(&held)).unwrap_err();
        assert!(matches!(error, Error::Refused(Refusal::Unfinished)), "{bytes}: {error}");
    }
    let wire = cut_after(server.address(), u64::MAX);
    let (whole, _) = zone(fetch(&primary(wire.address), Some(&held)));
    assert_eq!(whole.soa().serial, Serial(2));
}

type Sign<'a> = &'a mut ServerSequence<Key>;

/// A primary of nothing but SOA records: `answers` makes the messages of a transfer.
fn fake(
    serial: u32,
    mut transfer: impl FnMut(&Head, Sign<'_>) -> Vec<Vec<u8>> + Send + 'static,
) -> Listener {
    let keys: Keys = keys(SECRET);
    Listener::new(move |mut stream| {
        while let Some(mut question) = read(&mut stream) {
            let now = Clock::system().now();
            let mut sign = verify_request(&keys, &mut question, now).unwrap().unwrap();
            let (header, mut reader) = Reader::new(&question).unwrap();
            let head = Head { id: header.id, opcode: 0, question: reader.question().unwrap() };
            if head.question.qtype == rtype::SOA {
                write(&mut stream, &message(&head, &[soa(serial)], Some(&mut sign)));
            } else {
                transfer(&head, &mut sign).iter().for_each(|m| write(&mut stream, m));
            }
        }
    })
}

type Rr = (Name, u16, Vec<u8>);

fn soa(serial: u32) -> Rr {
    let mut data = b"\0\0".to_vec();
    for number in [serial, 60, 60, 600, 60] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    (Name::from_text(ZONE).unwrap(), rtype::SOA, data)
}

fn rule(name: &str) -> Rr {
    (Name::from_text(&format!("{name}.{ZONE}")).unwrap(), rtype::CNAME, vec![0])
}

fn message(head: &Head, records: &[Rr], sign: Option<Sign<'_>>) -> Vec<u8> {
    let mut packing = Packing::new(head, 65_535).unwrap();
    for (owner, rtype, data) in records {
        assert!(packing.push(owner, 60, *rtype, data).unwrap());
    }
    packing.finish(sign, Clock::system().now()).unwrap()
}

#[test]
fn a_transfer_whose_end_is_not_signed_is_refused() {
    let good = fake(1, |head, sign| {
        vec![
            message(head, &[soa(1)], Some(sign)),
            message(head, &[rule("a")], Some(sign)),
            message(head, &[rule("b"), soa(1)], Some(sign)),
        ]
    });
    assert_eq!(zone(fetch(&primary(good.address), None)).0.len(), 2);
    let unsigned_tail = fake(1, |head, sign| {
        vec![message(head, &[soa(1)], Some(sign)), message(head, &[rule("a"), soa(1)], None)]
    });
    let error = fetch(&primary(unsigned_tail.address), None).unwrap_err();
    assert!(matches!(error, Error::Query(QueryError::Signature(_))), "{error}");
    let unsigned = fake(1, |head, _| vec![message(head, &[soa(1), rule("a"), soa(1)], None)]);
    let error = fetch(&primary(unsigned.address), None).unwrap_err();
    assert!(matches!(error, Error::Query(QueryError::Signature(_))), "{error}");
    // A message changed on its way.
    let forged = fake(1, |head, sign| {
        let mut last = message(head, &[rule("a"), soa(1)], Some(sign));
        let at = last.windows(2).position(|w| w == b"\x01a").unwrap() + 1;
        last[at] = b'b';
        vec![message(head, &[soa(1)], None), last]
    });
    let error = fetch(&primary(forged.address), None).unwrap_err();
    assert!(matches!(error, Error::Query(QueryError::Signature(_))), "{error}");
}

#[test]
fn a_serial_that_goes_back_is_refused() {
    let whole = |serial: u32| {
        move |head: &Head, sign: Sign<'_>| {
            vec![message(head, &[soa(serial), rule("a"), soa(serial)], Some(sign))]
        }
    };
    let first = fake(7, whole(7));
    let (held, _) = zone(fetch(&primary(first.address), None));
    let refused = |at: SocketAddr| {
        let error = fetch(&primary(at), Some(&held)).unwrap_err();
        let regress = Refusal::Regress { offered: Serial(6), held: Serial(7) };
        assert!(matches!(&error, Error::Refused(r) if *r == regress), "{error}");
    };
    refused(fake(6, whole(6)).address);
    // It says one thing and sends another, as a whole or as differences.
    refused(fake(8, whole(6)).address);
    let (newer, incremental) = zone(fetch(&primary(fake(8, whole(8)).address), Some(&held)));
    assert_eq!((newer.soa().serial, incremental), (Serial(8), false));
}

#[test]
fn a_primary_that_says_nothing_is_not_waited_for() {
    let silent = Listener::new(|mut stream| {
        // Held until the other side gives up.
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let short = tracegate::feeds::transfer::Bounds {
        query_timeout: Duration::from_millis(200),
        ..bounds()
    };
    let client = tracegate::feeds::transfer::Client::new(Clock::system(), short, None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(client.fetch(&primary(silent.address), None)).unwrap_err();
    assert!(matches!(error, Error::Timeout), "{error}");
}

#[test]
fn differences_that_do_not_fit_become_the_whole_zone() {
    let first = fake(1, |head, sign| vec![message(head, &[soa(1), rule("a"), soa(1)], Some(sign))]);
    let (held, _) = zone(fetch(&primary(first.address), None));
    let confused = fake(2, |head, sign| {
        let records = if head.question.qtype == rtype::IXFR {
            vec![soa(2), soa(1), rule("never-there"), soa(2), soa(2)]
        } else {
            vec![soa(2), rule("b"), soa(2)]
        };
        vec![message(head, &records, Some(sign))]
    });
    let (now, incremental) = zone(fetch(&primary(confused.address), Some(&held)));
    assert_eq!((super::lines(&now), incremental), (vec!["b 60 IN CNAME .".to_owned()], false));
}
