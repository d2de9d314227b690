//! From what is known of a jump to the tier of its warning: pure, the same for the same inputs.

use std::{fs, ops::RangeInclusive, path::Path};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Error;
use crate::{
    config::{self, Problem},
    links::is_forward,
    policy::Tier,
};

/// Our own rules.
const DEFAULT: &str = include_str!("tiers.toml");
/// The newest format of the file.
const FORMAT: u32 = 1;
/// A larger file is refused, in bytes.
const BYTES_MAX: u64 = 1 << 20;
/// The longest version that a file may declare, in characters: it stands in every record.
pub(super) const VERSION_MAX: usize = 40;
/// After how long a page may go on by itself, in seconds: long enough to read that it can be stayed on.
const CONTINUE_S: RangeInclusive<u32> = 20..=600;

/// What is known of a jump.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// What was asked.
    pub service: Service,
    /// What being listed means, where a rule acts that lets nobody pass by.
    pub listed: Option<Tier>,
    /// What that rule does in DNS; empty without one.
    pub action: &'a str,
    /// Its feed; empty without one.
    pub feed: &'a str,
    /// The standing verdict on the target, as an outcome string.
    pub verdict: &'a str,
    /// Findings about the target.
    pub findings: &'a [&'a str],
    /// The tier that the owner asked for.
    pub asked: Option<Tier>,
    /// The target's host has no address now.
    pub unresolved: bool,
    /// The target of an outbound page is not signed by its embedder.
    pub unsigned: bool,
    /// The jump leads from HTTPS to HTTP.
    pub downgrade: bool,
    /// The visitor is known to be here for the first time.
    pub first_visit: bool,
}

/// What was asked of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// A short link.
    #[default]
    Link,
    /// A forwarded host or path.
    Forward,
    /// An outbound page.
    Outbound,
    /// A host that DNS policy led to us.
    Name,
}

impl Service {
    /// The value of the column `service`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Forward => "forward",
            Self::Outbound => "outbound",
            Self::Name => "name",
        }
    }

    /// What a code belongs to.
    pub(in crate::gateway) fn of_code(code: &str) -> Self {
        if is_forward(code) { Self::Forward } else { Self::Link }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Link, Self::Forward, Self::Outbound, Self::Name];
        all.into_iter().find(|s| s.name() == name)
    }
}

/// The form of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// No way through.
    #[default]
    Stop,
    /// A way through after stronger identification, or by a human.
    StepUp,
}

/// Why there is a warning where no list's rule says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A list's rule says it.
    #[default]
    Listed,
    /// The standing verdict.
    Verdict,
    /// A finding: it leads elsewhere than it did.
    Finding,
    /// A finding about what lies on the way.
    Way,
    /// The link's owner wants it.
    Asked,
    /// The target has no address.
    Unresolved,
    /// The target is not signed.
    Unsigned,
    /// From HTTPS to HTTP.
    Downgrade,
    /// A first visit.
    FirstVisit,
}

impl Reason {
    /// The value of the column `reason`; empty where a list's rule says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "",
            Self::Verdict => "verdict",
            Self::Finding => "finding",
            Self::Way => "way",
            Self::Asked => "asked",
            Self::Unresolved => "unresolved",
            Self::Unsigned => "unsigned",
            Self::Downgrade => "downgrade",
            Self::FirstVisit => "first_visit",
        }
    }
}

/// The warning that a jump gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiered {
    /// Its tier.
    pub tier: Tier,
    /// The form of a block.
    pub form: Form,
    /// Seconds after which a hint goes on by itself; none for by hand.
    pub continue_after_s: Option<u32>,
    /// Why, where no list's rule says it.
    pub reason: Reason,
}

impl Tiered {
    /// The value of the column `form`.
    pub const fn form(&self) -> &'static str {
        match (self.tier, self.form) {
            (Tier::Block, Form::Stop) => "stop",
            (Tier::Block, Form::StepUp) => "step_up",
            _ => "",
        }
    }
}

/// Rules in their order, and their version.
#[derive(Clone, Debug)]
pub struct TierRules {
    rules: Vec<Rule>,
    version: String,
    minds_first_visits: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    version: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    when: When,
    tier: Tier,
    form: Option<Form>,
    continue_after_s: Option<u32>,
    #[serde(default)]
    reason: Reason,
}

/// Conditions; an absent one holds always.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct When {
    service: Option<Vec<Service>>,
    listed: Option<Vec<Tier>>,
    action: Option<Vec<String>>,
    feed: Option<Vec<String>>,
    verdict: Option<Vec<Verdict>>,
    finding: Option<Vec<String>>,
    asked: Option<Vec<Tier>>,
    unresolved: Option<bool>,
    unsigned: Option<bool>,
    downgrade: Option<bool>,
    first_visit: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    True,
    False,
    Unknown,
    NotEvaluated,
    NotApplicable,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
            Self::NotEvaluated => "not_evaluated",
            Self::NotApplicable => "not_applicable",
        }
    }
}

impl When {
    fn holds(&self, of: &Inputs<'_>) -> bool {
        let text = |list: &Option<Vec<String>>, value: &str| {
            list.as_ref().is_none_or(|l| l.iter().any(|v| v == value))
        };
        let tier = |list: &Option<Vec<Tier>>, value: Option<Tier>| {
            list.as_ref().is_none_or(|l| value.is_some_and(|v| l.contains(&v)))
        };
        let flag = |wanted: Option<bool>, value| wanted.is_none_or(|w| w == value);
        self.service.as_ref().is_none_or(|l| l.contains(&of.service))
            && tier(&self.listed, of.listed)
            && text(&self.action, of.action)
            && text(&self.feed, of.feed)
            && self.verdict.as_ref().is_none_or(|l| l.iter().any(|v| v.name() == of.verdict))
            && self
                .finding
                .as_ref()
                .is_none_or(|l| of.findings.iter().any(|f| l.iter().any(|v| v == f)))
            && tier(&self.asked, of.asked)
            && flag(self.unresolved, of.unresolved)
            && flag(self.unsigned, of.unsigned)
            && flag(self.downgrade, of.downgrade)
            && flag(self.first_visit, of.first_visit)
    }

    /// Whether it holds for everything that a list means so.
    fn is_all_of(&self, tier: Tier) -> bool {
        let listed = self.listed.as_ref().is_none_or(|l| l.contains(&tier));
        listed && Self { listed: None, ..self.clone() } == Self::default()
    }
}

impl TierRules {
    /// Reads the rules in `path`; our own for none.
    ///
    /// # Errors
    /// What is wrong with the file, with line and key.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Self::parse(Path::new("tiers.toml"), DEFAULT) };
        let text = super::read(path, BYTES_MAX)?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file; `path` is what messages call it.
    ///
    /// # Errors
    /// What is wrong with it, with line and key.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let (file, source) = config::table::<File>(path, text)?;
        let mut problems: Vec<Problem> = Vec::new();
        if file.format != FORMAT {
            let problem = format!("format {} is not known to this build", file.format);
            problems.push(source.problem(
                "format",
                problem,
                format!("Write \"format = {FORMAT}\""),
            ));
        }
        if let Some(problem) = super::bad_version(&file.version) {
            let advice = "Write a name of yours for this edition, such as \"2026-11-a\"";
            problems.push(source.problem("version", problem, advice));
        }
        for (i, rule) in file.rules.iter().enumerate() {
            let mut add = |key: &str, problem: &str, advice: &str| {
                problems.push(source.problem(&format!("rules[{i}].{key}"), problem, advice));
            };
            if rule.form.is_some() && rule.tier != Tier::Block {
                add("form", "only a block has a form", "Leave it out");
            }
            if rule.continue_after_s.is_some() && rule.tier != Tier::Hint {
                add("continue_after_s", "only a hint goes on by itself", "Leave it out");
            }
            if rule.continue_after_s.is_some_and(|s| !CONTINUE_S.contains(&s)) {
                let advice = "Write a number from 20 (whoever needs more time must be able to ask for \
                              it: WCAG 2.2, 2.2.1) to 600";
                add("continue_after_s", "out of range", advice);
            }
        }
        for tier in [Tier::Block, Tier::Interstitial] {
            if !file.rules.iter().any(|r| r.tier >= tier && r.when.is_all_of(tier)) {
                let name = tier.name();
                problems.push(source.problem(
                    "rules",
                    format!("what a list means as \"{name}\" would be let through"),
                    format!("Add a rule with when = {{ listed = [\"{name}\"] }} and that tier"),
                ));
            }
        }
        if !problems.is_empty() {
            return Err(config::Error(problems).into());
        }
        let digest = hex::encode(&Sha256::digest(text)[..4]);
        let minds_first_visits = file.rules.iter().any(|r| r.when.first_visit.is_some());
        let version = format!("{}+{digest}", file.version);
        Ok(Self { rules: file.rules, version, minds_first_visits })
    }

    /// The declared version and a digest of the file.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a rule minds that a visitor is here for the first time.
    pub const fn minds_first_visits(&self) -> bool {
        self.minds_first_visits
    }

    /// The warning that a jump gets; none to let the visitor pass.
    pub fn tier(&self, of: &Inputs<'_>) -> Option<Tiered> {
        let mut found: Option<&Rule> = None;
        for rule in self.rules.iter().filter(|r| r.when.holds(of)) {
            if found.is_none_or(|f| rule.tier > f.tier) {
                found = Some(rule);
            }
        }
        found.map(|rule| Tiered {
            tier: rule.tier,
            form: rule.form.unwrap_or_default(),
            continue_after_s: rule.continue_after_s,
            reason: rule.reason,
        })
    }
}

/// Reads a file of at most `max` bytes.
pub(super) fn read(path: &Path, max: u64) -> Result<String, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(at)?.len();
    if length > max {
        return Err(Error::TooLong { path: path.to_owned(), length, max });
    }
    fs::read_to_string(path).map_err(at)
}

#[cfg(test)]
mod tests;
