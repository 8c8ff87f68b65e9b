//! Making room above our trees: the kernel gives controllers only to what is below a cgroup in which nobody lives, the root
//! of all excepted. A program that is alone in its cgroup, as a service's and a container's are, can move out of the way.

use std::fs;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::own::{LEAF, Own};
use super::tree::write;

/// Moves this process, and with it all that it will start, into a cgroup of its own below the one it was started in, where
/// that is what it takes to limit others. Nobody else is moved, and nothing is changed where it is of no use: `Err` says why,
/// in words.
///
/// For programs that are a supervisor and nothing else, before they have started anything.
pub(crate) fn step_aside() -> Result<(), String> {
    let (own, name) = Own::read()?.version2_leaf()?;
    if name.ends_with(LEAF) {
        return Ok(());
    }
    step_aside_of(&own, std::process::id())
}

fn step_aside_of(own: &Path, us: u32) -> Result<(), String> {
    let shown = own.display();
    let read = |file: &str| fs::read_to_string(own.join(file));
    match read("cgroup.type").as_deref().map(str::trim_end) {
        Ok("domain") => {}
        Ok(other) => return Err(format!("{shown} is a {other} cgroup")),
        Err(_) => return Err(format!("{shown} is the root, where nobody is in the way")),
    }
    let controllers = read("cgroup.controllers").unwrap_or_default();
    if !controllers.split_whitespace().any(|name| ["memory", "cpu", "pids", "io"].contains(&name)) {
        return Err(format!("{shown} has no controllers to hand on"));
    }
    let alone = |text: &str| text.split_whitespace().all(|pid| pid == us.to_string());
    if !read("cgroup.procs").is_ok_and(|text| alone(&text)) {
        return Err(format!("others live in {shown}"));
    }
    for file in ["cgroup.procs", "cgroup.subtree_control"] {
        access(&own.join(file), AccessFlags::W_OK).map_err(|e| format!("{shown}/{file}: {}", e.desc()))?;
    }
    let leaf = own.join(LEAF);
    if !leaf.is_dir() {
        fs::create_dir(&leaf).map_err(|e| format!("cannot make {}: {e}", leaf.display()))?;
    }
    write(&leaf.join("cgroup.procs"), &us.to_string()).map_err(|e| format!("cannot enter {}: {e}", leaf.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::own::LEAF;
    use super::step_aside_of;

    /// A folder that looks like a cgroup.
    fn cgroup(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("neap-aside-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join(LEAF)).unwrap();
        fs::write(folder.join(LEAF).join("cgroup.procs"), "").unwrap();
        fs::write(folder.join("cgroup.subtree_control"), "").unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
        folder
    }

    #[test]
    fn a_supervisor_that_is_alone_in_its_cgroup_makes_room() {
        let files = [("cgroup.type", "domain\n"), ("cgroup.controllers", "cpu memory\n"), ("cgroup.procs", "77\n")];
        let own = cgroup("alone", &files);
        let moved = step_aside_of(&own, 77);
        let entered = fs::read_to_string(own.join(LEAF).join("cgroup.procs")).unwrap();
        fs::remove_dir_all(&own).unwrap();
        assert_eq!((moved, entered.as_str()), (Ok(()), "77"));
    }

    #[test]
    fn nobody_moves_where_it_would_be_of_no_use() {
        for (name, kind, controllers, procs, why) in [
            ("others", Some("domain\n"), "memory pids\n", "7\n77\n", "others live in"),
            ("root", None, "memory pids\n", "77\n", "is the root"),
            ("bare", Some("domain\n"), "hugetlb\n", "77\n", "no controllers to hand on"),
            ("threaded", Some("threaded\n"), "cpu\n", "77\n", "is a threaded cgroup"),
        ] {
            let mut files = vec![("cgroup.controllers", controllers), ("cgroup.procs", procs)];
            files.extend(kind.map(|kind| ("cgroup.type", kind)));
            let own = cgroup(name, &files);
            let refused = step_aside_of(&own, 77).unwrap_err();
            let entered = fs::read_to_string(own.join(LEAF).join("cgroup.procs")).unwrap();
            fs::remove_dir_all(&own).unwrap();
            assert!(refused.contains(why), "{refused}");
            assert_eq!(entered, "");
        }
    }
}
