-- The Lua half of the sandbox: runs once in each fresh state, before any script.
-- `native` holds what Rust gives: expired() says whether the call's deadline has passed, describe(e) turns an
-- error that Rust raised into text, PENDING is what an asynchronous function yields while it waits.
local native = ...
local expired, describe, PENDING = native.expired, native.describe, native.pending
local error, type, select = error, type, select
local pcall, xpcall, rawget = pcall, xpcall, rawget
local setmetatable, getmetatable = setmetatable, getmetatable
local sub, gsub = string.sub, string.gsub
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield

local TOO_LATE = "took longer than it may"

-- An error as scripts know it: one that Rust raised is text, and no place in here is named.
local function readable(e)
  if type(e) == "userdata" then return describe(e) end
  if type(e) == "string" and sub(e, 1, 7) == "[neap]:" then return (gsub(e, "^%[neap%]:%d+: ", "")) end
  return e
end

-- Once the deadline has passed no error is handed to the script: it could go on for ever by catching them.
local function settle(ok, ...)
  if expired() then error(TOO_LATE, 0) end
  if ok then return ok, ... end
  return false, readable((...))
end

function _G.pcall(...)
  return settle(pcall(...))
end

function _G.xpcall(f, handler, ...)
  local function handle(e)
    if expired() then return e end
    return handler(readable(e))
  end
  return settle(xpcall(f, handle, ...))
end

-- An asynchronous function yields through the script's own coroutines up to the call.
local function settle_coroutine(co, ok, ...)
  if ok and select("#", ...) == 1 and (...) == PENDING then
    return settle_coroutine(co, resume(co, yield(PENDING)))
  end
  return settle(ok, ...)
end

function coroutine.resume(co, ...)
  return settle_coroutine(co, resume(co, ...))
end

local close = coroutine.close

local function unwrap(co, ok, ...)
  if ok then return ... end
  close(co)
  error((...), 0)
end

function coroutine.wrap(f)
  local co = create(f)
  return function(...)
    return unwrap(co, settle_coroutine(co, resume(co, ...)))
  end
end

function coroutine.close(co)
  return settle(close(co))
end

function _G.setmetatable(t, mt)
  if type(t) ~= "table" then
    error("bad argument #1 to 'setmetatable' (table expected, got " .. type(t) .. ")", 2)
  end
  if mt ~= nil and type(mt) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected, got " .. type(mt) .. ")", 2)
  end
  if mt and rawget(mt, "__gc") ~= nil then
    error("`__gc` is not available: a finalizer cannot be held to a deadline; use a local with `<close>`", 2)
  end
  local protected = getmetatable(t)
  if protected ~= nil and type(protected) ~= "table" then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(t, mt)
end

local gmatch_step, MEMORY = native.gmatch_step, native.memory
local rep, concat, tostring = string.rep, table.concat, tostring
local tointeger, mathtype, tonumber = math.tointeger, math.type, tonumber

-- An argument that stands for a text, as native functions take it.
local function text(v, n, name)
  local t = type(v)
  if t == "string" then return v end
  if t == "number" then return tostring(v) end
  error("bad argument #" .. n .. " to '" .. name .. "' (string expected, got " .. t .. ")", 3)
end

-- An argument that stands for a whole number.
local function integer(v, n, name)
  if mathtype(v) == "integer" then return v end
  local number = type(v) == "string" and tonumber(v) or v
  if type(number) == "number" then
    local whole = tointeger(number)
    if whole then return whole end
    error("bad argument #" .. n .. " to '" .. name .. "' (number has no integer representation)", 3)
  end
  error("bad argument #" .. n .. " to '" .. name .. "' (number expected, got " .. type(v) .. ")", 3)
end

function string.gmatch(s, p, init)
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  init = init == nil and 1 or integer(init, 3, "gmatch")
  local from, last = 0, -1
  if init > 0 then from = init - 1 elseif init < -#s then from = 0 elseif init < 0 then from = #s + init end
  local function advance(stop, ...)
    if stop == nil then return end
    from, last = stop, stop
    return ...
  end
  return function()
    return advance(gmatch_step(s, p, from, last))
  end
end

-- The stock one never ends for an empty text that is repeated often enough.
function string.rep(s, n, sep)
  s, n = text(s, 1, "rep"), integer(n, 2, "rep")
  sep = sep == nil and "" or text(sep, 3, "rep")
  local each = #s + #sep
  if n <= 0 or each == 0 then return "" end
  if n > MEMORY // each then
    error("string.rep: the result is longer than the " .. MEMORY .. " bytes of memory there are", 2)
  end
  return rep(s, n, sep)
end

-- The functions of `table` loop in native code for as long as they are told to: `table.move({}, 1, 1 << 60, 2)`.
-- Plain tables of ordinary size go to the stock ones; all else is done here, where the deadline reaches.
local ORDINARY = 4096
local insert, remove, move, sort = table.insert, table.remove, table.move, table.sort
local MAXINTEGER, ult = math.maxinteger, math.ult

-- Whether the stock functions may have it.
local function plain(t)
  return type(t) == "table" and getmetatable(t) == nil and #t <= ORDINARY
end

-- Refuses what is neither a table nor behaves like one.
local function tablelike(t, n, name)
  if type(t) == "table" then return end
  error("bad argument #" .. n .. " to '" .. name .. "' (table expected, got " .. type(t) .. ")", 3)
end

local function wrong(n, name, why)
  error("bad argument #" .. n .. " to '" .. name .. "' (" .. why .. ")", 3)
end

function table.insert(t, ...)
  local given = select("#", ...)
  if given == 1 then
    tablelike(t, 1, "insert")
    t[#t + 1] = (...)
    return
  elseif given ~= 2 then
    tablelike(t, 1, "insert")
    error("wrong number of arguments to 'insert'", 2)
  end
  tablelike(t, 1, "insert")
  local pos, value = ...
  pos = integer(pos, 2, "insert")
  local free = #t + 1
  if not ult(pos - 1, free) then wrong(2, "insert", "position out of bounds") end
  if plain(t) then return insert(t, pos, value) end
  for i = free, pos + 1, -1 do t[i] = t[i - 1] end
  t[pos] = value
end

function table.remove(t, pos)
  tablelike(t, 1, "remove")
  local size = #t
  if pos == nil then
    pos = size
  else
    pos = integer(pos, 2, "remove")
    if pos ~= size and ult(size, pos - 1) then wrong(2, "remove", "position out of bounds") end
  end
  if plain(t) then return remove(t, pos) end
  local value = t[pos]
  while pos < size do
    t[pos] = t[pos + 1]
    pos = pos + 1
  end
  t[pos] = nil
  return value
end

function table.move(t, first, last, to, other)
  tablelike(t, 1, "move")
  first, last, to = integer(first, 2, "move"), integer(last, 3, "move"), integer(to, 4, "move")
  local target = other == nil and t or other
  tablelike(target, 5, "move")
  if last < first then return target end
  if not (first > 0 or last < MAXINTEGER + first) then wrong(3, "move", "too many elements to move") end
  local count = last - first + 1
  if to > MAXINTEGER - count + 1 then wrong(4, "move", "destination wrap around") end
  if count <= ORDINARY and getmetatable(t) == nil and getmetatable(target) == nil then
    return move(t, first, last, to, target)
  end
  if to > last or to <= first or (other ~= nil and t ~= target) then
    for i = 0, count - 1 do target[to + i] = t[first + i] end
  else
    for i = count - 1, 0, -1 do target[to + i] = t[first + i] end
  end
  return target
end

function table.concat(t, sep, first, last)
  tablelike(t, 1, "concat")
  sep = sep == nil and "" or text(sep, 2, "concat")
  first = first == nil and 1 or integer(first, 3, "concat")
  last = last == nil and #t or integer(last, 4, "concat")
  if last < first then return "" end
  if getmetatable(t) == nil and ult(last - first, ORDINARY) then return concat(t, sep, first, last) end
  local batch, size, out = {}, 0, {}
  for i = first, last do
    local v = t[i]
    local kind = type(v)
    if kind ~= "string" and kind ~= "number" then
      error("invalid value (" .. kind .. ") at index " .. i .. " in table for 'concat'", 2)
    end
    size = size + 1
    batch[size] = v
    if size == ORDINARY then
      out[#out + 1] = concat(batch, sep)
      batch, size = {}, 0
    end
  end
  if size > 0 then out[#out + 1] = concat(batch, sep, 1, size) end
  return concat(out, sep)
end

-- Sorts by merging: as many comparisons as it takes, however odd the answers are.
local function merge_sort(t, n, less)
  local from, to = {}, {}
  for i = 1, n do from[i] = t[i] end
  local width = 1
  while width < n do
    for low = 1, n, 2 * width do
      local i, middle, high = low, low + width, low + 2 * width
      if middle > n + 1 then middle = n + 1 end
      if high > n + 1 then high = n + 1 end
      local j = middle
      for k = low, high - 1 do
        if i < middle and (j >= high or not less(from[j], from[i])) then
          to[k] = from[i]
          i = i + 1
        else
          to[k] = from[j]
          j = j + 1
        end
      end
    end
    from, to = to, from
    width = 2 * width
  end
  for i = 1, n do t[i] = from[i] end
end

function table.sort(t, comparator)
  tablelike(t, 1, "sort")
  if comparator ~= nil and type(comparator) ~= "function" then
    wrong(2, "sort", "function expected, got " .. type(comparator))
  end
  if plain(t) then return sort(t, comparator) end
  local n = #t
  if n >= 2147483647 then wrong(1, "sort", "array too big") end
  if n > 1 then merge_sort(t, n, comparator or function(a, b) return a < b end) end
end
