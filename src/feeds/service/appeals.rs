//! Appeals: somebody says that a rule is wrong.

use std::sync::Arc;

use super::{
    super::{
        Error, Needed,
        events::EventKind,
        ledger::Entry,
        store::{Appeal, AppealStatus, Body},
    },
    By, Feeds,
    own::trigger_of,
};

/// An appeal to be opened. Why is [`By::reason`].
#[derive(Clone, Debug, Default)]
pub struct NewAppeal {
    /// The feed whose rule it is about; empty for every feed's.
    pub feed: String,
    /// What is listed: as for [`super::NewBlock::what`].
    pub what: String,
    /// How to reach whoever appeals.
    pub claimant: String,
}

impl Feeds {
    /// Takes an appeal down. It changes nothing until somebody decides. Blocks.
    ///
    /// # Errors
    /// [`Error::BadRule`], [`Error::Missing`] without reason or contact, [`Error::Unknown`] for a
    /// feed that there is not, [`Error::TooMany`], [`Error::TooLong`], or when the database fails.
    pub fn open_appeal(self: &Arc<Self>, appeal: &NewAppeal, by: &By) -> Result<Appeal, Error> {
        let rule = trigger_of(&appeal.what)?.to_string();
        self.needed(Needed::Reason, &by.reason)?;
        let claimant = self.needed(Needed::Contact, &appeal.claimant)?;
        if !appeal.feed.is_empty() {
            self.feed(&appeal.feed)?;
        }
        let id = self.upon(&appeal.feed, |basis| {
            let max = self.config.appeals_open_max;
            if self.store().appeals(Some(AppealStatus::Open), 0, max)?.len() >= max {
                return Err(Error::TooMany("appeals", max));
            }
            let entry = Entry::new(EventKind::AppealOpened, &appeal.feed).about(&rule);
            let entry = entry.by(&by.actor, &by.reason).with("claimant", claimant);
            let body = Body::Appeal { feed: &appeal.feed, claimant };
            Ok(self.ledger.write(&entry, body, Some(basis))?.id)
        })?;
        self.appeal(id)
    }

    /// Decides an appeal; may be decided again. While it is `suspended` or `lifted`, the rule does
    /// not count, from the next query on; an instant block of the same has its end when an appeal
    /// against every feed's is `lifted`, and counts if it is made anew. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Over`] when it stands so already, [`Error::TooLong`], or when
    /// the database fails.
    pub fn decide_appeal(
        self: &Arc<Self>,
        id: u64,
        status: AppealStatus,
        by: &By,
    ) -> Result<Appeal, Error> {
        self.decide_appeal_from(id, None, status, by)
    }

    /// The same upon what `base` says ([`Appeal::standing`]): nothing is changed where somebody else
    /// has decided since. Blocks.
    ///
    /// # Errors
    /// [`Error::Conflict`] then, and as [`Feeds::decide_appeal`].
    pub fn decide_appeal_from(
        self: &Arc<Self>,
        id: u64,
        base: Option<&str>,
        status: AppealStatus,
        by: &By,
    ) -> Result<Appeal, Error> {
        self.note(&by.reason)?;
        let known = self.appeal(id)?;
        let as_seen = base.is_none_or(|base| base == known.standing());
        let Appeal { feed, subject, status: before, .. } = known;
        if status == AppealStatus::Lifted && before != status && feed.is_empty() && as_seen {
            self.end_blocks(&subject, by)?;
        }
        self.upon(&feed, |basis| {
            let appeal = self.appeal(id)?;
            if base.is_some_and(|base| base != appeal.standing()) {
                return Err(Error::Conflict);
            }
            if appeal.status == status {
                return Err(Error::Over);
            }
            let entry = Entry::new(EventKind::AppealDecided, &feed).about(&appeal.subject);
            let entry = entry.by(&by.actor, &by.reason).with("id", id);
            let entry = entry.with("status", status.name());
            self.ledger.write(&entry, Body::AppealStep(id, status), Some(basis))
        })?;
        self.obey()?;
        self.appeal(id)
    }

    /// Ends the instant blocks of `rule`. They come first: what fails in between can be done again.
    fn end_blocks(self: &Arc<Self>, rule: &str, by: &By) -> Result<(), Error> {
        for block in self.standing()?.instant.iter().filter(|r| r.rule == rule) {
            match self.lift(block.id, by) {
                Ok(_) | Err(Error::Over) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// One appeal. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn appeal(&self, id: u64) -> Result<Appeal, Error> {
        self.store().appeal(id)?.ok_or(Error::Unknown("appeal"))
    }

    /// Appeals that stand so, or all, with ids below `before` (0 for no bound), newest first. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn appeals(
        &self,
        status: Option<AppealStatus>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Appeal>, Error> {
        self.store().appeals(status, before, limit)
    }
}
