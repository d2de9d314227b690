//! Forwards found by host and path, and refused.
//!
//! Strangers choose what hosts they ask us for. So memory knows for a moment which hosts have no
//! forward, and that there is none at all; while the database is away, links that go on by
//! [`config::OnDown`](crate::config::OnDown) do so with what was known last.

use std::sync::{Arc, atomic::Ordering};

use super::{
    AskedPath, Error, ForwardFrom, Link, LinkQuery, Links, NotConverted, candidates,
    convert::is_unreadable,
    forward::{PREFIX, all_of},
};

/// What memory knows of the forward for a host and path.
#[derive(Debug)]
pub enum Remembered<'p> {
    /// It is this one, and leaves this of the path.
    Forward(Arc<Link>, &'p str),
    /// There is none.
    None,
    /// The database has to be asked.
    Unknown,
}

impl Links {
    /// The forward for `path` at `host`, as far as it is in memory. Does not block.
    pub fn remembered_forward<'p>(&self, host: &str, path: &'p AskedPath<'_>) -> Remembered<'p> {
        self.remembered(host, path, true)
    }

    /// The same; where it need not be `fresh`, with whatever was known last.
    fn remembered<'p>(&self, host: &str, path: &'p AskedPath<'_>, fresh: bool) -> Remembered<'p> {
        let lately = fresh.then(|| (self.clock.monotonic(), self.absent_for()));
        let absent = |code: &str| self.cache.is_absent(code, lately);
        if absent(PREFIX) || absent(&all_of(host)) {
            return Remembered::None;
        }
        for (code, rest) in candidates(host, path) {
            let link = if fresh { self.cached(&code) } else { self.cache.find(&code) };
            match link {
                Some(link) => return Remembered::Forward(link, rest),
                None if absent(&code) => {}
                None => return Remembered::Unknown,
            }
        }
        Remembered::None
    }

    /// The forward for `path` at `host`, and what it leaves of the path. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forward<'p>(
        &self,
        host: &str,
        path: &'p AskedPath<'_>,
    ) -> Result<Option<(Arc<Link>, &'p str)>, Error> {
        match self.remembered(host, path, true) {
            Remembered::Forward(link, rest) => return Ok(Some((link, rest))),
            Remembered::None => return Ok(None),
            Remembered::Unknown => {}
        }
        match self.stored_forward(host, path) {
            Err(e) if self.serves_when_away() && is_unreadable(&e) => {
                match self.remembered(host, path, false) {
                    Remembered::Forward(link, rest) => Ok(Some((link, rest))),
                    Remembered::None => Ok(None),
                    Remembered::Unknown => Err(e),
                }
            }
            read => read,
        }
    }

    fn stored_forward<'p>(
        &self,
        host: &str,
        path: &'p AskedPath<'_>,
    ) -> Result<Option<(Arc<Link>, &'p str)>, Error> {
        let (before, now) = (self.cache.changes(), self.clock.monotonic());
        let is_one = |query: LinkQuery| {
            let query = LinkQuery { forwards: true, limit: 1, ..query };
            Ok::<_, Error>(!self.store.list(&query)?.is_empty())
        };
        // No forward is ever deleted.
        if !self.any_forward.load(Ordering::Relaxed) {
            if !is_one(LinkQuery::default())? {
                self.cache.absent(PREFIX, now, before);
                return Ok(None);
            }
            self.any_forward.store(true, Ordering::Relaxed);
            self.cache.present(PREFIX);
        }
        if !is_one(LinkQuery { domain: Some(host.to_owned()), ..LinkQuery::default() })? {
            self.cache.absent(&all_of(host), now, before);
            return Ok(None);
        }
        // Of what was known once, this is no longer so.
        self.cache.present(&all_of(host));
        for (code, rest) in candidates(host, path) {
            if let Some(link) = self.cached(&code) {
                return Ok(Some((link, rest)));
            }
            if self.cache.is_absent(&code, Some((now, self.absent_for()))) {
                continue;
            }
            match self.read(&code)? {
                Some(link) => {
                    self.cache.present(&code);
                    return Ok(Some((link, rest)));
                }
                None => self.cache.absent(&code, now, before),
            }
        }
        Ok(None)
    }

    /// Whether a zone that we serve holds `host`.
    pub fn serves(&self, host: &str) -> bool {
        (self.serves)(host)
    }

    /// Refuses to forward a host that we must not, or may not.
    pub(super) fn refuse_host(&self, from: &ForwardFrom) -> Result<(), NotConverted> {
        match self.target(&format!("https://{from}")) {
            Ok(_) => {}
            Err(NotConverted::Target(refusal)) => return Err(NotConverted::Host(refusal)),
            Err(NotConverted::Listed(by)) => return Err(NotConverted::HostListed(by)),
            Err(e) => return Err(e),
        }
        match self.foreign_forwards || self.serves(from.host()) {
            true => Ok(()),
            false => Err(NotConverted::Foreign),
        }
    }
}
