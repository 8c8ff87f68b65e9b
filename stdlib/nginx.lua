--- nginx: in the foreground, logging to its own output, ready when its port answers.
--
--   local nginx = require "nginx"
--   nginx "web" { port = 8080, root = "public" }          -- serves a folder
--   nginx "proxy" { port = 8080, upstream = "http://127.0.0.1:3000" }
--   nginx "own" { config = "nginx.conf", port = 8080 }    -- your file; the port is what readiness asks
--
-- Options, all optional; any spec key may stand beside them:
--   port      where it listens (8080); with `config`, the port that must answer before it counts as ready
--   bind      on which address ("127.0.0.1")
--   root      a folder to serve, relative to the configuration's folder
--   upstream  a URL that requests are passed on to, instead of `root`
--   locations further text for the `server { }` block
--   config    a configuration of your own, without `daemon`; the options above it then only say what to ask
--   data_dir  its prefix: temporary files, the written configuration ("state/NAME" in the configuration's folder)
--   program   the server ("nginx"; /usr/sbin is searched too)
local neap = require "neap"
local recipe = require "neap.recipe"

-- Written at each start from what the recipe was given. Every path that a distribution compiled in is replaced, so
-- that it runs as any user.
local function configuration(o)
  local serve
  if o.upstream then
    serve = "location / { proxy_pass " .. o.upstream .. "; }"
  elseif o.root then
    serve = "root \"" .. neap.path(o.root) .. "\";"
  else
    serve = "location / { default_type text/plain; return 200 \"ok\\n\"; }"
  end
  return table.concat({
    "worker_processes auto;",
    "pid nginx.pid;",
    "error_log stderr notice;",
    "events { }",
    "http {",
    "  access_log /dev/stdout;",
    "  client_body_temp_path body;",
    "  proxy_temp_path proxy;",
    "  fastcgi_temp_path fastcgi;",
    "  uwsgi_temp_path uwsgi;",
    "  scgi_temp_path scgi;",
    "  server {",
    "    listen " .. o.bind .. ":" .. tostring(o.port) .. ";",
    "    " .. serve,
    "    " .. (o.locations or ""),
    "  }",
    "}",
    "",
  }, "\n")
end

return recipe {
  name = "nginx",
  options = {
    port = 8080,
    bind = "127.0.0.1",
    root = true,
    upstream = true,
    locations = true,
    config = true,
    data_dir = true,
    program = "nginx",
  },
  build = function(name, o, given)
    local dir = recipe.data_dir(name, o.data_dir)
    local file = o.config and neap.path(o.config) or (dir .. "/nginx.conf")
    local prepare = { recipe.make_dir(dir, given.user) }
    if not o.config then
      prepare[2] = { "sh", "-c", "printf %s \"$1\" > \"$2\"", "sh", configuration(o), file }
    end
    return {
      description = "nginx on " .. o.bind .. ":" .. tostring(o.port),
      command = { o.program, "-p", dir, "-e", "stderr", "-c", file, "-g", "daemon off;" },
      env = { PATH = (neap.env("PATH", "/usr/local/bin:/usr/bin:/bin")) .. ":/usr/local/sbin:/usr/sbin:/sbin" },
      ready = neap.tcp { host = o.bind, port = o.port },
      -- QUIT lets requests finish; the master tells its workers.
      stop = { signal = "QUIT", timeout = "30s", mode = "mixed" },
      reload = { signal = "HUP" },
      hooks = { before_start = prepare },
    }
  end,
}
