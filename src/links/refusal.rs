//! Why a target is refused: a code for programs, a sentence for people in two languages.

/// The reason a target was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.english())]
#[expect(missing_docs, reason = "each variant's sentence below says it")]
pub enum Refusal {
    Empty,
    TooLong,
    ControlCharacter,
    Whitespace,
    InvisibleCharacter,
    Backslash,
    Scheme,
    UserInfo,
    Malformed,
    Port,
    Idna,
    HostSyntax,
    IpLiteral,
    SpecialAddress,
    SingleLabel,
    SpecialHost,
    OwnHost,
    PublicSuffix,
    Listed,
    SchemeDowngrade,
}

impl Refusal {
    /// Every reason, for the tests and the API's description.
    pub const ALL: [Self; 20] = [
        Self::Empty,
        Self::TooLong,
        Self::ControlCharacter,
        Self::Whitespace,
        Self::InvisibleCharacter,
        Self::Backslash,
        Self::Scheme,
        Self::UserInfo,
        Self::Malformed,
        Self::Port,
        Self::Idna,
        Self::HostSyntax,
        Self::IpLiteral,
        Self::SpecialAddress,
        Self::SingleLabel,
        Self::SpecialHost,
        Self::OwnHost,
        Self::PublicSuffix,
        Self::Listed,
        Self::SchemeDowngrade,
    ];

    /// The reason's code.
    pub const fn code(self) -> &'static str {
        self.words().0
    }

    /// The reason in English.
    pub const fn english(self) -> &'static str {
        self.words().1
    }

    /// The reason in Chinese.
    pub const fn chinese(self) -> &'static str {
        self.words().2
    }

    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Empty => ("target_empty", "The target is empty.", "目标网址为空。"),
            Self::TooLong => ("target_too_long", "The target is too long.", "目标网址过长。"),
            Self::ControlCharacter => (
                "target_control_character",
                "The target contains a control character.",
                "目标网址含有控制字符。",
            ),
            Self::Whitespace => {
                ("target_whitespace", "The target contains white space.", "目标网址含有空白字符。")
            }
            Self::InvisibleCharacter => (
                "target_invisible_character",
                "The target contains an invisible or direction-changing character.",
                "目标网址含有不可见字符或改变文字方向的字符。",
            ),
            Self::Backslash => (
                "target_backslash",
                "The target contains a backslash, which browsers read as a slash.",
                "目标网址含有反斜杠，浏览器会将其当作斜杠。",
            ),
            Self::Scheme => (
                "target_scheme",
                "The target must begin with http:// or https://.",
                "目标网址必须以 http:// 或 https:// 开头。",
            ),
            Self::UserInfo => (
                "target_user_info",
                "The target has a user name before its host.",
                "目标网址的主机名前含有用户信息。",
            ),
            Self::Malformed => {
                ("target_malformed", "The target is not a URL.", "目标不是有效的网址。")
            }
            Self::Port => ("target_port", "Port 0 cannot be reached.", "端口 0 无法访问。"),
            Self::Idna => (
                "target_idna",
                "The host is not a valid internationalised domain name.",
                "主机名不是有效的国际化域名。",
            ),
            Self::HostSyntax => (
                "target_host_syntax",
                "The host is not a valid domain name.",
                "主机名不是有效的域名。",
            ),
            Self::IpLiteral => (
                "target_ip_literal",
                "The host is an IP address; a domain name is required.",
                "主机名是 IP 地址；必须使用域名。",
            ),
            Self::SpecialAddress => (
                "target_special_address",
                "The host is an address that is not on the public internet.",
                "主机地址不属于公共互联网。",
            ),
            Self::SingleLabel => (
                "target_single_label",
                "The host has no dot: it is a name of a local network.",
                "主机名不含点号，属于本地网络名称。",
            ),
            Self::SpecialHost => (
                "target_special_host",
                "The host is reserved for special use.",
                "主机名属于特殊用途保留名称。",
            ),
            Self::OwnHost => (
                "target_own_host",
                "The target points back to this service.",
                "目标网址指向本服务自身。",
            ),
            Self::PublicSuffix => (
                "target_public_suffix",
                "The host is a public suffix, not a site.",
                "主机名是公共后缀，不是网站。",
            ),
            Self::Listed => (
                "target_listed",
                "The target is on a list of sites to be blocked.",
                "目标网址在封堵名单中。",
            ),
            Self::SchemeDowngrade => (
                "target_scheme_downgrade",
                "The target has no TLS: it must begin with https://.",
                "目标网址未使用 TLS：必须以 https:// 开头。",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_words() {
        for a in Refusal::ALL {
            assert!(a.code().starts_with("target_") && a.english().ends_with('.'));
            assert!(a.chinese().ends_with('。'));
            let same = Refusal::ALL.iter().filter(|b| b.code() == a.code()).count();
            assert_eq!(same, 1, "{}", a.code());
        }
    }
}
