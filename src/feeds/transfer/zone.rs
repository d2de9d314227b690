//! A zone as sorted lines of text, and the changes that make the next one of it.
//!
//! The text is what a feed's version keeps and what the parser of zone text reads:
//!
//! ```text
//! $ORIGIN rpz.example.
//! @ 300 IN SOA ns.example. admin.example. 7 3600 600 86400 60
//! *.bad.example 300 IN CNAME .
//! bad.example 300 IN CNAME .
//! ```
//!
//! The lines behind the SOA record are sorted by their bytes and none stands twice, so that equal
//! zones have equal texts and equal digests, however they came.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    serial::Serial,
    text::{parse, read_line, split, write_data, write_line, write_owner},
    wire::rtype,
};
use crate::name::{Malformed, Name};

/// A start of authority (RFC 1035 §3.3.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The record's time to live, in seconds.
    pub ttl: u32,
    /// The zone's version.
    pub serial: Serial,
    /// When to ask the primary again, in seconds.
    pub refresh: u32,
    /// When to ask again after it did not answer, in seconds.
    pub retry: u32,
    /// When the zone counts no longer if it never answers, in seconds.
    pub expire: u32,
    /// The whole data in wire form.
    pub rdata: Vec<u8>,
}

impl Soa {
    /// Reads uncompressed data.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn from_rdata(ttl: u32, rdata: &[u8]) -> Result<Self, Malformed> {
        let names = Name::from_wire(rdata)?.wire().len();
        let names = names + Name::from_wire(&rdata[names..])?.wire().len();
        let numbers: [u8; 20] = rdata[names..].try_into().map_err(|_| Malformed)?;
        let number = |i: usize| {
            numbers.as_chunks::<4>().0.get(i).map_or(0, |four| u32::from_be_bytes(*four))
        };
        let serial = Serial(number(0));
        let (refresh, retry, expire) = (number(1), number(2), number(3));
        Ok(Self { ttl, serial, refresh, retry, expire, rdata: rdata.to_vec() })
    }
}

/// A zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    apex: Box<Name>,
    soa: Soa,
    /// The sorted lines.
    body: Vec<u8>,
    /// Where each line begins in `body`.
    starts: Vec<usize>,
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({} at {}, {} records)", self.apex, self.soa.serial, self.starts.len())
    }
}

impl Zone {
    /// The zone's name, in lower case.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Its start of authority.
    pub const fn soa(&self) -> &Soa {
        &self.soa
    }

    /// How many records it has besides that.
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Its lines, sorted, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.starts.len()).map(|i| self.line(i))
    }

    fn line(&self, i: usize) -> &[u8] {
        let end = self.starts.get(i + 1).copied().unwrap_or(self.body.len());
        &self.body[self.starts[i]..end - 1]
    }

    /// The zone's text.
    pub fn into_text(mut self) -> Vec<u8> {
        let head = head(&self.apex, &self.soa);
        self.body.splice(..0, head);
        self.body
    }

    /// Reads a text that [`Zone::into_text`] made of the zone `apex`.
    ///
    /// # Errors
    /// When it is another text.
    pub fn from_text(mut text: Vec<u8>, apex: &Name) -> Result<Self, Malformed> {
        let apex = apex.lower();
        let mut ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
        let (first, second) = (ends.next().ok_or(Malformed)?, ends.next().ok_or(Malformed)?);
        let soa = read_line(&text[first..second], &apex)?;
        if soa.rtype != rtype::SOA {
            return Err(Malformed);
        }
        let soa = Soa::from_rdata(soa.ttl, &soa.rdata)?;
        if head(&apex, &soa) != text[..second] {
            return Err(Malformed);
        }
        let body = text.split_off(second);
        if body.last().is_some_and(|b| *b != b'\n') {
            return Err(Malformed);
        }
        let mut starts = Vec::new();
        let (mut at, mut last): (usize, &[u8]) = (0, &[]);
        for line in body.split_inclusive(|b| *b == b'\n') {
            if line <= last {
                return Err(Malformed);
            }
            starts.push(at);
            (at, last) = (at + line.len(), line);
        }
        Ok(Self { apex: Box::new(apex), soa, body, starts })
    }

    /// Where the line of this owner and data is, whatever its TTL.
    fn position(&self, owner: &[u8], rest: &[u8]) -> Option<usize> {
        // A space comes before everything that an owner can hold.
        let first = self.starts.partition_point(|start| {
            let line = &self.body[*start..];
            let line = &line[..line.len().min(owner.len() + 1)];
            line < owner
        });
        (first..self.starts.len())
            .map_while(|i| split(self.line(i)).filter(|(o, ..)| *o == owner).map(|s| (i, s.2)))
            .find(|(_, r)| *r == rest)
            .map(|(i, _)| i)
    }
}

/// Origin and SOA record.
fn head(apex: &Name, soa: &Soa) -> Vec<u8> {
    let mut head = b"$ORIGIN ".to_vec();
    write_owner(&mut head, &Name::ROOT, apex);
    if head.ends_with(b"@") {
        head.pop();
    }
    head.extend_from_slice(b".\n");
    write_line(&mut head, apex, apex, soa.ttl, rtype::SOA, &soa.rdata);
    head
}

/// A zone that grows record by record, in any order.
#[derive(Debug)]
pub struct Growing {
    apex: Box<Name>,
    body: Vec<u8>,
    starts: Vec<usize>,
}

impl Growing {
    /// An empty one.
    pub fn new(apex: &Name) -> Self {
        Self { apex: Box::new(apex.lower()), body: Vec::new(), starts: Vec::new() }
    }

    /// Adds a record.
    pub fn add(&mut self, owner: &Name, ttl: u32, rtype: u16, rdata: &[u8]) {
        self.starts.push(self.body.len());
        write_line(&mut self.body, &self.apex, owner, ttl, rtype, rdata);
    }

    /// The bytes it takes.
    pub const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The zone, its lines sorted.
    pub fn finish(mut self, soa: Soa) -> Zone {
        let line = |start: usize| {
            let rest = &self.body[start..];
            rest.iter().position(|b| *b == b'\n').map_or(rest, |end| &rest[..=end])
        };
        self.starts.sort_unstable_by(|a, b| line(*a).cmp(line(*b)));
        self.starts.dedup_by(|a, b| line(*a) == line(*b));
        let mut body = Vec::with_capacity(self.body.len());
        for start in &mut self.starts {
            let at = body.len();
            body.extend_from_slice(line(*start));
            *start = at;
        }
        Zone { apex: self.apex, soa, body, starts: self.starts }
    }
}

/// A change of a record that the zone does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotThere;

/// Owner and rest of a line.
type Key = (Box<[u8]>, Box<[u8]>);

/// Changes to a zone, taken together.
#[derive(Debug, Default)]
pub struct Changes {
    /// Lines of the zone that go.
    removed: BTreeSet<usize>,
    /// Lines that come, and their TTLs.
    added: BTreeMap<Key, u32>,
    /// The text of all that ever came.
    bytes: usize,
}

impl Changes {
    /// Takes a record away; its TTL does not matter (RFC 1995 §4).
    ///
    /// # Errors
    /// When the zone as changed so far does not hold it.
    pub fn remove(
        &mut self,
        zone: &Zone,
        owner: &Name,
        rtype: u16,
        rdata: &[u8],
    ) -> Result<(), NotThere> {
        let key = key(&zone.apex, owner, rtype, rdata);
        if self.added.remove(&key).is_some() {
            return Ok(());
        }
        let at = zone.position(&key.0, &key.1).ok_or(NotThere)?;
        if self.removed.insert(at) { Ok(()) } else { Err(NotThere) }
    }

    /// Adds a record. One that is already there gets this TTL.
    pub fn add(&mut self, zone: &Zone, owner: &Name, ttl: u32, rtype: u16, rdata: &[u8]) {
        let key = key(&zone.apex, owner, rtype, rdata);
        if let Some(at) = zone.position(&key.0, &key.1) {
            self.removed.insert(at);
        }
        self.bytes += key.0.len() + key.1.len();
        self.added.insert(key, ttl);
    }

    /// The bytes of text of all records added so far.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The zone with these changes.
    pub fn apply(self, zone: &Zone, soa: Soa) -> Zone {
        let mut new = Vec::new();
        let mut added: Vec<(usize, usize)> = Vec::with_capacity(self.added.len());
        for ((owner, rest), ttl) in &self.added {
            let start = new.len();
            new.extend_from_slice(owner);
            new.extend_from_slice(format!(" {ttl} ").as_bytes());
            new.extend_from_slice(rest);
            added.push((start, new.len()));
        }
        let text = |span: &(usize, usize)| &new[span.0..span.1];
        // A TTL stands before the data, so that the order of keys is not that of lines.
        added.sort_unstable_by(|a, b| text(a).cmp(text(b)));
        let mut body = Vec::with_capacity(zone.body.len() + new.len());
        let mut starts = Vec::with_capacity(zone.len() + added.len());
        let mut push = |line: &[u8]| {
            starts.push(body.len());
            body.extend_from_slice(line);
            body.push(b'\n');
        };
        let mut added = added.iter().map(text).peekable();
        for i in (0..zone.len()).filter(|i| !self.removed.contains(i)) {
            let line = zone.line(i);
            while let Some(new) = added.next_if(|new| *new < line) {
                push(new);
            }
            push(line);
        }
        added.for_each(push);
        Zone { apex: zone.apex.clone(), soa, body, starts }
    }
}

fn key(apex: &Name, owner: &Name, rtype: u16, rdata: &[u8]) -> Key {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    write_owner(&mut left, apex, owner);
    write_data(&mut right, rtype, rdata);
    (left.into(), right.into())
}

/// The serial of a zone's text, read from its first two lines; none when it is no such text.
pub fn serial_of(text: &[u8]) -> Option<Serial> {
    let line = text.split(|b| *b == b'\n').nth(1)?;
    let (owner, _, rest) = split(line)?;
    let numbers = rest.strip_prefix(b"IN SOA ").filter(|_| owner == b"@")?;
    parse(numbers.split(|b| *b == b' ').nth(2)?).ok().map(Serial)
}
