//! The functions that C calls, as the header has them: `cbindgen` makes it of this file.
//!
//! Each takes its arguments apart, hands on, and puts the answer where C wants it. No panic leaves it.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::calls::Asked;
use crate::events;
use crate::failure::{self, Failure};
use crate::handles::{Kind, Table, not_forked};
use crate::instance::Instance;
use crate::logs;
use crate::stream::{Next, Stream};
use crate::text;
use crate::threads::may_wait;
use crate::wait::{Patience, Token};

/// The ABI that this header describes. `neap_check_abi(NEAP_ABI_VERSION)` says whether the library that was loaded
/// has it.
pub const NEAP_ABI_VERSION: u32 = 1;

/// It was done.
pub const NEAP_OK: i32 = 0;
/// It was tried and failed: a program that cannot be executed, a process that did not become ready.
pub const NEAP_ERROR_FAILED: i32 = 1;
/// An argument is wrong: NULL, no UTF-8, no JSON, an unknown key, a value that makes no sense.
pub const NEAP_ERROR_ARGUMENT: i32 = 2;
/// There is no such process.
pub const NEAP_ERROR_NO_PROCESS: i32 = 3;
/// It is refused in this state: the name is taken, a condition does not hold, the process is configured.
pub const NEAP_ERROR_REFUSED: i32 = 4;
/// The instance cannot be reached, or is not there any more.
pub const NEAP_ERROR_UNREACHABLE: i32 = 5;
/// You may not.
pub const NEAP_ERROR_NOT_PERMITTED: i32 = 6;
/// It took longer than you allowed. What was begun goes on.
pub const NEAP_ERROR_TIMED_OUT: i32 = 7;
/// The wait was ended by neap_cancel. What was begun goes on.
pub const NEAP_ERROR_CANCELLED: i32 = 8;
/// The handle is NULL, was freed, is of another kind, or is no handle at all.
pub const NEAP_ERROR_BAD_HANDLE: i32 = 9;
/// It waits, and was called from inside a callback, which would wait for itself.
pub const NEAP_ERROR_WRONG_THREAD: i32 = 10;
/// A bug of the library. Please report it with the text.
pub const NEAP_ERROR_INTERNAL: i32 = 11;

/// A timeout that never comes.
#[expect(dead_code, reason = "any number below 0 is as good")]
pub const NEAP_FOREVER: i64 = -1;
/// For neap_events_open: only what happens from now on.
pub const NEAP_FROM_NOW: u64 = u64::MAX;

/// A supervisor: one of your own (neap_new), or a running instance (neap_connect). A number, never an address.
pub struct Neap;

/// A way to end a wait from another thread. A number, never an address.
pub struct Cancel;

/// A stream of events (neap_events_open), or of lines that processes print (neap_logs_open): of items, each a JSON object.
/// A number, never an address.
pub struct Items;

/// Gets an item as JSON text, and the pointer that was given to neap_stream_callback. The text is valid until the
/// function returns; NULL is the last call, after which nothing more comes. It runs on a thread of the library, one item
/// after another. It must not call what waits (NEAP_ERROR_WRONG_THREAD), and must not throw or jump out of itself.
pub type ItemFn = Option<unsafe extern "C" fn(item_json: *const c_char, user: *mut c_void)>;

static INSTANCES: Table<Instance> = Table::new(Kind::Neap);
static TOKENS: Table<Token> = Table::new(Kind::Cancel);
static STREAMS: Table<Arc<Stream>> = Table::new(Kind::Stream);

/// The version of the library's ABI. A program that was built with a header of this number, or a lower one, works with it.
/// Never fails; from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_abi_version() -> u32 {
    NEAP_ABI_VERSION
}

/// Whether the library that was loaded fits the header that a program was built with: call it first, as
/// `neap_check_abi(NEAP_ABI_VERSION)`. NEAP_ERROR_REFUSED when it does not. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_check_abi(version: u32) -> i32 {
    code(|| match version {
        1..=NEAP_ABI_VERSION => Ok(()),
        _ => {
            let text = format!("the library has ABI {NEAP_ABI_VERSION}, and the program was built for {version}");
            Err(Failure::new(NEAP_ERROR_REFUSED, text))
        }
    })
}

/// The version of the library, "0.1.0" say: for people. Never NULL, never freed; from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// What went wrong last on this thread, as a sentence; "" when nothing has. A call that succeeds leaves it as it is. Never
/// NULL; valid until the next call on this thread that fails; not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn neap_last_error() -> *const c_char {
    failure::last_text()
}

/// The code of what went wrong last on this thread; NEAP_OK when nothing has. For the functions that return a handle.
#[unsafe(no_mangle)]
pub extern "C" fn neap_last_error_code() -> i32 {
    failure::last_code()
}

/// Frees a text that a function put into its `out`. NULL is nothing. Anything else than such a text, or one twice, is
/// undefined, as with free(). From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_string_free(text: *mut c_char) {
    // SAFETY: the header asks for NULL or a text of ours that was not freed before.
    unsafe { text::free(text) }
}

/// Makes a supervisor inside this program, with threads of its own. Its processes are made by neap_create and end with it.
///
/// `options_json` is NULL or an object of these, each of which may be absent: `name` (part of the ids of processes),
/// `base_dir` (of relative paths; the current directory), `runtime_dir` (notify sockets and runtime directories; a private
/// one below /tmp), `log_dir` (files of captured output), `state_directories`, `cache_directories`, `logs_directories`,
/// `env` (what processes inherit instead of this program's environment), `shutdown_timeout` (seconds or "1m30s"; after
/// it every stop of a shutdown escalates to SIGKILL), `cgroups` (false: never use them).
///
/// Returns NULL on an error: see neap_last_error. Free it with neap_free. A program may have several.
/// The library handles no signal, and its threads block all that are sent; it reaps no child but its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_new(options_json: *const c_char) -> *mut Neap {
    handle(|| {
        may_wait("neap_new")?;
        not_forked()?;
        // SAFETY: the header asks for NULL or text that stays as it is during the call.
        let options = unsafe { text::perhaps(options_json, "options_json")? };
        INSTANCES.add(Instance::own(options)?)
    })
}

/// Connects to a running instance, which has answered once when this returns.
///
/// `address` is a path of a control socket, "unix:PATH" or "tcp:HOST:PORT"; NULL is the one of NEAP_SOCKET, else the user's
/// own instance, else the system's. TCP beyond this machine takes TLS: NEAP_TLS_CA, NEAP_TLS_CERT and NEAP_TLS_KEY.
/// `timeout_ms` is how long connecting may take, and later each answer that waits for nothing (list, status, …): above 0,
/// or NEAP_FOREVER. `cancel`: NULL, or what ends connecting (NEAP_ERROR_CANCELLED); it means nothing to what comes later.
///
/// Returns NULL on an error: see neap_last_error. Free it with neap_free, which stops nothing of the instance. A call that
/// finds the connection ended fails with NEAP_ERROR_UNREACHABLE; the next one connects anew. Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_connect(address: *const c_char, timeout_ms: i64, cancel: *mut Cancel) -> *mut Neap {
    handle(|| {
        may_wait("neap_connect")?;
        not_forked()?;
        // SAFETY: the header asks for NULL or text that stays as it is during the call.
        let address = unsafe { text::perhaps(address, "address")? };
        if timeout_ms == 0 {
            return Err(Failure::argument("timeout_ms", "is 0: give it time, 5000 say, or NEAP_FOREVER"));
        }
        let patience = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        INSTANCES.add(Instance::far(address, patience, token(cancel)?)?)
    })
}

/// Frees a supervisor or a connection. Calls that wait in it on other threads end with NEAP_ERROR_BAD_HANDLE first.
///
/// A supervisor of your own stops its processes in order, as their `stop` says, and this waits until nothing of them is
/// left; a shutdown that is under way already is hurried with SIGKILL. A connection ends, and the instance goes on.
/// Its streams are over when this returns, and stay to be read to their end and closed.
/// NEAP_ERROR_BAD_HANDLE for NULL and for what was freed before; NEAP_ERROR_WRONG_THREAD inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn neap_free(neap: *mut Neap) -> i32 {
    code(|| {
        may_wait("neap_free")?;
        INSTANCES.take(neap.addr())?.end();
        Ok(())
    })
}

/// Stops all processes in order and ends the supervisor: your own, or with a connection the instance, as `neap down` does.
/// The handle stays, to be freed; other calls answer NEAP_ERROR_UNREACHABLE from then on. A second one hurries: SIGKILL
/// to what is still being stopped.
///
/// `timeout_ms`: at most so long is waited; 0 only begins it; NEAP_FOREVER. When time is up the shutdown goes on.
/// `*out`: {"exit_code":…,"stuck":[…]}. Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_shutdown(
    neap: *mut Neap,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for `out` as `answer` wants it.
    unsafe { answer(out, || asked("neap_shutdown", neap, cancel)?.shutdown(timeout_ms)) }
}

/// Makes a process at run time and, when `auto_start` is not 0 or its spec says so, begins to start it; neap_wait waits
/// until it is up.
///
/// `spec_json` is an object with the keys of a process: {"command":["sleep","60"],"restart":"on-failure"}. Defaults are
/// those of `neap create`: no restarts, working directory /, output to where this program's (or the instance's) goes.
/// `*out`: {"process":{…},"warnings":[…]}. NEAP_ERROR_ARGUMENT when the spec is wrong (the error's `field` says which
/// key), NEAP_ERROR_REFUSED when the name is taken. Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_create(
    neap: *mut Neap,
    name: *const c_char,
    spec_json: *const c_char,
    auto_start: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_create", neap, cancel)?;
            asked.create(text::given(name, "name")?, text::given(spec_json, "spec_json")?, auto_start != 0)
        })
    }
}

/// Starts a process and what it requires and wants, and waits until it is ready; one that runs already is left alone. `name`
/// is a name, an id or a glob, here and below.
///
/// `timeout_ms`: at most so long is waited, then NEAP_ERROR_TIMED_OUT, and the start goes on; 0 only begins it;
/// NEAP_FOREVER. `cancel`: NULL, or what ends the wait likewise. `*out`: {"outcomes":[{"name":…,"state":…,"pid":…},…]}.
/// NEAP_ERROR_FAILED when it did not come up, NEAP_ERROR_NO_PROCESS, NEAP_ERROR_REFUSED when a condition does not hold.
/// Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_start(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_start", neap, cancel)?;
            asked.start(text::given(name, "name")?, timeout_ms)
        })
    }
}

/// Stops a process, and first what cannot be without it, and waits until nothing of them is left. One that does not run is
/// left alone. Arguments, answer and errors as for neap_start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stop(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_stop", neap, cancel)?;
            asked.stop(text::given(name, "name")?, timeout_ms)
        })
    }
}

/// Stops and starts a process, brings back what its stop took down, and waits until it is ready. As neap_start else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_restart(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_restart", neap, cancel)?;
            asked.restart(text::given(name, "name")?, timeout_ms)
        })
    }
}

/// Forgets a process that was made at run time. One that runs is refused (NEAP_ERROR_REFUSED), unless `force` is not 0: then
/// it is stopped first. One of a configuration is refused. `*out` as for neap_start. Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_delete(
    neap: *mut Neap,
    name: *const c_char,
    force: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_delete", neap, cancel)?;
            asked.delete(text::given(name, "name")?, force != 0)
        })
    }
}

/// Waits until a process is in a state: "running", or several with commas between ("exited,failed"). NULL: until it is up
/// (running, or done), and then NEAP_ERROR_FAILED when it failed instead.
///
/// `timeout_ms`: at most so long; 0 only looks, and says NEAP_ERROR_TIMED_OUT when it is in another; NEAP_FOREVER.
/// `*out` as for neap_start. Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_wait(
    neap: *mut Neap,
    name: *const c_char,
    state: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_wait", neap, cancel)?;
            asked.wait(text::given(name, "name")?, text::perhaps(state, "state")?, timeout_ms)
        })
    }
}

/// All processes by name. `*out`: the array that `neap list --json` prints. Waits for nothing but the answer; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_list(neap: *mut Neap, cancel: *mut Cancel, out: *mut *mut c_char) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_list", neap, cancel)?;
            asked.list()
        })
    }
}

/// A process with its spec. `*out`: the object that `neap describe NAME --json` prints; an array for a glob. Waits for nothing
/// but the answer; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_describe(
    neap: *mut Neap,
    name: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_describe", neap, cancel)?;
            asked.describe(text::given(name, "name")?)
        })
    }
}

/// Changes the spec of a process: what `spec_json` has is changed, null takes a key back to its default. What can be is in
/// force at once; the rest after a restart, which `restart` (not 0) does at once and waits for.
///
/// `*out`: what changed and what became of it, as `neap update --json` prints. Errors as for neap_create. Waits; from any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_update(
    neap: *mut Neap,
    name: *const c_char,
    spec_json: *const c_char,
    restart: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_update", neap, cancel)?;
            asked.update(text::given(name, "name")?, text::given(spec_json, "spec_json")?, restart != 0)
        })
    }
}

/// What a process uses, or all of them when `name` is NULL: cpu, memory, pids, bytes read and written. Measured over half a
/// second. `*out`: the array that `neap stats --json` prints. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stats(
    neap: *mut Neap,
    name: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_stats", neap, cancel)?;
            asked.stats(text::perhaps(name, "name")?)
        })
    }
}

/// The supervisor itself. `*out`: the object that `neap status --json` prints. Waits for nothing but the answer; from any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_status(neap: *mut Neap, cancel: *mut Cancel, out: *mut *mut c_char) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_status", neap, cancel)?;
            asked.status()
        })
    }
}

/// Any other call of the service neap.v1.Neap that is one question and one answer: "Why", "Graph", "Signal", "Reload",
/// "Apply", … `request_json` is its request as JSON, with the fields of the proto; NULL is an empty one. `*out`: its answer.
/// The outcomes of a call that acts on several processes have each their own `error`; the call itself succeeded then.
/// Waits; from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_call(
    neap: *mut Neap,
    method: *const c_char,
    request_json: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header asks for texts that are NULL or stay as they are during the call, and for `out` as `answer` wants it.
    unsafe {
        answer(out, || {
            let asked = asked("neap_call", neap, cancel)?;
            asked.call(text::given(method, "method")?, text::perhaps(request_json, "request_json")?)
        })
    }
}

/// A new way to end waits. NULL on an error. Free it with neap_cancel_free. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_cancel_new() -> *mut Cancel {
    handle(|| TOKENS.add(Token::default()))
}

/// Ends every wait that was given this, now and later: they return NEAP_ERROR_CANCELLED, and what they asked for goes on.
/// From any thread, callbacks too; not from a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn neap_cancel(cancel: *mut Cancel) -> i32 {
    code(|| {
        TOKENS.get(cancel.addr())?.cancel();
        Ok(())
    })
}

/// Frees it. Waits that have it go on, and cannot be ended by it any more. From any thread, callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn neap_cancel_free(cancel: *mut Cancel) -> i32 {
    code(|| TOKENS.take(cancel.addr()).map(drop))
}

/// Opens a stream of events, each the object that `neap events --json` prints: those from this sequence number on, as far
/// back as they are kept, and then what is to come. 0 or 1 is the first there ever was; NEAP_FROM_NOW leaves out what has
/// been. What happens once this has returned is in the stream. Where events are missing, because they are no longer kept
/// or the reader was too slow, there stands one of the kind "lag" with their number as `lost`.
///
/// NULL on an error: see neap_last_error. Close it with neap_stream_close. A stream of a connection that ended is over; open
/// another, from the last sequence number + 1. `cancel`: NULL, or what ends the opening. Waits for nothing but the answer;
/// from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_events_open(neap: *mut Neap, from_sequence: u64, cancel: *mut Cancel) -> *mut Items {
    handle(|| {
        may_wait("neap_events_open")?;
        let instance = INSTANCES.get(neap.addr())?;
        STREAMS.add(events::open(&instance, from_sequence, token(cancel)?)?)
    })
}

/// Opens a stream of what processes print, each line the object that `neap logs --json` prints. Only output that is captured
/// can be read: `"log": {"stdout": "capture"}` in the spec of what neap_create makes.
///
/// `request_json` is NULL or an object of these, each of which may be absent: `names` (of processes, ids or globs; all),
/// `tail` (so many of the newest lines of each; all that are kept), `follow` (true: go on with what is to come), `since` (a
/// time as "2026-11-23T14:05:00Z": only what was printed from then on), `run` (only what this run printed: 1 is the first, 0
/// the newest, -1 the one before), `cursors` (an object of names with the `cursor` of the last line that was read of each,
/// to go on from there).
///
/// What is no line has a `kind` and its words in `text`: "lag" where lines are missing (`lost`: how many, if that is known),
/// "note" for what cannot be known. Without `follow` the stream is over with the last line that there is; with it, what is
/// printed once this has returned is in the stream. Lines of different processes come in no particular order.
///
/// NULL on an error: see neap_last_error; NEAP_ERROR_NO_PROCESS when a name is nobody's. Else as for neap_events_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_logs_open(
    neap: *mut Neap,
    request_json: *const c_char,
    cancel: *mut Cancel,
) -> *mut Items {
    handle(|| {
        may_wait("neap_logs_open")?;
        let instance = INSTANCES.get(neap.addr())?;
        // SAFETY: the header asks for NULL or text that stays as it is during the call.
        let request = unsafe { text::perhaps(request_json, "request_json")? };
        STREAMS.add(logs::open(&instance, request, token(cancel)?)?)
    })
}

/// The next item of a stream. NEAP_OK with `*out` NULL: nothing more will come, because the supervisor has ended, its handle
/// was freed, or there was nothing else to be told. NEAP_ERROR_UNREACHABLE: the connection has ended.
///
/// `timeout_ms`: at most so long, then NEAP_ERROR_TIMED_OUT; 0 looks whether there is one; NEAP_FOREVER.
/// NEAP_ERROR_REFUSED when a callback takes them, at once also for who waits already. Waits; from any thread. Of several
/// threads each gets other items.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stream_next(
    stream: *mut Items,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let next = || {
        may_wait("neap_stream_next")?;
        let stream = STREAMS.get(stream.addr())?;
        match stream.next(&Patience::of(timeout_ms, token(cancel)?))? {
            Next::Item(item) => Ok(Some(item)),
            Next::Over => Ok(None),
        }
    };
    // SAFETY: the header asks for `out` as `answer` wants it.
    unsafe { answer(out, next) }
}

/// A descriptor for poll(2) and its like: readable while an item waits or the stream is over. Read items with
/// neap_stream_next and a timeout of 0 until it says NEAP_ERROR_TIMED_OUT; never read, write or close the descriptor itself.
/// Valid until neap_stream_close. -1 on an error. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_stream_fd(stream: *mut Items) -> i32 {
    guarded(|| Ok(STREAMS.get(stream.addr())?.descriptor())).unwrap_or(-1)
}

/// Has a thread of the library call this function for each item from here on, one after another, with `user` as it is
/// here. Its last call has NULL, once the stream is over (and none comes after neap_stream_close). One callback a stream:
/// a second is refused. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stream_callback(stream: *mut Items, callback: ItemFn, user: *mut c_void) -> i32 {
    code(|| {
        let stream = STREAMS.get(stream.addr())?;
        let Some(function) = callback else { return Err(Failure::argument("callback", "is NULL")) };
        let user = User(user);
        stream.call(Box::new(move |item: Option<&CString>| {
            let user = &user;
            let item = item.map_or(std::ptr::null(), |item| item.as_ptr());
            // SAFETY: the header asks for a function of this type that may be called, on another thread, with this pointer,
            // until the stream is over or closed; the text lives until it returns.
            unsafe { function(item, user.0) };
        }))
    })
}

/// Closes a stream. A neap_stream_next that waits on another thread ends with NEAP_ERROR_BAD_HANDLE; a callback that runs is
/// waited for, and none is called afterwards. NEAP_ERROR_WRONG_THREAD inside a callback, and the stream stays open then.
/// Waits for a running callback; from any other thread.
#[unsafe(no_mangle)]
pub extern "C" fn neap_stream_close(stream: *mut Items) -> i32 {
    code(|| {
        may_wait("neap_stream_close")?;
        STREAMS.take(stream.addr())?.close();
        Ok(())
    })
}

/// A pointer of C's on its way to the thread that calls C back.
struct User(*mut c_void);

// SAFETY: nothing here follows it. Whoever gave it was told on which thread it comes back.
unsafe impl Send for User {}

/// Runs the body of a function: what goes wrong is this thread's last error, and a panic is one, too.
fn guarded<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What a panic leaves half done is behind locks whose poison nobody minds, or was the body's own.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(of_panic(panic.as_ref())));
    result.inspect_err(failure::remember)
}

fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::internal(format!("the library has a bug: {}", text.unwrap_or("it panicked")))
}

/// For functions that return a code.
fn code(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    guarded(body).map_or_else(|failure| failure.code, |()| NEAP_OK)
}

/// For functions that return a handle.
fn handle<T>(body: impl FnOnce() -> Result<usize, Failure>) -> *mut T {
    guarded(body).map_or(std::ptr::null_mut(), std::ptr::without_provenance_mut)
}

/// For functions that return a code and put their answer, or what is wrong, into `out`.
///
/// # Safety
/// `out` is NULL, or points to a place that may be written to, aligned for a pointer.
unsafe fn answer<T: Into<Option<String>>>(out: *mut *mut c_char, body: impl FnOnce() -> Result<T, Failure>) -> i32 {
    // SAFETY: as the caller promises. Nothing stays in it that somebody would free again.
    unsafe { text::give(out, None) };
    let (code, text) = match guarded(body) {
        Ok(answer) => (NEAP_OK, answer.into()),
        Err(failure) => (failure.code, Some(failure.json())),
    };
    // SAFETY: as the caller promises.
    unsafe { text::give(out, text) };
    code
}

/// The instance of a handle, asked by this function.
fn asked(function: &str, neap: *mut Neap, cancel: *mut Cancel) -> Result<Asked, Failure> {
    // First: what is wrong in a callback is so whatever becomes of the handle meanwhile.
    may_wait(function)?;
    Ok(Asked::new(INSTANCES.get(neap.addr())?, token(cancel)?))
}

/// What ends a wait; NULL is nothing.
fn token(cancel: *mut Cancel) -> Result<Option<Arc<Token>>, Failure> {
    if cancel.is_null() { Ok(None) } else { TOKENS.get(cancel.addr()).map(Some) }
}
