//! What is refused of webhooks, and why.

use http::StatusCode;

use super::super::{Problem, Words};
use crate::webhooks::BadPlace;

pub(super) fn bad_place(why: BadPlace) -> Problem {
    let chinese = match why {
        BadPlace::Url => "须为 https 地址，不超过 2048 字节，不得含用户信息与片段。",
        BadPlace::NotPublic => "该主机不是公网主机；如需推送，请在 webhooks.allowed_hosts 中列出。",
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "webhook_url_refused",
        "Nobody can be told there.",
        "不能向此地址推送事件。",
    )
    .detail(Words::new(why.to_string(), chinese))
}

pub(super) fn too_many() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "too_many_webhooks",
        "There are as many webhooks as webhooks.endpoints_max allows.",
        "事件推送地址数量已达 webhooks.endpoints_max 上限。",
    )
}

pub(super) fn changed_meanwhile() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "changed_meanwhile",
        "Somebody else changed it first.",
        "他人已先行更改。",
    )
}

pub(super) fn is_disabled() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "webhook_disabled",
        "This webhook is disabled.",
        "该事件推送已停用。",
    )
}
