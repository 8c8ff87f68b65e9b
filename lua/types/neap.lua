---@meta neap

-- LuaLS definitions of the neap module. Written by `neap types`; do not edit.

---Seconds, or text such as "1h30m" or "250ms".
---@alias neap.Duration number|string

---Bytes, or text such as "512MiB" or "1G".
---@alias neap.Size integer|string

---An octal mode as text such as "0660".
---@alias neap.Mode string

---"TERM", "SIGTERM" or 15.
---@alias neap.Signal string|integer

---A list, or text that is split like a shell would.
---@alias neap.Command string|string[]

---Names or handles of processes; one stands for a list of one.
---@alias neap.Names string|neap.Process|(string|neap.Process)[]

---Which ends of a process are followed by another run.
---@alias neap.Policy "never"|"always"|"on-failure"|"on-success"|"on-abnormal"|"on-abort"|"on-watchdog"

---Where a stream of output goes; any other text is a path.
---@alias neap.Stream "capture"|"inherit"|"null"|string

---A function as a hook.
---@alias neap.HookFunction fun(process: neap.Process, run: neap.Run): boolean?

---Something that is done at a turning point.
---@alias neap.Hook string|string[]|neap.HookTable|neap.HookFunction

---The definition of one process.
---@class neap.Spec
---@field description? string A line for people.
---@field command? neap.Command Program and arguments; text is split like a shell would, and no shell runs it.
---@field args? string[] Arguments after those of `command`; with them, a `command` in text is not split.
---@field shell? string A line for `/bin/sh -c`, in place of `command`.
---@field type? "simple"|"oneshot"|"forking"|"notify" How it announces itself (simple unless given).
---@field remain? boolean Whether a oneshot that ended well counts as running until it is stopped.
---@field auto_start? boolean Whether it starts with the supervisor.
---@field critical? boolean Whether its final end ends the instance, with its code.
---@field working_dir? string Where it runs (the configuration's folder unless given).
---@field env? table<string, string|number|boolean|neap.Secret>|string[] Variables set on top of the inherited ones and those of `env_file`.
---@field env_file? string|(string|neap.EnvFile)[] Files of `NAME=value` lines, read at each start; with a leading `-` one may be missing.
---@field clear_env? boolean Whether nothing is inherited from the instance's environment.
---@field user? string|integer As whom it runs.
---@field group? string|integer Its primary group, when not the user's own.
---@field groups? (string|integer)[] Its supplementary groups, when not the user's own.
---@field umask? neap.Mode Its file mode creation mask as octal text ("0022" unless given), or "inherit".
---@field nice? integer Its nice value, -20 to 19.
---@field rlimits? neap.Rlimits Its resource limits of setrlimit(2).
---@field ambient_capabilities? string|string[] Capabilities it keeps although it is not root.
---@field bounding_capabilities? string|string[] The only capabilities that it and its children can ever have.
---@field no_new_privs? boolean Whether set-user-id programs gain it nothing.
---@field requires? neap.Names Started with it and before it; if one cannot start, it fails; stopped with them.
---@field wants? neap.Names Started with it; their failure does not matter.
---@field binds_to? neap.Names As `requires`, and stopped whenever one leaves running, for whatever reason.
---@field follows? neap.Names Restarted when one comes back after a failure or restart.
---@field part_of? neap.Names Stopped and restarted with them.
---@field conflicts? neap.Names Never up at the same time; either side may say so.
---@field after? neap.Names Started after they are ready, stopped before them.
---@field before? neap.Names Ready before they are started, stopped after them.
---@field conditions? neap.Conditions What must hold for a start to be made; looked at again at each start.
---@field ready? "notify"|"health"|neap.Probe What makes it ready, beyond having been executed.
---@field health? neap.Probe How it is found out whether it is well.
---@field restart? neap.Policy|neap.Restart When it is started again after it ended by itself, and how fast.
---@field success_exit_status? integer|string|(integer|string)[] Exit codes and signals that are a success besides 0.
---@field stop? neap.Stop How it is ended.
---@field start_timeout? neap.Duration How long it may take to become ready (90s unless given), or "infinity".
---@field reload? neap.Reload How it is told to read its configuration again.
---@field hooks? neap.Hooks What is done at its turning points.
---@field limits? neap.Limits What its tree may use.
---@field listen? neap.Listener|neap.Listener[] Sockets that are held for it; it starts on the first connection.
---@field runtime_directory? string|neap.Directory|(string|neap.Directory)[] Directories made for it below the runtime directory, and removed when it is down.
---@field state_directory? string|neap.Directory|(string|neap.Directory)[] Directories made for its state, and kept.
---@field cache_directory? string|neap.Directory|(string|neap.Directory)[] Directories made for what it can make again, and kept.
---@field logs_directory? string|neap.Directory|(string|neap.Directory)[] Directories made for logs that it writes by itself, and kept.
---@field pidfile? string Where its pid is read from (forking), or written to and removed (others).
---@field log? neap.Log What happens to what it prints.
---@field watchdog? neap.Duration It must say WATCHDOG=1 on its notify socket at least this often.
---@field volatile? boolean Whether a process made at run time is forgotten when the instance or the machine goes down.
---@field watch? string|string[] Paths whose change restarts it. (In a later version.)
---@field schedule? string When it is started by the clock. (In a later version.)
---@field replicas? integer How many of it there are. (In a later version.)
---@field rolling? boolean Whether replicas are restarted one after the other. (In a later version.)

---Policy and pace of automatic restarts.
---@class neap.Restart
---@field policy? neap.Policy Which ends are followed by another run (on-failure unless given; oneshot: never).
---@field delay? neap.Duration The wait before the first automatic restart (1s unless given).
---@field factor? number Each further wait is this many times the one before (2 unless given; 1 keeps it).
---@field max_delay? neap.Duration No wait is longer than this (60s unless given).
---@field jitter? number Each wait varies by up to this share of it, 0 to 1 (0.1 unless given).
---@field limit? neap.StartLimit How many automatic restarts are too many.
---@field reset_after? neap.Duration A run that lived this long resets the delay and the count (60s unless given).

---More automatic restarts than `burst` within `interval`, and a person must act.
---@class neap.StartLimit
---@field burst? integer Automatic restarts allowed within the interval (10 unless given); 0 sets no limit.
---@field interval? neap.Duration The window that they are counted in (10m unless given).

---A signal or a command, a wait, then SIGKILL until nothing of the tree is left.
---@class neap.Stop
---@field signal? neap.Signal The signal that asks it to end (TERM unless given).
---@field timeout? neap.Duration How long to wait before SIGKILL (10s unless given).
---@field mode? "control-group"|"process-group"|"process"|"mixed" Who gets the signals (control-group unless given).
---@field command? neap.Command Run in place of the first signal, which follows if it does not do.
---@field sequence? neap.StopStep[] Signals and waits, one after the other, in place of `signal` and `timeout`.

---A signal and how long to wait: `{ "INT", "5s" }`.
---@class neap.StopStep
---@field signal? neap.Signal The signal.
---@field timeout? neap.Duration How long to wait before the next.

---A signal to the main process, or a command.
---@class neap.Reload
---@field signal? neap.Signal The signal that makes it read its configuration again.
---@field command? neap.Command The command that makes it read its configuration again.
---@field on_change? string What it reads, such as `neap.read "app.conf"`: when that changes, it is told to read it again.

---What is done at a process's turning points.
---@class neap.Hooks
---@field before_start? neap.Hook|neap.Hook[] Before the program is executed; a failure, or a function that returns false, fails the start.
---@field after_start? neap.Hook|neap.Hook[] Once it is ready.
---@field before_stop? neap.Hook|neap.Hook[] Before the first signal of a stop that was asked for.
---@field after_stop? neap.Hook|neap.Hook[] When a run is over and nothing of it is left, however it ended.
---@field on_failure? neap.Hook|neap.Hook[] When it has failed or crashed and no further restart is due.

---A command or a function with a user and a timeout.
---@class neap.HookTable
---@field [1]? neap.HookFunction The same as `fn`.
---@field command? neap.Command Program and arguments, or text that is split like a shell would.
---@field shell? string A line for `/bin/sh -c`, in place of `command`.
---@field fn? neap.HookFunction A function, in place of `command`.
---@field user? string|integer As whom the command runs (the process's own user unless given).
---@field timeout? neap.Duration After this it counts as failed and is killed (30s unless given).

---What must hold for a start to be made; `!` before a value turns it round, and of those with `|` one is enough.
---@class neap.Conditions
---@field path_exists? string|string[] Paths that exist.
---@field path_executable? string|string[] Files that may be executed.
---@field file_not_empty? string|string[] Files that are not empty.
---@field env? string|string[] Environment variables that are set (`NAME`) or equal (`NAME=value`).
---@field check? fun(process: neap.Process): boolean, string? Asked once all else holds: returns true, or false and a reason; an error is a failed start.

---What a process's tree may use.
---@class neap.Limits
---@field memory? neap.Size Memory, swap included; beyond that the kernel kills.
---@field memory_high? neap.Size Memory from which on it is slowed down.
---@field memory_low? neap.Size Memory kept for it under pressure.
---@field cpu? number|string Cores such as 1.5, or thousandths of one such as "500m".
---@field cpu_weight? integer Share of the processor under contention, 1 to 10000.
---@field pids? integer Processes and threads.
---@field io_weight? integer Share of disk bandwidth under contention, 1 to 10000.
---@field oom_score_adj? integer How readily the kernel picks it when memory runs out, -1000 to 1000.

---Resource limits of setrlimit(2): a number, a size, "infinity", or soft and hard apart.
---@class neap.Rlimits
---@field as? integer|string|neap.Rlimit Address space, in bytes.
---@field core? integer|string|neap.Rlimit Size of a core dump, in bytes.
---@field cpu? integer|string|neap.Rlimit Processor time, in seconds.
---@field data? integer|string|neap.Rlimit Data segment, in bytes.
---@field fsize? integer|string|neap.Rlimit Size of a file it writes, in bytes.
---@field locks? integer|string|neap.Rlimit File locks.
---@field memlock? integer|string|neap.Rlimit Locked memory, in bytes.
---@field msgqueue? integer|string|neap.Rlimit POSIX message queues, in bytes.
---@field nice? integer|string|neap.Rlimit How far nice may be lowered, as 20 minus the value.
---@field nofile? integer|string|neap.Rlimit Open files.
---@field nproc? integer|string|neap.Rlimit Processes and threads of its user.
---@field rss? integer|string|neap.Rlimit Resident memory, in bytes; Linux ignores it.
---@field rtprio? integer|string|neap.Rlimit Real-time priority.
---@field rttime? integer|string|neap.Rlimit Real-time processor time without a pause, in microseconds.
---@field sigpending? integer|string|neap.Rlimit Queued signals.
---@field stack? integer|string|neap.Rlimit Stack, in bytes.

---What is enforced, and how far the process may raise it.
---@class neap.Rlimit
---@field soft? integer|string What is enforced.
---@field hard? integer|string How far the process may raise it.

---What happens to what a process prints.
---@class neap.Log
---@field ring? neap.Size How much of the newest output is kept in memory (64KiB unless given).
---@field file? string A file that captured lines are also written to.
---@field max_size? neap.Size The size at which that file is rotated (10MiB unless given).
---@field keep? integer How many rotated files are kept (5 unless given).
---@field stdout? neap.Stream Where standard output goes.
---@field stderr? neap.Stream Where standard error goes.

---A socket that is held for a process.
---@class neap.Listen
---@field tcp? string|integer A TCP address, `127.0.0.1:8080`, or a port on 127.0.0.1; with port 0 the kernel chooses one.
---@field udp? string|integer A UDP address, likewise.
---@field unix? string The path of a Unix stream socket; `@name` is in the abstract namespace, here and in the next two.
---@field unix_dgram? string The path of a Unix datagram socket.
---@field unix_seqpacket? string The path of a Unix seqpacket socket.
---@field fifo? string The path of a FIFO.
---@field name? string Its name in LISTEN_FDNAMES (the process's unless given).
---@field accept? boolean|integer One instance a connection, at most this many at a time (64 for true).
---@field idle_stop? neap.Duration Stops the process after it had no connection for this long; the next one starts it again.
---@field mode? neap.Mode Mode of a path ("0660" unless given).
---@field user? string|integer Owner of a path.
---@field group? string|integer Group of a path.
---@field backlog? integer Connections that the kernel may queue (4096 unless given).
---@field fd_env? string Variable that carries the listener's descriptor number.
---@field client_fd_env? string Variable that carries the descriptor number of the first connection, accepted already; with accept, of the instance's.

---The pace and the thresholds of a probe.
---@class neap.Pace
---@field interval? neap.Duration From the end of one probe to the start of the next.
---@field timeout? neap.Duration An answer later than this is a failure.
---@field retries? integer Failures in a row that make it unhealthy (health only).
---@field successes? integer Successes in a row that make it healthy again (health only).
---@field start_period? neap.Duration Failures do not count for this long after the start (health only).
---@field restart_after? integer Failures in a row after which it is restarted; 0 never does (health only).

---A request that must be answered as expected.
---@class neap.Http: neap.Pace
---@field [1]? string The same as `url`.
---@field url? string `http://host:port/path`, or `unix:/path/to.sock:/path` for a socket.
---@field method? string The request's method (GET unless given).
---@field expected_status? integer|string|(integer|string)[] Status codes that are a success: 200, "200-299", or a list of these.
---@field headers? table<string, string> Headers sent with the request.
---@field body? string Text that the body of the answer must contain.

---A connection that must be accepted.
---@class neap.Tcp: neap.Pace
---@field [1]? integer The same as `port`.
---@field host? string The host's name or address (127.0.0.1 unless given).
---@field port? integer The port.

---A command that must exit with 0, in the process's environment and as its user.
---@class neap.Exec: neap.Pace
---@field [1]? neap.Command The same as `command`.
---@field command? neap.Command Program and arguments, or text that is split like a shell would.

---A line of output that says that a process is ready.
---@class neap.LogLine
---@field [1]? string The same as `pattern`.
---@field pattern? string A regular expression, matched within one line of its output.

---A function that tells whether a process is well.
---@class neap.Check: neap.Pace
---@field [1]? fun(process: neap.Process): boolean, string? The same as `fn`.
---@field fn? fun(process: neap.Process): boolean, string? Returns true, or false and a reason; an error is a failure, too.

---A file of variables.
---@class neap.EnvFile
---@field path? string Where it is.
---@field optional? boolean Whether it may be missing.

---A directory that is made for a process and belongs to its user and group.
---@class neap.Directory
---@field path? string Its name, below the place for its kind.
---@field mode? neap.Mode Its mode as octal text ("0755" unless given).

---What a configuration says about the instance itself.
---@class neap.Settings
---@field shutdown_timeout? neap.Duration After this long a shutdown kills what is left. Read when the supervisor starts.
---@field log_level? "trace"|"debug"|"info"|"warn"|"error" The least serious of the instance's messages that is shown. Read when the supervisor starts.
---@field log_format? "text"|"json"|"datadog" How the instance writes its messages. Read when the supervisor starts.
---@field roles? table<"observer"|"operator"|"admin", string|string[]> Which groups may look (observer), act on processes (operator), do all (admin), beside the instance's own user.
---@field metrics? string|string[] Where an OpenMetrics page is served: `unix:PATH` or `tcp:HOST:PORT`. Read when the supervisor starts.
---@field metrics_beyond_loopback? boolean Whether that page may be reached from other machines, without a password.
---@field dogstatsd? string|{ address: string, tags?: table<string, string>|string[], interval?: neap.Duration, prefix?: string } Which agent is sent DogStatsD datagrams: `udp:HOST:PORT` or `unix:PATH`. Read when the supervisor starts.

---What a handler is for.
---@alias neap.Topic "process.created"|"process.waiting"|"process.starting"|"process.running"|"process.stopping"|"process.backoff"|"process.stopped"|"process.exited"|"process.failed"|"process.crashed"|"health.unknown"|"health.starting"|"health.healthy"|"health.unhealthy"|"process.listening"|"process.oom"|"process.pids_limit"|"config.applied"|"config.refused"

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
