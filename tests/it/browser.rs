//! A headless browser, driven through its debugging pipe (Chrome DevTools Protocol).

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{DEADLINE, eventually};

/// What the browser calls itself: a person's, so that what it does counts as one's.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36";

/// A browser with one page, which runs no scripts.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// Events that nobody waited for yet.
    events: Vec<String>,
    session: Option<String>,
    next: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts one that resolves names as `rules` say (`MAP host address`).
    pub(crate) fn start(rules: &str) -> Self {
        let found = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];
        let found = found.into_iter().find(|p| PathBuf::from(p).exists());
        let binary = found.expect("no headless browser: run scripts/test-deps");
        let profile = tempfile::tempdir().unwrap();
        // The pipe is on descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", binary])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules={rules}"))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (say, from) = channel();
        let mut read = BufReader::new(child.stdout.take().unwrap());
        // Ends with the pipe.
        thread::spawn(move || {
            let mut message = Vec::new();
            while read.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if say.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let to = child.stdin.take().unwrap();
        let (events, session) = (Vec::new(), None);
        let mut new = Self { child, to, from, events, session, next: 0, _profile: profile };
        let target = new.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = new.call("Target.attachToTarget", attach);
        new.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        new.call("Page.enable", json!({}));
        new.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        new.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        new
    }

    /// The language asked for, and whether the page is dark and how wide.
    pub(crate) fn look(&mut self, language: &str, scheme: &str, width: u32) {
        let agent = json!({ "userAgent": AGENT, "acceptLanguage": language });
        self.call("Emulation.setUserAgentOverride", agent);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.events.clear();
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(opened["errorText"], Value::Null, "{url}: {opened}");
        self.loaded();
    }

    /// Presses a key so many times, by the keyboard alone.
    pub(crate) fn press(&mut self, key: &str, times: usize) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "ArrowDown" => (40, ""),
            _ => (9, ""),
        };
        for _ in 0..times {
            for kind in ["keyDown", "keyUp"] {
                let mut event =
                    json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
                if kind == "keyDown" && !text.is_empty() {
                    event["text"] = text.into();
                }
                self.call("Input.dispatchKeyEvent", event);
            }
        }
    }

    /// Goes to what has the focus after so many tabs, and waits for where it leads.
    pub(crate) fn choose(&mut self, tabs: usize) {
        self.press("Tab", tabs);
        self.events.clear();
        self.press("Enter", 1);
        self.loaded();
    }

    /// Types into what has the focus.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Types over what the field that has the focus holds.
    pub(crate) fn replace(&mut self, text: &str) {
        let all = json!({ "type": "keyDown", "key": "a", "code": "KeyA", "modifiers": 2,
            "windowsVirtualKeyCode": 65, "commands": ["selectAll"] });
        self.call("Input.dispatchKeyEvent", all);
        let up = json!({ "type": "keyUp", "key": "a", "code": "KeyA", "modifiers": 2,
            "windowsVirtualKeyCode": 65 });
        self.call("Input.dispatchKeyEvent", up);
        self.write(text);
    }

    /// What assistive technology is told of the field that has the focus: its role, its name, what
    /// describes it, and whether it is said to be wrong. A page gives the focus away once it is
    /// drawn, which may be after it is loaded.
    pub(crate) fn focused(&mut self) -> (String, String, String, bool) {
        let property = |node: &Value, name: &str| {
            let mut all = node["properties"].as_array().into_iter().flatten();
            all.find(|p| p["name"] == name).map(|p| p["value"]["value"].clone()).unwrap_or_default()
        };
        let node = eventually("something has the focus", || {
            let tree = self.call("Accessibility.getFullAXTree", json!({}));
            let mut nodes = tree["nodes"].as_array().unwrap().iter();
            let root = |n: &Value| n["role"]["value"] == "RootWebArea";
            nodes.find(|n| !root(n) && property(n, "focused") == Value::Bool(true)).cloned()
        });
        let text = |name: &str| node[name]["value"].as_str().unwrap_or_default().to_owned();
        let wrong = property(&node, "invalid") == "true";
        (text("role"), text("name"), text("description"), wrong)
    }

    /// How wide the page is laid out, in CSS pixels.
    pub(crate) fn width(&mut self) -> f64 {
        let metrics = self.call("Page.getLayoutMetrics", json!({}));
        metrics["cssContentSize"]["width"].as_f64().unwrap()
    }

    /// Presses Enter and waits for where it leads.
    pub(crate) fn enter(&mut self) {
        self.events.clear();
        self.press("Enter", 1);
        self.loaded();
    }

    pub(crate) fn loaded(&mut self) {
        loop {
            if let Some(at) = self.events.iter().position(|e| e == "Page.loadEventFired") {
                self.events.remove(at);
                return;
            }
            let message = self.from.recv_timeout(DEADLINE).expect("the page did not load");
            self.events.extend(message["method"].as_str().map(str::to_owned));
        }
    }

    /// The address of the page.
    pub(crate) fn address(&mut self) -> String {
        let history = self.call("Page.getNavigationHistory", json!({}));
        let at = usize::try_from(history["currentIndex"].as_u64().unwrap()).unwrap();
        history["entries"][at]["url"].as_str().unwrap().to_owned()
    }

    /// The page as it is laid out.
    pub(crate) fn html(&mut self) -> String {
        let document = self.call("DOM.getDocument", json!({ "depth": 0 }));
        let node = json!({ "nodeId": document["root"]["nodeId"] });
        self.call("DOM.getOuterHTML", node)["outerHTML"].as_str().unwrap().to_owned()
    }

    /// What assistive technology is told: roles with names.
    pub(crate) fn spoken(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|n| n["ignored"] != true);
        let text = |v: &Value| v["value"].as_str().unwrap_or_default().to_owned();
        nodes.map(|n| (text(&n["role"]), text(&n["name"]))).collect()
    }

    /// Keeps a picture of the whole page in `target/screenshots`.
    pub(crate) fn picture(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": false }));
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
        std::fs::create_dir_all(&dir).unwrap();
        let png = decode(shot["data"].as_str().unwrap());
        assert!(png.starts_with(b"\x89PNG"), "no picture");
        std::fs::write(dir.join(format!("{name}.png")), png).unwrap();
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let message = self.from.recv_timeout(DEADLINE).expect("the browser does not answer");
            if message["id"] == self.next {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
            self.events.extend(message["method"].as_str().map(str::to_owned));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Base64 (RFC 4648 §4).
fn decode(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => u32::from(b - b'A'),
        b'a'..=b'z' => u32::from(b - b'a') + 26,
        b'0'..=b'9' => u32::from(b - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().enumerate().fold(0, |n, (i, b)| n | (value(*b) << (18 - 6 * i)));
        out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}
