//! The words for what can be told.

use crate::{feeds::EventKind, links::Operation};

macro_rules! kinds {
    ($($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// What has happened. The words never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$of])* $variant),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

kinds! {
    /// A link was made.
    LinkCreated = "link.created",
    /// Something else of it than its state was changed.
    LinkEdited = "link.edited",
    /// It was stopped.
    LinkDisabled = "link.disabled",
    /// It goes on.
    LinkRestored = "link.restored",
    /// Its end has come.
    LinkExpired = "link.expired",
    /// A forward was made.
    ForwardCreated = "forward.created",
    /// Something else of it than its state was changed.
    ForwardEdited = "forward.edited",
    /// It was stopped.
    ForwardDisabled = "forward.disabled",
    /// It goes on.
    ForwardRestored = "forward.restored",
    /// Its end has come.
    ForwardExpired = "forward.expired",
    /// A link's target leads elsewhere than it did.
    DestinationChanged = "destination.changed",
    /// The public reported something.
    ReportReceived = "report.received",
    /// A report was decided.
    ReportDecided = "report.decided",
    /// Somebody appealed against a rule.
    AppealReceived = "appeal.received",
    /// An appeal was decided.
    AppealDecided = "appeal.decided",
    /// A node has a version of a feed in force.
    FeedInForce = "feed.in_force",
    /// A version of a feed waits for a person.
    FeedHeld = "feed.held",
    /// An operator tries an endpoint; sent whatever kinds it wants.
    Test = "webhook.test",
}

impl Kind {
    /// Feeds' events that are told.
    pub(super) const OF_FEEDS: [EventKind; 4] =
        [EventKind::InForce, EventKind::Held, EventKind::AppealOpened, EventKind::AppealDecided];

    /// The kind of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name() == name)
    }

    /// What a conversion is told as.
    pub(super) const fn of_conversion(operation: Operation, forward: bool) -> Self {
        match (operation, forward) {
            (Operation::Create, false) => Self::LinkCreated,
            (Operation::Edit, false) => Self::LinkEdited,
            (Operation::Disable, false) => Self::LinkDisabled,
            (Operation::Enable, false) => Self::LinkRestored,
            (Operation::Expire, false) => Self::LinkExpired,
            (Operation::Create, true) => Self::ForwardCreated,
            (Operation::Edit, true) => Self::ForwardEdited,
            (Operation::Disable, true) => Self::ForwardDisabled,
            (Operation::Enable, true) => Self::ForwardRestored,
            (Operation::Expire, true) => Self::ForwardExpired,
        }
    }

    /// What a feed's event is told as; none for one that is not.
    pub(super) const fn of_feed(event: EventKind) -> Option<Self> {
        match event {
            EventKind::InForce => Some(Self::FeedInForce),
            EventKind::Held => Some(Self::FeedHeld),
            EventKind::AppealOpened => Some(Self::AppealReceived),
            EventKind::AppealDecided => Some(Self::AppealDecided),
            _ => None,
        }
    }
}
