//! A node with a wrong clock would write records nobody finds: `serve` refuses to start with one.

use std::time::Duration;

use crate::clock::Timestamp;

/// No clock was ever right before this release was made: 2026-11-01.
const RELEASED: Timestamp = Timestamp::from_secs(1_793_491_200);

/// A clock that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Before this release was made.
    #[error("the clock says {0}, before this release was made: set it, then start again")]
    BeforeRelease(Timestamp),
    /// Earlier than what was recorded.
    #[error(
        "the clock says {now}, but the newest record is of {newest}: set the clock, then start \
         again (limit: clock_back_max_s)"
    )]
    Back {
        /// The clock.
        now: Timestamp,
        /// The newest record's time.
        newest: Timestamp,
    },
    /// Much later than what was recorded.
    #[error(
        "the clock says {now}, but the newest record is of {newest}: set the clock, or raise \
         clock_ahead_max_s if the node really slept that long"
    )]
    Ahead {
        /// The clock.
        now: Timestamp,
        /// The newest record's time.
        newest: Timestamp,
    },
}

/// Whether `now` can be right, given the newest record in the spool.
///
/// # Errors
/// [`ClockError`], which says what to do.
pub(super) fn check(
    now: Timestamp,
    newest: Option<Timestamp>,
    back_max: Duration,
    ahead_max: Duration,
) -> Result<(), ClockError> {
    if now < RELEASED {
        return Err(ClockError::BeforeRelease(now));
    }
    match newest {
        Some(newest) if newest.since(now) > back_max => Err(ClockError::Back { now, newest }),
        Some(newest) if now.since(newest) > ahead_max => Err(ClockError::Ahead { now, newest }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_cannot_be_right_are_refused() {
        let day = Duration::from_secs(86_400);
        let at = |days: u64| RELEASED.saturating_add(day * u32::try_from(days).unwrap());
        let check = |now, newest| check(now, newest, day, day * 100);
        assert_eq!(check(at(1), None), Ok(()));
        assert_eq!(check(at(1), Some(at(2))), Ok(()));
        assert_eq!(check(at(102), Some(at(2))), Ok(()));
        assert!(matches!(check(at(1), Some(at(3))), Err(ClockError::Back { .. })));
        assert!(matches!(check(at(103), Some(at(2))), Err(ClockError::Ahead { .. })));
        let early = RELEASED.saturating_sub(day);
        assert_eq!(check(early, None), Err(ClockError::BeforeRelease(early)));
    }
}
