package neap_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neap"
)

// talker is a process that prints what it is told through the function, and "up" at first.
func talker(t testing.TB, name string) (neap.Spec, func(string)) {
	gate := filepath.Join(t.TempDir(), "gate")
	check(t, syscall.Mkfifo(gate, 0o666))
	spec := neap.Spec{
		Name: name, Shell: "exec 3<>" + gate + "; echo up; while read line <&3; do echo $line; done",
		Log: &neap.Log{Stdout: "capture", Stderr: "capture"}, Ready: neap.LogLine("^up"),
	}
	return spec, func(line string) {
		pipe := must[*os.File](t)(os.OpenFile(gate, os.O_WRONLY, 0))
		defer pipe.Close()
		must[int](t)(pipe.WriteString(line + "\n"))
	}
}

// texts are those of all lines until the channel is closed.
func texts(t testing.TB, entries <-chan neap.LogEntry) string {
	var all []string
	for entry := range entries {
		if entry.Kind != "" {
			t.Fatalf("%+v", entry)
		}
		all = append(all, entry.Text)
	}
	return strings.Join(all, " ")
}

func TestLinesAreReadBackAndFollowed(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec, say := talker(t, "web")
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		watch, enough := context.WithCancel(ctx)
		follow := neap.LogOptions{Follow: true}
		early := must[<-chan neap.LogEntry](t)(s.Logs(watch, "web", follow))
		must[*neap.Outcome](t)(s.Start(ctx, "web"))
		all := must[<-chan neap.LogEntry](t)(s.Logs(watch, "", follow))
		follow.Tail = neap.Value(0)
		late := must[<-chan neap.LogEntry](t)(s.Logs(watch, "w*", follow))
		for number, channel := range []<-chan neap.LogEntry{early, all, late} {
			if number < 2 {
				if entry := <-channel; entry.Text != "up" || entry.Process != "web" || entry.Partial || entry.Kind != "" {
					t.Fatalf("%+v", entry)
				}
			}
		}
		for _, line := range []string{"one", "two"} {
			say(line)
			for _, channel := range []<-chan neap.LogEntry{early, all, late} {
				if entry := <-channel; entry.Text != line || entry.ProcessID == "" || entry.Time.IsZero() && entry.Cursor == "" {
					t.Fatalf("%s: %+v", line, entry)
				}
			}
		}
		enough()
		for _, channel := range []<-chan neap.LogEntry{early, all, late} {
			if said := texts(t, channel); said != "" {
				t.Fatal(said)
			}
		}
		never := time.Now().Add(time.Hour)
		for want, options := range map[string]neap.LogOptions{
			"up one two": {}, "one two": {Tail: neap.Value(2)}, "": {Since: &never},
		} {
			if said := texts(t, must[<-chan neap.LogEntry](t)(s.Logs(ctx, "web", options))); said != want {
				t.Fatalf("%q, not %q", said, want)
			}
		}
		_, err := s.Logs(ctx, "wbe", neap.LogOptions{})
		is(t, err, neap.ErrNotFound)
		_, err = s.Logs(ctx, "web", neap.LogOptions{Tail: neap.Value(-1)})
		is(t, err, neap.ErrInvalid)
		_, err = s.Logs(watch, "web", neap.LogOptions{})
		is(t, err, context.Canceled)
	})
}

func TestLinesAreThoseOfTheCommandLine(t *testing.T) {
	running := daemon(t, "")
	s := running.connect(t)
	ctx := limited(t)
	log := &neap.Log{Stdout: "capture", Stderr: "capture"}
	for _, name := range []string{"a", "b"} {
		spec := neap.Spec{Name: name, Shell: "seq 1 200; echo bad >&2; printf unfinished", Type: neap.Oneshot, Log: log}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		must[*neap.Outcome](t)(s.Start(ctx, name))
		must[*neap.Outcome](t)(s.Start(ctx, name))
	}
	before := time.Unix(0, 0)
	for _, one := range []struct {
		options neap.LogOptions
		name    string
		args    []string
	}{
		{neap.LogOptions{}, "", []string{"-n", "10000"}},
		{neap.LogOptions{Tail: neap.Value(3)}, "a", []string{"-n", "3", "a"}},
		{neap.LogOptions{Run: neap.Value(1)}, "b", []string{"--run", "1", "b"}},
		{neap.LogOptions{Since: &before}, "*", []string{"--since", "1970-01-01T00:00:00Z", "*"}},
	} {
		var seen bytes.Buffer
		for entry := range must[<-chan neap.LogEntry](t)(s.Logs(ctx, one.name, one.options)) {
			fmt.Fprintf(&seen, "%s\n", entry.Raw)
		}
		if told := running.neap(t, append([]string{"logs", "--json"}, one.args...)...); seen.String() != string(told) || len(told) == 0 {
			t.Fatalf("%v:\n%s\n%s", one.args, seen.String(), told)
		}
	}
}

func TestLinesGoOnAfterTheLastCursorWhenTheSupervisorOfAnInstanceIsKilled(t *testing.T) {
	running := daemon(t, "")
	s := running.connect(t)
	ctx := limited(t)
	spec, say := talker(t, "web")
	must[*neap.MadeProcess](t)(s.Create(ctx, spec))
	must[*neap.Outcome](t)(s.Start(ctx, "web"))
	lines := must[<-chan neap.LogEntry](t)(s.Logs(ctx, "web", neap.LogOptions{Follow: true}))
	last := <-lines
	check(t, syscall.Kill(must[*neap.Status](t)(s.Status(ctx)).PID, syscall.SIGKILL))
	over := <-lines
	if over.Kind != neap.KindEnded {
		t.Fatalf("%+v", over)
	}
	is(t, over.Err, neap.ErrUnreachable)
	if _, open := <-lines; open {
		t.Fatal("there is something after the end")
	}
	say("again")
	onward := neap.LogOptions{Follow: true, Cursors: map[string]string{"web": last.Cursor}}
	again, err := s.Logs(ctx, "web", onward)
	for err != nil && ctx.Err() == nil {
		is(t, err, neap.ErrUnreachable)
		again, err = s.Logs(ctx, "web", onward)
	}
	check(t, err)
	if entry := <-again; entry.Text != "again" {
		t.Fatalf("%+v", entry)
	}
}
