//! Templates and wording: ours, or an operator's, compiled and tried once at start.

use std::{collections::BTreeSet, path::Path};

use bytes::Bytes;
use minijinja::{
    AutoEscape, Environment, Error as EngineError, Output, State, UndefinedBehavior, Value,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, read};
use crate::{config, gateway::Language};

/// A longer file is refused, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// A page that does not fit is not sent, in bytes.
pub(super) const PAGE_BYTES_MAX: usize = 30_000;

/// Every file, in the order in which the digest takes them.
const OURS: [(&str, &str); 9] = [
    ("notices.toml", include_str!("templates/notices.toml")),
    ("layout.html", include_str!("templates/layout.html")),
    ("notice.html", include_str!("templates/notice.html")),
    ("message.html", include_str!("templates/message.html")),
    ("password.html", include_str!("templates/password.html")),
    ("report.html", include_str!("templates/report.html")),
    ("style.css", include_str!("templates/style.css")),
    ("en.toml", include_str!("templates/en.toml")),
    ("zh.toml", include_str!("templates/zh.toml")),
];

/// Compiled templates.
pub(super) struct Templates {
    environment: Environment<'static>,
    english: Value,
    chinese: Value,
    style: Bytes,
    version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edition {
    version: String,
}

impl Templates {
    /// Our own, with the files in `dir` in their places.
    pub(super) fn load(dir: Option<&Path>) -> Result<Self, Error> {
        let mut files = OURS.map(|(name, text)| (name, name.to_owned(), text.to_owned()));
        if let Some(dir) = dir {
            let mut replaced = false;
            for (name, shown, text) in &mut files {
                let path = dir.join(*name);
                match read(&path, FILE_BYTES_MAX) {
                    Ok(theirs) => {
                        *text = theirs;
                        *shown = path.display().to_string();
                        replaced = true;
                    }
                    Err(Error::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        if *name == "notices.toml" {
                            return Err(Error::Edition(dir.to_owned()));
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
            tracing::debug!(replaced, "templates of notices");
        }
        Self::compile(&files)
    }

    fn compile(files: &[(&str, String, String); 9]) -> Result<Self, Error> {
        let [edition, layout, notice, message, password, report, style, english, chinese] = files;
        let (declared, source) = config::table::<Edition>(Path::new(&edition.1), &edition.2)?;
        if let Some(problem) = super::bad_version(&declared.version) {
            let advice = "Write a name of yours for this edition, such as \"2026-11-a\"";
            return Err(config::Error(vec![source.problem("version", problem, advice)]).into());
        }
        let mut digest = Sha256::new();
        for (name, _, text) in files {
            digest.update(format!("{name}\n{}\n{text}", text.len()));
        }
        let digest = hex::encode(&digest.finalize()[..4]);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_formatter(escaped);
        for (name, shown, text) in [layout, notice, message, password, report] {
            let added = environment.add_template_owned((*name).to_owned(), text.clone());
            added.map_err(|e| template(shown, &e))?;
        }
        Ok(Self {
            environment,
            english: words(english)?,
            chinese: words(chinese)?,
            style: Bytes::from(style.2.clone()),
            version: format!("{}+{digest}", declared.version),
        })
    }

    /// The declared version and a digest of all files.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn style(&self) -> Bytes {
        self.style.clone()
    }

    pub(super) const fn words(&self, language: Language) -> &Value {
        match language {
            Language::English => &self.english,
            Language::Chinese => &self.chinese,
        }
    }

    /// A text of the wording, such as `notice.hint.title`; empty for none.
    pub(super) fn text(&self, language: Language, path: &[&str]) -> String {
        let mut at = self.words(language).clone();
        for step in path {
            at = at.get_attr(step).unwrap_or_default();
        }
        at.as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn render(&self, name: &str, context: &impl Serialize) -> Result<String, Error> {
        let rendered = self.environment.get_template(name).and_then(|t| t.render(context));
        let page = rendered.map_err(|e| template(name, &e))?;
        if page.len() > PAGE_BYTES_MAX {
            let (page, length) = (name.to_owned(), page.len());
            return Err(Error::Large { page, length, max: PAGE_BYTES_MAX });
        }
        Ok(page)
    }
}

/// Text for HTML, within elements and quoted attributes. The engine's own form escapes slashes, too,
/// which makes pages full of addresses half as large again.
fn escaped(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), EngineError> {
    let Some(text) = value.as_str().filter(|_| !value.is_safe()) else {
        return minijinja::escape_formatter(out, state, value);
    };
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    Ok(out.write_str(rest)?)
}

/// The wording in a file: every key of our own must be there, whatever it says.
fn words((name, shown, text): &(&str, String, String)) -> Result<Value, Error> {
    let (table, _) = config::table::<toml::Table>(Path::new(shown), text)?;
    let ours = OURS.iter().find(|(n, _)| n == name).map_or("", |(_, text)| text);
    let (ours, _) = config::table::<toml::Table>(Path::new(name), ours)?;
    let (mut wanted, mut there) = (BTreeSet::new(), BTreeSet::new());
    keys("", &ours, &mut wanted);
    keys("", &table, &mut there);
    match wanted.difference(&there).next() {
        Some(key) => Err(Error::Word { file: shown.clone(), key: key.clone() }),
        None => Ok(Value::from_serialize(&table)),
    }
}

/// The paths of all texts.
fn keys(prefix: &str, table: &toml::Table, out: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => keys(&path, inner, out),
            toml::Value::String(_) => {
                out.insert(path);
            }
            _ => {}
        }
    }
}

fn template(file: &str, e: &minijinja::Error) -> Error {
    let file = e.name().filter(|n| !file.ends_with(n)).unwrap_or(file).to_owned();
    Error::Template { file, line: e.line().unwrap_or(1), message: e.to_string() }
}

#[cfg(test)]
mod tests;
