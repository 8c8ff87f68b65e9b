//! docs/datadog-agent.md is true.

use std::process::Command;

use neap::spec::schema::{OLDER_NAMES, OLDER_TABLES, SPEC};

use crate::example::example;
use crate::support::Home;
use crate::world::{World, has_python, root};

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

/// The commands of the section on running it, against the daemon by its older name, with the example.
#[test]
fn the_commands_of_the_agents_page_work() {
    if !has_python("the_commands_of_the_agents_page_work") {
        return;
    }
    let world = World::new();
    let file = example(&world);
    let (bin, socket) = (world.home.path("bin"), world.home.path("run/process-manager.sock"));
    std::fs::create_dir(&bin).unwrap();
    for name in ["neap", "dd-procmgr", "dd-procmgrd"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_neap"), bin.join(name)).unwrap();
    }
    let command = |name: &str| {
        let mut command = Command::new(bin.join(name));
        world.home.surround(&mut command);
        command.env("DD_PM_CONFIG_FILE", &file).env("DD_PM_GRPC_SOCKET", &socket).env("NEAP_SOCKET", &socket);
        command
    };
    let mut daemon = command("dd-procmgrd");
    daemon.env_remove("NEAP_SOCKET").args(["--log-format", "datadog", "--dogstatsd"]);
    daemon.arg(format!("unix:{}", world.socket("dsd.socket").display()));
    let daemon = world.home.start(daemon);
    daemon.wait_for(" ready; ");
    let waited = || {
        let output = command("neap").args(["wait", "trace-agent", "dogstatsd"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    waited();

    let page = page();
    let (_, section) = page.split_once("\n## Running it\n").unwrap();
    let mut count = 0;
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        for words in line.split('`').skip(1).step_by(2) {
            let mut words = words.split(' ');
            let name = words.next().unwrap();
            if ["neap", "dd-procmgr"].contains(&name) {
                let output = command(name).args(words).output().unwrap();
                assert!(output.status.success(), "{line}: {output:?}");
                count += 1;
            }
        }
    }
    assert!(count >= 8, "only {count} commands were found");
    // The next one after an upgrade, with everything that it took over.
    waited();
    assert!(command("neap").arg("down").output().unwrap().status.success());
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
}
