-- The environment of one session: its own variables, then the configuration's globals.
-- `native`: globals; undefined(key, known) raises; push(line) prints when there is room; room() waits for it.
local native = ...
local globals, undefined, push, room = native.globals, native.undefined, native.push, native.room
local rawget, select, tostring, concat, next = rawget, select, tostring, table.concat, next
local isyieldable, setmetatable = coroutine.isyieldable, setmetatable

-- A variable that was set to nil is there, and nil.
local values, known = {}, {}

local environment = setmetatable({}, {
  __metatable = "protected",
  __index = function(_, key)
    local value = values[key]
    if value ~= nil or known[key] then return value end
    value = rawget(globals, key)
    if value == nil then undefined(key, known) end
    return value
  end,
  __newindex = function(_, key, value)
    known[key] = true
    values[key] = value
  end,
  __pairs = function() return next, values, nil end,
})

function environment.print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  local line = concat(parts, "\t")
  while not push(line, not isyieldable()) do room() end
end

return environment, values
