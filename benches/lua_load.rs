//! How long a configuration of 1,000 processes takes from its text to a plan in force: evaluated, read, checked, compared and
//! accepted. Prints medians.

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use neap::Supervisor;
use neap::lua::{EvaluateRequest, Options, Runtime};

const PROCESSES: usize = 1000;
const ROUNDS: usize = 21;

/// Processes as people write them: templates, maps, lists, probes, relations and a hook here and there.
fn source() -> String {
    let mut text = String::from(
        "local neap = require \"neap\"\n\
         neap.defaults { auto_start = false, stop = { timeout = \"5s\" } }\n\
         local app = neap.template { restart = { policy = \"on-failure\", delay = \"500ms\" }, env = { LANG = \"C\" } }\n\n",
    );
    for n in 0..PROCESSES {
        let port = 10_000 + n;
        let after = if n % 10 > 0 { format!("  after = \"service-{}\",\n", n - 1) } else { String::new() };
        let hook = if n % 50 == 0 {
            "  hooks = { after_stop = function(p, run) neap.log.info(p.name .. \" ended\") end },\n"
        } else {
            ""
        };
        let written = write!(
            text,
            "app \"service-{n}\" {{\n  command = {{ \"/usr/bin/server\", \"--port\", \"{port}\", \"--name\", \"service-{n}\" }},\n\
             \x20 env = {{ PORT = \"{port}\", LOG_LEVEL = \"info\" }},\n\
             \x20 ready = neap.tcp {{ port = {port} }},\n{after}{hook}\
             \x20 restart = {{ max_delay = \"30s\", limit = {{ burst = 5, interval = \"5m\" }} }},\n}}\n\n"
        );
        assert!(written.is_ok(), "a string takes all");
    }
    text
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    // `cargo test` builds and runs benchmarks, too: once will do there.
    let rounds = if std::env::args().any(|a| a == "--bench") { ROUNDS } else { 1 };
    let text = source();
    println!("{PROCESSES} processes, {} KB", text.len() / 1024);
    let request = || EvaluateRequest::source("neap.lua", text.clone(), ".");
    let (mut evaluations, mut applications, mut again, mut empty) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let runtime = Runtime::start(Options::default());
        let start = Instant::now();
        let nothing = runtime.evaluate(EvaluateRequest::source("neap.lua", "", ".")).expect("accepted");
        empty.push(start.elapsed());
        drop(nothing);

        let supervisor = Supervisor::builder().build().expect("a supervisor");
        let start = Instant::now();
        let evaluated = runtime.evaluate(request()).expect("accepted");
        evaluations.push(start.elapsed());
        let plan = evaluated.declared.plan.clone();
        let start = Instant::now();
        let applied = supervisor.apply(plan).wait().expect("applied");
        applications.push(start.elapsed());
        black_box(applied);
        let start = Instant::now();
        let applied = supervisor.apply(evaluated.declared.plan.clone()).wait().expect("applied");
        again.push(start.elapsed());
        black_box(applied);
        supervisor.shutdown().wait().expect("an end");
    }
    let whole: Vec<Duration> = evaluations.iter().zip(&applications).map(|(e, a)| *e + *a).collect();
    println!("empty configuration      {:>10.2?}", median(empty));
    println!("text to plan             {:>10.2?}", median(evaluations));
    println!("plan in force            {:>10.2?}", median(applications));
    println!("the same plan once more  {:>10.2?}", median(again));
    println!("whole load               {:>10.2?}", median(whole));
}
