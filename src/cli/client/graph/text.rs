//! A tree: what nothing needs at the left, and below each what it is related to. What stands above already is not
//! told again.

use super::super::look::{count, reason, state};
use super::super::table::{Cell, Sheet};
use super::model::{Graph, Node};
use crate::cli::paint::Tone;
use crate::cli::times::Moment;

/// The tree.
pub(super) fn draw(graph: &Graph, sheet: Sheet) -> String {
    if graph.nodes.is_empty() {
        return "no processes".into();
    }
    let mut tree = Tree { graph, below: below(graph), told: vec![false; graph.nodes.len()], rows: Vec::new() };
    let (mut led, mut bound) = (vec![false; graph.nodes.len()], vec![false; graph.nodes.len()]);
    for link in &graph.links {
        (bound[link.from], bound[link.to]) = (true, true);
        if !link.is_conflict() {
            led[link.to] = true;
        }
    }
    let all = || 0..graph.nodes.len();
    all().filter(|node| bound[*node] && !led[*node]).for_each(|node| tree.root(node));
    // What only leads round in a circle has no first.
    all().filter(|node| bound[*node]).for_each(|node| tree.root(node));
    let alone: Vec<usize> = all().filter(|node| !bound[*node]).collect();
    let mut text = String::new();
    if !tree.rows.is_empty() {
        text = sheet.rows(std::mem::take(&mut tree.rows));
    }
    if !alone.is_empty() {
        if !text.is_empty() {
            text += &format!("\n{} without relations\n", count(alone.len(), "process", "processes"));
        }
        text += &sheet.rows(alone.into_iter().map(|node| row(&graph.nodes[node], "", "")).collect());
    }
    text
}

/// For each process the places of its links, in the order in which they are shown.
fn below(graph: &Graph) -> Vec<Vec<usize>> {
    let mut below = vec![Vec::new(); graph.nodes.len()];
    for (place, link) in graph.links.iter().enumerate() {
        below[link.from].push(place);
    }
    for links in &mut below {
        links
            .sort_by_key(|place| (graph.links[*place].is_conflict(), graph.nodes[graph.links[*place].to].name.clone()));
    }
    below
}

struct Tree<'a> {
    graph: &'a Graph,
    below: Vec<Vec<usize>>,
    told: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

/// A link that is to be told: what stands before its line, and before the lines below it.
struct Step {
    link: usize,
    before: String,
    below: String,
}

impl Tree<'_> {
    fn root(&mut self, node: usize) {
        if std::mem::replace(&mut self.told[node], true) {
            return;
        }
        self.rows.push(row(&self.graph.nodes[node], "", ""));
        let mut steps = self.steps(node, "");
        while let Some(Step { link, before, below }) = steps.pop() {
            let link = &self.graph.links[link];
            let node = &self.graph.nodes[link.to];
            let holding = if link.holding { " (waits for it)" } else { "" };
            let before = format!("{before}{}{holding} ", link.words());
            let has_more = !self.below[link.to].is_empty();
            let again = self.told[link.to] && has_more && !link.is_conflict();
            self.rows.push(row(node, &before, if again { " ↑" } else { "" }));
            if !link.is_conflict() && !std::mem::replace(&mut self.told[link.to], true) {
                steps.extend(self.steps(link.to, &below));
            }
        }
    }

    /// What stands below a process, the last first.
    fn steps(&self, node: usize, before: &str) -> Vec<Step> {
        let links = &self.below[node];
        let step = |(place, link): (usize, &usize)| {
            let last = place + 1 == links.len();
            let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            Step { link: *link, before: format!("{before}{branch}"), below: format!("{before}{trunk}") }
        };
        links.iter().enumerate().map(step).rev().collect()
    }
}

fn row(node: &Node, before: &str, after: &str) -> Vec<Cell> {
    let name = (Tone::Plain, format!("{before}{}{after}", node.name));
    match &node.process {
        Some(process) => vec![name, state(process), reason(process, Moment::now())],
        None => vec![name, (Tone::Bad, "missing".into()), (Tone::Bad, node.reason().into())],
    }
}
