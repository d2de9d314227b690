//! Failures in ClickHouse's own words: a code, a text, and the HTTP status that goes with it.

use http::StatusCode;

/// Codes this front raises by itself; the numbers and names are ClickHouse's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BadArguments = 36,
    UnknownDatabase = 81,
    UnknownSetting = 115,
    CannotDecompress = 271,
    UnknownCompression = 89,
    SyntaxError = 62,
    Readonly = 164,
    RequiredPassword = 194,
    TooManyQueries = 202,
    SocketTimeout = 209,
    NetworkError = 210,
    ChecksumMismatch = 40,
    SupportIsDisabled = 344,
    ResultTooLarge = 396,
    SettingConstraint = 452,
    AccessDenied = 497,
    AuthenticationFailed = 516,
    QueryCancelled = 394,
    Unknown = 1002,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::UnknownDatabase => "UNKNOWN_DATABASE",
            Self::UnknownSetting => "UNKNOWN_SETTING",
            Self::CannotDecompress => "CANNOT_DECOMPRESS",
            Self::UnknownCompression => "UNKNOWN_COMPRESSION_METHOD",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::Readonly => "READONLY",
            Self::RequiredPassword => "REQUIRED_PASSWORD",
            Self::TooManyQueries => "TOO_MANY_SIMULTANEOUS_QUERIES",
            Self::SocketTimeout => "SOCKET_TIMEOUT",
            Self::NetworkError => "NETWORK_ERROR",
            Self::ChecksumMismatch => "CHECKSUM_DOESNT_MATCH",
            Self::SupportIsDisabled => "SUPPORT_IS_DISABLED",
            Self::ResultTooLarge => "TOO_MANY_ROWS_OR_BYTES",
            Self::SettingConstraint => "SETTING_CONSTRAINT_VIOLATION",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::QueryCancelled => "QUERY_WAS_CANCELLED",
            Self::Unknown => "UNKNOWN_EXCEPTION",
        }
    }
}

/// One failure, as it goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Exception {
    /// The number after "Code: ".
    pub(super) code: u32,
    /// The whole text, "Code: N. DB::Exception: … (NAME)".
    pub(super) text: String,
}

impl Exception {
    /// One of our own.
    pub(super) fn new(code: Code, reason: impl std::fmt::Display) -> Self {
        let number = code as u32;
        Self {
            code: number,
            text: format!("Code: {number}. DB::Exception: {reason} ({})", code.name()),
        }
    }

    /// What the engine said.
    pub(super) fn from_engine(text: String) -> Self {
        // A wrapper of libchdb's, in front of the engine's own words.
        let text = match text.strip_prefix("Error: ") {
            Some(rest) if rest.starts_with("Code: ") => rest.to_owned(),
            _ => text,
        };
        let number = text.strip_prefix("Code: ").and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse().ok()
        });
        match number {
            Some(code) => Self { code, text },
            None => Self::unknown(text),
        }
    }

    /// A failure without a code.
    pub(super) fn unknown(reason: impl std::fmt::Display) -> Self {
        Self::new(Code::Unknown, reason)
    }

    /// The status a ClickHouse server answers with for this code.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 516 => StatusCode::FORBIDDEN,
            6 | 25 | 26 | 27 | 38 | 41 | 53 | 62 | 72 | 117 | 133 | 134 | 142 | 154 | 155 | 183
            | 441 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 336 => StatusCode::NOT_FOUND,
            48 => StatusCode::NOT_IMPLEMENTED,
            209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_from_the_engines_text() {
        for (text, code, status) in [
            ("Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)", 60, 404),
            ("Error: Code: 81. DB::Exception: x", 81, 404),
            ("Code: 241. DB::Exception: memory", 241, 500),
            ("Code: 159. DB::Exception: time", 159, 500),
            ("Code: 516. DB::Exception: no", 516, 403),
            ("something else", 1002, 500),
            ("Code: x", 1002, 500),
        ] {
            let e = Exception::from_engine(text.to_owned());
            assert_eq!((e.code, e.status().as_u16()), (code, status), "{text}");
            assert!(e.text.starts_with("Code: "), "{text}");
        }
    }
}
