//! Neap as a service of a real systemd, which is PID 1 of namespaces of its own: of pids, mounts, cgroups, names, IPC.

#[path = "../support/mod.rs"]
mod common;
mod limits;
mod machine;
mod units;

use std::fs;

use nix::sys::signal::Signal;

use common::wait_until;
use machine::Machine;

/// One process, that says when it was started and when it was stopped.
const ONE: &str = r#"
local neap = require "neap"
neap.process "one" {
  shell = "trap 'echo stopped >> FOLDER/one; exit 0' TERM; echo started $$ >> FOLDER/one; while :; do sleep 0.1; done",
}
"#;

/// What the process says of itself.
fn told(machine: &Machine) -> Vec<String> {
    let text = fs::read_to_string(machine.path("one")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A machine whose service is up, and so its process.
fn begin(test: &str, service: &str) -> Option<Machine> {
    let machine = Machine::boot(test, ONE, service)?;
    machine.systemctl(&["start", "neap"]);
    assert_eq!(machine.show("ActiveState"), "active", "{}", machine.log());
    wait_until("its process is up", || told(&machine).len() == 1);
    Some(machine)
}

#[test]
fn systemd_starts_reloads_and_stops_it() {
    let Some(machine) = begin("systemd_starts_reloads_and_stops_it", "") else { return };
    assert_eq!(machine.name_of_main(), "neap-anchor", "the main process is the anchor");
    assert!(machine.show("StatusText").contains("1 process"), "{}", machine.show("StatusText"));

    let more = ONE.to_owned() + "neap.process \"two\" { shell = \"echo two > FOLDER/two; exec sleep 1000\" }\n";
    machine.configure(&more);
    machine.systemctl(&["reload", "neap"]);
    assert!(machine.neap(&["list"]).contains("two"), "it is in force when the reload is over");
    wait_until("what was added is up", || machine.path("two").exists());
    assert_eq!(told(&machine).len(), 1, "what did not change is not touched");

    machine.configure("local neap = require 'neap'\nneap.process 'one' { comand = 'true' }\n");
    assert!(machine.systemctl_fails(&["reload", "neap"]).contains("Job for neap.service failed"));
    assert!(machine.log().contains("neap.lua:2: "), "with what is wrong: {}", machine.log());
    assert_eq!(machine.show("ActiveState"), "active", "and all goes on");
    assert!(machine.neap(&["status"]).contains("refused"), "{}", machine.neap(&["status"]));
    assert!(machine.neap(&["list"]).contains("two") && told(&machine).len() == 1);

    machine.systemctl(&["stop", "neap"]);
    assert_eq!((&*machine.show("ActiveState"), &*machine.show("Result")), ("inactive", "success"), "{}", machine.log());
    assert_eq!(told(&machine)[1..], ["stopped"], "in order, and not by the killing of what is left");
    assert_eq!(machine.members(), 0, "nothing is left");
}

#[test]
fn a_killed_supervisor_is_back_and_systemd_sees_nothing_of_it() {
    let test = "a_killed_supervisor_is_back_and_systemd_sees_nothing_of_it";
    let Some(machine) = begin(test, "") else { return };
    let main = machine.show("MainPID");
    for life in 1..=3 {
        let pid = machine.supervisor();
        machine.kill(pid, Signal::SIGKILL);
        wait_until("there is another", || machine.supervisor_or_none().is_some_and(|now| now != pid));
        wait_until("it is ready", || machine.log().matches(" ready").count() > life);
    }
    assert_eq!((machine.show("ActiveState"), machine.show("MainPID")), ("active".to_owned(), main));
    assert_eq!(machine.show("NRestarts"), "0");
    assert_eq!(told(&machine).len(), 1, "the process was adopted: {:?}", told(&machine));
    machine.systemctl(&["stop", "neap"]);
    assert_eq!(told(&machine)[1..], ["stopped"]);
    assert_eq!(machine.show("Result"), "success", "{}", machine.log());
}

#[test]
fn a_supervisor_that_hangs_is_replaced_before_systemds_watchdog_ends_the_service() {
    let test = "a_supervisor_that_hangs_is_replaced_before_systemds_watchdog_ends_the_service";
    let Some(machine) = begin(test, "WatchdogSec=12") else { return };
    let (main, pid) = (machine.show("MainPID"), machine.supervisor());
    machine.kill(pid, Signal::SIGSTOP);
    wait_until("there is another", || machine.supervisor_or_none().is_some_and(|now| now != pid));
    wait_until("it is ready", || machine.log().matches(" ready").count() > 1);
    assert!(machine.log().contains("hangs: it is killed"), "{}", machine.log());
    assert_eq!((machine.show("MainPID"), machine.show("NRestarts")), (main, "0".to_owned()));
    assert_eq!(told(&machine).len(), 1, "the process was adopted: {:?}", told(&machine));
}

#[test]
fn an_anchor_that_hangs_is_replaced_by_systemd() {
    let settings = "WatchdogSec=6\nTimeoutAbortSec=1\nRestartSec=0";
    let Some(machine) = begin("an_anchor_that_hangs_is_replaced_by_systemd", settings) else { return };
    let main = machine.main();
    machine.kill(main, Signal::SIGSTOP);
    wait_until("systemd starts it again", || {
        machine.show("NRestarts") == "1" && machine.show("ActiveState") == "active"
    });
    assert_ne!(machine.main(), main);
    wait_until("the process is up again", || told(&machine).len() == 2);
    assert_eq!(machine.members_named("sleep 1000"), 0);
}

#[test]
fn an_anchor_that_is_killed_is_a_service_that_systemd_starts_anew() {
    let Some(machine) = begin("an_anchor_that_is_killed_is_a_service_that_systemd_starts_anew", "") else { return };
    let (main, supervisor) = (machine.main(), machine.supervisor());
    machine.kill(main, Signal::SIGKILL);
    wait_until("systemd starts it again", || {
        machine.show("NRestarts") == "1" && machine.show("ActiveState") == "active"
    });
    assert!(machine.main() != main && machine.supervisor() != supervisor);
    wait_until("the process is up again", || {
        told(&machine).iter().filter(|line| line.starts_with("started")).count() == 2
    });
    assert_eq!(machine.members_named("sleep 1000"), 0);
    assert_eq!(machine.members(), 4, "an anchor, a supervisor, the process and its sleep: nothing is there twice");
}

#[test]
fn a_service_whose_configuration_is_refused_is_given_up_and_says_why() {
    let test = "a_service_whose_configuration_is_refused_is_given_up_and_says_why";
    let Some(machine) = Machine::boot(test, "local neap = require 'neap'\nnonsense()\n", "RestartSec=0") else {
        return;
    };
    machine.systemctl_fails(&["start", "neap"]);
    wait_until("it is given up", || machine.show("ActiveState") == "failed");
    assert!(machine.log().contains("neap.lua:2: "), "{}", machine.log());
    machine.configure(ONE);
    machine.systemctl(&["reset-failed", "neap"]);
    machine.systemctl(&["start", "neap"]);
    wait_until("its process is up", || told(&machine).len() == 1);
}

/// What is read differently by somebody who guesses.
const VARIABLES: &str = "# comment \\\nCOMMENTED=1\n; other\n\nPLAIN=a b  \nSPACED =  x\t\nEMPTY=\nQUOTED=\"  a \\\" \\$HOME \\n \\\\ \"  \n\
    SINGLE='a \\ \"b\" $c\nsecond line'\nJOINED=a\\\nb\nJOINED_Q=\"a\\\nb\"\nESCAPED=a\\ b\\\\c\\n\\ \\ \nMIXED='a'\"b\"c 'd'\nHASH=a#b ; c\n\
    AGAIN=1\nAGAIN=2\nexport EXPORTED=1\n1DIGIT=1\nNO_ASSIGNMENT\nDASH-ED=1\nEQ==a=b\nTRAILING=a \\\n  \nCRLF=1\r\nCRLF_Q=\"a\\\r\nb\"\n\
    AFTER=\"a\" b  c \nAPOSTROPHE=it's\nTAB=\ta\tb\t\nBACKTICK=\"\\`x\\`\"\nDOLLAR=$HOME ${HOME} %h\nUNCLOSED=\"to the end\n";

#[test]
fn files_of_variables_mean_what_they_mean_to_systemd() {
    let folder = common::TempDir::new();
    let file = folder.join("variables");
    fs::write(&file, VARIABLES).unwrap();
    let configuration = format!(
        "local neap = require 'neap'\n\
         neap.process 'one' {{ command = {{ 'sh', '-c', 'cat /proc/self/environ > FOLDER/environ; echo > FOLDER/one; exec sleep 1000' }}, \
         clear_env = true, env_file = '{}' }}\n",
        file.display()
    );
    let service = format!("EnvironmentFile={}", file.display());
    let test = "files_of_variables_mean_what_they_mean_to_systemd";
    let Some(machine) = Machine::boot(test, &configuration, &service) else { return };
    machine.systemctl(&["start", "neap"]);
    wait_until("the process has told", || machine.path("one").exists());
    // What systemd itself has made of the file is the supervisor's own environment.
    let theirs = variables(&fs::read(format!("/proc/{}/environ", machine.supervisor())).unwrap());
    let ours = variables(&fs::read(machine.path("environ")).unwrap());
    let names = ours.keys().filter(|name| !["NEAP_RUN", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()));
    let names: Vec<&String> = names.collect();
    assert!(names.len() > 20, "{ours:?}");
    for name in &names {
        assert_eq!(theirs.get(*name), ours.get(*name), "{name}");
    }
    for name in VARIABLES.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().to_owned()) {
        assert_eq!(theirs.contains_key(&name), ours.contains_key(&name), "{name}");
    }
}

fn variables(environ: &[u8]) -> std::collections::BTreeMap<String, String> {
    let all = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    all.filter_map(|one| one.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}
