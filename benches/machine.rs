//! How many inputs a second the machine takes in: 100 processes that crash and come back at once, with a relation here and there.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use neap::core::{Command, CommandId, ExitStatus, Input, Machine, Now, Output, Pid, RunId, Settings, Time, WallTime};
use neap::spec::{Plan, Restart, Spec};

const PROCESSES: u64 = 100;

struct Bench {
    machine: Machine,
    mono: u64,
    prepared: Vec<RunId>,
    spawned: Vec<RunId>,
    watched: Vec<RunId>,
}

impl Bench {
    fn new() -> Bench {
        let mut plan = Plan::new();
        for n in 0..PROCESSES {
            let mut spec = Spec::new(format!("p{n}"), ["/bin/true"])
                .restart(Restart::always().delay(Duration::ZERO).limit(0, Duration::from_secs(1)));
            if n % 10 > 0 {
                spec = spec.after(format!("p{}", n - 1));
            }
            assert!(plan.insert(spec).is_ok(), "names differ");
        }
        let mut bench = Bench {
            machine: Machine::new(Settings::default()),
            mono: 1,
            prepared: vec![],
            spawned: vec![],
            watched: vec![],
        };
        bench.input(Input::Command { id: CommandId(1), command: Command::Apply(Box::new(plan)), caller: None });
        bench
    }

    fn input(&mut self, input: Input) {
        self.mono += 1_000;
        self.machine.handle(Now { mono: Time(self.mono), wall: WallTime(0) }, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Prepare { run, .. } => self.prepared.push(run),
                Output::Spawn(run) => self.spawned.push(run),
                Output::WatchTree(run) => self.watched.push(run),
                other => drop(black_box(other)),
            }
        }
    }

    /// Every process is executed and dies once: four inputs each. Returns how many there were.
    fn round(&mut self) -> u64 {
        let mut inputs = 0;
        while let Some(run) = self.prepared.pop() {
            self.input(Input::Prepared(run));
            inputs += 1;
            while let Some(run) = self.spawned.pop() {
                self.input(Input::Executed(run, Pid(7)));
                self.input(Input::Exited(run, Pid(7), ExitStatus::Code(1)));
                inputs += 2;
            }
            while let Some(run) = self.watched.pop() {
                self.input(Input::TreeEmpty(run));
                inputs += 1;
            }
            if inputs >= PROCESSES * 4 {
                break;
            }
        }
        inputs
    }
}

fn inputs(c: &mut Criterion) {
    let mut bench = Bench::new();
    let each = bench.round();
    let mut group = c.benchmark_group("machine");
    group.throughput(Throughput::Elements(each));
    group.bench_function("crash and restart", |b| b.iter(|| bench.round()));
    group.finish();
}

fn load(c: &mut Criterion) {
    let plan = || {
        let mut plan = Plan::new();
        for n in 0..1_000 {
            let mut spec = Spec::new(format!("p{n}"), ["/bin/true"]);
            if n > 0 {
                spec = spec.requires(format!("p{}", n / 2)).wants(format!("p{}", n / 3));
            }
            assert!(plan.insert(spec).is_ok(), "names differ");
        }
        plan
    };
    c.bench_function("apply a plan of 1,000", |b| {
        b.iter_batched(
            || (Machine::new(Settings::default()), plan()),
            |(mut machine, plan)| {
                let command = Command::Apply(Box::new(plan));
                machine.handle(Now::default(), Input::Command { id: CommandId(1), command, caller: None });
                while let Some(output) = machine.poll_output() {
                    black_box(output);
                }
                machine
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, inputs, load);
criterion_main!(benches);
