//! Companion metadata: what the law wants known of rules, beside a list that cannot say it.
//!
//! A manifest is a JSON object: `legal` for the whole list, `rules` for single ones by their
//! trigger's text (`bad.example`, `*.bad.example`, `24.0.2.0.192.rpz-ip`, `url:bad.example/a`). In a
//! policy zone the same can be said by TXT records at `_tracegate.` and the rule's owner, each
//! string `field=value`. What a rule's own entry says comes before its TXT, that before the
//! manifest, that before the feed's settings.

use std::{collections::HashMap, io::BufRead, sync::Arc};

use serde_json::{Map, Value};

use super::{Error, LegalField, Options, Place, Reason, Sink, out::Out, rpz};
use crate::policy::{Legal, Rule, Trigger};

/// Companion metadata of one list.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// For the whole list: the feed's own with what the manifest adds.
    list: Option<Arc<Legal>>,
    /// For single rules, by the trigger's text.
    rules: HashMap<String, Arc<Legal>>,
    /// What could not be taken.
    problems: Vec<(u64, String, Reason)>,
}

impl Manifest {
    /// Reads a manifest in JSON; `options` has what the feed says.
    ///
    /// # Errors
    /// When it is not JSON of this form. Single entries that cannot be taken are rejected as
    /// entries of the list that it is used with.
    pub fn parse(json: &[u8], options: &Options) -> Result<Self, Error> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let form = |why: &str| Error::Form(format!("the manifest: {why}"));
        let value: Value = serde_json::from_slice(json).map_err(|e| form(&e.to_string()))?;
        let Value::Object(mut parts) = value else { return Err(form("not an object")) };
        let mut manifest = Self::default();
        let mut list = (*options.legal).clone();
        if let Some(whole) = parts.remove("legal") {
            let Value::Object(fields) = whole else { return Err(form("legal is not an object")) };
            manifest.fields(&mut list, "legal", 0, &fields, options);
        }
        if let Some(rules) = parts.remove("rules") {
            let Value::Object(rules) = rules else { return Err(form("rules is not an object")) };
            for ((key, fields), at) in rules.into_iter().zip(1..) {
                manifest.rule(&list, &key, at, &fields, options);
            }
        }
        if let Some(key) = parts.keys().next() {
            return Err(form(&format!("{key:?} is neither legal nor rules")));
        }
        manifest.list = Some(Arc::new(list));
        Ok(manifest)
    }

    fn rule(&mut self, list: &Legal, key: &str, at: u64, fields: &Value, options: &Options) {
        let problem = |why: &str| Reason::new("manifest", format!("the manifest: {key:?}: {why}"));
        let Ok(trigger) = key.parse::<Trigger>() else {
            return self.problems.push((at, key.to_owned(), problem("no trigger of a rule")));
        };
        let Value::Object(fields) = fields else {
            return self.problems.push((at, key.to_owned(), problem("not an object")));
        };
        let mut legal = list.clone();
        self.fields(&mut legal, key, at, fields, options);
        self.rules.insert(trigger.to_string(), Arc::new(legal));
    }

    fn fields(
        &mut self,
        legal: &mut Legal,
        key: &str,
        at: u64,
        fields: &Map<String, Value>,
        options: &Options,
    ) {
        for (name, value) in fields {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Null => continue,
                _ => String::from("{}"),
            };
            let set = LegalField::from_name(name)
                .ok_or_else(|| Reason::new("manifest", format!("the manifest: no field {name:?}")))
                .and_then(|field| field.set(legal, &text, options));
            if let Err(reason) = set {
                self.problems.push((at, format!("{key}: {name}"), reason));
            }
        }
    }

    /// What is known of the rule with this trigger; none where nothing more than the feed says.
    pub(super) fn of(&self, trigger: &Trigger) -> Option<&Arc<Legal>> {
        let single =
            if self.rules.is_empty() { None } else { self.rules.get(&trigger.to_string()) };
        single.or(self.list.as_ref())
    }

    /// The entries for single rules of which `has` knows no rule, in order.
    pub fn without_rule(&self, has: impl Fn(&Trigger) -> bool) -> Vec<&str> {
        let unknown = |text: &&String| !text.parse().is_ok_and(|trigger| has(&trigger));
        let mut texts: Vec<&str> = self.rules.keys().filter(unknown).map(String::as_str).collect();
        texts.sort_unstable();
        texts
    }

    /// Hands over what could not be taken.
    pub(super) fn report(&self, out: &mut Out<'_>) {
        for (line, text, reason) in &self.problems {
            out.reject(Place { line: *line, text: text.as_bytes() }, reason.clone());
        }
    }

    /// Takes over what TXT records of a policy zone say, which comes before what it holds itself.
    fn companion(&mut self, companion: &rpz::Companion, options: &Options) {
        let base = self.of(&companion.trigger).unwrap_or(&options.legal);
        let mut legal = (**base).clone();
        let mut values: HashMap<&str, String> = HashMap::new();
        for string in &companion.strings {
            let text = std::str::from_utf8(string).ok().and_then(|t| t.split_once('='));
            let Some((name, value)) = text else {
                let reason = Reason::syntax("a string that is not field=value");
                self.problems.push((companion.line, companion.trigger.to_string(), reason));
                continue;
            };
            // What does not fit into one string goes on in the next of the same name.
            values.entry(name).or_default().push_str(value);
        }
        for (name, value) in values {
            let set = LegalField::from_name(name)
                .ok_or_else(|| Reason::syntax(format!("no field {name:?}")))
                .and_then(|field| field.set(&mut legal, &value, options));
            if let Err(reason) = set {
                self.problems.push((companion.line, companion.trigger.to_string(), reason));
            }
        }
        self.rules.insert(companion.trigger.to_string(), Arc::new(legal));
    }
}

/// Reads the TXT records of a policy zone's text that say what the law wants known of its rules,
/// beside what `options` holds already; nothing when there are none.
pub(super) fn companions(
    input: &mut dyn BufRead,
    options: &Options,
) -> Result<Option<Manifest>, Error> {
    let mut nobody = Nobody;
    let mut out = Out::new(options, &mut nobody);
    out.companions = Some(Vec::new());
    rpz::parse(input, &mut out)?;
    let found = out.companions.unwrap_or_default();
    if found.is_empty() {
        return Ok(None);
    }
    let mut manifest = options.manifest.as_deref().cloned().unwrap_or_default();
    found.iter().for_each(|companion| manifest.companion(companion, options));
    Ok(Some(manifest))
}

/// Whether a text has the label that such records begin with, anywhere and in any case.
pub(super) fn may_have_companions(input: &mut dyn BufRead) -> Result<bool, Error> {
    let label = &rpz::COMPANION_LABEL[1..];
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        // What ends in one piece may begin in the one before.
        let seam = [&tail[..], &buffer[..buffer.len().min(label.len())]].concat();
        if contains(&seam, label) || contains(buffer, label) {
            return Ok(true);
        }
        let mut last = [&tail[..], buffer].concat();
        tail = last.split_off(last.len().saturating_sub(label.len() - 1));
        let read = buffer.len();
        input.consume(read);
    }
}

fn contains(bytes: &[u8], label: &[u8]) -> bool {
    memchr::memchr_iter(b'_', bytes).any(|at| {
        bytes.get(at..at + label.len()).is_some_and(|found| found.eq_ignore_ascii_case(label))
    })
}

/// A sink that keeps nothing.
struct Nobody;

impl Sink for Nobody {
    fn rule(&mut self, _: Place<'_>, _: Rule) {}
    fn reject(&mut self, _: Place<'_>, _: Reason) {}
}
