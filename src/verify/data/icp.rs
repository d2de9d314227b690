//! What is on file (备案): `DOMAIN,NUMBER[,STATUS]`, one a line, loaded by the operator. No public
//! service tells it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Set;

/// What is on file of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// The number of its entry; empty where there is none.
    pub number: String,
    /// What the file says of it beside that, such as 注销; empty for nothing.
    pub status: String,
    /// Who says so.
    pub set: Set,
    /// Whether a domain has to be there.
    pub required: bool,
}

/// All that is on file.
#[derive(Debug)]
pub(super) struct Icp(HashMap<String, (String, String)>);

impl Icp {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "no text".to_owned())?;
        let mut by = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches('\u{feff}');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let cells: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
            let bad = || format!("line {}", at + 1);
            let (&[domain, number], rest) = cells
                .split_at_checked(2)
                .and_then(|(a, b)| Some((<&[&str; 2]>::try_from(a).ok()?, b)))
                .ok_or_else(bad)?;
            let domain = idna::domain_to_ascii(domain.trim_end_matches('.')).map_err(|_| bad())?;
            if domain.is_empty() || number.is_empty() {
                return Err(bad());
            }
            let status = rest.first().copied().unwrap_or_default().to_owned();
            by.insert(domain, (number.to_owned(), status));
        }
        if by.is_empty() { Err("no row".to_owned()) } else { Ok(Self(by)) }
    }

    /// The number and status of a domain.
    pub(super) fn of(&self, domain: &str) -> Option<&(String, String)> {
        self.0.get(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_named() {
        let icp =
            Icp::read("# ours\n例子.cn,京ICP备1号\nexample.cn , \"京ICP备2号\",注销\n".as_bytes());
        let icp = icp.unwrap();
        assert_eq!(icp.of("xn--fsqu00a.cn"), Some(&("京ICP备1号".to_owned(), String::new())));
        assert_eq!(icp.of("example.cn").unwrap().1, "注销");
        for (text, why) in [("a.cn", "line 1"), ("x.cn,1\n\nb.cn,", "line 3"), ("", "no row")] {
            assert_eq!(Icp::read(text.as_bytes()).unwrap_err(), why);
        }
    }
}
