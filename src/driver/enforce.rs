//! Limits on what a tree may use, and who sees to them.

use std::fmt;

use nix::unistd::Uid;

use super::launch::{Launch, RlimitSet};
use super::limits::resource;
use crate::spec::Limits;

/// A limit that a spec can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Bytes of memory, swap included; beyond that the kernel kills.
    Memory,
    /// Bytes of memory from which on it is slowed down.
    MemoryHigh,
    /// Bytes of memory kept for it under pressure.
    MemoryLow,
    /// Thousandths of a core.
    Cpu,
    /// Its share of the processor under contention.
    CpuWeight,
    /// Processes and threads.
    Pids,
    /// Its share of disk bandwidth under contention.
    IoWeight,
}

impl Limit {
    /// All of them, in the order of the documentation.
    pub const ALL: [Limit; 7] = [
        Limit::Memory,
        Limit::MemoryHigh,
        Limit::MemoryLow,
        Limit::Cpu,
        Limit::CpuWeight,
        Limit::Pids,
        Limit::IoWeight,
    ];

    /// Its key in a spec's `limits`.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Memory => "memory",
            Limit::MemoryHigh => "memory_high",
            Limit::MemoryLow => "memory_low",
            Limit::Cpu => "cpu",
            Limit::CpuWeight => "cpu_weight",
            Limit::Pids => "pids",
            Limit::IoWeight => "io_weight",
        }
    }

    /// What a spec says of it.
    pub fn of(self, limits: &Limits) -> Option<u64> {
        match self {
            Limit::Memory => limits.memory,
            Limit::MemoryHigh => limits.memory_high,
            Limit::MemoryLow => limits.memory_low,
            Limit::Cpu => limits.cpu_millis,
            Limit::CpuWeight => limits.cpu_weight,
            Limit::Pids => limits.pids,
            Limit::IoWeight => limits.io_weight,
        }
    }

    /// A value as a configuration would write it: `512MiB`, `1.5`, `200`.
    pub fn written(self, value: u64) -> String {
        const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match self {
            Limit::Memory | Limit::MemoryHigh | Limit::MemoryLow => {
                let unit = UNITS.iter().find(|(_, size)| value > 0 && value.is_multiple_of(*size));
                unit.map_or_else(|| value.to_string(), |(unit, size)| format!("{}{unit}", value / size))
            }
            Limit::Cpu => {
                let (cores, millis) = (value / 1000, format!("{:03}", value % 1000));
                let millis = millis.trim_end_matches('0');
                if millis.is_empty() { cores.to_string() } else { format!("{cores}.{millis}") }
            }
            Limit::CpuWeight | Limit::Pids | Limit::IoWeight => value.to_string(),
        }
    }

    /// The kernel's resource limit of each process that comes closest to it.
    fn rlimit(self) -> Option<&'static str> {
        match self {
            Limit::Memory => Some("as"),
            Limit::Pids => Some("nproc"),
            _ => None,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who sees to a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcer {
    /// The tree's cgroup, of version 2.
    Cgroup2,
    /// A cgroup of version 1, beside what holds the tree together.
    Cgroup1,
    /// A resource limit of each process, which is weaker.
    Rlimit,
    /// Nobody.
    #[default]
    None,
}

impl Enforcer {
    /// Whether the whole tree is counted together.
    pub fn is_cgroup(self) -> bool {
        matches!(self, Enforcer::Cgroup2 | Enforcer::Cgroup1)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Enforcer::Cgroup2 => "cgroup2",
            Enforcer::Cgroup1 => "cgroup1",
            Enforcer::Rlimit => "rlimit",
            Enforcer::None => "none",
        }
    }
}

impl fmt::Display for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Which one.
    pub limit: Limit,
    /// What it is, as in the spec; `None` where it is asked what a host could do.
    pub value: Option<u64>,
    /// Who sees to it.
    pub enforcer: Enforcer,
    /// Why not better, in words; empty when it is as good as can be.
    pub why: String,
}

/// As whom a process runs whose limits each of its processes is to have by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Root, whose processes the kernel does not count.
    Root,
    /// The user that we are ourselves, who may have any number of processes already.
    Ourselves,
    /// Another user.
    Another,
}

impl Who {
    /// As whom a launch runs.
    pub fn of(launch: &Launch) -> Who {
        Who::with(launch.ids.as_ref().map_or(Uid::effective().as_raw(), |ids| ids.uid))
    }

    /// Who has this number.
    pub fn with(uid: u32) -> Who {
        let us = Uid::effective().as_raw();
        match uid {
            0 => Who::Root,
            uid if uid == us => Who::Ourselves,
            _ => Who::Another,
        }
    }
}

/// What is said where a change was refused.
const STANDS: &str = "; what it was before still counts";
/// What is said of a limit that a process was given by a supervisor which enforced none.
const WITHOUT: &str = "it was started without it; a restart gives it";

impl LimitState {
    /// One that a process runs without.
    pub(super) fn without(limit: Limit, value: u64) -> LimitState {
        LimitState { limit, value: Some(value), enforcer: Enforcer::None, why: WITHOUT.to_owned() }
    }

    /// Tells that what was there before goes on.
    pub(super) fn stand(&mut self) {
        self.why.push_str(STANDS);
    }

    /// Makes do with a resource limit where no cgroup sees to it.
    pub(super) fn fall_back(&mut self, who: Who) {
        if self.enforcer != Enforcer::None || self.why.ends_with(STANDS) || self.why == WITHOUT {
            return;
        }
        let weaker = match (self.limit, who) {
            (Limit::Memory, _) => {
                Ok("each of its processes may have that much address space: an allocation fails, and nothing is killed")
            }
            (Limit::Pids, Who::Another) => Ok("all processes of its user count, whoever started them"),
            (Limit::Pids, Who::Root) => Err("of root's processes the kernel counts none"),
            (Limit::Pids, Who::Ourselves) => Err("all processes of its user would count, ours among them"),
            _ => return,
        };
        let reason = std::mem::take(&mut self.why);
        let (enforcer, also) = match weaker {
            Ok(weaker) => (Enforcer::Rlimit, weaker),
            Err(why) => (Enforcer::None, why),
        };
        self.enforcer = enforcer;
        self.why = if reason.is_empty() { also.to_owned() } else { format!("{reason}; {also}") };
    }

    /// The resource limit that it comes to, by the kernel's number, when that is what sees to it.
    pub(super) fn rlimit(&self) -> Option<RlimitSet> {
        self.as_rlimit().filter(|_| self.enforcer == Enforcer::Rlimit)
    }

    fn as_rlimit(&self) -> Option<RlimitSet> {
        let value = self.value?;
        let resource = resource(self.limit.rlimit()?)?;
        Some(RlimitSet { resource, soft: value, hard: value })
    }
}

/// Puts the limits that no cgroup sees to on the child itself. What the spec says of the same resource stays where it is
/// less.
pub(super) fn fall_back(states: &mut [LimitState], launch: &mut Launch) {
    let who = Who::of(launch);
    for state in states {
        state.fall_back(who);
        let Some(limit) = state.rlimit() else { continue };
        match launch.rlimits.iter_mut().find(|given| given.resource == limit.resource) {
            Some(given) => *given = given.lesser(limit),
            None => launch.rlimits.push(limit),
        }
    }
}

/// The resource limits to be put on processes that run, where these states follow those: the lesser of the new one and
/// what they would have without, which is also what they get back when it is lifted.
pub(super) fn rlimits(
    before: &[LimitState],
    now: &[LimitState],
    without: impl Fn(u32) -> Option<RlimitSet>,
) -> Vec<RlimitSet> {
    let now: Vec<_> = now.iter().filter_map(LimitState::rlimit).collect();
    let old = before.iter().filter_map(LimitState::rlimit);
    let lifted = old.filter(|old| !now.iter().any(|new| new.resource == old.resource)).map(|old| RlimitSet {
        soft: u64::MAX,
        hard: u64::MAX,
        ..old
    });
    let limits = lifted.chain(now.iter().copied());
    limits.map(|limit| without(limit.resource).map_or(limit, |given| given.lesser(limit))).collect()
}

impl RlimitSet {
    /// The lesser of two limits on the same resource.
    fn lesser(self, other: RlimitSet) -> RlimitSet {
        RlimitSet { soft: self.soft.min(other.soft), hard: self.hard.min(other.hard), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Enforcer, Limit, LimitState, Who, fall_back, rlimits};
    use crate::driver::launch::{Launch, RlimitSet};
    use crate::driver::limits::resource;

    fn state(limit: Limit, enforcer: Enforcer) -> LimitState {
        LimitState { limit, value: Some(100), enforcer, why: "no cgroup".into() }
    }

    #[test]
    fn a_limit_is_told_as_a_configuration_would_write_it() {
        for (limit, value, text) in [
            (Limit::Memory, 512 << 20, "512MiB"),
            (Limit::MemoryHigh, 1000, "1000"),
            (Limit::MemoryLow, 0, "0"),
            (Limit::Cpu, 1500, "1.5"),
            (Limit::Cpu, 50, "0.05"),
            (Limit::Cpu, 2000, "2"),
            (Limit::Pids, 200, "200"),
        ] {
            assert_eq!(limit.written(value), text);
        }
    }

    #[test]
    fn without_cgroups_memory_and_processes_are_limited_as_well_as_it_goes() {
        let mut memory = state(Limit::Memory, Enforcer::None);
        memory.fall_back(Who::Root);
        assert_eq!(memory.enforcer, Enforcer::Rlimit);
        assert!(memory.why.starts_with("no cgroup; ") && memory.why.contains("address space"), "{}", memory.why);
        for (who, enforcer) in
            [(Who::Another, Enforcer::Rlimit), (Who::Root, Enforcer::None), (Who::Ourselves, Enforcer::None)]
        {
            let mut pids = state(Limit::Pids, Enforcer::None);
            pids.fall_back(who);
            assert_eq!(pids.enforcer, enforcer, "{who:?}: {}", pids.why);
        }
        let mut cpu = state(Limit::Cpu, Enforcer::None);
        cpu.fall_back(Who::Another);
        assert_eq!((cpu.enforcer, cpu.why.as_str()), (Enforcer::None, "no cgroup"));
        let mut strong = state(Limit::Memory, Enforcer::Cgroup1);
        strong.fall_back(Who::Another);
        assert_eq!(strong.enforcer, Enforcer::Cgroup1);
    }

    #[test]
    fn the_lesser_of_two_limits_on_a_resource_counts() {
        let program = c"/bin/true".to_owned();
        let mut launch = Launch::new(vec![program.clone()], vec![program]);
        let space = resource("as").unwrap();
        launch.rlimits.push(RlimitSet { resource: space, soft: 50, hard: u64::MAX });
        fall_back(&mut [state(Limit::Memory, Enforcer::None)], &mut launch);
        assert_eq!(launch.rlimits, [RlimitSet { resource: space, soft: 50, hard: 100 }]);
    }

    #[test]
    fn other_limits_leave_a_process_no_more_than_it_would_have_without() {
        let space = resource("as").unwrap();
        let set = |soft, hard| RlimitSet { resource: space, soft, hard };
        let states = [state(Limit::Memory, Enforcer::Rlimit)];
        let none: [LimitState; 0] = [];
        assert_eq!(rlimits(&none, &states, |_| Some(set(50, 200))), [set(50, 100)]);
        assert_eq!(rlimits(&states, &none, |_| Some(set(50, 200))), [set(50, 200)]);
        assert_eq!(rlimits(&states, &none, |_| None), [set(u64::MAX, u64::MAX)]);
        assert_eq!(rlimits(&none, &none, |_| Some(set(50, 200))), []);
    }
}
