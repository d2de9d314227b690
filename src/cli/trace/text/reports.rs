//! The lines of a report or an appeal by the public.

use serde_json::Value;

use super::{
    super::super::layout::Lines,
    blocks::{WITHHELD, client, push},
    values::str,
    words::report_word,
};
use crate::reports::pretty;

/// What happened to which report, and what it is about.
pub(super) fn report_head(out: &mut Lines, r: &Value) {
    let (event, category) = (str(r, "event"), str(r, "category"));
    let number = pretty(&str(r, "report"));
    let words = (report_word(&event), report_word(&category));
    out.text(2, &format!("{event} {} {number} · {category} {}", words.0, words.1));
    let about = match (&*str(r, "code"), str(r, "subject")) {
        ("", subject) => format!("{} {subject}", str(r, "subject_kind")),
        (code, subject) => format!("{} {code} → {subject}", str(r, "subject_kind")),
    };
    out.text(2, &about);
}

/// Who reported, in which words, and by when it is to be decided.
pub(super) fn reporter(out: &mut Lines, r: &Value, due: &str) {
    let mut who = vec![format!("by 举报人 {}", client(r))];
    about_person(&mut who, "contact 联系方式 ", r, "contact");
    out.text(2, &who.join(" · "));
    let mut words = Vec::new();
    about_person(&mut words, "text 内容 ", r, "text");
    if !words.is_empty() {
        out.text(2, &words.join(""));
    }
    let mut more = Vec::new();
    push(&mut more, "against a rule of 针对名单 ", r, "feed");
    push(&mut more, "appeal 申诉号 ", r, "appeal");
    more.push(due.to_owned());
    out.text(2, &more.join(" · "));
}

/// What was decided, done and told.
pub(super) fn decided(out: &mut Lines, r: &Value) {
    let decision = str(r, "decision");
    let mut how = vec![format!("{decision} {}", report_word(&decision))];
    if str(r, "act") != "none" {
        push(&mut how, "act 处置 ", r, "act");
    }
    push(&mut how, "by 操作者 ", r, "actor");
    push(&mut how, "reason 原因 ", r, "reason");
    out.text(2, &how.join(" · "));
    let answer = str(r, "answer");
    if !answer.is_empty() {
        out.text(2, &format!("told 告知 {answer}"));
    }
}

/// A column about a person, or that it may not be seen.
fn about_person(list: &mut Vec<String>, label: &str, r: &Value, column: &str) {
    if r[column].is_null() {
        list.push(format!("{label}{WITHHELD}"));
    } else {
        push(list, label, r, column);
    }
}
