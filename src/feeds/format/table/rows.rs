//! The rules of one row: a cell may name several subjects.

use std::borrow::Cow;

use super::{
    super::{Place, Reason, action::action, out::Out, subject},
    Column, SubjectKind,
};
use crate::policy::Trigger;

/// Whether a row makes a rule by these columns.
pub(super) fn rules_would(cells: &[Cow<'_, str>], columns: &[(Column, usize)]) -> bool {
    let subjects = columns.iter().filter_map(|(c, at)| match c {
        Column::Subject(kind) => Some((*kind, cells.get(*at)?)),
        _ => None,
    });
    let mut subjects = subjects;
    subjects.any(|(kind, cell)| pieces(kind, cell).any(|p| triggers(kind, p).is_ok()))
}

/// The rules of one row. A subject that cannot be taken is rejected without the others.
pub(super) fn rules(
    at: Place<'_>,
    cells: &[Cow<'_, str>],
    columns: &[(Column, usize)],
    out: &mut Out<'_>,
) -> Result<(), Reason> {
    let cell = |i: usize| cells.get(i).map_or("", |c| c.trim());
    let word = columns.iter().find(|(c, _)| *c == Column::Action).map_or("", |(_, i)| cell(*i));
    let action = action(word, out.options)?;
    let mut any = false;
    for (kind, i) in columns.iter().filter_map(|(c, i)| match c {
        Column::Subject(kind) => Some((*kind, *i)),
        _ => None,
    }) {
        for piece in pieces(kind, cell(i)) {
            any = true;
            let fields = columns.iter().filter_map(|(c, i)| match c {
                Column::Legal(field) => Some((*field, cell(*i))),
                _ => None,
            });
            let taken = triggers(kind, piece).and_then(|triggers| {
                triggers
                    .into_iter()
                    .try_for_each(|t| out.rule_with(at, t, action.clone(), fields.clone()))
            });
            if let Err(reason) = taken {
                out.reject(at, reason);
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(Reason::syntax("nothing in the columns that say what the rule is about"))
    }
}

/// The subjects in a cell. Words parted by spaces alone are subjects when all of them look like
/// ones: else they are a sentence, and its words are no names.
fn pieces(kind: SubjectKind, cell: &str) -> impl Iterator<Item = &str> {
    let sentence = cell.split_whitespace().any(|word| !word.contains(['.', ':', '。', '．']));
    let marks = move |c: char| match c {
        '、' | '；' | '，' | '\n' | '\r' => true,
        // These can stand in a URL.
        ',' | ';' => !matches!(kind, SubjectKind::Any | SubjectKind::Url | SubjectKind::Trigger),
        c => c.is_whitespace() && !sentence,
    };
    cell.split(marks).map(str::trim).filter(|p| !p.is_empty())
}

/// The triggers of a subject of this kind.
pub(in crate::feeds::format) fn triggers(
    kind: SubjectKind,
    text: &str,
) -> Result<Vec<Trigger>, Reason> {
    Ok(match kind {
        SubjectKind::Any => subject::of_any(text)?,
        SubjectKind::Name => subject::of_name(text)?,
        SubjectKind::Url => subject::of_url(text)?,
        SubjectKind::Address => vec![Trigger::ResponseIp(subject::net(text)?)],
        SubjectKind::Client => vec![Trigger::ClientIp(subject::net(text)?)],
        SubjectKind::Nsip => vec![Trigger::Nsip(subject::net(text)?)],
        SubjectKind::Nsdname => subject::of_name(text)?.into_iter().map(as_nsdname).collect(),
        SubjectKind::Code => vec![parsed(&format!("code:{text}"))?],
        SubjectKind::Trigger => vec![parsed(text)?],
    })
}

fn as_nsdname(trigger: Trigger) -> Trigger {
    match trigger {
        Trigger::Qname(pattern) => Trigger::Nsdname(pattern),
        other => other,
    }
}

fn parsed(text: &str) -> Result<Trigger, Reason> {
    let trigger: Trigger =
        text.parse().map_err(|e| Reason::new("bad-trigger", format!("{text:?}: {e}")))?;
    match &trigger {
        Trigger::Url(_, url) if !url.split(['/', '?']).next().is_some_and(subject::is_host) => {
            Err(Reason::new("bad-trigger", format!("{text:?}: not a URL of a host")))
        }
        _ => Ok(trigger),
    }
}
