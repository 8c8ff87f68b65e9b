-- One file for several surroundings.
local neap = require "neap"

neap.defaults {
  env = { STAGE = neap.profile "prod" and "prod" or neap.profile "staging" and "staging" or "dev" },
  restart = neap.profile "prod" and "always" or "never",
}

for index = 1, neap.profile "prod" and 4 or 2 do
  neap.process("worker-" .. index) { command = { "worker", "--port", neap.env "PORT", "--index", tostring(index) } }
end
