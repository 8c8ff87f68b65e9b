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
        // Whatever that of the tests is.
        ("nice", "nice = 19"),
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

#[test]
fn the_example_of_privileges_gives_a_server_what_it_needs_and_no_more() {
    let name = "the_example_of_privileges_gives_a_server_what_it_needs_and_no_more";
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new("/usr/bin/python3").exists() {
        return println!("skipped: {name}: needs root and python3");
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/privileges.lua");
    let folder = Folder::new();
    folder.write("neap.lua", &std::fs::read_to_string(file).unwrap());
    // One below 1024 that nobody has.
    let port = (700..1024).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let port_text = port.to_string();
    let path = "/usr/bin:/bin";
    let up = Neap::new(["up"]).dir(folder.path()).env("PRIVILEGES_PORT", &port_text).env("PATH", path).start();
    up.wait_for(|line| line.starts_with("report") && line.contains("nobody"));
    let pid = up.current_pid("web");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().replace('\t', " ");
    assert_eq!(value("Uid:"), "1 1 1 1");
    assert_eq!((value("Gid:").as_str(), value("Groups:").as_str()), ("1 1 1 1", ""));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), "0000000000000400", "{set}");
    }
    assert_eq!((value("NoNewPrivs:").as_str(), value("Umask:").as_str()), ("1", "0077"));
    // It serves at that port, and says the same of itself.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let page = std::io::read_to_string(stream).unwrap();
    assert!(page.contains("CapEff:\t0000000000000400"), "{page}");
    up.signal(nix::sys::signal::Signal::SIGINT);
    up.end().expect_code(0);
}

#[test]
fn h10_the_supervisors_memory_is_in_no_core_dump_and_not_open_to_what_it_supervises() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: h10_the_supervisors_memory: needs root, to become somebody else");
        return;
    }
    let folder = Folder::new();
    folder.write(
        "neap.lua",
        "require(\"neap\").process \"web\" { command = { \"sleep\", \"100000\" }, limits = { oom_score_adj = 9 } }\n",
    );
    let up = Neap::new(["up"]).dir(folder.path()).user(NOBODY).start();
    up.wait_for(|line| line.contains("* running (pid "));
    // What is not to be dumped is root's in /proc.
    let owner = |pid: nix::unistd::Pid| {
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{pid}/environ")).unwrap())
    };
    assert_eq!((owner(up.supervisor()), owner(up.current_pid("web"))), (0, NOBODY));
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", up.current_pid("web"))).unwrap();
    assert_eq!(score, "9\n");
    up.signal(nix::sys::signal::Signal::SIGINT);
    up.end().expect_code(0);
}
