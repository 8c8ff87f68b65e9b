//! The build tasks, run by plain `invoke`: NEAP_INVOKE says where it is (`.ci/run` makes an environment with it).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{TempDir, skipped};
use crate::world::root;

/// The program, or nothing after it was said that the test is skipped.
fn invoke(test: &str) -> Option<PathBuf> {
    let place = std::env::var_os("NEAP_INVOKE").map(PathBuf::from).filter(|path| path.exists());
    if place.is_none() {
        skipped(test, "NEAP_INVOKE names no invoke");
    }
    place
}

/// The folder that this test's own cargo builds into.
fn target() -> PathBuf {
    let neap = Path::new(env!("CARGO_BIN_EXE_neap"));
    neap.ancestors().nth(2).unwrap().to_owned()
}

/// Runs tasks in a folder, as somebody in a shell would: without what cargo tells its tests.
fn run<S: AsRef<OsStr>>(program: &Path, folder: &Path, args: &[S]) -> Output {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // Some build scripts are run again when these are other ones than last time.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if told.iter().any(|start| name.starts_with(start))
            || ["LD_LIBRARY_PATH", "NEAP_INVOKE", "OUT_DIR"].contains(&&*name)
        {
            command.env_remove(name);
        }
    }
    command.args(args).current_dir(folder).env("CARGO_TARGET_DIR", target()).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] }
    });
    below.collect()
}

#[test]
fn the_tasks_build_install_and_take_away_with_plain_invoke() {
    let Some(invoke) = invoke("the_tasks_build_install_and_take_away_with_plain_invoke") else { return };
    let page = std::fs::read_to_string(root().join("docs/datadog-agent.md")).unwrap();
    let listed = succeeds(&run(&invoke, root(), &["--list"]));
    for task in ["build", "build-release", "build-daemon", "build-cli", "test", "install", "uninstall"] {
        assert!(listed.contains(&format!("process-manager.{task} ")), "{task} is not in: {listed}");
        assert!(page.contains(&format!("`process-manager.{task}")), "docs/datadog-agent.md lacks {task}");
        let help = succeeds(&run(&invoke, root(), &["--help", &format!("process-manager.{task}")]));
        assert!(help.contains("Docstring:\n  ") && !help.contains("Docstring:\n  none"), "{help}");
    }

    let said = succeeds(&run(&invoke, root(), &["process-manager.build"]));
    for name in ["neap", "dd-procmgrd", "dd-procmgr"] {
        let path = target().join("debug").join(name);
        assert!(said.contains(path.to_str().unwrap()) && path.exists(), "{name}: {said}");
    }
    let version = Command::new(target().join("debug/dd-procmgr")).arg("--version").output().unwrap();
    assert!(version.status.success(), "{version:?}");

    // Installed twice is installed once; taken away, nothing is left.
    let prefix = TempDir::new();
    let place = prefix.join("opt/neap");
    let install = ["process-manager.install", "--debug", "--prefix", place.to_str().unwrap()];
    succeeds(&run(&invoke, root(), &install));
    let first = files(&place);
    for name in ["neap", "dd-procmgrd", "dd-procmgr"] {
        assert!(place.join("bin").join(name).exists(), "{name} is not in {first:?}");
    }
    succeeds(&run(&invoke, root(), &install));
    assert_eq!(files(&place), first);
    let uninstall = ["process-manager.uninstall", "--prefix", place.to_str().unwrap()];
    succeeds(&run(&invoke, root(), &uninstall));
    assert_eq!(files(prefix.path()), Vec::<PathBuf>::new());
    succeeds(&run(&invoke, root(), &uninstall));
}

#[test]
fn the_tasks_run_the_suites_and_refuse_what_they_do_not_know() {
    let Some(invoke) = invoke("the_tasks_run_the_suites_and_refuse_what_they_do_not_know") else { return };
    // This very program, whose tests of invoke are then skipped.
    let said = succeeds(&run(&invoke, root(), &["process-manager.test", "--suite", "e2e"]));
    assert!(said.contains("the_agents_programs_run_from_lua_as_the_example_says ... ok"), "{said}");
    let refused = run(&invoke, root(), &["process-manager.test", "--suite", "nightly"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("one of unit, e2e and all"), "{told}");
}

#[test]
fn the_tasks_work_in_another_projects_folder() {
    let Some(invoke) = invoke("the_tasks_work_in_another_projects_folder") else { return };
    let project = TempDir::new();
    let tasks = project.join("tasks/process_manager");
    std::fs::create_dir_all(&tasks).unwrap();
    for file in files(&root().join("dist/datadog-agent/process_manager")) {
        if file.extension().is_some_and(|extension| extension == "py") {
            std::fs::copy(&file, tasks.join(file.file_name().unwrap())).unwrap();
        }
    }
    let namespace = "from invoke import Collection\nfrom tasks import process_manager\n\nns = Collection()\nns.add_collection(process_manager)\n";
    std::fs::write(project.join("tasks/__init__.py"), namespace).unwrap();
    // It does not guess where Neap is …
    let refused = run(&invoke, project.path(), &["process-manager.build"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("set NEAP_SOURCE"), "{told}");
    // … it is told.
    let configuration = format!("process_manager:\n  source: {}\n", root().display());
    std::fs::write(project.join("invoke.yaml"), configuration).unwrap();
    let said = succeeds(&run(&invoke, project.path(), &["process-manager.build-daemon"]));
    assert!(said.contains("dd-procmgrd") && !said.contains("dd-procmgr "), "{said}");
}
