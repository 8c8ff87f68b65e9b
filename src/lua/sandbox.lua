-- The Lua half of the sandbox: runs once in each fresh state, before any script.
-- `native` holds what Rust gives: expired() says whether the call's deadline has passed, describe(e) turns an
-- error that Rust raised into text, PENDING is what an asynchronous function yields while it waits.
local native = ...
local expired, describe, PENDING = native.expired, native.describe, native.pending
local error, type, select = error, type, select
local pcall, xpcall, rawget = pcall, xpcall, rawget
local setmetatable, getmetatable = setmetatable, getmetatable
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield

local TOO_LATE = "took longer than it may"

-- Once the deadline has passed no error is handed to the script: it could go on for ever by catching them.
local function settle(ok, ...)
  if expired() then error(TOO_LATE, 0) end
  if not ok and type((...)) == "userdata" then return false, describe((...)) end
  return ok, ...
end

function _G.pcall(...)
  return settle(pcall(...))
end

function _G.xpcall(f, handler, ...)
  local function handle(e)
    if expired() then return e end
    if type(e) == "userdata" then e = describe(e) end
    return handler(e)
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

local function unwrap(co, ok, ...)
  if ok then return ... end
  local e = ...
  if type(co) == "thread" then coroutine.close(co) end
  error(e, 0)
end

function coroutine.wrap(f)
  local co = create(f)
  return function(...)
    return unwrap(co, settle_coroutine(co, resume(co, ...)))
  end
end

local close = coroutine.close
function coroutine.close(co)
  return settle(close(co))
end

function _G.setmetatable(t, mt)
  if type(t) ~= "table" then
    error("bad argument #1 to 'setmetatable' (table expected, got " .. type(t) .. ")", 2)
  end
  if mt ~= nil and type(mt) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
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
