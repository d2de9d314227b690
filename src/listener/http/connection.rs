//! One connection from its first byte to its last.

use std::{convert::Infallible, pin::pin, sync::Arc};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    HttpLimits,
    watch::{Activity, Watched},
};
use crate::clock::Clock;

/// Header fields of one request.
const HEADERS_MAX: usize = 100;

/// What a connection obeys.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) limits: HttpLimits,
    pub(super) clock: Clock,
    /// Answer what is in flight, then close.
    pub(super) stop: CancellationToken,
    /// Close.
    pub(super) cut: CancellationToken,
}

/// Answers the requests of one connection with `answer`, one after another; after a handshake where
/// there is `tls`.
pub(super) async fn run<A, F, B>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    orders: Orders,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let activity = Activity::new(orders.clock.clone());
    let stream = Watched { stream, activity: Arc::clone(&activity) };
    let Some(acceptor) = tls else { return exchange(stream, &activity, orders, answer).await };
    let stream = tokio::select! {
        biased;
        // An error here is the other side's: it does not speak TLS, or not as we do.
        accepted = acceptor.accept(stream) => match accepted {
            Ok(stream) => stream,
            Err(_) => return,
        },
        () = orders.cut.cancelled() => return,
        () = orders.stop.cancelled() => return,
        () = activity.watch(&orders.limits) => return,
    };
    // Boxed: a TLS session would make the future of every connection larger.
    Box::pin(exchange(stream, &activity, orders, answer)).await;
}

async fn exchange<S, A, F, B>(stream: S, activity: &Arc<Activity>, orders: Orders, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let io = TokioIo::new(stream);
    let service = service_fn(|request| {
        activity.begin();
        let response = answer(request);
        let activity = Arc::clone(activity);
        async move {
            let response = response.await;
            activity.end();
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Ours is `watch`, which tells a slow head from an idle connection.
            .header_read_timeout(None)
            .max_buf_size(orders.limits.header_bytes_max)
            .max_headers(HEADERS_MAX)
            .serve_connection(io, service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // An error here is the other side's: it went away or did not speak HTTP.
            _ = connection.as_mut() => return,
            () = orders.cut.cancelled() => return,
            () = activity.watch(&orders.limits) => return,
            () = orders.stop.cancelled(), if !stopping => {
                if activity.is_silent() {
                    return;
                }
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
