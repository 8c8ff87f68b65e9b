//! `handle:update { … }`: changes to a process's spec at run time.

use std::sync::Arc;

use mlua::{Lua, Value};

use super::define::{has_functions, must_be_volatile};
use super::finish;
use super::process::described;
use crate::lua::error::Problems;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{misuse, site};
use crate::spec::Spec;
use crate::spec::read::amend;

/// The spec that these changes make of the present one: maps merge, lists replace, `neap.unset` removes.
pub(super) fn updated(lua: &Lua, present: &Spec, changes: &Value) -> mlua::Result<Spec> {
    let place = site(lua);
    let name: Arc<str> = Arc::from(present.name.as_str());
    let Value::Table(changes) = changes else {
        return Err(misuse(lua, format!("{name}:update: expected a table of keys, found {}", described(changes))));
    };
    let mut spec = Evaluation::with(lua, |evaluation| {
        let changes = evaluation
            .fields(changes, &place, "update")
            .map_err(|mistake| vec![evaluation.problem(&place, Some(&name), mistake)])?;
        finish::spec(evaluation, &name, &place, amend(present, changes))
    })?
    .map_err(Problems::raise)?;
    // It is still declared where it was.
    spec.source = present.source.clone();
    if has_functions(&spec) && !has_functions(present) && !spec.volatile {
        return Err(must_be_volatile(&place, &name));
    }
    Ok(spec)
}
