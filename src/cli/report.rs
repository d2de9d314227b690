//! `report`: what the public reports and appeals against, through the API.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{client::Api, remote::Action};

/// What to do with reports.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Report {
    /// List reports, newest first.
    List {
        /// Those that nobody has decided.
        #[arg(long, conflicts_with = "overdue")]
        open: bool,
        /// Those whose time is over.
        #[arg(long)]
        overdue: bool,
        /// At most so many.
        #[arg(long)]
        limit: Option<u32>,
        /// The next_cursor of the page before.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// How many wait for a decision, how many are overdue, and by when the next is due.
    Status,
    /// Show a report; with case number and purpose also who made it and in which words.
    Show {
        /// Its number.
        number: String,
        /// The case number, kept with the look.
        #[arg(long = "case", value_name = "NUMBER", requires = "purpose")]
        case_number: Option<String>,
        /// What it is for, kept with the look.
        #[arg(long, value_name = "TEXT", requires = "case_number")]
        purpose: Option<String>,
    },
    /// Decide a report, and do what follows.
    Decide(Decide),
}

/// A decision.
#[derive(Clone, Debug, Args)]
pub(super) struct Decide {
    /// The report's number.
    number: String,
    /// Whether it is right.
    #[arg(value_parser = ["accepted", "rejected"])]
    decision: String,
    /// Why, for us.
    #[arg(long)]
    reason: String,
    /// What the claimant is told besides the decision.
    #[arg(long)]
    answer: Option<String>,
    /// What is done: none, disable_link, enable_link, block, forward, lift.
    #[arg(long)]
    act: Option<String>,
    /// Whom it is forwarded to, or who ordered the block.
    #[arg(long)]
    authority: Option<String>,
    /// How long a block lasts, in seconds.
    #[arg(long, value_name = "SECONDS")]
    for_s: Option<u64>,
}

impl Action for Report {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let path = |number: &str| number.to_ascii_uppercase().replace(['-', ' '], "");
        match self {
            Self::List { open, overdue, limit, cursor } => {
                let limit = limit.map(|n| n.to_string());
                let state = if open { Some("open") } else { overdue.then_some("overdue") };
                let all =
                    [("state", state), ("limit", limit.as_deref()), ("cursor", cursor.as_deref())];
                let query: Vec<_> =
                    all.into_iter().filter_map(|(name, v)| Some((name, v?))).collect();
                api.json(Method::GET, &["api", "v1", "reports"], &query, None).await
            }
            Self::Status => {
                api.json(Method::GET, &["api", "v1", "reports", "status"], &[], None).await
            }
            Self::Show { number, case_number, purpose } => {
                let number = path(&number);
                let place = ["api", "v1", "reports", &number];
                let mut report = api.json(Method::GET, &place, &[], None).await?;
                if let (Some(case), Some(purpose)) = (&case_number, &purpose) {
                    let place = ["api", "v1", "reports", &number, "person"];
                    let query = [("case", case.as_str()), ("purpose", purpose)];
                    report["person"] = api.json(Method::GET, &place, &query, None).await?;
                }
                Ok(report)
            }
            Self::Decide(decide) => {
                let number = path(&decide.number);
                let place = ["api", "v1", "reports", &number, "decision"];
                api.json(Method::POST, &place, &[], Some(&decide.body())).await
            }
        }
    }
}

impl Decide {
    fn body(self) -> Value {
        let mut body = Map::new();
        body.insert("decision".into(), self.decision.into());
        body.insert("reason".into(), self.reason.into());
        let given = [("answer", self.answer), ("act", self.act), ("authority", self.authority)];
        body.extend(given.into_iter().filter_map(|(name, v)| Some((name.to_owned(), v?.into()))));
        body.extend(self.for_s.map(|s| ("for_s".to_owned(), json!(s))));
        body.into()
    }
}
