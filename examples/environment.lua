-- What a process finds around it: variables, files of variables, folders of its own; and when it is started at all.
--   neap up examples/environment.lua
local neap = require "neap"

local web = neap.process "web" {
  shell = [[
    echo "$GREETING ($MODE)"
    echo "sockets below $RUNTIME_DIRECTORY, data below $STATE_DIRECTORY"
    date > "$STATE_DIRECTORY/started"
    exec sleep 1000]],

  clear_env = true, -- nothing of the instance's own environment
  env_file = { "-/etc/default/environment-web", "-environment.d/*.env" }, -- read at each start, in this order
  env = { PATH = "/usr/bin:/bin", MODE = "example" }, -- wins over the files

  runtime_directory = "environment-web", -- gone when it is down
  state_directory = { path = "environment-web", mode = "0750" }, -- kept
  cache_directory = "environment-web",

  pidfile = "environment-web.pid",
  success_exit_status = { 3, "USR1" },
}

-- Started only where it makes sense; else it is skipped, and nothing else is held up.
neap.process "extra" {
  command = { "sleep", "1000" },
  after = web,
  conditions = {
    path_exists = { "/proc/self", "|/nowhere", "|/etc/passwd" },
    path_executable = "/bin/sh",
    env = "!NO_EXTRAS",
    check = function()
      local state = web:status().state
      if state == "running" then return true end
      return false, "web is " .. state
    end,
  },
}
