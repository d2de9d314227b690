//! `forward`: hosts, and paths of them, that lead elsewhere (域名跳转).

mod import;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    layout,
    link::{Given, Members, Shown},
};

/// Make, show, list, count and change forwards: hosts, or paths of them, that lead elsewhere.
#[derive(Clone, Debug, Args)]
pub(super) struct Forward {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Forward a host, or a path of one and everything below it.
    Add {
        /// What is forwarded, such as old.example or old.example/sale.
        from: String,
        /// Where it leads.
        url: String,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// Show a forward and its revisions.
    Show {
        /// What is forwarded.
        from: String,
    },
    /// List forwards by host and path, a page at a time.
    List {
        /// Of this owner.
        #[arg(long)]
        owner: Option<String>,
        /// At most so many.
        #[arg(long)]
        limit: Option<u32>,
        /// The next_cursor of the page before.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Change a forward; what is not named stays.
    Edit {
        /// What is forwarded.
        from: String,
        /// Where it leads from now on.
        url: Option<String>,
        /// Only if this is its newest revision.
        #[arg(long, value_name = "REVISION")]
        revision: Option<u32>,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// Stop a forward.
    Disable {
        /// What is forwarded.
        from: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Let a stopped forward go on.
    Enable {
        /// What is forwarded.
        from: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Count visits and clients of a forward; the look is recorded.
    Stats {
        /// What is forwarded.
        #[arg(value_name = "FROM")]
        place: String,
        /// The beginning, such as 2030-01-31T12:00:00Z or -7d.
        #[arg(long, allow_hyphen_values = true)]
        from: Option<String>,
        /// The end.
        #[arg(long, allow_hyphen_values = true)]
        to: Option<String>,
        /// The case number.
        #[arg(long)]
        case: Option<String>,
        /// What for.
        #[arg(long)]
        purpose: Option<String>,
    },
    /// Show the certificates of the gateway's hosts: from files, or obtained by ACME.
    Certificates,
    /// Make forwards from a CSV file; a line of report for each row.
    Import(import::Import),
}

impl Forward {
    /// Carries it out.
    ///
    /// # Errors
    /// When there is no server, it refuses, or nobody reads what is printed.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        use std::io::Write as _;
        let shown = match self.action {
            Action::List { .. } => Shown::List,
            Action::Stats { .. } => Shown::Stats,
            Action::Certificates => Shown::Other,
            _ => Shown::Link,
        };
        let api = Api::open(&self.server, global)?;
        let answer = match self.action {
            Action::Import(import) => return import.run(&api, global.format()),
            action => block_on(action.ask(&api))?,
        };
        let text = match global.format() {
            Format::Json => layout::print(&answer, Format::Json),
            Format::Text => shown.text(&answer),
        };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(Exit::Ok)
    }
}

impl Action {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let all = ["api", "v1", "forwards"];
        let (method, from, body) = match self {
            Self::List { owner, limit, cursor } => {
                let limit = limit.map(|n| n.to_string());
                let given = [("owner", owner), ("limit", limit), ("cursor", cursor)];
                let query: Vec<_> =
                    given.iter().filter_map(|(n, v)| Some((*n, v.as_deref()?))).collect();
                return api.json(Method::GET, &all, &query, None).await;
            }
            Self::Add { from, url, members } => {
                let mut body = members.body(Given::New)?;
                body.insert("target".into(), url.into());
                body.insert("from".into(), from.into());
                return api.json(Method::POST, &all, &[], Some(&body.into())).await;
            }
            Self::Stats { place, from, to, case, purpose } => {
                let given = [("from", from), ("to", to), ("case", case), ("purpose", purpose)];
                let query: Vec<_> =
                    given.iter().filter_map(|(n, v)| Some((*n, v.as_deref()?))).collect();
                let path = ["api", "v1", "forwards", &place, "stats"];
                return api.json(Method::GET, &path, &query, None).await;
            }
            Self::Certificates => {
                return api.json(Method::GET, &["api", "v1", "certificates"], &[], None).await;
            }
            Self::Import(_) => anyhow::bail!("not one request"),
            Self::Show { from } => (Method::GET, from, None),
            Self::Edit { from, url, revision, members } => {
                let mut body = members.body(Given::Change)?;
                body.extend(url.map(|u| ("target".to_owned(), json!(u))));
                body.extend(revision.map(|r| ("revision".to_owned(), json!(r))));
                (Method::PATCH, from, Some(Value::Object(body)))
            }
            Self::Disable { from, reason } => {
                (Method::PATCH, from, Some(json!({ "state": "disabled", "reason": reason })))
            }
            Self::Enable { from, reason } => {
                let reason = reason.unwrap_or_default();
                (Method::PATCH, from, Some(json!({ "state": "enabled", "reason": reason })))
            }
        };
        api.json(method, &["api", "v1", "forwards", &from], &[], body.as_ref()).await
    }
}
