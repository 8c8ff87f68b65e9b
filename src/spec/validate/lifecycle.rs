//! Checks of how a process becomes ready, is watched, ends and comes back.

use regex::RegexBuilder;

use super::super::probe::{HttpProbe, ProbeTarget, Ready};
use super::super::process::{ProcessType, Stream};
use super::super::restart::RestartPolicy;
use super::super::signal::Signal;
use super::super::stop::Reload;
use super::super::units::{format_duration, quote};
use super::super::url::ProbeUrl;
use super::check::Check;

/// The largest compiled pattern, in bytes; larger ones are built to hurt.
const LARGEST_PATTERN: usize = 1 << 20;

/// The longest ladder of a stop.
const MOST_STEPS: usize = 32;

/// The largest factor of a growing delay.
const LARGEST_FACTOR: f64 = 1_000.0;

impl Check<'_> {
    /// Everything after the start.
    pub(super) fn lifecycle(&mut self) {
        let spec = self.spec;
        self.type_and_readiness();
        self.health();
        self.restart();
        for code in spec.success_exit_status.iter().filter(|code| !(0..=255).contains(*code)) {
            self.error("success_exit_status", format!("an exit code is from 0 to 255, not {code}"));
        }
        self.stop();
        if spec.start_timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.error("start_timeout", "must be longer than 0; \"infinity\" waits for ever");
        }
        match &spec.reload {
            Some(Reload::Command(command)) => self.command("reload.command", command),
            Some(Reload::Signal(signal)) if *signal == Signal::KILL || signal.number() == 19 => {
                self.error("reload.signal", format!("{signal} cannot be caught, so it cannot ask for anything"));
            }
            None if spec.reload_on_change.is_some() => {
                self.error("reload", "needs a `signal` or a `command`: `on_change` says when, and not how");
            }
            _ => {}
        }
        self.hooks("before_start", &spec.hooks.before_start);
        self.hooks("after_start", &spec.hooks.after_start);
        self.hooks("before_stop", &spec.hooks.before_stop);
        self.hooks("after_stop", &spec.hooks.after_stop);
        self.hooks("on_failure", &spec.hooks.on_failure);
        if let Some(watchdog) = spec.watchdog {
            self.more_than_zero("watchdog", watchdog);
        }
        let never_ends = spec.restart.policy == RestartPolicy::Always && spec.restart.limit.burst == 0;
        if spec.critical && never_ends {
            let why = "never acts: restarted always and without a limit, this process never ends for good";
            self.warning("critical", why);
        }
    }

    fn type_and_readiness(&mut self) {
        let spec = self.spec;
        let oneshot = spec.process_type == ProcessType::Oneshot;
        if spec.remain && !oneshot {
            self.warning("remain", "means something for a oneshot only");
        }
        if oneshot && spec.ready != Ready::Executed {
            self.error("ready", "a oneshot is ready when it ended with success, and by nothing else");
        }
        match &spec.ready {
            Ready::Health if spec.health.is_none() => {
                self.error("ready", "is by health, but there is no `health` check");
            }
            Ready::Probe(probe) => {
                self.target("ready", &probe.target);
                if let Some(interval) = probe.interval {
                    self.more_than_zero("ready.interval", interval);
                }
                if let Some(timeout) = probe.timeout {
                    self.more_than_zero("ready.timeout", timeout);
                }
            }
            Ready::LogLine(line) => {
                if let Err(error) = RegexBuilder::new(&line.pattern).size_limit(LARGEST_PATTERN).build() {
                    let message = format!("{} is not a regular expression: {}", quote(&line.pattern), reason(&error));
                    self.error("ready.pattern", message);
                }
                let log = &self.spec.log;
                if [&log.stdout, &log.stderr].into_iter().all(|stream| *stream != Stream::Capture) {
                    let message = format!(
                        "waits for a line, and none of its output is read: set `{}` or `{}` to \"capture\"",
                        self.called("log.stdout"),
                        self.called("log.stderr")
                    );
                    self.warning("ready", message);
                }
            }
            Ready::Executed | Ready::Notify | Ready::Health => {}
        }
    }

    fn health(&mut self) {
        let Some(health) = &self.spec.health else { return };
        self.target("health", &health.target);
        self.more_than_zero("health.interval", health.interval);
        self.more_than_zero("health.timeout", health.timeout);
        for (field, count) in [("health.retries", health.retries), ("health.successes", health.successes)] {
            if count == 0 {
                self.error(field, "must be more than 0");
            }
        }
    }

    fn target(&mut self, field: &str, target: &ProbeTarget) {
        match target {
            ProbeTarget::Http(http) => self.http(field, http),
            ProbeTarget::Tcp { host, port } => {
                if host.is_empty() || host.contains(char::is_whitespace) {
                    self.error(&format!("{field}.host"), format!("{} is not a host", quote(host)));
                }
                if *port == 0 {
                    self.error(&format!("{field}.port"), "a port is a number from 1 to 65535");
                }
            }
            ProbeTarget::Exec(command) => self.command(&format!("{field}.command"), command),
            ProbeTarget::Function(_) => {}
        }
    }

    fn http(&mut self, field: &str, http: &HttpProbe) {
        if let Err(message) = ProbeUrl::parse(&http.url) {
            self.error(&format!("{field}.url"), message);
        }
        if http.method.is_empty() || !http.method.bytes().all(is_token) {
            self.error(&format!("{field}.method"), format!("{} is not an HTTP method", quote(&http.method)));
        }
        let in_range = |(low, high): &(u16, u16)| (100..=599).contains(low) && (*low..=599).contains(high);
        if http.expected_status.is_empty() {
            self.error(&format!("{field}.expected_status"), "is empty, so no answer could be a success");
        }
        if !http.expected_status.iter().all(in_range) {
            self.error(&format!("{field}.expected_status"), "status codes are from 100 to 599");
        }
        for (name, value) in &http.headers {
            let fits = !name.is_empty() && name.bytes().all(is_token) && !value.contains(['\r', '\n', '\0']);
            if !fits {
                let message = format!("{} with {} is not an HTTP header", quote(name), quote(value));
                self.error(&format!("{field}.headers"), message);
            }
        }
    }

    fn restart(&mut self) {
        let spec = self.spec;
        let restart = &spec.restart;
        if spec.process_type == ProcessType::Oneshot && restart.policy == RestartPolicy::Always {
            let why = "a oneshot that is restarted always is never done; use \"on-failure\", or the type \"simple\"";
            self.error("restart.policy", why);
        }
        if !(1.0..=LARGEST_FACTOR).contains(&restart.factor) {
            self.error("restart.factor", format!("is from 1 to {LARGEST_FACTOR}, not {}", restart.factor));
        }
        if !(0.0..=1.0).contains(&restart.jitter) {
            self.error("restart.jitter", format!("is a share from 0 to 1, not {}", restart.jitter));
        }
        if restart.delay > restart.max_delay {
            let [delay, most] = ["restart.delay", "restart.max_delay"];
            let length = self.shown(delay, format_duration(restart.delay));
            let longest = self.shown(most, format_duration(restart.max_delay));
            // The one that was written is the one to mend.
            if self.is_given(most) && !self.is_given(delay) {
                let other = self.called(delay);
                self.error(most, format!("is shorter ({longest}) than {other}, which is {length} unless it is given"));
            } else {
                let other = self.called(most);
                self.error(delay, format!("is longer ({length}) than {other} ({longest})"));
            }
        }
        if restart.limit.burst > 0 && restart.limit.interval.is_zero() {
            let burst = self.called("restart.limit.burst");
            let burst = burst.strip_prefix("restart.limit.").unwrap_or(&burst);
            self.error("restart.limit.interval", format!("must be longer than 0; a {burst} of 0 sets no limit"));
        }
    }

    fn stop(&mut self) {
        let stop = &self.spec.stop;
        if let Some(command) = &stop.command {
            self.command("stop.command", command);
        }
        if stop.sequence.is_empty() {
            self.error("stop.sequence", "is empty; it needs at least one signal and its wait");
        }
        if stop.sequence.len() > MOST_STEPS {
            self.error("stop.sequence", format!("has more than {MOST_STEPS} steps"));
        }
    }
}

/// Characters of a token (RFC 9110).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What is wrong with a pattern, in one line.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large".into(),
        _ => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}
