//! Times as registries write them.

use jiff::{Timestamp as Instant, civil};

use crate::clock::Timestamp;

/// An instant by RFC 3339, as RDAP wants it.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let at: Instant = text.trim().parse().ok()?;
    Some(Timestamp(at.as_microsecond()))
}

/// An instant in any form in use: RFC 3339, `YYYY-MM-DD HH:MM:SS`, a day alone by day, month and
/// year in some order of the known. `offset_h` is what times without a zone are ahead of UTC.
pub(super) fn any(text: &str, offset_h: i8) -> Option<Timestamp> {
    let text = text.trim().trim_end_matches('.');
    if let Some(at) = rfc3339(text) {
        return Some(at);
    }
    let bare = text.trim_end_matches(" UTC").trim_end_matches(" (JST)").trim_end_matches('Z');
    let forms = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y.%m.%d %H:%M:%S",
        "%Y/%m/%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
        "%d.%m.%Y %H:%M:%S",
    ];
    let days = ["%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d-%b-%Y", "%d.%m.%Y", "%Y%m%d"];
    let at =
        forms.iter().find_map(|form| civil::DateTime::strptime(form, bare).ok()).or_else(|| {
            let day = days.iter().find_map(|form| civil::Date::strptime(form, bare).ok())?;
            Some(day.to_datetime(civil::Time::midnight()))
        })?;
    let zone = jiff::tz::Offset::from_hours(offset_h).ok()?;
    Some(Timestamp(zone.to_timestamp(at).ok()?.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_registries_write_them() {
        for (text, offset_h, expected) in [
            ("2003-03-17 12:20:05", 8, Some("2003-03-17T04:20:05Z")),
            ("2024-08-14T07:01:44Z", 0, Some("2024-08-14T07:01:44Z")),
            ("2024-08-14T07:01:44+02:00", 0, Some("2024-08-14T05:01:44Z")),
            ("2027-08-31", 0, Some("2027-08-31T00:00:00Z")),
            ("2027/08/31", 9, Some("2027-08-30T15:00:00Z")),
            ("14-Aug-2024", 0, Some("2024-08-14T00:00:00Z")),
            ("2024.08.14 10:00:00", 0, Some("2024-08-14T10:00:00Z")),
            ("before Aug-1996", 0, None),
            ("", 0, None),
        ] {
            let expected = expected.map(|t| t.parse().unwrap());
            assert_eq!(any(text, offset_h), expected, "{text}");
        }
    }
}
