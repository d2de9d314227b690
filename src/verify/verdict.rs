//! A verdict: everything that was found about one subject.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Finding, Grid, Overall};

/// What was found about one subject.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Verdict {
    /// What it is about: a name or an address.
    pub subject: String,
    /// The verdict in one word.
    pub overall: Overall,
    /// The verdict by object and respect.
    pub grid: Grid,
    /// What every check found, by id.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// The verdict that these findings make.
    pub fn of(subject: String, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|f| f.id);
        let grid = Grid::of(&findings);
        let overall = grid.overall(&findings);
        Self { subject, overall, grid, findings }
    }
}
