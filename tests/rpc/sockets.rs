//! H1: the control socket, and what may stand in its place.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use neap::rpc::{ConnectError, SocketError, bind_control_socket};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Uid, chown, fork};

use crate::support::{DEADLINE, TempDir, root_or_skip};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// Runs this in a copy of the test, whose umask is its own.
fn elsewhere(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the copy runs the check and leaves at once; it allocates, which glibc allows after a fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let code = i32::from(!check());
            // SAFETY: ends the copy without running anything of the test's.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => waitpid(child, None).unwrap() == WaitStatus::Exited(child, 0),
    }
}

#[test]
fn h1_the_sockets_mode_is_its_users_alone_whatever_the_umask() {
    for mask in [0, 0o022, 0o077, 0o777] {
        let dir = TempDir::new();
        let path = dir.path().join("run/neap.sock");
        std::fs::create_dir(dir.path().join("run")).unwrap();
        assert!(
            elsewhere(|| {
                umask(Mode::from_bits_truncate(mask));
                let listener = bind_control_socket(&path);
                listener.is_ok() && mode(&path) == 0o600 && UnixStream::connect(&path).is_ok()
            }),
            "umask {mask:o}"
        );
    }
}

#[test]
fn h1_the_sockets_mode_is_never_wider_not_even_for_a_moment() {
    let dir = TempDir::new();
    let path = dir.path().join("run/neap.sock");
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let watched = || {
        umask(Mode::empty());
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let (mut seen, mut worst) = (0, 0);
                while seen < 300 {
                    if let Ok(found) = std::fs::symlink_metadata(&path) {
                        (seen, worst) = (seen + 1, worst | found.mode() & 0o7777);
                    }
                }
                enough.store(true, Ordering::Release);
                worst
            });
            let mut rounds = 0;
            while rounds < 300 || !enough.load(Ordering::Acquire) {
                drop(bind_control_socket(&path).unwrap());
                std::fs::remove_file(&path).unwrap();
                rounds += 1;
            }
            watching.join().unwrap() == 0o600
        })
    };
    assert!(elsewhere(watched));
}

#[test]
fn h1_a_folder_that_is_missing_is_made_for_its_user_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("a/b/neap.sock");
    let _listener = bind_control_socket(&path).unwrap();
    assert_eq!((mode(&dir.path().join("a/b")), mode(&dir.path().join("a"))), (0o700, 0o700));
}

#[test]
fn h1_a_folder_in_which_others_could_replace_it_is_refused() {
    let dir = TempDir::new();
    let folder = dir.path().join("open");
    std::fs::create_dir(&folder).unwrap();
    for open in [0o777, 0o775] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(open)).unwrap();
        let refused = bind_control_socket(&folder.join("neap.sock")).unwrap_err();
        assert!(matches!(refused, SocketError::Folder { .. }), "{refused}");
        assert!(refused.to_string().contains("others may write there"), "{refused}");
    }
    // As in /tmp: others cannot remove what is ours, but be there when ours is gone.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let refused = bind_control_socket(&folder.join("neap.sock")).unwrap_err();
    assert!(refused.to_string().contains("use a folder in it"), "{refused}");
    // In a folder of ours within such a one it is safe; within one in which others can rename ours, it is not.
    bind_control_socket(&folder.join("own/neap.sock")).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = bind_control_socket(&folder.join("own/other.sock")).unwrap_err();
    assert!(refused.to_string().contains("above it (mode 0777)"), "{refused}");
}

#[test]
fn h1_a_link_that_another_could_lead_elsewhere_is_refused() {
    if !root_or_skip("h1_a_link_that_another_could_lead_elsewhere_is_refused") {
        return;
    }
    let dir = TempDir::new();
    let (folder, link) = (dir.path().join("ours"), dir.path().join("link"));
    std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    symlink(&folder, &link).unwrap();
    bind_control_socket(&link.join("own.sock")).unwrap();
    std::os::unix::fs::lchown(&link, Some(4_711), None).unwrap();
    let refused = bind_control_socket(&link.join("neap.sock")).unwrap_err();
    assert!(refused.to_string().contains("a link of uid 4711's"), "{refused}");
    assert!(!folder.join("neap.sock").exists());
}

#[test]
fn h1_an_abstract_name_is_none() {
    let refused = bind_control_socket(Path::new("\0neap")).unwrap_err();
    assert!(refused.to_string().contains("NUL"), "{refused}");
}

#[test]
fn h1_a_folder_of_somebody_elses_is_refused() {
    if !root_or_skip("h1_a_folder_of_somebody_elses_is_refused") {
        return;
    }
    let dir = TempDir::new();
    let folder = dir.path().join("theirs");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(Uid::from_raw(4_711)), None).unwrap();
    let refused = bind_control_socket(&folder.join("neap.sock")).unwrap_err();
    assert!(refused.to_string().contains("belongs to uid 4711"), "{refused}");
}

#[test]
fn h1_a_dead_socket_is_replaced_and_a_live_one_names_who_is_there() {
    let dir = TempDir::new();
    let path = dir.path().join("neap.sock");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let listener = bind_control_socket(&path).unwrap();
    let refused = bind_control_socket(&path).unwrap_err();
    let SocketError::Live { pid, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*pid, Some(std::process::id() as i32));
    drop(listener);
    bind_control_socket(&path).unwrap();
}

#[test]
fn h1_what_is_no_socket_is_left_alone() {
    let dir = TempDir::new();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (file, path) = (dir.path().join("precious"), dir.path().join("neap.sock"));
    std::fs::write(&file, "precious").unwrap();
    symlink(&file, &path).unwrap();
    let refused = bind_control_socket(&path).unwrap_err();
    assert!(matches!(refused, SocketError::InTheWay { .. }), "{refused}");
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&file, &path).unwrap();
    assert!(matches!(bind_control_socket(&path), Err(SocketError::InTheWay { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_path_that_is_too_long_is_told() {
    let dir = TempDir::new();
    let refused = bind_control_socket(&dir.path().join("x".repeat(120))).unwrap_err();
    assert!(refused.to_string().contains("at most 107 bytes"), "{refused}");
}

#[test]
fn who_cannot_connect_is_told_why() {
    let dir = TempDir::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connect = |name: &str, patience: Duration| {
        runtime.block_on(neap::rpc::connect(&dir.path().join(name), patience)).map(drop).unwrap_err()
    };
    assert!(matches!(connect("missing", DEADLINE), ConnectError::NotThere(_)));
    drop(UnixListener::bind(dir.path().join("dead")).unwrap());
    let dead = connect("dead", DEADLINE);
    assert!(matches!(dead, ConnectError::Dead(_)) && dead.to_string().contains("nobody answers there"), "{dead}");
    // A server that takes nobody, and whose queue is full.
    let path = dir.path().join("full");
    let address = UnixAddr::new(&path).unwrap();
    let stream = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let full = stream(SockFlag::SOCK_CLOEXEC);
    bind(full.as_raw_fd(), &address).unwrap();
    listen(&full, Backlog::new(0).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        if nix::sys::socket::connect(client.as_raw_fd(), &address).is_err() {
            break;
        }
        waiting.push(client);
    }
    assert!(matches!(connect("full", Duration::from_millis(50)), ConnectError::TimedOut(_)));
}
