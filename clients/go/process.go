package neap

import (
	"encoding/json"
	"time"
)

// State is what a process is in.
type State string

// The states.
const (
	// Created: defined, never started.
	Created State = "created"
	// Waiting: start asked for; Holds says what it waits for.
	Waiting State = "waiting"
	// Starting: not ready yet; a oneshot while it runs.
	Starting State = "starting"
	// Running: ready.
	Running State = "running"
	// Stopping: being ended; something of it is left.
	Stopping State = "stopping"
	// Backoff: ended, starts again at RetryAt.
	Backoff State = "backoff"
	// Stopped by an operator, a dependency or a conflict.
	Stopped State = "stopped"
	// Exited: ended by itself with success, no restart due.
	Exited State = "exited"
	// Failed: ended badly, no restart due.
	Failed State = "failed"
	// Crashed: the start limit is used up.
	Crashed State = "crashed"
)

// HealthState is what the health probes of a process say.
type HealthState string

// What health probes say.
const (
	HealthUnknown  HealthState = "unknown"
	HealthStarting HealthState = "starting"
	Healthy        HealthState = "healthy"
	Unhealthy      HealthState = "unhealthy"
)

// Process is a process as it is now. A time that is not known, or not yet, is the zero time.
type Process struct {
	// ID is the same for the process's whole life, also over restarts of the supervisor.
	ID   string `json:"id"`
	Name string `json:"name"`
	// PID is its main process, while there is one.
	PID    int         `json:"pid"`
	State  State       `json:"state"`
	Reason string      `json:"reason"`
	Health HealthState `json:"health"`
	// RunCount is how many runs were executed.
	RunCount int `json:"run_count"`
	// ExitCode and Signal are how the last run ended: one, or neither when nobody could learn it.
	ExitCode   *int   `json:"exit_code"`
	Signal     string `json:"signal"`
	CoreDumped bool   `json:"core_dumped"`
	// Run is its current run, else the last.
	Run *uint64 `json:"run"`
	// Restarts are automatic ones in a row since a run lived long enough.
	Restarts int `json:"restarts"`
	// Wanted: whether it is wanted to be up.
	Wanted bool `json:"wanted"`
	// Holds are what its start or stop waits for.
	Holds []Hold `json:"holds"`
	// RetryAt is when it starts again, in backoff.
	RetryAt    time.Time `json:"retry_at"`
	StatusText string    `json:"status_text"`
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	// Since is when it came into its state.
	Since time.Time `json:"since"`
	// Runtime: made at run time rather than by the configuration.
	Runtime bool `json:"runtime"`
	// Overridden: its spec was changed at run time and differs from the configuration's.
	Overridden      bool      `json:"overridden"`
	Description     string    `json:"description"`
	Command         []string  `json:"command"`
	Groups          []string  `json:"groups"`
	HealthFailures  int       `json:"health_failures"`
	HealthCheckedAt time.Time `json:"health_checked_at"`
}

// Hold is something that a start or a stop waits for: order, requires, binds_to, conflict or stop.
type Hold struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Detail is a process with its spec and what is related to it.
type Detail struct {
	Process Process `json:"process"`
	// Spec is that of its next run, defaults included; secrets are `***`.
	Spec Spec `json:"spec"`
	// File and Line are where it was declared.
	File       string     `json:"file"`
	Line       int        `json:"line"`
	RequiredBy []string   `json:"required_by"`
	WantedBy   []string   `json:"wanted_by"`
	BoundBy    []string   `json:"bound_by"`
	FollowedBy []string   `json:"followed_by"`
	Parts      []string   `json:"parts"`
	Listeners  []Listener `json:"listeners"`
	// Limits say who enforces each limit of its spec here.
	Limits []LimitStatus `json:"limits"`
}

// Listener is one that is held for a process.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Bound   bool   `json:"bound"`
	// Instances and Accepted are told of listeners with an instance for each connection.
	Instances *int    `json:"instances"`
	Accepted  *uint64 `json:"accepted"`
}

// LimitStatus says who enforces a limit: cgroup2, cgroup1, rlimit, or none.
type LimitStatus struct {
	Limit      string `json:"limit"`
	Value      string `json:"value"`
	EnforcedBy string `json:"enforced_by"`
	Why        string `json:"why"`
}

// Outcome is what a call came to for a process.
type Outcome struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	State  State  `json:"state"`
	Reason string `json:"reason"`
	PID    int    `json:"pid"`
	// Along are those that were stopped or started with it, through its relations.
	Along []string `json:"along"`
	// Changed is whether anything was done: false when it was so already.
	Changed bool `json:"changed"`
	// Took is how long it took.
	Took time.Duration `json:"-"`
}

// UnmarshalJSON reads it as the instance tells it.
func (o *Outcome) UnmarshalJSON(data []byte) error {
	type plain Outcome
	told := struct {
		*plain
		Millis int64 `json:"took"`
	}{plain: (*plain)(o)}
	err := json.Unmarshal(data, &told)
	o.Took = time.Duration(told.Millis) * time.Millisecond
	return err
}

// MadeProcess is a process that was made, and what is odd about its spec.
type MadeProcess struct {
	Process  Process   `json:"process"`
	Warnings []Problem `json:"warnings"`
}

// Updated is what an update came to.
type Updated struct {
	Change Change `json:"change"`
	// Restarted is whether it was restarted for it.
	Restarted bool      `json:"restarted"`
	Process   Process   `json:"process"`
	Warnings  []Problem `json:"warnings"`
}

// Change is what becomes of a process.
type Change struct {
	Name string `json:"name"`
	// Action is added, removed, updated (without a restart), restarted, or unchanged.
	Action string        `json:"action"`
	Fields []FieldChange `json:"fields"`
	// Overridden: its spec was changed at run time, which is taken back.
	Overridden bool `json:"overridden"`
	// State is what it is in now; none of an added one.
	State State `json:"state"`
	// File and Line are where it is declared.
	File string `json:"file"`
	Line int    `json:"line"`
	// Along are others that are stopped for it and brought back.
	Along []string `json:"along"`
}

// FieldChange is a key that changed, and when that is in force: live, reload or restart.
type FieldChange struct {
	Path   string `json:"path"`
	Effect string `json:"effect"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Override: what it was before is an override.
	Override bool `json:"override"`
}

// Usage is what a process's whole tree uses. What cannot be told here is nil.
type Usage struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State State  `json:"state"`
	PID   int    `json:"pid"`
	// Source is where the figures are from: cgroup or proc.
	Source string `json:"source"`
	// Bytes.
	Memory      *uint64 `json:"memory"`
	MemoryLimit *uint64 `json:"memory_limit"`
	// Microseconds since its start.
	CPUUsageUsec  *uint64 `json:"cpu_usage_usec"`
	CPUUserUsec   *uint64 `json:"cpu_user_usec"`
	CPUSystemUsec *uint64 `json:"cpu_system_usec"`
	// The most cores that it may use, and for how long it was held back by that.
	CPULimit         *float64 `json:"cpu_limit"`
	CPUThrottledUsec *uint64  `json:"cpu_throttled_usec"`
	PIDs             *uint32  `json:"pids"`
	PIDsLimit        *uint32  `json:"pids_limit"`
	// Bytes since its start.
	IORead    *uint64 `json:"io_read"`
	IOWritten *uint64 `json:"io_written"`
	// Since when its run lasts.
	StartedAt time.Time `json:"started_at"`
}

// Status is the instance: who it is, and what this host lets it promise.
type Status struct {
	PID       int    `json:"pid"`
	AnchorPID int    `json:"anchor_pid"`
	Version   string `json:"version"`
	// Ready: the configuration is in force, and nothing is still on its way to its first start.
	Ready         bool      `json:"ready"`
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds uint64    `json:"uptime_seconds"`
	ConfigPath    string    `json:"config_path"`
	Generation    uint64    `json:"generation"`
	// Refused is why a newer configuration was refused.
	Refused string `json:"refused"`
	Total   int    `json:"total_processes"`
	// States are how many processes are in each.
	States map[State]int `json:"states"`
	// Degraded is what makes the instance less than it should be.
	Degraded   []string  `json:"degraded"`
	Promises   []Promise `json:"promises"`
	Instance   string    `json:"instance"`
	RuntimeDir string    `json:"runtime_dir"`
	StateDir   string    `json:"state_dir"`
	Socket     string    `json:"socket"`
	// Role is what the caller may do: observer, operator or admin.
	Role string `json:"role"`
	// Sequence is the number of the newest event: [Supervisor.Events] after it misses nothing.
	Sequence uint64 `json:"sequence"`
}

// Promise is something that the instance promises where the host allows it.
type Promise struct {
	What string `json:"what"`
	Kept bool   `json:"kept"`
	Why  string `json:"why"`
}
