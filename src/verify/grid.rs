//! Findings as a grid, and the grid as one word.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    catalogue::{Area, Aspect, Check},
    finding::{Finding, Grade, Severity},
    outcome::{Outcome, Unclear, words},
};

words! {
    /// The verdict in one word; the further down, the worse.
    Overall {
        /// Everything that was needed is known and as it should be.
        Verified = "verified",
        /// The same, but something is worth knowing.
        VerifiedWithNotes = "verified_with_notes",
        /// Something that was needed is not known.
        Unverified = "unverified",
        /// Something is not as it should be.
        Discrepant = "discrepant",
        /// Two facts of the highest grade exclude each other.
        Contradicted = "contradicted",
    }
}

/// One cell of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cell {
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// By what authority: the weakest that was needed.
    pub grade: Grade,
    /// The checks that made it so.
    pub checks: Vec<Check>,
}

/// Authentic and accurate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pair {
    /// 真实
    pub authentic: Cell,
    /// 准确
    pub accurate: Cell,
}

/// What is known of the three objects in both respects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Grid {
    /// 域名注册信息
    pub registration: Pair,
    /// 解析信息
    pub resolution: Pair,
    /// 互联网协议地址
    pub address: Pair,
}

impl Grid {
    /// The grid of these findings.
    pub fn of(findings: &[Finding]) -> Self {
        let pair = |area| Pair {
            authentic: cell(findings, (area, Aspect::Authentic)),
            accurate: cell(findings, (area, Aspect::Accurate)),
        };
        Self {
            registration: pair(Area::Registration),
            resolution: pair(Area::Resolution),
            address: pair(Area::Address),
        }
    }

    /// The cells, row by row.
    pub fn cells(&self) -> [&Cell; 6] {
        let Self { registration: r, resolution: s, address: a } = self;
        [&r.authentic, &r.accurate, &s.authentic, &s.accurate, &a.authentic, &a.accurate]
    }

    /// The verdict.
    pub fn overall(&self, findings: &[Finding]) -> Overall {
        let contradicts =
            |f: &Finding| f.is_adverse() && f.grade == Grade::A && f.id.entry().compares;
        let unclear = |o: Outcome| matches!(o, Outcome::Unknown(_) | Outcome::NotEvaluated(_));
        let noted = |f: &Finding| match f.outcome {
            Outcome::False => f.severity >= Severity::Notice,
            outcome => matches!(outcome, Outcome::Unknown(_)),
        };
        if findings.iter().any(contradicts) {
            Overall::Contradicted
        } else if self.cells().iter().any(|c| c.outcome == Outcome::False) {
            Overall::Discrepant
        } else if self.cells().iter().any(|c| unclear(c.outcome)) {
            Overall::Unverified
        } else if findings.iter().any(noted) {
            Overall::VerifiedWithNotes
        } else {
            Overall::Verified
        }
    }
}

/// The findings of a cell in one. What is adverse counts before what is not known, and what is
/// needed and not known before what is well.
fn cell(findings: &[Finding], place: (Area, Aspect)) -> Cell {
    let here = || findings.iter().filter(|f| f.id.entry().cell == place);
    let needed = || here().filter(|f| f.id.entry().needed);
    let adverse: Vec<&Finding> = here().filter(|f| f.is_adverse()).collect();
    let open = |f: &&Finding| matches!(f.outcome, Outcome::Unknown(_));
    let unasked = |f: &&Finding| matches!(f.outcome, Outcome::NotEvaluated(_));
    // Where those who were asked do not agree, the cell is open, whoever was needed.
    let disputed = |f: &&Finding| f.outcome == Outcome::Unknown(Unclear::Disputed);
    let known = |f: &&Finding| f.outcome.is_known();
    let (outcome, by): (Outcome, Vec<&Finding>) = if !adverse.is_empty() {
        (Outcome::False, adverse)
    } else if let Some(first) =
        needed().find(open).or_else(|| here().find(disputed)).or_else(|| needed().find(unasked))
    {
        (first.outcome, vec![first])
    } else if here().any(|f| known(&f)) {
        let by: Vec<_> = needed().filter(known).collect();
        (Outcome::True, if by.is_empty() { here().filter(known).collect() } else { by })
    } else {
        (Outcome::NotApplicable, Vec::new())
    };
    let grade = if outcome.is_known() {
        by.iter().map(|f| f.grade).max().unwrap_or(Grade::U)
    } else {
        Grade::U
    };
    let mut checks: Vec<Check> = by.iter().map(|f| f.id).collect();
    checks.dedup();
    Cell { outcome, grade, checks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::outcome::Unasked;

    fn found(id: Check, outcome: Outcome) -> Finding {
        Finding::new(id, outcome, "").grade(Grade::B)
    }

    fn well() -> Vec<Finding> {
        let all = Check::ALL.iter().filter(|c| c.entry().needed);
        all.map(|c| found(*c, Outcome::True)).collect()
    }

    fn check(change: impl FnOnce(&mut Vec<Finding>), expected: Overall) {
        let mut findings = well();
        change(&mut findings);
        let grid = Grid::of(&findings);
        assert_eq!(grid.overall(&findings), expected, "{grid:?}");
    }

    #[test]
    fn the_worst_that_is_known_is_the_verdict() {
        use Overall::*;
        let unknown = Outcome::Unknown(Unclear::Transport);
        let adverse = |id| found(id, Outcome::False).severity(Severity::Warning);
        check(|_| {}, Verified);
        check(|f| f.push(found(Check::Res05, Outcome::False).severity(Severity::Info)), Verified);
        let noted = found(Check::Res05, Outcome::False).severity(Severity::Notice);
        check(|f| f.push(noted), VerifiedWithNotes);
        check(|f| f.push(found(Check::Res05, unknown)), VerifiedWithNotes);
        check(|f| f.push(found(Check::Res04, unknown)), Unverified);
        let unasked = Outcome::NotEvaluated(Unasked::Offline);
        check(|f| f.push(found(Check::Res01, unasked)), Unverified);
        check(|f| f.push(found(Check::Res05, unasked)), Verified);
        check(|f| f.extend([adverse(Check::Res05), found(Check::Res01, unknown)]), Discrepant);
        check(|f| f.push(adverse(Check::Res04).grade(Grade::A)), Contradicted);
        check(|f| f.push(adverse(Check::Res01).grade(Grade::A)), Discrepant);
    }

    #[test]
    fn a_cell_is_no_better_known_than_what_it_needs() {
        let mut findings = well();
        findings.push(found(Check::Ip03, Outcome::True).grade(Grade::A));
        assert_eq!(Grid::of(&findings).address.authentic.grade, Grade::B);
        assert_eq!(Grid::of(&[]).address.authentic.outcome, Outcome::NotApplicable);
    }
}
