//! `docs/states.md` is what the machine does, cell by cell: it is generated here, by handing every input to a process in every situation.
//!
//! When the machine changes on purpose: `NEAP_BLESS=1 cargo test --test states`, and read the difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use neap::core::{
    Adoption, Command, CommandId, ConnectionId, ExitStatus, HookKind, HookResult, Input, Machine, Notification, Now,
    Output, Pid, ProbeKind, RunId, Settings, SpawnError, SpawnStep, StateName, Time, WallTime,
};
use neap::spec::{
    Health, Hook, ListenAddress, Listener, Plan, ProbeTarget, ProcessType, Ready, Reload, Restart, Signal, Spec,
};

const PID: Pid = Pid(100);

/// A machine with the process `x` in it, and how it got where it is.
struct Scene {
    machine: Machine,
    now: Time,
    commands: u64,
}

impl Scene {
    fn new(specs: Vec<Spec>) -> Scene {
        let mut plan = Plan::new();
        for spec in specs {
            plan.insert(spec).expect("names differ");
        }
        let mut scene = Scene { machine: Machine::new(Settings::default()), now: Time(1), commands: 0 };
        scene.command(Command::Apply(Box::new(plan)));
        scene
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(Now { mono: self.now, wall: WallTime(0) }, input);
        self.machine.check().expect("the invariants hold");
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn command(&mut self, command: Command) -> Vec<Output> {
        self.commands += 1;
        self.input(Input::Command { id: CommandId(self.commands), command, caller: None })
    }

    fn id(&self) -> neap::core::ProcessId {
        self.machine.find("x").expect("x exists")
    }

    fn run(&self) -> RunId {
        self.machine.status(self.id()).and_then(|s| s.run).unwrap_or(RunId(0))
    }

    fn state(&self) -> Option<StateName> {
        self.machine.find("x").and_then(|id| self.machine.status(id)).map(|s| s.state)
    }

    fn start(mut self) -> Scene {
        let id = self.id();
        self.command(Command::Start(id));
        self
    }

    fn stop(mut self) -> Scene {
        let id = self.id();
        self.command(Command::Stop(id));
        self
    }

    fn prepared(mut self) -> Scene {
        let run = self.run();
        self.input(Input::Prepared(run));
        self
    }

    fn executed(self) -> Scene {
        let mut scene = self.prepared();
        let run = scene.run();
        scene.input(Input::Executed(run, PID));
        scene
    }

    fn exited(mut self, status: ExitStatus) -> Scene {
        let run = self.run();
        self.input(Input::Exited(run, PID, status));
        self
    }

    fn empty(mut self) -> Scene {
        let run = self.run();
        self.input(Input::TreeEmpty(run));
        self
    }

    fn hook_done(mut self, kind: HookKind) -> Scene {
        let run = self.run();
        self.input(Input::HookFinished(run, kind, HookResult::Done));
        self
    }

    fn armed(mut self) -> Scene {
        let id = self.id();
        self.input(Input::Armed(id));
        self
    }

    fn connected(mut self, number: u64) -> Scene {
        self.connect(number);
        self
    }

    fn connect(&mut self, number: u64) -> Vec<Output> {
        let (process, connection) = (self.id(), ConnectionId(number));
        self.input(Input::Connection { process, connection, peer: "127.0.0.1:2".into() })
    }

    fn timeout(mut self) -> Scene {
        self.pass();
        self
    }

    /// The supervisor dies, and another goes on.
    fn reborn(&mut self) -> Vec<Output> {
        self.machine = Machine::from_records(self.machine.records()).expect("its own records");
        self.machine.resume(Now { mono: self.now, wall: WallTime(0) });
        self.machine.check().expect("the invariants hold");
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    /// The same, and this became of its run in between; nothing happens where nothing of it may live.
    fn outlived(&mut self, make: impl FnOnce(RunId) -> Input) -> Vec<Output> {
        let id = self.id();
        match self.machine.live_runs().into_iter().find(|live| live.process == id) {
            Some(live) => {
                self.reborn();
                self.input(make(live.run))
            }
            None => Vec::new(),
        }
    }

    fn pass(&mut self) -> Vec<Output> {
        match self.machine.poll_timeout() {
            Some(at) => {
                self.now = at;
                self.input(Input::Timeout)
            }
            None => Vec::new(),
        }
    }
}

fn x() -> Spec {
    let mut spec = Spec::new("x", ["/bin/x"]);
    spec.auto_start = false;
    spec.restart = Restart::on_failure().jitter(0.0);
    spec
}

fn with_hooks(pick: impl FnOnce(&mut neap::spec::Hooks)) -> Spec {
    let mut spec = x();
    pick(&mut spec.hooks);
    spec
}

fn hook() -> Vec<Hook> {
    vec![Hook::command(["/bin/hook"])]
}

fn never(mut spec: Spec) -> Spec {
    spec.restart = Restart::never();
    spec
}

fn oneshot() -> Spec {
    let mut spec = never(x());
    spec.process_type = ProcessType::Oneshot;
    spec
}

fn listening() -> Spec {
    let mut spec = x();
    spec.listen = vec![Listener {
        name: None,
        address: ListenAddress::Tcp("127.0.0.1:1".into()),
        accept: None,
        idle_stop: None,
        mode: 0o660,
        user: None,
        group: None,
        backlog: 16,
        fd_env: None,
        client_fd_env: None,
    }];
    spec
}

fn in_use() -> SpawnError {
    SpawnError { step: SpawnStep::Socket, errno: Some(98), message: "127.0.0.1:1 is in use".into() }
}

/// `y` is needed by nobody yet and takes its time; `x` is ordered after it.
fn after_y() -> Vec<Spec> {
    let mut spec = x();
    spec.requires = vec!["y".into()];
    let mut y = Spec::new("y", ["/bin/y"]);
    y.auto_start = false;
    vec![spec, y]
}

/// `y` requires `x`, so a stop of `x` waits for it.
fn before_y() -> Scene {
    let mut y = Spec::new("y", ["/bin/y"]);
    y.requires = vec!["x".into()];
    y.auto_start = false;
    let mut scene = Scene::new(vec![x(), y]).start().executed();
    let y = scene.machine.find("y").expect("y exists");
    scene.command(Command::Start(y));
    let run = scene.machine.status(y).and_then(|s| s.run).expect("y has a run");
    scene.input(Input::Prepared(run));
    scene.input(Input::Executed(run, Pid(200)));
    scene
}

type Build = fn() -> Scene;

fn situations() -> Vec<(&'static str, &'static str, Build)> {
    const OK: ExitStatus = ExitStatus::Code(0);
    const BAD: ExitStatus = ExitStatus::Code(1);
    let alone = |spec: Spec| Scene::new(vec![spec]);
    let _ = alone;
    vec![
        ("created", "never started", || Scene::new(vec![x()])),
        ("waiting", "for what it requires", || Scene::new(after_y()).start()),
        ("waiting", "for its sockets", || Scene::new(vec![listening()])),
        ("waiting", "for a connection", || Scene::new(vec![listening()]).armed()),
        ("waiting", "for a connection, an instance each", || {
            let mut spec = listening();
            spec.listen[0].accept = Some(2);
            Scene::new(vec![spec]).armed().connected(1)
        }),
        ("waiting", "for one of its instances to end", || {
            let mut spec = listening();
            spec.listen[0].accept = Some(1);
            Scene::new(vec![spec]).armed().connected(1)
        }),
        ("starting", "being prepared", || Scene::new(vec![x()]).start()),
        ("starting", "in a before_start hook", || {
            Scene::new(vec![with_hooks(|h| h.before_start = hook())]).start().prepared()
        }),
        ("starting", "being executed", || Scene::new(vec![x()]).start().prepared()),
        ("starting", "executed, READY=1 awaited", || {
            let mut spec = x();
            spec.process_type = ProcessType::Notify;
            Scene::new(vec![spec]).start().executed()
        }),
        ("starting", "executed, a probe in flight", || {
            let mut spec = x();
            spec.ready = Ready::tcp(1);
            Scene::new(vec![spec]).start().executed()
        }),
        ("starting", "executed, a line awaited", || {
            let mut spec = x();
            spec.ready = Ready::logline("up");
            Scene::new(vec![spec]).start().executed()
        }),
        ("starting", "a oneshot that runs", || Scene::new(vec![oneshot()]).start().executed()),
        ("starting", "a oneshot's after_start hook", || {
            let mut spec = oneshot();
            spec.hooks.after_start = hook();
            Scene::new(vec![spec]).start().executed().exited(OK)
        }),
        ("starting", "a forking type's parent runs", || {
            let mut spec = x();
            spec.process_type = ProcessType::Forking;
            Scene::new(vec![spec]).start().executed()
        }),
        ("starting", "its daemon is looked for", || {
            let mut spec = x();
            spec.process_type = ProcessType::Forking;
            Scene::new(vec![spec]).start().executed().exited(OK)
        }),
        ("running", "", || {
            let mut spec = x();
            spec.reload = Some(Reload::Signal(Signal::HUP));
            Scene::new(vec![spec]).start().executed()
        }),
        ("running", "a health probe in flight", || {
            let mut spec = x();
            let mut health = Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 1 });
            health.retries = 1;
            health.restart_after = 1;
            spec.health = Some(health);
            Scene::new(vec![spec]).start().executed().timeout()
        }),
        ("running", "with a watchdog", || {
            let mut spec = x();
            spec.watchdog = Some(Duration::from_secs(1));
            Scene::new(vec![spec]).start().executed()
        }),
        ("running", "its connections counted, none for its idle time", || {
            let mut spec = listening();
            spec.listen[0].idle_stop = Some(Duration::from_secs(1));
            let mut scene = Scene::new(vec![spec]).start().executed();
            for _ in 0..4 {
                scene = scene.timeout();
                let run = scene.run();
                scene.input(Input::Connections { run, open: 0, came: false });
            }
            scene.timeout()
        }),
        ("running", "a oneshot that remains", || {
            let mut spec = oneshot();
            spec.remain = true;
            Scene::new(vec![spec]).start().executed().exited(OK)
        }),
        ("stopping", "after what depends on it", || before_y().stop()),
        ("stopping", "a before_start hook is being killed", || {
            Scene::new(vec![with_hooks(|h| h.before_start = hook())]).start().prepared().stop()
        }),
        ("stopping", "not executed yet", || Scene::new(vec![x()]).start().prepared().stop()),
        ("stopping", "in a before_stop hook", || {
            Scene::new(vec![with_hooks(|h| h.before_stop = hook())]).start().executed().stop()
        }),
        ("stopping", "in the stop command", || {
            let mut spec = x();
            spec.stop.command = Some(vec!["/bin/stop".into()]);
            Scene::new(vec![spec]).start().executed().stop()
        }),
        ("stopping", "on the ladder", || Scene::new(vec![x()]).start().executed().stop()),
        ("stopping", "for it had nothing to do", || {
            let mut spec = listening();
            spec.listen[0].idle_stop = Some(Duration::from_nanos(1));
            let mut scene = Scene::new(vec![spec]).start().executed();
            for _ in 0..2 {
                scene = scene.timeout();
                let run = scene.run();
                scene.input(Input::Connections { run, open: 0, came: false });
            }
            scene
        }),
        ("stopping", "ended by itself, its tree being looked at", || {
            Scene::new(vec![x()]).start().executed().exited(BAD)
        }),
        ("stopping", "killed", || Scene::new(vec![x()]).start().executed().stop().stop()),
        ("stopping", "stuck", || {
            let mut scene = Scene::new(vec![x()]).start().executed().stop().stop();
            let run = scene.run();
            scene.input(Input::TreeStuck(run, vec![PID]));
            scene
        }),
        ("stopping", "in an after_stop hook", || {
            Scene::new(vec![with_hooks(|h| h.after_stop = hook())]).start().executed().exited(BAD).empty()
        }),
        ("backoff", "", || Scene::new(vec![x()]).start().executed().exited(BAD).empty()),
        ("backoff", "its sockets could not be bound", || {
            let mut scene = Scene::new(vec![listening()]);
            let id = scene.id();
            scene.input(Input::ArmFailed(id, in_use()));
            scene
        }),
        ("stopped", "", || Scene::new(vec![x()]).start().executed().stop().exited(OK).empty()),
        ("exited", "", || Scene::new(vec![x()]).start().executed().exited(OK).empty()),
        ("failed", "", || Scene::new(vec![never(x())]).start().executed().exited(BAD).empty()),
        ("failed", "in an on_failure hook", || {
            Scene::new(vec![never(with_hooks(|h| h.on_failure = hook()))]).start().executed().exited(BAD).empty()
        }),
        ("failed", "after its on_failure hook", || {
            Scene::new(vec![never(with_hooks(|h| h.on_failure = hook()))])
                .start()
                .executed()
                .exited(BAD)
                .empty()
                .hook_done(HookKind::OnFailure)
        }),
        ("crashed", "", || {
            let mut spec = x();
            spec.restart = Restart::always().limit(1, Duration::from_secs(1000)).delay(Duration::ZERO);
            Scene::new(vec![spec]).start().executed().exited(BAD).empty().executed().exited(BAD).empty()
        }),
    ]
}

type Act = fn(&mut Scene) -> Vec<Output>;

fn inputs() -> Vec<(&'static str, Act)> {
    fn with(scene: &mut Scene, make: impl FnOnce(RunId) -> Input) -> Vec<Output> {
        let run = scene.run();
        scene.input(make(run))
    }
    fn error() -> SpawnError {
        SpawnError { step: SpawnStep::Exec, errno: Some(2), message: "cannot execute".into() }
    }
    fn hook(scene: &mut Scene, result: HookResult) -> Vec<Output> {
        let mut all = Vec::new();
        for kind in [
            HookKind::BeforeStart,
            HookKind::AfterStart,
            HookKind::BeforeStop,
            HookKind::StopCommand,
            HookKind::AfterStop,
            HookKind::OnFailure,
        ] {
            let dropped = scene.machine.dropped_inputs();
            all = with(scene, |run| Input::HookFinished(run, kind, result.clone()));
            if scene.machine.dropped_inputs() == dropped {
                break;
            }
        }
        all
    }
    vec![
        ("start", |s| {
            let id = s.id();
            s.command(Command::Start(id))
        }),
        ("stop", |s| {
            let id = s.id();
            s.command(Command::Stop(id))
        }),
        ("restart", |s| {
            let id = s.id();
            s.command(Command::Restart(id))
        }),
        ("reload", |s| {
            let id = s.id();
            s.command(Command::Reload(id))
        }),
        ("signal", |s| {
            let id = s.id();
            s.command(Command::Signal(id, Signal::USR1))
        }),
        ("apply without it", |s| s.command(Command::Apply(Box::default()))),
        ("shutdown", |s| s.command(Command::Shutdown)),
        ("prepared", |s| with(s, Input::Prepared)),
        ("preparation failed", |s| with(s, |run| Input::PrepareFailed(run, error()))),
        ("condition unmet", |s| with(s, |run| Input::ConditionUnmet(run, "path_exists /x".into()))),
        ("executed", |s| with(s, |run| Input::Executed(run, PID))),
        ("spawn failed", |s| with(s, |run| Input::SpawnFailed(run, error()))),
        ("exited with success", |s| with(s, |run| Input::Exited(run, PID, ExitStatus::Code(0)))),
        ("exited badly", |s| with(s, |run| Input::Exited(run, PID, ExitStatus::Code(1)))),
        ("main process found", |s| with(s, |run| Input::MainFound(run, Pid(101)))),
        ("main process not found", |s| with(s, |run| Input::MainNotFound(run, "no pidfile".into()))),
        ("awaited line", |s| with(s, Input::LogLine)),
        ("READY=1", |s| with(s, |run| Input::Notified(run, Notification::Ready))),
        ("WATCHDOG=1", |s| with(s, |run| Input::Notified(run, Notification::Watchdog))),
        ("WATCHDOG=trigger", |s| with(s, |run| Input::Notified(run, Notification::WatchdogTrigger))),
        ("MAINPID=", |s| with(s, |run| Input::Notified(run, Notification::MainPid(Pid(102))))),
        ("EXTEND_TIMEOUT_USEC=", |s| {
            with(s, |run| Input::Notified(run, Notification::ExtendTimeout(Duration::from_secs(1000))))
        }),
        ("ready probe passed", |s| with(s, |run| Input::Probed(run, ProbeKind::Ready, Ok(())))),
        ("ready probe failed", |s| with(s, |run| Input::Probed(run, ProbeKind::Ready, Err("refused".into())))),
        ("health probe passed", |s| with(s, |run| Input::Probed(run, ProbeKind::Health, Ok(())))),
        ("health probe failed", |s| with(s, |run| Input::Probed(run, ProbeKind::Health, Err("refused".into())))),
        ("hook done", |s| hook(s, HookResult::Done)),
        ("hook failed", |s| hook(s, HookResult::Failed("exit code 1".into()))),
        ("listeners bound", |s| {
            let id = s.id();
            s.input(Input::Armed(id))
        }),
        ("listeners not bound", |s| {
            let id = s.id();
            s.input(Input::ArmFailed(id, in_use()))
        }),
        ("connection", |s| s.connect(7)),
        ("no connection is open", |s| {
            let quiet = |run| Input::Connections { run, open: 0, came: false };
            with(s, quiet)
        }),
        ("socket readable", |s| {
            let id = s.id();
            s.input(Input::SocketReadable(id))
        }),
        ("tree empty", |s| with(s, Input::TreeEmpty)),
        ("tree occupied", |s| with(s, Input::TreeOccupied)),
        ("tree stuck", |s| with(s, |run| Input::TreeStuck(run, vec![PID]))),
        ("out of memory", |s| with(s, Input::Oom)),
        ("out of processes", |s| with(s, Input::PidsLimit)),
        ("update of its limits", |s| {
            let mut spec = s.machine.spec(s.id()).map(|spec| Spec::clone(&spec)).expect("x has a spec");
            spec.limits.pids = Some(7);
            let (process, spec) = (s.id(), Box::new(spec));
            s.command(Command::Update { process, spec, restart: false, dry_run: false })
        }),
        ("next deadline", Scene::pass),
        ("the next supervisor", Scene::reborn),
        ("… finds it alive", |s| s.outlived(|run| Input::Adopted(run, Adoption::Alive(PID)))),
        ("… finds its main process gone", |s| {
            s.outlived(|run| Input::Adopted(run, Adoption::LeaderGone(ExitStatus::Code(1))))
        }),
        ("… finds all of it gone", |s| s.outlived(|run| Input::Adopted(run, Adoption::Gone(ExitStatus::Code(1))))),
        ("… finds no child of it", |s| s.outlived(|run| Input::SpawnFailed(run, error()))),
    ]
}

fn word(output: &Output) -> Option<String> {
    Some(match output {
        Output::Prepare { .. } => "prepare".into(),
        Output::Spawn(_) => "spawn".into(),
        Output::Release(_) => "release".into(),
        Output::Signal { signal, .. } => signal.to_string(),
        Output::KillTree(_) => "kill the tree".into(),
        Output::WatchTree(_) => "look at the tree".into(),
        Output::FindMain(_) => "find the daemon".into(),
        Output::StartProbe { kind, .. } => format!("{} probe", format!("{kind:?}").to_lowercase()),
        Output::StopProbe(..) => "drop the probe".into(),
        Output::RunHook { kind, .. } => format!("run {}", kind.as_str()),
        Output::CancelHook(_, kind) => format!("kill {}", kind.as_str()),
        Output::ArmSockets(..) => "arm".into(),
        Output::DisarmSockets(_) => "disarm".into(),
        Output::CloseSockets(_) => "close sockets".into(),
        Output::DropConnection(_) => "close the connection".into(),
        Output::CountConnections(..) => "count connections".into(),
        Output::SetLimits { .. } => "set limits".into(),
        Output::Reply(_, Ok(_)) => "answer".into(),
        Output::Reply(_, Err(_)) => "refuse".into(),
        Output::Emit(_) => return None,
        Output::Finished { .. } => "finished".into(),
    })
}

fn generate() -> String {
    let mut text = String::from(
        "# States\n\nGenerated from the machine by `tests/states.rs`, which hands every input to a process in every situation; a test keeps it true.\n\
         What is not listed for a situation is dropped there, and counted. `→` is the state after the input, where it is another one.\n\
         `the next supervisor` is what a successor of a supervisor that died asks for again, `…` what it then makes of what it finds.\n\n",
    );
    for state in StateName::ALL {
        for (name, detail, build) in situations() {
            if name != state.as_str() {
                continue;
            }
            let scene = build();
            assert_eq!(
                scene.state().map(StateName::as_str),
                Some(name),
                "the situation `{name}, {detail}` is what it says"
            );
            let title = if detail.is_empty() { name.to_owned() } else { format!("{name}: {detail}") };
            let _ = writeln!(text, "## {title}\n\n| input | → | done |\n|---|---|---|");
            for (input, act) in inputs() {
                let mut scene = build();
                let dropped = scene.machine.dropped_inputs();
                let events = scene.machine.next_event();
                let outputs = act(&mut scene);
                let to = scene.state().map_or("forgotten", StateName::as_str);
                let done: Vec<String> = outputs.iter().filter_map(word).collect();
                let was_dropped = scene.machine.dropped_inputs() > dropped && done.is_empty();
                let nothing = done.is_empty() && to == name && scene.machine.next_event() == events;
                let quiet = ["next deadline", "the next supervisor"].contains(&input) || input.starts_with('…');
                if was_dropped || (nothing && quiet) {
                    continue;
                }
                let arrow = if to == name { "" } else { to };
                let _ = writeln!(text, "| {input} | {arrow} | {} |", done.join(", "));
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn every_state_has_a_situation_and_every_situation_is_what_it_says() {
    let shown: BTreeSet<&str> = situations().iter().map(|(name, _, _)| *name).collect();
    for state in StateName::ALL {
        assert!(shown.contains(state.as_str()), "no situation shows `{state}`");
    }
}

#[test]
fn the_state_document_is_what_the_machine_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/states.md");
    let generated = generate();
    if std::env::var_os("NEAP_BLESS").is_some() {
        std::fs::write(&path, &generated).expect("docs/states.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/states.md is not what the machine does; if the change is wanted: NEAP_BLESS=1 cargo test --test states"
    );
}
