//! Checks of a task: what is about a child of the kernel's means nothing for it.

use super::super::process::{Limits, ProcessType, Spec, Stream};
use super::super::signal::Signal;
use super::super::stop::StopMode;
use super::check::Check;

impl Check<'_> {
    /// Refuses, by name, each key that a task has nothing to do with.
    pub(super) fn task(&mut self) {
        let spec = self.spec;
        let plain = Spec::task("");
        let given = [
            ("command", !spec.command.is_empty()),
            ("working_dir", spec.working_dir.is_some()),
            ("env", !spec.env.is_empty() || !spec.secret_env.is_empty()),
            ("env_file", !spec.env_file.is_empty()),
            ("clear_env", spec.clear_env),
            ("user", spec.user.is_some()),
            ("group", spec.group.is_some()),
            ("groups", spec.groups.is_some()),
            ("umask", spec.umask != plain.umask),
            ("nice", spec.nice.is_some()),
            ("rlimits", !spec.rlimits.is_empty()),
            ("ambient_capabilities", !spec.ambient_capabilities.is_empty()),
            ("bounding_capabilities", spec.bounding_capabilities.is_some()),
            ("no_new_privs", spec.no_new_privs),
            ("success_exit_status", spec.success_exit_status != plain.success_exit_status),
            ("limits", spec.limits != Limits::default()),
            ("listen", !spec.listen.is_empty()),
            ("runtime_directory", !spec.runtime_directory.is_empty()),
            ("state_directory", !spec.state_directory.is_empty()),
            ("cache_directory", !spec.cache_directory.is_empty()),
            ("logs_directory", !spec.logs_directory.is_empty()),
            ("pidfile", spec.pidfile.is_some()),
            ("reload", spec.reload.is_some()),
            ("stop.command", spec.stop.command.is_some()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            self.error(field, "means nothing for a task, which is a future of this program and no child");
        }
        if !spec.success_signals.is_empty() {
            self.error("success_exit_status", "names a signal, and no signal ends a task");
        }
        if spec.process_type == ProcessType::Forking {
            self.error("type", "a task cannot be forking; simple, oneshot and notify are what it can be");
        }
        if spec.stop.mode != StopMode::ControlGroup {
            self.error("stop.mode", "means nothing for a task: there is one future, and no tree");
        }
        if spec.stop.sequence.iter().any(|step| step.signal != Signal::TERM) {
            let why = "a task gets no signals: it is asked to end, and dropped when the wait (stop.timeout) is over";
            self.error("stop.signal", why);
        }
        for (field, stream) in [("log.stdout", &spec.log.stdout), ("log.stderr", &spec.log.stderr)] {
            if !matches!(stream, Stream::Capture | Stream::Null) {
                self.error(field, "what a task logs is captured or nothing: \"capture\" or \"null\"");
            }
        }
    }
}
