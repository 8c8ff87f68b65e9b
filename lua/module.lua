---A run of a process, as hooks see it.
---@class neap.Run
---@field id integer Its number, never used twice.
---@field process string The process's name.
---@field hook string The hook's key.
---@field exit_code? integer The code its main process ended with.
---@field signal? string The signal that ended its main process.
---@field core? boolean Whether it left a core dump.

---A process as it is now.
---@class neap.Status
---@field name string
---@field state string created, waiting, starting, running, stopping, backoff, stopped, exited, failed or crashed.
---@field reason string Why it is in it, for people.
---@field health string unknown, starting, healthy or unhealthy.
---@field pid? integer Its main process.
---@field run? integer Its current run, else the last.
---@field run_count integer How many runs were executed.
---@field restarts integer Automatic restarts in a row.
---@field status? string What it says of itself.
---@field waits_for string[] The processes that it waits for.
---@field exit_code? integer
---@field signal? string
---@field core? boolean
---@field spec? table With `:describe()`: its whole spec.

---Something that happened.
---@class neap.Event
---@field sequence integer Its number.
---@field time number Seconds since 1970.
---@field topic string What it is, as `neap.on` calls it.
---@field process? string The process it is about.
---@field run? integer
---@field cause string Why.
---@field reason? string For people.
---@field from? string The state or health before.
---@field state? string
---@field health? string
---@field retry_in? number Seconds until it starts again.
---@field pid? integer
---@field exit_code? integer
---@field signal? string

---What came of something that was asked of a process. It prints itself, and joins with text as its state.
---@class neap.Outcome
---@field process string
---@field state string
---@field reason? string
---@field pid? integer
---@field took number Seconds.
---@field changed boolean Whether it left the state that it was in.
---@field along string[] Those that it took with it.

---A process's handle. Its methods act at run time, and wait for the outcome.
---@class neap.Process
---@field name string
local Process = {}
---Starts it, and what it requires and wants; waits until it is ready.
---@param options? { timeout: neap.Duration }
---@return neap.Outcome
function Process:start(options) end
---Stops it, and first what cannot be without it.
---@param options? { timeout: neap.Duration }
---@return neap.Outcome
function Process:stop(options) end
---Stops and starts it, and brings back what the stop took down.
---@param options? { timeout: neap.Duration }
---@return neap.Outcome
function Process:restart(options) end
---Has it read its configuration again.
---@return neap.Outcome
function Process:reload() end
---Sends a signal to its main process.
---@param signal neap.Signal
---@return neap.Outcome
function Process:signal(signal) end
---How it is.
---@return neap.Status
function Process:status() end
---How it is, and its whole spec.
---@return neap.Status
function Process:describe() end
---What it uses of the host; nil while nothing of it runs.
---@return { memory?: integer, memory_limit?: integer, cpu?: number, cpu_limit?: number, cpu_throttled?: number, pids?: integer, pids_limit?: integer, io_read?: integer, io_written?: integer, source: string }?
function Process:stats() end
---Forgets it. Of one that runs, with `force`, it is stopped first; one of the configuration is refused.
---@param options? { force: boolean }
---@return neap.Outcome
function Process:delete(options) end
---Changes its spec (one of the configuration until the next apply); maps merge, lists replace, `neap.unset` takes back.
---@param changes neap.Spec
---@return { fields: string[], needs_restart: string[], restarted: boolean }
function Process:update(changes) end
---The last lines it printed.
---@param lines? integer 10 unless given.
---@return string[]
function Process:logs(lines) end
---The chain of reasons behind its state, what it waits for, and what comes by itself; prints itself.
---@return { summary: string, text: string, chain: table[], blockers: table[], timers: table[] }
function Process:why() end
---Waits until it is in this state.
---@param state string
---@param timeout? neap.Duration
---@return neap.Status
function Process:wait(state, timeout) end

---Several processes under one name; stands for all of them in lists of processes.
---@class neap.Group
---@field name string
local Group = {}
---Starts them all, and waits.
---@return neap.Outcome[]
function Group:start() end
---Stops them all, and waits.
---@return neap.Outcome[]
function Group:stop() end
---Stops and starts them all, and waits.
---@return neap.Outcome[]
function Group:restart() end
---Their handles.
---@return neap.Process[]
function Group:members() end

---A constructor shaped like `neap.process`.
---@class neap.Template
---@overload fun(name: string): fun(spec: neap.Spec): neap.Process
local Template = {}
---A template that starts from this one.
---@param spec neap.Spec
---@return neap.Template
function Template:extend(spec) end

---A value that is never shown.
---@class neap.Secret

---What a probe's constructor returned.
---@class neap.Probe

---What `neap.listen` returned.
---@class neap.Listener

---@class neap
---@field api integer The version of this module (1).
---@field uid integer The effective user id of the instance.
---@field unset any In a table over a template or defaults: takes the key away.
---@field log neap.LogFunctions
---@field json neap.JsonFunctions
local neap = {}

---@class neap.LogFunctions
---@field trace fun(message: string, fields?: table)
---@field debug fun(message: string, fields?: table)
---@field info fun(message: string, fields?: table)
---@field warn fun(message: string, fields?: table)
---@field error fun(message: string, fields?: table)

---@class neap.JsonFunctions
---@field null any
---@field encode fun(value: any, options?: { pretty: boolean }): string
---@field decode fun(text: string): any

---Declares a process: `neap.process "name" { command = … }`. At run time it defines and starts it, and waits until it is
---ready; Lua functions in it take `volatile = true`.
---@param name string
---@return fun(spec: neap.Spec): neap.Process
function neap.process(name) end
---A constructor for processes that share keys. Maps merge, lists replace, `neap.unset` removes.
---@param spec neap.Spec
---@return neap.Template
function neap.template(spec) end
---What every process starts from; once, before the first process.
---@param spec neap.Spec
function neap.defaults(spec) end
---Several processes under one name: `neap.group "name" { a, b }`, or of what `neap.yaml` returned.
---@param name string
---@return fun(members: (string|neap.Process|neap.Group)[]|table<string, neap.Process>): neap.Group
function neap.group(name) end
---A probe that asks a URL.
---@param probe neap.Http|string
---@return neap.Probe
function neap.http(probe) end
---A probe that connects.
---@param probe neap.Tcp|integer
---@return neap.Probe
function neap.tcp(probe) end
---A probe that runs a command.
---@param probe neap.Exec|neap.Command
---@return neap.Probe
function neap.exec(probe) end
---A probe that awaits a line of output.
---@param probe neap.LogLine|string
---@return neap.Probe
function neap.logline(probe) end
---A probe that calls a function.
---@param probe neap.Check|fun(process: neap.Process): boolean, string?
---@return neap.Probe
function neap.check(probe) end
---A socket that is listened at for a process.
---@param listener neap.Listen
---@return neap.Listener
function neap.listen(listener) end
---Calls a function when something happens.
---@param topic neap.Topic
---@param handler fun(event: neap.Event)
function neap.on(topic, handler) end
---Calls a function again and again.
---@param interval neap.Duration
---@param handler fun()
function neap.every(interval, handler) end
---A path below the configuration's folder, made absolute.
---@param path string
---@return string
function neap.path(path) end
---A variable of the instance's environment.
---@param name string
---@param default? string
---@return string?
function neap.env(name, default) end
---Whether a profile is on; without a name, those that are.
---@param name string
---@return boolean
---@overload fun(): string[]
function neap.profile(name) end
---The content of a file below the configuration's folder.
---@param path string
---@return string
function neap.read(path) end
---The paths that a pattern finds, sorted; `*` and `?` stand for anything within one name.
---@param pattern string
---@return string[]
function neap.glob(pattern) end
---Declares the processes of a YAML file below the configuration's folder, as they are: `neap.defaults` is not for them.
---Their handles by name.
---@param path string
---@return table<string, neap.Process>
function neap.yaml(path) end
---A value for `env` that is never shown.
---@param source { file: string }|{ env: string }
---@return neap.Secret
function neap.secret(source) end
---What the configuration says about the instance itself; once.
---@param settings neap.Settings
function neap.settings(settings) end
---All processes as they are now. At run time.
---@return neap.Status[]
function neap.list() end
---The process of this name, if there is one. At run time.
---@param name string
---@return neap.Process?
function neap.get(name) end
---Events from now on: `for event in neap.events() do … end`. At run time.
---@return fun(): neap.Event?
function neap.events() end
---Something that a plan changes.
---@class neap.Change
---@field name string
---@field kind string added, removed, updated, restarted or unchanged.
---@field overridden boolean Whether an update at run time is taken back.
---@field fields { path: string, effect: string, before?: string, after?: string }[]

---What an apply would do; prints itself as a diff. At run time.
---@return neap.Change[]
function neap.plan() end
---Evaluates the configuration again and makes it so, all or nothing. At run time.
---@return neap.Change[]
function neap.apply() end
---Asks a URL (`http://…` or `unix:/path/to.sock:/path`), and waits for the answer: 10s and 1 MiB unless told. At run time.
---@param url string|{ url: string, method?: string, headers?: table<string, string>, body?: string, timeout?: neap.Duration, max_size?: integer }
---@return { status: integer, headers: table<string, string>, body: string }
function neap.fetch(url) end
---Runs a command and returns its output. (In a later version.)
---@param command neap.Command
function neap.capture(command) end

return neap
