//! The name itself: IDN-01 to IDN-04. What it is written with, and whom it reads like. Pure, and
//! quick enough for every name.

mod alike;
mod fold;

use unicode_security::{RestrictionLevel, RestrictionLevelDetection as _, skeleton};

pub use alike::{Alike, BadProtected, How, Protected};

use super::{Check, Finding, Grade, Outcome, Severity};

/// What is found in `host`, of A-labels in lower case. `alike` are the protected names that it reads
/// like; none where no names are protected.
///
/// The tables of Unicode decide what a name is written with: nobody else can say otherwise.
pub fn name(host: &str, alike: Option<&[Alike]>) -> Vec<Finding> {
    let labels: Vec<Label> = host.split('.').map(Label::new).collect();
    let mut findings = vec![round_trip(&labels), scripts(&labels), whole_script(&labels)];
    findings.push(alike_finding(alike));
    findings.into_iter().map(|f| if f.outcome.is_known() { f.grade(Grade::A) } else { f }).collect()
}

/// A label in both forms.
struct Label<'a> {
    ascii: &'a str,
    /// What it reads as; none where it cannot be read, or comes back as another.
    unicode: Option<String>,
}

impl<'a> Label<'a> {
    fn new(ascii: &'a str) -> Self {
        let is_coded = ascii.starts_with("xn--");
        let (unicode, read) = idna::domain_to_unicode(ascii);
        let stable = || idna::domain_to_ascii(&unicode).is_ok_and(|again| again == ascii);
        let is_well = !is_coded || (read.is_ok() && stable());
        Self { ascii, unicode: is_well.then_some(unicode) }
    }

    /// The label as it is read, where it is not plain ASCII.
    fn foreign(&self) -> Option<&str> {
        self.unicode.as_deref().filter(|u| !u.is_ascii())
    }
}

/// IDN-01 (UTS #46 §4): what a label reads as is written as that label.
fn round_trip(labels: &[Label]) -> Finding {
    let bad: Vec<&str> = labels.iter().filter(|l| l.unicode.is_none()).map(|l| l.ascii).collect();
    if !bad.is_empty() {
        let says = format!("{} cannot be read as what it stands for", bad.join(", "));
        return Finding::new(Check::Idn01, Outcome::False, says)
            .severity(Severity::Error)
            .arg("labels", bad);
    }
    if labels.iter().all(|l| l.foreign().is_none()) {
        return Finding::new(Check::Idn01, Outcome::NotApplicable, "it is plain ASCII");
    }
    let read: Vec<&str> = labels.iter().filter_map(|l| l.unicode.as_deref()).collect();
    let says = format!("it reads {}", read.join("."));
    Finding::new(Check::Idn01, Outcome::True, says).arg("unicode", read.join("."))
}

/// IDN-02 (UTS #39 §5.2): no label mixes scripts beyond what writing systems do.
fn scripts(labels: &[Label]) -> Finding {
    let foreign: Vec<&str> = labels.iter().filter_map(Label::foreign).collect();
    let Some((label, level)) = foreign
        .iter()
        .map(|label| (*label, label.detect_restriction_level()))
        .max_by_key(|(_, level)| *level)
    else {
        return Finding::new(Check::Idn02, Outcome::NotApplicable, "it is plain ASCII");
    };
    let word = match level {
        RestrictionLevel::ASCIIOnly => "ASCII-Only",
        RestrictionLevel::SingleScript => "Single Script",
        RestrictionLevel::HighlyRestrictive => "Highly Restrictive",
        RestrictionLevel::ModeratelyRestrictive => "Moderately Restrictive",
        RestrictionLevel::MinimallyRestrictive => "Minimally Restrictive",
        RestrictionLevel::Unrestricted => "Unrestricted",
    };
    let (outcome, severity) = match level {
        l if l <= RestrictionLevel::HighlyRestrictive => (Outcome::True, Severity::Info),
        RestrictionLevel::ModeratelyRestrictive => (Outcome::False, Severity::Notice),
        _ => (Outcome::False, Severity::Warning),
    };
    Finding::new(Check::Idn02, outcome, format!("{label} is {word}"))
        .severity(severity)
        .arg("level", word)
}

/// IDN-03 (UTS #39 §4): a label of another script that reads like ASCII from end to end.
fn whole_script(labels: &[Label]) -> Finding {
    let mut foreign = labels.iter().filter_map(Label::foreign).peekable();
    if foreign.peek().is_none() {
        return Finding::new(Check::Idn03, Outcome::NotApplicable, "it is plain ASCII");
    }
    let reads = foreign.find_map(|label| {
        let seen: String = skeleton(label).collect();
        seen.is_ascii().then_some((label, seen))
    });
    match reads {
        Some((label, seen)) => {
            Finding::new(Check::Idn03, Outcome::False, format!("{label} looks like {seen}"))
                .severity(Severity::Warning)
                .arg("looks_like", seen)
        }
        None => Finding::new(Check::Idn03, Outcome::True, "no label of it looks like ASCII"),
    }
}

/// IDN-04: whom it reads like.
fn alike_finding(alike: Option<&[Alike]>) -> Finding {
    let Some(alike) = alike else {
        return Finding::new(Check::Idn04, Outcome::NotApplicable, "no names are protected");
    };
    let Some(first) = alike.first() else {
        return Finding::new(Check::Idn04, Outcome::True, "it reads like no protected name");
    };
    let all: Vec<String> = alike.iter().map(|a| format!("{} ({})", a.name, a.how.name())).collect();
    Finding::new(Check::Idn04, Outcome::False, format!("it reads like {}", all.join(", ")))
        .severity(first.how.severity())
        .arg("name", first.name.clone())
        .arg("how", first.how.name())
        .arg("protected", all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, expected: [&str; 3]) {
        let ascii = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned());
        let findings = name(&ascii, None);
        let found: Vec<_> = findings.iter().take(3).map(|f| f.outcome.name()).collect();
        assert_eq!(found, expected, "{host}: {findings:#?}");
    }

    #[test]
    fn names_are_judged_by_what_they_are_written_with() {
        let none = "not_applicable";
        check("www.example.com", [none, none, none]);
        check("münchen.de", ["true", "true", "true"]);
        check("中国互联网络信息中心.中国", ["true", "true", "true"]);
        check("例え.jp", ["true", "true", "true"]);
        // All Cyrillic.
        check("аррӏе.com", ["true", "true", "false"]);
        check("рaypal.com", ["true", "false", "false"]);
        check("пример.рф", ["true", "true", "true"]);
        check("xn--a", ["false", none, none]);
        check("xn--0.com", ["false", none, none]);
    }
}
