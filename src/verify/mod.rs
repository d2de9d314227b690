//! Verification (核验): is what the registry, the DNS and the address registries say about a name
//! true, and do they agree?
//!
//! # Facts apart from judgement
//!
//! Gathering asks sources and keeps what they said as [`evidence`], byte for byte. Checks are pure
//! functions over evidence and a time: the same evidence gives the same [`Finding`]s for ever, and
//! a replay shows it. Findings make a [`Grid`] (registration, resolution, address; authentic,
//! accurate), and the grid one word ([`Overall`]).
//!
//! # What is not known
//!
//! Every [`Outcome`] but `"true"` and `"false"` says why there is none. No fault of a source ever
//! becomes `"false"`: [`Fault::outcome`] is the only way from one to the other. An adverse word
//! about signatures needs two validators, one about answers that differ a quorum.
//!
//! What is not verified is never stopped for that.

mod address;
mod book;
mod catalogue;
pub mod data;
mod declaration;
pub mod dns;
mod dossier;
pub mod evidence;
mod filed;
mod finding;
pub mod gather;
mod grid;
pub mod here;
pub mod idn;
mod keeper;
mod outcome;
mod own;
mod quorum;
pub mod registration;
mod roots;
mod schedule;
mod subject;
mod verdict;
mod verdicts;
mod verifier;

pub use address::{address, data as address_data};
pub use book::{Book, BookError, Coverage, Declared, Last};
pub use catalogue::{Area, Aspect, Check, Entry, Scheme, Standard};
pub use declaration::{BadDeclaration, Declaration};
pub use dossier::{Dossier, RULES_VERSION, Unjudged};
pub use finding::{Finding, Grade, Severity};
pub use grid::{Cell, Grid, Overall, Pair};
pub use outcome::{Fault, Outcome, Unasked, Unclear};
pub use quorum::{Perspective, Sees};
pub use roots::{Error, protected, registries};
pub use subject::{BadSubject, SUBJECT_BYTES_MAX, Subject};
pub use verdict::Verdict;
pub use verdicts::Verdicts;
pub use verifier::{NotVerified, Occasion, Told, Verifier, VerifierOptions};
