//! The `neap` module: one file for each part of it.

mod call;
mod define;
mod effects;
mod events;
mod fetch;
mod finish;
mod group;
mod handle;
mod inputs;
mod json;
mod library;
mod log;
mod module;
mod outcome;
mod plan;
mod probes;
mod process;
mod run_time;
mod settings;
mod telemetry;
mod update;
mod why;
mod yaml;

pub use super::evaluation::{Declared, DogStatsdSettings, Handler, RoleOfGroup, Settings, Timer};
pub use call::{arguments, outcome};
pub use finish::finish;
pub use library::{embedded, modules};
pub use module::register;

#[cfg(test)]
pub(crate) use effects::EFFECTS;
pub(crate) use events::topics;
pub(crate) use handle::METHODS;
pub(crate) use json::to_json;
pub(crate) use run_time::{event_table, topic};
pub(crate) use settings::KEYS as SETTINGS_KEYS;
#[cfg(feature = "cli")]
pub(crate) use yaml::sockets_of;
pub(crate) use yaml::{declare_file, is_yaml, leave_incomplete, take_in};
