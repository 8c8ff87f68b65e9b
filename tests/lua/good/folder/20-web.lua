shared "web" { command = { "web" }, requires = "db" }
