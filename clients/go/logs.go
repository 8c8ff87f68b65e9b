package neap

import (
	"context"
	"encoding/json"
	"time"
)

// KindNote is among lines: what cannot be known, for people.
const KindNote = "note"

// LogOptions say which lines are meant.
type LogOptions struct {
	// Follow goes on with what is to come. Else the channel is closed after the last line that there is.
	Follow bool `json:"follow,omitempty"`
	// Tail is how many of the newest lines of each process there are at first: `neap.Value(10)`. All that are kept,
	// unless given.
	Tail *int `json:"tail,omitempty"`
	// Since leaves out what was printed before.
	Since *time.Time `json:"since,omitempty"`
	// Run leaves out what other runs printed: 1 is the first, 0 the newest, -1 the one before.
	Run *int `json:"run,omitempty"`
	// Cursors go on after a line, by the names of processes: the [LogEntry.Cursor] of the last line that was read.
	Cursors map[string]string `json:"cursors,omitempty"`
}

// LogEntry is a line that a process printed, or, with a Kind, something about the lines.
type LogEntry struct {
	Process   string `json:"process"`
	ProcessID string `json:"process_id"`
	// Stream is stdout or stderr; empty where that is not known, as in a log file.
	Stream string `json:"stream"`
	// Text is the line without its end. It may be anything: escape it for a terminal.
	Text string `json:"text"`
	// Partial: it was cut, and the rest is the next line of its stream, or never came.
	Partial bool `json:"partial"`
	// Cursor is where to go on from, for lines of a log file.
	Cursor string `json:"cursor"`
	// Time is when it was printed, and Run by which run; zero and nil where that is not known.
	Time time.Time `json:"time"`
	Run  *uint64   `json:"run"`

	// Kind is empty for a line; KindLag: lines are missing here; KindNote; KindEnded: the stream broke off. Text says
	// more of each.
	Kind string `json:"kind"`
	// Lost is how many are missing (KindLag); 0 when that is not known.
	Lost uint64 `json:"lost"`
	// Err is why the stream broke off (KindEnded).
	Err error `json:"-"`
	// Raw is the line as `neap logs --json` has it.
	Raw json.RawMessage `json:"-"`
}

// Logs are the lines that a process prints, or those that a glob means; all, when the name is empty. Only output that is
// captured can be read: Log{Stdout: "capture"} in the spec of what Create makes. [ErrNotFound]: there is no such process.
//
// The channel is closed when the context ends, when the Supervisor is closed, and when nothing more can come: without
// Follow after the last line that there is. When the connection breaks off, its last value is of [KindEnded]; go on with
// Cursors.
func (s *Supervisor) Logs(ctx context.Context, name string, options LogOptions) (<-chan LogEntry, error) {
	const what = "logs"
	asked := struct {
		Names []string `json:"names,omitempty"`
		LogOptions
	}{LogOptions: options}
	if name != "" {
		asked.Names = []string{name}
	}
	given, err := jsonOf(what, asked)
	if err != nil {
		return nil, err
	}
	open := func(made, cancel handle) (handle, error) { return libLogsOpen(made, *given, cancel) }
	last := func(err error) (LogEntry, bool) {
		if err == nil {
			return LogEntry{}, false
		}
		return LogEntry{Kind: KindEnded, Text: err.Error(), Err: err}, true
	}
	return streamed(ctx, s, what, reader[LogEntry]{open, entryOf, last})
}

// entryOf reads a line, or what is told among lines.
func entryOf(told []byte) (entry LogEntry, err error) {
	err = json.Unmarshal(told, &entry)
	entry.Raw = told
	return entry, err
}
