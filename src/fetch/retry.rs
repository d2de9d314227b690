//! When a server that is busy wants to be asked again: `Retry-After` (RFC 9110 §10.2.3).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::clock::Timestamp;

/// Whether an answer of this status may say when to come back.
pub(crate) fn applies(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// How long to leave the server alone, seen at `now`; none where it does not say, or nothing that
/// can be read.
pub(crate) fn after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are longer than any limit.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(at.as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let headers = [(header::RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            assert_eq!(after(&headers, now), expected.map(Duration::from_secs), "{text:?}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("99999999999999999999999", Some(u64::from(u32::MAX)));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("", None);
        check("-1", None);
        check("soon", None);
        assert_eq!(after(&HeaderMap::new(), now), None);
    }
}
