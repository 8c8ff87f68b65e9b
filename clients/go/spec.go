package neap

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Spec is the definition of one process: the keys of docs/keys.md. What is absent has its default, which is that of
// `neap create`. A pointer tells absent from zero; [Value] makes one.
type Spec struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	// Command is the program and its arguments; no shell sees them. Shell, in its place, is a line for `/bin/sh -c`.
	Command []string `json:"command,omitempty"`
	Shell   string   `json:"shell,omitempty"`
	// Type is how it announces itself: simple unless given.
	Type      Type  `json:"type,omitempty"`
	Remain    *bool `json:"remain,omitempty"`
	AutoStart *bool `json:"auto_start,omitempty"`
	Critical  *bool `json:"critical,omitempty"`

	WorkingDir string            `json:"working_dir,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	// SecretEnv are variables of Env whose values are never shown.
	SecretEnv []string `json:"secret_env,omitempty"`
	// EnvFile are files of NAME=value lines; with a leading `-` one may be missing.
	EnvFile  []string `json:"env_file,omitempty"`
	ClearEnv *bool    `json:"clear_env,omitempty"`

	User   string `json:"user,omitempty"`
	Group  string `json:"group,omitempty"`
	Groups *Names `json:"groups,omitempty"`
	// Umask is octal text ("0022"), or "inherit".
	Umask                string            `json:"umask,omitempty"`
	Nice                 *int              `json:"nice,omitempty"`
	Rlimits              map[string]Rlimit `json:"rlimits,omitempty"`
	AmbientCapabilities  []string          `json:"ambient_capabilities,omitempty"`
	BoundingCapabilities *Names            `json:"bounding_capabilities,omitempty"`
	NoNewPrivs           *bool             `json:"no_new_privs,omitempty"`

	Requires   []string    `json:"requires,omitempty"`
	Wants      []string    `json:"wants,omitempty"`
	BindsTo    []string    `json:"binds_to,omitempty"`
	Follows    []string    `json:"follows,omitempty"`
	PartOf     []string    `json:"part_of,omitempty"`
	Conflicts  []string    `json:"conflicts,omitempty"`
	After      []string    `json:"after,omitempty"`
	Before     []string    `json:"before,omitempty"`
	Conditions *Conditions `json:"conditions,omitempty"`

	// Ready is what makes it ready beyond having been executed; Health how it is found out whether it is well.
	Ready        *Probe   `json:"ready,omitempty"`
	Health       *Probe   `json:"health,omitempty"`
	Restart      *Restart `json:"restart,omitempty"`
	StartTimeout Duration `json:"start_timeout,omitempty"`
	Watchdog     Duration `json:"watchdog,omitempty"`
	// SuccessExitStatus are codes ("3") and signals ("TERM") that are a success besides 0.
	SuccessExitStatus []string `json:"success_exit_status,omitempty"`
	Stop              *Stop    `json:"stop,omitempty"`
	Reload            *Reload  `json:"reload,omitempty"`
	Hooks             *Hooks   `json:"hooks,omitempty"`
	Limits            *Limits  `json:"limits,omitempty"`
	Listen            []Listen `json:"listen,omitempty"`
	Log               *Log     `json:"log,omitempty"`

	RuntimeDirectory []Directory `json:"runtime_directory,omitempty"`
	StateDirectory   []Directory `json:"state_directory,omitempty"`
	CacheDirectory   []Directory `json:"cache_directory,omitempty"`
	LogsDirectory    []Directory `json:"logs_directory,omitempty"`
	Pidfile          string      `json:"pidfile,omitempty"`
	// Volatile: forgotten when the instance or the host goes down.
	Volatile *bool `json:"volatile,omitempty"`

	// Extra are keys as JSON has them, beside or in place of the fields above: what a newer library knows, or in an
	// update nil, which takes a key back to its default.
	Extra map[string]any `json:"-"`
}

// MarshalJSON writes the keys that are given.
func (s Spec) MarshalJSON() ([]byte, error) {
	type plain Spec
	data, err := json.Marshal(plain(s))
	if err != nil || len(s.Extra) == 0 {
		return data, err
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	for key, value := range s.Extra {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		keys[key] = data
	}
	return json.Marshal(keys)
}

// UnmarshalJSON reads a spec in the keys of the configuration, or as the instance tells it.
func (s *Spec) UnmarshalJSON(data []byte) error {
	type plain Spec
	told := struct {
		*plain
		// What the service's runtime_directory has no place for.
		RuntimeDirectories []Directory `json:"runtime_directories"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(data, &told); err != nil {
		return err
	}
	s.RuntimeDirectory = append(s.RuntimeDirectory, told.RuntimeDirectories...)
	return nil
}

// Type is how a process announces itself.
type Type string

// The types.
const (
	Simple  Type = "simple"
	Oneshot Type = "oneshot"
	Forking Type = "forking"
	Notify  Type = "notify"
)

// Policy says which ends are followed by another run.
type Policy string

// The policies.
const (
	Never      Policy = "never"
	Always     Policy = "always"
	OnFailure  Policy = "on-failure"
	OnSuccess  Policy = "on-success"
	OnAbnormal Policy = "on-abnormal"
	OnAbort    Policy = "on-abort"
	OnWatchdog Policy = "on-watchdog"
)

// Restart is when a process is started again after it ended by itself, and how fast.
type Restart struct {
	Policy     Policy      `json:"policy,omitempty"`
	Delay      Duration    `json:"delay,omitempty"`
	Factor     *float64    `json:"factor,omitempty"`
	MaxDelay   Duration    `json:"max_delay,omitempty"`
	Jitter     *float64    `json:"jitter,omitempty"`
	Limit      *StartLimit `json:"limit,omitempty"`
	ResetAfter Duration    `json:"reset_after,omitempty"`
}

// UnmarshalJSON reads a table, or a policy alone.
func (r *Restart) UnmarshalJSON(data []byte) error {
	if isText(data) {
		return json.Unmarshal(data, &r.Policy)
	}
	type plain Restart
	return json.Unmarshal(data, (*plain)(r))
}

// StartLimit is how many automatic restarts are too many; a burst of 0 sets no limit.
type StartLimit struct {
	Burst    *int     `json:"burst,omitempty"`
	Interval Duration `json:"interval,omitempty"`
}

// Stop is how a process is ended: a signal or a command, a wait, then SIGKILL until nothing of its tree is left.
type Stop struct {
	Signal  string   `json:"signal,omitempty"`
	Timeout Duration `json:"timeout,omitempty"`
	// Mode is control-group (unless given), process-group, process or mixed.
	Mode    string   `json:"mode,omitempty"`
	Command []string `json:"command,omitempty"`
	// Sequence stands in place of Signal and Timeout.
	Sequence []StopStep `json:"sequence,omitempty"`
}

// StopStep is a signal, and how long to wait for what it does.
type StopStep struct {
	Signal  string   `json:"signal"`
	Timeout Duration `json:"timeout"`
}

// Reload is how a process is told to read its configuration again.
type Reload struct {
	Signal   string   `json:"signal,omitempty"`
	Command  []string `json:"command,omitempty"`
	OnChange string   `json:"on_change,omitempty"`
}

// Hooks are commands at a process's turning points.
type Hooks struct {
	BeforeStart []Hook `json:"before_start,omitempty"`
	AfterStart  []Hook `json:"after_start,omitempty"`
	BeforeStop  []Hook `json:"before_stop,omitempty"`
	AfterStop   []Hook `json:"after_stop,omitempty"`
	OnFailure   []Hook `json:"on_failure,omitempty"`
}

// Hook is a command, or a line for a shell.
type Hook struct {
	Command []string `json:"command,omitempty"`
	Shell   string   `json:"shell,omitempty"`
	User    string   `json:"user,omitempty"`
	Timeout Duration `json:"timeout,omitempty"`
	// Fn is the number of a function of the instance's configuration; only told.
	Fn *uint64 `json:"fn,omitempty"`
}

// Conditions must hold for a start to be made; `!` before a value turns it round, and of those with `|` one is enough.
type Conditions struct {
	PathExists     []string `json:"path_exists,omitempty"`
	PathExecutable []string `json:"path_executable,omitempty"`
	FileNotEmpty   []string `json:"file_not_empty,omitempty"`
	Env            []string `json:"env,omitempty"`
	// Check is the number of a function of the instance's configuration; only told.
	Check *uint64 `json:"check,omitempty"`
}

// Limits are what a process's tree may use.
type Limits struct {
	Memory      Size    `json:"memory,omitempty"`
	MemoryHigh  Size    `json:"memory_high,omitempty"`
	MemoryLow   Size    `json:"memory_low,omitempty"`
	CPU         CPU     `json:"cpu,omitempty"`
	CPUWeight   *uint64 `json:"cpu_weight,omitempty"`
	Pids        *uint64 `json:"pids,omitempty"`
	IOWeight    *uint64 `json:"io_weight,omitempty"`
	OOMScoreAdj *int    `json:"oom_score_adj,omitempty"`
}

// Rlimit is a resource limit of setrlimit(2); nil is infinity.
type Rlimit struct {
	Soft *uint64
	Hard *uint64
}

// MarshalJSON writes infinity as such.
func (r Rlimit) MarshalJSON() ([]byte, error) {
	one := func(value *uint64) any {
		if value == nil {
			return "infinity"
		}
		return *value
	}
	return json.Marshal(map[string]any{"soft": one(r.Soft), "hard": one(r.Hard)})
}

// UnmarshalJSON reads what MarshalJSON writes, and null for infinity.
func (r *Rlimit) UnmarshalJSON(data []byte) error {
	numbers := struct{ Soft, Hard json.RawMessage }{}
	if err := json.Unmarshal(data, &numbers); err != nil {
		return err
	}
	one := func(data json.RawMessage) (*uint64, error) {
		if len(data) == 0 || string(data) == "null" || string(data) == `"infinity"` {
			return nil, nil
		}
		value := new(uint64)
		return value, json.Unmarshal(data, value)
	}
	var err, other error
	r.Soft, err = one(numbers.Soft)
	r.Hard, other = one(numbers.Hard)
	return errors.Join(err, other)
}

// Listen is a socket that is held for a process; one of the first six.
type Listen struct {
	TCP           string   `json:"tcp,omitempty"`
	UDP           string   `json:"udp,omitempty"`
	Unix          string   `json:"unix,omitempty"`
	UnixDgram     string   `json:"unix_dgram,omitempty"`
	UnixSeqpacket string   `json:"unix_seqpacket,omitempty"`
	FIFO          string   `json:"fifo,omitempty"`
	Name          string   `json:"name,omitempty"`
	Accept        *int     `json:"accept,omitempty"`
	IdleStop      Duration `json:"idle_stop,omitempty"`
	Mode          string   `json:"mode,omitempty"`
	User          string   `json:"user,omitempty"`
	Group         string   `json:"group,omitempty"`
	Backlog       *int     `json:"backlog,omitempty"`
	FDEnv         string   `json:"fd_env,omitempty"`
	ClientFDEnv   string   `json:"client_fd_env,omitempty"`
}

// Log is what happens to what a process prints.
type Log struct {
	Ring    Size   `json:"ring,omitempty"`
	File    string `json:"file,omitempty"`
	MaxSize Size   `json:"max_size,omitempty"`
	Keep    *int   `json:"keep,omitempty"`
	// Stdout and Stderr are a path, "inherit", "null" or "capture".
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}

// Directory is a folder that is made for a process and belongs to its user.
type Directory struct {
	Path string `json:"path"`
	Mode string `json:"mode,omitempty"`
}

// UnmarshalJSON reads a table, or a path alone.
func (d *Directory) UnmarshalJSON(data []byte) error {
	if isText(data) {
		return json.Unmarshal(data, &d.Path)
	}
	type plain Directory
	return json.Unmarshal(data, (*plain)(d))
}

// Names is a list that may be given and empty.
type Names []string

// UnmarshalJSON reads a list, a name, or the service's message.
func (n *Names) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*n = list
		return nil
	}
	if isText(data) {
		list = []string{""}
		*n = list
		return json.Unmarshal(data, &list[0])
	}
	told := struct {
		Names []string `json:"names"`
	}{}
	err := json.Unmarshal(data, &told)
	*n = told.Names
	return err
}

func isText(data []byte) bool { return len(data) > 0 && data[0] == '"' }
