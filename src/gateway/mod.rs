//! Jumps: `GET /{code}` leads to the link's target, and says so in a record first.
//!
//! | request | answer | recorded as |
//! |---|---|---|
//! | a link in force | 302 to the target | `jumped`, or `unresolved` when its host had no address in time |
//! | the same, `on_unresolved = "stop"` | 503 | `unresolved` |
//! | an unknown code | 404 | `unknown`; may be shed when the spool is full |
//! | a disabled or expired link | 410 | `disabled`, `expired` |
//! | a link or target that a rule blocks | 451 | `stopped` |
//! | one that gets a warning | 200, a page | `warned` |
//! | going on from that page | 303 to the target | as the first two |
//! | a host or path of one that is forwarded | as a link | as a link, service `forward` |
//! | a host that is not ours and that a rule lists | 451 or 403, a page | `stopped`, `warned` |
//! | a target that a rule of targets stops now | 403 | `stopped`, with a reason |
//! | a way that comes back to us | 508 | `stopped`, with a reason |
//! | too many requests of one client | 429 | not at all: counted |
//! | [`/report`](report) and below | a form, a page, a JSON object | in `reports` |
//! | `/robots.txt`, `/.well-known/security.txt`, a challenge ([`acme`]) | 200 | not at all |
//! | a link that is not open yet | 404 | `not_yet` |
//! | a link that was followed as often as it may be | 410 | `used_up` |
//! | a link with a password, without it | 403, a form | `password` |
//! | `/go` with a target and its signature | as a link to it | as one, `service = "outbound"` |
//! | `/go` without one that counts | 400, 403, 410 or a warning | `stopped`, `warned`, with a reason |
//! | a path that is no code | 404 | not at all: no link was asked for |
//! | another method | 405 | not at all |
//! | no host, or two, or what is none | 400 | not at all |
//! | no room for the record, or no database | 503, to come back later | not at all: nothing was done |
//!
//! Pages that say what is wrong are problem documents (RFC 9457) where `Accept` prefers those; 410 says
//! why and since when.
//!
//! Every answer about a link is `no-store`: whatever can be revoked must be asked for again. `HEAD` is answered
//! and recorded as `GET`. The target's host is resolved at the jump, so that the record says where
//! the name led *then*; the questions this takes are recorded under the same flow.
//!
//! A [`Worker`] belongs to one thread with its own lanes. Requests that become ready in one turn of
//! its loop are written with one append per lane, and answered after it.

pub mod acme;
mod ahead;
mod class;
mod fate;
mod files;
mod forward;
#[cfg(test)]
mod fuzz;
mod keep;
mod known;
mod language;
mod limit;
pub mod notice;
mod outbound;
mod page;
mod peer;
mod record;
mod report;
mod request;
mod respond;
mod rules;
mod terms;
mod told;
mod walk;
mod worker;

pub use known::Secure;
pub use language::Language;
pub use peer::Peer;
pub use record::Lanes;
pub use report::{ReportGiven, ReportStanding, ReportTaken, body_bytes_max};
pub use rules::is_listed;
use terms::FORM_BYTES_MAX;
pub use walk::{WalkError, WalkParts, Walker};
pub use worker::{Gateway, GatewayParts, Worker};
