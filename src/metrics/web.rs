//! What the gateway and the API count.

use metrics::{Counter, Gauge, Histogram};

use super::make::Make;

/// Jumps.
pub struct GatewayMetrics {
    /// Visitors sent on.
    pub jumps: Counter,
    /// Unknown codes.
    pub unknown: Counter,
    /// Disabled or expired links.
    pub gone: Counter,
    /// Jumps stopped, by policy or for want of room to record them.
    pub stopped: Counter,
    /// Visitors shown a warning that can be dismissed.
    pub warned: Counter,
    /// Requests that are no jump.
    pub malformed: Counter,
    /// Requests over a limit.
    pub limited: Counter,
    /// Walks along the redirects of targets.
    pub walks: Counter,
    /// Walks that found what is to be said of a link.
    pub walk_findings: Counter,
    /// Certificates that were obtained and are good.
    pub certificates_obtained: Gauge,
    /// Hosts that are to have one and have none.
    pub certificates_missing: Gauge,
    /// Until the first of them ends.
    pub certificate_left_seconds: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Connections closed because their clients have as many as they may.
    pub connections_refused: Counter,
    /// From a request to its response.
    pub jump_seconds: Histogram,
    /// Links created or changed.
    pub conversions: Counter,
    /// Reports that came when as many were open as may be.
    pub reports_refused: Counter,
    /// Reports and appeals taken.
    pub reports: Counter,
    /// Of them, decided.
    pub reports_decided: Counter,
    /// Those that nobody has decided.
    pub reports_open: Gauge,
    /// Of them, those whose time is over.
    pub reports_overdue: Gauge,
}

/// The API and looks at the records.
pub struct ApiMetrics {
    /// Requests answered with success.
    pub ok: Counter,
    /// Requests refused for what they ask.
    pub refused: Counter,
    /// Requests without a valid token or right.
    pub unauthorized: Counter,
    /// Requests that failed on our side.
    pub failed: Counter,
    /// 1 while links and tokens cannot be changed, until a restart.
    pub control_failed: Gauge,
    /// For how long changes made on other nodes are not heard; 0 while they are.
    pub control_silent: Gauge,
    /// Looks at the records.
    pub accesses: Counter,
    /// From a question to its page.
    pub trace_seconds: Histogram,
}

/// Changes told to those who asked for them.
pub struct WebhookMetrics {
    /// Deliveries that wait.
    pub waiting: Gauge,
    /// How long the oldest of them has waited.
    pub oldest_seconds: Gauge,
    /// Deliveries that were given up and are still kept.
    pub dead: Gauge,
    /// Deliveries made.
    pub delivered: Counter,
    /// Attempts that failed.
    pub failed: Counter,
    /// Deliveries given up.
    pub given_up: Counter,
}

impl WebhookMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
        Self {
            waiting: m.gauge("tracegate_webhook_waiting", "Deliveries that wait"),
            oldest_seconds: m.gauge(
                "tracegate_webhook_oldest_seconds",
                "How long the oldest delivery that waits has waited",
            ),
            dead: m.gauge("tracegate_webhook_dead", "Deliveries given up that are still kept"),
            delivered: m.counter("tracegate_webhook_delivered_total", "Deliveries made"),
            failed: m.counter("tracegate_webhook_failed_total", "Attempts that failed"),
            given_up: m.counter("tracegate_webhook_given_up_total", "Deliveries given up"),
        }
    }
}

impl GatewayMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
        Self {
            jumps: m.counter("tracegate_gateway_jumps_total", "Visitors sent on"),
            unknown: m.counter("tracegate_gateway_unknown_total", "Unknown codes"),
            gone: m.counter("tracegate_gateway_gone_total", "Disabled or expired links"),
            stopped: m.counter(
                "tracegate_gateway_stopped_total",
                "Jumps stopped, by policy or for want of room to record them",
            ),
            warned: m.counter(
                "tracegate_gateway_warned_total",
                "Visitors shown a warning that can be dismissed",
            ),
            malformed: m.counter("tracegate_gateway_malformed_total", "Requests that are no jump"),
            limited: m.counter(
                "tracegate_gateway_limited_total",
                "Requests over a limit, answered with 429 and not recorded",
            ),
            walks: m
                .counter("tracegate_gateway_walks_total", "Walks along the redirects of targets"),
            walk_findings: m.counter(
                "tracegate_gateway_walk_findings_total",
                "Walks that found something to be said of a link",
            ),
            certificates_obtained: m.gauge(
                "tracegate_gateway_certificates_obtained",
                "Certificates that were obtained by ACME",
            ),
            certificates_missing: m.gauge(
                "tracegate_gateway_certificates_missing",
                "Hosts that are to have such a certificate and have none",
            ),
            certificate_left_seconds: m.gauge(
                "tracegate_gateway_certificate_left_seconds",
                "Until the first of them ends",
            ),
            connections: m.gauge("tracegate_gateway_connections", "Open connections"),
            connections_refused: m.counter(
                "tracegate_gateway_connections_refused_total",
                "Connections beyond gateway.limits.client_connections_max",
            ),
            jump_seconds: m
                .histogram("tracegate_gateway_jump_seconds", "From a request to its response"),
            conversions: m
                .counter("tracegate_gateway_conversions_total", "Links created or changed"),
            reports: m
                .counter("tracegate_reports_received_total", "Reports and appeals by the public"),
            reports_refused: m.counter(
                "tracegate_reports_refused_total",
                "Reports beyond gateway.reports.open_max",
            ),
            reports_decided: m.counter("tracegate_reports_decided_total", "Reports decided"),
            reports_open: m.gauge("tracegate_reports_open", "Reports that nobody has decided"),
            reports_overdue: m.gauge(
                "tracegate_reports_overdue",
                "Of them, those later than gateway.reports.decide_within_s",
            ),
        }
    }
}

impl ApiMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
        Self {
            ok: m.counter("tracegate_api_ok_total", "Requests answered with success"),
            refused: m.counter("tracegate_api_refused_total", "Requests refused for what they ask"),
            unauthorized: m.counter(
                "tracegate_api_unauthorized_total",
                "Requests without a valid token or right",
            ),
            failed: m.counter("tracegate_api_failed_total", "Requests that failed on our side"),
            control_failed: m.gauge(
                "tracegate_control_failed",
                "1 while links and tokens cannot be changed, until a restart",
            ),
            control_silent: m.gauge(
                "tracegate_control_silent_seconds",
                "For how long changes made on other nodes are not heard, 0 while they are",
            ),
            accesses: m.counter("tracegate_api_accesses_total", "Looks at the records"),
            trace_seconds: m
                .histogram("tracegate_api_trace_seconds", "From a question to its page"),
        }
    }
}
