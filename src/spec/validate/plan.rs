//! Checks of how the processes of a plan relate.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::super::listener::{ListenAddress, Place};
use super::super::order::{OrderEdge, order_cycles, order_edges};
use super::super::plan::{Plan, Problem, Severity};
use super::super::process::{ProcessType, Spec};
use super::super::schema::nearest;
use super::super::units::quote;
use super::listen::clashes;

/// How many cycles are told at most.
const MOST_CYCLES: usize = 20;

/// How many processes of a cycle are named before it is cut short.
const LONGEST_CYCLE: usize = 50;

/// How many names are looked at in all for the ones nearest to unknown names; the search is their product.
const MOST_COMPARISONS: usize = 300_000;

impl Plan {
    /// All that is wrong with this plan, each spec by itself and how they relate, in the order of file and line.
    ///
    /// It is refused if one of the problems is of [`Severity::Error`]; warnings are listed too.
    pub fn validate(&self) -> Vec<Problem> {
        self.validate_among(|_| false)
    }

    /// As [`validate`](Plan::validate), where processes outside the plan may be named as well: those made at run time,
    /// or declared ones that could not be read and were reported already.
    pub fn validate_among(&self, is_known: impl Fn(&str) -> bool) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.specs().flat_map(Spec::validate).collect();
        problems.extend(check_relations(self.specs(), is_known));
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        problems
    }
}

/// All that is wrong with how these specs relate: unknown names, contradictions and cycles of order.
///
/// For a set that is not a plan, such as the processes of a supervisor and one more. `is_known` tells of names that
/// are fine although none of the specs has them. Linear in the number of relations, without recursion.
pub fn check_relations<'a>(specs: impl IntoIterator<Item = &'a Spec>, is_known: impl Fn(&str) -> bool) -> Vec<Problem> {
    let specs: Vec<&Spec> = specs.into_iter().collect();
    let by_name: HashMap<&str, &Spec> = specs.iter().map(|spec| (spec.name.as_str(), *spec)).collect();
    // Sorted, so that of equally near names the first is offered whatever the order of a hash.
    let mut names: Vec<&str> = by_name.keys().copied().collect();
    names.sort_unstable();
    let mut relations = Relations { by_name, names, comparisons: MOST_COMPARISONS, problems: Vec::new() };
    for spec in &specs {
        relations.names(spec, &is_known);
        relations.contradictions(spec);
    }
    relations.conflicts(&specs);
    relations.listeners(&specs);
    if !relations.cycles(&specs) {
        relations.circles(&specs);
    }
    relations.problems
}

/// The relations of a spec by key, each with whether an unknown name in it is an error.
fn relations_of(spec: &Spec) -> [(&'static str, bool, &[String]); 8] {
    [
        ("requires", true, &spec.requires),
        ("wants", false, &spec.wants),
        ("binds_to", true, &spec.binds_to),
        ("follows", true, &spec.follows),
        ("part_of", true, &spec.part_of),
        ("conflicts", false, &spec.conflicts),
        ("after", false, &spec.after),
        ("before", false, &spec.before),
    ]
}

struct Relations<'a> {
    by_name: HashMap<&'a str, &'a Spec>,
    names: Vec<&'a str>,
    comparisons: usize,
    problems: Vec<Problem>,
}

impl<'a> Relations<'a> {
    fn say(&mut self, spec: &Spec, severity: Severity, field: &str, message: String) {
        self.problems.push(Problem::of(spec, severity, field, message));
    }

    fn names(&mut self, spec: &'a Spec, is_known: &impl Fn(&str) -> bool) {
        for (key, is_error, names) in relations_of(spec) {
            for (place, name) in names.iter().enumerate() {
                let field = if names.len() == 1 { key.to_owned() } else { format!("{key}[{}]", place + 1) };
                if *name == spec.name {
                    self.say(spec, Severity::Error, &field, "names the process itself".into());
                } else if !self.by_name.contains_key(name.as_str()) && !is_known(name) {
                    let severity = if is_error { Severity::Error } else { Severity::Warning };
                    let message = self.unknown(name);
                    self.say(spec, severity, &field, message);
                }
            }
        }
    }

    fn unknown(&mut self, name: &str) -> String {
        let affordable = self.comparisons.checked_sub(self.names.len());
        self.comparisons = affordable.unwrap_or(self.comparisons);
        let near = affordable.and_then(|_| nearest(name, self.names.iter().copied()));
        let offer = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no process {}{offer}", quote(name))
    }

    fn contradictions(&mut self, spec: &'a Spec) {
        for name in spec.binds_to.iter().filter(|name| **name != spec.name) {
            let Some(other) = self.by_name.get(name.as_str()) else { continue };
            if other.process_type == ProcessType::Oneshot && !other.remain {
                let message = format!(
                    "`{name}` is a oneshot that is never running, so this would be stopped at once; \
                     use `requires`, or give `{name}` remain = true"
                );
                self.say(spec, Severity::Error, "binds_to", message);
            }
        }
    }

    fn conflicts(&mut self, specs: &[&'a Spec]) {
        let mut pulls: HashMap<(&str, &str), &'static str> = HashMap::new();
        for spec in specs {
            for (key, names) in [("requires", &spec.requires), ("binds_to", &spec.binds_to)] {
                for name in names {
                    pulls.entry((spec.name.as_str(), name.as_str())).or_insert(key);
                }
            }
        }
        let mut told: HashSet<(&str, &str)> = HashSet::new();
        for spec in specs {
            for name in spec.conflicts.iter().filter(|name| **name != spec.name) {
                let (this, other) = (spec.name.as_str(), name.as_str());
                let pair = if this < other { (this, other) } else { (other, this) };
                if !told.insert(pair) {
                    continue;
                }
                if let Some(key) = pulls.get(&(this, other)) {
                    let message = format!("`{other}` is also in `{key}`, so this could never start");
                    self.say(spec, Severity::Error, "conflicts", message);
                } else if let Some(key) = pulls.get(&(other, this)) {
                    let message = format!("`{other}` has this process in `{key}`, so `{other}` could never start");
                    self.say(spec, Severity::Error, "conflicts", message);
                } else if spec.auto_start && self.by_name.get(other).is_some_and(|other| other.auto_start) {
                    let message =
                        format!("this and `{other}` both start by themselves; switch `auto_start` off for one of them");
                    self.say(spec, Severity::Error, "conflicts", message);
                }
            }
        }
    }

    /// Two processes that would listen at one place. Listeners are held whether their process runs or not, so that it
    /// does not help where the two are never up at the same time.
    fn listeners(&mut self, specs: &[&'a Spec]) {
        let listening: Vec<&Spec> = specs.iter().copied().filter(|spec| !spec.listen.is_empty()).collect();
        let mut kinds: HashMap<String, Vec<&Spec>> = HashMap::new();
        for spec in listening {
            let keys: HashSet<String> = spec.listen.iter().filter_map(|listener| bucket(&listener.address)).collect();
            let before: Vec<&Spec> = keys.iter().filter_map(|key| kinds.get(key)).flatten().copied().collect();
            let mut told: HashSet<&str> = HashSet::new();
            for other in before.into_iter().filter(|other| told.insert(other.name.as_str())) {
                for (place, address, clashing) in clashes(&other.listen, &spec.listen) {
                    let field =
                        if spec.listen.len() == 1 { "listen".to_owned() } else { format!("listen[{}]", place + 1) };
                    let also = if address == clashing { String::new() } else { format!(" ({clashing})") };
                    let message = format!("{address} is listened at by `{}`, too{also}", other.name);
                    self.say(spec, Severity::Error, &field, message);
                }
            }
            for key in keys {
                kinds.entry(key).or_default().push(spec);
            }
        }
    }

    /// Whether there is a cycle of order.
    fn cycles(&mut self, specs: &[&'a Spec]) -> bool {
        let edges = order_edges(specs.iter().copied());
        let cycles = order_cycles(&edges, MOST_CYCLES);
        let found = !cycles.is_empty();
        for cycle in cycles {
            let Some(spec) = cycle.first().and_then(|edge| self.by_name.get(edge.first).copied()) else { continue };
            let message = cycle_message(&cycle);
            self.say(spec, Severity::Error, "", message);
        }
        found
    }

    /// Followers that are restarted by what they restart: `part_of` orders nothing, so such a circle is none of order.
    fn circles(&mut self, specs: &[&'a Spec]) {
        let mut graph: DiGraph<(), ()> = DiGraph::new();
        let nodes: HashMap<&str, NodeIndex> =
            specs.iter().map(|spec| (spec.name.as_str(), graph.add_node(()))).collect();
        for spec in specs {
            let restarted_with = [&spec.follows, &spec.part_of, &spec.requires, &spec.binds_to];
            for other in restarted_with.into_iter().flatten().filter(|other| **other != spec.name) {
                if let (Some(from), Some(to)) = (nodes.get(other.as_str()), nodes.get(spec.name.as_str())) {
                    graph.add_edge(*from, *to, ());
                }
            }
        }
        let mut circle: HashMap<NodeIndex, usize> = HashMap::new();
        for (number, group) in kosaraju_scc(&graph).into_iter().enumerate() {
            circle.extend(group.into_iter().map(|node| (node, number)));
        }
        let circle_of = |name: &str| nodes.get(name).and_then(|node| circle.get(node));
        for spec in specs {
            for other in spec.follows.iter().filter(|other| **other != spec.name) {
                if circle_of(other).is_some() && circle_of(other) == circle_of(&spec.name) {
                    let message = format!(
                        "`{other}` is itself restarted whenever `{}` is (by part_of, requires, binds_to or follows), \
                         so the two would restart each other for ever",
                        spec.name
                    );
                    self.say(spec, Severity::Error, "follows", message);
                }
            }
        }
    }
}

/// Addresses that clash have this in common, so that not each is compared with each.
fn bucket(address: &ListenAddress) -> Option<String> {
    match address.place().ok()? {
        Place::Internet(socket) => Some(format!("{}:{}", address.kind(), socket.port())),
        Place::Path(path) => Path::new(path).file_name().map(|name| format!("/{}", name.to_string_lossy())),
        Place::Abstract(name) => Some(format!("@{}", String::from_utf8_lossy(name))),
    }
}

/// A cycle as people read it: who waits for whom, all the way round, and which key says so.
fn cycle_message(cycle: &[OrderEdge]) -> String {
    // Edges run from who starts first; people ask whom a process waits for, so the way is gone backwards.
    let waits: Vec<&OrderEdge> = cycle.iter().rev().collect();
    let cut = |parts: Vec<String>, separator: &str| {
        let left_out = parts.len().saturating_sub(LONGEST_CYCLE);
        let shown = &parts[..parts.len() - left_out];
        match left_out {
            0 => shown.join(separator),
            _ => format!("{}{separator}… ({left_out} more)", shown.join(separator)),
        }
    };
    let mut path: Vec<String> = waits.iter().map(|edge| edge.then.to_owned()).collect();
    path.extend(waits.first().map(|edge| edge.then.to_owned()));
    let reasons = waits.iter().map(|edge| {
        let OrderEdge { first, then, key } = edge;
        match *key {
            "after" => format!("`{then}` is after `{first}`"),
            "before" => format!("`{first}` is before `{then}`"),
            "binds_to" => format!("`{then}` binds to `{first}`"),
            key => format!("`{then}` {key} `{first}`"),
        }
    });
    format!("waits for itself: {} ({})", cut(path, " -> "), cut(reasons.collect(), ", "))
}
