//! What `neap.settings` says that the next supervisor goes by: all but the roles.

use crate::lua::api::Settings;
use crate::spec::{Problem, Severity};

/// A warning for each of these settings that is not what the supervisor began with.
pub(super) fn later(settings: &Settings, began_with: &Settings) -> Vec<Problem> {
    let (now, before) = (settings, began_with);
    let changed = [
        ("shutdown_timeout", now.shutdown_timeout != before.shutdown_timeout),
        ("log_level", now.log_level != before.log_level),
        ("log_format", now.log_format != before.log_format),
        ("metrics", now.metrics != before.metrics),
        ("metrics_beyond_loopback", now.metrics_beyond_loopback != before.metrics_beyond_loopback),
        ("dogstatsd", now.dogstatsd != before.dogstatsd),
    ];
    let warning = |key: &str| Problem {
        severity: Severity::Warning,
        // One that was taken out stands nowhere.
        file: settings.file.clone().or_else(|| began_with.file.clone()),
        line: settings.lines.get(key).copied(),
        process: None,
        field: Some(format!("neap.settings: {key}")),
        message: "it changed, and the supervisor goes on with what it was: the next one reads it (`neap upgrade` is a \
                  way to have one; no process notices)"
            .to_owned(),
    };
    changed.into_iter().filter(|(_, is)| *is).map(|(key, _)| warning(key)).collect()
}
