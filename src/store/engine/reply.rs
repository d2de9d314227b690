//! The reply to one statement: a head, then the body in bounded pieces.
//!
//! Until the first byte is there the status can still say that the statement failed. Afterwards a
//! failure is written into the body the way ClickHouse does it, between tags, and the body breaks
//! off, so that no client takes what it has for the whole.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::mpsc;

use super::{
    binding::Totals,
    compress::Encoder,
    exception::{Code, Exception},
};

/// What goes to the HTTP side.
#[derive(Debug)]
pub(super) enum Part {
    /// First, once.
    Head(StatusCode, HeaderMap),
    /// Any number of times.
    Data(Bytes),
    /// The body is whole.
    End,
    /// The body breaks off.
    Abort,
}

/// The largest piece of a body.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// The reply being written.
pub(super) struct Reply {
    out: mpsc::Sender<Part>,
    encoder: Option<Encoder>,
    headers: HeaderMap,
    totals: Totals,
    sent: bool,
    /// With a limit: everything is held back until the end.
    held: Option<(u64, Vec<u8>)>,
    tag: String,
}

impl Reply {
    pub(super) fn new(out: mpsc::Sender<Part>, encoder: Encoder, hold: Option<u64>) -> Self {
        let mut random = [0; 8];
        // Without random bytes the tag is merely guessable, which harms a client at most that
        // reads crafted rows and nothing else.
        if getrandom::fill(&mut random).is_err() {
            random = [b't'; 8];
        }
        let tag = hex::encode(random);
        let mut reply = Self {
            out,
            encoder: Some(encoder),
            headers: HeaderMap::new(),
            totals: Totals::default(),
            sent: false,
            held: hold.map(|max| (max, Vec::new())),
            tag: tag.clone(),
        };
        reply.header("x-clickhouse-server-display-name", "tracegate");
        reply.header("x-clickhouse-exception-tag", &tag);
        if let Some(Encoder::Frame(_)) = reply.encoder {
            reply.header("content-encoding", "lz4");
        }
        reply
    }

    pub(super) fn header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    pub(super) fn set_totals(&mut self, totals: Totals) {
        self.totals = totals;
    }

    /// Adds to the body.
    ///
    /// # Errors
    /// 396 when a held-back body grows over its limit, 394 when the client has gone.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Exception> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some((max, held)) = &mut self.held {
            if (held.len() + data.len()) as u64 > *max {
                let reason = format!("the result is larger than {max} bytes and was to be held");
                return Err(Exception::new(Code::ResultTooLarge, reason));
            }
            held.extend_from_slice(data);
            return Ok(());
        }
        self.send(data)
    }

    fn send(&mut self, data: &[u8]) -> Result<(), Exception> {
        self.head(StatusCode::OK)?;
        for piece in data.chunks(PIECE_BYTES_MAX) {
            let Some(encoder) = &mut self.encoder else { break };
            let bytes = encoder.encode(piece).map_err(Exception::unknown)?;
            self.part(Part::Data(bytes.into()))?;
        }
        Ok(())
    }

    fn head(&mut self, status: StatusCode) -> Result<(), Exception> {
        if std::mem::replace(&mut self.sent, true) {
            return Ok(());
        }
        let t = self.totals;
        let summary = format!(
            r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"{}","result_bytes":"0","elapsed_ns":"{}"}}"#,
            t.read_rows, t.read_bytes, t.written_rows, t.written_bytes, t.result_rows, t.elapsed_ns
        );
        self.header("x-clickhouse-summary", &summary);
        let headers = std::mem::take(&mut self.headers);
        self.part(Part::Head(status, headers))
    }

    fn part(&self, part: Part) -> Result<(), Exception> {
        let gone = || Exception::new(Code::QueryCancelled, "the client has gone");
        self.out.blocking_send(part).map_err(|_| gone())
    }

    /// Ends a body that is whole.
    pub(super) fn finish(mut self, totals: Totals) {
        self.totals = totals;
        if let Err(exception) = self.try_finish() {
            self.fail(&exception);
        }
    }

    fn try_finish(&mut self) -> Result<(), Exception> {
        if let Some((_, held)) = self.held.take() {
            self.send(&held)?;
        }
        self.head(StatusCode::OK)?;
        if let Some(encoder) = self.encoder.take() {
            let rest = encoder.finish().map_err(Exception::unknown)?;
            if !rest.is_empty() {
                self.part(Part::Data(rest.into()))?;
            }
        }
        self.part(Part::End)
    }

    /// Ends a statement that failed. A client that has gone is told nothing.
    pub(super) fn fail(mut self, exception: &Exception) {
        let outcome =
            if self.sent { self.fail_late(exception) } else { self.fail_early(exception) };
        if outcome.is_err() {
            tracing::trace!("a client had gone before its failure was told");
        }
    }

    fn fail_early(&mut self, exception: &Exception) -> Result<(), Exception> {
        self.held = None;
        self.header("x-clickhouse-exception-code", &exception.code.to_string());
        self.header("content-type", "text/plain; charset=UTF-8");
        if exception.status() == StatusCode::UNAUTHORIZED {
            self.header("www-authenticate", "Basic realm=\"ClickHouse server HTTP API\"");
        }
        self.head(exception.status())?;
        self.send(format!("{}\n", exception.text).as_bytes())?;
        self.try_finish()
    }

    fn fail_late(&mut self, exception: &Exception) -> Result<(), Exception> {
        let text = format!("{}\n", exception.text);
        let tag = &self.tag;
        let trailer = format!(
            "\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n",
            text.len()
        );
        self.send(trailer.as_bytes())?;
        self.part(Part::Abort)
    }
}
