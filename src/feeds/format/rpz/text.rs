//! Zone text, entry by entry.

use std::io::BufRead;

use super::{
    super::{
        Error, Origin, Place, Reason,
        lines::{Lines, Next},
        out::Out,
    },
    data,
    owner::below,
    record::{Companion, Meaning, Record, action_of, meaning, rtype},
    words::{Words, depth_behind},
};
use crate::name::Name;

pub(crate) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    let mut reader = Reader::new(out);
    let bytes_max = reader.out.options.line_bytes_max;
    let mut lines = Lines::new(input, bytes_max);
    let mut words = Words::default();
    let mut line = Vec::with_capacity(256);
    while reader.out.wants_more() {
        let next = lines.next(&mut line)?;
        let at = Place { line: lines.number(), text: &line };
        match next {
            Next::End => break,
            Next::TooLong => reader.reject(at, Reason::too_long(bytes_max)),
            Next::Line => match depth_behind(&line, 0) {
                Some(0) => {
                    if let Err(reason) = reader.entry(at, &mut words) {
                        reader.out.reject(at, reason);
                    }
                }
                Some(_) => in_parentheses(&mut reader, &mut words, &mut lines, &line)?,
                None => {
                    reader.reject(at, Reason::syntax("parentheses that do not fit together"));
                }
            },
        }
    }
    reader.out.summary.lines = lines.number();
    Ok(())
}

/// An entry whose parentheses do not end on its line: the lines up to where they do are one entry.
/// Where they never do, or what they hold is none, the first line is rejected and the others are
/// read again as if it had not been there.
fn in_parentheses(
    reader: &mut Reader<'_, '_>,
    words: &mut Words,
    lines: &mut Lines<'_>,
    first: &[u8],
) -> Result<(), Error> {
    let number = lines.number();
    let bytes_max = reader.out.options.line_bytes_max;
    let (mut entry, mut behind, mut line) = (first.to_vec(), Vec::new(), Vec::new());
    let mut reason = Reason::syntax("parentheses that do not end");
    loop {
        let next = lines.next(&mut line)?;
        if next == Next::End {
            break;
        }
        let too_long = next == Next::TooLong;
        behind.push((line.clone(), too_long));
        if too_long || entry.len() + line.len() >= bytes_max {
            break;
        }
        entry.push(b'\n');
        entry.extend_from_slice(&line);
        match depth_behind(&line, 1) {
            Some(1) => {}
            Some(_) => match reader.entry(Place { line: number, text: &entry }, words) {
                Ok(()) => return Ok(()),
                Err(why) => {
                    reason = why;
                    break;
                }
            },
            None => break,
        }
    }
    lines.give_back(behind);
    reader.reject(Place { line: number, text: first }, reason);
    Ok(())
}

struct Reader<'o, 'a> {
    out: &'o mut Out<'a>,
    apex: Name,
    apex_from: ApexFrom,
    /// What relative names are below; none behind an `$ORIGIN` that could not be read.
    origin: Option<Name>,
    /// The owner of the entry before; none behind one that could not be read, so that nothing is
    /// taken for a rule about another name.
    last_owner: Option<Name>,
    dollar_ttl: Option<u32>,
    last_ttl: u32,
}

/// What the apex was learnt from, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ApexFrom {
    Feed,
    DollarOrigin,
    /// The operator, the SOA, or an entry that has been read with it.
    Settled,
}

impl<'o, 'a> Reader<'o, 'a> {
    fn new(out: &'o mut Out<'a>) -> Self {
        let (apex, apex_from) = match &out.options.origin {
            Origin::Given(name) => (name.lower(), ApexFrom::Settled),
            Origin::Feed(name) => (name.lower(), ApexFrom::Feed),
        };
        let last_ttl = out.options.ttl_s;
        Self {
            out,
            apex,
            apex_from,
            origin: Some(apex),
            last_owner: None,
            dollar_ttl: None,
            last_ttl,
        }
    }

    /// Rejects an entry whose owner has not been read.
    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        self.last_owner = None;
        self.out.reject(at, reason);
    }

    fn entry(&mut self, at: Place<'_>, words: &mut Words) -> Result<(), Reason> {
        if let Err(reason) = words.split(at.text) {
            self.last_owner = None;
            return Err(reason);
        }
        let Some(first) = words.get(at.text, 0) else { return Ok(()) };
        let mut next = 0;
        let owner = if words.indented {
            self.last_owner.ok_or_else(|| Reason::syntax("no owner before this entry"))?
        } else if first[0] == b'$' {
            return self.directive(first, words.get(at.text, 1));
        } else {
            next = 1;
            self.last_owner = None;
            let owner = data::name(first, self.origin.as_ref())?;
            self.last_owner = Some(owner);
            owner
        };
        let head = self.head(at.text, words, &mut next)?;
        match head.rtype {
            rtype::CNAME => self.alias(at, &owner, words.only(at.text, next)),
            rtype::SOA => self.soa(at, &owner, words.get(at.text, next + 2)),
            _ => self.record(at, &owner, &head, words, next),
        }
    }

    fn directive(&mut self, word: &[u8], value: Option<&[u8]>) -> Result<(), Reason> {
        let is = |t: &str| word.eq_ignore_ascii_case(t.as_bytes());
        if is("$TTL") {
            let ttl = value.and_then(data::ttl);
            self.dollar_ttl = Some(ttl.ok_or_else(|| Reason::syntax("$TTL needs a TTL"))?);
        } else if is("$ORIGIN") {
            // Relative names behind a broken origin would be taken for others.
            let before = self.origin.take();
            let value = value.ok_or_else(|| Reason::syntax("$ORIGIN needs a name"))?;
            let origin = data::name(value, before.as_ref())?;
            self.origin = Some(origin);
            if self.apex_from == ApexFrom::Feed {
                (self.apex, self.apex_from) = (origin, ApexFrom::DollarOrigin);
            }
        } else if is("$INCLUDE") {
            return Err(Reason::new("include", "a list cannot include files"));
        } else {
            return Err(Reason::new("directive", "a directive that is not known"));
        }
        Ok(())
    }

    /// TTL, class and type, in either order of the first two.
    fn head<'e>(
        &mut self,
        text: &'e [u8],
        words: &Words,
        next: &mut usize,
    ) -> Result<Head<'e>, Reason> {
        let mut ttl = None;
        loop {
            let word = words.get(text, *next).ok_or_else(|| Reason::syntax("no type"))?;
            *next += 1;
            // Most words here are types, and no type begins with a digit.
            if ttl.is_none() && word[0].is_ascii_digit() {
                ttl = Some(data::ttl(word).ok_or_else(|| Reason::syntax("a TTL that is none"))?);
                self.last_ttl = ttl.unwrap_or(self.last_ttl);
            } else if word.eq_ignore_ascii_case(b"IN") || word.eq_ignore_ascii_case(b"CLASS1") {
            } else if word.eq_ignore_ascii_case(b"CH") || word.eq_ignore_ascii_case(b"HS") {
                return Err(Reason::new("class", "a class other than IN"));
            } else {
                let rtype = data::type_number(word).ok_or_else(|| {
                    let text = format!("{:?} is no type", String::from_utf8_lossy(word));
                    Reason::new("bad-type", text)
                })?;
                let ttl = ttl.or(self.dollar_ttl).unwrap_or(self.last_ttl);
                return Ok(Head { ttl, rtype, type_word: word });
            }
        }
    }

    fn alias(&mut self, at: Place<'_>, owner: &Name, target: Option<&[u8]>) -> Result<(), Reason> {
        let target = target.ok_or_else(|| Reason::syntax("CNAME needs one name"))?;
        let target = data::name(target, self.origin.as_ref())?;
        self.apex_from = ApexFrom::Settled;
        let Some(relative) = below(&self.apex, owner)? else {
            return Err(Reason::syntax("a CNAME at the zone's own name; `*` lists every name"));
        };
        let trigger = relative.trigger()?;
        let action = action_of(&self.apex, &relative.name, &target)?;
        self.out.rule(at, trigger, action);
        Ok(())
    }

    fn soa(&mut self, at: Place<'_>, owner: &Name, serial: Option<&[u8]>) -> Result<(), Reason> {
        if self.apex_from < ApexFrom::Settled {
            (self.apex, self.apex_from) = (*owner, ApexFrom::Settled);
        }
        let serial = serial.and_then(|w| std::str::from_utf8(w).ok()).and_then(|w| w.parse().ok());
        let serial = serial.ok_or_else(|| Reason::syntax("an SOA without a serial"))?;
        if *owner != self.apex {
            let text = format!("an SOA that is not the zone's, {}", self.apex);
            return Err(Reason::new("out-of-zone", text));
        }
        self.means(at, Meaning::Soa(serial));
        Ok(())
    }

    fn record(
        &mut self,
        at: Place<'_>,
        owner: &Name,
        head: &Head<'_>,
        words: &Words,
        next: usize,
    ) -> Result<(), Reason> {
        self.apex_from = ApexFrom::Settled;
        if *owner == self.apex || rtype::DNSSEC.contains(&head.rtype) {
            self.means(at, Meaning::Nothing);
            return Ok(());
        }
        let rest = (next..words.len()).filter_map(|i| words.get(at.text, i));
        let rdata = data::rdata(head.rtype, head.type_word, rest, self.origin.as_ref())?;
        let record = Record { owner, rtype: head.rtype, ttl: head.ttl, rdata: &rdata };
        let meaning = meaning(&self.apex, record, self.out.options)?;
        self.means(at, meaning);
        Ok(())
    }

    fn means(&mut self, at: Place<'_>, meaning: Meaning) {
        match meaning {
            Meaning::Rule(trigger, action) => self.out.rule(at, trigger, action),
            Meaning::Companion(trigger, strings) => {
                self.out.summary.companions += 1;
                if let Some(found) = &mut self.out.companions {
                    found.push(Companion { line: at.line, trigger, strings });
                }
            }
            Meaning::Soa(serial) => {
                self.out.summary.serial = Some(serial);
                self.out.summary.ignored += 1;
            }
            Meaning::Nothing => self.out.summary.ignored += 1,
        }
    }
}

/// What stands between an owner and its data.
struct Head<'e> {
    ttl: u32,
    rtype: u16,
    type_word: &'e [u8],
}
