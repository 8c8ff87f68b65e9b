//! Limits in a service with `Delegate=yes`. Controllers of version 2 for it are there in the virtual machine of `.ci/vm`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{actor, skipped, wait_until};
use crate::machine::Machine;

const LIMITED: &str = "
local neap = require 'neap'
neap.process 'eater' {
  command = { 'ACTOR', 'eat', '200000000', 'wait' }, limits = { memory = '32MiB' }, restart = 'never',
}
neap.process 'forker' {
  command = { 'ACTOR', 'fork', '{', 'wait', '}', 'try-fork', 'exit', '3' }, limits = { pids = 2 }, restart = 'never',
}
neap.process 'slow' { command = { 'ACTOR', 'wait' }, limits = { cpu = 0.5, io_weight = 50 } }
";

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned()
}

/// The folder of a process, below the instance's.
fn folder(service: &Path, name: &str) -> PathBuf {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut trees = below(service).flat_map(|instance| below(&instance).collect::<Vec<_>>());
    let is_its = |path: &PathBuf| path.file_name().is_some_and(|stem| stem.to_string_lossy().starts_with(name));
    trees.find(is_its).unwrap_or_else(|| panic!("no cgroup of {name}"))
}

#[test]
fn limits_bite_in_a_service_to_which_its_cgroup_is_delegated() {
    let test = "limits_bite_in_a_service_to_which_its_cgroup_is_delegated";
    if std::env::var_os("NEAP_TEST_VM").is_none() {
        return skipped(test, "needs all controllers of cgroups version 2: .ci/vm runs it in a virtual machine");
    }
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids +io").unwrap();
    let configuration = LIMITED.replace("ACTOR", actor().to_str().unwrap());
    let Some(machine) = Machine::boot(test, &configuration, "") else { return };
    machine.systemctl(&["start", "neap"]);
    for reason in ["out of memory (oom)", "exit code 3, at its pids limit"] {
        wait_until(reason, || machine.log().contains(reason));
    }
    let service = machine.service();
    let slow = folder(&service, "slow.");
    assert_eq!((read(&slow, "cpu.max"), read(&slow, "io.weight")), ("50000 100000".into(), "default 50".into()));
    // The daemon makes room for that: it lives below the service's own cgroup, in which nobody does.
    assert_eq!(read(&service, "cgroup.procs"), "");
    assert_eq!(read(&service.join("neap-supervisor"), "cgroup.procs").lines().count(), 2);
    // What systemd does to a unit meanwhile leaves it alone, and a reload finds its way.
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["set-property", "--runtime", "neap", "CPUWeight=50"]);
    machine.configure(&configuration.replace("cpu = 0.5", "cpu = 0.25"));
    machine.systemctl(&["reload", "neap"]);
    wait_until("the limit is another", || read(&slow, "cpu.max") == "25000 100000");
    assert_eq!((machine.show("ActiveState"), machine.show("NRestarts")), ("active".into(), "0".into()));
    machine.systemctl(&["stop", "neap"]);
    assert_eq!((&*machine.show("ActiveState"), &*machine.show("Result")), ("inactive", "success"), "{}", machine.log());
    assert_eq!(machine.members(), 0, "nothing is left");
}
