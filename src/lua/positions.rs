//! Lines of the keys of a table in a Lua source: the VM tells only the line of the call.

use super::lexer::{Kind, Token, tokens};

/// The lines of a table's keys and items, as they stand in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    named: Vec<(String, Field)>,
    items: Vec<Field>,
}

/// A key's line, and what is known of the table that is its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// The line, from 1.
    pub(super) line: u32,
    /// The lines within its value.
    pub(super) keys: Option<Keys>,
}

impl Keys {
    /// Where this key stands; the last one when it is written twice, as that one counts.
    pub(super) fn named(&self, key: &str) -> Option<&Field> {
        self.named.iter().rev().find(|(name, _)| name == key).map(|(_, field)| field)
    }

    /// Where this item stands, from 0.
    pub(super) fn item(&self, index: usize) -> Option<&Field> {
        self.items.get(index)
    }
}

/// A source and its tokens.
pub(super) struct SourceText {
    text: String,
    tokens: Vec<Token>,
    lines: u32,
}

/// How deep nested tables are followed; the conversion refuses deeper ones anyway.
const MAX_DEPTH: usize = 40;

impl SourceText {
    /// Reads a source once; looking up is cheap afterwards.
    pub(super) fn new(text: &str) -> Self {
        let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
        SourceText { text: text.to_owned(), tokens: tokens(text), lines }
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> u32 {
        self.lines
    }

    /// The keys of the table that a call on this line was given: the one that follows `hint` (a string or a name), else
    /// the first that any call on the line was given.
    pub(super) fn keys_of_call(&self, line: u32, hint: &str) -> Option<Keys> {
        let first = self.tokens.partition_point(|token| token.line < line);
        let on_line = self.tokens[first..].iter().take_while(|token| token.line == line).count();
        let mut fallback = None;
        for at in first..first + on_line {
            if self.symbol(at) != Some(b'{') {
                continue;
            }
            let Some(before) = self.callee(at) else { continue };
            if before.text(&self.text) == hint && matches!(before.kind, Kind::Word | Kind::Text) {
                return Some(self.table(at, 0).0);
            }
            fallback = fallback.or(Some(at));
        }
        fallback.map(|at| self.table(at, 0).0)
    }

    /// The token before the `{` of a call's argument, past opening parentheses and the comma of `process("x", {`.
    fn callee(&self, brace: usize) -> Option<&Token> {
        let mut at = brace.checked_sub(1)?;
        while matches!(self.symbol(at), Some(b'(' | b',')) {
            at = at.checked_sub(1)?;
        }
        if matches!(self.symbol(at), Some(b')')) && self.token(at.checked_sub(1)?)?.kind == Kind::Text {
            at -= 1;
        }
        let token = self.token(at)?;
        match token.kind {
            Kind::Word | Kind::Text => Some(token),
            Kind::Symbol(b')' | b']') => Some(token),
            _ => None,
        }
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    fn symbol(&self, at: usize) -> Option<u8> {
        match self.token(at)?.kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// Reads the table whose `{` stands at `open`; returns its keys and the place after its `}`.
    fn table(&self, open: usize, depth: usize) -> (Keys, usize) {
        let mut keys = Keys::default();
        let mut at = open + 1;
        while let Some(token) = self.token(at) {
            match token.kind {
                Kind::Symbol(b'}') => return (keys, at + 1),
                Kind::Symbol(b',' | b';') => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let line = token.line;
            let (name, value) = self.key(at);
            let (nested, end) = self.expression(value, depth);
            let field = Field { line, keys: nested };
            match name {
                Some(Some(name)) => keys.named.push((name.to_owned(), field)),
                Some(None) => {}
                None => keys.items.push(field),
            }
            at = end.max(at + 1);
        }
        (keys, at)
    }

    /// The key that begins here, and where its value begins. `Some(None)` is a key that only the VM knows.
    fn key(&self, at: usize) -> (Option<Option<&str>>, usize) {
        let Some(token) = self.token(at) else { return (None, at) };
        if token.kind == Kind::Word && self.symbol(at + 1) == Some(b'=') {
            return (Some(Some(token.text(&self.text))), at + 2);
        }
        if self.symbol(at) != Some(b'[') {
            return (None, at);
        }
        let mut depth = 0_usize;
        let mut close = at;
        while let Some(symbol) = self.token(close).map(|token| token.kind) {
            match symbol {
                Kind::Symbol(b'[' | b'(' | b'{') => depth += 1,
                Kind::Symbol(b']' | b')' | b'}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            close += 1;
        }
        if self.symbol(close + 1) != Some(b'=') {
            return (None, at);
        }
        let inner = self.token(at + 1).filter(|token| close == at + 2 && token.kind == Kind::Text);
        (Some(inner.map(|token| token.text(&self.text))), close + 2)
    }

    /// Passes an expression up to the `,`, `;` or `}` that ends it; returns the keys of the last table in it.
    fn expression(&self, start: usize, depth: usize) -> (Option<Keys>, usize) {
        let mut keys = None;
        let mut at = start;
        let (mut brackets, mut blocks, mut braces) = (0_usize, 0_usize, 0_usize);
        while let Some(token) = self.token(at) {
            match token.kind {
                Kind::Symbol(b'{') if blocks == 0 && depth < MAX_DEPTH => {
                    let (nested, end) = self.table(at, depth + 1);
                    keys = Some(nested);
                    at = end;
                    continue;
                }
                Kind::Symbol(b'{') => braces += 1,
                Kind::Symbol(b'}') if braces > 0 => braces -= 1,
                Kind::Symbol(b'(' | b'[') => brackets += 1,
                Kind::Symbol(b')' | b']') => brackets = brackets.saturating_sub(1),
                Kind::Symbol(b',' | b';' | b'}') if brackets == 0 && blocks == 0 && braces == 0 => break,
                Kind::Word => match token.text(&self.text) {
                    "function" | "if" | "do" | "repeat" => blocks += 1,
                    "end" | "until" => blocks = blocks.saturating_sub(1),
                    _ => {}
                },
                _ => {}
            }
            at += 1;
        }
        (keys, at)
    }
}

/// Line numbers that are unique over all sources of a configuration: [`crate::spec::Position`] carries a line and no
/// file, so each file gets a range of its own, and messages are told their file last.
#[derive(Default)]
pub(super) struct SourceMap {
    files: Vec<File>,
}

struct File {
    name: String,
    start: u32,
    lines: u32,
    text: Option<SourceText>,
}

/// Room for the lines of a chunk whose text is not at hand (`load`, the REPL).
const UNSEEN_LINES: u32 = 1 << 20;

impl SourceMap {
    /// Whether this file was taken in.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Takes in a source under the name that messages show; without a text only its lines are told apart.
    pub(super) fn add(&mut self, name: &str, text: Option<&str>) {
        if self.knows(name) {
            return;
        }
        let start = self.files.last().map_or(0, |file| file.start.saturating_add(file.lines));
        let text = text.map(SourceText::new);
        let lines = text.as_ref().map_or(UNSEEN_LINES, SourceText::lines);
        self.files.push(File { name: name.to_owned(), start, lines, text });
    }

    /// Takes in the newest text of what has no file and changes: a line of a session.
    pub(super) fn replace(&mut self, name: &str, text: &str) {
        self.add(name, None);
        if let Some(file) = self.files.iter_mut().find(|file| file.name == name) {
            file.text = Some(SourceText::new(text));
        }
    }

    fn find(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The unique number of this file's line; 0, which is no place, when the file is not known.
    pub(super) fn number(&self, name: &str, line: u32) -> u32 {
        self.find(name).map_or(0, |file| file.start.saturating_add(line))
    }

    /// The file and line that a unique number stands for.
    pub(super) fn resolve(&self, number: u32) -> Option<(&str, u32)> {
        let index = self.files.partition_point(|file| file.start < number).checked_sub(1)?;
        let file = self.files.get(index)?;
        Some((&file.name, number - file.start))
    }

    /// The keys of the table that the call at this place was given. Their lines are the file's own: number 0 of the file
    /// makes them unique.
    pub(super) fn keys_of_call(&self, name: &str, line: u32, hint: &str) -> Option<Keys> {
        self.find(name)?.text.as_ref()?.keys_of_call(line, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"local neap = require "neap"
neap.process "web" {
  command = { "nginx",
    "-g",
  },
  ["working_dir"] = "/",
  ready = neap.http {
    url = "x",
  },
  hooks = { after_stop = function(p)
      if p then return { a = 1, b = 2 } end
    end,
    before_stop = { "x" } },
  user = "www",
}
local t = {1}; app("api", { user = 1,
  group = 2 })
app(name) { nice = 3 }
"#;

    fn line(keys: &Keys, path: &str) -> Option<u32> {
        let mut field: Option<&Field> = None;
        for part in path.split('.') {
            let keys = match field {
                None => keys,
                Some(field) => field.keys.as_ref()?,
            };
            field = Some(match part.parse::<usize>() {
                Ok(index) => keys.item(index - 1)?,
                Err(_) => keys.named(part)?,
            });
        }
        field.map(|field| field.line)
    }

    #[test]
    fn every_key_of_a_nested_table_has_its_line() {
        let source = SourceText::new(SOURCE);
        let keys = source.keys_of_call(2, "web").expect("the call is found");
        for (path, expected) in [
            ("command", 3),
            ("command.1", 3),
            ("command.2", 4),
            ("working_dir", 6),
            ("ready.url", 8),
            ("hooks.after_stop", 10),
            ("hooks.before_stop", 13),
            ("user", 14),
        ] {
            assert_eq!(line(&keys, path), Some(expected), "{path}");
        }
        assert_eq!(line(&keys, "a"), None);
    }

    #[test]
    fn a_call_is_found_by_its_name_and_else_by_its_line() {
        let source = SourceText::new(SOURCE);
        let keys = source.keys_of_call(16, "api").expect("the call is found");
        assert_eq!((line(&keys, "user"), line(&keys, "group")), (Some(16), Some(17)));
        let keys = source.keys_of_call(18, "computed").expect("the call is found");
        assert_eq!(line(&keys, "nice"), Some(18));
        assert_eq!(source.keys_of_call(1, "neap"), None);
    }

    #[test]
    fn numbers_of_several_sources_lead_back_to_file_and_line() {
        let mut map = SourceMap::default();
        map.add("a.lua", Some("1\n2\n3\n"));
        map.add("b.lua", Some("1\n2"));
        for (file, line) in [("a.lua", 1), ("a.lua", 4), ("b.lua", 1), ("b.lua", 2)] {
            assert_eq!(map.resolve(map.number(file, line)), Some((file, line)));
        }
        assert_eq!(map.number("c.lua", 1), 0);
        assert_eq!(map.resolve(0), None);
    }
}
