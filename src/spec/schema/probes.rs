//! The keys of the probe constructors.

use super::{Key, Table};

const HEALTH_ONLY: [Key; 6] = [
    Key::live("interval", "neap.Duration", "From the end of one probe to the start of the next."),
    Key::live("timeout", "neap.Duration", "An answer later than this is a failure."),
    Key::live("retries", "integer", "Failures in a row that make it unhealthy (health only)."),
    Key::live("successes", "integer", "Successes in a row that make it healthy again (health only)."),
    Key::live("start_period", "neap.Duration", "Failures do not count for this long after the start (health only)."),
    Key::live("restart_after", "integer", "Failures in a row after which it is restarted; 0 never does (health only)."),
];

/// The keys that every probe has.
pub static PACE: Table = Table::new("neap.Pace", "The pace and the thresholds of a probe.", &HEALTH_ONLY);

/// `neap.http`.
pub static HTTP: Table = Table::new(
    "neap.Http",
    "A request that must be answered as expected.",
    &[
        Key::live("url", "string", "`http://host:port/path`, or `unix:/path/to.sock:/path` for a socket."),
        Key::live("method", "string", "The request's method (GET unless given)."),
        Key::live(
            "expected_status",
            "integer|string|(integer|string)[]",
            "Status codes that are a success: 200, \"200-299\", or a list of these.",
        ),
        Key::live("headers", "table<string, string>", "Headers sent with the request."),
        Key::live("body", "string", "Text that the body of the answer must contain."),
    ],
)
.with(&PACE)
.positional("url");

/// `neap.tcp`.
pub static TCP: Table = Table::new(
    "neap.Tcp",
    "A connection that must be accepted.",
    &[
        Key::live("host", "string", "The host's name or address (127.0.0.1 unless given)."),
        Key::live("port", "integer", "The port."),
    ],
)
.with(&PACE)
.positional("port");

/// `neap.exec`.
pub static EXEC: Table = Table::new(
    "neap.Exec",
    "A command that must exit with 0, in the process's environment and as its user.",
    &[Key::live("command", "neap.Command", "Program and arguments, or text that is split like a shell would.")],
)
.with(&PACE)
.positional("command");

/// `neap.logline`.
pub static LOGLINE: Table = Table::new(
    "neap.LogLine",
    "A line of output that says that a process is ready.",
    &[Key::live("pattern", "string", "A regular expression, matched within one line of its output.")],
)
.positional("pattern");

/// `neap.check`.
pub static CHECK: Table = Table::new(
    "neap.Check",
    "A function that tells whether a process is well.",
    &[Key::live(
        "fn",
        "fun(process: neap.Process): boolean, string?",
        "Returns true, or false and a reason; an error is a failure, too.",
    )],
)
.with(&PACE)
.positional("fn");
