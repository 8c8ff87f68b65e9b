package neap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// deadline only fails: nothing waits for it to pass.
const deadline = 90 * time.Second

// TestMain is also what a test starts as another user.
func TestMain(m *testing.M) {
	if os.Getenv("NEAP_TEST_STRANGER") != "" {
		stranger()
		return
	}
	os.Exit(m.Run())
}

// limited is a context that ends when a test hangs.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test for an error.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is wants an error of this kind.
func is(t testing.TB, err, kind error) *neap.Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("it is %v, not %v", err, kind)
	}
	var own *neap.Error
	if !errors.As(err, &own) || own.Message == "" {
		t.Fatalf("%#v says nothing", err)
	}
	return own
}

// embedded is a supervisor of the test's own.
func embedded(t testing.TB) *neap.Supervisor {
	t.Helper()
	s := must[*neap.Supervisor](t)(neap.New())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// both runs a test against a supervisor in this program and against a running instance.
func both(t *testing.T, test func(*testing.T, *neap.Supervisor)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("running", func(t *testing.T) { test(t, daemon(t, "").connect(t)) })
}

// instance is a `neap daemon` in a home of its own.
type instance struct {
	home   string
	socket string
	child  *exec.Cmd
}

// neapBinary is the command; without it the test is skipped.
func neapBinary(t testing.TB) string {
	binary := os.Getenv("NEAP_BIN")
	if binary == "" {
		t.Skipf("skipped: %s: NEAP_BIN does not name the neap command", t.Name())
	}
	return binary
}

// command is `neap` with these arguments, in the instance's home.
func (i *instance) command(t testing.TB, args ...string) *exec.Cmd {
	command := exec.Command(neapBinary(t), args...)
	command.Dir = i.home
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "HOME", "NEAP_SOCKET", "NOTIFY_SOCKET", "LISTEN_FDS", "WATCHDOG_USEC", "WATCHDOG_PID":
		default:
			if !strings.HasPrefix(name, "XDG_") {
				command.Env = append(command.Env, variable)
			}
		}
	}
	command.Env = append(command.Env, "HOME="+i.home, "XDG_RUNTIME_DIR="+filepath.Join(i.home, "run"),
		"XDG_STATE_HOME="+filepath.Join(i.home, "state"), "XDG_CONFIG_HOME="+filepath.Join(i.home, "config"))
	return command
}

// neap is what the command line prints.
func (i *instance) neap(t testing.TB, args ...string) []byte {
	t.Helper()
	var complaints bytes.Buffer
	command := i.command(t, args...)
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("neap %v: %v\n%s", args, err, complaints.Bytes())
	}
	return out
}

// daemon starts an instance of this configuration, and waits until it says that it is ready.
func daemon(t testing.TB, configuration string) *instance {
	t.Helper()
	neapBinary(t)
	home := must[string](t)(os.MkdirTemp("", "neap-go-"))
	t.Cleanup(func() { os.RemoveAll(home) })
	i := &instance{home: home}
	check(t, os.Chmod(home, 0o755))
	for folder, mode := range map[string]os.FileMode{"run": 0o711, "state": 0o700, "config": 0o700} {
		check(t, os.Mkdir(filepath.Join(home, folder), mode))
		check(t, os.Chmod(filepath.Join(home, folder), mode))
	}
	configuration = "local neap = require \"neap\"\n" + configuration
	check(t, os.WriteFile(filepath.Join(home, "neap.lua"), []byte(configuration), 0o644))

	ready := filepath.Join(home, "notify")
	notify := must[*net.UnixConn](t)(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ready, Net: "unixgram"}))
	defer notify.Close()
	log := must[*os.File](t)(os.Create(filepath.Join(home, "log")))
	defer log.Close()
	i.child = i.command(t, "daemon", "neap.lua")
	i.child.Env = append(i.child.Env, "NOTIFY_SOCKET="+ready)
	i.child.Stdout, i.child.Stderr = log, log
	check(t, i.child.Start())
	t.Cleanup(func() { i.end(t) })
	check(t, notify.SetReadDeadline(time.Now().Add(deadline)))
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the daemon is not ready: %v\n%s", err, said)
		}
		if bytes.Contains(message[:n], []byte("READY=1")) {
			break
		}
	}
	var status struct{ Socket string }
	check(t, json.Unmarshal(i.neap(t, "status", "--json"), &status))
	i.socket = status.Socket
	return i
}

// connect is a way to the instance, closed at the end of the test.
func (i *instance) connect(t testing.TB) *neap.Supervisor {
	t.Helper()
	s := must[*neap.Supervisor](t)(neap.Connect(limited(t), i.socket))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// end stops the instance, if it still runs.
func (i *instance) end(t testing.TB) {
	if i.child.ProcessState != nil {
		return
	}
	_ = i.child.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(deadline, func() { _ = i.child.Process.Kill() })
	defer late.Stop()
	if err := i.child.Wait(); err != nil {
		said, _ := os.ReadFile(filepath.Join(i.home, "log"))
		t.Errorf("the daemon ended with %v\n%s", err, said)
	}
}

// sleeper is a process that runs until it is stopped.
func sleeper(name string) neap.Spec {
	return neap.Spec{Name: name, Command: []string{"sleep", "1000"}}
}

// crashing is a process that fails at once, again and again.
func crashing(name string) neap.Spec {
	forever := &neap.StartLimit{Burst: neap.Value(0)}
	return neap.Spec{
		Name: name, Shell: "exit 9", Restart: &neap.Restart{Policy: neap.Always, Delay: "0s", Limit: forever},
	}
}

// gate is a process that is ready once the function was called.
func gate(t testing.TB, name string) (neap.Spec, func()) {
	path := filepath.Join(t.TempDir(), "open")
	probe := neap.Exec("test", "-e", path)
	probe.Interval = "20ms"
	spec := sleeper(name)
	spec.Ready = probe
	return spec, func() { check(t, os.WriteFile(path, nil, 0o644)) }
}

// next is the next event that is meant.
func next(t testing.TB, events <-chan neap.Event, meant func(neap.Event) bool) neap.Event {
	t.Helper()
	late := time.NewTimer(deadline)
	defer late.Stop()
	var seen []string
	for {
		select {
		case event, open := <-events:
			if !open {
				t.Fatalf("the channel is closed; before: %v", seen)
			}
			if meant(event) {
				return event
			}
			seen = append(seen, fmt.Sprintf("%d %s %s %v", event.Sequence, event.Process, event.Kind, event.Err))
		case <-late.C:
			t.Fatalf("it did not come; before: %v", seen)
		}
	}
}

// kind is an event of this process and kind.
func kind(process, kind string) func(neap.Event) bool {
	return func(event neap.Event) bool { return event.Process == process && event.Kind == kind }
}

// alive is whether there is a process of this pid that is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
