//! What is found in what registries said: REG-01 to REG-09, REG-11, REG-13 to REG-15.

use std::{collections::BTreeSet, time::Duration};

use super::{Ds, Heard, Registration, Said, status::Status};
use crate::{
    clock::Timestamp,
    verify::{Check, Finding, Grade, Outcome, Severity, Unasked, Unclear},
};

const DAY: Duration = Duration::from_secs(86_400);

/// How close the end of a registration is worth a word.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// A registration is new for so long, by the common reading of 32 days.
const NEW: Duration = Duration::from_secs(32 * 86_400);

/// Registries write their changes into the zone within this time.
const CHANGING: Duration = DAY;

/// What a registry says of itself is stale after this time.
const STALE: Duration = Duration::from_secs(7 * 86_400);

/// What the DNS says that registries are held against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The servers to which the zone above delegates the domain; none where that is not known.
    pub delegated: Option<BTreeSet<String>>,
    /// Its DS records there; none where that is not known.
    pub ds: Option<BTreeSet<Ds>>,
    /// Whether the name that was asked about has addresses.
    pub resolves: bool,
}

/// One registration, and what it is judged against.
struct Case<'a> {
    heard: &'a Heard,
    found: &'a Registration,
    facts: &'a Facts,
    now: Timestamp,
}

/// What is found about `domain` in what registries said, the best first.
pub fn registration(domain: &str, heard: &[Heard], facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let Some(best) = heard.first() else {
        let says = format!("no registry is known that could be asked about {domain}");
        return unknown(Outcome::NotEvaluated(Unasked::NoSource), &says);
    };
    let found = match &best.said {
        Err(outcome) => {
            let says = format!("{} did not tell about {domain}", best.source);
            return unknown(*outcome, &says);
        }
        Ok(Said::Perhaps) => {
            let says = format!("{} seems to say that there is no {domain}", best.source);
            let by = best.evidence;
            let open = unknown(Outcome::Unknown(Unclear::Uncorroborated), &says);
            return open.into_iter().map(|f| f.by(by)).collect();
        }
        Ok(Said::Absent) => return vec![absent(domain, best, facts)],
        Ok(Said::Registered(found)) => found,
    };
    let case = Case { heard: best, found, facts, now };
    let mut findings = vec![
        case.finds(Check::Reg01, Outcome::True, format!("{} has {domain}", best.source)),
        case.expired(),
        case.held(),
        case.dying(),
        case.age(),
        case.same_servers(),
        case.same_ds(),
        case.inactive(),
        case.withheld(),
        case.registrar(),
        case.conformity(),
        case.fresh(),
        case.locked(),
    ];
    if found.is_partial {
        findings[0].args.insert("partial", true.into());
    }
    findings
}

/// What needs a registry, where none told.
fn unknown(outcome: Outcome, says: &str) -> Vec<Finding> {
    let needed = Check::ALL.iter().filter(|c| {
        let entry = c.entry();
        entry.id.starts_with("REG-") && entry.needed
    });
    needed.map(|check| Finding::new(*check, outcome, says)).collect()
}

fn absent(domain: &str, heard: &Heard, facts: &Facts) -> Finding {
    let is_delegated = facts.delegated.as_ref().is_some_and(|d| !d.is_empty());
    let more = if is_delegated { ", yet the zone above delegates it" } else { "" };
    Finding::new(
        Check::Reg01,
        Outcome::False,
        format!("{} says that there is no {domain}{more}", heard.source),
    )
    .severity(Severity::Critical)
    .grade(heard.grade)
    .arg("delegated", is_delegated)
    .by(heard.evidence)
}

impl Case<'_> {
    fn finds(&self, check: Check, outcome: Outcome, says: impl Into<String>) -> Finding {
        let grade = if outcome.is_known() { self.heard.grade } else { Grade::U };
        Finding::new(check, outcome, says).grade(grade).by(self.heard.evidence)
    }

    fn has(&self, status: Status) -> bool {
        self.found.statuses.contains(&status)
    }

    /// REG-02.
    fn expired(&self) -> Finding {
        let Some(end) = self.found.expires else {
            let outcome = Outcome::NotEvaluated(Unasked::NoSource);
            return self.finds(Check::Reg02, outcome, "its registry does not say when it ends");
        };
        let finding = if end >= self.now {
            let soon = end < self.now.saturating_add(ENDS_SOON);
            self.finds(Check::Reg02, Outcome::True, format!("it is registered through {end}"))
                .severity(if soon { Severity::Notice } else { Severity::Info })
        } else {
            let severity = match () {
                () if self.has(Status::RedemptionPeriod) => Severity::Error,
                () if self.has(Status::AutoRenewPeriod) => Severity::Notice,
                () => Severity::Warning,
            };
            let more =
                if self.facts.resolves { ", and its name still leads somewhere" } else { "" };
            self.finds(
                Check::Reg02,
                Outcome::False,
                format!("its registration ended at {end}{more}"),
            )
            .severity(severity)
        };
        finding.arg("expires", end.to_string())
    }

    /// REG-03.
    fn held(&self) -> Finding {
        let holds: Vec<&str> =
            self.found.statuses.iter().filter(|s| s.is_hold()).map(|s| s.name()).collect();
        if holds.is_empty() {
            return self.finds(Check::Reg03, Outcome::True, "nobody holds it out of the DNS");
        }
        let (more, severity) = if self.facts.resolves {
            (", yet its name leads somewhere", Severity::Critical)
        } else {
            ("", Severity::Error)
        };
        self.finds(Check::Reg03, Outcome::False, format!("it is on {}{more}", holds.join(" and ")))
            .severity(severity)
            .arg("statuses", holds)
    }

    /// REG-04.
    fn dying(&self) -> Finding {
        let words: Vec<&str> =
            self.found.statuses.iter().filter(|s| s.is_dying()).map(|s| s.name()).collect();
        if words.is_empty() {
            return self.finds(Check::Reg04, Outcome::True, "it is not about to be deleted");
        }
        self.finds(Check::Reg04, Outcome::False, format!("it is in {}", words.join(" and ")))
            .severity(Severity::Error)
            .arg("statuses", words)
    }

    /// REG-05. New is whatever has a new holder. Most of what is new harms nobody: a note.
    fn age(&self) -> Finding {
        let found = self.found;
        let newest = found.registered.max(found.reregistered).max(found.transferred);
        let Some(since) = newest else {
            let outcome = Outcome::NotEvaluated(Unasked::NoSource);
            return self.finds(
                Check::Reg05,
                outcome,
                "its registry does not say since when it is there",
            );
        };
        let age = self.now.since(since);
        let days = age.as_secs() / 86_400;
        let finding = if age >= NEW {
            self.finds(Check::Reg05, Outcome::True, format!("it has been held since {since}"))
        } else {
            let says = format!("it has been held for {days} days, since {since}");
            self.finds(Check::Reg05, Outcome::False, says).severity(Severity::Notice)
        };
        let tier = match days {
            0 => "1 d",
            1..7 => "7 d",
            7..32 => "32 d",
            _ => "",
        };
        finding.arg("since", since.to_string()).arg("newer_than", tier)
    }

    /// How much a difference to the DNS matters: little while a change is on its way.
    fn severity_of_change(&self) -> Severity {
        match self.found.changed {
            Some(at) if self.now.since(at) < CHANGING => Severity::Notice,
            _ => Severity::Warning,
        }
    }

    /// REG-06.
    fn same_servers(&self) -> Finding {
        let ours = &self.found.nameservers;
        let Some(theirs) = &self.facts.delegated else {
            let outcome = Outcome::NotEvaluated(Unasked::Prerequisite);
            return self.finds(
                Check::Reg06,
                outcome,
                "how the zone above delegates it is not known",
            );
        };
        if ours.is_empty() && theirs.is_empty() {
            return self.finds(Check::Reg06, Outcome::NotApplicable, "it has no name servers");
        }
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let finding = if ours == theirs {
            self.finds(
                Check::Reg06,
                Outcome::True,
                "its registry and the zone above name the same servers",
            )
        } else {
            let says = format!(
                "its registry names {}, the zone above {}",
                shown(ours.difference(theirs)),
                shown(theirs.difference(ours))
            );
            // Signed or not, the zone above decides what is delegated, and says so unsigned.
            self.finds(Check::Reg06, Outcome::False, says).severity(self.severity_of_change())
        };
        finding
            .grade(self.heard.grade.max(Grade::B))
            .arg("registry", list(ours))
            .arg("parent", list(theirs))
    }

    /// REG-07.
    fn same_ds(&self) -> Finding {
        let unasked =
            |why: &str| self.finds(Check::Reg07, Outcome::NotEvaluated(Unasked::Prerequisite), why);
        let Some(theirs) = &self.facts.ds else {
            return unasked("what the zone above says of its keys is not known");
        };
        let Some(ours) = &self.found.ds else {
            return match (self.found.is_signed, theirs.is_empty()) {
                (Some(true), true) => self
                    .finds(
                        Check::Reg07,
                        Outcome::False,
                        "its registry says that it is signed, and the zone above has no DS record",
                    )
                    .severity(Severity::Error),
                (Some(true), false) => {
                    self.finds(Check::Reg07, Outcome::True, "its registry says that it is signed")
                }
                _ => unasked("its registry does not say whether it is signed"),
            };
        };
        if ours == theirs {
            let says = "its registry and the zone above have the same DS records";
            return self.finds(Check::Reg07, Outcome::True, says);
        }
        let severity = if theirs.is_empty() { Severity::Error } else { self.severity_of_change() };
        let tags = |set: &BTreeSet<Ds>| -> Vec<u16> { set.iter().map(|d| d.key_tag).collect() };
        let says = format!(
            "its registry has DS records of keys {:?}, the zone above of {:?}",
            tags(ours),
            tags(theirs)
        );
        self.finds(Check::Reg07, Outcome::False, says).severity(severity)
    }

    /// REG-08.
    fn inactive(&self) -> Finding {
        let is_inactive = self.has(Status::Inactive) || self.found.nameservers.is_empty();
        match (is_inactive, self.facts.resolves) {
            (true, true) => self
                .finds(
                    Check::Reg08,
                    Outcome::False,
                    "its registry knows of no name servers, yet its name leads somewhere",
                )
                .severity(Severity::Warning),
            (true, false) => {
                self.finds(Check::Reg08, Outcome::True, "it has no name servers, and leads nowhere")
            }
            (false, _) => self.finds(Check::Reg08, Outcome::True, "it has name servers"),
        }
    }

    /// REG-09: not a flaw, and a limit to what can be known.
    fn withheld(&self) -> Finding {
        let found = self.found;
        if found.redacted.is_empty() && !found.registrant.is_empty() {
            return self.finds(Check::Reg09, Outcome::True, "its registry names a holder");
        }
        let says = "its holder cannot be verified from public data";
        self.finds(Check::Reg09, Outcome::NotEvaluated(Unasked::NoSource), says)
            .arg("redacted", found.redacted.iter().cloned().collect::<Vec<_>>())
    }

    /// REG-11.
    fn registrar(&self) -> Finding {
        match &self.found.registrar {
            Some(r) if !r.name.is_empty() => {
                let id = r.iana_id.map(|id| format!(" (IANA {id})")).unwrap_or_default();
                self.finds(Check::Reg11, Outcome::True, format!("its registrar is {}{id}", r.name))
                    .arg("registrar", r.name.clone())
                    .arg("iana_id", r.iana_id)
            }
            _ => {
                let outcome = Outcome::NotEvaluated(Unasked::NoSource);
                self.finds(Check::Reg11, outcome, "its registry names no registrar")
            }
        }
    }

    /// REG-13.
    fn conformity(&self) -> Finding {
        let flaws: Vec<String> = self.found.flaws.iter().cloned().collect();
        if flaws.is_empty() {
            return self.finds(
                Check::Reg13,
                Outcome::True,
                "what its registry says is in the form of the standard",
            );
        }
        let says = format!(
            "what its registry says is not in the form of the standard: {}",
            flaws.join(", ")
        );
        self.finds(Check::Reg13, Outcome::False, says).arg("flaws", flaws)
    }

    /// REG-14.
    fn fresh(&self) -> Finding {
        match self.found.as_of {
            Some(at) if self.now.since(at) > STALE => {
                let says = format!("its registry says what was so at {at}");
                self.finds(Check::Reg14, Outcome::Unknown(Unclear::Stale), says)
            }
            Some(at) => self.finds(
                Check::Reg14,
                Outcome::True,
                format!("its registry says this as of {at}"),
            ),
            None => {
                let outcome = Outcome::NotEvaluated(Unasked::NoSource);
                self.finds(Check::Reg14, outcome, "its registry does not say as of when")
            }
        }
    }

    /// REG-15.
    fn locked(&self) -> Finding {
        let locks: Vec<&str> =
            self.found.statuses.iter().filter(|s| s.is_lock()).map(|s| s.name()).collect();
        if locks.is_empty() {
            return self.finds(
                Check::Reg15,
                Outcome::False,
                "nothing keeps it from being taken away",
            );
        }
        self.finds(Check::Reg15, Outcome::True, format!("it is locked: {}", locks.join(", ")))
            .arg("locks", locks)
    }
}

fn shown<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "no others".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
