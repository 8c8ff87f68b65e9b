package neap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says what kind of error it is: the exit codes of the `neap` command, and what only a library can meet.
type Code int

// The codes of errors.
const (
	CodeFailed      Code = 1  // it was tried, and failed
	CodeInvalid     Code = 2  // a wrong argument, a wrong spec
	CodeNotFound    Code = 3  // there is no such process
	CodeRefused     Code = 4  // refused in this state
	CodeUnreachable Code = 5  // the instance cannot be reached, or is going away
	CodePermission  Code = 6  // this user may not
	CodeTimeout     Code = 7  // the time is up
	CodeCanceled    Code = 8  // the context ended
	CodeClosed      Code = 9  // the Supervisor was closed
	CodeWrongThread Code = 10 // a call from within a callback of the library
	CodeInternal    Code = 11 // a defect of the library
)

// What errors are, for [errors.Is].
var (
	// ErrFailed: it was tried, and failed. A start that failed is one.
	ErrFailed = errors.New("failed")
	// ErrInvalid: an argument or a spec is wrong; [Error.Problems] says where.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: there is no such process.
	ErrNotFound = errors.New("no such process")
	// ErrRefused: the state does not allow it.
	ErrRefused = errors.New("refused")
	// ErrExists: the name is taken. Such an error is ErrRefused, too.
	ErrExists = errors.New("exists")
	// ErrUnreachable: the instance cannot be reached, or is going away.
	ErrUnreachable = errors.New("unreachable")
	// ErrPermission: this user may not.
	ErrPermission = errors.New("not permitted")
	// ErrTimeout: the time is up; what was begun goes on. A context whose deadline has passed is one, and
	// [context.DeadlineExceeded], too.
	ErrTimeout = errors.New("timed out")
	// ErrClosed: the Supervisor was closed, before the call or during it.
	ErrClosed = errors.New("closed")
	// ErrVersion: the library that was loaded is not the one that this program was built with.
	ErrVersion = errors.New("another version of libneap")
)

// Error is what went wrong with a call.
type Error struct {
	// Code is its kind; [errors.Is] with the Err variables asks for it, too.
	Code Code
	// Message says what, where, why, and what to do next.
	Message string
	// Process is the process that it is about.
	Process string
	// File and Line are where a configuration is wrong.
	File string
	Line int
	// Field is the path of the key that is wrong: `restart.limit.burst`.
	Field string
	// Detail is the word of the service for it: not_found, exists, invalid, state, skipped, start_failed, superseded,
	// stuck, failed, shutting_down, ended, not_permitted, timed_out, refused, unimplemented.
	Detail string
	// State is the state that refuses.
	State State
	// RetryIn is when a failed start is tried again by itself, if it is.
	RetryIn time.Duration
	// PIDs are processes that survived SIGKILL.
	PIDs []int
	// Problems are all that is wrong with a spec or a configuration.
	Problems []Problem

	cause error
}

// Problem is one thing that is wrong, or odd, with a spec or a configuration.
type Problem struct {
	Warning bool   `json:"warning"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Process string `json:"process"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// String is the problem as the command line says it.
func (p Problem) String() string {
	var text strings.Builder
	if p.File != "" {
		fmt.Fprintf(&text, "%s:%d: ", p.File, p.Line)
	}
	if p.Process != "" {
		fmt.Fprintf(&text, "process `%s`: ", p.Process)
	}
	if p.Field != "" {
		fmt.Fprintf(&text, "%s: ", p.Field)
	}
	return text.String() + p.Message
}

func (e *Error) Error() string { return "neap: " + e.Message }

// Unwrap gives the context's error when a context ended the call.
func (e *Error) Unwrap() error { return e.cause }

// Timeout says whether the time was up, as errors of the net package do.
func (e *Error) Timeout() bool { return e.Code == CodeTimeout }

// Is says whether it is what one of the Err variables stands for.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrFailed:
		return e.Code == CodeFailed
	case ErrInvalid:
		return e.Code == CodeInvalid
	case ErrNotFound:
		return e.Code == CodeNotFound
	case ErrRefused:
		return e.Code == CodeRefused
	case ErrExists:
		return e.Detail == "exists"
	case ErrUnreachable:
		return e.Code == CodeUnreachable
	case ErrPermission:
		return e.Code == CodePermission
	case ErrTimeout:
		return e.Code == CodeTimeout
	case ErrClosed:
		return e.Code == CodeClosed
	}
	return false
}

// errorOf makes the error of a code and of what the library said about it.
func errorOf(code Code, told []byte) *Error {
	said := struct {
		Message  string    `json:"message"`
		File     string    `json:"file"`
		Line     int       `json:"line"`
		Field    string    `json:"field"`
		Process  string    `json:"process"`
		Detail   string    `json:"detail"`
		State    State     `json:"state"`
		RetryIn  int64     `json:"retry_in"`
		PIDs     []int     `json:"pids"`
		Problems []Problem `json:"problems"`
	}{}
	if len(told) == 0 || json.Unmarshal(told, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(told))
	}
	if said.Message == "" {
		said.Message = fmt.Sprintf("the library gave code %d without a word", code)
	}
	return &Error{
		Code: code, Message: said.Message, File: said.File, Line: said.Line, Field: said.Field, Process: said.Process,
		Detail: said.Detail, State: said.State, RetryIn: time.Duration(said.RetryIn) * time.Millisecond,
		PIDs: said.PIDs, Problems: said.Problems,
	}
}

// ended is the error of a call that its context ended.
func ended(what string, ctx context.Context) *Error {
	cause := ctx.Err()
	code, how := CodeCanceled, "was given up"
	if errors.Is(cause, context.DeadlineExceeded) {
		code, how = CodeTimeout, "took longer than its context allows"
	}
	if told := context.Cause(ctx); told != nil && told != cause {
		cause = fmt.Errorf("%w: %w", cause, told)
	}
	return &Error{Code: code, Message: fmt.Sprintf("%s %s; what was asked for goes on: %v", what, how, cause), cause: cause}
}

// closed is the error of a call to what was closed.
func closed(what string) *Error {
	return &Error{Code: CodeClosed, Message: what + ": the Supervisor is closed"}
}
