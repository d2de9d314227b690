//! Links, forwards, outbound targets.

use super::{
    super::{
        links::{
            BulkAnswer, Change, Form, Forwards, From, History, Line, Links, MadeLink, NewForward,
            NewLink, Wanted, WantedForwards, Whole,
        },
        outbound::{NewOutbound, Outbound},
    },
    Operation,
    operation::Content,
    problems::{self, CHANGING, FORWARDING, LINES, MAKING, NOT_FOUND, READING, WRITING},
};

const KEY: (&str, &str) = (
    "Idempotency-Key",
    "The same key with the same content is answered as before; with another, 422",
);
const IF_MATCH: (&str, &str) =
    ("If-Match", "The ETag that it must have: where somebody else changed it meanwhile, 412");
const ETAG: (&str, &str) = ("ETag", "Its revision, for If-Match");
const CODE: (&str, &str) = ("code", "The link's code");
const FROM: (&str, &str) = ("from", "What is forwarded, its slashes as %2F");

pub(in crate::api) fn list_links() -> Operation {
    Operation::new("listLinks", "Links by code, a page at a time")
        .query::<Wanted>()
        .gives::<Links<'_>>(200, "A page of links")
        .problems(READING)
        .problems([(403, "out_of_scope")])
}

pub(in crate::api) fn create_link() -> Operation {
    Operation::new("createLink", "Make a link")
        .header(KEY.0, KEY.1)
        .takes::<NewLink>()
        .gives::<MadeLink<'_>>(201, "Made, and recorded")
        .with("Location", "Where it is read")
        .with(ETAG.0, ETAG.1)
        .gives::<MadeLink<'_>>(200, "One that is the same in everything was there (reuse)")
        .with("Location", "Where it is read")
        .with(ETAG.0, ETAG.1)
        .problems(problems::targets().chain(WRITING).chain(MAKING))
}

pub(in crate::api) fn create_links() -> Operation {
    Operation::new("createLinks", "Make links: an object a line")
        .more("Each is made or refused by itself, and answered in the order given.")
        .header(KEY.0, KEY.1)
        .takes_lines::<NewLink>()
        .gives_lines::<BulkAnswer<'_>>("An object a line, one for each item, in their order")
        .of_lines(problems::targets().chain(WRITING).chain(MAKING).chain(LINES))
}

pub(in crate::api) fn export_links() -> Operation {
    Operation::new("exportLinks", "Every link and forward, one a line")
        .query::<Whole>()
        .gives_lines::<Line<'_>>("Every link, one a line")
}

pub(in crate::api) fn read_link() -> Operation {
    Operation::new("readLink", "A link and its revisions")
        .place(CODE.0, CODE.1)
        .query::<From>()
        .gives::<History<'_>>(200, "The link")
        .with(ETAG.0, ETAG.1)
        .problems(READING)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn change_link() -> Operation {
    Operation::new("changeLink", "Change a link")
        .more("What is not given stays; null takes a member away.")
        .place(CODE.0, CODE.1)
        .header(IF_MATCH.0, IF_MATCH.1)
        .takes::<Change>()
        .gives::<MadeLink<'_>>(200, "As it is now")
        .with(ETAG.0, ETAG.1)
        .problems(problems::targets().chain(WRITING).chain(CHANGING))
}

pub(in crate::api) fn link_qr() -> Operation {
    Operation::new("linkQr", "The short URL as a QR code")
        .place(CODE.0, CODE.1)
        .query::<Form>()
        .gives_other(
            "The image",
            &[("image/svg+xml", Content::Text), ("image/png", Content::Bytes)],
        )
        .problems(READING)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn list_forwards() -> Operation {
    Operation::new("listForwards", "Forwards by host and path, a page at a time")
        .query::<WantedForwards>()
        .gives::<Forwards<'_>>(200, "A page of forwards")
        .problems(READING)
        .problems([(403, "out_of_scope")])
}

pub(in crate::api) fn create_forward() -> Operation {
    Operation::new("createForward", "Forward a host, or a path of one")
        .header(KEY.0, KEY.1)
        .takes::<NewForward>()
        .gives::<MadeLink<'_>>(201, "Made, and recorded")
        .with("Location", "Where it is read")
        .with(ETAG.0, ETAG.1)
        .problems(problems::targets().chain(WRITING).chain(MAKING).chain(FORWARDING))
}

pub(in crate::api) fn create_forwards() -> Operation {
    Operation::new("createForwards", "Make forwards: an object a line")
        .more("Each is made or refused by itself, and answered in the order given.")
        .header(KEY.0, KEY.1)
        .takes_lines::<NewForward>()
        .gives_lines::<BulkAnswer<'_>>("An object a line, one for each item, in their order")
        .of_lines(problems::targets().chain(WRITING).chain(MAKING).chain(FORWARDING).chain(LINES))
}

pub(in crate::api) fn read_forward() -> Operation {
    Operation::new("readForward", "A forward and its revisions")
        .place(FROM.0, FROM.1)
        .query::<From>()
        .gives::<History<'_>>(200, "The forward")
        .with(ETAG.0, ETAG.1)
        .problems(READING)
        .problems([NOT_FOUND, FORWARDING[0]])
}

pub(in crate::api) fn change_forward() -> Operation {
    Operation::new("changeForward", "Change a forward")
        .more("What is not given stays; null takes a member away.")
        .place(FROM.0, FROM.1)
        .header(IF_MATCH.0, IF_MATCH.1)
        .takes::<Change>()
        .gives::<MadeLink<'_>>(200, "As it is now")
        .with(ETAG.0, ETAG.1)
        .problems(problems::targets().chain(WRITING).chain(CHANGING).chain(FORWARDING))
}

pub(in crate::api) fn sign_outbound() -> Operation {
    Operation::new("signOutbound", "Sign where visitors leave a site to, and record it")
        .takes::<NewOutbound>()
        .gives::<Outbound>(201, "Signed, and recorded as a conversion (service outbound)")
        .problems(problems::targets().chain(WRITING))
        .problems([(403, "out_of_scope"), (503, "no_signing_key")])
}
