use std::ffi::OsString;

use super::{Name, client, daemon};
use crate::cli::args::{Cli, Command};
use crate::cli::client::args::Command as Client;
use crate::cli::older::variables::Variables;
use crate::cli::report::Level;

fn words(line: &[&str]) -> Vec<OsString> {
    line.iter().map(OsString::from).collect()
}

fn told(line: &[&str], variables: &[(&str, &str)]) -> Result<Cli, String> {
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    let (words, variables) = (words(line), Variables::new(&find));
    let told = match Name::of(words.first()).unwrap() {
        Name::Daemon => daemon::read(&words, &variables).map(|(cli, _)| cli),
        Name::Client => client::read(&words, &variables),
    };
    told.map_err(|error| {
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    })
}

/// The words that the supervisor of such a daemon is started with.
fn line(variables: &[(&str, &str)], words: &[&str]) -> String {
    let cli = told(&[&["dd-procmgrd"], words].concat(), variables).unwrap();
    assert!(matches!(cli.command, Command::Daemon(_)));
    let line: Vec<&str> = cli.global.line.iter().map(|word| word.to_str().unwrap()).collect();
    line.join(" ")
}

fn client(words: &[&str]) -> Client {
    let cli = told(&[&["dd-procmgr"], words].concat(), &[]).unwrap();
    let Command::Client(command) = cli.command else { panic!("{words:?}") };
    command
}

#[test]
fn a_program_goes_by_its_file_name_whatever_its_folder() {
    for (called, name) in [
        ("dd-procmgrd", Some(Name::Daemon)),
        ("/opt/datadog-agent/bin/dd-procmgrd", Some(Name::Daemon)),
        ("./dd-procmgr", Some(Name::Client)),
        ("neap", None),
        ("dd-procmgrd/neap", None),
        ("dd-procmgr2", None),
        ("", None),
    ] {
        assert_eq!(Name::of(Some(&called.into())), name, "{called}");
    }
    assert_eq!(Name::of(None), None);
}

#[test]
fn the_variables_of_the_daemon_become_flags_of_neap_daemon() {
    const SOCKET: &str = "--listen=unix:/var/run/datadog/process-manager.sock";
    const FOLDER: &str = "--config-dir=/etc/datadog-agent/process-manager/processes.d --may-be-missing";
    for (variables, expected) in [
        (&[][..], format!("daemon {SOCKET} {FOLDER}")),
        (&[("DD_PM_GRPC_SOCKET", "/run/x.sock")], format!("daemon --listen=unix:/run/x.sock {FOLDER}")),
        (&[("DD_PM_TRANSPORT_MODE", "Unix"), ("DD_PM_GRPC_PORT", "7")], format!("daemon {SOCKET} {FOLDER}")),
        (&[("DD_PM_TRANSPORT_MODE", "tcp")], format!("daemon --listen=tcp:127.0.0.1:50051 {FOLDER}")),
        (
            &[("DD_PM_TRANSPORT_MODE", "TCP"), ("DD_PM_DAEMON_PORT", "7"), ("DD_PM_GRPC_SOCKET", "/x")],
            format!("daemon --listen=tcp:127.0.0.1:7 --listen=unix:/x {FOLDER}"),
        ),
        (
            &[("DD_PM_TRANSPORT_MODE", "tcp"), ("DD_PM_DAEMON_PORT", "7"), ("DD_PM_GRPC_PORT", "8")],
            format!("daemon --listen=tcp:127.0.0.1:8 {FOLDER}"),
        ),
        (&[("DD_PM_CONFIG_FILE", "/etc/d.yaml")], format!("daemon {SOCKET} /etc/d.yaml")),
        (&[("DD_PM_CONFIG_FILE", "-d.yaml")], format!("daemon {SOCKET} ./-d.yaml")),
        (&[("DD_PM_CONFIG_DIR", "/etc/d"), ("DD_PM_CONFIG_FILE", "")], format!("daemon {SOCKET} --config-dir=/etc/d")),
        (&[("DD_PM_LOG_LEVEL", "WARNING")], format!("daemon {SOCKET} --log-level=warn {FOLDER}")),
        (&[("DD_PM_LOG_LEVEL", "trace")], format!("daemon {SOCKET} --log-level=trace {FOLDER}")),
    ] {
        assert_eq!(line(variables, &[]), expected, "{variables:?}");
    }
    // What is typed counts for more.
    let variables = [("DD_PM_CONFIG_DIR", "/etc/d"), ("DD_PM_LOG_LEVEL", "error"), ("DD_PM_GRPC_SOCKET", "/x")];
    let typed = ["--log-level", "info", "--log-format", "datadog", "--", "x.yaml"];
    let expected = "daemon --listen=unix:/x --log-level info --log-format datadog -- x.yaml";
    assert_eq!(line(&variables, &typed), expected);
    // The control socket itself is there: no second one in its place.
    assert_eq!(line(&variables, &["--socket", "/x", "y"]), "daemon --log-level=error --socket /x y");
    let Command::Daemon(daemon) = told(&["dd-procmgrd"], &variables).unwrap().command else { panic!() };
    assert_eq!((daemon.log_level, daemon.config_dir), (Some(Level::Error), Some("/etc/d".into())));
}

#[test]
fn a_wrong_value_is_wrong_usage_that_names_the_variable_and_what_is_allowed() {
    for (variables, expected) in [
        (&[("DD_PM_TRANSPORT_MODE", "udp")][..], "DD_PM_TRANSPORT_MODE is \"udp\": expected unix or tcp"),
        (&[("DD_PM_GRPC_PORT", "0")], "DD_PM_GRPC_PORT is \"0\": expected a port, a whole number from 1 to 65535"),
        (&[("DD_PM_GRPC_PORT", "65536")], "DD_PM_GRPC_PORT is \"65536\""),
        (&[("DD_PM_DAEMON_PORT", "http")], "DD_PM_DAEMON_PORT is \"http\""),
        (&[("DD_PM_GRPC_SOCKET", "@x")], "DD_PM_GRPC_SOCKET is \"@x\": expected the path of a Unix socket"),
        (&[("DD_PM_LOG_LEVEL", "loud")], "DD_PM_LOG_LEVEL is \"loud\": expected trace, debug, info, warn (or warning)"),
        (
            &[("DD_PM_CONFIG_FILE", "/a"), ("DD_PM_CONFIG_DIR", "/b")],
            "DD_PM_CONFIG_FILE is \"/a\" and DD_PM_CONFIG_DIR is \"/b\": a daemon has one configuration",
        ),
    ] {
        let refused = told(&["dd-procmgrd"], variables).unwrap_err();
        assert!(refused.contains(expected) && refused.contains("Usage: dd-procmgrd"), "{variables:?}: {refused}");
    }
    let not_absolute = ["tcp://1.2.3.4", "relative.sock", "unix:relative.sock", "unix://", "./x"];
    for value in not_absolute {
        let refused = told(&["dd-procmgrd"], &[("DD_PM_GRPC_SOCKET", value)]).unwrap_err();
        assert!(refused.contains(&format!("DD_PM_GRPC_SOCKET is {value:?}: expected the path of a Unix")), "{refused}");
    }
    let sockets = not_absolute.map(|value| ("DD_PM_SOCKET", value));
    let others = [("DD_PM_USE_TCP", "maybe"), ("DD_PM_DAEMON_PORT", "x"), ("DD_PM_SOCKET", "@")];
    for (variable, value) in others.into_iter().chain(sockets) {
        let refused = told(&["dd-procmgr", "list"], &[(variable, value)]).unwrap_err();
        assert!(refused.contains(&format!("{variable} is {value:?}: expected")), "{refused}");
    }
    let refused = told(&["dd-procmgrd", "--confg-dir", "x"], &[]).unwrap_err();
    assert!(refused.contains("--config-dir") && refused.contains("Usage: dd-procmgrd"), "{refused}");
}

#[test]
fn a_client_finds_the_daemon_where_the_variables_say() {
    let socket = |variables: &[(&str, &str)], words: &[&str]| {
        let cli = told(&[&["dd-procmgr"], words].concat(), variables).unwrap();
        cli.global.socket.unwrap().display().to_string()
    };
    let list = ["list"];
    assert_eq!(socket(&[], &list), "/var/run/datadog/process-manager.sock");
    assert_eq!(socket(&[("DD_PM_SOCKET", "/a")], &list), "/a");
    assert_eq!(socket(&[("DD_PM_SOCKET", "/a"), ("DD_PM_GRPC_SOCKET", "unix:///b")], &list), "/b");
    assert_eq!(socket(&[("DD_PM_USE_TCP", "1"), ("DD_PM_SOCKET", "/a")], &list), "tcp:127.0.0.1:50051");
    assert_eq!(socket(&[("DD_PM_USE_TCP", "True"), ("DD_PM_DAEMON_PORT", "7")], &list), "tcp:127.0.0.1:7");
    assert_eq!(socket(&[("DD_PM_TRANSPORT_MODE", "tcp"), ("DD_PM_GRPC_PORT", "8")], &list), "tcp:127.0.0.1:8");
    assert_eq!(socket(&[("DD_PM_TRANSPORT_MODE", "tcp"), ("DD_PM_USE_TCP", "0")], &list), socket(&[], &list));
    for typed in [["--socket", "/c", "list"], ["list", "--socket", "/c"]] {
        assert_eq!(socket(&[("DD_PM_USE_TCP", "1")], &typed), "/c");
    }
    let named = told(&["dd-procmgr", "--instance", "/x", "list"], &[("DD_PM_USE_TCP", "1")]).unwrap();
    assert_eq!((named.global.socket, named.global.called), (None, "dd-procmgr"));
}

#[test]
fn the_verbs_are_those_of_the_older_client() {
    assert!(matches!(client(&["start", "a"]), Client::Start(args) if args.names == ["a"]));
    assert!(matches!(client(&["stop", "a"]), Client::Stop(args) if args.names == ["a"]));
    for verb in ["delete", "remove"] {
        assert!(matches!(client(&[verb, "a", "--force"]), Client::Delete(args) if args.force && args.names == ["a"]));
    }
    assert!(matches!(client(&["list"]), Client::List(args) if args.names.is_empty()));
    assert!(matches!(client(&["describe", "a"]), Client::Describe(args) if args.names == ["a"]));
    assert!(matches!(client(&["stats", "a"]), Client::Stats(args) if args.names == ["a"]));
    assert!(matches!(client(&["reload-config"]), Client::Apply(args) if args.config.is_none() && !args.dry_run));
    assert!(matches!(client(&["status"]), Client::Status(args) if args.name.is_none()));
    assert!(matches!(client(&["health"]), Client::Health(args) if !args.wait && args.timeout.is_none()));
    let Client::Health(health) = client(&["health", "--wait", "--timeout", "30"]) else { panic!() };
    assert_eq!((health.wait, health.timeout.unwrap().as_secs()), (true, 30));
    assert!(matches!(client(&["health", "--timeout", "5"]), Client::Health(args) if !args.wait));
    let update = ["update", "a", "--restart", "always", "--restart-process", "--dry-run"];
    assert!(
        matches!(client(&update), Client::Update(args) if args.restart_process && args.dry_run && args.name == "a")
    );
    let refused = told(&["dd-procmgr", "strat", "a"], &[]).unwrap_err();
    assert!(refused.contains("'start'") && refused.contains("Usage: dd-procmgr"), "{refused}");
}

#[test]
fn a_create_takes_the_program_as_older_scripts_have_it_and_behind_dashes() {
    for (line, command, restart) in [
        ("web sleep 100 --restart always", "sleep 100", true),
        ("web --restart always sleep 100", "sleep 100", true),
        ("--restart=always web sleep 100", "sleep 100", true),
        ("web --restart always -- sleep 100", "sleep 100", true),
        ("web python3 -m http.server 8080 --restart always", "python3 -m http.server 8080", true),
        ("web sh -c -v -h x --restart always", "sh -c -v -h x", true),
        ("web sh -- -c x --restart always", "sh -c x --restart always", false),
        ("web -- sh -c --name", "sh -c --name", false),
        ("web --auto-start sleep -- 5", "sleep 5", false),
        ("web sleep 100 --env A=-1 --restart always --health-check-args -x", "sleep 100", true),
        ("web sleep --success-exit-status 0,3 --memory-limit 512M 7 --restart always", "sleep 7", true),
    ] {
        let line = [&["create"], line.split(' ').collect::<Vec<_>>().as_slice()].concat();
        let Client::Create(create) = client(&line) else { panic!("{line:?}") };
        assert_eq!((create.name.as_str(), create.command.join(" ").as_str()), ("web", command), "{line:?}");
        assert_eq!(create.spec.has("restart.policy"), restart, "{line:?}");
    }
    // Before the verb there are flags, too.
    let Client::Create(create) = client(&["--color", "never", "create", "web", "sleep", "-x"]) else { panic!() };
    assert_eq!(create.command, ["sleep", "-x"]);
    // A name can be that of a verb.
    assert!(matches!(client(&["start", "create", "-q"]), Client::Start(args) if args.names == ["create"]));
    let refused = told(&["dd-procmgr", "create", "web", "sleep", "1", "--restart-dely", "5"], &[]).unwrap_err();
    assert!(refused.contains("--restart-delay") && refused.contains("Usage: dd-procmgr create"), "{refused}");
    let refused = told(&["dd-procmgr", "create", "--auto-start"], &[]).unwrap_err();
    assert!(refused.contains("<NAME>"), "{refused}");
}

#[test]
fn the_help_is_in_the_program_s_own_name_and_lists_the_variables() {
    for (program, variables) in [
        (
            "dd-procmgrd",
            &[
                "DD_PM_TRANSPORT_MODE",
                "DD_PM_GRPC_PORT",
                "DD_PM_DAEMON_PORT",
                "DD_PM_GRPC_SOCKET",
                "DD_PM_CONFIG_FILE",
                "DD_PM_CONFIG_DIR",
                "DD_PM_LOG_LEVEL",
            ][..],
        ),
        ("dd-procmgr", &["DD_PM_GRPC_SOCKET", "DD_PM_SOCKET", "DD_PM_USE_TCP", "DD_PM_DAEMON_PORT"]),
    ] {
        let find = |_: &str| None;
        let read = |flag: &str| {
            let words = words(&[program, flag]);
            super::read(Name::of(words.first()).unwrap(), &words, &find).unwrap_err()
        };
        let (help, version) = (read("--help"), read("--version"));
        assert_eq!((help.exit_code(), version.exit_code()), (0, 0));
        let help = help.to_string();
        assert!(help.contains(&format!("Usage: {program}")), "{help}");
        variables.iter().for_each(|variable| assert!(help.contains(variable), "{variable}: {help}"));
        assert_eq!(version.to_string(), format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
    }
}
