//! Just enough of Lua's lexical structure to find the line of a key in a table.

/// What a token is; its text is a slice of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a reserved word.
    Word,
    /// A string; the span is its content between the quotes or brackets, escapes untouched.
    Text,
    /// A number.
    Number,
    /// One character of anything else. Two-character operators come as two, which no search here minds but `==`.
    Symbol(u8),
    /// `==`, kept apart from the `=` of a field.
    Equals,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Where its text begins.
    pub(super) start: u32,
    /// Where its text ends.
    pub(super) end: u32,
    /// Its line, from 1.
    pub(super) line: u32,
}

impl Token {
    /// Its text.
    pub(super) fn text<'s>(&self, source: &'s str) -> &'s str {
        source.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

/// Splits a source into tokens. Never fails: the VM has compiled the text already, and on anything odd a position is
/// merely less exact.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { bytes: source.as_bytes(), at: 0, line: 1, out: Vec::with_capacity(source.len() / 6) };
    if lexer.bytes.first() == Some(&b'#') {
        lexer.skip_line();
    }
    while lexer.step() {}
    lexer.out
}

struct Lexer<'s> {
    bytes: &'s [u8],
    at: usize,
    line: u32,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, line: u32) {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        self.out.push(Token { kind, start: clamp(start), end: clamp(end), line });
    }

    fn step(&mut self) -> bool {
        if self.at >= self.bytes.len() {
            return false;
        }
        let start = self.at;
        match self.peek(0) {
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
            b'-' if self.peek(1) == b'-' => self.comment(),
            quote @ (b'"' | b'\'') => self.quoted(quote),
            b'[' if self.long_level().is_some() => {
                let line = self.line;
                let (start, end) = self.long();
                self.push(Kind::Text, start, end, line);
            }
            first if first == b'_' || first.is_ascii_alphabetic() => {
                self.run(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                self.push(Kind::Word, start, self.at, self.line);
            }
            first if first.is_ascii_digit() => {
                self.run(|byte| byte == b'.' || byte.is_ascii_alphanumeric());
                self.push(Kind::Number, start, self.at, self.line);
            }
            b'=' if self.peek(1) == b'=' => {
                self.at += 2;
                self.push(Kind::Equals, start, self.at, self.line);
            }
            b'~' | b'<' | b'>' if self.peek(1) == b'=' => {
                self.at += 2;
                self.push(Kind::Equals, start, self.at, self.line);
            }
            other => {
                self.at += 1;
                self.push(Kind::Symbol(other), start, self.at, self.line);
            }
        }
        true
    }

    fn run(&mut self, more: impl Fn(u8) -> bool) {
        while self.at < self.bytes.len() && more(self.peek(0)) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        self.run(|byte| byte != b'\n');
    }

    fn comment(&mut self) {
        self.at += 2;
        if self.long_level().is_some() {
            self.long();
        } else {
            self.skip_line();
        }
    }

    fn quoted(&mut self, quote: u8) {
        let line = self.line;
        self.at += 1;
        let start = self.at;
        while self.at < self.bytes.len() && self.peek(0) != quote && self.peek(0) != b'\n' {
            if self.peek(0) == b'\\' {
                self.escape();
            } else {
                self.at += 1;
            }
        }
        self.push(Kind::Text, start, self.at, line);
        self.at += 1;
    }

    fn escape(&mut self) {
        self.at += 1;
        if self.peek(0) == b'z' {
            self.at += 1;
            while self.peek(0).is_ascii_whitespace() {
                self.line += u32::from(self.peek(0) == b'\n');
                self.at += 1;
            }
            return;
        }
        self.line += u32::from(self.peek(0) == b'\n');
        self.at += 1;
    }

    /// How many `=` the long bracket at this place has, if it is one.
    fn long_level(&self) -> Option<usize> {
        let mut level = 0;
        while self.peek(1 + level) == b'=' {
            level += 1;
        }
        (self.peek(0) == b'[' && self.peek(1 + level) == b'[').then_some(level)
    }

    /// Passes a long bracket; returns the span of its content.
    fn long(&mut self) -> (usize, usize) {
        let level = self.long_level().unwrap_or(0);
        self.at += level + 2;
        let start = self.at;
        while self.at < self.bytes.len() {
            if self.peek(0) == b']' && (0..level).all(|i| self.peek(1 + i) == b'=') && self.peek(1 + level) == b']' {
                let end = self.at;
                self.at += level + 2;
                return (start, end);
            }
            self.line += u32::from(self.peek(0) == b'\n');
            self.at += 1;
        }
        (start, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(source: &str) -> Vec<(String, u32)> {
        tokens(source).iter().map(|token| (token.text(source).to_owned(), token.line)).collect()
    }

    #[test]
    fn comments_and_strings_keep_the_count_of_lines() {
        let source = "--[==[ a\n]] b ]==] x\ny = [[\nlong\n]] z = 'it\\'s' -- c\n\"a\\z  \n b\" w";
        let expected: Vec<(String, u32)> = [
            ("x", 2),
            ("y", 3),
            ("=", 3),
            ("\nlong\n", 3),
            ("z", 5),
            ("=", 5),
            ("it\\'s", 5),
            ("a\\z  \n b", 6),
            ("w", 7),
        ]
        .map(|(text, line)| (text.to_owned(), line))
        .to_vec();
        assert_eq!(seen(source), expected);
    }

    #[test]
    fn a_comparison_is_no_assignment() {
        let kinds: Vec<Kind> = tokens("a == b <= c = d").iter().map(|token| token.kind).collect();
        assert_eq!(
            kinds,
            [Kind::Word, Kind::Equals, Kind::Word, Kind::Equals, Kind::Word, Kind::Symbol(b'='), Kind::Word]
        );
    }

    #[test]
    fn an_unfinished_string_ends_with_the_text() {
        assert_eq!(seen("x = \"abc"), [("x".into(), 1), ("=".into(), 1), ("abc".into(), 1)]);
        assert_eq!(seen("[[abc"), [("abc".into(), 1)]);
        assert_eq!(
            seen("\"\\"),
            [(String::from("\\"), 1)].into_iter().map(|(_, l)| (String::new(), l)).collect::<Vec<_>>()
        );
    }
}
