//! What a supervisor without privileges can give its processes, and what it says of what it cannot.

use crate::support::{Folder, Neap};

/// A user without an entry in any database.
const NOBODY: u32 = 54_321;

#[test]
fn without_privileges_rights_can_be_given_up_and_what_takes_more_fails_with_the_reason() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: without_privileges_rights_can_be_given_up: needs root, to become somebody else");
        return;
    }
    let folder = Folder::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    // The limits of this process are the supervisor's.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let grants = [
        ("nice", "nice = 5"),
        ("umask", "umask = \"0077\""),
        ("oom", "limits = { oom_score_adj = 500 }"),
        ("files", "rlimits = { nofile = 64 }"),
        ("nnp", "no_new_privs = true"),
        ("itself", "user = \"54321\", group = \"54321\""),
    ];
    let files = format!("rlimits = {{ nofile = {} }}", hard.saturating_add(1));
    let lacks = "operation not permitted; the supervisor lacks the capability";
    let denied = "permission denied; the supervisor lacks the capability";
    let us = "the supervisor is user 54321 and lacks the capability";
    let refusals = [
        ("user", "user = \"root\"", format!("cannot change its user and groups: {us} `setgid`")),
        ("group", "group = \"root\"", format!("cannot change its user and groups: {us} `setgid`")),
        ("groups", "groups = { \"mail\" }", format!("cannot change its user and groups: {us} `setgid`")),
        ("keen", "nice = -5", format!("cannot set the nice value -5: {denied} `sys_nice`")),
        (
            "safe",
            "limits = { oom_score_adj = -500 }",
            format!("cannot set oom_score_adj to -500: {denied} `sys_resource`"),
        ),
        ("wide", files.as_str(), format!("(at most {}): {lacks} `sys_resource`", hard.saturating_add(1))),
        (
            "bound",
            "bounding_capabilities = { \"chown\" }",
            format!("cannot drop capability `dac_override` for good: {lacks} `setpcap`"),
        ),
        (
            "bind",
            "ambient_capabilities = \"net_bind_service\"",
            format!("cannot set the capabilities: {lacks} `net_bind_service`"),
        ),
    ];
    let mut config = "local neap = require \"neap\"\n".to_owned();
    for (name, keys) in grants {
        config += &format!(
            "neap.process \"{name}\" {{ command = {{ \"touch\", \"{name}\" }}, restart = \"never\", {keys} }}\n"
        );
    }
    for (name, keys, _) in &refusals {
        config += &format!(
            "neap.process \"{name}\" {{ command = {{ \"touch\", \"{name}\" }}, restart = \"never\", {keys} }}\n"
        );
    }
    folder.write("neap.lua", &config);
    // It ends when all of them have.
    let said = Neap::new(["up"]).dir(folder.path()).user(NOBODY).end().expect_code(1).stdout;
    for (name, _) in grants {
        assert!(folder.path().join(name).exists(), "{name}: {said}");
    }
    for (name, _, why) in &refusals {
        assert!(!folder.path().join(name).exists(), "{name} was executed");
        assert!(
            said.lines().any(|line| line.starts_with(name) && line.contains(why.as_str())),
            "{name}: {why} in {said}"
        );
    }
}
