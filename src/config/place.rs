//! A place in a parsed document: found by its span, printed as a key's path, taken out.

use std::{fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// A key or an element.
#[derive(Clone, Debug)]
pub(super) struct Place(Vec<Step>);

/// One step from a table or an array to what it holds.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

impl Place {
    /// The smallest key or value around `span`.
    pub(super) fn around(table: &DeTable<'_>, span: Range<usize>) -> Option<Self> {
        let mut search = Search { span, path: Vec::new(), best: None };
        search.table(table);
        search.best.map(|(_, path)| Self(path))
    }

    /// Takes what is here out of `table`.
    pub(super) fn remove_from(&self, table: &mut DeTable<'_>) {
        remove(table, &self.0);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

struct Search {
    span: Range<usize>,
    path: Vec<Step>,
    best: Option<(usize, Vec<Step>)>,
}

impl Search {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(Step::Key(key.get_ref().clone().into_owned()));
            self.consider(&key.span());
            self.value(value);
            self.path.pop();
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        self.consider(&value.span());
        match value.get_ref() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(array) => {
                for (i, item) in array.iter().enumerate() {
                    self.path.push(Step::Item(i));
                    self.value(item);
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    fn consider(&mut self, at: &Range<usize>) {
        let around = at.start <= self.span.start && self.span.end <= at.end;
        if around && self.best.as_ref().is_none_or(|(len, _)| at.len() <= *len) {
            self.best = Some((at.len(), self.path.clone()));
        }
    }
}

fn remove(table: &mut DeTable<'_>, path: &[Step]) {
    match path {
        [Step::Key(key)] => {
            table.remove(key.as_str());
        }
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_in_value(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn remove_in_value(value: &mut DeValue<'_>, path: &[Step]) {
    match (value, path) {
        (DeValue::Table(table), path) => remove(table, path),
        (DeValue::Array(array), [Step::Item(gone)]) => {
            let all = std::mem::replace(array, DeArray::new());
            let kept = all.into_iter().enumerate().filter(|(i, _)| i != gone);
            *array = kept.map(|(_, item)| item).collect();
        }
        (DeValue::Array(array), [Step::Item(i), rest @ ..]) => {
            if let Some(item) = array.get_mut(*i) {
                remove_in_value(item.get_mut(), rest);
            }
        }
        _ => {}
    }
}
