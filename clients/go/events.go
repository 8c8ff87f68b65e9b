package neap

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// Where events are read from; or the number of an event, for those after it.
const (
	// FromNow is from now on.
	FromNow uint64 = math.MaxUint64
	// FromOldest is from the oldest that is kept.
	FromOldest uint64 = 0
)

// Kinds of events that the stream itself tells. All others are those of the instance: process.running,
// health.unhealthy, config.applied, …
const (
	// KindLag: Lost events are missing before the next one. The reader was too slow, or asked for older ones than are
	// kept.
	KindLag = "lag"
	// KindEnded: the stream is over, and Err says why; the last of its channel. Go on after the last Sequence.
	KindEnded = "ended"
)

// Event is something that happened, or something about the stream (KindLag, KindEnded).
type Event struct {
	// Sequence is one more than that of the event before.
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	// Kind is process.STATE, process.defined, .deleted, .executed, .ended, …; health.STATUS; config.applied, .refused;
	// instance.shutting_down.
	Kind string `json:"kind"`
	// Process and ProcessID are the process that it is about.
	Process   string  `json:"process"`
	ProcessID string  `json:"process_id"`
	Run       *uint64 `json:"run"`
	// From and To are of a change of state or health.
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	// Cause is why it was decided: command, auto_start, apply, shutdown, policy, socket, idle, relation, ended or
	// progress. CauseText is the same for people.
	Cause     string `json:"cause"`
	CauseText string `json:"cause_text"`
	// Relation and By are the relation and the other process, when those are the cause.
	Relation string `json:"relation"`
	By       string `json:"by"`
	PID      int    `json:"pid"`
	ExitCode *int   `json:"exit_code"`
	// Signal is the one that was sent, or that ended it.
	Signal     string `json:"signal"`
	CoreDumped bool   `json:"core_dumped"`
	// RetryIn is the time until it starts again, in milliseconds.
	RetryIn   *int64 `json:"retry_in"`
	Condition string `json:"condition"`
	Hook      string `json:"hook"`
	// Fields are those that changed, NeedsRestart those of them that wait for a restart.
	Fields       []string `json:"fields"`
	NeedsRestart []string `json:"needs_restart"`
	PIDs         []int    `json:"pids"`
	Added        *int     `json:"added"`
	Removed      *int     `json:"removed"`
	Changed      *int     `json:"changed"`
	// Text is the event as a line for people, without time and name.
	Text string `json:"text"`
	// Caller is who asked: "user root (uid 0), pid 4711".
	Caller string `json:"caller"`
	Line   string `json:"line"`

	// Lost is how many events are missing (KindLag).
	Lost uint64 `json:"lost"`
	// Err is why the stream is over (KindEnded).
	Err error `json:"-"`
	// Raw is the event as `neap events --json` has it.
	Raw json.RawMessage `json:"-"`
}

// Events are the events after this number, or those [FromNow] on, or those [FromOldest] on. The stream is there when
// Events returns: what happens from then on is in it. [Status.Sequence] is the number of the newest.
//
// The channel is closed when the context ends or the Supervisor is closed. Otherwise its last value is an event of
// [KindEnded], whose Err says why, for instance that the instance is being replaced; Events after the last Sequence
// goes on from there. Whoever reads slowly holds up nobody: what was missed is told by an event of [KindLag].
//
// Numbers go on when the supervisor of an instance is restarted, so a reader misses nothing that is kept.
func (s *Supervisor) Events(ctx context.Context, after uint64) (<-chan Event, error) {
	open := func(made, cancel handle) (handle, error) { return libEventsOpen(made, after, cancel) }
	last := func(err error) (Event, bool) {
		if err == nil {
			err = &Error{Code: CodeUnreachable, Message: "the instance has ended its stream of events", Detail: "ended"}
		}
		return Event{Kind: KindEnded, Err: err}, true
	}
	return streamed(ctx, s, "events", reader[Event]{open, eventOf, last})
}

// eventOf reads an event, or how many are missing.
func eventOf(told []byte) (event Event, err error) {
	err = json.Unmarshal(told, &event)
	event.Raw = told
	return event, err
}
