//! Dry runs: what a start, a stop or a restart would do, from the specs and states as they are.

use std::collections::{BTreeMap, BTreeSet};

use super::convert::outcome;
use super::proto::v1;
use super::select::Found;
use crate::core::StateName;
use crate::spec::Spec;

/// What would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    Stop,
    Restart,
}

/// The outcomes that this step would have for the ones `asked` for, among all that there are.
pub(super) fn foresee(all: &[Found], asked: &[Found], step: Step) -> Vec<v1::Outcome> {
    let look = Look::new(all);
    let outcomes = asked.iter().map(|found| {
        let name: &str = &found.status.name;
        let along = match step {
            Step::Start if is_coming(found.status.state) => BTreeSet::new(),
            Step::Start => look.started_with(name),
            Step::Stop | Step::Restart => look.stopped_with(name),
        };
        let changed = match step {
            Step::Start => !is_coming(found.status.state),
            Step::Stop => is_up(found.status.state),
            Step::Restart => true,
        };
        v1::Outcome {
            changed,
            along: along.into_iter().filter(|other| *other != name).map(str::to_owned).collect(),
            ..outcome(&found.uuid, &found.status)
        }
    });
    outcomes.collect()
}

/// Whether a start would find it up, or on its way.
fn is_coming(state: StateName) -> bool {
    matches!(state, StateName::Running | StateName::Starting | StateName::Waiting)
}

/// Whether a stop would have something to do.
fn is_up(state: StateName) -> bool {
    is_coming(state) || matches!(state, StateName::Stopping | StateName::Backoff)
}

/// All processes by name, and who depends on whom.
struct Look<'a> {
    by_name: BTreeMap<&'a str, &'a Found>,
    /// For each name, who goes down with it.
    dependents: BTreeMap<&'a str, Vec<&'a str>>,
    /// For each name, who conflicts with it, whoever says so.
    conflicts: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Look<'a> {
    fn new(all: &'a [Found]) -> Self {
        let by_name = all.iter().map(|found| (&*found.status.name, found)).collect();
        let mut look = Look { by_name, dependents: BTreeMap::new(), conflicts: BTreeMap::new() };
        for found in all {
            let (name, spec): (&str, &Spec) = (&found.status.name, &found.spec);
            for other in spec.requires.iter().chain(&spec.binds_to).chain(&spec.part_of) {
                look.dependents.entry(other).or_default().push(name);
            }
            for other in &spec.conflicts {
                look.conflicts.entry(other).or_default().push(name);
                look.conflicts.entry(name).or_default().push(other);
            }
        }
        look
    }

    /// What it needs and wants and is not up, and what would have to go for any of them.
    fn started_with(&self, name: &'a str) -> BTreeSet<&'a str> {
        let mut touched = BTreeSet::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            let Some(found) = self.by_name.get(name) else { continue };
            if !touched.insert(name) {
                continue;
            }
            let spec: &Spec = &found.spec;
            let needed = spec.requires.iter().chain(&spec.wants).chain(&spec.binds_to).map(String::as_str);
            next.extend(needed.filter(|other| self.state(other).is_some_and(|state| !is_coming(state))));
            for other in self.conflicts.get(name).into_iter().flatten() {
                touched.extend(self.stopped_with(other));
            }
        }
        touched
    }

    /// It and all that cannot be without it, as far as they are up.
    fn stopped_with(&self, name: &'a str) -> BTreeSet<&'a str> {
        let mut touched = BTreeSet::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            if self.state(name).is_some_and(is_up) && touched.insert(name) {
                next.extend(self.dependents.get(name).into_iter().flatten());
            }
        }
        touched
    }

    fn state(&self, name: &str) -> Option<StateName> {
        self.by_name.get(name).map(|found| found.status.state)
    }
}
