//! What is said of an operation.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::super::Right;

/// Makes the schema of a type, or a reference to it.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;

/// A problem: its status and its code.
pub type Code = (u16, &'static str);

/// What a body is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// One JSON value.
    Json(Make),
    /// A JSON value a line.
    Lines(Make),
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// A parameter of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) number: bool,
}

/// What is answered when nothing is wrong.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) media: Vec<(&'static str, Content)>,
    /// Names and descriptions of headers.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// One operation: what a route is for, what it takes, what it gives.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) more: &'static str,
    /// The right that the handler asks for, where the guard does not.
    pub(super) asks: Option<Right>,
    pub(super) places: Vec<Place>,
    pub(super) query: Option<Make>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) takes: Option<Content>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<Code>,
    /// Those that a line of the answer may tell.
    pub(super) of_lines: Vec<Code>,
}

impl Operation {
    /// By its name for generated clients, and what it does.
    pub(super) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            more: "",
            asks: None,
            places: Vec::new(),
            query: None,
            headers: Vec::new(),
            takes: None,
            answers: Vec::new(),
            problems: Vec::new(),
            of_lines: Vec::new(),
        }
    }

    /// Says more, in sentences.
    pub(super) const fn more(mut self, text: &'static str) -> Self {
        self.more = text;
        self
    }

    /// The handler asks for this right, and records a refusal.
    pub(super) const fn asks(mut self, right: Right) -> Self {
        self.asks = Some(right);
        self
    }

    /// A text in the path.
    pub(super) fn place(mut self, name: &'static str, description: &'static str) -> Self {
        self.places.push(Place { name, description, number: false });
        self
    }

    /// A number in the path.
    pub(super) fn number(mut self, name: &'static str, description: &'static str) -> Self {
        self.places.push(Place { name, description, number: true });
        self
    }

    /// The members of `T` are parameters of the query.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(T::json_schema);
        self
    }

    /// A header that may be sent.
    pub(super) fn header(mut self, name: &'static str, description: &'static str) -> Self {
        self.headers.push((name, description));
        self
    }

    /// The body is a `T`.
    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(Content::Json(SchemaGenerator::subschema_for::<T>));
        self
    }

    /// The body is a `T` a line.
    pub(super) fn takes_lines<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(Content::Lines(SchemaGenerator::subschema_for::<T>));
        self
    }

    /// The answer is a `T`.
    pub(super) fn gives<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        let content = Content::Json(SchemaGenerator::subschema_for::<T>);
        self.answer(status, description, vec![("application/json", content)])
    }

    /// The answer is a `T` a line.
    pub(super) fn gives_lines<T: JsonSchema>(self, description: &'static str) -> Self {
        let content = Content::Lines(SchemaGenerator::subschema_for::<T>);
        self.answer(200, description, vec![("application/x-ndjson", content)])
    }

    /// The answer has no body.
    pub(super) fn gives_nothing(self, description: &'static str) -> Self {
        self.answer(204, description, Vec::new())
    }

    /// The answer is something that is no JSON.
    pub(super) fn gives_other(
        self,
        description: &'static str,
        media: &[(&'static str, Content)],
    ) -> Self {
        self.answer(200, description, media.to_vec())
    }

    fn answer(
        mut self,
        status: u16,
        description: &'static str,
        media: Vec<(&'static str, Content)>,
    ) -> Self {
        self.answers.push(Answer { status, description, media, headers: Vec::new() });
        self
    }

    /// Or, where that is asked for, something else.
    pub(super) fn or(mut self, media: &'static str, content: Content) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.media.push((media, content));
        }
        self
    }

    /// A header of the answer last named.
    pub(super) fn with(mut self, name: &'static str, description: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, description));
        }
        self
    }

    /// What a line of the answer may tell.
    pub(super) fn of_lines(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.of_lines.extend(codes);
        self
    }

    /// What it may refuse with, besides what follows from the route.
    pub(super) fn problems(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.problems.extend(codes);
        self
    }
}
