//! The simulator: a [`World`] with virtual time, in which the machine meets a kernel that is meaner than Linux.
//!
//! It reuses pids at once, delivers news late, twice and in the wrong order, fails anything that can fail, lets programs
//! ignore signals and trees survive SIGKILL. Everything comes from one seed, so that any failure is seen again byte for byte.
//!
//! Scripted, it is the language of the scenarios in `tests/sim`:
//!
//! ```
//! use neap::core::{Command, StateName};
//! use neap::sim::World;
//! use neap::spec::{Plan, Spec};
//!
//! let mut plan = Plan::new();
//! plan.insert(Spec::new("db", ["postgres"])).expect("the only one of its name");
//! let mut world = World::gentle();
//! world.command(Command::Apply(Box::new(plan)))?;
//! world.run_until(world.now())?;
//! let db = world.find("db").expect("it is in the plan");
//! assert_eq!(world.state_of(db), Some(StateName::Running));
//! # Ok::<(), neap::sim::Failure>(())
//! ```
//!
//! Random, [`run`] lives a whole life from one number (a plan, a storm of commands and misfortunes, calm, shutdown), and
//! [`many`] lives thousands side by side. After every step two sets of rules are checked: the machine's own
//! ([`Machine::check`](crate::core::Machine::check)), and those seen from outside, by its outputs and the kernel's truth alone:
//!
//! - at most one live run a process, no live run that no process knows, no spawn while a conflict lives;
//! - nothing is prepared before what it requires or binds to is ready, and nothing at all once the shutdown began;
//! - during a shutdown nothing is signalled while what is ordered after it lives, unless it is stuck or a person escalated;
//! - every prepared run is released exactly once and last; probes and hooks are never doubled, nor left in flight;
//! - states change only as the design knows, and events, status and sequence numbers agree;
//! - every command is answered exactly once, a refused plan changes nothing, stale news is dropped and counted;
//! - a supervisor may die between any two outputs: the next one forgets nothing that lives, doubles nothing, counts no run
//!   twice, and tells every end exactly (as unknown where the anchor died too); commands in flight are never answered;
//! - at any time each process can say why it is as it is: by events that were told, to a first cause or with what is not
//!   known, in no circle;
//! - once the storm is over everything comes to rest, what is wanted down is down or reported stuck, and a shutdown ends.
//!
//! A million lives: `cargo run --release --features sim --example schedules -- 1000000`. One life again, with all that
//! happened in it: `NEAP_SIM_SEED=42 cargo test --test sim -- schedules --nocapture` (`NEAP_SIM_TAIL` shows more of it).

mod agenda;
mod behaviour;
mod crash;
mod harness;
mod kernel;
mod life;
mod plans;
mod reasons;
mod rng;
mod schedule;
mod sockets;
mod trace;
mod watch;
mod world;

pub use behaviour::{Behaviour, Killing, Preparation};
pub use crash::Death;
pub use rng::Rng;
pub use schedule::{Options, Report, Ruin, many, run};
pub use watch::legal;
pub use world::{Failure, Hostility, World};
