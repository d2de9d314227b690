//! The document, put together from the routes and their operations.

use std::collections::BTreeMap;

use http::StatusCode;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    super::{
        auth::may,
        problem::ProblemTold,
        routes::{Carries, Need, ROUTES, Route},
    },
    Operation,
    operation::{Answer, Content},
    problems,
    public::PUBLIC_ROUTES,
    tidy::{never_null, plain, refer},
};
use crate::{
    links::Role,
    webhooks::{Kind, schema},
};

/// Where schemas stand.
pub(super) const SCHEMAS: &str = "#/components/schemas/";

/// The whole description.
pub fn document() -> Value {
    let mut writer = Writer {
        given: settings().for_deserialize().into_generator(),
        told: settings().for_serialize().into_generator(),
        responses: Map::new(),
    };
    writer.told.subschema_for::<ProblemTold<'static>>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let operation = (route.is)();
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, writer.operation(route, &operation));
    }
    for route in &PUBLIC_ROUTES {
        let operation = (route.is)();
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, writer.public(&operation));
    }
    let (mut paths, schemas) = writer.schemas(json!(paths));
    plain(&mut paths);
    let mut components = json!({
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        "schemas": schemas,
        "responses": writer.responses,
    });
    plain(&mut components);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tracegate",
            "version": "1",
            "description": "Times are RFC 3339 in UTC. Problems are RFC 9457, in English or Chinese \
                            by Accept-Language; their code never changes.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "webhooks": Kind::ALL.iter().map(told).collect::<Map<_, _>>(),
        "components": components,
    })
}

/// What an endpoint is sent of one kind, by its word.
fn told(kind: &Kind) -> (String, Value) {
    let header = |name: &str, said: &str| {
        json!({
            "name": name, "in": "header", "required": true, "description": said,
            "schema": { "type": "string" },
        })
    };
    let post = json!({
        "operationId": kind.name(),
        "summary": format!("The event {}", kind.name()),
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            header("webhook-id", "The message's id"),
            header("webhook-timestamp", "When it is sent, in seconds since the epoch"),
            header("webhook-signature", "v1, and HMAC-SHA-256 under the endpoint's secret over \
                    id.timestamp.body (Standard Webhooks 1.0.0); several while secrets are changed"),
        ],
        "requestBody": {
            "required": true, "content": { "application/json": { "schema": schema(*kind) } },
        },
        "responses": { "2XX": { "description": "Taken; anything else is tried again" } },
    });
    (kind.name().to_owned(), json!({ "post": post }))
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    })
}

struct Writer {
    /// Of what callers send.
    given: SchemaGenerator,
    /// Of what they get.
    told: SchemaGenerator,
    responses: Map<String, Value>,
}

impl Writer {
    fn operation(&mut self, route: &Route, is: &Operation) -> Value {
        let mut all = Map::new();
        all.insert("operationId".into(), is.id.into());
        all.insert("summary".into(), is.summary.into());
        all.insert("tags".into(), json!([tag(route.path)]));
        let roles = roles(route, is);
        let mut said: Vec<String> = Vec::new();
        said.extend((!is.more.is_empty()).then(|| is.more.to_owned()));
        match (route.need, &roles) {
            (Need::Nothing, _) | (_, None) => {}
            (Need::RightUnlessLoopback(_), Some(roles)) => {
                said.push(format!("From this machine without a token; else {}.", roles.join(", ")));
            }
            (_, Some(roles)) => said.push(format!("For {}.", roles.join(", "))),
        }
        if !said.is_empty() {
            all.insert("description".into(), said.join(" ").into());
        }
        if let Some(roles) = roles {
            all.insert("x-tracegate-roles".into(), roles.into());
        }
        match route.need {
            Need::Nothing => all.insert("security".into(), json!([])),
            Need::RightUnlessLoopback(_) => {
                all.insert("security".into(), json!([{}, { "token": [] }]))
            }
            Need::Token | Need::Right(_) => None,
        };
        let parameters = self.parameters(is);
        if !parameters.is_empty() {
            all.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = self.body(route.carries, is) {
            all.insert("requestBody".into(), body);
        }
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for answer in &is.answers {
            responses.insert(answer.status.to_string(), self.answer(answer));
        }
        for (status, codes) in problems::of(route, is) {
            let refusal = self.refusal(status, &codes);
            // A status may be an answer and a refusal: readiness.
            responses.entry(status.to_string()).or_insert(refusal);
        }
        all.insert("responses".into(), json!(responses));
        if !is.of_lines.is_empty() {
            let mut codes: Vec<_> = is.of_lines.iter().map(|(_, code)| *code).collect();
            codes.sort_unstable();
            codes.dedup();
            all.insert("x-tracegate-line-codes".into(), codes.into());
        }
        Value::Object(all)
    }

    /// An operation of the gateway's, which asks for no token.
    fn public(&mut self, is: &Operation) -> Value {
        let mut all = json!({
            "operationId": is.id,
            "summary": is.summary,
            "description": is.more,
            "tags": ["reports"],
            "security": [],
            "servers": [{
                "url": "{gateway}",
                "description": "The gateway (gateway.listen, gateway.tls_listen)",
                "variables": { "gateway": { "default": "http://127.0.0.1:8080" } },
            }],
        });
        let parameters = self.parameters(is);
        if !parameters.is_empty() {
            all["parameters"] = parameters.into();
        }
        if let Some(body) = self.body(Carries::Json, is) {
            all["requestBody"] = body;
        }
        for answer in &is.answers {
            all["responses"][answer.status.to_string()] = self.answer(answer);
        }
        for (status, codes) in problems::by_status(is.problems.clone()) {
            all["responses"][status.to_string()] = self.refusal(status, &codes);
        }
        all
    }

    fn parameters(&mut self, is: &Operation) -> Vec<Value> {
        let mut all = Vec::new();
        for place in &is.places {
            let kind = if place.number { "integer" } else { "string" };
            all.push(json!({
                "name": place.name, "in": "path", "required": true,
                "description": place.description, "schema": { "type": kind },
            }));
        }
        let query = is.query.map(|make| make(&mut self.given).to_value());
        let required = query.as_ref().map(|q| q["required"].clone()).unwrap_or_default();
        let members = query.as_ref().and_then(|q| q["properties"].as_object());
        for (name, schema) in members.into_iter().flatten() {
            let mut schema = schema.clone();
            never_null(&mut schema);
            let description = schema.as_object_mut().and_then(|s| s.remove("description"));
            let required = required.as_array().is_some_and(|r| r.contains(&json!(name)));
            all.push(json!({
                "name": name, "in": "query", "required": required,
                "description": description, "schema": schema,
            }));
        }
        for (name, description) in &is.headers {
            all.push(json!({
                "name": name, "in": "header", "required": false, "description": description,
                "schema": { "type": "string" },
            }));
        }
        all
    }

    fn body(&mut self, carries: Carries, is: &Operation) -> Option<Value> {
        let content = is.takes.map_or(Content::Bytes, |takes| takes);
        if is.takes.is_none() && carries != Carries::Bytes {
            return None;
        }
        let media = media(&mut self.given, content);
        Some(json!({ "required": true, "content": { carries.media_type(): media } }))
    }

    fn answer(&mut self, answer: &Answer) -> Value {
        let mut all = Map::new();
        all.insert("description".into(), answer.description.into());
        let header = |(name, description): &(&str, &str)| {
            let header = json!({ "description": description, "schema": { "type": "string" } });
            ((*name).to_owned(), header)
        };
        if !answer.headers.is_empty() {
            let headers: Map<_, _> = answer.headers.iter().map(header).collect();
            all.insert("headers".into(), headers.into());
        }
        if !answer.media.is_empty() {
            let mut content = Map::new();
            for (kind, of) in &answer.media {
                content.insert((*kind).to_owned(), media(&mut self.told, *of));
            }
            all.insert("content".into(), content.into());
        }
        Value::Object(all)
    }

    /// The response for these codes, one for all operations that have the same.
    fn refusal(&mut self, status: u16, codes: &[&'static str]) -> Value {
        let code = json!({ "code": { "enum": codes }, "status": { "const": status } });
        let schema = json!({
            "allOf": [{ "$ref": format!("{SCHEMAS}Problem") }, { "properties": code }],
        });
        let mut response = json!({
            "description": problems::words(status),
            "content": { "application/problem+json": { "schema": schema } },
        });
        let headers: Map<String, Value> = problems::headers(status)
            .iter()
            .map(|(name, said)| {
                let header = json!({ "description": said, "schema": { "type": "string" } });
                ((*name).to_owned(), header)
            })
            .collect();
        if !headers.is_empty() {
            response["headers"] = headers.into();
        }
        let phrase = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        let phrase = phrase.unwrap_or("Refused").replace(' ', "");
        let name = (1..)
            .map(|n| if n == 1 { phrase.clone() } else { format!("{phrase}{n}") })
            .find(|name| self.responses.get(name).is_none_or(|known| *known == response))
            .unwrap_or(phrase);
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.responses.insert(name, response);
        reference
    }

    /// Every schema, and the paths with what they refer to. What is told of a type may differ from
    /// what is taken: then callers send a `…Request`.
    fn schemas(&mut self, mut paths: Value) -> (Value, Map<String, Value>) {
        let mut all = self.told.take_definitions(true);
        let mut given = self.given.take_definitions(true);
        let mut other: Vec<String> = Vec::new();
        loop {
            let differ = |(name, schema): &(&String, &Value)| {
                !other.contains(*name) && all.get(*name).is_some_and(|told| told != *schema)
            };
            let Some(name) = given.iter().find(differ).map(|(name, _)| name.clone()) else { break };
            for schema in given.values_mut() {
                refer(schema, &name, &format!("{name}Request"));
            }
            for item in paths.as_object_mut().into_iter().flat_map(|p| p.values_mut()) {
                for operation in item.as_object_mut().into_iter().flat_map(|i| i.values_mut()) {
                    for given in ["parameters", "requestBody"] {
                        if let Some(given) = operation.get_mut(given) {
                            refer(given, &name, &format!("{name}Request"));
                        }
                    }
                }
            }
            other.push(name);
        }
        for (name, schema) in given {
            let name = if other.contains(&name) { format!("{name}Request") } else { name };
            all.insert(name, schema);
        }
        (paths, all)
    }
}

/// What a media type holds. A line has no place of its own in OpenAPI 3.1.
fn media(generator: &mut SchemaGenerator, content: Content) -> Value {
    match content {
        Content::Json(make) => json!({ "schema": make(generator) }),
        Content::Lines(make) => {
            json!({ "schema": { "type": "string" }, "x-tracegate-line": make(generator) })
        }
        Content::Text => json!({ "schema": { "type": "string" } }),
        Content::Bytes => json!({ "schema": { "type": "string", "format": "binary" } }),
    }
}

/// The roles that may; none where nobody has to be known.
fn roles(route: &Route, is: &Operation) -> Option<Vec<&'static str>> {
    let right = match route.need {
        Need::Nothing => return None,
        Need::Token => is.asks,
        Need::Right(right) | Need::RightUnlessLoopback(right) => Some(right),
    };
    let has = |role: &Role| right.is_none_or(|right| may(*role, right));
    Some(Role::ALL.into_iter().filter(has).map(Role::name).collect())
}

/// What an operation is found under.
fn tag(path: &'static str) -> &'static str {
    let rest = path.strip_prefix("/api/v1/").unwrap_or("service");
    rest.split('/').next().filter(|t| *t != "openapi.json").unwrap_or("service")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn operations_are_named_once_and_say_what_they_need() {
        let mut ids: Vec<_> = ROUTES.iter().map(|r| (r.is)().id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for route in ROUTES {
            let is = (route.is)();
            let named = route.path.split('{').skip(1).filter_map(|p| p.split('}').next());
            let places: Vec<_> = is.places.iter().map(|p| p.name).collect();
            assert_eq!(named.collect::<Vec<_>>(), places, "{}", route.path);
            let has_body = route.method == Method::POST || route.method == Method::PATCH;
            assert!(has_body || is.takes.is_none(), "{}", route.path);
            let body = is.takes.is_some() || route.carries == Carries::Bytes;
            assert!(body || !has_body || is.id == "reloadZones", "{}", route.path);
            assert!(!is.answers.is_empty(), "{}", route.path);
        }
    }

    #[test]
    fn descriptions_are_for_readers_of_the_api() {
        let text = document().to_string();
        for odd in ["[`", "::", "`]", "Some("] {
            assert!(!text.contains(odd), "{odd}");
        }
    }
}
