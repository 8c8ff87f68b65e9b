//! A folder for a test's files, and how a ledger is filled.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use neap::core::{ProcessId, RecordKey};
use neap::ledger::{Found, Ledger, LedgerError, Records};

/// A private folder that is gone with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("neap-ledger-{}-{number}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a mode");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of what is in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _it_is_only_a_temporary_folder = fs::remove_dir_all(&self.0);
    }
}

pub type Batch = Vec<(RecordKey, Option<Vec<u8>>)>;
pub type Held = Vec<(RecordKey, Vec<u8>)>;

pub const BOOT: &str = "11111111-2222-3333-4444-555555555555";

pub fn open(path: &Path) -> Result<(Ledger, Records, Found), LedgerError> {
    Ledger::open_in_boot(path, "web", BOOT)
}

/// What a ledger holds now, with what its file was found to be.
pub fn read(path: &Path) -> (Held, Found) {
    let (_, records, found) = open(path).expect("a ledger");
    (records.current, found)
}

pub fn process(id: u64) -> RecordKey {
    RecordKey::Process(ProcessId(id))
}

/// Five batches, small enough to try every byte of.
pub fn batches() -> Vec<Batch> {
    vec![
        vec![(RecordKey::Instance, Some(b"first".to_vec())), (RecordKey::Spec(1), Some(b"{}".to_vec()))],
        vec![(process(1), Some(b"starting".to_vec())), (RecordKey::Driver(7), Some(vec![0xff, 0]))],
        vec![(process(1), Some(b"running".to_vec())), (process(2), Some(Vec::new()))],
        vec![(process(1), None), (RecordKey::Instance, Some(b"second".to_vec()))],
        vec![(process(3), Some(vec![b'x'; 40]))],
    ]
}

/// What is known after each number of batches, from none to all.
pub fn states(batches: &[Batch]) -> Vec<Held> {
    let mut known = std::collections::BTreeMap::new();
    let mut states = vec![Held::new()];
    for batch in batches {
        for (key, bytes) in batch {
            match bytes {
                Some(bytes) => drop(known.insert(*key, bytes.clone())),
                None => drop(known.remove(key)),
            }
        }
        states.push(known.clone().into_iter().collect());
    }
    states
}

/// A ledger's bytes after these batches, and how long it was before and after each.
pub fn written(batches: &[Batch]) -> (Vec<u8>, Vec<usize>) {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let (mut ledger, ..) = open(&path).expect("a ledger");
    let length = || fs::metadata(&path).expect("the file").len() as usize;
    let mut lengths = vec![length()];
    for batch in batches {
        ledger.write(batch).expect("written");
        lengths.push(length());
    }
    (fs::read(&path).expect("the file"), lengths)
}

/// A command that runs an ignored test in a process of its own, through `wrapper`.
pub fn inner(wrapper: &[&str], test: &str) -> Command {
    let us = std::env::current_exe().expect("our own path");
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(us).args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end. `None`: the wrapper could not do its part here.
pub fn run_inner(mut command: Command) -> Option<String> {
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !text.contains("running 1 test") {
        return None;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(text)
}
