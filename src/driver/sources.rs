//! What the engine sleeps on: descriptors by what they mean, and the moments that are its own.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;

use crate::core::{Now, Pid, ProcessId, RunId, Time, WallTime};

/// A short-lived command of the engine's: a hook or an exec probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(pub u64);

/// Whose child or tree something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    Run(RunId),
    Job(JobId),
}

/// What a readable descriptor means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A message of another thread's.
    Mailbox,
    /// A moment has come.
    Timer,
    /// A tree may have become empty.
    Notices,
    /// A child was executed, or could not be.
    Exec(Owner),
    /// The child ended.
    Child(Owner),
    /// A main process that is not the child ended.
    Main(RunId),
    /// A member of a tree ended.
    Member(Owner, Pid),
    /// A process has something to say.
    Notify(ProcessId),
    /// Something waits at the listener of this number of an armed process.
    Socket(ProcessId, u8),
    /// Something came at a listener of a process that runs.
    Coming(ProcessId, u8),
    /// Some cgroup of version 1 ran out of memory.
    Limits,
    /// The anchor has news.
    Anchor,
}

/// A registered descriptor. A number that is used again gets another token, so an event that comes late is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(u64);

/// An epoll instance that knows what its descriptors mean.
pub(super) struct Poller {
    epoll: Epoll,
    slots: Vec<(u32, Option<Source>)>,
    free: Vec<u32>,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// As many events as come at a time.
    pub const BATCH: usize = 256;

    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Poller { epoll, slots: Vec::new(), free: Vec::new(), events: vec![EpollEvent::empty(); Self::BATCH] })
    }

    /// Tells when this descriptor is readable.
    pub fn add(&mut self, fd: impl AsFd, source: Source) -> io::Result<Token> {
        self.add_as(fd, source, EpollFlags::EPOLLIN)
    }

    /// Tells once when this descriptor becomes readable, or is.
    pub fn add_once(&mut self, fd: impl AsFd, source: Source) -> io::Result<Token> {
        self.add_as(fd, source, EpollFlags::EPOLLIN | EpollFlags::EPOLLET | EpollFlags::EPOLLONESHOT)
    }

    fn add_as(&mut self, fd: impl AsFd, source: Source, flags: EpollFlags) -> io::Result<Token> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.0);
        let token = Token(u64::from(generation) << 32 | u64::from(index));
        if let Err(error) = self.epoll.add(fd, EpollEvent::new(flags, token.0)) {
            self.free.push(index);
            return Err(error.into());
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.1 = Some(source);
        }
        Ok(token)
    }

    /// Forgets a descriptor; call it before that is closed.
    pub fn remove(&mut self, fd: impl AsFd, token: Token) {
        let _ = self.epoll.delete(fd);
        self.forget(token);
    }

    /// Is told of this descriptor no more; its token stays taken until it is removed.
    pub fn silence(&mut self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Is told again of a descriptor that was silenced. Of one that was not, nothing changes.
    pub fn heed(&mut self, fd: impl AsFd, token: Token) {
        let _ = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token.0));
    }

    /// Forgets a descriptor that is closed already.
    pub fn forget(&mut self, token: Token) {
        let index = token.0 as u32;
        if let Some(slot) = self.slots.get_mut(index as usize)
            && u64::from(slot.0) == token.0 >> 32
            && slot.1.take().is_some()
        {
            slot.0 = slot.0.wrapping_add(1);
            self.free.push(index);
        }
    }

    /// Waits for events and moves them into `ready`; for none when `at_once`. Whether there were any.
    pub fn wait(&mut self, at_once: bool, ready: &mut Vec<Token>) -> io::Result<bool> {
        let timeout = if at_once { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => {
                ready.extend(self.events.iter().take(count).map(|event| Token(event.data())));
                Ok(count > 0)
            }
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What a token means now; `None` when its descriptor was forgotten meanwhile.
    pub fn source(&self, token: Token) -> Option<Source> {
        let (generation, source) = self.slots.get(token.0 as u32 as usize)?;
        if u64::from(*generation) == token.0 >> 32 { *source } else { None }
    }
}

/// A moment of the engine's own, beside the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Kill what is left of a tree again, and look.
    Kill(Owner),
    /// Look at a tree again.
    Look(Owner),
    /// Look for the daemon again.
    FindMain(RunId),
    /// Ask again how a process ended that is not our child.
    AskStatus(RunId),
    /// A command's time is up.
    JobTimeout(JobId),
    /// A function's time is up.
    CallTimeout(u64),
    /// Have a task that was to be dropped dropped, if it still is not.
    DropTask(RunId),
    /// Look whom the kernel killed for lack of memory, if that is still due at this time.
    LookForKilled(Time),
    /// Accept connections of this listener again.
    Accept(ProcessId, u8),
}

/// The clock, the alarm, and the moments that are due.
pub(super) struct Clock {
    timer: TimerFd,
    armed: Option<Time>,
    moments: BTreeMap<(Time, u64), Moment>,
    next: u64,
}

impl Clock {
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        Ok(Clock { timer, armed: None, moments: BTreeMap::new(), next: 0 })
    }

    /// The timer's descriptor.
    pub fn fd(&self) -> impl AsFd + '_ {
        &self.timer
    }

    /// Both clocks. The only place that reads them.
    pub fn now() -> Now {
        let read = |id| clock_gettime(id).map(Duration::from).unwrap_or_default();
        let mono = read(nix::time::ClockId::CLOCK_MONOTONIC).as_nanos();
        let wall = read(nix::time::ClockId::CLOCK_REALTIME).as_millis();
        Now { mono: Time(u64::try_from(mono).unwrap_or(u64::MAX)), wall: WallTime(i64::try_from(wall).unwrap_or(0)) }
    }

    /// Remembers a moment. It cannot be taken back: whoever it comes to must know whether it still means something.
    pub fn at(&mut self, time: Time, moment: Moment) {
        self.next += 1;
        self.moments.insert((time, self.next), moment);
    }

    /// Takes a moment that has come.
    pub fn due(&mut self, now: Time) -> Option<Moment> {
        let first = self.moments.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Sets the alarm for the earlier of our own next moment and this one, and returns which that is.
    pub fn arm(&mut self, machine: Option<Time>) -> Option<Time> {
        let own = self.moments.first_key_value().map(|((time, _), _)| *time);
        let next = match (own, machine.filter(|time| *time != Time::NEVER)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if next == self.armed {
            return next;
        }
        self.armed = next;
        let set = match next {
            Some(time) => {
                // A timer set to zero would be switched off.
                let time = TimeSpec::from_duration(Duration::from_nanos(time.0.max(1)));
                self.timer.set(Expiration::OneShot(time), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        // Refused only for times that no clock has; such a deadline never comes.
        let _ = set;
        next
    }

    /// Quiets the alarm that went off.
    pub fn quiet(&mut self) {
        if self.armed.take().is_some() {
            let _ = self.timer.unset();
        }
    }
}
