//! LuaLS definitions: what an editor knows of the `neap` module, written from the table of spec keys.

use std::fmt::Write as _;

use super::api::{SETTINGS_KEYS, topics};
use crate::spec::schema::{ALIASES, Availability, Key, TABLES, Table};

/// The parts that stand in no table: the module's functions, handles, runs and events.
const BY_HAND: &str = include_str!("../../lua/module.lua");

/// The definitions for the Lua language server, as one file: point `workspace.library` at its folder. They are the same for
/// one version of Neap wherever they are written.
pub fn luals_definitions() -> String {
    let mut out = String::from(
        "---@meta neap\n\n-- LuaLS definitions of the neap module. Written by `neap types`; do not edit.\n\n",
    );
    for alias in &ALIASES {
        line(&mut out, format_args!("---{}", alias.doc));
        line(&mut out, format_args!("---@alias {} {}\n", alias.name, alias.lua));
    }
    for table in TABLES {
        class(&mut out, table);
    }
    line(&mut out, format_args!("---What a configuration says about the instance itself.\n---@class neap.Settings"));
    for (name, lua, doc) in SETTINGS_KEYS {
        line(&mut out, format_args!("---@field {name}? {lua} {doc}"));
    }
    let topics = topics().iter().map(|topic| format!("\"{topic}\"")).collect::<Vec<_>>().join("|");
    line(&mut out, format_args!("\n---What a handler is for.\n---@alias neap.Topic {topics}\n"));
    out.push_str(BY_HAND);
    out
}

fn class(out: &mut String, table: &Table) {
    line(out, format_args!("---{}", table.doc));
    match table.parent {
        Some(parent) => line(out, format_args!("---@class {}: {}", table.name, parent.name)),
        None => line(out, format_args!("---@class {}", table.name)),
    }
    if let Some(key) = table.positional.and_then(|name| table.key(name)) {
        line(out, format_args!("---@field [1]? {} The same as `{}`.", key.lua, key.name));
    }
    table.own.iter().for_each(|key| field(out, key));
    out.push('\n');
}

fn field(out: &mut String, key: &Key) {
    let later = match key.availability {
        Availability::Now => String::new(),
        Availability::Later(_) => " (In a later version.)".to_owned(),
    };
    line(out, format_args!("---@field {}? {} {}{later}", key.name, key.lua, key.doc));
}

/// Writing to a string cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definitions_are_those_that_are_generated() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/lua/types/neap.lua");
        let generated = luals_definitions();
        if std::env::var_os("NEAP_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &generated).expect("the definitions can be written");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == generated, "lua/types/neap.lua is out of date; run this test with NEAP_UPDATE_GOLDEN=1");
    }

    #[test]
    fn every_function_of_the_module_is_defined() {
        let text = luals_definitions();
        for name in [
            "process", "template", "defaults", "group", "http", "tcp", "exec", "logline", "check", "listen", "on",
            "every", "path", "env", "profile", "read", "glob", "yaml", "secret", "settings", "list", "get", "events",
            "plan", "apply", "fetch", "capture",
        ] {
            assert!(text.contains(&format!("function neap.{name}(")), "neap.{name}");
        }
    }
}
