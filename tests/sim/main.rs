//! The machine in a simulated kernel.

mod schedules;
