//! Choosing processes by name.

use super::exit::{Exit, Failure};
use crate::spec::{Plan, Problem};

/// Whether the name matches the glob: `*` is any run of characters, `?` any one.
fn matches(glob: &str, name: &str) -> bool {
    fn rest(glob: &[char], name: &[char]) -> bool {
        match (glob.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', glob_rest)), _) => (0..=name.len()).any(|skip| rest(glob_rest, &name[skip..])),
            (Some(('?', glob_rest)), Some((_, name_rest))) => rest(glob_rest, name_rest),
            (Some((g, glob_rest)), Some((n, name_rest))) => g == n && rest(glob_rest, name_rest),
            _ => false,
        }
    }
    let glob: Vec<char> = glob.chars().collect();
    let name: Vec<char> = name.chars().collect();
    rest(&glob, &name)
}

/// The plan with only these starting by themselves: what they need comes with them, the rest is defined and stays down.
pub(super) fn narrowed(plan: Plan, wanted: &[String]) -> Result<Plan, Problem> {
    let mut narrowed = Plan::new();
    for mut spec in plan {
        spec.auto_start = wanted.iter().any(|glob| matches(glob, &spec.name));
        narrowed.insert(spec)?;
    }
    Ok(narrowed)
}

/// Whether each of these stands for a process of the plan.
pub(super) fn known(plan: &Plan, wanted: &[String]) -> Result<(), Failure> {
    match wanted.iter().find(|glob| !plan.specs().any(|spec| matches(glob, &spec.name))) {
        Some(glob) => Err(unknown(plan, glob)),
        None => Ok(()),
    }
}

fn unknown(plan: &Plan, name: &str) -> Failure {
    let nearest = plan
        .specs()
        .map(|spec| (strsim::damerau_levenshtein(name, &spec.name), &spec.name))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min();
    let hint = match nearest {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None if plan.is_empty() => "; the configuration declares none".to_owned(),
        None => {
            let names: Vec<&str> = plan.specs().map(|spec| spec.name.as_str()).take(10).collect();
            format!("; there are {}{}", names.join(", "), if plan.len() > names.len() { ", …" } else { "" })
        }
    };
    Failure::new(format!("there is no process `{name}`{hint}")).exit(Exit::NoSuchProcess)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_glob_is_a_star_a_mark_or_the_name() {
        for (glob, name, expected) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web*", "web-2", true),
            ("*", "anything", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*-2", "web-1-2", true),
            ("", "web", false),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }
}
