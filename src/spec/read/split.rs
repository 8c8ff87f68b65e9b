//! Splitting a line into words like a shell would, without being one.

/// The words of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Program and arguments.
    pub words: Vec<String>,
    /// The first thing that a shell would have acted on and that is handed over as it stands (`|`, `$HOME`).
    pub literal: Option<String>,
}

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote has no partner.
    #[error("the quote {0} is never closed")]
    OpenQuote(char),
    /// It ends in a backslash.
    #[error("it ends in a backslash that escapes nothing")]
    TrailingBackslash,
}

/// Splits a line at blanks, minding quotes and backslashes as sh(1) does. Nothing is expanded, and no shell runs.
///
/// ```
/// let split = neap::spec::read::split_command(r#"nginx -g "daemon off;" 'a b'\ c"#)?;
/// assert_eq!(split.words, ["nginx", "-g", "daemon off;", "a b c"]);
/// # Ok::<(), neap::spec::read::SplitError>(())
/// ```
pub fn split_command(line: &str) -> Result<Split, SplitError> {
    let mut split = Split::default();
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if character.is_ascii_whitespace() => split.words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inside) => word.push(inside),
                        None => return Err(SplitError::OpenQuote('\'')),
                    }
                }
            }
            '"' => quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => match characters.next() {
                Some('\n') => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err(SplitError::TrailingBackslash),
            },
            _ => {
                if split.literal.is_none() {
                    split.literal = shell_syntax(character, characters.clone());
                }
                word.get_or_insert_default().push(character);
            }
        }
    }
    split.words.extend(word);
    Ok(split)
}

/// What stands between double quotes: a backslash escapes only what would be special there.
fn quoted(characters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), SplitError> {
    loop {
        match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                Some('\n') => {}
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => return Err(SplitError::OpenQuote('"')),
            },
            Some(inside) => word.push(inside),
            None => return Err(SplitError::OpenQuote('"')),
        }
    }
}

/// What a shell would have acted on here.
fn shell_syntax(character: char, rest: impl Iterator<Item = char>) -> Option<String> {
    match character {
        '|' | '&' | ';' | '<' | '>' | '`' => Some(character.to_string()),
        '$' => {
            let name: String =
                rest.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '{' | '(' | '}')).collect();
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '('));
            named.then(|| format!("${name}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        split_command(line).unwrap().words
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        let cases: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("  ", &[]),
            ("a b\tc\nd", &["a", "b", "c", "d"]),
            ("a  'b c' d", &["a", "b c", "d"]),
            (r#"a "b \" c" d"#, &["a", "b \" c", "d"]),
            (r#""\a\$\\""#, &["\\a$\\"]),
            (r"a\ b c\\d", &["a b", "c\\d"]),
            (r"'a\b'", &["a\\b"]),
            ("a '' \"\"", &["a", "", ""]),
            ("x'y'\"z\"w", &["xyzw"]),
            ("a\\\nb", &["ab"]),
            ("--k='v w'", &["--k=v w"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn an_unfinished_line_is_refused() {
        assert_eq!(split_command("a 'b").unwrap_err().to_string(), "the quote ' is never closed");
        assert_eq!(split_command("a \"b").unwrap_err().to_string(), "the quote \" is never closed");
        assert_eq!(split_command("a \"b\\").unwrap_err().to_string(), "the quote \" is never closed");
        assert_eq!(split_command("a\\").unwrap_err().to_string(), "it ends in a backslash that escapes nothing");
    }

    #[test]
    fn what_a_shell_would_have_acted_on_is_told_and_kept() {
        let literal = |line: &str| split_command(line).unwrap().literal;
        assert_eq!(literal("a | b").as_deref(), Some("|"));
        assert_eq!(literal("echo $HOME/x").as_deref(), Some("$HOME"));
        assert_eq!(literal("echo ${HOME}").as_deref(), Some("${HOME}"));
        assert_eq!(literal("a && b").as_deref(), Some("&"));
        assert_eq!(literal("sh -c 'a | b; echo $HOME'"), None);
        assert_eq!(literal("sh -c \"echo $HOME\""), None);
        assert_eq!(literal("grep a\\|b x$ 5$"), None);
        assert_eq!(words("echo $HOME | cat"), ["echo", "$HOME", "|", "cat"]);
    }

    proptest! {
        #[test]
        fn quoted_words_come_back_as_they_were(words in prop::collection::vec("\\PC{0,12}|[ '\"\\\\$\n]{0,6}", 0..6)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(split_command(&line.join(" ")).unwrap().words, words);
        }

        #[test]
        fn no_line_upsets_it(line in "[a '\"\\\\$|\n]{0,20}") {
            let _ = split_command(&line);
        }
    }
}
