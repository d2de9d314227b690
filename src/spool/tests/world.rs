//! The spool and a model of what it must remember, driven together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Bench,
    faults::{Fault, Faults},
    gaps_by_place, row, rows_of,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy::{self, Refuse, Shed},
    record::Table,
    spool::{Commit, Kept, Lane, Shipment, Spool},
};

const TABLE: Table = Table::Access;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Push(u8, usize, FullPolicy),
    Commit,
    /// Milliseconds pass, and the lane is ticked.
    Pass(u64),
    Maintain,
    Append(FullPolicy),
    Prepare(bool),
    Ship,
    Acknowledge,
    Split,
    SetAside,
    Release,
    Purge,
    NewLane,
    Room(bool),
    Reopen,
    PowerCut(u64),
}

pub(super) struct World {
    bench: Bench,
    pub(super) faults: Arc<Faults>,
    spool: Option<Spool>,
    lane: Option<Lane>,
    pushed: Vec<(u64, FullPolicy, String)>,
    /// Everything ever tried: what is found must be of it.
    tried: BTreeSet<(u64, u64, String)>,
    /// What callers were told is kept.
    kept: BTreeMap<(u64, u64), String>,
    /// What the store has.
    stored: BTreeSet<(u64, u64)>,
    gaps_stored: BTreeMap<(u64, u64), String>,
    shipments: Vec<Shipment>,
    aside: Vec<String>,
    /// What callers were told is counted, and the most that may be.
    shed: (u64, u64),
    /// Rows may be missing, within the bounds of gap rows.
    powerless: bool,
    /// A prepared row was not appended: its place may stay empty at a lane's end only.
    synced: bool,
    count: u64,
    /// An I/O error was planned.
    pub(super) errors: bool,
}

impl World {
    pub(super) fn new(bench: Bench, plan: Option<(u64, Fault)>) -> Self {
        let faults = Arc::new(Faults::default());
        let mut world = Self {
            synced: bench.config.durability == crate::config::Durability::Synced,
            bench,
            faults: Arc::clone(&faults),
            spool: None,
            lane: None,
            pushed: Vec::new(),
            tried: BTreeSet::new(),
            kept: BTreeMap::new(),
            stored: BTreeSet::new(),
            gaps_stored: BTreeMap::new(),
            shipments: Vec::new(),
            aside: Vec::new(),
            shed: (0, 0),
            powerless: false,
            count: 0,
            errors: plan.is_some_and(|(_, f)| f == Fault::Error),
        };
        if let Some((at, fault)) = plan {
            faults.plan(at, fault);
        }
        world.bench.disk.faults = Some(faults);
        world.start();
        world
    }

    /// Opens the spool as far as that goes.
    fn start(&mut self) {
        let Ok((spool, recovery)) = self.bench.try_open() else { return };
        if recovery.finish().is_err() {
            return;
        }
        self.shipments = spool.open_shipments();
        self.lane = spool.lane(TABLE, 0).ok();
        self.spool = Some(spool);
    }

    pub(super) fn act(&mut self, act: &Act) {
        match *act {
            Act::Push(n, len, full) => (0..n).for_each(|_| self.push(len, full)),
            Act::Commit => self.commit(),
            Act::Pass(ms) => {
                self.bench.advance_ms(ms);
                if let Some(lane) = &mut self.lane {
                    lane.tick();
                }
            }
            Act::Maintain => self.with(|_, spool| spool.maintain()),
            Act::Append(full) => self.append(full),
            Act::Prepare(append) => self.prepare(append),
            Act::Ship => self.ship(),
            Act::Acknowledge => self.acknowledge(),
            Act::Split => self.split(),
            Act::SetAside => self.set_aside(),
            Act::Release => self.release(),
            Act::Purge => self.with(|_, spool| {
                spool.purge(Timestamp::MAX).ok();
            }),
            Act::NewLane => self.new_lane(),
            Act::Room(room) => self.faults.room(room),
            Act::Reopen => self.reopen(None),
            Act::PowerCut(luck) => self.reopen(Some(luck)),
        }
    }

    fn with(&mut self, f: impl FnOnce(&mut Self, &Spool)) {
        if let Some(spool) = self.spool.clone() {
            f(self, &spool);
        }
    }

    fn text(&mut self, len: usize) -> String {
        self.count += 1;
        format!("{:0>len$}", self.count)
    }

    fn push(&mut self, len: usize, full: FullPolicy) {
        let text = self.text(len);
        // What one commit can take; past it there is another test.
        let pending: usize = self.pushed.iter().map(|p| p.2.len() + 100).sum();
        let Some(lane) = self.lane.as_mut().filter(|_| pending < 9_000) else { return };
        let seq = lane.next_seq() + self.pushed.len() as u64;
        lane.push(&row(&text), full);
        self.tried.insert((lane.id().0, seq, text.clone()));
        self.pushed.push((seq, full, text));
    }

    fn commit(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        let commit = lane.commit();
        let pushed = std::mem::take(&mut self.pushed);
        let shed = pushed.iter().filter(|p| p.1 == Shed).count() as u64;
        self.shed.1 += shed;
        match commit {
            Commit::Kept => {
                self.shed.1 -= shed;
                let lane = lane.id().0;
                self.kept.extend(pushed.into_iter().map(|(seq, _, text)| ((lane, seq), text)));
            }
            Commit::Shed => self.shed.0 += shed,
            Commit::Refused => {}
        }
    }

    fn append(&mut self, full: FullPolicy) {
        let text = self.text(1);
        self.with(|world, spool| {
            let Ok(shared) = spool.shared(TABLE) else { return };
            let (lane, seq) = shared.next_place();
            world.tried.insert((lane.0, seq, text.clone()));
            match shared.append(&row(&text), full) {
                Ok(Kept::Recorded(id)) => {
                    world.kept.insert((id.lane.0, id.seq), text);
                }
                Ok(Kept::Shed) => world.shed = (world.shed.0 + 1, world.shed.1 + 1),
                Err(_) if full == Shed => world.shed.1 += 1,
                Err(_) => {}
            }
        });
    }

    fn prepare(&mut self, append: bool) {
        let text = self.text(1);
        self.with(|world, spool| {
            let Ok(shared) = spool.shared(TABLE) else { return };
            let Ok(prepared) = shared.prepare(&row(&text)) else { return };
            let id = prepared.id.clone();
            if append {
                world.tried.insert((id.lane.0, id.seq, text.clone()));
                if prepared.append().is_ok() {
                    world.kept.insert((id.lane.0, id.seq), text);
                }
            }
        });
    }

    fn ship(&mut self) {
        self.with(|world, spool| {
            for table in [TABLE, Table::Gaps] {
                let frames: Vec<_> =
                    spool.frames().into_iter().filter(|f| f.table == table).take(3).collect();
                if let Ok(s) = spool.begin_shipment(frames) {
                    world.shipments.push(s);
                }
            }
        });
    }

    fn acknowledge(&mut self) {
        self.with(|world, spool| {
            let Some(s) = world.shipments.pop() else { return };
            // The store has it; whether the spool hears of it is another matter.
            for f in &s.frames {
                let Ok(bytes) = spool.read(f) else {
                    world.shipments.push(s);
                    return;
                };
                let fresh = (f.first_seq..f.first_seq + f.count)
                    .filter(|q| world.stored.insert((f.lane.0, *q)))
                    .count();
                assert!(fresh == 0 || fresh as u64 == f.count, "frames keep their bounds");
                if f.table == Table::Gaps {
                    let rows = super::gaps_in(f.schema, &bytes).into_iter();
                    world.gaps_stored.extend((f.first_seq..).map(|q| (f.lane.0, q)).zip(rows));
                }
            }
            if spool.acknowledge(s.clone()).is_err() {
                world.shipments.push(s);
            }
        });
    }

    fn split(&mut self) {
        self.with(|world, spool| {
            let Some(s) = world.shipments.pop() else { return };
            let parts = s.frames.iter().map(|f| vec![f.clone()]).collect();
            match spool.split(s.clone(), parts) {
                Ok(parts) => world.shipments.extend(parts),
                Err(_) => world.shipments.push(s),
            }
        });
    }

    fn set_aside(&mut self) {
        self.with(|world, spool| {
            let one = world
                .shipments
                .iter()
                .position(|s| s.frames.len() == 1 && s.frames[0].table == TABLE);
            let Some(at) = one else { return };
            let s = world.shipments.swap_remove(at);
            world.aside.push(s.token.clone());
            spool.set_aside(s, "test").ok();
        });
    }

    fn release(&mut self) {
        self.with(|world, spool| {
            if let Some(token) = world.aside.pop()
                && spool.release(&token).is_err()
            {
                world.aside.push(token);
            }
        });
    }

    fn new_lane(&mut self) {
        self.commit();
        self.with(|world, spool| {
            if let Some(lane) = world.lane.take() {
                lane.close().ok();
            }
            world.lane = spool.lane(TABLE, 0).ok();
        });
    }

    fn reopen(&mut self, power_cut: Option<u64>) {
        self.faults.crash();
        let pushed = std::mem::take(&mut self.pushed);
        self.shed.1 += pushed.iter().filter(|p| p.1 == Shed).count() as u64;
        (self.lane, self.spool) = (None, None);
        if let Some(luck) = power_cut {
            self.faults.power_cut(luck);
            self.bench.boot_id[0] = self.bench.boot_id[0].wrapping_add(1);
            self.powerless |= !self.synced;
        }
        self.faults = Arc::new(Faults::adopt(&self.bench.dir.path().join("spool")));
        self.bench.disk.faults = Some(Arc::clone(&self.faults));
        self.start();
        assert!(self.spool.is_some(), "what is left can be opened");
    }

    /// Reopens and compares everything.
    pub(super) fn check(&mut self, power_cut: Option<u64>) {
        self.reopen(power_cut);
        // Once more: a recovery leaves nothing for the next one to tell again.
        self.reopen(None);
        let Some(spool) = self.spool.clone() else { return };
        self.bench.advance_ms(5_000);
        spool.maintain();
        self.bench.advance_ms(5_000);
        spool.maintain();
        let found = rows_of(&spool, TABLE, "purpose");
        let mut places = self.stored.clone();
        for r in &found {
            assert!(self.tried.contains(r), "{r:?} was never written");
            places.insert((r.0, r.1));
        }
        let distinct: BTreeSet<_> = found.iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(distinct.len(), found.len(), "nothing is there twice");
        let mut gaps = gaps_by_place(&spool);
        gaps.extend(std::mem::take(&mut self.gaps_stored));
        let gaps: Vec<_> = gaps.into_values().collect();
        let told = |reason: &str| -> u64 {
            let of = gaps.iter().filter(|g| g.contains(reason));
            of.map(|g| g.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        let lost = self.kept.keys().filter(|k| !places.contains(k)).count() as u64;
        if self.powerless {
            assert!(lost <= told("unclean_end"), "{lost} lost, told: {gaps:?}");
        } else {
            let missing: Vec<_> = self.kept.iter().filter(|(k, _)| !places.contains(k)).collect();
            assert!(missing.is_empty(), "lost: {missing:?}");
            assert_eq!(told("unclean_end"), 0, "{gaps:?}");
        }
        for r in &found {
            if let Some(text) = self.kept.get(&(r.0, r.1)) {
                assert_eq!(text, &r.2);
            }
        }
        self.check_holes(&places, told("unclean_end"));
        let shed = told("disk_full") + told("overload") + told("io_error");
        assert!(shed >= self.shed.0, "{} shed, told: {gaps:?}", self.shed.0);
        if !self.powerless && !self.errors && !self.faults.sync_failed() {
            assert!(shed <= self.shed.1, "at most {} shed, told: {gaps:?}", self.shed.1);
        }
        self.act(&Act::Maintain);
    }

    fn check_holes(&self, places: &BTreeSet<(u64, u64)>, told: u64) {
        let mut lanes: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let of_table = |lane: &u64| crate::record::LaneId(*lane).table() == Some(TABLE);
        for (lane, seq) in places.iter().filter(|(l, _)| of_table(l)) {
            let (count, next) = lanes.entry(*lane).or_default();
            *count += 1;
            *next = (*next).max(seq + 1);
        }
        let holes: u64 = lanes.values().map(|(count, next)| next - count).sum();
        assert!(holes <= told, "{holes} holes, {told} told");
    }
}

/// A bit of everything, for faults at every step.
pub(super) fn scenario() -> Vec<Act> {
    use Act::{
        Acknowledge, Append, Maintain, NewLane, Pass, Prepare, Purge, Push, Release, Room,
        SetAside, Ship, Split,
    };
    let mut acts = vec![Append(Refuse), Prepare(true), Prepare(false)];
    for n in 0..6 {
        acts.extend([Push(20, 60 + 300 * (n % 2), Shed), Act::Commit, Maintain, Pass(300)]);
    }
    acts.extend([Pass(1_200), Maintain, Ship, Append(Shed), Acknowledge, Ship, Split, SetAside]);
    acts.extend([Maintain, Acknowledge, Purge, Release, Room(false)]);
    for _ in 0..6 {
        acts.extend([Push(10, 400, Shed), Push(2, 400, Refuse), Act::Commit, Maintain]);
    }
    acts.extend([Append(Shed), Room(true), Pass(1_500), Maintain, Pass(1_500), Maintain]);
    acts.extend([Push(3, 30, Refuse), Act::Commit, NewLane, Maintain, Push(3, 30, Shed)]);
    acts.extend([Act::Commit, Pass(1_500), Maintain, Ship, Acknowledge, Acknowledge, Purge]);
    acts
}
