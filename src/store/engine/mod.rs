//! The embedded engine: ClickHouse as a shared library, in a process of its own.
//!
//! `tracegate engine` loads libchdb and serves the part of ClickHouse's HTTP interface that the
//! `clickhouse` crate, curl and the usual clients use, on loopback. It is as strong as a shell, so
//! it is fenced: two secrets ([`Secrets`]), one statement of a listed kind at a time and no
//! function that reaches outside (`guard`), limits on memory, caches, threads and time
//! (`database`), no files but its own and no new sockets (`sandbox`).
//!
//! Each statement has a connection of its own, so no setting, database or temporary table of one
//! reaches another. Bodies stream both ways through short channels (`front`, `statement`); a
//! client that goes away, or neither sends nor reads for a while, ends its statement; a request
//! body that breaks off commits nothing. Readers have turns of their own (`turns`): they may hold
//! all of those, and shipping and tracing go on.
//!
//! Failure: the process may die at any time without harm to ours. [`Supervisor`] starts it again
//! under the same address; what was in flight is in doubt, and whoever sent it must find out.
//! [`Endpoint::run`] tells two runs apart. When our process dies, however, its stdin closes and it
//! ends; the next one waits for the directory's lock.

mod binding;
mod body;
mod child;
mod compress;
mod database;
mod exception;
mod formats;
mod front;
mod guard;
mod lexer;
pub mod library;
mod looks;
mod protocol;
mod reply;
mod request;
mod sandbox;
mod stall;
mod statement;
mod supervisor;
mod turns;

pub use child::{ChildError, Master, run};
pub use protocol::{Enforced, Look, Sandbox, Secret, Secrets, Start};
pub use supervisor::{Endpoint, LookHandler, NotReady, Options, State, Supervisor};
