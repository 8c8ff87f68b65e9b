//! `dist/install`: what it puts where, and that it leaves nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{TempDir, copy_program, root_or_skip, skipped, write_program};

/// A user that is nobody's.
const STRANGER: u32 = 54_322;

/// A folder of built programs, and one to install into that has something in it.
struct Ground {
    dir: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let ground = Ground { dir: TempDir::new() };
        // With a blank: sources may lie anywhere.
        fs::create_dir(ground.built()).unwrap();
        copy_program(env!("CARGO_BIN_EXE_neap"), ground.built().join("neap"));
        for folder in ["bin", "share/zsh"] {
            fs::create_dir_all(ground.prefix().join(folder)).unwrap();
        }
        fs::write(ground.prefix().join("bin/another"), "not ours").unwrap();
        for folder in ["home", "run", "state"] {
            fs::create_dir(ground.dir.join(folder)).unwrap();
        }
        ground
    }

    fn built(&self) -> PathBuf {
        self.dir.join("what was built")
    }

    fn prefix(&self) -> PathBuf {
        self.dir.join("prefix")
    }

    fn surround(&self, command: &mut Command) {
        command.env("HOME", self.dir.join("home")).env("XDG_RUNTIME_DIR", self.dir.join("run"));
        command.env("XDG_STATE_HOME", self.dir.join("state")).env_remove("XDG_CONFIG_HOME").env_remove("NEAP_SOCKET");
        command.current_dir(self.dir.path());
    }

    /// The script, with these arguments besides the prefix.
    fn script(&self, args: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/install"));
        self.surround(&mut command);
        command.arg("--prefix").arg(self.prefix()).args(args);
        command
    }

    fn installing(&self, args: &[&str]) -> Command {
        let mut command = self.script(args);
        command.arg("--from").arg(self.built());
        command
    }

    /// Installs, which must succeed; what it says.
    #[track_caller]
    fn install(&self, args: &[&str]) -> String {
        succeeds(&mut self.installing(args))
    }

    #[track_caller]
    fn uninstall(&self, args: &[&str]) -> String {
        succeeds(self.script(args).arg("--uninstall"))
    }

    /// The installed program.
    fn neap(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.prefix().join("bin/neap"));
        self.surround(&mut command);
        command.args(args);
        command
    }

    /// All that is below the prefix.
    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        look(&self.prefix(), &mut tree);
        tree
    }
}

/// Paths, with mode, owner, and what is in them or where they lead.
type Tree = BTreeMap<PathBuf, (u32, u32, Vec<u8>)>;

fn look(folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let what = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            look(&path, tree);
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        tree.insert(path, (metadata.mode(), metadata.uid(), what));
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    told(&output)
}

/// What it says; it must fail with this code.
#[track_caller]
fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", told(&output));
    told(&output)
}

#[test]
fn what_is_installed_runs_and_uninstalling_leaves_the_tree_as_it_was() {
    let ground = Ground::new();
    let before = ground.tree();
    // Who installs may have any umask.
    let said = succeeds(Command::new("sh").args(["-c", "umask 077; exec \"$@\"", "sh"]).args({
        let installing = ground.installing(&[]);
        let program = std::iter::once(installing.get_program().to_owned());
        program.chain(installing.get_args().map(ToOwned::to_owned)).collect::<Vec<_>>()
    }));
    assert!(said.contains("left out: the C interface, which is not built"), "{said}");
    let prefix = ground.prefix();
    let version = succeeds(&mut ground.neap(&["--version"]));
    assert!(version.starts_with("neap "), "{version}");
    assert_eq!(fails(&mut ground.neap(&["run", "--", "sh", "-c", "exit 7"]), 7), "");
    for name in ["dd-procmgrd", "dd-procmgr"] {
        assert_eq!(fs::read_link(prefix.join("bin").join(name)).unwrap(), Path::new("neap"));
    }
    for unit in ["system/neap.service", "system/neap@.service", "system/dd-procmgrd.service", "user/neap.service"] {
        let unit = fs::read_to_string(prefix.join("lib/systemd").join(unit)).unwrap();
        assert!(unit.contains(&format!("ExecStart={}/bin/", prefix.display())), "{unit}");
        assert!(!unit.contains("/usr/local"), "{unit}");
    }
    for (name, begins) in [
        ("share/bash-completion/completions/neap", "_clap_complete_neap"),
        ("share/zsh/site-functions/_neap", "#compdef neap"),
        ("share/fish/vendor_completions.d/neap.fish", "complete "),
    ] {
        let script = fs::read_to_string(prefix.join(name)).unwrap();
        assert!(script.contains(begins) && !script.contains(ground.dir.path().to_str().unwrap()), "{name}: {script}");
    }
    for (path, (mode, ..)) in ground.tree() {
        assert!(before.contains_key(&path) || mode & 0o444 == 0o444, "{}: {mode:o}", path.display());
    }
    ground.uninstall(&[]);
    assert_eq!(ground.tree(), before);
    assert!(ground.uninstall(&[]).contains("nothing was installed there"), "once more is no mistake");
}

#[test]
fn the_c_interface_is_installed_where_it_was_built() {
    let ground = Ground::new();
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join("capi/neap.pc.in").exists() {
        return skipped("the_c_interface_is_installed_where_it_was_built", "there is no capi/neap.pc.in");
    }
    let before = ground.tree();
    fs::write(ground.built().join("libneap.so"), "shared").unwrap();
    fs::write(ground.built().join("libneap.a"), "static").unwrap();
    ground.install(&[]);
    let prefix = ground.prefix();
    assert_eq!(fs::read_to_string(prefix.join("lib/libneap.so")).unwrap(), "shared");
    assert_eq!(fs::read_link(prefix.join("lib/libneap.so")).unwrap(), Path::new("libneap.so.1"));
    assert_eq!(fs::read_to_string(prefix.join("lib/libneap.a")).unwrap(), "static");
    assert!(fs::read_to_string(prefix.join("include/neap.h")).unwrap().contains("neap_new"));
    let pc = fs::read_to_string(prefix.join("lib/pkgconfig/neap.pc")).unwrap();
    assert!(!pc.contains('@') && pc.contains(&format!("{}/lib", prefix.display())), "{pc}");
    assert!(pc.contains(env!("CARGO_PKG_VERSION")), "{pc}");
    ground.uninstall(&[]);
    assert_eq!(ground.tree(), before);
}

#[test]
fn installed_again_it_is_the_same_and_what_a_version_has_no_more_goes() {
    let ground = Ground::new();
    let before = ground.tree();
    ground.install(&[]);
    let once = ground.tree();
    ground.install(&[]);
    assert_eq!(ground.tree(), once);
    let said = ground.install(&["--systemd", "none"]);
    assert!(said.contains("removed: ") && said.contains("neap@.service"), "{said}");
    assert!(!ground.prefix().join("lib/systemd/system/neap.service").exists());
    ground.uninstall(&[]);
    assert_eq!(ground.tree(), before, "the units' folders, too");
}

#[test]
fn a_prefix_by_another_name_is_the_same_prefix() {
    let ground = Ground::new();
    let before = ground.tree();
    ground.install(&[]);
    let once = ground.tree();
    // The last of two counts.
    let named = |path: &str| format!("{}/{path}", ground.dir.path().display());
    for name in ["prefix/", "/prefix//", "./prefix/."] {
        ground.install(&["--prefix", &named(name)]);
        assert_eq!(ground.tree(), once, "{name}");
    }
    std::os::unix::fs::symlink("prefix", ground.dir.join("link")).unwrap();
    let said = ground.install(&["--force", "--prefix", &named("link")]);
    assert!(!said.contains("removed: "), "{said}");
    assert_eq!(ground.tree().keys().collect::<Vec<_>>(), once.keys().collect::<Vec<_>>());
    ground.uninstall(&[]);
    assert_eq!(ground.tree(), before);
}

#[test]
fn what_is_not_its_own_is_neither_replaced_nor_removed() {
    let ground = Ground::new();
    let foreign = ground.prefix().join("bin/neap");
    fs::write(&foreign, "a tide table").unwrap();
    let before = ground.tree();
    assert!(fails(&mut ground.installing(&[]), 1).contains("/bin/neap\n"));
    assert_eq!(ground.tree(), before);
    ground.install(&["--force"]);
    assert_ne!(fs::read(&foreign).unwrap(), b"a tide table");

    let changed = ground.prefix().join("lib/systemd/system/neap.service");
    fs::write(&changed, "[Unit]\n").unwrap();
    let put_by = ground.prefix().join("share/zsh/site-functions/_other");
    fs::write(&put_by, "another's").unwrap();
    assert!(fails(&mut ground.installing(&[]), 1).contains("neap.service"));
    let said = ground.uninstall(&[]);
    assert!(said.contains("kept, for it was changed: ") && said.contains("system/neap.service"), "{said}");
    assert!(changed.exists() && put_by.exists() && !foreign.exists());
    assert!(!ground.prefix().join("lib/systemd/user").exists());
}

#[test]
fn what_fails_half_way_has_changed_nothing() {
    let test = "what_fails_half_way_has_changed_nothing";
    if !root_or_skip(test) {
        return;
    }
    let ground = Ground::new();
    // All of it but one folder belongs to who installs.
    let owned = Command::new("chown").args(["-R", &STRANGER.to_string()]).arg(ground.dir.path()).status();
    assert!(owned.unwrap().success());
    fs::create_dir(ground.prefix().join("share/fish")).unwrap();
    let before = ground.tree();
    let said = fails(ground.installing(&[]).uid(STRANGER).gid(STRANGER), 1);
    assert!(said.contains("share/fish"), "{said}");
    assert_eq!(ground.tree(), before);
    fs::set_permissions(ground.prefix().join("share/fish"), fs::Permissions::from_mode(0o777)).unwrap();
    succeeds(ground.installing(&[]).uid(STRANGER).gid(STRANGER));

    let installed = ground.tree();
    // A new version that cannot be written.
    fs::write(ground.built().join("neap"), "#!/bin/sh\necho new\n").unwrap();
    let full = ground.prefix().join("share/fish/vendor_completions.d");
    fs::set_permissions(&full, fs::Permissions::from_mode(0o555)).unwrap();
    let said = fails(ground.installing(&[]).uid(STRANGER).gid(STRANGER), 1);
    assert!(said.contains("cannot write ") && said.contains("nothing was changed"), "{said}");
    let said = fails(ground.script(&["--uninstall"]).uid(STRANGER).gid(STRANGER), 1);
    assert!(said.contains("nothing was changed"), "{said}");
    fs::set_permissions(&full, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ground.tree(), installed);
    succeeds(ground.script(&["--uninstall"]).uid(STRANGER).gid(STRANGER));
}

#[test]
fn a_mistake_on_its_command_line_is_told_and_changes_nothing() {
    let ground = Ground::new();
    let before = ground.tree();
    for (args, code, said) in [
        (vec!["--prefx", "/x"], 2, "`--prefx` is no option"),
        (vec!["--prefix"], 2, "--prefix needs a value"),
        (vec!["--prefix", "relative"], 2, "takes an absolute path"),
        (vec!["--prefix", "/with blank"], 2, "characters that a unit's path cannot have"),
        (vec!["--purge"], 2, "--purge goes with --uninstall"),
        (vec!["--from", "/nowhere"], 1, "there is no /nowhere/neap: build it first"),
    ] {
        let output = fails(&mut ground.script(&args), code);
        assert!(output.contains(said), "{args:?}: {output}");
    }
    assert_eq!(ground.tree(), before);
}

#[test]
fn a_package_is_made_below_a_folder_of_its_own() {
    let ground = Ground::new();
    let root = ground.dir.join("root");
    let before = ground.tree();
    let args = ["--prefix", "/usr", "--destdir", root.to_str().unwrap(), "--systemd", "/lib/systemd/system"];
    ground.install(&args);
    assert_eq!(ground.tree(), before);
    let unit = fs::read_to_string(root.join("lib/systemd/system/neap.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/neap daemon\n"), "{unit}");
    let manifest = fs::read_to_string(root.join("usr/share/neap/manifest")).unwrap();
    assert!(!manifest.contains(root.to_str().unwrap()), "{manifest}");
    assert!(root.join("lib/systemd/user/neap.service").exists());
    succeeds(ground.script(&args[..4]).arg("--uninstall"));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn the_page_installs_as_it_says() {
    let ground = Ground::new();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd.md")).unwrap();
    let calls = page.lines().filter_map(|line| line.trim_start_matches("sudo ").strip_prefix("dist/install"));
    let calls: Vec<Vec<&str>> =
        calls.map(|call| call.split('#').next().unwrap().split_whitespace().collect()).collect();
    assert!(calls.len() >= 3, "{calls:?}");
    let root = ground.dir.join("root");
    for call in calls {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/install"));
        ground.surround(&mut command);
        // The last of two counts.
        command.args(&call).arg("--from").arg(ground.built()).arg("--destdir").arg(&root);
        succeeds(&mut command);
        // What it says of itself.
        if call.is_empty() {
            assert!(root.join("usr/local/lib/systemd/system/neap.service").exists());
        }
    }
    assert!(!root.join("usr/local").exists(), "and taken out again");
}

#[test]
fn what_instances_wrote_down_stays_unless_it_is_to_go_and_never_below_one_that_runs() {
    let ground = Ground::new();
    let before = ground.tree();
    ground.install(&[]);
    let config = ground.dir.join("neap.lua");
    fs::write(&config, "require('neap').process('a', { shell = 'echo hello; exec sleep 100000' })\n").unwrap();
    succeeds(&mut ground.neap(&["up", "--detach"]));
    let said = fails(ground.script(&["--uninstall"]).arg("--purge"), 1);
    assert!(said.contains("an instance runs at ") && said.contains(" down"), "{said}");
    succeeds(&mut ground.neap(&["down"]));
    let said = ground.uninstall(&[]);
    let (state, runtime) = (ground.dir.join("state/neap"), ground.dir.join("run/neap"));
    assert!(said.contains(&format!("left: {}", state.display())), "{said}");
    assert!(state.exists());
    ground.install(&[]);
    ground.uninstall(&["--purge"]);
    assert!(!state.exists() && !runtime.exists());
    assert_eq!(ground.tree(), before);
}

const SLEEPER: &str = "require('neap').process('a', { shell = 'echo hello; exec sleep 100000' })\n";

#[test]
fn nothing_is_purged_below_an_instance_whose_socket_is_elsewhere() {
    let ground = Ground::new();
    ground.install(&[]);
    fs::write(ground.dir.join("neap.lua"), SLEEPER).unwrap();
    // By a program that is not the installed one: what tells is the lock.
    let other = |args: &[&str]| {
        let mut command = Command::new(ground.built().join("neap"));
        ground.surround(&mut command);
        command.args(args).env("NEAP_SOCKET", ground.dir.join("elsewhere.sock"));
        command
    };
    succeeds(&mut other(&["up", "--detach"]));
    let installed = ground.tree();
    let said = fails(ground.script(&["--uninstall"]).arg("--purge"), 1);
    assert!(said.contains("an instance runs at ") && said.contains(" down"), "{said}");
    // Its folder of state is not known to who has other variables: what is open in the other one tells.
    let mut script = ground.script(&["--uninstall", "--purge"]);
    let said = fails(script.env("XDG_STATE_HOME", ground.dir.join("none")), 1);
    assert!(said.contains("an instance runs at ") && said.contains("/run/neap"), "{said}");
    assert_eq!(ground.tree(), installed);
    succeeds(&mut other(&["status"]));
    succeeds(&mut other(&["down"]));
    ground.uninstall(&["--purge"]);
    assert!(!ground.dir.join("state/neap").exists());
}

#[test]
fn nothing_is_uninstalled_below_an_instance_whose_program_is_gone() {
    let ground = Ground::new();
    ground.install(&[]);
    fs::write(ground.dir.join("neap.lua"), SLEEPER).unwrap();
    succeeds(&mut ground.neap(&["up", "--detach"]));
    let installed = ground.prefix().join("bin/neap");
    fs::remove_file(&installed).unwrap();
    let tree = ground.tree();
    for (args, says) in [(&["--uninstall"][..], "runs "), (&["--uninstall", "--purge"], "an instance runs at ")] {
        let said = fails(&mut ground.script(args), 1);
        assert!(said.contains(says) && said.contains(" down"), "{said}");
    }
    assert_eq!(ground.tree(), tree);
    let mut down = Command::new(ground.built().join("neap"));
    ground.surround(&mut down);
    succeeds(down.arg("down"));
    ground.uninstall(&["--purge"]);
    assert!(!ground.dir.join("state/neap").exists());
}

#[test]
fn a_lock_that_cannot_be_tried_keeps_what_is_beside_it() {
    let ground = Ground::new();
    ground.install(&[]);
    let folder = ground.dir.join("state/neap/default");
    fs::create_dir_all(folder.join("lock")).unwrap();
    let said = fails(&mut ground.script(&["--uninstall", "--purge"]), 1);
    assert!(said.contains("it cannot be told whether an instance runs at "), "{said}");
    assert!(folder.join("lock").exists() && ground.prefix().join("bin/neap").exists());
}

#[test]
fn only_absolute_places_and_those_of_who_asks_are_purged() {
    let test = "only_absolute_places_and_those_of_who_asks_are_purged";
    let ground = Ground::new();
    let kept = ground.dir.join("relative/neap/kept");
    fs::create_dir_all(&kept).unwrap();
    ground.install(&[]);
    let mut script = ground.script(&["--uninstall", "--purge"]);
    // As root the folders without the variables are the machine's own: below here there are none.
    let root = ground.dir.join("root");
    script.env("XDG_STATE_HOME", "relative").env("XDG_RUNTIME_DIR", "relative");
    script.arg("--destdir").arg(&root);
    succeeds(ground.installing(&["--systemd", "none"]).arg("--destdir").arg(&root));
    let (other, below) = (root.join("relative/neap"), ground.dir.join("rootrelative/neap"));
    fs::create_dir_all(&other).unwrap();
    fs::create_dir_all(&below).unwrap();
    succeeds(&mut script);
    assert!(kept.exists() && other.exists() && below.exists());
    if !root_or_skip(test) {
        return;
    }
    let foreign = ground.dir.join("state/neap");
    fs::create_dir(&foreign).unwrap();
    std::os::unix::fs::chown(&foreign, Some(STRANGER), Some(STRANGER)).unwrap();
    let said = ground.uninstall(&["--purge"]);
    assert!(said.contains(&format!("left: {}", foreign.display())), "{said}");
    assert!(foreign.exists());
}

#[test]
fn nothing_is_uninstalled_below_a_unit_that_runs_or_is_enabled() {
    let ground = Ground::new();
    // As on a machine where /lib is a link: systemd has another name for the same file.
    let units = ground.dir.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    std::os::unix::fs::symlink("usr/lib", ground.dir.join("lib")).unwrap();
    ground.install(&["--systemd", ground.dir.join("lib/systemd/system").to_str().unwrap()]);
    let tools = ground.dir.join("tools");
    fs::create_dir(&tools).unwrap();
    let systemctl = tools.join("systemctl");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let answers = |active: &str, enabled: &str, listed: &str, files: &str| {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             *FragmentPath*neap@*) echo {0}/neap@.service ;;\n*FragmentPath*) echo {0}/neap.service ;;\n\
             *is-active*neap.service) exit {active} ;;\n*is-enabled*neap.service) exit {enabled} ;;\n\
             *list-units*) echo '{listed}' ;;\n*list-unit-files*) echo '{files}' ;;\n*) exit 1 ;;\nesac\n",
            units.display()
        );
        write_program(&systemctl, script);
    };
    let installed = ground.tree();
    for (active, enabled, listed, files, says) in [
        ("0", "1", "", "", "neap.service runs or is enabled; first: systemctl disable --now neap\n"),
        ("3", "0", "", "", "neap.service runs or is enabled"),
        ("3", "1", "neap@web.service loaded active running Neap", "", "neap@web.service runs; first: "),
        ("3", "1", "neap@web.service loaded activating start Neap", "", "systemctl disable --now neap@web\n"),
        ("3", "1", "", "neap@.service indirect enabled", "neap@.service is enabled, or an instance of it"),
        ("3", "1", "", "neap@web.service enabled enabled", "neap@web.service is enabled"),
    ] {
        answers(active, enabled, listed, files);
        let said = fails(ground.script(&["--uninstall"]).env("PATH", &path), 1);
        assert!(said.contains(says), "{said}");
        assert_eq!(ground.tree(), installed);
    }
    answers("3", "1", "neap@web.service loaded failed failed Neap", "neap@.service disabled enabled");
    succeeds(ground.script(&["--uninstall"]).env("PATH", &path));
    assert!(!ground.prefix().join("bin/neap").exists());
}
