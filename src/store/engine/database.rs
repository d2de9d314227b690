//! The engine behind the front: the library, the directory, the limits.
//!
//! Every statement gets a connection of its own (0.3 ms), with its settings as connection
//! arguments: nothing a statement sets, uses or creates for its session can reach another. One
//! more connection stays open for as long as the process runs, because the last one that closes
//! shuts the engine down; it also cancels statements.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    binding::{Connection, Library},
    exception::{Code, Exception},
    guard::{Guard, Who, inspect_database},
};
use crate::config;

/// Settings of the HTTP interface itself: accepted, and without effect here.
const TRANSPORT_SETTINGS: &[&str] = &[
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "close_session",
    "enable_http_compression",
    "http_zlib_compression_level",
    "http_headers_progress_interval_ms",
    "http_native_compression_disable_checksumming_on_decompress",
    "http_wait_end_of_query",
    "http_write_exception_in_output_format",
    "log_comment",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_id",
    "session_timeout",
    "stacktrace",
];

/// What a reader may set; everything else is refused with code 164.
const READER_SETTINGS: &[&str] = &[
    "date_time_output_format",
    "extremes",
    "join_use_nulls",
    "max_block_size",
    "max_execution_time",
    "max_memory_usage",
    "max_result_bytes",
    "max_result_rows",
    "max_rows_to_read",
    "max_threads",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_denormals",
    "output_format_native_encode_types_in_binary_format",
    "output_format_native_use_flattened_dynamic_and_json_serialization",
    "result_overflow_mode",
    "session_timezone",
    "use_uncompressed_cache",
];

/// Settings nobody changes.
const FIXED_SETTINGS: &[&str] = &[
    "allow_introspection_functions",
    "format_schema_path",
    "format_schema_source",
    "readonly",
    "timeout_overflow_mode",
];

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot prepare the engine's directory {0}")]
    Directory(PathBuf, #[source] io::Error),
    #[error("the engine did not open {0}; its reason is on stderr")]
    Refused(PathBuf),
    #[error("the engine does not answer: {0}")]
    Silent(#[from] Exception),
}

/// The running engine.
pub(super) struct Database {
    library: Library,
    path: PathBuf,
    limits: config::Engine,
    settings: HashSet<String>,
    guard: Guard,
    timezone: String,
    anchor: Mutex<Connection>,
}

/// What a statement asks for besides its text.
pub(super) struct Wishes<'a> {
    pub(super) who: Who,
    pub(super) readonly: u8,
    pub(super) database: Option<&'a str>,
    pub(super) settings: &'a [(String, String)],
    /// The tag it can be cancelled by.
    pub(super) tag: &'a str,
    /// The whole result will be in memory.
    pub(super) whole: bool,
}

impl Database {
    /// Starts the engine on `path`, which only this process uses.
    pub(super) fn open(
        library: Library,
        path: &Path,
        limits: config::Engine,
    ) -> Result<Self, OpenError> {
        for dir in [path.to_owned(), path.join("tmp"), path.join("user_files")] {
            fs::create_dir_all(&dir).map_err(|e| OpenError::Directory(dir, e))?;
        }
        let args = boot_args(path, &limits);
        let mut anchor =
            library.connect(&args).ok_or_else(|| OpenError::Refused(path.to_owned()))?;
        plain_default_database(&mut anchor)?;
        let settings = lines(&mut anchor, "SELECT name FROM system.settings")?;
        let functions = lines(&mut anchor, "SELECT name FROM system.table_functions")?;
        let timezone = lines(&mut anchor, "SELECT timezone()")?.concat();
        Ok(Self {
            library,
            path: path.to_owned(),
            limits,
            settings: settings.into_iter().collect(),
            guard: Guard::new(functions),
            timezone,
            anchor: Mutex::new(anchor),
        })
    }

    pub(super) fn limits(&self) -> &config::Engine {
        &self.limits
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(super) fn timezone(&self) -> &str {
        &self.timezone
    }

    /// A connection for one statement.
    pub(super) fn connect(&self, wishes: &Wishes<'_>) -> Result<Connection, Exception> {
        inspect_database(wishes.database.unwrap_or_default(), wishes.who)?;
        let asked = self.settings_for(wishes)?;
        let mut args = self.statement_args(wishes);
        args.extend(asked.iter().map(|(name, value)| format!("--{name}={value}")));
        let Some(mut connection) = self.library.connect(&args) else {
            return Err(self.why_refused(wishes, &asked));
        };
        if let Some(database) = wishes.database.filter(|d| *d != "default") {
            connection.query(&format!("USE {}", quote_name(database)?), "Null", &[])?;
        }
        Ok(connection)
    }

    /// Ends the statement with this tag, as soon as the engine notices.
    pub(super) fn kill(&self, tag: &str) -> Result<(), Exception> {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let tag = [("tag".to_owned(), tag.to_owned())];
        let sql = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC";
        anchor.query(sql, "Null", &tag).map(drop)
    }

    /// The settings asked for that reach the engine, within the limits.
    fn settings_for(&self, wishes: &Wishes<'_>) -> Result<Vec<(String, String)>, Exception> {
        let mut out = Vec::new();
        for (name, value) in wishes.settings {
            if TRANSPORT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            if !self.settings.contains(name) {
                let reason = format!("Setting {name} is neither a builtin setting nor a parameter");
                return Err(Exception::new(Code::UnknownSetting, reason));
            }
            let readers = READER_SETTINGS.contains(&name.as_str());
            if FIXED_SETTINGS.contains(&name.as_str()) || wishes.who == Who::Reader && !readers {
                let reason = format!("Cannot modify '{name}' setting");
                return Err(Exception::new(Code::Readonly, reason));
            }
            if value.contains('\0') {
                return Err(Exception::new(Code::BadArguments, "a NUL in a setting"));
            }
            out.push((name.clone(), self.clamped(name, value)));
        }
        Ok(out)
    }

    /// `value`, or the operator's limit where that is less.
    fn clamped(&self, name: &str, value: &str) -> String {
        let l = &self.limits;
        let max = match name {
            "max_memory_usage" => l.query_memory_bytes_max,
            "max_threads" | "max_insert_threads" => u64::from(l.query_threads_max),
            "max_execution_time" => l.query_timeout_ms.div_ceil(1_000),
            _ => return value.to_owned(),
        };
        match value.parse::<u64>() {
            // 0 means without limit; `auto(n)` and fractions of a second are left to the limit.
            Ok(asked) if asked > 0 && asked < max => asked.to_string(),
            _ => max.to_string(),
        }
    }

    fn statement_args(&self, wishes: &Wishes<'_>) -> Vec<String> {
        let l = &self.limits;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^53")]
        let seconds = l.query_timeout_ms as f64 / 1_000.0;
        let mut args = vec![
            path_arg(&self.path),
            "--allow_introspection_functions=0".to_owned(),
            format!("--log_comment={}", wishes.tag),
            format!("--max_execution_time={seconds}"),
            format!("--max_memory_usage={}", l.query_memory_bytes_max),
            format!("--max_threads={}", l.query_threads_max),
        ];
        if wishes.whole {
            args.push(format!("--max_result_bytes={}", l.result_bytes_max));
            args.push("--result_overflow_mode=throw".to_owned());
        }
        let readonly = if wishes.who == Who::Reader { 1 } else { wishes.readonly };
        if readonly > 0 {
            args.push(format!("--readonly={readonly}"));
        }
        args
    }

    /// A connection refused its settings without a reason: the engine gives it for SET.
    fn why_refused(&self, wishes: &Wishes<'_>, asked: &[(String, String)]) -> Exception {
        let Some(mut plain) = self.library.connect(&self.statement_args(wishes)) else {
            return Exception::unknown("the engine opens no more connections");
        };
        for (name, value) in asked {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            if let Err(e) = plain.query(&format!("SET `{name}` = '{value}'"), "Null", &[]) {
                return e;
            }
        }
        Exception::new(Code::BadArguments, "the engine refused a setting's value")
    }
}

fn boot_args(path: &Path, limits: &config::Engine) -> Vec<String> {
    let cache = limits.cache_bytes_max;
    vec![
        path_arg(path),
        format!("--tmp_path={}/", path.join("tmp").display()),
        format!("--user_files_path={}/", path.join("user_files").display()),
        "--logger.level=error".to_owned(),
        "--allow_introspection_functions=0".to_owned(),
        format!("--max_server_memory_usage={}", limits.memory_bytes_max),
        format!("--mark_cache_size={}", cache / 2),
        format!("--uncompressed_cache_size={}", cache / 4),
        format!("--index_mark_cache_size={}", cache / 16),
        format!("--query_condition_cache_size={}", cache / 16),
        format!("--primary_index_cache_size={}", cache / 16),
        format!("--compiled_expression_cache_size={}", cache / 32),
        format!("--vector_similarity_index_cache_size={}", cache / 32),
    ]
}

fn path_arg(path: &Path) -> String {
    format!("--path={}", path.display())
}

/// `default` starts as an overlay in which file names stand for tables. Where it holds no table
/// of its own it is replaced by an ordinary database.
fn plain_default_database(anchor: &mut Connection) -> Result<(), Exception> {
    let used = "SELECT count() FROM system.tables WHERE database = 'default'";
    if lines(anchor, used)?.concat() == "0" {
        for sql in [
            "USE system",
            "DROP DATABASE IF EXISTS default SYNC",
            "CREATE DATABASE default ENGINE = Atomic",
            "USE default",
        ] {
            anchor.query(sql, "Null", &[])?;
        }
    }
    Ok(())
}

fn lines(connection: &mut Connection, sql: &str) -> Result<Vec<String>, Exception> {
    let chunk = connection.query(sql, "TSVRaw", &[])?;
    Ok(String::from_utf8_lossy(chunk.bytes()).lines().map(str::to_owned).collect())
}

fn quote_name(name: &str) -> Result<String, Exception> {
    if name.contains(['`', '\\', '\0', '/']) || name.is_empty() {
        return Err(Exception::new(Code::UnknownDatabase, "a database of that name cannot be"));
    }
    Ok(format!("`{name}`"))
}
