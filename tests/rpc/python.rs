//! Clients that are not ours: Python's grpcio.

use std::process::Command;

use crate::support::skipped;
use crate::world::{World, sleeper};

/// A Python with grpcio and protobuf: Debian's, unless told.
fn python(test: &str) -> Option<String> {
    let told = std::env::var("PYTHON").ok();
    let candidates = told.map_or_else(|| vec!["/usr/bin/python3".to_owned(), "python3".to_owned()], |one| vec![one]);
    let imports = |python: &String| {
        let found = Command::new(python).args(["-c", "import grpc, google.protobuf"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(imports);
    if found.is_none() {
        skipped(test, "python3 has no grpcio or no protobuf");
    }
    found
}

/// Runs a script against a world; it says `done` when all was as it should be.
fn run(python: &str, script: &str, world: &World) {
    let script = format!("{}/tests/rpc/{script}", env!("CARGO_MANIFEST_DIR"));
    // No byte code beside the sources.
    let output = Command::new(python).arg("-B").arg(script).arg(&world.socket).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end() == "done", "{out}{err}");
}

#[test]
fn a_python_client_calls_streams_and_reads_errors() {
    let Some(python) = python("a_python_client_calls_streams_and_reads_errors") else { return };
    let world = World::new();
    world.add(sleeper("web"));
    run(&python, "client.py", &world);
}

#[test]
fn a_python_client_of_the_older_system_goes_through_all_ten_calls() {
    let Some(python) = python("a_python_client_of_the_older_system_goes_through_all_ten_calls") else { return };
    run(&python, "process_manager.py", &World::new());
}

#[test]
fn the_examples_of_the_guide_do_what_they_say() {
    let Some(python) = python("the_examples_of_the_guide_do_what_they_say") else { return };
    let world = World::new();
    let root = env!("CARGO_MANIFEST_DIR");
    let guide = std::fs::read_to_string(format!("{root}/docs/grpc.md")).unwrap();
    let blocks = guide.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script: String = blocks.collect();
    assert!(script.contains("neap.Create(") && script.contains("older.Create("), "{script}");
    let script = script.replace("/run/neap/neap.sock", world.socket.to_str().unwrap());
    let mut command = Command::new(&python);
    command.args(["-B", "-c", &script]).env("PYTHONPATH", format!("{root}/examples"));
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    for words in ["1.2.3", "STATE_RUNNING", "on-failure", "did you mean `web`?", "env.PORT restart", "process.running"]
    {
        assert!(out.contains(words), "no {words} in {out}");
    }
    assert_eq!(world.supervisor.list().unwrap(), []);
}
