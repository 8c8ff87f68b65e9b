local neap = require "neap"
local env = {}
for _ = 1, 100 do env = { env } end
neap.process "web" {
  command = { "nginx" },
  env = env,
}
