//! The range of every number. Each section lists its own beside its keys; a test holds the lists
//! to the keys, so that no number is without limits.

use super::{
    Config, Problem, Source, acme, api_limits, control, data, dns, feeds, gateway, jumps, notices,
    outbound, policy, registries, reports, schedule, spool, store, transfer, verify, walks,
    webhooks,
};

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The key's path.
    pub(super) key: &'static str,
    /// The smallest value.
    pub(super) min: i64,
    /// The largest value.
    pub(super) max: i64,
}

/// Shorthand for the sections' lists.
pub(super) const fn limits(key: &'static str, min: i64, max: i64) -> Limits {
    Limits { key, min, max }
}

const TOP: &[Limits] = &[
    limits("version", 1, 1),
    limits("clock_back_max_s", 1, 86_400),
    limits("clock_ahead_max_s", 86_400, 3_660 * 86_400),
    limits("drain_grace_ms", 100, 600_000),
    limits("worker_threads", 0, 1_024),
];

const SECTIONS: &[&[Limits]] = &[
    TOP,
    dns::LIMITS,
    policy::LIMITS,
    feeds::LIMITS,
    transfer::LIMITS,
    verify::LIMITS,
    registries::LIMITS,
    data::LIMITS,
    schedule::LIMITS,
    gateway::LIMITS,
    api_limits::LIMITS,
    acme::LIMITS,
    jumps::LIMITS,
    notices::LIMITS,
    outbound::LIMITS,
    reports::LIMITS,
    walks::LIMITS,
    webhooks::LIMITS,
    control::LIMITS,
    spool::LIMITS,
    store::LIMITS,
];

/// Every number outside its range.
pub(super) fn check(config: &Config, source: &Source) -> Vec<Problem> {
    let table = match toml::Table::try_from(config) {
        Ok(table) => table,
        Err(e) => {
            let advice = "Write numbers below 2^63";
            return vec![source.problem("", format!("cannot be written back: {e}"), advice)];
        }
    };
    let all = SECTIONS.iter().copied().flatten();
    all.filter_map(|l| {
        let value = number(&table, l.key)?;
        let (key, min, max) = (l.key, l.min, l.max);
        (value < min || value > max).then(|| {
            let advice = format!("Write a number from {min} to {max}");
            source.problem(key, format!("{value} is out of range"), advice)
        })
    })
    .collect()
}

fn number(table: &toml::Table, path: &str) -> Option<i64> {
    match path.split_once('.') {
        Some((section, rest)) => number(table.get(section)?.as_table()?, rest),
        None => table.get(path)?.as_integer(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(prefix: &str, table: &toml::Table, out: &mut Vec<String>) {
        for (key, value) in table {
            let path = super::super::source::join(prefix, key);
            match value {
                toml::Value::Integer(_) => out.push(path),
                toml::Value::Table(table) => numbers(&path, table, out),
                _ => {}
            }
        }
    }

    #[test]
    fn every_number_has_limits() {
        let table = toml::Table::try_from(Config::default()).unwrap();
        let mut keys = Vec::new();
        numbers("", &table, &mut keys);
        let mut listed: Vec<_> =
            SECTIONS.iter().copied().flatten().map(|l| l.key.to_owned()).collect();
        keys.sort();
        listed.sort();
        assert_eq!(keys, listed, "left: numbers in Config; right: LIMITS in src/config/*.rs");
    }

    #[test]
    fn every_default_is_within_its_limits() {
        assert_eq!(check(&Config::default(), &Source::default()), []);
    }
}
