//! A file system that fails, stops, or forgets what was not made durable.
//!
//! Beside the real files it keeps what a power cut would leave: contents as of their last fsync,
//! names as of their directory's. Nothing here fsyncs the real disk's patience away: tests run in
//! memory where there is a place for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::super::io::Step;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum Fault {
    /// This step fails with an I/O error; the next ones do not.
    Error,
    /// This step and all after it fail: the process is gone. A write is cut at a page's edge.
    Crash,
    /// This step and the next one fail; a write is made all the same.
    Torn,
}

#[derive(Debug, Default)]
pub(in crate::spool) struct Faults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    steps: u64,
    plan: Option<(u64, Fault)>,
    crashed: bool,
    no_room: bool,
    /// Bytes that all files may have together.
    capacity: Option<u64>,
    syncs_failed: u64,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

impl Faults {
    /// Everything below `dir` is durable.
    pub(in crate::spool) fn adopt(dir: &Path) -> Self {
        let mut inner = Inner::default();
        for sub in ["", "shipments", "quarantine"] {
            let Ok(entries) = fs::read_dir(dir.join(sub)) else { continue };
            for path in entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
                let inode = fs::metadata(&path).unwrap().ino();
                let now = fs::read(&path).unwrap();
                inner.files.insert(inode, Content { durable: now.clone(), now });
                inner.names.insert(path, inode);
            }
        }
        inner.durable = inner.names.clone();
        Self(Mutex::new(inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets step `at` (from 0) go wrong.
    pub(in crate::spool) fn plan(&self, at: u64, fault: Fault) {
        self.lock().plan = Some((at, fault));
    }

    /// Whether the planned step was reached.
    pub(in crate::spool) fn struck(&self) -> bool {
        let inner = self.lock();
        inner.plan.is_some_and(|(at, _)| inner.steps > at)
    }

    /// Steps so far.
    pub(in crate::spool) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Whether an fsync was made to fail.
    pub(in crate::spool) fn sync_failed(&self) -> bool {
        self.lock().syncs_failed > 0
    }

    /// Ends the process here.
    pub(in crate::spool) fn crash(&self) {
        self.lock().crashed = true;
    }

    /// Whether there is room for new allocations.
    pub(in crate::spool) fn room(&self, room: bool) {
        self.lock().no_room = !room;
    }

    /// Leaves not a byte free on the disk.
    pub(in crate::spool) fn fill(&self) {
        let mut inner = self.lock();
        inner.capacity = Some(inner.used());
    }

    pub(in crate::spool) fn created(&self, path: &Path, inode: u64) {
        let mut inner = self.lock();
        inner.files.insert(inode, Content::default());
        inner.names.insert(path.to_owned(), inode);
    }

    pub(in crate::spool) fn step(&self, step: Step<'_>) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.crashed {
            return Err(io::Error::other("the process is gone"));
        }
        let n = inner.steps;
        inner.steps += 1;
        match inner.plan {
            Some((at, Fault::Error)) if at == n => {
                inner.syncs_failed += u64::from(matches!(step, Step::Sync(_) | Step::SyncDir(_)));
                return Err(io::Error::other("planned"));
            }
            Some((at, Fault::Crash)) if at == n => {
                inner.crashed = true;
                if let Step::Write(inode, offset, bytes) = step {
                    inner.cut_write(inode, offset, bytes);
                }
                return Err(io::Error::other("the process is gone"));
            }
            Some((at, Fault::Torn)) if at == n || at + 1 == n => {
                if let Step::Write(inode, offset, bytes) = step {
                    inner.write(inode, offset, bytes);
                }
                return Err(io::Error::other("planned"));
            }
            _ => {}
        }
        if inner.no_room && matches!(step, Step::Allocate(..)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if inner.capacity.is_some_and(|max| inner.used() + inner.growth(step) > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.apply(step);
        Ok(())
    }

    /// Leaves in `dir` what a power cut does: what was durable, and by `luck` other parts, by
    /// sectors and in the order of directories' journals.
    pub(in crate::spool) fn power_cut(&self, luck: u64) {
        let mut luck = Luck(luck);
        let inner = self.lock();
        let (now, durable): (BTreeSet<_>, BTreeSet<_>) =
            (inner.names.keys().collect(), inner.durable.keys().collect());
        // All later names, or none: a journal's transactions are ordered.
        let later = luck.one_in(2);
        let names = if later { &inner.names } else { &inner.durable };
        for gone in now.union(&durable) {
            if let Err(e) = fs::remove_file(gone) {
                assert_eq!(e.kind(), io::ErrorKind::NotFound);
            }
        }
        for (path, inode) in names {
            let content = inner.files.get(inode).cloned().unwrap_or_default();
            fs::write(path, content.survivors(&mut luck)).unwrap();
        }
    }
}

impl Inner {
    fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|inode| self.files.get(inode));
        files.map(|f| f.now.len() as u64).sum()
    }

    /// Bytes by which a step lets a file grow.
    fn growth(&self, step: Step<'_>) -> u64 {
        let (inode, end) = match step {
            Step::Allocate(inode, size) => (inode, size),
            Step::Write(inode, offset, bytes) => (inode, offset + bytes.len() as u64),
            _ => return 0,
        };
        end.saturating_sub(self.files.get(&inode).map_or(0, |f| f.now.len() as u64))
    }

    fn apply(&mut self, step: Step<'_>) {
        match step {
            Step::Create => {}
            Step::Allocate(inode, size) | Step::Truncate(inode, size) => {
                self.file(inode).now.resize(usize::try_from(size).unwrap(), 0);
            }
            Step::Write(inode, offset, bytes) => {
                let now = &mut self.file(inode).now;
                let at = usize::try_from(offset).unwrap();
                now.resize(now.len().max(at + bytes.len()), 0);
                now[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::Sync(inode) => {
                let file = self.file(inode);
                file.durable.clone_from(&file.now);
            }
            Step::Rename(from, to) => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.to_owned(), inode);
                }
            }
            Step::Remove(path) => {
                self.names.remove(path);
            }
            Step::SyncDir(dir) => {
                let within = |p: &PathBuf| p.parent() == Some(dir);
                // A name that moved between directories moves in one transaction.
                let moved: BTreeSet<u64> =
                    self.names.iter().filter(|(p, _)| within(p)).map(|(_, i)| *i).collect();
                self.durable.retain(|p, i| !within(p) && !moved.contains(i));
                let names = self.names.iter().filter(|(p, _)| within(p));
                self.durable.extend(names.map(|(p, i)| (p.clone(), *i)));
            }
        }
    }

    fn file(&mut self, inode: u64) -> &mut Content {
        self.files.entry(inode).or_default()
    }

    /// The kernel had copied some of it, up to a page's edge.
    fn cut_write(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        const PAGE: u64 = 4096;
        let upto = usize::try_from((offset / PAGE + 1) * PAGE - offset).unwrap();
        if upto >= bytes.len() {
            return;
        }
        self.write(inode, offset, &bytes[..upto]);
    }

    fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        let Some((path, _)) = self.names.iter().find(|(_, i)| **i == inode) else { return };
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        self.apply(Step::Write(inode, offset, bytes));
    }
}

impl Content {
    fn survivors(&self, luck: &mut Luck) -> Vec<u8> {
        const SECTOR: usize = 512;
        let grown = luck.one_in(2);
        let mut left = self.durable.clone();
        if grown {
            left.resize(self.now.len(), 0);
        }
        let share = luck.next() % 3;
        for at in (0..left.len().min(self.now.len())).step_by(SECTOR) {
            let end = (at + SECTOR).min(left.len()).min(self.now.len());
            if share > 0 && luck.one_in(share + 1) {
                left[at..end].copy_from_slice(&self.now[at..end]);
            }
        }
        left
    }
}

/// A small generator of numbers that look random (SplitMix64).
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}
