-- Several files: what they share stands in modules below the configuration's folder.
local neap = require "neap"
local base = require "shared"
local cache = require "services.cache"

base "web" { command = { "nginx" }, requires = cache }
require "services"
