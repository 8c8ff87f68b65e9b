//! What the commands that talk to a running instance take.

use crate::cli::times::Moment;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::flags::SpecFlags;
use crate::core::StateName;
use crate::spec::units::parse_duration;

/// The commands.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// The instance at a glance; with NAME, one process: its state, why, and its last lines
    Status(Status),
    /// The processes, one line each
    #[command(visible_alias = "ps")]
    List(List),
    /// Everything known of processes, their configuration included
    Describe(Describe),
    /// Start processes, and wait until they are ready
    Start(Act),
    /// Stop processes, what depends on them first, and wait until nothing of them is left
    Stop(Act),
    /// Stop and start processes, with what depends on them, and wait until they are ready
    Restart(Act),
    /// Have processes read their configuration again
    Reload(Reload),
    /// Send a signal to a process's main process
    Signal(Signal),
    /// Wait until processes are in a state
    Wait(Wait),
    /// Say what `apply` would do, key by key; change nothing
    Plan(Plan),
    /// Make the running instance what its configuration says, all or nothing
    Apply(Apply),
    /// Make a process at run time, kept over restarts and reboots; with --auto-start it is started
    Create(Create),
    /// Change what a process is; of a configured one an override, which the next apply takes back
    Update(Update),
    /// Forget a process that was made at run time
    Delete(Delete),
    /// What processes printed
    Logs(Logs),
    /// What happened, and why
    Events(Events),
    /// Why a process is in its state: the causes down to the first, and what it waits for
    Why(Why),
    /// How processes are related, with their states: as text, dot, mermaid or SVG
    Graph(Graph),
    /// Attach a Lua prompt to the instance; Ctrl-D detaches, and stops nothing
    Repl(Repl),
    /// Evaluate Lua in the instance, and print what it comes to
    Eval(Eval),
    /// What processes use: processor, memory, processes, disks
    Stats(Stats),
    /// Whether the instance, or a process, is well: exit code 0 when it is
    Health(Health),
    /// Run a command in a process's environment and folder, as its user
    Exec(Exec),
    /// Stop everything in order and end the instance
    Down(Down),
    /// Have a new binary take over the instance; no process notices
    Upgrade(Upgrade),
}

/// `neap why`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
}

/// `neap graph`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Graph {
    /// Only these and what they are related to: names, ids or globs [default: all]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// What it is drawn as
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(in crate::cli) format: GraphFormat,
}

/// Languages that a graph may be drawn in.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(in crate::cli) enum GraphFormat {
    /// A tree
    #[default]
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A picture
    Svg,
}

/// `neap list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only these: names, ids or globs
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Only those in one of these states
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = state)]
    pub(in crate::cli) state: Vec<StateName>,
    /// Only those in one of these groups (neap.group): names or globs
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',')]
    pub(in crate::cli) group: Vec<String>,
    /// Only those of this health
    #[arg(long, value_name = "HEALTH", value_parser = ["unknown", "starting", "healthy", "unhealthy"])]
    pub(in crate::cli) health: Option<String>,
    /// A line a group, or a family of names (web-1, web-2, …), with how many of it are in which state
    #[arg(long)]
    pub(in crate::cli) brief: bool,
}

/// `neap stats`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Stats {
    /// Only these: names, ids or globs [default: all]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Measure for so long; 0 gives no rates, at once [default: 500ms; with --follow 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) interval: Option<Duration>,
    /// Go on until Ctrl-C: a line for each process after each interval
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
}

/// `neap health`.
#[derive(Debug, Args)]
#[command(
    after_help = "A process is well when its health check says so; without one, when it runs, or has ended with \
    success. The instance is well when it is ready and nothing of it is unhealthy, failed, crashed or in backoff; --wait \
    also waits until what has a health check and is to come up has passed it."
)]
pub(in crate::cli) struct Health {
    /// Only these: names, ids or globs [default: the whole instance]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Wait until it is well
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// Wait this long at most, then exit with 7
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// `neap exec`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: the command's own; 127 not found, 126 not executable; before that, as for every \
    command. It is no part of the process: it is not supervised, and no stop ends it.")]
pub(in crate::cli) struct Exec {
    /// A name or an id
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// The program and its arguments, never seen by a shell
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(in crate::cli) command: Vec<OsString>,
}

/// `neap status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    /// A process: a name, an id, or a glob for several
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: Option<String>,
}

/// `neap describe`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Describe {
    /// Names, ids or globs
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
}

/// How an acting command waits.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Waiting {
    /// Ask, and do not wait for the outcome
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
    /// Wait this long at most, then exit with 7; what was asked for goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "no_wait")]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// `neap start`, `stop` and `restart`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Act {
    /// Names, ids or globs
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// `neap reload`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Reload {
    /// Names, ids or globs
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
}

/// `neap signal`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Signal {
    /// A name, an id or a glob
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// HUP, SIGHUP or 1
    #[arg(value_name = "SIGNAL")]
    pub(in crate::cli) signal: String,
}

/// `neap wait`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Wait {
    /// Names, ids or globs
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// The state to wait for, or one of several [default: running, or exited with success]
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = state)]
    pub(in crate::cli) state: Vec<StateName>,
    /// Wait this long at most, then exit with 7
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// `neap plan`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Plan {
    /// A .lua or .yaml file, or a folder of them [default: what the instance was started with]
    #[arg(value_name = "CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Exit with 1 when anything differs
    #[arg(long)]
    pub(in crate::cli) exit_code: bool,
}

/// `neap apply`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    /// A .lua or .yaml file, or a folder of them [default: what the instance was started with]
    #[arg(value_name = "CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
    /// Say what would change, and change nothing: what `plan` does
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// `neap create`.
#[derive(Debug, Args)]
#[command(override_usage = "neap create NAME [OPTIONS] -- CMD…")]
pub(in crate::cli) struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
    /// Say what is wrong with it, if anything is, and make nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// The program and its arguments, never seen by a shell
    #[arg(last = true, value_name = "CMD")]
    pub(in crate::cli) command: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) spec: SpecFlags,
}

/// `neap update`.
#[derive(Debug, Args)]
#[command(override_usage = "neap update NAME [OPTIONS] [-- CMD…]")]
pub(in crate::cli) struct Update {
    /// A name or an id
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// Restart it if a change needs that, and wait until it is ready
    #[arg(long)]
    pub(in crate::cli) restart_process: bool,
    /// Take keys back to their defaults: `health`, `env.PORT`
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) unset: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Another program and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(in crate::cli) command: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) spec: SpecFlags,
}

/// `neap delete`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// Names, ids or globs
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Stop it first
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Wait this long at most, then exit with 7; what was asked for goes on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// `neap logs`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// Only these: names, ids or globs [default: all]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Go on with what is printed from now on, across restarts of processes and of Neap itself
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// Begin with this many of the last lines [default: 100; with -f, 10; with --since or --run all]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub(in crate::cli) lines: Option<u32>,
    /// Only what was printed from then on: 10m (ago), 14:05, today, "2026-11-23 14:05", 2026-11-23T14:05:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(in crate::cli) since: Option<Moment>,
    /// Only what one run printed: its number, last (or 0), -1 for the one before
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = run_number)]
    pub(in crate::cli) run: Option<i64>,
}

fn since(text: &str) -> Result<Moment, String> {
    Moment::parse(text, Moment::now(), crate::driver::sys::utc_offset)
}

fn run_number(text: &str) -> Result<i64, String> {
    match text {
        "last" => Ok(0),
        text => text.parse().map_err(|_| "expected a number such as 3 or -1, or `last`".to_owned()),
    }
}

/// `neap events`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Events {
    /// Only of these: names, ids or globs [default: all]
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Go on with what happens from now on, across restarts of Neap itself
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
}

/// `neap repl`.
#[derive(Debug, Args)]
#[command(
    after_help = "At its prompt, :help tells what there is. Not on a terminal it evaluates the lines of stdin, and \
    ends with the first that fails."
)]
pub(in crate::cli) struct Repl {
    /// Look only: whatever would change anything is refused
    #[arg(long)]
    pub(in crate::cli) read_only: bool,
}

/// `neap eval`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Eval {
    /// An expression or statements; - reads them from stdin
    #[arg(value_name = "LUA")]
    pub(in crate::cli) lua: String,
    /// Look only: whatever would change anything is refused
    #[arg(long)]
    pub(in crate::cli) read_only: bool,
    /// Cut it off after this long, and exit with 7
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// `neap down`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Down {
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
}

/// `neap upgrade`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Upgrade {
    /// The new binary [default: what stands where the running one was started from]
    #[arg(value_name = "BINARY")]
    pub(in crate::cli) binary: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) waiting: Waiting,
}

fn state(text: &str) -> Result<StateName, String> {
    let found = StateName::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| {
        let words: Vec<&str> = StateName::ALL.iter().map(|state| state.as_str()).collect();
        format!("the states are {}", words.join(", "))
    })
}

pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
