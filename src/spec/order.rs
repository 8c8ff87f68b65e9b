//! The order in which processes start, as a graph, and its cycles.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::process::Spec;

/// One pair of the order: `then` is started once `first` is ready, and stopped before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderEdge<'a> {
    /// Who starts first.
    pub first: &'a str,
    /// Who waits for it.
    pub then: &'a str,
    /// The key that says so: `after`, `before`, `requires`, `binds_to` or `follows`.
    pub key: &'static str,
}

/// The order among these specs: what `after` and `before` say, and what `requires`, `binds_to` and `follows` imply
/// unless either side orders the pair explicitly.
///
/// Names that none of the specs has are passed over, and so is a process that names itself. Each pair is there once
/// in each direction, in the order of the specs. Linear in the number of relations.
pub fn order_edges<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Vec<OrderEdge<'a>> {
    let specs: Vec<&Spec> = specs.into_iter().collect();
    let known: HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut explicit: HashSet<(&str, &str)> = HashSet::new();
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let mut edges = Vec::new();
    let mut add = |first: &'a str, then: &'a str, key| {
        if first != then && known.contains(first) && known.contains(then) && seen.insert((first, then)) {
            edges.push(OrderEdge { first, then, key });
        }
    };
    for spec in &specs {
        for other in &spec.after {
            explicit.insert(pair(&spec.name, other));
            add(other, &spec.name, "after");
        }
        for other in &spec.before {
            explicit.insert(pair(&spec.name, other));
            add(&spec.name, other, "before");
        }
    }
    for spec in &specs {
        for (key, others) in [("requires", &spec.requires), ("binds_to", &spec.binds_to), ("follows", &spec.follows)] {
            for other in others.iter().filter(|other| !explicit.contains(&pair(&spec.name, other))) {
                add(other, &spec.name, key);
            }
        }
    }
    edges
}

/// Two names as a pair without a direction.
fn pair<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    if one < other { (one, other) } else { (other, one) }
}

/// Cycles of an order: at least one for each group of processes that wait for each other, and none twice.
///
/// Each is a list of edges of which every one's `then` is the next one's `first`, and the last one's `then` the
/// first one's `first`; it begins with the least name. At most `limit` are given. Does not recurse.
pub fn order_cycles<'a>(edges: &[OrderEdge<'a>], limit: usize) -> Vec<Vec<OrderEdge<'a>>> {
    let mut graph: DiGraph<&'a str, OrderEdge<'a>> = DiGraph::new();
    let mut nodes: HashMap<&'a str, NodeIndex> = HashMap::new();
    for edge in edges {
        let [first, then] =
            [edge.first, edge.then].map(|name| *nodes.entry(name).or_insert_with(|| graph.add_node(name)));
        graph.add_edge(first, then, *edge);
    }
    let mut cycles = Vec::new();
    // Each round takes one cycle out of each group; what still is a group then has another one.
    while cycles.len() < limit {
        let groups: Vec<Vec<NodeIndex>> = kosaraju_scc(&graph).into_iter().filter(|group| group.len() > 1).collect();
        if groups.is_empty() {
            break;
        }
        let mut taken: HashSet<(&str, &str)> = HashSet::new();
        for group in groups {
            let Some(cycle) = shortest_cycle(&graph, &group) else { continue };
            taken.extend(cycle.iter().map(|edge| (edge.first, edge.then)));
            cycles.push(cycle);
        }
        graph.retain_edges(|graph, edge| !taken.contains(&(graph[edge].first, graph[edge].then)));
    }
    cycles.truncate(limit);
    cycles.sort_by_key(|cycle| cycle.first().map(|edge| edge.first));
    cycles
}

/// A shortest cycle through the least name of a strongly connected group, by breadth first search.
fn shortest_cycle<'a>(graph: &DiGraph<&'a str, OrderEdge<'a>>, group: &[NodeIndex]) -> Option<Vec<OrderEdge<'a>>> {
    let start = group.iter().copied().min_by_key(|node| graph[*node])?;
    let members: HashSet<NodeIndex> = group.iter().copied().collect();
    let mut reached_by: HashMap<NodeIndex, (NodeIndex, OrderEdge<'a>)> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node).filter(|next| members.contains(next)) {
            if reached_by.contains_key(&next) {
                continue;
            }
            let edge = graph.find_edge(node, next)?;
            reached_by.insert(next, (node, graph[edge]));
            if next == start {
                return Some(walk_back(start, &reached_by));
            }
            queue.push_back(next);
        }
    }
    None
}

fn walk_back<'a>(start: NodeIndex, reached_by: &HashMap<NodeIndex, (NodeIndex, OrderEdge<'a>)>) -> Vec<OrderEdge<'a>> {
    let mut cycle = Vec::new();
    let mut node = start;
    while let Some((previous, edge)) = reached_by.get(&node) {
        cycle.push(*edge);
        node = *previous;
        if node == start {
            break;
        }
    }
    cycle.reverse();
    cycle
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(name: &str) -> Spec {
        Spec::new(name, ["true"])
    }

    fn pairs(specs: &[Spec]) -> Vec<(&str, &str, &str)> {
        order_edges(specs).into_iter().map(|edge| (edge.first, edge.then, edge.key)).collect()
    }

    #[test]
    fn after_and_before_say_the_same_from_either_side() {
        let specs = [spec("a").after("b").before("c"), spec("b").before("a"), spec("c")];
        assert_eq!(pairs(&specs), [("b", "a", "after"), ("a", "c", "before")]);
    }

    #[test]
    fn requires_binds_to_and_follows_imply_after_and_wants_and_part_of_do_not() {
        let specs = [
            spec("a").requires("x").binds_to("y").follows("z").wants("w").part_of("p").conflicts("c"),
            spec("x"),
            spec("y"),
            spec("z"),
            spec("w"),
            spec("p"),
            spec("c"),
        ];
        assert_eq!(pairs(&specs), [("x", "a", "requires"), ("y", "a", "binds_to"), ("z", "a", "follows")]);
    }

    #[test]
    fn either_side_can_order_the_pair_otherwise() {
        let own = [spec("a").requires("b").before("b"), spec("b")];
        assert_eq!(pairs(&own), [("a", "b", "before")]);
        let theirs = [spec("a").requires("b"), spec("b").after("a")];
        assert_eq!(pairs(&theirs), [("a", "b", "after")]);
    }

    #[test]
    fn unknown_names_and_itself_are_passed_over() {
        assert_eq!(pairs(&[spec("a").after("a").requires("gone").before("gone")]), []);
    }

    #[test]
    fn a_wanted_process_may_bind_to_its_wanter() {
        let specs = [spec("web").wants("helper"), spec("helper").binds_to("web")];
        assert_eq!(order_cycles(&order_edges(&specs), 10), Vec::<Vec<OrderEdge>>::new());
    }

    #[test]
    fn each_cycle_is_found_once_and_begins_with_the_least_name() {
        let specs = [
            spec("b").requires("c"),
            spec("c").after("a"),
            spec("a").after("b"),
            spec("x").requires("y"),
            spec("y").requires("x"),
            spec("alone"),
        ];
        let edges = order_edges(&specs);
        let cycles: Vec<Vec<&str>> =
            order_cycles(&edges, 10).iter().map(|cycle| cycle.iter().map(|edge| edge.first).collect()).collect();
        assert_eq!(cycles, [vec!["a", "c", "b"], vec!["x", "y"]]);
    }

    #[test]
    fn cycles_that_share_a_process_are_all_found() {
        let specs = [spec("hub").after("a").after("b"), spec("a").after("hub"), spec("b").after("hub")];
        assert_eq!(order_cycles(&order_edges(&specs), 10).len(), 2);
        assert_eq!(order_cycles(&order_edges(&specs), 1).len(), 1);
    }

    #[test]
    fn a_hundred_thousand_processes_in_a_ring_or_a_chain_are_no_trouble() {
        let ring: Vec<Spec> =
            (0..100_000).map(|n| spec(&format!("p{n}")).requires(format!("p{}", (n + 1) % 100_000))).collect();
        let cycles = order_cycles(&order_edges(&ring), 10);
        assert_eq!(cycles.iter().map(Vec::len).collect::<Vec<_>>(), [100_000]);
        assert_eq!(order_cycles(&order_edges(&ring[1..]), 10).len(), 0);
    }

    proptest! {
        #[test]
        fn cycles_are_found_exactly_when_there_is_no_order(
            edges in prop::collection::vec((0..7usize, 0..7usize), 0..14),
        ) {
            let mut specs: Vec<Spec> = (0..7).map(|n| spec(&format!("p{n}"))).collect();
            for (then, first) in edges {
                specs[then].after.push(format!("p{first}"));
            }
            let edges = order_edges(&specs);
            let cycles = order_cycles(&edges, 100);
            prop_assert_eq!(cycles.is_empty(), can_be_ordered(&edges));
            for cycle in cycles {
                for (place, edge) in cycle.iter().enumerate() {
                    prop_assert!(edges.contains(edge));
                    prop_assert_eq!(edge.then, cycle[(place + 1) % cycle.len()].first);
                }
            }
        }
    }

    /// The naive way: take away what waits for nobody until nothing is left, or nothing more can be taken.
    fn can_be_ordered(edges: &[OrderEdge]) -> bool {
        let mut left = edges.to_vec();
        loop {
            let before = left.len();
            let waiting: HashSet<&str> = left.iter().map(|edge| edge.then).collect();
            left.retain(|edge| waiting.contains(edge.first));
            if left.is_empty() || left.len() == before {
                return left.is_empty();
            }
        }
    }
}
