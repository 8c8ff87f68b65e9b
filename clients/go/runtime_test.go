package neap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"neap"
)

// goroutines are those that run code of the package, outside of tests.
func goroutines() []string {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	var own []string
	for _, stack := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(stack, "neap.(*Supervisor)") || strings.Contains(stack, "created by neap.") || strings.Contains(stack, "created by context.(*afterFuncCtx)") {
			own = append(own, stack)
		}
	}
	return own
}

// gone waits until the last of them has left: a goroutine that has done its last deed is there for a moment more.
func gone(t *testing.T, before int) {
	t.Helper()
	for limit := time.Now().Add(deadline); ; runtime.Gosched() {
		own := goroutines()
		if len(own) <= before {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d goroutines are left behind, of which %d were there before:\n%s", len(own), before, strings.Join(own, "\n\n"))
		}
	}
}

func descriptors(t *testing.T) int {
	return len(must[[]os.DirEntry](t)(os.ReadDir("/proc/self/fd")))
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec, _ := gate(t, "slow")
		spec.Stop = &neap.Stop{Timeout: "1s"}
		must[*neap.MadeProcess](t)(s.CreateWithAutoStart(ctx, spec))
		must[*neap.Outcome](t)(s.Wait(ctx, "slow", neap.Starting))
		before := len(goroutines())
		round := func() {
			var all sync.WaitGroup
			for number := 0; number < 100; number++ {
				giveUp, cancel := context.WithCancel(ctx)
				events := must[<-chan neap.Event](t)(s.Events(giveUp, neap.FromOldest))
				all.Add(1)
				go func() {
					defer all.Done()
					_, err := s.Wait(giveUp, "slow", neap.Running)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%v", err)
					}
				}()
				if number%2 == 0 {
					<-events
				}
				lines := must[<-chan neap.LogEntry](t)(s.Logs(giveUp, "", neap.LogOptions{Follow: true}))
				cancel()
				for range events {
				}
				for range lines {
				}
			}
			all.Wait()
		}
		round()
		gone(t, before)
		open := descriptors(t)
		for range [4]int{} {
			round()
		}
		gone(t, before)
		if now := descriptors(t); now > open+8 {
			t.Fatalf("%d descriptors are open, of which %d were before", now, open)
		}
	})
}

func TestStreamsTakeNoThreads(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		threads := func() int { return len(must[[]os.DirEntry](t)(os.ReadDir("/proc/self/task"))) }
		ctx := limited(t)
		const streams = 200
		before := threads()
		var events []<-chan neap.Event
		for range [streams]int{} {
			events = append(events, must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow)))
		}
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
		for _, channel := range events {
			next(t, channel, kind("web", "process.defined"))
		}
		if now := threads(); now > before+streams/2 {
			t.Fatalf("%d threads, of which %d were before", now, before)
		}
	})
}

func TestWhoForgetsToCloseItLeavesNothing(t *testing.T) {
	ctx := limited(t)
	pid := func() int {
		s := must[*neap.Supervisor](t)(neap.New())
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
		return must[*neap.Outcome](t)(s.Start(ctx, "web")).PID
	}()
	for limit := time.Now().Add(deadline); alive(pid); runtime.GC() {
		if time.Now().After(limit) {
			t.Fatal("it still runs")
		}
	}
}

func TestOtherChildrenOfTheProgramAreItsOwn(t *testing.T) {
	s := embedded(t)
	ctx := limited(t)
	events := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
	must[*neap.MadeProcess](t)(s.CreateWithAutoStart(ctx, crashing("crashing")))
	var all sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := 0; number < 50; number++ {
				err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", number)).Run()
				var exit *exec.ExitError
				code := 0
				if errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					t.Error(err)
				}
				if code != number {
					t.Errorf("%d is not %d: %v", code, number, err)
				}
			}
		}()
	}
	for range [20]int{} {
		if ended := next(t, events, kind("crashing", "process.ended")); ended.ExitCode == nil || *ended.ExitCode != 9 {
			t.Fatalf("%+v", ended)
		}
	}
	all.Wait()
}

func TestSignalsAndTheProfilerOfTheProgramDisturbNothing(t *testing.T) {
	s := embedded(t)
	ctx := limited(t)
	check(t, pprof.StartCPUProfile(io.Discard))
	defer pprof.StopCPUProfile()
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGCHLD, syscall.SIGUSR1)
	defer signal.Stop(heard)
	check(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))

	work, enough := context.WithCancel(ctx)
	var busy sync.WaitGroup
	for range [2]int{} {
		busy.Add(1)
		go func() {
			defer busy.Done()
			// The runtime interrupts it with SIGURG, the profiler with SIGPROF.
			for work.Err() == nil {
				runtime.GC()
			}
		}()
	}
	for number := 0; number < 20; number++ {
		name := fmt.Sprintf("p%d", number)
		spec := neap.Spec{Name: name, Shell: "kill -0 $$; exec sleep 1000"}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		must[*neap.Outcome](t)(s.Start(ctx, name))
		if outcome := must[*neap.Outcome](t)(s.Stop(ctx, name)); outcome.State != neap.Stopped {
			t.Fatalf("%+v", outcome)
		}
	}
	enough()
	busy.Wait()

	// What the program ignores or catches is no concern of its children's.
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	must[*neap.MadeProcess](t)(s.Create(ctx, neap.Spec{Name: "plain", Command: []string{"sleep", "1000"}}))
	pid := must[*neap.Outcome](t)(s.Start(ctx, "plain")).PID
	said := string(must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))))
	for _, mask := range []string{"SigBlk", "SigIgn", "SigCgt"} {
		if !strings.Contains(said, mask+":\t0000000000000000") {
			t.Fatalf("%s", said)
		}
	}
}

func TestAProcessHasTheFolderAndTheEnvironmentThatWereGiven(t *testing.T) {
	ctx := limited(t)
	said := func(place string, options ...neap.Option) string {
		s := must[*neap.Supervisor](t)(neap.New(options...))
		defer s.Close()
		spec := neap.Spec{Name: "here", Shell: "(pwd; echo $MARK) > " + place + "/out", Type: neap.Oneshot}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		must[*neap.Outcome](t)(s.Start(ctx, "here"))
		return string(must[[]byte](t)(os.ReadFile(place + "/out")))
	}
	t.Setenv("MARK", "mine")
	place := t.TempDir()
	back := must[string](t)(os.Getwd())
	check(t, os.Chdir(place))
	defer func() { check(t, os.Chdir(back)) }()
	if said := said(place); said != "/\nmine\n" {
		t.Fatal(said)
	}
	env := map[string]string{"MARK": "given", "PATH": os.Getenv("PATH")}
	if said := said(place, neap.WithEnv(env), neap.WithName("x"), neap.WithShutdownTimeout(time.Minute)); said != "/\ngiven\n" {
		t.Fatal(said)
	}
	_, err := neap.New(neap.WithOption("nonsense", 1))
	is(t, err, neap.ErrInvalid)
}
