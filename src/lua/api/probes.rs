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
            let fields = evaluation.fields(table, &place, kind);
            fields
                .map(|fields| Made { kind, line, size: size(&fields), fields })
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
        && table
            .pairs::<Value, Value>()
            .all(|pair| matches!(pair, Ok((Value::Integer(_), Value::String(_) | Value::Integer(_)))))
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
