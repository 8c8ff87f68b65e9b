//! What a parent of everything needs: waiting for any child, and making a supervisor. For the anchor, which has one thread.

use std::ffi::{CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use super::checked;
use super::process::{WaitNow, wait_status};

/// Whose end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Any child's.
    Any,
    /// That of the child with this pid, which is not reaped yet.
    Pid(u32),
}

/// A child that has ended, if there is one, without waiting. `keep` leaves it a zombie. `ECHILD`: there is no such child,
/// ended or not.
pub fn wait_child(child: Child, keep: bool) -> io::Result<Option<(u32, WaitNow)>> {
    let (which, id) = match child {
        Child::Any => (libc::P_ALL, 0),
        Child::Pid(pid) => (libc::P_PID, pid),
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | if keep { libc::WNOWAIT } else { 0 };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` has room for a siginfo_t.
        match checked(unsafe { libc::waitid(which, id, info.as_mut_ptr(), options) }.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    // SAFETY: zeroed before the call, filled by it: every field is initialised, and si_pid is 0 when nothing ended.
    let info = unsafe { info.assume_init() };
    // SAFETY: as above.
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then(|| (pid as u32, wait_status(&info))))
}

/// The arguments and environment of a program, as the kernel takes them: made once, so that executing needs no memory.
#[derive(Debug)]
pub struct Program {
    words: Vec<Vec<u8>>,
    arguments: usize,
    /// Where the number of the descriptor stands that it is told: which word, and from where in it.
    number: (usize, usize),
    /// Room for pointers to all words, and two nulls.
    pointers: Vec<*const libc::c_char>,
}

/// Digits that the number of a descriptor may have.
const DIGITS: usize = 10;

impl Program {
    /// With these arguments, the first being its name, this environment, and a variable in it that will have the number
    /// of the descriptor that is passed on.
    pub fn new(arguments: Vec<CString>, environment: Vec<(OsString, OsString)>, variable: &str) -> Program {
        let count = arguments.len();
        let mut words: Vec<Vec<u8>> = arguments.into_iter().map(CString::into_bytes_with_nul).collect();
        for (name, value) in environment {
            let word = [name.into_vec(), vec![b'='], value.into_vec(), vec![0]].concat();
            words.push(word);
        }
        let at = variable.len() + 1;
        words.push(format!("{variable}={:0DIGITS$}\0", 0).into_bytes());
        let number = (words.len() - 1, at);
        let pointers = Vec::with_capacity(words.len() + 2);
        Program { words, arguments: count, number, pointers }
    }

    fn set_number(&mut self, mut number: u32) {
        let (word, at) = self.number;
        let digits = self.words.get_mut(word).and_then(|word| word.get_mut(at..at + DIGITS));
        for digit in digits.into_iter().flatten().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// How a program of [`fork_exec`] starts.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program's file.
    pub image: BorrowedFd<'a>,
    /// A descriptor that it keeps.
    pub keep: BorrowedFd<'a>,
    /// Its limit on open files: soft and hard.
    pub nofile: (u64, u64),
}

/// Executes a program in a child: in a process group of its own, no signal blocked, those that stop writers to a terminal
/// ignored. If it cannot be executed the child says so on stderr and exits with 127. The process has one thread.
pub fn fork_exec(program: &mut Program, start: &Start<'_>) -> io::Result<u32> {
    program.set_number(start.keep.as_raw_fd() as u32);
    let Program { words, arguments: count, pointers, .. } = program;
    pointers.clear();
    let (arguments, environment) = words.split_at((*count).min(words.len()));
    pointers.extend(arguments.iter().map(|word| word.as_ptr().cast::<libc::c_char>()));
    pointers.push(std::ptr::null());
    pointers.extend(environment.iter().map(|word| word.as_ptr().cast::<libc::c_char>()));
    pointers.push(std::ptr::null());
    let argv = pointers.as_ptr();
    // SAFETY: the words of the environment begin behind the arguments and their null, within the vector.
    let envp = unsafe { argv.add(arguments.len() + 1) };
    let limit = libc::rlimit { rlim_cur: start.nofile.0, rlim_max: start.nofile.1 };
    let none = 0u64;
    let (image, keep) = (start.image.as_raw_fd(), start.keep.as_raw_fd());
    // SAFETY: the process has one thread, so the child is a whole copy of it. It makes system calls alone and never
    // returns; what they are given lies in memory of which it has its own copy: words and pointers that each end with a null,
    // a limit, a mask of 64 bits.
    unsafe {
        let answer = checked(libc::fork().into())?;
        if answer != 0 {
            // Done here as well, so that it is so from now on; it may have executed its program already.
            libc::setpgid(answer as libc::pid_t, answer as libc::pid_t);
            return Ok(answer as u32);
        }
        libc::setpgid(0, 0);
        libc::signal(libc::SIGTTIN, libc::SIG_IGN);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        );
        libc::fcntl(keep, libc::F_SETFD, 0);
        libc::syscall(libc::SYS_execveat, image, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH);
        let text = b"neap: the supervisor's binary cannot be executed\n";
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(127)
    }
}

/// Our limit on open files: soft and hard.
pub fn open_files_limit() -> io::Result<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for the answer, and is read only when there is one.
    unsafe {
        checked(libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()).into())?;
        let limit = limit.assume_init();
        Ok((limit.rlim_cur, limit.rlim_max))
    }
}

/// A file to be executed by its descriptor, which says nothing about whether it may be.
pub fn open_image(path: &std::ffi::CStr) -> io::Result<std::os::fd::OwnedFd> {
    // SAFETY: `path` ends with a NUL; no mode is needed because nothing is created.
    checked(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }.into()).map(super::fd::owned)
}
