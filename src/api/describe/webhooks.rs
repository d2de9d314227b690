//! Webhooks.

use super::{
    super::webhooks::{
        Again, Change, Deliveries, NewWebhook, Nothing, Resent, Tried, Wanted, Webhook, Webhooks,
    },
    Operation,
    problems::NOT_FOUND,
};

const AWAY: (u16, &str) = (503, "control_away");
const ETAG: (&str, &str) = ("ETag", "Its last change, for If-Match");
const ID: (&str, &str) = ("id", "The webhook's number");

pub(in crate::api) fn list_webhooks() -> Operation {
    Operation::new("listWebhooks", "Who is told of changes, without secrets")
        .more("There are at most webhooks.endpoints_max.")
        .gives::<Webhooks>(200, "The webhooks")
        .problems([AWAY])
}

pub(in crate::api) fn add_webhook() -> Operation {
    Operation::new("addWebhook", "Tell an endpoint of changes")
        .more("The answer shows the secret that signs for the only time.")
        .takes::<NewWebhook>()
        .gives::<Webhook>(201, "The webhook, with its secret")
        .with(ETAG.0, ETAG.1)
        .problems([AWAY, (409, "too_many_webhooks"), (422, "webhook_url_refused")])
}

pub(in crate::api) fn read_webhook() -> Operation {
    Operation::new("readWebhook", "A webhook")
        .number(ID.0, ID.1)
        .gives::<Webhook>(200, "The webhook")
        .with(ETAG.0, ETAG.1)
        .problems([AWAY, NOT_FOUND])
}

pub(in crate::api) fn change_webhook() -> Operation {
    Operation::new("changeWebhook", "Change a webhook, or rotate its secret")
        .more("What is not given stays. A new secret is in this answer alone.")
        .number(ID.0, ID.1)
        .header("If-Match", "The ETag that it must have: where somebody else changed it, 412")
        .takes::<Change>()
        .gives::<Webhook>(200, "The webhook as it is now")
        .with(ETAG.0, ETAG.1)
        .problems([AWAY, NOT_FOUND, (412, "changed_meanwhile"), (422, "webhook_url_refused")])
}

pub(in crate::api) fn disable_webhook() -> Operation {
    Operation::new("disableWebhook", "Tell an endpoint nothing more; it stays known")
        .number(ID.0, ID.1)
        .gives_nothing("Disabled")
        .problems([AWAY, NOT_FOUND])
}

pub(in crate::api) fn test_webhook() -> Operation {
    Operation::new("testWebhook", "Send a message to try an endpoint")
        .number(ID.0, ID.1)
        .takes::<Nothing>()
        .gives::<Tried>(202, "In the queue")
        .problems([AWAY, NOT_FOUND, (409, "webhook_disabled")])
}

pub(in crate::api) fn list_deliveries() -> Operation {
    Operation::new("listDeliveries", "Deliveries of a webhook, newest first")
        .number(ID.0, ID.1)
        .query::<Wanted>()
        .gives::<Deliveries>(200, "The deliveries")
        .problems([AWAY, NOT_FOUND])
}

pub(in crate::api) fn resend_deliveries() -> Operation {
    Operation::new("resendDeliveries", "Send what was given up again, one delivery or all")
        .number(ID.0, ID.1)
        .takes::<Again>()
        .gives::<Resent>(200, "How many")
        .problems([AWAY, NOT_FOUND, (409, "webhook_disabled")])
}
