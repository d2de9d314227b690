//! What lists say of a rule beside its trigger and its action, field by field.

use std::{collections::HashSet, sync::Arc};

use jiff::{
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use super::{Options, Reason};
use crate::{
    clock::Timestamp,
    policy::{ContentClass, Legal, Tier},
};

/// A field of [`Legal`], by the word that it has in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegalField {
    /// Who ordered it.
    Authority,
    /// The order's number.
    OrderNumber,
    /// The reason.
    Reason,
    /// The class of content.
    ContentClass,
    /// What being listed means.
    Tier,
    /// When the order was made.
    IssuedAt,
    /// From when on the rule counts.
    EffectiveFrom,
    /// Until when it counts.
    ExpiresAt,
    /// By when it must be in force.
    DueAt,
    /// Who approved it.
    Approver,
    /// Where the evidence is.
    Evidence,
}

impl LegalField {
    /// Every field.
    pub const ALL: &[Self] = &[
        Self::Authority,
        Self::OrderNumber,
        Self::Reason,
        Self::ContentClass,
        Self::Tier,
        Self::IssuedAt,
        Self::EffectiveFrom,
        Self::ExpiresAt,
        Self::DueAt,
        Self::Approver,
        Self::Evidence,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::OrderNumber => "order_number",
            Self::Reason => "reason",
            Self::ContentClass => "content_class",
            Self::Tier => "tier",
            Self::IssuedAt => "issued_at",
            Self::EffectiveFrom => "effective_from",
            Self::ExpiresAt => "expires_at",
            Self::DueAt => "due_at",
            Self::Approver => "approver",
            Self::Evidence => "evidence",
        }
    }

    /// The field of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Sets it from text; text of nothing leaves it as it is.
    ///
    /// # Errors
    /// When the text is too long, no time, no tier or no class.
    pub(super) fn set(
        self,
        legal: &mut Legal,
        text: &str,
        options: &Options,
    ) -> Result<(), Reason> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > options.field_bytes_max {
            let why = format!("{} is longer than {} bytes", self.name(), options.field_bytes_max);
            return Err(Reason::new("too-long", why));
        }
        let time = |until| self.time(text, options.utc_offset_s, until);
        match self {
            Self::Authority => legal.authority = line(text),
            Self::OrderNumber => legal.order_number = line(text),
            Self::Reason => legal.reason = line(text),
            Self::ContentClass => legal.content_class = class(text)?.into(),
            Self::Tier => legal.tier = Some(tier(text)?),
            Self::IssuedAt => legal.issued_at = time(false)?,
            Self::EffectiveFrom => legal.effective_from = time(false)?,
            Self::ExpiresAt => legal.expires_at = time(true)?,
            Self::DueAt => legal.due_at = time(true)?,
            Self::Approver => legal.approver = line(text),
            Self::Evidence => legal.evidence = line(text),
        }
        Ok(())
    }

    fn time(self, text: &str, utc_offset_s: i32, until: bool) -> Result<Timestamp, Reason> {
        timestamp(text, utc_offset_s, until).ok_or_else(|| {
            let why =
                format!("{}: {text:?} is no time; write 2030-01-31T12:00:00+08:00", self.name());
            Reason::new("bad-time", why)
        })
    }
}

/// Text on one line.
fn line(text: &str) -> Box<str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    text.split(char::is_control)
        .filter(|p| !p.trim().is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .into()
}

fn class(text: &str) -> Result<&'static str, Reason> {
    let chinese = || crate::policy::CONTENT_CLASSES.iter().find(|c| c.chinese == text);
    ContentClass::find(text).or_else(chinese).map(|c| c.code).ok_or_else(|| {
        let why = format!("{text:?} is none of the nine classes of content, by number or by code");
        Reason::new("bad-class", why)
    })
}

fn tier(text: &str) -> Result<Tier, Reason> {
    let found = match text {
        "弱提示" => Some(Tier::Hint),
        "强提示" => Some(Tier::Interstitial),
        "强制阻断" | "阻断" => Some(Tier::Block),
        _ => Tier::from_name(&text.to_ascii_lowercase()),
    };
    let why = || Reason::new("bad-tier", format!("{text:?} is none of hint, interstitial, block"));
    found.ok_or_else(why)
}

/// A time: RFC 3339; or a date with or without a time of day, in the feed's offset. A date alone
/// that ends something (`until`) ends with that day.
pub(super) fn timestamp(text: &str, utc_offset_s: i32, until: bool) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
    // Nothing but digits and what parts them.
    let parts = |c: char| c.is_ascii_digit() || " -/.:Tt年月日时分秒".contains(c);
    if !text.chars().all(parts) {
        return None;
    }
    let mut number = || numbers.next().map(|n| n.parse::<i16>().ok());
    let (year, month, day) = (number()??, number()??, number()??);
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    if year < 1_970 {
        return None;
    }
    let when: DateTime = match number() {
        None if until => date.tomorrow().ok()?.to_datetime(Time::midnight()),
        None => date.to_datetime(Time::midnight()),
        Some(hour) => {
            let of = |n: Option<Option<i16>>| i8::try_from(n.unwrap_or(Some(0))?).ok();
            let (hour, minute, second) = (of(Some(hour))?, of(number())?, of(number())?);
            date.to_datetime(Time::new(hour, minute, second, 0).ok()?)
        }
    };
    if number().is_some() {
        return None;
    }
    let offset = Offset::from_seconds(utc_offset_s).ok()?;
    offset.to_timestamp(when).ok().map(|t| Timestamp(t.as_microsecond()))
}

/// An offset from UTC: `+08:00`, `-0330`, `Z`; empty for UTC. In seconds.
pub fn utc_offset(text: &str) -> Option<i32> {
    if matches!(text, "" | "Z" | "z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Laws that many rules share, kept once.
#[derive(Debug, Default)]
pub(super) struct Laws {
    known: HashSet<Arc<Legal>>,
}

/// How many different laws are remembered; then remembering begins anew.
const LAWS_MAX: usize = 65_536;

impl Laws {
    pub(super) fn shared(&mut self, legal: Legal) -> Arc<Legal> {
        if let Some(known) = self.known.get(&legal) {
            return Arc::clone(known);
        }
        if self.known.len() == LAWS_MAX {
            self.known.clear();
        }
        let legal = Arc::new(legal);
        self.known.insert(Arc::clone(&legal));
        legal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, until: bool, expected: Option<&str>| {
            let found = timestamp(text, 8 * 3_600, until).map(|t| t.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2026-11-22T12:00:00Z", false, Some("2026-11-22T12:00:00.000000Z"));
        check("2026-11-22T12:00:00+01:00", true, Some("2026-11-22T11:00:00.000000Z"));
        check("2026-11-22", false, Some("2026-11-21T16:00:00.000000Z"));
        check("2026-11-22", true, Some("2026-11-22T16:00:00.000000Z"));
        check("2026/1/2 8:00", true, Some("2026-01-02T00:00:00.000000Z"));
        check("2026年11月22日", false, Some("2026-11-21T16:00:00.000000Z"));
        check("2026-11-22T09:30:15", false, Some("2026-11-22T01:30:15.000000Z"));
        for bad in [
            "",
            "soon",
            "2026",
            "2026-13-01",
            "2026-11-31",
            "22.11.2026",
            "2026-11-22 25:00",
            "1-2-3-4-5-6-7",
            "2026-11-22 1:2:3:4",
        ] {
            check(bad, false, None);
        }
    }

    #[test]
    fn offsets() {
        for (text, expected) in [
            ("", Some(0)),
            ("Z", Some(0)),
            ("+08:00", Some(28_800)),
            ("-0330", Some(-12_600)),
            ("08:00", None),
            ("+8", None),
            ("+19:00", None),
            ("诈", None),
        ] {
            assert_eq!(utc_offset(text), expected, "{text}");
        }
    }

    #[test]
    fn fields() {
        let mut legal = Legal::default();
        let options = Options { field_bytes_max: 20, ..Options::default() };
        let mut set = |field: &str, text: &str| {
            LegalField::from_name(field)
                .unwrap()
                .set(&mut legal, text, &options)
                .map_err(|r| r.code)
        };
        assert_eq!(set("authority", " 公安部 "), Ok(()));
        assert_eq!(set("reason", "a\r\n b"), Ok(()));
        assert_eq!(set("tier", "强提示"), Ok(()));
        assert_eq!(set("tier", "HINT"), Ok(()));
        assert_eq!(set("tier", "strong"), Err("bad-tier"));
        assert_eq!(set("content_class", "7"), Ok(()));
        assert_eq!(set("content_class", "10"), Err("bad-class"));
        assert_eq!(set("expires_at", "never"), Err("bad-time"));
        assert_eq!(set("approver", &"x".repeat(21)), Err("too-long"));
        assert_eq!(set("approver", "  "), Ok(()));
        assert_eq!((&*legal.authority, &*legal.reason), ("公安部", "a  b"));
        assert_eq!((legal.tier, &*legal.content_class), (Some(Tier::Hint), "vice-or-crime"));
    }

    #[test]
    fn equal_laws_are_kept_once() {
        let mut laws = Laws::default();
        let legal = |n: &str| Legal { order_number: n.into(), ..Legal::default() };
        let first = laws.shared(legal("1"));
        assert!(Arc::ptr_eq(&first, &laws.shared(legal("1"))));
        assert!(!Arc::ptr_eq(&first, &laws.shared(legal("2"))));
    }
}
