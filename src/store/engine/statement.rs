//! One statement, from its head to its last byte, on a thread of its own.
//!
//! Everything that waits for the engine happens here: [`run`] reads the request's body, decides
//! with [`Guard`](super::guard::Guard), and hands the reply's parts to the HTTP side through a
//! bounded channel. A closed channel means that the client has gone: the statement ends.

use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    binding::{Connection, Totals},
    compress::{BlockDecoder, Encoder, frame_decoder},
    database::{Database, Wishes},
    exception::{Code, Exception},
    formats::{Joiner, Joining, joining},
    guard::{Kind, Statement, Who},
    looks::Looks,
    reply::{Part, Reply},
    request::{BodyCoding, Call, ReplyCoding},
};

/// Bytes handed to the engine at once.
const APPEND_BYTES: usize = 1 << 20;

/// Runs one call to its end; every outcome goes through `out`.
pub(super) fn run(
    database: &Database,
    looks: &Looks,
    call: &Call,
    body: impl Read,
    out: mpsc::Sender<Part>,
) {
    let encoder = match call.reply {
        ReplyCoding::Plain => Encoder::Plain,
        ReplyCoding::Blocks => Encoder::Blocks,
        ReplyCoding::Frame => Encoder::frame(),
    };
    let buffered = call.wait_end_of_query.then_some(database.limits().result_bytes_max);
    let mut reply = Reply::new(out, encoder, buffered);
    reply.header("x-clickhouse-query-id", &call.query_id);
    reply.header("x-clickhouse-timezone", database.timezone());
    let outcome = match call.coding {
        BodyCoding::Plain => answer(database, looks, call, body, &mut reply),
        BodyCoding::Blocks => answer(database, looks, call, BlockDecoder::new(body), &mut reply),
        BodyCoding::Frame => answer(database, looks, call, frame_decoder(body), &mut reply),
    };
    match outcome {
        Ok(totals) => reply.finish(totals),
        Err(exception) => reply.fail(&exception),
    }
}

fn answer(
    database: &Database,
    looks: &Looks,
    call: &Call,
    mut body: impl Read,
    reply: &mut Reply,
) -> Result<Totals, Exception> {
    let mut text = String::new();
    let read = read_text(database, call, &mut body, &mut text)
        .and_then(|rest| Ok((database.guard().inspect(&text, call.who)?, rest)));
    let (statement, rest) = match read {
        Ok(read) => read,
        Err(e) => return Err(looks.refused(call, &text, e)),
    };
    if statement.kind == Kind::InsertData {
        let inline = Bytes::copy_from_slice(&text.as_bytes()[statement.data..]);
        let data = data_start(&inline).chain(rest.as_slice()).chain(body);
        return insert(database, call, &text[..statement.end], &statement, data);
    }
    if !rest.is_empty() {
        let reason = Exception::new(Code::SyntaxError, "the statement is not UTF-8");
        return Err(looks.refused(call, &text, reason));
    }
    let sql = &text[..statement.end];
    select(database, looks, call, sql, &statement, reply)
}

/// Reads the statement's text, as far as it is text; what was read of the body behind it.
///
/// An INSERT's data may follow its statement in the same body; so at most
/// `statement_bytes_max` are read here, and only what is valid UTF-8 at their beginning is text.
fn read_text(
    database: &Database,
    call: &Call,
    body: &mut impl Read,
    text: &mut String,
) -> Result<Vec<u8>, Exception> {
    let max = database.limits().statement_bytes_max;
    if let Some(query) = &call.query {
        // The body is data, or the rest of the statement.
        text.clone_from(query);
        match database.guard().inspect(query, call.who) {
            Ok(s) if s.kind == Kind::InsertData => return Ok(Vec::new()),
            // What is refused stays so, whatever follows.
            Err(e) if e.code == Code::AccessDenied as u32 => return Err(e),
            _ => {}
        }
    }
    let mut bytes = text.clone().into_bytes();
    if !bytes.is_empty() {
        bytes.push(b'\n');
    }
    let room = max.saturating_sub(bytes.len() as u64);
    body.take(room).read_to_end(&mut bytes).map_err(|e| body_error(&e))?;
    let full = bytes.len() as u64 >= max;
    let valid = match std::str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        Err(e) => e.valid_up_to(),
    };
    let rest = bytes.split_off(valid);
    *text = String::from_utf8(bytes).map_err(Exception::unknown)?;
    if full {
        let data = database.guard().inspect(text, call.who);
        if !data.is_ok_and(|s| s.kind == Kind::InsertData) {
            let reason = format!("Max query size exceeded: {max} bytes");
            return Err(Exception::new(Code::SyntaxError, reason));
        }
    }
    Ok(rest)
}

/// An INSERT's inline data begin behind blanks and at most one line break.
fn data_start(inline: &Bytes) -> impl Read + use<> {
    let blanks = inline.iter().take_while(|b| matches!(b, b' ' | b'\t' | 0x0c)).count();
    let mut start = blanks;
    if inline.get(start) == Some(&b'\r') {
        start += 1;
    }
    if inline.get(start) == Some(&b'\n') {
        start += 1;
    }
    std::io::Cursor::new(inline.slice(start..))
}

fn wishes(call: &Call, whole: bool) -> Wishes<'_> {
    Wishes {
        who: call.who,
        readonly: call.readonly,
        database: call.database.as_deref(),
        settings: &call.settings,
        tag: &call.tag,
        whole,
    }
}

/// What the engine's own parser says must agree with what we read.
fn second_opinion(connection: &Connection, call: &Call, sql: &str) -> Result<(), Exception> {
    let analysis = connection.classify(sql);
    if analysis.statements > 1 {
        return Err(Exception::new(Code::AccessDenied, "more than one statement is refused here"));
    }
    if call.who == Who::Reader && analysis.statements == 1 && !analysis.read_only {
        return Err(Exception::new(Code::Readonly, "this secret only reads"));
    }
    Ok(())
}

fn insert(
    database: &Database,
    call: &Call,
    sql: &str,
    statement: &Statement,
    mut data: impl Read,
) -> Result<Totals, Exception> {
    if call.readonly > 0 {
        return Err(Exception::new(Code::Readonly, "Cannot execute query in readonly mode"));
    }
    let format = statement.format.as_deref().or(call.default_format.as_deref()).unwrap_or("Values");
    let mut connection = database.connect(&wishes(call, false))?;
    let mut insert = connection.insert(sql, format, &call.params)?;
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        let filled = fill(&mut data, &mut buffer);
        match filled {
            Ok(0) => return insert.finish(),
            Ok(n) => insert.append(&buffer[..n])?,
            Err(e) => {
                // A body cut short is nothing to keep: no finish, hence no commit.
                insert.cancel();
                return Err(body_error(&e));
            }
        }
    }
}

fn fill(data: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match data.read(&mut buffer[have..])? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}

fn body_error(e: &std::io::Error) -> Exception {
    let text = e.to_string();
    let code = match e.kind() {
        std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::UnexpectedEof => {
            Code::NetworkError
        }
        std::io::ErrorKind::TimedOut => Code::SocketTimeout,
        _ if text.starts_with("Checksum") => Code::ChecksumMismatch,
        _ if text.starts_with("Unknown compression") => Code::UnknownCompression,
        _ => Code::CannotDecompress,
    };
    Exception::new(code, text)
}

fn select(
    database: &Database,
    looks: &Looks,
    call: &Call,
    sql: &str,
    statement: &Statement,
    reply: &mut Reply,
) -> Result<Totals, Exception> {
    let format =
        statement.format.as_deref().or(call.default_format.as_deref()).unwrap_or("TabSeparated");
    reply.header("x-clickhouse-format", format);
    reply.header("content-type", content_type(format));
    let joining =
        if statement.totals || call.sets("extremes") { Joining::Never } else { joining(format) };
    let whole = statement.kind != Kind::Select || joining == Joining::Never;
    let opened = database
        .connect(&wishes(call, whole))
        .and_then(|connection| second_opinion(&connection, call, sql).map(|()| connection));
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(e) => return Err(looks.refused(call, sql, e)),
    };
    looks.allow(call, sql)?;
    if whole {
        let chunk = connection.query(sql, format, &call.params)?;
        reply.set_totals(chunk.totals());
        reply.write(chunk.bytes())?;
        return Ok(chunk.totals());
    }
    let mut joiner = Joiner::new(joining);
    let mut totals = Totals::default();
    let mut stream = connection.stream(sql, format, &call.params)?;
    while let Some(chunk) = stream.next()? {
        let piece = chunk.totals();
        totals.result_rows += piece.result_rows;
        totals.read_rows = totals.read_rows.max(piece.read_rows);
        totals.read_bytes = totals.read_bytes.max(piece.read_bytes);
        totals.elapsed_ns = totals.elapsed_ns.max(piece.elapsed_ns);
        reply.set_totals(totals);
        reply.write(joiner.cut(chunk.bytes()))?;
    }
    Ok(totals)
}

fn content_type(format: &str) -> &'static str {
    match format {
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" => "application/json; charset=UTF-8",
        "JSONEachRow" | "JSONLines" | "NDJSON" => "application/x-ndjson; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Native"
        | "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "MsgPack" => "application/octet-stream",
        f if f.starts_with("TabSeparated") || f.starts_with("TSV") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        _ => "text/plain; charset=UTF-8",
    }
}
