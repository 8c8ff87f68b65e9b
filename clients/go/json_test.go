package neap

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// keysOf are the names that a struct has in JSON.
func keysOf(kind reflect.Type) map[string]bool {
	keys := map[string]bool{}
	for index := 0; index < kind.NumField(); index++ {
		field := kind.Field(index)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			for key := range keysOf(field.Type) {
				keys[key] = true
			}
		case name != "" && name != "-":
			keys[name] = true
		}
	}
	return keys
}

func page(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryKeyOfAConfigurationHasItsField(t *testing.T) {
	text := page(t, "../../docs/keys.md")
	probe := keysOf(reflect.TypeOf(flat{}))
	tables := map[string]map[string]bool{
		"Spec": keysOf(reflect.TypeOf(Spec{})), "Restart": keysOf(reflect.TypeOf(Restart{})),
		"StartLimit": keysOf(reflect.TypeOf(StartLimit{})), "Stop": keysOf(reflect.TypeOf(Stop{})),
		"StopStep": keysOf(reflect.TypeOf(StopStep{})), "Reload": keysOf(reflect.TypeOf(Reload{})),
		"Hooks": keysOf(reflect.TypeOf(Hooks{})), "HookTable": keysOf(reflect.TypeOf(Hook{})),
		"Conditions": keysOf(reflect.TypeOf(Conditions{})), "Limits": keysOf(reflect.TypeOf(Limits{})),
		"Log": keysOf(reflect.TypeOf(Log{})), "Listen": keysOf(reflect.TypeOf(Listen{})),
		"Directory": keysOf(reflect.TypeOf(Directory{})), "Http": probe, "Tcp": probe, "Exec": probe, "LogLine": probe,
	}
	// What Command has in one list.
	tables["Spec"]["args"] = true
	key := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|.*$")
	for name, known := range tables {
		_, table, found := strings.Cut(text, "\n## neap."+name+"\n")
		if !found {
			t.Fatalf("docs/keys.md has no neap.%s", name)
		}
		table, _, _ = strings.Cut(table, "\n## ")
		rows := key.FindAllStringSubmatch(table, -1)
		if len(rows) == 0 {
			t.Fatalf("neap.%s has no keys", name)
		}
		for _, row := range rows {
			if !known[row[1]] && !strings.Contains(row[0], "*Later: ") {
				t.Errorf("neap.%s: %s has no field", name, row[1])
			}
		}
	}
}

func TestEveryFieldOfAnAnswerHasItsField(t *testing.T) {
	text := page(t, "../../proto/neap/v1/neap.proto")
	answers := map[string]any{
		"Process": Process{}, "Hold": Hold{}, "ProcessDetail": Detail{}, "ListenerStatus": Listener{}, "LimitStatus": LimitStatus{},
		"UpdateResponse": Updated{}, "Problem": Problem{}, "Event": Event{}, "GetStatusResponse": Status{}, "Promise": Promise{},
		"Lag": Event{}, "LogLine": LogEntry{}, "LogsRequest": LogOptions{}, "LogLag": LogEntry{}, "Change": Change{}, "FieldChange": FieldChange{}, "Outcome": Outcome{}, "Usage": Usage{}, "Spec": Spec{},
	}
	// Counts that States has, figures that need an interval to be measured over, and what a struct has in other words.
	left := map[string]bool{
		"GetStatusResponse.running_processes": true, "GetStatusResponse.stopped_processes": true,
		"GetStatusResponse.failed_processes": true, "Usage.cpu": true, "Usage.io_read_rate": true, "Usage.io_written_rate": true,
		"LogsRequest.names": true, "Outcome.error": true, "Outcome.took": true, "Spec.runtime_directories": true,
	}
	field := regexp.MustCompile(`(?m)^  (?:optional |repeated )?[\w.<>, ]+ (\w+) = \d+;`)
	for name, answer := range answers {
		_, message, found := strings.Cut(text, "\nmessage "+name+" {\n")
		if !found {
			t.Fatalf("there is no message %s", name)
		}
		message, _, _ = strings.Cut(message, "\n}\n")
		known := keysOf(reflect.TypeOf(answer))
		for _, row := range field.FindAllStringSubmatch(message, -1) {
			if !known[row[1]] && !left[name+"."+row[1]] {
				t.Errorf("%s.%s has no field", name, row[1])
			}
		}
	}
}

func TestQuantitiesAreReadFromTextAndNumbers(t *testing.T) {
	var told struct {
		Wait, Ever, Text, None Duration
		Bytes                  Size
		Cores                  CPU
	}
	const said = `{"wait": 1500, "ever": -1, "text": "1h30m", "none": null, "bytes": 536870912, "cores": 0.25}`
	if err := json.Unmarshal([]byte(said), &told); err != nil {
		t.Fatal(err)
	}
	if told.Wait != "1500ms" || told.Ever != Forever || told.Text != "1h30m" || told.None != "" || told.Bytes != "536870912" || told.Cores != "250m" {
		t.Fatalf("%+v", told)
	}
	if For(90*time.Second) != "90000ms" || For(1500*time.Microsecond) != "1500000ns" || For(0) != "0ms" || Bytes(3) != "3" || Cores(1.5) != "1500m" {
		t.Fatal(For(90*time.Second), For(1500*time.Microsecond), For(0), Bytes(3), Cores(1.5))
	}
	if json.Unmarshal([]byte(`{"wait": {}}`), &told) == nil {
		t.Fatal("that is no duration")
	}
}

func TestOnlyWhatIsGivenIsWritten(t *testing.T) {
	ready := HTTP("http://127.0.0.1:1/")
	ready.Headers = []Header{{"a", "b"}}
	for want, spec := range map[string]Spec{
		`{}`: {},
		`{"command":["true"],"auto_start":false,"groups":[]}`: {Command: []string{"true"}, AutoStart: Value(false), Groups: &Names{}},
		`{"ready":"notify"}`: {Ready: OnNotify()},
		`{"ready":{"type":"http","url":"http://127.0.0.1:1/","headers":[["a","b"]]}}`: {Ready: ready},
		`{"rlimits":{"core":{"hard":"infinity","soft":0}}}`:                           {Rlimits: map[string]Rlimit{"core": {Soft: Value[uint64](0)}}},
		`{"health":null,"name":"a"}`:                                                  {Name: "a", Health: TCP(1), Extra: map[string]any{"health": nil}},
	} {
		got, err := json.Marshal(spec)
		if err != nil || string(got) != want {
			t.Errorf("%s %v, not %s", got, err, want)
		}
	}
}

func TestAnErrorWithoutWordsSaysWhatIsKnown(t *testing.T) {
	if told := errorOf(CodeInternal, nil); !strings.Contains(told.Error(), "code 11") {
		t.Fatal(told)
	}
	if told := errorOf(CodeFailed, []byte("plain words")); told.Message != "plain words" {
		t.Fatal(told)
	}
	said := fmt.Sprintf(`{"code": %d, "message": "m", "file": null, "line": null, "field": "f", "process": "p"}`, CodeRefused)
	if told := errorOf(CodeRefused, []byte(said)); told.Message != "m" || told.Field != "f" || told.Process != "p" || told.Line != 0 {
		t.Fatalf("%+v", told)
	}
}
