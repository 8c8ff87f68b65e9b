//! The control socket, measured on a daemon with 1,000 processes. First `neap list --json`, from its start to its end, beside the
//! least client in C that makes the same call; rounds interleaved, medians, ratio. Then the time of a call about one
//! process, while the 1,000 print ten lines a second each, beside the same while they are silent: rounds interleaved, p99, ratio.
//!
//! `--quick` takes fewer rounds and 100 processes.

mod floor;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use neap::rpc::connect;
use neap::rpc::proto::v1::neap_client::NeapClient;
use neap::rpc::proto::v1::{DescribeRequest, GetStatusRequest};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;

const LIST: &str = "/neap.v1.Neap/List";
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of it.
struct Size {
    processes: usize,
    lists: usize,
    rounds: usize,
    calls: usize,
}

/// A daemon with places of its own.
struct Daemon {
    child: Child,
    folder: PathBuf,
    socket: PathBuf,
}

fn neap(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
    command.env("HOME", folder).env("XDG_RUNTIME_DIR", folder.join("run")).env("XDG_STATE_HOME", folder.join("state"));
    command.env("XDG_CONFIG_HOME", folder.join("config")).env_remove("NEAP_SOCKET").env_remove("NOTIFY_SOCKET");
    command.current_dir(folder).stdin(Stdio::null());
    command
}

impl Daemon {
    /// So many processes, each with this command, all running.
    fn with(name: &str, processes: usize, command: &str) -> Daemon {
        let folder = std::env::temp_dir().join(format!("neap-rpc-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let config = format!(
            "local neap = require \"neap\"\nfor n = 1, {processes} do\n  neap.process(\"worker-\" .. n) {{ command = {command} }}\nend\n"
        );
        fs::write(folder.join("neap.lua"), config).expect("a configuration can be written");
        let socket = folder.join("neap.sock");
        let mut daemon = neap(&folder);
        daemon.args(["daemon", "neap.lua", "--log-level", "info"]).arg("--socket").arg(&socket);
        let mut child = daemon.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the daemon starts");
        let said = BufReader::new(child.stderr.take().expect("a pipe"));
        let (tell, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if line.contains("neap: ready;") {
                    let _ = tell.send(());
                }
            }
        });
        ready.recv_timeout(PATIENCE).expect("the daemon is ready");
        let waited = neap(&folder).arg("--socket").arg(&socket).args(["wait", "*", "--state", "running"]).output();
        let waited = waited.expect("neap wait runs");
        assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        Daemon { child, folder, socket }
    }

    fn list(&self) -> Command {
        let mut command = neap(&self.folder);
        command.arg("--socket").arg(&self.socket).args(["list", "--json"]);
        command
    }

    fn client(&self, runtime: &Runtime) -> NeapClient<Channel> {
        NeapClient::new(runtime.block_on(connect(&self.socket, PATIENCE)).expect("a connection"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        let _stopped = (kill(pid, Signal::SIGTERM), self.child.wait());
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// Nanoseconds from its start to its end.
fn time(command: &mut Command) -> u64 {
    let from = Instant::now();
    let status = command.stdout(Stdio::null()).status().expect("it runs");
    let took = from.elapsed();
    assert!(status.success(), "{command:?}");
    nanos(took)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The times of so many calls about one process, one after another with a pause in between.
fn calls(runtime: &Runtime, client: &mut NeapClient<Channel>, count: usize) -> Vec<u64> {
    runtime.block_on(async {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let request = DescribeRequest { names: vec!["worker-7".into()] };
            let from = Instant::now();
            client.describe(request).await.expect("an answer");
            times.push(nanos(from.elapsed()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times
    })
}

fn percentile(times: &mut [u64], percent: usize) -> u64 {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or(0)
}

fn lists(size: &Size, client: &Path) {
    let daemon = Daemon::with("list", size.processes, "{ \"sleep\", \"100000\" }");
    let socket = daemon.socket.display().to_string();
    let answer = Command::new(client).args(["list", &socket, LIST]).output().expect("the client in C runs");
    assert!(answer.status.success(), "the client in C is answered");
    let (mut base, mut own) = (Vec::new(), Vec::new());
    for round in 0..size.lists + 3 {
        let (theirs, ours) = (time(Command::new(client).args(["list", &socket, LIST])), time(&mut daemon.list()));
        // The first ones read the programs from the disk.
        if round >= 3 {
            base.push(theirs);
            own.push(ours);
        }
    }
    let (base, own) = (floor::median(base), floor::median(own));
    println!(
        "list of {} ({} bytes): client in C {} µs; neap list --json {} µs ({:.2})",
        size.processes,
        String::from_utf8_lossy(&answer.stdout).trim(),
        base / 1000,
        own / 1000,
        own as f64 / base.max(1) as f64
    );
}

fn unary(size: &Size, chatter: &Path) {
    let quiet = Daemon::with("quiet", size.processes, "{ \"sleep\", \"100000\" }");
    let talk = format!("{{ \"{}\", \"chat\", \"100\" }}", chatter.display());
    let chatty = Daemon::with("chatty", size.processes, &talk);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let status = runtime.block_on(chatty.client(&runtime).get_status(GetStatusRequest {})).expect("an answer");
    let supervisor = Pid::from_raw(i32::try_from(status.into_inner().pid).expect("a pid"));
    let (mut quiet_client, mut chatty_client) = (quiet.client(&runtime), chatty.client(&runtime));
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        busy.extend(calls(&runtime, &mut chatty_client, size.calls));
        // Silence, so that the other is an idle instance on a machine that is idle, too.
        pause(supervisor, true);
        idle.extend(calls(&runtime, &mut quiet_client, size.calls));
        pause(supervisor, false);
    }
    let medians = (percentile(&mut idle, 50), percentile(&mut busy, 50));
    let (idle, busy) = (percentile(&mut idle, 99), percentile(&mut busy, 99));
    println!(
        "a call beside {} silent processes: median {} µs, p99 {} µs; beside as many that print 10 lines a second each: \
         median {} µs, p99 {} µs ({:.2})",
        size.processes,
        medians.0 / 1000,
        idle / 1000,
        medians.1 / 1000,
        busy / 1000,
        busy as f64 / idle.max(1) as f64
    );
}

/// Stops all children of this process, or lets them go on.
fn pause(supervisor: Pid, stop: bool) {
    let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).expect("its threads");
    let of_tasks = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let all = of_tasks.collect::<Vec<_>>().join(" ");
    let signal = if stop { Signal::SIGSTOP } else { Signal::SIGCONT };
    for pid in all.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ended = kill(Pid::from_raw(pid), signal);
    }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let size = if quick {
        Size { processes: 100, lists: 10, rounds: 2, calls: 200 }
    } else {
        Size { processes: 1_000, lists: 60, rounds: 5, calls: 1_000 }
    };
    let client = floor::build("list.c");
    lists(&size, &client);
    unary(&size, &client);
    let _gone = fs::remove_file(&client);
}
