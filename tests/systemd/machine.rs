//! A systemd that is PID 1 of its own namespaces, and touches nothing outside them: all files but the test's are read-only
//! to it, and so are the kernel's settings.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{TempDir, root_or_skip, skipped, wait_until};

const SYSTEMD: &str = "/lib/systemd/systemd";
/// The shell that becomes systemd; its arguments are the cgroup and the test's folder. Nobody else enters the cgroup: where
/// somebody from outside lives in its root, systemd can hand on no controllers.
const BOOT: &str = r#"
exec unshare --pid --mount --uts --ipc --fork --kill-child --propagation private sh -c '
  set -e
  echo 0 >"$1/cgroup.procs"
  exec unshare --cgroup sh -c "$0" boot "$2"
' '
    set -e
    mount -t proc proc /proc
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mount --bind "$1" "$1"
    mount -o remount,bind,ro /
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib
    while umount -R /sys/fs/cgroup 2>/dev/null; do :; done
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount --bind "$1/etc" /etc
    unset NOTIFY_SOCKET
    container=neap-test exec /lib/systemd/systemd --system --unit=neap-test.target --log-target=console --show-status=no
' "$1" "$2"
"#;
const TARGET: &str = "[Unit]\nDescription=Nothing but what is asked for\nDefaultDependencies=no\nAllowIsolate=yes\n";

/// A running one.
pub struct Machine {
    unshare: Child,
    /// Its PID 1, outside.
    init: u32,
    folder: TempDir,
    cgroup: PathBuf,
}

impl Machine {
    /// Boots one with Neap's own unit, this configuration, and these settings of the service besides. `None`, said, where
    /// that cannot be.
    pub fn boot(test: &str, configuration: &str, service: &str) -> Option<Machine> {
        if !root_or_skip(test) {
            return None;
        }
        if !Path::new(SYSTEMD).exists() {
            skipped(test, "systemd is not installed");
            return None;
        }
        let cgroup = match cgroup() {
            Ok(cgroup) => cgroup,
            Err(why) => {
                skipped(test, &format!("no cgroup v2 of our own can be made: {why}"));
                return None;
            }
        };
        let folder = TempDir::new();
        etc(&folder, service);
        let log = File::create(folder.join("boot.log")).expect("a file");
        let unshare = Command::new("sh")
            .args(["-c", BOOT, "boot"])
            .arg(&cgroup)
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a duplicate"))
            .stderr(log)
            .spawn()
            .expect("a shell");
        let mut machine = Machine { unshare, init: 0, folder, cgroup };
        machine.configure(configuration);
        if machine.comes_up() {
            return Some(machine);
        }
        let why = fs::read_to_string(machine.path("boot.log")).unwrap_or_default();
        skipped(test, &format!("systemd does not boot in namespaces here: {}", why.trim()));
        None
    }

    fn comes_up(&mut self) -> bool {
        let mut up = Some(false);
        wait_until("systemd is up", || {
            if self.unshare.try_wait().expect("our child").is_some() {
                up = None;
                return true;
            }
            let pid = self.unshare.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            self.init = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            let systemd = fs::read_to_string(format!("/proc/{}/comm", self.init)).is_ok_and(|name| name == "systemd\n");
            systemd && self.run(&["show", "--property=Version"]).status.success()
        });
        up.is_some()
    }

    /// Writes the configuration; `FOLDER` in it is [`Machine::path`]'s.
    pub fn configure(&self, text: &str) {
        self.write_config("neap.lua", text);
    }

    /// Writes a file of /etc/neap.
    pub fn write_config(&self, name: &str, text: &str) {
        self.write_etc(&format!("neap/{name}"), text);
    }

    /// Writes a file of /etc.
    pub fn write_etc(&self, name: &str, text: &str) {
        let (folder, path) = (self.folder.path().to_str().expect("a plain path"), self.path("etc").join(name));
        fs::create_dir_all(path.parent().expect("it is below")).expect("a folder");
        fs::write(path, text.replace("FOLDER", folder)).expect("a file");
    }

    /// A path that is the same inside and outside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        self.inside("systemctl", words)
    }

    /// A command inside it.
    fn inside(&self, program: &str, words: &[&str]) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.init.to_string(), "--mount", "--pid", "--cgroup", "--uts", "--ipc"]);
        enter.arg(program).args(words).output().expect("nsenter")
    }

    /// systemctl(1), which must fail; what it says.
    pub fn systemctl_fails(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "systemctl {words:?} succeeded: {}", self.log());
        String::from_utf8_lossy(&output.stderr).trim().to_owned()
    }

    /// `neap`, which must succeed, without anything in its environment.
    pub fn neap(&self, words: &[&str]) -> String {
        let all: Vec<&str> = ["-i", env!("CARGO_BIN_EXE_neap")].into_iter().chain(words.iter().copied()).collect();
        let output = self.inside("env", &all);
        assert!(output.status.success(), "neap {words:?}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// systemctl(1), which must succeed.
    pub fn systemctl(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "systemctl {words:?}: {said}{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A property of the service.
    pub fn show(&self, property: &str) -> String {
        self.systemctl(&["show", "neap", "--value", "--property", property])
    }

    /// What the service wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("neap.log")).unwrap_or_default()
    }

    /// The main process, outside.
    pub fn main(&self) -> u32 {
        let inside = self.show("MainPID");
        let found = self.processes().find(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            pids.split_whitespace().next_back() == Some(&*inside)
        });
        found.expect("the main process is there")
    }

    /// What the main process is called.
    pub fn name_of_main(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.main())).expect("it is there").trim().to_owned()
    }

    /// The supervisor, outside.
    pub fn supervisor(&self) -> u32 {
        self.supervisor_or_none().expect("there is a supervisor")
    }

    /// The same, if there is one.
    pub fn supervisor_or_none(&self) -> Option<u32> {
        let mut all = self.processes();
        all.find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "neap\n"))
    }

    /// How many processes the service has.
    pub fn members(&self) -> usize {
        self.processes().count()
    }

    /// How many of these have such a command line.
    pub fn members_named(&self, command: &str) -> usize {
        self.processes().filter(|pid| crate::common::command_line(*pid).trim() == command).count()
    }

    /// The service's cgroup, outside.
    pub fn service(&self) -> PathBuf {
        self.cgroup.join("system.slice/neap.service")
    }

    /// All of the service, outside.
    fn processes(&self) -> impl Iterator<Item = u32> {
        let mut found = Vec::new();
        members_below(&self.service(), &mut found);
        found.into_iter()
    }

    /// Sends a signal to one of its processes.
    #[expect(clippy::unused_self, reason = "only a machine's processes are signalled")]
    pub fn kill(&self, pid: u32, signal: Signal) {
        kill(Pid::from_raw(pid as i32), signal).expect("it is there");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With its PID 1 ends all that is in the namespace.
        if self.init > 1 && self.unshare.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill(Pid::from_raw(self.init as i32), Signal::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let cgroup = self.cgroup.clone();
        wait_until("its cgroups are removed", || {
            remove_below(&cgroup);
            !cgroup.exists()
        });
    }
}

/// A cgroup for it, below our own.
fn cgroup() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4)).flatten()
    });
    let mount = mount.ok_or_else(|| io::Error::other("it is not mounted"))?;
    let ours = fs::read_to_string("/proc/self/cgroup")?;
    let ours = ours.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let name = format!("neap-test-systemd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let cgroup = Path::new(mount).join(ours).join(name);
    fs::create_dir(&cgroup)?;
    Ok(cgroup)
}

/// Where the units of dist/systemd have their binary.
const SHIPPED: &str = "/usr/local/bin/";
/// What programs look up, of this machine's own.
const KNOWN: [&str; 7] = ["machine-id", "passwd", "group", "nsswitch.conf", "alternatives", "ld.so.cache", "localtime"];

/// A /etc of the test's: our units, as they are shipped and as `dist/install` puts them in their place, with the tested
/// binary; and a drop-in with a log of the test's and nothing that they depend on.
fn etc(folder: &TempDir, service: &str) {
    let (etc, bin) = (folder.join("etc"), folder.join("bin"));
    let units = etc.join("systemd/system");
    fs::create_dir_all(&units).expect("a folder");
    fs::create_dir(&bin).expect("a folder");
    for name in KNOWN {
        let copied = Command::new("cp").arg("-a").arg(Path::new("/etc").join(name)).arg(&etc).output().expect("cp");
        // What is not there, is not needed here.
        drop(copied);
    }
    for name in ["neap", "dd-procmgrd", "dd-procmgr"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_neap"), bin.join(name)).expect("a link");
    }
    fs::write(units.join("neap-test.target"), TARGET).expect("a file");
    let ours = folder.path().display();
    let text = format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=append:{ours}/neap.log\n\
         StandardError=append:{ours}/neap.log\n{service}\n"
    );
    for name in ["neap.service", "neap@.service", "dd-procmgrd.service"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd").join(name);
        let unit = fs::read_to_string(shipped).expect("our unit");
        fs::write(units.join(name), unit.replace(SHIPPED, &format!("{}/", bin.display()))).expect("a file");
        let drop_in = units.join(format!("{name}.d"));
        fs::create_dir(&drop_in).expect("a folder");
        fs::write(drop_in.join("test.conf"), &text).expect("a file");
    }
}

fn members_below(cgroup: &Path, found: &mut Vec<u32>) {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|pid| pid.parse::<u32>().ok()));
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members_below(&entry.path(), found);
        }
    }
}

fn remove_below(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}
