//! What the older system calls keys of ours.

/// Keys that are one value there and here: the older name, and the path it has here.
///
/// YAML takes them for keys, the command line for flags; everywhere else who writes one is told what it is called.
#[rustfmt::skip]
pub static OLDER_NAMES: [(&str, &str); 24] = [
    ("process_type", "type"),
    ("environment", "env"),
    ("environment_file", "env_file"),
    ("stdout", "log.stdout"),
    ("stderr", "log.stderr"),
    ("restart_policy", "restart.policy"),
    ("restart_sec", "restart.delay"),
    ("restart_max_delay", "restart.max_delay"),
    ("restart_max_delay_sec", "restart.max_delay"),
    ("start_limit_burst", "restart.limit.burst"),
    ("start_limit_interval", "restart.limit.interval"),
    ("start_limit_interval_sec", "restart.limit.interval"),
    ("runtime_success_sec", "restart.reset_after"),
    ("timeout_start", "start_timeout"),
    ("timeout_start_sec", "start_timeout"),
    ("timeout_stop", "stop.timeout"),
    ("timeout_stop_sec", "stop.timeout"),
    ("kill_signal", "stop.signal"),
    ("kill_mode", "stop.mode"),
    ("exec_start_pre", "hooks.before_start"),
    ("exec_start_post", "hooks.after_start"),
    ("exec_stop_post", "hooks.after_stop"),
    ("condition_path_exists", "conditions.path_exists"),
    ("ambient_capability", "ambient_capabilities"),
];

/// Keys that are a table there, and where that is here; the keys in them have other names, too.
pub static OLDER_TABLES: [(&str, &str); 4] =
    [("resources", "limits"), ("resource_limits", "limits"), ("health_check", "health"), ("socket", "listen")];
