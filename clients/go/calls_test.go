package neap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"neap"
)

func TestAProcessIsCreatedStartedWatchedAndStopped(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		events := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
		made := must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
		if now := made.Process; now.Name != "web" || now.State != neap.Created || now.PID != 0 || now.CreatedAt.IsZero() || !now.StartedAt.IsZero() || len(made.Warnings) != 0 {
			t.Fatalf("%+v", made)
		}
		started := must[*neap.Outcome](t)(s.Start(ctx, "web"))
		if started.State != neap.Running || !started.Changed || !alive(started.PID) {
			t.Fatalf("%+v", started)
		}
		if again := must[*neap.Outcome](t)(s.Start(ctx, "web")); again.Changed || again.PID != started.PID {
			t.Fatalf("%+v", again)
		}
		restarted := must[*neap.Outcome](t)(s.Restart(ctx, "web"))
		if restarted.State != neap.Running || restarted.PID == started.PID || alive(started.PID) {
			t.Fatalf("%+v", restarted)
		}
		stopped := must[*neap.Outcome](t)(s.Stop(ctx, "web"))
		if stopped.State != neap.Stopped || alive(restarted.PID) {
			t.Fatalf("%+v", stopped)
		}
		check(t, s.Delete(ctx, "web"))
		if all := must[[]neap.Process](t)(s.List(ctx)); len(all) != 0 {
			t.Fatalf("%+v", all)
		}
		var last uint64
		want := []string{
			"process.defined", "process.running", "process.stopping", "process.running", "process.stopping",
			"process.stopped", "process.deleted",
		}
		for _, kind := range want {
			event := next(t, events, func(event neap.Event) bool { return event.Kind == kind })
			if event.Process != "web" || event.Sequence <= last || event.Time.IsZero() || event.Text == "" {
				t.Fatalf("%+v", event)
			}
			last = event.Sequence
		}
	})
}

func TestAStartAnswersOnceTheProcessIsReady(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec, open := gate(t, "slow")
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		started := make(chan error, 1)
		go func() {
			_, err := s.Start(ctx, "slow")
			started <- err
		}()
		must[*neap.Outcome](t)(s.Wait(ctx, "slow", neap.Starting))
		select {
		case err := <-started:
			t.Fatalf("it was answered before it was ready: %v", err)
		default:
		}
		open()
		check(t, <-started)
		if all := must[[]neap.Process](t)(s.List(ctx)); all[0].State != neap.Running {
			t.Fatalf("%+v", all)
		}
	})
}

func TestAProcessThatIsCreatedWithAutoStartStarts(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		must[*neap.MadeProcess](t)(s.CreateWithAutoStart(ctx, sleeper("web")))
		if outcome := must[*neap.Outcome](t)(s.Wait(ctx, "web")); outcome.State != neap.Running {
			t.Fatalf("%+v", outcome)
		}
		detail := must[*neap.Detail](t)(s.Describe(ctx, "web"))
		if detail.Spec.AutoStart == nil || !*detail.Spec.AutoStart || detail.Process.State != neap.Running {
			t.Fatalf("%+v", detail)
		}
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("later")))
		if outcome := must[*neap.Outcome](t)(s.Wait(ctx, "later", neap.Created, neap.Running)); outcome.State != neap.Created {
			t.Fatalf("%+v", outcome)
		}
	})
}

func TestWhatAProcessRequiresIsStartedAndStoppedInOrder(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("db")))
		api := sleeper("api")
		api.Requires = []string{"db"}
		must[*neap.MadeProcess](t)(s.Create(ctx, api))
		started := must[*neap.Outcome](t)(s.Start(ctx, "api"))
		if len(started.Along) != 1 || started.Along[0] != "db" {
			t.Fatalf("%+v", started)
		}
		if detail := must[*neap.Detail](t)(s.Describe(ctx, "db")); len(detail.RequiredBy) != 1 || detail.RequiredBy[0] != "api" {
			t.Fatalf("%+v", detail)
		}
		stopped := must[*neap.Outcome](t)(s.Stop(ctx, "db"))
		if len(stopped.Along) != 1 || stopped.Along[0] != "api" {
			t.Fatalf("%+v", stopped)
		}
	})
}

func TestASpecIsTheSameWhenItComesBack(t *testing.T) {
	http := neap.HTTP("http://127.0.0.1:1/health")
	http.ExpectedStatus = []string{"200", "300-399"}
	http.Headers = []neap.Header{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}
	http.Interval, http.Timeout, http.StartPeriod = neap.For(5_000_000_000), "1s", "1h"
	http.Retries, http.RestartAfter = neap.Value(2), neap.Value(0)
	spec := neap.Spec{
		Name: "all", Description: "all of it", Command: []string{"sleep", "1000"}, Type: neap.Simple,
		Critical: neap.Value(false), WorkingDir: "/tmp", Env: map[string]string{"A": "1", "B": "é\"\n"},
		EnvFile: []string{"-/nonexistent"}, ClearEnv: neap.Value(true), Umask: "0027", Nice: neap.Value(1),
		Groups:  &neap.Names{},
		Rlimits: map[string]neap.Rlimit{"core": {Soft: neap.Value[uint64](0)}, "nofile": {Soft: neap.Value[uint64](64), Hard: neap.Value[uint64](128)}},
		Wants:   []string{"other"}, After: []string{"other"},
		Conditions:        &neap.Conditions{PathExists: []string{"!/nonexistent"}, Env: []string{"|HOME", "|PATH"}},
		Ready:             neap.LogLine("^up$"),
		Health:            http,
		Restart:           &neap.Restart{Policy: neap.Always, Delay: "0s", Factor: neap.Value(1.5), Jitter: neap.Value(0.0), Limit: &neap.StartLimit{Burst: neap.Value(0), Interval: "1m"}},
		StartTimeout:      neap.Forever,
		SuccessExitStatus: []string{"3", "SIGUSR1"},
		Stop:              &neap.Stop{Mode: "mixed", Sequence: []neap.StopStep{{Signal: "INT", Timeout: "250ms"}, {Signal: "TERM", Timeout: "1s"}}},
		Reload:            &neap.Reload{Signal: "HUP"},
		Hooks:             &neap.Hooks{BeforeStart: []neap.Hook{{Command: []string{"true"}, Timeout: "3s"}}},
		Limits:            &neap.Limits{Memory: "512MiB", CPU: "1.5", OOMScoreAdj: neap.Value(10)},
		Listen:            []neap.Listen{{TCP: "127.0.0.1:0", Name: "web", IdleStop: "10m"}},
		Log:               &neap.Log{Ring: neap.Bytes(1024), Stdout: "capture", Stderr: "null", Keep: neap.Value(2)},
		StateDirectory:    []neap.Directory{{Path: "neap-go-test", Mode: "0700"}},
		RuntimeDirectory:  []neap.Directory{{Path: "neap-go-test", Mode: "0750"}},
		Volatile:          neap.Value(true),
	}
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		first := must[*neap.Detail](t)(s.Describe(ctx, "all")).Spec
		if first.Restart.Delay != "0ms" || *first.Restart.Limit.Burst != 0 || first.StartTimeout != neap.Forever ||
			first.Limits.CPU != "1500m" || first.Limits.Memory != "536870912" || first.Health.URL != http.URL ||
			len(first.Health.Headers) != 2 || first.Ready.Pattern != "^up$" || *first.Rlimits["nofile"].Hard != 128 ||
			first.Rlimits["core"].Hard != nil || len(first.RuntimeDirectory) != 1 || first.Env["B"] != "é\"\n" {
			t.Fatalf("%+v", first)
		}
		check(t, s.Delete(ctx, "all"))
		must[*neap.MadeProcess](t)(s.Create(ctx, first))
		second := must[*neap.Detail](t)(s.Describe(ctx, "all")).Spec
		one, other := must[[]byte](t)(json.Marshal(first)), must[[]byte](t)(json.Marshal(second))
		if string(one) != string(other) {
			t.Fatalf("\n%s\n%s", one, other)
		}
	})
}

func TestWhatIsOddAboutASpecIsTold(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		deaf := sleeper("deaf")
		deaf.Ready = neap.LogLine("up")
		made := must[*neap.MadeProcess](t)(s.Create(limited(t), deaf))
		if len(made.Warnings) != 1 || made.Warnings[0].Field != "ready" || !made.Warnings[0].Warning {
			t.Fatalf("%+v", made.Warnings)
		}
	})
}

func TestAnUpdateSaysWhatItChangedAndWhen(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec := sleeper("web")
		spec.Env = map[string]string{"PORT": "1", "KEEP": "yes"}
		spec.Restart = &neap.Restart{Policy: neap.Always, Delay: "7s"}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		pid := must[*neap.Outcome](t)(s.Start(ctx, "web")).PID
		changed := must[*neap.Updated](t)(s.Update(ctx, "web", neap.Spec{Env: map[string]string{"PORT": "2"}}))
		if changed.Restarted || len(changed.Change.Fields) != 1 || changed.Change.Fields[0].Path != "env.PORT" ||
			changed.Change.Fields[0].Effect != "restart" || changed.Process.PID != pid {
			t.Fatalf("%+v", changed)
		}
		changes := neap.Spec{Env: map[string]string{"PORT": "3"}, Extra: map[string]any{"restart": nil}}
		changed = must[*neap.Updated](t)(s.UpdateAndRestart(ctx, "web", changes))
		if !changed.Restarted || changed.Process.PID == pid || changed.Process.State != neap.Running {
			t.Fatalf("%+v", changed)
		}
		now := must[*neap.Detail](t)(s.Describe(ctx, "web")).Spec
		if now.Env["PORT"] != "3" || now.Env["KEEP"] != "yes" || now.Restart.Policy != neap.Never {
			t.Fatalf("%+v", now)
		}
	})
}

func TestFiguresSignalsAndReasonsAreThere(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec := sleeper("web")
		spec.Restart = &neap.Restart{Policy: neap.Always, Delay: "1h"}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		must[*neap.Outcome](t)(s.Start(ctx, "web"))
		usage := must[*neap.Usage](t)(s.StatsOf(ctx, "web"))
		if usage.Name != "web" || usage.Memory == nil || *usage.Memory == 0 || usage.StartedAt.IsZero() {
			t.Fatalf("%+v", usage)
		}
		if all := must[[]neap.Usage](t)(s.Stats(ctx)); len(all) != 1 || all[0].Name != "web" {
			t.Fatalf("%+v", all)
		}
		status := must[*neap.Status](t)(s.Status(ctx))
		if status.PID == 0 || status.Total != 1 || status.States[neap.Running] != 1 || status.Version != neap.LibraryVersion() {
			t.Fatalf("%+v", status)
		}
		check(t, s.Signal(ctx, "web", "KILL"))
		backoff := must[*neap.Outcome](t)(s.Wait(ctx, "web", neap.Backoff))
		if !strings.Contains(backoff.Reason, "SIGKILL") {
			t.Fatalf("%+v", backoff)
		}
		all := must[[]neap.Process](t)(s.List(ctx))
		if all[0].Signal != "SIGKILL" || all[0].ExitCode != nil || all[0].RetryAt.IsZero() || all[0].RunCount != 1 {
			t.Fatalf("%+v", all[0])
		}
		var why struct {
			Chain []struct{ Process, Text string }
		}
		check(t, s.Call(ctx, "Why", map[string]string{"name": "web"}, &why))
		if len(why.Chain) == 0 || why.Chain[0].Process != "web" {
			t.Fatalf("%+v", why)
		}
	})
}

func TestAThousandProcessesAreListed(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		for number := 0; number < 1000; number++ {
			must[*neap.MadeProcess](t)(s.Create(ctx, sleeper(fmt.Sprintf("p%04d", number))))
		}
		all := must[[]neap.Process](t)(s.List(ctx))
		if len(all) != 1000 {
			t.Fatalf("%d", len(all))
		}
		for number, one := range all {
			if one.Name != fmt.Sprintf("p%04d", number) || one.ID == "" {
				t.Fatalf("%d: %+v", number, one)
			}
		}
	})
}

func TestFiftyGoroutinesUseOneSupervisor(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		var all sync.WaitGroup
		failures := make(chan error, 50)
		for number := 0; number < 50; number++ {
			name := fmt.Sprintf("p%d", number)
			all.Add(1)
			go func() {
				defer all.Done()
				failures <- func() error {
					watch, enough := context.WithCancel(ctx)
					defer enough()
					events, err := s.Events(watch, neap.FromNow)
					if err != nil {
						return err
					}
					if _, err := s.Create(ctx, sleeper(name)); err != nil {
						return err
					}
					if _, err := s.Start(ctx, name); err != nil {
						return err
					}
					if _, err := s.Describe(ctx, name); err != nil {
						return err
					}
					for event := range events {
						if event.Kind == neap.KindEnded || event.Kind == neap.KindLag {
							return fmt.Errorf("%+v", event)
						}
						if event.Process == name && event.Kind == "process.running" {
							break
						}
					}
					if _, err := s.Stop(ctx, name); err != nil {
						return err
					}
					return s.Delete(ctx, name)
				}()
			}()
		}
		all.Wait()
		for range [50]int{} {
			check(t, <-failures)
		}
		if left := must[[]neap.Process](t)(s.List(ctx)); len(left) != 0 {
			t.Fatalf("%+v", left)
		}
	})
}

func TestClosingStopsWhatIsItsOwnAndNothingOfARunningInstance(t *testing.T) {
	ctx := limited(t)
	own := must[*neap.Supervisor](t)(neap.New())
	stubborn := neap.Spec{
		Name: "stubborn", Shell: `trap "" TERM; sleep 1000 & echo $! > child; touch up; wait; wait`, WorkingDir: t.TempDir(),
		Stop: &neap.Stop{Timeout: "100ms"},
	}
	probe := neap.Exec("test", "-e", "up")
	probe.Interval = "20ms"
	stubborn.Ready = probe
	must[*neap.MadeProcess](t)(own.Create(ctx, stubborn))
	pid := must[*neap.Outcome](t)(own.Start(ctx, "stubborn")).PID
	var child int
	_, err := fmt.Sscan(string(must[[]byte](t)(os.ReadFile(filepath.Join(stubborn.WorkingDir, "child")))), &child)
	check(t, err)
	check(t, own.Close())
	if alive(pid) || alive(child) {
		t.Fatalf("%d or its child %d outlives the supervisor", pid, child)
	}

	running := daemon(t, "")
	s := must[*neap.Supervisor](t)(neap.Connect(ctx, running.socket))
	must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
	pid = must[*neap.Outcome](t)(s.Start(ctx, "web")).PID
	check(t, s.Close())
	if !alive(pid) {
		t.Fatal("it was stopped")
	}
	other := must[*neap.Supervisor](t)(neap.Connect(ctx, "unix:"+running.socket))
	if all := must[[]neap.Process](t)(other.List(ctx)); len(all) != 1 || all[0].PID != pid {
		t.Fatalf("%+v", all)
	}
	check(t, other.Shutdown(ctx))
	check(t, other.Close())
	if alive(pid) {
		t.Fatal("it outlives its instance")
	}
	if err := running.child.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Fatal("it is still there")
	}
}
