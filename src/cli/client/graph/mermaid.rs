//! A flowchart of Mermaid's, as Markdown pages show them.

use std::collections::BTreeSet;

use super::model::{Graph, Link, Node};

/// The flowchart.
pub(super) fn draw(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut words = BTreeSet::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        let word = node.word();
        text += &format!("  n{place}[\"{}<br/>{word}\"]:::{word}\n", escaped(&node.name));
        words.insert((word, style(node)));
    }
    graph.links.iter().for_each(|link| text += &format!("  {}\n", related(link)));
    for (word, style) in words {
        text += &format!("  classDef {word} {style}\n");
    }
    let holding: Vec<String> =
        (0..graph.links.len()).filter(|at| graph.links[*at].holding).map(|at| at.to_string()).collect();
    if !holding.is_empty() {
        text += &format!("  linkStyle {} stroke:#b35900,stroke-width:3px\n", holding.join(","));
    }
    text
}

fn style(node: &Node) -> String {
    let (fill, line) = node.colours();
    let dashed = if node.process.is_none() { ",stroke-dasharray:4 3" } else { "" };
    format!("fill:{fill},stroke:{line},color:#1f2328{dashed}")
}

fn related(link: &Link) -> String {
    let arrow = match link.kind() {
        "binds_to" => "==>",
        "wants" | "after" => "-.->",
        "part_of" => "--o",
        "conflicts" => "x--x",
        _ => "-->",
    };
    format!("n{} {arrow}|{}| n{}", link.from, escaped(&link.words()), link.to)
}

/// Mermaid has entities of its own, and takes some words and signs for its language.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' | ' ' | ',' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out += &format!("#{};", u32::from(c)),
        }
    }
    out
}
