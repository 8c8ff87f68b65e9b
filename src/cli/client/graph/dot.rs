//! Graphviz's language.

use super::model::{Graph, Link, Node};

/// The graph for `dot`.
pub(super) fn draw(graph: &Graph) -> String {
    let mut text = String::from(
        "digraph neap {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    graph.nodes.iter().for_each(|node| text += &format!("  {}\n", declared(node)));
    graph.links.iter().for_each(|link| text += &format!("  {}\n", related(graph, link)));
    text += "}\n";
    text
}

fn declared(node: &Node) -> String {
    let (fill, line) = node.colours();
    let dashed = if node.process.is_none() { ", style=\"rounded,dashed\"" } else { "" };
    let tooltip = if node.reason().is_empty() { String::new() } else { format!(", tooltip={}", quoted(node.reason())) };
    // A line break of the label's own, which no name can make.
    let label = format!("\"{}\\n{}\"", escaped(&node.name), escaped(&node.word()));
    format!("{} [label={label}, fillcolor=\"{fill}\", color=\"{line}\"{dashed}{tooltip}];", quoted(&node.name))
}

fn related(graph: &Graph, link: &Link) -> String {
    let style = match link.kind() {
        "requires" => "style=solid",
        "binds_to" => "style=bold",
        "follows" => "style=solid, arrowhead=vee",
        "part_of" => "style=solid, arrowhead=odiamond",
        "wants" => "style=dashed",
        "conflicts" => "style=solid, dir=both, arrowhead=tee, arrowtail=tee, constraint=false, color=\"#b3261e\"",
        _ => "style=dotted",
    };
    let holding = if link.holding { ", color=\"#b35900\", penwidth=2" } else { "" };
    let (from, to) = (&graph.nodes[link.from].name, &graph.nodes[link.to].name);
    format!("{} -> {} [label={}, {style}{holding}];", quoted(from), quoted(to), quoted(&link.words()))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
