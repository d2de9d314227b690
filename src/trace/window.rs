//! The time a question covers.

use std::time::Duration;

use crate::clock::Timestamp;

/// An HTTP exchange is taken to end within this time: records that share a flow lie no farther
/// apart. Forms that carry a flow must expire sooner.
const FLOW_SPAN: Duration = Duration::from_secs(3_600);

/// Half open: from the first instant, up to but without the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant covered.
    pub from: Timestamp,
    /// The first instant no longer covered.
    pub to: Timestamp,
}

impl Window {
    /// All time.
    pub const ALL: Self = Self { from: Timestamp::ZERO, to: END };

    /// Reads both ends; what is not given is unbounded.
    ///
    /// # Errors
    /// When an end is no time, or the window would be empty.
    pub fn parse(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<Self, BadWindow> {
        let from = from.map_or(Ok(Self::ALL.from), |t| instant(t, now, Edge::From))?;
        let to = to.map_or(Ok(Self::ALL.to), |t| instant(t, now, Edge::To))?;
        if from < to { Ok(Self { from, to }) } else { Err(BadWindow::Empty) }
    }

    /// One instant, in any form that an end of a window has; a date is the end of its day.
    ///
    /// # Errors
    /// When it is no time.
    pub(super) fn instant(text: &str, now: Timestamp) -> Result<Timestamp, BadWindow> {
        instant(text, now, Edge::To)
    }

    /// The time before and after an instant.
    pub(super) fn around(at: Timestamp, seconds: u64) -> Self {
        let span = Duration::from_secs(seconds);
        Self { from: at.saturating_sub(span), to: at.saturating_add(span) }
    }

    /// What both cover; its end may lie before its beginning.
    pub(super) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// With the time before and after in which records may share a flow with one of this window.
    pub(super) fn and_around(self) -> Self {
        Self { from: self.from.saturating_sub(FLOW_SPAN), to: self.to.saturating_add(FLOW_SPAN) }
    }
}

/// 2262-01-01: near the end of what `DateTime64` can hold.
const END: Timestamp = Timestamp::from_secs(9_214_646_400);

/// The text is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// Not a time.
    #[error(
        "a time is RFC 3339 with a zone (2026-11-22T10:00:00Z), a date (2026-11-22, UTC), `now`, \
         or a span before now (-90s, -30m, -2h, -7d, -4w)"
    )]
    Time,
    /// Ends before it begins.
    #[error("`from` must be before `to`")]
    Empty,
}

#[derive(Clone, Copy)]
enum Edge {
    From,
    To,
}

/// A date stands for its first instant as `from`, and for the end of that day as `to`.
fn instant(text: &str, now: Timestamp, edge: Edge) -> Result<Timestamp, BadWindow> {
    let text = text.trim();
    let ts = if text == "now" {
        now
    } else if let Some(span) = text.strip_prefix('-') {
        now.saturating_sub(span_of(span).ok_or(BadWindow::Time)?)
    } else if let Ok(ts) = text.parse::<jiff::Timestamp>() {
        Timestamp(ts.as_microsecond())
    } else {
        let date: jiff::civil::Date = text.parse().map_err(|_| BadWindow::Time)?;
        // Longer text parses as a date too, when it is a local time: its zone is unknown.
        if text.len() != 10 {
            return Err(BadWindow::Time);
        }
        let day = match edge {
            Edge::From => date,
            Edge::To => date.tomorrow().map_err(|_| BadWindow::Time)?,
        };
        let start = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| BadWindow::Time)?;
        Timestamp(start.timestamp().as_microsecond())
    };
    Ok(ts.clamp(Timestamp::ZERO, END))
}

fn span_of(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: &str) -> Timestamp {
        Timestamp(s.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn times_are_read_in_every_form() {
        let now = at("2026-11-22T12:00:00Z");
        for (text, from, to) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T18:00:00.5+08:00", "2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.5Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
            ("-2h", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("-1w", "2026-11-15T12:00:00Z", "2026-11-15T12:00:00Z"),
            ("now", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
        ] {
            assert_eq!(instant(text, now, Edge::From), Ok(at(from)), "{text}");
            assert_eq!(instant(text, now, Edge::To), Ok(at(to)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let now = Timestamp::from_secs(1_795_000_000);
        for bad in ["", "-", "-h", "-2", "-2y", "--2h", "2026-11-22T10:00:00", "yesterday", "-ÿs"]
        {
            assert_eq!(instant(bad, now, Edge::From), Err(BadWindow::Time), "{bad}");
        }
        assert_eq!(Window::parse(Some("-1h"), Some("-2h"), now), Err(BadWindow::Empty));
        assert_eq!(Window::parse(None, None, now), Ok(Window::ALL));
        let whole = Window::parse(Some("-99999999999w"), None, now);
        assert_eq!(whole, Ok(Window::ALL));
    }
}
