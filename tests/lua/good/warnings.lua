-- What is odd but not wrong: a name that nobody has in a list that only orders.
local neap = require "neap"

neap.process "web" {
  command = { "nginx" },
  after = "databse",
  wants = { "metrics" },
}
neap.process "database" { command = { "postgres" } }
