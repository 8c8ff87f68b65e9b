//! What a tree uses of the host: from its cgroup where that counts, else summed up over its members. Read by whoever asks,
//! on a thread of theirs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::cgroup::Controller;
use super::group::Group;
use super::tell::Roll;
use crate::core::Pid;

/// No tree has cgroups nested deeper than this.
const DEEPEST: usize = 32;

/// What a process's whole tree uses. What cannot be told on this host is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Where the figures are from.
    pub source: UsageSource,
    /// Memory in bytes. Summed up over processes, what they share counts for each of them.
    pub memory: Option<u64>,
    /// The most memory it may use, in bytes (`memory.max`).
    pub memory_limit: Option<u64>,
    /// Processor time since its start. Summed up over processes, only of those that live, and of what they waited for.
    pub cpu: Option<Duration>,
    /// The part of it that its own code took.
    pub cpu_user: Option<Duration>,
    /// The part of it that the kernel took on its behalf.
    pub cpu_system: Option<Duration>,
    /// The most processor time it may use, in thousandths of a core (`cpu.max`).
    pub cpu_limit_millis: Option<u64>,
    /// For how long that limit has held back its threads, all together, since its start.
    pub cpu_throttled: Option<Duration>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The most processes and threads it may have (`pids.max`).
    pub pids_limit: Option<u64>,
    /// Bytes read from disks since its start.
    pub io_read: Option<u64>,
    /// Bytes written to disks since its start.
    pub io_written: Option<u64>,
}

/// Where figures are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSource {
    /// The files of the tree's cgroup, where its controllers are there; the rest is summed up.
    Cgroup,
    /// Summed up over the tree's processes, from `/proc`.
    #[default]
    Proc,
}

impl UsageSource {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            UsageSource::Cgroup => "cgroup",
            UsageSource::Proc => "proc",
        }
    }
}

/// Where a tree's figures can be read, by anybody and at any time: a tree that is gone meanwhile uses nothing.
pub(crate) enum Gauge {
    /// The folder of its cgroup.
    Cgroup(PathBuf),
    /// Who belongs to it.
    Group(Box<Group>),
    /// One of these, and the folders of version 1 in which it is limited.
    Limited(Box<Gauge>, Vec<(Controller, PathBuf)>),
}

impl Gauge {
    /// Reads them. Without cgroups this reads all of `/proc`.
    pub(crate) fn read(&self) -> io::Result<Usage> {
        self.read_of(None)
    }

    /// The same, where it is known already who is in it without a cgroup.
    pub(super) fn read_of(&self, members: Option<&[Pid]>) -> io::Result<Usage> {
        match (self, members) {
            (Gauge::Cgroup(folder), _) => Ok(of_cgroup(folder)),
            (Gauge::Group(_), Some(members)) => Ok(of_members(members)),
            (Gauge::Group(group), None) => Ok(of_members(&group.members()?)),
            (Gauge::Limited(tree, cages), members) => {
                let mut usage = tree.read_of(members)?;
                cages.iter().for_each(|(controller, folder)| count_version1(&mut usage, *controller, folder));
                Ok(usage)
            }
        }
    }

    /// The tree that has no cgroup, where that is what it is.
    #[cfg(feature = "telemetry")]
    pub(super) fn group(&self) -> Option<&Group> {
        match self {
            Gauge::Cgroup(_) => None,
            Gauge::Group(group) => Some(group),
            Gauge::Limited(tree, _) => tree.group(),
        }
    }

    /// The processor time of a cgroup in which nothing lives any more.
    pub(super) fn cpu_of_dead(&self) -> Option<Duration> {
        match self {
            Gauge::Cgroup(folder) => {
                let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
                value(&stat, "usage_usec").map(Duration::from_micros)
            }
            Gauge::Group(_) => None,
            Gauge::Limited(tree, _) => tree.cpu_of_dead(),
        }
    }

    /// Who is in it.
    pub(super) fn members(&self) -> io::Result<Vec<Pid>> {
        match self {
            Gauge::Cgroup(folder) => {
                let mut pids = BTreeSet::new();
                collect(folder, DEEPEST, &mut pids);
                Ok(pids.into_iter().map(Pid).collect())
            }
            Gauge::Group(group) => group.members(),
            Gauge::Limited(tree, _) => tree.members(),
        }
    }
}

fn of_cgroup(folder: &Path) -> Usage {
    let mut usage = Usage { source: UsageSource::Cgroup, ..Usage::default() };
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    // `max` is no number, and no limit.
    let number = |name: &str| text(name).and_then(|text| text.trim().parse().ok());
    if let Some(stat) = text("cpu.stat") {
        let micros = |key| value(&stat, key).map(Duration::from_micros);
        (usage.cpu, usage.cpu_user, usage.cpu_system) =
            (micros("usage_usec"), micros("user_usec"), micros("system_usec"));
        usage.cpu_throttled = micros("throttled_usec");
    }
    usage.cpu_limit_millis = text("cpu.max").and_then(|text| millis(&text));
    (usage.memory, usage.memory_limit) = (number("memory.current"), number("memory.max"));
    (usage.pids, usage.pids_limit) = (number("pids.current"), number("pids.max"));
    if let Some(stat) = text("io.stat") {
        (usage.io_read, usage.io_written) = (Some(summed(&stat, "rbytes=")), Some(summed(&stat, "wbytes=")));
    }
    if usage.memory.is_none() || usage.pids.is_none() || usage.io_read.is_none() || usage.cpu.is_none() {
        let mut pids = BTreeSet::new();
        collect(folder, DEEPEST, &mut pids);
        let sum = of_members(&pids.into_iter().map(Pid).collect::<Vec<_>>());
        usage.memory = usage.memory.or(sum.memory);
        usage.pids = usage.pids.or(sum.pids);
        if usage.io_read.is_none() {
            (usage.io_read, usage.io_written) = (sum.io_read, sum.io_written);
        }
        if usage.cpu.is_none() {
            (usage.cpu, usage.cpu_user, usage.cpu_system) = (sum.cpu, sum.cpu_user, sum.cpu_system);
        }
    }
    usage
}

/// Takes the figures of a cgroup of version 1 in place of sums. Of the processor that has those of its limit alone.
fn count_version1(usage: &mut Usage, controller: Controller, folder: &Path) {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    match controller {
        Controller::Memory => {
            usage.memory = number("memory.usage_in_bytes").or(usage.memory);
            // As many as there can be pages is no limit.
            usage.memory_limit = number("memory.limit_in_bytes").filter(|limit| *limit < 1 << 62);
        }
        Controller::Pids => {
            usage.pids = number("pids.current").or(usage.pids);
            usage.pids_limit = number("pids.max");
        }
        Controller::Cpu => {
            let (quota, period) = (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
            // Without a limit the quota is -1.
            let millis = quota.zip(period.filter(|period| *period > 0)).map(|(quota, period)| quota * 1000 / period);
            usage.cpu_limit_millis = millis;
            let stat = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
            usage.cpu_throttled = value(&stat, "throttled_time").map(Duration::from_nanos);
        }
        Controller::Io => return,
    }
    usage.source = UsageSource::Cgroup;
}

/// The processes in a cgroup and in those below it.
fn collect(folder: &Path, depth: usize, pids: &mut BTreeSet<u32>) {
    if let Ok(text) = fs::read_to_string(folder.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), depth - 1, pids);
        }
    }
}

/// The number after a key at the beginning of a line: `user_usec 123`.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// What `cpu.max` allows, in thousandths of a core: so many microseconds of so many (`50000 100000`).
fn millis(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    quota.parse::<u64>().ok()?.saturating_mul(1000).checked_div(period.parse().ok()?)
}

/// The sum of the numbers after a word anywhere: `8:0 rbytes=12 wbytes=3`, a line a device.
fn summed(text: &str, word: &str) -> u64 {
    text.split_whitespace().filter_map(|part| part.strip_prefix(word)?.parse::<u64>().ok()).sum()
}

/// Of those that are there, what can be read; one that ends meanwhile counts for nothing.
fn of_members(pids: &[Pid]) -> Usage {
    let mut usage = Usage::default();
    let per_second = rate(SysconfVar::CLK_TCK, 100);
    let page = rate(SysconfVar::PAGE_SIZE, 4096);
    let add = |sum: &mut Option<u64>, more: u64| *sum = Some(sum.unwrap_or_default().saturating_add(more));
    let (mut user, mut system) = (None, None);
    for pid in pids {
        let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        if let Some(stat) = file("stat")
            && let Some(fields) = Fields::of(&stat)
        {
            add(&mut user, fields.user);
            add(&mut system, fields.system);
            add(&mut usage.pids, fields.threads);
            add(&mut usage.memory, fields.resident.saturating_mul(page));
        }
        if let Some(io) = file("io") {
            add(&mut usage.io_read, value(&io, "read_bytes:").unwrap_or_default());
            add(&mut usage.io_written, value(&io, "write_bytes:").unwrap_or_default());
        }
    }
    let time = |ticks: u64| Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second);
    (usage.cpu_user, usage.cpu_system) = (user.map(time), system.map(time));
    usage.cpu = usage.cpu_user.zip(usage.cpu_system).map(|(user, system)| user + system);
    usage
}

fn rate(variable: SysconfVar, otherwise: u64) -> u64 {
    let known = sysconf(variable).ok().flatten().and_then(|number| u64::try_from(number).ok());
    known.filter(|number| *number > 0).unwrap_or(otherwise)
}

/// Fields of `/proc/<pid>/stat` (proc_pid_stat(5)), in ticks and pages.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    user: u64,
    system: u64,
    threads: u64,
    resident: u64,
}

impl Fields {
    fn of(stat: &str) -> Option<Fields> {
        // The name may hold anything, a parenthesis too.
        let rest = stat.get(stat.rfind(')')? + 2..)?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // Field 3 of the manual is the first one here.
        let number = |field: usize| fields.get(field - 3)?.trim().parse::<u64>().ok();
        let both = |own, of_children| Some(number(own)?.saturating_add(number(of_children)?));
        Some(Fields { user: both(14, 16)?, system: both(15, 17)?, threads: number(20)?, resident: number(24)? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{Fields, Gauge, UsageSource, millis, of_members, summed, value};
    use crate::core::Pid;

    #[test]
    fn a_processs_figures_are_found_behind_a_name_with_parentheses() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 11 12 3 4 20 0 5 0 99 1000 250 184 1 1 0";
        assert_eq!(Fields::of(stat), Some(Fields { user: 14, system: 16, threads: 5, resident: 250 }));
        assert_eq!(Fields::of("7 (a"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = of_members(&[Pid(std::process::id())]);
        assert_eq!(usage.source, UsageSource::Proc);
        assert!(usage.memory.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.pids.is_some_and(|pids| pids >= 1), "{usage:?}");
        assert!(usage.cpu.is_some(), "{usage:?}");
    }

    #[test]
    fn keys_are_whole_words_and_devices_are_added_up() {
        let stat = "nr_user_usec 4\nuser_usec 5\nsystem_usec 6\n";
        assert_eq!((value(stat, "user_usec"), value(stat, "usec")), (Some(5), None));
        assert_eq!(summed("8:0 rbytes=12 wbytes=3\n8:16 rbytes=5 wbytes=0\n", "rbytes="), 17);
    }

    #[test]
    fn no_limit_on_the_processor_is_no_number() {
        assert_eq!((millis("max 100000\n"), millis("5000 100000\n"), millis("1 0\n")), (None, Some(50), None));
    }

    #[test]
    fn a_cgroup_that_counts_is_believed() {
        let folder = std::env::temp_dir().join(format!("neap-usage-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("cpu.stat", "usage_usec 300\nuser_usec 100\nsystem_usec 200\nnr_throttled 1\nthrottled_usec 50\n"),
            ("cpu.max", "150000 100000\n"),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("pids.current", "3\n"),
            ("pids.max", "20\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let usage = Gauge::Cgroup(folder.clone()).read().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(usage.cpu, Some(Duration::from_micros(300)));
        assert_eq!((usage.cpu_limit_millis, usage.cpu_throttled), (Some(1500), Some(Duration::from_micros(50))));
        assert_eq!((usage.memory, usage.memory_limit), (Some(4096), None));
        assert_eq!((usage.pids, usage.pids_limit), (Some(3), Some(20)));
        assert_eq!((usage.io_read, usage.io_written), (Some(1), Some(2)));
        // One that is gone uses nothing, and is no error.
        let gone = Gauge::Cgroup(folder).read().unwrap();
        assert_eq!((gone.memory, gone.pids), (None, None));
    }
}
