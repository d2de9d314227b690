//! Group commit: whoever writes at once shares a transaction.
//!
//! A transaction costs its round trips and its fsync, however many revisions it holds. Those who
//! come while one is being written wait; then the first of them writes for all of them, in the
//! order in which they came. Nobody waits for company, so one caller alone loses nothing.
//!
//! **Failure.** What ends a transaction of many is tried again for each alone, unless it is the
//! database or the spool that fails: nobody is refused for what another asked.

use std::{
    collections::VecDeque,
    iter, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Error, Revision, keep::room};
use crate::record::{Flow, RecordId};

/// The most revisions in one transaction.
pub(super) const ROWS_MAX: usize = 500;

/// Revisions that one caller wants written together.
pub(super) struct Batch {
    pub(super) revisions: Vec<Revision>,
    /// What each changed, as it was before; none for those that are first.
    pub(super) previous: Vec<String>,
    pub(super) client: SocketAddr,
    pub(super) flow: Flow,
}

/// What the record of a revision says besides the revision.
pub(super) struct Beside {
    /// What it changed, as it was before; empty for a first one.
    pub(super) previous: String,
    pub(super) client: SocketAddr,
    pub(super) flow: Flow,
}

/// What became of each revision of a batch, or of all of them.
pub(super) type Outcome = Result<Vec<Result<RecordId, Error>>, Error>;

/// Those who want to write.
#[derive(Default)]
pub(super) struct Group {
    waiting: Mutex<VecDeque<Arc<Place>>>,
    /// Held by whoever writes.
    writing: Mutex<()>,
}

/// One who waits.
struct Place {
    rows: usize,
    bytes: usize,
    state: Mutex<State>,
}

enum State {
    Waiting(Batch),
    Taken,
    Done(Outcome),
}

impl Group {
    /// Has `batch` written by `write`, which takes the revisions of one transaction, with what
    /// their records say besides, in which others may share: by this caller or by one who wrote
    /// before.
    pub(super) fn write(
        &self,
        batch: Batch,
        bytes_max: usize,
        write: impl Fn(&[Revision], &[Beside]) -> Outcome,
    ) -> Outcome {
        let bytes = batch.revisions.iter().map(room).sum();
        let rows = batch.revisions.len();
        let mine = Arc::new(Place { rows, bytes, state: Mutex::new(State::Waiting(batch)) });
        locked(&self.waiting).push_back(Arc::clone(&mine));
        let _writing = locked(&self.writing);
        loop {
            let mut state = locked(&mine.state);
            match mem::replace(&mut *state, State::Taken) {
                State::Done(outcome) => return outcome,
                // Whoever took it ended in the middle.
                State::Taken => return Err(Error::Failed),
                waiting => *state = waiting,
            }
            drop(state);
            let taken = self.next(bytes_max).into_iter().filter_map(|p| Some((p.take()?, p)));
            let (batches, places): (Vec<Batch>, Vec<Arc<Place>>) = taken.unzip();
            for (place, outcome) in places.iter().zip(together(batches, &write)) {
                *locked(&place.state) = State::Done(outcome);
            }
        }
    }

    /// Those who came first, as many as fit into one transaction, and at least one.
    fn next(&self, bytes_max: usize) -> Vec<Arc<Place>> {
        let mut waiting = locked(&self.waiting);
        let (mut rows, mut bytes) = (0, 0);
        let fit = waiting.iter().take_while(|place| {
            rows += place.rows;
            bytes += place.bytes;
            rows <= ROWS_MAX && bytes <= bytes_max
        });
        let fit = fit.count().max(1).min(waiting.len());
        waiting.drain(..fit).collect()
    }
}

impl Place {
    fn take(&self) -> Option<Batch> {
        match mem::replace(&mut *locked(&self.state), State::Taken) {
            State::Waiting(batch) => Some(batch),
            _ => None,
        }
    }
}

/// Writes batches in one transaction, or, where one of them may be the reason why that fails, each
/// in its own.
fn together(
    batches: Vec<Batch>,
    write: &impl Fn(&[Revision], &[Beside]) -> Outcome,
) -> Vec<Outcome> {
    let sizes: Vec<usize> = batches.iter().map(|b| b.revisions.len()).collect();
    let (mut revisions, mut beside) = (Vec::new(), Vec::new());
    for Batch { revisions: of_it, previous, client, flow } in batches {
        let previous = previous.into_iter().chain(iter::repeat(String::new()));
        beside.extend(of_it.iter().zip(previous).map(|(_, previous)| Beside {
            previous,
            client,
            flow,
        }));
        revisions.extend(of_it);
    }
    match write(&revisions, &beside) {
        Ok(results) => {
            let mut rest = results.into_iter();
            sizes.iter().map(|size| Ok(rest.by_ref().take(*size).collect())).collect()
        }
        Err(e) if sizes.len() > 1 && may_be_of_one(&e) => {
            let mut at = 0;
            let alone = sizes.iter().map(|size| {
                let range = at..at + size;
                at = range.end;
                write(&revisions[range.clone()], &beside[range])
            });
            alone.collect()
        }
        Err(e) => {
            let mut outcomes: Vec<Outcome> = sizes.iter().skip(1).map(|_| Err(again(&e))).collect();
            outcomes.push(Err(e));
            outcomes
        }
    }
}

/// Whether a transaction of many may have failed for what one of them is: all but a database or a
/// spool that fails whatever is asked of it, and what stands already.
const fn may_be_of_one(e: &Error) -> bool {
    !matches!(e, Error::Away(_) | Error::Failed | Error::Unshown)
}

/// The same failure for one more.
fn again(e: &Error) -> Error {
    match e {
        Error::Away(why) => Error::Away(why.clone()),
        Error::Unshown => Error::Unshown,
        _ => Error::Failed,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::mpsc,
        thread::{self, yield_now},
    };

    use super::*;
    use crate::{
        clock::Timestamp,
        links::{LinkSettings, Operation, State as LinkState},
        record::{LaneId, NodeName},
    };

    /// A batch of one revision of `code`, from a port of its own.
    fn batch(code: u16) -> Batch {
        let revision = Revision {
            code: code.to_string(),
            revision: 1,
            ts: Timestamp::ZERO,
            operation: Operation::Create,
            target_submitted: String::new(),
            target: String::new(),
            target_host: String::new(),
            target_registrable_domain: String::new(),
            state: LinkState::Enabled,
            expires: Timestamp::ZERO,
            actor: String::new(),
            owner: String::new(),
            reason: String::new(),
            psl_version: String::new(),
            domain: String::new(),
            settings: LinkSettings::default(),
            request: String::new(),
        };
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, code));
        let previous = vec![code.to_string()];
        Batch { revisions: vec![revision], previous, client, flow: Flow(code.into()) }
    }

    /// Records whose place is the code, for revisions beside which stands what belongs to them.
    fn kept(revisions: &[Revision], beside: &[Beside]) -> Outcome {
        let node: NodeName = "n1".parse().expect("a name");
        let all = revisions.iter().zip(beside).map(|(r, b)| {
            let code: u16 = r.code.parse().expect("a number");
            assert_eq!((b.client.port(), b.flow), (code, Flow(code.into())));
            assert_eq!(b.previous, r.code);
            Ok(RecordId { node: node.clone(), lane: LaneId(1), seq: code.into() })
        });
        Ok(all.collect())
    }

    fn of_whom(outcome: Outcome) -> u64 {
        outcome.expect("written").pop().expect("one").expect("kept").seq
    }

    /// Has twenty come while a first one is being written by `write`: the sizes of what was
    /// written, and what became of each.
    fn twenty_come(
        write: impl Fn(&[Revision], &[Beside]) -> Outcome + Sync,
    ) -> (Vec<usize>, Vec<Outcome>) {
        let group = Group::default();
        let sizes = Mutex::new(Vec::new());
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let held_up = Mutex::new(Some((begun, may_go_on)));
        let write = |revisions: &[Revision], beside: &[Beside]| {
            locked(&sizes).push(revisions.len());
            if let Some((begun, may_go_on)) = locked(&held_up).take() {
                begun.send(()).expect("heard");
                may_go_on.recv().expect("told");
            }
            write(revisions, beside)
        };
        let outcomes = thread::scope(|scope| {
            let (write, group) = (&write, &group);
            let come = |code| scope.spawn(move || group.write(batch(code), 1 << 20, write));
            let mut all = vec![come(0)];
            has_begun.recv().expect("begun");
            all.extend((1..=20).map(come));
            while locked(&group.waiting).len() < 20 {
                yield_now();
            }
            go_on.send(()).expect("heard");
            all.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        (sizes.into_inner().expect("whole"), outcomes)
    }

    #[test]
    fn those_who_wait_are_written_together_and_each_hears_of_its_own() {
        let (sizes, outcomes) = twenty_come(kept);
        assert_eq!(sizes, [1, 20]);
        for (code, outcome) in (0..).zip(outcomes) {
            assert_eq!(of_whom(outcome), code);
        }
    }

    #[test]
    fn nobody_is_refused_for_what_another_asked() {
        let bad = |r: &Revision| r.code == "7";
        let (sizes, outcomes) = twenty_come(|revisions, beside| match revisions.iter().any(bad) {
            true => Err(Error::Full),
            false => kept(revisions, beside),
        });
        assert_eq!(sizes[..2], [1, 20]);
        assert_eq!(sizes[2..], [1; 20]);
        for (code, outcome) in (0..).zip(outcomes) {
            match code {
                7 => assert!(matches!(outcome, Err(Error::Full))),
                _ => assert_eq!(of_whom(outcome), code),
            }
        }
    }

    #[test]
    fn a_database_that_is_away_is_asked_once_for_all() {
        let away = |_: &[Revision], _: &[Beside]| Err(Error::Away("gone".into()));
        let (sizes, outcomes) = twenty_come(away);
        assert_eq!(sizes, [1, 20]);
        assert!(outcomes.iter().all(|o| matches!(o, Err(Error::Away(why)) if why == "gone")));
    }

    #[test]
    fn one_who_ends_in_the_middle_leaves_nobody_waiting() {
        let group = Group::default();
        thread::scope(|scope| {
            let (group, dies) = (&group, |_: &[Revision], _: &[Beside]| panic!("in the middle"));
            let writer = scope.spawn(move || group.write(batch(0), 1, dies));
            assert!(writer.join().is_err());
        });
        assert_eq!(of_whom(group.write(batch(7), 1, kept)), 7);
    }
}
