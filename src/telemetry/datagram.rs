//! Figures as lines of DogStatsD, and lines as datagrams.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use super::snapshot::{Process, Snapshot};
use super::table::{Kind, Metric, Read, Value, table};
use crate::core::{Event, EventKind, HealthStatus, StateName};
use crate::driver::Times;

/// Bytes of an event's text, beyond which nobody reads.
const MOST_TEXT: usize = 1000;

/// Which count: the row of the table, the process, and what other labels say.
pub(super) type Key = (usize, u64, String);

/// How far a count was told.
#[derive(Clone, Debug)]
pub(super) enum Mark {
    Whole(u64),
    Number(f64),
    Times(Box<Times>),
}

/// What is told once a line is sent.
#[derive(Debug)]
pub(super) enum Told {
    /// A count, so far.
    Count(Key, Mark),
    /// The oldest event that waits.
    Event,
}

/// One line, and what is told once it is sent.
#[derive(Debug)]
pub(super) struct Line {
    pub text: String,
    pub told: Option<Told>,
}

/// What all lines have in common.
pub(super) struct Common {
    prefix: String,
    /// `,instance:x,env:prod`, to be put behind the tags of a line's own.
    tags: String,
}

impl Common {
    pub fn new(prefix: &str, instance: &str, tags: &[String]) -> Common {
        let instance = Some(instance).filter(|name| !name.is_empty()).map(|name| format!("instance:{name}"));
        let all = instance.iter().chain(tags).map(|tag| format!(",{}", clean(tag)));
        Common { prefix: prefix.to_owned(), tags: all.collect() }
    }

    /// `|#process:web,instance:x`, or nothing.
    fn tagged(&self, own: &str) -> String {
        match format!("{own}{}", self.tags).trim_start_matches(',') {
            "" => String::new(),
            tags => format!("|#{tags}"),
        }
    }

    /// All that a snapshot has to say beyond what was told already.
    pub fn lines(&self, snapshot: &Snapshot, told: &HashMap<Key, Mark>) -> Vec<Line> {
        let mut lines = Vec::new();
        for (row, metric) in table().iter().enumerate() {
            let Some(name) = metric.dogstatsd else { continue };
            let name = format!("{}{name}", self.prefix);
            match metric.read {
                Read::Whole(read) => read(snapshot, &mut |labels, value| {
                    let own = labelled("", labels);
                    let key = (row, 0, own.clone());
                    self.line(&mut lines, (metric, &name), (key, &self.tagged(&own), value), told);
                }),
                Read::Process(read) => {
                    for process in &snapshot.processes {
                        let about = format!("process:{}", clean(&process.figures.name));
                        read(process, &mut |labels, value| {
                            let own = labelled("", labels);
                            let tags = self.tagged(&labelled(&about, labels));
                            let key = (row, process.figures.id.0, own);
                            self.line(&mut lines, (metric, &name), (key, &tags, value), told);
                        });
                    }
                }
            }
        }
        lines.extend(snapshot.processes.iter().map(|process| self.check(process, snapshot)));
        lines
    }

    fn line(
        &self,
        lines: &mut Vec<Line>,
        (metric, name): (&Metric, &str),
        (key, tags, value): (Key, &str, Value<'_>),
        told: &HashMap<Key, Mark>,
    ) {
        let before = told.get(&key);
        match (metric.kind, value) {
            (Kind::Info, _) | (Kind::State, Value::Whole(0)) => {}
            (Kind::Counter, Value::Whole(now)) => {
                let before = if let Some(Mark::Whole(before)) = before { *before } else { 0 };
                let more = now.saturating_sub(before);
                if more > 0 {
                    lines.push(Line {
                        text: format!("{name}:{more}|c{tags}"),
                        told: Some(Told::Count(key, Mark::Whole(now))),
                    });
                }
            }
            (Kind::Counter, Value::Number(now)) => {
                let before = if let Some(Mark::Number(before)) = before { *before } else { 0.0 };
                if now > before {
                    let text = format!("{name}:{}|c{tags}", number(now - before));
                    lines.push(Line { text, told: Some(Told::Count(key, Mark::Number(now))) });
                }
            }
            (_, Value::Whole(now)) => lines.push(Line { text: format!("{name}:{now}|g{tags}"), told: None }),
            (_, Value::Number(now)) => {
                lines.push(Line { text: format!("{name}:{}|g{tags}", number(now)), told: None });
            }
            (_, Value::Times(times)) => {
                let before = if let Some(Mark::Times(before)) = before { Some(before) } else { None };
                self.times(lines, (name, tags), (key, times), before.map(|before| &**before));
            }
        }
    }

    /// A value a bucket: its bound, for as many as were in it. All go with one mark, so they stand in one line each and the
    /// last has it; those of a datagram that is lost may be told twice, never not at all.
    fn times(
        &self,
        lines: &mut Vec<Line>,
        (name, tags): (&str, &str),
        (key, times): (Key, &Times),
        before: Option<&Times>,
    ) {
        let known: Vec<u64> =
            before.map(|before| before.buckets().map(|(_, count)| count).collect()).unwrap_or_default();
        let new = times.buckets().enumerate().map(|(place, (bound, count))| {
            (bound.unwrap_or(times.longest()), count - known.get(place).copied().unwrap_or(0).min(count))
        });
        let new: Vec<(Duration, u64)> = new.filter(|(_, count)| *count > 0).collect();
        let last = new.len();
        for (place, (bound, count)) in new.into_iter().enumerate() {
            let value = number(bound.min(times.longest()).as_secs_f64());
            let rate = if count == 1 { String::new() } else { format!("|@{}", rate(count)) };
            let told = (place + 1 == last).then(|| Told::Count(key.clone(), Mark::Times(Box::new(times.clone()))));
            lines.push(Line { text: format!("{name}:{value}|d{rate}{tags}"), told });
        }
    }

    /// A service check: whether it is up.
    fn check(&self, process: &Process, snapshot: &Snapshot) -> Line {
        use StateName::{Backoff, Crashed, Exited, Failed, Running, Starting, Stopping, Waiting};
        let figures = &process.figures;
        let status = match figures.state {
            Running if figures.health == HealthStatus::Unhealthy => 2,
            Running | Exited => 0,
            Starting | Waiting | Stopping => 1,
            Failed | Crashed | Backoff => 2,
            _ => 3,
        };
        let health = if figures.checked { format!(", {}", figures.health.as_str()) } else { String::new() };
        let at = snapshot.now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        let tags = self.tagged(&format!("process:{}", clean(&figures.name)));
        let (prefix, state) = (&self.prefix, figures.state.as_str());
        Line { text: format!("_sc|{prefix}process.up|{status}|d:{at}{tags}|m:{state}{health}"), told: None }
    }

    /// An event, where it is one that somebody should see.
    pub fn event(&self, event: &Event) -> Option<Line> {
        let name = event.name.as_deref()?;
        let (what, text, kind) = match &event.kind {
            EventKind::State { to: StateName::Failed, reason, .. } => ("failed", reason.as_str(), "error"),
            EventKind::State { to: StateName::Crashed, reason, .. } => ("crashed for good", reason.as_str(), "error"),
            EventKind::Health { to: HealthStatus::Unhealthy, reason, .. } => {
                ("is unhealthy", reason.as_str(), "warning")
            }
            EventKind::Health { from: HealthStatus::Unhealthy, to: HealthStatus::Healthy, .. } => {
                ("is healthy again", "", "success")
            }
            EventKind::Oom => ("ran out of memory", "the kernel killed a member of its tree", "error"),
            EventKind::Stuck { .. } => ("does not end", "something of it survived SIGKILL", "error"),
            _ => return None,
        };
        let title = format!("{name} {what}");
        let text = text.get(..(0..=MOST_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end))?)?;
        // Its lengths are those of the escaped texts.
        let text = if text.is_empty() { title.clone() } else { text.replace('\n', "\\n") };
        let at = event.time.0 / 1000;
        let tags = self.tagged(&format!("process:{}", clean(name)));
        let (titled, texted) = (title.len(), text.len());
        let line = format!("_e{{{titled},{texted}}}:{title}|{text}|d:{at}|k:neap-{name}|s:neap|t:{kind}{tags}");
        Some(Line { text: line, told: Some(Told::Event) })
    }
}

/// Whether an event is one that somebody should see.
pub(super) fn matters(event: &Event) -> bool {
    match &event.kind {
        EventKind::State { to, .. } => matches!(to, StateName::Failed | StateName::Crashed),
        EventKind::Health { from, to, .. } => HealthStatus::Unhealthy == *to || HealthStatus::Unhealthy == *from,
        EventKind::Oom | EventKind::Stuck { .. } => true,
        _ => false,
    }
}

/// Lines in as few datagrams as they fit in. One that fits in none is left out.
pub(super) fn packed(lines: Vec<Line>, most: usize) -> Vec<(String, Vec<Told>)> {
    let mut all: Vec<(String, Vec<Told>)> = Vec::new();
    for line in lines.into_iter().filter(|line| line.text.len() <= most) {
        match all.last_mut() {
            Some((datagram, told)) if datagram.len() + 1 + line.text.len() <= most => {
                datagram.push('\n');
                datagram.push_str(&line.text);
                told.extend(line.told);
            }
            _ => all.push((line.text, line.told.into_iter().collect())),
        }
    }
    all
}

fn labelled(about: &str, labels: &[(&'static str, &str)]) -> String {
    let mut tags = about.to_owned();
    for (key, value) in labels {
        // Memory takes all that is written.
        let _ = write!(tags, "{}{key}:{}", if tags.is_empty() { "" } else { "," }, clean(value));
    }
    tags
}

/// A tag without what would end it.
fn clean(tag: &str) -> String {
    tag.chars()
        .map(|c| if matches!(c, ',' | '|' | '#') || c.is_control() || c.is_whitespace() { '_' } else { c })
        .collect()
}

/// No exponent, and no more digits than mean something.
fn number(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The sample rate that stands for so many: an agent takes its inverse and cuts that off, so it must not be below.
#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn rate(count: u64) -> f64 {
    1.0 / (count as f64 + 1e-6)
}
