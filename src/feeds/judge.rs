//! Whether a version takes force by itself, or waits for a person. Pure.

use serde::Serialize;

use super::{FeedSpec, blast::Blast};
use crate::config;

/// What there is to say about a version that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) spec: &'a FeedSpec,
    pub(super) limits: &'a config::Feeds,
    /// Rules of the version in force; none for a feed's first.
    pub(super) before: Option<u64>,
    /// Rules of this one.
    pub(super) after: u64,
    /// Entries not taken.
    pub(super) rejected: u64,
    /// What it would change; why nobody knows, where the store cannot be asked.
    pub(super) blast: Result<&'a Blast, &'a str>,
}

/// Why a version waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub(super) enum Hold {
    /// It has far fewer rules.
    Shrunk {
        /// Before.
        before: u64,
        /// Now.
        after: u64,
        /// The limit.
        percent_max: u32,
    },
    /// It has far more rules.
    Grown {
        /// Before.
        before: u64,
        /// Now.
        after: u64,
        /// The limit.
        percent_max: u32,
    },
    /// More entries were rejected than may be.
    Rejected {
        /// How many.
        rejected: u64,
        /// The limit.
        rejected_max: u64,
    },
    /// It would decide too much otherwise.
    Blast {
        /// Resolutions and jumps.
        changed: u64,
        /// Of what was looked at.
        percent: f64,
        /// The limit.
        percent_max: u32,
    },
    /// A person took these very bytes out of force; other settings alone do not bring them back.
    RolledBack {
        /// The version that they were.
        version: u64,
    },
    /// Nobody knows what it would change.
    StoreAway {
        /// Why.
        because: String,
    },
}

/// Why a version waits; nothing when it does not.
pub(super) fn holds(case: &Case<'_>) -> Vec<Hold> {
    let (own, limits) = (&case.spec.limits, case.limits);
    let mut holds = Vec::new();
    if let Some(before) = case.before {
        let after = case.after;
        let least = limits.change_rules_min;
        let shrink = own.shrink_percent.unwrap_or(limits.shrink_percent);
        let fewer = before.saturating_sub(after);
        let emptied = before > 0 && after == 0;
        if emptied || fewer >= least && exceeds(fewer, before, shrink) {
            holds.push(Hold::Shrunk { before, after, percent_max: shrink });
        }
        let growth = own.growth_percent.unwrap_or(limits.growth_percent);
        let more = after.saturating_sub(before);
        // What was empty grows without bounds.
        if more >= least && before > 0 && exceeds(more, before, growth) {
            holds.push(Hold::Grown { before, after, percent_max: growth });
        }
    }
    let rejected_max = own.rejected_max.unwrap_or(limits.rejected_max);
    if case.rejected > rejected_max {
        holds.push(Hold::Rejected { rejected: case.rejected, rejected_max });
    }
    let percent_max = own.blast_percent.unwrap_or(limits.blast_percent);
    match case.blast {
        Ok(blast) => {
            let (changed, percent) = (blast.changed(), blast.percent());
            if changed >= limits.blast_min && percent > f64::from(percent_max) {
                holds.push(Hold::Blast { changed, percent, percent_max });
            }
        }
        Err(because) if limits.hold_without_store && percent_max < 100 => {
            holds.push(Hold::StoreAway { because: because.to_owned() });
        }
        Err(_) => {}
    }
    holds
}

/// Whether `part` is more than `percent` percent of `whole`.
fn exceeds(part: u64, whole: u64, percent: u32) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(limits: &str) -> FeedSpec {
        let spec =
            format!(r#"{{"name":"a","source":"/l/a","format":"domains","limits":{limits}}}"#);
        FeedSpec::read(&spec).unwrap()
    }

    fn config() -> config::Feeds {
        config::Feeds {
            shrink_percent: 50,
            growth_percent: 300,
            change_rules_min: 5,
            rejected_max: 10,
            blast_percent: 5,
            blast_min: 100,
            hold_without_store: false,
            ..config::Feeds::default()
        }
    }

    fn words(holds: &[Hold]) -> Vec<String> {
        let word = |h| serde_json::to_value(h).unwrap()["why"].as_str().unwrap().to_owned();
        holds.iter().map(word).collect()
    }

    #[test]
    fn sizes_hold_at_their_limits() {
        let (spec, limits, none) = (spec("{}"), config(), Blast::default());
        let check = |before, after, expected: &[&str]| {
            let case =
                Case { spec: &spec, limits: &limits, before, after, rejected: 0, blast: Ok(&none) };
            assert_eq!(words(&holds(&case)), expected, "{before:?} to {after}");
        };
        check(None, 1_000_000, &[]);
        check(Some(100), 50, &[]);
        check(Some(100), 49, &["shrunk"]);
        check(Some(100), 400, &[]);
        check(Some(100), 401, &["grown"]);
        check(Some(4), 1, &[]);
        check(Some(1), 5, &[]);
        check(Some(1), 0, &["shrunk"]);
        check(Some(0), 1_000, &[]);
        check(Some(0), 0, &[]);
    }

    #[test]
    fn a_feeds_own_limits_come_first() {
        let spec =
            spec(r#"{"shrink_percent":10,"growth_percent":0,"rejected_max":0,"blast_percent":0}"#);
        let limits = config();
        let blast = Blast {
            resolutions: 1_000,
            resolutions_seen: 1_000,
            resolutions_changed: 100,
            ..Blast::default()
        };
        let case = Case {
            spec: &spec,
            limits: &limits,
            before: Some(100),
            after: 80,
            rejected: 1,
            blast: Ok(&blast),
        };
        assert_eq!(words(&holds(&case)), ["shrunk", "rejected", "blast"]);
        let case = Case { after: 105, rejected: 0, blast: Err("away"), ..case };
        assert_eq!(words(&holds(&case)), ["grown"]);
        let careful = config::Feeds { hold_without_store: true, ..config() };
        assert_eq!(words(&holds(&Case { limits: &careful, ..case })), ["grown", "store-away"]);
    }

    #[test]
    fn what_would_change_holds_by_share_and_number() {
        let (spec, limits) = (spec("{}"), config());
        let check = |changed, seen, expected: &[&str]| {
            let blast = Blast {
                resolutions: seen,
                resolutions_seen: seen,
                resolutions_changed: changed,
                ..Blast::default()
            };
            let case = Case {
                spec: &spec,
                limits: &limits,
                before: None,
                after: 1,
                rejected: 0,
                blast: Ok(&blast),
            };
            assert_eq!(words(&holds(&case)), expected, "{changed} of {seen}");
        };
        check(99, 100, &[]);
        check(100, 2_000, &[]);
        check(101, 2_000, &["blast"]);
    }
}
