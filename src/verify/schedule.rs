//! Verifications without anybody waiting: what somebody wanted, and what is due again.
//!
//! What is wanted is taken into the queue of the [`Book`](super::book::Book), which outlives the
//! process, once in a while; from there it is verified, so many at a time, the longest due first.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{NotVerified, Occasion, Subject, Verifier, book::BookError};
use crate::clock::Timestamp;

impl Verifier {
    /// Works through the queue until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let pause = Duration::from_millis(self.schedule().poll_ms);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.round() => worked,
            };
            if let Err(error) = &worked {
                tracing::warn!(%error, "the queue of verifications cannot be worked through");
            }
            if !matches!(worked, Ok(true)) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// Takes in what is wanted, and verifies what is due; whether there was as much as is verified
    /// at a time.
    async fn round(&self) -> Result<bool, BookError> {
        let now = self.now();
        let mut wanted = self.verdicts().take_wanted();
        wanted.extend(self.zones_loaded().into_iter().map(|z| (z.into(), Occasion::Zone)));
        if !wanted.is_empty() {
            self.with_book(move |book| {
                for (host, occasion) in wanted {
                    match book.enqueue(&host, occasion, now) {
                        // Whoever is sent there next wants it again.
                        Err(BookError::Full) => break,
                        other => other?,
                    }
                }
                Ok(())
            })
            .await?;
        }
        let limit = self.schedule().concurrent_max;
        let due = self.with_book(move |book| book.due(now, limit)).await?;
        let is_full = due.len() as u64 >= u64::from(limit);
        let verified = due.into_iter().map(async |(subject, occasion)| {
            let missed = match Subject::parse(&subject) {
                Ok(parsed) => {
                    matches!(self.verify(&parsed, occasion).await, Err(NotVerified::Record(_)))
                }
                Err(_) => true,
            };
            if missed {
                self.with_book(move |book| book.missed(&subject, now)).await?;
            }
            Ok(())
        });
        join_all(verified).await.into_iter().collect::<Result<(), BookError>>()?;
        Ok(is_full)
    }

    /// When a subject with this verdict is verified again: before it may not be believed any more,
    /// and before its registration ends.
    pub(super) fn again(&self, valid_until: Timestamp, ends: Option<Timestamp>) -> Timestamp {
        let now = self.now();
        let most = now.saturating_add(Duration::from_secs(self.schedule().again_s));
        let week = Duration::from_secs(7 * 86_400);
        let before_end = ends.map_or(most, |end| end.saturating_sub(week));
        let least = now.saturating_add(Duration::from_secs(self.schedule().again_s_min));
        most.min(before_end).min(valid_until.max(least)).max(least)
    }
}
