//! The functions that C calls, as the header has them.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

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
pub const NEAP_FOREVER: i64 = -1;
/// For neap_events_open: only what happens from now on.
pub const NEAP_FROM_NOW: u64 = u64::MAX;

/// A supervisor: one of your own (neap_new), or a running instance (neap_connect). A number, never an address.
pub struct Neap;

/// A way to end a wait from another thread. A number, never an address.
pub struct Cancel;

/// A stream of events. A number, never an address.
pub struct Events;

/// Gets an event as JSON text, which is valid until it returns, and what was given with it.
pub type EventFn = Option<unsafe extern "C" fn(event_json: *const c_char, user: *mut c_void)>;

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_abi_version() -> u32 {
    NEAP_ABI_VERSION
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_check_abi(version: u32) -> i32 {
    let _ = version;
    if version == NEAP_ABI_VERSION { NEAP_OK } else { NEAP_ERROR_REFUSED }
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_version() -> *const c_char {
    c"0.1.0".as_ptr()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_last_error() -> *const c_char {
    c"".as_ptr()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_last_error_code() -> i32 {
    NEAP_OK
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_string_free(text: *mut c_char) {
    let _ = text;
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_new(options_json: *const c_char) -> *mut Neap {
    let _ = options_json;
    null_mut()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_connect(address: *const c_char, timeout_ms: i64) -> *mut Neap {
    let _ = (address, timeout_ms);
    null_mut()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_cancel_new() -> *mut Cancel {
    null_mut()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_events_open(neap: *mut Neap, from_sequence: u64) -> *mut Events {
    let _ = (neap, from_sequence);
    null_mut()
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_free(neap: *mut Neap) -> i32 {
    let _ = neap;
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_shutdown(
    neap: *mut Neap,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_create(
    neap: *mut Neap,
    name: *const c_char,
    spec_json: *const c_char,
    auto_start: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, spec_json, auto_start, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_start(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stop(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_restart(
    neap: *mut Neap,
    name: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_delete(
    neap: *mut Neap,
    name: *const c_char,
    force: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, force, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_wait(
    neap: *mut Neap,
    name: *const c_char,
    state: *const c_char,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, state, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_list(neap: *mut Neap, cancel: *mut Cancel, out: *mut *mut c_char) -> i32 {
    let _ = (neap, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_describe(
    neap: *mut Neap,
    name: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_update(
    neap: *mut Neap,
    name: *const c_char,
    spec_json: *const c_char,
    restart: i32,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, spec_json, restart, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_stats(
    neap: *mut Neap,
    name: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, name, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_status(neap: *mut Neap, cancel: *mut Cancel, out: *mut *mut c_char) -> i32 {
    let _ = (neap, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_call(
    neap: *mut Neap,
    method: *const c_char,
    request_json: *const c_char,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (neap, method, request_json, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_cancel(cancel: *mut Cancel) -> i32 {
    let _ = cancel;
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_cancel_free(cancel: *mut Cancel) -> i32 {
    let _ = cancel;
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_events_next(
    events: *mut Events,
    timeout_ms: i64,
    cancel: *mut Cancel,
    out: *mut *mut c_char,
) -> i32 {
    let _ = (events, timeout_ms, cancel, out);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_events_fd(events: *mut Events) -> i32 {
    let _ = events;
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_events_callback(events: *mut Events, callback: EventFn, user: *mut c_void) -> i32 {
    let _ = (events, callback, user);
    NEAP_ERROR_INTERNAL
}

/// Not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neap_events_close(events: *mut Events) -> i32 {
    let _ = events;
    NEAP_ERROR_INTERNAL
}
