local neap = require "neap"
local program = nil
neap.process "web" {
  command = { program, "-g" },
}
