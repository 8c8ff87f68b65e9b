//! A supervisor under an anchor that does what a test says, over a socket whose path is its first argument: a line in, a
//! line out. Started by hand it becomes the anchor, as `neap daemon` does.
//!
//! | line | does, and answers |
//! |---|---|
//! | `who` | `pid=… group=… name=… exe=… ignored=… files=…` |
//! | `env NAME` | its value, or `-` |
//! | `hello` | the welcome: `lives=… anchor=… upgrade=… held=… missing=… ended=…` |
//! | `version N` | asks for the welcome of another version; the refusal |
//! | `hold KEY TEXT` | a pipe with this text in it is held |
//! | `hold-many FIRST COUNT` | so many duplicates of one are held |
//! | `read KEY` | what is in the pipe that was held |
//! | `let-go KEY`, `forget PID…`, `ready`, `notify TEXT`, `finished N` | tells the anchor |
//! | `upgrade PATH MILLISECONDS` | asks for that |
//! | `spawn WORD…` | a child: `PID START` |
//! | `news N` | waits for so many ends: `PID:START:STATUS,…` |
//! | `count N` | waits for so many ends, forgets each: `DISTINCT STATUSES…` |
//! | `more` | what there is now, as `news` |
//! | `signal` | waits for one: its name |
//! | `nonsense N` | sends so many packets of anything, some with descriptors |
//! | `close` | closes the link |
//! | `exit N`, `die SIGNAL` | ends; there is no answer |

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::Duration;

use neap::anchor::{Ended, Inheritance, Key, Link, NAME, News, become_anchor};
use neap::core::{ExitStatus, Pid};
use neap::driver::identity::Stat;
use neap::driver::sys::{receive_packet, send_packet};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, raise};

fn main() -> ExitCode {
    if env::args_os().next().is_some_and(|name| name == NAME) {
        return neap::anchor::main();
    }
    match Link::from_env() {
        Ok(Some(link)) => supervise(link),
        Ok(None) => eprintln!("{}", become_anchor(env::args_os().skip(1), [])),
        Err(why) => eprintln!("{why}"),
    }
    ExitCode::from(99)
}

struct Fake {
    link: Option<Link>,
    held: BTreeMap<u64, OwnedFd>,
    signals: SigSet,
}

fn supervise(link: Link) {
    let mut words = env::args().skip(1);
    let path = words.next().expect("the test's socket");
    if let Some(word) = words.next() {
        // Without asking anybody.
        match word.parse() {
            Ok(code) => std::process::exit(code),
            Err(_) => die(&word),
        }
    }
    let mut signals = SigSet::all();
    // What a fault raises.
    for fault in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGBUS] {
        signals.remove(fault);
    }
    signals.thread_block().expect("signals can be blocked");
    let stream = UnixStream::connect(path).expect("the test listens");
    let mut lines = BufReader::new(stream.try_clone().expect("a duplicate"));
    let mut fake = Fake { link: Some(link), held: BTreeMap::new(), signals };
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        let answer = fake.act(line.trim_end()).unwrap_or_else(|error| format!("error: {error}"));
        if writeln!(&stream, "{answer}").is_err() {
            break;
        }
        line.clear();
    }
}

fn die(signal: &str) {
    let signal = Signal::from_str(signal).expect("a signal");
    // No test is about its core dump.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let mut one = SigSet::empty();
    one.add(signal);
    let _ = raise(signal);
    let _ = one.thread_unblock();
}

impl Fake {
    fn link(&self) -> io::Result<&Link> {
        self.link.as_ref().ok_or_else(|| io::Error::other("closed"))
    }

    fn act(&mut self, line: &str) -> io::Result<String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "who" => return Ok(who()),
            "env" => return Ok(env::var(rest).unwrap_or_else(|_| "-".to_owned())),
            "hello" => return self.hello(),
            "version" => return self.version(number(rest)),
            "hold" => {
                let (reader, mut writer) = io::pipe()?;
                writer.write_all(second.as_bytes())?;
                self.link()?.hold(Key(number(first)), reader.as_fd())?;
            }
            "hold-many" => {
                let (reader, _writer) = io::pipe()?;
                for n in 0..number(second) {
                    self.link()?.hold(Key(number::<u64>(first) + n), reader.as_fd())?;
                }
            }
            "read" => {
                let fd = self.held.remove(&number(rest)).ok_or_else(|| io::Error::other("not held"))?;
                let mut text = String::new();
                File::from(fd).read_to_string(&mut text)?;
                return Ok(text);
            }
            "let-go" => self.link()?.let_go(Key(number(rest))),
            "forget" => {
                for pid in rest.split(' ') {
                    self.link()?.forget(Pid(number(pid)));
                }
            }
            "ready" => self.link()?.ready(),
            "notify" => self.link()?.notify(&rest.replace("\\n", "\n")),
            "finished" => self.link()?.finished(number(rest)),
            "upgrade" => {
                let binary = File::open(first)?;
                self.link()?.upgrade_within(binary.as_fd(), Duration::from_millis(number(second)))?;
            }
            "spawn" => return spawn(rest),
            "news" => return self.news(number(rest)).map(|ended| tell(&ended)),
            "count" => return self.count(number(rest)),
            "more" => {
                let mut ended = Vec::new();
                while let Some(News::Ended(end)) = self.link()?.receive()? {
                    ended.push(end);
                }
                return Ok(tell(&ended));
            }
            "signal" => return Ok(self.signals.wait()?.to_string()),
            "nonsense" => self.nonsense(number(rest))?,
            "close" => self.link = None,
            "exit" => std::process::exit(number(rest)),
            "die" => die(rest),
            _ => return Err(io::Error::other(format!("what is `{line}`?"))),
        }
        Ok("ok".to_owned())
    }

    fn hello(&mut self) -> io::Result<String> {
        let Inheritance { held, missing, ended, lives, anchor, upgrade } = self.link()?.welcome()?;
        let keys = |keys: Vec<u64>| keys.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let names = keys(held.iter().map(|(key, _)| key.0).collect());
        let missing = keys(missing.iter().map(|key| key.0).collect());
        self.held = held.into_iter().map(|(key, fd)| (key.0, fd)).collect();
        let upgrade = upgrade.map_or("none".to_owned(), |upgrade| format!("{upgrade:?}"));
        let ended = tell(&ended);
        Ok(format!("lives={lives} anchor={anchor} upgrade={upgrade} held={names} missing={missing} ended={ended}"))
    }

    fn version(&self, version: u16) -> io::Result<String> {
        let link = self.link()?;
        let mut bytes = [0; 24];
        bytes[..2].copy_from_slice(&version.to_le_bytes());
        bytes[2] = 1;
        send_packet(link.as_fd(), &bytes, None)?;
        wait(link)?;
        let length = receive_packet(link.as_fd(), &mut bytes)?.length;
        Ok(format!("{:?}", &bytes[..length.min(4)]))
    }

    fn news(&self, count: usize) -> io::Result<Vec<Ended>> {
        let link = self.link()?;
        let mut ended = Vec::new();
        while ended.len() < count {
            wait(link)?;
            match link.receive()? {
                Some(News::Ended(end)) => ended.push(end),
                Some(News::Gone) => return Err(io::Error::other("the anchor is gone")),
                Some(News::NotHeld(key)) => return Err(io::Error::other(format!("not held: {}", key.0))),
                None => {}
            }
        }
        Ok(ended)
    }

    fn count(&self, count: usize) -> io::Result<String> {
        let (mut seen, mut statuses, mut without_start) = (BTreeSet::new(), BTreeMap::<String, usize>::new(), 0);
        for _ in 0..count {
            let end = self.news(1)?[0];
            self.link()?.forget(end.pid);
            seen.insert((end.pid, end.start_time));
            without_start += usize::from(end.start_time == 0);
            *statuses.entry(status(end.status)).or_default() += 1;
        }
        Ok(format!("{} {without_start} {statuses:?}", seen.len()))
    }

    /// Anything at all, as far as there is room; from a seed.
    fn nonsense(&self, count: u64) -> io::Result<()> {
        let link = self.link()?;
        let (reader, _writer) = io::pipe()?;
        let mut state = 88_172_645_463_325_252u64;
        for n in 0..count {
            let mut bytes = [0; 64];
            for byte in &mut bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            if n % 2 == 0 {
                // The right version and a kind that there is, but for the three that would end us: what is in them is nonsense.
                bytes[..4].copy_from_slice(&[1, 0, [2, 3, 4, 6, 9, 101][n as usize / 2 % 6], 0]);
            }
            let length = if n % 3 == 0 { state as usize % 64 } else { 64 };
            let fd = (n % 5 == 0).then_some(reader.as_fd());
            while let Err(e) = send_packet(link.as_fd(), &bytes[..length], fd) {
                if e.kind() != io::ErrorKind::WouldBlock {
                    return Err(e);
                }
                poll(&mut [PollFd::new(link.as_fd(), PollFlags::POLLOUT)], PollTimeout::from(1000u16))?;
            }
        }
        Ok(())
    }
}

fn number<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a number")
}

fn wait(link: &Link) -> io::Result<()> {
    let mut polled = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, PollTimeout::from(60_000u16))? {
        0 => Err(io::Error::other("nothing new for a minute")),
        _ => Ok(()),
    }
}

fn status(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => code.to_string(),
        ExitStatus::Signal { signal, core } => format!("{signal}{}", if core { "+core" } else { "" }),
        ExitStatus::Unknown => "unknown".to_owned(),
    }
}

fn tell(ended: &[Ended]) -> String {
    let each = ended.iter().map(|end| format!("{}:{}:{}", end.pid, end.start_time, status(end.status)));
    each.collect::<Vec<_>>().join(",")
}

fn spawn(line: &str) -> io::Result<String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    // As a real one does: nothing blocked.
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
    let child = command.args(words).spawn()?;
    let pid = Pid(child.id());
    Ok(format!("{pid} {}", Stat::of(pid)?.start_time))
}

fn who() -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    let exe = fs::read_link("/proc/self/exe").unwrap_or_default();
    let name = env::args().next().unwrap_or_default();
    let group = Stat::of(Pid(std::process::id())).map_or(0, |stat| stat.group);
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    let (pid, ignored) = (std::process::id(), line("SigIgn:"));
    format!("pid={pid} group={group} name={name} exe={} ignored={ignored} files={files}", exe.display())
}
