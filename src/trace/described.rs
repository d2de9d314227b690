//! Records as answers show them, described by the lists of their columns.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::{chain::kind, persons};
use crate::record::{Table, schema::described};

/// A record; its kind says which columns it has.
#[derive(Debug)]
pub struct Record;

/// A record of the table of this number.
#[derive(Debug)]
pub struct RecordOf<const TABLE: u8>;

/// The tables' records, by number.
const ALL: [fn(&mut SchemaGenerator) -> Schema; Table::ALL.len()] = [
    SchemaGenerator::subschema_for::<RecordOf<1>>,
    SchemaGenerator::subschema_for::<RecordOf<2>>,
    SchemaGenerator::subschema_for::<RecordOf<3>>,
    SchemaGenerator::subschema_for::<RecordOf<4>>,
    SchemaGenerator::subschema_for::<RecordOf<5>>,
    SchemaGenerator::subschema_for::<RecordOf<6>>,
    SchemaGenerator::subschema_for::<RecordOf<7>>,
    SchemaGenerator::subschema_for::<RecordOf<8>>,
    SchemaGenerator::subschema_for::<RecordOf<9>>,
    SchemaGenerator::subschema_for::<RecordOf<10>>,
    SchemaGenerator::subschema_for::<RecordOf<11>>,
    SchemaGenerator::subschema_for::<RecordOf<12>>,
    SchemaGenerator::subschema_for::<RecordOf<13>>,
    SchemaGenerator::subschema_for::<RecordOf<14>>,
];

impl JsonSchema for Record {
    fn schema_name() -> Cow<'static, str> {
        "Record".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let all: Vec<_> = ALL.iter().map(|of| of(generator)).collect();
        json_schema!({
            "description": "A record: its kind, its id, and every column under its own name. The list \
                            of kinds is open.",
            "oneOf": all,
        })
    }
}

impl<const TABLE: u8> JsonSchema for RecordOf<TABLE> {
    fn schema_name() -> Cow<'static, str> {
        let kind = Table::from_number(TABLE).map_or("no", kind);
        let mut name = String::new();
        for word in kind.split('_').chain(["record"]) {
            let (first, rest) = word.split_at(1);
            name.push_str(&first.to_ascii_uppercase());
            name.push_str(rest);
        }
        name.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let Some(table) = Table::from_number(TABLE) else { return false.into() };
        let mut members = described(table);
        for (name, member) in &mut members {
            if persons::may_be_withheld(table, name) {
                *member = json!({ "anyOf": [member, { "type": "null" }] });
            }
        }
        // As records are shown: the one column whose name is taken has another.
        if let Some(taken) = members.remove("kind") {
            members.insert("verification_kind".into(), taken);
        }
        members.insert("kind".into(), json!({ "const": kind(table) }));
        let id = json!({ "type": "string", "description": "node-lane-seq" });
        members.insert("id".into(), id);
        let required: Vec<_> = members.keys().cloned().collect();
        let withheld = json!({
            "type": "array",
            "items": { "type": "string" },
            "description": "The columns about persons that this caller may not see",
        });
        members.insert("withheld".into(), withheld);
        json_schema!({
            "type": "object",
            "required": required,
            "properties": members,
            "additionalProperties": false,
        })
    }
}
