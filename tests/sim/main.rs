//! The machine in a simulated kernel: every line of the design's semantics as a scenario, and thousands of random lives.

mod applying;
mod bonds;
mod catalogue;
mod changes;
mod dying;
mod endings;
mod harness;
mod health;
mod instances;
mod limiting;
mod listening;
mod model;
mod schedules;
mod shutting;
mod starting;
mod stopping;
mod why;
