//! What a walk means: pure.

use super::way::{End, Step};
use crate::links::{Destination, Finding, Findings};

/// The longest detail kept, in bytes.
const DETAIL_MAX: usize = 1_000;

/// What is to be said of a walk whose steps are these, whose end is `domain`'s; `first` is where the
/// first walk from the same target arrived. The steps' own findings are among them; the last step is
/// told what only the whole way shows.
pub(super) fn judged(
    steps: &mut [Step],
    end: &End,
    domain: &str,
    first: Option<&Destination>,
) -> (Findings, String) {
    if let (End::Arrived, Some(first), Some(last)) = (end, first, steps.last_mut()) {
        let changed = if first.registrable_domain != domain {
            Some(Finding::DestinationChanged)
        } else if first.host != last.host {
            Some(Finding::HostChanged)
        } else if first.url.starts_with("https:") && last.url.scheme() == "http" {
            Some(Finding::SchemeDowngrade)
        } else {
            None
        };
        if let Some(changed) = changed
            && last.finding.is_none_or(|f| weight(changed) < weight(f))
        {
            last.finding = Some(changed);
            last.detail = format!("{} -> {}", first.host, last.host);
        }
    }
    let mut details: Vec<String> = Vec::new();
    let mut findings = Findings::default();
    for step in steps.iter() {
        let Some(finding) = step.finding else { continue };
        findings.add(finding);
        let detail = if step.detail.is_empty() { &step.host } else { &step.detail };
        details.push(format!("{}: {detail}", finding.name()));
    }
    let mut detail = details.join("; ");
    detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
    (findings, detail)
}

/// Whether a walk says where a link leads, and with which word.
pub(super) const fn told(end: &End) -> Option<&'static str> {
    match end {
        End::Arrived => Some("arrived"),
        End::Robots => Some("robots"),
        End::Loop => Some("loop"),
        End::TooManyHops => Some("too_many_hops"),
        End::Refused => Some("refused"),
        End::Failed | End::Busy(_) | End::Later(_) => None,
    }
}

/// Its place among findings, the weightiest first.
fn weight(finding: Finding) -> usize {
    Finding::ALL.iter().position(|f| *f == finding).unwrap_or(usize::MAX)
}
