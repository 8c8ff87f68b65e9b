//! Who is related to whom, by place instead of by name. Knows no states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::RelationKind;
use super::ids::ProcessId;
use super::process::Process;

/// The relations of one process, both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    pub(super) requires: Vec<ProcessId>,
    pub(super) wants: Vec<ProcessId>,
    pub(super) binds_to: Vec<ProcessId>,
    pub(super) follows: Vec<ProcessId>,
    /// Either side may have declared it.
    pub(super) conflicts: Vec<ProcessId>,
    /// Started before this one, stopped after it.
    pub(super) after: Vec<ProcessId>,
    /// Started after this one, stopped before it.
    pub(super) before: Vec<ProcessId>,
    pub(super) required_by: Vec<ProcessId>,
    pub(super) bound_by: Vec<ProcessId>,
    pub(super) followed_by: Vec<ProcessId>,
    pub(super) parts: Vec<ProcessId>,
}

impl Edges {
    /// Those that a deliberate stop of this one stops too.
    pub(super) fn stopped_with(&self) -> impl Iterator<Item = (ProcessId, RelationKind)> + '_ {
        let through = |list: &'_ [ProcessId], kind| list.iter().map(move |id| (*id, kind)).collect::<Vec<_>>();
        through(&self.bound_by, RelationKind::BindsTo)
            .into_iter()
            .chain(through(&self.required_by, RelationKind::Requires))
            .chain(through(&self.parts, RelationKind::PartOf))
    }

    /// Whether this one cannot be without that one.
    pub(super) fn needs(&self, other: ProcessId) -> bool {
        self.requires.contains(&other) || self.binds_to.contains(&other)
    }
}

/// The relations of all processes.
#[derive(Debug, Default)]
pub(super) struct Graph {
    edges: BTreeMap<ProcessId, Edges>,
}

static NONE: Edges = Edges {
    requires: Vec::new(),
    wants: Vec::new(),
    binds_to: Vec::new(),
    follows: Vec::new(),
    conflicts: Vec::new(),
    after: Vec::new(),
    before: Vec::new(),
    required_by: Vec::new(),
    bound_by: Vec::new(),
    followed_by: Vec::new(),
    parts: Vec::new(),
};

impl Graph {
    pub(super) fn of(&self, id: ProcessId) -> &Edges {
        self.edges.get(&id).unwrap_or(&NONE)
    }

    /// Builds it from the specs. Names that do not exist, and a process's relations to itself, are left out: validation has spoken of them.
    pub(super) fn build<'a>(
        processes: impl Iterator<Item = &'a Process> + Clone,
        names: &BTreeMap<Arc<str>, ProcessId>,
    ) -> Graph {
        let mut edges: BTreeMap<ProcessId, Edges> = processes.clone().map(|p| (p.id, Edges::default())).collect();
        // Pairs that either side orders explicitly: there nothing is implied.
        let mut explicit: BTreeSet<(ProcessId, ProcessId)> = BTreeSet::new();
        for p in processes.clone() {
            for other in p.spec.after.iter().chain(&p.spec.before).filter_map(|name| names.get(name.as_str())) {
                explicit.insert((p.id, *other));
                explicit.insert((*other, p.id));
            }
        }
        for p in processes {
            let id = p.id;
            let resolve = |list: &[String]| -> Vec<ProcessId> {
                let mut ids: Vec<ProcessId> = list
                    .iter()
                    .filter_map(|name| names.get(name.as_str()).copied())
                    .filter(|other| *other != id)
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                ids
            };
            let spec = &p.spec;
            let (requires, binds_to, follows) =
                (resolve(&spec.requires), resolve(&spec.binds_to), resolve(&spec.follows));
            let mut order = resolve(&spec.after);
            order.extend(
                requires
                    .iter()
                    .chain(&binds_to)
                    .chain(&follows)
                    .copied()
                    .filter(|other| !explicit.contains(&(id, *other))),
            );
            for other in order {
                link(&mut edges, id, other, |e| &mut e.after);
                link(&mut edges, other, id, |e| &mut e.before);
            }
            for other in resolve(&spec.before) {
                link(&mut edges, id, other, |e| &mut e.before);
                link(&mut edges, other, id, |e| &mut e.after);
            }
            for other in resolve(&spec.conflicts) {
                link(&mut edges, id, other, |e| &mut e.conflicts);
                link(&mut edges, other, id, |e| &mut e.conflicts);
            }
            for other in &requires {
                link(&mut edges, *other, id, |e| &mut e.required_by);
            }
            for other in &binds_to {
                link(&mut edges, *other, id, |e| &mut e.bound_by);
            }
            for other in &follows {
                link(&mut edges, *other, id, |e| &mut e.followed_by);
            }
            for other in resolve(&spec.part_of) {
                link(&mut edges, other, id, |e| &mut e.parts);
            }
            let own = edges.entry(id).or_default();
            own.requires = requires;
            own.binds_to = binds_to;
            own.follows = follows;
            own.wants = resolve(&spec.wants);
        }
        Graph { edges }
    }
}

fn link(
    edges: &mut BTreeMap<ProcessId, Edges>,
    from: ProcessId,
    to: ProcessId,
    list: impl Fn(&mut Edges) -> &mut Vec<ProcessId>,
) {
    let list = list(edges.entry(from).or_default());
    if let Err(place) = list.binary_search(&to) {
        list.insert(place, to);
    }
}
