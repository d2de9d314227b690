//! What a failed INSERT means, by the exception code in the error's text, never by HTTP status.
//!
//! Numbers: `ClickHouse`'s `ErrorCodes.cpp`, compared with `errorCodeToName` of version 26.7.

use clickhouse::error::Error;

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was executed: the same again, for ever.
    Down,
    /// Perhaps executed, wholly or in part: look first.
    Doubt,
    /// These bytes will never be taken.
    Never,
    /// A code that nobody has classed: looked at and retried like [`Failure::Doubt`], a limited
    /// number of times, then treated like [`Failure::Never`].
    Unlisted,
}

/// Refused before anything was written: no access, no table yet, no room to begin.
const DOWN: &[u16] = &[
    16,  // NO_SUCH_COLUMN_IN_TABLE: a migration is missing
    60,  // UNKNOWN_TABLE
    81,  // UNKNOWN_DATABASE
    115, // UNKNOWN_SETTING
    164, // READONLY
    192, // UNKNOWN_USER
    193, // WRONG_PASSWORD
    194, // REQUIRED_PASSWORD
    195, // IP_ADDRESS_NOT_ALLOWED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    218, // TABLE_IS_DROPPED
    242, // TABLE_IS_READ_ONLY
    291, // DATABASE_ACCESS_DENIED
    452, // SETTING_CONSTRAINT_VIOLATION
    472, // READONLY_SETTING
    497, // ACCESS_DENIED
    511, // UNKNOWN_ROLE
    516, // AUTHENTICATION_FAILED
    700, // USER_SESSION_LIMIT_EXCEEDED
    720, // USER_EXPIRED
    733, // TABLE_IS_BEING_RESTARTED
    745, // SERVER_OVERLOADED
    749, // TCP_CONNECTION_LIMIT_REACHED
    762, // HTTP_CONNECTION_LIMIT_REACHED
    774, // TABLE_IS_PERMANENTLY_READ_ONLY
];

/// Of unknown fate: a view may fail after its table has committed, a part may be kept and its
/// acknowledgement lost.
const DOUBT: &[u16] = &[
    3,    // UNEXPECTED_END_OF_FILE: the body was cut on its way
    74,   // CANNOT_READ_FROM_FILE_DESCRIPTOR
    75,   // CANNOT_WRITE_TO_FILE_DESCRIPTOR
    76,   // CANNOT_OPEN_FILE
    95,   // CANNOT_READ_FROM_SOCKET
    96,   // CANNOT_WRITE_TO_SOCKET
    159,  // TIMEOUT_EXCEEDED
    160,  // TOO_SLOW
    173,  // CANNOT_ALLOCATE_MEMORY
    198,  // DNS_ERROR
    201,  // QUOTA_EXCEEDED
    204,  // CANNOT_FSYNC
    209,  // SOCKET_TIMEOUT
    210,  // NETWORK_ERROR
    225,  // NO_ZOOKEEPER
    236,  // ABORTED
    241,  // MEMORY_LIMIT_EXCEEDED
    243,  // NOT_ENOUGH_SPACE
    244,  // UNEXPECTED_ZOOKEEPER_ERROR
    254,  // NO_ACTIVE_REPLICAS
    271,  // CANNOT_DECOMPRESS: the body was damaged on its way
    279,  // ALL_CONNECTION_TRIES_FAILED
    285,  // TOO_FEW_LIVE_REPLICAS
    286,  // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289,  // REPLICA_IS_NOT_IN_QUORUM
    319,  // UNKNOWN_STATUS_OF_INSERT
    341,  // UNFINISHED
    364,  // RECEIVED_ERROR_TOO_MANY_REQUESTS
    394,  // QUERY_WAS_CANCELLED
    415,  // ALL_REPLICAS_LOST
    416,  // REPLICA_STATUS_CHANGED
    425,  // SYSTEM_ERROR
    439,  // CANNOT_SCHEDULE_TASK
    473,  // DEADLOCK_AVOIDED
    499,  // S3_ERROR
    677,  // THREAD_WAS_CANCELED
    710,  // FAULT_INJECTED
    734,  // CANNOT_WRITE_AFTER_BUFFER_CANCELED
    735,  // QUERY_WAS_CANCELLED_BY_CLIENT
    777,  // MEMORY_RESERVATION_KILLED
    778,  // MEMORY_RESERVATION_FAILED
    999,  // KEEPER_EXCEPTION
    1000, // POCO_EXCEPTION
    1001, // STD_EXCEPTION
    1002, // UNKNOWN_EXCEPTION
];

/// The bytes do not fit the table.
const NEVER: &[u16] = &[
    6,   // CANNOT_PARSE_TEXT
    32,  // ATTEMPT_TO_READ_AFTER_EOF
    33,  // CANNOT_READ_ALL_DATA
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    469, // VIOLATED_CONSTRAINT
];

/// Too many parts, or too many partitions in one INSERT: the second never gets better.
const TOO_MANY_PARTS: u16 = 252;

/// The class of an error of the client library.
pub fn classify(error: &Error) -> Failure {
    match error {
        Error::BadResponse(text) => match code(text) {
            Some(code) => by_code(code, text),
            // A proxy's page, or an answer cut short.
            None => Failure::Doubt,
        },
        Error::InvalidParams(_) | Error::Unsupported(_) => Failure::Down,
        _ => Failure::Doubt,
    }
}

fn by_code(code: u16, text: &str) -> Failure {
    if code == TOO_MANY_PARTS {
        let per_insert = text.contains("partitions for single INSERT");
        return if per_insert { Failure::Never } else { Failure::Doubt };
    }
    [(DOWN, Failure::Down), (DOUBT, Failure::Doubt), (NEVER, Failure::Never)]
        .into_iter()
        .find_map(|(codes, failure)| codes.contains(&code).then_some(failure))
        .unwrap_or(Failure::Unlisted)
}

/// The exception code in an error's text: `Code: 60. DB::Exception: …`, or `Code: 60` alone.
pub fn code(text: &str) -> Option<u16> {
    let rest = &text[text.find("Code: ")? + 6..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Whether a question failed because its table or database is not there yet.
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::BadResponse(text) if matches!(code(text), Some(60 | 81)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> Error {
        Error::BadResponse(text.to_owned())
    }

    #[test]
    fn codes_are_read_from_the_text() {
        for (text, expected) in [
            ("Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)", Some(60)),
            ("Code: 60", Some(60)),
            ("rubbish Code: 1002. DB::Exception", Some(1002)),
            ("502 Bad Gateway", None),
            ("Code: x", None),
            ("Code: 99999999", None),
            ("", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn failures_have_classes() {
        for (error, expected) in [
            (bad("Code: 60. DB::Exception"), Failure::Down),
            (bad("Code: 16. DB::Exception"), Failure::Down),
            (bad("Code: 516. DB::Exception"), Failure::Down),
            (bad("Code: 243. DB::Exception: not enough space"), Failure::Doubt),
            (bad("Code: 394. DB::Exception"), Failure::Doubt),
            (bad("Code: 319. DB::Exception"), Failure::Doubt),
            (bad("Code: 252. DB::Exception: Too many parts (3001)"), Failure::Doubt),
            (
                bad("Code: 252. DB::Exception: Too many partitions for single INSERT block"),
                Failure::Never,
            ),
            (bad("Code: 131. DB::Exception: Too large string size"), Failure::Never),
            (bad("Code: 33. DB::Exception: Cannot read all data"), Failure::Never),
            (bad("Code: 49. DB::Exception: Logical error"), Failure::Unlisted),
            (bad("503 Service Unavailable"), Failure::Doubt),
            (Error::Network("refused".into()), Failure::Doubt),
            (Error::TimedOut, Failure::Doubt),
        ] {
            assert_eq!(classify(&error), expected, "{error}");
        }
    }

    #[test]
    fn no_code_is_in_two_classes() {
        let mut all: Vec<_> = [DOWN, DOUBT, NEVER].concat();
        all.push(TOO_MANY_PARTS);
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
    }
}
