//! The description of the API (OpenAPI 3.1), made from the code once, at the start.
//!
//! Every row of [`ROUTES`] names a function of a file here that returns its [`Operation`]: a route
//! without one does not compile. What an operation takes and gives are the types that its handler
//! reads and writes, whose schemas `schemars` derives (JSON Schema 2020-12, which OpenAPI 3.1 has as
//! its own); its parameters are the members of the type that its query string is read into; its
//! roles, and the problems that the guard answers with, follow from what the row needs. Records come
//! from the lists of their columns.
//!
//! Tests hold every answer of the API that they see to this description.

mod checks;
mod document;
mod feeds;
mod links;
mod looks;
mod operation;
mod policy;
mod problems;
mod public;
mod system;
mod tidy;
mod webhooks;

pub use document::document;
pub use operation::{Code, Operation};
pub use public::{PUBLIC_ROUTES, PublicRoute};

pub(super) use self::{
    checks::{check, coverage, declare, list_declarations, perspective, replay, withdraw},
    feeds::{
        add_feed, apply_feed, approve_feed, change_feed, diff_feed, export_feed,
        list_feed_versions, list_feeds, read_feed, read_feed_version, refresh_feed, refuse_feed,
        remove_feed, report_feed, rollback_feed, send_feed,
    },
    links::{
        change_forward, change_link, create_forward, create_forwards, create_link, create_links,
        export_links, link_qr, list_forwards, list_links, read_forward, read_link, sign_outbound,
    },
    looks::{
        notices_summary, read_forward_stats, read_link_hops, read_link_stats, read_record, rules,
        trace,
    },
    policy::{
        allow, appeal, block_now, confirm_block, decide_appeal, decide_report, disallow,
        lift_block, list_allow, list_appeals, list_blocks, list_reports, read_appeal,
        read_appeal_person, read_report, read_report_person, read_reports_status,
    },
    system::{
        create_token, healthz, list_certificates, list_tokens, metrics, openapi, readyz,
        reload_zones, revoke_token,
    },
    webhooks::{
        add_webhook, change_webhook, disable_webhook, list_deliveries, list_webhooks, read_webhook,
        resend_deliveries, test_webhook,
    },
};

#[cfg(doc)]
use super::ROUTES;
