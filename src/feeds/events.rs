//! What can befall a feed.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// What happened: the value of the column `event` in `feed_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A feed was added.
    FeedAdded,
    /// Its settings were changed.
    FeedChanged,
    /// It was removed: none of its rules is in force any more.
    FeedRemoved,
    /// A version arrived.
    Received,
    /// A version waits for a person.
    Held,
    /// A version was judged and is to be in force.
    Activated,
    /// A person let a version that was held take force.
    Approved,
    /// A person refused a version that was held.
    Refused,
    /// A person put an earlier version back.
    RolledBack,
    /// A source gave nothing usable, or a version cannot be read.
    Failed,
    /// A node has a version in force.
    InForce,
    /// On a node, nobody has confirmed a feed's version for too long: what the feed declares is in
    /// force.
    Expired,
    /// It was confirmed again.
    Renewed,
    /// A name was blocked at once, by one person.
    Blocked,
    /// A second person confirmed it.
    Confirmed,
    /// A block was lifted before its time.
    Lifted,
    /// A name was allowed.
    Allowed,
    /// An allow rule was taken back before its time.
    Disallowed,
    /// Somebody appealed against a rule.
    AppealOpened,
    /// An appeal was decided.
    AppealDecided,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::FeedAdded,
        Self::FeedChanged,
        Self::FeedRemoved,
        Self::Received,
        Self::Held,
        Self::Activated,
        Self::Approved,
        Self::Refused,
        Self::RolledBack,
        Self::Failed,
        Self::InForce,
        Self::Expired,
        Self::Renewed,
        Self::Blocked,
        Self::Confirmed,
        Self::Lifted,
        Self::Allowed,
        Self::Disallowed,
        Self::AppealOpened,
        Self::AppealDecided,
    ];

    /// Those that say which version is to be in force.
    pub const DECIDING: [Self; 3] = [Self::Activated, Self::Approved, Self::RolledBack];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeedAdded => "feed-added",
            Self::FeedChanged => "feed-changed",
            Self::FeedRemoved => "feed-removed",
            Self::Received => "received",
            Self::Held => "held",
            Self::Activated => "activated",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::InForce => "in-force",
            Self::Expired => "expired",
            Self::Renewed => "renewed",
            Self::Blocked => "blocked",
            Self::Confirmed => "confirmed",
            Self::Lifted => "lifted",
            Self::Allowed => "allowed",
            Self::Disallowed => "disallowed",
            Self::AppealOpened => "appeal-opened",
            Self::AppealDecided => "appeal-decided",
        }
    }

    /// The kind of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

impl JsonSchema for EventKind {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EventKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::ALL.map(Self::name) })
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_name("nothing"), None);
    }
}
