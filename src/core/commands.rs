//! What is asked for, and its answers.

use super::asked::Asked;
use super::event::{Cause, Ending, EventKind, StateName};
use super::ids::{CommandId, ProcessId};
use super::input::{Command, HookKind};
use super::machine::{INSTANCE, Machine, Mode};
use super::output::{Output, Scope};
use super::over::exit_code;
use super::process::{
    Goal, Leader, Next, Origin, Process, Rest, Running, State, StopPhase, Stopping, WaitFor, Waiter, Waiting, Why,
};
use super::reply::{Done, Refusal, Reply};
use super::start::Reach;
use super::status::Want;
use super::timers::TimerKind;
use crate::spec::{Hook, HookAction, Reload, Signal, Spec};

/// What ends the instance.
pub(super) enum Ender {
    Command(CommandId),
    /// The final end of a critical process.
    Critical(ProcessId, Ending),
}

impl Machine {
    pub(super) fn command(&mut self, asked: Asked, command: Command) {
        let command_id = asked.id;
        self.askers.now = Some(asked);
        if self.is_shutting_down() && !matches!(command, Command::Stop(_) | Command::Signal(..) | Command::Shutdown) {
            return self.reply(command_id, Err(Refusal::ShuttingDown));
        }
        let (id, act): (ProcessId, fn(&mut Machine, CommandId, ProcessId)) = match command {
            Command::Create { spec, start } => return self.create(command_id, *spec, start),
            Command::Apply(plan) => return self.apply(command_id, *plan),
            Command::Shutdown => return self.shutdown(command_id),
            Command::Update { process, spec, restart, dry_run } => {
                return self.update(command_id, process, *spec, (restart, dry_run));
            }
            Command::Signal(process, signal) => return self.signal(command_id, process, signal),
            Command::Delete { process, force } => return self.delete(command_id, process, force),
            Command::Start(id) => (id, Machine::start_command),
            Command::Stop(id) => (id, Machine::stop_command),
            Command::Restart(id) => (id, Machine::restart_command),
            Command::Reload(id) => (id, Machine::reload_command),
        };
        match self.process(id) {
            Some(_) => act(self, command_id, id),
            None => self.reply(command_id, Err(Refusal::NotFound)),
        }
    }

    /// The cause that is this command, which is being carried out.
    pub(super) fn asked(&self, id: CommandId) -> Cause {
        let asked = self.askers.now.clone().filter(|asked| asked.id == id);
        Cause::Command(asked.unwrap_or(Asked { id, what: None, by: None }))
    }

    /// Answers everybody who waits for this of the process; the state given is the one it is in.
    pub(super) fn answer(&mut self, id: ProcessId, goal: Goal, reply: impl Fn(StateName) -> Reply) {
        let Some(p) = self.processes.get_mut(id) else { return };
        if p.waiters.is_empty() {
            return;
        }
        let state = p.state.name();
        let (met, rest): (Vec<Waiter>, Vec<Waiter>) =
            std::mem::take(&mut p.waiters).into_iter().partition(|waiter| waiter.goal == goal);
        p.waiters = rest;
        for waiter in met {
            self.reply(waiter.command, reply(state));
        }
    }

    /// Tells everybody who waits for this of the process that something else was asked for in between.
    pub(super) fn supersede(&mut self, id: ProcessId, goal: Goal, by: &'static str) {
        let name = self.name_of(id);
        self.answer(id, goal, |_| Err(Refusal::Superseded { name: name.clone(), by }));
    }

    fn wait(&mut self, id: ProcessId, command: CommandId, goal: Goal) {
        if let Some(p) = self.processes.get_mut(id) {
            p.waiters.push(Waiter { command, goal });
        }
    }

    pub(super) fn abandon(&mut self, command: CommandId) {
        let waits = |p: &&Process| p.waiters.iter().any(|waiter| waiter.command == command);
        let waiting: Vec<ProcessId> = self.processes.iter().filter(waits).map(|p| p.id).collect();
        for id in waiting {
            if let Some(p) = self.processes.get_mut(id) {
                p.waiters.retain(|waiter| waiter.command != command);
            }
        }
        if let Mode::ShuttingDown { waiting, .. } = &mut self.mode {
            waiting.retain(|waiter| *waiter != command);
        }
    }

    pub(super) fn refuse_state(&mut self, command: CommandId, id: ProcessId, hint: &str) {
        if let Some(p) = self.process(id) {
            let refusal = Refusal::State { name: p.name.clone(), state: p.state.name(), hint: hint.to_owned() };
            self.reply(command, Err(refusal));
        }
    }

    /// Refuses what would need a process that is leaving, or one that would not die, to start. Whether it did.
    fn refuse_start(&mut self, command: CommandId, id: ProcessId) -> bool {
        let Some(p) = self.process(id) else { return false };
        if p.origin == Origin::Leaving {
            self.refuse_state(command, id, "it is being removed");
        } else if p.is_instance() {
            self.refuse_state(
                command,
                id,
                "it is there for one connection, and the next one gets an instance of its own",
            );
        } else if let State::Stopping(Stopping { phase: StopPhase::Stuck(pids), .. }) = &p.state {
            let refusal = Refusal::Stuck { name: p.name.clone(), pids: pids.clone() };
            self.reply(command, Err(refusal));
        } else {
            return false;
        }
        true
    }

    fn start_command(&mut self, command: CommandId, id: ProcessId) {
        if self.is_up(id) {
            let state = self.state(id).map_or(StateName::Running, State::name);
            return self.reply(command, Ok(Done::State(state)));
        }
        if self.refuse_start(command, id) {
            return;
        }
        match self.state(id) {
            // It is about to listen, which is all that it does.
            Some(state) if state.listens() && self.accepts(id) => self.wait(id, command, Goal::Ready),
            Some(state) => {
                let wakes =
                    matches!(state, State::Rest(_) | State::Waiting(_) | State::Backoff(_) | State::Stopping(_));
                self.wait(id, command, Goal::Ready);
                if wakes {
                    self.start_all(&[(id, self.asked(command))], Reach::Everything);
                }
            }
            None => {}
        }
    }

    fn accepts(&self, id: ProcessId) -> bool {
        self.process(id).is_some_and(|p| p.spec.accepts())
    }

    /// Whether it is where a start gets it: one that has an instance a connection listens for them.
    fn is_up(&self, id: ProcessId) -> bool {
        match self.state(id) {
            Some(State::Running(_)) => true,
            Some(State::Waiting(Waiting { on: WaitFor::Watch | WaitFor::Socket | WaitFor::Room, .. })) => {
                self.accepts(id)
            }
            _ => false,
        }
    }

    fn stop_command(&mut self, command: CommandId, id: ProcessId) {
        let Some(p) = self.process(id) else { return };
        let cause = self.asked(command);
        match &p.state {
            State::Rest(_) if self.has_instances(id) => self.stop_instances(id, command, cause),
            State::Rest(_) => {
                self.stop(id, cause.clone());
                self.stay_down(id, cause);
                let state = self.state(id).map_or(StateName::Stopped, State::name);
                self.reply(command, Ok(Done::State(state)));
            }
            State::Stopping(Stopping { phase: StopPhase::Stuck(pids), .. }) => {
                let refusal = Refusal::Stuck { name: p.name.clone(), pids: pids.clone() };
                self.reply(command, Err(refusal));
            }
            State::Stopping(Stopping { next, .. }) if p.want == Want::Down && *next != Next::Listen => {
                self.wait(id, command, Goal::Down);
                self.escalate_with_dependents(id);
            }
            _ => {
                self.wait(id, command, Goal::Down);
                self.stop(id, cause);
            }
        }
    }

    /// It listens no more, and has instances still: they are stopped, and those that are being stopped already are killed.
    fn stop_instances(&mut self, id: ProcessId, command: CommandId, cause: Cause) {
        let stopping = self.stopping_instances(id);
        self.stop(id, cause.clone());
        self.stay_down(id, cause);
        match self.who_is_stuck(id) {
            Some((name, pids)) => self.reply(command, Err(Refusal::Stuck { name, pids })),
            None => self.wait(id, command, Goal::Down),
        }
        for instance in stopping {
            self.escalate_with_dependents(instance);
        }
    }

    /// It is down, and would come back with what took it down: a person's stop is the last word.
    fn stay_down(&mut self, id: ProcessId, cause: Cause) {
        let Some(State::Rest(rest)) = self.state(id) else { return };
        if matches!(rest.why, Why::Stopped(_) | Why::Failed(Ending::Dependency(..))) {
            self.forget_alarm(id);
            self.enter(id, Why::Stopped(cause.clone()).into(), String::new(), cause);
            self.forget_if_over(id);
        }
    }

    fn restart_command(&mut self, command: CommandId, id: ProcessId) {
        if self.refuse_start(command, id) {
            return;
        }
        let Some(p) = self.processes.get_mut(id) else { return };
        p.tally.reset();
        self.wait(id, command, Goal::Ready);
        let cause = self.asked(command);
        match self.state(id) {
            Some(State::Waiting(_)) if self.has_instances(id) => self.restart(id, cause),
            Some(State::Rest(_) | State::Backoff(_) | State::Waiting(_)) => {
                self.start_all(&[(id, cause)], Reach::Everything)
            }
            _ => self.restart(id, cause),
        }
    }

    fn reload_command(&mut self, command: CommandId, id: ProcessId) {
        let Some(State::Running(running)) = self.state(id) else {
            return self.refuse_state(command, id, "only a running process can be reloaded");
        };
        match &running.run.spec.reload {
            None => {
                let name = self.name_of(id);
                let reason = "it has no `reload`; declare a signal or a command, or restart it".into();
                self.reply(command, Err(Refusal::Failed { name, reason }));
            }
            Some(Reload::Signal(_)) => {
                self.begin_reload(id, self.asked(command));
                self.reply(command, Ok(Done::Sent));
            }
            Some(Reload::Command(_)) => {
                let under_way = running.run.reloading;
                self.wait(id, command, Goal::Reloaded);
                if !under_way {
                    self.begin_reload(id, self.asked(command));
                }
            }
        }
    }

    /// Has it read its configuration again when what it reads has changed since it did. One that is busy with it does so again afterwards.
    pub(super) fn reload_if_due(&mut self, id: ProcessId, cause: Cause) {
        let due = self.process(id).is_some_and(|p| match &p.state {
            State::Running(Running { run, .. }) => {
                !run.reloading && run.spec.reload_on_change != p.spec.reload_on_change
            }
            _ => false,
        });
        if due {
            self.begin_reload(id, cause);
        }
    }

    fn begin_reload(&mut self, id: ProcessId, cause: Cause) {
        let Some(p) = self.process(id) else { return };
        let Some(run) = p.state.run() else { return };
        let run_id = run.id;
        if run.spec.reload_on_change != p.spec.reload_on_change {
            // What it reads now is in force from here on.
            let spec = Spec { reload_on_change: p.spec.reload_on_change.clone(), ..Spec::clone(&run.spec) };
            let spec = if spec == *p.spec { p.spec.clone() } else { self.share(spec) };
            if let Some(run) = self.processes.get_mut(id).and_then(|p| p.state.run_mut()) {
                run.spec = spec;
            }
        }
        match self.run_of(id).and_then(|run| run.spec.reload.clone()) {
            None => {}
            Some(Reload::Signal(signal)) => {
                self.emit(id, EventKind::Reloading, cause);
                self.output(Output::Signal { run: run_id, signal, scope: Scope::Main });
            }
            Some(Reload::Command(words)) => {
                self.set_reloading(id, true);
                self.emit(id, EventKind::Reloading, cause);
                self.run_reload_command(id, words);
            }
        }
    }

    pub(super) fn run_reload_command(&mut self, id: ProcessId, words: Vec<String>) {
        let hook = Hook { action: HookAction::Command(words), user: None, timeout: Hook::DEFAULT_TIMEOUT };
        self.start_hook(id, HookKind::Reload, hook);
    }

    fn signal(&mut self, command: CommandId, id: ProcessId, signal: Signal) {
        let Some(p) = self.process(id) else { return self.reply(command, Err(Refusal::NotFound)) };
        if p.spec.task {
            let (name, reason) = (p.name.clone(), "a task gets no signals; stop or restart it".into());
            return self.reply(command, Err(Refusal::Failed { name, reason }));
        }
        match p.state.run().map(|run| (run.id, run.leader)) {
            Some((run, Leader::Alive(_) | Leader::Parent(_))) => {
                self.emit(id, EventKind::Signalled { signal }, self.asked(command));
                self.output(Output::Signal { run, signal, scope: Scope::Main });
                self.reply(command, Ok(Done::Sent));
            }
            _ => self.refuse_state(command, id, "it has no process to signal"),
        }
    }

    // The instance.

    /// Whether everything is being stopped for good, or has been.
    pub fn is_shutting_down(&self) -> bool {
        self.mode != Mode::Serving
    }

    fn shutdown(&mut self, command: CommandId) {
        match &mut self.mode {
            Mode::ShuttingDown { waiting, .. } => {
                waiting.push(command);
                self.escalate_all();
            }
            _ => self.begin_shutdown(Ender::Command(command)),
        }
    }

    /// Stops everything, in order, for good.
    pub(super) fn begin_shutdown(&mut self, by: Ender) {
        if self.is_shutting_down() {
            return;
        }
        match by {
            Ender::Command(command) => {
                self.mode = Mode::ShuttingDown { waiting: vec![command], code: None };
                let cause = self.asked(command);
                self.askers.shutdown = self.askers.of(&cause);
                self.emit_instance(EventKind::ShuttingDown, cause);
            }
            Ender::Critical(id, ending) => {
                let code = Some(exit_code(&ending));
                self.mode = Mode::ShuttingDown { waiting: Vec::new(), code };
                self.emit(id, EventKind::ShuttingDown, Cause::Ended(ending));
            }
        }
        let up: Vec<(ProcessId, Cause)> =
            self.processes.iter().filter(|p| !p.state.is_rest()).map(|p| (p.id, Cause::Shutdown)).collect();
        self.stop_with_dependents(up, false);
        if let Some(timeout) = self.shutdown_timeout {
            self.set_timer(INSTANCE, TimerKind::Shutdown, timeout);
        }
    }

    /// Every stop in progress goes to SIGKILL; alarms are given up.
    pub(super) fn escalate_all(&mut self) {
        for id in self.processes.ids() {
            self.escalate(id);
            self.forget_alarm(id);
            self.forget_if_over(id);
        }
    }

    /// Ends the machine once a shutdown has nothing left to wait for.
    pub(super) fn finish_if_down(&mut self) {
        let Mode::ShuttingDown { waiting, code } = &self.mode else { return };
        let down = |p: &Process| matches!(&p.state, State::Rest(Rest { alarm: None, .. })) || p.state.is_stuck();
        if !self.processes.iter().all(down) {
            return;
        }
        let (waiting, code) = (waiting.clone(), *code);
        let stuck = self.processes.iter().filter(|p| p.state.is_stuck()).map(|p| p.id).collect();
        self.timers.clear_all(&mut self.deadlines, INSTANCE);
        for command in waiting {
            self.reply(command, Ok(Done::ShutDown));
        }
        self.mode = Mode::Finished { code };
        self.output(Output::Finished { code, stuck });
    }
}
