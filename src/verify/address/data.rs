//! What sets of data say of an address: IP-04 to IP-06 and IP-10.

use super::super::{
    Check, Finding, Grade, Outcome, Severity, Unasked,
    data::{Rows, Set, Validity, validity},
};

/// What is found in the rows about one address.
pub fn data(rows: &Rows) -> Vec<Finding> {
    vec![given(rows), announced(rows), signed(rows), country(rows)]
        .into_iter()
        .map(|f| f.arg("address", rows.address.to_string()))
        .collect()
}

fn unasked(check: Check, says: impl Into<String>) -> Finding {
    Finding::new(check, Outcome::NotEvaluated(Unasked::NoSource), says)
}

/// A set by name, day and the beginning of its digest.
fn named(set: &Set) -> String {
    let made = set.made.to_string();
    let day = made.split('T').next().unwrap_or_default();
    format!("{} of {day} ({})", set.name, &set.digest.to_string()[..12])
}

/// IP-04: a registry gave it to somebody.
fn given(rows: &Rows) -> Finding {
    let at = rows.address;
    let Some(found) = &rows.delegations else {
        return unasked(Check::Ip04, "no statistics of a regional registry are loaded");
    };
    let Some(row) = found.first() else {
        return unasked(Check::Ip04, format!("no registry that is loaded has {at}"));
    };
    let set = named(&row.set);
    let finding = match row.status.as_str() {
        "allocated" | "assigned" => Finding::new(
            Check::Ip04,
            Outcome::True,
            format!("{at} is {} in {} by {}, says {set}", row.status, row.country, row.registry),
        ),
        status => Finding::new(
            Check::Ip04,
            Outcome::False,
            format!("{at} is {status} at {}: nobody has it, says {set}", row.registry),
        )
        .severity(Severity::Warning),
    };
    finding
        .grade(Grade::B)
        .arg("registry", row.registry.clone())
        .arg("status", row.status.clone())
        .arg("country", row.country.clone())
        .arg("set", set)
}

/// IP-05: who announces it.
fn announced(rows: &Rows) -> Finding {
    let at = rows.address;
    let Some(found) = &rows.origins else {
        return unasked(Check::Ip05, "no set of origins is loaded");
    };
    let Some(first) = found.first() else {
        return Finding::new(Check::Ip05, Outcome::False, format!("nobody announces {at}"))
            .severity(Severity::Notice);
    };
    let mut asns: Vec<u32> = found.iter().map(|o| o.asn).collect();
    asns.sort_unstable();
    asns.dedup();
    let shown: Vec<String> = asns.iter().map(|asn| format!("AS{asn}")).collect();
    let says =
        format!("{} announces {}, says {}", shown.join(", "), first.prefix, named(&first.set));
    Finding::new(Check::Ip05, Outcome::True, says)
        .grade(if found.len() > 1 { Grade::C } else { Grade::D })
        .arg("asns", asns)
        .arg("prefix", first.prefix.to_string())
}

/// IP-06: whoever announces it may (RFC 6811).
fn signed(rows: &Rows) -> Finding {
    let (Some(vrps), Some(set)) = (&rows.vrps, &rows.vrps_of) else {
        return unasked(Check::Ip06, "no export of validated ROA payloads is loaded");
    };
    let Some(origin) = rows.origins.iter().flatten().next() else {
        return unasked(Check::Ip06, "who announces it is not known");
    };
    let (asn, prefix, set) = (origin.asn, origin.prefix, named(set));
    let (outcome, severity, word, says) = match validity(vrps, prefix, asn) {
        Validity::Valid => {
            (Outcome::True, Severity::Info, "valid", format!("AS{asn} may announce {prefix}"))
        }
        Validity::InvalidOrigin => (
            Outcome::False,
            Severity::Warning,
            "invalid_origin",
            format!("AS{asn} announces {prefix}, which others may"),
        ),
        Validity::InvalidLength => (
            Outcome::False,
            Severity::Warning,
            "invalid_length",
            format!("AS{asn} may not announce so long a prefix as {prefix}"),
        ),
        Validity::NotFound => {
            return unasked(Check::Ip06, format!("nobody signed who may announce {prefix}"))
                .arg("rpki", "not_found");
        }
    };
    Finding::new(Check::Ip06, outcome, format!("{says}, says {set}"))
        .severity(severity)
        .grade(Grade::A)
        .arg("rpki", word)
        .arg("asn", asn)
        .arg("prefix", prefix.to_string())
        .arg("set", set)
}

/// IP-10: the country. Sets disagree on one address in thirteen: a note, by name of the sets.
fn country(rows: &Rows) -> Finding {
    let mut codes: Vec<&str> = rows.countries.iter().map(|c| c.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let all: Vec<String> =
        rows.countries.iter().map(|c| format!("{} by {}", c.code, named(&c.set))).collect();
    let says = format!("it is said to be in {}", all.join(", "));
    match (rows.countries.len(), codes.len()) {
        (0, _) => unasked(Check::Ip10, "no set of countries has it"),
        (1, _) => unasked(Check::Ip10, format!("{says}, and one set alone tells nothing")),
        (_, 1) => Finding::new(Check::Ip10, Outcome::True, says).grade(Grade::C),
        _ => Finding::new(Check::Ip10, Outcome::False, says).grade(Grade::C),
    }
    .arg("countries", codes.into_iter().map(str::to_owned).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        verify::{
            data::{Country, Delegation, Origin, Vrp},
            evidence::EvidenceId,
        },
    };

    fn set(name: &str) -> Set {
        Set {
            name: name.into(),
            digest: EvidenceId::of(name.as_bytes()),
            made: Timestamp::from_secs(1_795_000_000),
        }
    }

    fn rows() -> Rows {
        let prefix = "8.8.8.0/24".parse().unwrap();
        Rows {
            address: "8.8.8.8".parse().unwrap(),
            origins: Some(vec![Origin { prefix, asn: 15_169, set: set("asn") }]),
            vrps: Some(vec![Vrp { prefix, max_length: 24, asn: 15_169 }]),
            vrps_of: Some(set("vrps")),
            delegations: Some(vec![Delegation {
                registry: "arin".into(),
                status: "allocated".into(),
                country: "US".into(),
                set: set("arin"),
            }]),
            countries: ["one", "two"].map(|s| Country { code: "US".into(), set: set(s) }).into(),
        }
    }

    fn check(change: impl FnOnce(&mut Rows), expected: [&str; 4]) {
        let mut rows = rows();
        change(&mut rows);
        let findings = data(&rows);
        let found: Vec<_> = findings.iter().map(|f| f.outcome.name()).collect();
        assert_eq!(found, expected, "{findings:#?}");
    }

    #[test]
    fn rows_are_judged_by_what_they_say() {
        let none = "not_evaluated";
        check(|_| {}, ["true", "true", "true", "true"]);
        check(|r| r.vrps.as_mut().unwrap()[0].asn = 1, ["true", "true", "false", "true"]);
        check(|r| r.vrps = Some(vec![]), ["true", "true", none, "true"]);
        check(
            |r| r.delegations.as_mut().unwrap()[0].status = "available".into(),
            ["false", "true", "true", "true"],
        );
        check(|r| r.countries[0].code = "CN".into(), ["true", "true", "true", "false"]);
        check(|r| drop(r.countries.pop()), ["true", "true", "true", none]);
        check(|r| r.origins = None, ["true", none, none, "true"]);
        check(|r| r.origins = Some(vec![]), ["true", "false", none, "true"]);
        check(|r| r.delegations = Some(vec![]), [none, "true", "true", "true"]);
    }
}
