//! A1: random lives, thousands of them, each from one seed; and what must hold for all of them at once.

use std::env;
use std::thread;

use neap::sim::{Hostility, Options, many, run};

const HOSTILE: Hostility = Hostility { kernel: true, twice: false, twin: false, deaths: false };

fn threads() -> usize {
    thread::available_parallelism().map_or(2, |n| n.get())
}

/// How many schedules a plain `cargo test` lives; a release lives a million (`examples/schedules.rs`).
const SCHEDULES: u64 = 10_000;

#[test]
fn schedules_by_the_thousand_break_no_rule() {
    if let Ok(seed) = env::var("NEAP_SIM_SEED") {
        let seed = seed.parse().expect("NEAP_SIM_SEED is a number");
        let tail = env::var("NEAP_SIM_TAIL").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
        match run(seed, &Options { tail, ..Options::default() }) {
            Ok(report) => println!("seed {seed} breaks no rule: {report:?}"),
            Err(ruin) => panic!("{ruin}"),
        }
        return;
    }
    let first = env::var("NEAP_SIM_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count = env::var("NEAP_SIM_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(SCHEDULES);
    match many(first..first + count, threads(), &Options::default(), |_| {}) {
        Ok(sum) => {
            let (steps, runs, commands, deaths) = (sum.steps, sum.runs, sum.commands, sum.deaths);
            assert!(deaths > 0 || count < 100, "no supervisor ever died");
            println!("{count} schedules: {steps} inputs, {runs} runs, {commands} commands, {deaths} deaths");
        }
        Err(ruin) => panic!("{ruin}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_life_byte_for_byte() {
    let options = Options { hash: true, ..Options::default() };
    for seed in 0..40 {
        let lives: Vec<_> =
            (0..2).map(|_| run(seed, &options).unwrap_or_else(|ruin| panic!("{ruin}")).fingerprint).collect();
        assert!(lives[0].is_some());
        assert_eq!(lives[0], lives[1], "seed {seed}");
    }
    let other = run(41, &options).unwrap_or_else(|ruin| panic!("{ruin}")).fingerprint;
    let one = run(40, &options).unwrap_or_else(|ruin| panic!("{ruin}")).fingerprint;
    assert_ne!(one, other);
}

/// A10.
#[test]
fn every_input_that_comes_twice_comes_to_nothing_the_second_time() {
    let options = Options { hostility: Hostility { twice: true, ..HOSTILE }, ..Options::default() };
    if let Err(ruin) = many(0..500, threads(), &options, |_| {}) {
        panic!("{ruin}");
    }
}

/// A12.
#[test]
fn a_machine_restored_at_any_step_goes_on_exactly_as_the_one_it_was() {
    let options = Options { hostility: Hostility { twin: true, ..HOSTILE }, events: 60, ..Options::default() };
    if let Err(ruin) = many(0..60, threads(), &options, |_| {}) {
        panic!("{ruin}");
    }
}
