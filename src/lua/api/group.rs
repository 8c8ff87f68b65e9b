//! `neap.group`: several processes under one name.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use super::process::{described, shown};
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{self, misuse, only_in_evaluation, site};
use crate::lua::values::{Group, Handle, Pending};

/// Names that a group may be made of, those that come again counted again.
const MAX_VISITED: usize = 1_000_000;

/// Adds the function to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    let group = lua.create_function(|lua, (name, members): (Value, Value)| {
        only_in_evaluation(lua, "neap.group")?;
        let Value::String(name) = &name else {
            let message = format!("neap.group: expected a name before the list, found {}", described(&name));
            return Err(misuse(lua, message));
        };
        let unfinished = Unfinished { name: Arc::from(name.to_string_lossy().as_str()) };
        match members {
            Value::Nil => Ok(Value::UserData(lua.create_userdata(unfinished)?)),
            members => Ok(Value::UserData(lua.create_userdata(make(lua, &unfinished.name, members)?)?)),
        }
    })?;
    module.set("group", group)
}

/// `neap.group "name"`, before its list.
struct Unfinished {
    name: Arc<str>,
}

impl UserData for Unfinished {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Call, |lua, this, members: Value| make(lua, &this.name, members));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("group `{}`, not yet given its list", this.name))
        });
    }
}

fn make(lua: &Lua, name: &Arc<str>, list: Value) -> mlua::Result<Group> {
    let place = site(lua);
    let wrong = |message: String| problem::at(&place, None, None, format!("group `{name}`: {message}"));
    let Value::Table(list) = list else {
        return Err(wrong(format!("expected a list of processes, found {}", described(&list))));
    };
    let taken = Evaluation::with(lua, |evaluation| {
        let earlier = evaluation.groups.get(name.as_ref()).map(|(place, _)| shown(place));
        evaluation.groups.entry(name.to_string()).or_insert_with(|| (place.clone(), Vec::new()));
        earlier
    })?;
    if let Some(first) = taken {
        return Err(wrong(format!("is declared twice; the first is at {first}")));
    }
    let mut members: Vec<Arc<str>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut visited = 0_usize;
    for (place, item) in items(&list)? {
        let mut add = |names: &[Arc<str>]| {
            visited += names.len();
            members.extend(names.iter().filter(|name| seen.insert((*name).clone())).cloned());
        };
        match &item {
            Value::String(text) => add(&[Arc::from(text.to_string_lossy().as_str())]),
            Value::UserData(data) => {
                if let Ok(handle) = data.borrow::<Handle>() {
                    add(std::slice::from_ref(&handle.name));
                } else if let Ok(pending) = data.borrow::<Pending>() {
                    add(std::slice::from_ref(&pending.name));
                } else if let Ok(group) = data.borrow::<Group>() {
                    add(&group.members);
                } else {
                    return Err(wrong(format!("[{place}]: expected a process, found {}", described(&item))));
                }
            }
            other => {
                let found = described(other);
                return Err(wrong(format!("[{place}]: expected a process's handle or name, found {found}")));
            }
        }
        if visited > MAX_VISITED {
            return Err(wrong("its groups hold too many processes".to_owned()));
        }
    }
    Evaluation::with(lua, |evaluation| {
        if let Some((_, known)) = evaluation.groups.get_mut(name.as_ref()) {
            known.clone_from(&members);
        }
    })?;
    Ok(Group { name: name.clone(), members })
}

/// The items of a list; of a table of handles by name, as `neap.yaml` returns it, its values by name.
fn items(list: &Table) -> mlua::Result<Vec<(String, Value)>> {
    let mut items = Vec::new();
    for (index, item) in list.sequence_values::<Value>().enumerate() {
        items.push(((index + 1).to_string(), item?));
    }
    if !items.is_empty() {
        return Ok(items);
    }
    let mut named = Vec::new();
    for pair in list.pairs::<Value, Value>() {
        if let (Value::String(key), item) = pair? {
            named.push((key.to_string_lossy(), item));
        }
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(named)
}
