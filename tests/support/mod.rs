//! What tests with real processes share: the scriptable child, folders that vanish, waiting, and the epilogue.

#![allow(dead_code, reason = "each test target uses a part of this")]

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long anything may take before a test fails. Never how long it does take.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Waits until `met`, by asking: for what has no event to wait on. Fails, naming `what`, after [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    wait_for(what, || if met() { Ok(()) } else { Err("") });
}

/// Waits until there is something, by asking, and returns that. Fails, naming `what` and what there was last, after [`DEADLINE`].
#[track_caller]
pub fn wait_for<T, E: Display>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let (end, mut pause) = (Instant::now() + DEADLINE, Duration::from_millis(2));
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => assert!(Instant::now() < end, "waited {DEADLINE:?} in vain until {what}: {instead}"),
        }
        thread::sleep(pause);
        // What is asked for by starting a program leaves it some of the machine.
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// A port of 127.0.0.1 that nobody listens at, outside of those that the kernel gives to clients: it stays free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = (0..10_000).map(|_| 20_000 + (std::process::id() * 13 + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let mut ports = ports.map(|port| u16::try_from(port).unwrap());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Prints the line that says a test did not run here, and why.
pub fn skipped(test: &str, why: &str) {
    println!("skipped: {test}: {why}");
}

/// Whether tests run as root; else prints that `test` is skipped.
pub fn root_or_skip(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(test, "needs root");
    }
    root
}

/// The scriptable child (tests/bin/actor.rs), built when it is missing or older than the test.
pub fn actor() -> &'static Path {
    static ACTOR: OnceLock<PathBuf> = OnceLock::new();
    ACTOR.get_or_init(|| example("actor"))
}

/// A program of tests/bin, built when it is missing or older than the test. To be kept: it is asked for once.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("our own path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let example = profile.join("examples").join(name);
    let changed = |p: &Path| fs::metadata(p).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    // It uses the library, so it is stale when the test program was built anew after it.
    if changed(&example) < changed(&test) {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", profile.parent().expect("a target folder"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "{name} does not build");
    }
    example
}

/// Copies a program that is to be executed, with its mode. A child does the writing: what this process has open for writing
/// at the moment in which another test forks stays open in that fork for a while, and to execute it fails with ETXTBSY.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg("--preserve=mode").arg(from.as_ref()).arg(to.as_ref()).status().expect("cp");
    assert!(copied.success(), "{} is not copied", from.as_ref().display());
}

/// Writes a program that is to be executed, with the mode 0755, as [`copy_program`] does.
pub fn write_program(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"]).arg(path.as_ref()).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("a shell");
    shell.stdin.take().expect("a pipe").write_all(text.as_ref()).expect("written");
    assert!(shell.wait().expect("the shell").success(), "{} is not written", path.as_ref().display());
}

/// A folder that is removed with all that is in it when this is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one; anybody may enter it, so that children with other users can.
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("neap-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a temporary folder");
        TempDir(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Anything as a C string.
pub fn c(text: impl AsRef<OsStr>) -> CString {
    CString::new(text.as_ref().as_bytes()).expect("no NUL")
}

/// Taken at a test's start; when dropped at its end asserts that the test left nothing behind: no child of ours, alive
/// or zombie, no process that carries the test's mark, no descriptor more than before.
///
/// Tests of one program run side by side, so the check is of the whole program: it takes a lock, and a test that has
/// one runs alone.
pub struct Epilogue {
    descriptors: usize,
    children: BTreeSet<u32>,
    _alone: std::sync::MutexGuard<'static, ()>,
}

static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Epilogue {
    /// Counts what is there before the test.
    pub fn new() -> Epilogue {
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What is opened once a program and kept is not the test's.
        let _ = neap::driver::identity::boot_id();
        let _ = actor();
        Epilogue { descriptors: descriptors().len(), children: descendants(), _alone: alone }
    }
}

impl Drop for Epilogue {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let left: Vec<String> =
                descendants().difference(&self.children).map(|pid| format!("{pid} {}", command_line(*pid))).collect();
            let open = descriptors();
            if left.is_empty() && open.len() <= self.descriptors {
                return;
            }
            if Instant::now() > end {
                let more = open.len() as i64 - self.descriptors as i64;
                panic!("left behind: processes {left:?}; {more} descriptors more than before: {open:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Our open descriptors with what they lead to.
pub fn descriptors() -> Vec<(String, String)> {
    let Ok(folder) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    folder
        .flatten()
        .filter_map(|e| {
            let target = fs::read_link(e.path()).ok()?.to_string_lossy().into_owned();
            Some((e.file_name().to_string_lossy().into_owned(), target))
        })
        .collect()
}

/// Every process below ours, zombies too.
pub fn descendants() -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = processes()
        .filter_map(|pid| neap::driver::identity::Stat::of(neap::core::Pid(pid)).ok().map(|s| (pid, s.parent.0)))
        .collect();
    let mut found = BTreeSet::from([std::process::id()]);
    loop {
        let more: Vec<u32> =
            parents.iter().filter(|(pid, up)| found.contains(up) && !found.contains(pid)).map(|p| p.0).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&std::process::id());
    found
}

/// Every process there is.
pub fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
}

/// What a process was started with, for messages.
pub fn command_line(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|b| String::from_utf8_lossy(&b).replace('\0', " "))
        .unwrap_or_else(|_| "(gone)".to_owned())
}
