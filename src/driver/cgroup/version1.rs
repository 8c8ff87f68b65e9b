//! Cgroups of version 1, where a host has its controllers there: a folder a run beside its tree, made only for a process
//! with such a limit. The child enters by itself, before its program is executed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::unistd::{AccessFlags, access};

use super::controller::Controller;
use super::names::{Naming, instance_folder, parsed};
use super::own::Own;
use crate::core::{Pid, RunId};
use crate::driver::member;
use crate::lock::lock;

/// The hierarchies of version 1.
pub(super) struct Version1 {
    naming: Naming,
    /// Those that were asked for, or why they are of no use.
    hierarchies: Mutex<BTreeMap<Controller, Result<Arc<Hierarchy>, String>>>,
    /// Those that could be asked for, or why not, as was seen when that was first asked.
    seen: Mutex<BTreeMap<Controller, Result<(), String>>>,
    /// What a supervisor before us left, until it is claimed.
    found: Mutex<BTreeMap<RunId, Vec<Cage>>>,
    stays: Arc<AtomicBool>,
}

/// The instance's folder in one hierarchy, removed when the last cage is gone.
struct Hierarchy {
    path: PathBuf,
    /// Folders that were still busy when they were to be removed.
    leftovers: Mutex<Vec<PathBuf>>,
    stays: Arc<AtomicBool>,
}

/// The folder of a run in one hierarchy.
#[derive(Clone)]
pub(super) struct Cage {
    pub(super) controller: Controller,
    folder: Arc<Folder>,
}

struct Folder {
    hierarchy: Arc<Hierarchy>,
    path: PathBuf,
    /// Whether the kernel tells when it runs out of memory: asked twice, it tells twice.
    is_told_of: AtomicBool,
}

impl Folder {
    fn new(hierarchy: Arc<Hierarchy>, path: PathBuf) -> Arc<Folder> {
        Arc::new(Folder { hierarchy, path, is_told_of: AtomicBool::new(false) })
    }
}

impl Version1 {
    /// Looks at nothing yet.
    pub(super) fn fresh() -> Version1 {
        Version1::named(Naming::Fresh)
    }

    /// That of an instance, with what is there of it.
    pub(super) fn of_instance(instance: &str) -> Version1 {
        let version1 = Version1::named(Naming::Instance(instance.to_owned()));
        if let Ok(own) = Own::read() {
            for controller in Controller::ALL {
                if let Ok(above) = own.version1(controller) {
                    version1.take_up(controller, above.join(instance_folder(instance)));
                }
            }
        }
        version1
    }

    fn named(naming: Naming) -> Version1 {
        Version1 {
            naming,
            hierarchies: Mutex::default(),
            seen: Mutex::default(),
            found: Mutex::default(),
            stays: Arc::default(),
        }
    }

    fn take_up(&self, controller: Controller, path: PathBuf) {
        let Ok(entries) = fs::read_dir(&path) else { return };
        let hierarchy = self.hierarchy(path);
        let mut found = lock(&self.found);
        for entry in entries.flatten() {
            if let Some((run, _)) = entry.file_name().to_str().and_then(parsed)
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                let folder = Folder::new(hierarchy.clone(), entry.path());
                found.entry(run).or_default().push(Cage { controller, folder });
            }
        }
        lock(&self.hierarchies).insert(controller, Ok(hierarchy));
    }

    fn hierarchy(&self, path: PathBuf) -> Arc<Hierarchy> {
        Arc::new(Hierarchy { path, leftovers: Mutex::default(), stays: self.stays.clone() })
    }

    /// Whether a controller could be used, and why not. Makes nothing, and looks at files the first time alone.
    pub(super) fn has(&self, controller: Controller) -> Result<(), String> {
        match lock(&self.hierarchies).get(&controller) {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(why.clone()),
            None => {
                let look = || Own::read().and_then(|own| usable(&own, controller)).map(drop);
                lock(&self.seen).entry(controller).or_insert_with(look).clone()
            }
        }
    }

    /// Makes the folder of a run.
    pub(super) fn cage(&self, controller: Controller, name: &str) -> Result<Cage, io::Error> {
        let hierarchy = self.make(controller).map_err(io::Error::other)?;
        hierarchy.remove_leftovers();
        let path = hierarchy.path.join(name);
        match fs::create_dir(&path) {
            // Of a start that failed, or of another controller that shares the hierarchy.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        lock(&hierarchy.leftovers).retain(|left| *left != path);
        Ok(Cage { controller, folder: Folder::new(hierarchy, path) })
    }

    fn make(&self, controller: Controller) -> Result<Arc<Hierarchy>, String> {
        let mut hierarchies = lock(&self.hierarchies);
        let made = hierarchies.entry(controller).or_insert_with(|| {
            let above = Own::read().and_then(|own| usable(&own, controller))?;
            Ok(self.hierarchy(self.naming.make(&above)?.0))
        });
        made.clone()
    }

    /// What was there of a run.
    pub(super) fn claim(&self, run: RunId) -> Vec<Cage> {
        lock(&self.found).remove(&run).unwrap_or_default()
    }

    /// Removes what nobody claimed.
    pub(super) fn forget_found(&self) {
        lock(&self.found).clear();
    }

    /// Removes nothing from now on: somebody else goes on with it.
    pub(super) fn leave(&self) {
        self.stays.store(true, Ordering::Release);
    }
}

/// Where a controller's folders are to be made.
fn usable(own: &Own, controller: Controller) -> Result<PathBuf, String> {
    let above = own.version1(controller)?;
    for path in [above.clone(), above.join("tasks")] {
        access(&path, AccessFlags::W_OK).map_err(|e| format!("{} is not ours to use: {}", path.display(), e.desc()))?;
    }
    Ok(above)
}

impl Hierarchy {
    fn remove_leftovers(&self) {
        lock(&self.leftovers).retain(|path| !is_removed(path));
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Acquire) {
            self.remove_leftovers();
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.hierarchy.stays.load(Ordering::Acquire) && !is_removed(&self.path) {
            lock(&self.hierarchy.leftovers).push(self.path.clone());
        }
    }
}

/// Removes a folder, and those that its processes made in it.
fn is_removed(path: &Path) -> bool {
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        match fs::remove_dir(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {}
            _ => return true,
        }
        let below = fs::read_dir(path).into_iter().flatten().flatten();
        for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            is_removed(&entry.path());
        }
        // A process that has just ended may keep it busy for an instant.
        std::thread::yield_now();
    }
    false
}

impl Cage {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Has the kernel tell this descriptor when it runs out of memory: once, however often that is asked for.
    pub(super) fn tell(&self, told: BorrowedFd<'_>) -> io::Result<()> {
        if self.folder.is_told_of.load(Ordering::Acquire) {
            return Ok(());
        }
        let control = File::open(self.path().join("memory.oom_control"))?;
        let line = format!("{} {}", told.as_raw_fd(), control.as_raw_fd());
        super::tree::write(&self.path().join("cgroup.event_control"), &line)?;
        self.folder.is_told_of.store(true, Ordering::Release);
        Ok(())
    }

    /// Where a child that has one thread writes 0 to enter. Of `cgroup.procs` and `tasks` the one that waits for nobody.
    pub(super) fn door(&self) -> io::Result<OwnedFd> {
        OpenOptions::new().write(true).open(self.path().join("tasks")).map(OwnedFd::from)
    }

    /// Brings in those of these processes that are not in it yet. Whether all of them were.
    pub(super) fn bring_in(&self, members: &impl Fn() -> io::Result<Vec<Pid>>) -> io::Result<bool> {
        let path = self.path().join("cgroup.procs");
        let text = fs::read_to_string(&path)?;
        let there: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let missing: Vec<_> = members()?.into_iter().filter(|pid| !there.contains(&pid.0)).collect();
        let mut refused = None;
        member::each(&missing, members, |pid| match super::tree::write(&path, &pid.to_string()) {
            // Gone meanwhile.
            Err(e) if e.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => {}
            Err(e) => {
                refused.get_or_insert(e);
            }
            Ok(()) => {}
        })?;
        refused.map_or(Ok(missing.is_empty()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::{Cage, Controller, Folder, Version1};

    #[test]
    fn the_kernel_is_asked_once_to_tell_of_memory() {
        let path = std::env::temp_dir().join(format!("neap-told-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for file in ["memory.oom_control", "cgroup.event_control"] {
            fs::write(path.join(file), "").unwrap();
        }
        let hierarchy = Version1::fresh().hierarchy(path.clone());
        let cage = Cage { controller: Controller::Memory, folder: Folder::new(hierarchy, path.clone()) };
        let told = fs::File::open("/dev/null").unwrap();
        cage.tell(told.as_fd()).unwrap();
        assert!(!fs::read(path.join("cgroup.event_control")).unwrap().is_empty());
        fs::write(path.join("cgroup.event_control"), "").unwrap();
        cage.clone().tell(told.as_fd()).unwrap();
        assert!(fs::read(path.join("cgroup.event_control")).unwrap().is_empty());
        fs::remove_dir_all(&path).unwrap();
    }
}
