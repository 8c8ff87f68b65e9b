//! From what a person types to what is run: an expression or statements, with locals that stay.

use mlua::{Function, Lua, Table};

use crate::lua::compile;
use crate::lua::lexer::{Kind, Token, tokens};

/// The longest text of one line of a session.
const LONGEST: usize = 256 * 1024;

/// The function of a session's environment that returns what it is given.
pub(super) const RESULTS: &str = "__results";

/// A text, ready to be run.
pub(super) enum Compiled {
    /// Run it.
    Ready(Function),
    /// It is right so far, and not over.
    Incomplete(String),
    /// It is not Lua; the message has its place.
    Wrong(String),
}

/// Compiles a text: as an expression, else as statements. `chunk` is what messages call it.
pub(super) fn compiled(lua: &Lua, chunk: &str, text: &str, env: &Table) -> Compiled {
    if text.len() > LONGEST {
        return Compiled::Wrong(format!("{chunk}:1: the text is longer than {LONGEST} bytes; put it into a file"));
    }
    let compile = |source: String| compile::compile(lua, format!("={chunk}"), source.into_bytes(), Some(env.clone()));
    let expression = match compile(format!("return {text}")) {
        // A function that is called in a `return` has taken its caller's place, and no error would know its line.
        // The line feed is for a comment at the end; without one, it would be counted as the line of a last name.
        Ok(bare) => {
            let wrapped = |end| compile(format!("return {RESULTS}({text}{end})"));
            return Compiled::Ready(wrapped("").or_else(|_| wrapped("\n")).unwrap_or(bare));
        }
        Err(error) => error,
    };
    let statements = match compile(persistent(text)) {
        Ok(function) => return Compiled::Ready(function),
        Err(error) => error,
    };
    let first = tokens(text).first().map(|token| token.text(text).to_owned()).unwrap_or_default();
    let (as_expression, as_statements) = (Complaint::of(expression), Complaint::of(statements));
    // What fails as a statement at its very first word was meant as an expression.
    let meant =
        if as_statements.message.ends_with(&format!("near '{first}'")) { &as_expression } else { &as_statements };
    if as_expression.incomplete || as_statements.incomplete {
        return Compiled::Incomplete(meant.message.clone());
    }
    Compiled::Wrong(meant.message.clone())
}

struct Complaint {
    message: String,
    incomplete: bool,
}

impl Complaint {
    fn of(error: mlua::Error) -> Self {
        match error {
            mlua::Error::SyntaxError { message, incomplete_input } => {
                {
                    // Only a long string goes on in the next line.
                    let incomplete = incomplete_input && !message.contains("unfinished string");
                    Complaint { message, incomplete }
                }
            }
            other => Complaint { message: other.to_string(), incomplete: false },
        }
    }
}

/// The text with the `local` of each outermost statement taken away, so that its names become the session's. Lines and
/// columns stay. A `<close>` keeps its `local`: its value is closed at the end of the text.
pub(super) fn persistent(text: &str) -> String {
    let tokens = tokens(text);
    let mut out = text.as_bytes().to_vec();
    let mut insertions: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Word {
            continue;
        }
        match token.text(text) {
            "function" | "do" | "if" | "repeat" => depth += 1,
            "end" | "until" => depth = depth.saturating_sub(1),
            "local" if depth == 0 => {
                if let Some(declaration) = Declaration::read(text, &tokens, at + 1) {
                    blank(&mut out, token);
                    declaration.attributes.iter().for_each(|token| blank(&mut out, token));
                    insertions.extend(declaration.needs_value);
                }
            }
            _ => {}
        }
    }
    for place in insertions.into_iter().rev() {
        out.splice(place..place, *b" = nil");
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn blank(out: &mut [u8], token: &Token) {
    if let Some(bytes) = out.get_mut(token.start as usize..token.end as usize) {
        bytes.fill(b' ');
    }
}

/// What stands after a `local` that can become an assignment.
struct Declaration {
    /// What is taken away with it: `<const>`.
    attributes: Vec<Token>,
    /// Where a value is put for names without one.
    needs_value: Option<usize>,
}

impl Declaration {
    fn read(text: &str, tokens: &[Token], from: usize) -> Option<Declaration> {
        let symbol = |at: usize, wanted: u8| tokens.get(at).is_some_and(|token| token.kind == Kind::Symbol(wanted));
        let first = tokens.get(from)?;
        if first.kind == Kind::Word && first.text(text) == "function" {
            return Some(Declaration { attributes: Vec::new(), needs_value: None });
        }
        let mut attributes = Vec::new();
        let mut at = from;
        loop {
            let name = tokens.get(at)?;
            if name.kind != Kind::Word {
                return None;
            }
            let mut end = name.end;
            at += 1;
            if symbol(at, b'<') {
                if tokens.get(at + 1)?.text(text) != "const" || !symbol(at + 2, b'>') {
                    return None;
                }
                attributes.extend_from_slice(tokens.get(at..at + 3)?);
                end = tokens.get(at + 2)?.end;
                at += 3;
            }
            if symbol(at, b',') {
                at += 1;
                continue;
            }
            let needs_value = (!symbol(at, b'=')).then_some(end as usize);
            return Some(Declaration { attributes, needs_value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::persistent;

    #[test]
    fn outermost_locals_become_assignments_and_keep_their_lines() {
        for (text, expected) in [
            ("local x = 1", "      x = 1"),
            ("local x", "      x = nil"),
            ("local a, b", "      a, b = nil"),
            ("local a <const>, b = 1, 2", "      a        , b = 1, 2"),
            ("local function f() local y = 1 return y end", "      function f() local y = 1 return y end"),
            ("do local y = 1 end local z = 2", "do local y = 1 end       z = 2"),
            ("x = 1\nlocal y\nlocal z = 3", "x = 1\n      y = nil\n      z = 3"),
            ("local x <close> = f()", "local x <close> = f()"),
            ("print('local x')", "print('local x')"),
            ("for i = 1, 2 do local q = i end", "for i = 1, 2 do local q = i end"),
            ("repeat local q = 1 until q", "repeat local q = 1 until q"),
            (
                "local f = function() if x then local y end end local g",
                "      f = function() if x then local y end end       g = nil",
            ),
            ("local", "local"),
            ("local 5", "local 5"),
        ] {
            assert_eq!(persistent(text), expected);
        }
    }
}
