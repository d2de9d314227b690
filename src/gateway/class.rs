//! What a client seems to be, by what it says of itself.
//!
//! | class | who |
//! |---|---|
//! | `preview` | fetches ahead of a person or to show a card: purpose headers, fetchers of messengers |
//! | `bot` | calls itself a crawler, a scanner or a monitor |
//! | `tool` | names no browser, or asks `HEAD` |
//! | `person` | names a browser |
//!
//! It is a claim, recorded as one: nothing is dropped for it and nobody is sent elsewhere for it.

use http::{HeaderMap, Method};

use super::request::{text, user_agent};

/// The class of a request.
pub(super) fn class(method: &Method, headers: &HeaderMap) -> &'static str {
    if fetches_ahead(headers) {
        return "preview";
    }
    let agent = user_agent(headers);
    let mut is_bot = false;
    for word in agent.as_bytes().split(|b| !b.is_ascii_alphabetic()) {
        match of_word(word) {
            Some("preview") => return "preview",
            Some(_) => is_bot = true,
            None => {}
        }
    }
    if is_bot {
        return "bot";
    }
    let browser = agent.starts_with("Mozilla/") || agent.starts_with("Opera/");
    if browser && *method != Method::HEAD { "person" } else { "tool" }
}

/// Whether a browser says that nobody looks at the answer yet.
fn fetches_ahead(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        let value = headers.get(*name).map_or("", text);
        ["prefetch", "preview"]
            .iter()
            .any(|p| value.get(..p.len()).is_some_and(|v| v.eq_ignore_ascii_case(p)))
    })
}

/// The longest word looked at: none of ours is longer.
const WORD_MAX: usize = 24;

/// What one word of a `User-Agent` says.
fn of_word(word: &[u8]) -> Option<&'static str> {
    let mut lower = [0; WORD_MAX];
    let lower = lower.get_mut(..word.len()).filter(|w| w.len() >= 3)?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    match &*lower {
        b"facebookexternalhit"
        | b"facebookcatalog"
        | b"twitterbot"
        | b"slackbot"
        | b"linkexpanding"
        | b"telegrambot"
        | b"whatsapp"
        | b"discordbot"
        | b"linkedinbot"
        | b"pinterestbot"
        | b"redditbot"
        | b"dingtalkbot"
        | b"vkshare"
        | b"cardyb"
        | b"iframely"
        | b"embedly"
        | b"pagerenderer"
        | b"mastodon"
        | b"mattermost"
        | b"bitlybot" => Some("preview"),
        // A brand of telephones.
        b"cubot" => None,
        b"slurp" | b"lighthouse" | b"headlesschrome" | b"phantomjs" | b"archiver" | b"scanner"
        | b"monitor" | b"pingdom" | b"statuscake" | b"zgrab" | b"masscan" | b"nmap"
        | b"censysinspect" | b"nuclei" | b"scrapy" | b"wappalyzer" => Some("bot"),
        w if w.ends_with(b"preview") => Some("preview"),
        w if [&b"bot"[..], b"bots", b"spider", b"crawler", b"crawl"]
            .iter()
            .any(|end| w.ends_with(end)) =>
        {
            Some("bot")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn of(method: Method, all: &[(&'static str, &str)]) -> &'static str {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        class(&method, &headers)
    }

    #[test]
    fn clients_are_what_they_call_themselves() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "person"),
            (
                "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 MicroMessenger/8.0.49 Language/zh_CN",
                "person",
            ),
            ("Mozilla/5.0 (Linux; Android 13; CUBOT P60) Chrome/120 Mobile", "person"),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
            ("Mozilla/5.0 (compatible; Baiduspider/2.0)", "bot"),
            ("Mozilla/5.0 (Linux) Chrome/70 (compatible; Bytespider; x@bytedance.com)", "bot"),
            ("Mozilla/5.0 (X11) HeadlessChrome/120.0", "bot"),
            ("facebookexternalhit/1.1", "preview"),
            ("TelegramBot (like TwitterBot)", "preview"),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "preview"),
            ("Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5", "preview"),
            ("curl/8.5.0", "tool"),
            ("Go-http-client/1.1", "tool"),
            ("", "tool"),
        ] {
            assert_eq!(of(Method::GET, &[("user-agent", agent)]), expected, "{agent}");
        }
        let browser = ("user-agent", "Mozilla/5.0 Firefox/140.0");
        assert_eq!(of(Method::HEAD, &[browser]), "tool");
        for ahead in [
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "prefetch"),
            ("x-purpose", "preview"),
            ("x-moz", "Prefetch"),
        ] {
            assert_eq!(of(Method::GET, &[browser, ahead]), "preview", "{ahead:?}");
        }
        assert_eq!(of(Method::GET, &[browser, ("sec-purpose", "")]), "person");
    }
}
