//! `neap daemon --listen`, and roles of groups: who reaches a daemon, and who does not.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use neap::rpc::Address;

use crate::common::{copy_program, root_or_skip, wait_until};
use crate::support::Home;

/// A user that is neither root nor anybody, and a group that nobody else is in.
const STRANGER: u32 = 54_321;
const GROUP: u32 = 70_010;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// Has others pass the test's own folders, up to those that the daemon makes.
fn passable(home: &Home) {
    for folder in [home.path(""), home.path("run")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A client's call as another user.
fn as_user(home: &Home, gid: u32, args: &[&str]) -> Output {
    // The test's own folder of binaries may be closed to others.
    let binary = home.path("neap-for-all");
    if !binary.exists() {
        copy_program(env!("CARGO_BIN_EXE_neap"), &binary);
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(binary);
    home.surround(&mut command);
    // Root's supplementary groups are dropped along with its uid.
    command.args(args).uid(STRANGER).gid(gid).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn addresses_that_cannot_be_listened_at_are_refused_before_anything_is_started() {
    let home = Home::new();
    home.config("neap.process('web', { command = { 'touch', 'started' } })");
    let missing = home.path("missing.pem").display().to_string();
    let tls = ["--tls-cert", &missing, "--tls-key", &missing, "--tls-client-ca", &missing];
    for (args, code, said) in [
        (vec!["--listen", "0.0.0.0:0"], 1, "give --tls-cert, --tls-key and --tls-client-ca"),
        (vec!["--listen", "[::]:0"], 1, "mutual TLS"),
        (vec!["--listen", "nonsense"], 2, "expected unix:PATH, tcp:HOST:PORT"),
        (vec!["--listen", "unix:@neap"], 2, "an abstract socket has no mode"),
        (vec!["--listen", "127.0.0.1:0", "--tls-cert", &missing], 2, "--tls-key and --tls-client-ca: missing"),
        (tls.to_vec(), 2, "add --listen tcp:HOST:PORT"),
        ([&["--listen", "0.0.0.0:0"], &tls[..]].concat(), 1, "--tls-cert "),
        (vec!["--socket", "tcp:127.0.0.1:0"], 1, "--socket takes its path"),
    ] {
        let output = home.command(["daemon", "neap.lua"]).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        assert!(told(&output).contains(said), "{args:?}: {}", told(&output));
    }
    assert!(!home.path("started").exists());
}

#[test]
fn further_listeners_outlive_the_supervisor_and_are_gone_with_the_instance() {
    let home = Home::new();
    home.config("neap.process('web', { command = 'sleep 1000' })");
    let also = home.path("also/neap.sock");
    let listen = format!("unix:{}", also.display());
    let daemon = home.start(home.command(["daemon", "neap.lua", "--listen", "127.0.0.1:0", "--listen", &listen]));
    let ready = daemon.wait_for("neap: ready;");
    let at = ready.split(", and ").find(|part| part.starts_with("tcp:127.0.0.1:")).expect("its address").to_owned();
    let Ok(Address::Tcp { port, .. }) = at.parse() else { panic!("{at}") };
    assert_ne!(port, 0);
    // One that stays through it.
    let connected = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    for socket in [&at, &listen] {
        assert!(home.neap(["--socket", socket, "list"]).contains("running"), "{socket}");
    }
    daemon.crash();
    for socket in [&at, &listen] {
        assert!(home.neap(["--socket", socket, "list"]).contains("running"), "{socket}");
    }
    drop(connected);
    daemon.stop();
    assert!(!also.exists());
    let refused = home.ask(["--socket", &at, "list"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
}

#[test]
fn a_client_without_tls_does_not_talk_to_another_machine() {
    let home = Home::new();
    let refused = home.ask(["--socket", "tcp:192.0.2.1:5000", "list"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    assert!(told(&refused).contains("NEAP_TLS_CA"), "{}", told(&refused));
}

#[test]
fn h1_the_socket_lets_in_the_groups_that_have_a_role_and_nobody_else_under_any_umask() {
    if !root_or_skip("h1_the_socket_lets_in_the_groups_that_have_a_role_and_nobody_else_under_any_umask") {
        return;
    }
    for umask in ["0", "077"] {
        let home = Home::new();
        passable(&home);
        let roles = format!("neap.settings {{ roles = {{ observer = {GROUP} }} }}\n");
        let web = "neap.process('web', { command = 'sleep 1000' })";
        home.config(&format!("{roles}{web}"));
        let (folder, socket) = (home.path("control"), home.path("control/neap.sock"));
        let at = socket.display().to_string();
        let mut command = Command::new("sh");
        home.surround(&mut command);
        let line = format!("umask {umask}; exec \"$@\"");
        command.args(["-c", &line, "sh", env!("CARGO_BIN_EXE_neap"), "daemon", "neap.lua", "--socket", &at]);
        let daemon = home.start(command);
        daemon.wait_for("neap: ready;");
        // Of its own folder only passing is granted, neither listing nor writing.
        assert_eq!((mode(&socket), mode(&folder)), (0o660, 0o710), "umask {umask}");
        let member = as_user(&home, GROUP, &["--socket", &at, "list"]);
        assert!(member.status.success(), "{}", told(&member));
        let stops = as_user(&home, GROUP, &["--socket", &at, "stop", "web"]);
        assert_eq!(stops.status.code(), Some(6), "{}", told(&stops));
        assert!(told(&stops).contains("has the role observer by the group 70010, and Stop takes the role operator"));
        let stranger = as_user(&home, STRANGER, &["--socket", &at, "list"]);
        assert_eq!(stranger.status.code(), Some(6), "{}", told(&stranger));
        // In force at apply: more, and then nothing.
        home.config(&format!("{}{web}", roles.replace("observer", "operator")));
        home.neap(["--socket", &at, "apply"]);
        let stops = as_user(&home, GROUP, &["--socket", &at, "stop", "web"]);
        assert!(stops.status.success(), "{}", told(&stops));
        daemon.crash_at(&at);
        let member = as_user(&home, GROUP, &["--socket", &at, "list"]);
        assert!(member.status.success(), "a successor knows of it: {}", told(&member));
        home.config(web);
        home.neap(["--socket", &at, "apply"]);
        assert_eq!((mode(&socket), mode(&folder)), (0o600, 0o700), "umask {umask}");
        let member = as_user(&home, GROUP, &["--socket", &at, "list"]);
        assert_eq!(member.status.code(), Some(6), "{}", told(&member));
        daemon.stop();
    }
}

#[test]
fn a_group_that_there_is_not_is_an_error_at_its_line_and_changes_nothing() {
    let home = Home::new();
    let roles = "neap.settings {\n  roles = { admin = \"no-such-group\" },\n}";
    home.config(roles);
    let checked = home.ask(["check", "neap.lua"]);
    assert_eq!(checked.status.code(), Some(1));
    let said = told(&checked);
    assert!(said.contains("neap.lua:3: neap.settings: roles: group `no-such-group` does not exist"), "{said}");
    home.config("");
    let daemon = home.ready();
    home.config(roles);
    let applied = home.ask(["apply"]);
    assert!(told(&applied).contains("`no-such-group` does not exist"), "{}", told(&applied));
    assert_eq!(home.status()["generation"], 1);
    daemon.stop();
}

#[test]
fn what_keeps_a_group_from_the_socket_is_told() {
    if !root_or_skip("what_keeps_a_group_from_the_socket_is_told") {
        return;
    }
    let home = Home::new();
    std::fs::set_permissions(home.path(""), std::fs::Permissions::from_mode(0o700)).unwrap();
    home.config(&format!("neap.settings {{ roles = {{ observer = {GROUP} }} }}"));
    let daemon = home.ready();
    let degraded = || home.status()["degraded"].to_string();
    wait_until("it is told", || degraded().contains("may not pass the folder"));
    assert!(degraded().contains("choose another place with --socket"), "{}", degraded());
    daemon.stop();
}
