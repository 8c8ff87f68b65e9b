//! Programs that report when their `main()` began, over a datagram socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock can be read");
    u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}

/// Where the programs of one supervisor report to.
pub struct Reports {
    socket: UnixDatagram,
    pid: Pid,
}

impl Reports {
    /// Listens there.
    pub fn at(path: &Path) -> Reports {
        let _stale = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path).expect("the socket can be bound");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        Reports { socket, pid: Pid::from_raw(0) }
    }

    /// When the next program's main() began.
    pub fn next(&mut self) -> u64 {
        let mut message = [0_u8; 16];
        let read = self.socket.recv(&mut message).expect("a program reports");
        assert_eq!(read, message.len(), "a whole report");
        let word = |at: usize| u64::from_ne_bytes(message[at..at + 8].try_into().expect("eight bytes"));
        self.pid = Pid::from_raw(i32::try_from(word(8)).expect("a pid"));
        word(0)
    }

    /// Nanoseconds from SIGKILL to the successor's main().
    pub fn kill_and_wait(&mut self) -> u64 {
        // It has reported; let it get to its pause() before it is killed.
        std::thread::yield_now();
        let from = now();
        kill(self.pid, Signal::SIGKILL).expect("it runs");
        self.next().saturating_sub(from)
    }
}
