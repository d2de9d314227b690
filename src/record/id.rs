//! A record's identity: `(node, lane, seq)`, printed `node-lane-seq`.

use std::{fmt, str::FromStr};

use super::Table;

/// One writer's stream of one table: start second ‖ worker ‖ table, in 40, 16 and 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

impl LaneId {
    /// A lane that starts in second `start` (seconds since the epoch, below 2^40).
    pub const fn new(start: u64, worker: u16, table: Table) -> Self {
        Self(((start & ((1 << 40) - 1)) << 24) | ((worker as u64) << 8) | table as u64)
    }

    /// The second in which the lane was opened, since the epoch.
    pub const fn start(self) -> u64 {
        self.0 >> 24
    }

    /// The worker that writes it.
    pub const fn worker(self) -> u16 {
        (self.0 >> 8) as u16
    }

    /// The table its rows belong to; none for a number that no build of ours wrote.
    pub const fn table(self) -> Option<Table> {
        Table::from_number(self.0 as u8)
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What belongs to one HTTP exchange: lane ‖ counter of its first record; zero for plain queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(pub u128);

impl Flow {
    /// No flow.
    pub const NONE: Self = Self(0);

    /// The flow whose first record has this place.
    pub const fn new(lane: LaneId, counter: u64) -> Self {
        Self(((lane.0 as u128) << 64) | counter as u128)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The node that wrote it.
    pub node: NodeName,
    /// The lane it lies in.
    pub lane: LaneId,
    /// Its number there, from 0.
    pub seq: u64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.node, self.lane, self.seq)
    }
}

/// The text is not a record id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record id: expected node-lane-seq")]
pub struct BadRecordId;

impl FromStr for RecordId {
    type Err = BadRecordId;

    fn from_str(s: &str) -> Result<Self, BadRecordId> {
        let mut parts = s.rsplitn(3, '-');
        let seq = decimal(parts.next())?;
        let lane = LaneId(decimal(parts.next())?);
        lane.table().ok_or(BadRecordId)?;
        let node = parts.next().ok_or(BadRecordId)?.parse().map_err(|_| BadRecordId)?;
        Ok(Self { node, lane, seq })
    }
}

fn decimal(s: Option<&str>) -> Result<u64, BadRecordId> {
    let s = s.ok_or(BadRecordId)?;
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) || (s.len() > 1 && s.starts_with('0'))
    {
        return Err(BadRecordId);
    }
    s.parse().map_err(|_| BadRecordId)
}

/// A node's name: 1 to 63 of `a-z 0-9 . _ -`, beginning and ending with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot name a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node name is 1 to 63 of a-z 0-9 . _ -, beginning and ending with a letter or a digit")]
pub struct BadNodeName;

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(s: &str) -> Result<Self, BadNodeName> {
        let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let b = s.as_bytes();
        let good =
            b.len() <= 63 && b.iter().all(|b| inner(*b)) && outer(b.first()) && outer(b.last());
        if good { Ok(Self(s.to_owned())) } else { Err(BadNodeName) }
    }
}

impl<'de> serde::Deserialize<'de> for NodeName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = String::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse_back() {
        let lane = LaneId::new(1_795_000_000, 513, Table::Jumps);
        assert_eq!((lane.start(), lane.worker()), (1_795_000_000, 513));
        assert_eq!(lane.table(), Some(Table::Jumps));
        let id = RecordId { node: "edge-1.example".parse().unwrap(), lane, seq: 42 };
        assert_eq!(id.to_string().parse::<RecordId>().unwrap(), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "a", "a-1", "a-15-2", "a-513-", "-513-1", "a-513-01", "a-513-+1", "A-513-1"]
        {
            assert!(bad.parse::<RecordId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn node_names_have_rules() {
        for good in ["n", "edge-1", "a.b_c"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
