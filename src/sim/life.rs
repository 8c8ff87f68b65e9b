//! What happens in the simulated kernel of itself: programs start, speak, fork and end.

use super::behaviour::{self, Behaviour, Killing};
use super::kernel::{Happening, Kernel, Stage};
use crate::core::{Adoption, ExitStatus, HookKind, HookResult, Input, Notification, Pid, ProbeKind, RunId, Time};
use crate::spec::{ProcessType, Ready, Signal};

impl Kernel {
    /// Something comes to pass in a run.
    ///
    /// What is returned is heard at once: the end of a hook or a probe is never on its way while it could be cancelled.
    pub(super) fn happen(&mut self, now: Time, run: RunId, what: Happening) -> Option<Input> {
        match what {
            Happening::HookEnds(kind, token) => return self.hook_ends(run, kind, token),
            Happening::ProbeEnds(kind, token) => return self.probe_ends(run, kind, token),
            other => self.pass(now, run, other),
        }
        None
    }

    fn pass(&mut self, now: Time, run: RunId, what: Happening) {
        match what {
            Happening::Exec => self.exec(now, run),
            Happening::Ready => self.say_ready(now, run),
            Happening::Die(pid, status) => self.die(now, run, pid, status),
            Happening::End(status) => {
                if let Some(pid) = self.runs.get(&run).and_then(|it| it.main) {
                    self.die(now, run, pid, status);
                }
            }
            Happening::HelpersGo => self.helpers_go(now, run),
            Happening::Killed => {
                let members: Vec<Pid> =
                    self.runs.get(&run).map_or(Vec::new(), |it| it.members.iter().copied().collect());
                for pid in members {
                    self.die(now, run, pid, ExitStatus::Signal { signal: Signal::KILL, core: false });
                }
            }
            Happening::ReportStuck => {
                let Some(it) = self.runs.get_mut(&run) else { return };
                if !it.members.is_empty() && !it.released {
                    it.stuck_told = true;
                    let pids = it.members.iter().copied().collect();
                    self.tell(now, Input::TreeStuck(run, pids));
                }
            }
            Happening::Ping => {
                let Some(it) = self.runs.get(&run) else { return };
                let alive = it.main.is_some_and(|pid| it.members.contains(&pid));
                if let Some(every) = it.does.pings.filter(|every| alive && !every.is_zero()) {
                    self.tell(now, Input::Notified(run, Notification::Watchdog));
                    self.happens(now.after(every), run, Happening::Ping);
                }
            }
            Happening::HookEnds(..) | Happening::ProbeEnds(..) => {}
        }
    }

    fn exec(&mut self, now: Time, run: RunId) {
        let Some(it) = self.runs.get_mut(&run).filter(|it| it.stage == Stage::Spawning) else { return };
        let Some(pid) = it.main else { return };
        it.stage = Stage::Executed;
        let (process, adopting) = (it.process, std::mem::take(&mut it.adopting));
        let (does, spec) = (it.does.clone(), std::sync::Arc::clone(&it.spec));
        for _ in 0..does.helpers {
            let helper = self.new_pid(run);
            if let Some(it) = self.runs.get_mut(&run) {
                it.members.insert(helper);
            }
        }
        // The news of the execution may be overtaken by all that the program does.
        let told = now.after(self.delay());
        if let Some(it) = self.runs.get_mut(&run) {
            it.executed_told = told;
        }
        *self.executed.entry(process).or_default() += 1;
        self.serves(process);
        let news = if adopting { Input::Adopted(run, Adoption::Alive(pid)) } else { Input::Executed(run, pid) };
        self.tell(told, news);
        let speaks = spec.process_type == ProcessType::Forking
            || spec.process_type == ProcessType::Notify
            || matches!(spec.ready, Ready::Notify | Ready::LogLine(_));
        if let Some(after) = does.ready_after.filter(|_| speaks) {
            self.happens(now.after(after), run, Happening::Ready);
        }
        if let Some((after, status)) = does.exits {
            self.happens(now.after(after), run, Happening::End(status));
        }
        if let Some(every) = does.pings {
            self.happens(now.after(every), run, Happening::Ping);
        }
    }

    fn say_ready(&mut self, now: Time, run: RunId) {
        let Some(it) = self.runs.get_mut(&run).filter(|it| it.stage == Stage::Executed) else { return };
        let Some(main) = it.main.filter(|pid| it.members.contains(pid)) else { return };
        let (forking, daemonises) = (it.spec.process_type == ProcessType::Forking, it.does.daemonises);
        let notifies = it.spec.process_type == ProcessType::Notify || matches!(it.spec.ready, Ready::Notify);
        if matches!(it.spec.ready, Ready::LogLine(_)) {
            self.tell_later(now, Input::LogLine(run));
        }
        if notifies {
            self.tell_later(now, Input::Notified(run, Notification::Ready));
        }
        if forking && self.runs.get(&run).is_some_and(|it| it.known.len() == 1) {
            if daemonises {
                let daemon = self.new_pid(run);
                if let Some(it) = self.runs.get_mut(&run) {
                    it.members.insert(daemon);
                    it.main = Some(daemon);
                }
            }
            self.die(now, run, main, ExitStatus::Code(0));
        }
    }

    fn die(&mut self, now: Time, run: RunId, pid: Pid, status: ExitStatus) {
        let Some(it) = self.runs.get_mut(&run) else { return };
        if !it.members.remove(&pid) {
            return;
        }
        if it.stage == Stage::Spawning {
            self.free_pid(pid);
            self.spawn_failed_by_kill(now, run);
            self.tell_if_empty(now, run);
            return;
        }
        let (known, was_main, lingers) = (it.known.contains(&pid), it.main == Some(pid), it.does.helpers_linger);
        if was_main {
            it.main = None;
        }
        self.free_pid(pid);
        if let Some(it) = self.runs.get_mut(&run) {
            it.ended.insert(pid, status);
        }
        if known {
            let delay = self.delay();
            self.hold_back(run, now.after(delay));
            let at = self.runs.get(&run).map_or(now, |it| it.told_until);
            self.tell(at, Input::Exited(run, pid, status));
        }
        if let Some(after) = lingers.filter(|_| was_main) {
            self.happens(now.after(after), run, Happening::HelpersGo);
        }
        self.tell_if_empty(now, run);
    }

    fn helpers_go(&mut self, now: Time, run: RunId) {
        let Some(it) = self.runs.get(&run) else { return };
        let helpers: Vec<Pid> = it.members.iter().copied().filter(|pid| Some(*pid) != it.main).collect();
        for pid in helpers {
            self.die(now, run, pid, ExitStatus::Code(0));
        }
    }

    /// Tells that the tree is empty, once, if it is and somebody wants to know (or unasked, as the driver may).
    pub(super) fn tell_if_empty(&mut self, now: Time, run: RunId) {
        let Some(it) = self.runs.get_mut(&run) else { return };
        if !it.members.is_empty() || it.empty_told || it.released {
            return;
        }
        let unasked = self.hostile && it.stage == Stage::Executed && self.rng.chance(300);
        if !it.empty_wanted && !unasked {
            return;
        }
        it.empty_told = true;
        let until = it.told_until.max(it.executed_told);
        let delay = self.delay();
        self.tell(now.after(delay).max(until), Input::TreeEmpty(run));
    }

    fn hook_ends(&mut self, run: RunId, kind: HookKind, token: u64) -> Option<Input> {
        let it = self.runs.get_mut(&run)?;
        let flight = *it.hooks.get(&kind).filter(|flight| flight.token == token)?;
        it.hooks.remove(&kind);
        let result = match flight.cancelled {
            true => HookResult::Failed("cancelled".into()),
            false => Kernel::hook_result(&it.does, kind, flight.timeout),
        };
        Some(Input::HookFinished(run, kind, result))
    }

    fn probe_ends(&mut self, run: RunId, kind: ProbeKind, token: u64) -> Option<Input> {
        let it = self.runs.get_mut(&run)?;
        let timeout = it.probes.get(&kind).filter(|(current, _)| *current == token)?.1;
        it.probes.remove(&kind);
        let late = it.does.probes.0 >= timeout && !timeout.is_zero();
        let result = if late { Err(format!("no answer within {timeout:?}")) } else { it.does.probes.1.clone() };
        Some(Input::Probed(run, kind, result))
    }

    /// From now on every program is a good one, also those that run.
    pub(super) fn calm(&mut self, now: Time) {
        self.hostile = false;
        self.sociable = true;
        self.behaviours.clear();
        self.unbindable.clear();
        let live: Vec<RunId> = self.runs.iter().filter(|(_, it)| !it.released).map(|(run, _)| *run).collect();
        for run in live {
            let Some(it) = self.runs.get_mut(&run) else { continue };
            let spec = std::sync::Arc::clone(&it.spec);
            let killed = it.kill_asked && it.does.killing != Killing::Never;
            it.does.calm(&spec);
            let (executed, does) = (it.stage == Stage::Executed, it.does.clone());
            if killed {
                self.happens(now, run, Happening::Killed);
            }
            if executed {
                self.happens(now, run, Happening::Ready);
                if let Some((_, status)) = does.exits {
                    self.happens(now, run, Happening::End(status));
                }
                if does.pings.is_some() {
                    self.happens(now, run, Happening::Ping);
                }
            }
        }
        self.visit_all(now);
    }

    /// Something that nobody asked for happens to a run.
    pub(super) fn mischief(&mut self, now: Time) {
        let live: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, it)| it.stage == Stage::Executed && !it.members.is_empty())
            .map(|(run, _)| *run)
            .collect();
        let Some(run) = self.rng.pick(&live).copied() else { return };
        let input = match self.rng.below(14) {
            0 => {
                let victim = self.runs.get(&run).and_then(|it| it.members.iter().next().copied());
                if let Some(pid) = victim {
                    self.tell_later(now, Input::Oom(run));
                    self.die(now, run, pid, ExitStatus::Signal { signal: Signal::KILL, core: false });
                }
                return;
            }
            1 if self.rng.chance(500) => Input::PidsLimit(run),
            1 => Input::Oom(run),
            2 => return self.new_main(now, run),
            3 => Input::LogLine(run),
            4 => Input::Notified(run, Notification::Ready),
            5 => Input::Notified(run, Notification::Status("working".into())),
            6 => Input::Notified(run, Notification::Reloading),
            7 => Input::Notified(run, Notification::Stopping),
            8 => Input::Notified(run, Notification::ExtendTimeout(self.rng.millis(0, 30_000))),
            9 => Input::Notified(run, Notification::WatchdogInterval(self.rng.millis(1, 60_000))),
            10 => Input::Notified(run, Notification::WatchdogTrigger),
            11 => Input::Notified(run, Notification::Failed("no room".into())),
            12 => Input::Notified(run, Notification::Panicked("no words".into())),
            _ => {
                let status = behaviour::status(&mut self.rng);
                self.happens(now, run, Happening::End(status));
                return;
            }
        };
        self.tell_later(now, input);
    }

    /// The program hands its work to another process of its tree.
    fn new_main(&mut self, now: Time, run: RunId) {
        let pid = self.new_pid(run);
        let Some(it) = self.runs.get_mut(&run) else { return };
        let (old, dies) = (it.main, it.known.len());
        it.members.insert(pid);
        it.known.insert(pid);
        it.main = Some(pid);
        it.driver_main = Some(pid);
        let delay = self.delay();
        self.hold_back(run, now.after(delay));
        self.tell(now.after(delay), Input::Notified(run, Notification::MainPid(pid)));
        if let Some(old) = old.filter(|_| dies < 4) {
            let later = self.rng.millis(0, 5_000);
            self.happens(now.after(later), run, Happening::Die(old, ExitStatus::Code(0)));
        }
    }

    /// What the given run does from now on.
    pub(super) fn change(&mut self, run: RunId, change: impl FnOnce(&mut Behaviour)) {
        if let Some(it) = self.runs.get_mut(&run) {
            change(&mut it.does);
        }
    }
}
