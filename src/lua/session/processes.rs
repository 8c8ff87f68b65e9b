//! `p`: the processes by name.

use std::sync::Arc;

use mlua::{Lua, MetaMethod, UserData, UserDataMethods, Value};

use crate::Supervisor;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{did_you_mean, misuse};
use crate::lua::values::Handle;

/// `p.web` is the process `web`, `p["a-b"]` one whose name is no word of Lua.
pub(super) struct Processes;

fn supervisor(lua: &Lua) -> mlua::Result<Supervisor> {
    let supervisor = Evaluation::host(lua)?.supervisor();
    supervisor.ok_or_else(|| misuse(lua, "p: no instance runs this configuration"))
}

/// The names of all processes, sorted.
pub(super) fn names(lua: &Lua) -> Vec<Arc<str>> {
    let all = supervisor(lua).ok().and_then(|supervisor| supervisor.list().ok()).unwrap_or_default();
    all.into_iter().map(|status| status.name).collect()
}

impl UserData for Processes {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, _, name: Value| {
            let Value::String(name) = &name else {
                return Err(misuse(lua, "p: a process is asked for by its name: p.web, or p[\"a-b\"]"));
            };
            let name = name.to_string_lossy();
            if supervisor(lua)?.get(&name).is_some() {
                return Ok(Handle { name: Arc::from(name.as_str()) });
            }
            let known = names(lua);
            let near = did_you_mean(&name, known.iter().map(AsRef::as_ref));
            Err(misuse(lua, format!("there is no process `{name}`{near}")))
        });
        methods.add_meta_method(MetaMethod::Len, |lua, _, ()| Ok(supervisor(lua)?.list().map_or(0, |all| all.len())));
        methods.add_meta_method(MetaMethod::Pairs, |lua, _, ()| {
            let table = lua.create_table()?;
            for name in names(lua) {
                table.raw_set(name.as_ref(), lua.create_userdata(Handle { name: name.clone() })?)?;
            }
            let next: mlua::Function = lua.globals().raw_get("next")?;
            Ok((next, table, Value::Nil))
        });
        methods.add_meta_method(MetaMethod::ToString, |lua, _, ()| {
            let all = supervisor(lua)?.list().map_err(|error| mlua::Error::runtime(error.to_string()))?;
            let longest = all.iter().map(|status| status.name.len()).max().unwrap_or(0);
            let lines: Vec<String> = all
                .iter()
                .map(|status| {
                    let pid = status.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
                    let line = format!("{:longest$}  {:8}  {pid:12}  {}", status.name, status.state, status.reason);
                    line.trim_end().to_owned()
                })
                .collect();
            Ok(if lines.is_empty() { "no processes".to_owned() } else { lines.join("\n") })
        });
    }
}
