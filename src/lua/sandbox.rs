//! A fresh state with what a script may use, and nothing else.
//!
//! An allow-list: what is not named here is not there. Reading a global that is not there is an error that names
//! the nearest one, or says why there is none.

use std::path::{Path, PathBuf};

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table, Value, Variadic};

use super::api;
use super::compile;
use super::error::{OWN_CHUNK, Problems, error_here, error_problem};
use super::host::{Host, Phase};
use super::pattern;
use super::reader::ReadError;
use crate::spec::Problem;
use crate::spec::schema::nearest;

/// The globals that scripts see, besides the tables of libraries.
const GLOBALS: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "xpcall",
    "coroutine",
    "math",
    "string",
    "table",
    "utf8",
];

/// Globals of plain Lua that a script may look for, and what to do instead.
const ABSENT: &[(&str, &str)] = &[
    ("io", "files are read with neap.read, and nothing is written"),
    ("debug", "it reaches around the sandbox"),
    ("package", "require looks below the configuration's folder, and in the modules that come with Neap"),
    ("dofile", "use require"),
    ("loadfile", "use require"),
    ("loadstring", "use load"),
    ("unpack", "use table.unpack"),
    ("setfenv", "use the third argument of load"),
    ("getfenv", "use _ENV"),
    ("warn", "use neap.log.warn"),
    ("module", "return a table from the file"),
    ("arg", "a configuration takes no arguments; use neap.env or neap.profile"),
];

/// The largest text that `load` compiles: compiling cannot be interrupted.
const MAX_LOAD: usize = 1024 * 1024;

/// The longest line that `print` prints.
const MAX_LINE: usize = 64 * 1024;

/// The longest name of a chunk or a module.
const MAX_NAME: usize = 256;

/// A state for `host`, with the `neap` module in it.
pub(crate) fn new_state(host: &Host) -> mlua::Result<Lua> {
    let libs = StdLib::COROUTINE | StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::MATH | StdLib::OS;
    let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(true))?;
    host.limits().install(&lua)?;
    let globals = lua.globals();
    restrict_os(&lua, host, &globals)?;
    restrict_math(&lua, host, &globals)?;
    let gmatch_step = restrict_string(&lua, host, &globals)?;
    keep_only(&globals, GLOBALS, &["os"])?;
    add_functions(&lua, host, &globals)?;
    run_prelude(&lua, host, gmatch_step)?;
    let neap = api::register(&lua, host)?;
    add_require(&lua, host, neap)?;
    #[cfg(test)]
    globals.raw_set("block_for_tests", tests::block(&lua)?)?;
    guard_globals(&lua, &globals)?;
    host.limits().cap_memory(&lua, host.memory())?;
    Ok(lua)
}

fn keep_only(table: &Table, names: &[&str], more: &[&str]) -> mlua::Result<()> {
    let mut unwanted = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let keep = key.as_string().and_then(|k| k.to_str().ok().map(|k| names.contains(&&*k) || more.contains(&&*k)));
        if keep != Some(true) {
            unwanted.push(key);
        }
    }
    unwanted.into_iter().try_for_each(|key| table.raw_set(key, Value::Nil))
}

/// Makes reading a field that is not there an error.
fn explain_absent(
    lua: &Lua,
    table: &Table,
    explain: impl Fn(&Lua, &str) -> mlua::Error + Send + 'static,
) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    let index = lua.create_function(move |lua, (_, key): (Value, Value)| -> mlua::Result<Value> {
        match key.as_string().and_then(|k| k.to_str().ok()) {
            Some(key) => Err(explain(lua, &key)),
            None => Ok(Value::Nil),
        }
    })?;
    metatable.raw_set("__index", index)?;
    metatable.raw_set("__metatable", "protected")?;
    table.set_metatable(Some(metatable))
}

fn guard_globals(lua: &Lua, globals: &Table) -> mlua::Result<()> {
    let names: Vec<String> = globals.pairs::<String, Value>().filter_map(Result::ok).map(|(name, _)| name).collect();
    let table = globals.clone();
    explain_absent(lua, globals, move |lua, key| {
        if key == "neap" {
            return error_here(lua, "`neap` is not defined; say first: local neap = require \"neap\"");
        }
        let own: Vec<String> = table.pairs::<String, Value>().filter_map(Result::ok).map(|(name, _)| name).collect();
        undefined(lua, key, names.iter().chain(&own).map(String::as_str))
    })
}

/// The error for a global that is not there, among these that are.
pub(super) fn undefined<'a>(lua: &Lua, key: &str, known: impl Iterator<Item = &'a str>) -> mlua::Error {
    if let Some((_, instead)) = ABSENT.iter().find(|(name, _)| *name == key) {
        return error_here(lua, format_args!("`{key}` is not available in a configuration: {instead}"));
    }
    match nearest(key, known) {
        Some(near) => error_here(lua, format_args!("undefined global `{key}`; did you mean `{near}`?")),
        None => error_here(lua, format_args!("undefined global `{key}`")),
    }
}

/// Replaces a function that depends on more than the configuration by one that says so during evaluation.
fn only_later(lua: &Lua, host: &Host, table: &Table, name: &'static str, why: &'static str) -> mlua::Result<()> {
    let (library, field) = name.split_once('.').unwrap_or(("", name));
    debug_assert!(!library.is_empty(), "a function of a library");
    let stock: Function = table.raw_get(field)?;
    let host = host.clone();
    let function = lua.create_function(move |lua, args: MultiValue| -> mlua::Result<MultiValue> {
        if host.phase() == Phase::Evaluation {
            return Err(error_here(
                lua,
                format_args!("`{name}` is not available while the configuration is evaluated: {why}"),
            ));
        }
        stock.call(args)
    })?;
    table.raw_set(field, function)
}

fn restrict_os(lua: &Lua, host: &Host, globals: &Table) -> mlua::Result<()> {
    let os: Table = globals.raw_get("os")?;
    keep_only(&os, &["time", "date", "clock", "difftime"], &[])?;
    for name in ["os.time", "os.date", "os.clock"] {
        only_later(
            lua,
            host,
            &os,
            name,
            "the same configuration must give the same plan at any time; use it in a hook or handler",
        )?;
    }
    explain_absent(lua, &os, |lua, key| {
        let instead = match key {
            "getenv" => "use neap.env",
            "execute" => "commands are run by processes and their hooks",
            "exit" => "raise an error to refuse the configuration",
            "remove" | "rename" | "tmpname" => "a configuration changes no files",
            "setlocale" => "it would change the whole program",
            _ => "os has time, date, clock and difftime only",
        };
        error_here(lua, format_args!("`os.{key}` is not available in a configuration: {instead}"))
    })
}

fn restrict_math(lua: &Lua, host: &Host, globals: &Table) -> mlua::Result<()> {
    let math: Table = globals.raw_get("math")?;
    for name in ["math.random", "math.randomseed"] {
        only_later(
            lua,
            host,
            &math,
            name,
            "the same configuration must give the same plan every time; use it in a hook or handler",
        )?;
    }
    Ok(())
}

fn restrict_string(lua: &Lua, host: &Host, globals: &Table) -> mlua::Result<Function> {
    let string: Table = globals.raw_get("string")?;
    string.raw_set("dump", Value::Nil)?;
    // The metatable that all strings share: methods go to our table, and nobody gets hold of it.
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", &string)?;
    metatable.raw_set("__metatable", "protected")?;
    lua.set_type_metatable::<mlua::LuaString>(Some(metatable));
    pattern::install(lua, host, &string)
}

fn add_functions(lua: &Lua, host: &Host, globals: &Table) -> mlua::Result<()> {
    let printer = host.clone();
    let tostring: Function = globals.raw_get("tostring")?;
    let print = lua.create_function(move |_, args: Variadic<Value>| {
        let mut line = String::new();
        for (index, value) in args.iter().enumerate() {
            if index > 0 {
                line.push('\t');
            }
            let text = tostring.call::<mlua::LuaString>(value)?;
            let bytes = text.as_bytes();
            line.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LINE.saturating_sub(line.len()))]));
        }
        printer.print(&line);
        Ok(())
    })?;
    globals.raw_set("print", print)?;
    let count = lua.create_function(|lua, what: Option<mlua::LuaString>| match what {
        Some(what) if &*what.as_bytes() == b"count" => Ok(lua.used_memory() as f64 / 1024.0),
        _ => {
            Err(error_here(lua, "collectgarbage can only \"count\" in a configuration; memory is collected by itself"))
        }
    })?;
    globals.raw_set("collectgarbage", count)?;
    globals.raw_set("load", lua.create_function(load)?)
}

/// `load`, for text only.
fn load(
    lua: &Lua,
    (chunk, name, mode, env): (Value, Option<mlua::LuaString>, Option<mlua::LuaString>, Variadic<Value>),
) -> mlua::Result<(Value, Option<String>)> {
    let mut source = Vec::new();
    match &chunk {
        Value::String(text) => source.extend_from_slice(&text.as_bytes()),
        Value::Function(reader) => loop {
            match reader.call::<Option<mlua::LuaString>>(())? {
                Some(piece) if !piece.as_bytes().is_empty() && source.len() <= MAX_LOAD => {
                    source.extend_from_slice(&piece.as_bytes());
                }
                _ => break,
            }
        },
        other => {
            let message = format!("bad argument #1 to 'load' (function expected, got {})", other.type_name());
            return Err(error_here(lua, message));
        }
    }
    if source.len() > MAX_LOAD {
        return Ok((Value::Nil, Some(format!("load: the text is longer than {MAX_LOAD} bytes"))));
    }
    if mode.is_some_and(|mode| !mode.as_bytes().contains(&b't')) {
        return Ok((Value::Nil, Some("load: compiled Lua is not accepted, only its source".to_owned())));
    }
    let name = match name {
        Some(name) if name.as_bytes().len() <= MAX_NAME => name.to_string_lossy().replace('\0', "?"),
        // As plain Lua does it: a text is its own name, of which messages show the first line.
        None if matches!(chunk, Value::String(_)) => {
            String::from_utf8_lossy(&source[..source.len().min(MAX_NAME)]).replace('\0', "?")
        }
        _ => "=(load)".to_owned(),
    };
    let name = if name.starts_with(OWN_CHUNK) { "=(load)".to_owned() } else { name };
    let env = match env.into_iter().next() {
        None => None,
        Some(Value::Table(env)) => Some(env),
        Some(_) => return Err(error_here(lua, "bad argument #4 to 'load' (table expected)")),
    };
    match compile::compile(lua, name, source, env) {
        Ok(function) => Ok((Value::Function(function), None)),
        Err(mlua::Error::SyntaxError { message, .. }) => Ok((Value::Nil, Some(message))),
        Err(other) => Err(other),
    }
}

fn run_prelude(lua: &Lua, host: &Host, gmatch_step: Function) -> mlua::Result<()> {
    let native = lua.create_table()?;
    let limits = host.limits().clone();
    native.raw_set("expired", lua.create_function(move |lua, ()| Ok(limits.expired_here(lua)))?)?;
    let describer = host.clone();
    let describe = lua.create_function(move |_, error: Value| match error {
        Value::Error(error) => Ok(describer.chunks().describe(&error)),
        _ => Ok("(an error that is not text)".to_owned()),
    })?;
    native.raw_set("describe", describe)?;
    native.raw_set("pending", Lua::poll_pending())?;
    native.raw_set("gmatch_step", gmatch_step)?;
    native.raw_set("memory", host.memory())?;
    lua.load(include_str!("sandbox.lua")).set_name("=[neap]").set_mode(ChunkMode::Text).call(native)
}

/// The source of a chunk, ready to be compiled: a first line that starts with `#` is for the system, not for Lua.
pub(crate) fn source_of(content: &[u8]) -> Vec<u8> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    if content.first() == Some(&b'#') {
        return content.iter().copied().skip_while(|byte| *byte != b'\n').collect();
    }
    content.to_vec()
}

/// Compiles a file of the configuration.
pub(crate) fn compile(lua: &Lua, host: &Host, display: &str, content: &[u8]) -> mlua::Result<Function> {
    let name = host.chunks().add(display);
    compile::compile(lua, name, source_of(content), None).map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } if !message.contains(':') => {
            Problems::raise(vec![Problem { file: Some(display.to_owned()), ..error_problem(message) }])
        }
        other => other,
    })
}

fn add_require(lua: &Lua, host: &Host, neap: Value) -> mlua::Result<()> {
    let loaded = lua.create_table()?;
    loaded.raw_set("neap", neap)?;
    let loading = std::sync::Mutex::new(Vec::<String>::new());
    let host = host.clone();
    let require = lua.create_function(move |lua, name: mlua::LuaString| {
        let name = name.to_string_lossy();
        let ready: Value = loaded.raw_get(name.as_str())?;
        if !ready.is_nil() {
            return Ok(ready);
        }
        let under_way = || loading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if under_way().contains(&name) {
            let path = under_way().join(" → ");
            return Err(error_here(lua, format_args!("modules require each other in a circle: {path} → {name}")));
        }
        let function = find_module(lua, &host, &name)?;
        under_way().push(name.clone());
        let result = function.call::<Value>(name.as_str());
        under_way().pop();
        let value = match result? {
            Value::Nil => Value::Boolean(true),
            value => value,
        };
        loaded.raw_set(name.as_str(), &value)?;
        Ok(value)
    })?;
    lua.globals().raw_set("require", require)
}

/// A file of one's own comes before a module of that name that comes with Neap: so that a newer Neap with more modules
/// changes no configuration. `neap.NAME` is always Neap's.
fn find_module(lua: &Lua, host: &Host, name: &str) -> mlua::Result<Function> {
    let embedded = || {
        let source = host.reader().module(name, api::embedded(name))?;
        Some(lua.load(&*source).set_name(format!("=[{name}]")).set_mode(ChunkMode::Text).into_function())
    };
    if name.starts_with("neap.")
        && let Some(function) = embedded()
    {
        return function;
    }
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !name.split('.').all(part) {
        return Err(error_here(
            lua,
            format_args!(
                "`{name}` is not a module's name; require takes names like `services.web`, which stands for services/web.lua"
            ),
        ));
    }
    let path: PathBuf = name.split('.').collect();
    let candidates = [path.with_extension("lua"), path.join("init.lua")];
    for candidate in &candidates {
        match host.reader().read(candidate) {
            Ok(file) => return compile(lua, host, &file.display, &file.content),
            Err(ReadError::Missing(_) | ReadError::NotRecorded(_)) => {}
            Err(refused @ ReadError::Refused(_)) => return Err(error_here(lua, refused)),
        }
    }
    if let Some(function) = embedded() {
        return function;
    }
    let tried: Vec<String> = candidates.iter().map(|c| host.reader().display(Path::new(c))).collect();
    Err(error_here(lua, format_args!("module `{name}` not found; looked for {}", tried.join(" and "))))
}

#[cfg(test)]
mod tests;
