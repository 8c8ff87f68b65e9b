//! Where we are ourselves in each hierarchy of cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use super::controller::Controller;

/// The folder, below that of whoever started it, that the binary moves itself into where controllers ask for it. Trees are
/// made beside it.
pub(in crate::driver) const LEAF: &str = "neap-supervisor";

/// What the kernel says of our cgroups, and of where they can be seen.
pub(super) struct Own {
    memberships: String,
    mounts: String,
}

impl Own {
    /// Asks the kernel.
    pub(super) fn read() -> Result<Own, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        Ok(Own { memberships: read("/proc/self/cgroup")?, mounts: read("/proc/self/mountinfo")? })
    }

    /// Our folder of version 2 and what it is called; the one above, where ours is the [`LEAF`].
    pub(super) fn version2(&self) -> Result<(PathBuf, String), String> {
        let (path, name) = self.version2_leaf()?;
        match (name.strip_suffix(LEAF).and_then(|rest| rest.strip_suffix('/')), path.parent()) {
            (Some(above), Some(parent)) => {
                Ok((parent.to_owned(), if above.is_empty() { "/".to_owned() } else { above.to_owned() }))
            }
            _ => Ok((path, name)),
        }
    }

    /// Our folder of version 2 and what it is called.
    pub(super) fn version2_leaf(&self) -> Result<(PathBuf, String), String> {
        let name =
            self.memberships.lines().find_map(|l| l.strip_prefix("0::")).ok_or("this kernel has no cgroup v2")?;
        let mut seen = None;
        for mount in self.mounts.lines().filter_map(Mount::parsed).filter(|mount| mount.kind == "cgroup2") {
            match mount.below(name) {
                Some(path) => return Ok((path, name.to_owned())),
                None => seen = Some(mount.at),
            }
        }
        Err(seen.map_or_else(
            || "no cgroup v2 hierarchy is mounted".to_owned(),
            |at| format!("our own cgroup {name} is not below the one mounted at {at}"),
        ))
    }

    /// Our folder in the hierarchy of version 1 that has this controller.
    pub(super) fn version1(&self, controller: Controller) -> Result<PathBuf, String> {
        let wanted = controller.version1();
        let has = |list: &str, what: &str| list.split(',').any(|word| word == what);
        let membership = self.memberships.lines().find_map(|line| {
            let (controllers, name) = line.split_once(':')?.1.split_once(':')?;
            has(controllers, wanted).then_some((controllers, name))
        });
        let Some((controllers, name)) = membership else {
            return Err(format!("this kernel has no {wanted} controller"));
        };
        if has(controllers, "cpuset") {
            // A folder there is of no use before somebody chose its processors.
            return Err(format!("the {wanted} controller shares its hierarchy with cpuset"));
        }
        let mounts = self.mounts.lines().filter_map(Mount::parsed);
        mounts
            .filter(|mount| mount.kind == "cgroup" && has(mount.options, wanted))
            .find_map(|mount| mount.below(name))
            .ok_or_else(|| format!("the {wanted} controller is of version 1, and not mounted where we are"))
    }
}

/// A line of mountinfo: id parent device root mountpoint options… - type source options.
struct Mount<'a> {
    root: String,
    at: String,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn parsed(line: &str) -> Option<Mount<'_>> {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let mut fields = kind.split(' ');
        let kind = fields.next()?;
        Some(Mount { root, at, kind, options: fields.nth(1).unwrap_or_default() })
    }

    /// Where a cgroup is seen: a mount may show a part of the hierarchy only.
    fn below(&self, name: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { name } else { name.strip_prefix(self.root.as_str())? };
        let is_below = below.is_empty() || below.starts_with('/');
        // What is above our namespace's root cannot be named.
        let is_seen = !below.split('/').any(|part| part == "..");
        (is_below && is_seen).then(|| Path::new(&self.at).join(below.trim_start_matches('/')))
    }
}

/// Undoes mountinfo's octal escapes (proc_pid_mountinfo(5)).
fn unescaped(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::controller::Controller;
    use super::Own;

    fn own(memberships: &str, mounts: &str) -> Own {
        Own { memberships: memberships.into(), mounts: mounts.into() }
    }

    fn own_folder(memberships: &str, mounts: &str) -> Result<(PathBuf, String), String> {
        own(memberships, mounts).version2()
    }

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
    fn in_the_supervisors_own_leaf_trees_are_made_beside_it() {
        let (path, name) = own_folder("0::/a.service/neap-supervisor\n", HYBRID).unwrap();
        assert_eq!(path, PathBuf::from("/sys/fs/cgroup/unified/a.service"));
        assert_eq!(name, "/a.service");
        let (path, name) = own_folder("0::/neap-supervisor\n", HYBRID).unwrap();
        assert_eq!((path, name.as_str()), (PathBuf::from("/sys/fs/cgroup/unified"), "/"));
        assert_eq!(own_folder("0::/not-neap-supervisor\n", HYBRID).unwrap().1, "/not-neap-supervisor");
    }

    #[test]
    fn a_controller_of_version_one_is_found_wherever_it_is_mounted() {
        let mounts = "32 30 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            33 30 0:29 /docker/abc /cg/memory rw - cgroup cgroup rw,memory\n\
            34 30 0:30 / /cg/pids rw - cgroup cgroup rw,pids,cpuset\n";
        let own = own("5:cpu,cpuacct:/x\n4:memory:/docker/abc/y\n3:pids,cpuset:/\n0::/z\n", mounts);
        assert_eq!(own.version1(Controller::Cpu), Ok(PathBuf::from("/cg/cpu/x")));
        assert_eq!(own.version1(Controller::Memory), Ok(PathBuf::from("/cg/memory/y")));
        assert!(own.version1(Controller::Pids).unwrap_err().contains("cpuset"));
        assert!(own.version1(Controller::Io).unwrap_err().contains("no blkio controller"));
    }
}
