//! What makes "no record" a statement: how far each node is complete, and the gaps of the window.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Error, Subject, Window,
    query::{self, CHAIN},
    reader::Reader,
};
use crate::{
    clock::Timestamp,
    record::{GapColumns, SchemaId, Table, rowbinary},
};

/// Gaps shown at most; where there are more, `gaps_more` says so.
const GAPS_MAX: u64 = 1_000;

/// How complete an answer is.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Coverage {
    /// Node → time below which every record of it can be found.
    #[schemars(schema_with = "through_schema")]
    pub(super) complete_through: Through,
    /// What could not be kept, oldest first.
    #[schemars(with = "Vec<GapColumns>")]
    pub(super) gaps: Vec<Map<String, Value>>,
    /// Whether there are more gaps than shown: ask for a shorter window.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) gaps_more: bool,
}

/// Node → time below which every record of it can be found.
pub(super) type Through = BTreeMap<String, String>;

fn through_schema(_: &mut SchemaGenerator) -> Schema {
    let time = json_schema!({ "type": "string", "format": "date-time" });
    json_schema!({ "type": "object", "additionalProperties": time })
}

/// How far each node is complete. `local` is this node's own, fresher word on itself.
pub(super) async fn through(
    reader: &Reader,
    (node, ts): (String, Timestamp),
) -> Result<Through, Error> {
    let mut through = nodes(reader).await?;
    through.insert(node, ts.to_string());
    Ok(through)
}

/// The coverage of `window` for questions about `subject`. The gaps are read after `through`, and
/// so are those that it vouches for.
pub(super) async fn of(
    reader: &Reader,
    subject: &Subject,
    window: Window,
    through: Through,
) -> Result<Coverage, Error> {
    let table = match subject {
        Subject::Record(id) => id.lane.table(),
        _ => None,
    };
    let mut streams = CHAIN.to_vec();
    streams.extend(table.filter(|t| !CHAIN.contains(t)));
    of_streams(reader, &streams, window, through).await
}

/// The coverage of `window` for questions that these tables answer.
pub(super) async fn of_streams(
    reader: &Reader,
    streams: &[Table],
    window: Window,
    through: Through,
) -> Result<Coverage, Error> {
    let (gaps, gaps_more) = gaps(reader, streams, window).await?;
    Ok(Coverage { complete_through: through, gaps, gaps_more })
}

async fn nodes(reader: &Reader) -> Result<Through, Error> {
    let (bytes, _) = reader.bytes(query::nodes()).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut nodes = BTreeMap::new();
    while !input.is_empty() {
        let node = String::from_utf8_lossy(input.bytes()?).into_owned();
        nodes.insert(node, input.ts()?.to_string());
    }
    Ok(nodes)
}

async fn gaps(
    reader: &Reader,
    streams: &[Table],
    window: Window,
) -> Result<(Vec<Map<String, Value>>, bool), Error> {
    let (bytes, _) = reader.bytes(query::gaps(streams, window, GAPS_MAX + 1)).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut gaps = Vec::new();
    while !input.is_empty() {
        gaps.push(SchemaId::newest(Table::Gaps).read_json(&mut input)?);
    }
    let more = gaps.len() as u64 > GAPS_MAX;
    gaps.truncate(GAPS_MAX as usize);
    Ok((gaps, more))
}
