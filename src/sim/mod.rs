//! The simulator: a [`World`] with virtual time, in which the machine meets a kernel that is meaner than Linux.

mod agenda;
mod behaviour;
mod harness;
mod kernel;
mod life;
mod plans;
mod rng;
mod schedule;
mod trace;
mod watch;
mod world;

pub use behaviour::{Behaviour, Killing, Preparation};
pub use rng::Rng;
pub use schedule::{Options, Report, Ruin, many, run};
pub use watch::legal;
pub use world::{Failure, Hostility, World};
