//! How processes are related.

use std::collections::{BTreeMap, BTreeSet};

use tonic::{Request, Status};

use super::convert::process;
use super::instance::Served;
use super::proto::v1;
use super::select::Found;
use crate::spec::Spec;

/// Tells it.
pub(super) async fn graph(served: &Served, request: Request<v1::GraphRequest>) -> Result<v1::GraphResponse, Status> {
    let names = request.into_inner().names;
    // Before all are looked at, so that a name of nobody is refused.
    let roots = served.these(names.clone()).await?;
    let all = served.all().await?;
    let edges = edges(&all);
    let kept = if names.is_empty() {
        all.iter().map(|found| found.status.name.to_string()).collect()
    } else {
        related(roots.iter().map(|found| found.status.name.to_string()), &edges)
    };
    Ok(v1::GraphResponse {
        processes: all.iter().filter(|found| kept.contains(&*found.status.name)).map(process).collect(),
        edges: edges.into_iter().filter(|edge| kept.contains(&edge.from) || kept.contains(&edge.to)).collect(),
    })
}

/// Whom a spec names by one kind of relation.
type Named = fn(&Spec) -> &Vec<String>;

/// All relations, by who declares them and of which kind.
fn edges(all: &[Found]) -> Vec<v1::Edge> {
    let known: BTreeMap<&str, &Found> = all.iter().map(|found| (&*found.status.name, found)).collect();
    let kinds: [(&str, Named); 7] = [
        ("requires", |spec| &spec.requires),
        ("wants", |spec| &spec.wants),
        ("binds_to", |spec| &spec.binds_to),
        ("follows", |spec| &spec.follows),
        ("part_of", |spec| &spec.part_of),
        ("conflicts", |spec| &spec.conflicts),
        ("after", |spec| &spec.after),
    ];
    let mut named = BTreeSet::new();
    for found in all {
        let name = &*found.status.name;
        for (place, (_, of)) in kinds.iter().enumerate() {
            named.extend(of(&found.spec).iter().map(|other| (name.to_owned(), other.clone(), place)));
        }
        // The same as an `after` of the other.
        named.extend(found.spec.before.iter().map(|other| (other.clone(), name.to_owned(), kinds.len() - 1)));
    }
    let edge = |(from, to, place): (String, String, usize)| v1::Edge {
        holding: known.get(&*from).is_some_and(|found| found.status.holds.iter().any(|hold| *hold.name == *to)),
        missing: !known.contains_key(&*to) || !known.contains_key(&*from),
        kind: kinds[place].0.into(),
        from,
        to,
    };
    named.into_iter().filter(|(from, to, _)| from != to).map(edge).collect()
}

/// These, and what is reached from them over relations in either direction.
fn related(roots: impl Iterator<Item = String>, edges: &[v1::Edge]) -> BTreeSet<String> {
    let mut beside: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in edges {
        beside.entry(&edge.from).or_default().push(&edge.to);
        beside.entry(&edge.to).or_default().push(&edge.from);
    }
    let mut kept = BTreeSet::new();
    let mut next: Vec<String> = roots.collect();
    while let Some(name) = next.pop() {
        let others = beside.get(&*name).into_iter().flatten().map(|other| (*other).to_owned());
        if kept.insert(name.clone()) {
            next.extend(others);
        }
    }
    kept
}
