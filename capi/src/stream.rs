//! Streams: a queue between the library's threads and C, with a descriptor that says that something waits.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use supervisor::rpc::Way;
use tokio::sync::{Notify, watch};
use tonic::Streaming;

use crate::failure::Failure;
use crate::ffi::{NEAP_ERROR_BAD_HANDLE, NEAP_ERROR_FAILED, NEAP_ERROR_REFUSED};
use crate::instance::{Instance, Work};
use crate::threads::{runs_callbacks, without_signals};
use crate::wait::{Patience, Token};

/// So many items may wait for their reader before they wait with the supervisor, which keeps some thousands, and says how
/// many are missing when those were not enough.
const ROOM: usize = 1024;

/// Events, or lines, on their way: each is JSON.
pub(crate) struct Stream {
    queue: Mutex<Queue>,
    /// Told when anything of the queue has changed.
    changed: Notify,
    /// Readable while there is something to be told.
    reader: UnixStream,
    writer: UnixStream,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<String>,
    /// Nothing more will come; and why, if it should have.
    over: Option<Option<Failure>>,
    /// Closed by its reader.
    closed: bool,
    /// Read by callbacks.
    called: bool,
    /// The descriptor is readable.
    readable: bool,
}

/// What a reader gets.
pub(crate) enum Next {
    Item(String),
    Over,
}

/// What a message of the service comes to.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) lines: Vec<String>,
    /// Nothing more can come.
    pub(crate) over: bool,
}

/// Called for each item, and in the end with nothing.
pub(crate) type Callback = Box<dyn FnMut(Option<&CString>) + Send>;

impl Stream {
    /// A stream of what the service answers to this, each message taken apart by `items`.
    pub(crate) fn open<M: Send + 'static>(
        instance: &Instance,
        cancel: Option<Arc<Token>>,
        ask: impl FnOnce(Way) -> Work<Streaming<M>> + Send + 'static,
        items: fn(M) -> Items,
    ) -> Result<Arc<Stream>, Failure> {
        let pair = UnixStream::pair().and_then(|(reader, writer)| {
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok((reader, writer))
        });
        let (reader, writer) = pair.map_err(|error| {
            Failure::new(NEAP_ERROR_FAILED, format!("cannot make a descriptor for the stream: {error}"))
        })?;
        let incoming = instance.call(&Patience::of(-1, cancel).within(instance.patience()), ask)?;
        let (changed, thread) = (Notify::new(), Mutex::default());
        let stream = Arc::new(Stream { queue: Mutex::default(), changed, reader, writer, thread });
        let feed = feed(Feeding(Arc::clone(&stream)), incoming, items, instance.over());
        instance.feed(&stream, feed);
        Ok(stream)
    }

    /// The next item, when there is one.
    pub(crate) fn next(&self, patience: &Patience) -> Result<Next, Failure> {
        let take = |queue: &mut Queue| match queue.called {
            true => Some(Err(taken())),
            false => queue.take(),
        };
        patience.wait(self.until(take))?
    }

    /// Has a thread of the library call this for each item.
    pub(crate) fn call(self: &Arc<Self>, mut callback: Callback) -> Result<(), Failure> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = self.lock();
        if queue.called {
            return Err(Failure::new(NEAP_ERROR_REFUSED, "its items go to a callback already"));
        }
        if queue.closed {
            return Err(closed());
        }
        queue.called = true;
        drop(queue);
        // Those that wait have nothing to wait for any more.
        self.changed.notify_waiters();
        let stream = Arc::clone(self);
        let body = move || {
            runs_callbacks();
            loop {
                match Patience::default().wait(stream.until(Queue::take)) {
                    Ok(Ok(Next::Item(item))) => callback(Some(&CString::new(item).unwrap_or_default())),
                    // Whoever closes it knows.
                    Ok(Err(failure)) if failure.code == NEAP_ERROR_BAD_HANDLE => return,
                    _ => return callback(None),
                }
            }
        };
        let made = without_signals(|| std::thread::Builder::new().name("neap-stream".into()).spawn(body));
        match made {
            Ok(made) => {
                *thread = Some(made);
                Ok(())
            }
            Err(error) => {
                self.lock().called = false;
                Err(Failure::new(NEAP_ERROR_FAILED, format!("cannot make a thread for the callback: {error}")))
            }
        }
    }

    /// Readable while an item waits or the stream is over.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Ends waits for it, and waits for a callback that runs.
    pub(crate) fn close(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.items.clear();
        });
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A callback does not panic: it is C.
            let _ = thread.join();
        }
    }

    /// Answers once nothing more will come.
    pub(crate) async fn is_over(&self) {
        self.until(|queue| (queue.over.is_some() || queue.closed).then_some(())).await;
    }

    /// Looks at the queue until it has what is looked for.
    async fn until<T>(&self, mut look: impl FnMut(&mut Queue) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = self.change_if(&mut look) {
                return found;
            }
            changed.await;
        }
    }

    fn change_if<T>(&self, look: impl FnOnce(&mut Queue) -> Option<T>) -> Option<T> {
        let mut queue = self.lock();
        let found = look(&mut queue)?;
        self.show(&mut queue);
        drop(queue);
        self.changed.notify_waiters();
        Some(found)
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        self.change_if(|queue| {
            change(queue);
            Some(())
        });
    }

    /// Has the descriptor say what is so. One byte is in it or none, so that neither end ever has to wait.
    fn show(&self, queue: &mut Queue) {
        let wanted = !queue.items.is_empty() || queue.over.is_some() || queue.closed;
        if wanted == queue.readable {
            return;
        }
        queue.readable = wanted;
        let _ = match wanted {
            true => (&self.writer).write(&[1]),
            false => (&self.reader).read(&mut [0]),
        };
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take(&mut self) -> Option<Result<Next, Failure>> {
        if self.closed {
            return Some(Err(closed()));
        }
        if let Some(item) = self.items.pop_front() {
            return Some(Ok(Next::Item(item)));
        }
        match &self.over {
            Some(None) => Some(Ok(Next::Over)),
            Some(Some(failure)) => Some(Err(failure.clone())),
            None => None,
        }
    }
}

fn taken() -> Failure {
    Failure::new(NEAP_ERROR_REFUSED, "its items go to a callback: there is nothing to be read beside it")
}

fn closed() -> Failure {
    Failure::new(NEAP_ERROR_BAD_HANDLE, "this neap_stream_t was closed")
}

/// Whatever becomes of who feeds it: in the end it is over.
struct Feeding(Arc<Stream>);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.change(|queue| {
            queue.over.get_or_insert(None);
        });
    }
}

/// Brings what comes to the queue, as fast as it is taken from there, until nobody wants it.
async fn feed<M>(stream: Feeding, mut incoming: Streaming<M>, items: fn(M) -> Items, mut over: watch::Receiver<bool>) {
    let queue = &stream.0;
    let bring = async {
        loop {
            let items = match incoming.message().await {
                Ok(Some(message)) => items(message),
                Ok(None) => return,
                Err(status) => return queue.change(|queue| queue.over = Some(Some(status.into()))),
            };
            for line in items.lines {
                // Who frees the supervisor wants to see its end: that much finds room.
                tokio::select! {
                    () = queue.until(|queue| (queue.items.len() < ROOM).then_some(())) => {}
                    _ = over.wait_for(|over| *over) => {}
                }
                queue.change(|queue| queue.items.push_back(line));
            }
            if items.over {
                return;
            }
        }
    };
    tokio::select! {
        () = bring => {}
        () = queue.until(|queue| queue.closed.then_some(())) => {}
    }
}
