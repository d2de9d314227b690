//! An index on disk: derived, so that it may be made anew at any time.
//!
//! ```text
//! "tgindex2"  key  sizes and counts by tag  classes  CRC-32C
//! 64 times: slots u32, bytes of entries u32, marks, places, entries, CRC-32C
//! ```
//!
//! Numbers are little-endian. Each shard is one table, whatever it was in memory. Reading takes
//! the tables as they are, without a look at single rules.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use super::{Class, Index, SHARDS, Shard, hash::HashKey, key::Tag, sizes::Sizes, table::Table};
use crate::{
    clock::Timestamp,
    policy::{Action, Legal, LocalRecord, Tier},
};

const MAGIC: &[u8; 8] = b"tgindex2";

/// How much is taken of memory on a file's word alone, in bytes.
const ON_TRUST_MAX: u64 = 1 << 24;

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadIndex {
    /// The file cannot be read.
    #[error("cannot read the index: {0}")]
    Io(#[from] io::Error),
    /// The file is not an index, is damaged, or is of another version of the program.
    #[error("the index is damaged or of another version")]
    Corrupt,
}

impl Index {
    /// Writes it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut head = MAGIC.to_vec();
        let numbers = self.sizes.iter().flat_map(|s| s.0).chain(self.counts);
        for number in self.key.0.into_iter().chain(numbers) {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let classes = Classes::write(&self.classes);
        head.extend_from_slice(&(classes.len() as u64).to_le_bytes());
        head.extend_from_slice(&classes);
        checked(out, &[&head])?;
        for shard in &self.shards {
            let whole;
            let table = match (&shard.live, &shard.over) {
                (None, None) => &shard.base,
                _ => {
                    whole = shard.clone().anew(self.key, |id| id).base;
                    &whole
                }
            };
            let sizes = [table.slots() as u32, table.entries.len() as u32].map(u32::to_le_bytes);
            let places = table.places.as_flattened();
            checked(out, &[sizes.as_flattened(), &table.marks, places, &table.entries])?;
        }
        Ok(())
    }

    /// Reads one.
    ///
    /// # Errors
    /// When `input` fails, and when it is no index.
    pub fn read(input: &mut impl Read) -> Result<Self, BadIndex> {
        let mut head = vec![0; 8 * (1 + 2 + 4 * Tag::COUNT + 1)];
        input.read_exact(&mut head).map_err(ended)?;
        let mut numbers = head.as_chunks::<8>().0.iter();
        if numbers.next() != Some(MAGIC) {
            return Err(BadIndex::Corrupt);
        }
        let mut number = || numbers.next().map_or(0, |n| u64::from_le_bytes(*n));
        let key = HashKey([number(), number()]);
        let sizes = std::array::from_fn(|_| Sizes([number(), number(), number()]));
        let counts: [u64; Tag::COUNT] = std::array::from_fn(|_| number());
        let classes = bytes(input, number())?;
        check(input, &[&head, &classes])?;
        let classes = Classes::read(&classes).ok_or(BadIndex::Corrupt)?;
        let shards: Box<[Shard]> = (0..SHARDS).map(|_| shard(input)).collect::<Result<_, _>>()?;
        let told = counts.iter().try_fold(0u64, |sum, n| sum.checked_add(*n));
        if told != Some(shards.iter().map(|s| s.base.len as u64).sum()) {
            return Err(BadIndex::Corrupt);
        }
        let base_classes = classes.len();
        Ok(Self { key, shards, classes: Arc::new(classes), base_classes, sizes, counts })
    }
}

fn checked(out: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    for part in parts {
        out.write_all(part)?;
    }
    out.write_all(&checksum(parts).to_le_bytes())
}

fn checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

fn check(input: &mut impl Read, parts: &[&[u8]]) -> Result<(), BadIndex> {
    let mut crc = [0; 4];
    input.read_exact(&mut crc).map_err(ended)?;
    if u32::from_le_bytes(crc) == checksum(parts) { Ok(()) } else { Err(BadIndex::Corrupt) }
}

fn ended(e: io::Error) -> BadIndex {
    if e.kind() == io::ErrorKind::UnexpectedEof { BadIndex::Corrupt } else { BadIndex::Io(e) }
}

fn bytes(input: &mut impl Read, len: u64) -> Result<Vec<u8>, BadIndex> {
    let mut bytes = Vec::with_capacity(len.min(ON_TRUST_MAX) as usize);
    let read = input.take(len).read_to_end(&mut bytes)?;
    bytes.shrink_to_fit();
    if read as u64 == len { Ok(bytes) } else { Err(BadIndex::Corrupt) }
}

fn shard(input: &mut impl Read) -> Result<Shard, BadIndex> {
    let mut sizes = [[0; 4]; 2];
    input.read_exact(sizes.as_flattened_mut()).map_err(ended)?;
    let [slots, len] = sizes.map(u32::from_le_bytes);
    let marks = bytes(input, slots.into())?;
    // There are as many bytes as there are slots: no trust is needed any more.
    let mut places = vec![[0; 4]; marks.len()];
    input.read_exact(places.as_flattened_mut()).map_err(ended)?;
    let entries = bytes(input, len.into())?;
    check(input, &[sizes.as_flattened(), &marks, places.as_flattened(), &entries])?;
    let base = Arc::new(Table::from_parts(marks, places, entries));
    Ok(Shard { base, live: None, over: None })
}

/// The classes as bytes: each legal's data where it differs from that of the class before.
struct Classes<'a>(&'a [u8]);

impl Classes<'_> {
    fn write(classes: &[Class]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last: Option<&Arc<Legal>> = None;
        for Class { action, legal } in classes {
            let same = last.is_some_and(|l| Arc::ptr_eq(l, legal));
            out.push(u8::from(!same));
            if !same {
                write_legal(legal, &mut out);
            }
            last = Some(legal);
            write_action(action, &mut out);
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Vec<Class>> {
        let mut input = Classes(bytes);
        let mut classes: Vec<Class> = Vec::new();
        while !input.0.is_empty() {
            let legal = match input.byte()? {
                0 => Arc::clone(&classes.last()?.legal),
                _ => Arc::new(input.legal()?),
            };
            classes.push(Class { action: input.action()?, legal });
        }
        Some(classes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[b]| b)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn run(&mut self) -> Option<&[u8]> {
        let len = self.number()? as usize;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<Box<str>> {
        Some(std::str::from_utf8(self.run()?).ok()?.into())
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.take().map(|t| Timestamp(i64::from_le_bytes(t)))
    }

    fn legal(&mut self) -> Option<Legal> {
        Some(Legal {
            authority: self.text()?,
            order_number: self.text()?,
            reason: self.text()?,
            content_class: self.text()?,
            approver: self.text()?,
            evidence: self.text()?,
            tier: Tier::from_name(&self.text()?),
            issued_at: self.time()?,
            effective_from: self.time()?,
            expires_at: self.time()?,
            due_at: self.time()?,
        })
    }

    fn action(&mut self) -> Option<Action> {
        Some(match self.byte()? {
            0 => Action::Nxdomain,
            1 => Action::Nodata,
            2 => Action::Passthru,
            3 => Action::Drop,
            4 => Action::TcpOnly,
            5 => {
                let mut records = Vec::new();
                for _ in 0..self.number()? {
                    let rtype = self.take().map(u16::from_le_bytes)?;
                    let ttl = self.number()?;
                    records.push(LocalRecord { rtype, ttl, rdata: self.run()?.into() });
                }
                Action::LocalData(records.into())
            }
            6 => Action::Cname(self.run()?.into()),
            7 => Action::CnameBelow(self.run()?.into()),
            _ => return None,
        })
    }
}

fn write_run(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn write_legal(l: &Legal, out: &mut Vec<u8>) {
    let texts =
        [&l.authority, &l.order_number, &l.reason, &l.content_class, &l.approver, &l.evidence];
    texts.iter().for_each(|t| write_run(t.as_bytes(), out));
    write_run(l.tier.map_or("", Tier::name).as_bytes(), out);
    for time in [l.issued_at, l.effective_from, l.expires_at, l.due_at] {
        out.extend_from_slice(&time.0.to_le_bytes());
    }
}

fn write_action(action: &Action, out: &mut Vec<u8>) {
    match action {
        Action::Nxdomain => out.push(0),
        Action::Nodata => out.push(1),
        Action::Passthru => out.push(2),
        Action::Drop => out.push(3),
        Action::TcpOnly => out.push(4),
        Action::LocalData(records) => {
            out.push(5);
            out.extend_from_slice(&(records.len() as u32).to_le_bytes());
            for r in records.iter() {
                out.extend_from_slice(&r.rtype.to_le_bytes());
                out.extend_from_slice(&r.ttl.to_le_bytes());
                write_run(&r.rdata, out);
            }
        }
        Action::Cname(name) => {
            out.push(6);
            write_run(name, out);
        }
        Action::CnameBelow(name) => {
            out.push(7);
            write_run(name, out);
        }
    }
}
