//! Sharing: feeds that we took, and all of them merged, served as response policy zones to the
//! resolvers beside us (AXFR, IXFR, NOTIFY, TSIG).

mod pack;

pub use pack::{Head, Packing, TooLarge, bare};
