//! tracegate resolves names, converts links and carries visitors across them, and can prove
//! afterwards what it did.
//!
//! # The way of the data
//!
//! ```text
//!  listener ──► policy ──► resolver or gateway ──► record ──► spool ──► store ──► trace
//!  (dns, http)             (links)                                   (ClickHouse) api and cli on top
//! ```
//!
//! A query or a request comes in at a `listener`. `policy` says what is to be done
//! with it, `resolver` finds the answer or `gateway` the target. The row that says so is encoded
//! as ClickHouse will store it (`record`) and written to the local spool; only then does the
//! response leave. From the spool rows go to ClickHouse (`store`) in their own time, each exactly
//! once: the database may be down, slow or restarted without anybody who asks us noticing. `trace`
//! reads them back into one chain, for `api` and `cli`.
//!
//! # Invariants
//!
//! 1. **Record, then respond.** No response leaves before its record is in the spool, or, where
//!    the stream may shed, counted in a gap row.
//! 2. **Kept once.** A record is in ClickHouse exactly once, whatever died in between.
//! 3. **Nothing is dropped in silence.** What could not be kept is a row of `gaps`; every trace
//!    says through which time it is complete.
//! 4. **Encoded once.** The bytes served are the bytes shipped and the bytes ClickHouse gives back.
//! 5. **Policy is a value.** Deciding does no I/O and reads no clock.
//! 6. **A bad rule never disables a good one**, nor a bad zone the others.
//! 7. **Every look at the records is itself a record**, written before the page is sent.
//! 8. **A limit on everything**, named in [`config`], with a default and a test.
//!
//! # Words
//!
//! The law's words (反电信网络诈骗法, article 24) and ours, mapped here and nowhere else:
//!
//! | law | here | what it is |
//! |---|---|---|
//! | 解析 | `Resolution` | one DNS question that we answered or dropped by policy |
//! | 跳转 | `Jump` | one HTTP request that left us towards a target, or was stopped on the way |
//! | 网址链接转换 | `Conversion` | one creation or change of a link |
//! | 转换记录 | conversions and jumps | what a demand for conversion records gets |
//! | 域名跳转 | forward | a declared rule of domain forwarding |
//! | 核验 | `Verification` | one dated verdict |
//! | 提示 | `Notice` | one event of one warning |
//! | 弱提示, 强提示, 强制阻断 | `hint`, `interstitial`, `block` | the tiers of being listed |
//! | 溯源 | trace | the ordered chain of records that answer one question |
//! | 调阅 | `Access` | one look at the records by a person |
//! | 调证 | evidence request | an authority's demand |
//!
//! # Modules
//!
//! Folder = stage, in the order of the data. Every stage may import [`record`], [`config`],
//! [`clock`] and [`metrics`]; the table says what else. `tests/it/layering.rs` holds every
//! `crate::` path under `src` to it.
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | `record` | rows, ids, schemas; RowBinary | `config`, `clock` |
//! | `config` | the file, its limits, what is wrong with it | `record`, `sql` |
//! | `clock` | the only reader of time | |
//! | `name` | domain names in wire form | |
//! | `escape` | what strangers wrote, made safe to look at | |
//! | `metrics` | counters, handed on | |
//! | `log` | lines on standard error | `config` |
//! | `notify` | the service manager | |
//! | `fetch` | going out to strangers' web servers | `clock`, `special` |
//! | `special` | names and addresses with a special purpose | |
//! | `rate` | token buckets by key | `clock` |
//! | `sql` | databases of control state | `clock` |
//! | `listener` | sockets: UDP front, streams, HTTP | `record`, `config`, `clock`, `metrics`, `name`, `rate`, `policy`, `resolver`, `gateway`, `spool` |
//! | `policy` | what is to be done with a question | `record`, `config`, `clock`, `metrics`, `name` |
//! | `feeds` | lists of rules, from their source until they are in force | `record`, `config`, `clock`, `metrics`, `name`, `escape`, `policy`, `links`, `fetch`, `spool`, `sql` |
//! | `resolver` | zones, cache, upstreams | `record`, `config`, `clock`, `metrics`, `name`, `policy`, `spool` |
//! | `gateway` | jumps | `record`, `config`, `clock`, `metrics`, `name`, `escape`, `rate`, `policy`, `links`, `fetch`, `reports`, `resolver`, `special`, `spool`, `verify` |
//! | `links` | links, revisions, tokens | `record`, `config`, `clock`, `metrics`, `special`, `spool`, `sql` |
//! | `reports` | reports and appeals by the public | `record`, `config`, `clock`, `metrics`, `links`, `spool`, `sql` |
//! | `verify` | whether registration, resolution and addresses are true and agree | `record`, `config`, `clock`, `metrics`, `fetch`, `special`, `spool`, `sql` |
//! | `spool` | the local log every row goes through | `record`, `config`, `clock`, `metrics` |
//! | `store` | ClickHouse: migrations, shipping, retention, the engine | `record`, `config`, `clock`, `metrics`, `spool` |
//! | `trace` | questions and chains | `record`, `config`, `clock`, `metrics`, `store`, `links`, `spool` |
//! | `webhooks` | changes told to those who asked for them | `record`, `config`, `clock`, `metrics`, `feeds`, `fetch`, `links`, `reports`, `sql` |
//! | `api` | the HTTP API | `record`, `config`, `clock`, `metrics`, `name`, `escape`, `rate`, `feeds`, `listener`, `policy`, `resolver`, `gateway`, `links`, `reports`, `spool`, `store`, `trace`, `verify`, `webhooks` |
//! | `cli` | the commands | everything |
//! | `server` | builds the stages, owns their tasks, drains them | everything |
//!
//! # Absences
//!
//! `policy` does no I/O. `spool` does not know ClickHouse. `listener` knows neither `store` nor
//! `trace`. Nothing but `cli` imports `server`. No task is detached: each belongs to a set that
//! `server` drains. Only `clock` reads the time. No state is global but the two that libraries
//! ask for: the subscriber of `tracing` and the recorder of `metrics`.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod escape;
pub mod feeds;
pub mod fetch;
pub mod gateway;
pub mod links;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod name;
pub mod notify;
pub mod policy;
mod rate;
pub mod record;
pub mod reports;
pub mod resolver;
pub mod server;
pub mod special;
pub mod spool;
pub mod sql;
pub mod store;
pub mod trace;
pub mod verify;
pub mod webhooks;
