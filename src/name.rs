//! Domain names in wire form: held in place, compared in lower case, printed as records keep them.

use std::fmt;

/// Bytes that are not what the protocol says they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub struct Malformed;

/// The longest name in wire form, in bytes (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;

/// The longest label, in bytes (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// An absolute name in uncompressed wire form, root label included. Lives on the stack.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_BYTES_MAX],
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self { len: 1, bytes: [0; NAME_BYTES_MAX] };

    /// The name's wire form.
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Copies a name whose labels have been checked.
    pub(crate) fn from_checked(wire: &[u8]) -> Self {
        let mut name = Self::ROOT;
        name.bytes[..wire.len()].copy_from_slice(wire);
        name.len = wire.len() as u8;
        name
    }

    /// Reads the uncompressed name at the beginning of `wire`.
    ///
    /// # Errors
    /// When a label or the name is too long, compressed, or ends early.
    pub fn from_wire(wire: &[u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        loop {
            let len = usize::from(*wire.get(at).ok_or(Malformed)?);
            at += 1 + len;
            if len > LABEL_BYTES_MAX || at > NAME_BYTES_MAX {
                return Err(Malformed);
            }
            if len == 0 {
                return wire.get(..at).map(Self::from_checked).ok_or(Malformed);
            }
        }
    }

    /// Reads the possibly compressed name at `*at` of a message and moves `*at` behind it.
    /// Pointers must lead backwards, so that reading always ends (RFC 1035 §4.1.4).
    ///
    /// # Errors
    /// When the name is malformed.
    pub fn from_message(message: &[u8], at: &mut usize) -> Result<Self, Malformed> {
        let mut name = Self::ROOT;
        let (mut read, mut write, mut end, mut floor) = (*at, 0, None, *at);
        loop {
            let len = usize::from(*message.get(read).ok_or(Malformed)?);
            if len & 0xc0 == 0xc0 {
                let low = usize::from(*message.get(read + 1).ok_or(Malformed)?);
                let target = (len & 0x3f) << 8 | low;
                end.get_or_insert(read + 2);
                if target >= floor {
                    return Err(Malformed);
                }
                (read, floor) = (target, target);
                continue;
            }
            if len > LABEL_BYTES_MAX || write + 1 + len > NAME_BYTES_MAX {
                return Err(Malformed);
            }
            let label = message.get(read..read + 1 + len).ok_or(Malformed)?;
            name.bytes[write..write + label.len()].copy_from_slice(label);
            (read, write) = (read + label.len(), write + label.len());
            if len == 0 {
                *at = end.unwrap_or(read);
                name.len = write as u8;
                return Ok(name);
            }
        }
    }

    /// Reads presentation form (RFC 1035 §5.1), with or without the trailing dot.
    ///
    /// # Errors
    /// When it is not a name.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        let mut name = Self::ROOT;
        if text == "." {
            return Ok(name);
        }
        let (mut start, mut at) = (0, 1);
        let mut bytes = text.bytes();
        let close = |name: &mut Self, start: usize, at: usize| {
            let len = at - start - 1;
            if len == 0 || len > LABEL_BYTES_MAX {
                return Err(Malformed);
            }
            name.bytes[start] = len as u8;
            Ok(())
        };
        while let Some(b) = bytes.next() {
            let b = match b {
                b'.' => {
                    close(&mut name, start, at)?;
                    (start, at) = (at, at + 1);
                    continue;
                }
                b'\\' => escaped(&mut bytes)?,
                b => b,
            };
            *name.bytes.get_mut(at).ok_or(Malformed)? = b;
            at += 1;
        }
        if at > start + 1 {
            close(&mut name, start, at)?;
        } else if start == 0 {
            return Err(Malformed);
        } else {
            at -= 1;
        }
        // `at` is where the root label goes.
        *name.bytes.get_mut(at).ok_or(Malformed)? = 0;
        name.len = (at + 1) as u8;
        Ok(name)
    }

    /// The same name in lower case (RFC 4343).
    #[must_use]
    pub fn lower(&self) -> Self {
        let mut name = *self;
        // Length bytes are below `A`, so they stay as they are.
        name.bytes[..usize::from(self.len)].make_ascii_lowercase();
        name
    }

    /// The name and its ancestors up to the root, longest first, as slices of the wire form.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        suffixes(self.wire())
    }

    /// The labels without the root's, leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes().filter(|s| s.len() > 1).map(|s| &s[1..=usize::from(s[0])])
    }

    /// How many labels it has besides the root's.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// `prefix` labels of this name before `suffix`; none when that is too long.
    pub(crate) fn replace_suffix(&self, cut: usize, suffix: &[u8]) -> Option<Self> {
        let mut name = Self::ROOT;
        let len = cut + suffix.len();
        if len > NAME_BYTES_MAX {
            return None;
        }
        name.bytes[..cut].copy_from_slice(&self.bytes[..cut]);
        name.bytes[cut..len].copy_from_slice(suffix);
        name.len = len as u8;
        Some(name)
    }
}

/// A checked wire name and its ancestors up to the root, longest first.
pub(crate) fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let now = rest?;
        let len = usize::from(now[0]);
        rest = (len > 0).then(|| &now[1 + len..]);
        Some(now)
    })
}

/// Whether the checked wire name `name` is `ancestor` or below it; both in one case.
pub(crate) fn at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    suffixes(name).any(|s| s == ancestor)
}

fn escaped(bytes: &mut std::str::Bytes<'_>) -> Result<u8, Malformed> {
    let first = bytes.next().ok_or(Malformed)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let b = bytes.next().filter(u8::is_ascii_digit).ok_or(Malformed)?;
        value = value * 10 + u32::from(b - b'0');
    }
    u8::try_from(value).map_err(|_| Malformed)
}

/// Prints a checked wire name: absolute without the trailing dot, the root as `.`, RFC 1035
/// escapes. What it prints is ASCII.
pub(crate) fn print(wire: &[u8], out: &mut String) {
    if wire.len() <= 1 {
        out.push('.');
        return;
    }
    for (i, suffix) in suffixes(wire).filter(|s| s.len() > 1).enumerate() {
        if i > 0 {
            out.push('.');
        }
        for &b in &suffix[1..=usize::from(suffix[0])] {
            match b {
                b'.' | b'\\' => out.extend(['\\', char::from(b)]),
                0x21..=0x7e => out.push(char::from(b)),
                _ => {
                    let digit = |d: u8| char::from(b'0' + d);
                    out.extend(['\\', digit(b / 100), digit(b / 10 % 10), digit(b % 10)]);
                }
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(usize::from(self.len));
        print(self.wire(), &mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Name {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_wire() {
        let check = |text: &str, wire: &[u8], printed: &str| {
            let name = Name::from_text(text).unwrap();
            assert_eq!(name.wire(), wire, "{text}");
            assert_eq!(name.to_string(), printed);
            assert_eq!(Name::from_wire(wire).unwrap(), name);
        };
        check(".", b"\0", ".");
        check("a.", b"\x01a\0", "a");
        check("www.Example", b"\x03www\x07Example\0", "www.Example");
        check(r"a\.b.c", b"\x03a.b\x01c\0", r"a\.b.c");
        check(r"\032\092\255.c", b"\x03 \\\xff\x01c\0", r"\032\\\255.c");
    }

    #[test]
    fn text_that_is_no_name() {
        let long_label = "a".repeat(64);
        let long_name = "abcdefg.".repeat(32);
        for bad in ["", "..", ".a", "a..b", r"\25", r"\256", r"a\", &long_label, &long_name] {
            assert_eq!(Name::from_text(bad), Err(Malformed), "{bad}");
        }
        let longest =
            format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(Name::from_text(&longest).unwrap().wire().len(), 255);
        assert_eq!(Name::from_text(&format!("{longest}d")), Err(Malformed));
        assert!(Name::from_text(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn pointers_lead_backwards_only() {
        let message = b"\x01a\0\x01b\xc0\x00\xc0\x07\xc0\x03";
        let mut at = 3;
        assert_eq!(Name::from_message(message, &mut at).unwrap().to_string(), "b.a");
        assert_eq!(at, 7);
        assert_eq!(Name::from_message(message, &mut 7), Err(Malformed));
        assert_eq!(Name::from_message(message, &mut 9).unwrap().to_string(), "b.a");
        assert_eq!(Name::from_message(b"\x01a\xc0\x00", &mut 0), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message: Vec<u8>, at in 0usize..64) {
            let mut end = at;
            if let Ok(name) = Name::from_message(&message, &mut end) {
                prop_assert!(end > at && end <= message.len());
                prop_assert_eq!(Name::from_wire(name.wire()).unwrap(), name);
                prop_assert_eq!(Name::from_text(&name.to_string()).unwrap(), name);
            }
        }
    }
}
