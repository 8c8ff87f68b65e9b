//! A child that does what its arguments say, one word after the other. Tests use it wherever a process of a certain
//! behaviour is needed.
//!
//! ```text
//! actor trap TERM=ignore fork { ignore TERM wait } print 1000 exit 3
//! ```
//!
//! `{ … }` is a block; braces are words of their own, and blocks nest. After the last word the program exits with 0.
//!
//! | verb | does |
//! |---|---|
//! | `trap SIG=ignore`, `trap SIG=exit:N`, `trap SIG=default` | on SIG: nothing; exit with N; the default |
//! | `ignore SIG` | `trap SIG=ignore` |
//! | `block SIG` | puts SIG into the signal mask |
//! | `fork { … }` | a child does the block and exits with 0; the parent goes on |
//! | `orphan { … }` | double fork with setsid between: a process with no tie to us but its ancestry does the block |
//! | `daemonize` | double fork with setsid; the parents exit with 0, the outer one last, the daemon goes on |
//! | `setsid`, `setpgid` | a session, a process group of its own |
//! | `rename NAME` | changes its name in /proc |
//! | `repeat N { … }` | does the block N times |
//! | `out PATH` | from now on prints into this file (appended) |
//! | `print N` | N numbered lines: `line 1` to `line N` |
//! | `say TEXT`, `printraw TEXT`, `complain TEXT` | a line; the bytes alone; a line on stderr |
//! | `pid` | its pid as a line |
//! | `close-stdout`, `close-fds` | closes descriptor 1; all of them |
//! | `env` | its environment, a variable a line |
//! | `args WORD…` | all following words, a line each, escaped as Rust does |
//! | `fds` | its descriptors: `number target` a line, the one used for listing left out |
//! | `state` | what it was started with: `key=value` lines (see `state` below) |
//! | `notify TEXT` | one datagram to NOTIFY_SOCKET; `\n` stands for a line end |
//! | `pidfile PATH`, `touch PATH` | writes its pid, makes an empty file |
//! | `listen PORT` | accepts TCP connections on 127.0.0.1 and closes them, for ever; port 0 prints the one it got |
//! | `sockets` | what it was passed by LISTEN_FDS, a line each: `NUMBER NAME KIND ADDRESS blocks`, of ours (LISTEN_PID) or not |
//! | `greet N` | accepts connections of the descriptor N for ever; each is told our pid as a line, and closed |
//! | `answer N` | the connection with the descriptor N is told our pid as a line, and closed |
//! | `hold N` | accepts connections of the descriptor N for ever, and closes each when its client does |
//! | `receive N` | prints what comes at the descriptor N in one piece |
//! | `shut N` | shuts the socket N down, for everybody who has it |
//! | `unblock N` | makes the descriptor N non-blocking, for everybody who has it |
//! | `pretend tcp PORT FILE` | accepts TCP connections on 127.0.0.1 while there is such a file, and refuses them while there is none |
//! | `pretend http ADDRESS FILE` | answers HTTP on a port of 127.0.0.1, or on a Unix socket at a path: 200 with the file, 503 while there is none |
//! | `while FILE { … }` | does the block again and again while there is such a file |
//! | `read PATH` | waits until the file (a FIFO) was read to its end |
//! | `gone PATH` | waits until there is no such file |
//! | `sleep SECONDS`, `wait` | sleeps; waits for ever |
//! | `exit N`, `kill-self SIG` | ends; ends by a signal (with its default action) |
//! | `umask OCTAL`, `inherit-fds N` | sets it; opens N descriptors that an executed program keeps |
//! | `supervise { … }` | launches an actor with the block through Neap, with its descriptors 0 to 2; waits for it and says `ended STATUS` or `failed ERRNO STEP MESSAGE` |
//! | `starve TREES N { … }` | launches an actor with the block in a tree (of `cgroups` or `groups`); once that has N members takes all descriptors there are, sends TERM to the tree, then KILL, and says `told RESULT` and `killed RESULT` |
//! | `eat BYTES`, `burn` | takes so much memory and uses it; the processor, for ever |
//! | `try-fork` | says `forked`, or `refused` and why |
//! | `forkbomb` | forks as fast as it can, all children too, until killed |

#![no_main] // The Rust runtime ignores SIGPIPE before `main`: this program shows what it really was given.

use std::env;
use std::ffi::{CStr, CString, OsString, c_char, c_int};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::slice::Iter;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use neap::core::{ExitStatus, RunId, SpawnError};
use neap::driver::contain::Trees;
use neap::driver::exit;
use neap::driver::spawn::{Finish, InFlight, Launch, Launcher, Stdio};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

static EXITS: [AtomicI32; 65] = [const { AtomicI32::new(0) }; 65];

extern "C" fn on_signal(signal: c_int) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(EXITS[signal as usize].load(Ordering::Relaxed)) }
}

/// What the C library calls.
///
/// # Safety
/// `argv` has `argc` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let words: Vec<OsString> = (1..argc as usize)
        // SAFETY: argv has argc strings.
        .map(|n| unsafe { CStr::from_ptr(*argv.add(n)) })
        .map(|w| OsString::from_vec(w.to_bytes().to_vec()))
        .collect();
    let mut words = words.iter();
    run(&mut words, false);
    0
}

fn fail(what: &str) -> ! {
    let _ = writeln!(io::stderr(), "actor: {what}");
    std::process::exit(98)
}

fn or_fail<T>(what: &str, result: io::Result<T>) -> T {
    result.unwrap_or_else(|e| fail(&format!("{what}: {e}")))
}

/// Does words until they, or the block, are over.
fn run(words: &mut Iter<'_, OsString>, in_block: bool) {
    while let Some(word) = words.next() {
        let verb = word.to_string_lossy();
        if verb == "}" {
            if in_block {
                return;
            }
            fail("`}` without `{`");
        }
        act(&verb, words);
    }
    if in_block {
        fail("a block without `}`");
    }
}

fn act(verb: &str, words: &mut Iter<'_, OsString>) {
    match verb {
        "trap" => trap(&text(words)),
        "ignore" => set_action(signal(&text(words)), libc::SIG_IGN),
        "block" => block_signal(signal(&text(words))),
        "fork" => fork_block(words, false),
        "orphan" => fork_block(words, true),
        "daemonize" => daemonize(),
        // SAFETY: takes nothing.
        "setsid" => drop(unsafe { libc::setsid() }),
        // SAFETY: takes numbers.
        "setpgid" => drop(unsafe { libc::setpgid(0, 0) }),
        "rename" => rename(&text(words)),
        "repeat" => repeat(words),
        "out" => redirect(&text(words)),
        "print" => print_lines(number(words)),
        "say" => print(&[words.next().map_or(&b""[..], |w| w.as_bytes()), b"\n"].concat()),
        "printraw" => print(words.next().map_or(&b""[..], |w| w.as_bytes())),
        "complain" => drop(writeln!(io::stderr(), "{}", text(words))),
        "pid" => print(format!("{}\n", std::process::id()).as_bytes()),
        // SAFETY: closes a number.
        "close-stdout" => drop(unsafe { libc::close(1) }),
        // SAFETY: closes numbers.
        "close-fds" => drop(unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) }),
        "env" => env::vars_os().for_each(|(k, v)| print(&[k.as_bytes(), b"=", v.as_bytes(), b"\n"].concat())),
        "args" => words.by_ref().for_each(|w| print(format!("{w:?}\n").as_bytes())),
        "fds" => list_fds(),
        "state" => state(),
        "notify" => notify(&text(words).replace("\\n", "\n")),
        "pidfile" => or_fail("pidfile", fs::write(text(words), format!("{}\n", std::process::id()))),
        "touch" => drop(or_fail("touch", File::create(text(words)))),
        "listen" => listen(number(words) as u16),
        "sockets" => sockets(),
        "greet" => greet(number(words) as i32),
        "answer" => tell_pid(File::from(fd(number(words) as i32))),
        "hold" => hold(number(words) as i32),
        "receive" => receive(number(words) as i32),
        // SAFETY: takes numbers.
        "shut" => drop(unsafe { libc::shutdown(number(words) as i32, libc::SHUT_RDWR) }),
        // SAFETY: takes numbers.
        "unblock" => drop(unsafe { libc::fcntl(number(words) as i32, libc::F_SETFL, libc::O_NONBLOCK) }),
        "pretend" => pretend(&text(words), &text(words), &text(words)),
        "while" => repeat_while(words),
        "read" => drop(or_fail("read", File::open(text(words)).and_then(|mut f| f.read_to_end(&mut Vec::new())))),
        "gone" => await_gone(&text(words)),
        "sleep" => thread::sleep(Duration::from_secs_f64(text(words).parse().unwrap_or_else(|_| fail("sleep what?")))),
        "wait" => wait_for_ever(),
        "exit" => std::process::exit(number(words) as i32),
        "kill-self" => kill_self(signal(&text(words))),
        // SAFETY: takes a number.
        "umask" => drop(unsafe { libc::umask(u32::from_str_radix(&text(words), 8).unwrap_or(0o22)) }),
        "inherit-fds" => inherit_fds(number(words)),
        "supervise" => supervise(words),
        "starve" => starve(words),
        "eat" => eat(number(words) as usize),
        "burn" => loop {
            std::hint::spin_loop();
        },
        "try-fork" => try_fork(),
        "forkbomb" => forkbomb(),
        other => fail(&format!("unknown verb `{other}`")),
    }
}

fn text(words: &mut Iter<'_, OsString>) -> String {
    words.next().unwrap_or_else(|| fail("a word is missing")).to_string_lossy().into_owned()
}

fn number(words: &mut Iter<'_, OsString>) -> u64 {
    text(words).parse().unwrap_or_else(|_| fail("a number was expected"))
}

fn signal(name: &str) -> c_int {
    neap::spec::Signal::from_name(name).unwrap_or_else(|| fail(&format!("`{name}` is no signal"))).number()
}

fn trap(what: &str) {
    let (name, action) = what.split_once('=').unwrap_or_else(|| fail("trap SIG=action"));
    let number = signal(name);
    match action.split_once(':') {
        Some(("exit", code)) => {
            EXITS[number as usize].store(code.parse().unwrap_or(0), Ordering::Relaxed);
            set_action(number, on_signal as *const () as libc::sighandler_t);
        }
        _ if action == "ignore" => set_action(number, libc::SIG_IGN),
        _ if action == "default" => set_action(number, libc::SIG_DFL),
        _ => fail("trap SIG=ignore, SIG=exit:N or SIG=default"),
    }
}

fn set_action(number: c_int, action: libc::sighandler_t) {
    // SAFETY: the handler, if it is one, is async-signal-safe.
    unsafe { libc::signal(number, action) };
}

fn block_signal(number: c_int) {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, number);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// Forks; `true` in the child.
fn forked() -> bool {
    // SAFETY: the program has one thread.
    match unsafe { libc::fork() } {
        0 => true,
        -1 => fail(&format!("fork: {}", io::Error::last_os_error())),
        _ => false,
    }
}

fn skip_block(words: &mut Iter<'_, OsString>) {
    let mut depth = 1;
    while depth > 0 {
        match words.next().map(|w| w.as_bytes()) {
            Some(b"{") => depth += 1,
            Some(b"}") => depth -= 1,
            Some(_) => {}
            None => fail("a block without `}`"),
        }
    }
}

fn open_block(words: &mut Iter<'_, OsString>) {
    if words.next().is_none_or(|w| w.as_bytes() != b"{") {
        fail("`{` was expected");
    }
}

fn fork_block(words: &mut Iter<'_, OsString>, orphan: bool) {
    open_block(words);
    if !forked() {
        skip_block(words);
        if orphan {
            // SAFETY: reaps the child that only made the orphan.
            unsafe { libc::wait(std::ptr::null_mut()) };
        }
        return;
    }
    if orphan {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        if !forked() {
            std::process::exit(0);
        }
    }
    run(words, true);
    std::process::exit(0);
}

fn daemonize() {
    if !forked() {
        // SAFETY: reaps the child that only makes the daemon, so that nothing else is left when we end.
        unsafe { libc::wait(std::ptr::null_mut()) };
        std::process::exit(0);
    }
    // SAFETY: takes nothing.
    unsafe { libc::setsid() };
    if !forked() {
        std::process::exit(0);
    }
}

fn rename(name: &str) {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: the name ends with a NUL; the kernel cuts it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

fn repeat(words: &mut Iter<'_, OsString>) {
    let times = number(words);
    open_block(words);
    for _ in 0..times {
        run(&mut words.clone(), true);
    }
    skip_block(words);
}

fn repeat_while(words: &mut Iter<'_, OsString>) {
    let file = text(words);
    open_block(words);
    while Path::new(&file).exists() {
        run(&mut words.clone(), true);
    }
    skip_block(words);
}

fn redirect(path: &str) {
    let file = or_fail("out", OpenOptions::new().create(true).append(true).open(path));
    // SAFETY: both descriptors are open; 1 may be replaced.
    unsafe { libc::dup2(file.as_raw_fd(), 1) };
}

fn print(bytes: &[u8]) {
    let mut out = io::stdout();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(97);
    }
}

fn print_lines(count: u64) {
    let mut lines = Vec::new();
    for n in 1..=count {
        lines.extend_from_slice(format!("line {n}\n").as_bytes());
        if lines.len() > 60_000 || n == count {
            print(&lines);
            lines.clear();
        }
    }
}

fn list_fds() {
    let folder = or_fail("fds", fs::read_dir("/proc/self/fd"));
    let mut found: Vec<(i32, String)> = folder
        .flatten()
        .filter_map(|e| {
            let target = fs::read_link(e.path()).ok()?.to_string_lossy().into_owned();
            Some((e.file_name().to_string_lossy().parse().ok()?, target))
        })
        .filter(|(_, target)| !target.starts_with("/proc/") || !target.ends_with("/fd"))
        .collect();
    found.sort();
    for (number, target) in found {
        print(format!("{number} {target}\n").as_bytes());
    }
}

fn state() {
    let mut lines = Vec::new();
    let mut add = |key: &str, value: &str| lines.push(format!("{key}={value}\n"));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        if let Some((key, value)) = line.split_once(':') {
            let wanted = [
                "Name",
                "Pid",
                "PPid",
                "Uid",
                "Gid",
                "Groups",
                "SigBlk",
                "SigIgn",
                "SigCgt",
                "CapInh",
                "CapPrm",
                "CapEff",
                "CapBnd",
                "CapAmb",
                "NoNewPrivs",
                "Umask",
            ];
            if wanted.contains(&key) {
                add(key, &value.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    add("cwd", &env::current_dir().map(|d| d.to_string_lossy().into_owned()).unwrap_or_default());
    // SAFETY: these take numbers only.
    let (group, session, nice) =
        unsafe { (libc::getpgid(0), libc::getsid(0), libc::getpriority(libc::PRIO_PROCESS, 0)) };
    add("pgid", &group.to_string());
    add("sid", &session.to_string());
    add("nice", &nice.to_string());
    for (key, path) in [("oom_score_adj", "/proc/self/oom_score_adj"), ("timerslack", "/proc/self/timerslack_ns")] {
        add(key, fs::read_to_string(path).unwrap_or_default().trim());
    }
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    add("cgroup", cgroups.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or(""));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for line in limits.lines().skip(1) {
        let name = line.get(..26).unwrap_or("").trim().to_lowercase().replace(' ', "_");
        let mut values = line.get(26..).unwrap_or("").split_whitespace();
        add(&format!("limit.{name}"), &format!("{}:{}", values.next().unwrap_or(""), values.next().unwrap_or("")));
    }
    print(lines.concat().as_bytes());
}

fn notify(message: &str) {
    let Some(address) = env::var_os("NOTIFY_SOCKET") else { fail("no NOTIFY_SOCKET") };
    let socket = or_fail("notify", UnixDatagram::unbound());
    let address = match address.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(Path::new(&address)),
    };
    or_fail("notify", address.and_then(|a| socket.send_to_addr(message.as_bytes(), &a)));
}

fn listen(port: u16) {
    let listener = or_fail("listen", TcpListener::bind(("127.0.0.1", port)));
    if port == 0 {
        let port = or_fail("listen", listener.local_addr()).port();
        print(format!("{port}\n").as_bytes());
    }
    loop {
        drop(listener.accept());
    }
}

/// The descriptor of this number, which was passed.
fn fd(number: i32) -> OwnedFd {
    // SAFETY: nobody else of this program uses it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn sockets() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let count: i32 = variable("LISTEN_FDS").parse().unwrap_or(0);
    let ours = variable("LISTEN_PID") == std::process::id().to_string();
    print(format!("{count} {}\n", if ours { "of ours" } else { "of a stranger's" }).as_bytes());
    let names = variable("LISTEN_FDNAMES");
    for (number, name) in (3..).zip(names.split(':')).take(count as usize) {
        let option = |option| {
            let (mut value, mut length) = (0 as c_int, size_of::<c_int>() as u32);
            // SAFETY: the pointers are to a number and to its length.
            let got =
                unsafe { libc::getsockopt(number, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length) };
            (got == 0).then_some(value)
        };
        let kind = match option(libc::SO_TYPE) {
            Some(libc::SOCK_STREAM) => "stream",
            Some(libc::SOCK_DGRAM) => "dgram",
            Some(libc::SOCK_SEQPACKET) => "seqpacket",
            _ => "file",
        };
        let accepts = if option(libc::SO_ACCEPTCONN) == Some(1) { " listens" } else { "" };
        // SAFETY: takes a number.
        let blocks = unsafe { libc::fcntl(number, libc::F_GETFL) } & libc::O_NONBLOCK == 0;
        let blocks = if blocks { " blocks" } else { "" };
        print(format!("{number} {name} {kind}{accepts}{blocks}\n").as_bytes());
    }
}

fn tell_pid(mut client: File) {
    let _ = writeln!(client, "{}", std::process::id());
}

fn accept(listener: i32) -> File {
    loop {
        // SAFETY: asks for no address.
        let client = unsafe { libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) };
        if client >= 0 {
            return fd(client).into();
        }
        let error = io::Error::last_os_error();
        if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) {
            fail(&format!("accept: {error}"));
        }
    }
}

fn greet(listener: i32) {
    loop {
        tell_pid(accept(listener));
    }
}

fn hold(listener: i32) {
    loop {
        let mut client = accept(listener);
        thread::spawn(move || client.read_to_end(&mut Vec::new()));
    }
}

fn receive(number: i32) {
    let mut bytes = [0; 4096];
    let length = or_fail("receive", File::from(fd(number)).read(&mut bytes));
    print(&[b"got ", &bytes[..length], b"\n"].concat());
}

fn pretend(protocol: &str, address: &str, file: &str) {
    match (protocol, address.parse::<u16>()) {
        ("tcp", Ok(port)) => loop {
            while !Path::new(file).exists() {
                thread::sleep(Duration::from_millis(2));
            }
            let listener = or_fail("pretend", TcpListener::bind(("127.0.0.1", port)));
            or_fail("pretend", listener.set_nonblocking(true));
            while Path::new(file).exists() {
                if listener.accept().is_err() {
                    thread::sleep(Duration::from_millis(2));
                }
            }
        },
        ("http", Ok(port)) => {
            let listener = or_fail("pretend", TcpListener::bind(("127.0.0.1", port)));
            listener.incoming().flatten().for_each(|stream| answer(stream, file));
        }
        ("http", Err(_)) => {
            let _ = fs::remove_file(address);
            let listener = or_fail("pretend", UnixListener::bind(address));
            listener.incoming().flatten().for_each(|stream| answer(stream, file));
        }
        _ => fail("pretend what?"),
    }
}

/// Answers one request.
fn answer(mut stream: impl Read + Write, file: &str) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let (status, body) = match fs::read(file) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("503 Busy", b"not well\n".to_vec()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

fn await_gone(path: &str) {
    while Path::new(path).exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn wait_for_ever() {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

fn kill_self(number: c_int) {
    set_action(number, libc::SIG_DFL);
    // SAFETY: sends ourselves a signal.
    unsafe { libc::raise(number) };
}

fn inherit_fds(count: u64) {
    for _ in 0..count {
        // SAFETY: the path is a literal; without O_CLOEXEC.
        unsafe { libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY) };
    }
}

/// A launch of an actor with the block that follows.
fn actor_launch(words: &mut Iter<'_, OsString>) -> Launch {
    open_block(words);
    let all = words.clone();
    skip_block(words);
    let length = all.len() - words.len() - 1;
    let block = all.take(length);
    let us = CString::new(or_fail("supervise", env::current_exe()).as_os_str().as_bytes()).unwrap_or_default();
    let argv = block.map(|w| CString::new(w.as_bytes()).unwrap_or_default());
    let mut launch = Launch::new(vec![us.clone()], [us].into_iter().chain(argv).collect());
    launch.stdio = [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit];
    launch.env = env::vars_os()
        .map(|(k, v)| CString::new([k.as_bytes(), b"=", v.as_bytes()].concat()).unwrap_or_default())
        .collect();
    launch
}

/// A supervisor in a few lines.
fn supervise(words: &mut Iter<'_, OsString>) {
    let launch = actor_launch(words);
    let report = match Launcher::new().launch(launch).and_then(finished) {
        Ok(status) => format!("ended {status:?}\n"),
        Err(e) => format!("failed {} {:?} {}\n", e.errno.unwrap_or(0), e.step, e.message),
    };
    print(report.as_bytes());
}

fn finished(mut child: InFlight) -> Result<ExitStatus, SpawnError> {
    let child = loop {
        await_any(&[child.exec_pipe(), child.pidfd()]);
        match child.finish() {
            Finish::Pending(again) => child = again,
            Finish::Executed(child) => break child,
            Finish::Failed(e) => return Err(e),
        }
    };
    loop {
        await_any(&[child.pidfd.as_fd()]);
        if let Some(status) = or_fail("reap", exit::reap(child.pidfd.as_fd())) {
            return Ok(status);
        }
    }
}

fn starve(words: &mut Iter<'_, OsString>) {
    let trees = if text(words) == "cgroups" { Trees::new() } else { Trees::groups("asked for by a test") };
    let members = number(words) as usize;
    let mut launch = actor_launch(words);
    let mut tree = or_fail("starve", trees.create("actor", RunId(1)).map_err(|e| io::Error::other(e.message)));
    launch.cgroup = or_fail("starve", tree.cgroup());
    launch.env.extend(tree.mark().map(|mark| CString::new(mark).unwrap_or_default()));
    let child = or_fail("starve", Launcher::new().launch(launch).map_err(|e| io::Error::other(e.message)));
    tree.set_leader(child.pid());
    while tree.members().map_or(0, |m| m.len()) < members {
        thread::sleep(Duration::from_millis(2));
    }
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let told = tree.signal_all(neap::spec::Signal::TERM);
    let killed = tree.kill();
    while !tree.is_empty().unwrap_or(false) {
        thread::sleep(Duration::from_millis(2));
    }
    drop(taken);
    await_any(&[child.pidfd()]);
    let _ = exit::reap(child.pidfd());
    print(format!("told {told:?}\nkilled {killed:?}\n").as_bytes());
}

fn await_any(fds: &[BorrowedFd<'_>]) {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|f| PollFd::new(*f, PollFlags::POLLIN)).collect();
    let _ = poll(&mut polled, PollTimeout::NONE);
}

/// Keeps what it takes, a page at a time.
fn eat(bytes: usize) {
    let mut eaten = vec![0u8; bytes];
    eaten.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::mem::forget(std::hint::black_box(eaten));
}

fn try_fork() {
    // SAFETY: the program has one thread; the child only ends.
    match unsafe { libc::fork() } {
        0 => std::process::exit(0),
        -1 => print(format!("refused: {}\n", io::Error::last_os_error()).as_bytes()),
        child => {
            // SAFETY: reaps the child.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            print(b"forked\n");
        }
    }
}

fn forkbomb() {
    loop {
        // SAFETY: the program has one thread, and the child does the same loop.
        unsafe { libc::fork() };
    }
}
