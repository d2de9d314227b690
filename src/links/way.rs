//! Ways through our own links and forwards, and how they end where they began.
//!
//! Before a link or forward leads somewhere else or goes on again, its way is followed: target, the
//! forward or link of ours that is there, where that one leads a visitor who comes so, and on, at most
//! `gateway.hops_max` steps. Every circle through what is changed is seen, whenever its other parts
//! were made. Nobody here sees two changes made at once on two gateways, circles that one visitor's
//! path or query closes, and those through strangers' names that are pointed at us: the same way is
//! followed again at the jump, which has the last word.

use url::Url;

use super::{
    AskedPath, Error, Links, NotConverted, State, candidates,
    code::is_code,
    onward::{Beyond, onward},
};

/// What a link is called that has no code yet.
const NEW: &str = "(new)";

/// The codes on a way.
#[derive(Clone, Debug)]
pub struct Way {
    passed: Vec<String>,
    hops_max: usize,
}

/// Why a way leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It comes back.
    Loop,
    /// It is too long.
    TooManyHops,
}

impl Lost {
    /// The reason's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::TooManyHops => "too_many_hops",
        }
    }
}

impl Way {
    /// A way that begins at `code`, of at most `hops_max` steps.
    pub fn new(code: &str, hops_max: u8) -> Self {
        let first = if code.is_empty() { NEW } else { code };
        Self { passed: vec![first.to_owned()], hops_max: hops_max.into() }
    }

    /// Goes on to `code`.
    ///
    /// # Errors
    /// When it was here before, or the way is too long.
    pub fn pass(&mut self, code: &str) -> Result<(), Lost> {
        let again = self.passed.iter().any(|p| p == code);
        self.passed.push(code.to_owned());
        if again {
            return Err(Lost::Loop);
        }
        if self.passed.len() > self.hops_max + 1 { Err(Lost::TooManyHops) } else { Ok(()) }
    }

    /// The codes, the first one first.
    pub fn passed(self) -> Vec<String> {
        self.passed
    }
}

/// One step: a code, and where it leads; none where it leads nobody on.
type Step = (String, Option<String>);

impl Links {
    /// Refuses a way from `code`, empty for one not given yet, to `target` that comes back or does not
    /// end in time. Blocks on the disk where it passes what is not in memory.
    pub(super) fn refuse_way(&self, code: &str, target: &str) -> Result<(), NotConverted> {
        let mut way = Way::new(code, self.hops_max);
        let mut target = target.to_owned();
        while let Some((next, onto)) = self.step(code, &target)? {
            match way.pass(&next) {
                Ok(()) => {}
                Err(Lost::Loop) => return Err(NotConverted::Loop(way.passed())),
                Err(Lost::TooManyHops) => return Err(NotConverted::TooManyHops(way.passed())),
            }
            match onto {
                Some(onto) => target = onto,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// What of ours `target` leads to, on a way from `begin`; none for nothing that goes on.
    fn step(&self, begin: &str, target: &str) -> Result<Option<Step>, Error> {
        let Ok(url) = Url::parse(target) else { return Ok(None) };
        let Some(host) = url.domain().map(|h| h.trim_end_matches('.')) else { return Ok(None) };
        // Where the way begins may not be there yet, or lead elsewhere still.
        let to_begin = || Ok(Some((begin.to_owned(), None)));
        let path = AskedPath::new(url.path());
        let (link, rest) = if self.is_own(host) {
            let Some(code) = url.path().strip_prefix('/').filter(|c| is_code(c)) else {
                return Ok(None);
            };
            if code == begin {
                return to_begin();
            }
            let Some(link) = self.read(code)? else { return Ok(None) };
            (link, "")
        } else {
            let itself = candidates(host, &path).into_iter().any(|(code, _)| code == begin);
            match self.forward(host, &path)? {
                // The longer one counts.
                Some((link, rest)) if !itself || link.code.len() > begin.len() => (link, rest),
                _ if itself => return to_begin(),
                _ => return Ok(None),
            }
        };
        if link.state != State::Enabled || link.is_expired(self.clock.now()) {
            return Ok(None);
        }
        let beyond = Beyond { path: rest, query: url.query().unwrap_or("") };
        let onto = match onward(&link, beyond, self.target_length_max()) {
            Ok(Some(onward)) => Some(onward.target),
            Ok(None) => Some(link.target.to_string()),
            Err(_) => None,
        };
        Ok(Some((link.code.to_string(), onto)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_end() {
        let mut way = Way::new("a", 2);
        assert_eq!(way.pass("b"), Ok(()));
        assert_eq!(way.clone().pass("a"), Err(Lost::Loop));
        assert_eq!(way.pass("c"), Ok(()));
        assert_eq!(way.pass("d"), Err(Lost::TooManyHops));
        assert_eq!(way.passed(), ["a", "b", "c", "d"]);
        let mut new = Way::new("", 1);
        assert_eq!(new.pass("a"), Ok(()));
        assert_eq!(new.pass("b"), Err(Lost::TooManyHops));
        assert_eq!(new.passed(), ["(new)", "a", "b"]);
    }
}
