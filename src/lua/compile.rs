//! From text to a function of the state, for texts whose compilation ends soon.
//!
//! Nothing interrupts Lua's compiler, and two things in it are worse than linear: a name is looked for among the
//! locals of every function around it, and a label among those of its function. A megabyte made for that takes
//! it minutes, so such a text is refused before it is compiled.

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table};

use super::lexer::{Kind, tokens};

/// Texts shorter than this are compiled as they are: whatever they say is soon done.
const SMALL: usize = 64 * 1024;

/// Locals that a function may have, and all functions that stand around a name together (`MAXVARS`, `SHRT_MAX`).
const LOCALS: usize = 200;
const ALL_LOCALS: usize = 32767;

/// Comparisons of names that compiling a text may take: a second or so.
const MOST_COMPARISONS: usize = 1_000_000_000;

/// Labels that a text may have.
const MOST_LABELS: usize = 8192;

/// Compiles a text, never anything compiled before, as a chunk of this name. The error is Lua's own, or says why the
/// text is not given to it.
pub(crate) fn compile(lua: &Lua, name: String, source: Vec<u8>, env: Option<Table>) -> mlua::Result<Function> {
    if let Some(refusal) = refusal(&source) {
        return Err(mlua::Error::SyntaxError { message: refusal.to_owned(), incomplete_input: false });
    }
    let mut chunk = lua.load(source).set_name(name).set_mode(ChunkMode::Text);
    if let Some(env) = env {
        chunk = chunk.set_environment(env);
    }
    chunk.into_function()
}

/// Why a text is not compiled.
fn refusal(source: &[u8]) -> Option<&'static str> {
    if source.first() == Some(&0x1b) {
        return Some("compiled Lua is not accepted, only its source");
    }
    let shallow = |functions: usize| (source.len() / 2).saturating_mul(locals(functions)) <= MOST_COMPARISONS;
    if source.len() <= SMALL || (shallow(count(source, b"function")) && count(source, b"::") <= MOST_LABELS) {
        return None;
    }
    let text = String::from_utf8_lossy(source);
    let (words, depth, labels) = measure(&text);
    if labels > MOST_LABELS {
        return Some("has too many labels");
    }
    if words.saturating_mul(locals(depth)) > MOST_COMPARISONS {
        return Some("is too long for how deep its functions are nested; split it into several files");
    }
    None
}

/// Locals that may be in reach inside so many functions.
fn locals(depth: usize) -> usize {
    ((depth + 1) * LOCALS).min(ALL_LOCALS)
}

/// Words, the deepest nesting of functions, and labels.
fn measure(text: &str) -> (usize, usize, usize) {
    let (mut words, mut deepest, mut colons) = (0, 0, 0);
    let (mut open, mut depth) = (Vec::new(), 0_usize);
    for token in tokens(text) {
        match token.kind {
            Kind::Word => {
                words += 1;
                match token.text(text) {
                    "function" => {
                        open.push(true);
                        depth += 1;
                        deepest = deepest.max(depth);
                    }
                    "do" | "if" | "repeat" => open.push(false),
                    "end" | "until" if open.pop() == Some(true) => depth -= 1,
                    _ => {}
                }
            }
            Kind::Symbol(b':') => colons += 1,
            _ => {}
        }
    }
    // A label has four colons, a method's call one: many calls are no reason to refuse, `::` was counted before.
    (words, deepest, (colons / 4).min(count(text.as_bytes(), b"::") / 2))
}

/// How often `what` stands in a text.
fn count(text: &[u8], what: &[u8]) -> usize {
    let first = what[0];
    text.iter().enumerate().filter(|(at, byte)| **byte == first && text[*at..].starts_with(what)).count()
}

#[cfg(test)]
mod tests {
    use super::{measure, refusal};

    #[test]
    fn nesting_is_measured() {
        let text =
            "function f() if x then return function() end end end function g() for _ in y do end end ::a:: b:c()";
        let (_, depth, labels) = measure(text);
        assert_eq!((depth, labels), (2, 1));
    }

    #[test]
    fn a_text_that_would_take_minutes_is_refused() {
        let mut deep = String::new();
        for level in 0..165 {
            let names: Vec<String> = (0..190).map(|n| format!("_{n}")).collect();
            deep += &format!("local function f{level}() local {}\n", names.join(","));
        }
        deep += &"x=x ".repeat(200_000);
        deep += &"end ".repeat(165);
        assert!(refusal(deep.as_bytes()).is_some_and(|why| why.contains("nested")));
        let labels: String = (0..20_000).map(|n| format!("x=1 ::a{n}:: ")).collect();
        assert_eq!(refusal(labels.as_bytes()), Some("has too many labels"));
    }

    #[test]
    fn a_long_text_of_the_usual_kind_is_compiled() {
        let usual = "app \"x\" { command = { \"y\" }, hooks = { after_stop = function(p) p:restart() end } }\n";
        assert_eq!(refusal(usual.repeat(40_000).as_bytes()), None);
        let strings = "x = '::::::::::::::::::::::::::::::::::::::::::::::::::::::::'\n";
        assert_eq!(refusal(strings.repeat(40_000).as_bytes()), None);
    }
}
