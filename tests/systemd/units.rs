//! The units that are shipped, each by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{TempDir, skipped, wait_until};
use crate::machine::Machine;

/// The units of dist/systemd, and whether they are users' units.
fn shipped() -> Vec<(PathBuf, bool)> {
    let below = |folder: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let systems = below("dist/systemd").into_iter().map(|path| (path, false));
    systems.chain(below("dist/systemd/user").into_iter().map(|path| (path, true))).collect()
}

/// What systemd-analyze(1) finds in a unit; nothing if there is no such program.
fn verify(folder: &TempDir, name: &str, text: &str, users: bool) -> Option<String> {
    let unit = folder.join(name);
    fs::write(&unit, text).expect("a file");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(users.then_some("--user")).args(["verify", "--man=no"]).arg(&unit);
    analyze.env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
    let output = analyze.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { said } else { format!("{said}{}", output.status) })
}

#[test]
fn systemd_analyze_finds_nothing_wrong_with_the_units() {
    let test = "systemd_analyze_finds_nothing_wrong_with_the_units";
    let folder = TempDir::new();
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["neap", "dd-procmgrd", "dd-procmgr"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_neap"), bin.join(name)).unwrap();
    }
    let all = shipped();
    assert!(all.len() >= 4, "{all:?}");
    for (path, users) in all {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("=/usr/local/bin/"), "{}: what dist/install replaces", path.display());
        let text = text.replace("/usr/local/bin", bin.to_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(found) = verify(&folder, name, &text, users) else {
            return skipped(test, "systemd-analyze is not installed");
        };
        assert_eq!(found, "", "{}", path.display());
        let wrong = text.replace("KillMode=mixed", "KilMode=mixed");
        assert_ne!(verify(&folder, name, &wrong, users).unwrap(), "", "it would have been found");
    }
}

/// The blocks of a page that are fenced with this word.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let fence = format!("\n```{language}\n");
    text.split(&*fence).skip(1).map(|part| part.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_drop_ins_of_the_page_are_ones() {
    let test = "the_drop_ins_of_the_page_are_ones";
    let folder = TempDir::new();
    let drop_ins = blocks("docs/systemd.md", "ini");
    assert!(drop_ins.len() >= 3);
    for drop_in in drop_ins {
        let unit = format!("[Unit]\nDescription=x\n[Service]\nType=oneshot\nExecStart=/bin/true\n{drop_in}\n");
        let unit =
            unit.replace("/usr/local/bin/neap", env!("CARGO_BIN_EXE_neap")).replace("neap.service", "basic.target");
        let Some(found) = verify(&folder, "x.service", &unit, false) else {
            return skipped(test, "systemd-analyze is not installed");
        };
        assert_eq!(found, "", "{drop_in}");
    }
}

#[test]
fn an_instance_of_the_template_has_its_own_configuration_and_nothing_to_do_with_another() {
    let test = "an_instance_of_the_template_has_its_own_configuration_and_nothing_to_do_with_another";
    let of = |name: &str| {
        format!("require('neap').process '{name}' {{ shell = 'echo $$ >> FOLDER/{name}; exec sleep 1000' }}\n")
    };
    let Some(machine) = Machine::boot(test, &of("system"), "") else { return };
    for name in ["a", "b"] {
        machine.write_config(&format!("{name}.lua"), &of(name));
    }
    machine.systemctl(&["start", "neap", "neap@a", "neap@b"]);
    for name in ["system", "a", "b"] {
        wait_until("it is up", || machine.path(name).exists());
    }
    machine.write_config("a.lua", &of("changed"));
    machine.systemctl(&["reload", "neap@a"]);
    wait_until("what it is now is up", || machine.path("changed").exists());
    machine.write_config("b.lua", "nonsense");
    machine.systemctl_fails(&["reload", "neap@b"]);
    machine.systemctl(&["stop", "neap@a"]);
    assert!(machine.neap(&["--instance", "/etc/neap/b.lua", "list"]).contains("running"));
    assert!(machine.neap(&["--instance", "system", "list"]).contains("running"));
    assert_eq!(machine.systemctl(&["show", "neap@b", "--value", "--property", "NRestarts"]), "0");
    machine.systemctl_fails(&["is-active", "neap@missing"]);
}

#[test]
fn the_unit_of_the_older_name_reads_the_older_places_and_variables() {
    let test = "the_unit_of_the_older_name_reads_the_older_places_and_variables";
    let of = |name: &str, more: &str| {
        let shell = format!("echo $$ >> FOLDER/{name}; exec sleep 1000");
        format!("command: /bin/sh\nargs: [-c, '{shell}']\nauto_start: true\n{more}")
    };
    let Some(machine) = Machine::boot(test, "", "") else { return };
    let place = "datadog-agent/process-manager/processes.d";
    machine.write_etc(&format!("{place}/one.yaml"), &of("one", ""));
    machine.write_etc("datadog-agent/environment", "DD_PM_LOG_LEVEL=debug\n");
    machine.systemctl(&["start", "dd-procmgrd"]);
    wait_until("it is up", || machine.path("one").exists());
    machine.write_etc(&format!("{place}/two.yaml"), &of("two", ""));
    machine.systemctl(&["reload", "dd-procmgrd"]);
    wait_until("what was added is up", || machine.path("two").exists());
    machine.write_etc(&format!("{place}/two.yaml"), &of("two", "restart_polcy: always\n"));
    machine.systemctl_fails(&["reload", "dd-procmgrd"]);
    assert!(machine.log().contains("two.yaml:4"), "{}", machine.log());
    machine.systemctl(&["stop", "dd-procmgrd"]);
    assert_eq!(machine.systemctl(&["show", "dd-procmgrd", "--value", "--property", "Result"]), "success");
}
