//! Resource limits by their names.

/// Names in the order of the kernel's numbers (asm-generic/resource.h).
const NAMES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// The kernel's number of a resource limit, from its name in lower case without `RLIMIT_` (`nofile`).
pub fn resource(name: &str) -> Option<u32> {
    NAMES.iter().position(|n| *n == name).and_then(|n| u32::try_from(n).ok())
}

/// Its name, for messages.
pub fn name(resource: u32) -> &'static str {
    NAMES.get(resource as usize).copied().unwrap_or("of unknown number")
}

/// All names, for messages that offer the nearest one.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}
