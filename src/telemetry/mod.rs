//! What was counted, for programs that collect such figures: a page of OpenMetrics, and DogStatsD datagrams.
//!
//! One table says what there is: its names, types, units and labels are those of `docs/telemetry.md`.
//!
//! ```
//! use neap::{Supervisor, spec::Spec, telemetry::Telemetry};
//!
//! let supervisor = Supervisor::builder().build()?;
//! supervisor.add(Spec::new("hello", ["true"]).oneshot())?.start_blocking()?;
//! let page = Telemetry::new(&supervisor).page()?;
//! assert!(page.contains("neap_process_starts_total{process=\"hello\"} 1\n"), "{page}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod agent;
mod datagram;
mod page;
mod pusher;
mod request;
mod server;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

pub use address::{AgentAddress, AgentAddressError};
pub use page::Format;
pub use pusher::DogStatsd;
pub use server::{PageListener, Server, ServerError};
pub use snapshot::{About, Telemetry};
pub use table::{Kind, Metric, table};
