//! libchdb, loaded at run time: the one place with foreign calls.
//!
//! A [`Library`] opens [`Connection`]s; a connection runs one statement at a time and is used by
//! one thread at a time, which `&mut self` enforces. Results and streams borrow their connection,
//! so none outlives it. The library is never unloaded: its threads and exit handlers may still
//! run. Every failure arrives as the engine's own text in an [`Exception`].
#![expect(unsafe_code, reason = "libchdb has a C interface; this file is its only caller")]

use std::{
    ffi::{CStr, CString, c_char, c_double, c_int, c_void},
    mem::ManuallyDrop,
    path::Path,
    ptr, slice,
    sync::Arc,
};

use super::exception::Exception;

type Handle = *mut c_void;
type Text = *const c_char;
type Start = unsafe extern "C" fn(
    Handle,
    Text,
    usize,
    Text,
    usize,
    *const Text,
    *const usize,
    *const Text,
    *const usize,
    usize,
) -> Handle;
type Number = unsafe extern "C" fn(Handle) -> u64;

/// The entry points used, each with the signature of the library's C header.
struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: Start,
    stream: Start,
    fetch: unsafe extern "C" fn(Handle, Handle) -> Handle,
    cancel: unsafe extern "C" fn(Handle, Handle),
    destroy: unsafe extern "C" fn(Handle),
    buffer: unsafe extern "C" fn(Handle) -> *const c_char,
    length: unsafe extern "C" fn(Handle) -> usize,
    elapsed: unsafe extern "C" fn(Handle) -> c_double,
    rows: Number,
    read_rows: Number,
    read_bytes: Number,
    written_rows: Number,
    written_bytes: Number,
    error: unsafe extern "C" fn(Handle) -> Text,
    insert: Start,
    append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(Handle) -> Handle,
    cancel_insert: unsafe extern "C" fn(Handle),
    insert_error: unsafe extern "C" fn(Handle) -> Text,
    destroy_insert: unsafe extern "C" fn(Handle),
    classify: unsafe extern "C" fn(Handle, Text, usize, Text, usize, *mut RawAnalysis) -> c_int,
    signals: unsafe extern "C" fn(c_int),
    version: unsafe extern "C" fn() -> Text,
}

#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// libchdb could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the engine's library: {0}")]
pub(super) struct LoadError(#[from] libloading::Error);

/// The loaded library.
#[derive(Clone)]
pub(super) struct Library {
    api: Arc<Api>,
}

impl Library {
    /// Loads the library at `path` and keeps its signal handlers out of this process.
    ///
    /// The caller has checked that the file is the pinned library or one the operator named.
    pub(super) fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: the file is libchdb (see above); its initialisers start no code of ours and
        // need nothing from us.
        let library = ManuallyDrop::new(unsafe { libloading::Library::new(path)? });
        // SAFETY: every symbol has the signature of the header of this library's version, and the
        // library stays loaded for the rest of the process.
        let api = unsafe {
            Api {
                connect: *library.get(b"chdb_connect\0")?,
                close: *library.get(b"chdb_close_conn\0")?,
                query: *library.get(b"chdb_query_with_params_n\0")?,
                stream: *library.get(b"chdb_stream_query_with_params_n\0")?,
                fetch: *library.get(b"chdb_stream_fetch_result\0")?,
                cancel: *library.get(b"chdb_stream_cancel_query\0")?,
                destroy: *library.get(b"chdb_destroy_query_result\0")?,
                buffer: *library.get(b"chdb_result_buffer\0")?,
                length: *library.get(b"chdb_result_length\0")?,
                elapsed: *library.get(b"chdb_result_elapsed\0")?,
                rows: *library.get(b"chdb_result_rows_read\0")?,
                read_rows: *library.get(b"chdb_result_storage_rows_read\0")?,
                read_bytes: *library.get(b"chdb_result_storage_bytes_read\0")?,
                written_rows: *library.get(b"chdb_result_rows_written\0")?,
                written_bytes: *library.get(b"chdb_result_bytes_written\0")?,
                error: *library.get(b"chdb_result_error\0")?,
                insert: *library.get(b"chdb_stream_insert_with_params_n\0")?,
                append: *library.get(b"chdb_stream_append\0")?,
                done: *library.get(b"chdb_stream_done\0")?,
                cancel_insert: *library.get(b"chdb_stream_cancel_insert\0")?,
                insert_error: *library.get(b"chdb_stream_insert_error\0")?,
                destroy_insert: *library.get(b"chdb_destroy_insert_stream\0")?,
                classify: *library.get(b"chdb_classify_query_n\0")?,
                signals: *library.get(b"chdb_set_signal_handlers_enabled\0")?,
                version: *library.get(b"chdb_version\0")?,
            }
        };
        // SAFETY: takes a flag, may be called at any time.
        unsafe { (api.signals)(0) };
        Ok(Self { api: Arc::new(api) })
    }

    /// The library's own version.
    pub(super) fn version(&self) -> String {
        // SAFETY: returns a static NUL-terminated string or null.
        text(unsafe { (self.api.version)() }).unwrap_or_default()
    }

    /// Opens a connection; the first one starts the engine. `args` are `--name=value`; names of
    /// query settings hold for this connection alone.
    ///
    /// # Errors
    /// The engine prints its reason to stderr and returns none: an unknown database directory, its
    /// lock, or a value that a setting does not take.
    pub(super) fn connect(&self, args: &[String]) -> Option<Connection> {
        let mut owned = Vec::with_capacity(args.len() + 1);
        owned.push(CString::from(c"tracegate"));
        for arg in args {
            owned.push(CString::new(arg.as_bytes()).ok()?);
        }
        let mut argv: Vec<*mut c_char> = owned.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let argc = c_int::try_from(argv.len()).ok()?;
        // SAFETY: argc and argv describe `owned`, which lives until after the call; the library
        // copies the arguments.
        let raw = unsafe { (self.api.connect)(argc, argv.as_mut_ptr()) };
        (!raw.is_null()).then(|| Connection { api: Arc::clone(&self.api), raw })
    }
}

/// One connection: its own settings, its own current database.
pub(super) struct Connection {
    api: Arc<Api>,
    raw: *mut Handle,
}

// SAFETY: the library allows use from any thread as long as calls on one connection do not
// overlap; the type is not Sync and every statement takes `&mut self`.
unsafe impl Send for Connection {}

/// What the engine's parser says about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Analysis {
    /// Statements in it; 0 when it did not parse.
    pub(super) statements: u32,
    /// Whether all it does is read.
    pub(super) read_only: bool,
}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: `raw` is non-null and valid until `drop`.
        unsafe { *self.raw }
    }

    /// Asks the engine's own parser about `sql`; runs nothing.
    pub(super) fn classify(&self, sql: &str) -> Analysis {
        let mut raw = RawAnalysis {
            struct_size: u32::try_from(size_of::<RawAnalysis>()).unwrap_or(0),
            statement_count: 0,
            flags: 0,
            query_class: 4,
        };
        // SAFETY: pointer and length describe `sql`; a null target is allowed; `raw` has its size
        // set and outlives the call.
        unsafe {
            (self.api.classify)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut raw,
            )
        };
        Analysis { statements: raw.statement_count, read_only: raw.query_class == 0 }
    }

    /// Runs a statement to its end; the whole result is in memory.
    pub(super) fn query(
        &mut self,
        sql: &str,
        format: &str,
        params: &[(String, String)],
    ) -> Result<Chunk, Exception> {
        let raw = self.start(self.api.query, sql, format, params);
        Chunk { api: Arc::clone(&self.api), raw }.checked()
    }

    /// Starts a SELECT whose result is fetched in chunks, each a document of `format`.
    pub(super) fn stream(
        &mut self,
        sql: &str,
        format: &str,
        params: &[(String, String)],
    ) -> Result<Stream<'_>, Exception> {
        let raw = self.start(self.api.stream, sql, format, params);
        let stream = Stream { connection: self, raw, ended: false };
        // SAFETY: `raw` is a result of this library or null, both allowed.
        match text(unsafe { (stream.connection.api.error)(raw) }) {
            Some(error) => Err(Exception::from_engine(error)),
            None => Ok(stream),
        }
    }

    /// Starts an INSERT; `sql` has neither data nor a FORMAT clause.
    pub(super) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        params: &[(String, String)],
    ) -> Result<Insert<'_>, Exception> {
        let raw = self.start(self.api.insert, sql, format, params);
        let insert = Insert { connection: self, raw };
        insert.checked()?;
        Ok(insert)
    }

    fn start(&self, call: Start, sql: &str, format: &str, params: &[(String, String)]) -> Handle {
        let names: Vec<Text> = params.iter().map(|(n, _)| n.as_ptr().cast()).collect();
        let name_lens: Vec<usize> = params.iter().map(|(n, _)| n.len()).collect();
        let values: Vec<Text> = params.iter().map(|(_, v)| v.as_ptr().cast()).collect();
        let value_lens: Vec<usize> = params.iter().map(|(_, v)| v.len()).collect();
        // SAFETY: every pointer comes with its length, all of them outlive the call, which copies
        // what it keeps; none needs a NUL.
        unsafe {
            call(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lens.as_ptr(),
                values.as_ptr(),
                value_lens.as_ptr(),
                params.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by this library, closed once, nothing borrows it any more.
        unsafe { (self.api.close)(self.raw) };
    }
}

/// A piece of a result, or all of it.
pub(super) struct Chunk {
    api: Arc<Api>,
    raw: Handle,
}

/// What a statement read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) result_rows: u64,
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
    pub(super) elapsed_ns: u64,
}

impl Chunk {
    fn checked(self) -> Result<Self, Exception> {
        // SAFETY: `raw` is a result of this library or null, both allowed.
        match text(unsafe { (self.api.error)(self.raw) }) {
            Some(error) => Err(Exception::from_engine(error)),
            None => Ok(self),
        }
    }

    /// The bytes, in the format asked for.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `raw` is live; the buffer belongs to it and does not move until it is destroyed.
        let (buffer, length) =
            unsafe { ((self.api.buffer)(self.raw), (self.api.length)(self.raw)) };
        if buffer.is_null() {
            return &[];
        }
        // SAFETY: the library says that `length` bytes are there; they live as long as `self`.
        unsafe { slice::from_raw_parts(buffer.cast(), length) }
    }

    /// The counts so far.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration of some seconds; a float's cast saturates"
    )]
    pub(super) fn totals(&self) -> Totals {
        // SAFETY: `raw` is live; these only read it.
        unsafe {
            Totals {
                result_rows: (self.api.rows)(self.raw),
                read_rows: (self.api.read_rows)(self.raw),
                read_bytes: (self.api.read_bytes)(self.raw),
                written_rows: (self.api.written_rows)(self.raw),
                written_bytes: (self.api.written_bytes)(self.raw),
                elapsed_ns: ((self.api.elapsed)(self.raw) * 1e9) as u64,
            }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once; null is allowed.
        unsafe { (self.api.destroy)(self.raw) };
    }
}

/// A running SELECT; dropping it ends it.
pub(super) struct Stream<'c> {
    connection: &'c mut Connection,
    raw: Handle,
    ended: bool,
}

impl Stream<'_> {
    /// The next chunk, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, Exception> {
        if self.ended {
            return Ok(None);
        }
        let api = Arc::clone(&self.connection.api);
        // SAFETY: connection and stream are live and used by this thread alone.
        let raw = unsafe { (api.fetch)(self.connection.handle(), self.raw) };
        match (Chunk { api, raw }).checked() {
            Ok(chunk) if chunk.bytes().is_empty() && chunk.totals().result_rows == 0 => {
                self.ended = true;
                Ok(None)
            }
            Ok(chunk) => Ok(Some(chunk)),
            Err(exception) => {
                self.ended = true;
                Err(exception)
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.raw.is_null() {
            return;
        }
        let api = &self.connection.api;
        // SAFETY: connection and stream are live; a stream is cancelled before it is destroyed,
        // and cancelling one that ended does nothing.
        unsafe {
            if !self.ended {
                (api.cancel)(self.connection.handle(), self.raw);
            }
            (api.destroy)(self.raw);
        }
    }
}

/// A running INSERT; dropping it without [`Insert::finish`] abandons it.
pub(super) struct Insert<'c> {
    connection: &'c mut Connection,
    raw: Handle,
}

impl Insert<'_> {
    fn checked(&self) -> Result<(), Exception> {
        // SAFETY: `raw` is never null and live.
        match text(unsafe { (self.connection.api.insert_error)(self.raw) }) {
            Some(error) => Err(Exception::from_engine(error)),
            None => Ok(()),
        }
    }

    /// Hands over bytes; waits while the engine is behind.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        // SAFETY: pointer and length describe `bytes`, which the library copies.
        let state =
            unsafe { (self.connection.api.append)(self.raw, bytes.as_ptr().cast(), bytes.len()) };
        if state == 0 {
            return Ok(());
        }
        self.checked()?;
        Err(Exception::unknown("the insert had already failed"))
    }

    /// Ends the data and waits until the rows are in the table.
    pub(super) fn finish(self) -> Result<Totals, Exception> {
        let api = Arc::clone(&self.connection.api);
        // SAFETY: `raw` is live; the result is a new one that `Chunk` destroys.
        let raw = unsafe { (api.done)(self.raw) };
        Ok(Chunk { api, raw }.checked()?.totals())
    }

    /// Abandons the insert: nothing more of it is written.
    pub(super) fn cancel(self) {
        // SAFETY: `raw` is live; it is destroyed afterwards by `drop`.
        unsafe { (self.connection.api.cancel_insert)(self.raw) };
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once; the library cancels it first where it is still open.
        unsafe { (self.connection.api.destroy_insert)(self.raw) };
    }
}

fn text(raw: Text) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: a non-null text of the library is NUL-terminated and lives as long as its result,
    // which the callers hold.
    Some(unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned())
}
