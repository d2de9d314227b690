//! What was listed at a time, and what was answered around it.
//!
//! Every change of a feed is a row of `feed_events`, every change of a rule a row of `rules` with
//! the version it came with. What a feed said at a time is, of each rule, the newest row whose
//! version is not above the one in force then. Which rules could be about a subject is told by
//! their texts, which whoever asks knows; what would have been decided by them is worked out by
//! whoever asks, too: this module reads.
//!
//! A look at what was answered is a look at the records, and recorded like any other. No column
//! about a person is read.

mod answers;
mod changes;

use schemars::JsonSchema;
use serde::Serialize;

use self::answers::{Jumped, Resolved};
pub use self::changes::{OnNode, RuleRow};
use super::{
    BadQuestion, Error, Look, Question, Subject, Tracer, Window,
    access::{Asked, Begun},
    coverage::{self, Coverage},
    question,
    reader::Reader,
};
use crate::{clock::Timestamp, record::Table};

/// The tables whose gaps could hide something here.
const STREAMS: [Table; 4] = [Table::FeedEvents, Table::Rules, Table::Resolutions, Table::Jumps];

/// A question about a time.
#[derive(Clone, Debug, Default)]
pub struct AskListed {
    /// A name, a URL, a link's code or an address.
    pub text: String,
    /// The time: as the end of a window.
    pub at: String,
    /// Whether something was given that no such question has.
    pub misfit: bool,
}

/// What the store knows of a time.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What was asked about.
    pub subject: Subject,
    /// The time.
    pub at: Timestamp,
    /// What each node had in force.
    pub on_nodes: Vec<OnNode>,
    /// Every row of the rules that could be about the subject, newest version first.
    pub rules: Vec<RuleRow>,
}

/// What was listed at a time, and what was answered around it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RulesThen")]
pub struct ListedThen<'a, S> {
    /// What was asked about, as it was read.
    name: &'a str,
    /// What it was taken for.
    kind: super::Kind,
    /// The time.
    at: Timestamp,
    #[serde(flatten)]
    judged: S,
    /// What was answered around it: counts, never persons.
    answers: Answers,
    #[serde(flatten)]
    coverage: Coverage,
}

/// What was answered around the time.
#[derive(Serialize, JsonSchema)]
struct Answers {
    /// From when on.
    from: Timestamp,
    /// Until when.
    to: Timestamp,
    /// Answers to DNS questions, the most frequent first.
    resolutions: Vec<Resolved>,
    /// Visits to links, the most frequent first.
    jumps: Vec<Jumped>,
    /// Whether there were more kinds of answers than shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Tracer {
    /// What a text asks about, when it asks about something that could be listed.
    ///
    /// # Errors
    /// When it does not.
    pub fn subject(&self, text: &str) -> Result<Question, BadQuestion> {
        let parts = self.parts();
        let question = question::parse(text, None, &parts.short_urls, &parts.known)?;
        match question.subject {
            Subject::Record(_) => Err(BadQuestion::Domain),
            _ => Ok(question),
        }
    }

    /// What was listed at a time, as JSON, recorded before it is returned. `texts` are the rules
    /// that could be about a subject, `judge` says what they meant: its members join the answer's.
    ///
    /// # Errors
    /// As [`Tracer::page`].
    pub async fn listed<S: Serialize, J: Future<Output = Result<S, Error>>>(
        &self,
        look: &Look,
        ask: &AskListed,
        texts: impl Fn(&Subject) -> Vec<String>,
        judge: impl FnOnce(Listed) -> J,
    ) -> Result<Vec<u8>, Error> {
        let asked = Asked {
            text: &ask.text,
            kind: Some("rules"),
            from: None,
            to: Some(&ask.at),
            cursor: None,
        };
        let begun = Begun::new(self.access(), look, &asked);
        let answer = self.listed_page(look, ask, texts, judge).await;
        self.finish(begun, answer).await
    }

    async fn listed_page<S: Serialize, J: Future<Output = Result<S, Error>>>(
        &self,
        look: &Look,
        ask: &AskListed,
        texts: impl Fn(&Subject) -> Vec<String>,
        judge: impl FnOnce(Listed) -> J,
    ) -> Result<(Vec<u8>, u64), Error> {
        look.sight()?;
        if ask.misfit {
            return Err(Error::Parameter);
        }
        let parts = self.parts();
        let question = self.subject(&ask.text)?;
        let at = Window::instant(&ask.at, parts.clock.now())?;
        let _permit = self.permit()?;
        let (reader, rows_max) = (self.reader(), u64::from(parts.limits.page_rows_max));
        // Completeness is read first: what arrives in between is then more than is claimed.
        let through = coverage::through(reader, self.local()).await?;
        let on_nodes = changes::on_nodes(reader, at).await?;
        let rules = changes::rules(reader, &texts(&question.subject), rows_max).await?;
        let listed = Listed { subject: question.subject.clone(), at, on_nodes, rules };
        let window = Window::around(at, parts.limits.around_s);
        let answers = answers(reader, &question.subject, window, rows_max).await?;
        let coverage = coverage::of_streams(reader, &STREAMS, window, through).await?;
        let resolved = answers.resolutions.iter().map(|a| a.seen.count);
        let counted: u64 = resolved.chain(answers.jumps.iter().map(|a| a.seen.count)).sum();
        let page = ListedThen {
            name: &question.text,
            kind: question.kind(),
            at,
            judged: judge(listed).await?,
            answers,
            coverage,
        };
        let page = serde_json::to_vec(&page).map_err(|_| Error::Malformed)?;
        Ok((page, counted))
    }
}

async fn answers(
    reader: &Reader,
    subject: &Subject,
    window: Window,
    rows_max: u64,
) -> Result<Answers, Error> {
    let (resolutions, more) = answers::resolutions(reader, subject, window, rows_max).await?;
    let (jumps, more_jumps) = answers::jumps(reader, subject, window, rows_max).await?;
    let more = more || more_jumps;
    Ok(Answers { from: window.from, to: window.to, resolutions, jumps, more })
}
