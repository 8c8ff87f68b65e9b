//! Case G2: the ways out of a sandbox, each absent or harmless.

use crate::support::{evaluate, refused, text};

fn is_refused(source: &str, expected: &str) {
    let message = refused(text(source));
    assert!(message.contains(expected), "{source}:\n{message}");
}

fn runs(source: &str) {
    if let Err(error) = evaluate(text(source)) {
        panic!("{source}:\n{error}");
    }
}

#[test]
fn what_reaches_outside_is_absent_and_says_why() {
    is_refused(
        "os.execute('true')",
        "test.lua:1: `os.execute` is not available in a configuration: commands are run by",
    );
    is_refused("os.exit(1)", "`os.exit` is not available in a configuration: raise an error to refuse");
    is_refused("os.remove('/tmp/x')", "`os.remove` is not available");
    is_refused("os.rename('a', 'b')", "`os.rename` is not available");
    is_refused("os.tmpname()", "`os.tmpname` is not available");
    is_refused("os.getenv('HOME')", "`os.getenv` is not available in a configuration: use neap.env");
    is_refused("os.setlocale('C')", "`os.setlocale` is not available");
    is_refused("io.open('/etc/passwd')", "`io` is not available in a configuration: files are read with neap.read");
    is_refused("io.popen('id')", "`io` is not available");
    is_refused("debug.getregistry()", "`debug` is not available");
    is_refused("package.loadlib('x', 'y')", "`package` is not available");
    is_refused("package.searchers[1] = nil", "`package` is not available");
    is_refused("dofile('/etc/passwd')", "`dofile` is not available in a configuration: use require");
    is_refused("loadfile('/etc/passwd')", "`loadfile` is not available");
    is_refused("require 'io'", "module `io` not found");
    is_refused("require 'debug'", "module `debug` not found");
    is_refused("require 'ffi'", "module `ffi` not found");
}

#[test]
fn only_listed_globals_exist() {
    runs(
        r#"
        local expected = {}
        for name in ([[_G _VERSION assert collectgarbage coroutine error getmetatable ipairs load math next os pairs
            pcall print rawequal rawget rawlen rawset require select setmetatable string table tonumber tostring type
            utf8 xpcall]]):gmatch("%S+") do expected[name] = true end
        for name in pairs(_G) do assert(expected[name], name .. " is not meant to be there") end
        for name in pairs(expected) do assert(rawget(_G, name) ~= nil, name .. " is missing") end
        for name in pairs(os) do assert(({ time = 1, date = 1, clock = 1, difftime = 1 })[name], "os." .. name) end
        assert(rawget(string, "dump") == nil)
    "#,
    );
}

#[test]
fn compiled_lua_is_refused() {
    is_refused("string.dump(function() end)", "attempt to call a nil value (field 'dump')");
    runs(
        r#"
        for _, code in ipairs({ "\27Lua", "\27LuaT\0", "\27" }) do
            for _, mode in ipairs({ "b", "bt", "t" }) do
                local f, message = load(code, "x", mode)
                assert(f == nil and message:find("compiled Lua is not accepted"), message)
            end
        end
        local f, message = load("return 1", "x", "b")
        assert(f == nil and message:find("compiled Lua is not accepted"))
        local pieces = { "\27L", "ua" }
        local f, message = load(function() return table.remove(pieces, 1) end)
        assert(f == nil and message:find("compiled Lua is not accepted"))
        assert(load("return 1 + 1")() == 2)
        assert(load("return x", "=x", "t", { x = 7 })() == 7)
    "#,
    );
    is_refused("\x1bLua", "test.lua: compiled Lua is not accepted, only its source");
}

#[test]
fn metatables_that_matter_are_out_of_reach() {
    runs(
        r#"
        assert(getmetatable("") == "protected")
        assert(not pcall(setmetatable, _G, {}))
        assert(not pcall(setmetatable, os, {}))
        assert(not pcall(function() getmetatable("").__index = nil end))
        assert(("x"):rep(3) == "xxx")
        assert(not pcall(setmetatable, "", {}))
        local mt = {}
        local t = setmetatable({}, mt)
        assert(getmetatable(t) == mt)
        assert(not pcall(setmetatable, setmetatable({}, { __metatable = 1 }), {}))
    "#,
    );
}

#[test]
fn methods_of_strings_are_ours() {
    runs(
        r#"
        for name, f in pairs(string) do assert(("").find ~= nil and (""):len() == 0 and (("")[name]) == f, name) end
        assert(("aXb"):find("%u") == 2 and ("aXb"):match("%u") == "X" and ("aXb"):gsub("%u", "-") == "a-b")
    "#,
    );
}

#[test]
fn an_environment_of_ones_own_gives_no_more() {
    is_refused("local _ENV = { os = os } os.execute('true')", "`os.execute` is not available");
    is_refused("local f = load('return io', 'x', 't') f()", "`io` is not available");
    runs("local _ENV = {} assert = nil");
    runs("local _ENV = setmetatable({}, { __index = _G }) local t = type assert(t(1) == 'number')");
    runs("assert(rawget(_G, 'io') == nil and rawget(_G, 'debug') == nil and _G._G == _G)");
}

#[test]
fn replacing_functions_harms_only_the_script() {
    runs("string.find = nil table.concat = nil pcall = nil error = nil math = nil local x = ('a'):rep(2)");
    runs("for k in pairs(table) do table[k] = nil end for k in pairs(string) do string[k] = nil end");
    runs("coroutine = nil local ok = pcall(function() end)");
    is_refused(
        "tostring = nil type = nil error = nil setmetatable = nil local x = nil + 1",
        "test.lua:1: attempt to perform arithmetic",
    );
}

#[test]
fn memory_is_only_counted() {
    runs("assert(collectgarbage('count') > 0)");
    for what in ["collect", "stop", "restart", "step", "generational", "incremental", "isrunning"] {
        is_refused(&format!("collectgarbage('{what}')"), "collectgarbage can only \"count\"");
    }
    is_refused("collectgarbage()", "collectgarbage can only \"count\"");
}

#[test]
fn the_clock_and_chance_are_refused_during_evaluation() {
    is_refused("local t = os.time()", "test.lua:1: `os.time` is not available while the configuration is evaluated");
    is_refused("local t = os.date()", "`os.date` is not available while");
    is_refused("local t = os.clock()", "`os.clock` is not available while");
    is_refused("local t = math.random()", "`math.random` is not available while");
    is_refused("math.randomseed(1)", "`math.randomseed` is not available while");
    runs("assert(os.difftime(2, 1) == 1.0 and math.pi > 3)");
}

#[test]
fn an_undefined_global_is_an_error_with_the_nearest_name() {
    is_refused("local x = 1\nlocal y = pritn('x')", "test.lua:2: undefined global `pritn`; did you mean `print`?");
    is_refused("workers = 4\nlocal y = worker", "test.lua:2: undefined global `worker`; did you mean `workers`?");
    is_refused("local y = somethingelse", "test.lua:1: undefined global `somethingelse`");
    is_refused("neap.process 'x' {}", "test.lua:1: `neap` is not defined; say first: local neap = require \"neap\"");
    runs("x = nil assert(rawget(_G, 'x') == nil) x = 1 assert(x == 1)");
}

#[test]
fn caught_errors_are_text() {
    runs(
        r#"
        local ok, e = pcall(string.find, "x", "[")
        assert(not ok and type(e) == "string" and e:find("malformed pattern"), e)
        local ok, e = pcall(function() return undefined_thing end)
        assert(not ok and e == "test.lua:4: undefined global `undefined_thing`", e)
        local ok, e = pcall(require, "nothing.here")
        assert(not ok and e:find("module `nothing.here` not found", 1, true), e)
        local ok, e = coroutine.resume(coroutine.create(function() string.rep("x", 1 << 40) end))
        assert(not ok and e:find("^test.lua:8: string.rep: the result is longer"), e)
        local ok, e = xpcall(function() string.find("x", "[") end, function(e) return "<" .. e .. ">" end)
        assert(not ok and e == "<test.lua:10: malformed pattern (missing ']')>", e)
        local ok, e = pcall(error, { code = 7 })
        assert(not ok and e.code == 7)
        local t = {}
        local ok, e = pcall(error, t)
        assert(e == t)
        local ok, e = pcall(coroutine.wrap(function() error("inside") end))
        assert(not ok and e == "test.lua:17: inside", e)
        local ok, e = pcall(coroutine.wrap(function() error(t) end))
        assert(not ok and e == t)
    "#,
    );
}

#[test]
fn coroutines_work() {
    runs(
        r#"
        local function numbers(n)
            return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, nil) end end)
        end
        local sum = 0
        for i in numbers(4) do sum = sum + i end
        assert(sum == 10)
        local co = coroutine.create(function(...)
            assert(select('#', ...) == 2)
            local a, b = coroutine.yield(1, 2, nil)
            return a + b
        end)
        local r = table.pack(coroutine.resume(co, nil, nil))
        assert(r.n == 4 and r[1] and r[2] == 1 and r[3] == 2)
        assert(select(2, coroutine.resume(co, 3, 4)) == 7)
        assert(coroutine.status(co) == "dead")
        assert(coroutine.close(co) == true)
        assert(select('#', coroutine.resume(coroutine.create(function() end))) == 1)
        local ok, e = coroutine.resume(co)
        assert(not ok and e == "cannot resume dead coroutine")
        local closed = false
        local co = coroutine.create(function()
            local x <close> = setmetatable({}, { __close = function() closed = true end })
            coroutine.yield()
        end)
        coroutine.resume(co)
        assert(coroutine.close(co) and closed)
    "#,
    );
}
