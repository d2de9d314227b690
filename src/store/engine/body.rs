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

/// What comes of a request's body.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// The body broke off.
    Broken,
    /// Nothing more came for too long.
    Stalled,
}

/// A request's body, read on a thread that may wait.
pub(super) struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    /// Why there is no more to come.
    broken: Option<(io::ErrorKind, &'static str)>,
}

impl BodyReader {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new(), broken: None }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if let Some((kind, reason)) = self.broken {
                return Err(io::Error::new(kind, reason));
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Data(piece)) => self.current = piece,
                Some(Piece::Broken) => {
                    let reason = "the request's body broke off";
                    self.broken = Some((io::ErrorKind::ConnectionAborted, reason));
                }
                Some(Piece::Stalled) => {
                    let reason = "the rest of the request's body did not come in time";
                    self.broken = Some((io::ErrorKind::TimedOut, reason));
                }
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
