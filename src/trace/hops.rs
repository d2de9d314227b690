//! Where a link leads: its last walks, hop by hop.
//!
//! Nothing here is about a person; but it is read from records, so that whoever asks is recorded.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Error, Look, RecordOf, Sight, TEXT_BYTES_MAX, Tracer, Window,
    access::{Asked, Begun},
    chain,
    coverage::{self, Coverage},
    query::{self, Param, Place, Statement, text},
};
use crate::record::{Table, capped};

/// Walks shown unless more are asked for.
const WALKS: u32 = 10;

/// The last `walks_max` walks of a link.
const LAST: &str = "code = {code:String} AND flow IN \
     (SELECT flow FROM hops WHERE code = {code:String} AND flow != 0 \
      GROUP BY flow ORDER BY max(ts) DESC, flow DESC LIMIT {walks_max:UInt64})";

/// Where a link leads.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LinkHops")]
pub struct LinkHops<'a, S> {
    /// The link's code.
    code: &'a str,
    #[serde(flatten)]
    standing: Option<S>,
    /// Its last walks, oldest first.
    walks: Vec<Walk>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// One walk along the redirects of a link's target.
#[derive(Serialize, JsonSchema)]
struct Walk {
    /// The flow of its records.
    #[schemars(extend("type" = ["integer", "string"]))]
    flow: Value,
    /// When it began.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    ts: Value,
    /// The revision that was walked.
    #[schemars(with = "u32")]
    revision: Value,
    /// The answers on the way, in their order.
    #[schemars(with = "Vec<RecordOf<{ Table::Hops as u8 }>>")]
    hops: Vec<Map<String, Value>>,
}

impl Tracer {
    /// The last walks of the link `code`, at most `walks` of them, as JSON, recorded before it is
    /// returned. `standing` is what the control state says of the link.
    ///
    /// # Errors
    /// As [`Tracer::page`].
    pub async fn link_hops<S: Serialize>(
        &self,
        look: &Look,
        code: &str,
        walks: Option<u32>,
        standing: Option<S>,
    ) -> Result<Vec<u8>, Error> {
        let asked =
            Asked { text: code, kind: Some("link_hops"), from: None, to: None, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let found = match look.sight() {
            Ok(_) => self.hops_page(code, walks.unwrap_or(WALKS), standing).await,
            Err(e) => Err(e),
        };
        self.finish(begun, found).await
    }

    async fn hops_page<S: Serialize>(
        &self,
        code: &str,
        walks_max: u32,
        standing: Option<S>,
    ) -> Result<(Vec<u8>, u64), Error> {
        let code = capped(code, TEXT_BYTES_MAX);
        let _permit = self.permit()?;
        let reader = self.reader();
        let through = coverage::through(reader, self.local()).await?;
        let rows_max = u64::from(self.parts().limits.page_rows_max);
        let place = Place { asked: Window::ALL, after: None, last: None, rows_max };
        let walks_max = ("walks_max", Param::Unsigned(u64::from(walks_max.min(1_000))));
        let statement: Statement =
            query::rows(Table::Hops, LAST, &place, &[text("code", code), walks_max]);
        let found = reader.rows(Table::Hops, statement, rows_max).await?;
        let mut walks: Vec<Walk> = Vec::new();
        let mut rows = 0;
        for hop in found.rows {
            rows += 1;
            let hop = chain::json(hop, Sight::Persons);
            let of = |name: &str| hop.get(name).cloned().unwrap_or_default();
            match walks.iter_mut().find(|w| w.flow == of("flow")) {
                Some(walk) => walk.hops.push(hop),
                None => walks.push(Walk {
                    flow: of("flow"),
                    ts: of("ts"),
                    revision: of("revision"),
                    hops: vec![hop],
                }),
            }
        }
        let coverage = coverage::of_streams(reader, &[Table::Hops], Window::ALL, through).await?;
        let page = LinkHops { code, standing, walks, coverage };
        let page = serde_json::to_vec(&page).map_err(|_| Error::Malformed)?;
        Ok((page, rows))
    }
}
