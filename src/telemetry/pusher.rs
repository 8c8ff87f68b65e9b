//! Datagrams every few seconds, and once more at the end.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::address::AgentAddress;
use super::agent::Agent;
use super::datagram::{Common, Key, Line, Mark, Told, matters, packed};
use super::snapshot::Telemetry;
use crate::Next;
use crate::core::Event;

/// How long an agent that does not keep up is waited for, of all that is sent together.
const PATIENCE: Duration = Duration::from_secs(1);
/// Events that wait for an agent. One more pushes out the oldest: whoever fails so often is seen in the counts.
const MOST_EVENTS: usize = 100;

/// An agent that is sent datagrams, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DogStatsd {
    /// Where it is.
    pub address: AgentAddress,
    /// Tags of everything: `env:prod`.
    pub tags: Vec<String>,
    /// How often.
    pub interval: Duration,
    /// Before every name.
    pub prefix: String,
}

impl DogStatsd {
    /// How often, unless somebody says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// Before every name, unless somebody says otherwise.
    pub const PREFIX: &str = "neap.";

    /// The agent at this address; every ten seconds, with names that begin with `neap.`.
    pub fn new(address: AgentAddress) -> DogStatsd {
        DogStatsd { address, tags: Vec::new(), interval: DogStatsd::INTERVAL, prefix: DogStatsd::PREFIX.to_owned() }
    }

    /// With these tags on everything.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> DogStatsd {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// This often; no more than ten times a second.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> DogStatsd {
        self.interval = interval.max(Duration::from_millis(100));
        self
    }

    /// With this before every name.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> DogStatsd {
        self.prefix = prefix.into();
        self
    }
}

enum Wake {
    Tick,
    Event(Arc<Event>),
    /// Events were lost: they are in the counts.
    Lagged,
    End,
}

/// Sends until the supervisor ends, or whoever has it sent no longer wants that; then once more.
pub(super) async fn push(telemetry: Telemetry, settings: DogStatsd, mut end: watch::Receiver<bool>) {
    let mut pusher = Pusher {
        agent: Agent::new(settings.address.clone()),
        told: HashMap::new(),
        waiting: VecDeque::new(),
        telemetry,
        settings,
    };
    let mut events = pusher.telemetry.shared().events.subscribe();
    let mut ticks = interval(pusher.settings.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending = pin!(end.wait_for(|end| *end));
    loop {
        let wake = poll_fn(|cx| {
            if ending.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::End);
            }
            if let Poll::Ready(next) = events.poll_next(cx) {
                return Poll::Ready(match next {
                    Some(Next::Item(event)) => Wake::Event(event),
                    Some(Next::Lagged(_)) => Wake::Lagged,
                    None => Wake::End,
                });
            }
            ticks.poll_tick(cx).map(|_| Wake::Tick)
        });
        match wake.await {
            Wake::Tick => pusher.send().await,
            Wake::Event(event) => pusher.hear(&event),
            Wake::Lagged => {}
            Wake::End => {
                pusher.send().await;
                return pusher.leave_out(pusher.waiting.len());
            }
        }
    }
}

struct Pusher {
    telemetry: Telemetry,
    settings: DogStatsd,
    agent: Agent,
    /// How far counts were told.
    told: HashMap<Key, Mark>,
    /// Events that no datagram took yet, the oldest first.
    waiting: VecDeque<Arc<Event>>,
}

impl Pusher {
    fn hear(&mut self, event: &Arc<Event>) {
        if !matters(event) {
            return;
        }
        if self.waiting.len() >= MOST_EVENTS {
            self.waiting.pop_front();
            self.leave_out(1);
        }
        self.waiting.push_back(event.clone());
    }

    fn leave_out(&self, events: usize) {
        self.telemetry.own().events_dropped.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// The lines of the events that wait, in their order. One that no datagram has room for waits in vain.
    fn events(&mut self, common: &Common) -> Vec<Line> {
        let (mut lines, most, before) = (Vec::new(), self.agent.most(), self.waiting.len());
        self.waiting.retain(|event| {
            let line = common.event(event).filter(|line| line.text.len() <= most);
            line.map(|line| lines.push(line)).is_some()
        });
        self.leave_out(before - self.waiting.len());
        lines
    }

    async fn send(&mut self) {
        let asked = self.telemetry.clone();
        let snapshot = tokio::task::spawn_blocking(move || asked.snapshot()).await;
        // Of an engine that ended as it should not there is nothing to tell.
        let Ok(Ok(snapshot)) = snapshot else { return };
        let DogStatsd { prefix, tags, .. } = &self.settings;
        let common = Common::new(prefix, &snapshot.about.instance, tags);
        let mut lines = self.events(&common);
        lines.append(&mut common.lines(&snapshot, &self.told));
        let there: BTreeSet<u64> = snapshot.processes.iter().map(|process| process.figures.id.0).collect();
        self.told.retain(|(_, process, _), _| *process == 0 || there.contains(process));
        self.agent.reach().await;
        let until = Instant::now() + PATIENCE;
        let most = self.agent.most();
        for _ in lines.iter().filter(|line| line.text.len() > most) {
            self.telemetry.own().dropped.fetch_add(1, Ordering::Relaxed);
        }
        let mut lost = false;
        for (datagram, told) in packed(lines, most) {
            // A mark stands behind the lines that it is of: after a datagram that was lost, none may be moved.
            if !lost && self.agent.send(datagram.as_bytes(), until).await {
                self.telemetry.own().sent.fetch_add(1, Ordering::Relaxed);
                told.into_iter().for_each(|told| self.tell(told));
            } else {
                lost = true;
                self.telemetry.own().dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn tell(&mut self, told: Told) {
        match told {
            Told::Count(key, mark) => drop(self.told.insert(key, mark)),
            Told::Event => drop(self.waiting.pop_front()),
        }
    }
}
