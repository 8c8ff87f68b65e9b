//! What the engine keeps of a process over its runs: its output, its notify socket, its prepared launch, its pid file.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use regex::bytes::Regex;

use super::engine::Engine;
use super::notify::NotifySocket;
use super::pidfile::PidFile;
use super::prepare::{Prepared, Sink, Surroundings, log_place};
use super::sources::{Source, Token};
use super::spawn::Launch;
use crate::anchor::Key;
use crate::core::{Input, ProcessId, RunId};
use crate::log::{LogFile, LogPlace, ProcessLog, StreamKind};
use crate::spec::Spec;

/// What a prepared launch has that runs share.
pub(super) struct Block {
    pub launch: Launch,
    pub stdout: Sink,
    pub stderr: Sink,
    pub ready_line: Option<Regex>,
}

/// What is kept of a process over its runs.
pub(super) struct Place {
    pub name: Arc<str>,
    pub log: ProcessLog,
    /// Its notify socket, once it needed one.
    pub notify: Option<(NotifySocket, Token)>,
    /// Whether descriptors that came over it are being closed; it is not read meanwhile.
    pub closing: bool,
    /// The run that notifications are for.
    pub run: Option<RunId>,
    /// The launch of a spec that needs no preparing beyond the first time.
    pub cached: Option<(Arc<Spec>, Arc<Block>)>,
    pub pidfile: Option<PidFile>,
    pub log_file: Option<LogPlace>,
    /// Who may open the pipes of its output.
    owner: Option<(u32, u32)>,
    /// Who may send to its notify socket.
    notify_owner: Option<(u32, u32)>,
    /// What was said of limits that nobody sees to.
    pub unlimited: String,
}

impl Place {
    /// The block for a run of this spec, when one is at hand.
    pub fn cached(&self, spec: &Arc<Spec>) -> Option<Arc<Block>> {
        let (of, block) = self.cached.as_ref()?;
        Arc::ptr_eq(of, spec).then(|| block.clone())
    }

    /// Whether the log file that this spec names is yet to be opened.
    pub fn needs_log_file(&self, spec: &Spec, surroundings: &Surroundings) -> bool {
        let place = log_place(spec, surroundings);
        place.is_some() && self.log_file != place
    }

    /// Where its notify socket is to be.
    pub fn notify_name(process: ProcessId) -> String {
        format!("{}", process.0)
    }
}

impl Engine {
    /// What is kept of a process, made when this is its first run.
    pub(super) fn place(&mut self, process: ProcessId, spec: &Spec) -> &mut Place {
        let ring = usize::try_from(spec.log.ring).unwrap_or(usize::MAX);
        self.places.entry(process).or_insert_with(|| {
            let name: Arc<str> = spec.name.as_str().into();
            Place {
                log: self.logs.open(name.clone(), ring),
                name,
                notify: None,
                closing: false,
                run: None,
                cached: None,
                pidfile: None,
                log_file: None,
                owner: None,
                notify_owner: None,
                unlimited: String::new(),
            }
        })
    }

    /// Whose pipes and log file a process prints into: an instance, into those of the process that it is one of.
    pub(super) fn log_of(&self, process: ProcessId, spec: &Arc<Spec>) -> (ProcessId, Arc<Spec>) {
        let of = self.machine.instance_of(process).and_then(|of| Some((of, self.machine.spec(of)?)));
        of.unwrap_or_else(|| (process, spec.clone()))
    }

    /// The spec whose log file is yet to be opened for a process to print into.
    pub(super) fn log_to_open(&mut self, process: ProcessId, spec: &Arc<Spec>) -> Option<Arc<Spec>> {
        let surroundings = self.surroundings.clone();
        let (of, spec) = self.log_of(process, spec);
        self.place(of, &spec).needs_log_file(&spec, &surroundings).then_some(spec)
    }

    /// Takes what a preparation for a run opened into the process's place, and returns the rest.
    pub(super) fn settle_in(
        &mut self,
        process: ProcessId,
        spec: &Arc<Spec>,
        prepared: Prepared,
    ) -> std::io::Result<Block> {
        let Prepared { launch, stdout, stderr, owner, log_file, notify, ready_line, warnings } = prepared;
        self.inputs.extend(warnings.into_iter().map(|text| Input::Warning(Some(process), text)));
        let surroundings = self.surroundings.clone();
        self.settle_log(process, spec, log_file)?;
        let (log_of, _) = self.log_of(process, spec);
        if let Some(place) = self.places.get_mut(&log_of) {
            place.owner = owner;
        }
        self.place(process, spec);
        let Some(place) = self.places.get_mut(&process) else { return Err(std::io::ErrorKind::NotFound.into()) };
        if let Some(socket) = notify {
            if let Some((old, token)) = place.notify.take() {
                self.poller.remove(&old, token);
                // The path is the new one's already.
                old.keep_path();
            }
            Engine::hold(self.kept.as_ref(), Key::notify(process), &socket);
            let token = self.poller.add(&socket, Source::Notify(process))?;
            place.notify = Some((socket, token));
            place.closing = false;
        }
        if place.notify_owner != owner {
            place.notify_owner = owner;
            if let Some((socket, _)) = &place.notify {
                socket.give_to(owner)?;
            }
        }
        let pidfile = spec.pidfile.as_ref().map(|path| surroundings.base.join(path));
        if place.pidfile.as_ref().map(PidFile::path) != pidfile.as_deref() {
            place.pidfile = pidfile.map(PidFile::new);
        }
        Ok(Block { launch, stdout, stderr, ready_line })
    }

    /// Has the lines of a process go to the file that was opened for them.
    fn settle_log(&mut self, process: ProcessId, spec: &Arc<Spec>, file: Option<LogFile>) -> std::io::Result<()> {
        let surroundings = self.surroundings.clone();
        let (of, spec) = self.log_of(process, spec);
        self.place(of, &spec);
        let Some(place) = self.places.get_mut(&of) else { return Err(std::io::ErrorKind::NotFound.into()) };
        place.log.resize(usize::try_from(spec.log.ring).unwrap_or(usize::MAX));
        let is_new = place.needs_log_file(&spec, &surroundings);
        match file {
            // Another instance, prepared at the same time, may have opened it.
            Some(file) if of == process || is_new => {
                let kept = self.kept.as_ref();
                place.log.set_file(Some(file), |fd| Engine::hold(kept, Key::staged(of), fd))?;
                place.log_file = log_place(&spec, &surroundings);
            }
            None if log_place(&spec, &surroundings).is_none() && place.log_file.take().is_some() => {
                place.log.set_file(None, |_| ())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets a process that was deleted.
    pub(super) fn forget_place(&mut self, process: ProcessId) {
        if let Some(place) = self.places.remove(&process)
            && let Some((socket, token)) = place.notify
        {
            self.poller.remove(&socket, token);
        }
        self.let_go(process);
        self.close_sockets(process);
        self.forget_task(process);
    }
}

impl Place {
    /// The writing end of a stream's pipe, as the process's user may open it.
    pub fn writer(&mut self, stream: StreamKind, hold: impl FnOnce(BorrowedFd<'_>)) -> std::io::Result<Arc<OwnedFd>> {
        self.log.writer(stream, self.owner, hold)
    }

    /// The pid file's path, for messages.
    pub fn pidfile_path(&self) -> Option<PathBuf> {
        self.pidfile.as_ref().map(|file| file.path().to_owned())
    }
}
