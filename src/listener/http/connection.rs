//! One connection from its first byte to its last.

use std::{convert::Infallible, pin::pin, sync::Arc};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
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

/// Answers the requests of one connection with `answer`, one after another.
pub(super) async fn run<A, F, B>(stream: TcpStream, orders: Orders, answer: A)
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let activity = Activity::new(orders.clock);
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let service = service_fn(|request| {
        activity.begin();
        let response = answer(request);
        let activity = Arc::clone(&activity);
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
