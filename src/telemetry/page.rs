//! The page: OpenMetrics text, or the older one of Prometheus.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::snapshot::Snapshot;
use super::table::{Kind, Metric, Read, Value, table};
use crate::driver::Times;

/// How a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4, for who asks for nothing newer.
    Prometheus,
}

impl Format {
    /// What an answer in it says it is.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The one that is meant by an `Accept` header: OpenMetrics, unless it likes plain text better.
    pub fn accepted(header: &str) -> Format {
        let header = header.to_ascii_lowercase();
        let liking = |of: &[&str]| of.iter().find_map(|kind| quality(&header, kind));
        let newer = liking(&["application/openmetrics-text", "application/*", "*/*"]);
        let older = liking(&["text/plain", "text/*", "*/*"]);
        match (newer, older) {
            (Some(newer), None) if newer <= 0.0 => Format::Prometheus,
            (newer, Some(older)) if older > newer.unwrap_or_default() => Format::Prometheus,
            _ => Format::OpenMetrics,
        }
    }
}

/// How much a header likes this kind, the most that it says of it; nothing where it does not name it.
fn quality(header: &str, kind: &str) -> Option<f64> {
    let ranges = header.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next() == Some(kind);
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        named.then_some(quality.unwrap_or(1.0))
    });
    ranges.max_by(f64::total_cmp)
}

/// No exemplars, whose labels these would be.
type NoLabels = [(&'static str, &'static str); 0];

/// Writes the page.
pub(super) fn write(snapshot: Snapshot, format: Format) -> String {
    let mut registry = Registry::with_prefix("neap");
    let room = 4096 + snapshot.processes.len() * 3072;
    registry.register_collector(Box::new(Page(snapshot)));
    let mut text = String::with_capacity(room);
    // Memory takes all that is written.
    let _ = encode(&mut text, &registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => older(&text),
    }
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in table() {
            let unit = metric.unit.map(|unit| match unit {
                "seconds" => Unit::Seconds,
                "bytes" => Unit::Bytes,
                other => Unit::Other(other.to_owned()),
            });
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge | Kind::State => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let family = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
            self.samples(metric, family)?;
        }
        Ok(())
    }
}

impl Page {
    fn samples(&self, metric: &Metric, mut family: MetricEncoder<'_>) -> fmt::Result {
        let mut result = Ok(());
        match metric.read {
            Read::Whole(read) => read(&self.0, &mut |labels, value| {
                if result.is_ok() {
                    result = sample(metric.kind, &mut family, labels, value);
                }
            }),
            Read::Process(read) => {
                for process in &self.0.processes {
                    let mut labels: Vec<(&'static str, String)> = vec![("process", process.figures.name.to_string())];
                    read(process, &mut |own, value| {
                        labels.truncate(1);
                        labels.extend(own.iter().map(|(key, value)| (*key, (*value).to_owned())));
                        let labels: Vec<(&str, &str)> =
                            labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
                        if result.is_ok() {
                            result = sample(metric.kind, &mut family, &labels, value);
                        }
                    });
                }
            }
        }
        result
    }
}

fn sample(kind: Kind, family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: Value<'_>) -> fmt::Result {
    let labels = labels.to_vec();
    if kind == Kind::Info {
        return family.encode_info(&labels);
    }
    if labels.is_empty() {
        // Else there would be braces with nothing in them.
        return number(kind, family, value);
    }
    number(kind, &mut family.encode_family(&labels)?, value)
}

fn number(kind: Kind, encoder: &mut MetricEncoder<'_>, value: Value<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(number)) => encoder.encode_counter::<NoLabels, _, f64>(&number, None),
        (Kind::Counter, Value::Number(number)) => encoder.encode_counter::<NoLabels, _, f64>(&number, None),
        (_, Value::Whole(number)) => encoder.encode_gauge(&number),
        (_, Value::Number(number)) => encoder.encode_gauge(&number),
        (_, Value::Times(times)) => histogram(encoder, times),
    }
}

fn histogram(encoder: &mut MetricEncoder<'_>, times: &Times) -> fmt::Result {
    let bound = |(bound, count): (Option<std::time::Duration>, u64)| {
        (bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()), count)
    };
    let buckets: Vec<(f64, u64)> = times.buckets().map(bound).collect();
    encoder.encode_histogram::<NoLabels>(times.sum().as_secs_f64(), times.count(), &buckets, None)
}

/// The same as the older format has it: a family is named as its samples are, and knows neither units nor infos.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let suffixes: Vec<(String, &str, &str)> = table()
        .iter()
        .filter_map(|metric| {
            let full = metric.full_name();
            let suffix = ["_total", "_info"].into_iter().find(|suffix| full.ends_with(suffix))?;
            let kind = if metric.kind == Kind::Info { "gauge" } else { "counter" };
            Some((full.strip_suffix(suffix)?.to_owned(), suffix, kind))
        })
        .collect();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let parts = (words.next(), words.next(), words.next(), words.next());
        match parts {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                match suffixes.iter().find(|(family, ..)| family == name) {
                    Some((family, suffix, kind)) => {
                        let rest = if what == "TYPE" { kind } else { rest };
                        older.push_str(&format!("# {what} {family}{suffix} {rest}"));
                    }
                    None => older.push_str(line),
                }
            }
            _ => older.push_str(line),
        }
        older.push('\n');
    }
    older
}
