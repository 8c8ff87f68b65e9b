//! A pseudo-terminal with a program on it: keys in, and what stands on the screen out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use nix::errno::Errno;
use nix::pty::{Winsize, openpty};
use nix::unistd::setsid;
use regex::Regex;

use crate::support::DEADLINE;

/// A program on a terminal of its own. Dropped, it is ended.
pub struct Terminal {
    child: Child,
    keys: File,
    pieces: Receiver<Vec<u8>>,
    /// What came, as it came.
    raw: Vec<u8>,
    /// How much of what was shown has been read.
    read: usize,
}

impl Terminal {
    /// Starts it, unless no terminal can be made here.
    pub fn start(mut command: Command) -> Option<Terminal> {
        let pty = match openpty(&size(100, 30), None) {
            Ok(pty) => pty,
            Err(errno) => {
                let thread = std::thread::current();
                println!("skipped: {}: no pseudo-terminal: {errno}", thread.name().unwrap_or_default());
                return None;
            }
        };
        let stream = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        command.stdin(stream(&pty.slave)).stdout(stream(&pty.slave)).stderr(stream(&pty.slave));
        command.env("TERM", "xterm");
        let become_leader = || {
            setsid()?;
            // SAFETY: descriptor 0 is the terminal, and the call takes a number.
            Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
            Ok(())
        };
        // SAFETY: only calls that may be made between fork and exec.
        unsafe { command.pre_exec(become_leader) };
        let child = command.spawn().unwrap();
        // The command holds copies of the terminal's end.
        drop(command);
        drop(pty.slave);
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // At the end of the last program that has it open, the kernel says EIO.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Terminal { child, keys, pieces, raw: Vec::new(), read: 0 })
    }

    /// Types this.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// What no keyboard sends, but a paste may.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.keys.write_all(bytes).unwrap();
    }

    /// Types a line, and Enter.
    pub fn line(&mut self, line: &str) {
        self.keys(line);
        self.keys("\r");
    }

    /// Makes it wider or narrower.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = size(columns, rows);
        // SAFETY: the size lives as long as the call.
        Errno::result(unsafe { libc::ioctl(self.keys.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).unwrap();
    }

    /// What was shown since it was last read, up to the end of this text, which comes sooner or later.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let shown = self.shown();
            let rest = shown.get(self.read..).unwrap_or_default();
            if let Some(at) = rest.find(text) {
                let found = rest[..at + text.len()].to_owned();
                self.read += found.len();
                return found;
            }
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.raw.extend(piece),
                Err(error) => panic!("{text:?} never came ({error}); so far:\n{shown}"),
            }
        }
    }

    /// All that was shown, without what only moved the cursor or coloured it.
    pub fn shown(&self) -> String {
        // A piece may end within a character or a sequence: what is cut off comes with the next.
        let text = match std::str::from_utf8(&self.raw) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&self.raw[..error.valid_up_to()]).unwrap(),
        };
        let sequences = Regex::new("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\\\-_]|\r|\x07").unwrap();
        let unfinished = Regex::new("\x1b(\\[[0-9;?]*)?$").unwrap();
        sequences.replace_all(&unfinished.replace(text, ""), "").into_owned()
    }

    /// All that came, with everything.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Waits for the program's end; all that it showed is there then.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.raw.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far:\n{}", self.shown()),
            }
        }
        (self.child.wait().unwrap(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only after a failed assertion is there anything left to end.
        match self.child.try_wait() {
            Ok(Some(_)) => {}
            _ => {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
