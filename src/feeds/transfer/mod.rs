//! Zone transfers in: a feed that a primary server publishes as a zone (AXFR, RFC 5936; IXFR,
//! RFC 1995; signed by TSIG, RFC 8945; over TLS, RFC 9103).
//!
//! A transfer is taken whole or not at all. What is taken becomes the zone's text in one fixed form
//! ([`Zone`]) and goes the way of every other feed from there: digest, version, parser, judgement.
//! A transfer that is refused ([`Refusal`]) changes nothing: the last good version stays.

mod apply;
mod client;
mod key;
mod query;
mod serial;
mod source;
pub mod text;
mod tls;
pub mod wire;
mod zone;

#[cfg(test)]
mod tests;

pub use apply::{Applier, Asked, Caps, Outcome, Progress, Refusal};
pub use client::{Bounds, Client, Error, Primary};
pub use key::{KeyError, Keys, key_name, signature_time, verify_request, wire_name};
pub use query::{OPCODE_NOTIFY, QueryError, Sent, soa_of};
pub use serial::Serial;
pub use source::Zones;
pub use tls::Tls;
pub use zone::{Changes, Growing, NotThere, Soa, Zone, serial_of};
