local neap = require "neap"
neap.yaml "agent.yaml"
neap.process "web" { command = "web", requires = "agent", restrat = "never" }
