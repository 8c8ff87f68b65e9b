//! The loop: what the machine asks for becomes system calls, what the kernel answers becomes inputs. It decides nothing.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::contain::Trees;
use super::enforce::LimitState;
use super::function::{Functions, Shortfall};
use super::held::Held;
use super::hook::{Call, Job};
use super::keep::{Heritage, Kept, acts};
use super::limit::{Changed, Looks};
use super::notify::NotifyBuffer;
use super::pidfile::PidFile;
use super::place::Place;
use super::pool::Pool;
use super::prepare::{NotPrepared, Prepared, Surroundings};
use super::probe::Probes;
use super::run::Run;
use super::sockets::{Found, Sockets, undo_binding};
use super::sources::{Clock, JobId, Moment, Owner, Poller, Source, Token};
use super::spawn::Launcher;
use super::tally::Tally;
use super::task::{TaskEnd, Tasks};
use super::usage::Gauge;
use crate::core::{
    Command, CommandId, Event, EventKind, Explanation, History, Input, Machine, Pid, ProbeKind, ProcessId, Refusal,
    Reply, RunId, SpawnError, StateName, Time,
};
use crate::log::{LogFile, Logs, Tail, Told};
use crate::supervisor::{Answer, Message, Shared, Shutdown};

/// Children made before the engine looks at what else has happened.
const SPAWNS_A_TURN: usize = 16;
/// Children that may be between clone and exec at a time.
const MAX_IN_FLIGHT: usize = 64;
/// What hooks and probes that were killed at the end may take to be gone.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Batches of events that are heard before time passes, unless there are fewer.
const BATCHES_A_TURN: usize = 16;
/// Inputs handled before events are looked at again, so that a machine that keeps itself busy starves nobody.
const INPUTS_A_TURN: usize = 4096;

/// What a helper thread did for the engine.
#[derive(Debug)]
pub(crate) enum HelperDone {
    Prepared(Owner, Result<Box<Prepared>, NotPrepared>),
    LogLine(RunId),
    LogOpened(ProcessId, Box<LogFile>),
    PidRead(RunId, io::Result<Option<Pid>>),
    Called(u64, Result<(), Shortfall>),
    /// The conditions of a run that asks a function, too: the first that does not hold.
    Conditions(RunId, Option<String>),
    TaskEnded(RunId, TaskEnd),
    LimitsSet(RunId, Box<Changed>),
    /// A probe over the network was answered, after this time.
    Probed(RunId, ProbeKind, Result<(), String>, Duration),
    Closed(ProcessId),
    Bound(ProcessId, u64, Result<Vec<Found>, SpawnError>),
}

/// What an engine is started with.
pub(crate) struct Parts {
    pub shared: Arc<Shared>,
    pub machine: Machine,
    pub keep: Option<(Kept, Heritage)>,
    pub surroundings: Surroundings,
    pub functions: Functions,
    pub tasks: Tasks,
    pub launcher: Launcher,
    pub trees: Trees,
}

/// Room that is used again in every turn.
#[derive(Default)]
struct Room {
    ready: Vec<Token>,
    messages: VecDeque<Message>,
}

/// Who waits for a process to be in a state.
struct Waiter {
    process: ProcessId,
    state: StateName,
    answer: oneshot::Sender<Answer>,
}

/// Somebody who asked for this engine to make way.
struct HandingOver {
    /// It is not waited for any longer than this.
    until: Time,
    answer: oneshot::Sender<Answer>,
}

/// Something to be told once nothing more urgent is left.
enum Tell {
    Event(Event),
    Reply(CommandId, Reply),
}

/// The engine of one supervisor, on its own thread.
pub(crate) struct Engine {
    pub(super) machine: Machine,
    pub(super) shared: Arc<Shared>,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) functions: Functions,
    pub(super) tasks: Tasks,
    pub(super) poller: Poller,
    pub(super) clock: Clock,
    pub(super) launcher: Launcher,
    pub(super) trees: Trees,
    pub(super) pool: Pool,
    pub(super) probes: Probes,
    pub(super) logs: Logs,
    pub(super) runs: HashMap<RunId, Run>,
    pub(super) places: HashMap<ProcessId, Place>,
    pub(super) jobs: HashMap<JobId, Job>,
    pub(super) calls: HashMap<u64, Call>,
    pub(super) sockets: Sockets,
    pub(super) next_id: u64,
    pub(super) inputs: VecDeque<Input>,
    /// Runs whose children are yet to be made.
    pub(super) spawns: VecDeque<RunId>,
    pub(super) in_flight: usize,
    /// Trees that are over, to be removed when there is time.
    pub(super) trash: Vec<Held>,
    /// Whether what tells of cgroups that ran out of memory is watched.
    pub(super) watches_memory: bool,
    /// When those that the kernel killed for it are looked for.
    pub(super) looks: Looks,
    pub(super) notify_buffer: NotifyBuffer,
    /// What was counted so far.
    pub(super) tally: Tally,
    /// What is kept for a successor.
    pub(super) kept: Option<Kept>,
    /// What lately happened to each process, for whoever asks why.
    history: History,
    /// What a predecessor left, until it is taken over.
    heritage: Option<Heritage>,
    tells: Vec<Tell>,
    answers: HashMap<CommandId, oneshot::Sender<Answer>>,
    waiters: Vec<Waiter>,
    /// Who is to be told when no listener is being bound.
    bound_waiters: Vec<oneshot::Sender<Answer>>,
    end_waiters: Vec<oneshot::Sender<Answer>>,
    ended: Option<Shutdown>,
    /// Who is to be told when a successor may take over.
    handing_over: Option<HandingOver>,
    log_thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Makes what the engine needs. Run it on its own thread with [`run`](Engine::run).
    pub fn new(parts: Parts) -> Result<Self, (&'static str, io::Error)> {
        let shared = parts.shared;
        let mut poller = Poller::new().map_err(|e| ("making an epoll instance", e))?;
        let clock = Clock::new().map_err(|e| ("making a timer", e))?;
        let register = "watching descriptors";
        poller.add(shared.mailbox.as_fd(), Source::Mailbox).map_err(|e| (register, e))?;
        poller.add(clock.fd(), Source::Timer).map_err(|e| (register, e))?;
        if let Some(notices) = parts.trees.notices() {
            poller.add(notices, Source::Notices).map_err(|e| (register, e))?;
        }
        let post = {
            let shared = shared.clone();
            Arc::new(move |answered| drop(shared.mailbox.post(Message::Helper(answered))))
        };
        let pool = Pool::new();
        let tell = {
            let shared = shared.clone();
            move |told| {
                let message = match told {
                    Told::Watching(run) => Message::Input(Input::Prepared(run)),
                    Told::Matched(run) => Message::Helper(HelperDone::LogLine(run)),
                    Told::Warning(text) => Message::Input(Input::Warning(None, text)),
                };
                let _ = shared.mailbox.post(message);
            }
        };
        let (logs, log_thread) =
            Logs::start(shared.lines.clone(), pool.clone(), tell).map_err(|e| ("starting the log thread", e))?;
        let (kept, heritage) = parts.keep.unzip();
        Ok(Engine {
            history: History::begin(&parts.machine),
            machine: parts.machine,
            surroundings: Arc::new(parts.surroundings),
            functions: parts.functions,
            tasks: parts.tasks,
            poller,
            clock,
            launcher: parts.launcher,
            trees: parts.trees,
            pool,
            probes: Probes::new(post),
            logs,
            runs: HashMap::new(),
            places: HashMap::new(),
            jobs: HashMap::new(),
            calls: HashMap::new(),
            sockets: Sockets::default(),
            next_id: 0,
            inputs: VecDeque::new(),
            spawns: VecDeque::new(),
            in_flight: 0,
            trash: Vec::new(),
            watches_memory: false,
            looks: Looks::default(),
            notify_buffer: NotifyBuffer::new(),
            tally: Tally::new(),
            kept,
            heritage,
            tells: Vec::new(),
            answers: HashMap::new(),
            waiters: Vec::new(),
            bound_waiters: Vec::new(),
            end_waiters: Vec::new(),
            ended: None,
            handing_over: None,
            log_thread: Some(log_thread),
            shared,
        })
    }

    /// The machine, for questions.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Why a process is in its state.
    pub fn explain(&self, process: ProcessId) -> Option<Explanation> {
        self.machine.explain(process, &self.history, Clock::now())
    }

    /// The newest lines of a process.
    pub fn tail(&self, process: ProcessId) -> Option<Tail> {
        let process = self.machine.instance_of(process).unwrap_or(process);
        self.places.get(&process).map(|place| place.log.tail())
    }

    /// Where what a process uses can be read, while it has a tree.
    pub fn gauge(&self, process: ProcessId) -> Option<Gauge> {
        let run = self.machine.status(process)?.run?;
        Some(self.runs.get(&run)?.held.as_ref()?.tree.gauge())
    }

    /// What became of a process's limits; of one that does not run, what will.
    pub fn limits(&self, process: ProcessId) -> Option<Vec<LimitState>> {
        let run = self.machine.status(process)?.run;
        let held = run.and_then(|run| self.runs.get(&run)).and_then(|entry| entry.held.as_ref());
        match held {
            Some(held) => Some(held.tree.limits().to_vec()),
            None => self.machine.spec(process).map(|spec| self.expected_limits(&spec)),
        }
    }

    /// Where children come from.
    #[cfg(feature = "grpc")]
    pub fn surroundings(&self) -> Arc<Surroundings> {
        self.surroundings.clone()
    }

    /// Supervises until everything is down after a shutdown.
    pub fn run(mut self) {
        let mut room = Room::default();
        if let Some(heritage) = self.heritage.take() {
            self.take_over(heritage);
            self.count_instances();
        }
        while self.ended.is_none() {
            let until = self.handing_over.as_ref().map(|handing| handing.until);
            if until.is_some() && self.hands_over() {
                return self.leave_to_successor();
            }
            if !self.turn(&mut room, until) {
                if self.kept.is_some() {
                    // A successor may have more luck.
                    return;
                }
                break;
            }
        }
        // Probes and hooks that were on their way end with it.
        self.end_all_jobs();
        let end = Clock::now().mono.after(LAST_WORDS);
        while !self.jobs.is_empty() && Clock::now().mono < end && self.turn(&mut room, Some(end)) {}
        self.end();
    }

    /// Sleeps until something happens, or this moment comes, and does what follows. False when the kernel took away what the engine lives by.
    fn turn(&mut self, room: &mut Room, until: Option<Time>) -> bool {
        let busy = !self.spawns.is_empty() && self.in_flight < MAX_IN_FLIGHT || !self.inputs.is_empty();
        let due = self.clock.arm(self.machine.poll_timeout().into_iter().chain(until).min());
        match self.poller.wait(busy || !self.trash.is_empty(), &mut room.ready) {
            Ok(false) if !busy && self.throw_away() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        let woke = Clock::now().mono;
        // What has happened is heard before time passes, so that nobody misses a deadline because we came late.
        for _ in 0..BATCHES_A_TURN {
            let more = room.ready.len() == Poller::BATCH;
            for token in room.ready.drain(..) {
                self.event(token, &mut room.messages);
            }
            if !more || self.poller.wait(true, &mut room.ready).is_err() {
                break;
            }
        }
        self.settle_with(true);
        self.count_turn(woke, due.filter(|_| !busy));
        true
    }

    fn event(&mut self, token: Token, messages: &mut VecDeque<Message>) {
        match self.poller.source(token) {
            Some(Source::Mailbox) => {
                self.shared.mailbox.quiet();
                if let Some(since) = self.shared.mailbox.take(messages) {
                    self.tally.late(since.elapsed());
                }
                for message in messages.drain(..) {
                    self.message(message);
                }
            }
            Some(Source::Timer) => self.clock.quiet(),
            Some(Source::Notices) => {
                for run in self.trees.read_notices() {
                    self.look_again(Owner::Run(run));
                    self.limits_bite(run);
                }
            }
            Some(Source::Limits) => self.out_of_memory(),
            Some(Source::Exec(owner)) => self.flight_event(owner),
            Some(Source::Child(owner)) => self.child_event(owner),
            Some(Source::Main(run)) => self.main_event(run),
            Some(Source::Member(owner, pid)) => self.member_ended(owner, pid),
            Some(Source::Notify(process)) => self.read_notify(process),
            Some(Source::Socket(process, slot)) => self.socket_event(process, slot),
            Some(Source::Coming(process, slot)) => self.coming_event(process, slot),
            Some(Source::Anchor) => self.anchor_event(),
            None => {}
        }
        // What one event means may decide how the next is to be understood.
        self.settle();
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Command { id, command, caller, answer } => {
                if let Some(answer) = answer {
                    self.answers.insert(id, answer);
                }
                self.inputs.push_back(Input::Command { id, command, caller });
            }
            Message::AddTask { id, spec, function, caller, answer } => {
                self.answers.insert(id, answer);
                self.tasks.expect(id, function);
                self.inputs.push_back(Input::Command { id, command: Command::Create { spec, start: false }, caller });
            }
            Message::Abandon(id) => {
                if self.answers.remove(&id).is_some() {
                    self.inputs.push_back(Input::Abandon(id));
                }
            }
            Message::Query(question) => {
                // What was asked for before is done first, so that a question sees it.
                self.settle();
                question(self);
            }
            Message::Wait { process, state, answer } => {
                self.settle();
                self.wait_for(Waiter { process, state, answer });
            }
            // Answered once what was asked for before is done.
            Message::WaitBound(answer) => self.bound_waiters.push(answer),
            Message::HandOver(answer) => self.hand_over(answer),
            Message::WaitEnd(answer) => self.end_waiters.push(answer),
            Message::Abandoned => {
                let id = self.shared.next_command();
                let caller = Some("the program, which let go of its last handle".into());
                self.inputs.push_back(Input::Command { id, command: Command::Shutdown, caller });
            }
            Message::Input(input) => self.inputs.push_back(input),
            Message::Helper(HelperDone::Prepared(Owner::Run(run), result)) => self.run_prepared(run, result),
            Message::Helper(HelperDone::Prepared(Owner::Job(job), result)) => self.job_prepared(job, result),
            Message::Helper(HelperDone::LogLine(run)) => self.log_line(run),
            Message::Helper(HelperDone::LogOpened(process, file)) => self.log_opened(process, *file),
            Message::Helper(HelperDone::PidRead(run, result)) => self.pid_read(run, result),
            Message::Helper(HelperDone::Called(call, result)) => self.call_ended(call, result),
            Message::Helper(HelperDone::Conditions(run, unmet)) => self.conditions_seen(run, unmet),
            Message::Helper(HelperDone::Closed(process)) => self.received_closed(process),
            Message::Helper(HelperDone::TaskEnded(run, how)) => self.task_ended(run, how),
            Message::Helper(HelperDone::LimitsSet(run, changed)) => self.limits_set(run, *changed),
            Message::Helper(HelperDone::Probed(run, kind, result, took)) => self.probed(run, kind, result, Some(took)),
            Message::Helper(HelperDone::Bound(process, job, result)) => self.sockets_bound(process, job, result),
        }
    }

    /// Hands in all inputs and carries out all outputs; then makes children, and at last tells the world, which may take
    /// its time.
    pub(super) fn settle(&mut self) {
        self.settle_with(false);
    }

    /// The same; with time, what is due by now is done, too.
    fn settle_with(&mut self, time: bool) {
        let mut spawned = 0;
        for _ in 0..INPUTS_A_TURN {
            self.carry_out_all();
            if let Some(input) = self.inputs.pop_front() {
                self.machine.handle(Clock::now(), input);
                continue;
            }
            if spawned < SPAWNS_A_TURN
                && self.in_flight < MAX_IN_FLIGHT
                && let Some(run) = self.spawns.pop_front()
            {
                spawned += 1;
                self.spawn(run);
                continue;
            }
            if !time {
                break;
            }
            let now = Clock::now();
            if let Some(moment) = self.clock.due(now.mono) {
                self.moment(moment);
            } else if self.machine.poll_timeout().is_some_and(|time| time <= now.mono) {
                self.machine.handle(now, Input::Timeout);
            } else {
                break;
            }
        }
        // After the last input of a full turn, too: nothing else would wake us for what it asked for.
        self.carry_out_all();
        self.write_down();
        self.tell();
        if !self.bound_waiters.is_empty() && self.inputs.is_empty() && self.machine.binding().next().is_none() {
            self.bound_waiters.drain(..).for_each(|answer| drop(answer.send(Answer::Bound)));
        }
        self.let_go_of_the_ended();
    }

    /// Carries out what the machine asks for. What it knows is written down before anything is done to the world.
    fn carry_out_all(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            if self.kept.is_some() && acts(&output) {
                self.write_down();
            }
            self.carry_out(output);
        }
    }

    fn moment(&mut self, moment: Moment) {
        match moment {
            Moment::Kill(owner) => self.kill_again(owner),
            Moment::Look(owner) => self.look_again(owner),
            Moment::FindMain(run) => self.find_main(run),
            Moment::AskStatus(run) => self.ask_main(run, true),
            Moment::JobTimeout(job) => self.job_timeout(job),
            Moment::CallTimeout(call) => self.call_timeout(call),
            Moment::DropTask(run) => self.drop_task(run),
            Moment::LookForKilled(due) => self.look_for_killed(due),
            Moment::Accept(process, slot) => self.accept_again(process, slot),
        }
    }

    fn carry_out(&mut self, output: crate::core::Output) {
        use crate::core::Output;
        match output {
            Output::Prepare { run, process, spec, connection } => {
                if let Some(of) = self.machine.instance_of(process) {
                    self.tally.is_instance(process, of);
                }
                self.prepare(run, process, spec, connection);
            }
            Output::Spawn(run) => self.spawns.push_back(run),
            Output::Release(run) => self.release(run),
            Output::Signal { run, signal, scope } => self.signal(run, signal, scope),
            Output::KillTree(run) => self.kill_tree(run),
            Output::WatchTree(run) => self.watch_tree(run),
            Output::FindMain(run) => self.begin_find_main(run),
            Output::StartProbe { run, kind, probe } => self.start_probe(run, kind, probe),
            Output::StopProbe(run, kind) => self.stop_probe(run, kind),
            Output::RunHook { run, process, kind, spec, hook } => self.run_hook(run, process, kind, (spec, hook)),
            Output::CancelHook(run, kind) => self.cancel_hook(run, kind),
            Output::ArmSockets(process, spec) => self.arm_sockets(process, spec),
            Output::DisarmSockets(process) => self.disarm_sockets(process),
            Output::CloseSockets(process) => self.close_sockets(process),
            Output::DropConnection(connection) => self.drop_connection(connection),
            Output::CountConnections(run, process) => self.count_connections(run, process),
            Output::SetLimits { run, limits } => self.set_limits(run, limits),
            Output::Reply(id, reply) => {
                self.tasks.answered(id, &reply);
                self.tells.push(Tell::Reply(id, reply));
            }
            Output::Emit(event) => {
                self.tally.note(&event);
                self.tells.push(Tell::Event(event));
            }
            Output::Finished { code, stuck } => {
                let stuck = stuck.into_iter().filter_map(|id| self.machine.name(id)).collect();
                self.ended = Some(Shutdown { code, stuck });
            }
        }
    }

    /// Publishes events and delivers replies, in the order the machine gave them.
    fn tell(&mut self) {
        if self.tells.is_empty() {
            return;
        }
        let tells = std::mem::take(&mut self.tells);
        for tell in tells {
            match tell {
                Tell::Event(event) => self.publish(event),
                Tell::Reply(id, reply) => {
                    if let Some(answer) = self.answers.remove(&id) {
                        let _ = answer.send(reply.map_or_else(Answer::Refused, Answer::Done));
                    }
                }
            }
        }
    }

    fn publish(&mut self, event: Event) {
        self.history.note(&event);
        if let Some(process) = event.process {
            match &event.kind {
                EventKind::State { to, .. } => {
                    self.answer_waiters(process, *to);
                    self.tidy_directories(process);
                }
                EventKind::Deleted => {
                    self.forget_place(process);
                    self.tidy_directories(process);
                    self.waiters.extract_if(.., |w| w.process == process).for_each(|w| {
                        let _ = w.answer.send(Answer::Refused(Refusal::NotFound));
                    });
                }
                _ => {}
            }
        }
        self.shared.events.publish([(Arc::new(event), 1)]);
    }

    fn wait_for(&mut self, waiter: Waiter) {
        let Some(status) = self.machine.status(waiter.process) else {
            let _ = waiter.answer.send(Answer::Refused(Refusal::NotFound));
            return;
        };
        if status.state == waiter.state {
            let _ = waiter.answer.send(Answer::Status(Box::new(status)));
        } else {
            self.waiters.retain(|w| !w.answer.is_closed());
            self.waiters.push(waiter);
        }
    }

    fn answer_waiters(&mut self, process: ProcessId, state: StateName) {
        if self.waiters.is_empty() {
            return;
        }
        let status = self.machine.status(process);
        for waiter in self.waiters.extract_if(.., |w| w.process == process && w.state == state) {
            let answer = match status.clone() {
                // It may be in another state again by now: the one that was waited for is what counts.
                Some(mut status) => {
                    status.state = state;
                    Answer::Status(Box::new(status))
                }
                None => Answer::Refused(Refusal::NotFound),
            };
            let _ = waiter.answer.send(answer);
        }
    }

    /// Has this engine end without touching a child, once those that are on their way to their programs are there; hooks,
    /// which a successor runs again, are given the same time to end.
    fn hand_over(&mut self, answer: oneshot::Sender<Answer>) {
        self.pause_accepting();
        self.handing_over = Some(HandingOver { until: Clock::now().mono.after(LAST_WORDS), answer });
    }

    /// Whether a successor is to go on with everything soon.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.handing_over.is_some()
    }

    /// Whether it is time to leave everything to a successor. What it must know has to be written down.
    fn hands_over(&mut self) -> bool {
        let hooks = self.jobs.values().any(Job::is_hook);
        let busy = self.in_flight > 0
            || hooks
            || self.holds_connections()
            || !self.spawns.is_empty()
            || !self.inputs.is_empty();
        let late = self.handing_over.as_ref().is_some_and(|handing| handing.until <= Clock::now().mono);
        if busy && !late {
            return false;
        }
        let written = self.is_written_down();
        if !written && let Some(handing) = self.handing_over.take() {
            let _ = handing.answer.send(Answer::HandedOver(false));
            self.go_on_accepting();
        }
        written
    }

    /// Leaves everything as it is: somebody else goes on with it. Ends that were not let go of are the anchor's to tell.
    fn leave_to_successor(&mut self) {
        self.count_at_the_end();
        self.trees.leave();
        // Before its processes are forgotten, which would end the lines that they are printing.
        self.logs.leave();
        if let Some(thread) = self.log_thread.take() {
            let _ = thread.join();
        }
        for (_, place) in self.places.drain() {
            if let Some((socket, _)) = place.notify {
                socket.keep_path();
            }
        }
        self.pool.close();
        if let Some(handing) = self.handing_over.take() {
            let _ = handing.answer.send(Answer::HandedOver(true));
        }
        self.ended = Some(Shutdown { code: None, stuck: Vec::new() });
    }

    /// Everything is down, or the kernel took away what the engine lives by.
    fn end(&mut self) {
        self.tell();
        self.count_at_the_end();
        self.logs.stop();
        if let Some(thread) = self.log_thread.take() {
            let _ = thread.join();
        }
        self.pool.close();
        // Nothing is up any more, and what was left to the pool may not have been done.
        self.places.values().filter_map(|place| place.pidfile.as_ref()).for_each(PidFile::clean);
        self.surroundings.directories.remove_left();
        self.places.clear();
        self.close_all_sockets();
        self.surroundings.directories.runtime().clean();
        self.trash.clear();
        self.tasks.clear();
    }
}

impl Drop for Engine {
    /// Also after a panic: nobody may wait for an engine that is gone.
    fn drop(&mut self) {
        if self.kept.is_some() && self.heritage.is_none() && self.ended.is_none() {
            // Broken. An end in order would take from a successor what it goes on with, and pass for the end of all.
            std::process::abort();
        }
        self.logs.stop();
        let left = self.shared.mailbox.close();
        self.shared.events.close();
        if let Some(shutdown) = self.ended.take() {
            let _ = self.shared.ended.set(shutdown.clone());
            let late = left.into_iter().filter_map(|message| match message {
                Message::WaitEnd(answer) => Some(answer),
                other => {
                    undo_binding(other);
                    None
                }
            });
            for answer in self.end_waiters.drain(..).chain(late) {
                let _ = answer.send(Answer::Ended(shutdown.clone()));
            }
        }
    }
}
