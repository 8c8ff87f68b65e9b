//! A cgroup that a daemon is started in, as whoever starts daemons would make one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::common::{actor, skipped, wait_until};
use crate::support::{Daemon, Home};

const MOUNT: &str = "/sys/fs/cgroup";

/// Started by root, and enters the cgroup before it becomes the daemon.
const ENTER: &str = r#"echo 0 >"$1/cgroup.procs" && shift && exec "$@""#;

/// The daemon's first process is PID 1 of its own namespaces, and its cgroup is the root of what it can see.
const CONTAIN: &str = r#"
    echo 0 >"$1/cgroup.procs" && shift
    exec unshare --cgroup sh -c '
        umount /sys/fs/cgroup && mount -t cgroup2 -o "$1" cgroup2 /sys/fs/cgroup && mount -t proc proc /proc &&
            shift && exec "$@"
    ' container "$@"
"#;

/// A home and a cgroup.
pub struct Ground {
    pub home: Home,
    pub cgroup: PathBuf,
}

impl Ground {
    /// One with all controllers, where this is the virtual machine; else says that the test is skipped.
    pub fn new(test: &str) -> Option<Ground> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("NEAP_TEST_VM").is_none() {
            skipped(test, "needs all controllers of cgroups version 2 for itself: .ci/vm runs it in a virtual machine");
            return None;
        }
        fs::write(Path::new(MOUNT).join("cgroup.subtree_control"), "+cpu +memory +pids +io").expect("all controllers");
        let name = format!("ground-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroup = Path::new(MOUNT).join(name);
        fs::create_dir(&cgroup).expect("a cgroup");
        Some(Ground { home: Home::new(), cgroup })
    }

    /// Writes the configuration; `ACTOR` in it is the scriptable child, `FOLDER` the home.
    pub fn configure(&self, text: &str) {
        let actor = actor().to_str().expect("a plain path");
        let folder = self.home.path("");
        self.home.config(&text.replace("ACTOR", actor).replace("FOLDER", folder.to_str().expect("a plain path")));
    }

    /// A daemon that is started in the cgroup by root, as root.
    pub fn daemon(&self) -> Daemon<'_> {
        self.started(&["sh", "-c", ENTER, "enter"], &[])
    }

    /// The same as another user, to whom the cgroup was given as the kernel's documentation says.
    pub fn daemon_of(&self, user: u32) -> Daemon<'_> {
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(self.cgroup.join(file), Some(user), Some(user)).expect("ours to give");
        }
        for folder in ["", "run", "state", "config", "neap.lua"] {
            chown(self.home.path(folder), Some(user), Some(user)).expect("ours to give");
        }
        let user = user.to_string();
        let words = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
        self.started(&["sh", "-c", ENTER, "enter"], &words)
    }

    /// The same as PID 1 of a container, which sees cgroups with this mount option: `rw`, or `ro`.
    pub fn container(&self, option: &str) -> Daemon<'_> {
        let outer = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--propagation", "private", "--"];
        self.started(&[&outer[..], &["sh", "-c", CONTAIN, "contain"]].concat(), &[option])
    }

    fn started(&self, before: &[&str], after: &[&str]) -> Daemon<'_> {
        let mut command = Command::new(before[0]);
        self.home.surround(&mut command);
        command.args(&before[1..]).arg(&self.cgroup).args(after);
        command.args([env!("CARGO_BIN_EXE_neap"), "daemon", "neap.lua"]);
        let daemon = self.home.start(command);
        daemon.wait_for("neap: ready;");
        daemon
    }

    /// The row of a process once it is so.
    #[track_caller]
    pub fn once(&self, name: &str, what: &str, met: impl Fn(&Value) -> bool) -> Value {
        let all = self.home.wait_until(&format!("{name} {what}"), |all| all.get(name).is_some_and(&met));
        all[name].clone()
    }

    /// The same in this state.
    #[track_caller]
    pub fn once_is(&self, name: &str, state: &str) -> Value {
        self.once(name, &format!("is {state}"), |row| row["state"] == state)
    }

    /// Who sees to each limit of a process.
    #[track_caller]
    pub fn enforcers(&self, name: &str) -> BTreeMap<String, String> {
        let told: Value = serde_json::from_str(&self.home.neap(["describe", name, "--json"])).unwrap();
        let limits = told["limits"].as_array().unwrap_or_else(|| panic!("no limits: {told}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        limits.iter().map(|limit| (text(&limit["limit"]), text(&limit["enforced_by"]))).collect()
    }

    /// The folder of the cgroup of a process that runs.
    #[track_caller]
    pub fn folder(&self, name: &str) -> PathBuf {
        let pid = &self.home.list()[name]["pid"];
        let found = folders(&self.cgroup).into_iter().find(|folder| {
            let stem = folder.file_name().unwrap().to_string_lossy().into_owned();
            stem.starts_with(&format!("{name}.r")) && !read(folder, "cgroup.procs").is_empty()
        });
        found.unwrap_or_else(|| panic!("no cgroup of {name}, process {pid}: {:?}", folders(&self.cgroup)))
    }

    /// What processes use, as JSON.
    #[track_caller]
    pub fn stats(&self, name: &str) -> Value {
        let all: Value =
            serde_json::from_str(&self.home.neap(["stats", name, "--json", "--interval", "100ms"])).unwrap();
        all[0].clone()
    }

    /// Changes a process that runs, which goes on.
    #[track_caller]
    pub fn update(&self, name: &str, flags: &[&str]) {
        let before = self.home.list()[name]["pid"].clone();
        self.home.neap([&["update", name][..], flags].concat());
        assert_eq!(self.home.list()[name]["pid"], before, "it was restarted");
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let left = folders(&self.cgroup);
        let trees: Vec<_> = left.iter().filter(|folder| !folder.ends_with("neap-supervisor")).collect();
        assert!(trees.is_empty(), "left behind: {trees:?}");
        wait_until("its cgroup is removed", || {
            folders(&self.cgroup).iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
            fs::remove_dir(&self.cgroup).is_ok()
        });
    }
}

/// The cgroups below one, each before those in it.
pub fn folders(cgroup: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    below.flat_map(|folder| [vec![folder.clone()], folders(&folder)].concat()).collect()
}

/// What a file of a cgroup says; nothing once it is gone.
pub fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned()
}

/// The number behind a key.
pub fn count(folder: &Path, file: &str, key: &str) -> u64 {
    let text = read(folder, file);
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok()).unwrap_or_default()
}
