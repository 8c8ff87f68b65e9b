--- postgres: a PostgreSQL server with a cluster of its own, made at the first start, ready when it says so.
--
--   local postgres = require "postgres"
--   local db = postgres "db" { port = 5433 }
--
-- Options, all optional; any spec key may stand beside them:
--   port      where it listens (5432)
--   bind      on which address ("127.0.0.1")
--   data_dir  the cluster ("state/NAME" in the configuration's folder); made and initialised if missing
--   auth      how connections over TCP prove who they are, set when the cluster is made ("scram-sha-256")
--   settings  further parameters, as { shared_buffers = "256MB" }
--   bin       the folder of its programs (the newest of /usr/lib/postgresql/*/bin, else PATH)
--
-- PostgreSQL refuses to run as root: an instance that is root runs it as the user `postgres`, who must be able to
-- reach `data_dir`. A local socket lies in `data_dir` (`psql -h DATA_DIR`), where the cluster's owner needs no password.
local neap = require "neap"
local recipe = require "neap.recipe"

local function newest_bin()
  local best, best_version = nil, -1
  for _, folder in ipairs(neap.glob "/usr/lib/postgresql/*/bin") do
    local version = tonumber(folder:match("/([%d.]+)/bin$")) or 0
    if version > best_version then best, best_version = folder, version end
  end
  return best
end

return recipe {
  name = "postgres",
  options = {
    port = 5432,
    bind = "127.0.0.1",
    data_dir = true,
    auth = "scram-sha-256",
    settings = true,
    bin = true,
  },
  build = function(name, o, given)
    local dir = recipe.data_dir(name, o.data_dir)
    local bin = o.bin or newest_bin()
    local function program(which) return bin and (bin .. "/" .. which) or which end
    local user = given.user or (neap.uid == 0 and "postgres" or nil)

    -- A socket's path has room for 107 bytes; a cluster in a deeper folder goes without one.
    local sockets = #dir <= 80 and dir or ""
    local command = {
      program "postgres", "-D", dir, "-h", o.bind, "-p", tostring(o.port), "-k", sockets,
    }
    for key, value in recipe.sorted_pairs(o.settings) do
      command[#command + 1] = "-c"
      command[#command + 1] = key .. "=" .. tostring(value)
    end

    local init = {
      command = {
        "sh", "-c",
        "[ -s \"$1/PG_VERSION\" ] || exec \"$2\" -D \"$1\" --no-instructions --encoding=UTF8 --locale=C"
          .. " --auth-local=peer --auth-host=\"$3\"",
        "sh", dir, program "initdb", o.auth,
      },
      timeout = "2m",
    }
    return {
      description = "PostgreSQL on " .. o.bind .. ":" .. tostring(o.port),
      type = "notify",
      command = command,
      user = user,
      working_dir = "/",
      start_timeout = "5m",
      -- INT is the fast shutdown: clients are disconnected, the data is written. Only the postmaster is told.
      stop = { signal = "INT", timeout = "1m", mode = "mixed" },
      reload = { signal = "HUP" },
      health = neap.exec { program "pg_isready", "-q", "-h", o.bind, "-p", tostring(o.port) },
      hooks = { before_start = { recipe.make_dir(dir, user, "0700"), init } },
    }
  end,
}
