//! What a statement may be: the refusals that hold before the engine sees a text.
//!
//! Allowed is one statement of a listed kind. Functions that reach outside (every table function
//! of the engine that is not on the list below, and the few plain functions that read files or
//! speak to the network), engines other than the local ones, INTO OUTFILE, FROM INFILE and file
//! names in place of tables are refused for everyone. The sandbox is the second fence behind this
//! one, the engine's own `readonly` the second one for readers.
//!
//! Readers see of the engine's own databases only what describes tables, types and functions: its
//! other tables hold the statements of others. What could name a table in another way than by its
//! name in the text is refused for them. A refusal too many is possible (a column called like one
//! of those databases), a refusal too few is a defect.

use std::collections::HashSet;

use super::{
    exception::{Code, Exception},
    lexer::{Kind as TokenKind, Lexer, Token},
};

/// Whose secret was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Ours.
    Internal,
    /// A reader's.
    Reader,
}

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// SELECT, WITH, FROM, or one of them in parentheses: its result can be streamed.
    Select,
    /// SHOW, DESCRIBE, EXISTS, EXPLAIN, CHECK: it reads, but cannot be streamed.
    Show,
    /// An INSERT that is followed by data.
    InsertData,
    /// Everything else that changes something.
    Change,
}

/// A statement that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// What it is.
    pub(super) kind: Kind,
    /// Its end: without FORMAT and data for an INSERT, without the semicolon for the others.
    pub(super) end: usize,
    /// The format named in it.
    pub(super) format: Option<String>,
    /// Where an INSERT's data starts in the same text.
    pub(super) data: usize,
    /// Whether the result has a part besides its rows, so that its chunks do not simply add up.
    pub(super) totals: bool,
}

/// Table functions that stay inside.
const TABLE_FUNCTIONS: &[&str] = &[
    "format",
    "fuzzjson",
    "fuzzquery",
    "generate_series",
    "generateseries",
    "generaterandom",
    "merge",
    "mergetreeindex",
    "mergetreeprojection",
    "mergetreetextindex",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "sqlstandardvalues",
    "values",
    "view",
    "viewexplain",
    "viewifpermitted",
    "zeros",
    "zeros_mt",
];

/// Plain functions that reach outside, and what stands for an object store in a table's settings.
const OUTSIDE: &[&str] = &["catboostevaluate", "disk", "file", "showcertificate"];

/// Table functions of other builds of the engine.
const OUTSIDE_ELSEWHERE: &[&str] = &["python", "remotesecure", "urlcluster", "iceberg", "eval"];

const ENGINES: &[&str] =
    &["atomic", "join", "log", "memory", "null", "set", "stripelog", "tinylog"];

/// Settings that belong to the operator, not to a statement.
const OPERATORS_SETTINGS: &[&str] = &[
    "allow_introspection_functions",
    "format_schema_path",
    "format_schema_source",
    "log_comment",
    "max_execution_time",
    "max_memory_usage",
    "max_memory_usage_for_user",
    "max_threads",
    "max_insert_threads",
    "readonly",
    "timeout_overflow_mode",
];

/// The engine's own databases, and what readers may read there: what clients ask to find their way.
const OWN_DATABASES: &[(&str, &[&str])] = &[
    (
        "system",
        &[
            "aggregate_function_combinators",
            "build_options",
            "collations",
            "columns",
            "data_skipping_indices",
            "data_type_families",
            "databases",
            "formats",
            "functions",
            "keywords",
            "numbers",
            "numbers_mt",
            "one",
            "parts",
            "parts_columns",
            "settings",
            "table_engines",
            "table_functions",
            "tables",
            "time_zones",
            "zeros",
            "zeros_mt",
        ],
    ),
    (
        "information_schema",
        &[
            "columns",
            "key_column_usage",
            "referential_constraints",
            "schemata",
            "statistics",
            "tables",
            "views",
        ],
    ),
    ("_temporary_and_external_tables", &[]),
];

/// Functions that stay inside, but name tables in strings or run what a string says.
const NOT_FOR_READERS: &[&str] = &[
    "fuzzquery",
    "merge",
    "mergetreeindex",
    "mergetreeprojection",
    "mergetreetextindex",
    "viewexplain",
];

/// The refusals, with the engine's own list of table functions.
#[derive(Debug)]
pub(super) struct Guard {
    refused_functions: HashSet<String>,
}

impl Guard {
    /// `table_functions` is what the engine at hand knows.
    pub(super) fn new(table_functions: impl IntoIterator<Item = String>) -> Self {
        let refused_functions = table_functions
            .into_iter()
            .map(|f| f.to_ascii_lowercase())
            .filter(|f| !TABLE_FUNCTIONS.contains(&f.as_str()))
            .chain(OUTSIDE.iter().chain(OUTSIDE_ELSEWHERE).map(|&f| f.to_owned()))
            .collect();
        Self { refused_functions }
    }

    /// Reads the one statement in `text`; of an INSERT with data only what is before them.
    ///
    /// # Errors
    /// 62 for what cannot be read safely, 497 for what is refused.
    pub(super) fn inspect(&self, text: &str, who: Who) -> Result<Statement, Exception> {
        let mut scan =
            Scan { guard: self, who, lexer: Lexer::new(text), depth: 0, tokens: Vec::new() };
        let statement = scan.statement()?;
        if who == Who::Reader && !matches!(statement.kind, Kind::Select | Kind::Show) {
            return Err(Exception::new(Code::Readonly, "this secret only reads"));
        }
        Ok(statement)
    }
}

/// Whether statements without a database's name may be meant for `database`.
///
/// # Errors
/// 497 for a reader and one of the engine's own.
pub(super) fn inspect_database(database: &str, who: Who) -> Result<(), Exception> {
    match readable(database) {
        Some(_) if who == Who::Reader => Err(refused(format_args!("the database {database}"))),
        _ => Ok(()),
    }
}

/// What readers may read of a database of the engine's own; none for any other.
fn readable(database: &str) -> Option<&'static [&'static str]> {
    let own = OWN_DATABASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(database))?;
    Some(own.1)
}

fn named(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
}

fn refused(what: impl std::fmt::Display) -> Exception {
    Exception::new(Code::AccessDenied, format_args!("{what} is refused here"))
}

struct Scan<'g, 't> {
    guard: &'g Guard,
    who: Who,
    lexer: Lexer<'t>,
    depth: usize,
    tokens: Vec<Token<'t>>,
}

impl<'t> Scan<'_, 't> {
    /// The next token; kept, counted into the nesting and held against every rule that needs no
    /// more than its neighbours.
    fn next(&mut self) -> Result<Option<Token<'t>>, Exception> {
        let token = self.lexer.next().map_err(|e| Exception::new(Code::SyntaxError, e))?;
        let Some(token) = token else { return Ok(None) };
        self.check(token)?;
        match token.kind {
            TokenKind::Sign(b'(' | b'[' | b'{') => self.depth += 1,
            TokenKind::Sign(b')' | b']' | b'}') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.tokens.push(token);
        Ok(Some(token))
    }

    fn check(&self, token: Token<'_>) -> Result<(), Exception> {
        let last = self.tokens.last();
        if token.kind == TokenKind::Quoted && token.text.contains(['/', '\\']) {
            return Err(refused("a name with a slash"));
        }
        if self.who == Who::Reader {
            self.check_for_reader(token)?;
        }
        let Some(last) = last else { return Ok(()) };
        if token.sign(b'(') {
            if last.sign(b'}') {
                return Err(refused("a function named by a parameter"));
            }
            let name = last.text.to_ascii_lowercase();
            if named(last)
                && (self.guard.refused_functions.contains(&name) || name.starts_with("ai"))
            {
                return Err(refused(format_args!("the function {name}")));
            }
        }
        let places = ["from", "join", "into", "table"];
        if token.kind == TokenKind::Text && places.iter().any(|p| last.is(p)) {
            return Err(refused("a file in place of a table"));
        }
        for (first, second) in [
            ("into", "outfile"),
            ("from", "infile"),
            ("into", "function"),
            ("table", "function"),
            ("parallel", "with"),
        ] {
            if last.is(first) && token.is(second) {
                return Err(refused(format_args!("{first} {second}").to_string().to_uppercase()));
            }
        }
        Ok(())
    }

    fn check_for_reader(&self, token: Token<'_>) -> Result<(), Exception> {
        let quoted_whole = token.text.split_once('.').and_then(|(d, _)| readable(d));
        if token.kind == TokenKind::Quoted && quoted_whole.is_some() {
            return Err(refused(format_args!("the table {}", token.text)));
        }
        if token.is("processlist") {
            return Err(refused("PROCESSLIST"));
        }
        let mut before = self.tokens.iter().rev();
        let (Some(last), owner) = (before.next(), before.next()) else { return Ok(()) };
        if last.sign(b'.')
            && let Some(owner) = owner.filter(|o| named(o))
            && let Some(tables) = readable(owner.text)
            && !tables.iter().any(|t| token.text.eq_ignore_ascii_case(t))
        {
            return Err(refused(format_args!("the table {}.{}", owner.text, token.text)));
        }
        if last.sign(b':') && token.text.eq_ignore_ascii_case("identifier") {
            return Err(refused("a name given by a parameter"));
        }
        let name = last.text.to_ascii_lowercase();
        if token.sign(b'(') && named(last) && NOT_FOR_READERS.contains(&name.as_str()) {
            return Err(refused(format_args!("the function {name}")));
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<Statement, Exception> {
        while let Some(token) = self.next()? {
            if token.sign(b'(') {
                continue;
            }
            let word = if token.kind == TokenKind::Word { token.text } else { "" };
            return match word.to_ascii_lowercase().as_str() {
                "select" | "with" | "from" => self.rest(Kind::Select),
                "show" | "describe" | "desc" | "exists" | "explain" | "check" => {
                    self.rest(Kind::Show)
                }
                "insert" => self.insert(),
                "create" => self.create(),
                "alter" => self.rest_after(&["table"]),
                "drop" => self.rest_after(&["table", "view", "database"]),
                "truncate" | "optimize" | "rename" | "exchange" | "delete" | "update" => {
                    self.rest(Kind::Change)
                }
                "kill" => self.rest_after(&["query", "mutation"]),
                "system" => self.system(),
                "set" | "use" => Err(Exception::new(
                    Code::SupportIsDisabled,
                    "statements share no session here: put settings and the database in the URL",
                )),
                other => Err(refused(format_args!("the statement {}", other.to_uppercase()))),
            };
        }
        Err(Exception::new(Code::SyntaxError, "Syntax error: there is no statement"))
    }

    /// Reads to the end of the text, where at most a semicolon may follow.
    fn rest(&mut self, kind: Kind) -> Result<Statement, Exception> {
        let (mut format, mut totals, mut settings) = (None, false, false);
        let mut end = self.tokens.last().map_or(0, |t| t.end);
        while let Some(token) = self.next()? {
            if token.sign(b';') {
                while let Some(more) = self.next()? {
                    if !more.sign(b';') {
                        return Err(refused("more than one statement"));
                    }
                }
                break;
            }
            end = token.end;
            let last = self.tokens.iter().rev().nth(1);
            // FORMAT and a name at the end of the text, or before SETTINGS.
            if last.is_some_and(|l| l.is("format")) && token.kind == TokenKind::Word {
                format = Some(token.text.to_owned());
            } else if !settings && !token.is("settings") {
                format = None;
            }
            totals |= token.is("totals") || token.is("extremes");
            // From here on until the end of the clause every name before a `=` is a setting; names
            // elsewhere in the text may only lead to a refusal too many.
            settings |= token.is("settings");
            if settings && token.sign(b'=') {
                self.setting(last.copied())?;
            }
        }
        Ok(Statement { kind, end, format, data: end, totals })
    }

    fn setting(&self, name: Option<Token<'_>>) -> Result<(), Exception> {
        let Some(name) = name else { return Ok(()) };
        if OPERATORS_SETTINGS.contains(&name.text.to_ascii_lowercase().as_str()) {
            let reason =
                format_args!("the setting {} is not for a statement", name.text).to_string();
            return Err(Exception::new(Code::SettingConstraint, reason));
        }
        Ok(())
    }

    fn rest_after(&mut self, allowed: &[&str]) -> Result<Statement, Exception> {
        let first = self.tokens.last().map_or("", |t| t.text).to_uppercase();
        let object = self.next()?;
        match object {
            Some(token) if allowed.iter().any(|a| token.is(a)) => self.rest(Kind::Change),
            other => {
                let what = other.map_or("", |t| t.text).to_uppercase();
                Err(refused(format_args!("{first} {what}")))
            }
        }
    }

    fn insert(&mut self) -> Result<Statement, Exception> {
        let mut end = self.tokens.last().map_or(0, |t| t.end);
        let mut settings = false;
        while let Some(token) = self.next()? {
            let last = self.tokens.iter().rev().nth(1).copied();
            settings |= token.is("settings");
            if settings && token.sign(b'=') {
                self.setting(last)?;
            }
            if self.depth == 0 && last.is_some_and(|l| !l.is("into") && !l.sign(b'.')) {
                if token.is("select") || token.is("with") || token.is("from") || token.is("watch") {
                    return self.rest(Kind::Change);
                }
                if token.is("values") {
                    return Ok(insert_data(end, "Values", token.end));
                }
                if token.is("format") {
                    let Some(name) = self.next()? else { break };
                    return Ok(insert_data(end, name.text, name.end));
                }
            }
            if token.sign(b'(') && self.tokens.iter().rev().nth(1).is_some_and(|l| l.sign(b')')) {
                // INSERT INTO t (a) (SELECT …)
                return self.rest(Kind::Change);
            }
            if token.sign(b';') {
                return Ok(Statement { data: token.end, ..insert_data(end, "", token.end) });
            }
            end = token.end;
        }
        Ok(insert_data(end, "", end))
    }

    fn create(&mut self) -> Result<Statement, Exception> {
        let mut object = self.next()?;
        while object.is_some_and(|t| t.is("or") || t.is("replace") || t.is("materialized")) {
            object = self.next()?;
        }
        if !object.is_some_and(|t| t.is("table") || t.is("view") || t.is("database")) {
            let what = object.map_or("", |t| t.text).to_uppercase();
            return Err(refused(format_args!("CREATE {what}")));
        }
        let statement = self.rest(Kind::Change)?;
        let mut depth = 0_usize;
        let mut tokens = self.tokens.iter().peekable();
        while let Some(token) = tokens.next() {
            match token.kind {
                TokenKind::Sign(b'(') => depth += 1,
                TokenKind::Sign(b')') => depth = depth.saturating_sub(1),
                _ if depth == 0 && token.is("engine") => {
                    tokens.next_if(|t| t.sign(b'='));
                    let name = tokens.next().map_or("", |t| t.text).to_ascii_lowercase();
                    let local = name.ends_with("mergetree") && !name.starts_with("replicated");
                    if !local && !ENGINES.contains(&name.as_str()) {
                        return Err(refused(format_args!("the engine {name}")));
                    }
                }
                _ => {}
            }
        }
        Ok(statement)
    }

    fn system(&mut self) -> Result<Statement, Exception> {
        let statement = self.rest(Kind::Change)?;
        let words: Vec<String> = self.tokens[1..]
            .iter()
            .take_while(|t| t.kind == TokenKind::Word)
            .map(|t| t.text.to_ascii_lowercase())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["flush", "logs", ..] | ["stop" | "start", "merges", ..] => Ok(statement),
            ["stop" | "start", "ttl", "merges", ..] | ["wait", "loading", "parts", ..] => {
                Ok(statement)
            }
            ["drop" | "clear", .., "cache"] => Ok(statement),
            _ => Err(refused(format_args!("SYSTEM {}", words.join(" ").to_uppercase()))),
        }
    }
}

fn insert_data(end: usize, format: &str, data: usize) -> Statement {
    let format = (!format.is_empty()).then(|| format.to_owned());
    Statement { kind: Kind::InsertData, end, format, data, totals: false }
}

#[cfg(test)]
mod tests;
