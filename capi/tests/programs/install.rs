//! An installed library, as programs find it: by pkg-config.

use std::fs;
use std::process::Command;

use super::support::{Place, built, has, package, program, succeed};

/// Puts the library where an installation has it; without the shared one, pkg-config's flags find the other.
fn install(place: &Place, shared: bool) {
    for folder in ["usr/lib/pkgconfig", "usr/include"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    if shared {
        fs::copy(built().join("libneap.so"), place.path("usr/lib/libneap.so.1")).unwrap();
        std::os::unix::fs::symlink("libneap.so.1", place.path("usr/lib/libneap.so")).unwrap();
    } else {
        std::os::unix::fs::symlink(built().join("libneap.a"), place.path("usr/lib/libneap.a")).unwrap();
    }
    fs::copy(package().join("include/neap.h"), place.path("usr/include/neap.h")).unwrap();
    let template = fs::read_to_string(package().join("neap.pc.in")).unwrap();
    let prefix = place.path("usr");
    let described = template
        .replace("@prefix@", prefix.to_str().unwrap())
        .replace("@libdir@", "${prefix}/lib")
        .replace("@includedir@", "${prefix}/include")
        .replace("@version@", env!("CARGO_PKG_VERSION"));
    assert!(!described.contains('@'), "{described}");
    fs::write(place.path("usr/lib/pkgconfig/neap.pc"), described).unwrap();
}

fn pkg_config(place: &Place, arguments: &[&str]) -> String {
    let mut command = Command::new("pkg-config");
    succeed(command.env("PKG_CONFIG_PATH", place.path("usr/lib/pkgconfig")).args(arguments).arg("neap"))
}

fn compile(place: &Place, flags: &str) -> std::path::PathBuf {
    let built = place.path("supervise");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror"]).arg(package().join("examples/supervise.c"));
    succeed(cc.args(flags.split_whitespace()).arg("-o").arg(&built));
    built
}

#[test]
fn a_program_is_linked_with_what_pkg_config_says() {
    let test = "a_program_is_linked_with_what_pkg_config_says";
    if !has("pkg-config", test) {
        return;
    }
    let place = Place::new();
    install(&place, true);
    assert_eq!(pkg_config(&place, &["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
    let supervise = compile(&place, &pkg_config(&place, &["--cflags", "--libs"]));
    let said = succeed(program(&supervise).env("LD_LIBRARY_PATH", place.path("usr/lib")));
    assert!(said.ends_with("done, after some events\n"), "{said}");
}

#[test]
fn a_program_carries_the_library_in_itself_with_the_static_flags() {
    let test = "a_program_carries_the_library_in_itself_with_the_static_flags";
    if !has("pkg-config", test) {
        return;
    }
    let place = Place::new();
    install(&place, false);
    let supervise = compile(&place, &pkg_config(&place, &["--static", "--cflags", "--libs"]));
    let said = succeed(program(&supervise).env_remove("LD_LIBRARY_PATH"));
    assert!(said.ends_with("done, after some events\n"), "{said}");
}
