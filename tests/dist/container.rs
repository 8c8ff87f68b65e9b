//! `dist/container`: what its Dockerfile says is done as an engine would, in namespaces of its own: a read-only root with
//! nothing but the program, its configuration and a shell; a user without rights; the entry point as PID 1.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{DEADLINE, TempDir, copy_program, root_or_skip, skipped, wait_until};

/// Makes the root read-only, with a folder in memory, and becomes the entry point in it. Its arguments are the root, the
/// folder in memory, the user and the group, and what is executed.
const ENTER: &str = r#"
    set -e
    root=$1 scratch=$2 user=$3 group=$4
    shift 4
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o "uid=$user,gid=$group,mode=0700" tmpfs "$root$scratch"
    mount --rbind /dev "$root/dev"
    exec chroot --userspec="$user:$group" --groups= "$root" "$@"
"#;
/// What the image has from its base.
const BASE: [&str; 6] = ["sh", "sleep", "true", "cat", "sed", "grep"];

/// What the Dockerfile says of the image that is run.
struct Image {
    copied: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    user: (u32, u32),
    entry: Vec<String>,
    health: Vec<String>,
    scratch: String,
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/container").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `["a", "b"]` at the end of a line.
fn words(line: &str) -> Vec<String> {
    serde_json::from_str(&line[line.find('[').unwrap_or_else(|| panic!("no list: {line}"))..]).unwrap()
}

fn image() -> Image {
    let text = read("Dockerfile");
    let (_, last) = text.rsplit_once("\nFROM ").expect("a stage to build in, and one to run");
    let of = |word: &str| {
        let lines = last.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ').map(str::to_owned));
        lines.collect::<Vec<String>>()
    };
    let one = |word: &str| of(word).into_iter().next().unwrap_or_else(|| panic!("no {word}"));
    let pair = |text: &str, by: char| {
        let (a, b) = text.split_once(by).unwrap_or_else(|| panic!("{text}"));
        (a.to_owned(), b.to_owned())
    };
    let (user, group) = pair(&one("USER"), ':');
    assert_eq!(one("STOPSIGNAL"), "SIGTERM");
    let scratch = one("RUN").rsplit(' ').next().unwrap().to_owned();
    assert_eq!(one("RUN"), format!("install -d -m 0700 -o {user} -g {group} {scratch}"));
    Image {
        copied: of("COPY").iter().map(|line| pair(line.trim_start_matches("--from=build "), ' ')).collect(),
        environment: of("ENV").iter().map(|line| pair(line, '=')).collect(),
        user: (user.parse().unwrap(), group.parse().unwrap()),
        entry: words(&one("ENTRYPOINT")),
        health: words(&one("HEALTHCHECK")),
        scratch,
    }
}

/// Puts a program into the root, with the libraries that it is linked to.
fn put(root: &Path, from: &Path, to: &str) {
    let place = |from: &Path, to: &Path| {
        let to = root.join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy_program(from, to);
    };
    place(from, Path::new(to));
    let linked = Command::new("ldd").arg(from).output().expect("ldd");
    for word in String::from_utf8_lossy(&linked.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let library = PathBuf::from(word);
        if !root.join(library.strip_prefix("/").unwrap()).exists() {
            place(&library, &library);
        }
    }
}

/// Where the base image's programs are here.
fn which(name: &str) -> PathBuf {
    let found = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    fs::canonicalize(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
}

/// A running one.
struct Container {
    unshare: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    _root: TempDir,
    image: Image,
}

impl Container {
    /// Runs the image, with another configuration if one is given. `None`, said, where that cannot be.
    fn run(test: &str, configuration: Option<&str>) -> Option<Container> {
        if !root_or_skip(test) {
            return None;
        }
        let namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--fork", "--kill-child"];
        let possible = Command::new("unshare").args(namespaces).arg("true").status();
        if !possible.is_ok_and(|status| status.success()) {
            skipped(test, "no namespaces can be made here");
            return None;
        }
        let (root, image) = (TempDir::new(), image());
        for folder in ["proc", "dev", "tmp", image.scratch.trim_start_matches('/')] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for program in BASE {
            put(root.path(), &which(program), &format!("/bin/{program}"));
        }
        for (from, to) in &image.copied {
            if from.ends_with("/target/release/neap") {
                put(root.path(), Path::new(env!("CARGO_BIN_EXE_neap")), to);
            } else {
                put(root.path(), &Path::new(env!("CARGO_MANIFEST_DIR")).join(from), to);
            }
        }
        if let Some(text) = configuration {
            fs::write(root.join("etc/neap/neap.lua"), text).unwrap();
        }
        let mut unshare = Command::new("unshare");
        unshare.args(namespaces).args(["sh", "-c", ENTER, "enter"]).arg(root.path()).arg(&image.scratch);
        unshare.args([image.user.0, image.user.1].map(|id| id.to_string())).args(&image.entry);
        surround(&mut unshare, &image);
        unshare.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut unshare = unshare.spawn().expect("unshare");
        let (sender, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(unshare.stdout.take().unwrap()), Box::new(unshare.stderr.take().unwrap())];
        for (stream, which) in streams.into_iter().zip(["stdout", "stderr"]) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(format!("{which}: {line}"));
                }
            });
        }
        Some(Container { unshare, lines, said: Vec::new(), _root: root, image })
    }

    /// Waits for a line of its logs.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.said.iter().any(|line| line.contains(text)) {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(_) => panic!("`{text}` never came: {:#?}", self.said),
            }
        }
    }

    fn children(&self) -> Vec<i32> {
        let pid = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Its PID 1, outside.
    fn init(&self) -> i32 {
        *self.children().first().expect("it has a child")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.init()), signal).unwrap();
    }

    /// As `docker exec`.
    fn exec(&self, args: &[&str]) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.init().to_string(), "--pid", "--mount", "--net", "--ipc", "--root", "--wd"]);
        enter.args([format!("--setgid={}", self.image.user.1), format!("--setuid={}", self.image.user.0)]);
        surround(enter.args(args), &self.image);
        enter.output().unwrap()
    }

    #[track_caller]
    fn neap(&self, args: &[&str]) -> String {
        let output = self.exec(&[&["neap"], args].concat());
        assert!(output.status.success(), "{args:?}: {output:?}\n{:#?}", self.said);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits for its end; its exit status, and all that it said.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + DEADLINE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < end, "it does not end: {:#?}", self.said);
        let status = self.unshare.wait().unwrap();
        (status, std::mem::take(&mut self.said))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.unshare.try_wait().is_ok_and(|status| status.is_none()) {
            // With its PID 1 all of it ends. unshare(1)'s own way is lost with the change of user.
            for pid in self.children() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.unshare.kill();
            let _ = self.unshare.wait();
        }
    }
}

/// Gives a command the image's environment and nothing else.
fn surround(command: &mut Command, image: &Image) {
    command.env_clear().envs(&image.environment);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

/// Which line comes first.
fn place(said: &[String], line: &str) -> usize {
    said.iter().position(|one| one == line).unwrap_or_else(|| panic!("no `{line}`: {said:#?}"))
}

#[test]
fn what_the_container_is_made_of_is_there() {
    let image = image();
    assert!(image.copied.iter().any(|(_, to)| to == &format!("/usr/local/bin/{}", image.entry[0])));
    assert!(image.copied.iter().any(|(_, to)| to == &image.entry[2]));
    for (from, _) in image.copied.iter().filter(|(from, _)| !from.starts_with('/')) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(from).exists(), "{from}");
    }
    let compose = read("compose.yaml");
    for line in [
        format!("user: \"{}:{}\"", image.user.0, image.user.1),
        format!("- {}:uid={},gid={},mode=0700", image.scratch, image.user.0, image.user.1),
        "test: [\"CMD\", \"neap\", \"health\"]".to_owned(),
        "read_only: true".to_owned(),
        "dockerfile: dist/container/Dockerfile".to_owned(),
    ] {
        assert!(compose.lines().any(|one| one.trim() == line), "{line}");
    }
    // Docker must not kill it before it has killed what does not stop.
    let seconds = |text: &str, before: &str| -> u64 {
        let at = text.find(before).unwrap_or_else(|| panic!("no {before}")) + before.len();
        text[at..].split('s').next().unwrap().parse().unwrap()
    };
    assert!(seconds(&compose, "stop_grace_period: ") > seconds(&read("neap.lua"), "shutdown_timeout = \""));
}

#[test]
fn what_the_page_quotes_of_the_container_stands_in_it() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/containers.md")).unwrap();
    let (_, block) = page.split_once("\n```dockerfile\n").expect("a Dockerfile");
    let (block, dockerfile) = (block.split("\n```").next().unwrap(), read("Dockerfile"));
    assert!(block.lines().count() > 5);
    for line in block.lines() {
        assert!(dockerfile.lines().any(|one| one == line), "{line}");
    }
}

#[test]
fn the_entry_point_shows_logs_is_healthy_and_stops_in_order() {
    let test = "the_entry_point_shows_logs_is_healthy_and_stops_in_order";
    let Some(mut container) = Container::run(test, None) else { return };
    for line in ["stdout: cache: up", "stdout: worker: up", "stdout: web: up", "neap: ready;"] {
        container.wait_for(line);
    }
    let health: Vec<&str> = container.image.health.iter().map(String::as_str).collect();
    wait_until("it is healthy", || container.exec(&health).status.success());
    assert!(container.neap(&["list"]).contains("running"));
    assert!(!container.exec(&["sh", "-c", "echo x >/etc/neap/x"]).status.success(), "its root is read-only");
    container.signal(Signal::SIGTERM);
    let (status, said) = container.end();
    assert_eq!(status.code(), Some(0), "{said:#?}");
    let cache = place(&said, "stdout: cache: stopped");
    assert!(place(&said, "stdout: worker: stopped") < cache && place(&said, "stdout: web: stopped") < cache);
}

#[test]
fn what_is_orphaned_in_the_container_is_reaped_and_its_supervisor_may_die() {
    let test = "what_is_orphaned_in_the_container_is_reaped_and_its_supervisor_may_die";
    let Some(mut container) = Container::run(test, None) else { return };
    container.wait_for("stdout: web: up");
    container.wait_for("neap: ready;");
    for _ in 0..20 {
        assert!(container.exec(&["sh", "-c", "(sleep 0.01; exit 3) & (sleep 0.01) & exit 0"]).status.success());
    }
    let zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true";
    wait_until("no zombie is left", || container.exec(&["sh", "-c", zombies]).stdout.is_empty());
    let pids = container.neap(&["list", "--json"]);
    // The supervisor is not PID 1 there: what kills it, kills no container.
    let status: serde_json::Value = serde_json::from_str(&container.neap(&["status", "--json"])).unwrap();
    let supervisor = status["pid"].as_u64().unwrap();
    assert_ne!(supervisor, 1);
    assert!(container.exec(&["sh", "-c", &format!("kill -9 {supervisor}")]).status.success());
    container.wait_for("processes go on");
    let of = |text: &str| -> Vec<(String, u64)> {
        let rows: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        rows.iter().map(|row| (row["name"].to_string(), row["pid"].as_u64().unwrap())).collect()
    };
    wait_until("it answers again", || container.exec(&["neap", "list"]).status.success());
    assert_eq!(of(&pids), of(&container.neap(&["list", "--json"])));
    container.signal(Signal::SIGTERM);
    let (status, said) = container.end();
    assert_eq!(status.code(), Some(0), "{said:#?}");
    place(&said, "stdout: web: stopped");
}

#[test]
fn the_container_ends_with_the_code_of_what_it_is_there_for() {
    let test = "the_container_ends_with_the_code_of_what_it_is_there_for";
    let shipped = read("neap.lua");
    let text = shipped.replace("shell = standing_in \"web\",", "shell = 'echo web: fails; exit 9', restart = 'never',");
    assert_ne!(text, shipped);
    let Some(container) = Container::run(test, Some(&text)) else { return };
    let (status, said) = container.end();
    assert_eq!(status.code(), Some(9), "{said:#?}");
    place(&said, "stdout: web: fails");
    place(&said, "stdout: cache: stopped");
}

#[test]
fn a_container_that_does_not_stop_is_killed_by_its_own_timeout() {
    let test = "a_container_that_does_not_stop_is_killed_by_its_own_timeout";
    let shipped = read("neap.lua").replace("shutdown_timeout = \"10s\"", "shutdown_timeout = \"1s\"");
    let text = shipped.replace("trap 'echo NAME: stopped; exit 0' TERM", "trap '' TERM");
    let Some(mut container) = Container::run(test, Some(&text)) else { return };
    container.wait_for("stdout: web: up");
    container.wait_for("neap: ready;");
    container.signal(Signal::SIGTERM);
    let (status, said) = container.end();
    assert_eq!(status.code(), Some(0), "{said:#?}");
}
