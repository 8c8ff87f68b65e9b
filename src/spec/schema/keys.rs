//! The keys themselves.

use super::fields::{self, field, hooks};
use super::{Access, Alias, Key, Table};

/// A process's definition.
pub static SPEC: Table = Table::new(
    "neap.Spec",
    "The definition of one process.",
    &[
        Key::live("description", "string", "A line for people.").of(field!(description)),
        Key::restart(
            "command",
            "neap.Command",
            "Program and arguments; text is split like a shell would, and no shell runs it.",
        )
        .of(field!(command)),
        Key::restart(
            "args",
            "string[]",
            "Arguments after those of `command`; with them, a `command` in text is not split.",
        ),
        Key::restart("shell", "string", "A line for `/bin/sh -c`, in place of `command`."),
        Key::restart(
            "type",
            "\"simple\"|\"oneshot\"|\"forking\"|\"notify\"",
            "How it announces itself (simple unless given).",
        )
        .of(field!(process_type)),
        Key::live("remain", "boolean", "Whether a oneshot that ended well counts as running until it is stopped.")
            .of(field!(remain)),
        Key::live("auto_start", "boolean", "Whether it starts with the supervisor.").of(field!(auto_start)),
        Key::live("critical", "boolean", "Whether its final end ends the instance, with its code.")
            .of(field!(critical)),
        Key::restart("working_dir", "string", "Where it runs (the configuration's folder unless given).")
            .of(field!(working_dir)),
        Key::restart(
            "env",
            "table<string, string|number|boolean|neap.Secret>|string[]",
            "Variables set on top of the inherited ones and those of `env_file`.",
        )
        .of(fields::ENV),
        Key::restart(
            "env_file",
            "string|(string|neap.EnvFile)[]",
            "Files of `NAME=value` lines, read at each start; with a leading `-` one may be missing.",
        )
        .of(field!(env_file)),
        Key::restart("clear_env", "boolean", "Whether nothing is inherited from the instance's environment.")
            .of(field!(clear_env)),
        Key::restart("user", "string|integer", "As whom it runs.").of(field!(user)),
        Key::restart("group", "string|integer", "Its primary group, when not the user's own.").of(field!(group)),
        Key::restart("groups", "(string|integer)[]", "Its supplementary groups, when not the user's own.")
            .of(field!(groups)),
        Key::restart(
            "umask",
            "neap.Mode",
            "Its file mode creation mask as octal text (\"0022\" unless given), or \"inherit\".",
        )
        .of(field!(umask)),
        Key::restart("nice", "integer", "Its nice value, -20 to 19.").of(field!(nice)),
        Key::restart("rlimits", "neap.Rlimits", "Its resource limits of setrlimit(2).")
            .table(&RLIMITS)
            .of(field!(rlimits)),
        Key::restart("ambient_capabilities", "string|string[]", "Capabilities it keeps although it is not root.")
            .of(field!(ambient_capabilities)),
        Key::restart(
            "bounding_capabilities",
            "string|string[]",
            "The only capabilities that it and its children can ever have.",
        )
        .of(field!(bounding_capabilities)),
        Key::restart("no_new_privs", "boolean", "Whether set-user-id programs gain it nothing.")
            .of(field!(no_new_privs)),
        Key::live(
            "requires",
            "neap.Names",
            "Started with it and before it; if one cannot start, it fails; stopped with them.",
        )
        .of(field!(requires)),
        Key::live("wants", "neap.Names", "Started with it; their failure does not matter.").of(field!(wants)),
        Key::live(
            "binds_to",
            "neap.Names",
            "As `requires`, and stopped whenever one leaves running, for whatever reason.",
        )
        .of(field!(binds_to)),
        Key::live("follows", "neap.Names", "Restarted when one comes back after a failure or restart.")
            .of(field!(follows)),
        Key::live("part_of", "neap.Names", "Stopped and restarted with them.").of(field!(part_of)),
        Key::live("conflicts", "neap.Names", "Never up at the same time; either side may say so.")
            .of(field!(conflicts)),
        Key::live("after", "neap.Names", "Started after they are ready, stopped before them.").of(field!(after)),
        Key::live("before", "neap.Names", "Ready before they are started, stopped after them.").of(field!(before)),
        Key::live(
            "conditions",
            "neap.Conditions",
            "What must hold for a start to be made; looked at again at each start.",
        )
        .table(&CONDITIONS),
        Key::live("ready", "\"notify\"|\"health\"|neap.Probe", "What makes it ready, beyond having been executed.")
            .of(fields::READY),
        Key::live("health", "neap.Probe", "How it is found out whether it is well.").of(fields::HEALTH),
        Key::live(
            "restart",
            "neap.Policy|neap.Restart",
            "When it is started again after it ended by itself, and how fast.",
        )
        .table(&RESTART),
        Key::live(
            "success_exit_status",
            "integer|string|(integer|string)[]",
            "Exit codes and signals that are a success besides 0.",
        )
        .of(fields::SUCCESS),
        Key::live("stop", "neap.Stop", "How it is ended.").table(&STOP),
        Key::live(
            "start_timeout",
            "neap.Duration",
            "How long it may take to become ready (90s unless given), or \"infinity\".",
        )
        .of(field!(start_timeout)),
        Key::live("reload", "neap.Reload", "How it is told to read its configuration again.").table(&RELOAD),
        Key::live("hooks", "neap.Hooks", "What is done at its turning points.").table(&HOOKS),
        Key::live("limits", "neap.Limits", "What its tree may use.").table(&LIMITS),
        Key::restart(
            "listen",
            "neap.Listener|neap.Listener[]",
            "Sockets that are held for it; it starts on the first connection.",
        )
        .table(&LISTEN)
        .of(field!(listen)),
        Key::restart(
            "runtime_directory",
            "string|neap.Directory|(string|neap.Directory)[]",
            "Directories made for it below the runtime directory, and removed when it is down.",
        )
        .of(field!(runtime_directory)),
        Key::restart(
            "state_directory",
            "string|neap.Directory|(string|neap.Directory)[]",
            "Directories made for its state, and kept.",
        )
        .of(field!(state_directory)),
        Key::restart(
            "cache_directory",
            "string|neap.Directory|(string|neap.Directory)[]",
            "Directories made for what it can make again, and kept.",
        )
        .of(field!(cache_directory)),
        Key::restart(
            "logs_directory",
            "string|neap.Directory|(string|neap.Directory)[]",
            "Directories made for logs that it writes by itself, and kept.",
        )
        .of(field!(logs_directory)),
        Key::restart("pidfile", "string", "Where its pid is read from (forking), or written to and removed (others).")
            .of(field!(pidfile)),
        Key::live("log", "neap.Log", "What happens to what it prints.").table(&LOG),
        Key::restart("watchdog", "neap.Duration", "It must say WATCHDOG=1 on its notify socket at least this often.")
            .of(field!(watchdog)),
        Key::live(
            "volatile",
            "boolean",
            "Whether a process made at run time is forgotten when the instance or the machine goes down.",
        )
        .of(field!(volatile)),
        Key::live("watch", "string|string[]", "Paths whose change restarts it.").later("the watching of files"),
        Key::live("schedule", "string", "When it is started by the clock.").later("schedules"),
        Key::live("replicas", "integer", "How many of it there are.").later("replicas"),
        Key::live("rolling", "boolean", "Whether replicas are restarted one after the other.").later("replicas"),
    ],
);

/// `restart`.
pub static RESTART: Table = Table::new(
    "neap.Restart",
    "Policy and pace of automatic restarts.",
    &[
        Key::live(
            "policy",
            "neap.Policy",
            "Which ends are followed by another run (on-failure unless given; oneshot: never).",
        )
        .of(field!(restart.policy)),
        Key::live("delay", "neap.Duration", "The wait before the first automatic restart (1s unless given).")
            .of(field!(restart.delay)),
        Key::live(
            "factor",
            "number",
            "Each further wait is this many times the one before (2 unless given; 1 keeps it).",
        )
        .of(field!(restart.factor)),
        Key::live("max_delay", "neap.Duration", "No wait is longer than this (60s unless given).")
            .of(field!(restart.max_delay)),
        Key::live("jitter", "number", "Each wait varies by up to this share of it, 0 to 1 (0.1 unless given).")
            .of(field!(restart.jitter)),
        Key::live("limit", "neap.StartLimit", "How many automatic restarts are too many.").table(&START_LIMIT),
        Key::live(
            "reset_after",
            "neap.Duration",
            "A run that lived this long resets the delay and the count (60s unless given).",
        )
        .of(field!(restart.reset_after)),
    ],
);

/// `restart.limit`.
pub static START_LIMIT: Table = Table::new(
    "neap.StartLimit",
    "More automatic restarts than `burst` within `interval`, and a person must act.",
    &[
        Key::live(
            "burst",
            "integer",
            "Automatic restarts allowed within the interval (10 unless given); 0 sets no limit.",
        )
        .of(field!(restart.limit.burst)),
        Key::live("interval", "neap.Duration", "The window that they are counted in (10m unless given).")
            .of(field!(restart.limit.interval)),
    ],
);

/// `stop`.
pub static STOP: Table = Table::new(
    "neap.Stop",
    "A signal or a command, a wait, then SIGKILL until nothing of the tree is left.",
    &[
        Key::live("signal", "neap.Signal", "The signal that asks it to end (TERM unless given).")
            .of(fields::STOP_SIGNAL),
        Key::live("timeout", "neap.Duration", "How long to wait before SIGKILL (10s unless given).")
            .of(fields::STOP_TIMEOUT),
        Key::live(
            "mode",
            "\"control-group\"|\"process-group\"|\"process\"|\"mixed\"",
            "Who gets the signals (control-group unless given).",
        )
        .of(field!(stop.mode)),
        Key::live("command", "neap.Command", "Run in place of the first signal, which follows if it does not do.")
            .of(field!(stop.command)),
        Key::live(
            "sequence",
            "neap.StopStep[]",
            "Signals and waits, one after the other, in place of `signal` and `timeout`.",
        )
        .of(fields::STOP_SEQUENCE),
    ],
);

/// A rung of `stop.sequence`.
pub static STOP_STEP: Table = Table::new(
    "neap.StopStep",
    "A signal and how long to wait: `{ \"INT\", \"5s\" }`.",
    &[
        Key::live("signal", "neap.Signal", "The signal."),
        Key::live("timeout", "neap.Duration", "How long to wait before the next."),
    ],
);

/// `reload`.
pub static RELOAD: Table = Table::new(
    "neap.Reload",
    "A signal to the main process, or a command.",
    &[
        Key::live("signal", "neap.Signal", "The signal that makes it read its configuration again.")
            .of(fields::RELOAD_SIGNAL),
        Key::live("command", "neap.Command", "The command that makes it read its configuration again.")
            .of(fields::RELOAD_COMMAND),
        Key::reload(
            "on_change",
            "string",
            "What it reads, such as `neap.read \"app.conf\"`: when that changes, it is told to read it again.",
        )
        .of(field!(reload_on_change)),
    ],
);

/// `hooks`.
pub static HOOKS: Table = Table::new(
    "neap.Hooks",
    "What is done at a process's turning points.",
    &[
        Key::live(
            "before_start",
            "neap.Hook|neap.Hook[]",
            "Before the program is executed; a failure, or a function that returns false, fails the start.",
        )
        .of(hooks!(before_start)),
        Key::live("after_start", "neap.Hook|neap.Hook[]", "Once it is ready.").of(hooks!(after_start)),
        Key::live("before_stop", "neap.Hook|neap.Hook[]", "Before the first signal of a stop that was asked for.")
            .of(hooks!(before_stop)),
        Key::live(
            "after_stop",
            "neap.Hook|neap.Hook[]",
            "When a run is over and nothing of it is left, however it ended.",
        )
        .of(hooks!(after_stop)),
        Key::live(
            "on_failure",
            "neap.Hook|neap.Hook[]",
            "When it has failed or crashed and no further restart is due.",
        )
        .of(hooks!(on_failure)),
    ],
);

/// A hook written as a table.
pub static HOOK: Table = Table::new(
    "neap.HookTable",
    "A command or a function with a user and a timeout.",
    &[
        Key::live("command", "neap.Command", "Program and arguments, or text that is split like a shell would."),
        Key::live("shell", "string", "A line for `/bin/sh -c`, in place of `command`."),
        Key::live("fn", "neap.HookFunction", "A function, in place of `command`."),
        Key::live("user", "string|integer", "As whom the command runs (the process's own user unless given)."),
        Key::live("timeout", "neap.Duration", "After this it counts as failed and is killed (30s unless given)."),
    ],
)
.positional("fn");

/// `conditions`.
pub static CONDITIONS: Table = Table::new(
    "neap.Conditions",
    "What must hold for a start to be made; `!` before a value turns it round, and of those with `|` one is enough.",
    &[
        Key::live("path_exists", "string|string[]", "Paths that exist.").of(field!(conditions.path_exists)),
        Key::live("path_executable", "string|string[]", "Files that may be executed.")
            .of(field!(conditions.path_executable)),
        Key::live("file_not_empty", "string|string[]", "Files that are not empty.")
            .of(field!(conditions.file_not_empty)),
        Key::live("env", "string|string[]", "Environment variables that are set (`NAME`) or equal (`NAME=value`).")
            .of(field!(conditions.env)),
        Key::live(
            "check",
            "fun(process: neap.Process): boolean, string?",
            "Asked once all else holds: returns true, or false and a reason; an error is a failed start.",
        )
        .of(fields::CONDITION),
    ],
);

/// `limits`.
pub static LIMITS: Table = Table::new(
    "neap.Limits",
    "What a process's tree may use.",
    &[
        Key::live("memory", "neap.Size", "Memory, swap included; beyond that the kernel kills.")
            .of(field!(limits.memory)),
        Key::live("memory_high", "neap.Size", "Memory from which on it is slowed down.").of(field!(limits.memory_high)),
        Key::live("memory_low", "neap.Size", "Memory kept for it under pressure.").of(field!(limits.memory_low)),
        Key::live("cpu", "number|string", "Cores such as 1.5, or thousandths of one such as \"500m\".")
            .of(field!(limits.cpu_millis)),
        Key::live("cpu_weight", "integer", "Share of the processor under contention, 1 to 10000.")
            .of(field!(limits.cpu_weight)),
        Key::live("pids", "integer", "Processes and threads.").of(field!(limits.pids)),
        Key::live("io_weight", "integer", "Share of disk bandwidth under contention, 1 to 10000.")
            .of(field!(limits.io_weight)),
        Key::restart(
            "oom_score_adj",
            "integer",
            "How readily the kernel picks it when memory runs out, -1000 to 1000.",
        )
        .of(field!(limits.oom_score_adj)),
    ],
);

const RLIMIT_TYPE: &str = "integer|string|neap.Rlimit";

/// `rlimits`.
pub static RLIMITS: Table = Table::new(
    "neap.Rlimits",
    "Resource limits of setrlimit(2): a number, a size, \"infinity\", or soft and hard apart.",
    &[
        Key::restart("as", RLIMIT_TYPE, "Address space, in bytes."),
        Key::restart("core", RLIMIT_TYPE, "Size of a core dump, in bytes."),
        Key::restart("cpu", RLIMIT_TYPE, "Processor time, in seconds."),
        Key::restart("data", RLIMIT_TYPE, "Data segment, in bytes."),
        Key::restart("fsize", RLIMIT_TYPE, "Size of a file it writes, in bytes."),
        Key::restart("locks", RLIMIT_TYPE, "File locks."),
        Key::restart("memlock", RLIMIT_TYPE, "Locked memory, in bytes."),
        Key::restart("msgqueue", RLIMIT_TYPE, "POSIX message queues, in bytes."),
        Key::restart("nice", RLIMIT_TYPE, "How far nice may be lowered, as 20 minus the value."),
        Key::restart("nofile", RLIMIT_TYPE, "Open files."),
        Key::restart("nproc", RLIMIT_TYPE, "Processes and threads of its user."),
        Key::restart("rss", RLIMIT_TYPE, "Resident memory, in bytes; Linux ignores it."),
        Key::restart("rtprio", RLIMIT_TYPE, "Real-time priority."),
        Key::restart("rttime", RLIMIT_TYPE, "Real-time processor time without a pause, in microseconds."),
        Key::restart("sigpending", RLIMIT_TYPE, "Queued signals."),
        Key::restart("stack", RLIMIT_TYPE, "Stack, in bytes."),
    ],
);

/// One of `rlimits` with soft and hard apart.
pub static RLIMIT: Table = Table::new(
    "neap.Rlimit",
    "What is enforced, and how far the process may raise it.",
    &[
        Key::restart("soft", "integer|string", "What is enforced."),
        Key::restart("hard", "integer|string", "How far the process may raise it."),
    ],
);

/// `log`.
pub static LOG: Table = Table::new(
    "neap.Log",
    "What happens to what a process prints.",
    &[
        Key::live("ring", "neap.Size", "How much of the newest output is kept in memory (64KiB unless given).")
            .of(field!(log.ring)),
        Key::live("file", "string", "A file that captured lines are also written to.").of(field!(log.file)),
        Key::live("max_size", "neap.Size", "The size at which that file is rotated (10MiB unless given).")
            .of(field!(log.max_size)),
        Key::live("keep", "integer", "How many rotated files are kept (5 unless given).").of(field!(log.keep)),
        Key::restart("stdout", "neap.Stream", "Where standard output goes.").of(field!(log.stdout)),
        Key::restart("stderr", "neap.Stream", "Where standard error goes.").of(field!(log.stderr)),
    ],
);

/// `neap.listen`.
pub static LISTEN: Table = Table::new(
    "neap.Listen",
    "A socket that is held for a process.",
    &[
        Key::restart(
            "tcp",
            "string|integer",
            "A TCP address, `127.0.0.1:8080`, or a port on 127.0.0.1; with port 0 the kernel chooses one.",
        ),
        Key::restart("udp", "string|integer", "A UDP address, likewise."),
        Key::restart(
            "unix",
            "string",
            "The path of a Unix stream socket; `@name` is in the abstract namespace, here and in the next two.",
        ),
        Key::restart("unix_dgram", "string", "The path of a Unix datagram socket."),
        Key::restart("unix_seqpacket", "string", "The path of a Unix seqpacket socket."),
        Key::restart("fifo", "string", "The path of a FIFO."),
        Key::restart("name", "string", "Its name in LISTEN_FDNAMES (the process's unless given)."),
        Key::restart(
            "accept",
            "boolean|integer",
            "One instance a connection, at most this many at a time (64 for true).",
        ),
        Key::restart(
            "idle_stop",
            "neap.Duration",
            "Stops the process after it had no connection for this long; the next one starts it again.",
        ),
        Key::restart("mode", "neap.Mode", "Mode of a path (\"0660\" unless given)."),
        Key::restart("user", "string|integer", "Owner of a path."),
        Key::restart("group", "string|integer", "Group of a path."),
        Key::restart("backlog", "integer", "Connections that the kernel may queue (4096 unless given)."),
        Key::restart("fd_env", "string", "Variable that carries the listener's descriptor number."),
        Key::restart(
            "client_fd_env",
            "string",
            "Variable that carries the descriptor number of the first connection, accepted already; with accept, of the instance's.",
        ),
    ],
);

/// An entry of `env_file` written as a table.
pub static ENV_FILE: Table = Table::new(
    "neap.EnvFile",
    "A file of variables.",
    &[
        Key::restart("path", "string", "Where it is."),
        Key::restart("optional", "boolean", "Whether it may be missing."),
    ],
);

/// A directory that is made for a process.
pub static DIRECTORY: Table = Table::new(
    "neap.Directory",
    "A directory that is made for a process and belongs to its user and group.",
    &[
        Key::restart("path", "string", "Its name, below the place for its kind."),
        Key::restart("mode", "neap.Mode", "Its mode as octal text (\"0755\" unless given)."),
    ],
);

/// Named types that are not tables.
pub static ALIASES: [Alias; 10] = [
    Alias { name: "neap.Duration", lua: "number|string", doc: "Seconds, or text such as \"1h30m\" or \"250ms\"." },
    Alias { name: "neap.Size", lua: "integer|string", doc: "Bytes, or text such as \"512MiB\" or \"1G\"." },
    Alias { name: "neap.Mode", lua: "string", doc: "An octal mode as text such as \"0660\"." },
    Alias { name: "neap.Signal", lua: "string|integer", doc: "\"TERM\", \"SIGTERM\" or 15." },
    Alias { name: "neap.Command", lua: "string|string[]", doc: "A list, or text that is split like a shell would." },
    Alias {
        name: "neap.Names",
        lua: "string|neap.Process|(string|neap.Process)[]",
        doc: "Names or handles of processes; one stands for a list of one.",
    },
    Alias {
        name: "neap.Policy",
        lua: "\"never\"|\"always\"|\"on-failure\"|\"on-success\"|\"on-abnormal\"|\"on-abort\"|\"on-watchdog\"",
        doc: "Which ends of a process are followed by another run.",
    },
    Alias {
        name: "neap.Stream",
        lua: "\"capture\"|\"inherit\"|\"null\"|string",
        doc: "Where a stream of output goes; any other text is a path.",
    },
    Alias {
        name: "neap.HookFunction",
        lua: "fun(process: neap.Process, run: neap.Run): boolean?",
        doc: "A function as a hook.",
    },
    Alias {
        name: "neap.Hook",
        lua: "string|string[]|neap.HookTable|neap.HookFunction",
        doc: "Something that is done at a turning point.",
    },
];
