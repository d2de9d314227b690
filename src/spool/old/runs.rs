//! Which seq there are.

/// The seq of a lane that are or were in the spool: ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::spool) struct Runs(pub(super) Vec<(u64, u64)>);

impl Runs {
    /// Every seq below `next`.
    pub(in crate::spool) fn whole(next: u64) -> Self {
        Self(if next == 0 { Vec::new() } else { vec![(0, next)] })
    }

    pub(super) fn of(mut all: Vec<(u64, u64)>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, next) in all {
            match merged.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(next),
                _ => merged.push((first, next)),
            }
        }
        Self(merged)
    }

    pub(in crate::spool) fn contains(&self, seq: u64) -> bool {
        self.0.iter().any(|r| (r.0..r.1).contains(&seq))
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.0 < b.1 && b.0 < a.1))
    }

    /// The seq after the last.
    pub(in crate::spool) fn next(&self) -> u64 {
        self.0.last().map_or(0, |r| r.1)
    }

    /// The seq between runs, or before the first.
    pub(super) fn holes(&self) -> impl Iterator<Item = (u64, u64)> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|r| r.1));
        ends.zip(self.0.iter().map(|r| r.0)).filter(|(end, first)| first > end)
    }
}
