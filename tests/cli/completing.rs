//! What a shell is answered when somebody presses Tab.

use std::process::{Command, Stdio};

use crate::instance::Instance;
use crate::support::Folder;

const CONFIGURATION: &str = r#"
local neap = require "neap"
neap.process "web" { command = { "sleep", "1000" } }
neap.process "worker" { command = { "sleep", "1000" } }
neap.process "db" { command = { "sleep", "1000" } }
"#;

/// Sources the script, and has its function complete each line: the last word is the one at the cursor.
const ASK: &str = r#"
source <("$NEAP" completions bash) || exit 1
complete -p neap > /dev/null || exit 1
while read -r line; do
    COMP_WORDS=($line); [[ $line == *' ' || $line == *_ ]] && COMP_WORDS[${#COMP_WORDS[@]} - 1]=''
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMP_TYPE=9; COMPREPLY=()
    _clap_complete_neap neap "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
"#;

/// What bash offers for each line, in a folder. A `_` at the end of one stands for an empty word.
fn bash(instance: Option<&Instance>, lines: &[&str]) -> Option<Vec<String>> {
    let empty = Folder::new();
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", ASK]).env("NEAP", env!("CARGO_BIN_EXE_neap"));
    for (name, place) in [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        let base = instance.map_or(empty.path(), Instance::path);
        command.env(name, if name == "HOME" { base.to_owned() } else { base.join(place) });
    }
    command.env_remove("NEAP_SOCKET").current_dir(instance.map_or(empty.path(), Instance::path));
    let input = empty.write("lines", &(lines.join("\n") + "\n"));
    command.stdin(std::fs::File::open(input).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(child) = command.spawn() else {
        println!("skipped: {}: there is no bash", std::thread::current().name().unwrap_or_default());
        return None;
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_flags_values_and_the_processes_that_there_are() {
    let instance = Instance::start(CONFIGURATION);
    let lines = [
        "neap stat",
        "neap stop w",
        "neap stop web _",
        "neap list --state fai",
        "neap signal web HU",
        "neap completions _",
        "neap stop --dry",
        "neap --color ne",
        "neap check ne",
    ];
    let Some(offered) = bash(Some(&instance), &lines) else { return };
    let expected = [
        "status stats",
        "web worker",
        "db web worker",
        "failed",
        "HUP",
        "bash zsh fish",
        "--dry-run",
        "never",
        "neap.lua",
    ];
    for (index, expected) in expected.iter().enumerate() {
        let (mut offered, mut expected): (Vec<&str>, Vec<&str>) =
            (offered[index].split(' ').collect(), expected.split(' ').collect());
        offered.sort_unstable();
        expected.sort_unstable();
        // There may be more commands with this beginning.
        let enough = if index == 0 { offered.contains(&"status") } else { offered == expected };
        assert!(enough, "{}: {offered:?}", lines[index]);
    }
}

#[test]
fn where_no_instance_runs_completion_is_silent_and_offers_what_needs_none() {
    let Some(offered) = bash(None, &["neap stop _", "neap stop --dry", "neap --socket /nowhere logs w"]) else {
        return;
    };
    assert!(offered[0].split(' ').all(|flag| flag.starts_with("--")), "{offered:?}");
    assert_eq!(offered[1..], ["--dry-run", ""]);
}

#[test]
fn the_scripts_of_other_shells_are_of_their_language() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Command::new(env!("CARGO_BIN_EXE_neap")).args(["completions", shell]).output().unwrap();
        assert!(script.status.success() && !script.stdout.is_empty());
        let folder = Folder::new();
        let file = folder.write("script", &String::from_utf8(script.stdout).unwrap());
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
            Err(_) => println!("skipped: the_scripts_of_other_shells_are_of_their_language: there is no {shell}"),
        }
    }
}
