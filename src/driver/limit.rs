//! The limits of runs: put in place with their trees, changed while they live, and told of when they bite.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::cgroup::{Limited, Limiter};
use super::enforce::{self, Enforcer, Limit, LimitState, Who};
use super::engine::{Engine, HelperDone};
use super::flight::system_error;
use super::held::Held;
use super::launch::{Launch, RlimitSet};
use super::limits as resources;
use super::member;
use super::sources::{Clock, Moment, Source};
use super::sys;
use super::usage::Gauge;
use crate::core::{ExitStatus, Input, Pid, ProcessId, RunId, SpawnError, SpawnStep, Time};
use crate::spec::{Limits, Signal, Spec};
use crate::supervisor::Message;

/// Version 1 of cgroups tells that memory ran out before it kills: the dead are looked for after this long, and again after
/// longer.
const KILLED_BY: Duration = Duration::from_millis(20);
/// How often.
const LOOKS: u32 = 4;

/// When the dead are looked for: once for all notices of an instant, however many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// The next look.
    due: Option<Time>,
    /// Those that were made since the last notice.
    made: u32,
}

impl Looks {
    /// Memory ran out. When to look, if that is not to be waited for already.
    fn notice(&mut self, now: Time) -> Option<Time> {
        self.made = 0;
        let due = now.after(KILLED_BY);
        if self.due.is_some_and(|earlier| earlier <= due) {
            return None;
        }
        self.due = Some(due);
        self.due
    }

    /// A moment came to look. Whether it is still the right one.
    fn is_due(&mut self, at: Time) -> bool {
        let due = self.due == Some(at);
        if due {
            self.due = None;
            self.made += 1;
        }
        due
    }

    /// When to look again after a look, if at all.
    fn again(&mut self, now: Time) -> Option<Time> {
        self.due = (self.made < LOOKS).then(|| now.after(KILLED_BY * 4_u32.saturating_pow(self.made)));
        self.due
    }
}

/// What the limits of a run did that the machine was told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Members that the kernel killed for lack of memory.
    oom_kills: u64,
    /// Processes that the kernel refused.
    forks_refused: u64,
}

/// What came of other limits on a tree that lives.
pub(crate) struct Changed {
    limited: Limited,
    /// What did not work.
    problems: Vec<String>,
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("states", &self.limited.states).finish_non_exhaustive()
    }
}

impl Engine {
    /// Has a child enter where its limits are, and gives it those that no cgroup sees to.
    pub(super) fn limit(&mut self, process: ProcessId, held: &mut Held, launch: &mut Launch) -> Result<(), SpawnError> {
        if held.tree.limits().is_empty() {
            return Ok(());
        }
        launch.doors = held
            .tree
            .doors()
            .map_err(|e| system_error(SpawnStep::Limits, "cannot open a cgroup with its limits", &e))?;
        let mut states = held.tree.limits().to_vec();
        enforce::fall_back(&mut states, launch);
        self.warn_of_limits(process, &states);
        held.tree.set_limits(states);
        Ok(())
    }

    /// Has the kernel tell when a run's limits bite.
    pub(super) fn watch_limits(&mut self, run: RunId) {
        let held = self.runs.get(&run).and_then(|entry| entry.held.as_ref());
        let Some(limited) = held.map(|held| held.tree.limited()).filter(|limited| !limited.states.is_empty()) else {
            return;
        };
        let limiter = self.trees.limiter();
        limiter.watch(run, limited);
        if !self.watches_memory
            && let Some(told) = limiter.out_of_memory()
        {
            self.watches_memory = self.poller.add(told, Source::Limits).is_ok();
        }
    }

    /// What will become of the limits of a process that does not run.
    pub(super) fn expected_limits(&self, spec: &Spec) -> Vec<LimitState> {
        if Limit::ALL.iter().all(|limit| limit.of(&spec.limits).is_none()) {
            return Vec::new();
        }
        let of = |mut state: LimitState| {
            state.value = Some(state.limit.of(&spec.limits)?);
            Some(state)
        };
        self.trees.limits().into_iter().filter_map(of).collect()
    }

    /// Tells which limits nobody sees to: once, not with each run.
    fn warn_of_limits(&mut self, process: ProcessId, states: &[LimitState]) {
        let nobody = states.iter().filter(|state| state.enforcer == Enforcer::None);
        let texts: Vec<_> =
            nobody.map(|state| format!("limits.{} is not enforced here: {}", state.limit, state.why)).collect();
        let text = texts.join("; ");
        let Some(place) = self.places.get_mut(&process) else { return };
        if place.unlimited != text {
            place.unlimited.clone_from(&text);
            if !text.is_empty() {
                self.inputs.push_back(Input::Warning(Some(process), text));
            }
        }
    }

    // When they bite.

    /// Tells what a run's limits did to it, before the end that this explains.
    pub(super) fn explain_end(&mut self, run: RunId, status: ExitStatus) {
        match status {
            ExitStatus::Code(0) => {}
            ExitStatus::Signal { signal: Signal::KILL, .. } | ExitStatus::Unknown => self.tell_limits(run, true),
            _ => self.tell_limits(run, false),
        }
    }

    /// Something happened in a tree that may be the doing of its limits.
    pub(super) fn limits_bite(&mut self, run: RunId) {
        self.tell_limits(run, false);
    }

    /// A cgroup of version 1 ran out of memory: somebody is killed now, or was.
    pub(super) fn out_of_memory(&mut self) {
        self.trees.limiter().quiet();
        if let Some(due) = self.looks.notice(Clock::now().mono) {
            self.clock.at(due, Moment::LookForKilled(due));
        }
    }

    pub(super) fn look_for_killed(&mut self, at: Time) {
        if !self.looks.is_due(at) {
            return;
        }
        let told = |run: &&RunId| {
            let held = self.runs.get(run).and_then(|entry| entry.held.as_ref());
            held.is_some_and(|held| held.tree.limited().is_told_of_memory())
        };
        let runs: Vec<RunId> = self.runs.keys().filter(told).copied().collect();
        runs.iter().for_each(|run| self.tell_limits(*run, false));
        if !runs.is_empty()
            && let Some(due) = self.looks.again(Clock::now().mono)
        {
            self.clock.at(due, Moment::LookForKilled(due));
        }
    }

    /// Looks whether a run's limits did anything since it was last told; `killed` also where it has no limit on memory.
    fn tell_limits(&mut self, run: RunId, killed: bool) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(held) = &entry.held else { return };
        let limited = held.tree.limited();
        if killed || !limited.states.is_empty() {
            let oom_kills = limited.oom_kills();
            if oom_kills > entry.told.oom_kills {
                entry.told.oom_kills = oom_kills;
                self.inputs.push_back(Input::Oom(run));
            }
        }
        // Of what goes on trying one refusal is enough.
        if entry.told.forks_refused == 0 && !limited.states.is_empty() {
            entry.told.forks_refused = limited.forks_refused();
            if entry.told.forks_refused > 0 {
                self.inputs.push_back(Input::PidsLimit(run));
            }
        }
    }

    /// A run was adopted alive, led by this process: what its limits did is old news, and what no cgroup sees to its
    /// processes were given when they were made.
    pub(super) fn adopt_limits(&mut self, run: RunId, pid: Pid) {
        if let Some(entry) = self.runs.get_mut(&run)
            && let Some(held) = &mut entry.held
        {
            let mut states = held.tree.limits().to_vec();
            let who = who_is(pid);
            states.iter_mut().for_each(|state| state.fall_back(who));
            held.tree.set_limits(states);
            let limited = held.tree.limited();
            entry.told = Told { oom_kills: limited.oom_kills(), forks_refused: limited.forks_refused() };
        }
    }

    // Other limits.

    /// Puts other limits on a run's tree, on the pool: the kernel may have to take memory back first.
    pub(super) fn set_limits(&mut self, run: RunId, limits: Limits) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        entry.limits = limits.clone();
        if entry.held.is_none() {
            // Its tree is made with them.
            return;
        }
        match &mut entry.changing {
            Some(next) => *next = Some(limits),
            None => self.begin_change(run, limits),
        }
    }

    fn begin_change(&mut self, run: RunId, limits: Limits) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(held) = &entry.held else { return };
        let process = entry.process;
        entry.changing = Some(None);
        let (limited, gauge) = (held.tree.limited().clone(), held.tree.gauge());
        let spec = entry.spec.clone();
        let (shared, limiter) = (self.shared.clone(), self.trees.limiter().clone());
        let job = move || {
            let changed = Box::new(changed((&limiter, &spec), limited, &limits, &gauge));
            let _ = shared.mailbox.post(Message::Helper(HelperDone::LimitsSet(run, changed)));
        };
        if let Err(error) = self.pool.run(job) {
            if let Some(entry) = self.runs.get_mut(&run) {
                entry.changing = None;
            }
            let text = format!("its limits stay as they were: there is no thread to change them: {error}");
            self.inputs.push_back(Input::Warning(Some(process), text));
        }
    }

    /// Other limits were put on a tree, or could not be.
    pub(super) fn limits_set(&mut self, run: RunId, changed: Changed) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Changed { limited, problems } = changed;
        let process = entry.process;
        let next = entry.changing.take().flatten();
        let states = limited.states.clone();
        if let Some(held) = &mut entry.held {
            held.tree.set_limited(limited);
        }
        if !problems.is_empty() {
            self.inputs.push_back(Input::Warning(Some(process), problems.join("; ")));
        }
        self.warn_of_limits(process, &states);
        self.watch_limits(run);
        if let Some(limits) = next {
            self.begin_change(run, limits);
        }
    }
}

/// As whom a process runs.
fn who_is(pid: Pid) -> Who {
    fs::metadata(format!("/proc/{pid}")).map_or(Who::Another, |of| Who::with(of.uid()))
}

/// Changes limits, on whichever thread this is.
fn changed((limiter, spec): (&Limiter, &Spec), mut limited: Limited, limits: &Limits, gauge: &Gauge) -> Changed {
    let before = limited.states.clone();
    limiter.change(&mut limited, limits, &|| gauge.members());
    let members = gauge.members().unwrap_or_default();
    let who = members.first().map_or(Who::Another, |pid| who_is(*pid));
    let mut problems = Vec::new();
    limited.states.iter_mut().for_each(|state| state.fall_back(who));
    for limit in enforce::rlimits(&before, &limited.states, |resource| without(spec, resource)) {
        let mut refused = None;
        let acted = member::each(&members, &|| gauge.members(), |pid| {
            if let Err(error) = put(pid, limit) {
                refused.get_or_insert(format!(" of pid {pid}: {error}"));
            }
        });
        if let Some(why) = acted.err().map(|error| format!(": {error}")).or(refused) {
            let name = resources::name(limit.resource);
            problems.push(format!("cannot change the resource limit `{name}`{why}; restart it for that"));
        }
    }
    Changed { limited, problems }
}

/// What a process has of a resource if its `limits` say nothing of it: what its spec says, else what we have.
fn without(spec: &Spec, resource: u32) -> Option<RlimitSet> {
    let of_spec = spec.rlimits.iter().find(|(name, _)| resources::resource(name) == Some(resource));
    let (soft, hard) = match of_spec {
        Some((_, limit)) => (limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX)),
        None => sys::own_rlimit(resource).ok()?,
    };
    Some(RlimitSet { resource, soft, hard })
}

/// Puts a resource limit on a process that runs. One that ended meanwhile has none.
fn put(pid: Pid, limit: RlimitSet) -> std::io::Result<()> {
    match sys::set_rlimit(pid.0, limit.resource, (limit.soft, limit.hard)) {
        Err(e) if e.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LOOKS, Looks};
    use crate::core::Time;

    fn at(millis: u64) -> Time {
        Time::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn a_storm_of_notices_is_looked_into_once_and_again_after_longer() {
        let mut looks = Looks::default();
        assert_eq!(looks.notice(at(0)), Some(at(20)));
        assert!((1..20).all(|now| looks.notice(at(now)).is_none()));
        let (mut now, mut made) = (at(20), Vec::new());
        loop {
            assert!(looks.is_due(now));
            made.push(now);
            match looks.again(now) {
                Some(next) => now = next,
                None => break,
            }
        }
        assert_eq!(made, [at(20), at(100), at(420), at(1700)]);
        assert_eq!(made.len(), LOOKS as usize);
        assert_eq!(looks.notice(at(2000)), Some(at(2020)));
    }

    #[test]
    fn a_notice_between_two_looks_brings_the_next_one_forward_and_the_later_one_is_void() {
        let mut looks = Looks::default();
        looks.notice(at(0));
        assert!(looks.is_due(at(20)));
        assert_eq!(looks.again(at(20)), Some(at(100)));
        assert_eq!(looks.notice(at(30)), Some(at(50)));
        assert!(looks.is_due(at(50)));
        assert_eq!(looks.again(at(50)), Some(at(130)));
        assert!(!looks.is_due(at(100)));
        assert!(looks.is_due(at(130)));
    }
}
