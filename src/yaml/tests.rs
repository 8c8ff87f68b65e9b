//! Forms, older names and bounds.

use super::*;
use crate::spec::{Plan, Problem, Spec};

fn text(text: &str) -> Text<'_> {
    Text { file: "web.yaml", text, name: Some("web") }
}

fn specs(source: &Text) -> Result<Vec<Spec>, Vec<Problem>> {
    join(vec![read(source)?])?.iter().map(Definition::spec).collect()
}

fn one(source: &str) -> Spec {
    let mut specs = specs(&text(source)).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(specs.len(), 1);
    specs.remove(0)
}

fn refused(source: &str) -> String {
    let problems = match specs(&text(source)) {
        Err(problems) => problems,
        Ok(specs) => {
            let mut plan = Plan::new();
            specs.into_iter().for_each(|spec| plan.insert(spec).unwrap());
            plan.validate()
        }
    };
    shown(&problems)
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_file_is_one_process_called_as_the_file() {
    let spec = one("# The shop.\ncommand: nginx -g 'daemon off;'\nrestart_policy: ALWAYS\nrestart_sec: 2\n");
    assert_eq!(spec.name, "web");
    assert_eq!(spec.command, ["nginx", "-g", "daemon off;"]);
    assert_eq!(spec.restart.delay.as_secs(), 2);
}
