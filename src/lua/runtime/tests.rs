//! Functions at run time: called beside each other, each under its own deadline.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{EvaluateRequest, Evaluated, Options, Runtime};
use crate::core::{HookKind, ProbeKind, RunId};
use crate::driver::Shortfall;
use crate::spec::HookAction;
use crate::{FunctionCall, FunctionDone, FunctionHost, Purpose};

/// What fails a test that hangs.
const HANGS: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

/// A configuration whose functions are called by their place in the list.
struct Loaded {
    runtime: Runtime,
    evaluated: Evaluated,
}

/// A call that was begun.
struct Begun(Receiver<Result<(), String>>);

impl Begun {
    fn result(&self) -> Result<(), String> {
        self.0.recv_timeout(HANGS).expect("the call never came back")
    }
}

impl Loaded {
    fn new(runtime: Runtime, functions: &str) -> Loaded {
        let source = format!(
            "local neap = require 'neap'\n\
             neap.process 'web' {{ command = {{ 'web' }}, hooks = {{ after_stop = {{ {functions} }} }} }}"
        );
        let evaluated = runtime.evaluate(EvaluateRequest::source("test.lua", source, ".")).expect("accepted");
        Loaded { runtime, evaluated }
    }

    fn begin(&self, index: usize, timeout: Duration, purpose: Purpose) -> Begun {
        let spec = self.evaluated.declared.plan.get("web").expect("the process");
        let HookAction::Function(function) = spec.hooks.after_stop[index].action else { panic!("no function") };
        let call = FunctionCall { function, purpose, process: "web".into(), run: RunId(1), exit: None, timeout };
        let (sender, receiver) = channel();
        self.runtime.call(
            call,
            FunctionDone::new(move |result| {
                sender.send(result.map_err(Shortfall::into_text)).expect("somebody waits");
            }),
        );
        Begun(receiver)
    }

    fn hook(&self, index: usize, timeout: Duration) -> Result<(), String> {
        self.begin(index, timeout, Purpose::Hook(HookKind::AfterStop)).result()
    }

    fn probe(&self, index: usize, timeout: Duration) -> Result<(), String> {
        self.begin(index, timeout, Purpose::Probe(ProbeKind::Health)).result()
    }

    /// Whether functions still answer.
    fn is_alive(&self, harmless: usize) {
        self.hook(harmless, LONG).expect("a harmless function still answers");
    }
}

fn load(functions: &str) -> Loaded {
    Loaded::new(Runtime::start(Options::default()), functions)
}

#[test]
fn a_function_fails_with_its_line_and_later_ones_are_called() {
    let loaded = load(
        "function() end,
         function() error('broken') end,
         function() local x = nil + 1 end,
         function() error({}) end,
         function() os.exit(1) end,
         function() return undefined_name end,
         function() error(setmetatable({}, { __tostring = function() return 'odd' end })) end",
    );
    loaded.is_alive(0);
    assert_eq!(loaded.hook(1, LONG), Err("test.lua:3: broken".to_owned()));
    assert!(loaded.hook(2, LONG).expect_err("fails").starts_with("test.lua:4: attempt to perform arithmetic"));
    assert!(loaded.hook(3, LONG).expect_err("fails").starts_with("test.lua:5:"));
    let exit = loaded.hook(4, LONG).expect_err("fails");
    assert!(exit.starts_with("test.lua:6: `os.exit` is not available"), "{exit}");
    assert!(loaded.hook(5, LONG).expect_err("fails").contains("undefined global `undefined_name`"));
    assert!(loaded.hook(6, LONG).expect_err("fails").contains("odd"));
    loaded.is_alive(0);
}

#[test]
fn what_is_refused_in_evaluation_works_at_run_time() {
    let loaded = load(
        "function() assert(os.time() > 0 and os.date() and os.clock() and math.random() < 1) end,
         function() require('neap').process 'other' { command = { 'x' } } end",
    );
    loaded.is_alive(0);
    assert!(loaded.hook(1, LONG).expect_err("fails").starts_with("test.lua:3:"));
}

#[test]
fn results_decide_and_wrong_ones_fail() {
    let loaded = load(
        "function() return true end,
         function() return false, 'no reason' end,
         function() return 'yes' end,
         function() end,
         function() return false, setmetatable({}, { __tostring = function() while true do end end }) end",
    );
    assert_eq!(loaded.probe(0, LONG), Ok(()));
    assert_eq!(loaded.probe(1, LONG), Err("no reason".to_owned()));
    assert!(loaded.probe(2, LONG).expect_err("fails").contains("must return true, or false and a reason"));
    assert!(loaded.probe(3, LONG).is_err());
    assert!(loaded.probe(4, SHORT).is_err());
    assert_eq!(loaded.hook(1, LONG), Err("no reason".to_owned()));
    assert_eq!(loaded.hook(3, LONG), Ok(()));
    loaded.is_alive(3);
}

#[test]
fn functions_that_do_not_end_fail_at_their_deadline() {
    let loaded = load(
        "function() end,
         function() while true do end end,
         function() while true do pcall(error) end end,
         function() coroutine.wrap(function() while true do end end)() end,
         function() while true do coroutine.yield() end end,
         function() return (('a'):rep(60)):find(('a*'):rep(40) .. 'b') end,
         function() table.sort({ 3, 2, 1 }, function() while true do end end) end,
         function() local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end end,
         function() table.move({}, 1, 1 << 60, 2) end",
    );
    for index in 1..9 {
        let message = loaded.hook(index, SHORT).expect_err("stopped");
        assert!(message.contains("took longer than it may"), "{index}: {message}");
    }
    // A thread that got no time at all was nowhere yet; one that ran is told with the line it was at.
    let expected = Err("test.lua:3: took longer than it may".to_owned());
    assert!((0..10).any(|_| loaded.hook(1, SHORT) == expected), "the line is told");
    loaded.is_alive(0);
}

#[test]
fn a_busy_function_does_not_keep_others_waiting() {
    let loaded = load("function() end, function() while true do end end");
    let busy = loaded.begin(1, Duration::from_secs(5), Purpose::Hook(HookKind::AfterStop));
    for _ in 0..5 {
        loaded.is_alive(0);
    }
    assert!(busy.0.try_recv().is_err(), "the busy one has ended first");
}

#[test]
fn a_waiting_function_does_not_keep_others_waiting() {
    let loaded = load(
        "function() end,
         function() wait_for_tests() done = true end,
         function() assert(done) end,
         function() coroutine.wrap(function() wait_for_tests() end)() pcall(wait_for_tests) end,
         function() pcall(function() pcall(wait_for_tests) end) never_waits = true end,
         function() table.sort({ 1, 2 }, function() wait_for_tests() end) end",
    );
    let (release, released) = tokio::sync::watch::channel(false);
    loaded.evaluated.generation.job(Box::new(move |lua, _| {
        let wait = lua.create_async_function(move |_, ()| {
            let mut released = released.clone();
            async move { released.wait_for(|go| *go).await.map(|_| ()).map_err(mlua::Error::external) }
        });
        wait.and_then(|wait| lua.globals().raw_set("wait_for_tests", wait)).expect("a global");
    }));
    let waiting = loaded.begin(1, LONG, Purpose::Hook(HookKind::AfterStop));
    let nested = loaded.begin(3, LONG, Purpose::Hook(HookKind::AfterStop));
    loaded.is_alive(0);
    assert!(loaded.hook(2, LONG).is_err(), "the waiting one has gone on");
    assert!(loaded.hook(4, SHORT).expect_err("it waits").contains("took longer than it may"));
    let across = loaded.hook(5, LONG).expect_err("it cannot wait there");
    assert!(across.contains("attempt to yield across a C-call boundary"), "{across}");
    release.send(true).expect("somebody waits");
    assert_eq!(waiting.result(), Ok(()));
    assert_eq!(nested.result(), Ok(()));
    assert_eq!(loaded.hook(2, LONG), Ok(()));
}

#[test]
fn a_function_that_uses_up_the_memory_fails_and_later_ones_are_called() {
    let loaded = load(
        "function() end,
         function() local t = {} while true do t[#t + 1] = {} end end,
         function() local s = 'x' while true do s = s .. s end end,
         function() return (('x'):rep(1 << 40)) end",
    );
    for index in 1..4 {
        assert!(loaded.hook(index, LONG).expect_err("fails").contains("memory"));
        loaded.is_alive(0);
    }
}

#[test]
fn functions_of_a_dropped_generation_fail_and_those_of_another_do_not() {
    let runtime = Runtime::start(Options::default());
    let first = Loaded::new(runtime.clone(), "function() end");
    let second = Loaded::new(runtime, "function() end");
    assert_ne!(first.evaluated.generation.number(), second.evaluated.generation.number());
    first.is_alive(0);
    let Loaded { runtime, evaluated } = first;
    let HookAction::Function(function) =
        evaluated.declared.plan.get("web").expect("the process").hooks.after_stop[0].action
    else {
        panic!("no function")
    };
    drop(evaluated);
    let (sender, receiver) = channel();
    let purpose = Purpose::Hook(HookKind::AfterStop);
    let call = FunctionCall { function, purpose, process: "web".into(), run: RunId(1), exit: None, timeout: LONG };
    runtime.call(call, FunctionDone::new(move |result| sender.send(result).expect("somebody waits")));
    let message = receiver.recv_timeout(HANGS).expect("an answer").expect_err("refused").into_text();
    assert!(message.contains("no longer loaded"), "{message}");
    second.is_alive(0);
}

/// A file that [`block_for_tests`](crate::lua::sandbox) waits on; removed in the end.
struct Gate(PathBuf);

impl Gate {
    fn new(name: &str) -> Gate {
        let path = std::env::temp_dir().join(format!("neap-gate-{}-{name}", std::process::id()));
        std::fs::write(&path, "").expect("a file");
        Gate(path)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

fn telling() -> (Options, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let wedged: super::WedgedSink = Arc::new(move |problem| sink.lock().expect("the list").push(problem.to_string()));
    (Options { print: None, wedged: Some(wedged) }, told)
}

#[test]
fn an_evaluation_that_cannot_be_interrupted_is_left_behind_and_others_refused_until_it_ends() {
    let (options, told) = telling();
    let runtime = Runtime::with_grace(options, SHORT);
    let gate = Gate::new("evaluation");
    let source = format!("block_for_tests({:?})", gate.0);
    let evaluate =
        |source: &str| runtime.evaluate(EvaluateRequest::source("test.lua", source, ".").deadline(LONG.min(SHORT)));
    let message = evaluate(&source).expect_err("refused").to_string();
    assert!(message.contains("could not be interrupted; it is left behind"), "{message}");
    assert_eq!(told.lock().expect("the list").len(), 1);
    let message = evaluate("").expect_err("refused").to_string();
    assert!(message.contains("an earlier configuration could not be interrupted and still runs"), "{message}");
    drop(gate);
    let end = std::time::Instant::now() + HANGS;
    while evaluate("").is_err() {
        assert!(std::time::Instant::now() < end, "the thread never ended");
        std::thread::yield_now();
    }
    assert_eq!(told.lock().expect("the list").len(), 1);
}

#[test]
fn a_function_that_cannot_be_interrupted_fails_later_calls_at_once() {
    let (options, told) = telling();
    let runtime = Runtime::with_grace(options, SHORT);
    let gate = Gate::new("call");
    let loaded = Loaded::new(runtime, &format!("function() end, function() block_for_tests({:?}) end", gate.0));
    let stuck = loaded.begin(1, SHORT, Purpose::Hook(HookKind::AfterStop));
    let end = std::time::Instant::now() + HANGS;
    let waiting: Vec<Begun> = std::iter::from_fn(|| {
        assert!(std::time::Instant::now() < end, "it was never noticed");
        let begun = loaded.begin(0, LONG, Purpose::Hook(HookKind::AfterStop));
        match begun.0.recv_timeout(Duration::from_millis(5)) {
            Ok(Err(message)) => {
                assert!(message.contains("could not be interrupted"), "{message}");
                None
            }
            _ => Some(begun),
        }
    })
    .collect();
    assert_eq!(told.lock().expect("the list").len(), 1);
    let source = EvaluateRequest::source("test.lua", "", ".");
    assert!(loaded.runtime.evaluate(source).is_err());
    drop(gate);
    assert!(stuck.result().expect_err("too late").contains("took longer than it may"));
    for begun in waiting {
        assert_eq!(begun.result(), Ok(()));
    }
    loaded.is_alive(0);
}
