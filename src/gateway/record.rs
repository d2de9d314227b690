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
    record::{Flow, Jump, Notice, Resolution},
    spool::{self, Commit, Lane},
};

/// The lanes of one worker.
#[derive(Debug)]
pub struct Lanes {
    /// For jumps.
    pub jumps: Lane,
    /// For the questions that jumps cause.
    pub resolutions: Lane,
    /// For notices.
    pub notices: Lane,
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
    notices: Commit,
}

/// Under what a request's rows were pushed; none for rows that it has not, and then others' rows do
/// not stop it. Notices are always refused.
#[derive(Clone, Copy, Default)]
#[must_use = "no response may leave before it is committed"]
pub(super) struct Pushed {
    jump: Option<FullPolicy>,
    caused: Option<FullPolicy>,
    noticed: bool,
}

impl Outcome {
    /// Whether a request with these rows may be answered.
    fn lets(self, pushed: Pushed) -> bool {
        let kept = |commit, full: Option<FullPolicy>| match (commit, full) {
            (_, None) | (Commit::Kept, _) => true,
            (Commit::Shed, Some(full)) => full == FullPolicy::Shed,
            (Commit::Refused, _) => false,
        };
        let noticed = pushed.noticed.then_some(FullPolicy::Refuse);
        kept(self.jumps, pushed.jump)
            && kept(self.resolutions, pushed.caused)
            && kept(self.notices, noticed)
    }
}

impl Recorder {
    pub(super) fn new(lanes: Lanes) -> Self {
        Self { lanes: RefCell::new(lanes), round: RefCell::default() }
    }

    pub(super) fn new_flow(&self) -> Flow {
        self.lanes.borrow_mut().jumps.new_flow()
    }

    /// Pushes a jump, the notices that belong to it and the questions it caused, each under its own
    /// policy, to be [`Self::committed`]. Apart from that, so that a request that waits holds none
    /// of them.
    pub(super) fn push<'n, 'c>(
        &self,
        jump: &Jump<'_>,
        full: FullPolicy,
        notices: impl Iterator<Item = Notice<'n>>,
        caused: impl Iterator<Item = (Resolution<'c>, FullPolicy)>,
    ) -> Pushed {
        let mut pushed = Pushed { jump: Some(full), ..Pushed::default() };
        let mut lanes = self.lanes.borrow_mut();
        for (resolution, full) in caused {
            lanes.resolutions.push(&resolution, full);
            if pushed.caused != Some(FullPolicy::Refuse) {
                pushed.caused = Some(full);
            }
        }
        for notice in notices {
            lanes.notices.push(&notice, FullPolicy::Refuse);
            pushed.noticed = true;
        }
        lanes.jumps.push(jump, full);
        pushed
    }

    /// Keeps an event of a notice that is no jump; whether it may be answered.
    pub(super) async fn keep_notice(&self, notice: &Notice<'_>) -> bool {
        self.lanes.borrow_mut().notices.push(notice, FullPolicy::Refuse);
        self.committed(Pushed { noticed: true, ..Pushed::default() }).await
    }

    /// Waits until what was pushed is written; whether the request may be answered.
    pub(super) async fn committed(&self, pushed: Pushed) -> bool {
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
        round.outcome.get().is_some_and(|o| o.lets(pushed))
    }

    fn commit(&self) {
        let round = self.round.take();
        let mut lanes = self.lanes.borrow_mut();
        // What a jump caused is kept before the jump that refers to it.
        let resolutions = lanes.resolutions.commit();
        let notices = lanes.notices.commit();
        let jumps = lanes.jumps.commit();
        drop(lanes);
        round.outcome.set(Some(Outcome { jumps, resolutions, notices }));
        round.done.notify_waiters();
    }

    /// To be called a few times a second: frames close by age.
    pub(super) fn tick(&self) {
        let mut lanes = self.lanes.borrow_mut();
        lanes.jumps.tick();
        lanes.resolutions.tick();
        lanes.notices.tick();
    }

    /// Ends the lanes.
    pub(super) fn close(self) -> Result<(), spool::Error> {
        let Lanes { jumps, resolutions, notices } = self.lanes.into_inner();
        let ended = [jumps.close(), resolutions.close(), notices.close()];
        ended.into_iter().collect()
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
