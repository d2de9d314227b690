//! Lists that a person gives instead of the source, over a source that says nothing where it has
//! only what is here already, as primaries of zones do.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use serde_json::json;
use tracegate::feeds::{
    Outcome, Took,
    source::{Ask, Brought, Looked, Source, SourceError},
};

use crate::feeds_lab::{Machine, Node, by};

/// A source with this list.
#[derive(Default)]
struct Zone(Mutex<String>);

impl Zone {
    fn has(&self, text: &str) {
        *self.0.lock().unwrap() = text.to_owned();
    }
}

impl Source for Zone {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        let text = self.0.lock().unwrap().clone();
        Box::pin(async move {
            if ask.last.is_some_and(|last| fs::read_to_string(last).unwrap() == text) {
                return Ok(Looked::SAME);
            }
            let mut incoming =
                tracegate::feeds::source::Incoming::create(ask.incoming, ask.bytes_max)?;
            incoming.push(text.as_bytes())?;
            let brought = Brought {
                list: incoming.finish()?,
                manifest: None,
                from: ask.spec.source.to_string(),
                signer: String::new(),
                validator: String::new(),
            };
            Ok(Looked { brought: Some(brought), ..Looked::SAME })
        })
    }
}

fn machine(text: &str) -> (Machine, Arc<Zone>) {
    let zone = Arc::new(Zone::default());
    zone.has(text);
    let mut machine = Machine::new();
    machine.source = Some(Arc::clone(&zone) as Arc<dyn Source>);
    (machine, zone)
}

fn give(node: &Node, text: &str) -> Outcome {
    let mut incoming = node.feeds.receive().unwrap();
    incoming.push(text.as_bytes()).unwrap();
    let given = Brought {
        list: incoming.finish().unwrap(),
        manifest: None,
        from: "by hand".into(),
        signer: String::new(),
        validator: String::new(),
    };
    node.runtime.block_on(node.feeds.apply("bureau", given, &by("bob"))).unwrap()
}

#[test]
fn a_list_given_by_hand_stays_until_the_source_has_something_new() {
    let (machine, zone) = machine("old.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").version, 1);
    assert_eq!(give(&node, "given.example\n").version, 2);
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    assert!(node.blocks("given.example"));
    spec["contact"] = json!(["mailto:desk@example.org"]);
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged, "it would be read the same");
    spec["authority"] = json!("police");
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().version, 3, "the given one, judged anew");
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    assert!(node.blocks("given.example") && !node.blocks("old.example"));
    zone.has("new.example\n");
    assert_eq!(node.refresh("bureau").version, 4);
    assert!(node.blocks("new.example") && !node.blocks("given.example"));
    zone.has("old.example\n");
    assert_eq!(node.refresh("bureau").version, 5, "what it had before is new again");
}

#[test]
fn a_list_is_asked_for_again_when_it_is_read_by_other_settings() {
    let (machine, _zone) = machine("bad.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").version, 1);
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    spec["options"] = json!({"encoding": "utf-8"});
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert_eq!(node.refresh("bureau").version, 2);
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
}

#[test]
fn a_dry_run_tells_of_what_waits_where_the_source_has_nothing_else() {
    let many = |n: usize| (0..n).map(|i| format!("n{i}.example\n")).collect::<String>();
    let (machine, zone) = machine(&many(100));
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    let dry = || node.runtime.block_on(node.feeds.dry_run("bureau", None)).unwrap();
    node.refresh("bureau");
    let unchanged = dry();
    assert_eq!((unchanged.outcome, unchanged.dry_run), (Took::Unchanged, true));
    zone.has(&many(10));
    assert_eq!(node.refresh("bureau").outcome, Took::Held);
    let held = dry();
    assert_eq!((held.outcome, held.dry_run, held.version), (Took::Held, true, 0));
    assert_eq!(held.findings["held_for"][0]["why"], "shrunk");
    assert_eq!(held.changes.map(|c| c.removed), Some(90));
    node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    assert_eq!(dry().outcome, Took::Unchanged);
}

#[test]
fn other_settings_alone_do_not_bring_back_what_was_rolled_back() {
    let (machine, zone) = machine("good.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    node.refresh("bureau");
    zone.has("wrong.example\n");
    assert_eq!(node.refresh("bureau").version, 2);
    node.with(|f| f.rollback("bureau", None, &by("bob"))).unwrap();
    spec["authority"] = json!("police");
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().version, 3, "the list put back");
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    spec["options"] = json!({"encoding": "utf-8"});
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    let held = node.refresh("bureau");
    assert_eq!((held.outcome, held.version), (Took::Held, 4));
    assert_eq!(held.findings["held_for"], json!([{"why": "rolled-back", "version": 2}]));
    assert!(node.blocks("good.example") && !node.blocks("wrong.example"));
    node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    assert!(node.blocks("wrong.example"));
}
