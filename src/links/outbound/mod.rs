//! Signed targets of outbound pages: `/go?url=…&sig=…`.
//!
//! Whoever embeds foreign addresses in a site sends the visitors who leave it through us, and signs
//! where they go. Nobody else can make us lead anywhere: without a signature under one of our keys a
//! visitor is refused, or warned where the configuration says so.
//!
//! **What is signed** is the text of five lines, joined by line feeds, none at the end:
//!
//! ```text
//! outbound target 1
//! <key id>
//! <the value of domain; empty without one>
//! <the value of exp; empty without one>
//! <the value of url, as it stands in the query>
//! ```
//!
//! `sig` is `<key id>.<tag>`, where the tag is the HMAC-SHA-256 (RFC 2104) of that text under the
//! key's 32 bytes, in 64 lower-case hexadecimal digits. Values are signed as they stand in the query
//! and before anything is decoded, so that there is nothing about a URL on which two readers could
//! differ.
//!
//! | parameter | value |
//! |---|---|
//! | `url` | the target, percent-encoded; needed, once |
//! | `sig` | the signature |
//! | `exp` | the second since 1970 from which on the signature is void; absent for never |
//! | `domain` | the one host of ours at which it counts, in lower case; absent for all of them |
//!
//! Others are ignored: sites that share links append their own. Keys: [`OutboundKeys`]; the grammar:
//! [`GoQuery`].

mod keys;
mod query;
mod sign;

pub use keys::{Doubt, OutboundKeys, Seal};
pub use query::{GoQuery, Misfit};
pub use sign::{SignRequest, Signed};
