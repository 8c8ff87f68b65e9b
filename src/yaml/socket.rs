//! Sockets that stand apart from the process that they are held for.

use std::rc::Rc;

use super::convert::{Convert, Flat, Take, below, item};
use super::tree::{Content, Tree};
use crate::spec::read::describe;
use crate::spec::schema::{LISTEN, nearest};
use crate::spec::{Elsewhere, Node, Problem, Value};

/// A socket as a file defines it.
#[derive(Clone, Debug)]
pub struct Socket {
    /// What it is called.
    pub name: String,
    /// The process that it is held for.
    pub service: String,
    /// The file as messages show it.
    pub file: String,
    /// The line of its name, or of the first key of a file that is one socket.
    pub line: u32,
    /// The line that names its process.
    pub(super) service_line: u32,
    /// Its path as the user wrote it.
    pub(super) path: String,
    pub(super) listeners: Vec<Attached>,
    pub(super) problems: Vec<Problem>,
    /// Values that are another program's.
    pub(super) elsewhere: Elsewhere,
}

/// One listener of a socket.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    pub(super) node: Node,
    /// What the user called its keys: each as it follows on the listener's path, and the whole path that was written.
    pub(super) written: Vec<(String, String)>,
}

/// The older system's names, and ours.
const OLDER: [(&str, &str); 5] = [
    ("socket_mode", "mode"),
    ("socket_user", "user"),
    ("socket_group", "group"),
    ("fd_env_var", "fd_env"),
    ("client_fd_env_var", "client_fd_env"),
];

/// Keys with an address.
const ADDRESSES: [&str; 9] =
    ["listen_stream", "listen_datagram", "listen_unix", "tcp", "udp", "unix", "unix_dgram", "unix_seqpacket", "fifo"];

/// Keys that only sockets have: a file with one of them at its top is a socket.
pub(super) const TELLING: [&str; 5] = ["listen_stream", "listen_datagram", "listen_unix", "service", "socket_mode"];

/// Sockets of `sockets`, by name.
pub(super) fn sockets(convert: &mut Convert, entries: Vec<Flat>, path: &str) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = below(path, &entry.key);
        let before = convert.found();
        const WHAT: &str = "the keys of a socket, such as `listen_stream` and `service`";
        if let Some(keys) = convert.table(&entry.value, entry.line, &path, WHAT) {
            let socket = socket(convert, &entry.key, (entry.line, path), keys);
            convert.elsewhere.clear();
            sockets.push(Socket { problems: convert.take_problems_since(before), ..socket });
        }
    }
    sockets
}

/// `socket` of a process: a table, or a list of them.
pub(super) fn inline(convert: &mut Convert, process: &str, flat: &Flat) -> Vec<Socket> {
    const WHAT: &str = "the keys of a socket, such as `listen_stream`, or a list of sockets";
    let tables: Vec<(Rc<Tree>, u32, String)> = match &flat.value.content {
        Content::List(items) => items
            .iter()
            .enumerate()
            .map(|(place, it)| (Rc::clone(&it.value), it.line, item(&flat.key, place)))
            .collect(),
        Content::Scalar { .. } if super::convert::shallow(&flat.value) == Value::Null => Vec::new(),
        _ => vec![(Rc::clone(&flat.value), flat.line, flat.key.clone())],
    };
    let mut sockets = Vec::with_capacity(tables.len());
    for (tree, line, path) in tables {
        let Some(keys) = convert.table(&tree, line, &path, WHAT) else { continue };
        let socket = socket(convert, process, (line, path.clone()), keys);
        if socket.service != process {
            let message = format!("is the process that this stands in, so it is `{process}` or left out");
            convert.problem(socket.service_line, &below(&path, "service"), message);
        }
        sockets.push(socket);
    }
    sockets
}

/// A socket from its keys. Without `service` it is held for the process of its own name.
pub(super) fn socket(convert: &mut Convert, name: &str, (line, path): (u32, String), entries: Vec<Flat>) -> Socket {
    // Whether an unknown key was meant for an address; that there is none is not said as well.
    let mut meant = false;
    let (mut service, mut service_line) = (name.to_owned(), line);
    let mut addresses: Vec<(String, Node, String)> = Vec::new();
    let mut shared: Vec<(String, Node, String)> = Vec::new();
    for entry in entries {
        let written = below(&path, &entry.key);
        let key = entry.key.as_str();
        let ours = OLDER.iter().find(|(older, _)| *older == key).map_or(key, |(_, ours)| *ours);
        let node = convert.node(&entry.value, entry.line, &written, Take::of(key));
        if node.value == Value::Null {
            continue;
        }
        if key == "service" {
            match node.value {
                Value::String(text) => (service, service_line) = (text, entry.line),
                other => {
                    let message = format!("expected the name of a process, found {}", describe(&other));
                    convert.problem(entry.line, &written, message);
                }
            }
        } else if ADDRESSES.contains(&key) {
            let several = matches!(node.value, Value::List(_));
            let nodes = if let Value::List(nodes) = node.value { nodes } else { vec![node] };
            for (place, node) in nodes.into_iter().enumerate() {
                let written = if several { item(&written, place) } else { written.clone() };
                addresses.push((kind(key, &node).to_owned(), node, written));
            }
        } else if LISTEN.key(ours).is_some() {
            match shared.iter().find(|(key, ..)| key == ours) {
                Some((_, other, before)) => {
                    let line = other.position.line;
                    let message = format!("is the same as `{before}` on line {line}; leave one of the two out");
                    convert.problem(entry.line, &written, message);
                }
                None => shared.push((ours.to_owned(), node, written)),
            }
        } else {
            meant |= unknown(convert, &entry, &written);
        }
    }
    if addresses.is_empty() && !meant {
        let message = "a socket needs an address: one of listen_stream, listen_datagram and listen_unix";
        convert.problem(line, &path, message);
    }
    // Two sockets of a process cannot share a name; the process's own is what the first has anyway.
    if addresses.len() == 1 && name != service && !shared.iter().any(|(key, ..)| key == "name") {
        let node = Node::at(Value::String(name.to_owned()), line);
        shared.push(("name".to_owned(), node, path.clone()));
    }
    let listeners = addresses.into_iter().map(|(kind, node, written)| attached(&path, kind, node, written, &shared));
    Socket {
        name: name.to_owned(),
        service,
        file: convert.file.to_owned(),
        line,
        service_line,
        listeners: listeners.collect(),
        path,
        problems: Vec::new(),
        elsewhere: convert.elsewhere.clone(),
    }
}

fn attached(path: &str, kind: String, address: Node, written: String, shared: &[(String, Node, String)]) -> Attached {
    let line = address.position.line;
    let mut called = vec![(String::new(), path.to_owned()), (format!(".{kind}"), written)];
    let mut entries = vec![(kind, address)];
    for (key, node, written) in shared {
        called.push((format!(".{key}"), written.clone()));
        entries.push((key.clone(), node.clone()));
    }
    Attached { node: Node::at(Value::Map(entries), line), written: called }
}

/// Which kind of listener an address is: a path is that of a Unix socket.
fn kind(key: &str, node: &Node) -> &'static str {
    let is_path = matches!(&node.value, Value::String(text) if text.starts_with(['/', '@', '.']));
    match (key, is_path) {
        ("listen_stream", false) | ("tcp", _) => "tcp",
        ("listen_datagram", false) | ("udp", _) => "udp",
        ("listen_datagram", true) | ("unix_dgram", _) => "unix_dgram",
        ("unix_seqpacket", _) => "unix_seqpacket",
        ("fifo", _) => "fifo",
        _ => "unix",
    }
}

/// Notes a key that no socket has; whether an address was meant.
fn unknown(convert: &mut Convert, entry: &Flat, written: &str) -> bool {
    let ours = LISTEN.keys().map(|key| key.name);
    let older = ["listen_stream", "listen_datagram", "listen_unix", "service"].into_iter();
    let known = older.chain(OLDER.iter().map(|(older, _)| *older)).chain(ours);
    let near = nearest(&entry.key, known);
    let message = match near {
        Some(near) => format!("there is no such key of a socket; did you mean `{near}`?"),
        None => "there is no such key of a socket".to_owned(),
    };
    convert.problem(entry.line, written, message);
    near.is_some_and(|near| ADDRESSES.contains(&near))
}
