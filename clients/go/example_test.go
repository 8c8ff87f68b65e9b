package neap_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"neap"
)

func ExampleNew() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	supervisor, err := neap.New()
	if err != nil {
		log.Fatal(err)
	}
	defer supervisor.Close() // stops api, then db; nothing of them is left

	specs := []neap.Spec{
		{
			Name: "db", Shell: "echo listening; exec sleep 1000",
			Log: &neap.Log{Stdout: "capture"}, Ready: neap.LogLine("^listening"),
		},
		{Name: "api", Command: []string{"sleep", "1000"}, Requires: []string{"db"}},
	}
	for _, spec := range specs {
		if _, err := supervisor.Create(ctx, spec); err != nil {
			log.Fatal(err)
		}
	}
	started, err := supervisor.Start(ctx, "api") // both are ready, or the error says why not
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(started.Name, "is", started.State, "and so is", started.Along)
	// Output: api is running and so is [db]
}

func ExampleSupervisor_Events() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	supervisor, err := neap.New()
	if err != nil {
		log.Fatal(err)
	}
	defer supervisor.Close()
	events, err := supervisor.Events(ctx, neap.FromNow)
	if err != nil {
		log.Fatal(err)
	}
	job := neap.Spec{Name: "job", Shell: "exit 3", Type: neap.Oneshot}
	if _, err := supervisor.CreateWithAutoStart(ctx, job); err != nil {
		log.Fatal(err)
	}
	for event := range events {
		switch event.Kind {
		case neap.KindEnded:
			log.Fatal(event.Err)
		case neap.KindLag:
			log.Printf("%d events are missing", event.Lost)
		case "process.ended", "process.failed":
			fmt.Println(event.Kind, *event.ExitCode)
		}
		if event.Kind == "process.failed" {
			break
		}
	}
	// Output:
	// process.ended 3
	// process.failed 3
}

func ExampleError() {
	ctx := context.Background()
	supervisor, err := neap.New()
	if err != nil {
		log.Fatal(err)
	}
	defer supervisor.Close()

	_, err = supervisor.Start(ctx, "web")
	fmt.Println(errors.Is(err, neap.ErrNotFound))

	_, err = supervisor.Create(ctx, neap.Spec{Name: "web", Command: []string{"nginx"}, StartTimeout: "soon"})
	var wrong *neap.Error
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Process, wrong.Field, errors.Is(err, neap.ErrInvalid))
	}
	// Output:
	// true
	// web start_timeout true
}
