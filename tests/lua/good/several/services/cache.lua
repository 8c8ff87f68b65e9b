local base = require "shared"

return base "cache" { command = { "redis-server" }, user = "redis" }
