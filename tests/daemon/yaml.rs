//! YAML as the configuration of an instance: folders at boot, after a crash, with plan, apply and HUP; `neap.yaml` in a
//! script; `neap import`; and `examples/yaml`, each with a daemon of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::common::wait_for;
use crate::support::{Home, identity, is, pid};

const SLEEPER: &str = "command: sleep 1000\nauto_start: true\n";

/// A folder `conf` with these files.
fn folder(home: &Home, files: &[(&str, &str)]) -> PathBuf {
    let folder = home.path("conf");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

/// A client's call to the instance of the configuration; its exit code, and all that it said.
fn ask(home: &Home, config: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = home.ask(["--instance", config].iter().chain(args));
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The rows of `list`.
fn list(home: &Home, config: &str) -> std::collections::BTreeMap<String, serde_json::Value> {
    let (_, text) = ask(home, config, &["list", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    all.into_iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
}

fn degraded(home: &Home, config: &str) -> Vec<String> {
    let (_, text) = ask(home, config, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status["degraded"].as_array().unwrap().iter().map(|why| why.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_folder_comes_up_without_its_bad_file_until_that_is_mended() {
    let home = Home::new();
    let bad = "command: sleep 1000\nrestart_polcy: always\nauto_start: true\n";
    let folder = folder(&home, &[("good.yaml", SLEEPER), ("bad.yaml", bad)]);
    let daemon = home.start(home.command(["daemon", "conf"]));
    let said = daemon.wait_for("the file is left out");
    assert!(said.contains("conf/bad.yaml:2: process `bad`: restart_polcy: there is no such key"), "{said}");
    daemon.wait_for("neap: ready;");
    assert_eq!(list(&home, "conf").keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(ask(&home, "conf", &["wait", "good"]).0, Some(0));
    let before = identity(pid(&list(&home, "conf")["good"]));

    // Status says so, and the next supervisor does, too.
    let why = degraded(&home, "conf");
    assert!(why.len() == 1 && why[0].contains("conf/bad.yaml:2:"), "{why:?}");
    let (_, status) = ask(&home, "conf", &["status", "--json"]);
    let supervisor: serde_json::Value = serde_json::from_str(&status).unwrap();
    let supervisor = i32::try_from(supervisor["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    daemon.wait_for("neap: ready;");
    assert_eq!(identity(pid(&list(&home, "conf")["good"])), before);
    assert_eq!(degraded(&home, "conf"), why);

    // Apply, plan, check and HUP refuse the whole.
    std::fs::write(folder.join("good.yaml"), "command: sleep 2000\nauto_start: true\n").unwrap();
    for words in [["apply"].as_slice(), &["plan"], &["check", "conf"]] {
        let (code, said) = ask(&home, "conf", words);
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(said.contains("conf/bad.yaml:2: process `bad`: restart_polcy:"), "{words:?}: {said}");
    }
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the configuration is refused; nothing was changed");
    assert_eq!(identity(pid(&list(&home, "conf")["good"])), before);

    // Once it is mended all of it is in force, and nothing is said any more.
    std::fs::write(folder.join("bad.yaml"), bad.replace("polcy", "policy")).unwrap();
    let (code, said) = ask(&home, "conf", &["apply"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(list(&home, "conf").values().all(|row| is(row, "running")));
    assert_ne!(identity(pid(&list(&home, "conf")["good"])), before);
    assert_eq!(degraded(&home, "conf"), Vec::<String>::new());
    assert_eq!(ask(&home, "conf", &["plan", "--exit-code"]).0, Some(0));
    daemon.stop();
}

#[test]
fn what_is_told_of_the_configuration_in_force_outlives_its_supervisor() {
    let home = Home::new();
    let folder = folder(&home, &[("good.yaml", SLEEPER)]);
    // One that could not even be read: there is no record of what it said.
    std::os::unix::fs::symlink("nowhere", folder.join("gone.yaml")).unwrap();
    let daemon = home.start(home.command(["daemon", "conf"]));
    daemon.wait_for("neap: ready;");
    let why = degraded(&home, "conf");
    assert!(why.len() == 1 && why[0].contains("conf/gone.yaml does not exist"), "{why:?}");
    std::fs::write(folder.join("good.yaml"), "comand: sleep 1000\n").unwrap();
    assert_eq!(ask(&home, "conf", &["apply"]).0, Some(1));
    let told = || {
        let (_, text) = ask(&home, "conf", &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        (status["degraded"].clone(), status["refused"].clone(), status["pid"].as_i64().unwrap())
    };
    let (wrong, refused, first) = told();
    assert!(refused.as_str().unwrap().contains("conf/good.yaml:1: "), "{refused}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(first).unwrap()), Signal::SIGKILL).unwrap();
    daemon.wait_for("neap: ready;");
    let (after_a_crash, still_refused, second) = told();
    assert_ne!(first, second);
    assert_eq!((&after_a_crash, &still_refused), (&wrong, &refused));
    let (code, said) = ask(&home, "conf", &["upgrade"]);
    assert_eq!(code, Some(0), "{said}");
    let (after_an_upgrade, still_refused, third) = told();
    assert_ne!(second, third);
    assert_eq!((&after_an_upgrade, &still_refused), (&wrong, &refused));

    // Until another is in force: then that is what there is to tell, also after a crash.
    std::fs::write(folder.join("good.yaml"), SLEEPER).unwrap();
    std::fs::remove_file(folder.join("gone.yaml")).unwrap();
    let (code, said) = ask(&home, "conf", &["apply"]);
    assert_eq!(code, Some(0), "{said}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(told().2).unwrap()), Signal::SIGKILL).unwrap();
    daemon.wait_for("neap: ready;");
    let (wrong, refused, _) = told();
    assert!(wrong.as_array().is_none_or(Vec::is_empty) && refused.is_null(), "{wrong} {refused}");
    daemon.stop();
}

#[test]
fn at_a_terminal_a_bad_file_of_a_folder_refuses_the_whole() {
    let home = Home::new();
    folder(&home, &[("good.yaml", SLEEPER), ("bad.yaml", "command: x\nrestart_polcy: always\n")]);
    for words in [["up", "conf"].as_slice(), &["up", "--detach", "conf"]] {
        let output = home.ask(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("conf/bad.yaml:2:") && said.contains("nothing was started"), "{words:?}: {said}");
    }
}

#[test]
fn a_script_with_yaml_survives_a_crash_while_the_files_are_edited() {
    let home = Home::new();
    let yaml = "process_manager:\n  managed_processes:\n    agent: { command: sleep 1000, auto_start: true }\n";
    std::fs::write(home.path("datadog.yaml"), yaml).unwrap();
    home.config(
        "local dd = neap.yaml 'datadog.yaml'
         neap.process 'shipper' { command = { 'sleep', '1000' }, requires = dd.agent }
         neap.group 'datadog' (dd)",
    );
    let daemon = home.ready();
    home.neap(["wait", "agent", "shipper"]);
    let before: Vec<_> = ["agent", "shipper"].iter().map(|name| identity(pid(&home.list()[*name]))).collect();
    std::fs::write(home.path("datadog.yaml"), "half a").unwrap();
    daemon.crash();
    let after: Vec<_> = ["agent", "shipper"].iter().map(|name| identity(pid(&home.list()[*name]))).collect();
    assert_eq!(before, after);
    let refused = home.ask(["apply"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    std::fs::write(home.path("datadog.yaml"), yaml.replace("sleep 1000", "sleep 1001")).unwrap();
    let planned = home.neap(["plan"]);
    assert!(planned.contains("~ agent: will be restarted; with shipper (running, ./datadog.yaml:3)"), "{planned}");
    home.neap(["apply"]);
    // The session knows the handles, as for any other process.
    let shown = home.neap(["eval", "return p.agent:status().state"]);
    assert!(shown.contains("running"), "{shown}");
    daemon.stop();
}

#[test]
fn what_is_imported_plans_to_no_difference_and_is_no_file_of_before() {
    let home = Home::new();
    let conf = folder(
        &home,
        &[
            ("web.yaml", "# Serves.\ncommand: sleep 1000\nauto_start: true\nrequires: db\nrestart_policy: always\n"),
            ("db.yaml", "command: sleep 1000\nauto_start: true\nworking_dir: sub\ntimeout_stop_sec: 5\n"),
        ],
    );
    std::fs::create_dir(conf.join("sub")).unwrap();
    let daemon = home.start(home.command(["daemon", "conf"]));
    daemon.wait_for("neap: ready;");
    home.neap(["import", "conf", "-o", "conf/all.lua"]);
    let (code, planned) = ask(&home, "conf", &["plan", "--exit-code", "conf/all.lua"]);
    assert_eq!(code, Some(0), "{planned}");
    // In another folder, relative paths stay those of the YAML's.
    let elsewhere = home.ask(["import", "conf", "-o", "elsewhere.lua"]);
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(said.contains("relative paths were made absolute") && said.contains(": those of db"), "{said}");
    let (lua, sub) = (std::fs::read_to_string(home.path("elsewhere.lua")).unwrap(), conf.join("sub"));
    assert!(lua.contains(&format!("working_dir = \"{}\"", sub.display())), "{lua}");
    // A file of its own, which names one of another.
    let one = home.ask(["import", "conf/web.yaml"]);
    let (lua, said) = (String::from_utf8_lossy(&one.stdout), String::from_utf8_lossy(&one.stderr));
    assert!(one.status.success() && lua.contains("-- Serves.\nneap.process \"web\" {"), "{lua}\n{said}");
    assert!(said.contains("conf/web.yaml:4: warning: process `web`: requires: there is no process \"db\""), "{said}");
    // What is there already is somebody's.
    let again = home.ask(["import", "conf/db.yaml", "-o", "conf/all.lua"]);
    assert!(!again.status.success(), "{again:?}");
    let wrong = home.ask(["import", "conf/all.lua"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    daemon.stop();
}

/// An example with ports that nobody has and paths of the test's own, as a file in its home.
fn example(home: &Home, name: &str) -> Option<(String, Vec<u16>)> {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"].iter().any(|path| Path::new(path).exists());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/yaml").join(name);
    let mut text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() <= 60, "{name} is longer than sixty lines");
    if !python && text.contains("python3") {
        println!("skipped: examples/yaml/{name}: no python3");
        return None;
    }
    let listeners: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    for (port, free) in (18471..18476).zip(&ports) {
        text = text.replace(&port.to_string(), &free.to_string());
    }
    text = text.replace("/tmp/neap-yaml-", home.path("example-").to_str().unwrap());
    std::fs::write(home.path(name), text).unwrap();
    Some((name.to_owned(), ports))
}

/// Runs an example, imports it and compares, looks at it as `look` does, and ends it.
fn run(name: &str, look: impl FnOnce(&Home, &str, &[u16])) {
    let home = Home::new();
    let Some((file, ports)) = example(&home, name) else { return };
    let daemon = home.start(home.command(["daemon", &file]));
    daemon.wait_for("neap: ready;");
    home.neap(["import", &file, "-o", "imported.lua"]);
    let (code, planned) = ask(&home, &file, &["plan", "--exit-code", "imported.lua"]);
    assert_eq!(code, Some(0), "{planned}");
    look(&home, &file, &ports);
    daemon.stop();
}

/// What a server answers.
fn get(port: u16) -> String {
    use std::io::{Read, Write};
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_example_simple_webserver_serves_and_comes_back() {
    run("simple-webserver.yaml", |home, file, ports| {
        assert_eq!(ask(home, file, &["wait", "simple-webserver"]).0, Some(0));
        assert!(get(ports[0]).contains(file), "it serves its folder");
        let before = pid(&list(home, file)["simple-webserver"]);
        nix::sys::signal::kill(before, Signal::SIGKILL).unwrap();
        assert_eq!(ask(home, file, &["wait", "simple-webserver", "--state", "backoff"]).0, Some(0));
        assert_eq!(ask(home, file, &["wait", "simple-webserver"]).0, Some(0));
        assert_ne!(pid(&list(home, file)["simple-webserver"]), before);
    });
}

#[test]
fn the_example_dependencies_stops_what_depends_and_brings_it_back() {
    run("dependencies.yaml", |home, file, _| {
        assert_eq!(ask(home, file, &["wait", "api", "exporter", "cache", "migrate"]).0, Some(0));
        let (code, said) = ask(home, file, &["stop", "database"]);
        assert_eq!(code, Some(0), "{said}");
        let rows = list(home, file);
        for (name, running) in [("database", false), ("api", false), ("exporter", false), ("cache", true)] {
            assert_eq!(is(&rows[name], "running"), running, "{rows:#?}");
        }
        assert_eq!(ask(home, file, &["start", "api"]).0, Some(0));
        assert!(is(&list(home, file)["database"], "running"));
        let (code, said) = ask(home, file, &["start", "maintenance"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!is(&list(home, file)["api"], "running"), "they conflict");
    });
}

#[test]
fn the_example_health_checks_restarts_one_and_leaves_the_other_alone() {
    run("health-checks.yaml", |home, file, _| {
        let (code, said) = ask(home, file, &["health", "--wait"]);
        assert_eq!(code, Some(0), "{said}");
        // Its start waits for the first success of worker, which may be looked at before it has made its file.
        let (code, said) = ask(home, file, &["wait", "reader"]);
        assert_eq!(code, Some(0), "{said}");
        let before = pid(&list(home, file)["web"]);
        nix::sys::signal::kill(before, Signal::SIGSTOP).unwrap();
        let spool = home.path("example-spool");
        std::fs::remove_file(&spool).unwrap();
        let wait = |what: &str, met: &dyn Fn(&std::collections::BTreeMap<String, serde_json::Value>) -> bool| {
            wait_for(what, || {
                let rows = list(home, file);
                if met(&rows) { Ok(()) } else { Err(format!("{rows:#?}")) }
            });
        };
        wait("worker is unhealthy", &|rows| rows["worker"]["health"] == "unhealthy");
        wait("web was restarted", &|rows| is(&rows["web"], "running") && pid(&rows["web"]) != before);
        wait("web is well again", &|rows| rows["web"]["health"] == "healthy");
        assert_eq!(list(home, file)["worker"]["run_count"], 1);
    });
}

#[test]
fn the_example_resource_limits_kills_what_takes_too_much() {
    run("resource-limits.yaml", |home, file, _| {
        assert_eq!(ask(home, file, &["wait", "web", "api"]).0, Some(0));
        let (_, shown) = ask(home, file, &["describe", "api", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let limits = &shown["spec"]["limits"];
        assert_eq!(
            (&limits["memory"], &limits["memory_low"], &limits["cpu_weight"]),
            (&(256 << 20).into(), &(64 << 20).into(), &25.into()),
            "{shown:#}"
        );
        let (code, said) = ask(home, file, &["wait", "leak", "--state", "crashed"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(list(home, file)["leak"]["run_count"], 4, "the first start, and three more");
    });
}

#[test]
fn the_example_socket_activation_starts_on_the_first_connection() {
    run("socket-activation.yaml", |home, file, ports| {
        let rows = list(home, file);
        assert!(is(&rows["web"], "waiting") && is(&rows["clock"], "waiting"), "for a connection: {rows:#?}");
        let answer = get(ports[3]);
        assert!(answer.contains("hello from process"), "{answer}");
        assert!(is(&list(home, file)["web"], "running"));
        use std::io::Read;
        let mut said = String::new();
        TcpStream::connect(("127.0.0.1", ports[4])).unwrap().read_to_string(&mut said).unwrap();
        assert!(said.starts_with("It is "), "{said}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(home.path("example-admin.sock")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    });
}
