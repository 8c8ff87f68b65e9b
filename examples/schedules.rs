//! Lives random lives of a supervisor in the simulated kernel: `cargo run --release --features sim --example schedules -- 1000000`
//!
//! `-- COUNT [FIRST_SEED]`. One that breaks a rule is shown with its plan, its last inputs and outputs, and the seed that shows it again.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use neap::sim::{Options, many};

fn number(text: Option<String>, otherwise: u64) -> Result<u64, String> {
    match text {
        None => Ok(otherwise),
        Some(text) => text.replace('_', "").parse().map_err(|_| format!("`{text}` is not a number")),
    }
}

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (count, first) = match (number(args.next(), 10_000), number(args.next(), 0)) {
        (Ok(count), Ok(first)) => (count, first),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("{why}; usage: schedules [COUNT [FIRST_SEED]]");
            return ExitCode::from(2);
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let begin = Instant::now();
    let progress = |done: u64| {
        if done.is_multiple_of(50_000) {
            eprintln!("{done} of {count} in {:.0?}", begin.elapsed());
        }
    };
    match many(first..first.saturating_add(count), threads, &Options::default(), progress) {
        Ok(sum) => {
            let (steps, runs, commands, deaths) = (sum.steps, sum.runs, sum.commands, sum.deaths);
            let seeds = format!("{first} to {}", first + count.saturating_sub(1));
            println!(
                "{count} schedules (seeds {seeds}) broke no rule: {steps} inputs, {runs} runs, {commands} commands, {deaths} deaths in {:.1?}",
                begin.elapsed()
            );
            ExitCode::SUCCESS
        }
        Err(ruin) => {
            eprintln!("{ruin}");
            ExitCode::FAILURE
        }
    }
}
