//! Reading listeners.

use super::super::listener::{ListenAddress, Listener};
use super::super::schema::LISTEN;
use super::super::value::{Node, Value};
use super::reader::{At, Fields, Reader};
use super::scalar::whole;

const WHAT: &str = "neap.listen, or a list of them";
const WHAT_IN_YAML: &str = "a table with an address such as `tcp: 8080`, or a list of them";

/// The kinds of listeners by key.
pub(super) const KINDS: [&str; 6] = ["tcp", "udp", "unix", "unix_dgram", "unix_seqpacket", "fifo"];

impl Reader<'_> {
    /// `listen`.
    pub(super) fn listeners(&mut self, at: &At, node: &Node) -> Vec<Listener> {
        self.list(at, node, Reader::listener)
    }

    fn listener(&mut self, at: &At, node: &Node) -> Option<Listener> {
        let fields = match &node.value {
            Value::Made { kind: "listen", fields } => self.fields(at, fields, &LISTEN),
            Value::Map(entries) => self.fields(at, entries, &LISTEN),
            _ => return self.expected(at, self.or_in_yaml(WHAT, WHAT_IN_YAML), node),
        };
        let mut listener = Listener::new(self.listen_address(at, &fields)?);
        let texts: [(&'static str, &mut Option<String>); 3] = [
            ("name", &mut listener.name),
            ("fd_env", &mut listener.fd_env),
            ("client_fd_env", &mut listener.client_fd_env),
        ];
        for (key, place) in texts {
            self.set(&fields, key, place, |r, at, n| r.text(at, n).map(Some));
        }
        self.set(&fields, "user", &mut listener.user, |r, at, n| r.account(at, n).map(Some));
        self.set(&fields, "group", &mut listener.group, |r, at, n| r.account(at, n).map(Some));
        self.set(&fields, "accept", &mut listener.accept, Reader::accept);
        self.set(&fields, "idle_stop", &mut listener.idle_stop, |r, at, n| r.duration(at, n).map(Some));
        self.set(&fields, "mode", &mut listener.mode, Reader::mode);
        self.set(&fields, "backlog", &mut listener.backlog, Reader::count);
        Some(listener)
    }

    fn listen_address(&mut self, at: &At, fields: &Fields) -> Option<ListenAddress> {
        let given: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
        let [kind] = given.as_slice() else {
            self.problem(at, format!("a listener needs exactly one of {}", KINDS.join(", ")));
            return None;
        };
        let node = fields.get(kind)?;
        let at = at.key(kind, node);
        match *kind {
            "tcp" => self.endpoint(&at, node).map(ListenAddress::Tcp),
            "udp" => self.endpoint(&at, node).map(ListenAddress::Udp),
            "unix" => self.text(&at, node).map(ListenAddress::Unix),
            "unix_dgram" => self.text(&at, node).map(ListenAddress::UnixDgram),
            "unix_seqpacket" => self.text(&at, node).map(ListenAddress::UnixSeqpacket),
            _ => self.text(&at, node).map(ListenAddress::Fifo),
        }
    }

    fn endpoint(&mut self, at: &At, node: &Node) -> Option<String> {
        match (&node.value, whole(&node.value)) {
            (Value::String(address), _) => Some(address.clone()),
            (_, Some(port)) if (0..=65_535).contains(&port) => Some(format!("127.0.0.1:{port}")),
            _ => self.expected(at, "an address such as \"127.0.0.1:8080\", or a port", node),
        }
    }

    fn accept(&mut self, at: &At, node: &Node) -> Option<Option<u32>> {
        match &node.value {
            Value::Bool(accept) => Some(accept.then_some(Listener::DEFAULT_ACCEPT)),
            value => match whole(value).and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0) {
                Some(most) => Some(Some(most)),
                None => self.expected(at, "true, false, or how many at most", node),
            },
        }
    }
}
