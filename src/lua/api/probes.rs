//! `neap.http`, `neap.tcp`, `neap.exec`, `neap.logline`, `neap.check`, `neap.listen`: what readiness, health and sockets are
//! declared with.

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use super::process::described;
use crate::lua::error::Problems;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{misuse, site};
use crate::lua::values::Made;
use crate::spec::{Node, Value as NodeValue, schema};

/// The constructors; each has its table of keys in [`schema`].
const KINDS: [&str; 6] = ["http", "tcp", "exec", "logline", "check", "listen"];

/// Adds the constructors to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    for kind in KINDS {
        module.set(kind, lua.create_function(move |lua, given: Value| make(lua, kind, &given))?)?;
    }
    Ok(())
}

fn make(lua: &Lua, kind: &'static str, given: &Value) -> mlua::Result<Made> {
    let positional = schema::constructor(kind).and_then(|table| table.positional);
    let place = site(lua);
    let made = match (given, positional) {
        (Value::Table(table), _) if !is_list(table) => Evaluation::with(lua, |evaluation| {
            let line = evaluation.number(&place);
            with_positional(table, positional)
                .and_then(|(rest, value)| {
                    let mut fields = evaluation.fields(&rest, &place, kind)?;
                    if let (Some(key), Some(value)) = (positional, value) {
                        fields.push((key.to_owned(), evaluation.node(&value, &place)?));
                    }
                    Ok(Made { kind, line, size: size(&fields), fields })
                })
                .map_err(|mistake| evaluation.problem(&place, None, mistake))
        })?,
        (Value::Table(_) | Value::String(_) | Value::Integer(_) | Value::Function(_), Some(key)) => {
            Evaluation::with(lua, |evaluation| {
                let line = evaluation.number(&place);
                let node = evaluation.node(given, &place);
                node.map(|node| {
                    let fields = vec![(key.to_owned(), node)];
                    Made { kind, line, size: size(&fields), fields }
                })
                .map_err(|mistake| evaluation.problem(&place, None, mistake))
            })?
        }
        (other, _) => return Err(misuse(lua, format!("neap.{kind}: expected a table, found {}", described(other)))),
    };
    made.map_err(|mut problem| {
        problem.field = Some(match problem.field {
            Some(field) => format!("neap.{kind}: {field}"),
            None => format!("neap.{kind}"),
        });
        Problems::raise(vec![problem])
    })
}

/// Whether a table is a list and nothing else (`neap.exec { "redis-cli", "ping" }`).
fn is_list(table: &Table) -> bool {
    table.raw_len() > 0
        && table.pairs::<Value, Value>().all(|pair| matches!(pair, Ok((Value::Integer(_), Value::String(_) | Value::Integer(_)))))
}

/// Takes the one value without a name out of a table of keys (`neap.check { function() … end, interval = "5s" }`).
fn with_positional(
    table: &Table,
    positional: Option<&str>,
) -> Result<(Table, Option<Value>), crate::lua::convert::Mistake> {
    let unreadable = |error: mlua::Error| crate::lua::convert::Mistake {
        line: 0,
        path: String::new(),
        message: format!("cannot read the table: {error}"),
    };
    if positional.is_none() || table.raw_len() != 1 {
        return Ok((table.clone(), None));
    }
    let value: Value = table.raw_get(1).map_err(unreadable)?;
    let rest = table.weak_lua().upgrade().create_table().map_err(unreadable)?;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(unreadable)?;
        if !matches!(key, Value::Integer(1)) {
            rest.raw_set(key, value).map_err(unreadable)?;
        }
    }
    Ok((rest, Some(value)))
}

fn size(fields: &[(String, Node)]) -> usize {
    fn of(node: &Node) -> usize {
        64 + match &node.value {
            NodeValue::String(text) => text.len(),
            NodeValue::List(items) => items.iter().map(of).sum(),
            NodeValue::Map(fields) | NodeValue::Made { fields, .. } => size(fields),
            _ => 0,
        }
    }
    fields.iter().map(|(key, node)| key.len() + of(node)).sum()
}

impl UserData for Made {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let keys: Vec<&str> = this.fields.iter().map(|(key, _)| key.as_str()).collect();
            Ok(format!("neap.{} {{ {} }}", this.kind, keys.join(", ")))
        });
    }
}
