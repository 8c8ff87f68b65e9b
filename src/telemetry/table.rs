//! What there is: one row a metric. The page, the datagrams and the documentation are made of it.

use std::time::{Duration, SystemTime};

use super::snapshot::{Process, Snapshot};
use crate::core::{HealthStatus, StateName, WallTime};
use crate::driver::Times;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows. As a datagram: what was added since the last one.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Of several only one is 1. As a datagram: that one alone.
    State,
    /// How often something took how long. As datagrams: a value a bucket, with a sample rate for how often.
    Histogram,
    /// Labels alone.
    Info,
}

impl Kind {
    /// The word for it in OpenMetrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::State => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// A value as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Whole(u64),
    Number(f64),
    Times(&'a Times),
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Whole(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Whole(number.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(is: bool) -> Self {
        Value::Whole(is.into())
    }
}

impl From<Duration> for Value<'_> {
    fn from(time: Duration) -> Self {
        Value::Number(time.as_secs_f64())
    }
}

/// Takes values with the labels that tell them apart.
pub(super) type Sink<'s> = &'s mut dyn FnMut(&[(&'static str, &str)], Value<'_>);

/// How a metric is read.
#[derive(Clone, Copy)]
pub(super) enum Read {
    /// Of each process.
    Process(fn(&Process, Sink<'_>)),
    /// Of the whole.
    Whole(fn(&Snapshot, Sink<'_>)),
}

/// One metric.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Metric {
    /// Its name on the page without `neap_`, unit, and what its type adds.
    pub name: &'static str,
    /// Its unit: `seconds` or `bytes`.
    pub unit: Option<&'static str>,
    /// What it is.
    pub kind: Kind,
    /// Its labels; `process` is the name of a process.
    pub labels: &'static [&'static str],
    /// Its name as a datagram, behind the prefix.
    pub dogstatsd: Option<&'static str>,
    /// What it says.
    pub help: &'static str,
    pub(super) read: Read,
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.full_name())
    }
}

impl Metric {
    /// Its name on the page: that of its samples, for a histogram without their suffixes.
    pub fn full_name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            _ => "",
        };
        format!("neap_{}{unit}{suffix}", self.name)
    }

    const fn process(name: &'static str, kind: Kind, help: &'static str, read: fn(&Process, Sink<'_>)) -> Metric {
        Metric { name, unit: None, kind, labels: &["process"], dogstatsd: None, help, read: Read::Process(read) }
    }

    const fn whole(name: &'static str, kind: Kind, help: &'static str, read: fn(&Snapshot, Sink<'_>)) -> Metric {
        Metric { name, unit: None, kind, labels: &[], dogstatsd: None, help, read: Read::Whole(read) }
    }

    const fn unit(self, unit: &'static str) -> Metric {
        Metric { unit: Some(unit), ..self }
    }

    const fn labels(self, labels: &'static [&'static str]) -> Metric {
        Metric { labels, ..self }
    }

    const fn dogstatsd(self, name: &'static str) -> Metric {
        Metric { dogstatsd: Some(name), ..self }
    }
}

/// All metrics, in the order of the page.
pub fn table() -> &'static [Metric] {
    TABLE
}

use Kind::{Counter, Gauge, Histogram, Info, State};

const TABLE: &[Metric] = &[
    Metric::process("process_up", Gauge, "1 while it is running: ready, and not being stopped.", |p, put| {
        put(&[], (p.figures.state == StateName::Running).into());
    })
    .dogstatsd("process.up"),
    Metric::process("process_state", State, "1 for the state that it is in, 0 for the others.", |p, put| {
        for state in StateName::ALL {
            put(&[("state", state.as_str())], (p.figures.state == state).into());
        }
    })
    .labels(&["process", "state"])
    .dogstatsd("process.state"),
    Metric::process(
        "process_health",
        State,
        "1 for what its health is, 0 for the others; only with a health check.",
        |p, put| {
            use HealthStatus::{Healthy, Starting, Unhealthy, Unknown};
            for health in [Unknown, Starting, Healthy, Unhealthy].into_iter().filter(|_| p.figures.checked) {
                put(&[("status", health.as_str())], (p.figures.health == health).into());
            }
        },
    )
    .labels(&["process", "status"])
    .dogstatsd("process.health"),
    Metric::process(
        "process_health_failures_in_a_row",
        Gauge,
        "Health probes that failed since one last passed; only with a health check.",
        |p, put| {
            if p.figures.checked {
                put(&[], p.figures.health_failures.into());
            }
        },
    )
    .dogstatsd("process.health.failures_in_a_row"),
    Metric::process("process_starts", Counter, "Times that its program was executed.", |p, put| {
        put(&[], p.figures.counts.starts.into());
    })
    .dogstatsd("process.starts"),
    Metric::process(
        "process_restarts",
        Counter,
        "Times that its restart policy started it again; restarts that somebody asked for are none of them.",
        |p, put| put(&[], p.figures.counts.restarts.into()),
    )
    .dogstatsd("process.restarts"),
    Metric::process(
        "process_exits",
        Counter,
        "Runs that were over, and starts that came to none, by why; each reason from its first time on.",
        |p, put| {
            for (reason, count) in &p.figures.counts.exits {
                put(&[("reason", reason.as_str())], (*count).into());
            }
        },
    )
    .labels(&["process", "reason"])
    .dogstatsd("process.exits"),
    Metric::process(
        "process_skipped_starts",
        Counter,
        "Starts that were skipped because a condition did not hold.",
        |p, put| put(&[], p.figures.counts.skipped.into()),
    )
    .dogstatsd("process.skipped_starts"),
    Metric::process("process_hook_failures", Counter, "Hooks that failed, by which; from the first on.", |p, put| {
        for (hook, count) in &p.figures.counts.hook_failures {
            put(&[("hook", hook)], (*count).into());
        }
    })
    .labels(&["process", "hook"])
    .dogstatsd("process.hook_failures"),
    Metric::process(
        "process_oom_kills",
        Counter,
        "Times that the kernel killed a member of its tree for lack of memory.",
        |p, put| put(&[], p.figures.counts.oom_kills.into()),
    )
    .dogstatsd("process.oom_kills"),
    Metric::process(
        "process_pids_limit_hits",
        Counter,
        "Runs to which the kernel refused a process because of limits.pids.",
        |p, put| put(&[], p.figures.counts.pids_limit_hits.into()),
    )
    .dogstatsd("process.pids_limit_hits"),
    Metric::process("process_stuck", Counter, "Times that something of it survived SIGKILL.", |p, put| {
        put(&[], p.figures.counts.stuck.into());
    })
    .dogstatsd("process.stuck"),
    Metric::process(
        "process_runs",
        Gauge,
        "Times that its program was executed since it was defined; outlives the supervisor.",
        |p, put| put(&[], p.figures.run_count.into()),
    )
    .dogstatsd("process.runs"),
    Metric::process(
        "process_start_time",
        Gauge,
        "When its run was executed, since 1970; only while it has one.",
        |p, put| {
            if let Some(at) = p.figures.started_at {
                put(&[], since_1970(at).into());
            }
        },
    )
    .unit("seconds"),
    Metric::process(
        "process_uptime",
        Gauge,
        "For how long its run has been there, outliving the supervisor; only while it has one.",
        |p, put| {
            if let Some(at) = p.figures.started_at {
                put(&[], now().saturating_sub(since_1970(at)).into());
            }
        },
    )
    .unit("seconds")
    .dogstatsd("process.uptime"),
    Metric::process(
        "process_cpu",
        Counter,
        "Processor time of its whole tree, over all runs that this supervisor saw.",
        |p, put| put(&[], p.used.cpu.into()),
    )
    .unit("seconds")
    .dogstatsd("process.cpu.seconds"),
    Metric::process(
        "process_cpu_throttled",
        Counter,
        "For how long limits.cpu held back its threads, all together; where cgroups tell.",
        |p, put| {
            if p.usage.cpu_throttled.is_some() || !p.used.throttled.is_zero() {
                put(&[], p.used.throttled.into());
            }
        },
    )
    .unit("seconds")
    .dogstatsd("process.cpu.throttled_seconds"),
    Metric::process("process_memory", Gauge, "Memory of its whole tree.", |p, put| whole(p.usage.memory, put))
        .unit("bytes")
        .dogstatsd("process.memory"),
    Metric::process("process_memory_limit", Gauge, "The most memory that it may use; only with a limit.", |p, put| {
        whole(p.usage.memory_limit, put);
    })
    .unit("bytes")
    .dogstatsd("process.memory.limit"),
    Metric::process("process_tasks", Gauge, "Processes and threads of its whole tree.", |p, put| {
        whole(p.usage.pids, put);
    })
    .dogstatsd("process.tasks"),
    Metric::process(
        "process_tasks_limit",
        Gauge,
        "The most processes and threads that it may have; only with a limit.",
        |p, put| whole(p.usage.pids_limit, put),
    )
    .dogstatsd("process.tasks.limit"),
    Metric::process("process_io_read", Counter, "Read from disks by its whole tree, over all runs.", |p, put| {
        put(&[], p.used.read.into());
    })
    .unit("bytes")
    .dogstatsd("process.io.read"),
    Metric::process("process_io_written", Counter, "Written to disks by its whole tree, over all runs.", |p, put| {
        put(&[], p.used.written.into());
    })
    .unit("bytes")
    .dogstatsd("process.io.written"),
    Metric::process(
        "process_probe_duration",
        Histogram,
        "How long its probes took to be answered, or to time out, by kind: ready, health.",
        |p, put| {
            let counts = &p.figures.counts;
            for (kind, probe) in [("ready", &counts.ready), ("health", &counts.health)] {
                if probe.times.count() > 0 {
                    put(&[("probe", kind)], Value::Times(&probe.times));
                }
            }
        },
    )
    .unit("seconds")
    .labels(&["process", "probe"])
    .dogstatsd("process.probe.duration"),
    Metric::process("process_probe_failures", Counter, "Probes that failed, by kind: ready, health.", |p, put| {
        let counts = &p.figures.counts;
        for (kind, probe) in [("ready", &counts.ready), ("health", &counts.health)] {
            if probe.times.count() + probe.failures > 0 || kind == "health" && p.figures.checked {
                put(&[("probe", kind)], probe.failures.into());
            }
        }
    })
    .labels(&["process", "probe"])
    .dogstatsd("process.probe.failures"),
    Metric::process(
        "process_connections",
        Counter,
        "Connections that an instance of it was made for; only once there was one.",
        |p, put| {
            if p.figures.counts.connections > 0 {
                put(&[], p.figures.counts.connections.into());
            }
        },
    )
    .dogstatsd("process.connections"),
    Metric::process(
        "process_instances",
        Gauge,
        "Instances of it, one a connection, that are there now; only once there was one.",
        |p, put| {
            if p.figures.counts.connections > 0 || p.instances > 0 {
                put(&[], p.instances.into());
            }
        },
    )
    .dogstatsd("process.instances"),
    Metric::process(
        "process_log_lines_lost",
        Counter,
        "Lines that its log file did not take in time, and that stand nowhere; the file says so, too.",
        |p, put| put(&[], p.figures.lost_lines.into()),
    )
    .dogstatsd("process.log_lines_lost"),
    Metric::whole("processes", Gauge, "Processes by state.", |all, put| {
        for state in StateName::ALL {
            let count = all.processes.iter().filter(|process| process.figures.state == state).count();
            put(&[("state", state.as_str())], (count as u64).into());
        }
    })
    .labels(&["state"])
    .dogstatsd("processes"),
    Metric::whole("processes_defined", Counter, "Processes that were defined.", |all, put| {
        put(&[], all.supervisor.defined.into());
    })
    .dogstatsd("processes.defined"),
    Metric::whole("processes_deleted", Counter, "Processes that were deleted.", |all, put| {
        put(&[], all.supervisor.deleted.into());
    })
    .dogstatsd("processes.deleted"),
    Metric::whole("build", Info, "The version, and which instance this is.", |all, put| {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("instance_key", all.about.instance.as_str())];
        put(&labels, 1_u64.into());
    })
    .labels(&["version", "instance_key"]),
    Metric::whole(
        "supervisor_start_time",
        Gauge,
        "When this supervisor began, since 1970: all counters are from then on.",
        |all, put| put(&[], since_1970(all.supervisor.started_at).into()),
    )
    .unit("seconds"),
    Metric::whole("supervisor_uptime", Gauge, "For how long this supervisor has been there.", |all, put| {
        put(&[], all.supervisor.uptime.into());
    })
    .unit("seconds")
    .dogstatsd("supervisor.uptime"),
    Metric::whole(
        "supervisor_lives",
        Gauge,
        "Which supervisor this is of those that its anchor started: 1 for the first.",
        |all, put| put(&[], all.about.lives.into()),
    )
    .dogstatsd("supervisor.lives"),
    Metric::whole(
        "instance_start_time",
        Gauge,
        "When the instance began, since 1970, which may have been under another supervisor.",
        |all, put| {
            if let Some(at) = all.about.started_at {
                // Whole seconds are what the next supervisor knows, too.
                put(&[], at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().into());
            }
        },
    )
    .unit("seconds"),
    Metric::whole(
        "config_generation",
        Gauge,
        "The generation of the configuration in force; 0 for none.",
        |all, put| {
            put(&[], all.about.generation.into());
        },
    )
    .dogstatsd("config.generation"),
    Metric::whole("config_applied", Counter, "Plans that were applied.", |all, put| {
        put(&[], all.supervisor.applied.into());
    })
    .dogstatsd("config.applied"),
    Metric::whole(
        "config_refused",
        Counter,
        "Configurations that were refused; nothing was changed then.",
        |all, put| {
            put(&[], all.supervisor.refused.into());
        },
    )
    .dogstatsd("config.refused"),
    Metric::whole(
        "degraded",
        Gauge,
        "How many things make the instance less than it should be; neap status names them.",
        |all, put| put(&[], all.about.degraded.into()),
    )
    .dogstatsd("degraded"),
    Metric::whole("warnings", Counter, "Warnings among the events.", |all, put| {
        put(&[], all.supervisor.warnings.into());
    })
    .dogstatsd("warnings"),
    Metric::whole(
        "engine_lag",
        Histogram,
        "How much later than what it was for a turn of the engine began: a deadline, or a message from another thread.",
        |all, put| put(&[], Value::Times(&all.supervisor.lag)),
    )
    .unit("seconds")
    .dogstatsd("engine.lag"),
    Metric::whole("engine_turn_duration", Histogram, "How long turns of the engine took.", |all, put| {
        put(&[], Value::Times(&all.supervisor.turns));
    })
    .unit("seconds")
    .dogstatsd("engine.turn_duration"),
    Metric::whole(
        "engine_stale_inputs",
        Counter,
        "News of runs that are over, or that came twice, which the engine dropped as it should.",
        |all, put| put(&[], all.supervisor.stale_inputs.into()),
    )
    .dogstatsd("engine.stale_inputs"),
    Metric::whole("events_lost", Counter, "Events that readers were too slow for, all together.", |all, put| {
        put(&[], all.supervisor.events_lost.into());
    })
    .dogstatsd("events_lost"),
    Metric::whole(
        "output_lines_lost",
        Counter,
        "Printed lines that who follows them was too slow for, all together; the log files have them.",
        |all, put| put(&[], all.supervisor.lines_lost.into()),
    )
    .dogstatsd("output_lines_lost"),
    Metric::whole("telemetry_pages", Counter, "Times that this page was asked for.", |all, put| {
        put(&[], all.pages.into());
    }),
    Metric::whole("telemetry_datagrams", Counter, "Datagrams that went to an agent.", |all, put| {
        put(&[], all.sent.into());
    })
    .dogstatsd("telemetry.datagrams"),
    Metric::whole("telemetry_datagrams_dropped", Counter, "Datagrams that no agent took.", |all, put| {
        put(&[], all.dropped.into());
    })
    .dogstatsd("telemetry.datagrams_dropped"),
    Metric::whole(
        "telemetry_events_dropped",
        Counter,
        "Events that no agent was told: newer ones took their place while they waited, or they fit in no datagram.",
        |all, put| put(&[], all.events_dropped.into()),
    )
    .dogstatsd("telemetry.events_dropped"),
];

fn whole(number: Option<u64>, put: Sink<'_>) {
    if let Some(number) = number {
        put(&[], number.into());
    }
}

fn since_1970(at: WallTime) -> Duration {
    Duration::from_millis(u64::try_from(at.0).unwrap_or_default())
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
