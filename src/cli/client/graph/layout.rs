//! Where things stand in a picture: layers from left to right, what is needed first at the left.
//!
//! The layer of a process is the longest way to what needs nothing. Links over several layers get a bend in each
//! between. Within a layer places are ordered by the mean place of their neighbours, a few times to and fro, and then
//! drawn towards it. Links that close a circle, and conflicts, decide nothing.

use super::model::Graph;

/// Sweeps of ordering and of placing.
const SWEEPS: usize = 8;
/// Between columns, between places of a column, and around all.
pub(super) const GAP_X: f64 = 70.0;
pub(super) const GAP_Y: f64 = 18.0;
pub(super) const MARGIN: f64 = 20.0;
/// What a process takes.
pub(super) const HEIGHT: f64 = 40.0;
/// What a bend takes.
const BEND: f64 = 8.0;
/// Processes without relations stand in rows of so many.
const A_ROW: usize = 6;

/// A point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Where everything stands.
pub(super) struct Layout {
    /// The upper left corner of each process.
    pub(super) nodes: Vec<Point>,
    /// For each link the points between its ends, from `from` to `to`.
    pub(super) bends: Vec<Vec<Point>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A place in a layer: a process, or a bend of a link.
struct Place {
    layer: usize,
    height: f64,
    /// Neighbours in the layers at its left and at its right.
    left: Vec<usize>,
    right: Vec<usize>,
    y: f64,
}

/// Lays it out; the widths are the processes'.
pub(super) fn layout(graph: &Graph, widths: &[f64]) -> Layout {
    let count = graph.nodes.len();
    let mut bound = vec![false; count];
    graph.links.iter().for_each(|link| (bound[link.from], bound[link.to]) = (true, true));
    let links = without_circles(graph);
    let layers = layers(count, &links);
    let place = |node: usize| Place { layer: layers[node], height: HEIGHT, left: vec![], right: vec![], y: 0.0 };
    let mut places: Vec<Place> = (0..count).map(place).collect();
    let mut chains = vec![Vec::new(); graph.links.len()];
    for (link, from, to) in links {
        let mut right = from;
        for layer in (layers[to] + 1..layers[from]).rev() {
            let bend = places.len();
            places.push(Place { layer, height: BEND, left: vec![], right: vec![], y: 0.0 });
            join(&mut places, bend, right);
            chains[link].push(bend);
            right = bend;
        }
        join(&mut places, to, right);
    }
    let columns = (0..places.len()).filter(|at| *at >= count || bound[*at]).map(|at| places[at].layer).max();
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); columns.map_or(0, |last| last + 1)];
    for at in (0..places.len()).filter(|at| *at >= count || bound[*at]) {
        order[places[at].layer].push(at);
    }
    arrange(&mut places, &mut order);
    finish(&places, &order, widths, &bound, &chains)
}

fn join(places: &mut [Place], left: usize, right: usize) {
    places[left].right.push(right);
    places[right].left.push(left);
}

/// The links that order, by their place, less those that lead back to where the way to them began.
fn without_circles(graph: &Graph) -> Vec<(usize, usize, usize)> {
    let mut below = vec![Vec::new(); graph.nodes.len()];
    for (place, link) in graph.links.iter().enumerate().filter(|(_, link)| !link.is_conflict()) {
        below[link.from].push((place, link.to));
    }
    let (mut kept, mut open, mut done) = (Vec::new(), vec![false; below.len()], vec![false; below.len()]);
    for root in 0..below.len() {
        let mut way = vec![(root, 0)];
        while let Some((node, next)) = way.pop() {
            if next == 0 && std::mem::replace(&mut done[node], true) {
                continue;
            }
            open[node] = true;
            match below[node].get(next) {
                Some((place, to)) => {
                    way.push((node, next + 1));
                    if !open[*to] {
                        kept.push((*place, node, *to));
                        way.push((*to, 0));
                    }
                }
                None => open[node] = false,
            }
        }
    }
    kept
}

fn layers(count: usize, links: &[(usize, usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0; count];
    let mut above = vec![Vec::new(); count];
    for (_, from, to) in links {
        waiting[*from] += 1;
        above[*to].push(*from);
    }
    let mut layers = vec![0; count];
    let mut next: Vec<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
    while let Some(node) = next.pop() {
        for other in &above[node] {
            layers[*other] = layers[*other].max(layers[node] + 1);
            waiting[*other] -= 1;
            if waiting[*other] == 0 {
                next.push(*other);
            }
        }
    }
    layers
}

/// Orders each layer by the mean place of its neighbours at one side, then at the other, and so on; then places them.
fn arrange(places: &mut [Place], order: &mut [Vec<usize>]) {
    let mut rank = vec![0.0; places.len()];
    let number = |layer: &[usize], rank: &mut [f64]| {
        layer.iter().enumerate().for_each(|(at, place)| rank[*place] = at as f64);
    };
    order.iter().for_each(|layer| number(layer, &mut rank));
    for sweep in 0..SWEEPS {
        let to_right = sweep % 2 == 0;
        for step in 0..order.len() {
            let layer = if to_right { step } else { order.len() - 1 - step };
            let mean = |place: usize| mean(if to_right { &places[place].left } else { &places[place].right }, &rank);
            let mut keyed: Vec<(f64, usize)> =
                order[layer].iter().map(|place| (mean(*place).unwrap_or(rank[*place]), *place)).collect();
            // A stable sort: what is as good stays where it is.
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            order[layer] = keyed.into_iter().map(|(_, place)| place).collect();
            number(&order[layer], &mut rank);
        }
    }
    for layer in order.iter() {
        let mut y = 0.0;
        for place in layer {
            places[*place].y = y;
            y += places[*place].height + GAP_Y;
        }
    }
    for sweep in 0..SWEEPS {
        for step in 0..order.len() {
            let layer = if sweep % 2 == 0 { step } else { order.len() - 1 - step };
            settle(places, &order[layer]);
        }
    }
}

fn mean(of: &[usize], values: &[f64]) -> Option<f64> {
    (!of.is_empty()).then(|| of.iter().map(|at| values[*at]).sum::<f64>() / of.len() as f64)
}

/// Draws the places of a layer towards the middle of their neighbours, as near as their order and their size let them:
/// where they would overlap, they stand together around their common middle (isotonic regression by pooling).
fn settle(places: &mut [Place], layer: &[usize]) {
    let middle = |place: &Place| place.y + place.height / 2.0;
    // Groups of places that stand together: the sum of where they want to begin, and how many they are.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    let mut offset = 0.0;
    for at in layer {
        let place = &places[*at];
        let around: Vec<f64> = place.left.iter().chain(&place.right).map(|other| middle(&places[*other])).collect();
        let mean = around.iter().sum::<f64>() / around.len().max(1) as f64;
        let wanted = if around.is_empty() { place.y } else { mean - place.height / 2.0 };
        let (mut sum, mut count) = (wanted - offset, 1);
        while let Some((before, of)) = groups.pop_if(|(before, of)| *before / *of as f64 >= sum / count as f64) {
            (sum, count) = (sum + before, count + of);
        }
        groups.push((sum, count));
        offset += place.height + GAP_Y;
    }
    let (mut offset, mut next) = (0.0, layer.iter());
    for (sum, count) in groups {
        let begin = sum / count as f64;
        for at in next.by_ref().take(count) {
            places[*at].y = begin + offset;
            offset += places[*at].height + GAP_Y;
        }
    }
}

fn finish(places: &[Place], order: &[Vec<usize>], widths: &[f64], bound: &[bool], chains: &[Vec<usize>]) -> Layout {
    let used = || order.iter().flatten().map(|at| &places[*at]);
    let top = used().map(|place| place.y).fold(f64::INFINITY, f64::min);
    let bottom = used().map(|place| place.y + place.height).fold(f64::NEG_INFINITY, f64::max);
    let (top, mut height) = if top.is_finite() { (top, MARGIN + bottom - top) } else { (0.0, MARGIN - GAP_Y) };
    let width_of = |at: usize| widths.get(at).copied().unwrap_or(0.0);
    let mut columns = Vec::with_capacity(order.len());
    let mut x = MARGIN;
    for layer in order {
        let widest = layer.iter().map(|at| width_of(*at)).fold(0.0, f64::max);
        columns.push((x, widest));
        x += widest + GAP_X;
    }
    let mut width: f64 = if order.is_empty() { MARGIN } else { x - GAP_X };
    let mut nodes = vec![Point { x: MARGIN, y: MARGIN }; widths.len()];
    let at = |place: usize, inset: f64| {
        let (x, _) = columns[places[place].layer];
        Point { x: x + inset, y: places[place].y - top + MARGIN }
    };
    for node in (0..widths.len()).filter(|node| bound[*node]) {
        let (_, widest) = columns[places[node].layer];
        nodes[node] = at(node, (widest - widths[node]) / 2.0);
    }
    let bend = |place: &usize| {
        let (_, widest) = columns[places[*place].layer];
        let corner = at(*place, widest / 2.0);
        Point { y: corner.y + BEND / 2.0, ..corner }
    };
    let bends = chains.iter().map(|chain| chain.iter().map(bend).collect()).collect();
    let alone: Vec<usize> = (0..widths.len()).filter(|node| !bound[*node]).collect();
    let widest = alone.iter().map(|node| widths[*node]).fold(0.0, f64::max);
    for row in alone.chunks(A_ROW) {
        height += GAP_Y;
        for (column, node) in row.iter().enumerate() {
            let x = MARGIN + column as f64 * (widest + GAP_Y);
            nodes[*node] = Point { x, y: height };
            width = width.max(x + widths[*node]);
        }
        height += HEIGHT;
    }
    Layout { nodes, bends, width: width + MARGIN, height: height + MARGIN }
}
