//! Case G5: the same configuration gives the same plan, in whatever order its tables are walked.

use std::collections::BTreeSet;

use crate::support::{evaluate, text};

const SOURCE: &str = r#"
    local neap = require "neap"
    local ports = {}
    for i = 1, 200 do ports["service-" .. i] = 8000 + i end
    local app = neap.template { env = { A = "1", B = "2", C = "3" }, restart = { policy = "always" } }
    for name, port in pairs(ports) do
        app(name) { command = { "server", tostring(port) }, env = { PORT = tostring(port) }, ready = neap.tcp { port = port } }
    end
    order = {}
    for name in pairs(ports) do order[#order + 1] = name end
    print(table.concat(order, " "))
"#;

#[test]
fn two_evaluations_give_equal_plans() {
    let plans: Vec<_> = (0..8).map(|_| evaluate(text(SOURCE)).expect("accepted").declared.plan).collect();
    assert_eq!(plans[0].len(), 200);
    for plan in &plans[1..] {
        assert_eq!(plan, &plans[0]);
        assert!(plan.specs().map(|s| &s.name).eq(plans[0].specs().map(|s| &s.name)));
    }
}

#[test]
fn errors_come_in_the_same_order() {
    let source = r#"
        local neap = require "neap"
        for _, name in ipairs { "a", "b", "c" } do neap.process(name) { command = { "x" }, nice = "much", requires = "none" } end
    "#;
    let messages: BTreeSet<String> = (0..8).map(|_| evaluate(text(source)).expect_err("refused").to_string()).collect();
    assert_eq!(messages.len(), 1, "{messages:#?}");
}
