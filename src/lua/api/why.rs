//! `handle:why()`: the causes behind a state.

use mlua::{Lua, Table, Value};

use crate::core::{Blocker, Explanation, Timer};
use crate::spec::units::format_duration;

/// The name of the metatable that explanations share.
const METATABLE: &str = "neap explanation";

/// An explanation as a table that prints itself.
pub(super) fn table(lua: &Lua, explained: &Explanation) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("process", explained.status.name.as_ref())?;
    table.set("state", explained.status.state.as_str())?;
    table.set("summary", explained.summary())?;
    let chain = lua.create_table()?;
    let mut lines = vec![explained.summary()];
    for reason in &explained.chain {
        let entry = lua.create_table()?;
        entry.set("process", Some(reason.of.as_ref()).filter(|of| !of.is_empty()))?;
        entry.set("text", reason.full_text())?;
        entry.set("time", reason.time.0 as f64 / 1000.0)?;
        entry.set("caller", reason.caller.as_deref())?;
        chain.raw_push(entry)?;
        lines.push(format!("  {} {}", reason.of, reason.full_text()).trim_end().to_owned());
    }
    table.set("chain", chain)?;
    table.set("blockers", blockers(lua, &explained.blockers, 1, &mut lines)?)?;
    table.set("timers", timers(lua, &explained.timers, &mut lines)?)?;
    table.set("cut", explained.cut.as_deref())?;
    lines.extend(explained.cut.iter().map(|cut| format!("  ({cut})")));
    table.set("text", lines.join("\n"))?;
    table.set_metatable(Some(metatable(lua)?))?;
    Ok(table)
}

fn blockers(lua: &Lua, all: &[Blocker], depth: usize, lines: &mut Vec<String>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for blocker in all {
        let why = if blocker.reason.is_empty() { String::new() } else { format!(" ({})", blocker.reason) };
        lines.push(format!("{}waits for {}, which is {}{why}", "  ".repeat(depth), blocker.name, blocker.state));
        let entry = lua.create_table()?;
        entry.set("process", blocker.name.as_ref())?;
        entry.set("state", blocker.state.as_str())?;
        entry.set("reason", blocker.reason.as_str())?;
        entry.set("blockers", blockers(lua, &blocker.blockers, depth + 1, lines)?)?;
        table.raw_push(entry)?;
    }
    Ok(table)
}

fn timers(lua: &Lua, all: &[Timer], lines: &mut Vec<String>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for timer in all {
        let left = std::time::Duration::from_millis(u64::try_from(timer.remaining.as_millis()).unwrap_or(u64::MAX));
        lines.push(format!("  in {}: {}", format_duration(left), timer.then));
        let entry = lua.create_table()?;
        entry.set("what", timer.what.as_str())?;
        entry.set("remaining", timer.remaining.as_secs_f64())?;
        entry.set("then", timer.then.as_str())?;
        table.raw_push(entry)?;
    }
    Ok(table)
}

fn metatable(lua: &Lua) -> mlua::Result<Table> {
    if let Value::Table(known) = lua.named_registry_value(METATABLE)? {
        return Ok(known);
    }
    let metatable = lua.create_table()?;
    metatable.raw_set("__tostring", lua.create_function(|_, told: Table| told.raw_get::<Value>("text"))?)?;
    lua.set_named_registry_value(METATABLE, &metatable)?;
    Ok(metatable)
}
