//! Names of hosts. A lookup cannot be called off, so one that hangs is waited for by all who ask for the same name.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

type Found = Result<Vec<IpAddr>, String>;

/// Lookups on their way, each with who waits for it.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Found>>>>>);

impl Names {
    /// The addresses of a host.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = match self.asked(host).await {
            Ok(found) => found?,
            Err(_) => return Err(format!("cannot look up `{host}`: the lookup was given up")),
        };
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Asks for a name, unless somebody does already.
    fn asked(&self, host: &str) -> oneshot::Receiver<Found> {
        let (answer, found) = oneshot::channel();
        let mut flying = self.lock();
        if let Some(waiting) = flying.get_mut(host) {
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.push(answer);
            return found;
        }
        flying.insert(host.to_owned(), vec![answer]);
        drop(flying);
        let (names, host) = (self.clone(), host.to_owned());
        // By itself: it goes on when the probe that began it is over.
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found: Found = found
                .map(|addresses| addresses.map(|address| address.ip()).collect())
                .map_err(|error| format!("cannot look up `{host}`: {error}"));
            for waiter in names.lock().remove(&host).into_iter().flatten() {
                let _ = waiter.send(found.clone());
            }
        });
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lookups are on their way.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.lock().len()
    }
}
