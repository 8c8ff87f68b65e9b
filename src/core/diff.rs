//! What becomes of each process: the one list that a plan shows, and that an apply and an update carry out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::StateName;
use super::machine::Machine;
use super::process::{Origin, Process, State};
use crate::spec::diff::{FieldDiff, diff, given};
use crate::spec::{Effect, Plan, PlanError, Source, Spec};

/// What becomes of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is stopped and forgotten.
    Removed,
    /// Its spec changes, and its run goes on.
    Updated,
    /// Its spec changes, and it is restarted for that.
    Restarted,
    /// It stays as it is.
    Unchanged,
}

impl ChangeKind {
    /// The word for it, as every view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Updated => "updated",
            ChangeKind::Restarted => "restarted",
            ChangeKind::Unchanged => "unchanged",
        }
    }
}

/// What becomes of a process, and which of its keys change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: Arc<str>,
    /// What becomes of it.
    pub kind: ChangeKind,
    /// What changes. Of one that is added or removed: what it says beyond the defaults.
    pub fields: Vec<FieldDiff>,
    /// Its spec was changed at run time and differs from its configuration's: an apply takes that back.
    pub overridden: bool,
    /// Its state before the change; `None` for one that is added.
    pub state: Option<StateName>,
    /// Others that are stopped for it and brought back, by name: of one that is restarted.
    pub along: Vec<Arc<str>>,
    /// Where it is declared; for one that is removed, where it was.
    pub source: Source,
}

impl Change {
    /// The paths of its fields.
    pub fn paths(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.path.clone()).collect()
    }

    /// The paths of those that are not in force before its run has ended. None while nothing of it runs.
    pub fn needs_restart(&self) -> Vec<String> {
        let lives = matches!(self.state, Some(StateName::Starting | StateName::Running));
        let fields = self.fields.iter().filter(|field| lives && field.effect == Effect::Restart);
        fields.map(|field| field.path.clone()).collect()
    }
}

impl Machine {
    /// What applying this plan would do, by name; nothing is changed.
    ///
    /// # Errors
    /// All that is wrong with the plan.
    pub fn diff(&self, plan: &Plan) -> Result<Vec<Change>, PlanError> {
        self.validate_plan(plan)?;
        let mut changes: Vec<Change> = plan.specs().map(|spec| self.planned_change(spec)).collect();
        let removed = self.processes.iter().filter(|p| is_removed_by(p, plan));
        changes.extend(removed.map(|p| {
            let fields = given(&p.spec).into_iter();
            let fields = fields.map(|field| FieldDiff { before: field.after, after: None, ..field }).collect();
            Change { kind: ChangeKind::Removed, fields, source: p.spec.source.clone(), ..unchanged(p) }
        }));
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        self.find_along(&mut changes, |p| plan.get(&p.name).unwrap_or(&p.spec));
        Ok(changes)
    }

    /// Finds who is stopped with those that are restarted. `spec` gives the spec that a process will have.
    pub(super) fn find_along<'a>(&'a self, changes: &mut [Change], spec: impl Fn(&'a Process) -> &'a Spec) {
        let restarted = |change: &&mut Change| change.kind == ChangeKind::Restarted;
        if !changes.iter_mut().any(|change| restarted(&change)) {
            return;
        }
        let mut dependents: BTreeMap<&str, Vec<&Arc<str>>> = BTreeMap::new();
        for p in self.processes.iter().filter(|p| !p.state.is_rest()) {
            let spec = spec(p);
            for other in spec.requires.iter().chain(&spec.binds_to).chain(&spec.part_of) {
                dependents.entry(other).or_default().push(&p.name);
            }
        }
        // These are told of already.
        let told = |change: &Change| matches!(change.kind, ChangeKind::Restarted | ChangeKind::Removed);
        let told: BTreeSet<Arc<str>> = changes.iter().filter(|change| told(change)).map(|c| c.name.clone()).collect();
        for change in changes.iter_mut().filter(restarted) {
            let mut found: BTreeSet<&Arc<str>> = BTreeSet::new();
            let mut next: Vec<&str> = vec![&change.name];
            while let Some(name) = next.pop() {
                for other in dependents.get(name).into_iter().flatten() {
                    if found.insert(other) {
                        next.push(other);
                    }
                }
            }
            change.along = found.into_iter().filter(|name| !told.contains(*name)).cloned().collect();
        }
    }

    /// What a plan with this spec makes of its process.
    fn planned_change(&self, spec: &Spec) -> Change {
        let Some(p) = self.names.get(spec.name.as_str()).and_then(|id| self.process(*id)) else {
            return Change {
                name: spec.name.as_str().into(),
                kind: ChangeKind::Added,
                fields: given(spec),
                overridden: false,
                state: None,
                along: Vec::new(),
                source: spec.source.clone(),
            };
        };
        let mut change = self.change(p, spec);
        let comes_back = p.origin == Origin::Leaving && p.state.run().is_some();
        if comes_back || !change.needs_restart().is_empty() {
            change.kind = ChangeKind::Restarted;
        } else if p.origin == Origin::Leaving {
            change.kind = ChangeKind::Updated;
        }
        change
    }

    /// What this spec changes of a process: updated or unchanged.
    ///
    /// What its run was executed with counts, too: a key that waits for a restart does so until there was one, and one that goes back
    /// to what the run has needs none.
    pub(super) fn change(&self, p: &Process, spec: &Spec) -> Change {
        let mut fields = diff(&p.spec, spec);
        if let State::Starting(_) | State::Running(_) = p.state
            && let Some(run) = p.state.run()
            && run.spec.number != p.spec.number
        {
            let behind: Vec<FieldDiff> =
                diff(&run.spec, spec).into_iter().filter(|field| field.effect != Effect::Live).collect();
            for field in fields.iter_mut().filter(|field| field.effect != Effect::Live) {
                if !behind.iter().any(|other| other.path == field.path) {
                    field.effect = Effect::Live;
                }
            }
            for field in behind {
                if !fields.iter().any(|other| other.path == field.path) {
                    fields.push(field);
                }
            }
        }
        let planned = match &p.origin {
            Origin::Plan { replaced } => replaced.as_ref(),
            Origin::Runtime | Origin::Instance { .. } | Origin::Leaving => None,
        };
        // One that is taken away is nothing to be told to read again.
        let silent = |field: &&mut FieldDiff| field.effect == Effect::Reload && field.after.is_none();
        fields.iter_mut().filter(silent).for_each(|field| field.effect = Effect::Live);
        if let Some(planned) = planned {
            let overridden = diff(planned, &p.spec);
            for field in &mut fields {
                field.overrides = overridden.iter().any(|other| other.path == field.path);
            }
        }
        let kind = if fields.is_empty() { ChangeKind::Unchanged } else { ChangeKind::Updated };
        Change { kind, fields, source: spec.source.clone(), ..unchanged(p) }
    }
}

fn is_removed_by(p: &Process, plan: &Plan) -> bool {
    matches!(p.origin, Origin::Plan { .. }) && plan.get(&p.name).is_none()
}

fn unchanged(p: &Process) -> Change {
    Change {
        name: p.name.clone(),
        kind: ChangeKind::Unchanged,
        fields: Vec::new(),
        overridden: matches!(p.origin, Origin::Plan { replaced: Some(_) }),
        state: Some(p.state.name()),
        along: Vec::new(),
        source: Source::default(),
    }
}
