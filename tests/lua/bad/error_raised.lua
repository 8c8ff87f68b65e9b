local neap = require "neap"
local function must(value, what)
  if not value then error(what .. " is required", 2) end
  return value
end
neap.process "web" { command = { "nginx" }, env = { TOKEN = must(neap.env "NO_SUCH_TOKEN", "NO_SUCH_TOKEN") } }
