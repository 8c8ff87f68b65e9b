//! What a child is given of its listeners: descriptors from 3 on, and the variables that say so (sd_listen_fds(3)).

use std::ffi::CString;
use std::os::fd::{AsFd, RawFd};

use super::table::Listening;
use super::{bind, connection};
use crate::core::{RunId, SpawnError, SpawnStep};
use crate::driver::engine::Engine;
use crate::driver::flight::system_error;
use crate::driver::spawn::Launch;
use crate::spec::ListenAddress;

/// The number of the first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

impl Engine {
    /// Has the child of a run be given its listeners, or its connection.
    pub(crate) fn pass_sockets(&mut self, run: RunId, launch: &mut Launch) -> Result<(), SpawnError> {
        let Some(entry) = self.runs.get(&run) else { return Ok(()) };
        if let Some(connection) = &entry.connection {
            launch.fds.push((connection.fd.clone(), FIRST));
            let mut variables = vec![("LISTEN_FDS", "1".to_owned()), ("LISTEN_FDNAMES", "connection".to_owned())];
            variables.extend(connection.peer.variables());
            if let Some(name) = &connection.fd_env {
                variables.push((name, FIRST.to_string()));
            }
            return set(launch, &variables);
        }
        let (spec, process) = (entry.spec.clone(), entry.process);
        if spec.listen.is_empty() || spec.accepts() {
            return Ok(());
        }
        let missing = || SpawnError {
            step: SpawnStep::Socket,
            errno: None,
            message: "its listeners were changed while it was being started".into(),
        };
        let Listening { bound: all, clients, .. } = self.sockets.of.get_mut(&process).ok_or_else(missing)?;
        let wants_client = |at: &ListenAddress| {
            let listener = spec.listen.iter().find(|listener| listener.address == *at);
            listener.and_then(|listener| listener.client_fd_env.as_deref())
        };
        clients.retain(|(at, _)| wants_client(at).is_some());
        let (mut names, mut variables) = (Vec::new(), Vec::new());
        let mut number = FIRST;
        for listener in &spec.listen {
            let bound = all.iter().find(|b| b.listener.address == listener.address).ok_or_else(missing)?;
            let cannot = |e: &std::io::Error| system_error(SpawnStep::Socket, "cannot pass its listeners", e);
            // One that a run before was to have, which was not executed, comes first.
            if listener.client_fd_env.is_some() && clients.iter().all(|(at, _)| *at != listener.address) {
                bind::set_blocking(bound.fd.as_fd(), false).map_err(|e| cannot(&e))?;
                // Where there is none, or it cannot be had, the program accepts it by itself.
                let client = connection::take(&bound.fd, listener).ok().flatten();
                clients.extend(client.map(|(client, _)| (listener.address.clone(), client)));
            }
            // Whatever the run before made of it, which is the same for all copies.
            bind::set_blocking(bound.fd.as_fd(), true).map_err(|e| cannot(&e))?;
            launch.fds.push((bound.fd.clone(), number));
            names.push(spec.listener_name(listener).replace(':', "_"));
            if let Some(name) = &listener.fd_env {
                variables.push((name.as_str(), number.to_string()));
            }
            number += 1;
        }
        variables.push(("LISTEN_FDS", names.len().to_string()));
        variables.push(("LISTEN_FDNAMES", names.join(":")));
        for (at, client) in clients {
            if let Some(name) = wants_client(at) {
                launch.fds.push((client.fd.clone(), number));
                variables.push((name, number.to_string()));
                number += 1;
            }
        }
        set(launch, &variables)
    }
}

/// Sets variables in place of those that the spec has, and LISTEN_PID, which the child knows.
fn set(launch: &mut Launch, variables: &[(&str, String)]) -> Result<(), SpawnError> {
    let is_set = |have: &CString, name: &str| {
        have.to_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    launch.env.retain(|have| !is_set(have, "LISTEN_PID") && !variables.iter().any(|(name, _)| is_set(have, name)));
    for (name, value) in variables {
        let variable = CString::new(format!("{name}={value}")).map_err(|_| SpawnError {
            step: SpawnStep::Socket,
            errno: None,
            message: format!("the variable `{name}` would have a NUL byte, which no program can be given"),
        })?;
        launch.env.push(variable);
    }
    launch.pid_env.push(c"LISTEN_PID".to_owned());
    Ok(())
}
