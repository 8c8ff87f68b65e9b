//! Choosing processes by name.

use super::exit::{Exit, Failure};
use crate::glob::glob_matches;
use crate::spec::schema::nearest;
use crate::spec::{Plan, Problem};

/// The plan with only these starting by themselves: what they need comes with them, the rest is defined and stays down.
pub(super) fn narrowed(plan: Plan, wanted: &[String]) -> Result<Plan, Problem> {
    let mut narrowed = Plan::new();
    for mut spec in plan {
        spec.auto_start = wanted.iter().any(|glob| glob_matches(glob, &spec.name));
        narrowed.insert(spec)?;
    }
    Ok(narrowed)
}

/// Whether each of these stands for a process of the plan.
pub(super) fn known(plan: &Plan, wanted: &[String]) -> Result<(), Failure> {
    match wanted.iter().find(|glob| !plan.specs().any(|spec| glob_matches(glob, &spec.name))) {
        Some(glob) => Err(unknown(plan, glob)),
        None => Ok(()),
    }
}

fn unknown(plan: &Plan, name: &str) -> Failure {
    let hint = match nearest(name, plan.specs().map(|spec| spec.name.as_str())) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None if plan.is_empty() => "; the configuration declares none".to_owned(),
        None => {
            let names: Vec<&str> = plan.specs().map(|spec| spec.name.as_str()).take(10).collect();
            format!("; there are {}{}", names.join(", "), if plan.len() > names.len() { ", …" } else { "" })
        }
    };
    Failure::new(format!("there is no process `{name}`{hint}")).exit(Exit::NoSuchProcess)
}
