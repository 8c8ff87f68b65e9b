package neap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neap"
)

// prelude stands before the snippets of a page that are no whole programs: each is the body of a function.
const prelude = `package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"neap"
)

var _, _, _ = errors.Is, os.Args, time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	for number, snippet := range []func(context.Context, *neap.Supervisor){%s} {
		supervisor, err := neap.New()
		if err != nil {
			log.Fatal(err)
		}
		snippet(ctx, supervisor)
		if err := supervisor.Close(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("done:", number)
	}
}
`

// snippets are the blocks of this language.
func snippets(page, language string) []string {
	var found []string
	for number, part := range strings.Split("\n"+page, "\n```") {
		if number%2 == 1 && strings.HasPrefix(part, language+"\n") {
			found = append(found, strings.TrimPrefix(part, language+"\n"))
		}
	}
	return found
}

func TestTheSnippetsOfThePagesRun(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("skipped: %s: there is no go command", t.Name())
	}
	running := daemon(t, "")
	own := must[string](t)(os.Getwd())
	for _, page := range []string{"README.md", "../../docs/go.md"} {
		text := string(must[[]byte](t)(os.ReadFile(page)))
		place := t.TempDir()
		modules := snippets(text, "go.mod")
		module := "module pages\n\ngo 1.21\n\nrequire neap v0.0.0\n\nreplace neap => " + own + "\n"
		if len(modules) > 0 && !strings.Contains(modules[0], "require neap v0.0.0") {
			t.Fatalf("%s: %s", page, modules[0])
		}
		check(t, os.WriteFile(filepath.Join(place, "go.mod"), []byte(module), 0o644))
		programs := map[string]string{}
		var bodies strings.Builder
		var names []string
		for number, snippet := range snippets(text, "go") {
			name := fmt.Sprintf("snippet%d", number)
			if strings.HasPrefix(snippet, "package main") {
				programs[name] = snippet
				continue
			}
			names = append(names, name)
			fmt.Fprintf(&bodies, "\nfunc %s(ctx context.Context, supervisor *neap.Supervisor) {\n%s\n}\n", name, snippet)
		}
		if len(names) > 0 {
			programs["fragments"] = fmt.Sprintf(prelude, strings.Join(names, ", ")) + bodies.String()
		}
		if len(programs) == 0 {
			t.Fatalf("%s has no snippets", page)
		}
		for name, program := range programs {
			check(t, os.Mkdir(filepath.Join(place, name), 0o755))
			check(t, os.WriteFile(filepath.Join(place, name, "main.go"), []byte(program), 0o644))
			binary := filepath.Join(place, name, name)
			build := exec.Command(tool, "build", "-o", binary, "./"+name)
			build.Dir = place
			build.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
			if said, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s\n%s", page, err, said, program)
			}
			command := running.command(t)
			command.Path, command.Args = binary, []string{binary}
			command.Env = append(command.Env, "NEAP_SOCKET="+running.socket)
			late := time.AfterFunc(deadline, func() { _ = command.Process.Signal(syscall.SIGQUIT) })
			said, err := command.CombinedOutput()
			late.Stop()
			if err != nil {
				t.Fatalf("%s: %s: %v\n%s", page, name, err, said)
			}
		}
	}
}

func TestTheExampleBringsBackWhatCrashesAndLeavesNothing(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("skipped: %s: there is no go command", t.Name())
	}
	binary := filepath.Join(t.TempDir(), "supervise")
	if said, err := exec.Command(tool, "build", "-o", binary, "./examples/supervise").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	ctx := limited(t)

	said := must[[]byte](t)(exec.CommandContext(ctx, binary, "a=true", "b=sh -c 'exit 0'").CombinedOutput())
	if !strings.Contains(string(said), "a: exited") || !strings.Contains(string(said), "b: exited") {
		t.Fatalf("%s", said)
	}

	running := daemon(t, "")
	s := running.connect(t)
	events := must[<-chan neap.Event](t)(s.Events(ctx, neap.FromNow))
	command := exec.CommandContext(ctx, binary, "-socket", running.socket, "web=sleep 1000")
	var out strings.Builder
	command.Stdout, command.Stderr = &out, &out
	check(t, command.Start())
	next(t, events, kind("web", "process.running"))
	check(t, s.Signal(ctx, "web", "KILL"))
	next(t, events, kind("web", "process.backoff"))
	next(t, events, kind("web", "process.running"))
	check(t, command.Process.Signal(syscall.SIGTERM))
	next(t, events, kind("web", "process.deleted"))
	if err := command.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "web: backoff: killed by SIGKILL") || !strings.Contains(out.String(), "stopping") {
		t.Fatalf("%s", out.String())
	}
}
