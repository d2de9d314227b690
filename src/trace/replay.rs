//! A verdict as it was recorded, with everything that it was judged from.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    Error, Look, Sight, Tracer, Window,
    access::{Asked, Begun},
    chain,
    matching::Matching,
    query::{self, Param, Place},
};
use crate::record::{RecordId, Table};

/// The most bodies of one verdict.
const BODIES_MAX: usize = 4_096;

/// Bodies by their digests. The same may be kept more than once.
const BODIES: &str =
    "digest IN (SELECT toFixedString(unhex(arrayJoin({digests:Array(String)})), 32))";

/// A verdict's record and what it was judged from.
#[derive(Debug)]
pub struct Recorded {
    /// The record.
    pub record: Map<String, Value>,
    /// The dossier as it was kept; none where it is gone.
    pub dossier: Option<Vec<u8>>,
    /// Bodies by their digests in hexadecimal digits.
    pub bodies: Vec<(String, Vec<u8>)>,
}

impl Tracer {
    /// The verdict of the record `id`, and what `names` finds named in its dossier, given to `tell`,
    /// whose page is recorded before it is returned.
    ///
    /// # Errors
    /// As [`Tracer::record`].
    pub async fn verdict(
        &self,
        look: &Look,
        id: &str,
        names: impl Fn(&[u8]) -> Vec<String>,
        tell: impl FnOnce(Recorded) -> Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let asked = Asked { text: id, kind: Some("record"), from: None, to: None, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let found = match (look.sight(), id.parse::<RecordId>()) {
            (Err(e), _) => Err(e),
            (_, Err(_)) => Err(Error::NotFound),
            (Ok(_), Ok(id)) => self.recorded(&id, names).await,
        };
        let page = found.map(|recorded| {
            let rows = 1 + recorded.bodies.len() as u64;
            (tell(recorded), rows)
        });
        self.finish(begun, page).await
    }

    async fn recorded(
        &self,
        id: &RecordId,
        names: impl Fn(&[u8]) -> Vec<String>,
    ) -> Result<Recorded, Error> {
        if id.lane.table() != Some(Table::Verifications) {
            return Err(Error::NotFound);
        }
        let _permit = self.permit()?;
        let place = Place { asked: Window::ALL, after: None, last: None, rows_max: 1 };
        let matching = Matching::record(id, chain::frame(self.reader(), id).await?);
        let Some((table, statement)) = matching.answers(&place).next() else {
            return Err(Error::NotFound);
        };
        let found = self.reader().rows(table, statement, 1).await?.rows.pop();
        let record = chain::json(found.ok_or(Error::NotFound)?, Sight::Persons);
        let digest = record["dossier"].as_str().unwrap_or_default().to_owned();
        let dossier = self.bodies(vec![digest]).await?.pop().map(|(_, body)| body);
        let mut wanted = dossier.as_deref().map(names).unwrap_or_default();
        wanted.truncate(BODIES_MAX);
        let bodies = self.bodies(wanted).await?;
        Ok(Recorded { record, dossier, bodies })
    }

    async fn bodies(&self, digests: Vec<String>) -> Result<Vec<(String, Vec<u8>)>, Error> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let rows_max = (digests.len() as u64).saturating_mul(16);
        let place = Place { asked: Window::ALL, after: None, last: None, rows_max };
        let digests = ("digests", Param::Texts(digests));
        let statement = query::rows(Table::Evidence, BODIES, &place, &[digests]);
        let found = self.reader().rows(Table::Evidence, statement, rows_max).await?;
        let body = |columns: Map<String, Value>| {
            let digest = columns["digest"].as_str()?.to_owned();
            Some((digest, STANDARD.decode(columns["body"].as_str()?).ok()?))
        };
        let mut bodies: Vec<_> = found.rows.into_iter().filter_map(|f| body(f.columns)).collect();
        bodies.sort();
        bodies.dedup();
        Ok(bodies)
    }
}
