package neap

/*
#cgo !neap_static LDFLAGS: -lneap
#cgo neap_static LDFLAGS: -l:libneap.a -lpthread -ldl -lm -lgcc_s
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "neap.h"

// A handle is a number in a pointer's clothes. Here it is a number, so that Go's collector never takes it for an address.
typedef uintptr_t go_handle;

// What the last call of this thread said, as a copy. Called before Go may move to another thread.
static char *go_said(int32_t *code) {
	*code = neap_last_error_code();
	const char *said = neap_last_error();
	return said ? strdup(said) : NULL;
}

static go_handle go_new(const char *options, int32_t *code, char **said) {
	neap_t *made = neap_new(options);
	if (!made) *said = go_said(code);
	return (go_handle)made;
}

static go_handle go_connect(const char *address, int64_t timeout, go_handle cancel, int32_t *code, char **said) {
	neap_t *made = neap_connect(address, timeout, (neap_cancel_t *)cancel);
	if (!made) *said = go_said(code);
	return (go_handle)made;
}

static go_handle go_logs_open(go_handle neap, const char *request, go_handle cancel, int32_t *code, char **said) {
	neap_stream_t *made = neap_logs_open((neap_t *)neap, request, (neap_cancel_t *)cancel);
	if (!made) *said = go_said(code);
	return (go_handle)made;
}

static go_handle go_events_open(go_handle neap, uint64_t from, go_handle cancel, int32_t *code, char **said) {
	neap_stream_t *made = neap_events_open((neap_t *)neap, from, (neap_cancel_t *)cancel);
	if (!made) *said = go_said(code);
	return (go_handle)made;
}

// What there is; it does not wait.
static int32_t go_stream_next(go_handle stream, char **out) {
	return neap_stream_next((neap_stream_t *)stream, 0, NULL, out);
}

// A descriptor of the caller's own.
static int go_stream_fd(go_handle stream) { return fcntl(neap_stream_fd((neap_stream_t *)stream), F_DUPFD_CLOEXEC, 3); }
static void go_stream_close(go_handle stream) { neap_stream_close((neap_stream_t *)stream); }
static go_handle go_cancel_new(void) { return (go_handle)neap_cancel_new(); }
static void go_cancel(go_handle cancel) { neap_cancel((neap_cancel_t *)cancel); }
static void go_cancel_free(go_handle cancel) { neap_cancel_free((neap_cancel_t *)cancel); }
static void go_free(go_handle neap) { neap_free((neap_t *)neap); }

// The calls, by number: each takes what it needs of a name, a text, a flag and a handle of cancellation.
enum { GO_CREATE, GO_START, GO_STOP, GO_RESTART, GO_DELETE, GO_WAIT, GO_LIST, GO_DESCRIBE, GO_UPDATE, GO_STATS,
	GO_STATUS, GO_CALL, GO_SHUTDOWN };

static int32_t go_call(int32_t verb, go_handle handle, const char *name, const char *text, int32_t flag,
		go_handle cancellation, char **out) {
	neap_t *neap = (neap_t *)handle;
	neap_cancel_t *cancel = (neap_cancel_t *)cancellation;
	switch (verb) {
	case GO_CREATE: return neap_create(neap, name, text, flag, cancel, out);
	case GO_START: return neap_start(neap, name, NEAP_FOREVER, cancel, out);
	case GO_STOP: return neap_stop(neap, name, NEAP_FOREVER, cancel, out);
	case GO_RESTART: return neap_restart(neap, name, NEAP_FOREVER, cancel, out);
	case GO_DELETE: return neap_delete(neap, name, flag, cancel, out);
	case GO_WAIT: return neap_wait(neap, name, text, NEAP_FOREVER, cancel, out);
	case GO_LIST: return neap_list(neap, cancel, out);
	case GO_DESCRIBE: return neap_describe(neap, name, cancel, out);
	case GO_UPDATE: return neap_update(neap, name, text, flag, cancel, out);
	case GO_STATS: return neap_stats(neap, name, cancel, out);
	case GO_STATUS: return neap_status(neap, cancel, out);
	case GO_CALL: return neap_call(neap, name, text, cancel, out);
	default: return neap_shutdown(neap, NEAP_FOREVER, cancel, out);
	}
}
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// This is the only file that knows of C.

type verb C.int32_t

const (
	create   verb = C.GO_CREATE
	start    verb = C.GO_START
	stop     verb = C.GO_STOP
	restart  verb = C.GO_RESTART
	remove   verb = C.GO_DELETE
	wait     verb = C.GO_WAIT
	list     verb = C.GO_LIST
	describe verb = C.GO_DESCRIBE
	update   verb = C.GO_UPDATE
	stats    verb = C.GO_STATS
	status   verb = C.GO_STATUS
	call     verb = C.GO_CALL
	shutdown verb = C.GO_SHUTDOWN
)

// handle is something that the library keeps: a supervisor, a stream of events, a way to cancel a call.
type handle = C.go_handle

// versionError is why the library cannot be used, if it cannot.
var versionError = func() error {
	if have := C.neap_abi_version(); have != C.NEAP_ABI_VERSION {
		return fmt.Errorf("%w: this program was built for its interface %d, and loaded %s, which has %d",
			ErrVersion, C.NEAP_ABI_VERSION, LibraryVersion(), have)
	}
	return nil
}()

// LibraryVersion is the version of libneap.
func LibraryVersion() string { return C.GoString(C.neap_version()) }

// text is a C text, or NULL for none; free it.
func text(s *string) *C.char {
	if s == nil {
		return nil
	}
	return C.CString(*s)
}

// whole refuses what C would take for the end of a text.
func whole(what string, texts ...*string) error {
	for _, text := range texts {
		if text != nil && strings.IndexByte(*text, 0) >= 0 {
			return &Error{Code: CodeInvalid, Message: what + ": a text with a NUL byte is no text for it"}
		}
	}
	return nil
}

// taken is a text that the library gave; it is freed.
func taken(told *C.char) []byte {
	if told == nil {
		return nil
	}
	defer C.neap_string_free(told)
	return C.GoBytes(unsafe.Pointer(told), C.int(C.strlen(told)))
}

// refused is the error of a call that gives a handle.
func refused(code C.int32_t, said *C.char) error {
	defer C.free(unsafe.Pointer(said))
	return errorOf(Code(code), []byte(C.GoString(said)))
}

func libNew(options string) (handle, error) {
	given := C.CString(options)
	defer C.free(unsafe.Pointer(given))
	var code C.int32_t
	var said *C.char
	if made := C.go_new(given, &code, &said); made != 0 {
		return made, nil
	}
	return 0, refused(code, said)
}

func libConnect(address *string, timeout int64, cancel handle) (handle, error) {
	if err := whole("connect", address); err != nil {
		return 0, err
	}
	given := text(address)
	defer C.free(unsafe.Pointer(given))
	var code C.int32_t
	var said *C.char
	if made := C.go_connect(given, C.int64_t(timeout), cancel, &code, &said); made != 0 {
		return made, nil
	}
	return 0, refused(code, said)
}

func libFree(neap handle) { C.go_free(neap) }

func libEventsOpen(neap handle, after uint64, cancel handle) (handle, error) {
	// The library counts from the first that is wanted.
	if after != FromNow {
		after++
	}
	var code C.int32_t
	var said *C.char
	if made := C.go_events_open(neap, C.uint64_t(after), cancel, &code, &said); made != 0 {
		return made, nil
	}
	return 0, refused(code, said)
}

func libLogsOpen(neap handle, request string, cancel handle) (handle, error) {
	given := C.CString(request)
	defer C.free(unsafe.Pointer(given))
	var code C.int32_t
	var said *C.char
	if made := C.go_logs_open(neap, given, cancel, &code, &said); made != 0 {
		return made, nil
	}
	return 0, refused(code, said)
}

// libStreamNext is what there is in a stream: [CodeTimeout] when there is nothing yet.
func libStreamNext(stream handle) (Code, []byte) {
	var out *C.char
	code := C.go_stream_next(stream, &out)
	return Code(code), taken(out)
}

// libStreamFile is readable while there is something in a stream.
func libStreamFile(stream handle) (*os.File, error) {
	fd, err := C.go_stream_fd(stream)
	if fd < 0 {
		return nil, &Error{Code: CodeFailed, Message: fmt.Sprintf("a descriptor for a stream: %v", err), cause: err}
	}
	return os.NewFile(uintptr(fd), "neap-stream"), nil
}

func libStreamClose(stream handle) { C.go_stream_close(stream) }

func libCancelNew() handle        { return C.go_cancel_new() }
func libCancel(cancel handle)     { C.go_cancel(cancel) }
func libCancelFree(cancel handle) { C.go_cancel_free(cancel) }

func libCall(verb verb, neap handle, name, given *string, flag bool, cancel handle) (Code, []byte) {
	cname, ctext := text(name), text(given)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(ctext))
	var cflag C.int32_t
	if flag {
		cflag = 1
	}
	var out *C.char
	code := C.go_call(C.int32_t(verb), neap, cname, ctext, cflag, cancel, &out)
	return Code(code), taken(out)
}
