//! The engine's listeners: bound when they are first needed, watched while their process is armed, kept until it is gone
//! from the plan.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::bind::{self, Found, Have, Request};
use super::connection::Connection;
use super::over::{self, Leftover};
use super::path::OwnFile;
use crate::anchor::Key;
use crate::core::{ConnectionId, Input, LiveRun, ProcessId, RunId, SpawnError, SpawnStep};
use crate::driver::engine::{Engine, HelperDone};
use crate::driver::flight::system_error;
use crate::driver::sources::{Poller, Source, Token};
use crate::driver::sys;
use crate::spec::{ListenAddress, Listener, Place, Spec};
use crate::supervisor::Message;

/// One of a process's listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerState {
    /// As in LISTEN_FDNAMES.
    pub name: String,
    /// Where it listens, with the port that the kernel chose: `tcp:127.0.0.1:8080`.
    pub address: String,
    /// Whether it is bound.
    pub bound: bool,
    /// Connections that were accepted for instances since it was bound; only with one instance a connection.
    pub accepted: Option<u64>,
}

/// A listener that is bound.
pub(super) struct Bound {
    /// Its number among those that the anchor holds for the process.
    slot: u8,
    pub listener: Listener,
    pub fd: Arc<OwnedFd>,
    file: Option<OwnFile>,
    pub address: String,
    /// Whether a service manager passed it to this instance.
    pub passed: bool,
    watch: Option<Token>,
    /// Connections that were accepted for instances.
    pub accepted: u64,
    /// Whether a connection came since that was last asked.
    pub came: bool,
}

/// What a socket is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heed {
    /// Whatever waits is to be told.
    Waiting,
    /// The next to come is to be told.
    Coming,
}

/// Who asks for a process's listeners.
pub(crate) enum Asked {
    /// The machine, to have them watched.
    Arm(Arc<Spec>),
    /// A run that is being prepared.
    Start(RunId, Arc<Spec>),
    /// Nobody: those that a supervisor before us bound are taken up.
    Claim(Arc<Spec>),
    /// Nobody any more: what is bound by the time is kept.
    Given(Arc<Spec>),
}

impl Asked {
    fn spec(&self) -> &Arc<Spec> {
        match self {
            Asked::Arm(spec) | Asked::Start(_, spec) | Asked::Claim(spec) | Asked::Given(spec) => spec,
        }
    }
}

/// What is bound for one process.
#[derive(Default)]
pub(super) struct Listening {
    pub bound: Vec<Bound>,
    /// Whose listeners those are.
    spec: Option<Arc<Spec>>,
    /// What a supervisor before us bound, until it is looked at.
    found: Vec<Have>,
    asked: VecDeque<Asked>,
    /// Connections that were accepted, and at which listener, for a run that has not been executed so far.
    pub clients: Vec<(ListenAddress, Connection)>,
    /// The binding under way, and for whom.
    job: Option<(u64, Asked)>,
}

/// All listeners, and the connections that wait for their instances.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(super) of: HashMap<ProcessId, Listening>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) last_connection: u64,
    jobs: u64,
    /// What a service manager passed to this instance.
    passed: Vec<Arc<OwnedFd>>,
    /// Held by whoever makes or removes a path.
    paths: Arc<Mutex<()>>,
}

impl Listening {
    /// Whether a spec's listeners are bound, as far as can be told without looking at files.
    fn has_all(&self, spec: &Arc<Spec>) -> bool {
        let is_same = self.spec.as_ref().is_some_and(|of| Arc::ptr_eq(of, spec) || of.listen == spec.listen);
        is_same && self.found.is_empty() && self.bound.len() == spec.listen.len()
    }

    /// Whether that is beyond doubt: a path may be another's by now, and a program may have shut its listener down.
    fn is_prompt(&self, spec: &Arc<Spec>) -> bool {
        self.has_all(spec) && self.bound.iter().all(|bound| bound.file.is_none() && over::listens(bound))
    }

    /// Takes out what must be gone before a spec's listeners can be bound: those that keep one of them from its address, and
    /// those that a program shut down for good.
    fn take_useless(&mut self, spec: &Spec, base: &Path, poller: &mut Poller) -> Vec<Have> {
        let is_useless = |bound: &mut Bound| !over::listens(bound) || over::is_in_the_way(bound, &spec.listen, base);
        let useless = self.bound.extract_if(.., is_useless);
        let take = |mut bound: Bound| {
            if let Some(token) = bound.watch.take() {
                poller.remove(&bound.fd, token);
            }
            bound.into_have()
        };
        useless.map(take).collect()
    }

    fn unwatch(&mut self, poller: &mut Poller) {
        for bound in &mut self.bound {
            if let Some(token) = bound.watch.take() {
                poller.remove(&bound.fd, token);
            }
        }
    }

    fn watch(&mut self, process: ProcessId, heed: Heed, poller: &mut Poller) -> std::io::Result<()> {
        for bound in &mut self.bound {
            if let Some(token) = bound.watch.take() {
                poller.remove(&bound.fd, token);
            }
            let token = match heed {
                Heed::Waiting => poller.add(&bound.fd, Source::Socket(process, bound.slot))?,
                Heed::Coming => poller.add_once(&bound.fd, Source::Coming(process, bound.slot))?,
            };
            bound.watch = Some(token);
        }
        Ok(())
    }

    /// Whether each connection is served by an instance of its own.
    pub fn accepts(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.accepts())
    }

    fn free_slot(&self) -> Option<u8> {
        let taken = |slot: &u8| {
            self.bound.iter().any(|bound| bound.slot == *slot) || self.found.iter().any(|have| have.slot == *slot)
        };
        (0..=u8::MAX).find(|slot| !taken(slot))
    }

    /// The listener with this number.
    pub fn at(&mut self, slot: u8) -> Option<&mut Bound> {
        self.bound.iter_mut().find(|bound| bound.slot == slot)
    }
}

impl Bound {
    fn have(&self) -> Have {
        Have { slot: self.slot, fd: self.fd.clone(), file: self.file.clone(), passed: self.passed }
    }

    fn into_have(self) -> Have {
        Have { slot: self.slot, fd: self.fd, file: self.file, passed: self.passed }
    }

    /// Is told no more of what waits, for now.
    pub fn pause(&self, poller: &mut Poller) {
        if self.watch.is_some() {
            poller.silence(&self.fd);
        }
    }

    /// Is told again.
    pub fn go_on(&self, poller: &mut Poller) {
        if let Some(token) = self.watch {
            poller.heed(&self.fd, token);
        }
    }
}

impl Sockets {
    /// A run of this process was executed: its program alone has the connections that it was given.
    pub(crate) fn clients_passed(&mut self, process: ProcessId) {
        if let Some(listening) = self.of.get_mut(&process) {
            listening.clients.clear();
        }
    }

    /// The connection of this number, for the run that is to serve it.
    pub(crate) fn take_connection(&mut self, connection: ConnectionId) -> Option<Connection> {
        self.connections.remove(&connection)
    }
}

impl Engine {
    /// Binds what is not bound, and watches; the machine is told when it is done.
    pub(crate) fn arm_sockets(&mut self, process: ProcessId, spec: Arc<Spec>) {
        self.ask_for_sockets(process, Asked::Arm(spec));
    }

    /// Stops watching. What is bound stays so.
    pub(crate) fn disarm_sockets(&mut self, process: ProcessId) {
        let Some(listening) = self.sockets.of.get_mut(&process) else { return };
        listening.unwatch(&mut self.poller);
        listening.asked.retain(|asked| !matches!(asked, Asked::Arm(_)));
        if let Some((_, asked @ Asked::Arm(_))) = &mut listening.job {
            *asked = Asked::Given(asked.spec().clone());
        }
    }

    /// Closes a process's listeners, and removes their paths.
    pub(crate) fn close_sockets(&mut self, process: ProcessId) {
        let Some(mut listening) = self.sockets.of.remove(&process) else { return };
        listening.unwatch(&mut self.poller);
        let bound = std::mem::take(&mut listening.bound).into_iter();
        let have = bound.map(|bound| bound.into_have());
        let all: Vec<_> = have.chain(std::mem::take(&mut listening.found)).collect();
        self.close(process, all);
        // A run that waited for them was given up, or fails for want of them.
        for asked in listening.asked.into_iter().chain(listening.job.map(|(_, asked)| asked)) {
            if let Asked::Start(run, _) = asked {
                let message = "its listeners were closed while it was being started".into();
                let error = SpawnError { step: SpawnStep::Socket, errno: None, message };
                self.inputs.push_back(Input::PrepareFailed(run, error));
            }
        }
    }

    /// Closes sockets here and with the anchor; then nobody finds their paths any more.
    fn close(&mut self, process: ProcessId, sockets: Vec<Have>) {
        let left = self.end_sockets(process, sockets);
        self.remove_left(left);
    }

    /// Ends sockets here and with the anchor. Their paths are left.
    fn end_sockets(&mut self, process: ProcessId, sockets: Vec<Have>) -> Vec<Leftover> {
        let mut left = Vec::new();
        for have in sockets {
            over::end_listening(&have);
            if !have.passed {
                self.let_go_of(Key::listener(process, have.slot));
            }
            left.extend(Leftover::of(have));
        }
        left
    }

    fn remove_left(&mut self, left: Vec<Leftover>) {
        if left.is_empty() {
            return;
        }
        let paths = self.sockets.paths.clone();
        let job = move || {
            let _only_one = paths.lock().unwrap_or_else(PoisonError::into_inner);
            left.iter().for_each(Leftover::remove);
        };
        // Without a thread the paths stay, and are taken for stale by whoever binds them next.
        let _ = self.pool.run(job);
    }

    /// Everything is down: nobody needs a listener any more.
    pub(crate) fn close_all_sockets(&mut self) {
        self.sockets.connections.clear();
        for (_, listening) in std::mem::take(&mut self.sockets.of) {
            let bound = listening.bound.into_iter();
            let have = bound.map(|bound| bound.into_have());
            for have in have.chain(listening.found) {
                if let Some(left) = Leftover::of(have) {
                    left.remove();
                }
            }
        }
    }

    /// Has a run's listeners bound before it is prepared. Whether they are; if not, the preparation goes on once they are.
    pub(crate) fn has_sockets(&mut self, run: RunId, process: ProcessId, spec: &Arc<Spec>) -> bool {
        if spec.listen.is_empty() || spec.accepts() {
            return true;
        }
        let listening = self.sockets.of.entry(process).or_default();
        if listening.job.is_none() && listening.asked.is_empty() && listening.is_prompt(spec) {
            return true;
        }
        self.ask_for_sockets(process, Asked::Start(run, spec.clone()));
        false
    }

    fn ask_for_sockets(&mut self, process: ProcessId, asked: Asked) {
        let listening = self.sockets.of.entry(process).or_default();
        listening.asked.push_back(asked);
        self.bind_next(process);
    }

    /// Goes on with whoever asked first, while nobody else's binding is under way.
    fn bind_next(&mut self, process: ProcessId) {
        while let Some(listening) = self.sockets.of.get_mut(&process) {
            if listening.job.is_some() {
                return;
            }
            let Some(asked) = listening.asked.pop_front() else { return };
            let spec = asked.spec().clone();
            if listening.is_prompt(&spec) {
                self.have_sockets(process, asked);
                continue;
            }
            let base = self.surroundings.base.clone();
            let useless = listening.take_useless(&spec, &base, &mut self.poller);
            let left = self.end_sockets(process, useless);
            let Some(listening) = self.sockets.of.get_mut(&process) else { return };
            let bound = listening.bound.iter();
            let have = bound.map(|bound| bound.have());
            let request = Request {
                have: have.chain(listening.found.iter().cloned()).collect(),
                only_claim: matches!(asked, Asked::Claim(_)),
                base,
                paths: self.sockets.paths.clone(),
                passed: self.sockets.passed.as_slice().into(),
                spec,
            };
            self.sockets.jobs += 1;
            let (job, shared) = (self.sockets.jobs, self.shared.clone());
            listening.job = Some((job, asked));
            let work = move || {
                {
                    let _only_one = request.paths.lock().unwrap_or_else(PoisonError::into_inner);
                    left.iter().for_each(Leftover::remove);
                }
                let result = bind::bind_all(&request);
                let done = Message::Helper(HelperDone::Bound(process, job, result));
                if let Err(unheard) = shared.mailbox.post(done) {
                    let _only_one = request.paths.lock().unwrap_or_else(PoisonError::into_inner);
                    undo_binding(unheard);
                }
            };
            if let Err(error) = self.pool.run(work) {
                let error = system_error(SpawnStep::Socket, "cannot start a thread to bind its listeners", &error);
                self.sockets_bound(process, job, Err(error));
            }
        }
    }

    /// A binding is done.
    pub(crate) fn sockets_bound(&mut self, process: ProcessId, job: u64, result: Result<Vec<Found>, SpawnError>) {
        let Some(listening) = self.sockets.of.get_mut(&process).filter(|l| l.job.as_ref().is_some_and(|j| j.0 == job))
        else {
            // They were closed meanwhile.
            let unwanted = result.unwrap_or_default().into_iter();
            let have = unwanted.filter(|found| found.slot.is_none()).map(|found| Have {
                slot: 0,
                fd: found.fd,
                file: found.file,
                passed: found.passed,
            });
            let left = have.filter_map(Leftover::of).collect();
            return self.remove_left(left);
        };
        let Some((_, asked)) = listening.job.take() else { return };
        match result {
            Ok(found) => match self.take_in(process, asked.spec(), found) {
                Ok(()) => self.have_sockets(process, asked),
                Err(error) => self.have_no_sockets(process, asked, error),
            },
            Err(error) => self.have_no_sockets(process, asked, error),
        }
        self.bind_next(process);
    }

    /// Puts what was bound in the place of what was there, and closes the rest.
    fn take_in(&mut self, process: ProcessId, spec: &Arc<Spec>, found: Vec<Found>) -> Result<(), SpawnError> {
        let Some(listening) = self.sockets.of.get_mut(&process) else { return Ok(()) };
        listening.unwatch(&mut self.poller);
        let mut old = std::mem::take(&mut listening.bound);
        let mut inherited = std::mem::take(&mut listening.found);
        let mut made = Vec::new();
        for one in found {
            let Found { slot, listener, fd, file, address, passed } = one;
            let Some(slot) = slot else {
                made.push(Bound {
                    slot: 0,
                    listener,
                    fd,
                    file,
                    address,
                    passed,
                    watch: None,
                    accepted: 0,
                    came: false,
                });
                continue;
            };
            inherited.retain(|have| have.slot != slot);
            let before = old.iter().position(|bound| bound.slot == slot).map(|at| old.swap_remove(at));
            let accepted = before.map_or(0, |bound| bound.accepted);
            let watch = None;
            listening.bound.push(Bound { slot, listener, fd, file, address, passed, watch, accepted, came: false });
        }
        let mut unwanted = inherited;
        unwanted.extend(old.into_iter().map(|bound| bound.into_have()));
        // Numbers of what is closed are given again only later.
        listening.found = unwanted.clone();
        let mut overflow = false;
        for mut new in made {
            let Some(slot) = listening.free_slot() else {
                overflow = true;
                unwanted.push(Have { slot: u8::MAX, ..new.into_have() });
                continue;
            };
            new.slot = slot;
            if !new.passed {
                Engine::hold(self.kept.as_ref(), Key::listener(process, slot), &new.fd);
            }
            listening.bound.push(new);
        }
        listening.found.clear();
        listening.spec = Some(spec.clone());
        let place = |bound: &Bound| spec.listen.iter().position(|listener| listener.address == bound.listener.address);
        listening.bound.sort_by_key(place);
        self.close(process, unwanted);
        if overflow {
            let message = "a process can have at most 256 listeners".into();
            return Err(SpawnError { step: SpawnStep::Socket, errno: None, message });
        }
        Ok(())
    }

    /// Whoever asked is given what is bound.
    fn have_sockets(&mut self, process: ProcessId, asked: Asked) {
        match asked {
            Asked::Start(run, _) => self.prepare_with_sockets(run),
            Asked::Claim(_) | Asked::Given(_) => {}
            Asked::Arm(spec) => {
                let Some(listening) = self.sockets.of.get_mut(&process) else { return };
                let accepts = spec.accepts();
                let set = listening.bound.iter().try_for_each(|b| bind::set_blocking(b.fd.as_fd(), !accepts));
                match set.and_then(|()| listening.watch(process, Heed::Waiting, &mut self.poller)) {
                    Ok(()) => {
                        self.inputs.push_back(Input::Armed(process));
                        if !listening.clients.is_empty() {
                            // Somebody waits who is in no queue any more.
                            listening.unwatch(&mut self.poller);
                            self.inputs.push_back(Input::SocketReadable(process));
                        }
                    }
                    Err(error) => {
                        listening.unwatch(&mut self.poller);
                        let error = system_error(SpawnStep::Socket, "cannot watch its listeners", &error);
                        self.inputs.push_back(Input::ArmFailed(process, error));
                    }
                }
            }
        }
    }

    fn have_no_sockets(&mut self, process: ProcessId, asked: Asked, error: SpawnError) {
        match asked {
            Asked::Start(run, _) => self.inputs.push_back(Input::PrepareFailed(run, error)),
            Asked::Arm(_) => self.inputs.push_back(Input::ArmFailed(process, error)),
            Asked::Given(_) => {}
            Asked::Claim(_) => {
                let warning = format!("cannot go on with a listener of an earlier supervisor's: {}", error.message);
                self.inputs.push_back(Input::Warning(Some(process), warning));
            }
        }
    }

    /// Something waits at a listener of an armed process.
    pub(crate) fn socket_event(&mut self, process: ProcessId, slot: u8) {
        let Some(listening) = self.sockets.of.get_mut(&process) else { return };
        if listening.accepts() {
            return self.accept_connection(process, slot);
        }
        // It waits on, and would be told of again and again.
        listening.unwatch(&mut self.poller);
        self.inputs.push_back(Input::SocketReadable(process));
    }

    /// Something came for a process that runs.
    pub(crate) fn coming_event(&mut self, process: ProcessId, slot: u8) {
        if let Some(bound) = self.sockets.of.get_mut(&process).and_then(|listening| listening.at(slot)) {
            bound.came = true;
        }
    }

    /// Whether something came at a process's listeners since this was last asked; and has the next be noticed.
    pub(super) fn has_come(&mut self, process: ProcessId) -> bool {
        let Some(listening) = self.sockets.of.get_mut(&process) else { return false };
        let came = listening.bound.iter_mut().fold(false, |came, bound| std::mem::take(&mut bound.came) | came);
        // Without a watch the connections that are open still count.
        let _ = listening.watch(process, Heed::Coming, &mut self.poller);
        came
    }

    /// Takes up a listener that the anchor held, until it is known whose it is.
    pub(crate) fn inherit_listener(&mut self, process: ProcessId, slot: u8, fd: OwnedFd) {
        let fd = Arc::new(sys::high_fd(fd));
        self.sockets.of.entry(process).or_default().found.push(Have { slot, fd, file: None, passed: false });
    }

    /// Takes a socket that a service manager passed to this instance, for whichever listener has its address.
    pub(crate) fn inherit_passed(&mut self, fd: OwnedFd) {
        self.sockets.passed.push(Arc::new(sys::high_fd(fd)));
    }

    /// Goes on with the listeners that a supervisor before us bound, and closes those that nobody wants.
    pub(crate) fn claim_sockets(&mut self, live: &[LiveRun]) {
        let processes: Vec<_> = self.sockets.of.keys().copied().collect();
        for process in processes {
            let of_run = live.iter().find(|run| run.process == process).map(|run| run.spec.clone());
            match of_run.or_else(|| self.machine.spec(process)).filter(|spec| !spec.listen.is_empty()) {
                Some(spec) => self.ask_for_sockets(process, Asked::Claim(spec)),
                None => self.close_sockets(process),
            }
        }
    }

    /// A process's listeners, in the order of its spec.
    pub fn listeners(&self, process: ProcessId) -> Vec<ListenerState> {
        let Some(spec) = self.machine.spec(process) else { return Vec::new() };
        let listening = self.sockets.of.get(&process);
        let state = |listener: &Listener| {
            let is_it = |bound: &&Bound| bound.listener.address == listener.address;
            let bound = listening.and_then(|listening| listening.bound.iter().find(is_it));
            ListenerState {
                name: spec.listener_name(listener).to_owned(),
                address: bound.map_or_else(|| listener.address.to_string(), |bound| bound.address.clone()),
                bound: bound.is_some(),
                accepted: listener.accept.map(|_| bound.map_or(0, |bound| bound.accepted)),
            }
        };
        spec.listen.iter().map(state).collect()
    }
}

/// Removes the paths of listeners that were bound for an engine which is gone.
pub(crate) fn undo_binding(message: Message) {
    if let Message::Helper(HelperDone::Bound(_, _, Ok(found))) = message {
        found.into_iter().for_each(Found::undo);
    }
}

/// Where a listener that connections are counted of can be found in the kernel's tables.
pub(super) fn counted_at(bound: &Bound, base: &std::path::Path) -> Option<super::count::At> {
    use super::count::At;
    match (&bound.listener.address, bound.listener.address.place()) {
        (ListenAddress::Tcp(_), _) => bind::internet(bound.fd.as_fd()).map(At::Tcp),
        (ListenAddress::Unix(_) | ListenAddress::UnixSeqpacket(_), Ok(Place::Path(path))) => {
            Some(At::Unix(base.join(path).to_string_lossy().into_owned()))
        }
        (ListenAddress::Unix(_) | ListenAddress::UnixSeqpacket(_), Ok(Place::Abstract(name))) => {
            Some(At::Unix(format!("@{}", String::from_utf8_lossy(name))))
        }
        _ => None,
    }
}
