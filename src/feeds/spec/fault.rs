//! What is wrong with a feed's settings, in both languages.

use std::fmt;

/// A key of a feed's settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", prefix(.key))]
pub struct SpecError {
    /// The key's path, such as `limits.rules_max`; empty for the object as a whole.
    pub key: String,
    /// What is wrong with it.
    pub fault: Fault,
}

fn prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// What can be wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON of this form; why.
    Json(String),
    /// Not a name that a feed may have.
    FeedName,
    /// A name that we use ourselves.
    Reserved,
    /// Not where a list can come from; the forms that can.
    Source,
    /// A file that is not below a directory that lists may lie in.
    OutsideRoots,
    /// None of these words.
    NotOneOf(&'static [&'static str]),
    /// Not a domain name.
    DomainName,
    /// Not an address, or an address and a port.
    Address,
    /// A number outside these bounds.
    OutOfRange(u64, u64),
    /// Longer than this many bytes.
    TooLong(usize),
    /// More than this many of them.
    TooMany(usize),
    /// Not a `mailto:`, `tel:` or `https:` address.
    Contact,
    /// Not a public key of minisign.
    MinisignKey,
    /// Not an offset from UTC.
    UtcOffset,
    /// Only for sources of this kind.
    OnlyFor(&'static str),
}

impl SpecError {
    pub(super) fn new(key: impl Into<String>, fault: Fault) -> Self {
        Self { key: key.into(), fault }
    }

    /// The same in Chinese.
    pub fn chinese(&self) -> String {
        let key = &self.key;
        let fault = self.fault.chinese();
        if key.is_empty() { fault } else { format!("{key}：{fault}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => f.write_str(why),
            Self::FeedName => f.write_str(
                "a feed's name is 1 to 63 of a-z 0-9 . _ -, beginning and ending with a letter or \
                 a digit",
            ),
            Self::Reserved => f.write_str("this name is our own: choose another"),
            Self::Source => f.write_str(
                "write the absolute path of a file or directory, an https://, axfr://, ixfr:// or \
                 xot:// address without a password, or verdicts: and words such as RES-07",
            ),
            Self::OutsideRoots => f.write_str("files must lie below one of feeds.roots"),
            Self::NotOneOf(words) => write!(f, "write one of: {}", words.join(", ")),
            Self::DomainName => f.write_str("write a domain name"),
            Self::Address => f.write_str("write an address, such as 192.0.2.1 or [2001:db8::1]:53"),
            Self::OutOfRange(min, max) => write!(f, "write a number from {min} to {max}"),
            Self::TooLong(max) => write!(f, "longer than {max} bytes"),
            Self::TooMany(max) => write!(f, "more than {max}"),
            Self::Contact => f.write_str("write a mailto:, tel: or https: address"),
            Self::MinisignKey => f.write_str("write a public key of minisign: 56 characters, RW…"),
            Self::UtcOffset => f.write_str("write an offset from UTC, such as +08:00"),
            Self::OnlyFor(kind) => write!(f, "only for {kind}"),
        }
    }
}

impl Fault {
    fn chinese(&self) -> String {
        match self {
            Self::Json(why) => format!("不是所需形式的 JSON：{why}"),
            Self::FeedName => {
                "名单名称为 1 至 63 个 a-z 0-9 . _ - 字符，首尾须为字母或数字".to_owned()
            }
            Self::Reserved => "此名称为系统保留，请另选".to_owned(),
            Self::Source => "请写文件或目录的绝对路径、不含密码的 https://、axfr://、ixfr://、\
                             xot:// 地址，或 verdicts: 加结论或检查编号（如 RES-07）"
                .to_owned(),
            Self::OutsideRoots => "文件须位于 feeds.roots 所列目录之下".to_owned(),
            Self::NotOneOf(words) => format!("请写其中之一：{}", words.join("、")),
            Self::DomainName => "请写域名".to_owned(),
            Self::Address => "请写地址，例如 192.0.2.1 或 [2001:db8::1]:53".to_owned(),
            Self::OutOfRange(min, max) => format!("请写 {min} 至 {max} 之间的数"),
            Self::TooLong(max) => format!("超过 {max} 字节"),
            Self::TooMany(max) => format!("超过 {max} 个"),
            Self::Contact => "请写 mailto:、tel: 或 https: 地址".to_owned(),
            Self::MinisignKey => "请写 minisign 公钥（56 个字符，以 RW 开头）".to_owned(),
            Self::UtcOffset => "请写与 UTC 的时差，例如 +08:00".to_owned(),
            Self::OnlyFor(kind) => format!("仅适用于 {kind}"),
        }
    }
}

/// serde's complaint with the path of the key.
pub(super) fn of_json(error: &serde_path_to_error::Error<serde_json::Error>) -> SpecError {
    let path = error.path().to_string();
    let text = error.inner().to_string();
    // The line and column of a one-line document say nothing.
    let text = text.split(" at line ").next().unwrap_or(&text).replace('`', "\"");
    let key = match (path.as_str(), text.split('"').nth(1)) {
        // What is missing or unknown is named by serde, and stands in what the path leads to.
        (".", Some(name)) if text.contains("field") => name.to_owned(),
        (".", _) => String::new(),
        (path, Some(name)) if text.starts_with("missing field") => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    SpecError::new(key, Fault::Json(text))
}
