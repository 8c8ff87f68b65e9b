--- redis: a Redis server, ready when it says so (sd_notify), its data kept over restarts.
--
--   local redis = require "redis"
--   local cache = redis "cache" { port = 6390 }
--
-- Options, all optional; any spec key may stand beside them:
--   port      where it listens (6379)
--   bind      on which address ("127.0.0.1")
--   data_dir  where it keeps its data ("state/NAME" in the configuration's folder); made if missing
--   config    a redis.conf, read before what the options say
--   settings  further directives, as { maxmemory = "100mb", appendonly = true }
--   program   the server ("redis-server")
--
-- It needs a Redis built with systemd support, as distributions build it. Where yours is not: type = "simple".
local neap = require "neap"
local recipe = require "neap.recipe"

return recipe {
  name = "redis",
  options = {
    port = 6379,
    bind = "127.0.0.1",
    data_dir = true,
    config = true,
    settings = true,
    program = "redis-server",
  },
  build = function(name, o, given)
    local dir = recipe.data_dir(name, o.data_dir)
    local command = { o.program }
    if o.config then command[#command + 1] = neap.path(o.config) end
    for _, word in ipairs {
      "--port", tostring(o.port), "--bind", o.bind, "--dir", dir, "--daemonize", "no", "--supervised", "systemd",
    } do
      command[#command + 1] = word
    end
    for key, value in recipe.sorted_pairs(o.settings) do
      if type(value) == "boolean" then value = value and "yes" or "no" end
      command[#command + 1] = "--" .. key
      command[#command + 1] = tostring(value)
    end
    return {
      description = "Redis on " .. o.bind .. ":" .. tostring(o.port),
      type = "notify",
      command = command,
      -- TERM writes the snapshot; a large one takes its time.
      stop = { signal = "TERM", timeout = "1m" },
      health = neap.tcp { host = o.bind, port = o.port },
      hooks = { before_start = { recipe.make_dir(dir, given.user, "0750") } },
    }
  end,
}
