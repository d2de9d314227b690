//! The two ends of the channels between the socket and a statement's thread.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::Frame;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::reply::Part;

/// A request's body, read on a thread that may wait. `None` in the channel is a body that broke
/// off.
pub(super) struct BodyReader {
    pieces: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    broken: bool,
}

impl BodyReader {
    pub(super) fn new(pieces: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self { pieces, current: Bytes::new(), broken: false }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.broken {
                let reason = "the request's body broke off";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
            }
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.broken = true,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

/// A reply's body, from the parts behind its head. Dropping it before its end tells the watcher
/// that nobody waits for the statement.
pub(super) struct ReplyBody {
    parts: mpsc::Receiver<Part>,
    guard: Option<DropGuard>,
    /// What was sent must leave before the connection breaks, so one poll lies between.
    aborting: bool,
}

impl ReplyBody {
    pub(super) fn new(parts: mpsc::Receiver<Part>, guard: DropGuard) -> Self {
        Self { parts, guard: Some(guard), aborting: false }
    }

    fn broken() -> io::Error {
        io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the statement failed after its first bytes",
        )
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.aborting {
            return Poll::Ready(Some(Err(Self::broken())));
        }
        match self.parts.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Part::Data(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(Some(Part::End)) => {
                if let Some(guard) = self.guard.take() {
                    // The statement ended by itself: there is nothing to cancel.
                    guard.disarm();
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(Part::Abort | Part::Head(..)) | None) => {
                self.aborting = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
