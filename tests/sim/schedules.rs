//! A1: random lives, thousands of them.

#[test]
fn it_links() {
    let _ = neap::sim::Options::default();
}
