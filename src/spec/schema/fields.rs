//! Comparing and copying the fields behind the keys.

use super::super::hook::{Hook, HookAction};
use super::super::probe::{Health, Probe, ProbeTarget, Ready};
use super::super::process::Spec;
use super::super::signal::Signal;
use super::super::stop::Reload;
use super::Access;

/// Access to a field that is compared as it is.
macro_rules! field {
    ($($path:ident).+) => {
        Access {
            same: |a, b| a.$($path).+ == b.$($path).+,
            copy: |to, from| to.$($path).+.clone_from(&from.$($path).+),
        }
    };
}
pub(super) use field;

/// Access to a list of hooks, whose functions do not count.
macro_rules! hooks {
    ($when:ident) => {
        Access {
            same: |a, b| $crate::spec::schema::fields::same_hooks(&a.hooks.$when, &b.hooks.$when),
            copy: |to, from| to.hooks.$when.clone_from(&from.hooks.$when),
        }
    };
}
pub(super) use hooks;

/// The environment: plain and secret variables.
pub(super) const ENV: Access = Access {
    same: |a, b| a.env == b.env && a.secret_env == b.secret_env,
    copy: |to, from| {
        to.env.clone_from(&from.env);
        to.secret_env.clone_from(&from.secret_env);
    },
};

/// Exit codes and signals that are a success.
pub(super) const SUCCESS: Access = Access {
    same: |a, b| a.success_exit_status == b.success_exit_status && a.success_signals == b.success_signals,
    copy: |to, from| {
        to.success_exit_status.clone_from(&from.success_exit_status);
        to.success_signals.clone_from(&from.success_signals);
    },
};

/// The condition that is a function, which one does not count.
pub(super) const CONDITION: Access = Access {
    same: |a, b| a.conditions.check.is_some() == b.conditions.check.is_some(),
    copy: |to, from| to.conditions.check = from.conditions.check,
};

/// What makes it ready.
pub(super) const READY: Access =
    Access { same: |a, b| same_ready(&a.ready, &b.ready), copy: |to, from| to.ready.clone_from(&from.ready) };

/// Whether it is well.
pub(super) const HEALTH: Access = Access {
    same: |a, b| match (&a.health, &b.health) {
        (Some(a), Some(b)) => same_health(a, b),
        (a, b) => a.is_none() && b.is_none(),
    },
    copy: |to, from| to.health.clone_from(&from.health),
};

/// The one signal of a ladder of one rung.
pub(super) const STOP_SIGNAL: Access = Access {
    same: |a, b| match (&a.stop.sequence[..], &b.stop.sequence[..]) {
        ([a], [b]) => a.signal == b.signal,
        _ => true,
    },
    copy: copy_sequence,
};

/// The one wait of a ladder of one rung.
pub(super) const STOP_TIMEOUT: Access = Access {
    same: |a, b| match (&a.stop.sequence[..], &b.stop.sequence[..]) {
        ([a], [b]) => a.wait == b.wait,
        _ => true,
    },
    copy: copy_sequence,
};

/// A ladder of another length than one.
pub(super) const STOP_SEQUENCE: Access = Access {
    same: |a, b| {
        let single = a.stop.sequence.len() == 1 && b.stop.sequence.len() == 1;
        single || a.stop.sequence == b.stop.sequence
    },
    copy: copy_sequence,
};

fn copy_sequence(to: &mut Spec, from: &Spec) {
    to.stop.sequence.clone_from(&from.stop.sequence);
}

/// The signal of a reload by a signal.
pub(super) const RELOAD_SIGNAL: Access =
    Access { same: |a, b| reload_signal(a) == reload_signal(b), copy: |to, from| to.reload.clone_from(&from.reload) };

/// The command of a reload by a command.
pub(super) const RELOAD_COMMAND: Access =
    Access { same: |a, b| reload_command(a) == reload_command(b), copy: |to, from| to.reload.clone_from(&from.reload) };

fn reload_signal(spec: &Spec) -> Option<Signal> {
    match &spec.reload {
        Some(Reload::Signal(signal)) => Some(*signal),
        _ => None,
    }
}

fn reload_command(spec: &Spec) -> Option<&[String]> {
    match &spec.reload {
        Some(Reload::Command(command)) => Some(command),
        _ => None,
    }
}

pub(super) fn same_hooks(a: &[Hook], b: &[Hook]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_hook(a, b))
}

fn same_hook(a: &Hook, b: &Hook) -> bool {
    let same_action = match (&a.action, &b.action) {
        (HookAction::Function(_), HookAction::Function(_)) => true,
        (a, b) => a == b,
    };
    same_action && a.user == b.user && a.timeout == b.timeout
}

fn same_target(a: &ProbeTarget, b: &ProbeTarget) -> bool {
    match (a, b) {
        (ProbeTarget::Function(_), ProbeTarget::Function(_)) => true,
        (a, b) => a == b,
    }
}

fn same_ready(a: &Ready, b: &Ready) -> bool {
    match (a, b) {
        (Ready::Probe(a), Ready::Probe(b)) => same_probe(a, b),
        (a, b) => a == b,
    }
}

fn same_probe(a: &Probe, b: &Probe) -> bool {
    same_target(&a.target, &b.target) && a.interval == b.interval && a.timeout == b.timeout
}

fn same_health(a: &Health, b: &Health) -> bool {
    let with_targets_of_a = Health { target: a.target.clone(), ..b.clone() };
    same_target(&a.target, &b.target) && *a == with_targets_of_a
}
