local neap = require "neap"
local app = neap.template {
  usr = "app",
}
app "one" { command = { "one" } }
app "two" { command = { "two" } }
