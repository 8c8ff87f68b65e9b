local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  env = { URL = "http://user:" .. neap.secret { file = "secret.txt" } },
}
