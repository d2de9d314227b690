//! HTTP: the gateway's threads and the API.
//!
//! Both accept in the same way: a permit first, then a connection, so that there are never more
//! than `connections_max`; errors of `accept` back off and never end the listener. Each connection
//! is watched ([`watch`](self)): a head must be whole within `header_timeout_ms`, and a connection
//! on which nothing moves, in either direction, is closed after `idle_timeout_ms`. A head larger
//! than `header_bytes_max` is answered with 431. At the gateway a client holds no more than
//! `client_connections_max` of them; those beyond are closed unheard.
//!
//! The gateway also speaks TLS, where it has certificates ([`Certificates`]): a handshake and the first
//! head together must be done within `header_timeout_ms`.
//!
//! Stop: accepting ends, idle connections are closed, requests in flight are answered within the
//! grace, what is left is cut, and the gateway's lanes are closed.

mod accept;
mod clients;
mod connection;
mod serve;
mod tls;
mod watch;

pub use accept::{HttpLimits, bind};
pub use serve::{GatewayThread, HttpError, TlsListener, serve_api};
pub use tls::{Certificates, TlsError};
