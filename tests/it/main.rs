//! The one integration test binary: what users see, through sockets, files and the command line.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod acme;
mod api;
mod api_edits;
mod browser;
mod config;
mod deploy;
mod described;
mod dns;
mod dns_client;
mod dns_corpus;
mod dns_front;
mod dns_tcp;
mod engine;
mod engine_http;
mod engine_readers;
mod fair_use;
mod faults;
mod feeds_api;
mod feeds_cli;
mod feeds_conformance;
mod feeds_crash;
mod feeds_failure;
mod feeds_formats;
mod feeds_given;
mod feeds_lab;
mod feeds_life;
mod feeds_limits;
mod feeds_looks;
mod feeds_reach;
mod feeds_source;
mod forward;
mod forwards;
mod forwards_cli;
mod forwards_policy;
mod forwards_reach;
mod forwards_ways;
mod gateway;
mod gateway_continue;
mod gateway_gone;
mod gateway_hostile;
mod gateway_jumps;
mod gateway_outbound;
mod gateway_terms;
mod gateway_tls;
mod gateways;
mod harness;
mod layering;
mod links_api;
mod links_cli;
mod links_conformance;
mod links_crash;
mod links_target;
mod notices;
mod notices_browser;
mod policy_bogus;
mod policy_dns;
mod policy_front;
mod policy_gateway;
mod policy_lab;
mod policy_peers;
mod policy_ways;
mod postgres;
mod postgres_lab;
mod reports;
mod reports_backup;
mod reports_browser;
mod reports_conformance;
mod reports_desk;
mod server;
mod site;
mod spool;
mod store;
mod store_lab;
mod store_retention;
mod store_ship;
mod trace;
mod trace_api;
mod trace_feeds;
mod trace_forwards;
mod trace_notices;
mod trace_reports;
mod transfer;
mod urls;
mod walks;
mod webhook_lab;
mod webhooks;
mod webhooks_conformance;
mod zones;
