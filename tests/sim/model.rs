//! A7: who is up after each of many commands and crashes, against a model that knows nothing of states, queues or holds.

use std::collections::{BTreeMap, BTreeSet};

use neap::core::StateName;
use neap::sim::Rng;
use neap::spec::Spec;

use super::harness::*;

/// Why a process is down.
#[derive(Clone, Debug, PartialEq)]
enum Down {
    Never,
    Asked,
    Because(String),
    Crashed,
}

/// The reference: relations by name, who is up, and why the others are not. Everything succeeds at once, and nothing restarts by itself.
struct Model {
    specs: BTreeMap<String, Spec>,
    down: BTreeMap<String, Down>,
}

impl Model {
    fn up(&self) -> BTreeSet<String> {
        self.specs.keys().filter(|name| !self.down.contains_key(*name)).cloned().collect()
    }

    /// Whether it is up then. Nobody but a person (who also gets what is wanted) starts again what a person stopped.
    fn start(&mut self, name: &str, asked: bool) -> bool {
        match self.down.get(name) {
            None => return true,
            Some(Down::Asked) if !asked => return false,
            Some(_) => self.down.remove(name),
        };
        let spec = self.specs[name].clone();
        for need in spec.requires.iter().chain(&spec.binds_to) {
            if !self.start(need, asked) {
                self.down.insert(name.into(), Down::Because(need.clone()));
                return false;
            }
        }
        for other in spec.wants.iter().filter(|_| asked) {
            self.start(other, asked);
        }
        let followers: Vec<String> = self.who(name, |spec| &spec.follows).collect();
        for other in followers {
            if self.down.get(&other) == Some(&Down::Because(name.into())) {
                self.start(&other, false);
            }
        }
        true
    }

    fn who<'a>(&'a self, name: &'a str, list: fn(&Spec) -> &Vec<String>) -> impl Iterator<Item = String> + 'a {
        self.specs.values().filter(move |spec| list(spec).iter().any(|it| it == name)).map(|spec| spec.name.clone())
    }

    /// What is nearer to the cause goes for the sake of that, whatever else it leans on.
    fn stop(&mut self, name: &str, why: Down) {
        let crashed = why == Down::Crashed;
        if !matches!(self.down.get(name), Some(Down::Never | Down::Crashed)) {
            self.down.insert(name.into(), why);
        }
        let mut stopped = vec![name.to_owned()];
        let mut next = 0;
        while let Some(name) = stopped.get(next).cloned() {
            let mut dependents: Vec<String> = self.who(&name, |spec| &spec.binds_to).collect();
            if !crashed || next > 0 {
                dependents.extend(self.who(&name, |spec| &spec.requires).chain(self.who(&name, |spec| &spec.part_of)));
            }
            for other in dependents {
                if !self.down.contains_key(&other) {
                    self.down.insert(other.clone(), Down::Because(name.clone()));
                    stopped.push(other);
                }
            }
            next += 1;
        }
    }
}

/// A small random graph of plain processes that never restart by themselves.
fn specs(rng: &mut Rng) -> Vec<Spec> {
    let size = 2 + rng.index(7);
    let name = |index: usize| format!("p{index}");
    (0..size)
        .map(|index| {
            let mut spec = once(&name(index));
            for _ in 0..rng.below(3) {
                let other = name(rng.index(index.max(1)));
                if index == 0 || [&spec.requires, &spec.binds_to].iter().any(|list| list.contains(&other)) {
                    continue;
                }
                spec = match rng.below(5) {
                    0 => spec.requires(other),
                    1 => spec.binds_to(other),
                    2 => spec.binds_to(other.clone()).follows(other),
                    3 => spec.part_of(other).after(name(0)),
                    _ => spec.wants(other.clone()).after(other),
                };
            }
            spec
        })
        .collect()
}

#[test]
fn a7_who_is_up_is_what_a_naive_model_says() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let specs = specs(&mut rng);
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let mut model = Model {
            specs: specs.iter().map(|spec| (spec.name.clone(), spec.clone())).collect(),
            down: names.iter().map(|name| (name.clone(), Down::Never)).collect(),
        };
        let mut s = Scenario::with(specs.clone());
        let mut done = Vec::new();
        for _ in 0..12 {
            let name = names[rng.index(names.len())].clone();
            match rng.below(3) {
                0 => {
                    done.push(format!("start {name}"));
                    model.start(&name, true);
                    s.start(&name);
                }
                1 => {
                    done.push(format!("stop {name}"));
                    model.stop(&name, Down::Asked);
                    s.stop(&name);
                }
                _ if model.down.contains_key(&name) => continue,
                _ => {
                    done.push(format!("crash {name}"));
                    model.stop(&name, Down::Crashed);
                    s.exit(&name, BAD);
                }
            }
            let up: BTreeSet<String> =
                names.iter().filter(|name| s.state(name) == StateName::Running).cloned().collect();
            if up != model.up() {
                let lines: Vec<String> = specs
                    .iter()
                    .map(|it| {
                        format!(
                            "{}: requires {:?} binds_to {:?} follows {:?} part_of {:?} wants {:?}",
                            it.name, it.requires, it.binds_to, it.follows, it.part_of, it.wants
                        )
                    })
                    .collect();
                s.fail(&format!(
                    "seed {seed}: {}\nafter {done:?}\nup: {up:?}\nthe model: {:?}, {:?}",
                    lines.join("\n"),
                    model.up(),
                    model.down
                ));
            }
        }
    }
}
