use super::*;
use crate::spec::{ProcessType, Value};

fn text(value: &str) -> Node {
    Node::new(Value::String(value.into()))
}

#[test]
fn the_least_spec_is_a_command() {
    let node = Node::new(Value::Map(vec![("command".into(), text("redis-server --port 6390"))]));
    let read = spec("cache", &node, &Dialect::native(), Source::default()).unwrap();
    assert_eq!(read, Spec::new("cache", ["redis-server", "--port", "6390"]));
    assert_eq!(read.process_type, ProcessType::Simple);
}
