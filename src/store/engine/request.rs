//! From an HTTP request to a [`Call`]: credentials, settings, parameters, codings.

use std::net::SocketAddr;

use http::{HeaderMap, Method, Uri, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    exception::{Code, Exception},
    guard::Who,
    protocol::{Secret, Secrets},
};

/// How the request's body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyCoding {
    Plain,
    Blocks,
    Frame,
}

/// How the reply's body is to be coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyCoding {
    Plain,
    Blocks,
    Frame,
}

/// What a request asks for, besides the body.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) who: Who,
    pub(super) peer: SocketAddr,
    pub(super) query: Option<String>,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) query_id: String,
    /// What the engine knows the statement by.
    pub(super) tag: String,
    pub(super) wait_end_of_query: bool,
    /// As ClickHouse's setting: 1 only reads, 2 also changes settings; 0 without restriction.
    pub(super) readonly: u8,
    pub(super) coding: BodyCoding,
    pub(super) reply: ReplyCoding,
    pub(super) settings: Vec<(String, String)>,
    pub(super) params: Vec<(String, String)>,
}

impl Call {
    /// Whether a setting was asked for with a value other than off.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.settings.iter().any(|(n, v)| n == name && v != "0" && v != "false")
    }

    /// Reads everything but the body.
    ///
    /// # Errors
    /// What ClickHouse answers: 194 and 516 for credentials, 36 for what makes no sense.
    pub(super) fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        peer: SocketAddr,
        keys: &Keys,
    ) -> Result<Self, Exception> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let who = keys.who(headers, &pairs)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(Exception::unknown)?;
        let mut call = Self {
            who,
            peer,
            query: None,
            database: text(headers, "x-clickhouse-database"),
            default_format: text(headers, "x-clickhouse-format"),
            query_id: text(headers, "x-clickhouse-query-id").unwrap_or_else(|| uuid(random)),
            tag: format!("tracegate-{}", hex::encode(random)),
            wait_end_of_query: false,
            readonly: u8::from(method == Method::GET),
            coding: body_coding(headers)?,
            reply: ReplyCoding::Plain,
            settings: Vec::new(),
            params: Vec::new(),
        };
        if accepts_lz4(headers) {
            call.reply = ReplyCoding::Frame;
        }
        for (name, value) in pairs {
            call.take(name, value)?;
        }
        Ok(call)
    }

    fn take(&mut self, name: String, value: String) -> Result<(), Exception> {
        let on = value != "0" && value != "false";
        match name.as_str() {
            "query" => self.query = Some(value),
            "database" => self.database = Some(value).filter(|d| !d.is_empty()),
            "default_format" => self.default_format = Some(value),
            "query_id" if !value.is_empty() => self.query_id = value,
            "query_id" | "user" | "password" => {}
            "wait_end_of_query" => self.wait_end_of_query = on,
            "decompress" if on => self.coding = BodyCoding::Blocks,
            "compress" if on => self.reply = ReplyCoding::Blocks,
            "compress" | "decompress" => {}
            // Who asks for less may have it; nobody gets more.
            "readonly" if value == "1" => self.readonly = 1,
            "readonly" if value == "2" => {
                if self.readonly == 0 {
                    self.readonly = 2;
                }
            }
            _ => match name.strip_prefix("param_") {
                Some(param) => self.params.push((param.to_owned(), value)),
                None if well_named(&name) => self.settings.push((name, value)),
                None => {
                    let reason =
                        format!("Setting {name} is neither a builtin setting nor a parameter");
                    return Err(Exception::new(Code::UnknownSetting, reason));
                }
            },
        }
        Ok(())
    }

    /// Adds the fields of a form in the body.
    ///
    /// # Errors
    /// 36 for a body that is no such form or has fields of another name.
    pub(super) fn take_form(&mut self, boundary: &str, body: &[u8]) -> Result<(), Exception> {
        for (name, value) in form(boundary, body)? {
            if name == "query" || name.starts_with("param_") {
                self.take(name, value)?;
            } else {
                return Err(Exception::new(Code::BadArguments, "a form field of unknown meaning"));
            }
        }
        Ok(())
    }
}

fn well_named(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|v| !v.is_empty()).map(str::to_owned)
}

fn uuid(bytes: [u8; 16]) -> String {
    let h = hex::encode(bytes);
    format!("{}-{}-4{}-a{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..])
}

fn body_coding(headers: &HeaderMap) -> Result<BodyCoding, Exception> {
    match text(headers, "content-encoding").as_deref() {
        None | Some("identity") => Ok(BodyCoding::Plain),
        Some("lz4") => Ok(BodyCoding::Frame),
        Some(other) => {
            let reason = format!("Unknown compression method: {other}; lz4 is known");
            Err(Exception::new(Code::UnknownCompression, reason))
        }
    }
}

fn accepts_lz4(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).any(|v| {
        v.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("lz4") && parts.next() != Some("q=0")
        })
    })
}

/// The boundary of a `multipart/form-data` body, where there is one.
pub(super) fn form_boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parts.find_map(|p| p.strip_prefix("boundary=")).map(|b| b.trim_matches('"').to_owned())
}

fn form(boundary: &str, body: &[u8]) -> Result<Vec<(String, String)>, Exception> {
    let bad = |what: &str| Exception::new(Code::BadArguments, format!("the form {what}"));
    let body = std::str::from_utf8(body).map_err(|_| bad("is not UTF-8"))?;
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(&delimiter).ok_or_else(|| bad("has no boundary"))?;
    let between = format!("\r\n{delimiter}");
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix("\r\n") {
        let (part, tail) = part.split_once(&between).ok_or_else(|| bad("is not closed"))?;
        rest = tail;
        let (head, value) = part.split_once("\r\n\r\n").ok_or_else(|| bad("has a bad part"))?;
        let name = head
            .split("\r\n")
            .filter(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
            .flat_map(|line| line.split(';'))
            .find_map(|p| p.trim().strip_prefix("name=")?.strip_prefix('"')?.strip_suffix('"'))
            .ok_or_else(|| bad("has a part without a name"))?;
        fields.push((name.to_owned(), value.to_owned()));
    }
    if rest.starts_with("--") { Ok(fields) } else { Err(bad("is not closed")) }
}

/// Digests of the two secrets: comparing them takes the same time for every guess.
pub(super) struct Keys {
    internal: [u8; 32],
    reader: [u8; 32],
}

impl Keys {
    pub(super) fn new(secrets: &Secrets) -> Self {
        let digest = |s: &Secret| Sha256::digest(s.reveal()).into();
        Self { internal: digest(&secrets.internal), reader: digest(&secrets.reader) }
    }

    fn who(&self, headers: &HeaderMap, pairs: &[(String, String)]) -> Result<Who, Exception> {
        let shown = text(headers, "x-clickhouse-key")
            .or_else(|| authorization(headers))
            .or_else(|| pairs.iter().find(|(n, _)| n == "password").map(|(_, v)| v.clone()));
        let Some(shown) = shown.filter(|s| !s.is_empty()) else {
            let reason =
                "Authentication failed: a secret is required as X-ClickHouse-Key, Basic or Bearer";
            return Err(Exception::new(Code::RequiredPassword, reason));
        };
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let (internal, reader) = (self.internal.ct_eq(&shown), self.reader.ct_eq(&shown));
        if bool::from(internal) {
            Ok(Who::Internal)
        } else if bool::from(reader) {
            Ok(Who::Reader)
        } else {
            let reason = "Authentication failed: the secret is incorrect";
            Err(Exception::new(Code::AuthenticationFailed, reason))
        }
    }
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, "authorization")?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => {
            let decoded = String::from_utf8(base64(rest.trim())?).ok()?;
            decoded.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

/// RFC 4648 §4, for credentials only.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut have) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0x00ff_ffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&Secrets { internal: Secret::new("in"), reader: Secret::new("re") })
    }

    fn read(uri: &str, headers: &[(&'static str, &str)]) -> Result<Call, u32> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let peer = ([127, 0, 0, 1], 1).into();
        Call::read(&Method::POST, &uri.parse().unwrap(), &map, peer, &keys()).map_err(|e| e.code)
    }

    #[test]
    fn credentials() {
        for (uri, headers, expected) in [
            ("/", vec![], Err(194)),
            ("/", vec![("x-clickhouse-key", "in")], Ok(Who::Internal)),
            ("/", vec![("x-clickhouse-key", "re")], Ok(Who::Reader)),
            ("/", vec![("x-clickhouse-key", "r")], Err(516)),
            ("/", vec![("authorization", "Bearer in")], Ok(Who::Internal)),
            ("/", vec![("authorization", "Basic ZGVmYXVsdDpyZQ==")], Ok(Who::Reader)),
            ("/", vec![("authorization", "Basic !")], Err(194)),
            ("/?user=default&password=in", vec![], Ok(Who::Internal)),
            ("/?password=", vec![], Err(194)),
        ] {
            assert_eq!(read(uri, &headers).map(|c| c.who), expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn settings_and_parameters() {
        let key = ("x-clickhouse-key", "in");
        let call = read(
            "/?query=select%201&database=d&default_format=CSV&query_id=q&param_x=a%26b&max_threads=3&decompress=1&wait_end_of_query=1",
            &[key, ("accept-encoding", "gzip, lz4;q=0.5")],
        )
        .unwrap();
        assert_eq!(call.query.as_deref(), Some("select 1"));
        assert_eq!(call.database.as_deref(), Some("d"));
        assert_eq!(call.params, [("x".to_owned(), "a&b".to_owned())]);
        assert_eq!(call.settings, [("max_threads".to_owned(), "3".to_owned())]);
        assert_eq!((call.coding, call.reply), (BodyCoding::Blocks, ReplyCoding::Frame));
        assert!(call.wait_end_of_query);
        assert_eq!(read("/?a-b=1", &[key]).unwrap_err(), 115);
        assert_eq!(read("/", &[key, ("content-encoding", "br")]).unwrap_err(), 89);
    }

    #[test]
    fn forms() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nselect {x:String}\r\n\
                    --B\r\ncontent-disposition: form-data; name=\"param_x\"\r\n\r\na\r\nb\r\n--B--\r\n";
        let fields = form("B", body.as_bytes()).unwrap();
        assert_eq!(fields[0], ("query".to_owned(), "select {x:String}".to_owned()));
        assert_eq!(fields[1], ("param_x".to_owned(), "a\r\nb".to_owned()));
        for bad in ["", "x", "--B\r\n", "--B\r\nname\r\n--B--", &body[..body.len() - 6]] {
            assert_eq!(form("B", bad.as_bytes()).unwrap_err().code, 36, "{bad:?}");
        }
    }

    #[test]
    fn base64_reads_what_clients_write() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("Zm9*"), None);
    }
}
