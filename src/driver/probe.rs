//! Probes over the network: a connection, or an HTTP request. One thread with a small runtime asks them all.

mod exchange;
mod http;
mod names;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

#[cfg(feature = "lua")]
pub(crate) use exchange::{Io, beside_connection};
use names::Names;

use super::engine::HelperDone;
use crate::core::{ProbeKind, RunId};
use crate::spec::HttpProbe;
use crate::spec::units::format_duration;

/// The timeout of a probe is counted in so many parts, each from when the end of the one before it was noticed. So the time
/// in which this program did not get to run, on a host under load or while it was stopped, counts for one part at most, and
/// an answer that came meanwhile is seen.
pub(super) const PARTS: u32 = 8;

/// What can be asked over the network.
#[derive(Clone, Debug)]
pub(crate) enum NetProbe {
    Tcp { host: String, port: u16 },
    Http(HttpProbe),
}

/// One probe of a run in flight.
type Key = (RunId, ProbeKind);

enum Order {
    Start { key: Key, probe: NetProbe, timeout: Duration },
    Stop(Key),
    Done(Key),
}

/// The probe thread, started when the first probe is.
pub(crate) struct Probes {
    tell: Arc<dyn Fn(HelperDone) + Send + Sync>,
    orders: Option<mpsc::UnboundedSender<Order>>,
}

impl Probes {
    /// Nothing runs yet. `tell` gets the answers, on the probe thread.
    pub fn new(tell: Arc<dyn Fn(HelperDone) + Send + Sync>) -> Self {
        Probes { tell, orders: None }
    }

    /// Asks once; a probe of the same run and kind that is still in flight is dropped. An answer always comes, by the
    /// timeout at the latest, unless [`stop`](Probes::stop) comes first.
    pub fn start(&mut self, run: RunId, kind: ProbeKind, probe: NetProbe, timeout: Duration) -> io::Result<()> {
        let orders = match &self.orders {
            Some(orders) => orders,
            None => self.orders.insert(spawn(self.tell.clone())?),
        };
        orders
            .send(Order::Start { key: (run, kind), probe, timeout })
            .map_err(|_| io::Error::other("the probe thread has ended"))
    }

    /// Drops the probe in flight, if there is one.
    pub fn stop(&self, run: RunId, kind: ProbeKind) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Stop((run, kind)));
        }
    }
}

fn spawn(tell: Arc<dyn Fn(HelperDone) + Send + Sync>) -> io::Result<mpsc::UnboundedSender<Order>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let own = sender.downgrade();
    std::thread::Builder::new().name("neap-probe".into()).spawn(move || {
        runtime.block_on(serve(receiver, own, tell));
        // A name lookup that hangs keeps nobody.
        runtime.shutdown_background();
    })?;
    Ok(sender)
}

async fn serve(
    mut orders: mpsc::UnboundedReceiver<Order>,
    own: mpsc::WeakUnboundedSender<Order>,
    tell: Arc<dyn Fn(HelperDone) + Send + Sync>,
) {
    let mut flying: HashMap<Key, AbortHandle> = HashMap::new();
    let names = Names::default();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Start { key, probe, timeout } => {
                let (tell, own, names) = (tell.clone(), own.clone(), names.clone());
                let task = tokio::spawn(async move {
                    let begun = Instant::now();
                    let result = ask(&names, &probe, timeout).await;
                    tell(HelperDone::Probed(key.0, key.1, result, begun.elapsed()));
                    if let Some(own) = own.upgrade() {
                        let _ = own.send(Order::Done(key));
                    }
                });
                if let Some(old) = flying.insert(key, task.abort_handle()) {
                    old.abort();
                }
            }
            Order::Stop(key) => {
                if let Some(task) = flying.remove(&key) {
                    task.abort();
                }
            }
            Order::Done(key) => {
                if flying.get(&key).is_some_and(AbortHandle::is_finished) {
                    flying.remove(&key);
                }
            }
        }
    }
}

/// Asks once, within this time.
async fn ask(names: &Names, probe: &NetProbe, timeout: Duration) -> Result<(), String> {
    let asked = async {
        match probe {
            NetProbe::Tcp { host, port } => http::connect(names, host, *port).await.map(drop),
            NetProbe::Http(http) => http::request(names, http).await,
        }
    };
    let no_answer = || Err(format!("no answer within {}", format_duration(timeout)));
    within(timeout, asked).await.unwrap_or_else(no_answer)
}

/// What comes of it within this time, counted in [`PARTS`].
async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..PARTS {
        if let Ok(done) = tokio::time::timeout(timeout / PARTS, work.as_mut()).await {
            return Some(done);
        }
    }
    None
}
