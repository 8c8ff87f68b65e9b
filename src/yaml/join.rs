//! Bringing the documents of a folder together.

use std::collections::BTreeMap;

use super::definition::Definition;
use super::form::Document;
use super::socket::Socket;
use crate::spec::schema::nearest;
use crate::spec::units::quote;
use crate::spec::{Problem, Severity};

/// All processes of these documents, with their sockets. What is not [`enabled`](Document::enabled) is left out.
///
/// A name that is taken is a problem that names both places, and so is a socket without its process.
pub fn join(documents: Vec<Document>) -> Result<Vec<Definition>, Vec<Problem>> {
    let mut processes: Vec<Definition> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut sockets: Vec<Socket> = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for document in documents.into_iter().filter(|document| document.enabled) {
        for process in document.processes {
            match places.get(&process.name).and_then(|place| processes.get(*place)) {
                Some(first) => problems.push(Problem {
                    severity: Severity::Error,
                    file: Some(process.file.clone()),
                    line: Some(process.line),
                    process: Some(process.name.clone()),
                    field: None,
                    message: format!("is declared twice; the first is at {}:{}", first.file, first.line),
                }),
                None => {
                    places.insert(process.name.clone(), processes.len());
                    processes.push(process);
                }
            }
        }
        sockets.extend(document.sockets);
    }
    for socket in sockets {
        match places.get(&socket.service).and_then(|place| processes.get_mut(*place)) {
            Some(process) => process.attach(&socket),
            None => {
                problems.push(without_process(&socket, &processes));
                problems.extend(socket.problems);
            }
        }
    }
    if problems.is_empty() {
        return Ok(processes);
    }
    // All problems are told: those of processes that nothing else is wrong with, too.
    problems.extend(processes.iter().filter_map(|process| process.spec().err()).flatten());
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Err(problems)
}

fn without_process(socket: &Socket, processes: &[Definition]) -> Problem {
    let near = nearest(&socket.service, processes.iter().map(|process| process.name.as_str()));
    let offer = match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; name one with `service`".to_owned(),
    };
    let field = match socket.path.as_str() {
        "" => "service".to_owned(),
        path => format!("{path}.service"),
    };
    let message = format!("there is no process {} that this socket could be held for{offer}", quote(&socket.service));
    Problem {
        severity: Severity::Error,
        file: Some(socket.file.clone()),
        line: Some(socket.service_line),
        process: None,
        message: socket.elsewhere.told(&field, message),
        field: Some(field),
    }
}
