package neap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Supervisor is one of this program's own ([New]), or a running instance ([Connect]). Any number of goroutines may use
// it. Each call that waits takes a thread of the operating system for as long; streams of events and lines take none.
type Supervisor struct {
	own bool
	// Ends what waits when it is closed.
	life context.Context
	end  context.CancelFunc
	// Held for reading by everything that uses the handle; nil when there is none any more.
	use    sync.RWMutex
	handle handle
	// Closes it once, and keeps those who come later until that is done.
	closing sync.Once
	failure error
}

// Option is something about a supervisor of one's own.
type Option func(map[string]any)

// WithOption gives [New] an option of the library by its name, as docs/c.md lists them.
func WithOption(name string, value any) Option {
	return func(options map[string]any) { options[name] = value }
}

// WithName names it: in status, and in what it says.
func WithName(name string) Option { return WithOption("name", name) }

// WithBaseDir is the folder that relative paths of specs are below; the current directory unless given.
func WithBaseDir(folder string) Option { return WithOption("base_dir", folder) }

// WithRuntimeDir is where runtime_directory makes its folders.
func WithRuntimeDir(folder string) Option { return WithOption("runtime_dir", folder) }

// WithLogDir has captured output written to files in this folder, too.
func WithLogDir(folder string) Option { return WithOption("log_dir", folder) }

// WithEnv is what processes inherit, in place of the environment that the program has when New is called.
func WithEnv(env map[string]string) Option { return WithOption("env", env) }

// WithShutdownTimeout is how long a shutdown may take before what is left is killed.
func WithShutdownTimeout(limit time.Duration) Option {
	return WithOption("shutdown_timeout", For(limit))
}

// New makes a supervisor inside this program, with a thread of its own. It installs no signal handler and reaps no
// child but those it started. Close it: what it supervises is then stopped, in order.
func New(options ...Option) (*Supervisor, error) {
	if versionError != nil {
		return nil, versionError
	}
	given := map[string]any{}
	for _, option := range options {
		option(given)
	}
	told, err := json.Marshal(given)
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Message: fmt.Sprintf("options: %v", err)}
	}
	made, err := libNew(string(told))
	if err != nil {
		return nil, err
	}
	return supervisor(made, true), nil
}

// Connect goes to a running instance: at the path of its socket, `unix:PATH` or `tcp:HOST:PORT`; at NEAP_SOCKET's, or
// the user's own, else the system's, when the address is empty. What runs there goes on when the Supervisor is closed.
// An instance that takes more than 30 seconds to let somebody in, or to answer what needs no waiting, is [ErrTimeout].
func Connect(ctx context.Context, address string) (*Supervisor, error) {
	if versionError != nil {
		return nil, versionError
	}
	const what = "connecting"
	if ctx.Err() != nil {
		return nil, ended(what, ctx)
	}
	var given *string
	if address != "" {
		given = &address
	}
	cancel, forget := cancellation(ctx)
	made, err := libConnect(given, patience.Milliseconds(), cancel)
	forget()
	if err != nil {
		return nil, late(err, what, ctx)
	}
	return supervisor(made, false), nil
}

// patience is how long an instance may take to let somebody in, and to answer what needs no waiting.
const patience = 30 * time.Second

func supervisor(made handle, own bool) *Supervisor {
	s := &Supervisor{own: own, handle: made}
	s.life, s.end = context.WithCancel(context.Background())
	// Only a net below: who forgets to close one keeps its processes until the collector comes by.
	runtime.SetFinalizer(s, func(s *Supervisor) { go s.Close() })
	return s
}

// Close ends all calls and streams of events that wait ([ErrClosed]), then lets go of the instance; a supervisor of
// this program's own first stops its processes, in order, and Close waits until nothing of them is left. Any number of
// goroutines may close it; all wait until it is done, and get the same error.
func (s *Supervisor) Close() error {
	s.closing.Do(func() {
		runtime.SetFinalizer(s, nil)
		s.end()
		if !s.own {
			// Also ends what cannot be cancelled; the number means nothing then.
			libFree(s.handle)
		}
		// Those that use it leave now, and nobody comes in any more.
		s.use.Lock()
		made := s.handle
		s.handle = 0
		s.use.Unlock()
		if !s.own {
			return
		}
		// One that was shut down before is gone, which is as well.
		if code, told := libCall(shutdown, made, nil, nil, false, 0); code != 0 && code != CodeUnreachable {
			s.failure = errorOf(code, told)
		}
		libFree(made)
	})
	return s.failure
}

// borrow lets its caller use the handle until it calls the function.
func (s *Supervisor) borrow(what string) (handle, func(), error) {
	if s == nil {
		return 0, nil, closed(what)
	}
	s.use.RLock()
	if s.life.Err() != nil || s.handle == 0 {
		s.use.RUnlock()
		return 0, nil, closed(what)
	}
	return s.handle, s.use.RUnlock, nil
}

// cancellation ends a wait of the library when one of the contexts ends. The function frees it, and leaves no goroutine
// behind.
func cancellation(contexts ...context.Context) (handle, func()) {
	cancel := libCancelNew()
	forget := onEnd(func() { libCancel(cancel) }, contexts...)
	return cancel, func() {
		forget()
		libCancelFree(cancel)
	}
}

// onEnd calls a function when one of the contexts ends, and again when another does. What it returns ends that: the
// function neither runs nor is called any more once it has returned.
func onEnd(hook func(), contexts ...context.Context) func() {
	var pending sync.WaitGroup
	pending.Add(len(contexts))
	stops := make([]func() bool, len(contexts))
	for number, ctx := range contexts {
		stops[number] = context.AfterFunc(ctx, func() {
			defer pending.Done()
			hook()
		})
	}
	return func() {
		for _, stop := range stops {
			if stop() {
				pending.Done()
			}
		}
		pending.Wait()
	}
}

// late is the error of a call of the library: the context's, when that has ended it.
func late(err error, what string, ctx context.Context) error {
	var own *Error
	if errors.As(err, &own) && own.Code == CodeCanceled && ctx.Err() != nil {
		return ended(what, ctx)
	}
	return err
}

// request is a call of the library.
type request struct {
	verb verb
	// What it is called in errors.
	what  string
	name  *string
	given *string
	flag  bool
}

// do makes a call and reads its answer, if somebody wants that.
func (s *Supervisor) do(ctx context.Context, request request, answer any) error {
	if ctx.Err() != nil {
		return ended(request.what, ctx)
	}
	if err := whole(request.what, request.name, request.given); err != nil {
		return err
	}
	made, release, err := s.borrow(request.what)
	if err != nil {
		return err
	}
	defer release()
	cancel, forget := cancellation(ctx, s.life)
	code, told := libCall(request.verb, made, request.name, request.given, request.flag, cancel)
	forget()
	switch {
	case code == 0:
	case code == CodeCanceled && ctx.Err() != nil:
		return ended(request.what, ctx)
	case s.life.Err() != nil && (code == CodeCanceled || code == CodeClosed):
		return closed(request.what)
	default:
		return errorOf(code, told)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(told, answer); err != nil {
		return &Error{Code: CodeInternal, Message: fmt.Sprintf("%s: the answer cannot be read: %v", request.what, err)}
	}
	return nil
}

// jsonOf is what a caller gives as JSON.
func jsonOf(what string, given any) (*string, error) {
	data, err := json.Marshal(given)
	if err != nil {
		var own *Error
		if errors.As(err, &own) {
			return nil, own
		}
		return nil, &Error{Code: CodeInvalid, Message: fmt.Sprintf("%s: %v", what, err)}
	}
	text := string(data)
	return &text, nil
}
