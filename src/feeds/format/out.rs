//! What every parser hands its findings to: the sink, counted.

use std::sync::Arc;

use super::{Options, Place, Reason, Sink, Summary};
use crate::policy::{Action, Legal, Rule, Trigger};

/// One run of one parser.
pub(super) struct Out<'a> {
    /// How to read.
    pub(super) options: &'a Options,
    /// What was found so far.
    pub(super) summary: Summary,
    sink: &'a mut dyn Sink,
}

impl<'a> Out<'a> {
    pub(super) fn new(options: &'a Options, sink: &'a mut dyn Sink) -> Self {
        Self { options, summary: Summary::default(), sink }
    }

    /// A rule of which the list says no more than the feed does.
    pub(super) fn rule(&mut self, at: Place<'_>, trigger: Trigger, action: Action) {
        self.legal_rule(at, trigger, action, Arc::clone(&self.options.legal));
    }

    /// A rule with its own law.
    pub(super) fn legal_rule(
        &mut self,
        at: Place<'_>,
        trigger: Trigger,
        action: Action,
        legal: Arc<Legal>,
    ) {
        self.summary.rules += 1;
        self.sink.rule(at, Rule { trigger, action, legal });
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
