//! SQL in tokens, as far as the refusals need them.
//!
//! The engine's own lexer accepts more spellings than people use. Wherever the two could read a
//! text differently (a nested comment, a `$tag$` heredoc, a backslash in a quoted name, typographic
//! quotes, control characters) the text is refused rather than guessed at: what passes is read by
//! both in the same way.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in backticks or double quotes.
    Quoted,
    /// A string in single quotes.
    Text,
    /// Digits and what sticks to them.
    Number,
    /// One other character.
    Sign(u8),
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// What it is.
    pub(super) kind: Kind,
    /// Its text; of a quoted name or string what is between the quotes.
    pub(super) text: &'t str,
    /// The offset behind it.
    pub(super) end: usize,
    /// The offset where it starts.
    pub(super) start: usize,
}

impl Token<'_> {
    /// Whether this is the keyword `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether this is `sign`.
    pub(super) fn sign(&self, sign: u8) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// Why a text has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub(super) struct LexError {
    /// Where.
    pub(super) at: usize,
    /// What is there.
    pub(super) reason: &'static str,
}

/// The tokens of `text`, one after the other. Comments and white space are left out.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + offset).copied()
    }

    fn error(&self, reason: &'static str) -> LexError {
        LexError { at: self.at, reason }
    }

    /// The next token, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'t>>, LexError> {
        self.skip()?;
        let start = self.at;
        let Some(first) = self.byte(0) else { return Ok(None) };
        let (kind, inner) = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, self.run()),
            b'0'..=b'9' => (Kind::Number, self.run()),
            b'\'' => (Kind::Text, self.quoted(b'\'')?),
            b'`' | b'"' => (Kind::Quoted, self.quoted(first)?),
            b'$' => return Err(self.error("a dollar sign outside a string")),
            0..=31 | 127 => return Err(self.error("a control character outside a string")),
            128.. => return Err(self.error("a character outside ASCII and outside quotes")),
            sign => {
                self.at += 1;
                (Kind::Sign(sign), start..self.at)
            }
        };
        Ok(Some(Token { kind, text: &self.text[inner], start, end: self.at }))
    }

    fn run(&mut self) -> std::ops::Range<usize> {
        let start = self.at;
        while self.byte(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.at += 1;
        }
        start..self.at
    }

    fn quoted(&mut self, quote: u8) -> Result<std::ops::Range<usize>, LexError> {
        let start = self.at;
        // x'…' and b'…' know no escapes, '…' does.
        let raw = quote == b'\''
            && start > 0
            && matches!(self.text.as_bytes()[start - 1], b'x' | b'X' | b'b' | b'B');
        self.at += 1;
        loop {
            match self.byte(0) {
                None => return Err(LexError { at: start, reason: "a quote that is not closed" }),
                Some(0) => return Err(self.error("a NUL character")),
                Some(b'\\') if quote != b'\'' || raw => {
                    return Err(self.error("a backslash in a quoted name or a raw string"));
                }
                Some(b'\\') => self.at += 2,
                Some(b) if b == quote && self.byte(1) == Some(quote) => self.at += 2,
                Some(b) if b == quote => {
                    self.at += 1;
                    return Ok(start + 1..self.at - 1);
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn skip(&mut self) -> Result<(), LexError> {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.line(),
                (Some(b'#'), Some(b' ' | b'!')) => self.line(),
                (Some(b'#'), _) => return Err(self.error("a # that starts no comment")),
                (Some(b'/'), Some(b'*')) => self.block()?,
                _ => return Ok(()),
            }
        }
    }

    fn line(&mut self) {
        while self.byte(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    fn block(&mut self) -> Result<(), LexError> {
        let start = self.at;
        self.at += 2;
        loop {
            match (self.byte(0), self.byte(1)) {
                (None, _) => {
                    return Err(LexError { at: start, reason: "a comment that is not closed" });
                }
                (Some(b'*'), Some(b'/')) => {
                    self.at += 2;
                    return Ok(());
                }
                (Some(b'/'), Some(b'*')) => {
                    return Err(self.error("a comment within a comment"));
                }
                (Some(0), _) => return Err(self.error("a NUL character")),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<(Kind, String)>, &'static str> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        while let Some(t) = lexer.next().map_err(|e| e.reason)? {
            tokens.push((t.kind, t.text.to_owned()));
        }
        Ok(tokens)
    }

    fn words(text: &str) -> String {
        match all(text) {
            Ok(tokens) => tokens.into_iter().map(|(_, t)| t).collect::<Vec<_>>().join("|"),
            Err(reason) => reason.to_owned(),
        }
    }

    #[test]
    fn tokens() {
        for (text, expected) in [
            ("", ""),
            ("SELECT 1", "SELECT|1"),
            ("select 'a;b' -- ; drop\n, 2", "select|a;b|,|2"),
            ("select 'it''s' ;x", "select|it''s|;|x"),
            (r"select 'a\';b'", r"select|a\';b"),
            (r"select 'a\\';b", r"select|a\\|;|b"),
            ("a/*;*/b", "a|b"),
            ("a/**/b", "a|b"),
            ("a/* /* */ b", "a comment within a comment"),
            ("a/* x", "a comment that is not closed"),
            ("`a``b` \"c\"\"d\"", "a``b|c\"\"d"),
            (r"`a\`;b`", "a backslash in a quoted name or a raw string"),
            ("x'41' x '4\\''", "x|41|x|4\\'"),
            (r"x'\'", "a backslash in a quoted name or a raw string"),
            ("'open", "a quote that is not closed"),
            ("$$;$$", "a dollar sign outside a string"),
            ("select ‘;’", "a character outside ASCII and outside quotes"),
            ("select '‘;’ 中文' as `名`", "select|‘;’ 中文|as|名"),
            ("a\u{0}b", "a control character outside a string"),
            ("'a\u{0}b'", "a NUL character"),
            ("a #c ;\nb", "a # that starts no comment"),
            ("a # c ;\nb", "a|b"),
            ("a - - b", "a|-|-|b"),
            ("t.1 0x1F 1e5", "t|.|1|0x1F|1e5"),
            (r"'\", "a quote that is not closed"),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_and_every_token_lies_within_it(text in r#"[ -~\n中‘\x00$]{0,60}|(['"`\\;/*\-# a(]{0,40})"#) {
            let mut lexer = Lexer::new(&text);
            let mut at = 0;
            while let Ok(Some(token)) = lexer.next() {
                prop_assert!(at <= token.start && token.start < token.end && token.end <= text.len());
                at = token.end;
            }
        }

        #[test]
        fn what_is_quoted_stays_one_token(inner in r#"[ -~中\n]{0,30}"#) {
            let text = format!("'{}'", inner.replace('\\', r"\\").replace('\'', r"\'"));
            let name = format!("`{}`", inner.replace(['\\', '`'], ""));
            prop_assert_eq!(all(&text).unwrap().len(), 1);
            prop_assert_eq!(all(&name).unwrap().len(), 1);
        }
    }
}
