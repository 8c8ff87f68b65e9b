//! Our functions beside the stock ones, on random patterns and subjects, well formed and not.

use std::time::{Duration, Instant};

use mlua::{Function, Lua};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::lua::host::Host;
use crate::lua::sandbox;

/// What a test's script is run with, and what it prints about its results.
const SHOW: &str = r##"
    local call = ...
    local function show(...)
        local out = {}
        for i = 1, select("#", ...) do
            local v = select(i, ...)
            if v == nil then out[i] = "nil" else out[i] = math.type(v) and tostring(v) or ("<" .. tostring(v) .. ">") end
        end
        return table.concat(out, " ")
    end
    local function try(f, ...)
        return show(pcall(f, ...))
    end
    local functions = {
        find = function(s, p, init) return try(string.find, s, p, init) end,
        plain = function(s, p, init) return try(string.find, s, p, init, true) end,
        match = function(s, p, init) return try(string.match, s, p, init) end,
        method = function(s, p, init) return try(function() return s:match(p, init) end) end,
        gmatch = function(s, p, init)
            return try(function()
                local out = {}
                for a, b, c in string.gmatch(s, p, init) do out[#out + 1] = show(a, b, c) end
                return table.concat(out, "|")
            end)
        end,
        gsub = function(s, p, init, r) return try(string.gsub, s, p, r) end,
        limited = function(s, p, init, r) return try(string.gsub, s, p, r, init) end,
        called = function(s, p)
            return try(string.gsub, s, p, function(...)
                local n = select("#", ...)
                if n > 1 then return show(...) end
                if (...) == "a" then return nil end
                if (...) == "b" then return false end
                if (...) == "c" then return 12 end
                if (...) == "(" then return {} end
                return "<" .. ... .. ">"
            end)
        end,
        indexed = function(s, p) return try(string.gsub, s, p, { a = "1", b = false, c = 2.5, [1] = "one", [""] = "-" }) end,
    }
    return functions[call]
"##;

const KINDS: &[&str] = &["find", "plain", "match", "method", "gmatch", "gsub", "limited", "called", "indexed"];

const TOKENS: &[&str] = &[
    "a", "b", "c", "1", ".", "%a", "%d", "%s", "%w", "%x", "%p", "%l", "%u", "%c", "%g", "%z", "%A", "%D", "%S", "%W",
    "%%", "%.", "[abc]", "[^a]", "[a-c]", "[%a_]", "[]]", "[^]]", "[a-%%]", "[%]]", "[%a-z]", "[a-]", "[-a]", "[^%s]",
    "%b()", "%bab", "%baa", "%b", "%f[%w]", "%f[^a]", "%f[%z]", "%f", "(", ")", "()", "(.-)", "(%a+)", "(a*)", "*",
    "+", "-", "?", "^", "$", "%1", "%2", "%0", "%9", "%", "[", "]", "[^", "\0", "[%z]",
];

const LETTERS: &[u8] = b"aaabbbccc()1 .,_]-%AB\n\t\0\xff\x80";

fn sandboxed() -> (Host, Lua) {
    let host = Host::for_tests();
    let lua = sandbox::new_state(&host).expect("a state");
    (host, lua)
}

fn functions(lua: &Lua) -> Vec<Function> {
    let load = |kind: &&str| lua.load(SHOW).set_name("@show.lua").call(*kind).expect("the script");
    KINDS.iter().map(load).collect()
}

/// A result without the place in front of an error's message.
fn placeless(result: &[u8]) -> String {
    let text = String::from_utf8_lossy(result).into_owned();
    match text.strip_prefix("<false> <show.lua:").and_then(|rest| rest.split_once(": ")) {
        Some((_line, message)) => format!("<false> <{message}"),
        None => text,
    }
}

/// Subject, pattern, start, replacement.
type Case<'a> = (&'a [u8], &'a [u8], i64, &'a [u8]);

fn compare(ours: &Function, stock: &Function, (s, p, init, r): Case<'_>, kind: &str) -> Result<(), String> {
    let strings = |function: &Function| {
        let lua = function.weak_lua().upgrade();
        let text = |bytes: &[u8]| lua.create_string(bytes).expect("a string");
        let result: mlua::LuaString = function.call((text(s), text(p), init, text(r))).expect("a result");
        placeless(&result.as_bytes())
    };
    let (ours, stock) = (strings(ours), strings(stock));
    if ours == stock {
        return Ok(());
    }
    let show = String::from_utf8_lossy;
    Err(format!("{kind}({:?}, {:?}, {init}, {:?}):\n ours  {ours}\n stock {stock}", show(s), show(p), show(r)))
}

#[test]
fn random_patterns_match_as_the_stock_ones_do() {
    let (_host, lua) = sandboxed();
    let plain = Lua::new();
    let (ours, stock) = (functions(&lua), functions(&plain));
    let pattern =
        prop::collection::vec(prop::sample::select(TOKENS), 0..7).prop_map(|tokens| tokens.concat().into_bytes());
    let subject = prop::collection::vec(prop::sample::select(LETTERS), 0..24);
    let replacements: &[&[u8]] = &[b"", b"x", b"%0", b"%1", b"<%1%2>", b"%%", b"%", b"%a", b"a%9b", b"%0%0"];
    let cases = (subject, pattern, -26_i64..28, prop::sample::select(replacements));
    let mut runner = TestRunner::new(Config { cases: 4000, failure_persistence: None, ..Config::default() });
    let result = runner.run(&cases, |(s, p, init, r)| {
        for (kind, (ours, stock)) in KINDS.iter().zip(ours.iter().zip(&stock)) {
            compare(ours, stock, (&s, &p, init, r), kind).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn known_corners_match_as_the_stock_ones_do() {
    let (_host, lua) = sandboxed();
    let plain = Lua::new();
    let (ours, stock) = (functions(&lua), functions(&plain));
    let deep = "(".repeat(33);
    let nested = "a?".repeat(250);
    let cases: &[Case<'_>] = &[
        (b"", b"", 1, b"x"),
        (b"abc", b"", 1, b"-"),
        (b"abc", b"", 4, b"-"),
        (b"abc", b"", 5, b"-"),
        (b"hello world", b"o w", 1, b""),
        (b"hello", b"l*", 1, b"x"),
        (b"abc", b"^a", 1, b"x"),
        (b"aaa", b"^a", 2, b"x"),
        (b"THE (quick) fox", b"%((%a+)%)", 1, b"%1"),
        (b"THE (quick) fox", b"%f[%a]%a+", 1, b"<%0>"),
        (b"f(a(b)c)d", b"%b()", 1, b"[%0]"),
        (b"abcabc", b"(abc)%1", 1, b"%1"),
        (b"x=1, y=2", b"(%w+)=(%w+)", 1, b"%2=%1"),
        (b"abc", b"()b()", 1, b"%1%2"),
        (b"a\0b", b"%z", 1, b"0"),
        (b"a\0b", b"[\0]", 1, b"0"),
        (b"aaaa", deep.as_bytes(), 1, b""),
        (b"aaaa", nested.as_bytes(), 1, b"x"),
        (b"abc", b"(()", 1, b""),
        (b"abc", b"%1", 1, b""),
        (b"abc", b"()%1", 1, b""),
        (b"abc", b"(a)%2", 1, b""),
        (b"a]b", b"[]]", 1, b"x"),
        (b"a-z", b"[a-]", 1, b"x"),
        (b"abc", b"[a", 1, b"x"),
        (b"abc", b"[a%", 1, b"x"),
        (b"abc", b"%", 1, b"x"),
        (b"\xe4\xf6", b"%a", 1, b"x"),
    ];
    for case in cases {
        for (kind, (ours, stock)) in KINDS.iter().zip(ours.iter().zip(&stock)) {
            compare(ours, stock, *case, kind).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn the_comparison_compares_something() {
    let (_host, lua) = sandboxed();
    let ours = functions(&lua);
    let shown = |kind: &str, s: &str, p: &str, r: &str| -> String {
        let index = KINDS.iter().position(|k| *k == kind).expect("a kind");
        ours[index].call((s, p, 1, r)).expect("a result")
    };
    assert_eq!(shown("find", "hello world", "o (w)", ""), "<true> 5 7 <w>");
    assert_eq!(shown("gmatch", "a1b2", "(%a)(%d)", ""), "<true> <<a> <1> nil|<b> <2> nil>");
    assert_eq!(shown("gsub", "abc", "%w", "%0%0"), "<true> <aabbcc> 3");
    assert!(shown("match", "abc", "[a", "").contains("malformed pattern (missing ']')"));
}

#[test]
fn a_pattern_bomb_ends_with_its_deadline() {
    let bombs = [
        r#"return string.find(("a"):rep(60), ("a*"):rep(40) .. "b")"#,
        r#"return (("a"):rep(60)):match(("(a*)"):rep(30) .. "b")"#,
        r#"return (("a"):rep(60)):gsub(("a-"):rep(40) .. "b", "")"#,
        r#"for x in (("a"):rep(60)):gmatch(("a?"):rep(100) .. ("a"):rep(80)) do end"#,
        r#"return (("("):rep(200000)):find("%b()" .. "x")"#,
        r#"return (("ab"):rep(100000)):find(("ab"):rep(50000) .. "c", 1, true), (("a"):rep(3000000)):find(("a"):rep(1500000) .. "b", 1, true)"#,
        r#"local set = "[" .. ("b"):rep(100000) .. "]"; return (("a"):rep(100000)):find(set .. "*c")"#,
        r#"return (("a"):rep(100000)):find("(a*)%1%1%1b")"#,
    ];
    for bomb in bombs {
        let (host, lua) = sandboxed();
        let function = lua.load(bomb).set_name("@bomb.lua").into_function().expect("a chunk");
        let thread = lua.create_thread(function).expect("a coroutine");
        let _armed = host.limits().arm(Instant::now() + Duration::from_millis(50));
        let result = thread.resume::<mlua::MultiValue>(());
        assert!(host.limits().expired(), "{bomb} came to {result:?} by itself");
        assert_eq!(host.limits().place().map(|place| place.line), Some(1), "{bomb}");
    }
}

#[test]
fn a_result_is_held_to_the_memory_cap() {
    let (_host, lua) = sandboxed();
    let run = |source: &str| lua.load(source).set_name("@cap.lua").exec().expect_err("refused").to_string();
    let message = run(r#"return (("a"):rep(1000000)):gsub("a", ("b"):rep(1000))"#);
    assert!(message.contains("string.gsub: the result is longer than"), "{message}");
    let message = run(r#"return ("a"):rep(1 << 40)"#);
    assert!(message.contains("string.rep: the result is longer than"), "{message}");
    lua.load(r#"assert((""):rep(1 << 62) == "" and ("ab"):rep(3, "-") == "ab-ab-ab")"#)
        .exec()
        .expect("short ones are fine");
}
