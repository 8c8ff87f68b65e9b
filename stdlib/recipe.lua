--- recipe: constructors for well-known servers, shaped like `neap.process`.
--
--   local recipe = require "neap.recipe"
--   return recipe {
--     name    = "redis",                          -- the process's name when the caller gives none
--     options = { port = 6379, data_dir = true }, -- the recipe's own keys: a default, or true for "no default"
--     build   = function(name, o, given) return { command = { "redis-server", "--port", o.port } } end,
--   }
--
-- The constructor takes a name and a table, or a table alone:
--
--   redis "cache" { port = 6390 }       redis { port = 6390 }
--
-- Keys of the table that are not among `options` are spec keys: they are merged over what `build` returns, as a
-- template's are (maps merge, lists replace). Hooks of the caller run after the recipe's own.
local neap = require "neap"

local function concat(first, second)
  local all = {}
  for _, list in ipairs { first or {}, second or {} } do
    if type(list) ~= "table" or list[1] == nil or type(list[1]) == "string" then list = { list } end
    for _, hook in ipairs(list) do
      if type(hook) ~= "table" or next(hook) ~= nil then all[#all + 1] = hook end
    end
  end
  return all
end

local function check(recipe, name, table)
  if type(table) ~= "table" then
    error(("%s `%s`: expected a table, found a %s"):format(recipe.name, name, type(table)), 0)
  end
end

local function split(recipe, given)
  local own, rest = {}, {}
  for key, default in pairs(recipe.options) do
    if default ~= true then own[key] = default end
  end
  for key, value in pairs(given) do
    if recipe.options[key] ~= nil then own[key] = value else rest[key] = value end
  end
  return own, rest
end

local function declare(recipe, name, given)
  local own, rest = split(recipe, given)
  local base = recipe.build(name, own, given)
  local hooks = type(rest.hooks) == "table" and rest.hooks or nil
  if hooks and base.hooks then
    local merged = {}
    for kind, list in pairs(hooks) do
      merged[kind] = base.hooks[kind] and concat(base.hooks[kind], list) or list
    end
    rest.hooks = merged
  end
  return neap.template(base)(name)(rest)
end

--- A hook that makes a directory which belongs to the process's user: an instance that is root makes it as root.
local function make_dir(dir, user, mode)
  mode = mode or "0755"
  if neap.uid ~= 0 or user == nil then return { "mkdir", "-p", "-m", mode, dir } end
  return { command = { "install", "-d", "-m", mode, "-o", tostring(user), dir }, user = "root" }
end

--- A table's keys in order, so that the same table gives the same command.
local function sorted_pairs(table_)
  local keys = {}
  for key in pairs(table_ or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  local index = 0
  return function()
    index = index + 1
    if keys[index] ~= nil then return keys[index], table_[keys[index]] end
  end
end

--- The directory a server keeps its state in: what the caller gave, else `state/NAME` in the configuration's folder.
local function data_dir(name, given)
  return neap.path(given or ("state/" .. name))
end

return setmetatable({ data_dir = data_dir, make_dir = make_dir, sorted_pairs = sorted_pairs }, {
  __call = function(_, recipe)
    return function(first)
      if type(first) ~= "string" then
        check(recipe, recipe.name, first)
        return declare(recipe, recipe.name, first)
      end
      return function(given)
        check(recipe, first, given)
        return declare(recipe, first, given)
      end
    end
  end,
})
