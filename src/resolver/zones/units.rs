//! TTLs with units (`1h`, `2w3d`), which zone files of BIND's tradition use and the scanner does
//! not know: rewritten as plain seconds, before scanning, on the same lines.

/// The text with TTLs in seconds: after `$TTL`, before a record's type, and in SOA data.
pub(super) fn plain_numbers(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    let mut depth = 0;
    let mut expect = Expect::Owner;
    while at < text.len() {
        match text[at] {
            b'\n' if depth == 0 => expect = Expect::Owner,
            b'(' => depth += 1,
            b')' => depth -= i32::from(depth > 0),
            b';' => {
                let end = find(text, at, |b| b == b'\n');
                out.extend_from_slice(&text[at..end]);
                at = end;
                continue;
            }
            b' ' | b'\t' if matches!(expect, Expect::Owner) => expect = Expect::Type,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => {
                let end = quoted_end(text, at);
                out.extend_from_slice(&text[at..end]);
                at = end;
                expect = expect.after(b"\"");
                continue;
            }
            _ => {
                let end = token_end(text, at);
                let token = &text[at..end];
                match seconds(token).filter(|_| expect.takes_ttl()) {
                    Some(s) => out.extend_from_slice(s.to_string().as_bytes()),
                    None => out.extend_from_slice(token),
                }
                expect = expect.after(token);
                at = end;
                continue;
            }
        }
        out.push(text[at]);
        at += 1;
    }
    out
}

/// What the next token of an entry may be.
#[derive(Clone, Copy)]
enum Expect {
    Owner,
    /// A TTL, a class or the type.
    Type,
    /// The number of `$TTL`.
    Ttl,
    /// This many tokens of SOA data have been seen.
    Soa(usize),
    Anything,
}

impl Expect {
    fn takes_ttl(self) -> bool {
        matches!(self, Self::Type | Self::Ttl | Self::Soa(3..=6))
    }

    fn after(self, token: &[u8]) -> Self {
        let is = |s: &str| token.eq_ignore_ascii_case(s.as_bytes());
        match self {
            Self::Owner if is("$TTL") => Self::Ttl,
            Self::Owner if token.first() == Some(&b'$') => Self::Anything,
            Self::Owner => Self::Type,
            Self::Type if is("SOA") => Self::Soa(0),
            Self::Type if is("IN") || is("CH") || is("HS") => Self::Type,
            Self::Type if token.iter().all(u8::is_ascii_digit) || seconds(token).is_some() => {
                Self::Type
            }
            Self::Soa(n) => Self::Soa(n + 1),
            _ => Self::Anything,
        }
    }
}

/// The seconds that a token with units stands for.
fn seconds(token: &[u8]) -> Option<u32> {
    let (mut total, mut number) = (0_u32, None);
    for b in token {
        if b.is_ascii_digit() {
            let n: u32 = number.unwrap_or(0);
            number = Some(n.checked_mul(10)?.checked_add(u32::from(b - b'0'))?);
            continue;
        }
        let unit = match b.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    // Plain numbers stay as they are.
    (number.is_none() && !token.is_empty()).then_some(total)
}

fn find(text: &[u8], from: usize, stop: impl Fn(u8) -> bool) -> usize {
    text[from..].iter().position(|b| stop(*b)).map_or(text.len(), |n| from + n)
}

fn token_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b) = text.get(at) {
        match b {
            b'\\' => at += 2,
            b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' | b'"' => break,
            _ => at += 1,
        }
    }
    at.min(text.len())
}

fn quoted_end(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(b) = text.get(at) {
        match b {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_become_seconds_only_where_ttls_stand() {
        let check = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8(plain_numbers(text.as_bytes())).unwrap(), expected);
        };
        check("$TTL 1h ; 1h\n", "$TTL 3600 ; 1h\n");
        check("1h 1H30m IN A 192.0.2.1\n", "1h 5400 IN A 192.0.2.1\n");
        check("1h IN 1d TXT 1h \"1h ; 1h\"\n", "1h IN 86400 TXT 1h \"1h ; 1h\"\n");
        check("\t2W\tNS 1d\n 60 NS 1d\n", "\t1209600\tNS 1d\n 60 NS 1d\n");
        check(
            "@ SOA ns 1h (\n 7 ; serial\n 1h\n15m 1w 1d )\n@ NS ns\n",
            "@ SOA ns 1h (\n 7 ; serial\n 3600\n900 604800 86400 )\n@ NS ns\n",
        );
        check("a\\;b 1h A 192.0.2.1\n", "a\\;b 3600 A 192.0.2.1\n");
        check("a 9999999999h A 192.0.2.1\n", "a 9999999999h A 192.0.2.1\n");
        check("$ORIGIN 1h.test.\n", "$ORIGIN 1h.test.\n");
    }

    proptest! {
        #[test]
        fn lines_stay_where_they_are(text in r#"[ a-z0-9$;()"\\\n\t]{0,200}"#) {
            let count = |t: &[u8]| t.iter().filter(|b| **b == b'\n').count();
            prop_assert_eq!(count(&plain_numbers(text.as_bytes())), count(text.as_bytes()));
        }
    }
}
