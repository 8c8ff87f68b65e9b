//! Names: what a process and an account may be called, and the kernel's names for capabilities.

use super::schema::nearest;
use super::units::quote;

/// The longest name of a process.
pub const LONGEST_NAME: usize = 128;

/// The longest name of a user or group that is taken for one.
const LONGEST_ACCOUNT: usize = 256;

/// Capabilities in the order of their numbers (capabilities(7)), in lower case without `CAP_`.
pub const CAPABILITIES: [&str; 41] = [
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

/// The kernel's number of a capability, by its name as specs hold it.
pub fn capability_number(name: &str) -> Option<u32> {
    CAPABILITIES.iter().position(|known| *known == name).and_then(|number| u32::try_from(number).ok())
}

/// Why this cannot be a process's name, if it cannot.
pub fn process_name_error(name: &str) -> Option<String> {
    const MAY_BE: &str = "a name is letters, digits, `_`, `.`, `@` and `-`, begins with a letter, a digit or `_`";
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let ends_well = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-'));
    if !starts_well || !ends_well || name.len() > LONGEST_NAME {
        return Some(format!("{} cannot be a name: {MAY_BE}, and has at most {LONGEST_NAME} characters", quote(name)));
    }
    is_uuid(name).then(|| format!("{} cannot be a name: it has the shape of an id (a UUID)", quote(name)))
}

/// Whether text has the shape of a UUID.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Why this cannot be a user or group, if it cannot: neither a name that systems accept nor a plain decimal number.
///
/// Names that some tool may take for a number (`0x10`, `0day`, `-1`) are refused, so that a slip never becomes root.
pub fn account_error(account: &str) -> Option<String> {
    const EXPECTED: &str = "expected a user or group by name, or by number below 4294967295";
    let found = quote(account);
    if account.is_empty() {
        return Some(format!("{EXPECTED}, found {found}"));
    }
    if account.bytes().all(|b| b.is_ascii_digit()) {
        let is_plain = account == "0" || !account.starts_with('0');
        let in_range = account.parse::<u32>().is_ok_and(|number| number < u32::MAX);
        return match (is_plain, in_range) {
            (true, true) => None,
            (false, _) => Some(format!("{EXPECTED}, found {found}: a number has no leading zero")),
            (true, false) => Some(format!("{EXPECTED}, found {found}")),
        };
    }
    let starts_well = account.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let body = account.strip_suffix('$').unwrap_or(account);
    let ends_well = body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@'));
    if !starts_well || !ends_well || account.len() > LONGEST_ACCOUNT {
        let rule = "a name begins with a letter or `_`, then letters, digits, `_`, `.`, `@` and `-`";
        return Some(format!("{EXPECTED}, found {found}: {rule}"));
    }
    None
}

/// Why this is not a capability, if it is none.
pub(super) fn capability_error(name: &str) -> Option<String> {
    if capability_number(name).is_some() {
        return None;
    }
    let offer = nearest(name, CAPABILITIES).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
    Some(format!("{} is not a capability{offer}", quote(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_charset_of_the_contract() {
        for name in ["a", "_x", "9", "web-1", "a.b@c_d", &"x".repeat(128)] {
            assert_eq!(process_name_error(name), None, "{name}");
        }
        let rule = "cannot be a name: a name is letters, digits, `_`, `.`, `@` and `-`, begins with a letter, a digit \
                    or `_`, and has at most 128 characters";
        for name in ["", "-a", ".a", "@a", "a b", "a/b", "a\n", "ä", "a\0"] {
            assert_eq!(process_name_error(name), Some(format!("{} {rule}", quote(name))));
        }
        assert!(process_name_error(&"x".repeat(129)).is_some());
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let message = format!("\"{id}\" cannot be a name: it has the shape of an id (a UUID)");
        assert_eq!(process_name_error(id), Some(message));
        assert_eq!(process_name_error("550e8400-e29b-41d4-a716-44665544000x"), None);
    }

    #[test]
    fn an_account_is_a_name_or_a_plain_number_and_nothing_between() {
        for account in ["root", "_apt", "www-data", "a.b", "machine$", "user@domain", "0", "1000", "4294967294"] {
            assert_eq!(account_error(account), None, "{account}");
        }
        let expected = "expected a user or group by name, or by number below 4294967295, found";
        let rule = "a name begins with a letter or `_`, then letters, digits, `_`, `.`, `@` and `-`";
        for account in ["-1", "0x10", "0day", "a b", "a:b", "ünal", "1e3", "$", "a\nb"] {
            assert_eq!(account_error(account), Some(format!("{expected} {}: {rule}", quote(account))));
        }
        for account in ["", "4294967295", "99999999999"] {
            assert_eq!(account_error(account), Some(format!("{expected} \"{account}\"")));
        }
        let zero = format!("{expected} \"010\": a number has no leading zero");
        assert_eq!(account_error("010"), Some(zero));
    }

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(capability_number("chown"), Some(0));
        assert_eq!(capability_number("net_bind_service"), Some(10));
        assert_eq!(capability_number("sys_admin"), Some(21));
        assert_eq!(capability_number("checkpoint_restore"), Some(40));
        let message = "\"net_bind_servic\" is not a capability; did you mean \"net_bind_service\"?";
        assert_eq!(capability_error("net_bind_servic").as_deref(), Some(message));
        assert_eq!(capability_error("everything").as_deref(), Some("\"everything\" is not a capability"));
    }
}
