-- What runs in the container of this folder: stand-ins of two services, and the one for whose sake it is there.
local neap = require "neap"

-- Less than stop_grace_period in compose.yaml.
neap.settings { shutdown_timeout = "10s" }

-- What they print is what `docker logs` shows, as they print it.
neap.defaults { log = { stdout = "inherit", stderr = "inherit" } }

local loop = "trap 'echo NAME: stopped; exit 0' TERM; echo NAME: up; while sleep 1 & wait $!; do :; done"
local function standing_in(name)
  return (loop:gsub("NAME", name))
end

local cache = neap.process "cache" {
  shell = standing_in "cache",
  health = neap.exec { command = { "true" }, interval = "5s" },
}

neap.process "worker" {
  shell = standing_in "worker",
  requires = cache,
}

neap.process "web" {
  shell = standing_in "web",
  requires = cache,
  critical = true, -- when it ends for good, so does the container, with its code
}
