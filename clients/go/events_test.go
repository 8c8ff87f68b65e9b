package neap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"syscall"
	"testing"

	"neap"
)

func TestEventsAreThoseOfTheCommandLineInTheSameOrder(t *testing.T) {
	running := daemon(t, `neap.process "web" { command = { "sleep", "1000" }, restart = { delay = "10ms" } }`)
	s := running.connect(t)
	ctx := limited(t)
	live := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromOldest))
	must[*neap.Outcome](t)(s.Start(ctx, "web"))
	check(t, s.Signal(ctx, "web", "KILL"))
	must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("job")))
	must[*neap.Outcome](t)(s.Start(ctx, "job"))
	check(t, s.StopAndDelete(ctx, "job"))
	must[*neap.Outcome](t)(s.Stop(ctx, "web"))
	last := must[*neap.Status](t)(s.Status(ctx)).Sequence

	var told []any
	for _, line := range bytes.Split(bytes.TrimSpace(running.neap(t, "events", "--json")), []byte("\n")) {
		var event any
		check(t, json.Unmarshal(line, &event))
		told = append(told, event)
	}
	var seen []any
	for {
		one := next(t, live, func(neap.Event) bool { return true })
		var event any
		check(t, json.Unmarshal(one.Raw, &event))
		seen = append(seen, event)
		if one.Sequence == last {
			break
		}
	}
	if !reflect.DeepEqual(seen, told[:len(seen)]) || len(seen) < 15 {
		t.Fatalf("\n%v\n%v", seen, told)
	}
}

func TestEventsAreNumberedWithoutAGapAndReadFromAnyNumber(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		for number := 0; number < 20; number++ {
			must[*neap.MadeProcess](t)(s.Create(ctx, sleeper(fmt.Sprintf("p%d", number))))
		}
		newest := must[*neap.Status](t)(s.Status(ctx)).Sequence
		events := must[<-chan neap.Event](t)(s.Events(ctx, newest-10))
		for want := newest - 9; want <= newest; want++ {
			if event := <-events; event.Sequence != want {
				t.Fatalf("%d is not %d", event.Sequence, want)
			}
		}
	})
}

func TestAReaderThatIsTooSlowIsToldWhatItMissed(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		slow := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
		from := must[*neap.Status](t)(s.Status(ctx)).Sequence
		must[*neap.MadeProcess](t)(s.CreateWithAutoStart(ctx, crashing("busy")))
		watch, enough := context.WithCancel(ctx)
		defer enough()
		others := must[<-chan neap.Event](t)(s.Events(watch, from))
		newest := next(t, others, func(event neap.Event) bool { return event.Sequence > from+15_000 }).Sequence
		last, lost := from, uint64(0)
		for last < newest {
			event := next(t, slow, func(neap.Event) bool { return true })
			if event.Kind == neap.KindLag {
				lost += event.Lost
				last += event.Lost
				continue
			}
			if event.Sequence != last+1 {
				t.Fatalf("%d comes after %d", event.Sequence, last)
			}
			last = event.Sequence
		}
		if lost == 0 {
			t.Fatal("nothing was lost: it is not slow enough")
		}
	})
}

func TestEventsGoOnWhenTheSupervisorOfAnInstanceIsKilled(t *testing.T) {
	running := daemon(t, `neap.process "web" { command = { "sleep", "1000" } }`)
	s := running.connect(t)
	ctx := limited(t)
	before := must[*neap.Status](t)(s.Status(ctx))
	must[*neap.Outcome](t)(s.Wait(ctx, "web"))
	pid := must[[]neap.Process](t)(s.List(ctx))[0].PID
	events := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromOldest))
	last := next(t, events, kind("web", "process.running")).Sequence
	check(t, syscall.Kill(before.PID, syscall.SIGKILL))

	over := next(t, events, func(event neap.Event) bool {
		if event.Kind != neap.KindEnded {
			last = event.Sequence
		}
		return event.Kind == neap.KindEnded
	})
	is(t, over.Err, neap.ErrUnreachable)
	if _, open := <-events; open {
		t.Fatal("there is something after the end")
	}
	// As the page tells it: the next supervisor takes a moment.
	again, err := s.Events(ctx, last)
	for errors.Is(err, neap.ErrUnreachable) && ctx.Err() == nil {
		again, err = s.Events(ctx, last)
	}
	check(t, err)
	adopted := next(t, again, func(event neap.Event) bool {
		if event.Sequence != last+1 {
			t.Fatalf("%d comes after %d: %+v", event.Sequence, last, event)
		}
		last = event.Sequence
		return event.Kind == "process.adopted"
	})
	if adopted.Process != "web" || adopted.PID != pid {
		t.Fatalf("%+v", adopted)
	}
	if after := must[*neap.Status](t)(s.Status(ctx)); after.PID == before.PID || after.AnchorPID != before.AnchorPID {
		t.Fatalf("%+v", after)
	}
	check(t, s.Signal(ctx, "web", "KILL"))
	next(t, again, kind("web", "process.backoff"))
}

func TestEventsOfAnEmbeddedSupervisorEndWithIt(t *testing.T) {
	s := embedded(t)
	ctx := limited(t)
	events := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
	check(t, s.Shutdown(ctx))
	next(t, events, func(event neap.Event) bool { return event.Kind == "instance.shutting_down" })
	over := next(t, events, func(event neap.Event) bool { return event.Kind == neap.KindEnded })
	is(t, over.Err, neap.ErrUnreachable)
	_, err := s.Create(ctx, sleeper("late"))
	is(t, err, neap.ErrUnreachable)
}

func TestAChannelOfEventsIsClosedWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx, cancel := context.WithCancel(limited(t))
		idle := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
		full := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
		next(t, idle, kind("web", "process.defined"))
		cancel()
		for _, events := range []<-chan neap.Event{idle, full} {
			for event := range events {
				if event.Kind == neap.KindEnded {
					t.Fatalf("%+v", event)
				}
			}
		}
	})
}
