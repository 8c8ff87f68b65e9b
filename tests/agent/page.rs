//! docs/datadog-agent.md is true.

use std::process::Command;

use neap::spec::schema::{OLDER_NAMES, OLDER_TABLES, SPEC};

use crate::support::Home;
use crate::world::root;

fn page() -> String {
    std::fs::read_to_string(root().join("docs/datadog-agent.md")).unwrap()
}

#[test]
fn every_configuration_of_the_agents_page_is_accepted() {
    let (page, home) = (page(), Home::new());
    let blocks: Vec<&str> = page.split("\n```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= 2, "only {} blocks were found", blocks.len());
    for block in blocks {
        let file = home.path("datadog.yaml");
        std::fs::write(&file, block).unwrap();
        let output = home.ask(["check", "--strict", "--elsewhere", file.to_str().unwrap()]);
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_key_that_takes_a_directives_place_exists() {
    let page = page();
    let (_, table) = page.split_once("\n| directive in the units |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        let keys = row.split(" | ").nth(1).unwrap();
        for key in keys.split('`').skip(1).step_by(2) {
            let mut older = OLDER_NAMES.iter().chain(&OLDER_TABLES).map(|(name, _)| *name);
            assert!(SPEC.keys().any(|known| known.name == key) || older.any(|name| name == key), "`{key}`: {row}");
        }
    }
}

#[test]
fn the_commands_of_the_agents_page_exist() {
    let neap = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_neap")).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (page, help, daemon) = (page(), neap(&["--help"]), neap(&["daemon", "--help"]));
    for called in ["neap ", "dd-procmgr "] {
        for rest in page.split(&format!("`{called}")).skip(1) {
            let command: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(
                help.contains(&format!("  {command} ")) || help.contains(&format!("  {command}\n")),
                "{called}{command}"
            );
        }
    }
    for flag in ["--log-format"] {
        assert!(page.contains(flag) && daemon.contains(flag), "{flag}");
    }
}
