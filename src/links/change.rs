//! Changing links: by whoever may, and by the clock.

use std::{
    mem,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use super::{
    By, Converted, Edit, Error, ForwardFrom, How, LinkSettings, Links, NotConverted, Operation,
    OwnerVerification, Revision, Role, State, Stopped, Target, forward::is_forward, group::Batch,
    settings::previous,
};
use crate::{clock::Timestamp, record::RecordId};

/// The actor where nobody asked: a link's end has come. No token may have such a name.
pub const BY_ITSELF: &str = "(end)";

/// Settings to change; none leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsEdit {
    /// It may not be followed before; [`Timestamp::ZERO`] for at once.
    pub not_before: Option<Timestamp>,
    /// How many times it may be followed; 0 for no limit.
    pub visits_max: Option<u32>,
    /// A password's hash; empty for none.
    pub password: Option<String>,
    /// The owner's own words.
    pub tags: Option<Vec<String>>,
    /// What it is for.
    pub purpose: Option<String>,
    /// How the owner was verified.
    pub owner_verification: Option<Option<OwnerVerification>>,
    /// The status of its jumps.
    pub status: Option<u16>,
    /// Whether the visitor's query is handed on.
    pub forward_query: Option<bool>,
    /// Whether the rest of the visitor's path is handed on.
    pub forward_path: Option<bool>,
    /// The least tier its owner wants shown.
    pub tier_hint: Option<String>,
    /// Why it is stopped, for everybody: one of [`PUBLIC_REASONS`](super::PUBLIC_REASONS), empty for
    /// not said.
    pub public_reason: Option<String>,
}

impl SettingsEdit {
    /// Changes `settings`.
    pub fn apply(&self, settings: &mut LinkSettings) {
        fn set<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(from) = from {
                to.clone_from(from);
            }
        }
        set(&mut settings.not_before, self.not_before.as_ref());
        set(&mut settings.visits_max, self.visits_max.as_ref());
        set(&mut settings.password, self.password.as_ref());
        set(&mut settings.tags, self.tags.as_ref());
        set(&mut settings.purpose, self.purpose.as_ref());
        set(&mut settings.owner_verification, self.owner_verification.as_ref());
        set(&mut settings.status, self.status.as_ref());
        set(&mut settings.forward_query, self.forward_query.as_ref());
        set(&mut settings.forward_path, self.forward_path.as_ref());
        set(&mut settings.tier_hint, self.tier_hint.as_ref());
    }
}

impl Links {
    /// Changes a link. Blocks on the disk.
    ///
    /// # Errors
    /// See [`NotConverted`]. [`Error::Conflict`] when it is not at the revision given.
    pub fn edit(&self, code: &str, edit: &Edit, by: &By) -> Result<Converted, NotConverted> {
        let target = edit.target.as_ref().map(|t| self.target(t)).transpose()?;
        match &edit.domain {
            Some(_) if is_forward(code) => return Err(NotConverted::Domain),
            Some(domain) => self.refuse_domain(domain)?,
            None => {}
        }
        loop {
            let current = self.store.current(code)?.ok_or(Error::Unknown)?;
            // Nothing is told of somebody else's link, not even that it is there.
            if !by.actor.acts_for(&current.owner) {
                return Err(Error::Unknown.into());
            }
            if !edit.owner.as_ref().is_none_or(|owner| by.actor.acts_for(owner)) {
                return Err(NotConverted::Scope);
            }
            if edit.revision.is_some_and(|r| r != current.revision) {
                return Err(Error::Conflict { current: current.revision }.into());
            }
            let said = edit.settings.public_reason.as_ref().is_some_and(|r| !r.is_empty());
            if said && edit.state.unwrap_or(current.state) != State::Disabled {
                return Err(NotConverted::NotStopped);
            }
            let Some(next) = self.next(&current, edit, target.clone(), by) else {
                return Ok(Converted { revision: current, record: None, how: How::Same });
            };
            // An end that has come keeps a link from going on, too.
            if next.expires != current.expires || next.operation == Operation::Enable {
                self.refuse_past(next.expires)?;
            }
            if next.state == State::Enabled && leads_otherwise(&current, &next) {
                if let Some(from) = ForwardFrom::of_code(code) {
                    self.refuse_host(&from)?;
                }
                self.refuse_way(code, &next.target)?;
            }
            let mut room = self.room.begin();
            let of = |r: &Revision| (r.state == State::Enabled).then(|| r.owner.clone());
            if of(&next).is_some() && of(&next) != of(&current) {
                self.refuse_full(&next, by, &mut room)?;
            }
            match self.convert_one(&next, &current, by.client) {
                // Somebody was faster; without a revision asked for, ours comes after theirs.
                Err(Error::Conflict { .. }) if edit.revision.is_none() => {}
                record => {
                    let record = Some(record?);
                    return Ok(Converted { revision: next, record, how: How::New });
                }
            }
        }
    }

    fn convert_one(
        &self,
        next: &Revision,
        current: &Revision,
        client: SocketAddr,
    ) -> Result<RecordId, Error> {
        let batch = Batch {
            revisions: vec![next.clone()],
            previous: vec![previous(current, next)],
            client,
            flow: self.lane.new_flow(),
        };
        self.convert(batch)?.pop().unwrap_or(Err(Error::Failed))
    }

    /// The revision after `current`; none when `edit` changes nothing.
    fn next(
        &self,
        current: &Revision,
        edit: &Edit,
        target: Option<Target>,
        by: &By,
    ) -> Option<Revision> {
        let mut next = current.clone();
        if let Some(target) = target {
            self.aim(&mut next, target);
        }
        next.expires = edit.expires.unwrap_or(current.expires);
        // Whoever moves the end of a link that has ended wants it to go on.
        let goes_on = current.state == State::Expired && next.expires != current.expires;
        let state = if goes_on { State::Enabled } else { current.state };
        next.state = edit.state.unwrap_or(state);
        if let Some(domain) = &edit.domain {
            next.domain.clone_from(domain);
        }
        if let Some(owner) = &edit.owner {
            next.owner.clone_from(owner);
        }
        edit.settings.apply(&mut next.settings);
        next.settings.stopped = stopped(current, &next, edit, by, self.clock.now());
        // What is read of the target may change with the list of suffixes; that is no edit.
        let same = next.target_submitted == current.target_submitted
            && next.expires == current.expires
            && next.state == current.state
            && next.domain == current.domain
            && next.owner == current.owner
            && next.settings == current.settings;
        if same {
            return None;
        }
        next.operation = match (current.state, next.state) {
            (before, after) if before == after => Operation::Edit,
            (_, State::Disabled) => Operation::Disable,
            (_, State::Enabled) => Operation::Enable,
            (_, State::Expired) => Operation::Expire,
        };
        next.revision += 1;
        next.ts = self.clock.now();
        next.actor = by.actor.name.to_string();
        next.reason.clone_from(&edit.reason);
        next.request = String::new();
        Some(next)
    }

    /// Writes down the end of links whose end has come at or after `from`, at most `limit` of
    /// them: how many there were. Those that somebody else changed meanwhile are left to the next
    /// time. Blocks on the disk.
    ///
    /// # Errors
    /// When the database or the spool fails.
    pub fn expire(&self, from: Timestamp, limit: usize) -> Result<usize, Error> {
        let now = self.clock.now();
        let due = self.store.due(from, now, limit)?;
        let ended = |current: &Revision| {
            let mut next = current.clone();
            (next.operation, next.state) = (Operation::Expire, State::Expired);
            next.revision += 1;
            next.ts = now;
            BY_ITSELF.clone_into(&mut next.actor);
            next.reason = String::new();
            next.request = String::new();
            next
        };
        let mut revisions: Vec<Revision> = due.iter().map(ended).collect();
        let mut previous: Vec<String> =
            due.iter().zip(&revisions).map(|(old, new)| previous(old, new)).collect();
        while !revisions.is_empty() {
            let fit = self.fitting(revisions.iter());
            let (later, before) = (revisions.split_off(fit), previous.split_off(fit));
            let batch = Batch {
                revisions: mem::replace(&mut revisions, later),
                previous: mem::replace(&mut previous, before),
                client: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
                flow: self.lane.new_flow(),
            };
            for result in self.convert(batch)? {
                match result {
                    Ok(_) | Err(Error::Conflict { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(due.len())
    }
}

/// Whether a visitor may come elsewhere than before.
fn leads_otherwise(current: &Revision, next: &Revision) -> bool {
    let handed_on = |r: &Revision| (r.settings.forward_path, r.settings.forward_query);
    next.target != current.target
        || next.state != current.state
        || next.expires != current.expires
        || handed_on(next) != handed_on(current)
}

/// What everybody may know of why a link is stopped: since when it has been, and by whom.
fn stopped(
    current: &Revision,
    next: &Revision,
    edit: &Edit,
    by: &By,
    now: Timestamp,
) -> Option<Stopped> {
    if next.state != State::Disabled {
        return None;
    }
    let reason = edit.settings.public_reason.clone();
    if current.state == State::Disabled {
        let before = current.settings.stopped.clone().or_else(|| unsaid(current));
        return before.map(|s| Stopped { reason: reason.unwrap_or_else(|| s.reason.clone()), ..s });
    }
    let stopped = Stopped::new(by, &current.owner, now);
    Some(Stopped { reason: reason.unwrap_or_default(), ..stopped })
}

impl Stopped {
    /// Who stops a link of `owner`'s now, and nothing of why.
    pub(super) fn new(by: &By, owner: &str, now: Timestamp) -> Self {
        let owns = by.actor.role != Role::Operator && *by.actor.name == *owner;
        let by = if owns { "owner" } else { "operator" };
        Self { since: now, by: by.to_owned(), reason: String::new() }
    }
}

/// The same of a link that was stopped when nothing was kept of it but its revision.
pub(super) fn unsaid(r: &Revision) -> Option<Stopped> {
    let by = if r.actor == r.owner { "owner" } else { "operator" };
    let stopped = Stopped { since: r.ts, by: by.to_owned(), reason: String::new() };
    (r.operation == Operation::Disable).then_some(stopped)
}
