//! The tables and their numbers.

use std::fmt;

/// A table of the store. Its number is part of every lane id and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One DNS question that we answered or dropped by policy (解析).
    Resolutions = 1,
    /// One HTTP request that left us towards a target, or was stopped on the way (跳转).
    Jumps = 2,
    /// One creation or change of a link (网址链接转换).
    Conversions = 3,
    /// One event of one warning (提示).
    Notices = 4,
    /// One dated verdict (核验).
    Verifications = 5,
    /// Versions of feeds.
    FeedEvents = 6,
    /// Every rule's text per feed version.
    Rules = 7,
    /// One look at the records by a person (调阅).
    Access = 8,
    /// What could not be kept, and why.
    Gaps = 9,
    /// Every frame's counts and bounds.
    Frames = 10,
    /// Completeness per node.
    Nodes = 11,
    /// Where a link's target leads: one answer on the way.
    Hops = 12,
    /// One event of a report or an appeal by the public (举报, 申诉).
    Reports = 13,
    /// What a source said, byte for byte (证据).
    Evidence = 14,
}

impl Table {
    /// Every table, by number.
    pub const ALL: [Self; 14] = [
        Self::Resolutions,
        Self::Jumps,
        Self::Conversions,
        Self::Notices,
        Self::Verifications,
        Self::FeedEvents,
        Self::Rules,
        Self::Access,
        Self::Gaps,
        Self::Frames,
        Self::Nodes,
        Self::Hops,
        Self::Reports,
        Self::Evidence,
    ];

    /// The table with this number.
    pub const fn from_number(n: u8) -> Option<Self> {
        if n == 0 || n as usize > Self::ALL.len() { None } else { Some(Self::ALL[n as usize - 1]) }
    }

    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolutions => "resolutions",
            Self::Jumps => "jumps",
            Self::Conversions => "conversions",
            Self::Notices => "notices",
            Self::Verifications => "verifications",
            Self::FeedEvents => "feed_events",
            Self::Rules => "rules",
            Self::Access => "access",
            Self::Gaps => "gaps",
            Self::Frames => "frames",
            Self::Nodes => "nodes",
            Self::Hops => "hops",
            Self::Reports => "reports",
            Self::Evidence => "evidence",
        }
    }

    /// The table of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
