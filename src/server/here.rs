//! What this node itself knows of names, handed to verification.

use std::sync::{Arc, OnceLock};

use crate::{
    config::UpstreamMode,
    name::Name,
    policy::{Action, Effect, InForce, Thing},
    resolver::Resolver,
    verify::here::{Here, Listed},
};

pub(super) fn here(resolver: &Arc<Resolver>, in_force: &InForce, mode: UpstreamMode) -> Here {
    let [zones, zone_of, held, served] = [(); 4].map(|()| Arc::clone(resolver));
    let in_force = in_force.clone();
    Here {
        zones: Box::new(move || zones.zones()),
        zone_of: Box::new(move |host| zone_of.zone_of(host)),
        held: Box::new(move |host, qtype| held.held(host, qtype)),
        served: Box::new(move |host, qtype| {
            let served = Arc::clone(&served);
            Box::pin(async move { served.told(&host, qtype).await })
        }),
        resolves: mode != UpstreamMode::Off,
        listed: Box::new(move |name, now| {
            let set = in_force.load();
            let thing = Thing::Name(Box::new(Name::from_text(name).ok()?));
            let acts = |effect| matches!(effect, Effect::Acts | Effect::Observed);
            let listing = set.explain(&thing, now).listings.into_iter().find(|l| acts(l.effect))?;
            if listing.action == Action::Passthru {
                return None;
            }
            Some(Listed {
                name: name.to_owned(),
                feed: listing.feed.to_string(),
                feed_version: listing.feed_version,
                rule: listing.trigger.to_string(),
                action: listing.action.name().to_owned(),
            })
        }),
        records: Arc::new(OnceLock::new()),
    }
}
