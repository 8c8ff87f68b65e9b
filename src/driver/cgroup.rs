//! Trees as cgroups (version 2): a folder a run, below a folder of the instance's, below our own cgroup. Nobody is moved,
//! no controller is touched. The folder of an instance that outlives its supervisor has a name that stays, and so have its
//! trees: `NAME.rN`, those of hooks and probes `NAME+….rN`.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, access, unlinkat};

use crate::core::{Pid, RunId};
use crate::spec::Signal;

use super::reserve::Reserve;
use super::sys::fault::{self, Call};
use super::sys::{self, OpenFor};
use super::tell::{self, Roll};

/// The instance's folder, removed when the last tree and the owner are gone.
pub(super) struct Base {
    /// Where it is among files.
    path: PathBuf,
    /// What `/proc/<pid>/cgroup` calls it.
    name: String,
    folder: OwnedFd,
    inotify: Inotify,
    watched: Mutex<HashMap<WatchDescriptor, RunId>>,
    /// Folders that were still busy when they were to be removed.
    leftovers: Mutex<Vec<CString>>,
    /// Whether everything is left as it is for whoever comes after us.
    stays: AtomicBool,
}

/// A tree's folder that was there already.
pub(super) struct FoundLeaf {
    /// What its folder is called.
    pub(super) name: CString,
    /// The run in that name.
    pub(super) run: RunId,
    /// Whether it was made for a hook or a probe.
    pub(super) of_job: bool,
}

impl Base {
    /// Makes it; `Err` says in words why there can be none.
    pub(super) fn new() -> Result<Base, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Base::below_ours(|own| make_folder(own, &NEXT))
    }

    /// The folder with this instance's name, which may be there already, with trees in it.
    pub(super) fn of_instance(instance: &str) -> Result<Base, String> {
        Base::below_ours(|own| {
            let name = format!("neap.{}", escaped(instance));
            let path = own.join(&name);
            match fs::create_dir(&path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    Err(format!("cannot make {}: {e}", path.display()))
                }
                _ => Ok((path, name)),
            }
        })
    }

    fn below_ours(make: impl FnOnce(&Path) -> Result<(PathBuf, String), String>) -> Result<Base, String> {
        let memberships = fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("/proc/self/cgroup: {e}"))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| format!("/proc/self/mountinfo: {e}"))?;
        let (own, own_name) = own_folder(&memberships, &mounts)?;
        // Moving a child from our cgroup into one below it takes the right to write the process list of both.
        access(&own.join("cgroup.procs"), AccessFlags::W_OK)
            .map_err(|e| format!("{} is not ours to use: {}", own.display(), e.desc()))?;
        if let Ok(kind) = fs::read_to_string(own.join("cgroup.type"))
            && kind.trim() != "domain"
        {
            return Err(format!("{} is a {} cgroup", own.display(), kind.trim()));
        }
        let (path, folder_name) = make(&own)?;
        let made = open_folder(&path).and_then(|folder| {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            Ok((sys::high_fd(folder), inotify))
        });
        let (folder, inotify) = made.map_err(|e| {
            let _ = fs::remove_dir(&path);
            format!("cannot use {}: {e}", path.display())
        })?;
        let name = format!("{}/{folder_name}", own_name.trim_end_matches('/'));
        Ok(Base {
            path,
            name,
            folder,
            inotify,
            watched: Mutex::default(),
            leftovers: Mutex::default(),
            stays: AtomicBool::new(false),
        })
    }

    /// The trees that are there.
    pub(super) fn found(&self) -> io::Result<Vec<FoundLeaf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Some((run, of_job)) = entry.file_name().to_str().and_then(parsed)
            {
                found.push(FoundLeaf { name: CString::new(entry.file_name().into_encoded_bytes())?, run, of_job });
            }
        }
        found.sort_by(|a, b| (a.run, &a.name).cmp(&(b.run, &b.name)));
        Ok(found)
    }

    /// A tree that was found.
    pub(super) fn adopt(self: &Arc<Self>, found: FoundLeaf) -> io::Result<Leaf> {
        Leaf::new(self.clone(), found.name, found.run)
    }

    /// Removes nothing from now on: somebody else goes on with it.
    pub(super) fn leave(&self) {
        self.stays.store(true, Ordering::Release);
    }

    /// Readable when something changed in a watched tree.
    pub(super) fn notices(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// The runs whose trees changed.
    pub(super) fn read_notices(&self) -> Vec<RunId> {
        let mut runs = BTreeSet::new();
        while let Ok(events) = self.inotify.read_events() {
            let mut watched = lock(&self.watched);
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    watched.remove(&event.wd);
                } else if let Some(run) = watched.get(&event.wd) {
                    runs.insert(*run);
                }
            }
        }
        runs.into_iter().collect()
    }

    /// Makes a tree's folder.
    pub(super) fn create(self: &Arc<Self>, process: &str, run: RunId) -> io::Result<Leaf> {
        self.remove_leftovers();
        fault::point(Call::MakeDir)?;
        let stem = format!("{}.{run}", escaped(process));
        for attempt in 0..u32::MAX {
            // A run's hooks have trees of their own.
            let name = if attempt == 0 { stem.clone() } else { format!("{stem}.{attempt}") };
            let leaf = CString::new(name)?;
            match mkdirat(&self.folder, leaf.as_c_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) => return Leaf::new(self.clone(), leaf, run),
                Err(Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(Errno::EEXIST.into())
    }

    fn remove_leftovers(&self) {
        let mut leftovers = lock(&self.leftovers);
        if !leftovers.is_empty() {
            leftovers.retain(|leaf| remove(self.folder.as_fd(), leaf).is_err());
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if self.stays.load(Ordering::Acquire) {
            return;
        }
        self.remove_leftovers();
        let _ = fs::remove_dir(&self.path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a folder `neap.<pid>.<number>` that was not there. One of the same name may be left by a program that had our
/// pid and was killed, or be in use by one that has it too, in another container.
fn make_folder(own: &Path, next: &AtomicU64) -> Result<(PathBuf, String), String> {
    const ATTEMPTS: usize = 10_000;
    let mut attempts = 0;
    loop {
        let name = format!("neap.{}.{}", std::process::id(), next.fetch_add(1, Ordering::Relaxed));
        let path = own.join(&name);
        attempts += 1;
        match fs::create_dir(&path) {
            Ok(()) => return Ok((path, name)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
            Err(e) => return Err(format!("cannot make {}: {e}", path.display())),
        }
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    sys::open_at(None, &path, OpenFor::Folder)
}

/// Our own cgroup's folder and name, from `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn own_folder(memberships: &str, mounts: &str) -> Result<(PathBuf, String), String> {
    let name = memberships.lines().find_map(|l| l.strip_prefix("0::")).ok_or("this kernel has no cgroup v2")?;
    let mut seen = None;
    for line in mounts.lines() {
        // id parent device root mountpoint options… - type source options
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        if kind.split(' ').next() != Some("cgroup2") {
            continue;
        }
        let mut fields = place.split(' ').skip(3);
        let (Some(root), Some(at)) = (fields.next(), fields.next()) else { continue };
        let (root, at) = (unescaped(root), unescaped(at));
        // A mount may show a part of the hierarchy only.
        let below = if root == "/" { Some(name) } else { name.strip_prefix(root.as_str()) };
        match below {
            Some(below) if below.is_empty() || below.starts_with('/') => {
                return Ok((Path::new(&at).join(below.trim_start_matches('/')), name.to_owned()));
            }
            _ => seen = Some(at),
        }
    }
    Err(seen.map_or_else(
        || "no cgroup v2 hierarchy is mounted".to_owned(),
        |at| format!("our own cgroup {name} is not below the one mounted at {at}"),
    ))
}

/// Undoes mountinfo's octal escapes (proc_pid_mountinfo(5)).
fn unescaped(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// A process's name as a part of a folder's: what is not a letter, a digit or one of `_@-.` becomes `%` and two hex
/// digits; never empty, hidden or too long.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (byte, first) in name.bytes().zip(std::iter::once(true).chain(std::iter::repeat(false))) {
        let plain = byte.is_ascii_alphanumeric() || b"_@-".contains(&byte) || (byte == b'.' && !first);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.truncate(200);
    if out.is_empty() { "%".to_owned() } else { out }
}

/// The run in a tree's folder's name, and whether that is a hook's or a probe's: `NAME.rN`, `NAME.rN.K`, and in place of
/// the process's name one with an (escaped) plus sign in it, which no process has.
fn parsed(folder: &str) -> Option<(RunId, bool)> {
    let run = |text: &str| text.strip_prefix('r')?.parse().ok().map(RunId);
    let (front, last) = folder.rsplit_once('.')?;
    let (name, run) = match run(last) {
        Some(found) => (front, found),
        None if last.bytes().all(|b| b.is_ascii_digit()) => {
            let (name, before) = front.rsplit_once('.')?;
            (name, run(before)?)
        }
        None => return None,
    };
    Some((run, name.contains("%2B")))
}

/// One tree's folder.
pub(super) struct Leaf {
    base: Arc<Base>,
    name: CString,
    events: CString,
    run: RunId,
    removed: bool,
}

impl Leaf {
    fn new(base: Arc<Base>, name: CString, run: RunId) -> io::Result<Leaf> {
        let events = below(&name, "cgroup.events")?;
        Ok(Leaf { base, name, events, run, removed: false })
    }

    /// Where its folder is among files.
    pub(super) fn path(&self) -> PathBuf {
        self.base.path.join(self.name.to_string_lossy().as_ref())
    }

    /// Its folder, to make a child in.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        sys::open_at(Some(self.base.folder.as_fd()), &self.name, OpenFor::Folder)
    }

    /// Whether no process lives in it or below it.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        let file = sys::open_at(Some(self.base.folder.as_fd()), &self.events, OpenFor::Read)?;
        let mut text = [0; 256];
        let length = sys::read(file.as_fd(), &mut text)?;
        let text = text.get(..length).unwrap_or_default();
        Ok(text.split(|b| *b == b'\n').any(|line| line == b"populated 0"))
    }

    fn collect(&self, folder: &CStr, pids: &mut BTreeSet<u32>) -> io::Result<()> {
        match self.read(&below(folder, "cgroup.procs")?) {
            Ok(text) => pids.extend(text.lines().filter_map(|l| l.parse::<u32>().ok()).filter(|p| *p != 0)),
            // Of a threaded cgroup; its processes are listed further up.
            Err(e) if e.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
            Err(e) => return Err(e),
        }
        for child in self.folders_below(folder)? {
            match self.collect(&child, pids) {
                Err(e) if e.kind() != io::ErrorKind::NotFound && !is(&e, Errno::ENODEV) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the processes made below; there rarely is any, which the number of links tells.
    fn folders_below(&self, folder: &CStr) -> io::Result<Vec<CString>> {
        folders_below(self.base.folder.as_fd(), &self.base.path, folder)
    }

    fn read(&self, path: &CStr) -> io::Result<String> {
        let file = sys::open_at(Some(self.base.folder.as_fd()), path, OpenFor::Read)?;
        let mut text = Vec::new();
        let mut part = [0; 4096];
        loop {
            match sys::read(file.as_fd(), &mut part)? {
                0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
                n => text.extend_from_slice(part.get(..n).unwrap_or_default()),
            }
        }
    }

    /// Whether a pid's cgroup is this one or one below it.
    pub(super) fn contains(&self, pid: Pid) -> io::Result<bool> {
        let memberships = match fs::read_to_string(format!("/proc/{pid}/cgroup")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound || is(&e, Errno::ESRCH) => return Ok(false),
            other => other?,
        };
        let Some(theirs) = memberships.lines().find_map(|l| l.strip_prefix("0::")) else { return Ok(false) };
        let rest = theirs
            .strip_prefix(&self.base.name)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.as_bytes().strip_prefix(self.name.to_bytes()));
        Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
    }

    /// SIGKILL to all at once, forking or not; on kernels before 5.14 one by one.
    pub(super) fn kill(&self, reserve: &Reserve) -> io::Result<()> {
        let path = below(&self.name, "cgroup.kill")?;
        match reserve.lend(|| sys::open_at(Some(self.base.folder.as_fd()), &path, OpenFor::Write)) {
            Ok(file) => sys::write(file.as_fd(), b"1").map(drop),
            Err(e) if e.kind() == io::ErrorKind::NotFound => tell::all(self, reserve, Signal::KILL, |_| true).map(drop),
            Err(e) => Err(e),
        }
    }

    /// Has the base tell when it may have become empty.
    pub(super) fn watch(&self) -> io::Result<()> {
        let path = self.base.path.join(self.events.to_string_lossy().as_ref());
        let mut watched = lock(&self.base.watched);
        let watch = self.base.inotify.add_watch(&path, AddWatchFlags::IN_MODIFY)?;
        watched.insert(watch, self.run);
        Ok(())
    }

    /// Removes its folder.
    pub(super) fn remove(mut self) -> io::Result<()> {
        remove(self.base.folder.as_fd(), &self.name)?;
        self.removed = true;
        Ok(())
    }
}

impl Roll for Leaf {
    /// The live processes in it and below it.
    fn members(&self) -> io::Result<Vec<Pid>> {
        let mut pids = BTreeSet::new();
        self.collect(&self.name, &mut pids)?;
        Ok(pids.into_iter().map(Pid).collect())
    }

    fn still(&self, _pids: &[Pid]) -> io::Result<BTreeSet<Pid>> {
        // One list tells of all, and also of those whose files in /proc are hidden from us.
        self.members().map(|members| members.into_iter().collect())
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if !self.removed
            && !self.base.stays.load(Ordering::Acquire)
            && remove(self.base.folder.as_fd(), &self.name).is_err()
        {
            lock(&self.base.leftovers).push(self.name.clone());
        }
    }
}

fn is(e: &io::Error, errno: Errno) -> bool {
    e.raw_os_error() == Some(errno as i32)
}

fn below(folder: &CStr, file: &str) -> io::Result<CString> {
    let mut path = folder.to_bytes().to_vec();
    path.push(b'/');
    path.extend_from_slice(file.as_bytes());
    Ok(CString::new(path)?)
}

fn folders_below(base: BorrowedFd<'_>, base_path: &Path, folder: &CStr) -> io::Result<Vec<CString>> {
    // A folder has two links and one more for each folder in it.
    if fstatat(base, folder, nix::fcntl::AtFlags::empty())?.st_nlink <= 2 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(base_path.join(folder.to_string_lossy().as_ref()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(below(folder, &entry.file_name().to_string_lossy())?);
        }
    }
    Ok(found)
}

/// Removes a folder and what is below it. A process that has just ended may keep it busy for an instant.
fn remove(base: BorrowedFd<'_>, folder: &CStr) -> io::Result<()> {
    const ATTEMPTS: usize = 3;
    for attempt in 1.. {
        match unlinkat(base, folder, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) if attempt < ATTEMPTS => {
                remove_below(base, folder)?;
                std::thread::yield_now();
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn remove_below(base: BorrowedFd<'_>, folder: &CStr) -> io::Result<()> {
    let folder_path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&base)));
    for child in folders_below(base, &folder_path, folder)? {
        remove(base, &child)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicU64;

    use super::{escaped, make_folder, own_folder, parsed};
    use crate::core::RunId;

    const HYBRID: &str = "30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
        32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn our_own_cgroup_is_found_on_a_hybrid_mount() {
        let (path, name) = own_folder("3:cpu:/x\n0::/user.slice/a.service\n", HYBRID).unwrap();
        assert_eq!(path, PathBuf::from("/sys/fs/cgroup/unified/user.slice/a.service"));
        assert_eq!(name, "/user.slice/a.service");
        let (path, _) = own_folder("0::/\n", HYBRID).unwrap();
        assert_eq!(path, PathBuf::from("/sys/fs/cgroup/unified/"));
    }

    #[test]
    fn a_mount_that_shows_only_a_part_is_seen_through() {
        let mounts = "31 30 0:27 /docker/abc /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n";
        let (path, _) = own_folder("0::/docker/abc/inner\n", mounts).unwrap();
        assert_eq!(path, PathBuf::from("/mnt/my groups/inner"));
        let refused = own_folder("0::/docker/abcd\n", mounts).unwrap_err();
        assert!(refused.contains("/docker/abcd") && refused.contains("/mnt/my groups"), "{refused}");
    }

    #[test]
    fn without_version_two_the_reason_is_told() {
        assert_eq!(own_folder("3:cpu:/\n", HYBRID).unwrap_err(), "this kernel has no cgroup v2");
        assert_eq!(own_folder("0::/\n", "").unwrap_err(), "no cgroup v2 hierarchy is mounted");
    }

    #[test]
    fn a_folder_that_is_there_already_is_stepped_over() {
        let us = std::process::id();
        let own = std::env::temp_dir().join(format!("neap-cgroup-{us}"));
        for taken in ["4", "5"] {
            fs::create_dir_all(own.join(format!("neap.{us}.{taken}"))).unwrap();
        }
        let next = AtomicU64::new(4);
        let made = make_folder(&own, &next);
        let there = own.join(format!("neap.{us}.6")).is_dir();
        fs::remove_dir_all(&own).unwrap();
        assert_eq!(made.unwrap().1, format!("neap.{us}.6"));
        assert!(there);
        let refused = make_folder(&own, &next).unwrap_err();
        assert!(refused.starts_with("cannot make ") && refused.contains(".7: "), "{refused}");
    }

    #[test]
    fn a_folders_name_says_which_run_it_is_of_and_whether_of_its_hooks() {
        let of = |name: &str, run: RunId| format!("{}.{run}", escaped(name));
        assert_eq!(parsed(&of("web", RunId(7))), Some((RunId(7), false)));
        assert_eq!(parsed(&of("web.r3", RunId(1007))), Some((RunId(1007), false)));
        assert_eq!(parsed(&format!("{}.2", of("web.r3", RunId(7)))), Some((RunId(7), false)));
        assert_eq!(parsed(&of("web+before_start+12", RunId(7))), Some((RunId(7), true)));
        assert_eq!(parsed("web"), None);
        assert_eq!(parsed("somebody.else"), None);
        assert_eq!(parsed("web.r7.x"), None);
    }

    #[test]
    fn names_become_harmless_parts_of_a_path() {
        assert_eq!(escaped("web-1@x.y"), "web-1@x.y");
        assert_eq!(escaped("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(escaped("a\nb é"), "a%0Ab%20%C3%A9");
        assert_eq!(escaped(""), "%");
        assert_eq!(escaped(&"x".repeat(500)).len(), 200);
    }
}
