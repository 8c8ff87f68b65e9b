package neap

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Create makes a process of this spec and starts nothing, whatever the spec's AutoStart says of later starts of the
// instance. [ErrExists]: the name is taken. [ErrInvalid]: the spec is wrong; [Error.Problems] has every mistake.
func (s *Supervisor) Create(ctx context.Context, spec Spec) (*MadeProcess, error) {
	return s.create(ctx, spec, false)
}

// CreateWithAutoStart makes a process of this spec and has it started, now and with the instance. It does not wait
// until the process is ready: [Supervisor.Wait] does.
func (s *Supervisor) CreateWithAutoStart(ctx context.Context, spec Spec) (*MadeProcess, error) {
	return s.create(ctx, spec, true)
}

func (s *Supervisor) create(ctx context.Context, spec Spec, autoStart bool) (*MadeProcess, error) {
	name := spec.Name
	spec.Name = ""
	what := "create `" + name + "`"
	given, err := jsonOf(what, spec)
	if err != nil {
		return nil, err
	}
	made := new(MadeProcess)
	err = s.do(ctx, request{verb: create, what: what, name: &name, given: given, flag: autoStart}, made)
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Start starts a process and what it requires and wants, and answers when it is ready (a oneshot: done). One that is
// up already is no error. [ErrFailed]: it could not be started, and the message says why.
func (s *Supervisor) Start(ctx context.Context, name string) (*Outcome, error) {
	return s.act(ctx, start, "start", name)
}

// Stop stops a process, and first what cannot be without it, and answers when nothing of them is left. A second one
// meanwhile goes on to the next step of its stop.
func (s *Supervisor) Stop(ctx context.Context, name string) (*Outcome, error) {
	return s.act(ctx, stop, "stop", name)
}

// Restart stops and starts a process, brings back what the stop took down, and answers when it is ready again.
func (s *Supervisor) Restart(ctx context.Context, name string) (*Outcome, error) {
	return s.act(ctx, restart, "restart", name)
}

func (s *Supervisor) act(ctx context.Context, verb verb, word, name string) (*Outcome, error) {
	return s.outcome(ctx, request{verb: verb, what: word + " `" + name + "`", name: &name})
}

// outcome makes a call about one process.
func (s *Supervisor) outcome(ctx context.Context, request request) (*Outcome, error) {
	var told struct {
		Outcomes []Outcome `json:"outcomes"`
	}
	if err := s.do(ctx, request, &told); err != nil {
		return nil, err
	}
	if len(told.Outcomes) != 1 {
		message := fmt.Sprintf("%s: %d outcomes: name one process", request.what, len(told.Outcomes))
		return nil, &Error{Code: CodeInvalid, Message: message}
	}
	return &told.Outcomes[0], nil
}

// Delete forgets a process that was made at run time and does not run. [ErrRefused]: it runs, others require it, or
// the configuration has it.
func (s *Supervisor) Delete(ctx context.Context, name string) error {
	return s.do(ctx, request{verb: remove, what: "delete `" + name + "`", name: &name}, nil)
}

// StopAndDelete stops a process first, and forgets it when nothing of it is left.
func (s *Supervisor) StopAndDelete(ctx context.Context, name string) error {
	return s.do(ctx, request{verb: remove, what: "delete `" + name + "`", name: &name, flag: true}, nil)
}

// Wait answers when a process is in one of these states. Without one: when it is running, or exited with success; that it
// failed or crashed is then an error.
func (s *Supervisor) Wait(ctx context.Context, name string, states ...State) (*Outcome, error) {
	request := request{verb: wait, what: "wait for `" + name + "`", name: &name}
	if len(states) > 0 {
		words := make([]string, len(states))
		for number, state := range states {
			words[number] = string(state)
		}
		given := strings.Join(words, ",")
		request.given = &given
	}
	return s.outcome(ctx, request)
}

// List is every process as it is now, by name.
func (s *Supervisor) List(ctx context.Context) ([]Process, error) {
	var all []Process
	err := s.do(ctx, request{verb: list, what: "list"}, &all)
	return all, err
}

// Describe is a process with its spec.
func (s *Supervisor) Describe(ctx context.Context, name string) (*Detail, error) {
	detail := new(Detail)
	if err := s.do(ctx, request{verb: describe, what: "describe `" + name + "`", name: &name}, detail); err != nil {
		return nil, err
	}
	return detail, nil
}

// Update changes what is present in the spec: maps merge, lists replace; a key that is nil in Extra goes back to its
// default. Nothing is restarted for it: [Change] says which fields wait for that. Of a configured process it is an
// override, which the next apply takes back.
func (s *Supervisor) Update(ctx context.Context, name string, changes Spec) (*Updated, error) {
	return s.update(ctx, name, changes, false)
}

// UpdateAndRestart changes a spec and restarts the process if a changed field needs that; it answers when the process
// is ready again.
func (s *Supervisor) UpdateAndRestart(ctx context.Context, name string, changes Spec) (*Updated, error) {
	return s.update(ctx, name, changes, true)
}

func (s *Supervisor) update(ctx context.Context, name string, changes Spec, restart bool) (*Updated, error) {
	what := "update `" + name + "`"
	given, err := jsonOf(what, changes)
	if err != nil {
		return nil, err
	}
	updated := new(Updated)
	if err := s.do(ctx, request{verb: update, what: what, name: &name, given: given, flag: restart}, updated); err != nil {
		return nil, err
	}
	return updated, nil
}

// Stats is what every process's tree uses of the host.
func (s *Supervisor) Stats(ctx context.Context) ([]Usage, error) {
	var all []Usage
	err := s.do(ctx, request{verb: stats, what: "stats"}, &all)
	return all, err
}

// StatsOf is what one process's tree uses of the host.
func (s *Supervisor) StatsOf(ctx context.Context, name string) (*Usage, error) {
	what := "stats of `" + name + "`"
	var some []Usage
	if err := s.do(ctx, request{verb: stats, what: what, name: &name}, &some); err != nil {
		return nil, err
	}
	if len(some) != 1 {
		return nil, &Error{Code: CodeInternal, Message: what + ": no figures were told"}
	}
	return &some[0], nil
}

// Status is the instance.
func (s *Supervisor) Status(ctx context.Context) (*Status, error) {
	told := new(Status)
	if err := s.do(ctx, request{verb: status, what: "status"}, told); err != nil {
		return nil, err
	}
	return told, nil
}

// Shutdown stops every process in order and ends the instance, of which nothing is left when it answers. A running
// one, too: that is `neap down`. The Supervisor is to be closed all the same.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	return s.do(ctx, request{verb: shutdown, what: "shutdown"}, nil)
}

// Signal sends a signal ("HUP", "SIGUSR1", "10") to a process's main process.
func (s *Supervisor) Signal(ctx context.Context, name, signal string) error {
	asked := struct {
		Names  []string `json:"names"`
		Signal string   `json:"signal"`
	}{[]string{name}, signal}
	return s.Call(ctx, "Signal", asked, nil)
}

// Reload has a process read its configuration again, as its spec says.
func (s *Supervisor) Reload(ctx context.Context, name string) error {
	return s.Call(ctx, "Reload", map[string]any{"names": []string{name}}, nil)
}

// Call makes any other call of neap.v1.Neap that has one answer, by its name: "Why", "Graph", "Plan". The request and
// the answer are anything that encoding/json takes, with the names of the proto's fields; states are in lower case,
// durations milliseconds, times RFC 3339. The answer may be nil, or a [*json.RawMessage].
func (s *Supervisor) Call(ctx context.Context, method string, asked, answer any) error {
	what := strings.ToLower(method)
	if asked == nil {
		asked = json.RawMessage("{}")
	}
	given, err := jsonOf(what, asked)
	if err != nil {
		return err
	}
	return s.do(ctx, request{verb: call, what: what, name: &method, given: given}, answer)
}
