//! Processes and relations, as every format draws them.

use std::collections::{BTreeMap, BTreeSet};

use crate::rpc::proto::v1::{Edge, GraphResponse, Process, State};

/// What a format draws.
pub(super) struct Graph {
    /// By name; also those that are named and that there are not.
    pub(super) nodes: Vec<Node>,
    /// By the places of who declares it and of whom.
    pub(super) links: Vec<Link>,
}

/// A process.
pub(super) struct Node {
    pub(super) name: String,
    /// None where there is no such process.
    pub(super) process: Option<Process>,
}

/// What one process declares of another: all relations between the two.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The strongest first.
    pub(super) kinds: Vec<String>,
    /// `from` waits for `to` now.
    pub(super) holding: bool,
}

/// The strongest first.
const KINDS: [&str; 7] = ["binds_to", "requires", "follows", "part_of", "wants", "after", "conflicts"];

impl Graph {
    pub(super) fn of(response: GraphResponse) -> Graph {
        let GraphResponse { processes, edges } = response;
        let mut nodes: BTreeMap<String, Option<Process>> = BTreeMap::new();
        for Edge { from, to, .. } in &edges {
            nodes.entry(from.clone()).or_default();
            nodes.entry(to.clone()).or_default();
        }
        nodes.extend(processes.into_iter().map(|process| (process.name.clone(), Some(process))));
        let places: BTreeMap<String, usize> =
            nodes.keys().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        let mut links: BTreeMap<(usize, usize), (BTreeSet<usize>, bool)> = BTreeMap::new();
        for edge in &edges {
            let (Some(from), Some(to)) = (places.get(&edge.from), places.get(&edge.to)) else { continue };
            let (kinds, holding) = links.entry((*from, *to)).or_default();
            kinds.insert(KINDS.iter().position(|kind| *kind == edge.kind).unwrap_or(KINDS.len() - 1));
            *holding |= edge.holding;
        }
        let link = |((from, to), (kinds, holding)): ((usize, usize), (BTreeSet<usize>, bool))| Link {
            from,
            to,
            kinds: kinds.into_iter().map(|kind| KINDS[kind].to_owned()).collect(),
            holding,
        };
        Graph {
            nodes: nodes.into_iter().map(|(name, process)| Node { name, process }).collect(),
            links: links.into_iter().map(link).collect(),
        }
    }
}

impl Link {
    /// What it is drawn as.
    pub(super) fn kind(&self) -> &str {
        self.kinds.first().map_or("", String::as_str)
    }

    /// `requires, after`, as people read it. An order that a stronger relation has anyway goes without saying.
    pub(super) fn words(&self) -> String {
        let strong = matches!(self.kind(), "binds_to" | "requires" | "follows");
        let told = self.kinds.iter().filter(|kind| !strong || *kind != "after");
        told.map(|kind| kind.replace('_', " ")).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.kind() == "conflicts"
    }
}

impl Node {
    pub(super) fn state(&self) -> Option<State> {
        self.process.as_ref().map(Process::state)
    }

    /// The word for its state.
    pub(super) fn word(&self) -> String {
        self.state().map_or_else(|| "missing".into(), super::super::look::word)
    }

    /// Why it is in its state.
    pub(super) fn reason(&self) -> &str {
        match &self.process {
            Some(process) => process.reason.as_deref().unwrap_or_default(),
            None => "there is no such process",
        }
    }

    /// Fill and border.
    pub(super) fn colours(&self) -> (&'static str, &'static str) {
        match self.state() {
            Some(State::Running) => ("#d4f4dd", "#1a7f37"),
            Some(State::Failed | State::Crashed) => ("#ffd8d3", "#b3261e"),
            Some(State::Backoff) => ("#ffe3c2", "#b35900"),
            Some(State::Waiting | State::Starting) => ("#fff4c2", "#8a6d00"),
            Some(State::Stopping) => ("#f3e2ff", "#6f42a5"),
            Some(State::Exited) => ("#ddebff", "#2b5fa8"),
            Some(State::Created | State::Stopped | State::Unspecified) => ("#eceff1", "#5f6b73"),
            None => ("#ffffff", "#b3261e"),
        }
    }
}
