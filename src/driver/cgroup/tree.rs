//! Trees as cgroups (version 2): a folder a run, below a folder of the instance's, below our own cgroup. Nobody is moved,
//! and no controller is enabled before a limit needs it. The folder of an instance that outlives its supervisor has a name that stays, and so have its
//! trees: `NAME.rN`, those of hooks and probes `NAME+….rN`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, access, unlinkat};

use crate::core::{Pid, RunId};
use crate::spec::Signal;

use super::controller::Controller;
use super::names::{Naming, folder, parsed};
use super::own::Own;
use crate::driver::reserve::Reserve;
use crate::driver::sys::fault::{self, Call};
use crate::driver::sys::{self, OpenFor};
use crate::driver::tell::{self, Roll};
use crate::lock::lock;

/// The instance's folder, removed when the last tree and the owner are gone.
pub(in crate::driver) struct Base {
    /// Where it is among files.
    path: PathBuf,
    /// What `/proc/<pid>/cgroup` calls it.
    name: String,
    /// Our own cgroup's folder, above it.
    own: PathBuf,
    /// The controllers that were asked for, or why they are not to be had.
    enabled: Mutex<BTreeMap<Controller, Result<(), String>>>,
    /// Those that could be asked for, or why not, as was seen when that was first asked.
    seen: Mutex<BTreeMap<Controller, Result<(), String>>>,
    folder: OwnedFd,
    inotify: Inotify,
    watched: Mutex<HashMap<WatchDescriptor, RunId>>,
    /// Folders that were still busy when they were to be removed.
    leftovers: Mutex<Vec<CString>>,
    /// Whether everything is left as it is for whoever comes after us.
    stays: AtomicBool,
}

/// A tree's folder that was there already.
pub(in crate::driver) struct FoundLeaf {
    /// What its folder is called.
    pub(in crate::driver) name: CString,
    /// The run in that name.
    pub(in crate::driver) run: RunId,
    /// Whether it was made for a hook or a probe.
    pub(in crate::driver) of_job: bool,
}

impl Base {
    /// Makes it; `Err` says in words why there can be none.
    pub(in crate::driver) fn new() -> Result<Base, String> {
        Base::below_ours(&Naming::Fresh)
    }

    /// The folder with this instance's name, which may be there already, with trees in it.
    pub(in crate::driver) fn of_instance(instance: &str) -> Result<Base, String> {
        Base::below_ours(&Naming::Instance(instance.to_owned()))
    }

    fn below_ours(naming: &Naming) -> Result<Base, String> {
        let (own, own_name) = Own::read()?.version2()?;
        // Moving a child from our cgroup into one below it takes the right to write the process list of both.
        access(&own.join("cgroup.procs"), AccessFlags::W_OK)
            .map_err(|e| format!("{} is not ours to use: {}", own.display(), e.desc()))?;
        if let Ok(kind) = fs::read_to_string(own.join("cgroup.type"))
            && kind.trim() != "domain"
        {
            return Err(format!("{} is a {} cgroup", own.display(), kind.trim()));
        }
        let (path, folder_name) = naming.make(&own)?;
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
            own,
            enabled: Mutex::default(),
            seen: Mutex::default(),
            folder,
            inotify,
            watched: Mutex::default(),
            leftovers: Mutex::default(),
            stays: AtomicBool::new(false),
        })
    }

    /// Sees to it that each tree has this controller. An answer holds for good.
    pub(super) fn enable(&self, controller: Controller) -> Result<(), String> {
        if let Some(known) = self.known(controller) {
            return known;
        }
        let enabled = self.try_enable(controller);
        lock(&self.enabled).insert(controller, enabled.clone());
        enabled
    }

    fn known(&self, controller: Controller) -> Option<Result<(), String>> {
        lock(&self.enabled).get(&controller).cloned()
    }

    fn try_enable(&self, controller: Controller) -> Result<(), String> {
        self.look(controller)?;
        let (name, control) = (controller.version2(), "cgroup.subtree_control");
        if !lists(&self.path.join("cgroup.controllers"), name) {
            write(&self.own.join(control), &format!("+{name}")).map_err(|e| self.refused(controller, &e))?;
        }
        if lists(&self.path.join(control), name) {
            return Ok(());
        }
        write(&self.path.join(control), &format!("+{name}"))
            .map_err(|e| format!("{} does not take the {name} controller: {e}", self.path.display()))
    }

    /// Whether trees have this controller, or could be given it, as far as can be seen without trying. Looks at files the
    /// first time alone.
    pub(super) fn could_enable(&self, controller: Controller) -> Result<(), String> {
        if let Some(known) = self.known(controller) {
            return known;
        }
        lock(&self.seen).entry(controller).or_insert_with(|| self.look(controller)).clone()
    }

    fn look(&self, controller: Controller) -> Result<(), String> {
        let name = controller.version2();
        let own = &self.own;
        if lists(&self.path.join("cgroup.controllers"), name) {
            return Ok(());
        }
        if !lists(&own.join("cgroup.controllers"), name) {
            return Err(format!("{} has no {name} controller (version 2)", own.display()));
        }
        access(&own.join("cgroup.subtree_control"), AccessFlags::W_OK)
            .map_err(|e| self.refused(controller, &e.into()))?;
        // The root of all alone may have processes beside limits.
        let is_root = !own.join("cgroup.type").exists();
        let occupied = || fs::read_to_string(own.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty());
        if !is_root && occupied() {
            return Err(self.refused(controller, &Errno::EBUSY.into()));
        }
        Ok(())
    }

    fn refused(&self, controller: Controller, error: &io::Error) -> String {
        let (own, name) = (self.own.display(), controller.version2());
        if is(error, Errno::EBUSY) {
            format!("programs live in {own} itself, and the kernel gives no {name} controller to what is below them")
        } else {
            format!("{own} does not hand on the {name} controller: {error}")
        }
    }

    /// The trees that are there.
    pub(in crate::driver) fn found(&self) -> io::Result<Vec<FoundLeaf>> {
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
    pub(in crate::driver) fn adopt(self: &Arc<Self>, found: FoundLeaf) -> io::Result<Leaf> {
        Leaf::new(self.clone(), found.name, found.run)
    }

    /// Has it told when a file of a run's changes.
    pub(super) fn watch_file(&self, path: &Path, run: RunId) -> io::Result<()> {
        let mut watched = lock(&self.watched);
        let watch = self.inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        watched.insert(watch, run);
        Ok(())
    }

    /// Removes nothing from now on: somebody else goes on with it.
    pub(in crate::driver) fn leave(&self) {
        self.stays.store(true, Ordering::Release);
    }

    /// Readable when something changed in a watched tree.
    pub(in crate::driver) fn notices(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// The runs whose trees changed.
    pub(in crate::driver) fn read_notices(&self) -> Vec<RunId> {
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
    pub(in crate::driver) fn create(self: &Arc<Self>, process: &str, run: RunId) -> io::Result<Leaf> {
        self.remove_leftovers();
        fault::point(Call::MakeDir)?;
        let stem = folder(process, run);
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

/// Whether a word is in a file of words.
fn lists(path: &Path, word: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|found| found == word))
}

pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    sys::open_at(None, &path, OpenFor::Folder)
}

/// One tree's folder.
pub(in crate::driver) struct Leaf {
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
    pub(in crate::driver) fn path(&self) -> PathBuf {
        self.base.path.join(self.name.to_string_lossy().as_ref())
    }

    /// Its folder, to make a child in.
    pub(in crate::driver) fn open(&self) -> io::Result<OwnedFd> {
        sys::open_at(Some(self.base.folder.as_fd()), &self.name, OpenFor::Folder)
    }

    /// Whether no process lives in it or below it.
    pub(in crate::driver) fn is_empty(&self) -> io::Result<bool> {
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
    pub(in crate::driver) fn contains(&self, pid: Pid) -> io::Result<bool> {
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
    pub(in crate::driver) fn kill(&self, reserve: &Reserve) -> io::Result<()> {
        let path = below(&self.name, "cgroup.kill")?;
        match reserve.lend(|| sys::open_at(Some(self.base.folder.as_fd()), &path, OpenFor::Write)) {
            Ok(file) => sys::write(file.as_fd(), b"1").map(drop),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                tell::all(self, reserve, Signal::KILL, None, |_| true).map(drop)
            }
            Err(e) => Err(e),
        }
    }

    /// Has the base tell when it may have become empty.
    pub(in crate::driver) fn watch(&self) -> io::Result<()> {
        let path = self.base.path.join(self.events.to_string_lossy().as_ref());
        self.base.watch_file(&path, self.run)
    }

    /// Removes its folder.
    pub(in crate::driver) fn remove(mut self) -> io::Result<()> {
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
