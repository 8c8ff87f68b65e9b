local neap = require "neap"
local base = require "shared.base"

base "web" {
  command = { "nginx" },
}
