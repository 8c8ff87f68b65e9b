//! `neap.plan` and `neap.apply`: the configuration's files, and what runs.

use mlua::{Lua, Table, Value};

use super::effects::changes;
use crate::core::{Applied, Change, ChangeKind};
use crate::lua::error::Problems;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{misuse, only_at_run_time};
use crate::spec::Problem;

/// The name of the metatable that lists of changes share.
const METATABLE: &str = "neap changes";

/// Adds the functions to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    for (name, dry_run) in [("plan", true), ("apply", false)] {
        module.set(name, lua.create_async_function(move |lua, ()| apply(lua, name, dry_run))?)?;
    }
    Ok(())
}

/// Has it done on a thread that may wait: the evaluation is another state's, and this one goes on meanwhile.
fn apply(lua: Lua, name: &'static str, dry_run: bool) -> impl Future<Output = mlua::Result<Table>> {
    let begun = begin(&lua, name, dry_run);
    async move {
        let answer = begun?.await.map_err(|error| mlua::Error::runtime(format!("neap.{name} broke off: {error}")))?;
        let (applied, warnings) = answer.map_err(Problems::raise)?;
        table(&lua, &applied, &warnings)
    }
}

type Answer = Result<(Applied, Vec<Problem>), Vec<Problem>>;

fn begin(lua: &Lua, name: &str, dry_run: bool) -> mlua::Result<tokio::task::JoinHandle<Answer>> {
    only_at_run_time(lua, &format!("neap.{name}"))?;
    if !dry_run {
        changes(lua, "neap.apply")?;
    }
    let host = Evaluation::host(lua)?;
    let operator =
        host.operator().ok_or_else(|| misuse(lua, format!("neap.{name}: no instance runs this configuration")))?;
    let caller = host.acting().map(|acting| acting.caller.clone());
    Ok(tokio::task::spawn_blocking(move || operator.apply(dry_run, caller)))
}

/// The changes as a list of tables; with those that stay as they are left out.
fn table(lua: &Lua, applied: &Applied, warnings: &[Problem]) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for change in applied.changes.iter().filter(|change| change.kind != ChangeKind::Unchanged || change.overridden) {
        list.raw_push(change_table(lua, change)?)?;
    }
    list.raw_set("unchanged", applied.of(ChangeKind::Unchanged).count())?;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    list.raw_set("warnings", warnings)?;
    list.set_metatable(Some(metatable(lua)?))?;
    Ok(list)
}

fn change_table(lua: &Lua, change: &Change) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("name", change.name.as_ref())?;
    table.set("kind", change.kind.as_str())?;
    table.set("overridden", change.overridden)?;
    let fields = lua.create_table()?;
    for field in &change.fields {
        let entry = lua.create_table()?;
        entry.set("path", field.path.as_str())?;
        entry.set("effect", field.effect.to_string())?;
        entry.set("before", field.before.as_deref())?;
        entry.set("after", field.after.as_deref())?;
        fields.raw_push(entry)?;
    }
    table.set("fields", fields)?;
    Ok(table)
}

fn metatable(lua: &Lua) -> mlua::Result<Table> {
    if let Value::Table(known) = lua.named_registry_value(METATABLE)? {
        return Ok(known);
    }
    let metatable = lua.create_table()?;
    metatable.raw_set("__tostring", lua.create_function(|_, list: Table| told(&list))?)?;
    lua.set_named_registry_value(METATABLE, &metatable)?;
    Ok(metatable)
}

/// The changes as a version control system shows them.
fn told(list: &Table) -> mlua::Result<String> {
    let mut lines = Vec::new();
    for change in list.sequence_values::<Table>() {
        let change = change?;
        let (name, kind): (String, String) = (change.raw_get("name")?, change.raw_get("kind")?);
        let sign = match kind.as_str() {
            "added" => '+',
            "removed" => '-',
            "unchanged" => ' ',
            _ => '~',
        };
        lines.push(format!("{sign} {name}  {kind}"));
        for field in change.raw_get::<Table>("fields")?.sequence_values::<Table>() {
            let field = field?;
            let text =
                |key: &str| field.raw_get::<Option<String>>(key).map(|text| text.unwrap_or_else(|| "nil".into()));
            let path = text("path")?;
            lines.push(match kind.as_str() {
                "added" => format!("    {path} = {}", text("after")?),
                "removed" => format!("    {path} = {}", text("before")?),
                _ => format!("    {path}: {} -> {}  ({})", text("before")?, text("after")?, text("effect")?),
            });
        }
    }
    let unchanged: i64 = list.raw_get("unchanged")?;
    lines.push(format!("{unchanged} unchanged"));
    lines.extend(list.raw_get::<Vec<String>>("warnings")?.into_iter().map(|warning| format!("warning: {warning}")));
    Ok(lines.join("\n"))
}
