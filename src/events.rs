//! The hub: what happens goes in once and comes out at every reader, none of which can hold it up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::block::block_on;
use crate::core::Event;
use crate::log::Line;

/// The next item of a stream that may have fallen behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<T> {
    /// The next one.
    Item(T),
    /// This many were lost because the reader was too slow, or asked for older ones than are kept.
    Lagged(u64),
}

/// How much a hub keeps for its readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Items at most.
    pub items: usize,
    /// Weight at most, as its writer weighs them.
    pub weight: usize,
    /// Whether items are kept while nobody reads, for readers that ask for older ones.
    pub replay: bool,
}

/// A bounded, numbered buffer with any number of readers.
#[derive(Debug)]
pub(crate) struct Hub<T> {
    inner: Mutex<Inner<T>>,
    bounds: Bounds,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<(Arc<T>, usize)>,
    weight: usize,
    /// The number of the first item in the buffer; that of the next one to come when it is empty.
    first: u64,
    readers: usize,
    closed: bool,
    wakers: Vec<(u64, Waker)>,
    next_reader: u64,
    /// What readers were too slow for, all together.
    lost: u64,
}

impl<T> Hub<T> {
    /// A hub whose first item gets the number `first`.
    pub fn new(bounds: Bounds, first: u64) -> Arc<Self> {
        let inner = Inner {
            items: VecDeque::new(),
            weight: 0,
            first,
            readers: 0,
            closed: false,
            wakers: Vec::new(),
            next_reader: 0,
            lost: 0,
        };
        Arc::new(Hub { inner: Mutex::new(inner), bounds })
    }

    /// Adds items with their weights and wakes who waits. The oldest make room.
    pub fn publish(&self, items: impl IntoIterator<Item = (Arc<T>, usize)>) {
        let mut inner = self.lock();
        let keep = inner.readers > 0 || self.bounds.replay;
        for (item, weight) in items {
            inner.items.push_back((item, weight));
            inner.weight += weight;
            while !keep || inner.items.len() > self.bounds.items || inner.weight > self.bounds.weight {
                let Some((_, weight)) = inner.items.pop_front() else { break };
                inner.weight -= weight;
                inner.first += 1;
            }
        }
        wake(inner);
    }

    /// Says that nothing will follow.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        wake(inner);
    }

    /// Whether anybody reads.
    pub fn is_read(&self) -> bool {
        self.lock().readers > 0
    }

    /// How many items readers were too slow for, all readers together.
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// A reader of what comes from now on.
    pub fn subscribe(self: &Arc<Self>) -> Reader<T> {
        let mut inner = self.lock();
        let next = inner.first + inner.items.len() as u64;
        let id = inner.add_reader();
        drop(inner);
        Reader { hub: self.clone(), id, next, since: next }
    }

    /// A reader of what has this number or a later one.
    pub fn subscribe_from(self: &Arc<Self>, next: u64) -> Reader<T> {
        let mut inner = self.lock();
        let since = inner.first + inner.items.len() as u64;
        let id = inner.add_reader();
        drop(inner);
        Reader { hub: self.clone(), id, next, since }
    }

    /// The number of the oldest item that is kept; that of the next one when there is none.
    #[cfg(feature = "grpc")]
    pub fn oldest(&self) -> u64 {
        self.lock().first
    }

    /// The number of the newest item; that before the first one when there is none yet.
    #[cfg(feature = "grpc")]
    pub fn newest(&self) -> u64 {
        let inner = self.lock();
        (inner.first + inner.items.len() as u64).saturating_sub(1)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn add_reader(&mut self) -> u64 {
        self.readers += 1;
        self.next_reader += 1;
        self.next_reader
    }
}

/// Wakes outside the lock: a waker may do anything.
fn wake<T>(mut inner: MutexGuard<'_, Inner<T>>) {
    let wakers = std::mem::take(&mut inner.wakers);
    drop(inner);
    wakers.into_iter().for_each(|(_, waker)| waker.wake());
}

/// One reader's place in a hub.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    hub: Arc<Hub<T>>,
    id: u64,
    next: u64,
    /// What came before this number it cannot have been too slow for.
    since: u64,
}

impl<T> Reader<T> {
    /// The next item when it is there; else the waker is called once it may be.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next<Arc<T>>>> {
        let mut inner = self.hub.lock();
        if self.next < inner.first {
            let lost = inner.first - self.next;
            inner.lost += inner.first.saturating_sub(self.next.max(self.since));
            self.next = inner.first;
            return Poll::Ready(Some(Next::Lagged(lost)));
        }
        let place = usize::try_from(self.next - inner.first).unwrap_or(usize::MAX);
        if let Some((item, _)) = inner.items.get(place) {
            self.next += 1;
            return Poll::Ready(Some(Next::Item(item.clone())));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        match inner.wakers.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => inner.wakers.push((self.id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        inner.readers -= 1;
        inner.wakers.retain(|(id, _)| *id != self.id);
        if inner.readers == 0 && !self.hub.bounds.replay {
            inner.first += inner.items.len() as u64;
            inner.items.clear();
            inner.weight = 0;
        }
    }
}

/// Events as they happen. Falling too far behind skips some, and says how many.
///
/// ```
/// use neap::core::{EventKind, StateName};
/// use neap::{Next, Supervisor, spec::Spec};
///
/// let supervisor = Supervisor::builder().build()?;
/// let mut events = supervisor.events();
/// supervisor.add(Spec::new("hello", ["true"]).oneshot())?.start_blocking()?;
/// while let Some(Next::Item(event)) = events.next_blocking() {
///     if let EventKind::State { to: StateName::Exited, .. } = event.kind {
///         println!("{:?} is done, because it {}", event.name, event.cause);
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Events(pub(crate) Reader<Event>);

impl Events {
    /// The next event; `None` once the supervisor has ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Next<Event>> {
        poll_fn(|cx| self.0.poll_next(cx)).await.map(owned)
    }

    /// The next event, waiting on a plain thread.
    pub fn next_blocking(&mut self) -> Option<Next<Event>> {
        block_on(self.next())
    }
}

/// Lines as they are printed. Falling too far behind skips some, and says how many.
///
/// ```
/// use neap::{Next, Supervisor, spec::Spec};
///
/// let supervisor = Supervisor::builder().build()?;
/// let mut lines = supervisor.output();
/// supervisor.add(Spec::new("hello", ["echo", "hello there"]).oneshot())?.start_blocking()?;
/// if let Some(Next::Item(line)) = lines.next_blocking() {
///     assert_eq!((&*line.process, line.text.as_slice()), ("hello", b"hello there".as_slice()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lines(pub(crate) Reader<Line>);

impl Lines {
    /// The next line; `None` once the supervisor has ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Next<Line>> {
        poll_fn(|cx| self.0.poll_next(cx)).await.map(owned)
    }

    /// The next line, waiting on a plain thread.
    pub fn next_blocking(&mut self) -> Option<Next<Line>> {
        block_on(self.next())
    }
}

fn owned<T: Clone>(next: Next<Arc<T>>) -> Next<T> {
    match next {
        Next::Item(item) => Next::Item(Arc::unwrap_or_clone(item)),
        Next::Lagged(lost) => Next::Lagged(lost),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::{Bounds, Hub, Next, Reader};

    fn next(reader: &mut Reader<u32>) -> Poll<Option<Next<u32>>> {
        let mut cx = Context::from_waker(Waker::noop());
        reader.poll_next(&mut cx).map(|n| n.map(super::owned))
    }

    fn put(hub: &Hub<u32>, items: &[u32]) {
        hub.publish(items.iter().map(|i| (Arc::new(*i), 1)));
    }

    #[test]
    fn a_reader_that_falls_behind_learns_how_many_it_lost() {
        let hub = Hub::new(Bounds { items: 2, weight: 100, replay: false }, 1);
        let mut reader = hub.subscribe();
        put(&hub, &[1, 2, 3, 4]);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Lagged(2))));
        assert_eq!(hub.lost(), 2);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(3))));
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(4))));
        assert_eq!(next(&mut reader), Poll::Pending);
        hub.close();
        assert_eq!(next(&mut reader), Poll::Ready(None));
    }

    #[test]
    fn weight_bounds_what_is_kept() {
        let hub = Hub::new(Bounds { items: 100, weight: 10, replay: true }, 1);
        hub.publish([(Arc::new(1), 6), (Arc::new(2), 6)]);
        let mut reader = hub.subscribe_from(1);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Lagged(1))));
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(2))));
        // Who asks for older ones than are kept was not too slow for them.
        assert_eq!(hub.lost(), 0);
    }

    #[test]
    fn replay_starts_at_the_number_asked_for() {
        let hub = Hub::new(Bounds { items: 100, weight: 100, replay: true }, 1);
        put(&hub, &[10, 20, 30]);
        let mut reader = hub.subscribe_from(3);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(30))));
        put(&hub, &[40]);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(40))));
    }

    #[test]
    fn without_readers_nothing_is_kept() {
        let hub = Hub::new(Bounds { items: 100, weight: 100, replay: false }, 0);
        put(&hub, &[1, 2]);
        let mut reader = hub.subscribe();
        assert_eq!(next(&mut reader), Poll::Pending);
        put(&hub, &[3]);
        assert_eq!(next(&mut reader), Poll::Ready(Some(Next::Item(3))));
        drop(reader);
        assert!(!hub.is_read());
    }
}
