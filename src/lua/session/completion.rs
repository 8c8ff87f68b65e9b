//! What the text before a cursor is about, by its tokens alone.

use crate::lua::lexer::{Kind, Token, tokens};
use crate::spec::schema::{ALIASES, CHECK, EXEC, HTTP, Key, LISTEN, LOGLINE, SPEC, TCP, Table as Keys};

/// Keys that take names of processes.
const RELATIONS: [&str; 8] = ["requires", "wants", "binds_to", "follows", "part_of", "conflicts", "after", "before"];

/// What may stand at a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A variable or a keyword.
    Name,
    /// A field of what these names lead to.
    Field(Vec<String>),
    /// A method of what these names lead to; of anything, when there are none.
    Method(Vec<String>),
    /// A key of a table, by its class among those of the schema.
    Key(&'static str),
    /// The value of a key with fixed words, in quotes or (the flag) within them.
    Word(Vec<&'static str>, bool),
    /// A process's name, within quotes.
    Process,
    /// A state, within quotes.
    State,
    /// A signal, within quotes.
    Signal,
    /// What help knows, within quotes.
    Topic,
    /// Nothing is known.
    Unknown,
}

/// What is before a cursor.
pub(super) struct Before<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    /// What is there of the word at the cursor.
    pub(super) partial: &'t str,
    /// Where it begins.
    pub(super) start: usize,
    quoted: bool,
}

impl<'t> Before<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut tokens = tokens(text);
        let at_end = tokens.last().filter(|token| token.end as usize == text.len()).copied();
        let (mut start, mut quoted) = (text.len(), false);
        if let Some(last) = at_end
            && (matches!(last.kind, Kind::Word) || (last.kind == Kind::Text && last.start > 0))
        {
            (start, quoted) = (last.start as usize, last.kind == Kind::Text);
            tokens.pop();
        } else if text.ends_with(['"', '\'']) && tokens.last().is_some_and(|token| token.start as usize > text.len()) {
            tokens.pop();
            quoted = true;
        }
        Before { text, tokens, partial: text.get(start..).unwrap_or(""), start, quoted }
    }

    fn word(&self, at: Option<usize>) -> Option<&'t str> {
        let token = self.tokens.get(at?)?;
        (token.kind == Kind::Word).then(|| token.text(self.text))
    }

    fn symbol(&self, at: Option<usize>) -> Option<u8> {
        match self.tokens.get(at?)?.kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn last(&self) -> Option<usize> {
        self.tokens.len().checked_sub(1)
    }

    /// What may stand at the cursor.
    pub(super) fn place(&self) -> Place {
        let last = self.last();
        if self.quoted {
            return self.within_quotes(last);
        }
        let before = last.and_then(|at| at.checked_sub(1));
        match self.symbol(last) {
            Some(b':') if self.symbol(before) != Some(b':') => return Place::Method(self.chain(before)),
            Some(b'.') if self.symbol(before) != Some(b'.') => {
                let chain = self.chain(before);
                return if chain.is_empty() { Place::Unknown } else { Place::Field(chain) };
            }
            _ => {}
        }
        let open = self.enclosing(self.tokens.len());
        if let Some(table) = open.and_then(|open| self.table(open)) {
            match self.symbol(last) {
                Some(b'{' | b',' | b';') => return Place::Key(table.name),
                Some(b'=') => {
                    if let Some(words) = self.word(before).and_then(|key| table.key(key)).map(words)
                        && !words.is_empty()
                    {
                        return Place::Word(words, false);
                    }
                }
                _ => {}
            }
        }
        Place::Name
    }

    fn within_quotes(&self, last: Option<usize>) -> Place {
        let mut at = last;
        while self.symbol(at) == Some(b'(') {
            at = at.and_then(|at| at.checked_sub(1));
        }
        let before = at.and_then(|at| at.checked_sub(1));
        match self.word(at) {
            Some("get") => return Place::Process,
            Some("help") => return Place::Topic,
            Some("wait") if self.symbol(before) == Some(b':') => return Place::State,
            Some("signal") if self.symbol(before) == Some(b':') => return Place::Signal,
            _ => {}
        }
        match self.symbol(at) {
            Some(b'[') if self.word(before) == Some("p") => return Place::Process,
            Some(b'=') => {
                let Some(key) = self.word(before) else { return Place::Unknown };
                if RELATIONS.contains(&key) {
                    return Place::Process;
                }
                let table = self.enclosing(self.tokens.len()).and_then(|open| self.table(open));
                let words = table.and_then(|table| table.key(key)).map(words).unwrap_or_default();
                return if words.is_empty() { Place::Unknown } else { Place::Word(words, true) };
            }
            // An item of a list.
            Some(b'{' | b',') => {
                let open = self.enclosing(self.tokens.len());
                let key = open.and_then(|open| open.checked_sub(2));
                let is_value =
                    open.and_then(|open| open.checked_sub(1)).is_some_and(|at| self.symbol(Some(at)) == Some(b'='));
                if is_value && self.word(key).is_some_and(|key| RELATIONS.contains(&key)) {
                    return Place::Process;
                }
            }
            _ => {}
        }
        Place::Unknown
    }

    /// The names before the dot or colon after `at`: `a`, `b` of `a.b.`. None where it is anything but names.
    fn chain(&self, at: Option<usize>) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = at;
        loop {
            // p["a-b"] is a name, too.
            let bracketed = at.filter(|_| self.symbol(at) == Some(b']')).and_then(|at| at.checked_sub(1));
            if let Some(inner) = bracketed
                && let Some(token) = self.tokens.get(inner).filter(|token| token.kind == Kind::Text)
                && let Some(open) = inner.checked_sub(1)
                && self.symbol(Some(open)) == Some(b'[')
            {
                names.insert(0, token.text(self.text).to_owned());
                at = open.checked_sub(1);
                continue;
            }
            let Some(name) = self.word(at) else { return Vec::new() };
            names.insert(0, name.to_owned());
            let before = at.and_then(|at| at.checked_sub(1));
            if self.symbol(before) != Some(b'.') {
                return names;
            }
            at = before.and_then(|at| at.checked_sub(1));
        }
    }

    /// The `{` that is open before this token, unless something else is open within it.
    fn enclosing(&self, end: usize) -> Option<usize> {
        let mut open = Vec::new();
        for at in 0..end {
            match self.symbol(Some(at)) {
                Some(b'{' | b'(' | b'[') => open.push(at),
                Some(b'}' | b')' | b']') => drop(open.pop()),
                _ => {}
            }
            match self.word(Some(at)) {
                Some("function" | "do" | "then" | "repeat") => open.push(at),
                Some("end" | "until") => drop(open.pop()),
                _ => {}
            }
        }
        open.pop().filter(|at| self.symbol(Some(*at)) == Some(b'{'))
    }

    /// The keys of the table that begins at this `{`.
    fn table(&self, open: usize) -> Option<&'static Keys> {
        let mut at = open.checked_sub(1)?;
        if self.symbol(Some(at)) == Some(b'=') {
            let outer = self.table(self.enclosing(open)?)?;
            return outer.key(self.word(at.checked_sub(1))?)?.table;
        }
        while matches!(self.symbol(Some(at)), Some(b'(' | b',')) {
            at = at.checked_sub(1)?;
        }
        let named = self.tokens.get(at)?.kind == Kind::Text;
        if named {
            at = at.checked_sub(1)?;
            while self.symbol(Some(at)) == Some(b'(') {
                at = at.checked_sub(1)?;
            }
        }
        match (self.word(Some(at))?, named) {
            ("group" | "get" | "require" | "on" | "print" | "help", _) => None,
            (_, true) | ("update" | "template" | "defaults" | "extend", _) => Some(&SPEC),
            ("http", _) => Some(&HTTP),
            ("tcp", _) => Some(&TCP),
            ("exec", _) => Some(&EXEC),
            ("logline", _) => Some(&LOGLINE),
            ("check", _) => Some(&CHECK),
            ("listen", _) => Some(&LISTEN),
            _ => None,
        }
    }
}

/// The fixed words that a key takes, by its type: `"simple"|"oneshot"`.
fn words(key: &'static Key) -> Vec<&'static str> {
    let alias = |kind: &'static str| ALIASES.iter().find(|alias| alias.name == kind).map_or(kind, |alias| alias.lua);
    let kinds = key.lua.split('|').flat_map(|kind| alias(kind.trim()).split('|'));
    kinds.filter_map(|kind| kind.trim().strip_prefix('"')?.strip_suffix('"')).collect()
}

#[cfg(test)]
mod tests {
    use super::{Before, Place};

    fn place(text: &str) -> (Place, &str) {
        let before = Before::new(text);
        (before.place(), before.partial)
    }

    #[test]
    fn a_place_is_known_by_what_is_before_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (text, expected, partial) in [
            ("", Place::Name, ""),
            ("pri", Place::Name, "pri"),
            ("p.w", Place::Field(names(&["p"])), "w"),
            ("x = neap.", Place::Field(names(&["neap"])), ""),
            ("p.web:re", Place::Method(names(&["p", "web"])), "re"),
            ("p['a-b']:", Place::Method(names(&["p", "a-b"])), ""),
            ("f():", Place::Method(Vec::new()), ""),
            ("neap.get \"w", Place::Process, "w"),
            ("neap.get(\"", Place::Process, ""),
            ("p['", Place::Process, ""),
            ("help 'restart.", Place::Topic, "restart."),
            ("p.web:wait('run", Place::State, "run"),
            ("neap.process 'x' { ", Place::Key("neap.Spec"), ""),
            ("neap.process 'x' { command = 'y', re", Place::Key("neap.Spec"), "re"),
            ("neap.process('x', { restart = { de", Place::Key("neap.Restart"), "de"),
            ("p.web:update { ", Place::Key("neap.Spec"), ""),
            ("neap.process 'x' { requires = 'd", Place::Process, "d"),
            ("neap.process 'x' { requires = { 'a', 'd", Place::Process, "d"),
            ("neap.process 'x' { ready = neap.tcp { po", Place::Key("neap.Tcp"), "po"),
            ("neap.process 'x' { hooks = { after_stop = function(p) p:re", Place::Method(names(&["p"])), "re"),
            ("print({ ", Place::Name, ""),
            ("1 .. x", Place::Name, "x"),
        ] {
            assert_eq!(place(text), (expected, partial), "{text}");
        }
        assert!(
            matches!(place("neap.process 'x' { type = '").0, Place::Word(words, true) if words.contains(&"oneshot"))
        );
        assert!(
            matches!(place("neap.process 'x' { type = ").0, Place::Word(words, false) if words.contains(&"oneshot"))
        );
    }
}
