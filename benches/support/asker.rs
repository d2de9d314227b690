//! Asks over UDP from a thread of its own, at a steady rate or as fast as answers come, and keeps
//! what became of every question: when it was sent, how long its answer took, and what it said.
//!
//! `dnsperf` sums up a whole run. Here a moment of it is asked about, and whether answers of one
//! moment agree.

use std::{
    collections::VecDeque,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracegate::name::Name;

/// How long the questions of one slice of time are together, in nanoseconds.
pub(crate) const SLICE_NS: u64 = 100_000_000;

/// A question without an answer after so long has none.
const PATIENCE_NS: u64 = 2_000_000_000;

/// Room for answers not yet read; the kernel lowers it to net.core.rmem_max.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// What is asked, and what the answer says of the version it is from.
pub(crate) struct Question {
    wire: Vec<u8>,
    kind: Kind,
}

/// What a name is in the lists: a version has a number below 8.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// In none of them.
    Free,
    /// In that of this version alone: it has an address elsewhere.
    Only(u8),
    /// In all of them, each with two addresses that end in its number.
    Each,
}

impl Question {
    /// The question for the address of `name`.
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        let mut wire = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        wire.extend_from_slice(Name::from_text(name).expect("a name").wire());
        wire.extend_from_slice(&[0, 1, 0, 1]);
        Self { wire, kind }
    }

    /// The versions that this answer can be from, as bits; none of them for what no version says.
    fn versions(&self, answer: &[u8]) -> u8 {
        let (rcode, records) = (answer[3] & 0xf, answer[7]);
        match (self.kind, rcode) {
            (Kind::Free, 0) if records > 0 => 0xff,
            (Kind::Only(version), 3) => 1 << version,
            (Kind::Only(version), 0) if records > 0 => !(1 << version),
            (Kind::Each, 0) if records == 2 => {
                // Two records of owner (a pointer), type, class, TTL, length and address.
                let last = |from: usize| answer.get(from + 15).copied().unwrap_or(0);
                let begin = self.wire.len();
                let [one, other] = [last(begin), last(begin + 16)];
                if one == other && one < 8 { 1 << one } else { 0 }
            }
            _ => 0,
        }
    }
}

/// The questions of one slice of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    /// Questions sent in it.
    pub(crate) sent: u64,
    /// Those of them without an answer.
    pub(crate) unanswered: u64,
    /// How long the answers to the others took, in microseconds.
    pub(crate) latencies: Vec<f32>,
}

/// What came of it all.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// By time, each [`SLICE_NS`] long.
    pub(crate) slices: Vec<Slice>,
    /// Answers that no version gives, and those of a version that was not in force.
    pub(crate) wrong: u64,
    /// The first of them, for people.
    pub(crate) examples: Vec<String>,
}

/// What the asker is told, and tells, while it asks.
#[derive(Default)]
pub(crate) struct Control {
    over: AtomicBool,
    paused: AtomicBool,
    /// Questions a second; 0 for as many as are answered.
    rate: AtomicU64,
    /// The version in force, and above it the one that is about to be; 0 for none.
    versions: AtomicU64,
    /// When the first answer of that came, in nanoseconds since the beginning; 0 for not yet.
    first: AtomicU64,
    /// Answers so far.
    answered: AtomicU64,
}

impl Control {
    /// Asks so many questions a second; 0 for as many as are answered.
    pub(crate) fn rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::SeqCst);
    }

    /// Stops asking for a while, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// `old` is in force, and nothing else.
    pub(crate) fn in_force(&self, old: u8) {
        self.versions.store(old.into(), Ordering::SeqCst);
    }

    /// From now on `new` may take the place of `old`. To be called before that can begin.
    pub(crate) fn swapping(&self, old: u8, new: u8) {
        self.first.store(0, Ordering::SeqCst);
        self.versions.store(u64::from(new) << 8 | u64::from(old), Ordering::SeqCst);
    }

    /// When the first answer of the new version came.
    pub(crate) fn first(&self) -> Option<u64> {
        Some(self.first.load(Ordering::SeqCst)).filter(|ns| *ns > 0)
    }

    /// Answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

/// A thread that asks.
pub(crate) struct Asker {
    /// What it is told.
    pub(crate) control: Arc<Control>,
    begin: Instant,
    thread: JoinHandle<Asked>,
}

impl Asker {
    /// Begins to ask the server on `port` these questions, paused. At most `outstanding` wait for
    /// their answers at once.
    pub(crate) fn start(port: u16, questions: Vec<Question>, outstanding: usize) -> Self {
        let control = Arc::new(Control::default());
        control.pause(true);
        let begin = Instant::now();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // After a pause answers come all at once: none may be lost on this side.
        let room = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        room.expect("room for answers");
        socket.connect(("127.0.0.1", port)).expect("loopback");
        socket.set_nonblocking(true).expect("a socket");
        let told = Arc::clone(&control);
        let mut asking = Asking {
            socket,
            questions,
            outstanding,
            begin,
            control: told,
            slots: vec![None; 1 << 16],
            waiting: VecDeque::new(),
            open: 0,
            count: 0,
            asked: Asked::default(),
        };
        let thread = thread::spawn(move || {
            asking.run();
            asking.asked
        });
        Self { control, begin, thread }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        ns_since(self.begin)
    }

    /// Ends it; waits for the last answers.
    pub(crate) fn finish(self) -> Asked {
        self.control.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("the asker")
    }
}

fn ns_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).expect("less than five hundred years")
}

struct Asking {
    socket: UdpSocket,
    questions: Vec<Question>,
    outstanding: usize,
    begin: Instant,
    control: Arc<Control>,
    /// By message id: when it was sent, and which question it is.
    slots: Vec<Option<(u64, usize)>>,
    /// Ids in the order of sending, answered or not.
    waiting: VecDeque<(u64, u16)>,
    /// How many wait for an answer.
    open: usize,
    count: u64,
    asked: Asked,
}

impl Asking {
    fn run(&mut self) {
        let mut since = (0, 0, 0);
        loop {
            let over = self.control.over.load(Ordering::SeqCst);
            let paused = self.control.paused.load(Ordering::SeqCst);
            if over && self.open == 0 {
                return;
            }
            let now = ns_since(self.begin);
            let rate = self.control.rate.load(Ordering::SeqCst);
            if since.0 != rate || paused {
                since = (rate, now, self.count);
            }
            let due = match rate {
                0 => 32,
                _ => {
                    (u128::from(now - since.1) * u128::from(rate) / 1_000_000_000) as u64
                        - (self.count - since.2)
                }
            };
            let sent = if over || paused { 0 } else { self.send(due.min(32)) };
            let received = self.receive();
            self.give_up();
            if sent + received == 0 {
                // There is one core for us and for whoever prepares the next version.
                if paused { thread::sleep(Duration::from_millis(1)) } else { thread::yield_now() }
            }
        }
    }

    fn send(&mut self, due: u64) -> u64 {
        let mut sent = 0;
        while sent < due && self.open < self.outstanding {
            let id = self.count as u16;
            if self.slots[usize::from(id)].is_some() {
                break;
            }
            // A step that meets every question, each time in another neighbourhood.
            let which = (self.count.wrapping_mul(7_919) % self.questions.len() as u64) as usize;
            let wire = &mut self.questions[which].wire;
            wire[..2].copy_from_slice(&id.to_be_bytes());
            let now = ns_since(self.begin);
            if self.socket.send(wire).is_err() {
                break;
            }
            self.slots[usize::from(id)] = Some((now, which));
            self.waiting.push_back((now, id));
            self.slice(now).sent += 1;
            (self.open, self.count, sent) = (self.open + 1, self.count + 1, sent + 1);
        }
        sent
    }

    fn receive(&mut self) -> u64 {
        let (mut received, mut answer) = (0, [0; 1_500]);
        while received < 64 {
            let Ok(len) = self.socket.recv(&mut answer) else { break };
            received += 1;
            if len < 12 {
                continue;
            }
            let id = u16::from_be_bytes([answer[0], answer[1]]);
            let Some((sent, which)) = self.slots[usize::from(id)] else { continue };
            // Under an id that came round again, the answer to somebody else's question.
            let question = &self.questions[which];
            if answer.get(12..question.wire.len()) != Some(&question.wire[12..]) {
                continue;
            }
            let versions = question.versions(&answer[..len]);
            self.slots[usize::from(id)] = None;
            self.open -= 1;
            let now = ns_since(self.begin);
            self.slice(sent).latencies.push((now - sent) as f32 / 1e3);
            self.judge(versions, (sent, now), which, &answer[..len]);
            self.control.answered.fetch_add(1, Ordering::SeqCst);
        }
        received
    }

    /// Whether the version that answered was in force: of two that take turns, the new one from
    /// the first of its answers on.
    fn judge(&mut self, versions: u8, at: (u64, u64), which: usize, answer: &[u8]) {
        let told = self.control.versions.load(Ordering::SeqCst);
        let (old, new) = (1_u8 << (told & 7), told >> 8);
        let new = if new == 0 { 0 } else { 1_u8 << new };
        let first = self.control.first.load(Ordering::SeqCst);
        let allowed = match (new, first) {
            (0, _) => old,
            (new, first) if first > 0 && at.0 >= first => new,
            (new, _) => old | new,
        };
        if versions & allowed == 0 {
            self.asked.wrong += 1;
            if self.asked.examples.len() < 5 {
                let wire = &self.questions[which].wire;
                let name = Name::from_wire(&wire[12..wire.len() - 4]);
                let name = name.map(|n| n.to_string()).unwrap_or_default();
                self.asked.examples.push(format!(
                    "{name}: flags {:02x}{:02x}, of versions {versions:08b}, in force {allowed:08b}",
                    answer[2], answer[3]
                ));
            }
        } else if versions & old == 0 && first == 0 {
            self.control.first.store(at.1, Ordering::SeqCst);
        }
    }

    /// Counts what has waited for too long.
    fn give_up(&mut self) {
        let now = ns_since(self.begin);
        while let Some((sent, id)) = self.waiting.front().copied() {
            let open = self.slots[usize::from(id)].is_some_and(|(at, _)| at == sent);
            if open && now - sent < PATIENCE_NS {
                break;
            }
            self.waiting.pop_front();
            if open {
                self.slots[usize::from(id)] = None;
                self.open -= 1;
                self.slice(sent).unanswered += 1;
            }
        }
    }

    fn slice(&mut self, at: u64) -> &mut Slice {
        let which = (at / SLICE_NS) as usize;
        if self.asked.slices.len() <= which {
            self.asked.slices.resize(which + 1, Slice::default());
        }
        &mut self.asked.slices[which]
    }
}
