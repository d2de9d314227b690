//! The API as the commands see it: where it is, with which token, one request at a time.
//!
//! On the machine of a server, `<data_dir>/run.json` says where its API is and
//! `<data_dir>/secrets/operator.token` opens it. Both are believed only when they belong to
//! whoever runs the command, or to root, and nobody else could have written or read them: else
//! another user's file would decide where questions and tokens go. A run file is believed only
//! while the server that wrote it holds it: an address left behind by one that was killed may be
//! a stranger's by now. Elsewhere `--server` and `--token-file` name them.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use futures_util::TryStreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Global;
use crate::{escape, server};

/// The wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait for a whole answer; the server's own limits are shorter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// What is read of a file at a time, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const BYTES: &str = "application/octet-stream";

/// The largest answer that is kept in memory, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The largest run file or token file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where the API is.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ServerArgs {
    /// The API's address, instead of the one of the server on this data directory.
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<Url>,
    /// A file with a token, instead of the operator's on this data directory.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A connection to the API, with a token.
pub(super) struct Api {
    base: Url,
    token: String,
    client: HttpClient,
}

/// What is sent.
type Sent = UnsyncBoxBody<Bytes, io::Error>;

type HttpClient = Client<HttpsConnector<HttpConnector>, Sent>;

/// The part of `run.json` that matters here.
#[derive(Deserialize)]
struct Running {
    api: Option<SocketAddr>,
}

/// An RFC 9457 problem.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
}

impl Api {
    /// The API the arguments name, or the one of the server on the data directory.
    pub(super) fn open(args: &ServerArgs, global: &Global) -> anyhow::Result<Self> {
        if args.server.is_some() && args.token_file.is_none() {
            // The operator's token of this machine is nobody else's business.
            bail!("--server needs --token-file with a token of that server");
        }
        let data_dir = match (&args.server, &args.token_file) {
            (Some(_), Some(_)) => PathBuf::new(),
            _ => global.load()?.config.data_dir,
        };
        let base = match &args.server {
            Some(url) => url.clone(),
            None => running(&data_dir)?,
        };
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            bail!("--server takes a URL such as http://127.0.0.1:8081 or https://api.example");
        }
        let token_file = match &args.token_file {
            Some(file) => file.clone(),
            None => data_dir.join("secrets/operator.token"),
        };
        let token = trusted(&token_file, Others::MayNotRead)?.trim().to_owned();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("{}: holds no token", token_file.display());
        }
        Ok(Self { base, token, client: client()? })
    }

    /// Sends one request and gives the answer's body.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Bytes> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        self.whole(self.request(method, path, query, JSON, whole(body))?).await
    }

    /// Sends the bytes of `file` and gives the answer, which is JSON. `sent` is told how many went.
    pub(super) async fn upload(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        file: tokio::fs::File,
        mut sent: impl FnMut(u64) + Send + 'static,
    ) -> anyhow::Result<Value> {
        let chunks = tokio_util::io::ReaderStream::with_capacity(file, CHUNK_BYTES);
        let chunks = chunks.inspect_ok(move |chunk| sent(chunk.len() as u64));
        let body = StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync();
        let body = self.whole(self.request(Method::POST, path, query, BYTES, body)?).await?;
        serde_json::from_slice(&body).context("the answer is no JSON")
    }

    /// Sends JSON lines under a key by which the server knows the same request again, and gives
    /// the answer's lines.
    pub(super) async fn lines(
        &self,
        path: &[&str],
        key: &str,
        lines: String,
    ) -> anyhow::Result<String> {
        let body = whole(lines.into_bytes());
        let mut request = self.request(Method::POST, path, &[], LINES, body)?;
        request.headers_mut().insert("idempotency-key", key.parse()?);
        let answer = self.whole(request).await?;
        String::from_utf8(answer.into()).context("the answer is no text")
    }

    /// Writes an answer to `out` as it comes, whatever its length; how many bytes it had.
    pub(super) async fn download(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<u64> {
        let request = self.request(Method::GET, path, query, JSON, whole(Vec::new()))?;
        let mut answer = self.in_time(self.open_answer(request)).await?;
        let mut bytes = 0;
        while let Some(frame) = self.in_time(async { Ok(answer.frame().await) }).await? {
            let frame = frame.map_err(|e| anyhow!("the answer broke off: {e}"))?;
            let Ok(data) = frame.into_data() else { continue };
            out.write_all(&data)?;
            bytes += data.len() as u64;
        }
        out.flush()?;
        Ok(bytes)
    }

    async fn whole(&self, request: Request<Sent>) -> anyhow::Result<Bytes> {
        let answer = async {
            let body = self.open_answer(request).await?;
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok(body.map_err(|e| anyhow!("the answer broke off: {e}"))?.to_bytes())
        };
        self.in_time(answer).await
    }

    /// The body of an answer that is no refusal.
    async fn open_answer(&self, request: Request<Sent>) -> anyhow::Result<Incoming> {
        let answer = self.client.request(request).await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| anyhow!("the answer broke off: {e}"))?.to_bytes();
        Err(refusal(status, &body))
    }

    async fn in_time<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::time::timeout(REQUEST_TIMEOUT, work)
            .await
            .map_err(|_| anyhow!("no answer from {} in {REQUEST_TIMEOUT:?}", self.base))?
    }

    /// As [`Api::send`], for answers that are JSON.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = self.send(method, path, query, body).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).context("the answer is no JSON")
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        content_type: &'static str,
        body: Sent,
    ) -> anyhow::Result<Request<Sent>> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("--server takes a URL with a host"))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type);
        Ok(request.body(body)?)
    }

    fn unreachable(&self, e: &dyn std::error::Error) -> anyhow::Error {
        let mut why = e.to_string();
        let mut source = e.source();
        while let Some(s) = source {
            why = s.to_string();
            source = s.source();
        }
        anyhow!("cannot reach the API at {}: {why}", self.base)
    }
}

fn whole(body: Vec<u8>) -> Sent {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

fn client() -> anyhow::Result<HttpClient> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.enforce_http(false);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(https))
}

/// What the server said, for a person.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let said = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let said = escape::text(&said).into_owned();
    if said.is_empty() {
        anyhow!("the server answered {status}")
    } else {
        anyhow!("{said} ({status})")
    }
}

/// Runs one request after another on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The API of the server that runs on `data_dir`.
fn running(data_dir: &Path) -> anyhow::Result<Url> {
    let path = data_dir.join("run.json");
    let hint = "Is `tracegate serve` running on this data directory? Elsewhere use --server URL \
                --token-file FILE";
    let file = open_trusted(&path, Others::MayRead).map_err(|e| anyhow!("{e:#}. {hint}"))?;
    if !server::is_held(&file).with_context(|| format!("{}", path.display()))? {
        bail!(
            "no server runs on {}: {} is of one that was killed. {hint}",
            data_dir.display(),
            path.display()
        );
    }
    let text = text_of(file, &path)?;
    let running: Running = serde_json::from_str(&text)
        .with_context(|| format!("{}: not a run file", path.display()))?;
    let api = running.api.ok_or_else(|| anyhow!("the server on this data directory has no API"))?;
    Ok(Url::parse(&format!("http://{api}/"))?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    MayRead,
    MayNotRead,
}

/// The text of a file that belongs to us or to root and that others cannot have tampered with.
fn trusted(path: &Path, others: Others) -> anyhow::Result<String> {
    text_of(open_trusted(path, others)?, path)
}

fn open_trusted(path: &Path, others: Others) -> anyhow::Result<File> {
    let shown = path.display();
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .with_context(|| format!("{shown}"))?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        bail!("{shown}: not a plain file");
    }
    let us = rustix::process::geteuid().as_raw();
    judge(meta.uid(), meta.mode(), us, others).map_err(|e| anyhow!("{shown}: {e}"))?;
    Ok(file)
}

fn text_of(file: File, path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| format!("{}", path.display()))?;
    Ok(text)
}

/// Why a file is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Untrusted {
    #[error(
        "belongs to user {0}, not to you or root, and is not used. Run the command as that user, \
         or use --server URL --token-file FILE with a token of your own"
    )]
    Owner(u32),
    #[error("others can write it (mode {0:o}) and it is not used. chmod go-w it")]
    Written(u32),
    #[error(
        "others can read it (mode {0:o}) and it is not used. chmod 600 it and revoke the token"
    )]
    Read(u32),
}

const fn judge(owner: u32, mode: u32, us: u32, others: Others) -> Result<(), Untrusted> {
    let mode = mode & 0o777;
    if owner != us && owner != 0 {
        return Err(Untrusted::Owner(owner));
    }
    if mode & 0o022 != 0 {
        return Err(Untrusted::Written(mode));
    }
    if matches!(others, Others::MayNotRead) && mode & 0o077 != 0 {
        return Err(Untrusted::Read(mode));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_not_believed() {
        use Others::{MayNotRead, MayRead};
        for (owner, mode, others, expected) in [
            (1000, 0o100_600, MayNotRead, Ok(())),
            (0, 0o100_600, MayNotRead, Ok(())),
            (1000, 0o100_644, MayRead, Ok(())),
            (1000, 0o100_644, MayNotRead, Err(Untrusted::Read(0o644))),
            (1000, 0o100_640, MayNotRead, Err(Untrusted::Read(0o640))),
            (1000, 0o100_664, MayRead, Err(Untrusted::Written(0o664))),
            (1001, 0o100_600, MayNotRead, Err(Untrusted::Owner(1001))),
            (1001, 0o100_644, MayRead, Err(Untrusted::Owner(1001))),
        ] {
            assert_eq!(judge(owner, mode, 1000, others), expected, "{owner} {mode:o}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "secret").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(trusted(&real, Others::MayRead).unwrap(), "secret");
        assert!(trusted(&link, Others::MayRead).is_err());
        assert!(trusted(dir.path(), Others::MayRead).is_err());
    }

    #[test]
    fn what_is_asked_stays_in_the_query() {
        let api = Api {
            base: "https://api.example/t/".parse().unwrap(),
            token: "secret".into(),
            client: client().unwrap(),
        };
        let query = [("q", "a&b=c#d"), ("from", "2026-11-22T10:00:00+08:00")];
        let path = ["api", "v1", "links", "a/../b"];
        let r = api.request(Method::GET, &path, &query, JSON, whole(Vec::new())).unwrap();
        assert_eq!(
            r.uri(),
            "https://api.example/t/api/v1/links/a%2F..%2Fb?q=a%26b%3Dc%23d\
             &from=2026-11-22T10%3A00%3A00%2B08%3A00"
        );
    }
}
