//! Files of `NAME=value` lines, with systemd's syntax (systemd.exec(5), `EnvironmentFile=`). The parser is pure.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;

use crate::glob::{glob_matches, is_glob};
use crate::spec::EnvFile;

/// No file of variables is longer.
const MAX_LENGTH: u64 = 16 << 20;

/// What the files of a spec come to.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Names and values in the order of the files and lines: a later one of the same name wins.
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Lines that say nothing although they look as if they should, for people.
    pub warnings: Vec<String>,
}

/// Reads a spec's files. An error is a sentence fragment with file and line, and the kernel's answer if it was that.
pub(crate) fn read(files: &[EnvFile], base: &Path) -> Result<Files, (Option<i32>, String)> {
    let mut found = Files::default();
    for file in files {
        let given = base.join(&file.path);
        let cannot = |path: &Path, error: &io::Error| {
            let text = format!("cannot read the environment file `{}`: {error}", path.display());
            (error.raw_os_error(), text)
        };
        let paths = paths(&given).map_err(|error| cannot(&given, &error))?;
        if paths.is_empty() && !file.optional {
            let text = format!("cannot read the environment file `{}`: no file has such a name", given.display());
            return Err((None, text));
        }
        for path in paths {
            let text = match read_file(&path) {
                Ok(text) => text,
                Err(error) if file.optional && is_missing(&error) => continue,
                Err(error) => return Err(cannot(&path, &error)),
            };
            let Parsed { variables, odd } = parse(&text).map_err(|Wrong { line, what }| {
                (None, format!("environment file {}:{line}: {what}", path.display()))
            })?;
            found.variables.extend(variables);
            if let Some(((line, what), more)) = odd.split_first() {
                let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
                found
                    .warnings
                    .push(format!("environment file {}:{line}: {what}, so it is left out{more}", path.display()));
            }
        }
    }
    Ok(found)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The files that a path or pattern stands for, sorted. A path that is there is not a pattern, whatever it looks like.
fn paths(given: &Path) -> io::Result<Vec<PathBuf>> {
    let text = given.to_string_lossy();
    if !is_glob(&text) || fs::symlink_metadata(given).is_ok() {
        return Ok(vec![given.to_owned()]);
    }
    let mut found = vec![PathBuf::new()];
    for part in given.components() {
        let pattern = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !is_glob(&pattern) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut deeper = Vec::new();
        for folder in &found {
            let entries = match fs::read_dir(folder) {
                Err(error) if is_missing(&error) => continue,
                entries => entries?,
            };
            for entry in entries {
                let name = entry?.file_name();
                // As for a shell, a hidden file is not meant unless the pattern begins like one.
                let hidden = name.as_bytes().starts_with(b".") && !pattern.starts_with('.');
                if !hidden && glob_matches(&pattern, &name.to_string_lossy()) {
                    deeper.push(folder.join(name));
                }
            }
        }
        found = deeper;
    }
    found.retain(|path| fs::symlink_metadata(path).is_ok());
    found.sort();
    Ok(found)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut text = Vec::new();
    file.take(MAX_LENGTH + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    Ok(text)
}

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

/// What a text comes to.
#[derive(Debug, Default)]
struct Parsed {
    /// The assignments in their order.
    variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Lines that are none, with their numbers. Values are not quoted: they may be secrets.
    odd: Vec<(u32, String)>,
}

/// What no environment can have, and in which line.
#[derive(Debug)]
struct Wrong {
    line: u32,
    what: String,
}

/// The assignments of a file, in its order. A later one of the same name wins.
///
/// Empty lines and those that start with `#` or `;` say nothing, nor do lines without `=` or with a name that is none.
/// White space around a value is left out unless it is quoted. In a value without quotes a backslash keeps the next
/// character as it is; within double quotes it does so for `"`, `\`, `` ` `` and `$`; single quotes keep everything. A
/// backslash at the end of a line joins it with the next. Quoted values may run over several lines.
fn parse(text: &[u8]) -> Result<Parsed, Wrong> {
    let mut reader = Reader::default();
    for byte in text {
        reader.byte(*byte)?;
        reader.line += u32::from(*byte == b'\n');
    }
    reader.end()?;
    Ok(reader.found)
}

/// systemd's white space, which has no form feed.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

struct Reader {
    at: At,
    line: u32,
    /// Where the name began.
    began: u32,
    name: Vec<u8>,
    value: Vec<u8>,
    /// How much of the value white space at its end must not be taken from: up to here it was quoted or escaped.
    kept: usize,
    found: Parsed,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            at: At::BeforeName,
            line: 1,
            began: 1,
            name: Vec::new(),
            value: Vec::new(),
            kept: 0,
            found: Parsed::default(),
        }
    }
}

impl Reader {
    fn byte(&mut self, byte: u8) -> Result<(), Wrong> {
        if byte == 0 {
            return Err(Wrong { line: self.line, what: "there is a NUL byte, which no variable can have".into() });
        }
        let newline = matches!(byte, b'\n' | b'\r');
        match self.at {
            At::BeforeName => match byte {
                b'#' | b';' => self.at = At::Comment,
                _ if is_space(&byte) => {}
                _ => {
                    self.at = At::Name;
                    self.began = self.line;
                    self.name.push(byte);
                }
            },
            At::Name if newline => self.no_assignment(),
            At::Name if byte == b'=' => self.at = At::BeforeValue,
            At::Name => self.name.push(byte),
            At::BeforeValue => match byte {
                _ if newline => return self.finish(),
                b'\'' => self.at = At::SingleQuoted,
                b'"' => self.at = At::DoubleQuoted,
                b'\\' => self.at = At::ValueEscape,
                _ if is_space(&byte) => {}
                _ => {
                    self.at = At::Value;
                    self.value.push(byte);
                }
            },
            At::Value if newline => return self.finish(),
            At::Value if byte == b'\\' => self.at = At::ValueEscape,
            At::Value => self.value.push(byte),
            At::ValueEscape => {
                self.at = At::Value;
                // What came before the backslash is not at the end of the value any more.
                self.kept = self.value.len();
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
                } else if byte != b'\n' {
                    self.keep(b'\\');
                    self.keep(byte);
                }
            }
            At::Comment if newline => self.at = At::BeforeName,
            At::Comment if byte == b'\\' => self.at = At::CommentEscape,
            At::Comment => {}
            At::CommentEscape => self.at = At::Comment,
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) {
        self.value.push(byte);
        self.kept = self.value.len();
    }

    fn end(&mut self) -> Result<(), Wrong> {
        match self.at {
            At::BeforeName | At::Comment | At::CommentEscape => Ok(()),
            At::Name => {
                self.no_assignment();
                Ok(())
            }
            _ => self.finish(),
        }
    }

    fn no_assignment(&mut self) {
        self.found.odd.push((self.began, "the line has no `=`".into()));
        self.start_over();
    }

    fn finish(&mut self) -> Result<(), Wrong> {
        while self.value.len() > self.kept && self.value.last().is_some_and(is_space) {
            self.value.pop();
        }
        while self.name.last().is_some_and(is_space) {
            self.name.pop();
        }
        let wrong = |what: String| Wrong { line: self.began, what };
        let Ok(name) = std::str::from_utf8(&self.name) else {
            return Err(wrong("a name is not valid UTF-8".into()));
        };
        if std::str::from_utf8(&self.value).is_err() {
            return Err(wrong(format!("the value of `{name}` is not valid UTF-8")));
        }
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if valid {
            self.found.variables.push((std::mem::take(&mut self.name), std::mem::take(&mut self.value)));
        } else {
            // No quotes are added, so that none need be escaped.
            let shown = name.escape_debug().to_string().replace("\\'", "'");
            let mut what = format!("`{shown}` is no name of a variable");
            if name.starts_with("export ") {
                what.push_str(" (this is no shell: leave out `export`)");
            }
            self.found.odd.push((self.began, what));
        }
        self.start_over();
        Ok(())
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

    use super::{parse, paths};

    fn read(text: &str) -> Vec<(String, String)> {
        let owned = |bytes| String::from_utf8(bytes).unwrap();
        let found = parse(text.as_bytes()).unwrap().variables;
        found.into_iter().map(|(name, value)| (owned(name), owned(value))).collect()
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
        // What follows a closed quote begins anew: white space there is left out.
        assert_eq!(one("X='a' b 'c' "), "ab 'c'");
        assert_eq!(one("X=a \\\n b"), "a  b");
        assert_eq!(one("X=a \\\n"), "a ");
        assert_eq!(one("X=\\  "), " ");
        assert_eq!(one("X = 1\t"), "1");
        assert_eq!(one("X==\"="), "=\"=");
        // Only a line feed is joined within quotes.
        assert_eq!(one("X=\"a\\\r\nb\""), "a\\\r\nb");
    }

    #[test]
    fn what_is_left_out_is_told_with_its_line_and_without_its_value() {
        let odd = parse(b"A=1\n\nexport B=secret\r\nsecret\n'X=2\n1=2\nC='a\nb'\nD").unwrap().odd;
        let expected = [
            (3, "`export B` is no name of a variable (this is no shell: leave out `export`)"),
            (4, "the line has no `=`"),
            (5, "`'X` is no name of a variable"),
            (6, "`1` is no name of a variable"),
            (9, "the line has no `=`"),
        ];
        assert_eq!(odd, expected.map(|(line, what)| (line, what.to_owned())));
    }

    #[test]
    fn what_no_variable_can_have_is_an_error_with_its_line() {
        let wrong = |text: &[u8]| parse(text).map_err(|wrong| format!("{}: {}", wrong.line, wrong.what)).unwrap_err();
        assert_eq!(wrong(b"A=1\nB=\0"), "2: there is a NUL byte, which no variable can have");
        assert_eq!(wrong(b"A=1\nB='\n\xff'"), "2: the value of `B` is not valid UTF-8");
        assert_eq!(wrong(b"\xff=1"), "1: a name is not valid UTF-8");
        assert!(parse(b"# \xff\n\xff\n").is_ok());
    }

    #[test]
    fn a_pattern_is_all_files_that_match_in_order_and_a_path_that_is_there_is_none() {
        let folder = std::env::temp_dir().join(format!("neap-envfile-{}", std::process::id()));
        for name in
            ["conf.d/10-a.env", "conf.d/20-b.env", "conf.d/.hidden.env", "conf.d/x.txt", "other.d/1.env", "e*.env"]
        {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), "A=1\n").unwrap();
        }
        let found = |pattern: &str| {
            let found = paths(&folder.join(pattern)).unwrap();
            found.iter().map(|p| p.strip_prefix(&folder).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("conf.d/*.env"), ["conf.d/10-a.env", "conf.d/20-b.env"]);
        assert_eq!(found("*.d/?*.env"), ["conf.d/10-a.env", "conf.d/20-b.env", "other.d/1.env"]);
        assert_eq!(found("e*.env"), ["e*.env"]);
        assert_eq!(found("none*/x.env"), [] as [&str; 0]);
        assert_eq!(found("plain"), ["plain"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    proptest! {
        #[test]
        fn anything_gives_names_and_values_that_an_environment_takes(text in prop::collection::vec(any::<u8>(), 0..200)) {
            for (name, value) in parse(&text).unwrap_or_default().variables {
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
