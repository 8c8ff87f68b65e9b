//! Limits as they stand in the files of a cgroup, and what those files say of them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::controller::Controller;
use crate::driver::enforce::Limit;

/// Which version of cgroups a folder is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// In whose hands a limit is.
pub(super) fn controller(limit: Limit) -> Controller {
    match limit {
        Limit::Memory | Limit::MemoryHigh | Limit::MemoryLow => Controller::Memory,
        Limit::Cpu | Limit::CpuWeight => Controller::Cpu,
        Limit::Pids => Controller::Pids,
        Limit::IoWeight => Controller::Io,
    }
}

/// What of a limit is weaker than its description says, in words; `Err` when it cannot be had at all.
pub(super) fn weaker(version: Version, limit: Limit) -> Result<&'static str, &'static str> {
    match (version, limit) {
        (Version::One, Limit::MemoryHigh) => Ok(
            "version 1 of cgroups slows nobody down: beyond it, memory is only the first to be taken back when the host \
                runs short",
        ),
        (Version::One, Limit::MemoryLow) => Err("version 1 of cgroups keeps no memory for anybody"),
        (Version::One, Limit::IoWeight) => Ok("it counts on disks whose scheduler is bfq alone"),
        _ => Ok(""),
    }
}

/// Puts a limit into a cgroup's files, or lifts it.
///
/// # Errors
/// With the file and what the kernel says.
pub(super) fn set(folder: &Path, version: Version, limit: Limit, value: Option<u64>) -> io::Result<()> {
    let files = Files(folder);
    let number = |none: &str| value.map_or_else(|| none.to_owned(), |value| value.to_string());
    match (version, limit) {
        (Version::Two, Limit::Memory) => {
            files.write("memory.max", &number("max"))?;
            // Swapped out it would use as much, and last longer.
            files.try_write("memory.swap.max", if value.is_some() { "0" } else { "max" })
        }
        (Version::One, Limit::Memory) => files.memory_one(&number("-1")),
        (Version::Two, Limit::MemoryHigh) => files.write("memory.high", &number("max")),
        (Version::One, Limit::MemoryHigh) => files.write("memory.soft_limit_in_bytes", &number("-1")),
        (Version::Two, Limit::MemoryLow) => files.write("memory.low", &number("0")),
        (Version::One, Limit::MemoryLow) => Ok(()),
        (Version::Two, Limit::Cpu) => {
            let text = value.map_or_else(
                || "max 100000".to_owned(),
                |millis| {
                    let (quota, period) = bandwidth(millis);
                    format!("{quota} {period}")
                },
            );
            files.write("cpu.max", &text)
        }
        (Version::One, Limit::Cpu) => files.cpu_one(value),
        (Version::Two, Limit::CpuWeight) => files.write("cpu.weight", &value.unwrap_or(100).to_string()),
        (Version::One, Limit::CpuWeight) => files.write("cpu.shares", &shares(value.unwrap_or(100)).to_string()),
        (_, Limit::Pids) => files.write("pids.max", &number("max")),
        (Version::Two, Limit::IoWeight) => {
            let weight = value.unwrap_or(100);
            files.either(&[("io.weight", format!("default {weight}")), ("io.bfq.weight", weight.min(1000).to_string())])
        }
        (Version::One, Limit::IoWeight) => {
            let weight = value.unwrap_or(100);
            // There 500 is what everybody has.
            let others = weight.saturating_mul(5).clamp(10, 1000);
            files.either(&[("blkio.bfq.weight", weight.min(1000).to_string()), ("blkio.weight", others.to_string())])
        }
    }
}

/// Whether this limit stands in the files of a cgroup of version 2.
pub(super) fn is_set(folder: &Path, limit: Limit, value: u64) -> bool {
    let (file, none) = match limit {
        // What everybody has.
        Limit::CpuWeight | Limit::IoWeight if value == 100 => return true,
        Limit::IoWeight if !folder.join("io.weight").exists() => ("io.bfq.weight", "default 100"),
        Limit::Memory => ("memory.max", "max"),
        Limit::MemoryHigh => ("memory.high", "max"),
        Limit::MemoryLow => ("memory.low", "0"),
        Limit::Cpu => ("cpu.max", "max"),
        Limit::CpuWeight => ("cpu.weight", "100"),
        Limit::Pids => ("pids.max", "max"),
        Limit::IoWeight => ("io.weight", "default 100"),
    };
    fs::read_to_string(folder.join(file)).is_ok_and(|text| !text.starts_with(none))
}

/// Quota and period in microseconds. The kernel takes no quota below a millisecond, and no period above a second.
fn bandwidth(millis: u64) -> (u64, u64) {
    const PERIOD: u64 = 100_000;
    const LONGEST: u64 = 1_000_000;
    const LEAST: u64 = 1_000;
    let quota = millis.saturating_mul(PERIOD) / 1000;
    if quota >= LEAST { (quota, PERIOD) } else { (millis.saturating_mul(LONGEST / 1000).max(LEAST), LONGEST) }
}

/// A weight (100 is everybody's) in shares (1,024 is everybody's).
fn shares(weight: u64) -> u64 {
    (weight.saturating_mul(1024) / 100).clamp(2, 262_144)
}

/// The files of one cgroup.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.0.join(file);
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Refused::error(&format!("{file}: cannot write {text:?}"), &error))
    }

    /// As [`write`](Files::write), where there is such a file.
    fn try_write(&self, file: &str, text: &str) -> io::Result<()> {
        if self.0.join(file).exists() { self.write(file, text) } else { Ok(()) }
    }

    /// Writes the first of these files that is there.
    fn either(&self, files: &[(&str, String)]) -> io::Result<()> {
        let found = files.iter().find(|(file, _)| self.0.join(file).exists());
        let Some((file, text)) = found else {
            return Err(io::Error::other("this kernel gives disks no weights (neither iocost nor bfq)"));
        };
        self.write(file, text)
    }

    /// Memory, and memory with swap, which may at no time be less.
    fn memory_one(&self, text: &str) -> io::Result<()> {
        const MEMORY: &str = "memory.limit_in_bytes";
        const BOTH: &str = "memory.memsw.limit_in_bytes";
        if !self.0.join(BOTH).exists() {
            return self.write(MEMORY, text);
        }
        match self.write(MEMORY, text) {
            Ok(()) => self.write(BOTH, text),
            // Upwards the other has to be first.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                self.write(BOTH, text)?;
                self.write(MEMORY, text)
            }
            Err(e) => Err(e),
        }
    }

    fn cpu_one(&self, value: Option<u64>) -> io::Result<()> {
        const QUOTA: &str = "cpu.cfs_quota_us";
        let Some((quota, period)) = value.map(bandwidth) else { return self.write(QUOTA, "-1") };
        // The new period need not go with the old quota.
        self.write(QUOTA, "-1")?;
        self.write("cpu.cfs_period_us", &period.to_string())?;
        self.write(QUOTA, &quota.to_string())
    }
}

/// An error of the kernel's, with the file.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
struct Refused {
    what: String,
    why: String,
}

impl Refused {
    fn error(what: &str, error: &io::Error) -> io::Error {
        if crate::driver::reserve::is_scarce(error) {
            return io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default());
        }
        let why = match error.kind() {
            // Of a limit that is lowered.
            io::ErrorKind::ResourceBusy => "more than that is in use, and cannot be taken back".to_owned(),
            _ => crate::driver::failure::in_words(error.raw_os_error()),
        };
        io::Error::new(error.kind(), Refused { what: what.to_owned(), why })
    }
}

/// How many members of a cgroup the kernel killed for lack of memory.
pub(super) fn oom_kills(folder: &Path, version: Version) -> Option<u64> {
    let file = match version {
        Version::One => "memory.oom_control",
        Version::Two => "memory.events",
    };
    counted(&folder.join(file), "oom_kill")
}

/// How often the kernel refused a cgroup a process or thread.
pub(super) fn forks_refused(folder: &Path) -> Option<u64> {
    counted(&folder.join("pids.events"), "max")
}

fn counted(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{Version, bandwidth, forks_refused, oom_kills, set, shares};
    use crate::driver::enforce::Limit;

    fn folder(name: &str, files: &[&str]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("neap-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|file| fs::write(folder.join(file), "").unwrap());
        folder
    }

    fn read(folder: &std::path::Path, file: &str) -> String {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        fs::write(folder.join(file), "").unwrap();
        text
    }

    #[test]
    fn limits_are_written_as_version_two_has_them_and_lifted_again() {
        let files = ["memory.max", "memory.swap.max", "memory.high", "memory.low", "cpu.max", "cpu.weight"];
        let folder = folder("two", &[&files[..], &["pids.max", "io.weight"]].concat());
        for (limit, value, file, given, lifted) in [
            (Limit::Memory, 1 << 20, "memory.max", "1048576", "max"),
            (Limit::MemoryHigh, 4096, "memory.high", "4096", "max"),
            (Limit::MemoryLow, 4096, "memory.low", "4096", "0"),
            (Limit::Cpu, 1500, "cpu.max", "150000 100000", "max 100000"),
            (Limit::CpuWeight, 200, "cpu.weight", "200", "100"),
            (Limit::Pids, 7, "pids.max", "7", "max"),
            (Limit::IoWeight, 300, "io.weight", "default 300", "default 100"),
        ] {
            set(&folder, Version::Two, limit, Some(value)).unwrap();
            assert_eq!(read(&folder, file), given, "{limit}");
            if limit == Limit::Memory {
                assert_eq!(read(&folder, "memory.swap.max"), "0");
            }
            set(&folder, Version::Two, limit, None).unwrap();
            assert_eq!(read(&folder, file), lifted, "{limit}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn limits_are_written_as_version_one_has_them() {
        let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us"];
        let folder = folder("one", &[&files[..], &["cpu.shares", "pids.max", "blkio.weight"]].concat());
        set(&folder, Version::One, Limit::Memory, Some(4096)).unwrap();
        assert_eq!(read(&folder, "memory.limit_in_bytes"), "4096");
        assert_eq!(read(&folder, "memory.memsw.limit_in_bytes"), "4096");
        set(&folder, Version::One, Limit::CpuWeight, Some(50)).unwrap();
        assert_eq!(read(&folder, "cpu.shares"), "512");
        set(&folder, Version::One, Limit::IoWeight, None).unwrap();
        assert_eq!(read(&folder, "blkio.weight"), "500");
        let refused = set(&folder, Version::One, Limit::MemoryHigh, Some(1)).unwrap_err().to_string();
        assert_eq!(refused, "memory.soft_limit_in_bytes: cannot write \"1\": no such file or directory");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_processors_share_is_never_less_than_the_kernel_takes() {
        assert_eq!(bandwidth(1500), (150_000, 100_000));
        assert_eq!(bandwidth(10), (1_000, 100_000));
        assert_eq!(bandwidth(5), (5_000, 1_000_000));
        assert_eq!(bandwidth(1), (1_000, 1_000_000));
        assert_eq!((shares(100), shares(1), shares(10_000)), (1024, 10, 102_400));
    }

    #[test]
    fn what_a_limit_did_is_counted() {
        let folder = folder("counts", &[]);
        fs::write(folder.join("memory.events"), "low 0\nhigh 4\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n")
            .unwrap();
        fs::write(folder.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n").unwrap();
        fs::write(folder.join("pids.events"), "max 9\n").unwrap();
        let counts = (oom_kills(&folder, Version::Two), oom_kills(&folder, Version::One), forks_refused(&folder));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(counts, (Some(2), Some(5), Some(9)));
        assert_eq!(forks_refused(&folder), None);
    }
}
