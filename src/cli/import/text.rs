//! Values as a person writes them in Lua.

use crate::spec::{Node, Value};

/// Lines are no longer than this where they can be broken.
const WIDTH: usize = 110;

/// Words that cannot be names.
const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// Whether this can stand as a name.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !KEYWORDS.contains(&text)
}

/// A comment's line.
pub(super) fn comment(text: &str) -> String {
    let text = text.strip_prefix(' ').unwrap_or(text);
    format!("{}\n", format!("-- {text}").trim_end())
}

/// As [`table`], with the comments that stand before each key.
pub(super) fn commented(fields: &[(String, Node)], before: &dyn Fn(&str) -> Vec<String>) -> String {
    match fields.iter().any(|(name, _)| !before(name).is_empty()) {
        true => block(fields, 0, before),
        false => table(fields),
    }
}

/// A table's text as the last argument of a call: a key a line, unless there is but one.
pub(super) fn table(fields: &[(String, Node)]) -> String {
    match fields {
        [_] if fields_in_line(fields).len() < WIDTH / 2 => fields_in_line(fields),
        _ => block(fields, 0, &|_| Vec::new()),
    }
}

fn block(fields: &[(String, Node)], depth: usize, before: &dyn Fn(&str) -> Vec<String>) -> String {
    let indent = "  ".repeat(depth + 1);
    let mut text = String::from("{\n");
    for (name, node) in fields {
        before(name).iter().for_each(|line| text += &format!("{indent}{}", comment(line)));
        let key = key(name);
        let room = WIDTH.saturating_sub(indent.len() + key.len() + 4);
        text += &format!("{indent}{key} = {},\n", value(&node.value, depth + 1, room));
    }
    text + &"  ".repeat(depth) + "}"
}

fn key(name: &str) -> String {
    if is_name(name) { name.to_owned() } else { format!("[{}]", string(name)) }
}

/// A value: on one line when it fits into this room.
fn value(value: &Value, depth: usize, room: usize) -> String {
    let line = one_line(value);
    if line.chars().count() <= room && !line.contains('\n') {
        return line;
    }
    match value {
        Value::Map(fields) => block(fields, depth, &|_| Vec::new()),
        Value::Made { kind, fields } => format!("neap.{kind} {}", block(fields, depth, &|_| Vec::new())),
        Value::List(items) => {
            let indent = "  ".repeat(depth + 1);
            let room = WIDTH.saturating_sub(indent.len() + 1);
            let items = items.iter().map(|item| format!("{indent}{},\n", self::value(&item.value, depth + 1, room)));
            format!("{{\n{}{}}}", items.collect::<String>(), "  ".repeat(depth))
        }
        _ => line,
    }
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::List(items) => braced(items.iter().map(|item| one_line(&item.value))),
        Value::Map(fields) => fields_in_line(fields),
        Value::Made { kind, fields } => match &fields[..] {
            [(name, Node { value: Value::String(text), .. })] if *kind == "logline" && name == "pattern" => {
                format!("neap.logline {}", string(text))
            }
            fields => format!("neap.{kind} {}", fields_in_line(fields)),
        },
        Value::Handle(local) => local.clone(),
        Value::Unset => "neap.unset".to_owned(),
        // Nothing of this comes from YAML.
        Value::Null | Value::Function(_) | Value::Secret(_) | Value::Other(_) => "nil".to_owned(),
    }
}

fn fields_in_line(fields: &[(String, Node)]) -> String {
    braced(fields.iter().map(|(name, node)| format!("{} = {}", key(name), one_line(&node.value))))
}

fn braced(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", items.join(", ")) }
}

/// A text: several lines as they are, in long brackets, where that says the same.
pub(super) fn string(text: &str) -> String {
    let plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    let lines = text.trim_end_matches('\n').contains('\n');
    if lines && text.chars().all(plain) { long(text) } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            c if c == quote => quoted.extend(['\\', c]),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

/// The first line break after the opening bracket is none of the text's.
fn long(text: &str) -> String {
    let mut level = String::new();
    while text.contains(&format!("]{level}]")) || text.ends_with(&format!("]{level}")) {
        level.push('=');
    }
    format!("[{level}[\n{text}]{level}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_so_that_lua_reads_them_back() {
        for (text, expected) in [
            ("", "\"\""),
            ("a \"b\" \\", "'a \"b\" \\\\'"),
            ("it's \"b\"", "\"it's \\\"b\\\"\""),
            ("one line\n", "\"one line\\n\""),
            ("a\nb\n", "[[\na\nb\n]]"),
            ("if [[ -f x ]]\nthen", "[=[\nif [[ -f x ]]\nthen]=]"),
            ("a\n]", "[=[\na\n]]=]"),
            ("a\r\nb", "\"a\\r\\nb\""),
            ("\u{1b}", "\"\\u{1b}\""),
        ] {
            assert_eq!(string(text), expected);
        }
    }

    #[test]
    fn what_is_no_name_is_put_in_brackets() {
        assert!(is_name("trace_agent") && !is_name("trace-agent") && !is_name("end") && !is_name("1st"));
        assert_eq!(key("A-B"), "[\"A-B\"]");
    }
}
