//! When sources are looked at, and for how long: over a source that answers as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::json;
use tracegate::feeds::{
    Stage, Took,
    source::{Ask, Brought, Incoming, Looked, Source, SourceError},
};

use crate::{
    feeds_lab::{Machine, Node},
    harness::eventually,
};

/// What a source does when it is looked at.
#[derive(Clone, Copy)]
enum Does {
    /// Brings `bad.example`, each time anew.
    Brings,
    /// Has nothing new, once the gate is opened.
    Waits,
    /// Has nothing new, after a while.
    Slow(Duration),
    /// Is not there.
    Away,
    /// Wants to be left alone.
    Busy(Duration),
}

/// Sources by feed, and how often each was looked at.
#[derive(Default)]
struct Told {
    does: BTreeMap<&'static str, Does>,
    looks: Mutex<BTreeMap<String, usize>>,
    gate: tokio::sync::Notify,
}

impl Told {
    fn looks(&self, feed: &str) -> usize {
        self.looks.lock().unwrap().get(feed).copied().unwrap_or(0)
    }
}

impl Source for Told {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        *self.looks.lock().unwrap().entry(ask.spec.name.clone()).or_default() += 1;
        Box::pin(async move {
            match self.does[ask.spec.name.as_str()] {
                Does::Brings => {
                    let mut incoming = Incoming::create(ask.incoming, ask.bytes_max)?;
                    incoming.push(b"bad.example\n")?;
                    let brought = Brought {
                        list: incoming.finish()?,
                        manifest: None,
                        from: ask.spec.source.to_string(),
                        signer: String::new(),
                        validator: String::new(),
                    };
                    Ok(Looked { brought: Some(brought), ..Looked::SAME })
                }
                Does::Waits => {
                    ask.meter.begin(1_000);
                    ask.meter.add(250);
                    self.gate.notified().await;
                    Ok(Looked::SAME)
                }
                Does::Slow(time) => {
                    tokio::time::sleep(time).await;
                    Ok(Looked::SAME)
                }
                Does::Away => Err(SourceError::Away("no connection".into())),
                Does::Busy(after) => Err(SourceError::Busy("503".into(), after)),
            }
        })
    }
}

/// A machine whose feeds come from these.
fn machine(does: &[(&'static str, Does)]) -> (Machine, Arc<Told>) {
    let told = Arc::new(Told { does: does.iter().copied().collect(), ..Told::default() });
    let mut machine = Machine::new();
    machine.source = Some(Arc::clone(&told) as Arc<dyn Source>);
    (machine, told)
}

fn add(node: &Node, name: &str, source: &str) {
    node.add(&json!({"name": name, "source": source, "format": "domains"}));
}

#[test]
fn whoever_adds_a_feed_waits_for_its_first_look_and_begins_no_other() {
    let (machine, told) = machine(&[("it", Does::Brings)]);
    let node = machine.node("n1");
    node.run();
    add(&node, "it", "https://lists.example.com/a");
    let first = || node.runtime.block_on(node.feeds.first_look("it")).unwrap();
    assert_eq!(first().outcome, Took::InForce);
    assert!(node.blocks("bad.example"));
    assert_eq!(first().outcome, Took::InForce, "also when it is over");
    assert_eq!(told.looks("it"), 1);
    // Other settings, another first look.
    let spec = json!({"name": "it", "source": "https://lists.example.com/b", "format": "domains"});
    node.with(|f| f.change("it", &spec.to_string(), &crate::feeds_lab::by("alice"))).unwrap();
    assert_eq!(first().outcome, Took::Unchanged);
    assert_eq!(told.looks("it"), 2);
    assert!(node.runtime.block_on(node.feeds.first_look("other")).is_err());
    node.end();
}

#[test]
fn whoever_waits_sees_how_far_it_is() {
    let (machine, told) = machine(&[("it", Does::Waits)]);
    let node = machine.node("n1");
    node.run();
    let status = || node.feeds.status("it").unwrap();
    add(&node, "it", "https://lists.example.com/a");
    let done = eventually("a part of it is there", || {
        status().progress.filter(|done| done.bytes > 0 && status().work == Some(Stage::Fetching))
    });
    assert_eq!((done.bytes, done.bytes_total, done.rules), (250, Some(1_000), 0));
    told.gate.notify_one();
    node.runtime.block_on(node.feeds.first_look("it")).unwrap();
    assert_eq!((status().work, status().progress), (None, None));
    node.end();
}

#[test]
fn a_source_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let busy = Does::Busy(Duration::from_secs(1_000));
    let (mut machine, told) = machine(&[("busy", busy), ("away", Does::Away)]);
    // Both would be asked again after a second.
    (machine.config.refresh_s_min, machine.config.refresh_s) = (1, 1);
    let node = machine.node("n1");
    node.run();
    add(&node, "busy", "https://lists.example.com/a");
    node.runtime.block_on(node.feeds.first_look("busy")).unwrap();
    add(&node, "away", "https://lists.example.com/b");
    eventually("the other is asked again", || (told.looks("away") == 3).then_some(()));
    assert_eq!(told.looks("busy"), 1);
    node.end();
}

#[test]
fn files_and_zones_each_have_a_limit_of_their_own() {
    let slow = Does::Slow(Duration::from_millis(300));
    let (mut machine, _) = machine(&[("file", slow), ("zone", slow)]);
    machine.config.fetch_timeout_ms = 50;
    let node = machine.node("n1");
    add(&node, "file", "https://lists.example.com/a");
    node.add(&json!({"name": "zone", "source": "axfr://192.0.2.1/zone.example", "format": "rpz"}));
    let late = node.refresh("file");
    assert_eq!(late.outcome, Took::Failed);
    assert!(late.problem.unwrap().contains("nothing came within"));
    assert_eq!(node.refresh("zone").outcome, Took::Unchanged);
    node.end();
    machine.config.transfer.transfer_timeout_ms = 1;
    let node = machine.node("n1");
    assert_eq!(node.refresh("zone").outcome, Took::Failed);
    node.end();
}
