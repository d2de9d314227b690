//! A lane's small state file: the reserved-seq mark and its open gap rows.
//!
//! Thirty-two blocks of 512 bytes, allocated when the lane is opened, so that counting a row that
//! could not be kept needs no room. Everything is kept in two copies written in turn, each with a
//! version and a CRC: a torn write destroys the older copy at most.
//!
//! A gap row becomes a row of table `gaps` exactly once: its slot first names, durably, the place
//! that row will have; whoever finds the slot in that state looks whether the row is there.

use std::io;

use super::{format, io::Handle};
use crate::{clock::Timestamp, record::LaneId};

/// Bytes of the file.
pub(super) const STATE_SIZE: u64 = 32 * BLOCK;

const BLOCK: u64 = 512;
const PAYLOAD: usize = 64;
const COPY: usize = 16 + PAYLOAD;
/// The fewest and the most rows that may be counted between two fsyncs.
const CEILING_MIN: u64 = 64;
const CEILING_MAX: u64 = 1 << 20;
const MAGIC: &[u8; 4] = b"TGS1";

/// Slots: two for each reason, so that counting goes on in one while the other becomes a row.
pub(super) const SLOTS: usize = 8;

/// Why rows are missing. Slot `n` counts for reason `n % 4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was no room.
    DiskFull = 0,
    /// More than a limit allows.
    Overload = 1,
    /// A write or an fsync failed.
    IoError = 2,
    /// The lane did not end in order.
    UncleanEnd = 3,
}

impl Reason {
    pub(super) const ALL: [Self; 4] =
        [Self::DiskFull, Self::Overload, Self::IoError, Self::UncleanEnd];

    /// The word in table `gaps`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::Overload => "overload",
            Self::IoError => "io_error",
            Self::UncleanEnd => "unclean_end",
        }
    }
}

/// Rows that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) count: u64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// `count` is an upper bound.
    pub(super) upper: bool,
}

impl Missing {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        if self.count == 0 {
            return Self { upper: self.upper || other.upper, ..other };
        }
        if other.count == 0 {
            return Self { upper: self.upper || other.upper, ..self };
        }
        Self {
            count: self.count.saturating_add(other.count),
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            upper: self.upper || other.upper,
        }
    }
}

/// Where a gap row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is missing.
    Empty,
    /// Counting.
    Open,
    /// About to be written, or written, as this row of table `gaps`.
    Closing { lane: LaneId, seq: u64 },
}

/// One gap row to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) gap_id: u64,
    pub(super) missing: Missing,
    pub(super) phase: Phase,
    /// What the count may have reached without being durable. Durable itself, so that a count that
    /// a power cut sets back has a bound.
    pub(super) ceiling: u64,
}

impl Slot {
    const fn new(gap_id: u64) -> Self {
        let missing =
            Missing { count: 0, from: Timestamp::ZERO, to: Timestamp::ZERO, upper: false };
        Self { gap_id, missing, phase: Phase::Empty, ceiling: 0 }
    }

    fn encode(&self) -> [u8; PAYLOAD] {
        let mut b = [0; PAYLOAD];
        let (phase, lane, seq) = match self.phase {
            Phase::Empty => (0, 0, 0),
            Phase::Open => (1, 0, 0),
            Phase::Closing { lane, seq } => (2, lane.0, seq),
        };
        b[..8].copy_from_slice(&self.gap_id.to_le_bytes());
        b[8..16].copy_from_slice(&self.missing.count.to_le_bytes());
        b[16..24].copy_from_slice(&self.missing.from.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.missing.to.0.to_le_bytes());
        b[32] = phase;
        b[33] = u8::from(self.missing.upper);
        b[40..48].copy_from_slice(&lane.to_le_bytes());
        b[48..56].copy_from_slice(&seq.to_le_bytes());
        b[56..64].copy_from_slice(&self.ceiling.to_le_bytes());
        b
    }

    fn decode(b: &[u8; PAYLOAD]) -> Self {
        let (lane, seq) = (LaneId(format::u64_at(b, 40)), format::u64_at(b, 48));
        Self {
            gap_id: format::u64_at(b, 0),
            missing: Missing {
                count: format::u64_at(b, 8),
                from: Timestamp(format::u64_at(b, 16).cast_signed()),
                to: Timestamp(format::u64_at(b, 24).cast_signed()),
                upper: b[33] != 0,
            },
            phase: match b[32] {
                0 => Phase::Empty,
                1 => Phase::Open,
                _ => Phase::Closing { lane, seq },
            },
            ceiling: format::u64_at(b, 56),
        }
    }
}

/// The file, open.
#[derive(Debug)]
pub(super) struct State {
    file: Handle,
    versions: [u64; SLOTS + 1],
    reserved: u64,
    boot_id: [u8; 16],
    slots: [Slot; SLOTS],
}

impl State {
    /// A new file, or one as it was left: what was never written reads as empty.
    pub(super) fn load(file: Handle) -> io::Result<Self> {
        let mut state = Self {
            file,
            versions: [0; SLOTS + 1],
            reserved: 0,
            boot_id: [0; 16],
            slots: std::array::from_fn(|n| Slot::new(n as u64)),
        };
        for pair in 0..=SLOTS {
            if let Some((version, payload)) = state.newest(pair)? {
                state.versions[pair] = version;
                match pair.checked_sub(1) {
                    None => {
                        state.reserved = format::u64_at(&payload, 0);
                        state.boot_id.copy_from_slice(&payload[8..24]);
                    }
                    Some(slot) => state.slots[slot] = Slot::decode(&payload),
                }
            }
        }
        Ok(state)
    }

    fn newest(&self, pair: usize) -> io::Result<Option<(u64, [u8; PAYLOAD])>> {
        let mut found = None;
        for copy in 0..2 {
            let mut b = [0; COPY];
            match self.file.read_at(&mut b, (pair as u64 * 2 + copy) * BLOCK) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => continue,
                done => done?,
            }
            let good = &b[..4] == MAGIC && crc32c::crc32c(&b[8..]) == format::u32_at(&b, 4);
            let version = format::u64_at(&b, 8);
            if good && found.is_none_or(|(v, _)| v < version) {
                let mut payload = [0; PAYLOAD];
                payload.copy_from_slice(&b[16..]);
                found = Some((version, payload));
            }
        }
        Ok(found)
    }

    fn write(&mut self, pair: usize, payload: &[u8; PAYLOAD], durable: bool) -> io::Result<()> {
        let version = self.versions[pair] + 1;
        let mut b = [0; COPY];
        b[..4].copy_from_slice(MAGIC);
        b[8..16].copy_from_slice(&version.to_le_bytes());
        b[16..].copy_from_slice(payload);
        let crc = crc32c::crc32c(&b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        self.file.write_at(&b, (pair as u64 * 2 + version % 2) * BLOCK)?;
        if durable {
            self.file.sync()?;
        }
        self.versions[pair] = version;
        Ok(())
    }

    /// Begins a new lane's file, durably. Whether a count in it can have been set back depends on
    /// whether the machine started anew since, and the lane may never get a segment to tell.
    pub(super) fn begin(&mut self, boot_id: [u8; 16]) -> io::Result<()> {
        self.boot_id = boot_id;
        self.reserve(0)
    }

    /// The boot in which the lane was opened, if that is known.
    pub(super) fn boot_id(&self) -> Option<[u8; 16]> {
        (self.boot_id != [0; 16]).then_some(self.boot_id)
    }

    /// The seq below which rows may be in use.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Moves the mark, durably.
    pub(super) fn reserve(&mut self, seq: u64) -> io::Result<()> {
        let mut b = [0; PAYLOAD];
        b[..8].copy_from_slice(&seq.to_le_bytes());
        b[8..24].copy_from_slice(&self.boot_id);
        self.write(0, &b, true)?;
        self.reserved = seq;
        Ok(())
    }

    /// Every gap row to be, with its slot's number.
    pub(super) fn waiting(&self) -> Vec<(usize, Slot)> {
        let all = self.slots.iter().copied().enumerate();
        all.filter(|(_, s)| s.phase != Phase::Empty).collect()
    }

    /// The smallest time that a gap row to be begins with.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let waiting = self.slots.iter().filter(|s| s.phase != Phase::Empty);
        waiting.map(|s| s.missing.from).min()
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|s| s.phase == Phase::Empty)
    }

    fn put(&mut self, n: usize, slot: Slot, durable: bool) -> io::Result<()> {
        self.write(1 + n, &slot.encode(), durable)?;
        self.slots[n] = slot;
        Ok(())
    }

    /// Counts rows.
    ///
    /// # Errors
    /// When the file cannot be written, or two gap rows before are still on their way.
    pub(super) fn add(&mut self, reason: Reason, more: Missing, durable: bool) -> io::Result<()> {
        let both = [reason as usize, reason as usize + Reason::ALL.len()];
        let in_phase = |p: Phase| both.into_iter().find(|&n| self.slots[n].phase == p);
        let Some(n) = in_phase(Phase::Open).or_else(|| in_phase(Phase::Empty)) else {
            return Err(io::ErrorKind::ResourceBusy.into());
        };
        let missing = self.slots[n].missing.and(more);
        let mut slot = Slot { missing, phase: Phase::Open, ..self.slots[n] };
        let raise = !durable && missing.count > slot.ceiling;
        if raise {
            slot.ceiling = missing.count + missing.count.clamp(CEILING_MIN, CEILING_MAX);
        }
        self.put(n, slot, durable || raise)
    }

    /// After a power cut counts may have been set back: from here on they are what they may have
    /// reached.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn set_back(&mut self) -> io::Result<()> {
        for (n, slot) in self.waiting() {
            if slot.phase == Phase::Open && slot.ceiling > slot.missing.count {
                let missing = Missing { count: slot.ceiling, upper: true, ..slot.missing };
                self.put(n, Slot { missing, ..slot }, true)?;
            }
        }
        Ok(())
    }

    /// Names the place the gap row will have, durably, unless the slot has changed since `seen`.
    pub(super) fn closing(
        &mut self,
        n: usize,
        seen: &Slot,
        lane: LaneId,
        seq: u64,
    ) -> io::Result<bool> {
        if self.slots[n] != *seen {
            return Ok(false);
        }
        self.put(n, Slot { phase: Phase::Closing { lane, seq }, ..*seen }, true)?;
        Ok(true)
    }

    /// The gap row did not get the place it was to have; it will be given another.
    pub(super) fn reopen(&mut self, n: usize) -> io::Result<()> {
        let Slot { missing, .. } = self.slots[n];
        // The count was durable with its place: nothing can have set it back.
        let slot = Slot { phase: Phase::Open, ceiling: missing.count, ..self.slots[n] };
        self.put(n, slot, true)
    }

    /// The gap row is written and durable; the next one gets its own id.
    pub(super) fn done(&mut self, n: usize) -> io::Result<()> {
        let gap_id = self.slots[n].gap_id + SLOTS as u64;
        self.put(n, Slot::new(gap_id), false)
    }
}

/// The reason that slot `n` counts for.
pub(super) const fn reason_of(n: usize) -> Reason {
    Reason::ALL[n % Reason::ALL.len()]
}
