//! `neap.process`, `neap.template`, `neap.defaults`, `neap.unset`: declaring processes.

use std::sync::Arc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use super::define::Late;
use super::effects::changes;
use crate::lua::convert::{Mistake, TOO_LARGE};
use crate::lua::error::Problems;
use crate::lua::evaluation::{Body, Declaration, Evaluation, Layer};
use crate::lua::host::Phase;
use crate::lua::problem::{self, Site, misuse, only_in_evaluation, site};
use crate::lua::values::{Handle, Made, Pending, Template, Unset};

/// Adds the functions to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("process", lua.create_function(|lua, (name, table)| process(lua, name, table, Vec::new()))?)?;
    module.set("template", lua.create_function(|lua, table| template(lua, table, Vec::new()))?)?;
    module.set("defaults", lua.create_function(defaults)?)?;
    module.set("unset", lua.create_userdata(Unset)?)
}

/// `process "name"`, which waits for its table, or `process("name", { … })`.
fn process(lua: &Lua, name: Value, table: Value, layers: Vec<Layer>) -> mlua::Result<Value> {
    let name: Arc<str> = match &name {
        Value::String(text) => match text.to_str() {
            Ok(text) => Arc::from(&*text),
            Err(_) => return Err(misuse(lua, "neap.process: the name is not UTF-8")),
        },
        Value::Table(_) => {
            return Err(misuse(lua, "neap.process: expected a name before the table: neap.process \"NAME\" { … }"));
        }
        other => {
            return Err(misuse(lua, format!("neap.process: expected a name (a string), found {}", described(other))));
        }
    };
    if Evaluation::host(lua)?.phase() == Phase::RunTime {
        if !table.is_nil() {
            let message =
                format!("neap.process: at run time the table stands by itself: neap.process \"{name}\" {{ … }}");
            return Err(misuse(lua, message));
        }
        changes(lua, "neap.process")?;
        return Ok(Value::UserData(lua.create_userdata(Late { name, layers })?));
    }
    let place = site(lua);
    Evaluation::with(lua, |evaluation| evaluation.pending.push((name.clone(), place)))?;
    let pending = Pending { name, layers };
    match table {
        Value::Nil => Ok(Value::UserData(lua.create_userdata(pending)?)),
        table => Ok(Value::UserData(lua.create_userdata(declare(lua, &pending, table)?)?)),
    }
}

/// The table of a pending process has come.
fn declare(lua: &Lua, pending: &Pending, table: Value) -> mlua::Result<Handle> {
    only_in_evaluation(lua, "neap.process")?;
    let host = Evaluation::host(lua)?;
    let place = site(lua);
    Evaluation::with(lua, |evaluation| {
        if let Some(index) = evaluation.pending.iter().position(|(name, _)| *name == pending.name) {
            evaluation.pending.remove(index);
        }
    })?;
    let Value::Table(table) = table else {
        let message = format!("expected its table ({{ command = … }}), found {}", described(&table));
        return Err(problem::at(&place, Some(&pending.name), None, message));
    };
    let refused = Evaluation::with(lua, |evaluation| {
        let mut fields = evaluation.fields(&table, &place, &pending.name);
        if fields.is_ok() && !evaluation.spend_layers(&pending.layers) {
            fields = Err(Mistake { line: 0, path: String::new(), message: TOO_LARGE.to_owned() });
        }
        match fields {
            Ok(fields) => {
                let (name, layers) = (pending.name.clone(), pending.layers.clone());
                evaluation.declared.push(Declaration { name, site: place, body: Body::Table { layers, fields } });
                None
            }
            Err(mistake) => {
                evaluation.incomplete = true;
                Some(evaluation.problem(&place, Some(&pending.name), mistake))
            }
        }
    })?;
    match refused {
        // Whatever else is wrong, going on would only take longer.
        Some(problem) if problem.message == TOO_LARGE => return Err(Problems::raise(vec![problem])),
        Some(problem) => host.refuse(problem),
        None => {}
    }
    Ok(Handle { name: pending.name.clone() })
}

fn template(lua: &Lua, table: Value, mut layers: Vec<Layer>) -> mlua::Result<Template> {
    layers.push(fields_of(lua, table, "template")?);
    Ok(Template { layers })
}

fn defaults(lua: &Lua, table: Value) -> mlua::Result<()> {
    only_in_evaluation(lua, "neap.defaults")?;
    let place = site(lua);
    let refusal = Evaluation::with(lua, |evaluation| {
        if let Some((_, first)) = &evaluation.defaults {
            return Some(format!("neap.defaults was called already, at {}; it is called once", shown(first)));
        }
        let first = evaluation.declared.iter().find(|declared| declared.is_scripts());
        let first = first.map(|declared| (&declared.name, &declared.site));
        let first = first.or_else(|| evaluation.pending.first().map(|(name, site)| (name, site)));
        first.map(|(name, site)| {
            format!("neap.defaults comes before the first process; `{name}` was declared at {}", shown(site))
        })
    })?;
    if let Some(message) = refusal {
        return Err(problem::at(&place, None, None, message));
    }
    let fields = fields_of(lua, table, "defaults")?;
    Evaluation::with(lua, |evaluation| evaluation.defaults = Some((fields, place)))
}

/// The table given to a function of the module, as fields; a mistake in it is raised at its place.
fn fields_of(lua: &Lua, table: Value, function: &'static str) -> mlua::Result<Layer> {
    let place = site(lua);
    let Value::Table(table) = table else {
        return Err(misuse(lua, format!("neap.{function}: expected a table, found {}", described(&table))));
    };
    let fields = Evaluation::with(lua, |evaluation| {
        evaluation.fields(&table, &place, function).map_err(|mistake| evaluation.problem(&place, None, mistake))
    })?;
    fields.map(Arc::new).map_err(|problem| Problems::raise(vec![problem]))
}

/// A value's kind, with itself where that is short, for messages.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Nil => "nothing".into(),
        Value::Boolean(truth) => format!("the boolean {truth}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => {
            let text = text.to_string_lossy();
            if text.chars().count() > 40 {
                format!("the string \"{}…\"", text.chars().take(40).collect::<String>())
            } else {
                format!("the string \"{text}\"")
            }
        }
        Value::Table(_) => "a table".into(),
        Value::Function(_) => "a function".into(),
        Value::Thread(_) => "a coroutine".into(),
        Value::UserData(data) if data.is::<Handle>() || data.is::<Pending>() => "a process's handle".into(),
        Value::UserData(data) if data.is::<Template>() => "a template".into(),
        Value::UserData(data) => match data.borrow::<Made>() {
            Ok(made) => format!("a neap.{}", made.kind),
            Err(_) => "a value of the neap module".into(),
        },
        _ => "a foreign value".into(),
    }
}

/// A place as messages show it.
pub(super) fn shown(site: &Site) -> String {
    match (&site.file, site.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        _ => "(unknown place)".into(),
    }
}

impl UserData for Pending {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Call, |lua, this, table: Value| declare(lua, this, table));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("process `{}`, not yet given its table", this.name))
        });
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| -> mlua::Result<Value> {
            let message = format!(
                "was never given its table; read `{}` from what the call with the table returns",
                described(&key)
            );
            Err(problem::at(&site(lua), Some(&this.name), None, message))
        });
    }
}

impl UserData for Template {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Call, |lua, this, (name, table): (Value, Value)| {
            process(lua, name, table, this.layers.clone())
        });
        methods.add_method("extend", |lua, this, table: Value| template(lua, table, this.layers.clone()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let keys: Vec<&str> =
                this.layers.iter().flat_map(|layer| layer.iter().map(|(key, _)| key.as_str())).collect();
            Ok(format!("template of {}", if keys.is_empty() { "nothing".into() } else { keys.join(", ") }))
        });
    }
}

impl UserData for Unset {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("neap.unset"));
    }
}
