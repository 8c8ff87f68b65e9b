//! `handle:update { … }`: changes to a process's spec at run time.

use std::sync::Arc;

use mlua::{Lua, Value};

use super::finish;
use super::process::described;
use crate::lua::error::Problems;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{misuse, site};
use crate::spec::Spec;
use crate::spec::read::merge;

/// The spec that these changes make of the process's declared one: maps merge, lists replace, `neap.unset` removes. The
/// next update starts from it.
pub(super) fn updated(lua: &Lua, name: &Arc<str>, changes: &Value) -> mlua::Result<Spec> {
    let place = site(lua);
    let Value::Table(changes) = changes else {
        return Err(misuse(lua, format!("{name}:update: expected a table of keys, found {}", described(changes))));
    };
    let result = Evaluation::with(lua, |evaluation| {
        let Some(index) = evaluation.declared.iter().position(|declaration| declaration.name == *name) else {
            return Err(None);
        };
        let changes = evaluation
            .fields(changes, &place, "update")
            .map_err(|mistake| Some(vec![evaluation.problem(&place, Some(name), mistake)]))?;
        let Some(declaration) = evaluation.declared.get(index) else { return Err(None) };
        let (spec, fields) = finish::spec(evaluation, declaration, merge(&declaration.fields, &changes));
        let spec = spec.map_err(Some)?;
        if let Some(declaration) = evaluation.declared.get_mut(index) {
            declaration.fields = fields;
        }
        Ok(spec)
    })?;
    result.map_err(|problems| match problems {
        Some(problems) => Problems::raise(problems),
        None => misuse(lua, format!("{name}:update: this configuration does not declare `{name}`")),
    })
}
