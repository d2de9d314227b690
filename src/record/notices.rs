//! `notices`, `hops` and `reports`: what visitors were told, where targets lead, what the public says.

use std::net::{IpAddr, SocketAddr};

use super::{Flow, Row, Table, rowbinary::Writer};
use crate::clock::Timestamp;

/// One event of one warning.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// Who was warned.
    pub client: SocketAddr,
    /// The epoch of the key that encrypted `client`; empty for plain.
    pub client_key: &'a str,
    /// The link's code; empty where no link was involved.
    pub code: &'a str,
    /// The tier of the warning.
    pub tier: &'static str,
    /// The version of the wording.
    pub text_version: &'a str,
    /// The language shown.
    pub language: &'static str,
    /// `issued`, `rendered`, `continued`, `returned` or `reported`.
    pub event: &'static str,
    /// From rendering to this event, in milliseconds.
    pub dwell_ms: u32,
    /// The rule behind the warning.
    pub rule: &'a str,
    /// Its feed.
    pub feed: &'a str,
    /// That feed's version.
    pub feed_version: &'a str,
    /// The exchange.
    pub flow: Flow,
    /// What was asked: `link`, `forward`, `outbound`, or `name` for a host that policy led to us.
    pub service: &'static str,
    /// The `Host` asked.
    pub host: &'a str,
    /// Where the visitor would go.
    pub target: &'a str,
    /// Its registrable domain.
    pub target_registrable_domain: &'a str,
    /// The form of a block: `stop` or `step_up`; empty for other tiers.
    pub form: &'static str,
    /// The version of the rules that made the tier.
    pub tier_version: &'a str,
    /// Who ordered it.
    pub authority: &'a str,
    /// The order's number.
    pub order_number: &'a str,
    /// The reason shown.
    pub reason: &'a str,
    /// What the client seems to be: `person`, `bot`, `preview` or `tool`.
    pub client_class: &'static str,
    /// The public suffix list in use.
    pub psl_version: &'a str,
    /// Who went on: the `visitor` by hand, the `page` by itself, or somebody `identified`; empty for
    /// other events than `continued`.
    pub continued_by: &'static str,
}

impl Row for Notice<'_> {
    const TABLE: Table = Table::Notices;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.ip(self.client.ip()).u16(self.client.port()).str(self.client_key).str(self.code);
        w.str(self.tier).str(self.text_version).str(self.language).str(self.event);
        w.u32(self.dwell_ms).str(self.rule).str(self.feed).str(self.feed_version);
        w.u128(self.flow.0).str(self.service).str(self.host).str(self.target);
        w.str(self.target_registrable_domain).str(self.form).str(self.tier_version);
        w.str(self.authority).str(self.order_number).str(self.reason).str(self.client_class);
        w.str(self.psl_version).str(self.continued_by);
    }
}

/// One answer on the way from a link's target to where it leads.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// The link's code; empty where no link was involved.
    pub code: &'a str,
    /// The link's revision.
    pub revision: u32,
    /// Its place on the way, from 0 for the target itself.
    pub hop: u8,
    /// What was asked.
    pub url: &'a str,
    /// Its host.
    pub host: &'a str,
    /// The host's registrable domain.
    pub registrable_domain: &'a str,
    /// The host's addresses as resolved then.
    pub addresses: &'a [IpAddr],
    /// `HEAD` or `GET`.
    pub method: &'static str,
    /// The status answered; 0 for no answer.
    pub status: u16,
    /// Where it sent on to; empty for nowhere.
    pub location: &'a str,
    /// `answered`, or why there was no answer.
    pub outcome: &'static str,
    /// What is to be said of it, such as `destination_changed`; empty for nothing.
    pub finding: &'static str,
    /// More about the finding.
    pub detail: &'a str,
    /// From asking to the answer, in microseconds.
    pub latency_us: u32,
    /// The public suffix list in use.
    pub psl_version: &'a str,
    /// The exchange: all hops of one walk have one.
    pub flow: Flow,
}

impl Row for Hop<'_> {
    const TABLE: Table = Table::Hops;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.code).u32(self.revision).u8(self.hop).str(self.url).str(self.host);
        w.str(self.registrable_domain).len(self.addresses.len());
        for a in self.addresses {
            w.ip(*a);
        }
        w.str(self.method).u16(self.status).str(self.location).str(self.outcome);
        w.str(self.finding).str(self.detail).u32(self.latency_us).str(self.psl_version);
        w.u128(self.flow.0);
    }
}

/// One event of a report or an appeal by the public.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Its number, as the reporter was given it.
    pub report: &'a str,
    /// `received`, `decided` or `acted`.
    pub event: &'static str,
    /// What is said: `phishing`, `malware`, `fraud`, `illegal`, `other`, or `appeal`.
    pub category: &'static str,
    /// The URL or host it is about.
    pub subject: &'a str,
    /// The link it is about; empty for none.
    pub code: &'a str,
    /// The registrable domain of the subject.
    pub registrable_domain: &'a str,
    /// What the reporter wrote.
    pub text: &'a str,
    /// How the reporter can be reached; empty for not at all.
    pub contact: &'a str,
    /// `accepted` or `rejected`; empty before the decision.
    pub decision: &'static str,
    /// Why it was decided so, or what was done, in words.
    pub reason: &'a str,
    /// Who decided or acted; empty for the public.
    pub actor: &'a str,
    /// When it is to be decided at the latest.
    pub due: Timestamp,
    /// Who reported.
    pub client: SocketAddr,
    /// The epoch of the key that encrypted `client`; empty for plain.
    pub client_key: &'a str,
    /// The public suffix list in use.
    pub psl_version: &'a str,
    /// The exchange.
    pub flow: Flow,
    /// What the subject is: `link`, `url`, `host` or `notice`.
    pub subject_kind: &'static str,
    /// The host of the subject.
    pub host: &'a str,
    /// What is to be done, or was: `none`, `disable_link`, `enable_link`, `block`, `forward` or
    /// `lift`; empty before the decision.
    pub act: &'static str,
    /// What the claimant was told besides the decision.
    pub answer: &'a str,
    /// The feed whose rule stood against the subject; empty for none.
    pub feed: &'a str,
    /// The appeal of policy it opened, as `node-number`; empty for none.
    pub appeal: &'a str,
}

impl Row for Report<'_> {
    const TABLE: Table = Table::Reports;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.report).str(self.event).str(self.category).str(self.subject).str(self.code);
        w.str(self.registrable_domain).str(self.text).str(self.contact).str(self.decision);
        w.str(self.reason).str(self.actor).ts(self.due);
        w.ip(self.client.ip()).u16(self.client.port()).str(self.client_key);
        w.str(self.psl_version).u128(self.flow.0);
        w.str(self.subject_kind).str(self.host).str(self.act).str(self.answer);
        w.str(self.feed).str(self.appeal);
    }
}
