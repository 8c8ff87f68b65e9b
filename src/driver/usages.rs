//! What many trees use at once. Without cgroups a look at the members of one reads all of `/proc`; here one look does for
//! all of them. It asks less of a process than [`Group`] does before it kills one: these are figures.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use super::group::Group;
use super::identity::Stat;
use super::usage::{Gauge, Usage};
use crate::core::Pid;

/// No process has more ancestors than this that matter here.
const DEEPEST: usize = 64;

/// What each of these uses; `None` where that cannot be read, or there is nothing to read.
pub(crate) fn read_all(gauges: &[Option<Gauge>]) -> Vec<Option<Usage>> {
    let groups: Vec<(usize, &Group)> =
        gauges.iter().enumerate().filter_map(|(at, gauge)| Some((at, gauge.as_ref()?.group()?))).collect();
    let members = if groups.is_empty() { HashMap::new() } else { members(&groups) };
    let read = |(at, gauge): (usize, &Option<Gauge>)| {
        let nobody = Vec::new();
        gauge.as_ref()?.read_of(Some(members.get(&at).unwrap_or(&nobody))).ok()
    };
    gauges.iter().enumerate().map(read).collect()
}

/// Who is in which of these trees.
fn members(groups: &[(usize, &Group)]) -> HashMap<usize, Vec<Pid>> {
    let (mut leaders, mut sessions, mut marks) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut roots = BTreeSet::from([Pid(std::process::id())]);
    for (at, group) in groups {
        let (leader, daemon) = group.known_by();
        leaders.extend(leader.map(|leader| (leader.0, *at)));
        if let Some((pid, session)) = daemon {
            leaders.insert(pid.0, *at);
            sessions.insert(session, *at);
        }
        marks.insert(group.mark(), *at);
        roots.extend(group.anchor());
    }
    let all: HashMap<Pid, Stat> = pids()
        .into_iter()
        .filter_map(|pid| Some((pid, Stat::of(pid).ok().filter(|stat| !stat.is_zombie())?)))
        .collect();
    let named = |pid: &Pid, stat: &Stat| {
        let of_leader = [pid.0, stat.group, stat.session].into_iter().find_map(|number| leaders.get(&number));
        of_leader.or_else(|| sessions.get(&stat.session)).copied()
    };
    // An orphan that left group and session is known by its mark alone.
    let marked = |pid: &Pid, stat: &Stat| {
        let environment = roots.contains(&stat.parent).then(|| fs::read(format!("/proc/{pid}/environ")).ok())??;
        let variables = environment.split(|byte| *byte == 0);
        variables
            .filter_map(|variable| std::str::from_utf8(variable).ok())
            .find_map(|variable| marks.get(variable).copied())
    };
    let mut found: HashMap<usize, Vec<Pid>> = HashMap::new();
    for (pid, stat) in all.iter().filter(|(pid, _)| !roots.contains(pid)) {
        let (mut at, mut line) = (*pid, *stat);
        for _ in 0..DEEPEST {
            if let Some(group) = named(&at, &line).or_else(|| marked(&at, &line)) {
                found.entry(group).or_default().push(*pid);
                break;
            }
            match all.get(&line.parent) {
                Some(above) if !roots.contains(&line.parent) => (at, line) = (line.parent, *above),
                _ => break,
            }
        }
    }
    found
}

fn pids() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid)).collect()
}
