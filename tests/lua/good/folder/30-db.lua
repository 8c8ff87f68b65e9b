shared "db" { command = { "db" } }
