//! Where each key was written, so that a complaint can name its line.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Problem;

/// A configuration's file and the line of every key in it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    path: Option<PathBuf>,
    lines: BTreeMap<String, usize>,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str, table: &DeTable<'_>) -> Self {
        let mut source = Self { path: Some(path.to_owned()), lines: BTreeMap::new() };
        source.visit_table("", table, text);
        source
    }

    pub(super) fn empty(path: &Path) -> Self {
        Self { path: Some(path.to_owned()), lines: BTreeMap::new() }
    }

    /// A problem at `key`, such as `dns.listen[0]`, with the line where it stands; `problem` and
    /// `advice` are sentences without their full stop.
    pub fn problem(
        &self,
        key: &str,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.path.clone(),
            line: self.line(key),
            key: key.to_owned(),
            problem: problem.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn problem_at(&self, line: Option<usize>, key: &str) -> Problem {
        let mut problem = self.problem(key, "", "");
        problem.line = line.or(problem.line);
        problem
    }

    /// The line of a key; of the array for an element that has none of its own.
    fn line(&self, key: &str) -> Option<usize> {
        let array = key.strip_suffix(']').and_then(|k| k.rsplit_once('[')).map(|(array, _)| array);
        self.lines.get(key).or_else(|| self.lines.get(array?)).copied()
    }

    fn visit_table(&mut self, prefix: &str, table: &DeTable<'_>, text: &str) {
        for (key, value) in table {
            let path = join(prefix, key.get_ref());
            self.lines.insert(path.clone(), line_of(text, key.span().start));
            self.visit(&path, value, text);
        }
    }

    fn visit(&mut self, path: &str, value: &Spanned<DeValue<'_>>, text: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.visit_table(path, table, text),
            DeValue::Array(array) => {
                for (i, item) in array.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.lines.insert(path.clone(), line_of(text, item.span().start));
                    self.visit(&path, item, text);
                }
            }
            _ => {}
        }
    }
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// The line, from 1, in which byte `at` stands.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|b| **b == b'\n').count()
}
