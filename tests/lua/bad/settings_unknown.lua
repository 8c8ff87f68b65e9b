local neap = require "neap"
neap.settings {
  shutdown_timeout = "30s",
  log_levle = "debug",
}
