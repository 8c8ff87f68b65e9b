local neap = require "neap"
neap.process "database" { command = { "postgres" } }
neap.process "web" {
  command = { "nginx" },
  requires = { "databse" },
}
