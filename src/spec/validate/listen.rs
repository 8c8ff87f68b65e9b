//! Checks of listeners.

use super::super::listener::{ListenAddress, Listener, clash};
use super::super::probe::Ready;
use super::super::process::ProcessType;
use super::super::units::quote;
use super::check::Check;

/// The longest name of a listener (sd_listen_fds_with_names(3)).
const LONGEST_NAME: usize = 255;

/// The longest queue that listen(2) can be asked for.
const LONGEST_BACKLOG: u32 = i32::MAX as u32;

/// Variables that are given to a process with listeners anyway.
const TAKEN: [&str; 6] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "REMOTE_ADDR", "REMOTE_PORT"];

impl Check<'_> {
    /// `listen`: each by itself, and beside the others.
    pub(super) fn listeners(&mut self) {
        let spec = self.spec;
        let fields: Vec<String> = (1..=spec.listen.len())
            .map(|place| if spec.listen.len() == 1 { "listen".to_owned() } else { format!("listen[{place}]") })
            .collect();
        for (listener, field) in spec.listen.iter().zip(&fields) {
            self.listener(field, listener);
        }
        for (place, (listener, field)) in spec.listen.iter().zip(&fields).enumerate() {
            let before = || spec.listen.iter().zip(&fields).take(place);
            if let Some((_, other)) = before().find(|(other, _)| clash(&other.address, &listener.address)) {
                let other = self.called(other);
                self.error(field, format!("{} is listened at by {other} already", listener.address));
            }
            let name = listener.name.as_deref();
            if let Some((_, other)) = before().find(|(other, _)| name.is_some() && other.name.as_deref() == name) {
                let (name, other) = (quote(name.unwrap_or_default()), self.called(other));
                self.error(&format!("{field}.name"), format!("{name} is the name of {other} already"));
            }
        }
        self.listener_variables(&fields);
        if spec.accepts() {
            self.accepting(&fields);
        }
    }

    fn listener(&mut self, field: &str, listener: &Listener) {
        let address = &listener.address;
        match address.place() {
            Err(message) => self.error(field, message),
            Ok(_) => self.kernel_text(field, address.text()),
        }
        if listener.mode > 0o777 {
            self.error(&format!("{field}.mode"), "is at most 0777");
        }
        if listener.backlog == 0 {
            self.error(&format!("{field}.backlog"), "must be more than 0");
        }
        if listener.backlog > LONGEST_BACKLOG {
            self.error(&format!("{field}.backlog"), format!("is at most {LONGEST_BACKLOG}"));
        }
        if listener.accept == Some(0) {
            self.error(&format!("{field}.accept"), "must be more than 0");
        }
        if let Some(idle) = listener.idle_stop {
            self.more_than_zero(&format!("{field}.idle_stop"), idle);
        }
        if let Some(name) = &listener.name {
            self.listener_name(&format!("{field}.name"), name);
        }
        self.account(&format!("{field}.user"), listener.user.as_ref());
        self.account(&format!("{field}.group"), listener.group.as_ref());
        // What is wrong with the address comes first.
        if address.place().is_ok() {
            self.fitting(field, listener);
        }
        if listener.accept.is_some() && listener.idle_stop.is_some() {
            let why = "means nothing beside accept: nothing runs while there is no connection";
            self.error(&format!("{field}.idle_stop"), why);
        }
        if listener.accept.is_some() && listener.fd_env.is_some() {
            let why = "means nothing beside accept: an instance gets its connection, and client_fd_env is its number";
            self.error(&format!("{field}.fd_env"), why);
        }
    }

    fn listener_name(&mut self, field: &str, name: &str) {
        if name.is_empty() || name.contains(':') {
            self.error(field, "is not empty and holds no colon");
        } else if name.contains(|c: char| c.is_control() || !c.is_ascii()) || name.len() > LONGEST_NAME {
            self.error(field, format!("is plain ASCII, of at most {LONGEST_NAME} characters"));
        }
    }

    /// Keys that mean nothing for this kind of listener.
    fn fitting(&mut self, field: &str, listener: &Listener) {
        let address = &listener.address;
        let kind = address.kind();
        let what = if kind.starts_with("unix") && address.path().is_none() { "an abstract name" } else { kind };
        let of_paths = [
            ("mode", listener.mode != Listener::DEFAULT_MODE),
            ("user", listener.user.is_some()),
            ("group", listener.group.is_some()),
        ];
        for (key, _) in of_paths.into_iter().filter(|(_, given)| *given && address.path().is_none()) {
            self.error(&format!("{field}.{key}"), format!("is that of a path, and {what} has none"));
        }
        let of_streams = [
            ("accept", listener.accept.is_some()),
            ("idle_stop", listener.idle_stop.is_some()),
            ("client_fd_env", listener.client_fd_env.is_some()),
            ("backlog", listener.backlog != Listener::DEFAULT_BACKLOG),
        ];
        for (key, _) in of_streams.into_iter().filter(|(_, given)| *given && !address.is_stream()) {
            let why = format!("is about connections, and {kind} has none: it is for tcp, unix and unix_seqpacket");
            self.error(&format!("{field}.{key}"), why);
        }
    }

    /// The variables that carry numbers of descriptors: names that programs can read, each given once.
    fn listener_variables(&mut self, fields: &[String]) {
        let spec = self.spec;
        let mut seen: Vec<(&str, String)> = Vec::new();
        for (listener, field) in spec.listen.iter().zip(fields) {
            let given = [("fd_env", &listener.fd_env), ("client_fd_env", &listener.client_fd_env)];
            for (key, name) in given.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?))) {
                let field = format!("{field}.{key}");
                if !is_identifier(name) {
                    let why = format!("{} is not the name of a variable: letters, digits and `_`", quote(name));
                    self.error(&field, why);
                } else if TAKEN.contains(&name) {
                    self.error(
                        &field,
                        format!("`{name}` is given to every process with listeners: choose another name"),
                    );
                } else if spec.env.contains_key(name) || spec.secret_env.contains_key(name) {
                    self.error(&field, format!("`{name}` is in env, too: one of them has to go"));
                } else if let Some((_, other)) = seen.iter().find(|(other, _)| *other == name) {
                    // Instances have one connection each, so that their listeners may share the variable.
                    if !spec.accepts() {
                        let message = format!("`{name}` is given by {} already", self.called(other));
                        self.error(&field, message);
                    }
                } else {
                    seen.push((name, field));
                }
            }
        }
    }

    /// With one instance a connection, the process itself never runs.
    fn accepting(&mut self, fields: &[String]) {
        let spec = self.spec;
        let without = spec.listen.iter().zip(fields).find(|(listener, _)| listener.accept.is_none());
        let with = spec.listen.iter().zip(fields).find(|(listener, _)| listener.accept.is_some());
        if let (Some((_, without)), Some((_, with))) = (without, with) {
            let with = self.called(with);
            let why = format!("has no accept, and {with} has: either each connection has an instance, or none has");
            self.error(without, why);
        }
        if spec.critical {
            self.error("critical", "means nothing with listen.accept: an instance ends with its connection");
        }
        if spec.pidfile.is_some() {
            self.error("pidfile", "means nothing with listen.accept: there are as many processes as connections");
        }
        if spec.process_type == ProcessType::Forking {
            self.error("type", "is not forking with listen.accept: nobody could tell whose daemon serves a connection");
        }
        if let Ready::LogLine(_) = spec.ready {
            let why = "is no line of output with listen.accept: no instance would ever be ready; leave it out";
            self.error("ready", why);
        }
        if spec.auto_start {
            self.warning("auto_start", "means nothing with listen.accept: only a connection starts something");
        }
    }
}

/// Whether programs can read a variable of this name.
fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What `other` listens at that `one` listens at, too: its place there, and both addresses.
pub(super) fn clashes<'a>(
    one: &'a [Listener],
    other: &'a [Listener],
) -> impl Iterator<Item = (usize, &'a ListenAddress, &'a ListenAddress)> {
    other.iter().enumerate().filter_map(move |(place, listener)| {
        let clashing = one.iter().find(|first| clash(&first.address, &listener.address))?;
        Some((place, &listener.address, &clashing.address))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::spec::{Listener, Plan, Ready, Secret, Spec};

    fn listening(listeners: impl IntoIterator<Item = Listener>) -> Spec {
        listeners.into_iter().fold(Spec::new("web", ["nginx"]), Spec::listen)
    }

    fn said(spec: &Spec) -> Vec<String> {
        spec.validate().iter().map(|problem| problem.to_string().replace("process `web`: ", "")).collect()
    }

    fn tcp() -> Listener {
        Listener::tcp("127.0.0.1:80")
    }

    fn unix() -> Listener {
        Listener::unix("/run/x")
    }

    #[test]
    fn what_each_kind_of_listener_can_have_is_fine() {
        let all = [
            tcp().name("http").idle_stop(Duration::from_secs(60)).fd_env("HTTP_FD").client_fd_env("HTTP_CLIENT_FD"),
            Listener::udp("[::]:53").fd_env("DNS_FD"),
            unix().mode(0o600).user("app").group("33").backlog(16),
            Listener::unix_dgram("log.sock").mode(0o622),
            Listener::unix_seqpacket("@name").name("control"),
            Listener::fifo("/run/fifo").mode(0o620),
        ];
        assert_eq!(said(&listening(all)), [""; 0]);
        let accepting = [tcp().accept(3).client_fd_env("FD"), unix().accept(9).client_fd_env("FD")];
        let spec = listening(accepting).oneshot();
        assert_eq!(said(&spec), [""; 0]);
        assert_eq!((spec.accepts(), spec.most_instances()), (true, Some(9)));
    }

    #[test]
    fn each_listener_is_checked_by_itself() {
        let streams = |key: &str, kind: &str| {
            format!("listen.{key}: is about connections, and {kind} has none: it is for tcp, unix and unix_seqpacket")
        };
        let cases = [
            (
                Listener::tcp("80"),
                "listen: expected an address such as \"127.0.0.1:8080\" or \"[::1]:8080\", found \"80\"".into(),
            ),
            (Listener::unix(""), "listen: the path is empty".into()),
            (Listener::unix("@"), "listen: the name behind the @ is empty".into()),
            (Listener::unix("a\0b"), "listen: holds a NUL byte, which the kernel takes for its end".into()),
            (
                Listener::unix_seqpacket("x".repeat(200)),
                "listen: a socket's path has at most 107 bytes, and this has 200: choose a shorter one".into(),
            ),
            (unix().mode(0o1000), "listen.mode: is at most 0777".into()),
            (tcp().mode(0o600), "listen.mode: is that of a path, and tcp has none".into()),
            (Listener::unix("@x").user("a"), "listen.user: is that of a path, and an abstract name has none".into()),
            (unix().group("0x1"), "listen.group: expected a user or group by name, or by number".into()),
            (unix().backlog(0), "listen.backlog: must be more than 0".into()),
            (unix().backlog(u32::MAX), "listen.backlog: is at most 2147483647".into()),
            (Listener::udp("[::1]:53").backlog(9), streams("backlog", "udp")),
            (Listener::fifo("/f").client_fd_env("X"), streams("client_fd_env", "fifo")),
            (Listener::unix_dgram("/f").accept(1), streams("accept", "unix_dgram")),
            (Listener::udp("[::1]:53").idle_stop(Duration::from_secs(1)), streams("idle_stop", "udp")),
            (unix().accept(0), "listen.accept: must be more than 0".into()),
            (unix().idle_stop(Duration::ZERO), "listen.idle_stop: must be longer than 0".into()),
            (
                unix().accept(1).idle_stop(Duration::from_secs(1)),
                "listen.idle_stop: means nothing beside accept: nothing runs while there is no connection".into(),
            ),
            (
                unix().accept(1).fd_env("X"),
                "listen.fd_env: means nothing beside accept: an instance gets its connection, and client_fd_env is \
                 its number"
                    .into(),
            ),
            (unix().name("a:b"), "listen.name: is not empty and holds no colon".into()),
            (unix().name("\u{e9}"), "listen.name: is plain ASCII, of at most 255 characters".into()),
            (
                unix().fd_env("A-B"),
                "listen.fd_env: \"A-B\" is not the name of a variable: letters, digits and `_`".into(),
            ),
            (
                unix().client_fd_env("LISTEN_FDS"),
                "listen.client_fd_env: `LISTEN_FDS` is given to every process with listeners: choose another name"
                    .into(),
            ),
        ];
        for (listener, message) in cases {
            let found = said(&listening([listener]));
            assert!(found.len() == 1 && found[0].starts_with(&message), "{found:?} is not [{message:?}]");
        }
    }

    #[test]
    fn listeners_of_a_process_are_checked_beside_one_another() {
        let other = || Listener::tcp("127.0.0.1:81");
        let cases = [
            (
                listening([tcp(), other(), Listener::tcp("0.0.0.0:80")]),
                "listen[3]: tcp:0.0.0.0:80 is listened at by listen[1] already",
            ),
            (listening([tcp().name("a"), other().name("a")]), "listen[2].name: \"a\" is the name of listen[1] already"),
            (
                listening([tcp().fd_env("A"), other().fd_env("A")]),
                "listen[2].fd_env: `A` is given by listen[1].fd_env already",
            ),
            (
                listening([tcp().fd_env("A").client_fd_env("A")]),
                "listen.client_fd_env: `A` is given by listen.fd_env already",
            ),
            (listening([tcp().fd_env("A")]).env("A", "1"), "listen.fd_env: `A` is in env, too: one of them has to go"),
            (
                listening([tcp().fd_env("A")]).secret_env("A", Secret::new("1")),
                "listen.fd_env: `A` is in env, too: one of them has to go",
            ),
            (
                listening([tcp(), other().accept(1)]),
                "listen[1]: has no accept, and listen[2] has: either each connection has an instance, or none has",
            ),
            (
                listening([tcp().accept(1)]).critical(true),
                "critical: means nothing with listen.accept: an instance ends with its connection",
            ),
            (
                listening([tcp().accept(1)]).pidfile("x"),
                "pidfile: means nothing with listen.accept: there are as many processes as connections",
            ),
            (
                listening([tcp().accept(1)]).ready(Ready::logline("up")),
                "ready: is no line of output with listen.accept: no instance would ever be ready; leave it out",
            ),
            (
                listening([tcp().accept(1)]).auto_start(true),
                "auto_start: means nothing with listen.accept: only a connection starts something",
            ),
        ];
        for (spec, message) in cases {
            let found: Vec<String> = said(&spec).into_iter().map(|line| line.replace("warning: ", "")).collect();
            assert_eq!(found, [message]);
        }
    }

    #[test]
    fn an_address_of_two_processes_is_refused_naming_both() {
        let mut plan = Plan::new();
        let api = Spec::new("api", ["api"]).listen(Listener::unix("/run/api")).listen(Listener::tcp("0.0.0.0:80"));
        let udp = Spec::new("udp", ["udp"]).listen(Listener::udp("127.0.0.1:80")).listen(Listener::fifo("/run/other"));
        for spec in [listening([tcp()]), api, udp, Spec::new("x", ["x"]).listen(Listener::fifo("/run//api"))] {
            plan.insert(spec).unwrap();
        }
        let problems: Vec<String> = plan.validate().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "process `web`: listen: tcp:127.0.0.1:80 is listened at by `api`, too (tcp:0.0.0.0:80)",
                "process `x`: listen: fifo:/run//api is listened at by `api`, too (unix:/run/api)",
            ]
        );
    }
}
