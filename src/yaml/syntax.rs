//! What is wrong with the text itself, in words that say what to do.

use granit_parser::{ErrorKind, ScanError};

use super::bounds::DEEPEST;
use super::others::is_anothers;
use super::text;
use crate::spec::Problem;
use crate::spec::units::quote;

/// The problem that an error of the parser is.
pub(super) fn problem(file: &str, text: &str, error: &ScanError) -> Problem {
    let line = error.marker().line().max(1);
    let (line, message) = match looked_at(text, line, error) {
        Some(found) => found,
        None => (line, said(error.kind())),
    };
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    if is_anothers(file, text.lines(), line) {
        return text::problem(file, line, said_of_anothers(error.kind()));
    }
    text::problem(file, line, message)
}

/// What an error is called where no word of the text may be said.
fn said_of_anothers(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnexpectedCharacter { .. } => "text begins with a character that only quotes allow".into(),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey => said(kind),
        _ => "this is no YAML; look at this line and the ones above it".into(),
    }
}

/// A text's lines, by their numbers.
struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    fn get(&self, number: usize) -> Option<&'a str> {
        self.0.get(number.checked_sub(1)?).copied()
    }
}

/// What the lines around show better than the error does.
fn looked_at(text: &str, line: usize, error: &ScanError) -> Option<(usize, String)> {
    let kind = error.kind();
    let lines = Lines(text.lines().take(line).collect());
    let before = (1..line).rev().find(|number| lines.get(*number).is_some_and(is_content));
    let near = || [Some(line), before].into_iter().flatten();
    if may_be_unclosed(kind)
        && let Some((bracket, opened)) = unclosed(&lines, line, error.marker().col())
    {
        let message =
            format!("the `{bracket}` of line {opened} is not closed, or a comma is missing or too much before this");
        return Some((line, message));
    }
    // Text may go on in the lines below it, where the tab is.
    let below = || {
        let (number, shown) = (line + 1..).zip(text.lines().skip(line)).find(|(_, shown)| is_content(shown))?;
        (is_of_tabs(kind) && is_indented_by_a_tab(shown)).then_some(number)
    };
    if !is_of_quotes(kind)
        && let Some(number) = near().find(|number| lines.get(*number).is_some_and(is_indented_by_a_tab)).or_else(below)
    {
        let message = "this line is indented with a tab; YAML is indented with blanks, so write blanks instead";
        return Some((number, message.into()));
    }
    if !is_about_keys(kind) {
        return None;
    }
    if let Some((number, key)) = near().find_map(|number| Some((number, key_without_blank(lines.get(number)?)?))) {
        return Some((number, format!("a blank is missing after the colon of `{key}:`")));
    }
    let shown = lines.get(line).unwrap_or_default();
    if shown.trim_start().starts_with("- ") {
        let message = "this item does not fit the list above: all items of a list begin in the same column";
        return Some((line, message.into()));
    }
    if let Some(key) = before.and_then(|before| lines.get(before)).and_then(|above| deeper(shown, above)) {
        let message = format!("this line is indented deeper than `{key}:` above, which has its value already");
        return Some((line, message));
    }
    second_colon(shown).map(|value| {
        let value = quote(value);
        (line, format!("{value} has a colon in it that YAML takes for a key's; put the value in quotes"))
    })
}

/// Errors that an open bracket above may be the cause of.
fn may_be_unclosed(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::InvalidFlowScalarIndent
            | ErrorKind::BlockEntryInFlowCollection
            | ErrorKind::InvalidColonPlacement
            | ErrorKind::UnexpectedEof
    ) || is_about_keys(kind)
}

fn is_of_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::InvalidBlockEntryWhitespace
            | ErrorKind::InvalidMappingValueWhitespace
    )
}

fn is_of_quotes(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnclosedQuotedScalar
            | ErrorKind::UnknownQuotedScalarEscape
            | ErrorKind::InvalidTrailingSingleQuotedScalar
            | ErrorKind::InvalidTrailingDoubleQuotedScalar
            | ErrorKind::RecursionLimitExceeded
    )
}

fn is_about_keys(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::SimpleKeyExpected
            | ErrorKind::InvalidSimpleKey
            | ErrorKind::MappingValueNotAllowed
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::InvalidIndentation
            | ErrorKind::ExpectedDocumentStart
            | ErrorKind::UnexpectedEofBlockMapping
    )
}

fn is_indented_by_a_tab(line: &str) -> bool {
    let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    indentation.contains('\t') && is_content(line)
}

/// The bracket that is open before a place, and its line: nothing but what stands where a value may begin opens one.
fn unclosed(lines: &Lines, line: usize, column: usize) -> Option<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    for (number, shown) in (1..=line).zip(lines.0.iter()) {
        let width = if number == line { column } else { usize::MAX };
        let mut quote: Option<char> = None;
        let mut begins = true;
        for character in shown.chars().take(width) {
            match (quote, character) {
                (Some(end), _) if end == character => quote = None,
                (Some(_), _) => {}
                (None, '#') if begins => break,
                (None, '"' | '\'') if begins => quote = Some(character),
                (None, '[' | '{') if begins => open.push((character, number)),
                (None, ']' | '}') if !open.is_empty() => {
                    open.pop();
                }
                _ => {}
            }
            begins = matches!(character, ' ' | '[' | '{' | ',') || (character == '-' && begins);
        }
    }
    open.last().copied()
}

/// The key of the line above, if it has a value and this line's key is indented deeper.
fn deeper<'a>(line: &str, above: &'a str) -> Option<&'a str> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let (key, value) = above.trim_start().split_once(": ")?;
    let scalar = !value.trim().is_empty() && !value.trim_start().starts_with(['|', '>', '&', '#', '[', '{', '"', '\'']);
    (scalar && indentation(line) > indentation(above) && line.contains(':')).then_some(key)
}

fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with('#')
}

/// The key of a line like `restart:always`.
fn key_without_blank(line: &str) -> Option<&str> {
    let (key, value) = line.trim_start().split_once(':')?;
    let named = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (named && !value.is_empty() && !value.starts_with([' ', '\t', '/'])).then_some(key)
}

/// The value of a line like `description: web: the shop`.
fn second_colon(line: &str) -> Option<&str> {
    let (_, value) = line.trim_start().split_once(": ")?;
    let value = value.trim();
    let quoted = value.starts_with(['"', '\'', '[', '{', '|', '>', '&', '*', '!']);
    (!quoted && (value.contains(": ") || value.ends_with(':'))).then_some(value)
}

/// What an error is called.
fn said(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "a quote is opened here and never closed".into()
        }
        ErrorKind::InvalidQuotedScalarIndent => {
            "text in quotes goes on here with less indentation than its key; is a quote missing?".into()
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "something follows a closing quote; put the whole value in quotes, with `\\\"` for each quote inside".into()
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar => {
            "something follows a closing quote; put the whole value in quotes, with `''` for each quote inside".into()
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            "there is no such escape in \"…\"; write `\\\\` for a backslash, or use '…', where it is itself".into()
        }
        ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate
        | ErrorKind::InvalidUnicodeEscape => "this escape in \"…\" is no character".into(),
        ErrorKind::UnclosedFlowCollection { open } => format!("the `{open}` is never closed"),
        ErrorKind::UnexpectedEofFlowSequence => "a `[` is never closed".into(),
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            "a `{` is never closed".into()
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            format!("`{close}` closes what `{open}` opened")
        }
        ErrorKind::MisplacedFlowCollectionEnd => "a bracket closes here that was never opened".into(),
        ErrorKind::ExpectedFlowSequenceSeparator => "a list in `[…]` is not closed, or a comma is missing in it".into(),
        ErrorKind::ExpectedFlowMappingSeparator => "a table in `{…}` is not closed, or a comma is missing in it".into(),
        ErrorKind::RecursionLimitExceeded => {
            format!("tables and lists are nested deeper than {DEEPEST} levels here")
        }
        kind if is_of_tabs(kind) => "a tab stands where YAML wants blanks; write blanks instead".into(),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::InvalidFlowScalarIndent => {
            "this line does not fit the ones above: keys of one table begin in the same column, each as `key: value`"
                .into()
        }
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::UnexpectedEofBlockSequence => {
            "this line does not fit the list above: its items begin with `- `, all in the same column".into()
        }
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => {
            "a `- ` cannot stand here; items of a list stand on lines of their own, below their key".into()
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "expected `key: value`, found text without a colon behind it".into()
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::MappingKeyNotAllowed | ErrorKind::InvalidColonPlacement => {
            "a `:` cannot stand here; is a line above not finished, or does text with a colon lack its quotes?".into()
        }
        ErrorKind::UnexpectedCharacter { character } => {
            format!("text cannot begin with {}; put it in quotes", quote(&character.to_string()))
        }
        ErrorKind::CommentInterceptedScalar => {
            "a comment stands in the middle of text of several lines; put the text in quotes or use `|`".into()
        }
        ErrorKind::CommentNotSeparated => "a `#` needs a blank before it, or the text quotes".into(),
        ErrorKind::BomInsideDocument => "an invisible byte order mark stands here; delete it".into(),
        ErrorKind::UndeclaredTagHandle
        | ErrorKind::InvalidTagTerminator
        | ErrorKind::ExpectedTagBang
        | ErrorKind::MissingTagUri => "tags mean nothing here; text that begins with `!` needs quotes".into(),
        ErrorKind::MissingAnchorOrAliasName => "text that begins with `&` or `*` needs quotes".into(),
        ErrorKind::InvalidBlockScalarHeader => "only a comment may follow `|` or `>` on its line".into(),
        ErrorKind::InvalidBlockScalarIndent | ErrorKind::ZeroBlockScalarIndent => {
            "the text after `|` or `>` is indented less than its first line".into()
        }
        ErrorKind::ExpectedDocumentStart | ErrorKind::InvalidDocumentEnd => {
            "this line does not belong to what stands above it; does it stand too far left?".into()
        }
        ErrorKind::ExpectedNodeContent | ErrorKind::PlainScalarStartsWithDashFlowIndicator => {
            "expected a value here".into()
        }
        other => format!("this is no YAML: {other}"),
    }
}
