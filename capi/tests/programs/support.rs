//! A compiler, a loader and a place for programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts what this test was built with: the library among it.
pub fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The `neap` command, when it was built.
pub fn neap() -> Option<PathBuf> {
    let given = std::env::var_os("NEAP_BINARY").map(PathBuf::from);
    given.or_else(|| Some(built().parent()?.join("neap"))).filter(|path| path.is_file())
}

/// Whether this program is there; said when it is not.
pub fn has(program: &str, test: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: {test}: there is no {program} here");
    }
    there
}

/// A folder of a test's own, with the library as the loader looks for it. Removed in the end.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("neap-capi-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Place(std::env::temp_dir().join(name));
        std::fs::create_dir_all(place.0.join("lib")).unwrap();
        for name in ["libneap.so", "libneap.so.1"] {
            std::os::unix::fs::symlink(built().join("libneap.so"), place.0.join("lib").join(name)).unwrap();
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program that this source is, linked with the shared library.
    pub fn compile(&self, source: &Path) -> PathBuf {
        let program = self.path(source.file_stem().unwrap().to_str().unwrap());
        let lib = self.path("lib");
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-I"]);
        cc.arg(package().join("include")).arg("-I").arg(package().join("tests/c")).arg(source).arg("-o").arg(&program);
        cc.arg("-L").arg(&lib).arg("-lneap").arg(format!("-Wl,-rpath,{}", lib.display()));
        succeed(&mut cc);
        program
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that is killed when it takes minutes.
pub fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "300"]).arg(path);
    command
}

/// Runs it; what it printed. Anything but success fails the test with all that it said.
pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

/// Runs it under valgrind, where it must lose no memory and touch none that it may not.
pub fn under_valgrind(program_path: &Path, args: &[&str]) -> String {
    let mut valgrind = program("valgrind");
    valgrind.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
    ]);
    valgrind.args(["--errors-for-leak-kinds=definite,indirect,possible", "--child-silent-after-fork=yes"]);
    valgrind.args(["--fair-sched=yes", "--num-callers=40"]);
    valgrind.arg(format!("--suppressions={}", package().join("tests/c/valgrind.supp").display()));
    succeed(valgrind.arg(program_path).args(args))
}
