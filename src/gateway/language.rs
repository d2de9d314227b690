//! The language of pages and problems.

use http::{HeaderMap, Uri, header::ACCEPT_LANGUAGE};

/// A language we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

impl Language {
    /// What `Accept-Language` prefers (RFC 9110 §12.5.4); English when it prefers neither.
    pub fn of(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok());
        let (mut zh, mut en) = (0, 0);
        for item in lists.flat_map(|l| l.split(',')).take(32) {
            let (range, weight) = item.split_once(';').unwrap_or((item, ""));
            let tag = range.trim().split('-').next().unwrap_or("");
            let weight = thousandths(weight.trim());
            if tag.eq_ignore_ascii_case("zh") {
                zh = zh.max(weight);
            } else if tag.eq_ignore_ascii_case("en") {
                en = en.max(weight);
            }
        }
        if zh > en { Self::Chinese } else { Self::English }
    }

    /// What the query of a page asks for (`lang=zh`), else [`Self::of`] the headers.
    pub(super) fn asked(uri: &Uri, headers: &HeaderMap) -> Self {
        match uri.query() {
            Some("lang=zh") => Self::Chinese,
            Some("lang=en") => Self::English,
            _ => Self::of(headers),
        }
    }

    /// The language of a tag that [`Self::tag`] gave.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        [Self::English, Self::Chinese].into_iter().find(|l| l.tag() == tag)
    }

    /// The other language: its tag, its place in addresses, its own name.
    pub(super) const fn other(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::English => ("zh-CN", "zh", "中文"),
            Self::Chinese => ("en", "en", "English"),
        }
    }

    /// Its own place in addresses.
    pub(super) const fn place(self) -> &'static str {
        self.pick("en", "zh")
    }

    /// The language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// The one of two texts that is in this language.
    pub const fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// A weight `q=0.8` in thousandths; 1000 without one, 0 for one that is none.
fn thousandths(weight: &str) -> u32 {
    let Some((_, q)) = weight.split_once('=') else { return 1000 };
    q.trim().parse::<f32>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_one_wins() {
        for (header, tag) in [
            ("", "en"),
            ("zh", "zh-CN"),
            ("zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
            ("en-GB,en;q=0.9,zh;q=0.8", "en"),
            ("en;q=0.2, ZH-cn;q=0.3", "zh-CN"),
            ("fr", "en"),
            ("fr, zh;q=0.1", "zh-CN"),
            ("zh;q=0", "en"),
            ("zh;q=x,en;q=0.001", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(Language::of(&headers).tag(), tag, "{header}");
        }
    }
}
