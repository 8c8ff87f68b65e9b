//! What a process uses, as the older system tells it.

use std::time::Duration;

use crate::rpc::fault::Fault;
use crate::rpc::instance::{Served, blocking};
use crate::rpc::proto::process_manager as pm;
use crate::rpc::select::Found;

/// The figures of its whole tree; 0 is what cannot be told here, and what one that does not run uses.
pub(super) async fn of(served: &Served, found: &Found) -> Result<pm::ResourceUsageInfo, Fault> {
    let process = served.handle(found);
    let usage = blocking(move || process.usage()).await?;
    let usage = usage.map_err(|error| Fault::of(&error, Some(&found.status.name)))?.unwrap_or_default();
    let limits = &found.spec.limits;
    let micros = |time: Option<Duration>| time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let small = |number: Option<u64>| number.map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX));
    Ok(pm::ResourceUsageInfo {
        memory_current: usage.memory.unwrap_or_default(),
        memory_limit: usage.memory_limit.or(limits.memory).unwrap_or_default(),
        cpu_usage_usec: micros(usage.cpu),
        cpu_user_usec: micros(usage.cpu_user),
        cpu_system_usec: micros(usage.cpu_system),
        pids_current: small(usage.pids),
        pids_limit: small(usage.pids_limit.or(limits.pids)),
    })
}
