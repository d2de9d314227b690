//! What moves on a connection, and when nothing has moved for too long.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpLimits;
use crate::clock::Clock;

/// No head has begun.
const NONE: u64 = u64::MAX;

/// One connection's signs of life, in milliseconds since it was accepted.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    began: Instant,
    /// When bytes last moved.
    moved: AtomicU64,
    /// When the head that is being read began; a new connection owes one at once.
    head: AtomicU64,
    /// A request is being answered.
    busy: AtomicBool,
    /// Anything was read at all.
    spoke: AtomicBool,
}

impl Activity {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let began = clock.monotonic();
        Arc::new(Self {
            clock,
            began,
            moved: AtomicU64::new(0),
            head: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            spoke: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        let d = self.clock.monotonic().saturating_duration_since(self.began);
        u64::try_from(d.as_millis()).unwrap_or(NONE - 1)
    }

    /// A head is whole; its request is being answered.
    pub(super) fn begin(&self) {
        self.busy.store(true, Ordering::Relaxed);
        self.head.store(NONE, Ordering::Relaxed);
    }

    /// The answer is on its way out.
    pub(super) fn end(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether the other side has never sent anything.
    pub(super) fn is_silent(&self) -> bool {
        !self.spoke.load(Ordering::Relaxed)
    }

    fn read(&self) {
        let now = self.now();
        self.moved.store(now, Ordering::Relaxed);
        self.spoke.store(true, Ordering::Relaxed);
        if !self.busy.load(Ordering::Relaxed) && self.head.load(Ordering::Relaxed) == NONE {
            self.head.store(now, Ordering::Relaxed);
        }
    }

    fn wrote(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    /// Milliseconds until the connection has to be looked at again; none when it is to be closed.
    /// While a request is being answered its own limits hold.
    fn patience(&self, limits: &HttpLimits) -> Option<u64> {
        let (idle, header) = (millis(limits.idle), millis(limits.header));
        if self.busy.load(Ordering::Relaxed) {
            return Some(idle.min(header));
        }
        let now = self.now();
        let left = |since: u64, limit: u64| (since + limit).checked_sub(now).filter(|l| *l > 0);
        let idle = left(self.moved.load(Ordering::Relaxed), idle)?;
        match self.head.load(Ordering::Relaxed) {
            // A head may begin at any time: it is found within twice its limit.
            NONE => Some(idle.min(header)),
            since => Some(idle.min(left(since, header)?)),
        }
    }

    /// Ends when the connection is to be closed.
    pub(super) async fn watch(&self, limits: &HttpLimits) {
        while let Some(ms) = self.patience(limits) {
            tokio::time::sleep(Duration::from_millis(ms.max(1))).await;
        }
    }
}

fn millis(d: Duration) -> u64 {
    // Bounded by the configuration's ranges.
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX / 4)
}

/// A stream that says when something moves.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if polled.is_ready() {
            self.activity.wrote();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if polled.is_ready() {
            self.activity.wrote();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
