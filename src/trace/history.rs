//! Which addresses a name has had, by passive DNS, and where names were seen to redirect, by walks: no
//! person is in either, and verification alone reads them.

use std::net::IpAddr;

use super::{
    Error, Tracer,
    query::{Param, Statement, micros, since},
};
use crate::{clock::Timestamp, record::rowbinary};

/// The most addresses of one name, and redirects of one domain.
const ROWS_MAX: u32 = 1_000;

/// An address that a name was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The address.
    pub address: IpAddr,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

impl Tracer {
    /// The addresses that `name` was answered with since a time, the last first.
    ///
    /// # Errors
    /// When the store does not answer, or a limit is reached.
    pub async fn answered(&self, name: &str, from: Timestamp) -> Result<Vec<Answered>, Error> {
        let sql = format!(
            "SELECT rdata, min(first_seen), max(last_seen) AS seen, sum(count) FROM passive_dns \
             WHERE rrname = {{name:String}} AND rrtype IN (1, 28) GROUP BY rdata \
             HAVING {} ORDER BY seen DESC, rdata LIMIT {ROWS_MAX}",
            since("seen", "from")
        );
        let params = vec![("name", Param::Text(name.to_owned())), micros("from", from)];
        let _permit = self.permit()?;
        let (bytes, _) = self.reader().bytes(Statement { sql, params }).await?;
        let mut input = rowbinary::Reader(&bytes);
        let mut found = Vec::new();
        while !input.is_empty() {
            let address = String::from_utf8_lossy(input.bytes()?).parse();
            let (first, last, count) = (input.ts()?, input.ts()?, input.u64()?);
            if let Ok(address) = address {
                found.push(Answered { address, first, last, count });
            }
        }
        Ok(found)
    }

    /// The URLs to which names of `domain` were seen to redirect since a time.
    ///
    /// # Errors
    /// As [`Tracer::answered`].
    pub async fn redirected(&self, domain: &str, from: Timestamp) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT DISTINCT location FROM hops WHERE registrable_domain = {{domain:String}} \
             AND location != '' AND {} ORDER BY location LIMIT {ROWS_MAX}",
            since("ts", "from")
        );
        let params = vec![("domain", Param::Text(domain.to_owned())), micros("from", from)];
        let _permit = self.permit()?;
        let (bytes, _) = self.reader().bytes(Statement { sql, params }).await?;
        let mut input = rowbinary::Reader(&bytes);
        let mut found = Vec::new();
        while !input.is_empty() {
            found.push(String::from_utf8_lossy(input.bytes()?).into_owned());
        }
        Ok(found)
    }
}
