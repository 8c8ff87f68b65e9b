neap.process "web" { command = { "nginx" } }
