//! `check`: verify a name, a URL or an address; the report for a person, and the exit code 3 where
//! something is not as it should be.

mod bulk;

use std::{collections::BTreeMap, io::Write as _, path::PathBuf};

use clap::{ArgGroup, Args};
use http::Method;
use serde_json::{Value, json};

use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    layout::{self, Lines},
    progress::busy,
};
use crate::verify::Check;

/// The column where values begin.
const AT: usize = 30;

/// Verify names, URLs and addresses: what registries, the DNS and the address registries say about
/// them, and whether they agree. Ends with 3 where something is not as it should be.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["subject", "file", "replay", "coverage"]))]
pub(super) struct CheckArgs {
    /// A name in any script, a URL, or an address.
    #[arg(value_name = "NAME|URL|ADDRESS", allow_hyphen_values = true)]
    subject: Option<String>,
    /// Verify every line of a file, `-` for standard input: one line each, or JSON.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many of a file are verified at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrent: u8,
    /// Judge a recorded verdict again, from the evidence that is kept: ends with 3 where it is not
    /// the same.
    #[arg(long, value_name = "RECORD")]
    replay: Option<String>,
    /// How much is verified, and what share is not.
    #[arg(long)]
    coverage: bool,
    /// Show everything that was asked, of whom, and what became of it.
    #[arg(long)]
    asked: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl CheckArgs {
    /// Has it verified, and prints the report.
    ///
    /// # Errors
    /// When there is no server, or it gives no verdict.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        let (shown, is_well) = match (&self.subject, &self.file, &self.replay) {
            (Some(subject), _, _) => {
                let told = block_on(busy("verifying 核验中", one(&api, subject)))?;
                let shown = match global.format() {
                    Format::Json => layout::print(&told, Format::Json),
                    Format::Text => self.text(&told),
                };
                (shown, !is_adverse(&told))
            }
            (_, Some(file), _) => {
                let is_well = bulk::run(&api, file, self.concurrent, global.format())?;
                (String::new(), is_well)
            }
            (_, _, Some(record)) => {
                let path = ["api", "v1", "checks", record];
                let told = block_on(api.json(Method::GET, &path, &[], None))?;
                let shown = match global.format() {
                    Format::Json => layout::print(&told, Format::Json),
                    Format::Text => replayed(&told),
                };
                (shown, told["same"] == true)
            }
            _ => {
                let path = ["api", "v1", "coverage"];
                let told = block_on(api.json(Method::GET, &path, &[], None))?;
                (layout::print(&told, global.format()), true)
            }
        };
        std::io::stdout().lock().write_all(shown.as_bytes())?;
        Ok(if is_well { Exit::Ok } else { Exit::Verification })
    }

    /// The report: the verdict, the grid, what is wrong, what is not known, what is well.
    fn text(&self, told: &Value) -> String {
        let mut out = Lines::default();
        let overall = word(&told["overall"]);
        out.labelled("Subject 核验对象", AT, word(&told["subject"]));
        out.labelled("Verdict 结论", AT, &format!("{overall} {}", overall_zh(overall)));
        out.labelled("At 时间", AT, word(&told["at"]));
        out.labelled("Record 记录", AT, word(&told["record"]));
        out.gap();
        for (row, label) in [
            ("registration", "Registration 注册信息"),
            ("resolution", "Resolution 解析信息"),
            ("address", "Address 地址"),
        ] {
            let pair = &told["grid"][row];
            let cells = [("authentic", "authentic 真实"), ("accurate", "accurate 准确")];
            let cells = cells.map(|(cell, label)| format!("{label}: {}", outcome(&pair[cell])));
            out.labelled(label, AT, &cells.join(" · "));
        }
        for (title, wanted) in [
            ("Not as it should be 不符", "false"),
            ("Not known 未知", "unknown"),
            ("Not evaluated 未评估", "not_evaluated"),
            ("As it should be 相符", "true"),
            ("Nothing to judge 不适用", "not_applicable"),
        ] {
            findings(&mut out, title, told, wanted);
        }
        asked(&mut out, told, self.asked);
        out.0
    }
}

/// One verdict.
async fn one(api: &Api, subject: &str) -> anyhow::Result<Value> {
    let body = json!({ "subject": subject });
    api.json(Method::POST, &["api", "v1", "checks"], &[], Some(&body)).await
}

/// Whether something is not as it should be.
fn is_adverse(told: &Value) -> bool {
    matches!(word(&told["overall"]), "discrepant" | "contradicted")
}

/// What was recorded, and whether the evidence still says so.
fn replayed(told: &Value) -> String {
    let mut out = Lines::default();
    let record = &told["record"];
    let same = match (told["same"] == true, word(&told["why"])) {
        (true, _) => "the same 一致".to_owned(),
        (false, "") => "not the same 不一致".to_owned(),
        (false, why) => format!("cannot be judged 无法重算: {why}"),
    };
    out.labelled("Record 记录", AT, word(&record["id"]));
    out.labelled("Subject 核验对象", AT, word(&record["subject"]));
    out.labelled("Recorded 记录结论", AT, word(&record["overall"]));
    out.labelled("Judged again 重算结论", AT, word(&told["replayed"]["overall"]));
    out.labelled("Evidence 证据", AT, &format!("{} bodies 份", told["bodies"]));
    out.labelled("Verdict 结论", AT, &same);
    out.0
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn overall_zh(overall: &str) -> &'static str {
    match overall {
        "verified" => "核验一致",
        "verified_with_notes" => "核验一致，有提示",
        "unverified" => "未能核验",
        "discrepant" => "存在不符",
        "contradicted" => "相互矛盾",
        _ => "",
    }
}

/// An outcome with its cause, and the grade where there is one.
fn outcome(cell: &Value) -> String {
    let mut text = word(&cell["outcome"]).to_owned();
    if let Some(cause) = cell["cause"].as_str() {
        text = format!("{text} ({cause})");
    }
    match cell["grade"].as_str() {
        Some(grade) if grade != "U" => format!("{text}, grade {grade}"),
        _ => text,
    }
}

/// The findings of one outcome, the most severe first.
fn findings(out: &mut Lines, title: &str, told: &Value, wanted: &str) {
    let rank = |f: &Value| {
        let order = ["critical", "error", "warning", "notice", "info"];
        order.iter().position(|s| *s == word(&f["severity"])).unwrap_or(order.len())
    };
    let mut found: Vec<&Value> =
        list(&told["findings"]).iter().filter(|f| f["outcome"] == wanted).collect();
    found.sort_by_key(|f| rank(f));
    if found.is_empty() {
        return;
    }
    out.gap();
    out.text(0, title);
    for finding in found {
        let id = word(&finding["id"]);
        let severity = match wanted {
            "false" => format!(" · {}", word(&finding["severity"])),
            "true" | "not_applicable" => String::new(),
            _ => format!(" · {}", word(&finding["cause"])),
        };
        let title = Check::ALL.iter().map(|c| c.entry()).find(|e| e.id == id);
        let title_zh = title.map_or("", |e| e.title_zh);
        let says = word(&finding["says"]);
        if severity.is_empty() {
            out.text(2, &format!("{id} · {title_zh} · {says}"));
            continue;
        }
        out.text(2, &format!("{id}{severity} · {title_zh}"));
        out.text(4, says);
        let names: Vec<String> = list(&finding["standard"])
            .iter()
            .map(|s| format!("{} {}", word(&s["scheme"]), word(&s["id"])))
            .collect();
        if wanted == "false" && !names.is_empty() {
            out.text(4, &names.join(" · "));
        }
    }
}

/// Who was asked how much, and who did not answer; every question where that is wanted.
fn asked(out: &mut Lines, told: &Value, every: bool) {
    let observations = list(&told["observations"]);
    if observations.is_empty() {
        return;
    }
    out.gap();
    let mut servers: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for o in observations {
        let source = &o["source"];
        let key = format!("{} {}", word(&source["name"]), word(&source["endpoint"]));
        let count = servers.entry(key).or_default();
        count.0 += 1;
        count.1 += u64::from(o["got"].get("fault").is_some());
    }
    let title =
        format!("Asked 询问: {} questions 次, {} servers 台", observations.len(), servers.len());
    out.text(0, &title);
    if !every {
        for (server, (asked, silent)) in servers {
            let silent = if silent > 0 {
                format!(", {silent} without an answer 未应答")
            } else {
                String::new()
            };
            out.text(2, &format!("{server}: {asked}{silent}"));
        }
        return;
    }
    for o in observations {
        let got = match o["got"]["fault"].as_str() {
            Some(fault) => fault.to_owned(),
            None => format!("{} bytes, {}", o["got"]["size"], word(&o["got"]["evidence"])),
        };
        let line = format!(
            "{} {} of {} {}: {got}",
            word(&o["qname"]),
            o["qtype"],
            word(&o["source"]["name"]),
            word(&o["source"]["endpoint"])
        );
        out.text(2, &line);
    }
}
