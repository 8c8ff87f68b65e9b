package neap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// reader is what is particular about a kind of stream.
type reader[T any] struct {
	open func(made, cancel handle) (handle, error)
	// read takes an item.
	read func(told []byte) (T, error)
	// last is what is told when the stream is over, with an error or without; false: nothing.
	last func(err error) (T, bool)
}

// streamed is a stream of the library as a channel. It takes a goroutine and no thread: the runtime waits for its
// descriptor, beside all others.
func streamed[T any](ctx context.Context, s *Supervisor, what string, reader reader[T]) (<-chan T, error) {
	if ctx.Err() != nil {
		return nil, ended(what, ctx)
	}
	made, release, err := s.borrow(what)
	if err != nil {
		return nil, err
	}
	cancel, forget := cancellation(ctx, s.life)
	stream, err := reader.open(made, cancel)
	forget()
	var ready *os.File
	if err == nil {
		if ready, err = libStreamFile(stream); err != nil {
			libStreamClose(stream)
		}
	}
	if err != nil {
		release()
		if s.life.Err() != nil {
			return nil, closed(what)
		}
		return nil, late(err, what, ctx)
	}
	items := make(chan T)
	go func() {
		// In this order: whoever saw the channel closed finds nothing of it left.
		defer close(items)
		defer release()
		defer libStreamClose(stream)
		defer ready.Close()
		// A moment long past ends the wait, and those to come.
		defer onEnd(func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) }, ctx, s.life)()
		for pass(ctx, s, stream, ready, reader, items) {
		}
	}()
	return items, nil
}

// pass hands over one item, and says whether there may be more.
func pass[T any](ctx context.Context, s *Supervisor, stream handle, ready *os.File, reader reader[T], items chan<- T) bool {
	told, err := next(stream, ready)
	if ctx.Err() != nil || s.life.Err() != nil {
		return false
	}
	var item T
	more := err == nil && len(told) > 0
	if more {
		if item, err = reader.read(told); err != nil {
			err = &Error{Code: CodeInternal, Message: fmt.Sprintf("what a stream tells cannot be read: %v", err)}
			more = false
		}
	}
	if !more {
		var say bool
		if item, say = reader.last(err); !say {
			return false
		}
	}
	select {
	case items <- item:
		return more
	case <-ctx.Done():
	case <-s.life.Done():
	}
	return false
}

// next waits for an item. It is empty when there will be none any more.
func next(stream handle, ready *os.File) (told []byte, err error) {
	var descriptor syscall.RawConn
	if descriptor, err = ready.SyscallConn(); err != nil {
		return nil, &Error{Code: CodeInternal, Message: "the descriptor of a stream: " + err.Error(), cause: err}
	}
	var code Code
	// False has the runtime wait until the descriptor is readable again.
	waited := descriptor.Read(func(uintptr) bool {
		code, told = libStreamNext(stream)
		return code != CodeTimeout
	})
	switch {
	case waited != nil && !errors.Is(waited, os.ErrDeadlineExceeded):
		return nil, &Error{Code: CodeInternal, Message: "waiting for a stream: " + waited.Error(), cause: waited}
	case waited != nil:
		return nil, nil
	case code != 0:
		return nil, errorOf(code, told)
	}
	return told, nil
}
