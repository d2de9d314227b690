//! The shape of what is sent, for the API's description. Tests hold every message that they see to
//! it: a member that is sent and not described here fails them.

use serde_json::{Map, Value, json};

use super::Kind;

/// What a message of this kind is: its envelope and its `data`, closed, as JSON Schema 2020-12.
pub fn schema(kind: Kind) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "type", "timestamp", "data"],
        "properties": {
            "id": {
                "type": "string", "pattern": "^msg_[0-9a-f]{32}$",
                "description": "The same for the same event, however often it is sent",
            },
            "type": { "const": kind.name() },
            "timestamp": instant("When it happened"),
            "data": data(kind),
        },
    })
}

fn data(kind: Kind) -> Value {
    match kind {
        Kind::LinkCreated
        | Kind::LinkEdited
        | Kind::LinkDisabled
        | Kind::LinkRestored
        | Kind::LinkExpired => object(
            &[
                ("code", text("The link's code")),
                ("domain", text("The host it is served at; empty for every host of ours")),
            ],
            &[("public_reason", text("Why it is stopped, as everybody may know it"))],
            &revision(),
        ),
        Kind::ForwardCreated
        | Kind::ForwardEdited
        | Kind::ForwardDisabled
        | Kind::ForwardRestored
        | Kind::ForwardExpired => object(
            &[("from", text("The host that is forwarded, and the path"))],
            &[("public_reason", text("Why it is stopped, as everybody may know it"))],
            &revision(),
        ),
        Kind::DestinationChanged => object(
            &[
                ("code", text("The link's code")),
                ("revision", number("The revision that was followed")),
                ("target", text("Its target")),
                ("url", text("Where that leads now")),
                ("host", text("The host of it")),
                ("registrable_domain", text("Its registrable domain")),
            ],
            &[],
            &[("findings", json!({ "type": "array", "items": { "type": "string" } }))],
        ),
        Kind::ReportReceived => object(&REPORT.map(said), &[CODE].map(said), &[due()]),
        Kind::ReportDecided => object(
            &REPORT.map(said),
            &[CODE].map(said),
            &[("decision", text("What was decided")), ("act", text("What is to be done"))],
        ),
        Kind::FeedInForce | Kind::FeedHeld => of_feed(&[]),
        Kind::AppealReceived => of_feed(&[("appeal", number("The appeal's number"))]),
        Kind::AppealDecided => of_feed(&[
            ("appeal", number("The appeal's number")),
            ("decision", text("What was decided")),
        ]),
        Kind::Test => object(&[("webhook", number("The endpoint that is tried"))], &[], &[]),
    }
}

/// What is said of every report.
const REPORT: [(&str, &str); 5] = [
    ("number", "The report's number"),
    ("category", "What is said"),
    ("kind", "What it is about"),
    ("subject", "The URL or host"),
    ("registrable_domain", "Its registrable domain"),
];

const CODE: (&str, &str) = ("code", "The link, where it is about one");

type Member = (&'static str, Value);

/// What is said of every revision.
fn revision() -> [Member; 6] {
    let expires = json!({
        "type": ["string", "null"], "format": "date-time", "description": "When it ends; null for never",
    });
    [
        ("revision", number("The revision")),
        ("target", text("Where it leads")),
        ("target_host", text("The target's host")),
        ("target_registrable_domain", text("Its registrable domain")),
        ("state", json!({ "enum": ["enabled", "disabled", "expired"] })),
        ("expires", expires),
    ]
}

fn of_feed(more: &[Member]) -> Value {
    object(
        &[("feed", text("The feed")), ("node", text("Where it happened"))],
        &[("version", number("The version")), ("rule", text("The rule, or what is blocked"))],
        more,
    )
}

fn due() -> Member {
    ("due", instant("When it is decided at the latest"))
}

fn said((name, what): (&'static str, &'static str)) -> Member {
    (name, text(what))
}

fn object(needed: &[Member], optional: &[Member], more: &[Member]) -> Value {
    let of = |(name, schema): &Member| ((*name).to_owned(), schema.clone());
    let all: Map<_, _> = needed.iter().chain(more).chain(optional).map(of).collect();
    let required: Vec<_> = needed.iter().chain(more).map(|(name, _)| *name).collect();
    json!({
        "type": "object", "additionalProperties": false, "required": required, "properties": all,
    })
}

fn text(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

fn number(what: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": what })
}

fn instant(what: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": what })
}
