//! What the sandbox puts in place of stock functions behaves as they do.

use std::collections::BTreeSet;

use mlua::{Lua, LuaString};

use super::new_state;
use crate::lua::host::Host;

/// A function that nothing interrupts: it waits until the file that it is given is gone.
pub(super) fn block(lua: &Lua) -> mlua::Result<mlua::Function> {
    lua.create_function(|_, path: String| {
        while std::path::Path::new(&path).exists() {
            std::thread::yield_now();
        }
        Ok(())
    })
}

/// Runs in both states; `seed` decides what is done, the result says what came of it.
const TABLES: &str = r##"
    local seed, large, wrapped = ...
    local function random(n)
        seed = (seed * 6364136223846793005 + 1442695040888963407)
        return ((seed >> 33) % n) + 1
    end
    local function show(...)
        local out = {}
        for i = 1, select("#", ...) do
            local v = select(i, ...)
            out[i] = type(v) == "table" and "table" or tostring(v)
        end
        return table.concat(out, ",")
    end
    local results = {}
    local function try(f, ...)
        local out = show(pcall(f, ...))
        results[#results + 1] = out:gsub("^false,[%w%._/]*:%d+: ", "false,")
    end
    local t = {}
    for i = 1, large and 5000 or random(12) do t[i] = random(100) end
    if wrapped then setmetatable(t, { __index = function(_, k) return nil end }) end
    for _ = 1, 30 do
        -- Holes are left out: where a table with holes ends is anybody's choice.
        local op, n = random(9), #t
        if op == 1 then try(table.insert, t, random(100))
        elseif op == 2 then try(table.insert, t, random(n + 3) - 1, random(100))
        elseif op == 3 then try(table.remove, t)
        elseif op == 4 then try(table.remove, t, random(n + 4) - 2)
        elseif op == 5 and n > 0 then
            local first = random(n)
            try(table.move, t, first, first + random(math.min(n - first + 1, 5)) - 2, random(n + 1))
        elseif op == 6 and n > 0 then
            local other = {}
            try(table.move, t, random(n), random(n), 1, other)
            results[#results + 1] = table.concat(other, ";")
        elseif op == 7 then try(table.concat, t, ({ "", ",", 0, "--" })[random(4)], random(3), n - random(3) + 2)
        elseif op == 8 then try(table.sort, t)
        else try(table.sort, t, function(a, b) return a > b end) end
    end
    local last = {}
    for i = -3, #t + 3 do last[#last + 1] = tostring(t[i]) end
    results[#results + 1] = table.concat(last, " ")
    for _, bad in ipairs({
        { table.insert, 1 }, { table.insert, t }, { table.insert, t, 1, 2, 3 }, { table.insert, t, {}, 1 },
        { table.insert, t, 1.5, 1 }, { table.insert, t, "1", 7 }, { table.insert, t, "x", 7 },
        { table.remove, 1 }, { table.remove, t, 1 << 40 }, { table.move, t, 1, 2 }, { table.move, t, 1, "x", 2 },
        { table.move, t, -5, math.maxinteger, 1 }, { table.move, t, 1, 3, math.maxinteger },
        { table.concat, t, {} }, { table.concat, { 1, {}, 3 } }, { table.concat, { 1, 2 }, ",", 1, 3 },
        { table.concat, { 1, 2 }, ",", 2, 1 }, { table.concat, {}, ",", math.maxinteger, math.maxinteger },
        { table.sort, { 2, 1 }, 1 }, { table.sort, { 1, "x" } }, { table.sort, 1 },
        { string.rep, "ab", 3, "," }, { string.rep, "ab", 0 }, { string.rep, "ab", -1, "," }, { string.rep, "ab", 2.0 },
        { string.rep, 12, 2 }, { string.rep, "ab", 1.5 }, { string.rep, {}, 1 }, { string.rep, "a", {} },
        { setmetatable, 1, {} }, { setmetatable, {}, 1 }, { setmetatable, setmetatable({}, { __metatable = "p" }), {} },
        { pcall }, { pcall, error, "x" }, { pcall, error, nil }, { xpcall, error, function(e) return e .. "!" end, "x" },
        { coroutine.wrap(function(...) return select("#", ...), coroutine.yield(...) end), nil, nil },
        { coroutine.wrap(function() error("inside", 0) end) },
        { coroutine.resume, coroutine.create(function(...) return ... end), 1, nil },
        { coroutine.resume, coroutine.create(function() error({}) end) },
        { coroutine.close, coroutine.create(function() end) },
        { load, "return 1 +" }, { load, "return 1", "=x", "b" }, { load("return ...") , 5 },
    }) do
        try(table.unpack(bad))
    end
    return table.concat(results, "\n")
"##;

fn outcome(lua: &Lua, arguments: (i64, bool, bool)) -> String {
    let result: LuaString = lua.load(TABLES).set_name("@tables.lua").call(arguments).expect("the script runs");
    result.to_string_lossy()
}

/// Differences that are meant: what a script is told about a missing or a nil argument, and about compiled Lua.
fn same_meaning(line: &str) -> String {
    line.replace("got nil", "got no value")
        .replace("'table.", "'")
        .replace("'string.", "'")
        .replace("'coroutine.", "'")
        .replace("load: compiled Lua is not accepted, only its source", "attempt to load a text chunk (mode is 'b')")
        .replace("bad argument #3 to 'concat'", "bad argument #2 to 'concat'")
}

#[test]
fn random_table_operations_do_what_the_stock_ones_do() {
    let host = Host::for_tests();
    let ours = new_state(&host).expect("a state");
    let stock = Lua::new();
    let mut differences = BTreeSet::new();
    for seed in 0..400 {
        for (large, wrapped) in [(false, false), (false, true), (seed % 40 == 0, false)] {
            let arguments = (seed * 7919 + 13, large, wrapped);
            let (ours, stock) = (outcome(&ours, arguments), outcome(&stock, arguments));
            for (ours, stock) in ours.lines().zip(stock.lines()) {
                if same_meaning(ours) != same_meaning(stock) {
                    differences.insert(format!("{arguments:?}\n ours  {ours:.200}\n stock {stock:.200}\n"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.into_iter().take(20).collect::<String>());
}
