//! A client that is not ours: Python's grpcio.

use std::process::Command;

use crate::support::skipped;
use crate::world::{World, sleeper};

#[test]
fn a_python_client_calls_streams_and_reads_errors() {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import grpc"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        skipped("a_python_client_calls_streams_and_reads_errors", "python3 has no grpcio");
        return;
    }
    let world = World::new();
    world.add(sleeper("web"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rpc/client.py");
    let output = Command::new(&python).arg(script).arg(&world.socket).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end() == "done", "{out}{err}");
}
