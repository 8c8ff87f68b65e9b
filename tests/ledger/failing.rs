//! Case E5: a ledger that cannot be written while it is in use.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::support::{Batch, Folder, inner, open, process, read, run_inner, states};

/// What is written until it fails, and after it failed.
fn batch(round: usize) -> Batch {
    let mut batch: Batch = vec![(process(round as u64 % 40), Some(vec![round as u8; 700]))];
    if round % 7 == 3 {
        batch.push((process((round as u64 + 20) % 40), None));
    }
    batch
}

/// Writes until it fails; then there is room again. Nothing that was known is lost, and nothing is half there.
fn fails_and_comes_back(path: &Path, give_room: impl FnOnce()) {
    let (mut ledger, ..) = open(path).expect("a ledger");
    let mut all: Vec<Batch> = Vec::new();
    let mut written = 0;
    while !ledger.is_behind() {
        assert!(all.len() < 10_000, "it never failed");
        all.push(batch(all.len()));
        match ledger.write(all.last().expect("a batch")) {
            Ok(()) => written = all.len(),
            Err(_) => assert!(ledger.is_behind()),
        }
    }
    // What a successor would find now is what was written before the first failure, and whole.
    let bytes = fs::read(path).expect("the file");
    assert_eq!(read_bytes(&bytes), states(&all)[written]);
    for _ in 0..5 {
        all.push(batch(all.len()));
        ledger.write(all.last().expect("a batch")).expect_err("there is no room");
        assert!(ledger.is_behind());
        assert!(!path.with_file_name("ledger.new").exists(), "what could not be finished is in the way");
    }
    assert_eq!(read_bytes(&fs::read(path).expect("the file")), states(&all)[written], "what was whole is not any more");

    give_room();
    all.push(batch(all.len()));
    ledger.write(all.last().expect("a batch")).expect("written");
    assert!(!ledger.is_behind());
    all.push(batch(all.len()));
    ledger.write(all.last().expect("a batch")).expect("written");
    drop(ledger);
    assert_eq!(read(path).0, states(&all)[all.len()], "something that was known is forgotten");
}

/// What a ledger of these bytes holds, looked at elsewhere.
fn read_bytes(bytes: &[u8]) -> crate::support::Held {
    // Not where the room is short: the file is only read.
    let folder = PathBuf::from("/dev/shm").join(format!("neap-ledger-copy-{}", std::process::id()));
    let path = if fs::create_dir_all(&folder).is_ok() { folder.join("ledger") } else { PathBuf::from("ledger") };
    fs::write(&path, bytes).expect("a copy");
    let held = read(&path).0;
    fs::remove_dir_all(&folder).expect("removed");
    held
}

#[test]
fn e5_on_a_full_disk_nothing_is_forgotten_and_all_is_written_once_there_is_room() {
    let test = "e5_on_a_full_disk_nothing_is_forgotten_and_all_is_written_once_there_is_room";
    let folder = Folder::new();
    let disk = folder.path("disk");
    fs::create_dir(&disk).expect("a folder");
    let script = "mount --make-rprivate / && mount -t tmpfs -o size=64k neap-test \"$0\" && exec \"$@\"";
    let disk = disk.to_str().expect("a path");
    let root: &[&str] = &["unshare", "--mount", "sh", "-c", script, disk];
    let user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, disk];
    let wrapper = if nix::unistd::geteuid().is_root() { root } else { user };
    let mut command = inner(wrapper, "failing::inside_a_full_disk");
    command.env("DISK", disk);
    if run_inner(command).is_none() {
        println!("skipped: {test}: a small disk cannot be mounted here");
    }
}

#[test]
#[ignore = "run in a mount namespace of its own by another test"]
fn inside_a_full_disk() {
    let disk = PathBuf::from(std::env::var_os("DISK").expect("a folder"));
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 44 << 10]).expect("ballast");
    fails_and_comes_back(&disk.join("ledger"), || fs::remove_file(&ballast).expect("removed"));
}

#[test]
fn e5_a_write_that_is_cut_short_leaves_nothing_half_written() {
    run_inner(inner(&["env"], "failing::inside_a_limit_on_files")).expect("it runs");
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_limit_on_files() {
    let folder = Folder::new();
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    // Within a batch: the kernel writes the part that fits, and refuses the rest.
    setrlimit(Resource::RLIMIT_FSIZE, 20_001, most).expect("a limit");
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignored");
    fails_and_comes_back(&folder.path("ledger"), || {
        setrlimit(Resource::RLIMIT_FSIZE, most, most).expect("a limit");
    });
}
