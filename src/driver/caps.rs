//! Capabilities by their names.

use crate::spec::names::{CAPABILITIES, capability_number};

/// The bit of a capability, from its name: lower case without `CAP_` (`net_bind_service`).
pub fn bit(name: &str) -> Option<u64> {
    capability_number(name).map(|number| 1 << number)
}

/// The bits of a list of names; `Err` has the first name that is not one.
pub fn bits<S: AsRef<str>>(names: &[S]) -> Result<u64, &str> {
    names.iter().try_fold(0, |all, n| bit(n.as_ref()).map(|b| all | b).ok_or(n.as_ref()))
}

/// Those that this thread can use, as bits; nothing when the kernel does not say.
pub fn own() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}

/// Its name, for messages.
pub fn name(number: u32) -> &'static str {
    CAPABILITIES.get(number as usize).copied().unwrap_or("of unknown number")
}
