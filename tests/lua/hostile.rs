//! Case G1: a hostile configuration is refused within its deadline, with a line when there is one.

use crate::support::{DEADLINE, HANGS, evaluate, refused, text};

/// The text must be interrupted, and the message must name its line.
fn is_stopped(source: &str) {
    stopped(source);
}

/// The message with which the text is interrupted. On a machine without a moment to spare the deadline may pass before
/// the first instruction, where there is no line yet: then it is given more time.
fn stopped(source: &str) -> String {
    let mut deadline = DEADLINE;
    loop {
        let message = refused(text(source).deadline(deadline));
        assert!(message.contains("evaluation took longer than"), "{source}:\n{message}");
        assert!(!message.contains("could not be interrupted"), "{source}:\n{message}");
        if message.starts_with("test.lua:") {
            return message;
        }
        assert!(deadline < DEADLINE * 100, "no line for {source}:\n{message}");
        deadline *= 4;
    }
}

/// The text must be refused with a message that contains this.
fn is_refused(source: &str, expected: &str) {
    let message = refused(text(source).deadline(HANGS));
    assert!(message.contains(expected), "{source}:\n{message}");
    assert!(message.starts_with("test.lua:"), "no line for {source}:\n{message}");
}

#[test]
fn a_harmless_text_is_accepted() {
    evaluate(text("local x = 1")).expect("accepted");
}

#[test]
fn a_loop_is_stopped_at_its_line() {
    let message = stopped("local x = 1\n\nwhile true do x = x + 1 end");
    assert!(message.starts_with("test.lua:3: evaluation took longer than "), "{message}");
    is_stopped("repeat until false");
    is_stopped("::again:: goto again");
    is_stopped("for i = 1, math.huge do end");
    is_stopped("local function f() return f() end f()");
}

#[test]
fn a_loop_of_protected_calls_is_stopped() {
    is_stopped("while true do pcall(function() while true do end end) end");
    is_stopped("while true do pcall(error) end");
    is_stopped("while true do pcall(pcall, pcall, error) end");
    is_stopped("local function f() pcall(f) end while true do f() end");
}

#[test]
fn nested_protected_calls_are_stopped() {
    is_stopped("local function f() pcall(f) pcall(f) end f() while true do f() end");
    is_stopped("local function f() while true do pcall(f) end end f()");
}

#[test]
fn handlers_that_loop_are_stopped() {
    is_stopped("while true do xpcall(error, function() while true do end end) end");
    is_stopped("while true do xpcall(function() while true do end end, function() while true do end end) end");
    is_stopped("local function h() error('again') end while true do xpcall(error, h) end");
    is_stopped("local function h(e) return xpcall(error, h, e) end while true do xpcall(error, h) end");
}

#[test]
fn a_loop_in_a_coroutine_is_stopped() {
    is_stopped("while true do coroutine.resume(coroutine.create(function() while true do end end)) end");
    is_stopped("coroutine.wrap(function() while true do end end)()");
    is_stopped("while true do coroutine.wrap(function() coroutine.yield() end)() end");
    is_stopped("local function f() coroutine.wrap(f)() end while true do pcall(f) end");
    is_stopped(
        "local co = coroutine.create(function() while true do pcall(coroutine.yield) end end)
         while true do coroutine.resume(co) end",
    );
    is_stopped(
        "while true do
            local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() while true do end end })
                coroutine.yield() end)
            coroutine.resume(co)
            coroutine.close(co)
         end",
    );
}

#[test]
fn a_comparator_that_loops_is_stopped() {
    is_stopped("table.sort({ 3, 2, 1 }, function() while true do end end)");
    is_stopped("while true do pcall(table.sort, { 3, 2, 1 }, function() while true do pcall(error) end end) end");
    is_stopped(
        "local t = {} for i = 1, 200000 do t[i] = i % 7 end
         while true do table.sort(t, function(a, b) return true end) end",
    );
    is_stopped("local t = {} for i = 1, 4000 do t[i] = -i end while true do pcall(table.sort, t, math.ult) end");
}

#[test]
fn pattern_bombs_are_stopped() {
    is_stopped("return string.find(('a'):rep(60), ('a*'):rep(40) .. 'b')");
    is_stopped("return (('a'):rep(60)):gsub(('a-'):rep(40) .. 'b', '')");
    is_stopped("while true do pcall(string.match, ('a'):rep(60), ('(a*)'):rep(30) .. 'b') end");
    is_stopped("for _ in (('a'):rep(60)):gmatch(('a?'):rep(100) .. ('a'):rep(80)) do end");
    is_stopped("('x'):rep(1000000):gsub('x', function() while true do end end)");
    is_stopped("('x'):rep(10):gsub('x', function() while true do pcall(error) end end)");
    is_stopped("('x'):rep(10):gsub('x', setmetatable({}, { __index = function() while true do end end }))");
    is_stopped("string.rep('x', 4000000):gsub('x', '%0'):rep(2):gsub('.-b', '')");
}

#[test]
fn native_loops_over_huge_ranges_are_stopped() {
    is_stopped("table.move({}, 1, 1 << 60, 2)");
    is_stopped("table.move({}, 1, 1 << 60, 2, {})");
    is_stopped("table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 'x')");
    is_stopped("table.remove(setmetatable({}, { __len = function() return 1 << 60 end }), 1)");
    is_stopped("table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 1 << 60)");
    // Its copy grows: with little memory it would be the cap that it meets first.
    let sort =
        "table.sort(setmetatable({}, { __len = function() return 1 << 30 end, __index = function() return 1 end }))";
    let message = refused(text(sort).deadline(DEADLINE).memory(2 << 30));
    assert!(message.contains("evaluation took longer than"), "{message}");
    is_stopped("while true do pcall(table.unpack, {}, 1, 300000) end");
    is_stopped("while true do (''):rep(1 << 62) end");
    is_stopped(
        "local t = {} for i = 1, 100000 do t[i] = i end while true do table.remove(t, 1) table.insert(t, 1, 1) end",
    );
    is_stopped("while true do utf8.len(('ä'):rep(100000)) end");
}

#[test]
fn large_strings_between_two_looks_are_stopped() {
    is_stopped("local s = ('x'):rep(20000000) while true do local t = s .. 'y' end");
    is_stopped("local s = ('x'):rep(10000000) while true do local t = s:upper() == s:lower() end");
    is_stopped("local s = ('x'):rep(10000000) while true do pcall(string.format, '%s%s', s, s) end");
}

#[test]
fn metamethods_that_loop_are_stopped() {
    for event in ["__index", "__newindex", "__call", "__concat", "__add", "__eq", "__lt", "__le", "__len", "__unm"] {
        is_stopped(&format!(
            "local t = setmetatable({{}}, {{ {event} = function() while true do end end }})
             local u = setmetatable({{}}, getmetatable(t))
             local _ = pcall(function()
                local _ = t.x; t.x = 1; t(); _ = t .. u; _ = t + u; _ = t == u; _ = t < u; _ = t <= u; _ = #t; _ = -t
             end)
             local _ = t.x; t.x = 1
             _ = t == u; _ = #t
             while true do end"
        ));
    }
    is_stopped("tostring(setmetatable({}, { __tostring = function() while true do end end }))");
    is_stopped("print(setmetatable({}, { __tostring = function() while true do pcall(error) end end }))");
    is_stopped("for _ in pairs(setmetatable({}, { __pairs = function() while true do end end })) do end");
    is_stopped("string.format('%s', setmetatable({}, { __tostring = function() while true do end end }))");
    is_stopped(
        "local t = {} for i = 1, 1900 do t = setmetatable({}, { __index = t }) end
         while true do local _ = t.missing end",
    );
}

#[test]
fn error_objects_that_loop_are_stopped() {
    is_stopped("error(setmetatable({}, { __tostring = function() while true do end end }))");
    is_stopped("error(setmetatable({}, { __tostring = function() while true do pcall(error) end end }))");
    is_stopped("while true do pcall(error, setmetatable({}, { __tostring = function() while true do end end })) end");
}

#[test]
fn variables_whose_closing_loops_are_stopped() {
    is_stopped("do local x <close> = setmetatable({}, { __close = function() while true do end end }) end");
    is_stopped(
        "local x <close> = setmetatable({}, { __close = function() while true do end end })
         while true do end",
    );
    is_stopped(
        "local function again()
            local x <close> = setmetatable({}, { __close = again or function() end })
            while true do end
         end
         local mt = {}
         mt.__close = function() local y <close> = setmetatable({}, mt) while true do end end
         pcall(function() local x <close> = setmetatable({}, mt) again() end)",
    );
    is_stopped(
        "local mt = {}
         mt.__close = function() local y <close> = setmetatable({}, mt) error('x') end
         while true do pcall(function() local x <close> = setmetatable({}, mt) end) end",
    );
}

#[test]
fn loading_code_without_end_is_stopped() {
    is_stopped("while true do load('return 1') end");
    is_stopped("load(function() while true do end end)");
    is_stopped("load(function() return ' ' end) while true do load(function() return ' ' end) end");
    is_stopped("local s = ('x = 1 '):rep(100000) while true do load(s) end");
}

#[test]
fn finalizers_are_refused() {
    is_refused("setmetatable({}, { __gc = function() while true do end end })", "`__gc` is not available");
    is_refused("setmetatable({}, { __gc = true })", "`__gc` is not available");
    // Added later, it is no finalizer.
    is_stopped(
        "local mt = {} setmetatable({}, mt) mt.__gc = function() while true do end end
         while true do local t = setmetatable({}, setmetatable({}, { __index = mt })) end",
    );
}

#[test]
fn more_memory_than_there_is_is_refused() {
    let memory = |source: &str, expected: &str| {
        let message = refused(text(source).memory(16 * 1024 * 1024));
        assert!(message.contains(expected), "{source}:\n{message}");
    };
    memory("local t = {} while true do t[#t + 1] = {} end", "memory");
    memory("local s = 'x' while true do s = s .. s end", "memory");
    memory("return ('x'):rep(1 << 40)", "string.rep: the result is longer than");
    memory("return ('x'):rep(1 << 62, 'y')", "string.rep: the result is longer than");
    memory("return (('x'):rep(1000000)):gsub('x', ('y'):rep(1000))", "string.gsub: the result is longer than");
    memory("local function f(...) return f(1, ...) end f()", "test.lua:1:");
    memory("local t = {} for i = 1, 1e9 do t[i] = i end", "memory");
    memory("local t = {} for i = 1, 1e9 do t['k' .. i] = i end", "memory");
    memory(
        "string.format(('%s'):rep(99), table.unpack((function() local t = {} for i = 1, 99 do t[i] = ('x'):rep(1000000) end return t end)()))",
        "memory",
    );
    memory("local co = {} while true do co[#co + 1] = coroutine.create(function() end) end", "memory");
    is_stopped("while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end");
}

#[test]
fn a_deep_recursion_is_refused() {
    let message = refused(text("local function f() return 1 + f() end f()").memory(256 * 1024 * 1024).deadline(HANGS));
    assert!(message.starts_with("test.lua:1: stack overflow"), "{message}");
    is_refused(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end local _ = t.x",
        "overflow",
    );
    is_refused("local s = ('('):rep(1000) .. '1' .. (')'):rep(1000) assert(load(s))", "C stack overflow");
    is_refused("return (('x'):rep(1000)):find(('(x'):rep(33))", "too many captures");
    is_stopped("local function f() local ok = pcall(f) return 1 + f() end while true do pcall(f) end");
}

#[test]
fn a_recursion_through_native_functions_is_refused() {
    let overflow = |source: &str| is_refused(source, "overflow");
    overflow("local function f() return (('x'):gsub('x', f)) end f()");
    overflow("local function f() return (('x'):gsub('()' .. ('x?'):rep(190), f)) end f()");
    overflow("local function f() table.sort({ 1, 2 }, f) end f()");
    overflow("local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end print(t)");
    overflow("local function f() load(f) end f()");
    overflow("local function f() coroutine.wrap(f)() end f()");
    overflow("local function f() local x <close> = setmetatable({}, { __close = f }) end f()");
    is_stopped("local function f() pcall(string.gsub, 'x', 'x', f) end while true do f() end");
}

#[test]
fn yielding_at_the_top_is_an_error() {
    let message = refused(text("coroutine.yield(1)"));
    assert!(message.contains("coroutine.yield"), "{message}");
}

#[test]
fn an_error_message_without_end_is_cut() {
    let message = refused(text("error(('x'):rep(10000000))"));
    assert!(message.len() < 10_000, "{} bytes", message.len());
    let message = refused(text("error({})"));
    assert!(message.starts_with("test.lua:1:"), "{message}");
    let message = refused(text("error()"));
    assert!(message.starts_with("test.lua:1:"), "{message}");
}
