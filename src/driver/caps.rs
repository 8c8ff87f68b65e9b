//! Capabilities by their names.

/// Names in the order of the kernel's numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The bit of a capability, from its name: lower case without `CAP_` (`net_bind_service`).
pub fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|n| *n == name).map(|n| 1 << n)
}

/// The bits of a list of names; `Err` has the first name that is not one.
pub fn bits<S: AsRef<str>>(names: &[S]) -> Result<u64, &str> {
    names.iter().try_fold(0, |all, n| bit(n.as_ref()).map(|b| all | b).ok_or(n.as_ref()))
}

/// Its name, for messages.
pub fn name(number: u32) -> &'static str {
    NAMES.get(number as usize).copied().unwrap_or("of unknown number")
}

/// All names, for messages that offer the nearest one.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}
