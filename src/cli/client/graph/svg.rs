//! A picture of our own making: no program and no font but the reader's is needed.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::layout::{HEIGHT, Layout, MARGIN, Point, layout};
use super::model::{Graph, Link, Node};

/// What a column of text takes, by a font that is drawn as wide.
const COLUMN: f64 = 7.4;
/// Longer names are cut; the whole is in the title.
const LONGEST: usize = 36;
/// The line of the key.
const KEY: f64 = 34.0;

/// How a relation is drawn: colour, width, dashes, end.
struct Line(&'static str, f64, &'static str, &'static str);

fn line(kind: &str) -> Line {
    match kind {
        "binds_to" => Line("#1f2328", 2.6, "", "arrow"),
        "requires" => Line("#1f2328", 1.4, "", "arrow"),
        "follows" => Line("#2b5fa8", 1.4, "", "arrow"),
        "part_of" => Line("#6f42a5", 1.4, "", "dot"),
        "wants" => Line("#1f2328", 1.2, "6 4", "arrow"),
        "conflicts" => Line("#b3261e", 1.4, "2 3", "bar"),
        _ => Line("#8a949c", 1.2, "2 4", "arrow"),
    }
}

const KINDS: [&str; 7] = ["binds_to", "requires", "follows", "part_of", "wants", "after", "conflicts"];
const HOLDING: &str = "#d9730d";
const WAITS: &str = "waits now";

/// The picture.
pub(super) fn draw(graph: &Graph) -> String {
    let widths: Vec<f64> = graph.nodes.iter().map(width).collect();
    let places = layout(graph, &widths);
    let used: Vec<&str> =
        KINDS.into_iter().filter(|kind| graph.links.iter().any(|link| link.kind() == *kind)).collect();
    let holding = graph.links.iter().any(|link| link.holding);
    let key_width = MARGIN
        + used.iter().map(|kind| key_step(kind)).sum::<f64>()
        + if holding { key_step(WAITS) } else { 0.0 }
        + MARGIN;
    let (width, height) = (places.width.max(key_width), places.height + KEY);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} \
         {height:.0}\" font-family=\"ui-sans-serif, sans-serif\" font-size=\"12\">\n<title>neap graph</title>\n<defs>\n"
    );
    ends(&mut text);
    text += &format!("</defs>\n<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n");
    for (place, link) in graph.links.iter().enumerate() {
        drawn_link(&mut text, graph, link, &Ends::of(link, &places, &widths), &places.bends[place]);
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        drawn_node(&mut text, node, places.nodes[place], widths[place]);
    }
    key(&mut text, &used, holding, places.height);
    text += "</svg>\n";
    text
}

fn width(node: &Node) -> f64 {
    let columns = node.name.width().min(LONGEST).max(node.word().width());
    columns as f64 * COLUMN + 24.0
}

fn ends(text: &mut String) {
    let colours: std::collections::BTreeSet<&str> = KINDS.iter().map(|kind| line(kind).0).chain([HOLDING]).collect();
    for colour in colours {
        let id = &colour[1..];
        let shapes = [
            ("arrow", "M0 0 L8 4 L0 8 z", 8.0),
            ("dot", "M4 0 A4 4 0 1 1 3.9 0 z", 8.0),
            ("bar", "M4 -2 L6 -2 L6 10 L4 10 z", 5.0),
        ];
        for (shape, path, at) in shapes {
            *text += &format!(
                "<marker id=\"{shape}-{id}\" viewBox=\"-1 -3 12 14\" refX=\"{at}\" refY=\"4\" markerWidth=\"12\" \
                 markerHeight=\"14\" markerUnits=\"userSpaceOnUse\" orient=\"auto-start-reverse\"><path d=\"{path}\" \
                 fill=\"{colour}\"/></marker>\n"
            );
        }
    }
}

/// Where a link begins and ends.
struct Ends {
    from: Point,
    to: Point,
}

impl Ends {
    fn of(link: &Link, places: &Layout, widths: &[f64]) -> Ends {
        let (from, to) = (places.nodes[link.from], places.nodes[link.to]);
        let (left, right) = (
            |at: Point| Point { y: at.y + HEIGHT / 2.0, ..at },
            |at: Point, width: f64| Point { x: at.x + width, y: at.y + HEIGHT / 2.0 },
        );
        let (from_right, to_right) = (right(from, widths[link.from]), right(to, widths[link.to]));
        // From the side that is nearer: what is needed stands at the left.
        if to_right.x <= from.x {
            Ends { from: left(from), to: to_right }
        } else if from_right.x <= to.x {
            Ends { from: from_right, to: left(to) }
        } else {
            Ends { from: from_right, to: to_right }
        }
    }
}

fn drawn_link(text: &mut String, graph: &Graph, link: &Link, ends: &Ends, bends: &[Point]) {
    let Line(colour, width, dashes, end) = line(link.kind());
    let (colour, width) = if link.holding { (HOLDING, width + 1.0) } else { (colour, width) };
    let (from, to) = (&graph.nodes[link.from].name, &graph.nodes[link.to].name);
    let holding = if link.holding { ", and waits for it now" } else { "" };
    let title = escaped(&format!("{from} {} {to}{holding}", link.words()));
    let mut path = format!("M{}", at(ends.from));
    let mut last = ends.from;
    for point in bends.iter().copied().chain([ends.to]) {
        // Out and in level, so that links do not run along the edges of processes.
        let beside = if same_column(ends) && bends.is_empty() { 40.0 } else { (point.x - last.x) / 2.0 };
        let (a, b) = if same_column(ends) && bends.is_empty() {
            (Point { x: last.x + beside, ..last }, Point { x: point.x + beside, ..point })
        } else {
            (Point { x: last.x + beside, ..last }, Point { x: point.x - beside, ..point })
        };
        path += &format!(" C{} {} {}", at(a), at(b), at(point));
        last = point;
    }
    let dashed = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
    let id = &colour[1..];
    let start = if link.is_conflict() { format!(" marker-start=\"url(#{end}-{id})\"") } else { String::new() };
    *text += &format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashed} \
         marker-end=\"url(#{end}-{id})\"{start}><title>{title}</title></path>\n"
    );
}

fn same_column(ends: &Ends) -> bool {
    (ends.from.x - ends.to.x).abs() < super::layout::GAP_X / 2.0
}

fn at(point: Point) -> String {
    format!("{:.1} {:.1}", point.x, point.y)
}

fn drawn_node(text: &mut String, node: &Node, place: Point, width: f64) {
    let (fill, line) = node.colours();
    let dashed = if node.process.is_none() { " stroke-dasharray=\"4 3\"" } else { "" };
    let middle = place.x + width / 2.0;
    let word = node.word();
    let title = match node.reason() {
        "" => format!("{}: {word}", node.name),
        reason => format!("{}: {word}: {reason}", node.name),
    };
    *text += &format!(
        "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"7\" \
         fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.4\"{dashed}/><text x=\"{middle:.1}\" y=\"{:.1}\" \
         text-anchor=\"middle\" font-weight=\"600\" fill=\"#1f2328\">{}</text><text x=\"{middle:.1}\" y=\"{:.1}\" \
         text-anchor=\"middle\" font-size=\"10\" fill=\"{line}\">{}</text></g>\n",
        escaped(&title),
        place.x,
        place.y,
        place.y + 17.0,
        escaped(&cut(&node.name)),
        place.y + 31.0,
        escaped(&word),
    );
}

fn cut(name: &str) -> String {
    if name.width() <= LONGEST {
        return name.to_owned();
    }
    let mut room = LONGEST - 1;
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    name.chars().take_while(fits).chain(['…']).collect()
}

fn key_step(kind: &str) -> f64 {
    kind.width() as f64 * COLUMN + 60.0
}

fn key(text: &mut String, used: &[&str], holding: bool, top: f64) {
    let mut x = MARGIN;
    let y = top + KEY / 2.0;
    let all =
        used.iter().map(|kind| (*kind, line(kind))).chain(holding.then_some((WAITS, Line(HOLDING, 2.4, "", "arrow"))));
    for (kind, Line(colour, width, dashes, end)) in all {
        let dashed = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        *text += &format!(
            "<path d=\"M{x:.1} {y:.1} h32\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashed} \
             marker-end=\"url(#{end}-{})\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#5f6b73\">{}</text>\n",
            &colour[1..],
            x + 40.0,
            y + 4.0,
            kind.replace('_', " "),
        );
        x += key_step(kind);
    }
}

/// Text as XML takes it, which does not take every character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
