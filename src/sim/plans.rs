//! Random plans: every relation, type, policy, ladder and hook there is, without a cycle of order.

use std::fmt::Write as _;
use std::time::Duration;

use super::rng::Rng;
use crate::spec::{
    Conditions, Health, Hook, Hooks, Limits, ListenAddress, Listener, LogLine, Plan, Probe, ProbeTarget, ProcessType,
    Ready, Reload, Restart, RestartPolicy, Signal, Spec, Stop, StopMode, StopStep,
};

/// The name of the process with this number.
pub(super) fn name(index: usize) -> String {
    format!("p{index:02}")
}

/// A valid plan of this many processes.
pub(super) fn plan(rng: &mut Rng, size: usize) -> Plan {
    collect((0..size).map(|index| spec(rng, index, size)).collect())
}

/// Another plan made from this one: some processes are gone, some changed, some new.
pub(super) fn mutate(rng: &mut Rng, old: &Plan, size: usize) -> Plan {
    let mut specs = Vec::new();
    for index in 0..size {
        match (old.get(&name(index)), rng.below(10)) {
            (Some(_), 0) => {}
            (Some(kept), 1..6) => specs.push(kept.clone()),
            (Some(kept), 6..8) => specs.push(touched(rng, kept)),
            (None, 1..8) => {}
            _ => specs.push(spec(rng, index, size)),
        }
    }
    collect(specs)
}

/// A plan that must be refused: this one with a fault.
pub(super) fn invalid(rng: &mut Rng, old: &Plan, size: usize) -> Plan {
    let mut specs: Vec<Spec> = mutate(rng, old, size).specs().cloned().collect();
    let mut bad = spec(rng, 0, 1);
    match rng.below(4) {
        0 => bad.requires.push("nobody".into()),
        1 => {
            let mut other = spec(rng, 1, 2);
            other.after = vec![bad.name.clone()];
            other.before = Vec::new();
            bad.after = vec![other.name.clone()];
            bad.before = Vec::new();
            specs.retain(|it| it.name != other.name);
            specs.push(other);
        }
        2 => {
            bad.process_type = ProcessType::Oneshot;
            bad.restart = Restart::always();
        }
        _ => bad.binds_to.push("nobody".into()),
    }
    specs.retain(|it| it.name != bad.name);
    specs.push(bad);
    let mut plan = Plan::new();
    for spec in specs {
        let _ = plan.insert(spec);
    }
    plan
}

/// The same spec with a change that may or may not need a restart.
pub(super) fn touched(rng: &mut Rng, spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    match rng.below(9) {
        8 if spec.accepts() => spec.listen.iter_mut().for_each(|it| it.accept = Some(number(rng, 1, 3))),
        7 => spec.limits = limits(rng),
        6 if spec.reload.is_some() => spec.reload_on_change = Some(format!("version {}", rng.below(10))),
        0 => spec.description = Some(format!("number {}", rng.below(1000))),
        1 => spec.command.push(format!("--flag={}", rng.below(1000))),
        2 => spec.stop = ladder(rng),
        3 => spec.restart = restart(rng, spec.process_type),
        4 => spec.hooks = hooks(rng),
        _ => {
            spec.env.insert("LEVEL".into(), rng.below(10).to_string());
        }
    }
    spec
}

/// Keeps names that exist, and lets no two processes that conflict start by themselves.
fn collect(mut specs: Vec<Spec>) -> Plan {
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    for spec in &mut specs {
        let lists = [
            &mut spec.requires,
            &mut spec.wants,
            &mut spec.binds_to,
            &mut spec.follows,
            &mut spec.part_of,
            &mut spec.conflicts,
            &mut spec.after,
            &mut spec.before,
        ];
        for list in lists {
            list.retain(|name| names.contains(name));
        }
    }
    let conflicting: Vec<String> = specs.iter().flat_map(|spec| spec.conflicts.clone()).collect();
    let mut plan = Plan::new();
    for mut spec in specs {
        if !spec.conflicts.is_empty() || conflicting.contains(&spec.name) {
            spec.auto_start = false;
        }
        let _ = plan.insert(spec);
    }
    plan
}

/// A process of any kind. Order goes from high numbers to low ones, so there is no cycle.
pub(super) fn spec(rng: &mut Rng, index: usize, size: usize) -> Spec {
    let mut spec = Spec::new(name(index), ["/opt/program", "--flag"]);
    spec.process_type = match rng.below(20) {
        0..10 => ProcessType::Simple,
        10..13 => ProcessType::Oneshot,
        13..17 => ProcessType::Notify,
        _ => ProcessType::Forking,
    };
    spec.remain = spec.process_type == ProcessType::Oneshot && rng.chance(400);
    spec.auto_start = rng.chance(700);
    spec.critical = rng.chance(20);
    spec.restart = restart(rng, spec.process_type);
    relate(rng, &mut spec, index, size);
    if rng.chance(100) {
        spec.conditions = Conditions { path_exists: vec!["/nowhere".into()], ..Conditions::default() };
    }
    if rng.chance(200) && spec.process_type != ProcessType::Oneshot {
        let mut health = Health::new(ProbeTarget::http("http://127.0.0.1:8080/health"));
        health.interval = rng.millis(500, 20_000);
        health.timeout = rng.millis(100, 5_000);
        health.retries = number(rng, 1, 3);
        health.successes = number(rng, 1, 2);
        health.start_period = rng.millis(0, 5_000);
        health.restart_after = number(rng, 0, 4);
        spec.health = Some(health);
    }
    if matches!(spec.process_type, ProcessType::Simple) {
        spec.ready = match rng.below(10) {
            0 => Ready::Notify,
            1 => Ready::LogLine(LogLine { pattern: "ready".into() }),
            2 => Ready::Probe(Probe {
                target: ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 6379 },
                interval: rng.chance(500).then(|| rng.millis(50, 2_000)),
                timeout: rng.chance(500).then(|| rng.millis(50, 2_000)),
            }),
            3 if spec.health.is_some() => Ready::Health,
            _ => Ready::Executed,
        };
    }
    spec.start_timeout = rng.chance(850).then(|| rng.millis(100, 60_000));
    spec.stop = ladder(rng);
    spec.hooks = hooks(rng);
    if rng.chance(150) && spec.process_type != ProcessType::Oneshot {
        spec.watchdog = Some(rng.millis(1_000, 30_000));
    }
    if rng.chance(100) && spec.process_type != ProcessType::Oneshot {
        let mut listener = Listener::new(ListenAddress::Unix(format!("/run/{}.sock", spec.name)));
        match rng.below(3) {
            0 => {
                listener.accept = Some(number(rng, 1, 3));
                spec.critical = false;
            }
            1 => listener.idle_stop = Some(rng.millis(100, 60_000)),
            _ => {}
        }
        spec.listen = vec![listener];
        spec.auto_start = rng.chance(300);
    }
    if rng.chance(300) {
        spec.reload = Some(match rng.below(2) {
            0 => Reload::Signal(Signal::HUP),
            _ => Reload::Command(vec!["/opt/reload".into()]),
        });
    }
    if rng.chance(200) {
        spec.success_exit_status.push(7);
    }
    if rng.chance(150) {
        spec.limits = limits(rng);
    }
    spec
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        memory: rng.chance(500).then(|| (1 + rng.below(64)) << 20),
        pids: rng.chance(500).then(|| 1 + rng.below(100)),
        oom_score_adj: rng.chance(200).then(|| if rng.chance(500) { 500 } else { -500 }),
        ..Limits::default()
    }
}

fn relate(rng: &mut Rng, spec: &mut Spec, index: usize, size: usize) {
    for _ in 0..rng.below(4) {
        if index == 0 {
            break;
        }
        let earlier = name(rng.index(index));
        match rng.below(7) {
            0 | 1 => add(&mut spec.requires, earlier),
            2 => add(&mut spec.binds_to, earlier),
            3 => {
                add(&mut spec.binds_to, earlier.clone());
                add(&mut spec.follows, earlier);
            }
            4 => add(&mut spec.follows, earlier),
            5 => add(&mut spec.after, earlier),
            _ => {
                add(&mut spec.wants, earlier.clone());
                add(&mut spec.after, earlier);
            }
        }
    }
    if index + 1 < size && rng.chance(200) {
        let later = name(index + 1 + rng.index(size - index - 1));
        add(&mut spec.before, later);
    }
    if size > 1 && rng.chance(250) {
        let other = name(rng.index(size));
        if other != spec.name {
            let leans = [&spec.requires, &spec.binds_to, &spec.wants].iter().any(|list| list.contains(&other));
            match rng.below(4) {
                0 | 1 => add(&mut spec.wants, other),
                2 => add(&mut spec.part_of, other),
                _ if !leans => add(&mut spec.conflicts, other),
                _ => {}
            }
        }
    }
}

fn add(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

fn number(rng: &mut Rng, low: u64, high: u64) -> u32 {
    u32::try_from(low + rng.below(high - low + 1)).unwrap_or(1)
}

fn restart(rng: &mut Rng, process_type: ProcessType) -> Restart {
    let mut restart = Restart::default();
    restart.policy = match rng.below(10) {
        0 => RestartPolicy::Never,
        1 if process_type != ProcessType::Oneshot => RestartPolicy::Always,
        2 if process_type != ProcessType::Oneshot => RestartPolicy::OnSuccess,
        3 => RestartPolicy::OnAbnormal,
        4 => RestartPolicy::OnAbort,
        5 => RestartPolicy::OnWatchdog,
        _ => RestartPolicy::OnFailure,
    };
    restart.delay = if rng.chance(200) { Duration::ZERO } else { rng.millis(0, 5_000) };
    restart.factor = if rng.chance(500) { 1.0 } else { 2.5 };
    restart.max_delay = rng.millis(0, 60_000).max(restart.delay);
    restart.jitter = if rng.chance(500) { 0.0 } else { 0.3 };
    restart.limit.burst = number(rng, 0, 5);
    restart.limit.interval = rng.millis(1_000, 600_000);
    restart.reset_after = rng.millis(0, 120_000);
    restart
}

fn ladder(rng: &mut Rng) -> Stop {
    let mode = match rng.below(5) {
        0 | 1 => StopMode::ControlGroup,
        2 => StopMode::ProcessGroup,
        3 => StopMode::Process,
        _ => StopMode::Mixed,
    };
    let signals = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::USR1];
    let sequence = (0..1 + rng.below(3))
        .map(|_| StopStep { signal: *rng.pick(&signals).unwrap_or(&Signal::TERM), wait: rng.millis(0, 8_000) })
        .collect();
    Stop { mode, sequence, command: rng.chance(120).then(|| vec!["/opt/stop".into()]) }
}

fn hooks(rng: &mut Rng) -> Hooks {
    let list = |rng: &mut Rng| -> Vec<Hook> {
        if !rng.chance(150) {
            return Vec::new();
        }
        (0..1 + rng.below(2)).map(|_| Hook::command(["/opt/hook"]).timeout(rng.millis(500, 30_000))).collect()
    };
    Hooks {
        before_start: list(rng),
        after_start: list(rng),
        before_stop: list(rng),
        after_stop: list(rng),
        on_failure: list(rng),
    }
}

/// A plan in words, a line a process.
pub(super) fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    for spec in plan.specs() {
        let _ = write!(text, "  {} {:?}", spec.name, spec.process_type);
        let flags = [(spec.remain, "remain"), (spec.auto_start, "auto"), (spec.critical, "critical")];
        for (_, word) in flags.iter().filter(|(set, _)| *set) {
            let _ = write!(text, " {word}");
        }
        let restart = &spec.restart;
        let _ = write!(
            text,
            " restart {:?} {:?}x{}..{:?} {}in{:?}",
            restart.policy,
            restart.delay,
            restart.factor,
            restart.max_delay,
            restart.limit.burst,
            restart.limit.interval
        );
        let lists = [
            ("requires", &spec.requires),
            ("wants", &spec.wants),
            ("binds_to", &spec.binds_to),
            ("follows", &spec.follows),
            ("part_of", &spec.part_of),
            ("conflicts", &spec.conflicts),
            ("after", &spec.after),
            ("before", &spec.before),
        ];
        for (key, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            let _ = write!(text, " {key}[{}]", list.join(" "));
        }
        let _ = write!(text, " start_timeout {:?} stop {:?}", spec.start_timeout, spec.stop.mode);
        for step in &spec.stop.sequence {
            let _ = write!(text, " {}/{:?}", step.signal, step.wait);
        }
        if spec.stop.command.is_some() {
            text.push_str(" stop-command");
        }
        let hooks = &spec.hooks;
        let kinds = [
            ("before_start", &hooks.before_start),
            ("after_start", &hooks.after_start),
            ("before_stop", &hooks.before_stop),
            ("after_stop", &hooks.after_stop),
            ("on_failure", &hooks.on_failure),
        ];
        for (key, list) in kinds.iter().filter(|(_, list)| !list.is_empty()) {
            let _ = write!(text, " {key}*{}", list.len());
        }
        if let Some(health) = &spec.health {
            let _ = write!(text, " health every {:?}, restart after {}", health.interval, health.restart_after);
        }
        if spec.ready != Ready::Executed {
            let _ = write!(text, " ready {:?}", spec.ready);
        }
        if let Some(watchdog) = spec.watchdog {
            let _ = write!(text, " watchdog {watchdog:?}");
        }
        if !spec.listen.is_empty() {
            text.push_str(" listens");
        }
        text.push('\n');
    }
    text
}
