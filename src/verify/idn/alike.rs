//! Names that read like protected ones.
//!
//! A label is folded to what it looks like and looked up; what is within one or two edits is found by
//! the texts that both become when letters are left out, so that a look costs the same
//! for ten names and for a hundred thousand.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{super::outcome::words, fold::Fold};
use crate::verify::Severity;

/// Shorter labels are not compared by edits: everything is close to them.
const EDITED_MIN: usize = 4;

/// From this length on two edits count.
const TWICE_MIN: usize = 8;

/// Labels longer than this are cut where letters are left out; nobody reads on.
const EDITED_MAX: usize = 40;

/// What is said before or after a name to make another of it.
const DECOYS: [&str; 22] = [
    "account", "app", "auth", "bank", "cdn", "help", "id", "login", "mail", "my", "official",
    "online", "pay", "portal", "secure", "service", "shop", "sign", "support", "update", "verify",
    "www",
];

words! {
    /// In what way a name reads like a protected one; the first is the closest.
    How {
        /// The protected name stands at the left of another domain.
        Left = "left_labels",
        /// It looks the same.
        Same = "looks_the_same",
        /// The protected name and a word or a hyphen.
        Decorated = "decorated",
        /// The label is the same, and the suffix another.
        Suffix = "other_suffix",
        /// One or two edits away.
        Edited = "edited",
    }
}

impl How {
    /// How much it matters. What is only close may be somebody's honest name.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Left | Self::Same => Severity::Warning,
            Self::Decorated | Self::Suffix | Self::Edited => Severity::Notice,
        }
    }
}

/// A protected name that another reads like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// The protected name.
    pub name: String,
    /// In what way.
    pub how: How,
}

/// Names that are protected.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    fold: Fold,
    /// The names, with the label that is registered and its fold.
    names: Vec<Name>,
    /// Folds of labels, and whose they are.
    folds: HashMap<String, Vec<u32>>,
    /// Digests of folds with letters left out, in order, and whose they are.
    left_out: Vec<(u64, u32)>,
}

#[derive(Clone, Debug)]
struct Name {
    name: String,
    label: String,
    fold: String,
}

/// A line that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name with a suffix")]
pub struct BadProtected(pub String);

impl Protected {
    /// Names in any script; `registrable` tells the registrable domain of one in A-labels.
    ///
    /// # Errors
    /// The first that is no name.
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        registrable: impl Fn(&str) -> String,
    ) -> Result<Self, BadProtected> {
        let mut all = Self::default();
        for text in names {
            let bad = || BadProtected(text.to_owned());
            let ascii = idna::domain_to_ascii(text.trim_end_matches('.')).map_err(|_| bad())?;
            let domain = registrable(&ascii);
            let (label, _) = domain.split_once('.').ok_or_else(bad)?;
            let label = idna::domain_to_unicode(label).0;
            let fold = all.fold.fold(&label);
            let at = u32::try_from(all.names.len()).map_err(|_| bad())?;
            all.folds.entry(fold.clone()).or_default().push(at);
            let length = fold.chars().count();
            if (EDITED_MIN..=EDITED_MAX).contains(&length) {
                let digests = left_out(&fold, edits(length));
                all.left_out.extend(digests.into_iter().map(|digest| (digest, at)));
            }
            all.names.push(Name { name: ascii, label, fold });
        }
        all.left_out.sort_unstable();
        all.left_out.dedup();
        Ok(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The protected names that `host` reads like, the closest first. `registrable` is its
    /// registrable domain; both are of A-labels in lower case. What belongs to a protected
    /// name reads like none.
    pub fn alike(&self, host: &str, registrable: &str) -> Vec<Alike> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let (label, suffix) = registrable.split_once('.').unwrap_or((registrable, ""));
        let label = idna::domain_to_unicode(label).0;
        let fold = self.fold.fold(&label);
        let of = |fold: &str| self.folds.get(fold).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<(How, u32)> = Vec::new();
        for at in of(&fold) {
            let same = self.names[*at as usize].label == label;
            found.push((if same { How::Suffix } else { How::Same }, *at));
        }
        let own = self.names.iter().any(|n| {
            n.name == registrable || host == n.name || host.ends_with(&format!(".{}", n.name))
        });
        if own {
            return Vec::new();
        }
        found.extend(self.left(host, registrable));
        for part in parts(&fold) {
            found.extend(of(&part).iter().map(|at| (How::Decorated, *at)));
        }
        // The label before joins the registered one: `tao.bao.com`.
        if let Some(before) = host.strip_suffix(registrable).and_then(|b| b.strip_suffix('.')) {
            let last = before.rsplit('.').next().unwrap_or_default();
            let joined = self.fold.fold(&format!("{}{label}", idna::domain_to_unicode(last).0));
            found.extend(of(&joined).iter().map(|at| (How::Decorated, *at)));
        }
        found.extend(self.edited(&fold));
        self.told(found, suffix)
    }

    /// Protected names at the left of another domain: `bank.com.evil.top`, `bank.evil.top`.
    fn left(&self, host: &str, registrable: &str) -> Vec<(How, u32)> {
        let Some(left) = host.strip_suffix(registrable).and_then(|l| l.strip_suffix('.')) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for label in left.split('.') {
            let fold = self.fold.fold(&idna::domain_to_unicode(label).0);
            let ats = self.folds.get(&fold).map_or(&[][..], Vec::as_slice);
            for at in ats {
                let whole =
                    format!(".{left}.").contains(&format!(".{}.", self.names[*at as usize].name));
                // A short label alone is anybody's.
                if whole || fold.chars().count() >= EDITED_MIN {
                    found.push((How::Left, *at));
                }
            }
        }
        found
    }

    /// Protected names within one edit, or two where the label is long.
    fn edited(&self, fold: &str) -> Vec<(How, u32)> {
        let length = fold.chars().count();
        if !(EDITED_MIN..=EDITED_MAX).contains(&length) {
            return Vec::new();
        }
        let mut candidates: Vec<u32> = Vec::new();
        // The longer of two decides how many edits count.
        for digest in left_out(fold, edits(length + 1)) {
            let from = self.left_out.partition_point(|(d, _)| *d < digest);
            let same = self.left_out[from..].iter().take_while(|(d, _)| *d == digest);
            candidates.extend(same.map(|(_, at)| *at));
        }
        candidates.sort_unstable();
        candidates.dedup();
        let close = |at: &u32| {
            let other = &self.names[*at as usize].fold;
            let distance = strsim::osa_distance(fold, other);
            distance > 0 && distance <= edits(other.chars().count())
        };
        candidates.into_iter().filter(close).map(|at| (How::Edited, at)).collect()
    }

    fn told(&self, mut found: Vec<(How, u32)>, suffix: &str) -> Vec<Alike> {
        found.sort_unstable();
        let mut seen = Vec::new();
        found.retain(|(_, at)| {
            let is_new = !seen.contains(at);
            seen.push(*at);
            is_new
        });
        // The same label under the same suffix is the name itself.
        let name = |at: u32| self.names[at as usize].name.clone();
        let told = found.into_iter().map(|(how, at)| Alike { name: name(at), how });
        told.filter(|a| a.how != How::Suffix || !a.name.ends_with(&format!(".{suffix}"))).collect()
    }
}

/// How many edits count for a label of this length.
const fn edits(length: usize) -> usize {
    if length >= TWICE_MIN { 2 } else { 1 }
}

/// What is left of a folded label without hyphens, doubled ends and decoys.
fn parts(fold: &str) -> Vec<String> {
    let bare: String = fold.chars().filter(|c| *c != '-').collect();
    let mut found: Vec<String> = fold.split('-').map(str::to_owned).collect();
    found.push(bare.clone());
    for decoy in DECOYS {
        // Folded as labels are.
        let decoy: String = decoy.chars().map(|c| if c == 'i' { 'l' } else { c }).collect();
        for rest in [bare.strip_prefix(&decoy), bare.strip_suffix(&decoy)].into_iter().flatten() {
            found.push(rest.to_owned());
        }
    }
    found.push(bare.strip_suffix("com").unwrap_or_default().to_owned());
    found.retain(|part| part != fold && part.chars().count() >= EDITED_MIN);
    found.sort_unstable();
    found.dedup();
    found
}

/// Digests of a text and of what is left when up to `edits` letters are left out.
fn left_out(text: &str, edits: usize) -> Vec<u64> {
    let letters: Vec<char> = text.chars().take(EDITED_MAX + 1).collect();
    let mut found = vec![digest(letters.iter().copied())];
    for i in 0..letters.len() {
        let without = |skip: &[usize]| {
            let kept = letters.iter().enumerate().filter(|(n, _)| !skip.contains(n));
            digest(kept.map(|(_, c)| *c).collect::<Vec<_>>().into_iter())
        };
        found.push(without(&[i]));
        if edits > 1 {
            found.extend((i + 1..letters.len()).map(|j| without(&[i, j])));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// FNV-1a, 64 bits: the same in every process, and collisions cost a comparison.
fn digest(letters: impl Iterator<Item = char>) -> u64 {
    letters.fold(0xcbf2_9ce4_8422_2325, |hash, letter| {
        (hash ^ u64::from(u32::from(letter))).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected() -> Protected {
        let registrable = |name: &str| {
            let labels: Vec<&str> = name.split('.').collect();
            labels[labels.len().saturating_sub(2)..].join(".")
        };
        Protected::new(
            ["taobao.com", "jd.com", "bankofchina.com", "paypal.com", "淘宝.com"],
            registrable,
        )
        .unwrap()
    }

    fn check(host: &str, expected: Option<(&str, How)>) {
        let ascii = idna::domain_to_ascii(host).unwrap();
        let labels: Vec<&str> = ascii.split('.').collect();
        let domain = labels[labels.len() - 2..].join(".");
        let found = protected().alike(&ascii, &domain);
        let first = found.first().map(|a| (a.name.as_str(), a.how));
        assert_eq!(first, expected, "{host}: {found:?}");
    }

    #[test]
    fn what_reads_like_a_protected_name_is_found_by_how_it_does() {
        check("taobao.com", None);
        check("www.taobao.com", None);
        check("taoba0.com", Some(("taobao.com", How::Same)));
        check("tаobаo.com", Some(("taobao.com", How::Same)));
        check("taobao.top", Some(("taobao.com", How::Suffix)));
        check("taobao.com.evil.top", Some(("taobao.com", How::Left)));
        check("www.taobao.evil.top", Some(("taobao.com", How::Left)));
        check("jd.com.evil.top", Some(("jd.com", How::Left)));
        check("jd.evil.top", None);
        check("tao-bao.com", Some(("taobao.com", How::Decorated)));
        check("login-taobao.com", Some(("taobao.com", How::Decorated)));
        check("taobaologin.com", Some(("taobao.com", How::Decorated)));
        check("tao.bao.com", Some(("taobao.com", How::Decorated)));
        check("taobaoo.com", Some(("taobao.com", How::Edited)));
        check("atobao.com", Some(("taobao.com", How::Edited)));
        check("bankofchlnna.com", Some(("bankofchina.com", How::Edited)));
        check("jo.com", None);
        check("example.com", None);
        check("掏宝.com", None);
        check("淘宝.top", Some(("xn--pbt173b.com", How::Suffix)));
    }

    #[test]
    fn what_is_no_name_is_said() {
        let same = |name: &str| name.to_owned();
        assert_eq!(Protected::new(["com"], same).unwrap_err(), BadProtected("com".into()));
        assert!(Protected::new([], same).unwrap().is_empty());
    }
}
