//! One zone that we serve, in files: its text, and what changed from each version to the next.
//!
//! A directory per zone holds `zone` (the newest text, see [`crate::feeds::transfer::Zone`]) and,
//! for each of the last versions, `FROM-TO.del` and `FROM-TO.add`: SOA record first, then the lines
//! that went and that came. Everything can be made anew from the rules, so that nothing is synced;
//! what does not fit together at the start is removed. A transfer under way reads the files that it
//! opened, whatever happens to their names.
//!
//! **Serials** are the time of the build in seconds since the epoch, or one more than the last where
//! that is higher (RFC 1982): rules come into force and leave it by the clock and by rollback, so
//! that the number of a feed's version neither changes with every change of the zone nor always
//! grows. A directory that is lost cannot make a serial go back.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    clock::Timestamp,
    config,
    feeds::transfer::{
        Growing, Serial, Soa, Zone,
        text::{read_line, write_line},
        wire::rtype,
    },
    name::Name,
};

/// The numbers of a zone's SOA record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// When a secondary asks again, in seconds.
    pub refresh: u32,
    /// When it asks again after no answer, in seconds.
    pub retry: u32,
    /// When it no longer enforces what it has, in seconds.
    pub expire: u32,
    /// The TTL of SOA and NS, in seconds.
    pub ttl: u32,
}

impl Timers {
    /// What the configuration says.
    pub const fn new(config: &config::Transfers, ttl: u32) -> Self {
        Self {
            refresh: config.share_refresh_s,
            retry: config.share_retry_s,
            expire: config.share_expire_s,
            ttl,
        }
    }
}

/// The change from one version to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub from: Serial,
    pub to: Serial,
    pub removed: PathBuf,
    pub added: PathBuf,
}

/// What is served at a moment.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub soa: Soa,
    pub text: PathBuf,
    pub steps: VecDeque<Step>,
}

impl Served {
    /// The changes from `serial` to the newest version, the oldest first; none where they are no
    /// longer known.
    pub(super) fn since(&self, serial: Serial) -> Option<Vec<Step>> {
        let first = self.steps.iter().position(|s| s.from == serial)?;
        Some(self.steps.iter().skip(first).cloned().collect())
    }
}

/// A zone that we serve.
#[derive(Debug)]
pub struct SharedZone {
    apex: Name,
    dir: PathBuf,
    timers: Timers,
    steps_max: usize,
    served: Mutex<Option<Arc<Served>>>,
    /// One builder at a time.
    building: Mutex<()>,
}

impl SharedZone {
    /// Opens or makes the zone's directory below `root`, and what it holds.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(root: &Path, apex: &Name, timers: Timers, steps_max: usize) -> io::Result<Self> {
        let apex = apex.lower();
        let dir = root.join(directory(&apex));
        fs::create_dir_all(&dir)?;
        let served = found(&dir, &apex)?.map(Arc::new);
        let (served, building) = (Mutex::new(served), Mutex::new(()));
        Ok(Self { apex, dir, timers, steps_max, served, building })
    }

    /// The zone's name, in lower case.
    pub const fn apex(&self) -> &Name {
        &self.apex
    }

    /// The newest version's SOA record; none before the first.
    pub fn soa(&self) -> Option<Soa> {
        self.served().map(|s| s.soa.clone())
    }

    pub(super) fn served(&self) -> Option<Arc<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes these records the newest version; none when nothing changed. Takes its time.
    ///
    /// # Errors
    /// When files cannot be written; what was served stays.
    pub fn publish(&self, mut records: Growing, now: Timestamp) -> io::Result<Option<Serial>> {
        let _one = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // A secondary takes no zone without a name server; nobody asks this one.
        records.add(&self.apex, self.timers.ttl, rtype::NS, b"\x09localhost\0");
        let before = self.served();
        let serial = next_serial(before.as_ref().map(|b| b.soa.serial), now);
        let soa = self.soa_at(serial)?;
        let zone = records.finish(soa.clone());
        let mut steps = VecDeque::new();
        if let Some(before) = &before {
            match self.step(before, &zone) {
                Ok(None) => return Ok(None),
                Ok(Some(step)) => {
                    steps.clone_from(&before.steps);
                    steps.push_back(step);
                }
                // Secondaries get the whole zone then.
                Err(error) => {
                    tracing::warn!(zone = %self.apex, %error, "no difference to the last version");
                }
            }
        }
        let text = self.dir.join("zone");
        replace(&text, |out| out.write_all(&zone.into_text()))?;
        while steps.len() > self.steps_max {
            remove(steps.pop_front().as_ref());
        }
        let served = Arc::new(Served { soa, text, steps });
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
        Ok(Some(serial))
    }

    /// Takes the zone's files away.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fs::remove_dir_all(&self.dir)
    }

    fn soa_at(&self, serial: Serial) -> io::Result<Soa> {
        let t = &self.timers;
        let mut data = b"\x09localhost\0\x0ahostmaster\x09localhost\0".to_vec();
        for number in [serial.0, t.refresh, t.retry, t.expire, t.ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        Soa::from_rdata(t.ttl, &data).map_err(io::Error::other)
    }

    /// Writes what changed; none when nothing did.
    fn step(&self, before: &Served, zone: &Zone) -> io::Result<Option<Step>> {
        let (from, to) = (before.soa.serial, zone.soa().serial);
        let path = |end: &str| self.dir.join(format!("{from}-{to}.{end}"));
        let step = Step { from, to, removed: path("del"), added: path("add") };
        let mut changed = false;
        let mut write = |path: &Path, soa: &Soa, new: bool| {
            replace(path, |out| {
                let mut head = Vec::new();
                write_line(&mut head, &self.apex, &self.apex, soa.ttl, rtype::SOA, &soa.rdata);
                out.write_all(&head)?;
                difference(&before.text, zone, |line, is_new| {
                    if is_new == new {
                        changed = true;
                        out.write_all(line)?;
                        out.write_all(b"\n")?;
                    }
                    Ok(())
                })
            })
        };
        write(&step.removed, &before.soa, false)?;
        write(&step.added, zone.soa(), true)?;
        if !changed {
            remove(Some(&step));
        }
        Ok(changed.then_some(step))
    }
}

fn next_serial(last: Option<Serial>, now: Timestamp) -> Serial {
    let by_clock = Serial(now.secs() as u32);
    match last {
        Some(last) if !by_clock.is_after(last) => last.next(),
        _ => by_clock,
    }
}

/// The lines of two sorted texts that only one has: `each(line, whether the new one has it)`.
fn difference(
    old: &Path,
    zone: &Zone,
    mut each: impl FnMut(&[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let mut old = lines_of(old)?;
    let mut new = zone.lines().peekable();
    let mut line = old.next().transpose()?;
    loop {
        match (&line, new.peek()) {
            (None, None) => return Ok(()),
            (Some(gone), next) if next.is_none_or(|n| gone.as_slice() < *n) => {
                each(gone, false)?;
                line = old.next().transpose()?;
            }
            (Some(same), Some(next)) if same == next => {
                new.next();
                line = old.next().transpose()?;
            }
            (_, _) => {
                if let Some(come) = new.next() {
                    each(come, true)?;
                }
            }
        }
    }
}

/// The lines of a zone's text behind its SOA record.
pub(super) fn lines_of(
    path: &Path,
) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>> {
    Ok(BufReader::with_capacity(64 << 10, File::open(path)?).split(b'\n').skip(2))
}

/// Writes a file whole under another name first.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut out = BufWriter::new(File::create(&new)?);
    write(&mut out)?;
    out.flush()?;
    fs::rename(&new, path)
}

fn remove(step: Option<&Step>) {
    for path in step.into_iter().flat_map(|s| [&s.removed, &s.added]) {
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!(path = %path.display(), %error, "an old difference stays");
        }
    }
}

/// The name as that of a directory.
fn directory(apex: &Name) -> String {
    let text = apex.to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let mut out = String::from("zone-");
    for b in text.bytes() {
        if plain(b) { out.push(char::from(b)) } else { out.push_str(&format!("%{b:02x}")) }
    }
    out
}

/// What a directory holds of a zone; what does not belong together is removed.
fn found(dir: &Path, apex: &Name) -> io::Result<Option<Served>> {
    let text = dir.join("zone");
    let soa = match File::open(&text) {
        Ok(file) => soa_in(file, apex)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_step = path.extension().is_some_and(|e| e == "del");
        match is_step.then(|| step_at(&path)).flatten() {
            Some(step) => all.push(step),
            None if path == text => {}
            None if path.extension().is_some_and(|e| e == "add")
                && path.with_extension("del").exists() => {}
            None => fs::remove_file(&path)?,
        }
    }
    let mut steps = VecDeque::new();
    if let Some(soa) = &soa {
        let mut to = soa.serial;
        while let Some(i) = all.iter().position(|s| s.to == to && s.added.exists()) {
            let step = all.swap_remove(i);
            to = step.from;
            steps.push_front(step);
        }
    }
    all.iter().for_each(|step| remove(Some(step)));
    Ok(soa.map(|soa| Served { soa, text, steps }))
}

fn soa_in(file: File, apex: &Name) -> io::Result<Option<Soa>> {
    let line = BufReader::new(file).split(b'\n').nth(1).transpose()?;
    let read = line.and_then(|line| read_line(&line, apex).ok());
    Ok(read.filter(|l| l.rtype == rtype::SOA).and_then(|l| Soa::from_rdata(l.ttl, &l.rdata).ok()))
}

fn step_at(removed: &Path) -> Option<Step> {
    let (from, to) = removed.file_stem()?.to_str()?.split_once('-')?;
    let (from, to) = (Serial(from.parse().ok()?), Serial(to.parse().ok()?));
    Some(Step { from, to, removed: removed.to_owned(), added: removed.with_extension("add") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers { refresh: 300, retry: 60, expire: 604_800, ttl: 60 };

    fn apex() -> Name {
        Name::from_text("rpz.test").unwrap()
    }

    fn records(names: &[&str]) -> Growing {
        let mut growing = Growing::new(&apex());
        for name in names {
            let owner = Name::from_text(&format!("{name}.rpz.test")).unwrap();
            growing.add(&owner, 30, rtype::CNAME, b"\0");
        }
        growing
    }

    #[test]
    fn versions_follow_one_another() {
        let dir = tempfile::tempdir().unwrap();
        let open = || SharedZone::open(dir.path(), &apex(), TIMERS, 2).unwrap();
        let zone = open();
        assert!(zone.soa().is_none());
        let now = Timestamp::from_secs(1_000);
        assert_eq!(zone.publish(records(&["a", "b"]), now).unwrap(), Some(Serial(1_000)));
        // Nothing new, nothing published.
        assert_eq!(zone.publish(records(&["b", "a"]), now).unwrap(), None);
        // The clock may stand still or go back; serials do not.
        assert_eq!(zone.publish(records(&["b", "c"]), now).unwrap(), Some(Serial(1_001)));
        let steps = zone.served().unwrap().since(Serial(1_000)).unwrap();
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        let soa = |serial: u32| {
            format!("@ 60 IN SOA localhost. hostmaster.localhost. {serial} 300 60 604800 60\n")
        };
        assert_eq!(text(&steps[0].removed), soa(1_000) + "a 30 IN CNAME .\n");
        assert_eq!(text(&steps[0].added), soa(1_001) + "c 30 IN CNAME .\n");

        // What is on disk is served after a restart.
        let zone = open();
        assert_eq!(zone.soa().unwrap().serial, Serial(1_001));
        let later = Timestamp::from_secs(2_000);
        assert_eq!(zone.publish(records(&[]), later).unwrap(), Some(Serial(2_000)));
        assert_eq!(zone.publish(records(&["d"]), later).unwrap(), Some(Serial(2_001)));
        let served = zone.served().unwrap();
        assert_eq!(served.since(Serial(1_000)), None);
        assert_eq!(served.since(Serial(1_001)).unwrap().len(), 2);
        assert_eq!(
            text(&served.text),
            format!("$ORIGIN rpz.test.\n{}@ 60 IN NS localhost.\nd 30 IN CNAME .\n", soa(2_001))
        );
        // A hole in the chain: what is before it is removed.
        fs::remove_file(&served.since(Serial(2_000)).unwrap()[0].added).unwrap();
        let zone = open();
        assert_eq!(zone.served().unwrap().since(Serial(2_000)), None);
        assert_eq!(fs::read_dir(dir.path().join("zone-rpz.test")).unwrap().count(), 1);
        zone.remove().unwrap();
        assert!(open().soa().is_none());
    }
}
