//! `neap.process "x" { … }` at run time: defines a process and starts it.

use std::sync::Arc;

use mlua::{Lua, MetaMethod, UserData, UserDataMethods, Value};

use super::effects::changes;
use super::finish;
use super::handle::supervisor;
use super::process::described;
use crate::core::{EventKind, ProcessId};
use crate::lua::error::Problems;
use crate::lua::evaluation::{Evaluation, Fields, Layer};
use crate::lua::host::Host;
use crate::lua::problem::{self, Site, problem_at, site};
use crate::lua::renumber::each_function;
use crate::lua::runtime::Generation;
use crate::lua::values::Handle;
use crate::spec::read::merge_into;
use crate::spec::{Spec, make_absolute};
use crate::{Error, Events, Next, Process, Supervisor};

/// `neap.process "x"` at run time, before its table.
pub(super) struct Late {
    pub(super) name: Arc<str>,
    pub(super) layers: Vec<Layer>,
}

impl UserData for Late {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_async_meta_method(MetaMethod::Call, |lua, this, table: Value| {
            let place = site(&lua);
            let begun = define(&lua, &this, &table, &place);
            let name = this.name.clone();
            async move {
                let (process, start) = begun?;
                if start {
                    process.start().await.map_err(|error| refused_start(&place, &name, &error))?;
                }
                Ok(Handle { name })
            }
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("process `{}`, not yet given its table", this.name))
        });
    }
}

/// Defines it; says whether it is to be started.
fn define(lua: &Lua, late: &Late, table: &Value, place: &Site) -> mlua::Result<(Process, bool)> {
    let supervisor = supervisor(lua, "neap.process")?;
    changes(lua, "neap.process")?;
    let host = Evaluation::host(lua)?;
    let mut spec = spec_of(lua, late, table, place)?;
    let keeps = match has_functions(&spec) {
        false => None,
        true if !spec.volatile => return Err(must_be_volatile(place, &late.name)),
        true => Some(kept(&host, &supervisor, place, &late.name)?),
    };
    make_absolute(&mut spec, host.root());
    let start = spec.auto_start;
    let process = supervisor.add(spec).map_err(|error| refused(place, &late.name, &error))?;
    if let Some((generation, events)) = keeps {
        keep_while_defined(generation, events, process.id());
    }
    Ok((process, start))
}

/// The spec that the table makes, over templates and the configuration's defaults.
fn spec_of(lua: &Lua, late: &Late, table: &Value, place: &Site) -> mlua::Result<Spec> {
    let Value::Table(table) = table else {
        let message = format!("expected its table ({{ command = … }}), found {}", described(table));
        return Err(problem::at(place, Some(&late.name), None, message));
    };
    let read = Evaluation::with(lua, |evaluation| {
        let own = evaluation
            .fields(table, place, &late.name)
            .map_err(|mistake| vec![evaluation.problem(place, Some(&late.name), mistake)])?;
        let mut fields = Fields::new();
        let defaults = evaluation.defaults.iter().map(|(layer, _)| layer);
        defaults.chain(&late.layers).for_each(|layer| merge_into(&mut fields, layer.to_vec()));
        merge_into(&mut fields, own);
        let mut spec = finish::spec(evaluation, &late.name, place, fields)?;
        spec.source.fields.clear();
        Ok(spec)
    })?;
    read.map_err(Problems::raise)
}

/// Whether a spec has Lua functions.
pub(super) fn has_functions(spec: &Spec) -> bool {
    let mut found = false;
    each_function(&mut spec.clone(), &mut |_| found = true);
    found
}

pub(super) fn must_be_volatile(place: &Site, name: &str) -> mlua::Error {
    let message = "has Lua functions, which end with the instance, and would be kept beyond that; say `volatile = true` \
                   for a process that is not, or use commands";
    problem::at(place, Some(name), Some("volatile"), message)
}

/// What keeps this state's functions callable, and what tells when they are not needed any more.
fn kept(host: &Host, supervisor: &Supervisor, place: &Site, name: &str) -> mlua::Result<(Generation, Events)> {
    let gone =
        || problem::at(place, Some(name), None, "the configuration that these functions belong to is being let go");
    Ok((host.own().ok_or_else(gone)?, supervisor.events()))
}

/// Keeps the functions callable until the process is deleted, or the supervisor has ended.
fn keep_while_defined(generation: Generation, mut events: Events, process: ProcessId) {
    tokio::task::spawn_local(async move {
        while let Some(next) = events.next().await {
            let Next::Item(event) = next else { continue };
            if event.process == Some(process) && event.kind == EventKind::Deleted {
                break;
            }
        }
        drop(generation);
    });
}

fn refused(place: &Site, name: &str, error: &Error) -> mlua::Error {
    if let Error::Refused(crate::core::Refusal::Invalid(invalid)) = error {
        let told = invalid.problems.iter().map(|problem| {
            let mut problem = problem.clone();
            (problem.file, problem.line) = (place.file.clone(), problem.line.or(place.line));
            problem
        });
        return Problems::raise(told.collect());
    }
    Problems::raise(vec![problem_at(place, Some(name), None, error.to_string())])
}

fn refused_start(place: &Site, name: &str, error: &Error) -> mlua::Error {
    problem::at(place, Some(name), None, format!("is defined, but not up: {error}"))
}
