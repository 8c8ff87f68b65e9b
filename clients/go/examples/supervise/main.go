// Supervise runs commands until they have all ended for good, or until it is told to stop:
//
//	supervise cache='redis-server --port 6390' web='nginx -e stderr -g "daemon off;"'
//
// It is the whole supervisor: there is no other program. What crashes is brought back; whatever happens is a line; Ctrl-C
// stops everything, and nothing is left behind. With -socket the commands run in that instance instead (`neap daemon`).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"neap"
)

func main() {
	log.SetFlags(0)
	socket := flag.String("socket", "", "the socket of a running instance; without it, they run in this program")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *socket, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, socket string, commands []string) (failure error) {
	supervisor, err := open(ctx, socket)
	if err != nil {
		return err
	}
	defer func() {
		if err := supervisor.Close(); failure == nil {
			failure = err
		}
	}()
	events, err := supervisor.Events(ctx, neap.FromNow)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, command := range commands {
		name, line, _ := strings.Cut(command, "=")
		spec := neap.Spec{
			Name:    name,
			Shell:   "exec " + line,
			Restart: &neap.Restart{Policy: neap.OnFailure, Delay: neap.For(100 * time.Millisecond)},
			Stop:    &neap.Stop{Timeout: "10s"},
		}
		if _, err := supervisor.CreateWithAutoStart(ctx, spec); err != nil {
			return err
		}
		live[name] = true
		// In an instance it would outlive this program. Close sees to one of our own.
		defer supervisor.StopAndDelete(context.Background(), name)
	}
	for len(live) > 0 {
		event, more := <-events
		switch {
		case !more:
			fmt.Println("stopping")
			return nil
		case event.Kind == neap.KindEnded:
			return event.Err
		case !live[event.Process]:
			continue
		}
		fmt.Printf("%s %s: %s\n", event.Time.Format(time.TimeOnly), event.Process, event.Text)
		switch neap.State(event.To) {
		case neap.Exited, neap.Failed, neap.Crashed, neap.Stopped:
			delete(live, event.Process)
		}
	}
	return nil
}

func open(ctx context.Context, socket string) (*neap.Supervisor, error) {
	if socket == "" {
		return neap.New()
	}
	return neap.Connect(ctx, socket)
}
