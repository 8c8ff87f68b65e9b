//! What handles and engine share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, ThreadId};

use tokio::sync::oneshot;

use super::error::Error;
use super::figures::Figures;
use super::pending::{Pending, Shutdown};
use crate::block::block_on;
use crate::core::{Command, CommandId, Done, Event, Input, ProcessId, Refusal, StateName, Status};
use crate::driver::{Engine, HostReport, TaskFunction, Workers};
use crate::events::Hub;
use crate::log::LineHub;
use crate::mailbox::Mailbox;
use crate::spec::Spec;

/// Who asks, in words, when that is known.
pub(crate) type Caller = Option<Arc<str>>;

/// What an engine is told by other threads.
pub(crate) enum Message {
    /// A command of a handle's.
    Command { id: CommandId, command: Command, caller: Caller, answer: Option<oneshot::Sender<Answer>> },
    /// The making of a task.
    AddTask { id: CommandId, spec: Box<Spec>, function: TaskFunction, caller: Caller, answer: oneshot::Sender<Answer> },
    /// Nobody waits for this command any more.
    Abandon(CommandId),
    /// A question, answered on the engine's thread.
    Query(Box<dyn FnOnce(&Engine) + Send>),
    /// Tell when the process is in this state.
    Wait { process: ProcessId, state: StateName, answer: oneshot::Sender<Answer> },
    /// Tell when no listener is being bound.
    WaitBound(oneshot::Sender<Answer>),
    /// End without touching a child, for a successor to go on.
    HandOver(oneshot::Sender<Answer>),
    /// Tell when the engine has ended.
    WaitEnd(oneshot::Sender<Answer>),
    /// The last handle is gone.
    Abandoned,
    /// Something that a helper found out.
    Input(Input),
    /// What a helper thread did for the engine.
    Helper(crate::driver::HelperDone),
}

/// What a pending answer may turn out to be.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Done),
    Refused(Refusal),
    Status(Box<Status>),
    Ended(Shutdown),
    /// No listener is being bound.
    Bound,
    /// Whether a successor can take over.
    HandedOver(bool),
}

/// Shared by an engine, its helpers and all handles.
pub(crate) struct Shared {
    pub mailbox: Mailbox<Message>,
    pub events: Arc<Hub<Event>>,
    pub lines: Arc<LineHub>,
    pub ended: OnceLock<Shutdown>,
    /// Whether somebody looks at what runs used that are over.
    pub measured: AtomicBool,
    /// What had been counted when the engine ended.
    pub last_figures: OnceLock<Figures>,
    pub host: Mutex<HostReport>,
    pub thread: OnceLock<ThreadId>,
    pub join: Mutex<Option<JoinHandle<()>>>,
    pub commands: AtomicU64,
    /// Whether functions cannot be kept here: a successor would know nothing of them.
    pub kept: bool,
    pub workers: Arc<Workers>,
}

impl Shared {
    /// Gives a command; its answer comes through the result.
    pub fn command<T>(
        self: &Arc<Self>,
        command: Command,
        caller: &Caller,
        read: fn(Answer) -> Option<T>,
    ) -> Pending<T> {
        let id = self.next_command();
        let (sender, receiver) = oneshot::channel();
        match self.mailbox.post(Message::Command { id, command, caller: caller.clone(), answer: Some(sender) }) {
            Ok(()) => Pending::new(receiver, read, self, Some(id)),
            Err(_) => Pending::ready(Err(Error::Ended)),
        }
    }

    /// Has a task made; its answer comes through the result.
    pub fn add_task(self: &Arc<Self>, spec: Spec, function: TaskFunction, caller: &Caller) -> Pending<ProcessId> {
        let id = self.next_command();
        let (answer, receiver) = oneshot::channel();
        let read = |answer| match answer {
            Answer::Done(Done::Created(id)) => Some(id),
            _ => None,
        };
        match self.mailbox.post(Message::AddTask { id, spec: Box::new(spec), function, caller: caller.clone(), answer })
        {
            Ok(()) => Pending::new(receiver, read, self, Some(id)),
            Err(_) => Pending::ready(Err(Error::Ended)),
        }
    }

    /// What this host allows, as far as is known now.
    pub fn host(&self) -> MutexGuard<'_, HostReport> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other command has.
    pub fn next_command(&self) -> CommandId {
        CommandId(self.commands.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks the engine and waits for its answer.
    pub fn query<T: Send + 'static>(&self, question: impl FnOnce(&Engine) -> T + Send + 'static) -> Result<T, Error> {
        self.refuse_own_thread()?;
        let (sender, receiver) = oneshot::channel();
        let query = move |engine: &Engine| {
            let _ = sender.send(question(engine));
        };
        self.mailbox.post(Message::Query(Box::new(query))).map_err(|_| Error::Ended)?;
        block_on(receiver).map_err(|_| Error::Ended)
    }

    /// Asks the engine, for async code.
    #[cfg(feature = "grpc")]
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let query = move |engine: &Engine| {
            let _ = sender.send(question(engine));
        };
        self.mailbox.post(Message::Query(Box::new(query))).map_err(|_| Error::Ended)?;
        receiver.await.map_err(|_| Error::Ended)
    }

    /// An error when the caller is the engine's own thread, which would wait for itself.
    pub fn refuse_own_thread(&self) -> Result<(), Error> {
        if self.is_own_thread() { Err(Error::OwnThread) } else { Ok(()) }
    }

    fn is_own_thread(&self) -> bool {
        self.thread.get() == Some(&std::thread::current().id())
    }

    /// Waits for the engine's thread to be gone; at once when this is that thread.
    pub fn join(&self) {
        let thread = self.join.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && !self.is_own_thread()
        {
            let _ = thread.join();
        }
    }
}
