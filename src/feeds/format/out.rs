//! What every parser hands its findings to: the sink, counted.

use std::sync::Arc;

use super::{LegalField, Options, Place, Reason, Sink, Summary, legal::Laws, rpz::Companion};
use crate::policy::{Action, Legal, Rule, Trigger};

/// One run of one parser.
pub(super) struct Out<'a> {
    /// How to read.
    pub(super) options: &'a Options,
    /// What was found so far.
    pub(super) summary: Summary,
    /// Where companion records are kept, when those alone are looked for.
    pub(super) companions: Option<Vec<Companion>>,
    laws: Laws,
    sink: &'a mut dyn Sink,
}

impl<'a> Out<'a> {
    pub(super) fn new(options: &'a Options, sink: &'a mut dyn Sink) -> Self {
        let summary = Summary::default();
        Self { options, summary, companions: None, laws: Laws::default(), sink }
    }

    /// A rule of which its entry says no more than what it is.
    pub(super) fn rule(&mut self, at: Place<'_>, trigger: Trigger, action: Action) {
        let legal = Arc::clone(self.legal_of(&trigger));
        self.summary.rules += 1;
        self.sink.rule(at, Rule { trigger, action, legal });
    }

    /// A rule of which its entry says this, beside what it is.
    ///
    /// # Errors
    /// When one of the fields cannot be taken; there is no rule then.
    pub(super) fn rule_with<'f>(
        &mut self,
        at: Place<'_>,
        trigger: Trigger,
        action: Action,
        fields: impl Iterator<Item = (LegalField, &'f str)>,
    ) -> Result<(), Reason> {
        let base = self.legal_of(&trigger);
        let mut own: Option<Legal> = None;
        for (field, text) in fields.filter(|(_, text)| !text.trim().is_empty()) {
            let legal = own.get_or_insert_with(|| (**base).clone());
            field.set(legal, text, self.options)?;
        }
        let legal = match own {
            Some(own) => self.laws.shared(own),
            None => Arc::clone(base),
        };
        self.summary.rules += 1;
        self.sink.rule(at, Rule { trigger, action, legal });
        Ok(())
    }

    /// What is known of a rule without its entry.
    fn legal_of(&self, trigger: &Trigger) -> &'a Arc<Legal> {
        let options: &'a Options = self.options;
        options.manifest.as_deref().and_then(|m| m.of(trigger)).unwrap_or(&options.legal)
    }

    pub(super) fn reject(&mut self, at: Place<'_>, reason: Reason) {
        self.summary.rejected += 1;
        self.sink.reject(at, reason);
    }

    /// Whether to go on; remembers when not.
    pub(super) fn wants_more(&mut self) -> bool {
        let more = self.sink.wants_more();
        self.summary.stopped |= !more;
        more
    }
}
