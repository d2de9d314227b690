//! JSON lines: an object a line, with every field that a rule can have. The schema is in
//! `deploy/feeds.md`.

use std::{borrow::Cow, io::BufRead, sync::Arc};

use serde::Deserialize;

use super::{
    Error, LegalField, Place, Reason,
    action::action,
    lines,
    out::Out,
    rpz,
    table::{SubjectKind, triggers},
};
use crate::policy::{Action, LocalRecord};

/// One line. What is absent or null is not said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    trigger: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nsdname: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nsip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    records: Option<Vec<RecordEntry<'a>>>,
    #[serde(borrow)]
    authority: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content_class: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tier: Option<Cow<'a, str>>,
    #[serde(borrow)]
    issued_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    effective_from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expires_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    due_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    approver: Option<Cow<'a, str>>,
    #[serde(borrow)]
    evidence: Option<Cow<'a, str>>,
}

/// A record of a rule's local data, in presentation form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordEntry<'a> {
    #[serde(borrow, rename = "type")]
    rtype: Cow<'a, str>,
    ttl: Option<u32>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    lines::each(input, out, entry)
}

fn entry(at: Place<'_>, out: &mut Out<'_>) -> Result<(), Reason> {
    if at.text.trim_ascii().is_empty() {
        return Ok(());
    }
    let text = out.options.encoding.decode(at.text)?;
    let entry: Entry<'_> = serde_json::from_str(&text).map_err(|e| {
        let why = e.to_string();
        // The line that it names is always the first.
        Reason::syntax(why.replace(" at line 1 column", ", column"))
    })?;
    let subjects = [
        (SubjectKind::Trigger, &entry.trigger),
        (SubjectKind::Name, &entry.name),
        (SubjectKind::Address, &entry.address),
        (SubjectKind::Client, &entry.client),
        (SubjectKind::Nsdname, &entry.nsdname),
        (SubjectKind::Nsip, &entry.nsip),
        (SubjectKind::Url, &entry.url),
        (SubjectKind::Code, &entry.code),
    ];
    let mut named = subjects.into_iter().filter_map(|(kind, text)| Some((kind, text.as_ref()?)));
    let (Some((kind, subject)), None) = (named.next(), named.next()) else {
        let why = "exactly one of trigger, name, address, client, nsdname, nsip, url, code says what the rule is about";
        return Err(Reason::syntax(why));
    };
    let action = the_action(&entry, out)?;
    let all = triggers(kind, subject)?;
    for trigger in all {
        out.rule_with(at, trigger, action.clone(), entry.legal())?;
    }
    Ok(())
}

fn the_action(entry: &Entry<'_>, out: &Out<'_>) -> Result<Action, Reason> {
    let word = entry.action.as_deref().unwrap_or("");
    let Some(records) = &entry.records else {
        if word == "local-data" {
            return Err(Reason::syntax("local-data without records"));
        }
        return action(word, out.options);
    };
    if !matches!(word, "" | "local-data") {
        return Err(Reason::syntax("records belong to the action local-data"));
    }
    if records.is_empty() {
        return Err(Reason::syntax("records is empty"));
    }
    let records: Result<Vec<_>, _> = records.iter().map(|r| record(r, out)).collect();
    Ok(Action::LocalData(Arc::from(records?)))
}

fn record(r: &RecordEntry<'_>, out: &Out<'_>) -> Result<LocalRecord, Reason> {
    let rtype =
        rpz::type_number(r.rtype.as_bytes()).filter(|t| rpz::may_be_local_data(*t)).ok_or_else(
            || Reason::new("bad-type", format!("{:?} is no type of local data", r.rtype)),
        )?;
    let data = r.data.as_bytes();
    if data.contains(&b'\n') {
        return Err(Reason::new("bad-data", "a line end in the data"));
    }
    let mut words = rpz::Words::default();
    words.split(data)?;
    let each = (0..words.len()).filter_map(|i| words.get(data, i));
    let rdata = rpz::rdata(rtype, r.rtype.as_bytes(), each, None)?;
    let ttl = r.ttl.unwrap_or(out.options.ttl_s).min(out.options.ttl_max_s);
    Ok(LocalRecord { rtype, ttl, rdata })
}

impl Entry<'_> {
    fn legal(&self) -> impl Iterator<Item = (LegalField, &str)> {
        [
            (LegalField::Authority, &self.authority),
            (LegalField::OrderNumber, &self.order_number),
            (LegalField::Reason, &self.reason),
            (LegalField::ContentClass, &self.content_class),
            (LegalField::Tier, &self.tier),
            (LegalField::IssuedAt, &self.issued_at),
            (LegalField::EffectiveFrom, &self.effective_from),
            (LegalField::ExpiresAt, &self.expires_at),
            (LegalField::DueAt, &self.due_at),
            (LegalField::Approver, &self.approver),
            (LegalField::Evidence, &self.evidence),
        ]
        .into_iter()
        .filter_map(|(field, text)| Some((field, text.as_deref()?)))
    }
}
