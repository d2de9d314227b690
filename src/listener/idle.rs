//! Which connection has been idle for longest: the one that makes way when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The idle connections in the order in which they became idle.
///
/// Without it whoever opens `tcp_connections_max` connections and says nothing keeps everybody else
/// out for the idle timeout; with it they keep each other out (RFC 7766 §6.1, §10).
#[derive(Clone, Default)]
pub(super) struct IdleQueue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

/// One connection's place in the queue; given up when dropped.
pub(super) struct Idle {
    queue: IdleQueue,
    place: u64,
}

impl IdleQueue {
    /// Puts a connection last; cancelling `make_way` ends it.
    pub(super) fn enter(&self, make_way: &CancellationToken) -> Idle {
        let place = self.with(|w| {
            w.next += 1;
            w.connections.insert(w.next, make_way.clone());
            w.next
        });
        Idle { queue: self.clone(), place }
    }

    /// Tells the first to make way; false where none is idle.
    pub(super) fn evict(&self) -> bool {
        let first = self.with(|w| w.connections.pop_first());
        if let Some((_, make_way)) = &first {
            make_way.cancel();
        }
        first.is_some()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Waiting) -> T) -> T {
        // Nothing in there panics half-way.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.queue.with(|w| w.connections.remove(&self.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_goes_first() {
        let queue = IdleQueue::default();
        let tokens: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
        let mut places: Vec<_> = tokens.iter().map(|t| queue.enter(t)).collect();
        // The first was busy meanwhile.
        drop(places.remove(0));
        places.push(queue.enter(&tokens[0]));

        let gone = || tokens.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        assert!(queue.evict());
        assert_eq!(gone(), [false, true, false]);
        assert!(queue.evict());
        assert_eq!(gone(), [false, true, true]);
        drop(places);
        assert!(!queue.evict());
        assert_eq!(gone(), [false, true, true]);
    }
}
