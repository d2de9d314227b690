//! Tables: rows of cells, whichever file they come from.
//!
//! Which column holds what is said by the feed's column map, or found by the headings that lists
//! of this kind have. A row makes a rule for every subject it names: a cell may hold several,
//! parted by spaces, line ends or the marks that Chinese lists are parted by.

mod columns;
mod rows;

use std::borrow::Cow;

pub use self::columns::{COLUMN_WORDS, Column, SubjectKind};
pub(super) use self::rows::triggers;
use self::{
    columns::place,
    rows::{rules, rules_would},
};
use super::{Place, Reason, TableOptions, out::Out, subject};

/// How many rows are looked at for headings.
const HEADING_ROWS_MAX: u32 = 20;

/// A table as it is read, row by row.
pub(super) struct Table<'o> {
    options: &'o TableOptions,
    columns: Option<Vec<(Column, usize)>>,
    /// The cells of the headings: the files of a directory may each have them.
    headings: Vec<String>,
    /// How many cells rows have: those of the headings, or as many as the map names.
    width: usize,
    rows: u32,
    /// Rows before the headings: a title, if headings follow.
    before: Vec<(u64, Vec<u8>)>,
}

impl<'o> Table<'o> {
    pub(super) fn new(options: &'o TableOptions) -> Self {
        let mut table = Self {
            options,
            columns: None,
            headings: Vec::new(),
            width: 0,
            rows: 0,
            before: Vec::new(),
        };
        if options.header_row == Some(0) {
            table.columns = table.by_place();
            table.width = reach(table.columns.as_deref());
        }
        table
    }

    /// Whether it is known which column holds what.
    pub(super) fn is_known(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether a row of this many cells has none too few.
    pub(super) fn is_whole(&self, cells: usize) -> bool {
        cells >= self.width
    }

    /// Takes the next row; rows without text are none.
    pub(super) fn row(&mut self, at: Place<'_>, cells: &[Cow<'_, str>], out: &mut Out<'_>) {
        self.rows = self.rows.saturating_add(1);
        if cells.iter().all(|c| c.trim().is_empty()) {
            return;
        }
        if self.columns.is_none() && !self.learn(at, cells, out) {
            return;
        }
        let Some(columns) = &self.columns else { return };
        if !self.headings.is_empty() && self.headings == cells {
            out.summary.ignored += 1;
            return;
        }
        if let Err(reason) = rules(at, cells, columns, out) {
            out.reject(at, reason);
        }
    }

    /// The end: where there were no headings, all rows are rejected.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        for (line, text) in self.before.drain(..) {
            out.reject(Place { line, text: &text }, no_headings());
        }
    }

    /// Learns the columns from a row before they are known, and says whether that row is one of
    /// the list all the same.
    fn learn(&mut self, at: Place<'_>, cells: &[Cow<'_, str>], out: &mut Out<'_>) -> bool {
        let by_place = |table: &Self| table.by_place().filter(|c| rules_would(cells, c));
        let (columns, is_data) = match self.options.header_row {
            Some(0) => (None, true),
            Some(row) if self.rows != row => (None, false),
            Some(_) => (self.found(cells), false),
            None => match self.found(cells).map(|c| (c, false)) {
                Some((columns, is_data)) => (Some(columns), is_data),
                // No headings: the map says which column by its place, or there is but one.
                None => (by_place(self).or_else(|| the_only(cells)), true),
            },
        };
        if columns.is_some() {
            if is_data {
                // Nobody can say whether these were titles or entries.
                self.finish(out);
            }
            out.summary.ignored += self.before.len() as u64 + u64::from(!is_data);
            self.before.clear();
            self.width = if is_data { reach(columns.as_deref()) } else { cells.len() };
            if !is_data {
                self.headings = cells.iter().map(ToString::to_string).collect();
            }
            self.columns = columns;
            return is_data;
        }
        let too_late = match self.options.header_row {
            Some(row) => self.rows >= row,
            None => self.rows >= HEADING_ROWS_MAX,
        };
        if too_late {
            self.finish(out);
            out.reject(at, no_headings());
        } else {
            self.before.push((at.line, at.text.to_vec()));
        }
        false
    }

    /// The columns by this row of headings, and by the map where it names places.
    fn found(&self, cells: &[Cow<'_, str>]) -> Option<Vec<(Column, usize)>> {
        if self.options.columns.is_empty() {
            let columns = cells.iter().enumerate();
            return with_subject(columns.filter_map(|(i, c)| Some((Column::of_heading(c)?, i))));
        }
        let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
        let heading = |name: &str| cells.iter().position(|c| same(c, name));
        // A number or a letter is a place only beside a heading that is there.
        let must = self.options.header_row.is_some()
            || self.options.columns.iter().any(|(_, name)| heading(name).is_some());
        let place = |name: &str| heading(name).or_else(|| must.then(|| place(name)).flatten());
        with_subject(self.options.columns.iter().filter_map(|(c, name)| Some((*c, place(name)?))))
    }

    /// The columns by their places alone.
    fn by_place(&self) -> Option<Vec<(Column, usize)>> {
        let columns: Option<Vec<_>> =
            self.options.columns.iter().map(|(c, name)| Some((*c, place(name)?))).collect();
        with_subject(columns?.into_iter())
    }
}

/// How many cells a row has at least that has all these columns.
fn reach(columns: Option<&[(Column, usize)]>) -> usize {
    columns.into_iter().flatten().map(|(_, i)| i + 1).max().unwrap_or(0)
}

/// Columns of which one says what rules are about.
fn with_subject(columns: impl Iterator<Item = (Column, usize)>) -> Option<Vec<(Column, usize)>> {
    let columns: Vec<_> = columns.collect();
    columns.iter().any(|(c, _)| matches!(c, Column::Subject(_))).then_some(columns)
}

/// One column of subjects without a heading. A title may look like a name, but for letters of
/// other scripts or the dot.
fn the_only(cells: &[Cow<'_, str>]) -> Option<Vec<(Column, usize)>> {
    let [cell] = cells else { return None };
    let plain = cell.is_ascii() && cell.contains(['.', ':']) && subject::of_any(cell).is_ok();
    plain.then(|| vec![(Column::Subject(SubjectKind::Any), 0)])
}

fn no_headings() -> Reason {
    let why = "no row of headings so far that says which column holds the names: give the feed a column map";
    Reason::new("no-headings", why)
}
