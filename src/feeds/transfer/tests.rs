//! The applier against a model of a primary: a zone driven through edits, told in every way there
//! is to tell it.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{wire::rtype, *};
use crate::{
    clock::Timestamp,
    feeds::share::{Head, Packing},
    name::Name,
};

const CAPS: Caps = Caps { messages_max: 10_000, records_max: 100_000, bytes_max: 1 << 24 };
const ID: u16 = 4_711;

/// One record for a message.
type Rr = (Name, u16, Vec<u8>, u32);

/// What a primary holds: owner (relative), type and data to TTL.
type Model = BTreeMap<(&'static str, u16, Vec<u8>), u32>;

fn apex() -> Name {
    Name::from_text("rpz.example").unwrap()
}

fn name(relative: &str) -> Name {
    Name::from_text(&format!("{relative}.rpz.example")).unwrap()
}

fn soa_rdata(serial: u32) -> Vec<u8> {
    let mut data = b"\x02ns\0\x01h\0".to_vec();
    for number in [serial, 3_600, 600, 86_400, 60] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data
}

fn soa(serial: u32) -> Rr {
    (apex(), rtype::SOA, soa_rdata(serial), 300)
}

fn records(model: &Model) -> Vec<Rr> {
    model.iter().map(|((o, t, d), ttl)| (name(o), *t, d.clone(), *ttl)).collect()
}

/// The zone, built without messages.
fn zone(model: &Model, serial: u32) -> Zone {
    let mut growing = Growing::new(&apex());
    for (owner, rtype, data, ttl) in records(model) {
        growing.add(&owner, ttl, rtype, &data);
    }
    growing.finish(Soa::from_rdata(300, &soa_rdata(serial)).unwrap())
}

fn axfr(model: &Model, serial: u32) -> Vec<Rr> {
    [vec![soa(serial)], records(model), vec![soa(serial)]].concat()
}

/// Differences from `models[0]` at serial `first` to the last.
fn ixfr(models: &[Model], first: u32) -> Vec<Rr> {
    let newest = first.wrapping_add(models.len() as u32 - 1);
    let mut all = vec![soa(newest)];
    for (i, pair) in models.windows(2).enumerate() {
        let serial = first.wrapping_add(i as u32);
        let without = |a: &Model, b: &Model| {
            let kept = a.iter().filter(|(k, ttl)| b.get(*k) != Some(*ttl));
            records(&kept.map(|(k, ttl)| (k.clone(), *ttl)).collect())
        };
        all.push(soa(serial));
        all.extend(without(&pair[0], &pair[1]));
        all.push(soa(serial.wrapping_add(1)));
        all.extend(without(&pair[1], &pair[0]));
    }
    all.push(soa(newest));
    all
}

fn messages(records: &[Rr], qtype: u16, bytes_max: usize) -> Vec<Vec<u8>> {
    let question = wire::Question { name: apex(), qtype, qclass: 1 };
    let head = Head { id: ID, opcode: 0, question };
    let new = || Packing::new(&head, bytes_max).unwrap();
    let (mut packing, mut out) = (new(), Vec::new());
    for (owner, rtype, data, ttl) in records {
        if !packing.push(owner, *ttl, *rtype, data).unwrap() {
            let full = std::mem::replace(&mut packing, new());
            out.push(full.finish(None, Timestamp::ZERO).unwrap());
            assert!(packing.push(owner, *ttl, *rtype, data).unwrap());
        }
    }
    out.push(packing.finish(None, Timestamp::ZERO).unwrap());
    out
}

fn asked(from: Option<Zone>) -> Asked {
    let from = from.map(Arc::new);
    Asked { id: ID, zone: apex(), from, at_least: None }
}

fn apply(asked: Asked, messages: &[Vec<u8>], caps: Caps) -> Result<Outcome, Refusal> {
    let mut applier = Applier::new(asked, caps);
    let mut done = false;
    for message in messages {
        assert!(!done, "messages follow the end");
        done = applier.message(message)? == Progress::Done;
    }
    applier.finish()
}

/// The outcome of an answer to AXFR, or, with a zone that we hold, to IXFR.
fn answer(from: Option<Zone>, records: &[Rr]) -> Result<Outcome, Refusal> {
    let qtype = if from.is_some() { rtype::IXFR } else { rtype::AXFR };
    apply(asked(from), &messages(records, qtype, 65_535), CAPS)
}

/// Every kind of trigger and a few actions, and what no policy zone should hold.
const OWNERS: &[&str] = &[
    "bad.test",
    "*.bad.test",
    "a.very.deep.name.bad.test",
    "24.0.2.0.192.rpz-ip",
    "128.1.zz.db8.2001.rpz-ip",
    "32.7.2.0.192.rpz-client-ip",
    "ns.evil.test.rpz-nsdname",
    "*.evil.test.rpz-nsdname",
    "24.0.113.0.203.rpz-nsip",
    r#"odd\.\;\"\000\255.test"#,
    "bad",
    "bad-er",
];

fn data() -> impl Strategy<Value = (u16, Vec<u8>)> {
    select(vec![
        (rtype::CNAME, b"\0".to_vec()),
        (rtype::CNAME, b"\x01*\0".to_vec()),
        (rtype::CNAME, b"\x0crpz-passthru\0".to_vec()),
        (rtype::CNAME, b"\x01*\x06garden\x03rpz\x07example\0".to_vec()),
        (rtype::A, vec![192, 0, 2, 1]),
        (rtype::A, vec![192, 0, 2, 2]),
        (rtype::AAAA, vec![0; 16]),
        (rtype::TXT, b"\x05order\x00\x01\"".to_vec()),
        (rtype::MX, b"\0\x0a\x04mail\x03rpz\x07example\0".to_vec()),
        (65, b"\0\x01\0".to_vec()),
        (65_280, vec![]),
    ])
}

fn model() -> impl Strategy<Value = Model> {
    let record = (select(OWNERS), data(), prop_oneof![Just(300u32), Just(60)]);
    vec(record, 0..12).prop_map(|all| {
        all.into_iter().map(|(owner, (rtype, data), ttl)| ((owner, rtype, data), ttl)).collect()
    })
}

fn taken(outcome: Outcome) -> (Zone, bool) {
    match outcome {
        Outcome::Zone { zone, incremental } => (zone, incremental),
        Outcome::UpToDate(soa) => panic!("up to date at {}", soa.serial),
    }
}

proptest! {
    #[test]
    fn a_zone_arrives_whole_by_every_way(
        models in vec(model(), 1..6),
        first in prop_oneof![Just(5u32), Just(u32::MAX - 1), any::<u32>()],
        bytes_max in 700usize..2_000,
    ) {
        let newest = first.wrapping_add(models.len() as u32 - 1);
        let last = models.last().unwrap();
        let expected = zone(last, newest);
        let whole = messages(&axfr(last, newest), rtype::AXFR, bytes_max);
        prop_assert_eq!(taken(apply(asked(None), &whole, CAPS).unwrap()), (expected.clone(), false));
        // The text reads back, and is what the next difference is applied to.
        let text = expected.clone().into_text();
        prop_assert_eq!(serial_of(&text), Some(Serial(newest)));
        prop_assert_eq!(Zone::from_text(text, &apex()).unwrap(), expected.clone());
        if models.len() == 1 {
            return Ok(());
        }
        let held = zone(&models[0], first);
        let steps = messages(&ixfr(&models, first), rtype::IXFR, bytes_max);
        let (arrived, incremental) = taken(apply(asked(Some(held.clone())), &steps, CAPS).unwrap());
        prop_assert!(incremental);
        prop_assert_eq!(&arrived, &expected);
        // A whole zone is an answer to IXFR, too.
        let whole = messages(&axfr(last, newest), rtype::IXFR, bytes_max);
        prop_assert_eq!(taken(apply(asked(Some(held)), &whole, CAPS).unwrap()), (expected, false));
    }

    #[test]
    fn a_part_of_a_transfer_is_none(
        models in vec(model(), 2..5),
        cut: prop::sample::Index,
        message: prop::sample::Index,
        whole: bool,
    ) {
        let held = zone(&models[0], 5);
        let newest = 5 + models.len() as u32 - 1;
        let (from, records, qtype) = if whole {
            (None, axfr(models.last().unwrap(), newest), rtype::AXFR)
        } else {
            (Some(held), ixfr(&models, 5), rtype::IXFR)
        };
        // A beginning.
        let some = &records[..cut.index(records.len())];
        if !some.is_empty() {
            let cut = messages(some, qtype, 700);
            prop_assert_eq!(apply(asked(from.clone()), &cut, CAPS), Err(Refusal::Unfinished));
        }
        // A message cut short.
        let mut all = messages(&records, qtype, 700);
        let at = message.index(all.len());
        let len = cut.index(all[at].len());
        all[at].truncate(len);
        prop_assert!(apply(asked(from), &all[..=at], CAPS).is_err());
    }
}

#[test]
fn every_kind_of_trigger_leaves_by_difference() {
    let drop =
        |t: u16, d: &[u8]| OWNERS.iter().map(|o| ((*o, t, d.to_vec()), 300)).collect::<Model>();
    let full = drop(rtype::CNAME, b"\0");
    for owner in OWNERS {
        let mut without = full.clone();
        without.remove(&(*owner, rtype::CNAME, b"\0".to_vec())).unwrap();
        let steps = ixfr(&[full.clone(), without.clone()], 1);
        let (zone_now, incremental) = taken(answer(Some(zone(&full, 1)), &steps).unwrap());
        assert!(incremental);
        assert_eq!(zone_now, zone(&without, 2), "{owner}");
    }
    let steps = ixfr(&[full.clone(), Model::new()], 1);
    let (empty, _) = taken(answer(Some(zone(&full, 1)), &steps).unwrap());
    assert!(empty.is_empty());
    assert_eq!(
        String::from_utf8(empty.into_text()).unwrap(),
        "$ORIGIN rpz.example.\n@ 300 IN SOA ns. h. 2 3600 600 86400 60\n"
    );
}

fn some_model() -> Model {
    Model::from([(("bad.test", rtype::CNAME, b"\0".to_vec()), 300)])
}

#[test]
fn nothing_newer() {
    let held = zone(&some_model(), 7);
    let Outcome::UpToDate(now) = answer(Some(held.clone()), &[soa(7)]).unwrap() else { panic!() };
    assert_eq!((now.serial, now.refresh, now.retry, now.expire), (Serial(7), 3_600, 600, 86_400));
    // An empty zone is two SOA records.
    let (empty, incremental) = taken(answer(Some(held), &[soa(8), soa(8)]).unwrap());
    assert!(empty.is_empty() && !incremental);
    let (empty, _) = taken(answer(None, &[soa(8), soa(8)]).unwrap());
    assert!(empty.is_empty());
}

#[test]
fn what_is_refused() {
    let model = some_model();
    let rule = || records(&model).remove(0);
    let other = || (name("other.test"), rtype::CNAME, b"\0".to_vec(), 300);
    let held = || Some(zone(&model, 7));
    let check = |from: Option<Zone>, records: &[Rr], refusal: Refusal| {
        assert_eq!(answer(from, records), Err(refusal), "{records:?}");
    };
    check(None, &[rule(), soa(7)], Refusal::NoSoa);
    check(None, &[soa(7), rule()], Refusal::Unfinished);
    check(None, &[soa(7)], Refusal::Unfinished);
    check(None, &[soa(7), rule(), soa(8)], Refusal::SoaChanged);
    check(None, &[soa(7), rule(), soa(7), rule()], Refusal::Trailing);
    check(None, &[soa(7), soa(7), soa(7)], Refusal::Trailing);
    check(None, &[soa(7), (apex(), rtype::TSIG, vec![], 0)], Refusal::Foreign(250));
    check(None, &[soa(7), (apex(), rtype::CNAME, b"\x01a".to_vec(), 0)], Refusal::Malformed);
    let regress = |offered| Refusal::Regress { offered: Serial(offered), held: Serial(7) };
    check(held(), &[soa(6)], regress(6));
    check(held(), &[soa(7 + (1 << 31))], regress(7 + (1 << 31)));
    check(held(), &[soa(8), rule(), soa(9)], Refusal::SoaChanged);
    check(held(), &[soa(9)], Refusal::Unfinished);
    check(held(), &[soa(9), soa(8), soa(9), soa(9)], Refusal::Chain(Serial(7)));
    check(held(), &[soa(9), soa(7), soa(7)], Refusal::Chain(Serial(7)));
    check(held(), &[soa(9), soa(7), soa(10)], Refusal::Chain(Serial(7)));
    check(held(), &[soa(9), soa(7), soa(8), soa(7)], Refusal::Chain(Serial(8)));
    check(held(), &[soa(9), soa(7), other(), soa(9), soa(9)], Refusal::NotThere);
    check(held(), &[soa(9), soa(7), rule(), rule(), soa(9), soa(9)], Refusal::NotThere);
    check(held(), &[soa(9), soa(7), rule(), soa(8), soa(8)], Refusal::Unfinished);
    check(held(), &[soa(9), soa(7), soa(9), soa(9), rule()], Refusal::Trailing);
    let mut last = soa(9);
    last.2[0..4].copy_from_slice(b"\x02nz\0");
    check(held(), &[soa(9), soa(7), soa(9), last], Refusal::SoaChanged);
    let mut asked = asked(None);
    asked.at_least = Some(Serial(8));
    let older = messages(&axfr(&model, 7), rtype::AXFR, 65_535);
    let refusal = Refusal::Regress { offered: Serial(7), held: Serial(8) };
    assert_eq!(apply(asked, &older, CAPS), Err(refusal));
}

#[test]
fn heads_that_are_refused() {
    let good = messages(&axfr(&some_model(), 7), rtype::AXFR, 65_535).remove(0);
    let check = |change: &dyn Fn(&mut Vec<u8>), refusal: Refusal| {
        let mut message = good.clone();
        change(&mut message);
        assert_eq!(apply(asked(None), &[message], CAPS), Err(refusal));
    };
    check(&|m| m[1] ^= 1, Refusal::NotOurs);
    check(&|m| m[2] &= !0x80, Refusal::NotOurs);
    check(&|m| m[2] |= 0x20, Refusal::NotOurs);
    check(&|m| m[2] |= 0x02, Refusal::Truncated);
    check(&|m| m[3] |= 5, Refusal::Rcode(5));
    check(&|m| m[5] = 0, Refusal::NotOurs);
    check(&|m| m[13] ^= 1, Refusal::NotOurs);
    check(&|m| m[7] = 0, Refusal::Empty);
    check(&|m| m[7] += 1, Refusal::Malformed);
    check(&|m| m.push(0), Refusal::Malformed);
    check(&|m| m.truncate(11), Refusal::Malformed);
}

#[test]
fn the_serial_comes_from_who_is_authoritative() {
    let good = messages(&[soa(7)], rtype::SOA, 65_535).remove(0);
    assert_eq!(soa_of(&good, ID, &apex()).unwrap().serial, Serial(7));
    let check = |change: &dyn Fn(&mut Vec<u8>), refusal: Refusal| {
        let mut message = good.clone();
        change(&mut message);
        assert_eq!(soa_of(&message, ID, &apex()), Err(refusal));
    };
    check(&|m| m[1] ^= 1, Refusal::NotOurs);
    check(&|m| m[2] &= !0x04, Refusal::NotAuthoritative);
    check(&|m| m[2] |= 0x02, Refusal::Truncated);
    check(&|m| m[3] |= 5, Refusal::Rcode(5));
    check(&|m| m[13] ^= 1, Refusal::NotOurs);
    check(&|m| m[7] = 0, Refusal::NoSoa);
    check(&|m| m.truncate(40), Refusal::Malformed);
}

#[test]
fn limits_hold() {
    let all = messages(&axfr(&some_model(), 7), rtype::AXFR, 430);
    assert_eq!(all.len(), 3);
    let bytes: u64 = all.iter().map(|m| m.len() as u64).sum();
    let exact = Caps { messages_max: 3, records_max: 3, bytes_max: bytes };
    let with = |caps| apply(asked(None), &all, caps);
    assert!(with(exact).is_ok());
    assert_eq!(with(Caps { messages_max: 2, ..exact }), Err(Refusal::Messages(2)));
    assert_eq!(with(Caps { records_max: 2, ..exact }), Err(Refusal::Records(2)));
    assert_eq!(with(Caps { bytes_max: bytes - 1, ..exact }), Err(Refusal::Bytes(bytes - 1)));
}

#[test]
fn records_outside_the_zone_are_told_apart() {
    let outside = (Name::from_text("elsewhere.test").unwrap(), rtype::CNAME, b"\0".to_vec(), 300);
    let (zone, _) = taken(answer(None, &[soa(7), outside, soa(7)]).unwrap());
    assert_eq!(zone.lines().collect::<Vec<_>>(), [b"elsewhere.test. 300 IN CNAME ."]);
}

#[test]
fn fuzz() {
    let models = [some_model(), Model::new(), some_model()];
    let samples = [
        messages(&ixfr(&models, 7), rtype::IXFR, 65_535).remove(0),
        messages(&axfr(&models[0], 9), rtype::IXFR, 65_535).remove(0),
    ];
    let held = zone(&models[0], 7);
    bolero::check!().with_iterations(20_000).for_each(|input: &[u8]| {
        let good = apply(asked(Some(held.clone())), &samples[..1], CAPS).unwrap();
        let mut head = vec![(ID >> 8) as u8, ID as u8, 0x84, 0, 0, 0, 0, 3, 0, 0, 0, 0];
        head.extend_from_slice(input);
        let mutants = samples.iter().map(|s| mutant(s, input));
        for message in mutants.chain([head]) {
            let mut applier = Applier::new(asked(Some(held.clone())), CAPS);
            let Ok(Progress::Done) = applier.message(&message) else { continue };
            match applier.finish().unwrap() {
                Outcome::UpToDate(soa) => assert_eq!(soa.serial, Serial(7)),
                Outcome::Zone { zone, .. } => {
                    assert!(
                        zone.soa().serial.is_after(Serial(7)) || zone.soa().serial == Serial(7)
                    );
                    let back = Zone::from_text(zone.clone().into_text(), &apex()).unwrap();
                    assert_eq!(back, zone);
                }
            }
        }
        assert_eq!(taken(good).0.soa().serial, Serial(9));
    });
}

/// The sample with a few bytes changed, as the input says: position and value in turn.
fn mutant(sample: &[u8], input: &[u8]) -> Vec<u8> {
    let mut message = sample.to_vec();
    for change in input.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % message.len();
        message[at] = change[2];
    }
    message
}
