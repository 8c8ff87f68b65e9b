//! Numbers for functions that are the same in every evaluation of the same configuration.
//!
//! Functions are met in an order that differs from state to state, as the order in which Lua walks tables does. What is
//! written down about a process names its functions by number, so they are numbered again by their place in the plan.

use std::collections::HashMap;

use super::evaluation::Evaluation;
use super::host::Host;
use crate::spec::{FunctionId, Hook, HookAction, Plan, ProbeTarget, Ready, Spec};

/// Gives the plan's functions their numbers, by process, and all others the numbers after those.
pub(super) fn by_place(evaluation: &mut Evaluation, host: &Host, plan: Plan) -> Plan {
    let mut order: Vec<FunctionId> = Vec::new();
    let mut known: HashMap<FunctionId, FunctionId> = HashMap::new();
    let mut note = |id: &mut FunctionId| {
        known.entry(*id).or_insert_with(|| {
            order.push(*id);
            // Counted from one, as the host does.
            host.function_id(order.len())
        });
    };
    let generation = plan.generation;
    let mut specs: Vec<Spec> = plan.into_iter().collect();
    specs.iter_mut().for_each(|spec| each_function(spec, &mut note));
    evaluation.handlers.iter_mut().for_each(|handler| note(&mut handler.function));
    evaluation.timers.iter_mut().for_each(|timer| note(&mut timer.function));
    host.functions_given().for_each(|mut id| note(&mut id));

    let mut renumber = |id: &mut FunctionId| {
        if let Some(new) = known.get(id) {
            *id = *new;
        }
    };
    let mut renumbered = Plan::new();
    renumbered.generation = generation;
    for mut spec in specs {
        each_function(&mut spec, &mut renumber);
        // Names were unique before.
        let _ = renumbered.insert(spec);
    }
    evaluation.handlers.iter_mut().for_each(|handler| renumber(&mut handler.function));
    evaluation.timers.iter_mut().for_each(|timer| renumber(&mut timer.function));
    evaluation.functions.renumber(&mut renumber);
    host.reorder_functions(&order);
    renumbered
}

/// Goes through the functions of a spec.
pub(super) fn each_function(spec: &mut Spec, each: &mut dyn FnMut(&mut FunctionId)) {
    let hooks = &mut spec.hooks;
    for list in [
        &mut hooks.before_start,
        &mut hooks.after_start,
        &mut hooks.before_stop,
        &mut hooks.after_stop,
        &mut hooks.on_failure,
    ] {
        for Hook { action, .. } in list {
            if let HookAction::Function(id) = action {
                each(id);
            }
        }
    }
    spec.conditions.check.iter_mut().for_each(&mut *each);
    let ready = match &mut spec.ready {
        Ready::Probe(probe) => Some(&mut probe.target),
        _ => None,
    };
    let health = spec.health.as_mut().map(|health| &mut health.target);
    for target in [ready, health].into_iter().flatten() {
        if let ProbeTarget::Function(id) = target {
            each(id);
        }
    }
}
