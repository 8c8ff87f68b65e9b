//! `neap.path`, `neap.env`, `neap.profile`, `neap.read`, `neap.glob`, `neap.secret`, `neap.uid`: what a configuration may depend on.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use super::process::described;
use crate::lua::evaluation::Evaluation;
use crate::lua::host::Host;
use crate::lua::problem::{did_you_mean, misuse};
use crate::lua::reader::ReadError;
use crate::lua::values::SecretValue;
use crate::spec::Secret;

/// No secret is longer than this.
const MAX_SECRET: u64 = 64 << 10;

/// A pattern finds no more than this.
const MAX_FOUND: usize = 10_000;

/// Adds the functions to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("path", lua.create_function(path)?)?;
    module.set("env", lua.create_function(env)?)?;
    module.set("profile", lua.create_function(profile)?)?;
    module.set("read", lua.create_function(read)?)?;
    module.set("glob", lua.create_function(glob)?)?;
    module.set("secret", lua.create_function(secret)?)?;
    module.set("uid", nix::unistd::geteuid().as_raw())
}

/// The string that a function was given.
pub(super) fn text(lua: &Lua, function: &str, what: &str, value: &Value) -> mlua::Result<String> {
    match value {
        Value::String(text) => match text.to_str() {
            Ok(text) if text.contains('\0') => Err(misuse(lua, format!("neap.{function}: {what} contains a NUL"))),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(misuse(lua, format!("neap.{function}: {what} is not UTF-8"))),
        },
        other => Err(misuse(lua, format!("neap.{function}: expected {what} (a string), found {}", described(other)))),
    }
}

/// A path below the configuration's folder, made absolute; an absolute one stays as it is.
fn path(lua: &Lua, given: Value) -> mlua::Result<String> {
    let given = text(lua, "path", "a path", &given)?;
    let root = Evaluation::host(lua)?.root().to_owned();
    let full = tidied(&root.join(&given));
    match full.into_os_string().into_string() {
        Ok(full) => Ok(full),
        Err(_) => Err(misuse(lua, "neap.path: the configuration's folder has a name that is not UTF-8")),
    }
}

/// The path without `.` and `..`, by its text alone.
fn tidied(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

fn env(lua: &Lua, (name, default): (Value, Value)) -> mlua::Result<Value> {
    let name = text(lua, "env", "a variable's name", &name)?;
    match Evaluation::host(lua)?.env().get(&name) {
        Some(value) => Ok(Value::String(lua.create_string(value)?)),
        None => Ok(default),
    }
}

/// Whether the profile is on; without a name, the list of those that are.
fn profile(lua: &Lua, name: Value) -> mlua::Result<Value> {
    let host = Evaluation::host(lua)?;
    if name.is_nil() {
        return Ok(Value::Table(lua.create_sequence_from(host.profiles().iter().map(String::as_str))?));
    }
    let name = text(lua, "profile", "a profile's name", &name)?;
    Ok(Value::Boolean(host.profiles().contains(&name)))
}

fn read(lua: &Lua, given: Value) -> mlua::Result<mlua::LuaString> {
    let given = text(lua, "read", "a path", &given)?;
    let host = Evaluation::host(lua)?;
    let relative = Path::new(&given).strip_prefix(host.root()).unwrap_or(Path::new(&given)).to_owned();
    let file = host.reader().read(&relative).map_err(|error| misuse(lua, format!("neap.read: {error}")))?;
    lua.create_string(&*file.content)
}

fn secret(lua: &Lua, given: Value) -> mlua::Result<SecretValue> {
    let usage = "expected { file = \"PATH\" } or { env = \"NAME\" }";
    let Value::Table(table) = &given else {
        return Err(misuse(lua, format!("neap.secret: {usage}, found {}", described(&given))));
    };
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let key = key.as_string().map(|key| key.to_string_lossy()).unwrap_or_else(|| described(&key));
        if key != "file" && key != "env" {
            return Err(misuse(
                lua,
                format!("neap.secret: unknown key `{key}`{}", did_you_mean(&key, ["file", "env"])),
            ));
        }
    }
    let (file, variable): (Value, Value) = (table.raw_get("file")?, table.raw_get("env")?);
    let value = match (&file, &variable) {
        (Value::Nil, Value::Nil) => return Err(misuse(lua, format!("neap.secret: {usage}, found neither"))),
        (Value::Nil, name) => {
            let name = text(lua, "secret", "a variable's name", name)?;
            let host = Evaluation::host(lua)?;
            let value = host.env().get(&name).cloned();
            value.ok_or_else(|| misuse(lua, format!("neap.secret: the environment has no variable `{name}`")))?
        }
        (file, Value::Nil) => {
            let file = text(lua, "secret", "a file's path", file)?;
            let host = Evaluation::host(lua)?;
            let full = host.root().join(&file);
            host.reader()
                .secret(&full, secret_file)
                .map_err(|why| misuse(lua, format!("neap.secret: cannot read {file}: {why}")))?
        }
        _ => return Err(misuse(lua, format!("neap.secret: {usage}, found both"))),
    };
    Ok(SecretValue(Secret::new(value)))
}

/// The text of a secret's file, without the line end that editors leave.
fn secret_file(path: &Path) -> Result<String, String> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits() | nix::fcntl::OFlag::O_NOCTTY.bits())
        .open(path)
        .map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > MAX_SECRET {
        return Err(format!("it is {} bytes long; a secret may have {MAX_SECRET} at most", metadata.len()));
    }
    let mut content = String::new();
    file.take(MAX_SECRET).read_to_string(&mut content).map_err(|error| error.to_string())?;
    let line = content.strip_suffix('\n').unwrap_or(&content);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// The paths that a pattern finds, sorted. `*` and `?` stand for anything within one name.
fn glob(lua: &Lua, pattern: Value) -> mlua::Result<Vec<String>> {
    let pattern = text(lua, "glob", "a pattern", &pattern)?;
    let host = Evaluation::host(lua)?;
    let full = tidied(&host.root().join(&pattern));
    let asked = full.display().to_string();
    host.reader().names(&asked, || look_for(lua, &host, &full, &pattern).map_err(Looking::Ended)).map_err(|error| {
        match error {
            Looking::Ended(error) => error,
            Looking::Read(error) => misuse(lua, format!("neap.glob: {error}")),
        }
    })
}

/// Why no names were found.
enum Looking {
    Ended(mlua::Error),
    Read(ReadError),
}

impl From<ReadError> for Looking {
    fn from(error: ReadError) -> Self {
        Looking::Read(error)
    }
}

fn look_for(lua: &Lua, host: &Host, full: &Path, pattern: &str) -> mlua::Result<Vec<String>> {
    let mut found = vec![PathBuf::from("/")];
    for component in full.components().skip(1) {
        let part = component.as_os_str().to_string_lossy().into_owned();
        let mut next = Vec::new();
        for folder in found {
            if part.contains(['*', '?']) {
                matching(&folder, &part, &mut next);
            } else if folder.join(&part).symlink_metadata().is_ok() {
                next.push(folder.join(&part));
            }
            if next.len() > MAX_FOUND {
                return Err(misuse(lua, format!("neap.glob: `{pattern}` finds more than {MAX_FOUND} paths")));
            }
            host.limits().check(lua)?;
        }
        found = next;
    }
    let mut names: Vec<String> =
        found.into_iter().filter_map(|path| path.into_os_string().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn matching(folder: &Path, part: &str, next: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.filter_map(Result::ok).take(MAX_FOUND + 1) {
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().first() == Some(&b'.') && !part.starts_with('.');
        if !hidden && name.to_str().is_some_and(|name| fits(part, name)) {
            next.push(entry.path());
        }
    }
}

/// Whether a name fits a pattern of `*` and `?`; linear in both but for one step back.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((star_p, star_n)) => {
                    star = Some((star_p, star_n + 1));
                    p = star_p + 1;
                    n = star_n + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl UserData for SecretValue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("***"));
        methods.add_meta_function(MetaMethod::Concat, |lua, _: (Value, Value)| -> mlua::Result<()> {
            Err(misuse(
                lua,
                "a secret cannot be joined to other text, where it would be shown; give it to a variable of `env` as it is",
            ))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names() {
        for (pattern, name, expected) in [
            ("*", "x", true),
            ("*.lua", "a.lua", true),
            ("*.lua", "a.luac", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
