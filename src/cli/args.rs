//! What may be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::client::args as client;
use super::completions::Shell;
use super::report::{Format, Level};
use crate::rpc::Role;
use crate::spec::RestartPolicy;

/// Supervises processes: starts them in order, brings back what crashes, leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "neap", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 it failed, 2 usage, 3 no such process, 4 refused in this state, \
    5 cannot reach the instance, 6 not permitted, 7 timed out.")]
pub(super) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(super) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What the program is called.
pub(super) const NAME: &str = "neap";
/// Where the flags of every command stand in the help.
const GLOBAL: &str = "Options of every command";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// When to colour: auto means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN", help_heading = GLOBAL)]
    pub(super) color: ColorWhen,
    /// Say less: only what processes print, and what goes wrong
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub(super) quiet: bool,
    /// Say more: pids, signals, causes
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(super) verbose: bool,
    /// Answer as JSON: the result on stdout, an error as one object on stderr
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) json: bool,
    /// The control socket of the instance that is meant, or tcp:HOST:PORT
    #[arg(long, global = true, value_name = "PATH", env = "NEAP_SOCKET", hide_env_values = true, help_heading = GLOBAL)]
    pub(super) socket: Option<PathBuf>,
    /// The instance that is meant: user, system, or a folder with a neap.lua or neap.yaml
    #[arg(long, global = true, value_name = "user|system|DIR", conflicts_with = "socket", help_heading = GLOBAL)]
    pub(super) instance: Option<String>,
    /// The words behind the program's name, as every further supervisor of the same anchor is to get them.
    #[arg(skip)]
    pub(super) line: Vec<OsString>,
    /// What errors begin with.
    #[arg(skip = NAME)]
    pub(super) called: &'static str,
}

/// When to colour. What the words mean, the flag says: said of each again, it would take up half of every help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Supervise what a configuration declares, in the foreground, until Ctrl-C or nothing can run again
    Up(Up),
    /// Supervise what a configuration declares, without a terminal: for service managers, containers and init scripts
    Daemon(Daemon),
    /// Supervise one command, without a configuration; exits with its code
    Run(Run),
    /// Evaluate and validate a configuration; start nothing
    Check(Check),
    /// Write the Lua that means what a YAML file means
    Import(Import),
    /// Write the Lua definitions that editors complete and check configurations with
    Types(Types),
    /// Teach a shell to complete commands, flags, and the names of the instance's processes
    Completions(Completions),
    /// Commands to a running instance
    #[command(flatten)]
    Client(client::Command),
}

/// Which configuration, evaluated how.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// A .lua or .yaml file, or a folder of them [default: ./neap.lua or ./neap.yaml, else neap/neap.lua in the user's configuration folder]
    #[arg(value_name = "CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Profiles that `neap.profile` answers to, separated by commas
    #[arg(long, value_name = "P,…", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) profile: Vec<String>,
}

/// Where an instance's figures go.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TelemetryArgs {
    /// Serve an OpenMetrics page there: unix:PATH or tcp:HOST:PORT, loopback alone. May be repeated [default: what
    /// neap.settings says]
    #[arg(long, value_name = "ADDR", action = ArgAction::Append)]
    pub(super) metrics: Vec<String>,
    /// Let other machines reach that page, too: whoever is there can read it
    #[arg(long)]
    pub(super) metrics_beyond_loopback: bool,
    /// Send DogStatsD datagrams to the agent there: udp:HOST:PORT or unix:PATH. May be repeated [default: what
    /// neap.settings says]
    #[arg(long, value_name = "ADDR", action = ArgAction::Append)]
    pub(super) dogstatsd: Vec<String>,
}

/// `neap up`.
#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Start only these (names or globs), and what they need
    #[arg(long, value_name = "NAME", num_args = 1.., action = ArgAction::Append)]
    pub(super) only: Vec<String>,
    /// Leave it in the background once it is up, or apply the configuration when it is already
    #[arg(short, long)]
    pub(super) detach: bool,
    #[command(flatten)]
    pub(super) telemetry: TelemetryArgs,
}

/// `neap daemon`.
#[derive(Debug, Args)]
#[command(
    after_help = "TERM and INT stop everything in order, a second one at once; HUP applies the configuration anew."
)]
pub(super) struct Daemon {
    /// A .lua or .yaml file, or a folder of them [default: the user's neap/neap.lua; for root /etc/neap/neap.lua, else
    /// /etc/neap/conf.d; without any it starts empty]
    #[arg(value_name = "CONFIG", conflicts_with = "config_dir")]
    pub(super) config: Option<PathBuf>,
    /// A folder of configurations
    #[arg(long, value_name = "DIR")]
    pub(super) config_dir: Option<PathBuf>,
    /// Start empty when there is no such configuration; how `dd-procmgrd` takes the folder that is its default
    #[arg(long, hide = true)]
    pub(super) may_be_missing: bool,
    /// Profiles that `neap.profile` answers to, separated by commas
    #[arg(long, value_name = "P,…", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) profile: Vec<String>,
    /// Start only these (names or globs), and what they need
    #[arg(long, value_name = "NAME", num_args = 1.., action = ArgAction::Append, hide = true)]
    pub(super) only: Vec<String>,
    /// Listen there, too: unix:PATH or tcp:HOST:PORT; beyond loopback with the TLS files below alone. May be repeated
    #[arg(long, value_name = "ADDR", action = ArgAction::Append)]
    pub(super) listen: Vec<String>,
    /// The certificate that TCP clients are shown (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// The authorities whose clients are let in (PEM); a client without a certificate is not
    #[arg(long, value_name = "FILE")]
    pub(super) tls_client_ca: Option<PathBuf>,
    /// What those clients may do: look, act on processes, or all
    #[arg(long, value_enum, default_value_t = TlsRole::Observer, value_name = "ROLE")]
    pub(super) tls_role: TlsRole,
    /// The least serious messages to write to stderr [default: what neap.settings says, else info]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(super) log_level: Option<Level>,
    /// How they are written [default: what neap.settings says, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) log_format: Option<Format>,
    #[command(flatten)]
    pub(super) telemetry: TelemetryArgs,
    /// In a session of its own; how `up --detach` starts it
    #[arg(long, hide = true)]
    pub(super) detached: bool,
}

/// What clients with a certificate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TlsRole {
    Observer,
    Operator,
    Admin,
}

impl From<TlsRole> for Role {
    fn from(role: TlsRole) -> Self {
        match role {
            TlsRole::Observer => Role::Observer,
            TlsRole::Operator => Role::Operator,
            TlsRole::Admin => Role::Admin,
        }
    }
}

/// `neap run`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: the command's own; 128 and the signal's number when one ended it; 127 not found, \
    126 not executable, 125 Neap itself failed.")]
pub(super) struct Run {
    /// When to start it again
    #[arg(long, value_enum, default_value_t = Policy::Never, value_name = "POLICY")]
    pub(super) restart: Policy,
    /// What to call it [default: the program's file name]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The program and its arguments, never seen by a shell
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// `neap check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Fail on warnings, too
    #[arg(long)]
    pub(super) strict: bool,
    /// It is for another host: do not look for its users, programs and folders on this one
    #[arg(long)]
    pub(super) elsewhere: bool,
}

/// `neap import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// A .yaml file, or a folder of them
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Where to write it, as a new file [default: stdout]
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
}

/// `neap types`.
#[derive(Debug, Args)]
pub(super) struct Types {
    /// Where to write them
    #[arg(default_value = ".", value_name = "DIR")]
    pub(super) dir: PathBuf,
}

/// `neap completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which one; the script goes to stdout
    #[arg(value_enum, value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// [`RestartPolicy`] as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Policy {
    /// Not at all
    Never,
    /// However it ended
    Always,
    /// When it ended badly
    OnFailure,
    /// When it ended with success
    OnSuccess,
    /// On a signal, a timeout or a missed watchdog
    OnAbnormal,
    /// On a signal that is not a clean one
    OnAbort,
    /// On a missed watchdog
    OnWatchdog,
}

impl From<Policy> for RestartPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Never => RestartPolicy::Never,
            Policy::Always => RestartPolicy::Always,
            Policy::OnFailure => RestartPolicy::OnFailure,
            Policy::OnSuccess => RestartPolicy::OnSuccess,
            Policy::OnAbnormal => RestartPolicy::OnAbnormal,
            Policy::OnAbort => RestartPolicy::OnAbort,
            Policy::OnWatchdog => RestartPolicy::OnWatchdog,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, Policy};

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_takes_several_names_and_repeats() {
        let cli = Cli::try_parse_from(["neap", "up", "a.lua", "--only", "web", "db", "--only", "x"]).unwrap();
        let Command::Up(up) = cli.command else { panic!("not up") };
        assert_eq!(up.only, ["web", "db", "x"]);
        assert_eq!(up.config.config.unwrap().to_str(), Some("a.lua"));
    }

    #[test]
    fn everything_after_the_dashes_is_the_command() {
        let cli = Cli::try_parse_from(["neap", "run", "--restart", "on-failure", "--", "sh", "-c", "--name"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(run.restart, Policy::OnFailure);
        assert_eq!(run.command, ["sh", "-c", "--name"]);
        assert!(Cli::try_parse_from(["neap", "run"]).is_err());
    }

    #[test]
    fn profiles_are_split_at_commas() {
        let cli = Cli::try_parse_from(["neap", "check", "--profile", "prod,eu", "--profile", "x"]).unwrap();
        let Command::Check(check) = cli.command else { panic!("not check") };
        assert_eq!(check.config.profile, ["prod", "eu", "x"]);
    }
}
