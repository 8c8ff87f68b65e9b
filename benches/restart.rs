//! From the kill of a process to the `main` of the one that comes after it, with no delay between: Neap beside the least
//! supervisor there can be (a signalfd, an epoll, vfork, execve, waitpid).
//!
//! ```text
//! cargo bench --bench restart [-- KILLS]
//! ```
//!
//! Both supervise a program whose first act is to read the clock; they take turns at being killed.

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use neap::Supervisor;
use neap::spec::{Restart, Spec, Stream};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// A program that tells who it is and when it began: `PID NANOSECONDS` in one datagram.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[64];
    if (argc < 2) return 2;
    int length = snprintf(text, sizeof text, "%d %lld", getpid(), t.tv_sec * 1000000000LL + t.tv_nsec);
    strncpy(to.sun_path, argv[1], sizeof to.sun_path - 1);
    sendto(socket(AF_UNIX, SOCK_DGRAM, 0), text, length, 0, (void *)&to, sizeof to);
    for (;;) pause();
}
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, least, program, socket] = arguments.as_slice()
        && least == "--least"
    {
        return least_supervisor(program, socket);
    }
    let kills = arguments.iter().filter_map(|a| a.parse().ok()).next().unwrap_or(400);
    let folder = std::env::temp_dir().join(format!("neap-bench-{}", std::process::id()));
    fs::create_dir(&folder).expect("a temporary folder");
    match build(&folder) {
        Some(program) => compare(&folder, &program, kills),
        None => println!("skipped: there is no C compiler for the program that is supervised"),
    }
    let _ = fs::remove_dir_all(&folder);
}

fn build(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("svc.c"), folder.join("svc"));
    fs::write(&source, PROGRAM).ok()?;
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).args([&program, &source]).status().ok()?;
    built.success().then_some(program)
}

/// One supervised program, wherever it is supervised.
struct Watched {
    socket: UnixDatagram,
    pid: i32,
    times: Vec<u64>,
}

impl Watched {
    fn new(path: &Path) -> Watched {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Watched { socket, pid: 0, times: Vec::new() }
    }

    /// When the program began.
    fn began(&mut self) -> u64 {
        let mut text = [0; 64];
        let length = self.socket.recv(&mut text).expect("the program begins");
        let text = std::str::from_utf8(&text[..length]).expect("text");
        let (pid, at) = text.split_once(' ').expect("two numbers");
        self.pid = pid.parse().expect("a pid");
        at.parse().expect("a time")
    }

    fn kill_once(&mut self) {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the time"));
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).expect("is ours");
        let began = self.began();
        self.times.push(began - now.as_nanos() as u64);
        // The supervisor is to be at rest again.
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn compare(folder: &Path, program: &Path, kills: usize) {
    let mut ours = Watched::new(&folder.join("ours"));
    let mut least = Watched::new(&folder.join("least"));
    let supervisor = Supervisor::builder().build().expect("a supervisor");
    let mut spec = Spec::new("svc", [program.to_str().expect("plain"), folder.join("ours").to_str().expect("plain")])
        .restart(Restart::always().delay(Duration::ZERO).limit(0, Duration::from_secs(1)));
    spec.log.stdout = Stream::Null;
    spec.log.stderr = Stream::Null;
    let process = supervisor.add(spec).expect("a good spec");
    process.start_blocking().expect("it starts");
    ours.began();
    let mut floor = Floor::start(program, &folder.join("least"));
    least.began();
    for _ in 0..kills {
        least.kill_once();
        ours.kill_once();
    }
    let floor_median = report("least supervisor", &mut least.times, 0);
    report("neap", &mut ours.times, floor_median);
    floor.stop(least.pid);
    supervisor.shutdown().wait().expect("it ends");
}

fn report(name: &str, times: &mut [u64], floor: u64) -> u64 {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100] / 1000;
    let ratio = if floor > 0 { format!("  to the floor {:.2}", at(50) as f64 / floor as f64) } else { String::new() };
    println!("{name:18} p10 {:5} µs  p50 {:5} µs  p90 {:5} µs{ratio}", at(10), at(50), at(90));
    at(50)
}

struct Floor(Child);

impl Floor {
    fn start(program: &Path, socket: &Path) -> Floor {
        let us = std::env::current_exe().expect("our own path");
        let mut command = Command::new(us);
        command.arg("--least").args([program, socket]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the least supervisor");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Floor(child)
    }

    fn stop(&mut self, service: i32) {
        self.0.kill().expect("is ours");
        let _ = kill(Pid::from_raw(service), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// What a supervisor cannot do without.
#[allow(deprecated, reason = "the floor is what vfork costs, and its child does nothing but execute")]
fn least_supervisor(program: &str, socket: &str) {
    let program = CString::new(program).expect("no NUL");
    let socket = CString::new(socket).expect("no NUL");
    let arguments = [program.as_ptr(), socket.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: plain calls with buffers of the right sizes; the child only unblocks signals and executes, or ends.
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        libc::sigaddset(&raw mut mask, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
        let none: libc::sigset_t = std::mem::zeroed();
        let signals = libc::signalfd(-1, &raw const mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, signals, &raw mut event);
        let start = || {
            let pid = libc::vfork();
            if pid == 0 {
                libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(127);
            }
        };
        start();
        println!("started");
        loop {
            if libc::epoll_wait(epoll, &raw mut event, 1, -1) < 1 {
                continue;
            }
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            while libc::read(signals, (&raw mut info).cast(), size) == size as isize {}
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {
                start();
            }
        }
    }
}
