//! Files of `NAME=value` lines, with systemd's syntax (systemd.exec(5), `EnvironmentFile=`). Pure.

/// Where in a line the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    BeforeName,
    Name,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuoted,
    DoubleQuoted,
    DoubleQuotedEscape,
    Comment,
    CommentEscape,
}

/// The assignments of a file, in its order. A later one of the same name wins.
///
/// Empty lines and those that start with `#` or `;` say nothing, nor do lines without `=` or with a name that is none.
/// White space around a value is left out unless it is quoted. In a value without quotes a backslash keeps the next
/// character as it is; within double quotes it does so for `"`, `\`, `` ` `` and `$`; single quotes keep everything. A
/// backslash at the end of a line joins it with the next. Quoted values may run over several lines.
pub(crate) fn parse(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader::default();
    for byte in text {
        reader.byte(*byte);
    }
    reader.end();
    reader.found
}

struct Reader {
    at: At,
    name: Vec<u8>,
    value: Vec<u8>,
    /// How much of the value white space at its end must not be taken from: up to here it was quoted or escaped.
    kept: usize,
    found: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { at: At::BeforeName, name: Vec::new(), value: Vec::new(), kept: 0, found: Vec::new() }
    }
}

impl Reader {
    fn byte(&mut self, byte: u8) {
        let newline = matches!(byte, b'\n' | b'\r');
        match self.at {
            At::BeforeName => match byte {
                b'#' | b';' => self.at = At::Comment,
                _ if byte.is_ascii_whitespace() => {}
                _ => {
                    self.at = At::Name;
                    self.name.push(byte);
                }
            },
            At::Name if newline => self.start_over(),
            At::Name if byte == b'=' => self.at = At::BeforeValue,
            At::Name => self.name.push(byte),
            At::BeforeValue => match byte {
                _ if newline => self.finish(),
                b'\'' => self.at = At::SingleQuoted,
                b'"' => self.at = At::DoubleQuoted,
                b'\\' => self.at = At::ValueEscape,
                _ if byte.is_ascii_whitespace() => {}
                _ => {
                    self.at = At::Value;
                    self.value.push(byte);
                }
            },
            At::Value if newline => self.finish(),
            At::Value if byte == b'\\' => self.at = At::ValueEscape,
            At::Value => self.value.push(byte),
            At::ValueEscape => {
                self.at = At::Value;
                if !newline {
                    self.keep(byte);
                }
            }
            At::SingleQuoted if byte == b'\'' => self.at = At::BeforeValue,
            At::SingleQuoted => self.keep(byte),
            At::DoubleQuoted => match byte {
                b'"' => self.at = At::BeforeValue,
                b'\\' => self.at = At::DoubleQuotedEscape,
                _ => self.keep(byte),
            },
            At::DoubleQuotedEscape => {
                self.at = At::DoubleQuoted;
                if matches!(byte, b'"' | b'\\' | b'`' | b'$') {
                    self.keep(byte);
                } else if !newline {
                    self.keep(b'\\');
                    self.keep(byte);
                }
            }
            At::Comment if newline => self.at = At::BeforeName,
            At::Comment if byte == b'\\' => self.at = At::CommentEscape,
            At::Comment => {}
            At::CommentEscape => self.at = At::Comment,
        }
    }

    fn keep(&mut self, byte: u8) {
        self.value.push(byte);
        self.kept = self.value.len();
    }

    fn end(&mut self) {
        match self.at {
            At::BeforeName | At::Name | At::Comment | At::CommentEscape => {}
            _ => self.finish(),
        }
    }

    fn finish(&mut self) {
        while self.value.len() > self.kept && self.value.last().is_some_and(u8::is_ascii_whitespace) {
            self.value.pop();
        }
        while self.name.last().is_some_and(u8::is_ascii_whitespace) {
            self.name.pop();
        }
        let valid = |name: &[u8]| {
            name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
                && name.first().is_some_and(|b| !b.is_ascii_digit())
        };
        if valid(&self.name) && !self.value.contains(&0) {
            self.found.push((std::mem::take(&mut self.name), std::mem::take(&mut self.value)));
        }
        self.start_over();
    }

    fn start_over(&mut self) {
        self.at = At::BeforeName;
        self.name.clear();
        self.value.clear();
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    fn read(text: &str) -> Vec<(String, String)> {
        let owned = |bytes| String::from_utf8(bytes).unwrap();
        parse(text.as_bytes()).into_iter().map(|(name, value)| (owned(name), owned(value))).collect()
    }

    fn one(text: &str) -> String {
        let mut all = read(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).1
    }

    #[test]
    fn comments_empty_lines_and_lines_without_an_assignment_say_nothing() {
        assert_eq!(
            read("# a\n; b\n\n  \nnothing\nexport A=1\n1X=2\n  X = 1 \n#last\\\ncontinued=1"),
            [("X".into(), "1".into())]
        );
    }

    #[test]
    fn values_are_read_as_systemd_reads_them() {
        assert_eq!(one("X=  a b  "), "a b");
        assert_eq!(one("X=\"  a \\\" \\$HOME \\n\\\nb \"  "), "  a \" $HOME \\nb ");
        assert_eq!(one("X='a \\ \"b\" $c\nd'"), "a \\ \"b\" $c\nd");
        assert_eq!(one("X=a\\\nb"), "ab");
        assert_eq!(one("X=a\\ \\\\"), "a \\");
        assert_eq!(one("X='a'\"b\"c"), "abc");
        assert_eq!(one("X=it's"), "it's");
        assert_eq!(one("X=a#b ; c"), "a#b ; c");
        assert_eq!(one("X="), "");
        assert_eq!(one("X=1\r\n"), "1");
        assert_eq!(one("X='unclosed"), "unclosed");
    }

    proptest! {
        #[test]
        fn anything_gives_names_and_values_that_an_environment_takes(text in prop::collection::vec(any::<u8>(), 0..200)) {
            for (name, value) in parse(&text) {
                prop_assert!(!name.is_empty() && !name.contains(&b'=') && !name.contains(&0));
                prop_assert!(!value.contains(&0));
            }
        }

        #[test]
        fn a_single_quoted_value_is_kept_byte_for_byte(value in "[^'\0]{0,40}") {
            prop_assert_eq!(one(&format!("NAME='{value}'\n")), value);
        }
    }
}
