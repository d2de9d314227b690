//! Schema ids, the ordered columns they stand for, and reading rows back by them.
//!
//! A schema id lives for ever: columns are only ever added under a new version of a table, so
//! that a row's bytes, and its hash, can always be rebuilt.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{
    Table,
    rowbinary::{Reader, Truncated},
};

/// An ordered list of columns: table number ‖ version, in 8 and 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u16);

impl SchemaId {
    /// Version `version` of `table`.
    pub const fn new(table: Table, version: u8) -> Self {
        Self(((table as u16) << 8) | version as u16)
    }

    /// The newest schema of `table`.
    pub const fn newest(table: Table) -> Self {
        Self::new(table, earlier(table).len() as u8 + 1)
    }

    /// The table it describes.
    pub const fn table(self) -> Option<Table> {
        Table::from_number((self.0 >> 8) as u8)
    }

    /// Its columns in order; none for an id that this build does not know.
    pub fn columns(self) -> Option<&'static [Column]> {
        let table = self.table()?;
        let version = usize::from((self.0 & 0xff) as u8);
        let earlier = earlier(table);
        let all = match table {
            Table::Resolutions => RESOLUTIONS,
            Table::Jumps => JUMPS,
            Table::Conversions => CONVERSIONS,
            Table::Notices => NOTICES,
            Table::Verifications => VERIFICATIONS,
            Table::FeedEvents => FEED_EVENTS,
            Table::Rules => RULES,
            Table::Access => ACCESS,
            Table::Gaps => GAPS,
            Table::Frames => FRAMES,
            Table::Nodes => NODES,
            Table::Hops => HOPS,
            Table::Reports => REPORTS,
            Table::Evidence => EVIDENCE,
        };
        match version.checked_sub(1)? {
            last if last == earlier.len() => Some(all),
            before => all.get(..*earlier.get(before)?),
        }
    }

    /// The column names joined by commas, as an `INSERT` or a `SELECT` lists them.
    pub fn column_list(self) -> Option<String> {
        let names: Vec<_> = self.columns()?.iter().map(|c| c.name).collect();
        Some(names.join(", "))
    }

    /// Reads one row from `input` as a JSON object with every column under its own name.
    /// Integers above 2^53 become strings, which JSON readers would round otherwise.
    ///
    /// # Errors
    /// When the bytes end early or the schema is unknown.
    pub fn read_json(self, input: &mut Reader<'_>) -> Result<Map<String, Value>, Truncated> {
        let columns = self.columns().ok_or(Truncated)?;
        let mut row = Map::with_capacity(columns.len());
        for c in columns {
            row.insert(c.name.to_owned(), c.ty.read_json(input)?);
        }
        Ok(row)
    }

    /// Steps over one row and returns its bytes.
    ///
    /// # Errors
    /// As [`SchemaId::read_json`].
    pub fn take_row<'a>(self, input: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
        let before = input.0;
        for c in self.columns().ok_or(Truncated)? {
            c.ty.skip(input)?;
        }
        Ok(&before[..before.len() - input.0.len()])
    }
}

/// How many columns each version of a table had before the newest, the first version first. A later
/// version has those of an earlier one and more behind them, so that a row's bytes can be rebuilt by
/// its version.
const fn earlier(table: Table) -> &'static [usize] {
    match table {
        Table::Jumps => &[32],
        Table::Conversions => &[21],
        Table::Notices => &[17, 28],
        Table::Verifications => &[13],
        Table::Reports => &[21],
        _ => &[],
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table() {
            Some(t) => write!(f, "{t}/{}", self.0 & 0xff),
            None => write!(f, "unknown/{:#06x}", self.0),
        }
    }
}

/// A column: its name and type.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name, which is also its key in JSON.
    pub name: &'static str,
    /// The type.
    pub ty: Type,
}

/// The column types in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `UInt8`.
    U8,
    /// `UInt16`.
    U16,
    /// `UInt32`.
    U32,
    /// `UInt64`.
    U64,
    /// `UInt128`.
    U128,
    /// `DateTime64(6, 'UTC')`.
    Ts,
    /// `IPv6`, IPv4 mapped.
    Ip,
    /// `String`.
    Str,
    /// `String` of any bytes: base64 in JSON.
    Bytes,
    /// `LowCardinality(String)`: never for text that an outsider chooses.
    Word,
    /// `FixedString(32)`: a SHA-256.
    Digest,
    /// `Array(UInt16)`.
    U16s,
    /// `Array(IPv6)`.
    Ips,
    /// `Array(String)`.
    Strs,
    /// `Array(Tuple(owner String, type UInt16, ttl UInt32, rdata String))`.
    Rrs,
}

impl Type {
    /// Its name in ClickHouse's SQL.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::U8 => "UInt8",
            Self::U16 => "UInt16",
            Self::U32 => "UInt32",
            Self::U64 => "UInt64",
            Self::U128 => "UInt128",
            Self::Ts => "DateTime64(6, 'UTC')",
            Self::Ip => "IPv6",
            Self::Str | Self::Bytes => "String",
            Self::Word => "LowCardinality(String)",
            Self::Digest => "FixedString(32)",
            Self::U16s => "Array(UInt16)",
            Self::Ips => "Array(IPv6)",
            Self::Strs => "Array(String)",
            Self::Rrs => "Array(Tuple(owner String, type UInt16, ttl UInt32, rdata String))",
        }
    }

    fn skip(self, r: &mut Reader<'_>) -> Result<(), Truncated> {
        let fixed = match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 | Self::Ts => 8,
            Self::U128 | Self::Ip => 16,
            Self::Digest => 32,
            Self::Str | Self::Bytes | Self::Word => r.len()?,
            Self::U16s => r.len()?.checked_mul(2).ok_or(Truncated)?,
            Self::Ips => r.len()?.checked_mul(16).ok_or(Truncated)?,
            Self::Strs => {
                for _ in 0..r.len()? {
                    r.bytes()?;
                }
                0
            }
            Self::Rrs => {
                for _ in 0..r.len()? {
                    r.bytes()?;
                    r.take(6)?;
                    r.bytes()?;
                }
                0
            }
        };
        r.take(fixed).map(|_| ())
    }

    fn read_json(self, r: &mut Reader<'_>) -> Result<Value, Truncated> {
        Ok(match self {
            Self::U8 => json!(r.u8()?),
            Self::U16 => json!(r.u16()?),
            Self::U32 => json!(r.u32()?),
            Self::U64 => wide(u128::from(r.u64()?)),
            Self::U128 => wide(r.u128()?),
            Self::Ts => json!(r.ts()?.to_string()),
            Self::Ip => json!(r.ip()?.to_canonical().to_string()),
            Self::Str | Self::Word => text(r.bytes()?),
            Self::Bytes => json!(STANDARD.encode(r.bytes()?)),
            Self::Digest => json!(hex::encode(r.take(32)?)),
            Self::U16s => list(r, |r| Ok(json!(r.u16()?)))?,
            Self::Ips => list(r, |r| Self::Ip.read_json(r))?,
            Self::Strs => list(r, |r| Ok(text(r.bytes()?)))?,
            Self::Rrs => list(r, |r| {
                Ok(json!({
                    "owner": text(r.bytes()?), "type": r.u16()?, "ttl": r.u32()?,
                    "rdata": text(r.bytes()?),
                }))
            })?,
        })
    }
}

impl Type {
    /// The JSON Schema of what [`SchemaId::read_json`] makes of it.
    fn described(self) -> Value {
        let text = json!({ "type": "string" });
        let number = |max: u64| json!({ "type": "integer", "minimum": 0, "maximum": max });
        let list = |of: Value| json!({ "type": "array", "items": of });
        match self {
            Self::U8 => number(u8::MAX.into()),
            Self::U16 => number(u16::MAX.into()),
            Self::U32 => number(u32::MAX.into()),
            Self::U64 | Self::U128 => json!({
                "type": ["integer", "string"],
                "description": "A text in decimal above 2^53, which readers of JSON would round",
            }),
            Self::Ts => json!({ "type": "string", "format": "date-time" }),
            Self::Ip => json!({ "type": "string", "description": "An address" }),
            Self::Str | Self::Word => text,
            Self::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Self::Digest => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
            Self::U16s => list(number(u16::MAX.into())),
            Self::Ips | Self::Strs => list(text),
            Self::Rrs => list(json!({
                "type": "object",
                "required": ["owner", "type", "ttl", "rdata"],
                "properties": {
                    "owner": text, "type": number(u16::MAX.into()),
                    "ttl": number(u32::MAX.into()), "rdata": text,
                },
            })),
        }
    }
}

/// The JSON Schemas of the newest columns of `table`, by name.
pub fn described(table: Table) -> Map<String, Value> {
    let columns = SchemaId::newest(table).columns().unwrap_or_default();
    columns.iter().map(|c| (c.name.to_owned(), c.ty.described())).collect()
}

/// A row of `gaps`, every column under its own name.
#[derive(Debug)]
pub struct GapColumns;

impl JsonSchema for GapColumns {
    fn schema_name() -> Cow<'static, str> {
        "Gap".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let columns = described(Table::Gaps);
        let names: Vec<_> = columns.keys().collect();
        json_schema!({
            "type": "object",
            "description": "What could not be kept, and why.",
            "required": names,
            "properties": columns,
        })
    }
}

fn wide(v: u128) -> Value {
    match u64::try_from(v) {
        Ok(n) if n < 1 << 53 => json!(n),
        _ => json!(v.to_string()),
    }
}

fn text(b: &[u8]) -> Value {
    json!(String::from_utf8_lossy(b))
}

fn list(
    r: &mut Reader<'_>,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<Value, Truncated>,
) -> Result<Value, Truncated> {
    let n = r.len()?;
    (0..n).map(|_| one(r)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

macro_rules! columns {
    ($($name:ident: $($column:literal $ty:ident),+;)+) => {$(
        static $name: &[Column] = &[
            Column { name: "node", ty: Type::Word },
            Column { name: "lane", ty: Type::U64 },
            Column { name: "seq", ty: Type::U64 },
            Column { name: "ts", ty: Type::Ts },
            $(Column { name: $column, ty: Type::$ty },)+
        ];
    )+};
}

columns! {
    RESOLUTIONS:
        "client" Ip, "client_port" U16, "client_key" Word, "server_address" Ip, "server_port" U16,
        "transport" Word, "flags" U32, "latency_us" U32, "min_ttl" U32, "cache" Word, "flow" U128,
        "registrable_domain" Str, "qname" Str, "qtype" U16, "qclass" U16, "rcode" U16, "ede" U16s,
        "answers" Ips, "answer_names" Strs, "answer_data" Rrs, "original_answers" Rrs,
        "upstream" Word, "dnssec" Word, "action" Word, "rule" Str, "feed" Word,
        "feed_version" Str, "psl_version" Word;
    JUMPS:
        "client" Ip, "client_port" U16, "client_key" Word, "server_address" Ip, "server_port" U16,
        "method" Word, "host" Str, "path" Str, "code" Str, "revision" U32, "target" Str,
        "target_host" Str, "target_registrable_domain" Str, "target_addresses" Ips, "status" U16,
        "outcome" Word, "hop" U8, "tier" Word, "action" Word, "rule" Str, "feed" Word,
        "feed_version" Str, "verification" Word, "referrer_host" Str, "user_agent" Str,
        "latency_us" U32, "psl_version" Word, "flow" U128,
        "service" Word, "reason" Word, "client_class" Word, "tier_version" Word;
    CONVERSIONS:
        "code" Str, "revision" U32, "operation" Word, "target_submitted" Str, "target" Str,
        "target_host" Str, "target_registrable_domain" Str, "actor" Str, "owner" Str,
        "reason" Str, "client" Ip, "client_port" U16, "client_key" Word, "expires" Ts,
        "verification" Word, "psl_version" Word, "flow" U128,
        "service" Word, "domain" Str, "state" Word, "settings" Str, "previous" Str;
    NOTICES:
        "client" Ip, "client_port" U16, "client_key" Word, "code" Str, "tier" Word,
        "text_version" Word, "language" Word, "event" Word, "dwell_ms" U32, "rule" Str,
        "feed" Word, "feed_version" Str, "flow" U128,
        "service" Word, "host" Str, "target" Str, "target_registrable_domain" Str, "form" Word,
        "tier_version" Word, "authority" Str, "order_number" Str, "reason" Str,
        "client_class" Word, "psl_version" Word, "continued_by" Word;
    VERIFICATIONS:
        "registrable_domain" Str, "subject" Str, "kind" Word, "overall" Word, "grid" Str,
        "findings" Str, "evidence" Strs, "policy_version" Word, "flow" U128,
        "host" Str, "addresses" Ips, "code" Str, "occasion" Word, "rules_version" Word,
        "dossier" Digest, "valid_until" Ts, "psl_version" Word;
    FEED_EVENTS:
        "feed" Word, "version" Str, "event" Word, "digest" Digest, "signer" Str, "accepted" U64,
        "rejected" U64, "detail" Str;
    RULES:
        "feed" Word, "version" Str, "rule" Str, "trigger" Str, "action" Word, "tier" Word,
        "authority" Str, "order_number" Str, "effective_from" Ts, "expires_at" Ts, "text" Str,
        "legal" Str;
    ACCESS:
        "actor" Str, "peer" Ip, "peer_port" U16, "role" Word, "case_number" Str, "purpose" Str,
        "question" Str, "outcome" Word, "rows" U64, "digest" Digest;
    GAPS:
        "stream" Word, "gap_lane" U64, "gap_id" U64, "count" U64, "bound" Word, "from_ts" Ts,
        "to_ts" Ts, "reason" Word, "detail" Str;
    FRAMES:
        "stream" Word, "frame_lane" U64, "first_seq" U64, "count" U64, "min_ts" Ts, "max_ts" Ts,
        "schema" U16, "bytes" U64, "root" Digest, "previous" Digest, "key_id" Str;
    NODES:
        "complete_through" Ts, "version" Str, "boot_id" Str, "oldest_unshipped" Ts,
        "unshipped_rows" U64;
    HOPS:
        "code" Str, "revision" U32, "hop" U8, "url" Str, "host" Str, "registrable_domain" Str,
        "addresses" Ips, "method" Word, "status" U16, "location" Str, "outcome" Word,
        "finding" Word, "detail" Str, "latency_us" U32, "psl_version" Word, "flow" U128;
    REPORTS:
        "report" Str, "event" Word, "category" Word, "subject" Str, "code" Str,
        "registrable_domain" Str, "text" Str, "contact" Str, "decision" Word, "reason" Str,
        "actor" Str, "due" Ts, "client" Ip, "client_port" U16, "client_key" Word,
        "psl_version" Word, "flow" U128,
        "subject_kind" Word, "host" Str, "act" Word, "answer" Str, "feed" Word, "appeal" Str;
    EVIDENCE:
        "digest" Digest, "form" Word, "body" Bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_columns_with_distinct_names() {
        for t in Table::ALL {
            let columns = SchemaId::newest(t).columns().unwrap();
            let mut names: Vec<_> = columns.iter().map(|c| c.name).collect();
            assert_eq!(names[..4], ["node", "lane", "seq", "ts"]);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), columns.len(), "{t}");
        }
    }

    #[test]
    fn an_earlier_version_ends_where_it_always_did() {
        for (table, count, last) in [
            (Table::Jumps, 32, "flow"),
            (Table::Conversions, 21, "flow"),
            (Table::Notices, 17, "flow"),
            (Table::Verifications, 13, "flow"),
        ] {
            let first = SchemaId::new(table, 1).columns().unwrap();
            assert_eq!((first.len(), first[count - 1].name), (count, last), "{table}");
            let newest = SchemaId::newest(table).columns().unwrap();
            assert!(newest.len() > count);
            let names = |columns: &[Column]| columns.iter().map(|c| c.name).collect::<Vec<_>>();
            assert_eq!(names(&newest[..count]), names(first), "{table}");
        }
    }

    #[test]
    fn unknown_schemas_have_no_columns() {
        for id in [0, 1, 0x0102, 0x0203, 0x0200, 0x0f01, 0xffff] {
            assert!(SchemaId(id).columns().is_none(), "{id:#x}");
        }
    }
}
