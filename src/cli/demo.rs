//! `tracegate demo`: everything at once, on loopback, with something to ask for.

#![expect(clippy::print_stdout, reason = "the demo tells what to try")]

use std::{borrow::Cow, fs, path::Path, thread, time::Duration};

use anyhow::Context;
use http::Method;
use serde_json::{Value, json};

use super::{
    Exit, Global,
    client::{Api, ServerArgs},
};
use crate::{
    config, log,
    server::{self, Addresses, DEMO_ZONE, demo_config},
};

/// The demo's link.
const CODE: &str = "demo";
const TARGET: &str = "https://www.demo.test/";
/// A name of the demo's zone.
const NAME: &str = "www.demo.test";
/// A name that is blocked.
const BLOCKED: &str = "blocked.demo.test";
/// The demo's feeds, each with a link to what is on it: that one is warned of, this one stopped.
const LISTED: [Listed; 2] = [
    Listed {
        feed: "demo",
        list: "blocked.txt",
        name: BLOCKED,
        order_number: "DEMO-1",
        tier: "block",
        code: "blocked",
    },
    Listed {
        feed: "demo-warned",
        list: "warned.txt",
        name: "lottery.demo.test",
        order_number: "DEMO-2",
        tier: "interstitial",
        code: "lottery",
    },
];

/// A feed with one name, and a link that leads there.
struct Listed {
    feed: &'static str,
    list: &'static str,
    name: &'static str,
    order_number: &'static str,
    tier: &'static str,
    code: &'static str,
}
/// How often, and how many times, the store is asked whether it is there.
const STORE_POLL: Duration = Duration::from_millis(100);
const STORE_POLLS_MAX: u32 = 300;

/// Serves the zone demo.test, a list that blocks one name of it, one that warns of another, and links on
/// loopback, and prints what to try.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {}

impl Demo {
    /// Serves until Ctrl-C.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let data_dir = global.load()?.config.data_dir;
        let zone_root = data_dir.join("demo");
        fs::create_dir_all(&zone_root)
            .and_then(|()| fs::write(zone_root.join("demo.test.zone"), DEMO_ZONE))
            .and_then(|()| {
                LISTED
                    .iter()
                    .try_for_each(|l| fs::write(zone_root.join(l.list), format!("{}\n", l.name)))
            })
            .with_context(|| format!("cannot write the demo's zone to {}", zone_root.display()))?;
        let mut config = demo_config(&data_dir, &zone_root);
        config.log.filter = "warn,tracegate=warn".into();
        log::init(&config.log)?;
        let here = global.clone();
        let mut guide = None;
        server::serve(config, |addresses| {
            let addresses = addresses.clone();
            guide = Some(thread::spawn(move || greet(&here, &data_dir, &addresses)));
        })?;
        if let Some(Err(_)) = guide.map(thread::JoinHandle::join) {
            anyhow::bail!("the demo's guide panicked");
        }
        Ok(Exit::Ok)
    }
}

/// Makes feeds and links as any user would, then says what to try.
fn greet(global: &Global, data_dir: &Path, at: &Addresses) {
    let global = Global { data_dir: Some(data_dir.to_owned()), ..global.clone() };
    if let Err(error) = make(&global, data_dir) {
        let error = format!("{error:#}");
        tracing::warn!(error, "the demo's feeds and links could not be made");
    }
    let (Some(dns), Some(gateway)) = (at.dns.first(), at.gateway) else { return };
    // The other terminal may stand elsewhere and has no variable of ours.
    let there = match data_dir == config::Config::default().data_dir {
        true => String::new(),
        false => format!(" --data-dir {}", quoted(&data_dir.to_string_lossy())),
    };
    println!(
        "\ntracegate serves the demo on loopback; every answer and every jump is kept.\n\
         演示已在本机启动；每次解析、每次跳转均留存记录。\n\n\
         Try, in another terminal:\n\
         \n  dig @{} -p {} {NAME}\
         \n  dig @{} -p {} {BLOCKED}\
         \n  curl -i http://{gateway}/{CODE}\
         \n  {} trace {NAME}{there}\n\n\
         In a browser: http://{gateway}/{} is warned of, http://{gateway}/{} is stopped.\n\
         浏览器中打开：前者为风险提示页，后者为阻断页。\n\n\
         Ctrl-C ends it; the records stay in {}.",
        dns.ip(),
        dns.port(),
        dns.ip(),
        dns.port(),
        quoted(&program()),
        LISTED[1].code,
        LISTED[0].code,
        data_dir.display(),
    );
}

/// All of it is there already when the demo ran before.
fn make(global: &Global, data_dir: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let api = Api::open(&ServerArgs::default(), global)?;
        // The store comes up beside the listeners: what is printed must work at once.
        for _ in 0..STORE_POLLS_MAX {
            let ready = api.json(Method::GET, &["readyz"], &[], None).await;
            if ready.is_ok_and(|r| r["status"] == "ready") {
                break;
            }
            tokio::time::sleep(STORE_POLL).await;
        }
        let link = json!({ "target": TARGET, "code": CODE, "owner": "demo" });
        make_one(&api, "links", CODE, &link).await?;
        for listed in &LISTED {
            make_listed(&api, data_dir, listed).await?;
        }
        for _ in 0..STORE_POLLS_MAX {
            let feeds = api.json(Method::GET, &["api", "v1", "feeds"], &[], None).await?;
            let mut feeds = feeds["feeds"].as_array().into_iter().flatten();
            if feeds.all(|feed| feed["in_force_here"].as_u64() > Some(0)) {
                break;
            }
            tokio::time::sleep(STORE_POLL).await;
        }
        Ok(())
    })
}

/// Makes a link, then the feed that lists its target: no link is made to what is listed already.
async fn make_listed(api: &Api, data_dir: &Path, listed: &Listed) -> anyhow::Result<()> {
    let Listed { feed, list, name, order_number, tier, code } = listed;
    if there(api, "feeds", feed).await {
        return Ok(());
    }
    let link = json!({ "target": format!("https://{name}/"), "code": code, "owner": "demo" });
    make_one(api, "links", code, &link).await?;
    let source = std::path::absolute(data_dir.join("demo").join(list))?;
    let body = json!({
        "name": feed,
        "source": source,
        "format": "domains",
        "authority": "demo",
        "order_number": order_number,
        "tier": tier,
        "ede": { "code": 16, "text": "" },
    });
    make_one(api, "feeds", feed, &body).await
}

/// Makes what is not there.
async fn make_one(api: &Api, what: &str, name: &str, body: &Value) -> anyhow::Result<()> {
    if !there(api, what, name).await {
        api.send(Method::POST, &["api", "v1", what], &[], Some(body)).await?;
    }
    Ok(())
}

async fn there(api: &Api, what: &str, name: &str) -> bool {
    api.send(Method::GET, &["api", "v1", what, name], &[], None).await.is_ok()
}

/// How we were called, for the lines to try.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_default();
    if name.is_empty() { "tracegate".into() } else { name }
}

/// One word of a shell's line.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        for word in ["tracegate", "./target/release/tracegate", "/a b/$c", "it's", ""] {
            let line = format!("printf %s {}", quoted(word));
            let echo = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(echo.stdout).unwrap(), word);
        }
    }
}
