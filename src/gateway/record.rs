//! Writing the records of many requests at once, before any of them is answered.
//!
//! The first request of a turn leads: it lets every other request that is ready push its rows,
//! then commits once for all. Whoever pushed meanwhile waits for that commit's outcome.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tokio::sync::Notify;

use crate::{
    config::FullPolicy,
    record::{Flow, Jump, Resolution},
    spool::{self, Commit, Lane},
};

/// The lanes of one worker.
#[derive(Debug)]
pub struct Lanes {
    /// For jumps.
    pub jumps: Lane,
    /// For the questions that jumps cause.
    pub resolutions: Lane,
}

/// The lanes, shared by the requests of one thread.
pub(super) struct Recorder {
    lanes: RefCell<Lanes>,
    round: RefCell<Rc<Round>>,
}

/// One commit and who waits for it.
#[derive(Default)]
struct Round {
    led: Cell<bool>,
    outcome: Cell<Option<Outcome>>,
    done: Notify,
}

#[derive(Clone, Copy)]
struct Outcome {
    jumps: Commit,
    resolutions: Commit,
}

impl Outcome {
    /// Whether a jump may be answered that was pushed with `full`, and what it caused with
    /// `caused`; none where it caused nothing, and then others' questions do not stop it.
    fn lets(self, full: FullPolicy, caused: Option<FullPolicy>) -> bool {
        let kept = |commit, full| match commit {
            Commit::Kept => true,
            Commit::Shed => full == FullPolicy::Shed,
            Commit::Refused => false,
        };
        kept(self.jumps, full) && caused.is_none_or(|full| kept(self.resolutions, full))
    }
}

impl Recorder {
    pub(super) fn new(lanes: Lanes) -> Self {
        Self { lanes: RefCell::new(lanes), round: RefCell::default() }
    }

    pub(super) fn new_flow(&self) -> Flow {
        self.lanes.borrow_mut().jumps.new_flow()
    }

    /// Keeps a jump and the questions it caused, each under its own policy; whether it may be
    /// answered.
    pub(super) async fn keep(
        &self,
        jump: &Jump<'_>,
        full: FullPolicy,
        caused: impl Iterator<Item = (Resolution<'_>, FullPolicy)>,
    ) -> bool {
        let mut strictest = None;
        {
            let mut lanes = self.lanes.borrow_mut();
            for (resolution, full) in caused {
                lanes.resolutions.push(&resolution, full);
                if strictest != Some(FullPolicy::Refuse) {
                    strictest = Some(full);
                }
            }
            lanes.jumps.push(jump, full);
        }
        let round = Rc::clone(&self.round.borrow());
        if round.led.replace(true) {
            let done = round.done.notified();
            if round.outcome.get().is_none() {
                done.await;
            }
        } else {
            let lead = Lead(self);
            tokio::task::yield_now().await;
            drop(lead);
        }
        round.outcome.get().is_some_and(|o| o.lets(full, strictest))
    }

    fn commit(&self) {
        let round = self.round.take();
        let mut lanes = self.lanes.borrow_mut();
        // What a jump caused is kept before the jump that refers to it.
        let resolutions = lanes.resolutions.commit();
        let jumps = lanes.jumps.commit();
        drop(lanes);
        round.outcome.set(Some(Outcome { jumps, resolutions }));
        round.done.notify_waiters();
    }

    /// To be called a few times a second: frames close by age.
    pub(super) fn tick(&self) {
        let mut lanes = self.lanes.borrow_mut();
        lanes.jumps.tick();
        lanes.resolutions.tick();
    }

    /// Ends the lanes.
    pub(super) fn close(self) -> Result<(), spool::Error> {
        let Lanes { jumps, resolutions } = self.lanes.into_inner();
        jumps.close().and(resolutions.close())
    }
}

/// Commits when dropped: also when the leader's connection ends while it waits, because others
/// count on it.
struct Lead<'a>(&'a Recorder);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.commit();
    }
}
