package neap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neap"
)

func TestErrorsAreToldApart(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		must[*neap.MadeProcess](t)(s.Create(ctx, sleeper("web")))
		must[*neap.Outcome](t)(s.Start(ctx, "web"))

		_, err := s.Start(ctx, "wbe")
		if told := is(t, err, neap.ErrNotFound); told.Process != "wbe" || !strings.Contains(told.Message, "did you mean `web`") {
			t.Fatalf("%+v", told)
		}
		for _, call := range []func() error{
			func() error { _, err := s.Stop(ctx, "nobody"); return err },
			func() error { _, err := s.Restart(ctx, "nobody"); return err },
			func() error { _, err := s.Describe(ctx, "nobody"); return err },
			func() error { _, err := s.Update(ctx, "nobody", neap.Spec{Description: "x"}); return err },
			func() error { _, err := s.StatsOf(ctx, "nobody"); return err },
			func() error { _, err := s.Wait(ctx, "nobody"); return err },
			func() error { return s.Delete(ctx, "nobody") },
			func() error { return s.Signal(ctx, "nobody", "HUP") },
		} {
			is(t, call(), neap.ErrNotFound)
		}

		_, err = s.Create(ctx, sleeper("web"))
		is(t, err, neap.ErrExists)
		is(t, err, neap.ErrRefused)
		is(t, s.Delete(ctx, "web"), neap.ErrRefused)

		wrong := sleeper("wrong")
		wrong.Restart = &neap.Restart{Delay: "soon"}
		wrong.Extra = map[string]any{"descripton": "x"}
		_, err = s.Create(ctx, wrong)
		told := is(t, err, neap.ErrInvalid)
		var fields []string
		for _, problem := range told.Problems {
			fields = append(fields, problem.Field+": "+problem.Message)
		}
		all := strings.Join(fields, "\n")
		if len(told.Problems) != 2 || !strings.Contains(all, "restart.delay: ") || !strings.Contains(all, "description") {
			t.Fatalf("%q %+v", all, told)
		}
		_, err = s.Create(ctx, neap.Spec{Name: "a b", Command: []string{"true"}})
		is(t, err, neap.ErrInvalid)
		_, err = s.Create(ctx, neap.Spec{Name: "nul\x00", Command: []string{"true"}})
		is(t, err, neap.ErrInvalid)
		_, err = s.Create(ctx, neap.Spec{Name: "x", Extra: map[string]any{"command": func() {}}})
		is(t, err, neap.ErrInvalid)
		is(t, s.Call(ctx, "Conquer", nil, nil), neap.ErrInvalid)

		must[*neap.MadeProcess](t)(s.Create(ctx, neap.Spec{Name: "none", Command: []string{"/no/such/program"}}))
		_, err = s.Start(ctx, "none")
		if told := is(t, err, neap.ErrFailed); told.Process != "none" || !strings.Contains(told.Message, "/no/such/program") {
			t.Fatalf("%+v", told)
		}
		skipped := sleeper("skipped")
		skipped.Conditions = &neap.Conditions{PathExists: []string{"/no/such/path"}}
		must[*neap.MadeProcess](t)(s.Create(ctx, skipped))
		_, err = s.Start(ctx, "skipped")
		is(t, err, neap.ErrRefused)
		for _, other := range []error{neap.ErrNotFound, neap.ErrFailed, neap.ErrTimeout, neap.ErrClosed, context.Canceled} {
			if errors.Is(err, other) {
				t.Fatalf("%v is %v, too", err, other)
			}
		}
	})
}

func TestWhatAConfigurationHasIsNotDeleted(t *testing.T) {
	s := daemon(t, `neap.process "web" { command = { "sleep", "1000" } }`).connect(t)
	ctx := limited(t)
	is(t, s.StopAndDelete(ctx, "web"), neap.ErrRefused)
	detail := must[*neap.Detail](t)(s.Describe(ctx, "web"))
	if filepath.Base(detail.File) != "neap.lua" || detail.Line != 2 {
		t.Fatalf("%+v", detail)
	}
}

func TestACallIsOverWhenItsContextIsAndWhatWasBegunGoesOn(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec, open := gate(t, "slow")
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		giveUp, cancel := context.WithCancelCause(ctx)
		started := make(chan error, 1)
		go func() {
			_, err := s.Start(giveUp, "slow")
			started <- err
		}()
		must[*neap.Outcome](t)(s.Wait(ctx, "slow", neap.Starting))
		why := errors.New("lunch")
		cancel(why)
		err := <-started
		is(t, err, context.Canceled)
		is(t, err, why)
		if errors.Is(err, neap.ErrTimeout) {
			t.Fatal(err)
		}

		short, done := context.WithTimeout(ctx, time.Millisecond)
		defer done()
		_, err = s.Start(short, "slow")
		is(t, err, context.DeadlineExceeded)
		if told := is(t, err, neap.ErrTimeout); !told.Timeout() {
			t.Fatal(err)
		}
		_, err = s.List(giveUp)
		is(t, err, context.Canceled)
		_, err = s.Events(giveUp, neap.FromNow)
		is(t, err, context.Canceled)

		open()
		if outcome := must[*neap.Outcome](t)(s.Wait(ctx, "slow")); outcome.State != neap.Running {
			t.Fatalf("%+v", outcome)
		}
	})
}

func TestAnInstanceThatIsNotThereIsUnreachable(t *testing.T) {
	ctx := limited(t)
	_, err := neap.Connect(ctx, filepath.Join(t.TempDir(), "neap.sock"))
	is(t, err, neap.ErrUnreachable)
	_, err = neap.Connect(ctx, "tcp:nonsense")
	is(t, err, neap.ErrInvalid)
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = neap.Connect(over, "/run/neap.sock")
	is(t, err, context.Canceled)

	mute := filepath.Join(t.TempDir(), "mute.sock")
	listener := must[net.Listener](t)(net.Listen("unix", mute))
	defer listener.Close()
	short, done := context.WithTimeout(ctx, time.Millisecond)
	defer done()
	_, err = neap.Connect(short, mute)
	is(t, err, neap.ErrTimeout)

	running := daemon(t, "")
	s := running.connect(t)
	must[[]neap.Process](t)(s.List(ctx))
	running.end(t)
	_, err = s.List(ctx)
	is(t, err, neap.ErrUnreachable)
	_, err = s.Start(ctx, "web")
	is(t, err, neap.ErrUnreachable)
}

func TestConnectingIsOverInTheLibraryTooWhenItsContextIs(t *testing.T) {
	mute := filepath.Join(t.TempDir(), "mute.sock")
	listener := must[net.Listener](t)(net.Listen("unix", mute))
	defer listener.Close()
	before := len(goroutines())
	ctx, cancel := context.WithCancel(limited(t))
	over := make(chan error, 1)
	go func() {
		_, err := neap.Connect(ctx, mute)
		over <- err
	}()
	// It is let in, and never told anything.
	guest := must[net.Conn](t)(listener.Accept())
	defer guest.Close()
	cancel()
	is(t, <-over, context.Canceled)
	// Sooner than the library gives up by itself.
	check(t, guest.SetReadDeadline(time.Now().Add(20*time.Second)))
	if _, err := io.Copy(io.Discard, guest); err != nil {
		t.Fatalf("the connection is still there: %v", err)
	}
	gone(t, before)
}

// stranger calls as another user, and prints what came of it.
func stranger() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	told := map[string]bool{}
	s, err := neap.Connect(ctx, os.Getenv("NEAP_TEST_STRANGER"))
	if err == nil {
		defer s.Close()
		_, err = s.List(ctx)
		told["list"] = err == nil
		_, err = s.Start(ctx, "web")
		told["start"] = errors.Is(err, neap.ErrPermission)
		_, err = s.Create(ctx, neap.Spec{Name: "x", Command: []string{"true"}})
		told["create"] = errors.Is(err, neap.ErrPermission)
	}
	told["connect"] = err != nil && errors.Is(err, neap.ErrPermission)
	data, _ := json.Marshal(told)
	fmt.Println(string(data))
}

func TestWhoMayNotIsTold(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skipf("skipped: %s: only root can be somebody else", t.Name())
	}
	const nobody = 65534
	running := daemon(t, fmt.Sprintf("neap.settings { roles = { observer = %d } }\n"+
		`neap.process "web" { command = { "sleep", "1000" } }`, nobody))
	own := must[string](t)(os.Executable())
	copied := filepath.Join(running.home, "stranger")
	// A child does the writing: what is open for writing here when another test forks cannot be executed (ETXTBSY).
	check(t, exec.Command("install", "-m", "755", own, copied).Run())
	ask := func(gid uint32) map[string]bool {
		command := exec.Command(copied)
		command.Dir = "/"
		command.Env = append(os.Environ(), "NEAP_TEST_STRANGER="+running.socket)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: gid}}
		command.Stderr = os.Stderr
		var told map[string]bool
		check(t, json.Unmarshal(must[[]byte](t)(command.Output()), &told))
		return told
	}
	if told := ask(nobody); !told["list"] || !told["start"] || !told["create"] {
		t.Fatalf("an observer: %v", told)
	}
	if told := ask(nobody - 1); !told["connect"] {
		t.Fatalf("a stranger: %v", told)
	}
}

func TestWhatIsClosedSaysSo(t *testing.T) {
	both(t, func(t *testing.T, s *neap.Supervisor) {
		ctx := limited(t)
		spec, _ := gate(t, "slow")
		spec.Stop = &neap.Stop{Timeout: "1s"}
		must[*neap.MadeProcess](t)(s.Create(ctx, spec))
		events := must[<-chan neap.Event](t)(s.Events(context.Background(), neap.FromNow))
		started := make(chan error, 1)
		go func() {
			_, err := s.Start(context.Background(), "slow")
			started <- err
		}()
		must[*neap.Outcome](t)(s.Wait(ctx, "slow", neap.Starting))
		closed := make(chan error)
		for range [8]int{} {
			go func() { closed <- s.Close() }()
		}
		for range [8]int{} {
			check(t, <-closed)
		}
		is(t, <-started, neap.ErrClosed)
		for range events {
		}
		_, err := s.List(ctx)
		is(t, err, neap.ErrClosed)
		_, err = s.Events(ctx, neap.FromNow)
		is(t, err, neap.ErrClosed)
		check(t, s.Close())
	})
}

func TestAProblemReadsLikeOnTheCommandLine(t *testing.T) {
	problem := neap.Problem{File: "neap.lua", Line: 3, Process: "web", Field: "restart.delay", Message: "is wrong"}
	if got := problem.String(); got != "neap.lua:3: process `web`: restart.delay: is wrong" {
		t.Fatal(got)
	}
}
