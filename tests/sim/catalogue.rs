//! The catalogue of what bit others, where a simulation can provoke it: A2 to A6, A8, A9, A11, A13 to A15. A1, A10 and A12 are in
//! `schedules`, A7 is in `model`, A16 is `tests/states.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use neap::core::{
    Command, Done, Event, EventKind, Input, Machine, Now, Output, RecordKey, Refusal, Settings, SnapshotError,
    StateName, StateName::*, Time, WallTime,
};
use neap::sim::{Behaviour, Preparation, Rng};
use neap::spec::{Conditions, Plan, Restart, Signal, Spec};
use serde_json::Value;

use super::harness::*;

#[test]
fn a2_a_stale_timer_cannot_touch_a_new_run() {
    let mut s = Scenario::with([spec("web").stop(term_within(10))]);
    s.behave("web", Behaviour { obeys: Some(millis(100)), ..Behaviour::default() });
    s.start("web");
    let first = s.run("web");
    s.stop("web");
    s.pass(secs(1));
    s.behave("web", stubborn());
    s.start("web");
    let second = s.run("web");
    s.pass(secs(1));
    s.mark();
    let begin = s.world.now();
    let stop = s.stop("web");
    // The first run's kill was due eight seconds from here; the second has its full grace of ten.
    s.pass(secs(9));
    assert_eq!(s.world.members("web").len(), 1);
    s.pass(secs(1));
    s.came_to(stop, Stopped);
    let sent: Vec<(u64, Sent)> =
        s.sent_at("web").into_iter().map(|(at, sent)| (at.since(begin).as_secs(), sent)).collect();
    assert_eq!(sent, [(0, TERM), (10, Sent::KillTree)]);
    let dropped = s.world.machine().dropped_inputs();
    assert_ne!(first, second);
    s.hear(Input::TreeEmpty(first));
    assert_eq!(s.world.machine().dropped_inputs(), dropped + 1, "a stale input is dropped and counted");
}

#[test]
fn a3_a_stop_during_backoff_wins() {
    let mut s = Scenario::with([spec("web").restart(Restart::always().delay(secs(5)))]);
    s.start("web");
    s.exit("web", BAD);
    s.is("web", Backoff);
    s.mark();
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    s.pass(secs(3600));
    assert_eq!(s.attempts("web"), 0);
    s.is("web", Stopped);
}

#[test]
fn a4_a_slow_stop_delays_nobody_else() {
    let mut s = Scenario::with([spec("slow").stop(term_within(90)), spec("web")]);
    s.behave("slow", stubborn());
    s.start("slow");
    s.start("web");
    let stop = s.stop("slow");
    s.exit("web", BAD);
    s.pass(secs(1));
    s.is("web", Running);
    assert!(s.is_open(stop));
    assert_eq!(s.status("slow").state, Stopping);
    s.pass(secs(90));
    s.came_to(stop, Stopped);
}

/// When a process that crashes again and again is prepared, and how many inputs after its moment had come.
fn restarts_beside(others: impl IntoIterator<Item = Spec>) -> Vec<(Time, u64)> {
    let restart = || Restart::always().jitter(0.0).factor(1.0).limit(0, secs(1));
    let mut specs = vec![spec("web").restart(restart().delay(secs(1)))];
    specs.extend(others.into_iter().map(|other| other.restart(restart().delay(millis(50))).auto_start(true)));
    let names: Vec<String> = specs.iter().skip(1).map(|spec| spec.name.clone()).collect();
    let mut s = Scenario::empty();
    for name in &names {
        s.behave(name, if name == "slow" { stubborn() } else { ends(millis(7), BAD) });
    }
    s.apply(specs);
    let stop = names.contains(&"slow".to_owned()).then(|| s.stop("slow"));
    s.start("web");
    let mut restarts = Vec::new();
    for _ in 0..30 {
        s.exit("web", BAD);
        let due = s.status("web").retry_at.expect("it is tried again");
        s.pass(due.since(s.world.now()).saturating_sub(Duration::from_nanos(1)));
        let (before, attempts) = (s.world.steps(), s.attempts("web"));
        while s.attempts("web") == attempts {
            assert!(s.world.step().expect("no rule is broken"), "it is never tried again");
        }
        restarts.push((s.world.now(), s.world.steps() - before));
        s.settle();
        s.is("web", Running);
    }
    assert!(stop.is_none_or(|stop| s.is_open(stop)), "the slow stop goes on all the while");
    restarts
}

#[test]
fn a4_ten_crash_loops_and_a_slow_stop_do_not_move_a_restart_by_a_step() {
    let loops = (0..10).map(|number| spec(&format!("loop{number}")));
    let slow = spec("slow").stop(term_within(90));
    let beside = restarts_beside(loops.chain([slow]));
    let alone = restarts_beside([]);
    assert_eq!(beside, alone);
    assert!(alone.iter().all(|(_, steps)| *steps == 1), "{alone:?}");
}

#[test]
fn a5_the_start_limit_counts_automatic_restarts_and_nothing_else() {
    let limited = || spec("web").restart(Restart::on_failure().jitter(0.0).factor(1.0).limit(3, secs(60)));
    // Restarts by hand, skipped starts and spawns without resources do not count.
    let mut s =
        Scenario::with([limited().conditions(Conditions { path_exists: vec!["/x".into()], ..Conditions::default() })]);
    let unmet = Behaviour { preparation: Preparation::Unmet("path_exists: /x".into()), ..Behaviour::default() };
    for _ in 0..5 {
        s.behave("web", unmet.clone());
        s.start("web");
        s.behave("web", Behaviour::default());
        let restart = s.restart("web");
        s.came_to(restart, Running);
        s.stop("web");
    }
    s.start("web");
    s.mark();
    for _ in 0..3 {
        s.exit("web", BAD);
        s.is("web", Backoff);
        s.pass(secs(1));
        s.is("web", Running);
    }
    s.exit("web", BAD);
    s.is("web", Crashed);
    assert_eq!(s.attempts("web"), 3);
    let reason = s.status("web").reason;
    assert!(reason.contains("too often"), "{reason}");

    // At the edge of the window the oldest restart no longer counts.
    let mut s = Scenario::with([limited()]);
    s.start("web");
    for _ in 0..3 {
        s.exit("web", BAD);
        s.pass(secs(1));
    }
    s.pass(secs(58));
    s.exit("web", BAD);
    s.is("web", Backoff);
}

#[test]
fn a6_backoff_is_monotone_and_bounded_whatever_the_policy() {
    let mut rng = Rng::new(6);
    let mut tried = 0;
    for _ in 0..200 {
        let delay = if rng.chance(100) { Duration::MAX } else { rng.millis(1, 10_000) };
        let max_delay = if rng.chance(100) { Duration::MAX } else { rng.millis(1, 100_000) }.max(delay);
        let factor = [0.0, 0.5, 1.0, 2.0, 1e300, f64::MAX][rng.index(6)];
        let restart = Restart::always().delay(delay).max_delay(max_delay).factor(factor).jitter(0.0).limit(0, secs(1));
        let mut machine = Machine::new(Settings { seed: rng.word(), ..Settings::default() });
        let mut delays = Vec::new();
        let mut now = Time(1);
        let give = |machine: &mut Machine, now: Time, input: Input| {
            machine.handle(Now { mono: now, wall: WallTime(0) }, input);
            std::iter::from_fn(|| machine.poll_output()).collect::<Vec<_>>()
        };
        let plan = plan([Spec::new("web", ["/opt/program"]).restart(restart).auto_start(true)]);
        let mut outputs = give(
            &mut machine,
            now,
            Input::Command { id: neap::core::CommandId(1), command: Command::Apply(Box::new(plan)), caller: None },
        );
        // Absurd numbers may be refused by validation; what it lets pass must be safe.
        if outputs.iter().any(|output| matches!(output, Output::Reply(_, Err(Refusal::Invalid(_))))) {
            continue;
        }
        tried += 1;
        for _ in 0..12 {
            let run = outputs.iter().find_map(|output| match output {
                Output::Prepare { run, .. } => Some(*run),
                _ => None,
            });
            let Some(run) = run else { break };
            let error =
                neap::core::SpawnError { step: neap::core::SpawnStep::User, errno: None, message: "nobody".into() };
            outputs = give(&mut machine, now, Input::PrepareFailed(run, error));
            let retry_in = outputs.iter().find_map(|output| match output {
                Output::Emit(Event { kind: EventKind::State { retry_in, .. }, .. }) => *retry_in,
                _ => None,
            });
            let Some(retry_in) = retry_in else { break };
            delays.push(retry_in);
            match machine.poll_timeout() {
                Some(at) => now = at,
                None => break,
            }
            outputs = give(&mut machine, now, Input::Timeout);
        }
        assert!(!delays.is_empty());
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]), "{delays:?}");
        assert!(delays.iter().all(|it| *it <= max_delay), "{delays:?} is more than {max_delay:?}");
    }
    assert!(tried >= 50, "{tried} policies were valid");
}

#[test]
fn a8_a_plan_with_cycles_or_missing_names_starts_nothing_and_names_them_all() {
    let mut s = Scenario::empty();
    let wrong = plan([
        spec("a").requires("b").after("b").auto_start(true),
        spec("b").after("a").auto_start(true),
        spec("x").binds_to("y").auto_start(true),
        spec("y").follows("x").auto_start(true),
        spec("m").requires("nobody").auto_start(true),
        spec("n").follows("no-one").auto_start(true),
        spec("good").auto_start(true),
    ]);
    let apply = s.command(Command::Apply(Box::new(wrong)));
    let Refusal::Invalid(error) = s.refused(apply) else { s.fail("it was refused for another reason") };
    let text = error.to_string();
    for part in ["`a`", "`b`", "`x`", "`y`", "nobody", "no-one"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(s.world.machine().processes().is_empty());
}

/// A machine that is driven without a kernel: everything succeeds at once.
struct Bare {
    machine: Machine,
    now: Now,
    commands: u64,
    up: usize,
}

impl Bare {
    fn give(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.machine.handle(self.now, input);
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Prepare { run, .. } => inputs.push(Input::Prepared(run)),
                    Output::Spawn(run) => {
                        self.up += 1;
                        inputs.push(Input::Executed(run, pid_of(run)));
                    }
                    Output::Signal { run, signal: Signal::TERM, .. } => {
                        inputs.push(Input::TreeEmpty(run));
                        inputs.push(Input::Exited(run, pid_of(run), OK));
                        self.up -= 1;
                    }
                    Output::WatchTree(run) => inputs.push(Input::TreeEmpty(run)),
                    _ => {}
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.commands += 1;
        let id = neap::core::CommandId(self.commands);
        self.give(Input::Command { id, command, caller: None });
    }
}

fn pid_of(run: neap::core::RunId) -> neap::core::Pid {
    neap::core::Pid(u32::try_from(run.0).expect("few runs"))
}

#[test]
fn a9_a_chain_of_a_hundred_thousand_needs_no_recursion_and_no_more_than_linear_time() {
    let chain = |length: usize| {
        let name = |index: usize| format!("p{index:06}");
        let mut plan = Plan::new();
        for index in 0..length {
            let mut spec = Spec::new(name(index), ["/opt/program"]).auto_start(true);
            if index > 0 {
                spec = spec.binds_to(name(index - 1)).follows(name(index - 1));
            }
            plan.insert(spec).expect("names differ");
        }
        plan
    };
    let live = move |length: usize| {
        let begin = Instant::now();
        let now = Now { mono: Time(1), wall: WallTime(0) };
        let mut bare = Bare { machine: Machine::new(Settings::default()), now, commands: 0, up: 0 };
        bare.command(Command::Apply(Box::new(chain(length))));
        assert_eq!(bare.up, length);
        let first = bare.machine.find("p000000").expect("it is there");
        bare.command(Command::Restart(first));
        assert_eq!(bare.up, length);
        bare.command(Command::Stop(first));
        assert_eq!(bare.up, 0);
        bare.machine.check().expect("the invariants hold");
        begin.elapsed()
    };
    // A thread with a small stack: recursion over the chain would not fit. What is quadratic would take hours.
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(move || live(100_000)).expect("a thread");
    let took = thread.join().expect("no overflow");
    println!("a chain of 100,000, started, restarted and stopped: {took:?}");
}

#[test]
fn a11_a_refused_plan_changes_nothing_and_a_good_one_keeps_runs_and_answers_waiters() {
    let mut s = Scenario::with([
        spec("stays").auto_start(true),
        notify("db").auto_start(true),
        spec("web").requires("db"),
        spec("slow").auto_start(true).stop(term_within(30)),
    ]);
    s.behave("web", silent());
    s.world.behave_now("slow", |does| does.obeys = Some(secs(20)));
    let (stays, db) = (s.run("stays"), s.run("db"));
    let stop = s.stop("slow");
    let wrong = plan([spec("stays").arg("--other"), notify("db"), spec("web").binds_to("nobody")]);
    let refused = s.command(Command::Apply(Box::new(wrong)));
    assert!(matches!(s.refused(refused), Refusal::Invalid(_)));
    assert_eq!((s.run("stays"), s.run("db")), (stays, db));
    s.is("slow", Stopping);

    let web = s.start("web");
    s.came_to(web, Running);
    let late =
        s.command(Command::Apply(Box::new(plan([spec("stays").auto_start(true), notify("db").auto_start(true)]))));
    assert!(matches!(s.reply(late), Ok(Done::Applied(_))));
    assert_eq!((s.run("stays"), s.run("db")), (stays, db));
    s.pass(secs(60));
    assert!(!s.is_open(stop));
    assert_eq!((s.world.find("web"), s.world.find("slow")), (None, None));
}

type Records = BTreeMap<RecordKey, Vec<u8>>;

fn records_of_something() -> (Scenario, Records) {
    let mut s =
        Scenario::with([notify("db").auto_start(true), spec("web").requires("db").auto_start(true), spec("gone")]);
    s.exit("web", BAD);
    let records = s.world.machine().records();
    (s, records)
}

#[test]
fn a13_older_records_are_read_newer_and_damaged_ones_are_refused() {
    let (s, records) = records_of_something();
    let restored = Machine::from_records(records.clone()).expect("its own records");
    assert_eq!(restored.status(s.id("db")), s.world.machine().status(s.id("db")));

    let mut kinds = 0;
    for (key, bytes) in &records {
        let with = |bytes: &[u8]| {
            let mut records = records.clone();
            records.insert(*key, bytes.to_vec());
            Machine::from_records(records)
        };
        let json = |value: &Value| serde_json::to_vec(value).expect("JSON");
        let mut value: Value = serde_json::from_slice(bytes).expect("a record is JSON");
        // Old code, new file: the record that is newer is named.
        value["v"] = Value::from(9_999);
        let newer = with(&json(&value)).expect_err("it is newer");
        assert!(
            matches!(newer, SnapshotError::Newer { found: 9_999, .. }) && newer.to_string().contains(&key.to_string())
        );
        // New code, file with fields that it does not know: they are from a version that this one may read.
        value["v"] = Value::from(1);
        value["from_the_future"] = Value::from(1);
        if !matches!(key, RecordKey::Spec(_)) {
            value["is"]["from_the_future"] = Value::from(1);
        }
        with(&json(&value)).expect("unknown fields are passed over");
        // Old file, new code: what a record may lack is as if it had never been.
        if let Some(fields) = value["is"].as_object_mut()
            && matches!(key, RecordKey::Process(_))
        {
            fields.remove("tally");
            fields.remove("last");
            with(&json(&value)).expect("what an older version did not write is a default");
        }
        // Files that end early, or are none.
        for end in (0..bytes.len()).step_by(bytes.len() / 17) {
            assert!(matches!(with(&bytes[..end]), Err(SnapshotError::Damaged(_))), "{key}, cut at {end}");
        }
        for rubbish in ["", "{}", "null", "[]", r#"{"v":1}"#, r#"{"v":"one","is":{}}"#] {
            assert!(matches!(with(rubbish.as_bytes()), Err(SnapshotError::Damaged(_))), "{key}, {rubbish}");
        }
        // One that is missing: a process alone may be.
        let mut fewer = records.clone();
        fewer.remove(key);
        let refused = matches!(Machine::from_records(fewer), Err(SnapshotError::Damaged(_)));
        assert!(refused || matches!(key, RecordKey::Process(_)), "{key}");
        kinds += 1;
    }
    assert_eq!(kinds, 7, "the instance, three processes and their specs");
    assert!(matches!(Machine::from_records([]), Err(SnapshotError::Damaged(_))));
}

#[test]
fn a13_records_with_flipped_bytes_are_refused_or_a_machine_that_holds_together() {
    let (_, records) = records_of_something();
    let keys: Vec<RecordKey> = records.keys().copied().collect();
    let mut rng = Rng::new(13);
    for _ in 0..4_000 {
        let mut records = records.clone();
        for _ in 0..1 + rng.below(3) {
            let Some(bytes) = rng.pick(&keys).and_then(|key| records.get_mut(key)) else { continue };
            let place = rng.index(bytes.len());
            bytes[place] = rng.below(128).to_le_bytes()[0];
        }
        if let Ok(mut machine) = Machine::from_records(records) {
            machine.check().expect("what was restored holds together");
            machine.resume(Now { mono: Time(1 << 40), wall: WallTime(0) });
            machine.handle(Now { mono: Time(u64::MAX / 2), wall: WallTime(0) }, Input::Timeout);
            while machine.poll_output().is_some() {}
        }
    }
}

#[test]
fn a14_an_exit_a_stop_a_timeout_and_a_plan_at_once_end_the_same_in_every_order() {
    #[derive(Clone, Copy, Debug)]
    enum Thing {
        Exit,
        Stop,
        Timeout,
        Apply,
    }
    let all = [Thing::Exit, Thing::Stop, Thing::Timeout, Thing::Apply];
    let mut orders = Vec::new();
    for a in 0..4 {
        for b in (0..4).filter(|b| *b != a) {
            for c in (0..4).filter(|c| ![a, b].contains(c)) {
                orders.push([all[a], all[b], all[c], all[6 - a - b - c]]);
            }
        }
    }
    assert_eq!(orders.len(), 24);
    for order in orders {
        let specs =
            |level: &str| [notify("web").start_timeout(secs(10)).env("LEVEL", level), spec("other").auto_start(true)];
        let mut s = Scenario::with(specs("old"));
        s.behave("web", silent());
        let start = s.start("web");
        s.pass(secs(10) - Duration::from_nanos(1));
        let (web, run, pid) = (s.id("web"), s.run("web"), s.pid("web"));
        let other = s.run("other");
        let due = s.world.now().after(Duration::from_nanos(1));
        let mut stop = None;
        for thing in order {
            // Straight into the machine, all within one moment.
            let outcome = match thing {
                Thing::Exit if s.world.members("web").is_empty() => Ok(()),
                Thing::Exit => s.world.kill_member("web", pid, BAD),
                Thing::Stop => s.world.command(Command::Stop(web)).map(|id| stop = Some(id)),
                Thing::Timeout => s.world.run_until(due),
                Thing::Apply => s.world.command(Command::Apply(Box::new(plan(specs("new"))))).map(|_| ()),
            };
            assert!(outcome.is_ok(), "{order:?}: {outcome:?}");
        }
        s.pass(secs(120));
        s.assert(
            s.state("web") == Stopped || s.state("web") == Failed,
            &format!("{order:?}: the stop wins, or came when all was over"),
        );
        assert_eq!(s.world.members("web"), [], "{order:?}");
        assert_eq!(s.run("other"), other, "{order:?}");
        assert!(!s.is_open(start), "{order:?}");
        assert!(stop.is_some_and(|stop| !s.is_open(stop)), "{order:?}");
        assert!(s.world.live_run("web").is_none_or(|live| live == run), "{order:?}");
    }
}

#[test]
fn a15_a_shutdown_under_a_storm_starts_nothing_keeps_its_order_and_escalates_when_asked_again() {
    let crashing = |name: &str| {
        spec(name).restart(Restart::always().jitter(0.0).delay(millis(10)).limit(0, secs(1))).stop(term_within(60))
    };
    let mut s = Scenario::empty();
    let mut specs = vec![crashing("base").auto_start(true)];
    for index in 0..10 {
        s.behave(&format!("c{index}"), ends(millis(7 * (index + 1)), BAD));
        specs.push(crashing(&format!("c{index}")).requires("base").auto_start(true));
    }
    specs.push(spec("stubborn").requires("base").stop(term_within(3600)).auto_start(true));
    s.behave("stubborn", stubborn());
    s.apply(specs);
    s.pass(millis(500));
    s.mark();
    let first = s.shutdown();
    s.pass(secs(30));
    let starts = s.since().iter().filter(|(_, output)| matches!(output, Output::Prepare { .. } | Output::Spawn(_)));
    assert_eq!(starts.count(), 0);
    assert!(s.is_open(first));
    assert_eq!(s.sent("base"), [], "what others need is not touched while one of them lives");
    let again = s.shutdown();
    s.pass(secs(1));
    assert!(s.world.finished());
    assert_eq!((s.reply(first), s.reply(again)), (Ok(Done::ShutDown), Ok(Done::ShutDown)));
    let up: Vec<StateName> = s
        .world
        .machine()
        .processes()
        .into_iter()
        .filter_map(|id| s.world.machine().status(id))
        .map(|s| s.state)
        .collect();
    assert!(up.iter().all(|state| !matches!(state, Running | Starting | Stopping | Waiting | Backoff)), "{up:?}");
}

#[test]
fn i1_the_wall_clock_may_jump_as_it_likes() {
    let mut s = Scenario::with([spec("web").restart(Restart::always().jitter(0.0).delay(secs(5)))]);
    s.start("web");
    s.exit("web", BAD);
    s.world.set_wall_clock(WallTime(i64::MIN));
    s.pass(secs(4));
    s.world.set_wall_clock(WallTime(i64::MAX));
    s.is("web", Backoff);
    s.pass(secs(1));
    s.is("web", Running);
}

#[test]
fn a_hook_that_the_driver_never_answers_for_is_given_up_by_the_machine_itself() {
    let hook = || neap::spec::Hook::command(["/opt/hook"]).timeout(secs(10));
    let mut machine = Machine::new(Settings::default());
    let mut now = Now { mono: Time(1), wall: WallTime(0) };
    let give = |machine: &mut Machine, now: Now, input: Input| {
        machine.handle(now, input);
        std::iter::from_fn(|| machine.poll_output()).collect::<Vec<_>>()
    };
    let plan = plan([once("web").before_start(hook()).auto_start(true)]);
    give(
        &mut machine,
        now,
        Input::Command { id: neap::core::CommandId(1), command: Command::Apply(Box::new(plan)), caller: None },
    );
    let web = machine.find("web").expect("it is in the plan");
    let run = machine.status(web).and_then(|status| status.run).expect("a run");
    let outputs = give(&mut machine, now, Input::Prepared(run));
    assert!(outputs.iter().any(|output| matches!(output, Output::RunHook { .. })));
    let deadline = machine.poll_timeout().expect("the machine waits no longer than it must");
    assert!(deadline > now.mono.after(secs(10)), "the driver's own timeout comes first");
    now.mono = deadline;
    give(&mut machine, now, Input::Timeout);
    machine.check().expect("the invariants hold");
    let status = machine.status(web).expect("a status");
    assert_eq!(status.state, Failed);
    assert!(status.reason.contains("before_start"), "{}", status.reason);
}
