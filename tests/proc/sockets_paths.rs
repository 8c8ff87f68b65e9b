//! H8: paths of listeners, where somebody else has a hand in them.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use neap::core::StateName;
use neap::driver::sys::fault::{self, Call};
use neap::spec::Listener;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::kept::Kept;
use crate::sockets::{arm, line, on_demand, unix};
use crate::support::{root_or_skip, skipped, wait_until};
use crate::world::{World, does, done, pid};

const STRANGER: u32 = 65534;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether the kernel says to us which file a socket is bound to.
fn may_ask_for_files() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & 1 << CAP_NET_ADMIN != 0
}

#[test]
fn a_successor_leaves_a_socket_alone_that_a_stranger_put_at_the_path() {
    let kept = Kept::new(&[]);
    let path = kept.dir.join("web.sock");
    let spec = does("web", &["greet", "3"]).listen(Listener::unix(path.to_str().unwrap()));
    kept.add(&spec);
    kept.await_status("web", "is listened for", |status| status.reason.starts_with("for a connection"));
    let mut stranger = None;
    kept.kill_and(|| {
        fs::remove_file(&path).unwrap();
        stranger = Some(UnixListener::bind(&path).unwrap());
        set_mode(&path, 0o604);
    });
    let inode = fs::metadata(&path).unwrap().ino();
    let status = kept.await_state("web", StateName::Failed);
    assert!(status.reason.contains("in use by another program"), "{}", status.reason);
    assert_eq!((mode(&path), fs::metadata(&path).unwrap().ino()), (0o604, inode));
}

#[test]
fn a_successor_whose_path_has_a_strangers_dead_socket_binds_anew() {
    if !may_ask_for_files() {
        return skipped("a_successor_whose_path_has_a_strangers_dead_socket_binds_anew", "needs CAP_NET_ADMIN");
    }
    let kept = Kept::new(&[]);
    let path = kept.dir.join("web.sock");
    kept.add(&on_demand("web", &["greet", "3"]).listen(Listener::unix(path.to_str().unwrap())));
    kept.await_status("web", "is listened for", |status| status.reason.starts_with("for a connection"));
    kept.kill_and(|| {
        fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&path).unwrap());
    });
    kept.await_status("web", "is listened for", |status| status.reason.starts_with("for a connection"));
    let answer = line(unix(&path).unwrap());
    kept.await_state("web", StateName::Running);
    assert_eq!(answer, kept.pid("web").to_string());
}

#[test]
fn a_path_that_cannot_be_given_its_owner_is_removed_and_does_not_block_the_next_try() {
    let mut world = World::new();
    for (name, listener) in [("socket", Listener::unix("socket")), ("fifo", Listener::fifo("fifo"))] {
        let path = world.dir.join(name);
        let refused = fault::everywhere(Call::Dress, 0, 1, Errno::EPERM as i32);
        let process = world.add(does(name, &["wait"]).listen(listener));
        let why = world.await_state(name, StateName::Failed);
        drop(refused);
        assert!(why.contains("cannot give it its owner and mode"), "{why}");
        assert!(!path.exists());
        done(process.start()).unwrap();
        assert_eq!(mode(&path), 0o660);
    }
    // One that a supervisor left which died before it had a mode: nobody but root could even ask whether it is alive.
    let path = world.dir.join("half");
    drop(UnixListener::bind(&path).unwrap());
    set_mode(&path, 0);
    let process = arm(&mut world, on_demand("half", &["greet", "3"]).listen(Listener::unix("half")));
    assert_eq!(line(unix(&path).unwrap()), pid(&process).to_string());
}

#[test]
fn a_link_of_a_strangers_on_the_way_to_a_listener_is_not_followed_and_one_of_roots_is() {
    if !root_or_skip("a_link_of_a_strangers_on_the_way_to_a_listener_is_not_followed_and_one_of_roots_is") {
        return;
    }
    let mut world = World::new();
    let dir = world.dir.path().to_owned();
    for folder in ["secret", "theirs", "theirs/real"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    set_mode(&dir.join("secret"), 0o700);
    symlink(dir.join("secret"), dir.join("theirs/link")).unwrap();
    for name in ["theirs", "theirs/link", "theirs/real"] {
        lchown(dir.join(name), Some(STRANGER), Some(STRANGER)).unwrap();
    }
    for listener in [
        Listener::unix("theirs/link/deep/app"),
        Listener::unix_dgram("theirs/link/app"),
        Listener::fifo("theirs/link/deep/app"),
    ] {
        let process = world.add(does("web", &["wait"]).listen(listener));
        let why = done(process.start()).expect_err("a link of a stranger's").to_string();
        assert!(why.contains(&format!("`link` is a link of user {STRANGER}, who could lead anywhere")), "{why}");
        done(process.delete(true)).unwrap();
    }
    assert_eq!(fs::read_dir(dir.join("secret")).unwrap().count(), 0);
    symlink("secret", dir.join("ours")).unwrap();
    let process = arm(&mut world, on_demand("ours", &["greet", "3"]).listen(Listener::unix("ours/deep/app")));
    assert_eq!(line(unix(dir.join("secret/deep/app")).unwrap()), pid(&process).to_string());

    // Nor when a path is removed: what lies behind the link stays.
    let listeners = [Listener::unix("theirs/real/socket").name("a"), Listener::fifo("theirs/real/fifo").name("b")];
    let spec = listeners.into_iter().fold(on_demand("moved", &["wait"]), neap::spec::Spec::listen);
    arm(&mut world, spec);
    fs::rename(dir.join("theirs/real"), dir.join("secret/real")).unwrap();
    symlink(dir.join("secret/real"), dir.join("theirs/real")).unwrap();
    lchown(dir.join("theirs/real"), Some(STRANGER), Some(STRANGER)).unwrap();
    done(world.supervisor.shutdown()).unwrap();
    assert!(dir.join("secret/real/socket").exists() && dir.join("secret/real/fifo").exists());
    assert!(!dir.join("secret/deep/app").exists(), "the path of a listener that is closed");
}

#[test]
fn a_fifo_that_was_there_before_is_used_as_it_is_and_stays() {
    let mut world = World::new();
    let path = world.dir.join("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let untouched = |what: &str| {
        let is = fs::symlink_metadata(&path).is_ok_and(|found| (found.ino(), found.mode() & 0o7777) == (inode, 0o600));
        assert!(is, "{what}");
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = does("both", &["wait"])
        .listen(Listener::fifo("fifo"))
        .listen(Listener::tcp(taken.local_addr().unwrap().to_string()));
    let both = world.add(both);
    done(both.start()).expect_err("a port in use");
    untouched("when another listener could not be bound");
    done(both.delete(true)).unwrap();
    let process =
        arm(&mut world, on_demand("reads", &["receive", "3", "wait"]).listen(Listener::fifo("fifo").mode(0o622)));
    untouched("when it is listened at");
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut fifo| std::io::Write::write_all(&mut fifo, b"it"))
        .unwrap();
    wait_until("it is read", || crate::world::lines(&process).iter().any(|line| line == "got it"));
    done(process.restart()).unwrap();
    untouched("by another start");
    done(world.supervisor.shutdown()).unwrap();
    untouched("when everything is down");
}

#[test]
fn a_successor_removes_the_fifo_that_was_made_and_not_the_one_that_was_there_before() {
    let kept = Kept::new(&[]);
    let (theirs, ours) = (kept.dir.join("theirs"), kept.dir.join("ours"));
    mkfifo(&theirs, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let spec = [&theirs, &ours].into_iter().fold(on_demand("reads", &["wait"]), |spec, path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        spec.listen(Listener::fifo(path.to_str().unwrap()).name(name))
    });
    kept.add(&spec);
    let listens = || {
        kept.await_status("reads", "is listened for", |status| status.reason.starts_with("for a connection"));
    };
    listens();
    kept.kill();
    listens();
    assert_eq!((mode(&theirs), mode(&ours)), (0o600, 0o660));
    kept.delete("reads");
    wait_until("the one that was made is gone", || !ours.exists());
    assert_eq!(mode(&theirs), 0o600);
}
