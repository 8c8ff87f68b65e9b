local neap = require "neap"
neap.process "web" {
  exec_start = "/usr/sbin/nginx",
  depends_on = "db",
}
