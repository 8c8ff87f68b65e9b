//! Case G8: what a configuration may be, and what it may read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use neap::lua::EvaluateRequest;

use crate::support::{evaluate, refused};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("neap-lua-{}-{name}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        path
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _it_is_only_a_temporary_folder = fs::remove_dir_all(&self.0);
    }
}

fn is_refused(path: PathBuf, expected: &str) {
    let message = refused(EvaluateRequest::file(path));
    assert!(message.contains(expected), "{message}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new("kinds");
    let fifo = folder.path().join("fifo.lua");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
    is_refused(fifo, "fifo.lua is a FIFO, not a file");
    is_refused(folder.path().to_owned(), "is a folder, not a file");
    is_refused(PathBuf::from("/dev/zero"), "/dev/zero is a device, not a file");
    let socket = folder.path().join("socket.lua");
    let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    is_refused(socket, "socket.lua");
    is_refused(folder.path().join("nothing.lua"), "nothing.lua does not exist");
    let circle = folder.path().join("circle.lua");
    symlink(&circle, &circle).expect("a link");
    is_refused(circle, "circle.lua is a link that leads to itself");
}

#[test]
fn a_file_too_large_is_refused_unread() {
    let folder = Folder::new("large");
    let path = folder.file("large.lua", "");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the file");
    file.set_len(2 << 30).expect("a sparse file");
    is_refused(path, "large.lua is 2147483648 bytes long; a file of a configuration may have 4194304 at most");
}

#[test]
fn what_anybody_may_write_is_refused_for_root() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: what_anybody_may_write_is_refused_for_root: not root");
        return;
    }
    let folder = Folder::new("writable");
    let path = folder.file("open.lua", "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a mode");
    is_refused(path, "open.lua may be written by anybody (mode 0666), and root would run what it says");
    let inner = folder.file("shared/neap.lua", "");
    fs::set_permissions(folder.path().join("shared"), fs::Permissions::from_mode(0o777)).expect("a mode");
    is_refused(inner, "stands in a folder that anybody may write to (mode 0777)");
}

#[test]
fn modules_are_found_below_the_root_and_recorded() {
    let folder = Folder::new("modules");
    let main = folder.file(
        "neap.lua",
        "#!/usr/bin/env neap\nlocal web = require 'services.web'\nassert(web.port == 80 and require 'services.web' == web)\nassert(require 'all' == true)",
    );
    folder.file("services/web.lua", "local name = ... assert(name == 'services.web') return { port = 80 }");
    folder.file("all/init.lua", "");
    let evaluated = evaluate(EvaluateRequest::file(main)).expect("accepted");
    let read: Vec<String> = evaluated.files.iter().map(|f| f.path.display().to_string()).collect();
    let root = folder.path().canonicalize().expect("the folder");
    let expected: Vec<String> =
        ["neap.lua", "services/web.lua", "all/init.lua"].iter().map(|f| root.join(f).display().to_string()).collect();
    assert_eq!(read, expected);
    assert!(evaluated.files.iter().all(|f| f.size == f.content.len() as u64));
}

#[test]
fn errors_in_modules_name_their_file() {
    let folder = Folder::new("errors");
    let main = folder.file("neap.lua", "\nrequire 'broken'");
    folder.file("broken.lua", "local x = 1\n\nlocal y = x + nil");
    is_refused(main.clone(), "errors/broken.lua:3: attempt to perform arithmetic on a nil value");
    folder.file("broken.lua", "local x = = 1");
    is_refused(main.clone(), "broken.lua:1: unexpected symbol near '='");
    folder.file("broken.lua", "return require 'neap.lua'");
    is_refused(main.clone(), "broken.lua:1: module `neap.lua` not found; looked for");
    folder.file("broken.lua", "return require 'third'");
    folder.file("third.lua", "return require 'broken'");
    is_refused(main, "third.lua:1: modules require each other in a circle: broken → third → broken");
}

#[test]
fn a_long_path_is_shown_whole() {
    let folder = Folder::new("long");
    let name = format!("{}/neap.lua", ["a-folder-with-quite-a-long-name"; 5].join("/"));
    let main = folder.file(&name, "error('here')");
    let message = refused(EvaluateRequest::file(main.clone()));
    assert_eq!(message, format!("{}:1: here", main.display()));
}

#[test]
fn nothing_outside_the_root_is_required() {
    let folder = Folder::new("escape");
    folder.file("secret.lua", "return 1");
    let main = |source: &str| folder.file("config/neap.lua", source);
    is_refused(main("require '../secret'"), "`../secret` is not a module's name");
    is_refused(main("require '..secret'"), "`..secret` is not a module's name");
    is_refused(main("require '/etc/passwd'"), "`/etc/passwd` is not a module's name");
    is_refused(main("require 'a/b'"), "`a/b` is not a module's name");
    is_refused(main("require ''"), "`` is not a module's name");
    is_refused(main("require 'a\\0b'"), "is not a module's name");
    symlink("../secret.lua", folder.path().join("config/link.lua")).expect("a link");
    is_refused(main("require 'link'"), "outside the configuration's folder; put the file below");
    symlink("/etc", folder.path().join("config/etc")).expect("a link");
    is_refused(main("require 'etc.passwd'"), "module `etc.passwd` not found");
    symlink(folder.path(), folder.path().join("config/up")).expect("a link");
    is_refused(main("require 'up.secret'"), "outside the configuration's folder");
}

#[test]
fn links_within_the_root_are_followed() {
    let folder = Folder::new("links");
    folder.file("..data/neap.lua", "return require 'other'");
    folder.file("..data/other.lua", "return 1");
    symlink("..data/neap.lua", folder.path().join("neap.lua")).expect("a link");
    symlink("..data/other.lua", folder.path().join("other.lua")).expect("a link");
    evaluate(EvaluateRequest::file(folder.path().join("neap.lua"))).expect("accepted");
}

#[test]
fn a_folder_loads_its_files_by_name_in_one_state() {
    let folder = Folder::new("folder");
    folder.file("20-b.lua", "assert(first == 1) second = 2");
    folder.file("10-a.lua", "first = 1");
    folder.file("30-c.lua", "assert(first == 1 and second == 2)");
    folder.file(".hidden.lua", "error('hidden')");
    folder.file("notes.txt", "error('notes')");
    let evaluated = evaluate(EvaluateRequest::folder(folder.path())).expect("accepted");
    assert_eq!(evaluated.files.len(), 3);
    let message = refused(EvaluateRequest::folder(folder.path().join("none")));
    assert!(message.contains("cannot read"), "{message}");
}

#[test]
fn a_refused_configuration_leaves_an_earlier_one_alone() {
    let folder = Folder::new("earlier");
    let main = folder.file("neap.lua", "return 1");
    let first = evaluate(EvaluateRequest::file(main.clone())).expect("accepted");
    folder.file("neap.lua", "return = 1");
    is_refused(main, "neap.lua:1:");
    assert_eq!(first.files[0].content.as_ref(), b"return 1");
}
