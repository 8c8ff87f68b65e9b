-- Several files: what they share stands in modules below the configuration's folder.
local neap = require "neap"
local base = require "shared"
local cache = require "services.cache"

base "web" { command = { "nginx" }, requires = cache }
require "services"

-- A file of one's own comes before a recipe of that name, which is still there as neap.NAME.
assert(require "redis" == "mine" and type(require "neap.redis") == "function")
