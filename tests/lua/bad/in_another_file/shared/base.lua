local neap = require "neap"

return neap.template {
  description = "shared",
  stop = {
    mode = "everything",
  },
}
