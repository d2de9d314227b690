//! `link`: conversions, through the API, so that each is recorded like any other; and backup and
//! restore of the database they lie in.

mod csv;
mod given;
pub(in crate::cli) mod import;
mod text;

use std::{fs::File, io::Write, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    layout,
    progress::busy,
};
use crate::{
    links::{self, Went},
    reports::BESIDE,
};
pub(super) use csv::Records;
pub(super) use given::{Given, Members};
pub(super) use import::instant;
pub(super) use text::Shown;

/// Make, show, list and change links; take over, back up and restore them.
#[derive(Clone, Debug, Args)]
pub(super) struct Link {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Convert a URL into a short one.
    Create {
        /// Where the link leads.
        url: String,
        /// The code wanted, instead of a generated one.
        #[arg(long)]
        code: Option<String>,
        /// A link of the same owner that is the same in everything will do.
        #[arg(long)]
        reuse: bool,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// Show a link and its revisions.
    Show {
        /// Its code.
        code: String,
    },
    /// List links by code, a page at a time.
    List(List),
    /// Change a link; what is not named stays. `never` or an empty text takes a setting away.
    Edit {
        /// Its code.
        code: String,
        /// Where it leads from now on.
        url: Option<String>,
        /// Only if this is its newest revision.
        #[arg(long, value_name = "REVISION")]
        revision: Option<u32>,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// Stop a link.
    Disable {
        /// Its code.
        code: String,
        /// Why; for the records.
        #[arg(long)]
        reason: String,
        /// Why, for whoever follows the link: order, fraud, phishing, malware, illegal, abuse, owner,
        /// terms or other.
        #[arg(long, value_name = "CODE")]
        public_reason: Option<String>,
    },
    /// Let a stopped link go on.
    Enable {
        /// Its code.
        code: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Sign where visitors leave your site to: the address of an outbound page. The signing is recorded.
    Sign {
        /// Where it leads.
        url: String,
        /// When the signature ends, as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// The host of ours at which alone it counts, one of gateway.domains.
        #[arg(long)]
        domain: Option<String>,
        /// For whom.
        #[arg(long)]
        owner: Option<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Write a link's short URL as a QR code.
    Qr {
        /// Its code.
        code: String,
        /// The file, which is made: .png for PNG, else SVG; SVG on standard output without.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Count visits and clients of a link; the look is recorded.
    Stats {
        /// Its code.
        code: String,
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
    /// Show where a link leads: what its last walks found, hop by hop.
    Hops {
        /// Its code.
        code: String,
        /// At most so many walks, the newest.
        #[arg(long)]
        limit: Option<u32>,
        /// The case number.
        #[arg(long)]
        case: Option<String>,
        /// What for.
        #[arg(long)]
        purpose: Option<String>,
    },
    /// Show how many warnings were seen and heeded, by tier, wording, language and list.
    Notices {
        /// The earliest time: RFC 3339, a date, or a span before now such as -30d.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        from: Option<String>,
        /// The latest time.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        to: Option<String>,
    },
    /// Take links over from a file; a line of report for each.
    Import(import::Import),
    /// Write every link, one JSON object a line.
    Export {
        /// Every revision of each, not the newest alone.
        #[arg(long)]
        revisions: bool,
        /// The file, which is made; standard output without.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Copy the database of links, the key behind their codes and the database of reports into one
    /// new file. The server may run meanwhile.
    Backup {
        /// The file. It holds secrets: keep it as such.
        file: PathBuf,
    },
    /// Make the database of links and its key from a backup, in a data directory that has none, and
    /// that of reports, unless it is there. No server may run on it meanwhile.
    Restore {
        /// The file.
        file: PathBuf,
    },
}

/// Which links.
#[derive(Clone, Debug, Args)]
struct List {
    /// Of this owner.
    #[arg(long)]
    owner: Option<String>,
    /// With this tag.
    #[arg(long)]
    tag: Option<String>,
    /// enabled, disabled or expired.
    #[arg(long)]
    state: Option<String>,
    /// Served at this host alone.
    #[arg(long)]
    domain: Option<String>,
    /// Leading to this host.
    #[arg(long, value_name = "HOST")]
    target_host: Option<String>,
    /// At most so many.
    #[arg(long)]
    limit: Option<u32>,
    /// The next_cursor of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

impl Link {
    /// Carries it out.
    ///
    /// # Errors
    /// When there is no server, it refuses, a file fails, or nobody reads what is printed.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let shown = Shown::by(&self.action);
        let answer = match self.action {
            Action::Backup { file } => {
                let config = global.load()?.config;
                refuse_shared(&config)?;
                told(&file, &links::backup(&config.data_dir, &file, &[BESIDE])?)
            }
            Action::Restore { file } => {
                let config = global.load()?.config;
                refuse_shared(&config)?;
                told(&file, &links::restore_backup(&file, &config.data_dir, &[BESIDE])?)
            }
            action => {
                let api = Api::open(&self.server, global)?;
                match action {
                    Action::Export { revisions, out } => {
                        return block_on(export(&api, revisions, out));
                    }
                    Action::Qr { code, out } => return block_on(qr(&api, &code, out)),
                    Action::Import(import) => return import.run(&api, global.format()),
                    action => block_on(ask(action, &api))?,
                }
            }
        };
        print(shown, &answer, global)?;
        Ok(Exit::Ok)
    }
}

fn print(shown: Shown, answer: &Value, global: &Global) -> anyhow::Result<()> {
    let text = match global.format() {
        Format::Json => layout::print(answer, Format::Json),
        Format::Text => shown.text(answer),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn told(file: &std::path::Path, what: &links::Backup) -> Value {
    let mut told = json!({
        "file": file.display().to_string(), "links": what.links, "revisions": what.revisions
    });
    for (what, went) in &what.beside {
        told[*what] = match went {
            Went::Along(count) => (*count).into(),
            Went::Absent => Value::Null,
            Went::Stays => "as they were 保持原样".into(),
        };
    }
    told
}

async fn ask(action: Action, api: &Api) -> anyhow::Result<Value> {
    if let Action::List(list) = &action {
        let limit = list.limit.map(|n| n.to_string());
        let query = list.query(limit.as_deref());
        return api.json(Method::GET, &["api", "v1", "links"], &query, None).await;
    }
    if let Action::Stats { code, from, to, case, purpose } = &action {
        let all = [("from", from), ("to", to), ("case", case), ("purpose", purpose)];
        let given = all.into_iter().filter_map(|(name, v)| v.as_deref().map(|v| (name, v)));
        let query: Vec<(&str, &str)> = given.collect();
        return api.json(Method::GET, &["api", "v1", "links", code, "stats"], &query, None).await;
    }
    if let Action::Hops { code, limit, case, purpose } = &action {
        let limit = limit.map(|n| n.to_string());
        let all = [("limit", &limit), ("case", case), ("purpose", purpose)];
        let query: Vec<_> = all.iter().filter_map(|(n, v)| Some((*n, v.as_deref()?))).collect();
        return api.json(Method::GET, &["api", "v1", "links", code, "hops"], &query, None).await;
    }
    if let Action::Notices { from, to } = &action {
        let given = [("from", from), ("to", to)];
        let query: Vec<_> = given.iter().filter_map(|(n, v)| Some((*n, v.as_deref()?))).collect();
        return api.json(Method::GET, &["api", "v1", "notices", "summary"], &query, None).await;
    }
    if let Action::Sign { url, expires, domain, owner, reason } = action {
        let given =
            [("expires", expires), ("domain", domain), ("owner", owner), ("reason", reason)];
        let given = given.into_iter().filter_map(|(n, v)| Some((n.to_owned(), json!(v?))));
        let body = given.chain([("target".to_owned(), json!(url))]).collect::<Map<_, _>>().into();
        return api.json(Method::POST, &["api", "v1", "outbound"], &[], Some(&body)).await;
    }
    let (method, code, body) = request(action)?;
    let mut path = vec!["api", "v1", "links"];
    path.extend(code.as_deref());
    api.json(method, &path, &[], body.as_ref()).await
}

impl List {
    fn query<'a>(&'a self, limit: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let all = [
            ("owner", self.owner.as_deref()),
            ("tag", self.tag.as_deref()),
            ("state", self.state.as_deref()),
            ("domain", self.domain.as_deref()),
            ("target_host", self.target_host.as_deref()),
            ("cursor", self.cursor.as_deref()),
            ("limit", limit),
        ];
        all.into_iter().filter_map(|(name, value)| value.map(|v| (name, v))).collect()
    }
}

/// Method, code and body.
fn request(action: Action) -> anyhow::Result<(Method, Option<String>, Option<Value>)> {
    let state = |state: &str, reason: Option<String>| {
        let mut body = Map::from_iter([("state".to_owned(), json!(state))]);
        body.extend(reason.map(|r| ("reason".to_owned(), json!(r))));
        Some(body.into())
    };
    Ok(match action {
        Action::Create { url, code, reuse, members } => {
            let mut body = members.body(Given::New)?;
            body.insert("target".into(), url.into());
            body.extend(code.map(|c| ("code".to_owned(), json!(c))));
            body.extend(reuse.then(|| ("reuse".to_owned(), json!(true))));
            (Method::POST, None, Some(body.into()))
        }
        Action::Edit { code, url, revision, members } => {
            let mut body = members.body(Given::Change)?;
            body.extend(url.map(|u| ("target".to_owned(), json!(u))));
            body.extend(revision.map(|r| ("revision".to_owned(), json!(r))));
            (Method::PATCH, Some(code), Some(body.into()))
        }
        Action::Disable { code, reason, public_reason } => {
            let mut body = Map::from_iter([
                ("state".to_owned(), json!("disabled")),
                ("reason".to_owned(), json!(reason)),
            ]);
            body.extend(public_reason.map(|r| ("public_reason".to_owned(), json!(r))));
            (Method::PATCH, Some(code), Some(body.into()))
        }
        Action::Enable { code, reason } => (Method::PATCH, Some(code), state("enabled", reason)),
        Action::Show { code } => (Method::GET, Some(code), None),
        Action::List(_)
        | Action::Sign { .. }
        | Action::Stats { .. }
        | Action::Hops { .. }
        | Action::Notices { .. }
        | Action::Import(_)
        | Action::Export { .. }
        | Action::Qr { .. }
        | Action::Backup { .. }
        | Action::Restore { .. } => anyhow::bail!("not one request"),
    })
}

async fn qr(api: &Api, code: &str, out: Option<PathBuf>) -> anyhow::Result<Exit> {
    let png =
        out.as_ref().and_then(|f| f.extension()).is_some_and(|e| e.eq_ignore_ascii_case("png"));
    let query = [("format", if png { "png" } else { "svg" })];
    let mut image = Vec::new();
    api.download(&["api", "v1", "links", code, "qr"], &query, &mut image).await?;
    match &out {
        Some(file) => {
            let made = File::create_new(file).and_then(|mut f| f.write_all(&image));
            made.with_context(|| format!("{}", file.display()))?;
        }
        None => std::io::stdout().lock().write_all(&image)?,
    }
    Ok(Exit::Ok)
}

async fn export(api: &Api, revisions: bool, out: Option<PathBuf>) -> anyhow::Result<Exit> {
    let mut to: Box<dyn Write + Send> = match &out {
        Some(file) => {
            let made = File::create_new(file);
            Box::new(made.with_context(|| format!("{}", file.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let query = [("revisions", if revisions { "true" } else { "false" })];
    let path = ["api", "v1", "links", "export"];
    let done = busy("writing 写出中", api.download(&path, &query, &mut *to)).await;
    if let (Err(_), Some(file)) = (&done, &out) {
        // What is there is not all of it.
        std::fs::remove_file(file).ok();
    }
    done.map(|_| Exit::Ok)
}

/// Links in PostgreSQL are backed up there.
fn refuse_shared(config: &crate::config::Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.control.url.is_empty(),
        "the links are in PostgreSQL (control.url): back that up with pg_dump, and secrets/codes.key \
         with it; see \"Backup\" in deploy/README.md"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let members = Members { owner: Some("shop".into()), ..Members::default() };
        let action = Action::Create {
            url: "https://www.demo.test/".into(),
            code: None,
            reuse: false,
            members: Box::new(members),
        };
        let (method, code, body) = request(action).unwrap();
        assert_eq!((method, code), (Method::POST, None));
        let expected = json!({ "target": "https://www.demo.test/", "owner": "shop" });
        assert_eq!(body, Some(expected));
        let (code, reason) = ("abc".to_owned(), "fraud".to_owned());
        let action = Action::Disable { code, reason, public_reason: None };
        let (method, code, body) = request(action).unwrap();
        assert_eq!((method, code.as_deref()), (Method::PATCH, Some("abc")));
        assert_eq!(body, Some(json!({ "state": "disabled", "reason": "fraud" })));
    }
}
