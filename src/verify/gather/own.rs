//! What this node itself says of a name: its zone, where it serves it; what clients are told; what
//! passive DNS has seen.

use std::time::Duration;

use domain::base::Rtype;

use super::Settings;
use crate::{
    clock::{Clock, Timestamp},
    verify::{
        Fault,
        dns::{
            plan::Plan,
            reply::{Reply, targets},
        },
        evidence::{Authority, Bundle, Got, Kind, Observation, Question, Source, Transport},
        here::Here,
    },
};

/// The most aliases that are followed.
const ALIASES_MAX: usize = 8;

/// How far back passive DNS is asked.
const BACK: Duration = Duration::from_secs(3 * 86_400);

/// How far back walks are asked about redirects.
const REDIRECTS_BACK: Duration = Duration::from_secs(7 * 86_400);

/// Notes what this node says.
pub(in crate::verify) struct Own<'a> {
    pub settings: &'a Settings,
    pub clock: &'a Clock,
    pub here: &'a Here,
}

impl Own<'_> {
    /// The plan of a name in a zone of ours, and what the zone says of it.
    pub(in crate::verify) fn zone(&self, host: &str, zone: &str, probe: &str) -> (Plan, Bundle) {
        let probe = format!("{probe}.{zone}");
        let plan = Plan {
            host: host.to_owned(),
            zone: zone.to_owned(),
            probe: probe.clone(),
            ..Plan::default()
        };
        let mut bundle = Bundle::default();
        let asks = [
            (zone, Rtype::SOA),
            (zone, Rtype::NS),
            (zone, Rtype::MX),
            (host, Rtype::A),
            (host, Rtype::AAAA),
            (&probe, Rtype::A),
        ];
        for (name, rtype) in asks {
            self.ask(&mut bundle, zone, name, rtype);
        }
        self.follow(&mut bundle, host);
        (plan, bundle)
    }

    /// What our zones say of the names behind the aliases of `host`, as far as they are ours.
    fn follow(&self, bundle: &mut Bundle, host: &str) {
        let mut name = host.to_owned();
        for _ in 0..ALIASES_MAX {
            let reply = (self.here.held)(&name, Rtype::A.to_int());
            let Some(Ok(reply)) = reply.map(|wire| Reply::read(&wire)) else { return };
            let Ok(owner) = name.parse() else { return };
            let aliases = targets(reply.answers(&owner, Rtype::CNAME));
            let Some(alias) = aliases.first().map(ToString::to_string) else { return };
            let Some(zone) = (self.here.zone_of)(&alias) else { return };
            for rtype in [Rtype::A, Rtype::AAAA] {
                self.ask(bundle, &zone, &alias, rtype);
            }
            name = alias;
        }
    }

    fn ask(&self, bundle: &mut Bundle, zone: &str, name: &str, rtype: Rtype) {
        let qtype = rtype.to_int();
        let question = Question::Dns { zone: zone.to_owned(), qname: name.to_owned(), qtype };
        let came = (self.here.held)(name, qtype).map(|body| (Kind::DnsWire, body));
        self.note(bundle, question, "zone", zone, came.ok_or(Fault::NoSource));
    }

    /// What clients are told of the name.
    pub(in crate::verify) async fn served(&self, host: &str, bundle: &mut Bundle) {
        if !self.here.resolves && (self.here.zone_of)(host).is_none() {
            return;
        }
        for rtype in [Rtype::A, Rtype::AAAA] {
            let qtype = rtype.to_int();
            let told = (self.here.served)(host.to_owned(), qtype);
            let told = tokio::time::timeout(self.settings.deadline, told).await;
            let came = match told {
                // Evidence has no id.
                Ok(Some(mut body)) if body.len() >= 2 => {
                    body[..2].fill(0);
                    Ok((Kind::DnsWire, body))
                }
                Ok(_) => Err(Fault::Silent),
                Err(_) => Err(Fault::Deadline),
            };
            let question = Question::Served { name: host.to_owned(), qtype };
            self.note(bundle, question, "resolver", "clients", came);
        }
    }

    /// What passive DNS has seen of the name of late.
    pub(in crate::verify) async fn history(&self, host: &str, bundle: &mut Bundle) {
        let since = self.clock.now().saturating_sub(BACK);
        let came = match self.here.records.get() {
            None => Err(Fault::NoSource),
            Some(records) => {
                let asked = (records.history)(host.to_owned(), since);
                match tokio::time::timeout(self.settings.deadline, asked).await {
                    // There are no floats and no maps in it.
                    Ok(Ok(rows)) => {
                        Ok((Kind::DatasetRow, serde_json::to_vec(&rows).unwrap_or_default()))
                    }
                    // Records that cannot be asked are no source, and no fault of the name's.
                    Ok(Err(())) => Err(Fault::NoSource),
                    Err(_) => Err(Fault::Deadline),
                }
            }
        };
        let question = Question::History { name: host.to_owned() };
        self.note(bundle, question, "passive_dns", &since.to_string(), came);
    }

    /// Where names of the domain were seen to redirect of late.
    pub(in crate::verify) async fn redirects(&self, domain: &str, bundle: &mut Bundle) {
        let since = self.clock.now().saturating_sub(REDIRECTS_BACK);
        let came = match self.here.records.get() {
            None => Err(Fault::NoSource),
            Some(records) => {
                let asked = (records.redirects)(domain.to_owned(), since);
                match tokio::time::timeout(self.settings.deadline, asked).await {
                    Ok(Ok(urls)) => {
                        Ok((Kind::DatasetRow, serde_json::to_vec(&urls).unwrap_or_default()))
                    }
                    // Records that cannot be asked are no source, and no fault of the name's.
                    Ok(Err(())) => Err(Fault::NoSource),
                    Err(_) => Err(Fault::Deadline),
                }
            }
        };
        let question = Question::Redirects { domain: domain.to_owned() };
        self.note(bundle, question, "hops", &since.to_string(), came);
    }

    fn note(
        &self,
        bundle: &mut Bundle,
        question: Question,
        name: &str,
        endpoint: &str,
        came: Result<(Kind, Vec<u8>), Fault>,
    ) {
        let at: Timestamp = self.clock.now();
        let got = match came {
            Ok((kind, body)) => bundle.keep(kind, body),
            Err(fault) => Got::Fault(fault),
        };
        bundle.observations.push(Observation {
            question,
            source: Source {
                authority: Authority::Operator,
                name: name.to_owned(),
                endpoint: endpoint.to_owned(),
                transport: Transport::File,
            },
            vantage: self.settings.vantage.clone(),
            at,
            expires: at.saturating_add(self.settings.keep),
            took_us: 0,
            got,
        });
    }
}
