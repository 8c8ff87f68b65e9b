//! Case G1: a hostile configuration is refused within its deadline, with a line when there is one.

use crate::support::{DEADLINE, evaluate, refused, text};

fn is_stopped(source: &str) {
    let message = refused(text(source).deadline(DEADLINE));
    assert!(message.contains("evaluation took longer than 150ms"), "{message}");
    assert!(!message.contains("could not be interrupted"), "{message}");
    assert!(message.starts_with("test.lua:"), "no line: {message}");
}

#[test]
fn a_harmless_text_is_accepted() {
    evaluate(text("local x = 1")).expect("accepted");
}

#[test]
fn a_loop_is_stopped() {
    is_stopped("while true do end");
}

#[test]
fn a_loop_of_protected_calls_is_stopped() {
    is_stopped("while true do pcall(function() while true do end end) end");
}

#[test]
fn nested_protected_calls_are_stopped() {
    is_stopped("local function f() pcall(f) pcall(f) end f() while true do f() end");
}

#[test]
fn a_loop_in_a_coroutine_is_stopped() {
    is_stopped("while true do coroutine.resume(coroutine.create(function() while true do end end)) end");
}
