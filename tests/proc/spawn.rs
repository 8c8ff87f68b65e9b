//! B2, B3, B4, B10: what a child is given, and what an error says.

use neap::core::ExitStatus;
use neap::driver::spawn::Launcher;

use crate::run::{actor_launch, run, run_actor};
use crate::support::Epilogue;

#[test]
fn a_child_runs_and_its_status_is_known() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    println!("{:?}", launcher.status());
    let (status, text) = run_actor(&launcher, &["say", "hello", "exit", "7"]);
    assert_eq!((status, text.as_str()), (ExitStatus::Code(7), "hello\n"));
    let (status, text) = run(&launcher, actor_launch(&["fds", "state"])).unwrap();
    println!("{status:?} {text}");
}
