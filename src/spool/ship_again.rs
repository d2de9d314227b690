//! The same frames in other shipments: what is missing after doubt, one by one, or lost by the store.

use super::{
    Error, Frame, Spool,
    index::FrameState,
    shipment::{Shipment, token},
};

impl Spool {
    /// The same frames in new shipments under new tokens: what is missing after doubt, or one
    /// frame each when the store refuses the whole. The old token is never used again.
    ///
    /// # Errors
    /// When the parts are not exactly the shipment's frames, or files cannot be written; the
    /// shipment is as it was then.
    pub fn split(
        &self,
        shipment: Shipment,
        parts: Vec<Vec<Frame>>,
    ) -> Result<Vec<Shipment>, Error> {
        let core = &self.core;
        let key = |f: &Frame| (f.lane, f.first_seq);
        let mut old: Vec<_> = shipment.frames.iter().map(key).collect();
        let mut new: Vec<_> = parts.iter().flatten().map(key).collect();
        old.sort_unstable();
        new.sort_unstable();
        if old != new
            || parts.iter().any(Vec::is_empty)
            || !core.index().pending.contains_key(&shipment.token)
        {
            return Err(Error::NotInState);
        }
        let mut made: Vec<Shipment> = Vec::with_capacity(parts.len());
        for frames in parts {
            let part = Shipment { token: token(&frames, Some(&shipment.token))?, frames };
            if let Err(e) = self.write_pending(&part, Some(&shipment.token)) {
                self.unmake(&made);
                return Err(e);
            }
            made.push(part);
        }
        let parent = self.pending_path(&shipment.token);
        if let Err(e) = core.disk.remove(&parent) {
            self.unmake(&made);
            return Err(Error::io("remove", &parent, e));
        }
        {
            let mut index = core.index();
            index.pending.remove(&shipment.token);
            for part in &made {
                index.pending.insert(part.token.clone(), part.frames.clone());
            }
        }
        self.sync_shipments();
        Ok(made)
    }

    /// Removes parts of a split that did not happen. One that stays means nothing while the parent
    /// is there.
    fn unmake(&self, parts: &[Shipment]) {
        for part in parts {
            self.core.disk.remove(&self.pending_path(&part.token)).unwrap_or_default();
        }
    }

    /// Acknowledged frames that the store turns out not to have are to be shipped again, in a new
    /// shipment under a new token.
    ///
    /// # Errors
    /// When a frame is not acknowledged, or the new shipment cannot be made durable.
    pub fn ship_again(&self, frames: Vec<Frame>) -> Result<Shipment, Error> {
        let states: Vec<FrameState> = {
            let index = self.core.index();
            let state = |f: &Frame| index.frames.get(&(f.lane, f.first_seq)).map(|(_, s)| *s);
            frames.iter().filter_map(state).collect()
        };
        if frames.is_empty()
            || states.len() != frames.len()
            || !states.iter().all(|s| matches!(s, FrameState::Acknowledged(_)))
        {
            return Err(Error::NotInState);
        }
        let shipment = Shipment { token: token(&frames, None)?, frames };
        // A pending shipment outweighs an acknowledged one.
        self.write_pending(&shipment, None)?;
        let gaps: Vec<_> = shipment.frames.iter().flat_map(|f| self.gaps_in(f)).collect();
        let mut index = self.core.index();
        for f in &shipment.frames {
            index.add(f.clone(), FrameState::Shipping);
        }
        index.gaps.extend(gaps);
        index.pending.insert(shipment.token.clone(), shipment.frames.clone());
        Ok(shipment)
    }
}
