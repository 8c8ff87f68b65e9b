//! The way out of a session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::answer::Item;

/// Items that wait for a client.
const AHEAD: usize = 64;

/// The longest text that is printed at once.
const LONGEST: usize = 64 * 1024;

/// Where what a session says goes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Inner>);

/// One that does not keep the items coming.
#[derive(Clone)]
pub(super) struct WeakOutlet(Weak<Inner>);

impl WeakOutlet {
    pub(super) fn upgrade(&self) -> Option<Outlet> {
        self.0.upgrade().map(Outlet)
    }
}

struct Inner {
    items: mpsc::Sender<Item>,
    /// The line that runs.
    line: AtomicU64,
    /// Printed lines of it for which there was no room.
    lost: AtomicU64,
}

impl Outlet {
    pub(super) fn new() -> (Outlet, mpsc::Receiver<Item>) {
        let (items, receiver) = mpsc::channel(AHEAD);
        (Outlet(Arc::new(Inner { items, line: AtomicU64::new(0), lost: AtomicU64::new(0) })), receiver)
    }

    pub(super) fn downgrade(&self) -> WeakOutlet {
        WeakOutlet(Arc::downgrade(&self.0))
    }

    /// What is printed from here on is this line's.
    pub(super) fn begin(&self, line: u64) {
        self.0.line.store(line, Ordering::Relaxed);
        self.0.lost.store(0, Ordering::Relaxed);
    }

    /// Prints a line, if there is room for it. Where nobody listens any more, there is.
    pub(super) fn try_print(&self, line: &str) -> bool {
        let mut end = line.len().min(LONGEST);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let text = format!("{}\n", &line[..end]);
        let item = Item::Print { id: self.0.line.load(Ordering::Relaxed), text };
        !matches!(self.0.items.try_send(item), Err(TrySendError::Full(_)))
    }

    /// Prints a line; where there is no room for it, it is counted.
    pub(super) fn print(&self, line: &str) {
        if !self.try_print(line) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until there is room, or nobody listens any more.
    pub(super) async fn room(&self) {
        let _ = self.0.items.reserve().await;
    }

    /// Says something, as soon as there is room.
    pub(super) async fn say(&self, item: Item) {
        let _nobody_listens = self.0.items.send(item).await;
    }

    /// Says what the line came to, after all that it printed.
    pub(super) async fn answer(&self, item: Item) {
        let lost = self.0.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let text = format!("({lost} lines were printed faster than they were read, and are lost)\n");
            self.say(Item::Print { id: self.0.line.load(Ordering::Relaxed), text }).await;
        }
        self.say(item).await;
    }
}
