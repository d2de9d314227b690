//! Making links: one, or many in few transactions.

use std::{cell::LazyCell, collections::HashMap, sync::Arc};

use super::{
    By, Converted, Draft, Error, How, LinkSettings, Links, NotConverted, Operation, Revision, Role,
    State, Stopped, code::may_be_taken_over, group::Batch, room::Promised,
};
use crate::record::Flow;

/// How often a generated code may turn out to be in use before we give up: codes chosen by
/// callers, made under another length, or brought along from another database are in the way.
const ATTEMPTS_MAX: u32 = 32;

/// Links like the one wanted that are looked at.
const ALIKE_MAX: usize = 16;

type Outcome = Result<Converted, NotConverted>;

/// A link to be, checked.
struct Candidate {
    /// Which of those asked for.
    item: usize,
    revision: Revision,
    generated: bool,
    reuse: bool,
}

/// What became of a draft before anything was written.
enum Checked {
    Candidate(Box<Candidate>),
    Done(Box<Converted>),
}

impl Links {
    /// Makes a link. Blocks on the disk.
    ///
    /// # Errors
    /// See [`NotConverted`]; nothing was changed then, except after [`Error::Failed`], when a
    /// restart decides.
    pub fn create(&self, draft: Draft, by: &By) -> Outcome {
        let made = self.create_many(vec![draft], by).pop();
        made.unwrap_or(Err(Error::Failed.into())).map_err(NotConverted::alone)
    }

    /// Makes links, and says what became of each, in their order: one that is refused takes no
    /// other with it. All are of one flow. Blocks on the disk.
    pub fn create_many(&self, drafts: Vec<Draft>, by: &By) -> Vec<Outcome> {
        let flow = self.lane.new_flow();
        let held = LazyCell::new(|| self.is_held());
        let mut room = self.room.begin();
        let mut outcomes: Vec<Option<Outcome>> = drafts.iter().map(|_| None).collect();
        let mut candidates = Vec::new();
        for (item, draft) in drafts.into_iter().enumerate() {
            match self.check(item, draft, &|| *held, by, &mut room) {
                Ok(Checked::Candidate(candidate)) => candidates.push(*candidate),
                Ok(Checked::Done(converted)) => outcomes[item] = Some(Ok(*converted)),
                Err(e) => outcomes[item] = Some(Err(e)),
            }
        }
        while !candidates.is_empty() {
            // Whoever takes what is alike waits for the first one of its kind.
            let (now, later) = first_of_each(candidates);
            self.write(now, by, flow, &mut outcomes);
            candidates = Vec::new();
            for candidate in later {
                match self.alike(&candidate.revision) {
                    Ok(Some(found)) => outcomes[candidate.item] = Some(Ok(found)),
                    Ok(None) => candidates.push(candidate),
                    Err(e) => outcomes[candidate.item] = Some(Err(e.into())),
                }
            }
        }
        let never = || Err(Error::Failed.into());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(never)).collect()
    }

    fn check(
        &self,
        item: usize,
        mut draft: Draft,
        held: &dyn Fn() -> bool,
        by: &By,
        room: &mut Promised<'_>,
    ) -> Result<Checked, NotConverted> {
        if let Some(from) = &draft.forward {
            (draft.code, draft.domain) = (Some(from.code()), from.host().to_owned());
        }
        if !by.actor.acts_for(&draft.owner) {
            return Err(NotConverted::Scope);
        }
        if let Some(made) = self.repeated(&draft)? {
            return Ok(Checked::Done(Box::new(made)));
        }
        let target = self.target(&draft.target)?;
        let taken_over = !draft.settings.source.is_empty();
        if !taken_over {
            self.refuse_past(draft.expires)?;
        }
        match &draft.forward {
            None => self.refuse_domain(&draft.domain)?,
            Some(from) => self.refuse_host(from)?,
        }
        self.refuse_way(draft.code.as_deref().unwrap_or(""), &target.serialised)?;
        let generated = draft.code.is_none();
        if generated && held() {
            return Err(Error::Held.into());
        }
        let forwards = draft.forward.is_some();
        let allowed = |code: &String| {
            forwards || self.codes.may_be_chosen(code) || taken_over && may_be_taken_over(code)
        };
        if !draft.code.as_ref().is_none_or(allowed) {
            return Err(NotConverted::Code);
        }
        let now = self.clock.now();
        let stopped = draft.disabled.then(|| Stopped::new(by, &draft.owner, now));
        let mut revision = Revision {
            code: draft.code.unwrap_or_default(),
            revision: 1,
            ts: now,
            operation: Operation::Create,
            target_submitted: String::new(),
            target: String::new(),
            target_host: String::new(),
            target_registrable_domain: String::new(),
            state: match draft.disabled {
                true => State::Disabled,
                // One that was taken over.
                false if self.refuse_past(draft.expires).is_err() => State::Expired,
                false => State::Enabled,
            },
            expires: draft.expires,
            actor: by.actor.name.to_string(),
            owner: draft.owner,
            reason: draft.reason,
            psl_version: String::new(),
            domain: draft.domain,
            settings: LinkSettings { stopped, ..draft.settings },
            request: draft.request,
        };
        self.aim(&mut revision, target);
        // What has a password or a code of its own is not alike.
        let reuse =
            draft.reuse && generated && !draft.disabled && revision.settings.password.is_empty();
        if reuse && let Some(found) = self.alike(&revision)? {
            return Ok(Checked::Done(Box::new(found)));
        }
        if revision.state == State::Enabled {
            self.refuse_full(&revision, by, room)?;
        }
        Ok(Checked::Candidate(Box::new(Candidate { item, revision, generated, reuse })))
    }

    /// Refuses one more link of an owner who has as many as there may be.
    pub(super) fn refuse_full(
        &self,
        revision: &Revision,
        by: &By,
        room: &mut Promised<'_>,
    ) -> Result<(), NotConverted> {
        match by.actor.role == Role::Operator || room.take(&*self.store, &revision.owner)? {
            true => Ok(()),
            false => Err(NotConverted::OwnerFull(self.room.max())),
        }
    }

    /// What the same request made before.
    fn repeated(&self, draft: &Draft) -> Result<Option<Converted>, NotConverted> {
        if draft.request.is_empty() {
            return Ok(None);
        }
        let Some(revision) = self.store.by_request(&draft.request)? else { return Ok(None) };
        let (made, asked) = (&revision.settings, &draft.settings);
        let mut settings = made.clone();
        settings.password.clone_from(&asked.password);
        settings.stopped = None;
        let same = revision.target_submitted == draft.target
            && revision.expires == draft.expires
            && revision.owner == draft.owner
            && revision.domain == draft.domain
            && (revision.state == State::Disabled) == draft.disabled
            && draft.code.as_ref().is_none_or(|code| *code == revision.code)
            && settings == *asked
            && made.password.is_empty() == asked.password.is_empty();
        match same {
            true => Ok(Some(Converted { revision, record: None, how: How::Repeated })),
            false => Err(NotConverted::OtherRequest),
        }
    }

    /// A link that may be followed and is the same in everything but its code.
    fn alike(&self, wanted: &Revision) -> Result<Option<Converted>, Error> {
        let now = self.clock.now();
        let found = self.store.alike(&wanted.owner, &wanted.domain, &wanted.target, ALIKE_MAX)?;
        let found = found.into_iter().find(|r| {
            r.state == State::Enabled
                && !r.is_expired(now)
                && r.expires == wanted.expires
                && r.settings == wanted.settings
        });
        Ok(found.map(|revision| Converted { revision, record: None, how: How::Same }))
    }

    /// Writes them, a transaction for as many as fit.
    fn write(
        &self,
        mut waiting: Vec<Candidate>,
        by: &By,
        flow: Flow,
        outcomes: &mut [Option<Outcome>],
    ) {
        for attempt in 0..ATTEMPTS_MAX {
            if waiting.is_empty() {
                return;
            }
            // Once may be chance.
            if attempt > 1
                && let Err(e) = self.skip_codes(attempt)
            {
                return together(e, &waiting, outcomes);
            }
            if let Err(e) = self.number(&mut waiting) {
                return together(e, &waiting, outcomes);
            }
            let mut taken = Vec::new();
            let mut rest = waiting;
            while !rest.is_empty() {
                let fit = self.fitting(rest.iter().map(|c| &c.revision));
                let behind = rest.split_off(fit);
                taken.extend(self.write_chunk(rest, by, flow, outcomes));
                rest = behind;
            }
            waiting = taken;
        }
        together(Error::Exhausted(self.codes.length()), &waiting, outcomes);
    }

    /// Writes them in one transaction; those whose generated code is in use are given back.
    fn write_chunk(
        &self,
        chunk: Vec<Candidate>,
        by: &By,
        flow: Flow,
        outcomes: &mut [Option<Outcome>],
    ) -> Vec<Candidate> {
        let revisions: Vec<Revision> = chunk.iter().map(|c| c.revision.clone()).collect();
        let batch = Batch { revisions, previous: Vec::new(), client: by.client, flow };
        let results = match self.convert(batch) {
            Ok(results) => results,
            Err(e) => {
                together(e, &chunk, outcomes);
                return Vec::new();
            }
        };
        let mut taken = Vec::new();
        for (candidate, result) in chunk.into_iter().zip(results) {
            let Candidate { item, revision, generated, .. } = candidate;
            outcomes[item] = Some(match result {
                Ok(record) => Ok(Converted { revision, record: Some(record), how: How::New }),
                Err(Error::Taken) if generated => {
                    taken.push(candidate_again(item, revision, candidate.reuse));
                    continue;
                }
                Err(Error::Repeated) => self.repeated_now(&revision, generated),
                Err(e) => Err(e.into()),
            });
        }
        taken
    }

    /// The same request was answered while this one was being looked at.
    fn repeated_now(&self, revision: &Revision, generated: bool) -> Outcome {
        let draft = Draft {
            target: revision.target_submitted.clone(),
            code: (!generated).then(|| revision.code.clone()),
            expires: revision.expires,
            owner: revision.owner.clone(),
            reason: String::new(),
            disabled: revision.state == State::Disabled,
            domain: revision.domain.clone(),
            settings: LinkSettings { stopped: None, ..revision.settings.clone() },
            request: revision.request.clone(),
            reuse: false,
            forward: None,
        };
        self.repeated(&draft)?.ok_or(NotConverted::Control(Error::Repeated))
    }

    /// Gives codes to those that want one.
    fn number(&self, waiting: &mut [Candidate]) -> Result<(), Error> {
        let mut codes =
            self.next_codes(waiting.iter().filter(|c| c.generated).count())?.into_iter();
        for candidate in waiting.iter_mut().filter(|c| c.generated) {
            candidate.revision.code = codes.next().unwrap_or_default();
        }
        Ok(())
    }
}

impl NotConverted {
    /// Why one alone was not converted.
    pub(super) fn alone(self) -> Self {
        match self {
            Self::Together(e) => Arc::try_unwrap(e).map_or_else(Self::Together, Self::Control),
            other => other,
        }
    }
}

fn candidate_again(item: usize, revision: Revision, reuse: bool) -> Candidate {
    Candidate { item, revision, generated: true, reuse }
}

/// Of those that take what is alike, the first of each kind, and all others; then the rest.
fn first_of_each(candidates: Vec<Candidate>) -> (Vec<Candidate>, Vec<Candidate>) {
    let mut seen = HashMap::new();
    candidates.into_iter().partition(|c| {
        let r = &c.revision;
        let kind = (r.owner.clone(), r.domain.clone(), r.target.clone());
        !c.reuse || *seen.entry(kind).or_insert(c.item) == c.item
    })
}

/// One reason for all of them.
fn together(e: Error, all: &[Candidate], outcomes: &mut [Option<Outcome>]) {
    let e = Arc::new(e);
    for candidate in all {
        outcomes[candidate.item] = Some(Err(NotConverted::Together(Arc::clone(&e))));
    }
}
