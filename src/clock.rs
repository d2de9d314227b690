//! The only reader of the system's clocks.
//!
//! Everything that decides takes a [`Timestamp`] as a value; everything that measures takes a
//! [`std::time::Instant`] from [`Clock::monotonic`]. Tests hand in [`Clock::fixed`].

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Microseconds since 1970-01-01T00:00:00Z: the unit of every `ts` column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The beginning of the epoch, which columns use for "never".
    pub const ZERO: Self = Self(0);
    /// The largest instant.
    pub const MAX: Self = Self(i64::MAX);

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant moved later by `d`, stopping at [`Timestamp::MAX`].
    pub fn saturating_add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(micros(d)))
    }

    /// This instant moved earlier by `d`, stopping at the smallest instant.
    pub fn saturating_sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(micros(d)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with six digits of a second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(ts) => write!(f, "{ts:.6}"),
            Err(_) => write!(f, "out-of-range({})", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;

    /// RFC 3339, with an offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp = text.parse()?;
        Ok(Self(instant.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    /// RFC 3339 in UTC; null for [`Timestamp::ZERO`], which stands for never.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if *self == Self::ZERO { s.serialize_none() } else { s.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// RFC 3339 with an offset, or null.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text: Option<Cow<'de, str>> = Deserialize::deserialize(d)?;
        let read = |t: Cow<'de, str>| {
            t.parse().map_err(|_| D::Error::custom("a time is written as 2030-01-31T12:00:00Z"))
        };
        text.map_or(Ok(Self::ZERO), read)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    /// As it is written and read: null for never.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "format": "date-time" })
    }
}

/// The schema of a [`Timestamp`] that is never [`Timestamp::ZERO`].
pub fn instant_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// Where time comes from; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of the machine.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now` until [`Clock::advance`] moves it.
    pub fn fixed(now: Timestamp) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(now.0))))
    }

    /// The wall clock now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(d) => Timestamp(micros(d)),
                Err(e) => Timestamp(-micros(e.duration())),
            },
            Source::Fixed(now) => Timestamp(now.load(Ordering::Relaxed)),
        }
    }

    /// The monotonic clock now, for measuring spans only.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// Moves a fixed clock by `d`; does nothing to the system's.
    pub fn advance(&self, d: Duration) {
        if let Source::Fixed(now) = &self.0 {
            now.fetch_add(micros(d), Ordering::Relaxed);
        }
    }

    /// Sets a fixed clock, back too; does nothing to the system's.
    pub fn set(&self, to: Timestamp) {
        if let Source::Fixed(now) = &self.0 {
            now.store(to.0, Ordering::Relaxed);
        }
    }
}
