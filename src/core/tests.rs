//! The main road: what the simulator then leaves in every direction.

use std::time::Duration;

use super::*;
use crate::spec::{Limits, ListenAddress, Listener, Plan, Restart, Spec};

struct Bench {
    machine: Machine,
    now: Time,
    command: u64,
}

impl Bench {
    fn new(specs: Vec<Spec>) -> Bench {
        let mut plan = Plan::new();
        for spec in specs {
            plan.insert(spec).expect("names differ");
        }
        let mut bench = Bench { machine: Machine::new(Settings::default()), now: Time(1), command: 0 };
        bench.command(Command::Apply(Box::new(plan)));
        bench
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(Now { mono: self.now, wall: WallTime(0) }, input);
        self.machine.check().expect("the invariants hold");
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn command(&mut self, command: Command) -> Vec<Output> {
        self.command += 1;
        self.input(Input::Command { id: CommandId(self.command), command, caller: None })
    }

    fn state(&self, name: &str) -> StateName {
        self.machine.status(self.machine.find(name).expect("it exists")).expect("it exists").state
    }

    fn run(&self, name: &str) -> RunId {
        self.machine.status(self.machine.find(name).expect("it exists")).and_then(|s| s.run).expect("it has a run")
    }

    fn execute(&mut self, name: &str, pid: u32) -> Vec<Output> {
        let run = self.run(name);
        self.input(Input::Prepared(run));
        self.input(Input::Executed(run, Pid(pid)))
    }

    fn die(&mut self, name: &str, pid: u32, status: ExitStatus) -> Vec<Output> {
        let run = self.run(name);
        let mut all = self.input(Input::Exited(run, Pid(pid), status));
        all.extend(self.input(Input::TreeEmpty(run)));
        all
    }

    fn pass(&mut self, duration: Duration) -> Vec<Output> {
        self.now = self.now.after(duration);
        self.input(Input::Timeout)
    }
}

/// What is written since the last time, with the bytes of each.
fn written(machine: &mut Machine) -> Vec<(RecordKey, Option<usize>)> {
    let mut records = Vec::new();
    machine.write_changes(&mut |key, bytes| records.push((key, bytes.map(<[u8]>::len))));
    records
}

#[test]
fn the_records_of_a_restart_are_small_and_nobody_elses() {
    let long = |name: &str| {
        let mut spec = spec(name).restart(Restart::always().jitter(0.0)).requires("p0");
        for n in 0..50 {
            spec = spec.env(format!("VARIABLE_{n}"), "a value of some length");
        }
        spec
    };
    let mut b = Bench::new((1..50).map(|n| long(&format!("p{n}"))).chain([spec("p0")]).collect());
    b.execute("p0", 10);
    for n in 1..50 {
        b.execute(&format!("p{n}"), 10 + n);
    }
    let all = written(&mut b.machine);
    assert_eq!(all.len(), 2 * 50 + 1, "each process and its spec, and the instance");
    assert!(!b.machine.has_changes());

    let id = b.machine.find("p7").expect("it exists");
    let run = b.run("p7");
    let steps: [&dyn Fn(&mut Bench); 5] = [
        &|b| drop(b.input(Input::Exited(run, Pid(17), ExitStatus::Code(1)))),
        &|b| drop(b.input(Input::TreeEmpty(run))),
        &|b| drop(b.pass(Duration::from_secs(1))),
        &|b| drop(b.input(Input::Prepared(b.run("p7")))),
        &|b| drop(b.input(Input::Executed(b.run("p7"), Pid(70)))),
    ];
    let mut bytes = 0;
    for step in steps {
        step(&mut b);
        let records = written(&mut b.machine);
        let keys: Vec<RecordKey> = records.iter().map(|(key, _)| *key).collect();
        assert!(keys.starts_with(&[RecordKey::Process(id)]) && keys.len() <= 2, "{keys:?}");
        bytes += records.iter().filter_map(|(_, length)| *length).sum::<usize>();
    }
    assert!(bytes < 5 * 600, "a restart writes {bytes} bytes");

    b.pass(Duration::ZERO);
    assert!(!b.machine.has_changes(), "time that passes is no change");
}

#[test]
fn a_spec_is_recorded_once_and_taken_out_with_its_last_use() {
    let mut b = Bench::new(vec![spec("web").env("A", "1")]);
    b.execute("web", 10);
    let id = b.machine.find("web").expect("it exists");
    assert_eq!(written(&mut b.machine).len(), 3);
    let mut plan = Plan::new();
    plan.insert(spec("web").env("A", "2")).expect("one");
    b.command(Command::Update {
        process: id,
        spec: Box::new(spec("web").env("A", "2")),
        restart: false,
        dry_run: false,
    });
    // The process has the new one, the run still the old in what needs a restart.
    let specs = |records: &[(RecordKey, Option<usize>)]| -> (usize, usize) {
        let specs = records.iter().filter(|(key, _)| matches!(key, RecordKey::Spec(_)));
        let (new, gone): (Vec<_>, Vec<_>) = specs.copied().partition(|(_, length)| length.is_some());
        (new.len(), gone.len())
    };
    assert_eq!(specs(&written(&mut b.machine)).0, 2);
    b.die("web", 10, ExitStatus::Code(0));
    b.command(Command::Apply(Box::new(plan)));
    assert_eq!(b.machine.records().keys().filter(|key| matches!(key, RecordKey::Spec(_))).count(), 1);
    let before = written(&mut b.machine);
    assert!(specs(&before).1 >= 1, "{before:?}");
    b.command(Command::Apply(Box::default()));
    let gone: Vec<_> = written(&mut b.machine).into_iter().filter(|(_, length)| length.is_none()).collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert_eq!(b.machine.records().len(), 1);
}

fn spec(name: &str) -> Spec {
    Spec::new(name, ["/bin/x"])
}

#[test]
fn two_processes_start_in_order_crash_come_back_and_stop_in_reverse() {
    let mut b = Bench::new(vec![spec("db").restart(Restart::always().jitter(0.0)), spec("web").requires("db")]);
    assert_eq!((b.state("db"), b.state("web")), (StateName::Starting, StateName::Waiting));
    b.execute("db", 10);
    assert_eq!((b.state("db"), b.state("web")), (StateName::Running, StateName::Starting));
    b.execute("web", 11);
    assert_eq!(b.state("web"), StateName::Running);

    b.die("db", 10, ExitStatus::Code(1));
    assert_eq!((b.state("db"), b.state("web")), (StateName::Backoff, StateName::Running));
    b.pass(Duration::from_secs(1));
    b.execute("db", 12);
    assert_eq!(b.state("db"), StateName::Running);

    b.command(Command::Shutdown);
    assert_eq!((b.state("db"), b.state("web")), (StateName::Stopping, StateName::Stopping));
    let done = b.die("web", 11, ExitStatus::Signal { signal: crate::spec::Signal::TERM, core: false });
    assert!(done.iter().any(|o| matches!(o, Output::Signal { .. })), "db gets its signal now");
    let done = b.die("db", 12, ExitStatus::Code(0));
    assert!(matches!(done.last(), Some(Output::Finished { code: None, .. })));
}

#[test]
fn what_binds_stops_with_a_crash_and_comes_back_only_if_it_follows() {
    let mut b = Bench::new(vec![
        spec("db").restart(Restart::always().delay(Duration::ZERO)),
        spec("bound").binds_to("db"),
        spec("follower").binds_to("db").follows("db"),
    ]);
    b.execute("db", 10);
    b.execute("bound", 11);
    b.execute("follower", 12);
    b.die("db", 10, ExitStatus::Code(1));
    assert_eq!(b.state("db"), StateName::Starting);
    assert_eq!((b.state("bound"), b.state("follower")), (StateName::Stopping, StateName::Stopping));
    b.die("bound", 11, ExitStatus::Code(0));
    b.execute("db", 13);
    b.die("follower", 12, ExitStatus::Code(0));
    assert_eq!((b.state("bound"), b.state("follower")), (StateName::Stopped, StateName::Starting));
}

#[test]
fn what_a_conflict_within_one_change_stopped_for_good_is_not_brought_back_by_that_change() {
    let others = || {
        let leaf = spec("leaf").part_of("b").after("slow");
        vec![spec("slow"), leaf, spec("mid").binds_to("b").requires("leaf")]
    };
    let mut first = vec![spec("a"), spec("b")];
    first.extend(others());
    let mut b = Bench::new(first);
    b.execute("b", 10);
    assert_eq!((b.state("a"), b.state("leaf")), (StateName::Starting, StateName::Waiting));

    let changed = |name: &str| Spec::new(name, ["/bin/y"]).auto_start(false);
    let mut plan = Plan::new();
    for spec in [changed("a").conflicts("b"), changed("b")].into_iter().chain(others()) {
        plan.insert(spec).expect("names differ");
    }
    b.command(Command::Apply(Box::new(plan)));
    assert_eq!((b.state("a"), b.state("b")), (StateName::Waiting, StateName::Stopping));
    assert_eq!((b.state("leaf"), b.state("mid")), (StateName::Stopped, StateName::Stopped));
}

#[test]
fn a_process_a_connection_leaves_nothing_behind() {
    let listener = Listener { accept: Some(3), ..Listener::new(ListenAddress::Tcp("127.0.0.1:80".into())) };
    let mut b = Bench::new(vec![spec("a"), spec("echo").listen(listener), spec("z")]);
    let echo = b.machine.find("echo").expect("it exists");
    b.input(Input::Armed(echo));
    let mut live = std::collections::VecDeque::new();
    for number in 1..=10_000_u64 {
        let (connection, peer) = (ConnectionId(number), "127.0.0.1:40000".into());
        b.input(Input::Connection { process: echo, connection, peer });
        let name = format!("echo@{number}");
        b.execute(&name, 100);
        live.push_back(name);
        if live.len() == 3 {
            let first = live.pop_front().expect("there are three");
            b.die(&first, 100, ExitStatus::Code(0));
            b.input(Input::Armed(echo));
        }
    }
    assert_eq!(b.machine.processes().len(), 5);
    assert!(b.machine.processes.width() <= 20, "{}", b.machine.processes.width());
    let restored = Machine::read(b.machine.records()).expect("its own records");
    assert_eq!(restored.processes(), b.machine.processes());
    assert_eq!(restored.status(echo), b.machine.status(echo));
    let next = restored.find("echo@10000").expect("it exists");
    assert!(restored.status(next).is_some() && b.machine.status(ProcessId(7)).is_none());
}

#[test]
fn a_change_of_limits_reaches_the_instances_that_run_and_nothing_else_does() {
    let listener = Listener { accept: Some(3), ..Listener::new(ListenAddress::Tcp("127.0.0.1:80".into())) };
    let echo = || spec("echo").listen(listener.clone());
    let mut b = Bench::new(vec![echo()]);
    let id = b.machine.find("echo").expect("it exists");
    b.input(Input::Armed(id));
    for number in 1..=2_u64 {
        let (connection, peer) = (ConnectionId(number), "127.0.0.1:40000".into());
        b.input(Input::Connection { process: id, connection, peer });
    }
    b.execute("echo@1", 100);
    let limits = Limits { memory: Some(1 << 20), ..Limits::default() };
    let newer = Spec { limits: limits.clone(), ..echo() }.env("A", "1");
    let outputs = b.command(Command::Update { process: id, spec: Box::new(newer), restart: false, dry_run: false });
    let set: Vec<RunId> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::SetLimits { run, limits: now } if *now == limits => Some(*run),
            _ => None,
        })
        .collect();
    assert_eq!(set, [b.run("echo@1"), b.run("echo@2")]);
    let instance = b.machine.spec(b.machine.find("echo@1").expect("it exists")).expect("it exists");
    assert!(instance.limits == limits && instance.env.is_empty(), "{instance:?}");
    let restored = Machine::read(b.machine.records()).expect("its own records");
    assert_eq!(restored.spec(restored.find("echo@2").expect("it exists")).expect("it exists").limits, limits);
}
