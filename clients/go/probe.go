package neap

import "encoding/json"

// Probe asks a process how it is: what makes it ready, or whether it is well. [HTTP], [TCP], [Exec], [LogLine],
// [OnNotify] and [OnHealthy] make one.
type Probe struct {
	// Kind is http, tcp, exec or logline; for Spec.Ready also notify, health or executed.
	Kind string

	URL            string
	Method         string
	ExpectedStatus []string
	Headers        []Header
	Body           string
	Host           string
	Port           int
	Command        []string
	Pattern        string

	Interval Duration
	Timeout  Duration
	// These are for Spec.Health alone.
	Retries      *int
	Successes    *int
	StartPeriod  Duration
	RestartAfter *int

	// Fn is the number of a function of the instance's configuration; only told.
	Fn *uint64
}

// Header is one of an HTTP probe's request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// HTTP asks this URL; `unix:/path/to.sock:/path` is one, too.
func HTTP(url string) *Probe { return &Probe{Kind: "http", URL: url} }

// TCP connects to this port of 127.0.0.1; Host names another.
func TCP(port int) *Probe { return &Probe{Kind: "tcp", Port: port} }

// Exec runs a command, which must exit with 0.
func Exec(command ...string) *Probe { return &Probe{Kind: "exec", Command: command} }

// LogLine waits for a line of its output that this regular expression matches; for Spec.Ready.
func LogLine(pattern string) *Probe { return &Probe{Kind: "logline", Pattern: pattern} }

// OnNotify waits for READY=1 on its notify socket; for Spec.Ready.
func OnNotify() *Probe { return &Probe{Kind: "notify"} }

// OnHealthy waits until Spec.Health says that it is well; for Spec.Ready.
func OnHealthy() *Probe { return &Probe{Kind: "health"} }

// flat is a probe in the keys of the configuration.
type flat struct {
	Type           string      `json:"type"`
	URL            string      `json:"url,omitempty"`
	Method         string      `json:"method,omitempty"`
	ExpectedStatus []string    `json:"expected_status,omitempty"`
	Headers        [][2]string `json:"headers,omitempty"`
	Body           string      `json:"body,omitempty"`
	Host           string      `json:"host,omitempty"`
	Port           int         `json:"port,omitempty"`
	Command        []string    `json:"command,omitempty"`
	Pattern        string      `json:"pattern,omitempty"`
	Fn             *uint64     `json:"fn,omitempty"`
	pace
}

type pace struct {
	Interval     Duration `json:"interval,omitempty"`
	Timeout      Duration `json:"timeout,omitempty"`
	Retries      *int     `json:"retries,omitempty"`
	Successes    *int     `json:"successes,omitempty"`
	StartPeriod  Duration `json:"start_period,omitempty"`
	RestartAfter *int     `json:"restart_after,omitempty"`
}

// MarshalJSON writes it in the keys of the configuration.
func (p Probe) MarshalJSON() ([]byte, error) {
	switch p.Kind {
	case "notify", "health", "executed":
		return json.Marshal(p.Kind)
	}
	var headers [][2]string
	for _, header := range p.Headers {
		headers = append(headers, [2]string{header.Name, header.Value})
	}
	pace := pace{p.Interval, p.Timeout, p.Retries, p.Successes, p.StartPeriod, p.RestartAfter}
	return json.Marshal(flat{
		p.Kind, p.URL, p.Method, p.ExpectedStatus, headers, p.Body, p.Host, p.Port, p.Command, p.Pattern, p.Fn, pace,
	})
}

// UnmarshalJSON reads a word, the keys of the configuration, or what the instance tells.
func (p *Probe) UnmarshalJSON(data []byte) error {
	if isText(data) {
		return json.Unmarshal(data, &p.Kind)
	}
	told := struct {
		pace
		On    string `json:"on"`
		Probe *struct {
			HTTP *struct {
				URL            string   `json:"url"`
				Method         string   `json:"method"`
				ExpectedStatus []string `json:"expected_status"`
				Headers        []Header `json:"headers"`
				Body           string   `json:"body"`
			} `json:"http"`
			TCP *struct {
				Host string `json:"host"`
				Port int    `json:"port"`
			} `json:"tcp"`
			Exec *struct {
				Command []string `json:"command"`
			} `json:"exec"`
			Fn *uint64 `json:"fn"`
		} `json:"probe"`
		Pattern string `json:"pattern"`
	}{}
	if err := json.Unmarshal(data, &told); err != nil {
		return err
	}
	if told.On == "" && told.Probe == nil {
		return p.readFlat(data)
	}
	*p = Probe{
		Kind: told.On, Pattern: told.Pattern, Interval: told.Interval, Timeout: told.Timeout, Retries: told.Retries,
		Successes: told.Successes, StartPeriod: told.StartPeriod, RestartAfter: told.RestartAfter,
	}
	if probe := told.Probe; probe != nil {
		switch {
		case probe.HTTP != nil:
			p.Kind, p.URL, p.Method, p.Body = "http", probe.HTTP.URL, probe.HTTP.Method, probe.HTTP.Body
			p.ExpectedStatus, p.Headers = probe.HTTP.ExpectedStatus, probe.HTTP.Headers
		case probe.TCP != nil:
			p.Kind, p.Host, p.Port = "tcp", probe.TCP.Host, probe.TCP.Port
		case probe.Exec != nil:
			p.Kind, p.Command = "exec", probe.Exec.Command
		case probe.Fn != nil:
			p.Kind, p.Fn = "check", probe.Fn
		}
	}
	return nil
}

func (p *Probe) readFlat(data []byte) error {
	var told flat
	if err := json.Unmarshal(data, &told); err != nil {
		return err
	}
	*p = Probe{
		Kind: told.Type, URL: told.URL, Method: told.Method, ExpectedStatus: told.ExpectedStatus, Body: told.Body,
		Host: told.Host, Port: told.Port, Command: told.Command, Pattern: told.Pattern, Fn: told.Fn,
		Interval: told.Interval, Timeout: told.Timeout, Retries: told.Retries, Successes: told.Successes,
		StartPeriod: told.StartPeriod, RestartAfter: told.RestartAfter,
	}
	for _, header := range told.Headers {
		p.Headers = append(p.Headers, Header{header[0], header[1]})
	}
	return nil
}
