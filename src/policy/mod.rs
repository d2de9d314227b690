//! Policy: what to do with a question, an answer or a jump, as a value.
//!
//! Deciding does no I/O and reads no clock. An [`Index`] holds the rules of one version of a feed;
//! a [`FeedInForce`] is such a version with what its owner said about the feed; a [`PolicySet`] is
//! all of them in their order. Each is immutable: a change makes a new set, and whoever decides
//! holds one set from a question's beginning to its end, so that no answer comes from two.
//!
//! # Stages
//!
//! Rules about answers need the answer, therefore deciding has stages:
//!
//! 1. [`PolicySet::client`]: what applies to who asks.
//! 2. [`PolicySet::question`]: the name asked, with the client's matches. Either something acts
//!    whatever the answer is (nothing is asked upstream then), or the answer must be known.
//! 3. [`PolicySet::answer`]: every name of the chain, its addresses, its servers. The result does
//!    not depend on the client: it can be kept beside the answer until the set's id changes or the
//!    time reaches [`PolicySet::next_boundary`], and is joined with the client's matches
//!    ([`Matches::and`]) at each query. It covers stage 2, so that a cached answer needs only it.
//!
//! [`Matches::outcome`] then names the one rule that acts, and the one that would have acted were
//! its feed not set to observe. [`PolicySet::jump`] does all of that for a jump.
//!
//! # Precedence
//!
//! As in the RPZ specification: the position in the chain of aliases (clients count with the name
//! asked, addresses with the last name), the order of feeds, in a feed the kind of trigger
//! ([`Kind`]), then the closest name or the longest prefix (IPv4 as mapped into IPv6), then the
//! smallest name or address. One rule acts, PASSTHRU included. Rules outside their time and rules
//! that an appeal suspends are as if they were not there: the next closest counts.
//!
//! A feed with `qname_wait_recurse = false` decides by the question alone even where an earlier
//! feed could still win by the answer. So that the outcome is the same whether the answer was
//! known already or not, its rules for clients and for the name asked come before everything that
//! would have to wait.
//!
//! Instant blocks are a feed before all others. Allow rules come next; they win over what comes
//! after them in feeds that let them (`allow_may_win`); other feeds still act.
//!
//! # Names
//!
//! A rule for `x` is about `x` alone; one for `*.x` about every name below `x`, at any depth, and
//! not about `x`. Nothing hides a wildcard: neither other rules further down nor empty
//! non-terminals (unlike RFC 4592; with `*.x` and `a.b.x` listed, `c.b.x` meets `*.x`). With the
//! feed's `subtree`, a rule for `x` is also about everything below `x`, and one for `*.x` also
//! about `x`. What a rule says comes before what `subtree` makes of it: at `x` the rule for `x`,
//! below it that for `*.x`.

mod content;
mod decide;
mod explain;
mod hit;
mod in_force;
mod index;
mod jump;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
mod rule;
mod set;
mod settings;
mod trigger;
mod url;

pub use content::{CONTENT_CLASSES, ContentClass};
pub use decide::{AnswerFacts, Cut, Decision};
pub use explain::{Effect, Explained, Listing, Thing};
pub use hit::{Hit, Kind, Matches, Outcome};
pub use in_force::InForce;
pub use index::{Added, BadIndex, Index, IndexBuilder};
pub use jump::JumpFacts;
pub use rule::{Action, Legal, LocalRecord, NamePattern, Rule, Tier, Trigger, UrlKind};
pub use set::{Extras, PolicySet, Suspended};
pub use settings::{EdeNote, FeedInForce, FeedSettings, Override};
pub use trigger::{BadTrigger, canonical_prefix};
pub use url::Canonical;

#[cfg(test)]
mod tests;
