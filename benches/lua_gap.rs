//! Whether a supervisor notices what a hostile configuration does in the same process: the longest gap between its steps, asked
//! for by a thread that has it answer again and again, first alone and then beside configurations that loop, allocate and match
//! without end. Prints medians and the longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use neap::Supervisor;
use neap::lua::{EvaluateRequest, Options, Runtime};
use neap::spec::{Restart, Spec};

const HOSTILE: &[(&str, &str)] = &[
    ("a loop", "while true do end"),
    ("caught errors", "local function f() pcall(f) pcall(f) end while true do f() end"),
    ("coroutines", "while true do coroutine.wrap(function() while true do end end)() end"),
    ("a pattern bomb", "return (('a'):rep(60)):find(('a*'):rep(40) .. 'b')"),
    ("allocation", "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end"),
    ("large strings", "local s = ('x'):rep(20000000) while true do local t = s .. 'y' end"),
    ("a huge range", "table.move({}, 1, 1 << 60, 2)"),
    ("a slow comparator", "table.sort({ 3, 2, 1 }, function() while true do end end)"),
];

/// Has the supervisor answer until told to stop, and gives the time of each answer.
fn answers(supervisor: Supervisor, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        supervisor.list().expect("it answers");
        times.push(start.elapsed());
    }
    times
}

fn measure(supervisor: &Supervisor, work: impl FnOnce()) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, told) = (supervisor.clone(), stop.clone());
    let asking = std::thread::spawn(move || answers(asked, told));
    work();
    stop.store(true, Ordering::Relaxed);
    let mut times = asking.join().expect("the asking thread");
    times.sort();
    times
}

fn report(name: &str, times: &[Duration]) {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<20} {:>8} answers  p50 {:>9.1?}  p99 {:>9.1?}  longest gap {:>9.1?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn main() {
    let long = std::env::args().any(|a| a == "--bench");
    let deadline = if long { Duration::from_secs(2) } else { Duration::from_millis(50) };
    let supervisor = Supervisor::builder().build().expect("a supervisor");
    for n in 0..20 {
        // Something to do: processes that end and come back.
        let spec = Spec::new(format!("p{n}"), ["/bin/sleep", "0.1"])
            .restart(Restart::always().delay(Duration::from_millis(50)).limit(0, Duration::from_secs(1)));
        supervisor.add(spec).expect("a process").start_blocking().expect("a start");
    }
    let runtime = Runtime::start(Options::default());
    report("nothing else", &measure(&supervisor, || std::thread::sleep(deadline)));
    let spin = || {
        let end = Instant::now() + deadline;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    };
    report("a loop in Rust", &measure(&supervisor, spin));
    for (name, source) in HOSTILE {
        let work = || {
            let request = EvaluateRequest::source("neap.lua", *source, ".").deadline(deadline);
            let refused = runtime.evaluate(request).expect_err("it is refused").to_string();
            assert!(refused.contains("took longer than"), "{refused}");
        };
        report(name, &measure(&supervisor, work));
    }
    supervisor.shutdown().wait().expect("an end");
}
