//! What a check found, and why it found nothing.
//!
//! The types hold the rule that no fault of a source ever becomes `"false"`: a [`Fault`] turns
//! into an [`Outcome`] by [`Fault::outcome`] alone, and that never says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What a check found. Strings, never booleans: three of the five are neither.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "outcome", content = "cause", rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be.
    True,
    /// It is not.
    False,
    /// It was asked, and what came back does not tell.
    Unknown(Unclear),
    /// It was not asked.
    NotEvaluated(Unasked),
    /// There is nothing to ask about.
    NotApplicable,
}

impl Outcome {
    /// The word, without its cause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown(_) => "unknown",
            Self::NotEvaluated(_) => "not_evaluated",
            Self::NotApplicable => "not_applicable",
        }
    }

    /// Why nothing was found; empty where something was.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Unknown(cause) => cause.name(),
            Self::NotEvaluated(cause) => cause.name(),
            _ => "",
        }
    }

    /// `True` or `False`.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    /// Whether something was found.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::True | Self::False)
    }
}

/// Enums whose words in JSON are those in text, too.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize,
            ::serde::Deserialize, ::schemars::JsonSchema,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why an answer does not tell.
    Unclear {
        /// Nobody answered: no route, no handshake, no answer in time.
        Transport = "transport",
        /// The source asks to be asked later.
        RateLimited = "rate_limited",
        /// The source said that it failed.
        SourceError = "source_error",
        /// Whoever answered is not the one who knows.
        NonAuthoritative = "non_authoritative",
        /// The answer cannot be understood, or is about something else.
        Malformed = "malformed",
        /// The answer says that it is not whole.
        Partial = "partial",
        /// The answer is older than may be believed.
        Stale = "stale",
        /// Those who were asked do not agree, and no rule says whom to believe.
        Disputed = "disputed",
        /// Too few were asked for an adverse verdict.
        Uncorroborated = "uncorroborated",
        /// The answer uses what is not understood here: an algorithm, a version.
        Unsupported = "unsupported",
    }
}

words! {
    /// Why nobody was asked.
    Unasked {
        /// There is nobody to ask: no server is known, no file was loaded.
        NoSource = "no_source",
        /// Networks are not used here.
        Offline = "offline",
        /// The time was over.
        Deadline = "deadline",
        /// What had to be known before is not known.
        Prerequisite = "prerequisite",
        /// The source was asked too often, or failed too often, to be asked now.
        Spared = "spared",
        /// An address that is not asked: not public, or the configuration forbids it.
        Refused = "refused",
    }
}

/// What went wrong on the way to a source and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The source's own name could not be resolved.
    Unresolved,
    /// No connection.
    Unreachable,
    /// No connection that can be trusted.
    Untrusted,
    /// No answer in time.
    Silent,
    /// HTTP 429, or what a WHOIS server says of it.
    RateLimited {
        /// When it may be asked again, where it says so.
        retry_at: Option<Timestamp>,
    },
    /// HTTP 5xx, SERVFAIL.
    Failed {
        /// The status or the RCODE.
        status: u16,
    },
    /// Somebody answered who does not know: a 404 without an RDAP error, a redirector's.
    NotAuthoritative,
    /// What came back is not what the protocol says, or is about something else.
    Malformed {
        /// What is wrong, in a few words.
        why: String,
    },
    /// What came back is too large, too deep, or ended early.
    Cut {
        /// At how many bytes.
        at: u64,
    },
    /// Redirected too often, or to where nobody may be sent.
    Misled,
    /// Where it would have to be asked is not public.
    Refused,
    /// It asked for pause, or failed again and again.
    Spared,
    /// The time for everything together was over.
    Deadline,
    /// Networks are not used.
    Offline,
    /// Nobody is known who could be asked.
    NoSource,
}

impl Fault {
    /// What a check says that needed the answer. Never `"false"`.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unresolved | Self::Unreachable | Self::Untrusted | Self::Silent => {
                Outcome::Unknown(Unclear::Transport)
            }
            Self::RateLimited { .. } => Outcome::Unknown(Unclear::RateLimited),
            Self::Failed { .. } => Outcome::Unknown(Unclear::SourceError),
            Self::NotAuthoritative => Outcome::Unknown(Unclear::NonAuthoritative),
            Self::Malformed { .. } | Self::Misled => Outcome::Unknown(Unclear::Malformed),
            Self::Cut { .. } => Outcome::Unknown(Unclear::Partial),
            Self::Refused => Outcome::NotEvaluated(Unasked::Refused),
            Self::Spared => Outcome::NotEvaluated(Unasked::Spared),
            Self::Deadline => Outcome::NotEvaluated(Unasked::Deadline),
            Self::Offline => Outcome::NotEvaluated(Unasked::Offline),
            Self::NoSource => Outcome::NotEvaluated(Unasked::NoSource),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outcomes_are_strings_with_their_cause_beside_them() {
        for (outcome, expected) in [
            (Outcome::True, json!({ "outcome": "true" })),
            (Outcome::NotApplicable, json!({ "outcome": "not_applicable" })),
            (
                Outcome::Unknown(Unclear::RateLimited),
                json!({ "outcome": "unknown", "cause": "rate_limited" }),
            ),
            (
                Outcome::NotEvaluated(Unasked::Offline),
                json!({ "outcome": "not_evaluated", "cause": "offline" }),
            ),
        ] {
            let written = serde_json::to_value(outcome).unwrap();
            assert_eq!(written, expected);
            assert_eq!(written["outcome"], outcome.name());
            assert_eq!(serde_json::from_value::<Outcome>(written).unwrap(), outcome);
        }
    }
}
