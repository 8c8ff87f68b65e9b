//! The supervisor dies: what is lost with it, what goes on without it, and what its successor finds.
//!
//! What is being handled is lost, as if it had never come; what was handled is on the ledger before anything that follows from it is done. So a death leaves a world in which some
//! outputs of the last step were carried out and the rest were not, in which nobody hears of anything for a while, and in
//! which the next supervisor knows what the ledger says, sees what lives, and (with an anchor) how what it knew ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::{self, Behaviour};
use super::kernel::{Due, Happening, Kernel, Run, Stage};
use super::world::{Failure, World};
use crate::core::{
    Adoption, ExitStatus, History, Input, LiveRun, Machine, Output, Pid, ProcessId, RecordKey, RunId, StateName, Time,
};
use crate::spec::Spec;

/// The supervisor's mortality, and what outlives it.
#[derive(Clone, Debug, Default)]
pub(super) struct Mortal {
    ledger: BTreeMap<RecordKey, Vec<u8>>,
    /// Moments at which it could have died so far.
    pub(super) moments: u64,
    /// How often it died.
    pub(super) deaths: u64,
    fate: Fate,
}

/// When a supervisor dies.
#[derive(Clone, Debug, Default)]
enum Fate {
    /// Not any more.
    #[default]
    Spared,
    /// With this many chances in a thousand, at every moment.
    Chance(u64),
    /// At this moment.
    At(u64, Death),
}

/// How a supervisor dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// How long nobody is there.
    pub gap: Duration,
    /// Whether its anchor lives on: without it nobody knows how processes ended in the gap.
    pub anchor: bool,
}

impl World {
    /// From now on everything is written down, and with this many chances in a thousand the supervisor dies at any moment.
    pub(super) fn may_die(&mut self, chance: u64) {
        self.mortal = Some(Mortal { fate: Fate::Chance(chance), ..Mortal::default() });
        self.write();
    }

    /// From now on everything is written down, and the supervisor dies at this moment, counted from 1: before an input is
    /// written down, or after it was: before the first of its outputs, between two of them, or after the last.
    pub fn dies_at(&mut self, moment: u64, death: Death) {
        self.mortal = Some(Mortal { fate: Fate::At(moment, death), ..Mortal::default() });
        self.write();
    }

    /// The supervisor dies now.
    pub fn dies(&mut self, death: Death) -> Result<(), Failure> {
        if self.mortal.is_none() {
            self.mortal = Some(Mortal::default());
            self.write();
        }
        self.die(death, None)
    }

    /// How often the supervisor died.
    pub fn deaths(&self) -> u64 {
        self.mortal.as_ref().map_or(0, |mortal| mortal.deaths)
    }

    /// It lives on for good.
    pub(super) fn spare(&mut self) {
        if let Some(mortal) = &mut self.mortal {
            mortal.fate = Fate::Spared;
        }
    }

    /// Writes down what changed.
    pub(super) fn write(&mut self) {
        let Some(Mortal { ledger, .. }) = &mut self.mortal else { return };
        self.machine.write_changes(&mut |key, bytes| match bytes {
            Some(bytes) => drop(ledger.insert(key, bytes.to_vec())),
            None => drop(ledger.remove(&key)),
        });
    }

    /// Whether this is the moment of its death.
    pub(super) fn death_now(&mut self) -> Option<Death> {
        let mortal = self.mortal.as_mut().filter(|_| !self.watch.finished)?;
        mortal.moments += 1;
        match mortal.fate {
            Fate::At(moment, death) if moment == mortal.moments => Some(death),
            Fate::Chance(chance) if self.rng.chance(chance) => {
                let gap = if self.rng.chance(500) { Duration::ZERO } else { self.rng.millis(0, 30_000) };
                Some(Death { gap, anchor: self.rng.chance(800) })
            }
            _ => None,
        }
    }

    /// The supervisor dies, perhaps over an input that it has not written down yet, and after a while another takes its place.
    pub(super) fn die(&mut self, death: Death, over: Option<Input>) -> Result<(), Failure> {
        if let Some(mortal) = &mut self.mortal {
            mortal.deaths += 1;
        }
        self.forget_twin();
        self.say(&format!("-> the supervisor dies: {death:?}"));
        while let Some(output) = self.machine.poll_output() {
            self.lose(&output)?;
        }
        self.watch.clients_gone();
        let then = self.clock.mono.after(death.gap);
        self.kernel.lose_connections();
        self.kernel.watch_nothing();
        let over = over.filter(|input| !matches!(input, Input::Connection { .. }));
        let heard = self.kernel.live_unsupervised(then, over);
        self.clock.pass(then);

        let machine = self.successor()?;
        if let Err(why) = self.inherit(&machine, death, heard) {
            return self.broken(&why);
        }
        self.machine = machine;
        self.history = History::begin(&self.machine);
        self.machine.resume(self.clock.now());
        self.write();
        self.drain()?;
        self.check()
    }

    /// The next supervisor's driver takes over. An error is something alive that was forgotten.
    fn inherit(&mut self, machine: &Machine, death: Death, heard: Vec<Input>) -> Result<(), String> {
        let (live, now, watch) = (machine.live_runs(), self.clock.mono, &self.watch);
        let again = self.kernel.inherit(machine, &live, &|run| watch.leaves_others_alone(run))?;
        for (run, spec) in again {
            self.watch.prepared_before.entry(run).or_insert(spec);
        }
        live.iter().try_for_each(|live| self.kernel.adopt(now, live, death.anchor))?;
        for input in heard {
            self.kernel.tell_later(now, input);
        }
        Ok(())
    }

    /// The machine of the next supervisor. Nothing in it may differ from the one that died.
    fn successor(&mut self) -> Result<Machine, Failure> {
        let ledger = self.mortal.as_ref().map(|mortal| mortal.ledger.clone()).unwrap_or_default();
        let all = self.machine.records();
        if ledger != all {
            let differs = |key: &&RecordKey| ledger.get(key) != all.get(key);
            let keys: Vec<String> = ledger.keys().chain(all.keys()).filter(differs).map(ToString::to_string).collect();
            return self.broken(&format!("the ledger is not what the machine is: {}", keys.join(", ")));
        }
        let machine = match Machine::from_records(ledger) {
            Ok(machine) => machine,
            Err(error) => return self.broken(&format!("the successor cannot read the ledger: {error}")),
        };
        for id in self.machine.processes() {
            let (old, new) = (self.machine.status(id), machine.status(id));
            if old != new {
                return self.broken(&format!("the successor takes {old:?} for {new:?}"));
            }
            let executed = self.kernel.executed.get(&id).copied().unwrap_or(0);
            if new.is_some_and(|status| status.run_count > executed) {
                return self.broken(&format!("more runs of {id} are counted than the {executed} that were executed"));
            }
        }
        if machine.next_event() != self.machine.next_event() || machine.generation() != self.machine.generation() {
            return self.broken("the successor counts events or generations otherwise");
        }
        Ok(machine)
    }

    /// An output that is never carried out. What it tells of came to pass all the same.
    fn lose(&mut self, output: &Output) -> Result<(), Failure> {
        if let Some(trace) = &mut self.story.trace {
            trace.lost(self.clock.mono, output);
        }
        match output {
            Output::Emit(_) => self.judge(output),
            // Its turn was now, whoever makes it.
            Output::Prepare { run, spec, .. } => {
                self.judge(output)?;
                self.watch.prepared_before.insert(*run, Arc::clone(spec));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Kernel {
    /// Time passes, and nobody is told anything. Returns what waits in pipes and sockets by then.
    fn live_unsupervised(&mut self, until: Time, over: Option<Input>) -> Vec<Input> {
        let mut heard = Vec::new();
        let on_its_way = self.agenda.take_if(|due| !of_the_world(due)).into_iter();
        for due in over.map(Due::Tell).into_iter().chain(on_its_way) {
            // A good driver leaves it where it is until it is written down; a bad one may have taken it out already.
            if let Due::Tell(input) = due
                && waits(&input)
                && (!self.hostile || self.rng.chance(500))
            {
                heard.push(input);
            }
        }
        self.agenda.take_if(|due| matches!(due, Due::Happens(_, Happening::ReportStuck)));
        while self.agenda.next_time().is_some_and(|at| at <= until) {
            match self.agenda.pop() {
                Some((at, Due::Happens(run, what))) => {
                    self.happen(at, run, what);
                }
                Some((at, Due::Connects(process))) => drop(self.connects(at, process)),
                Some((_, Due::Tell(input))) if waits(&input) => heard.push(input),
                _ => {}
            }
        }
        heard.extend(self.agenda.take_if(|due| !of_the_world(due)).into_iter().filter_map(|due| match due {
            Due::Tell(input) if waits(&input) => Some(input),
            _ => None,
        }));
        heard
    }

    /// The driver of the next supervisor keeps what the ledger knows as live, and ends the rest. Returns the runs that are to be
    /// prepared once more, with the specs they were prepared with. An error is something alive that was forgotten.
    fn inherit(
        &mut self,
        machine: &Machine,
        live: &[LiveRun],
        leaves_others: &dyn Fn(&Run) -> bool,
    ) -> Result<Vec<(RunId, Arc<Spec>)>, String> {
        let live: BTreeSet<RunId> = live.iter().map(|live| live.run).collect();
        let mut again = Vec::new();
        let others: Vec<RunId> =
            self.runs.iter().filter(|(run, it)| !live.contains(run) && !it.released).map(|(run, _)| *run).collect();
        let is_instance = |run: RunId| {
            let status = machine.process_of(run).and_then(|id| machine.status(id));
            status.is_some_and(|status| status.instance_of.is_some())
        };
        for run in others {
            let state = machine.process_of(run).and_then(|id| machine.status(id)).map(|status| status.state);
            let Some(it) = self.runs.get_mut(&run) else { continue };
            it.forget_driver(Time::default());
            if it.stage == Stage::Spawning || (!it.members.is_empty() && !leaves_others(it)) {
                return Err(format!("{run} of `{}` is alive, and the ledger does not know it", it.spec.name));
            }
            match state {
                Some(StateName::Starting) if !is_instance(run) => {
                    again.push((run, Arc::clone(&it.spec)));
                    self.runs.remove(&run);
                }
                Some(_) => {}
                None if it.members.is_empty() => {
                    self.runs.remove(&run);
                    self.over.insert(run);
                }
                None => it.released = true,
            }
        }
        // What had no run yet had its connection in the supervisor alone.
        for id in machine.processes() {
            let Some(status) = machine.status(id).filter(|status| status.instance_of.is_some()) else { continue };
            if let (Some(run), Some(spec)) =
                (status.run.filter(|_| status.state == StateName::Starting), machine.spec(id))
            {
                self.runs.entry(run).or_insert_with(|| {
                    Run::new(id, Arc::clone(&spec), Behaviour::good(&spec), (Stage::Refused, Time::default()))
                });
            }
        }
        let listens = |id: &ProcessId| machine.spec(*id).is_some_and(|spec| !spec.listen.is_empty());
        self.listeners.retain(|id, _| listens(id));
        Ok(again)
    }

    /// The driver of the next supervisor looks for a run, and says what it found before it says anything else.
    fn adopt(&mut self, at: Time, live: &LiveRun, anchor: bool) -> Result<(), String> {
        let (run, coin) = (live.run, self.rng.chance(500));
        let Some(it) = self.runs.get_mut(&run) else {
            return Err(format!("{run} of `{}` is said to be alive, but was never prepared", live.spec.name));
        };
        it.forget_driver(at);
        it.statuses_lost |= !anchor;
        it.known = live.main.into_iter().chain(live.former.iter().copied()).collect();
        it.driver_main = live.main;
        if live.spawning {
            return self.adopt_child(at, run, coin);
        }
        let lives = |it: &Run, pid: Pid| it.members.contains(&pid) && !it.ended.contains_key(&pid);
        let status = |it: &Run, pid: Pid| it.ended.get(&pid).copied().filter(|_| anchor).unwrap_or(ExitStatus::Unknown);
        let of_main = live.main.map_or(ExitStatus::Unknown, |pid| status(it, pid));
        let adoption = match live.main.filter(|pid| lives(it, *pid)) {
            Some(pid) => Adoption::Alive(pid),
            None if it.members.is_empty() => Adoption::Gone(of_main),
            None => Adoption::LeaderGone(of_main),
        };
        let gone = live.former.iter().copied().filter(|pid| !lives(it, *pid));
        let gone: Vec<Input> = gone.map(|pid| Input::Exited(run, pid, status(it, pid))).collect();
        // Whoever was the main one before is told of first: nothing follows the news that all are gone.
        for input in gone {
            self.tell(at, input);
        }
        self.tell(at, Input::Adopted(run, adoption));
        Ok(())
    }

    /// Looks for a child of which no pid is known.
    fn adopt_child(&mut self, at: Time, run: RunId, coin: bool) -> Result<(), String> {
        let Some(it) = self.runs.get_mut(&run) else { return Ok(()) };
        let main = it.main.filter(|pid| it.members.contains(pid));
        let found = match (it.stage, main) {
            (Stage::Spawning, _) if coin => {
                // It is waited for; what becomes of it is told then.
                it.adopting = true;
                it.known.extend(it.main);
                it.driver_main = it.main;
                return Ok(());
            }
            (Stage::Executed, Some(pid)) => {
                it.known.insert(pid);
                it.driver_main = Some(pid);
                Input::Adopted(run, Adoption::Alive(pid))
            }
            (Stage::Executed, None) if coin && !it.members.is_empty() => {
                Input::Adopted(run, Adoption::LeaderGone(ExitStatus::Unknown))
            }
            _ => {
                it.stage = Stage::NotExecuted;
                it.main = None;
                for pid in std::mem::take(&mut it.members) {
                    self.free_pid(pid);
                }
                Input::SpawnFailed(run, behaviour::resource(&mut self.rng))
            }
        };
        self.tell(at, found);
        Ok(())
    }
}

impl Run {
    /// Nothing of what the driver had under way for it is left.
    fn forget_driver(&mut self, at: Time) {
        self.hooks.clear();
        self.probes.clear();
        self.counting = false;
        self.known.clear();
        self.driver_main = None;
        self.told_until = at;
        self.executed_told = at;
        self.empty_wanted = false;
        self.empty_told = false;
        self.kill_asked = false;
        self.stuck_told = false;
        self.adopting = false;
        self.heir = true;
    }
}

/// Whether this comes, supervisor or not.
fn of_the_world(due: &Due) -> bool {
    matches!(due, Due::Happens(..) | Due::Connects(_))
}

/// Whether this waits in a pipe or a socket until somebody reads it.
fn waits(input: &Input) -> bool {
    matches!(input, Input::Notified(..) | Input::LogLine(_))
}
