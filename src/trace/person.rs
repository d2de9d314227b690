//! Who reported something or appealed: kept beside control state, looked at as records are.

use super::{
    Error, Look, Sight, Tracer,
    access::{Asked, Begun},
};

impl Tracer {
    /// What `read` says of the person behind a report or an appeal, by its kind and its number,
    /// recorded before it is returned.
    ///
    /// # Errors
    /// Whatever the role, or a missing case number or purpose, forbids, recorded too; and what
    /// `read` says.
    pub async fn person<E: From<Error>, W: Future<Output = Result<Vec<u8>, E>>>(
        &self,
        look: &Look,
        (kind, text): (&str, &str),
        read: impl FnOnce() -> W,
    ) -> Result<Vec<u8>, E> {
        let asked = Asked { text, kind: Some(kind), from: None, to: None, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        match look.sight() {
            Ok(Sight::Persons) => {}
            Ok(Sight::Things) => return Err(begun.unanswered(Error::Persons).await.into()),
            Err(e) => return Err(begun.unanswered(e).await.into()),
        }
        match read().await {
            Ok(page) => self.finish(begun, Ok((page, 1))).await.map_err(Into::into),
            Err(e) => {
                // Dropped without an end, the look is recorded as failed.
                drop(begun);
                Err(e)
            }
        }
    }
}
