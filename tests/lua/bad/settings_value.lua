local neap = require "neap"
neap.settings {
  log_level = "verbose",
}
