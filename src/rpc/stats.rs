//! What processes use of the host.

use std::time::{Duration, Instant};

use tonic::{Request, Status};

use super::convert::{state, time};
use super::fault::Fault;
use super::instance::{Served, blocking};
use super::proto::v1;
use super::select::Found;
use crate::core::RunId;
use crate::supervisor::{Process, Usage};

/// The longest that rates are measured over.
const LONGEST: Duration = Duration::from_secs(60);

/// What was read of one process, and when.
struct Reading {
    usage: Usage,
    run: Option<RunId>,
    at: Instant,
}

/// Tells it. With an interval it is read twice, for the rates.
pub(super) async fn stats(served: &Served, request: Request<v1::StatsRequest>) -> Result<v1::StatsResponse, Status> {
    let v1::StatsRequest { names, interval } = request.into_inner();
    let interval = interval.filter(|interval| *interval > 0).map(Duration::from_millis);
    if interval.is_some_and(|interval| interval > LONGEST) {
        return Err(Fault::invalid("interval", "is longer than a minute (60000)").into());
    }
    let found = served.these(names).await?;
    let earlier = match interval {
        Some(interval) => {
            let earlier = read(served, &found).await?;
            tokio::time::sleep(interval).await;
            earlier
        }
        None => Vec::new(),
    };
    let now = read(served, &found).await?;
    let before = earlier.into_iter().chain(std::iter::repeat_with(|| None));
    let usages = found.iter().zip(now).zip(before);
    let processes = usages.map(|((found, now), before)| usage(found, now.as_ref(), before.as_ref())).collect();
    Ok(v1::StatsResponse { processes })
}

async fn read(served: &Served, found: &[Found]) -> Result<Vec<Option<Reading>>, Fault> {
    let handles: Vec<Process> = found.iter().map(|found| served.handle(found)).collect();
    blocking(move || handles.iter().map(reading).collect()).await
}

fn reading(process: &Process) -> Option<Reading> {
    // One that was deleted meanwhile uses nothing.
    let usage = process.usage().ok()??;
    Some(Reading { usage, run: process.status().ok()?.run, at: Instant::now() })
}

fn usage(found: &Found, now: Option<&Reading>, before: Option<&Reading>) -> v1::Usage {
    let mut told = v1::Usage {
        id: found.uuid.clone(),
        name: found.status.name.to_string(),
        state: state(found.status.state).into(),
        pid: found.status.pid.map(|pid| pid.0),
        started_at: found.status.started_at.map(time),
        ..v1::Usage::default()
    };
    let Some(now) = now else { return told };
    let usage = &now.usage;
    let micros = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let small = |number: Option<u64>| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    told.source = usage.source.as_str().to_owned();
    (told.memory, told.memory_limit) = (usage.memory, usage.memory_limit);
    (told.cpu_usage_usec, told.cpu_user_usec) = (micros(usage.cpu), micros(usage.cpu_user));
    told.cpu_system_usec = micros(usage.cpu_system);
    #[expect(clippy::cast_precision_loss, reason = "thousandths of cores")]
    let cores = |millis: u64| millis as f64 / 1000.0;
    (told.cpu_limit, told.cpu_throttled_usec) = (usage.cpu_limit_millis.map(cores), micros(usage.cpu_throttled));
    (told.pids, told.pids_limit) = (small(usage.pids), small(usage.pids_limit));
    (told.io_read, told.io_written) = (usage.io_read, usage.io_written);
    // Of another run they would be a difference of nothing.
    let Some(before) = before.filter(|before| before.run == now.run) else { return told };
    let passed = now.at.duration_since(before.at).as_secs_f64();
    let cpu = usage.cpu.zip(before.usage.cpu).map(|(now, before)| now.saturating_sub(before).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "bytes a second, for people")]
    let rate = |now: Option<u64>, before: Option<u64>| {
        now.zip(before).map(|(now, before)| now.saturating_sub(before) as f64 / passed)
    };
    told.cpu = cpu.map(|cpu| cpu / passed);
    told.io_read_rate = rate(usage.io_read, before.usage.io_read);
    told.io_written_rate = rate(usage.io_written, before.usage.io_written);
    told
}
