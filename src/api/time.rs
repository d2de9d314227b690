//! Times in requests and answers: RFC 3339.

use http::StatusCode;

use super::Problem;
use crate::clock::Timestamp;

/// An instant such as `2030-01-31T12:00:00Z`.
pub(super) fn parse(text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request("a time is written as 2030-01-31T12:00:00Z (RFC 3339, with an offset)")
    })
}

/// An end that has passed.
pub(super) fn past() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "expires_in_the_past",
        "The end lies in the past.",
        "到期时间早于当前时间。",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_an_offset() {
        assert_eq!(parse("1970-01-01T08:00:01+08:00").unwrap(), Timestamp::from_secs(1));
        for bad in ["", "tomorrow", "2030-01-31", "2030-01-31T12:00:00", "12"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
