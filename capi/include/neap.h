#ifndef NEAP_H
#define NEAP_H

#include <stdint.h>

/**
 * The ABI that this header describes. `neap_check_abi(NEAP_ABI_VERSION)` says whether the library that was loaded
 * has it.
 */
#define NEAP_ABI_VERSION 1

/**
 * It was done.
 */
#define NEAP_OK 0

/**
 * It was tried and failed: a program that cannot be executed, a process that did not become ready.
 */
#define NEAP_ERROR_FAILED 1

/**
 * An argument is wrong: NULL, no UTF-8, no JSON, an unknown key, a value that makes no sense.
 */
#define NEAP_ERROR_ARGUMENT 2

/**
 * There is no such process.
 */
#define NEAP_ERROR_NO_PROCESS 3

/**
 * It is refused in this state: the name is taken, a condition does not hold, the process is configured.
 */
#define NEAP_ERROR_REFUSED 4

/**
 * The instance cannot be reached, or is not there any more.
 */
#define NEAP_ERROR_UNREACHABLE 5

/**
 * You may not.
 */
#define NEAP_ERROR_NOT_PERMITTED 6

/**
 * It took longer than you allowed. What was begun goes on.
 */
#define NEAP_ERROR_TIMED_OUT 7

/**
 * The wait was ended by neap_cancel. What was begun goes on.
 */
#define NEAP_ERROR_CANCELLED 8

/**
 * The handle is NULL, was freed, is of another kind, or is no handle at all.
 */
#define NEAP_ERROR_BAD_HANDLE 9

/**
 * It waits, and was called from inside a callback, which would wait for itself.
 */
#define NEAP_ERROR_WRONG_THREAD 10

/**
 * A bug of the library. Please report it with the text.
 */
#define NEAP_ERROR_INTERNAL 11

/**
 * A timeout that never comes.
 */
#define NEAP_FOREVER -1

/**
 * For neap_events_open: only what happens from now on.
 */
#define NEAP_FROM_NOW UINT64_MAX

/**
 * A way to end a wait from another thread. A number, never an address.
 */
typedef struct neap_cancel_t neap_cancel_t;

/**
 * A stream of events (neap_events_open), or of lines that processes print (neap_logs_open): of items, each a JSON object.
 * A number, never an address.
 */
typedef struct neap_stream_t neap_stream_t;

/**
 * A supervisor: one of your own (neap_new), or a running instance (neap_connect). A number, never an address.
 */
typedef struct neap_t neap_t;

/**
 * Gets an item as JSON text, and the pointer that was given to neap_stream_callback. The text is valid until the
 * function returns; NULL is the last call, after which nothing more comes. It runs on a thread of the library, one item
 * after another. It must not call what waits (NEAP_ERROR_WRONG_THREAD), and must not throw or jump out of itself.
 */
typedef void (*neap_stream_fn)(const char *item_json, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library's ABI. A program that was built with a header of this number, or a lower one, works with it.
 * Never fails; from any thread.
 */
uint32_t neap_abi_version(void);

/**
 * Whether the library that was loaded fits the header that a program was built with: call it first, as
 * `neap_check_abi(NEAP_ABI_VERSION)`. NEAP_ERROR_REFUSED when it does not. From any thread.
 */
int32_t neap_check_abi(uint32_t version);

/**
 * The version of the library, "0.1.0" say: for people. Never NULL, never freed; from any thread.
 */
const char *neap_version(void);

/**
 * What went wrong last on this thread, as a sentence; "" when nothing has. A call that succeeds leaves it as it is. Never
 * NULL; valid until the next call on this thread that fails; not to be freed.
 */
const char *neap_last_error(void);

/**
 * The code of what went wrong last on this thread; NEAP_OK when nothing has. For the functions that return a handle.
 */
int32_t neap_last_error_code(void);

/**
 * Frees a text that a function put into its `out`. NULL is nothing. Anything else than such a text, or one twice, is
 * undefined, as with free(). From any thread.
 */
void neap_string_free(char *text);

/**
 * Makes a supervisor inside this program, with threads of its own. Its processes are made by neap_create and end with it.
 *
 * `options_json` is NULL or an object of these, each of which may be absent: `name` (part of the ids of processes),
 * `base_dir` (of relative paths; the current directory), `runtime_dir` (notify sockets and runtime directories; a private
 * one below /tmp), `log_dir` (files of captured output), `state_directories`, `cache_directories`, `logs_directories`,
 * `env` (what processes inherit instead of this program's environment), `shutdown_timeout` (seconds or "1m30s"; after
 * it every stop of a shutdown escalates to SIGKILL), `cgroups` (false: never use them).
 *
 * Returns NULL on an error: see neap_last_error. Free it with neap_free. A program may have several.
 * The library handles no signal, and its threads block all that are sent; it reaps no child but its own.
 */
neap_t *neap_new(const char *options_json);

/**
 * Connects to a running instance, which has answered once when this returns.
 *
 * `address` is a path of a control socket, "unix:PATH" or "tcp:HOST:PORT"; NULL is the one of NEAP_SOCKET, else the user's
 * own instance, else the system's. TCP beyond this machine takes TLS: NEAP_TLS_CA, NEAP_TLS_CERT and NEAP_TLS_KEY.
 * `timeout_ms` is how long connecting may take, and later each answer that waits for nothing (list, status, …): above 0,
 * or NEAP_FOREVER. `cancel`: NULL, or what ends connecting (NEAP_ERROR_CANCELLED); it means nothing to what comes later.
 *
 * Returns NULL on an error: see neap_last_error. Free it with neap_free, which stops nothing of the instance. A call that
 * finds the connection ended fails with NEAP_ERROR_UNREACHABLE; the next one connects anew. Waits; from any thread.
 */
neap_t *neap_connect(const char *address,
                     int64_t timeout_ms,
                     neap_cancel_t *cancel);

/**
 * Frees a supervisor or a connection. Calls that wait in it on other threads end with NEAP_ERROR_BAD_HANDLE first.
 *
 * A supervisor of your own stops its processes in order, as their `stop` says, and this waits until nothing of them is
 * left; a shutdown that is under way already is hurried with SIGKILL. A connection ends, and the instance goes on.
 * Its streams are over when this returns, and stay to be read to their end and closed.
 * NEAP_ERROR_BAD_HANDLE for NULL and for what was freed before; NEAP_ERROR_WRONG_THREAD inside a callback.
 */
int32_t neap_free(neap_t *neap);

/**
 * Stops all processes in order and ends the supervisor: your own, or with a connection the instance, as `neap down` does.
 * The handle stays, to be freed; other calls answer NEAP_ERROR_UNREACHABLE from then on. A second one hurries: SIGKILL
 * to what is still being stopped.
 *
 * `timeout_ms`: at most so long is waited; 0 only begins it; NEAP_FOREVER. When time is up the shutdown goes on.
 * `*out`: {"exit_code":…,"stuck":[…]}. Waits; from any thread.
 */
int32_t neap_shutdown(neap_t *neap,
                      int64_t timeout_ms,
                      neap_cancel_t *cancel,
                      char **out);

/**
 * Makes a process at run time and, when `auto_start` is not 0 or its spec says so, begins to start it; neap_wait waits
 * until it is up.
 *
 * `spec_json` is an object with the keys of a process: {"command":["sleep","60"],"restart":"on-failure"}. Defaults are
 * those of `neap create`: no restarts, working directory /, output to where this program's (or the instance's) goes.
 * `*out`: {"process":{…},"warnings":[…]}. NEAP_ERROR_ARGUMENT when the spec is wrong (the error's `field` says which
 * key), NEAP_ERROR_REFUSED when the name is taken. Waits; from any thread.
 */
int32_t neap_create(neap_t *neap,
                    const char *name,
                    const char *spec_json,
                    int32_t auto_start,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * Starts a process and what it requires and wants, and waits until it is ready; one that runs already is left alone. `name`
 * is a name, an id or a glob, here and below.
 *
 * `timeout_ms`: at most so long is waited, then NEAP_ERROR_TIMED_OUT, and the start goes on; 0 only begins it;
 * NEAP_FOREVER. `cancel`: NULL, or what ends the wait likewise. `*out`: {"outcomes":[{"name":…,"state":…,"pid":…},…]}.
 * NEAP_ERROR_FAILED when it did not come up, NEAP_ERROR_NO_PROCESS, NEAP_ERROR_REFUSED when a condition does not hold.
 * Waits; from any thread.
 */
int32_t neap_start(neap_t *neap,
                   const char *name,
                   int64_t timeout_ms,
                   neap_cancel_t *cancel,
                   char **out);

/**
 * Stops a process, and first what cannot be without it, and waits until nothing of them is left. One that does not run is
 * left alone. Arguments, answer and errors as for neap_start.
 */
int32_t neap_stop(neap_t *neap,
                  const char *name,
                  int64_t timeout_ms,
                  neap_cancel_t *cancel,
                  char **out);

/**
 * Stops and starts a process, brings back what its stop took down, and waits until it is ready. As neap_start else.
 */
int32_t neap_restart(neap_t *neap, const char *name, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Forgets a process that was made at run time. One that runs is refused (NEAP_ERROR_REFUSED), unless `force` is not 0: then
 * it is stopped first. One of a configuration is refused. `*out` as for neap_start. Waits; from any thread.
 */
int32_t neap_delete(neap_t *neap,
                    const char *name,
                    int32_t force,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * Waits until a process is in a state: "running", or several with commas between ("exited,failed"). NULL: until it is up
 * (running, or done), and then NEAP_ERROR_FAILED when it failed instead.
 *
 * `timeout_ms`: at most so long; 0 only looks, and says NEAP_ERROR_TIMED_OUT when it is in another; NEAP_FOREVER.
 * `*out` as for neap_start. Waits; from any thread.
 */
int32_t neap_wait(neap_t *neap,
                  const char *name,
                  const char *state,
                  int64_t timeout_ms,
                  neap_cancel_t *cancel,
                  char **out);

/**
 * All processes by name. `*out`: the array that `neap list --json` prints. Waits for nothing but the answer; from any thread.
 */
int32_t neap_list(neap_t *neap,
                  neap_cancel_t *cancel,
                  char **out);

/**
 * A process with its spec. `*out`: the object that `neap describe NAME --json` prints; an array for a glob. Waits for nothing
 * but the answer; from any thread.
 */
int32_t neap_describe(neap_t *neap,
                      const char *name,
                      neap_cancel_t *cancel,
                      char **out);

/**
 * Changes the spec of a process: what `spec_json` has is changed, null takes a key back to its default. What can be is in
 * force at once; the rest after a restart, which `restart` (not 0) does at once and waits for.
 *
 * `*out`: what changed and what became of it, as `neap update --json` prints. Errors as for neap_create. Waits; from any
 * thread.
 */
int32_t neap_update(neap_t *neap,
                    const char *name,
                    const char *spec_json,
                    int32_t restart,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * What a process uses, or all of them when `name` is NULL: cpu, memory, pids, bytes read and written. Measured over half a
 * second. `*out`: the array that `neap stats --json` prints. From any thread.
 */
int32_t neap_stats(neap_t *neap,
                   const char *name,
                   neap_cancel_t *cancel,
                   char **out);

/**
 * The supervisor itself. `*out`: the object that `neap status --json` prints. Waits for nothing but the answer; from any
 * thread.
 */
int32_t neap_status(neap_t *neap,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * Any other call of the service neap.v1.Neap that is one question and one answer: "Why", "Graph", "Signal", "Reload",
 * "Apply", … `request_json` is its request as JSON, with the fields of the proto; NULL is an empty one. `*out`: its answer.
 * The outcomes of a call that acts on several processes have each their own `error`; the call itself succeeded then.
 * Waits; from any thread.
 */
int32_t neap_call(neap_t *neap,
                  const char *method,
                  const char *request_json,
                  neap_cancel_t *cancel,
                  char **out);

/**
 * A new way to end waits. NULL on an error. Free it with neap_cancel_free. From any thread.
 */
neap_cancel_t *neap_cancel_new(void);

/**
 * Ends every wait that was given this, now and later: they return NEAP_ERROR_CANCELLED, and what they asked for goes on.
 * From any thread, callbacks too; not from a signal handler.
 */
int32_t neap_cancel(neap_cancel_t *cancel);

/**
 * Frees it. Waits that have it go on, and cannot be ended by it any more. From any thread, callbacks too.
 */
int32_t neap_cancel_free(neap_cancel_t *cancel);

/**
 * Opens a stream of events, each the object that `neap events --json` prints: those from this sequence number on, as far
 * back as they are kept, and then what is to come. 0 or 1 is the first there ever was; NEAP_FROM_NOW leaves out what has
 * been. What happens once this has returned is in the stream. Where events are missing, because they are no longer kept
 * or the reader was too slow, there stands one of the kind "lag" with their number as `lost`.
 *
 * NULL on an error: see neap_last_error. Close it with neap_stream_close. A stream of a connection that ended is over; open
 * another, from the last sequence number + 1. `cancel`: NULL, or what ends the opening. Waits for nothing but the answer;
 * from any thread.
 */
neap_stream_t *neap_events_open(neap_t *neap,
                                uint64_t from_sequence,
                                neap_cancel_t *cancel);

/**
 * Opens a stream of what processes print, each line the object that `neap logs --json` prints. Only output that is captured
 * can be read: `"log": {"stdout": "capture"}` in the spec of what neap_create makes.
 *
 * `request_json` is NULL or an object of these, each of which may be absent: `names` (of processes, ids or globs; all),
 * `tail` (so many of the newest lines of each; all that are kept), `follow` (true: go on with what is to come), `since` (a
 * time as "2026-11-23T14:05:00Z": only what was printed from then on), `run` (only what this run printed: 1 is the first, 0
 * the newest, -1 the one before), `cursors` (an object of names with the `cursor` of the last line that was read of each,
 * to go on from there).
 *
 * What is no line has a `kind` and its words in `text`: "lag" where lines are missing (`lost`: how many, if that is known),
 * "note" for what cannot be known. Without `follow` the stream is over with the last line that there is; with it, what is
 * printed once this has returned is in the stream. Lines of different processes come in no particular order.
 *
 * NULL on an error: see neap_last_error; NEAP_ERROR_NO_PROCESS when a name is nobody's. Else as for neap_events_open.
 */
neap_stream_t *neap_logs_open(neap_t *neap,
                              const char *request_json,
                              neap_cancel_t *cancel);

/**
 * The next item of a stream. NEAP_OK with `*out` NULL: nothing more will come, because the supervisor has ended, its handle
 * was freed, or there was nothing else to be told. NEAP_ERROR_UNREACHABLE: the connection has ended.
 *
 * `timeout_ms`: at most so long, then NEAP_ERROR_TIMED_OUT; 0 looks whether there is one; NEAP_FOREVER.
 * NEAP_ERROR_REFUSED when a callback takes them, at once also for who waits already. Waits; from any thread. Of several
 * threads each gets other items.
 */
int32_t neap_stream_next(neap_stream_t *stream,
                         int64_t timeout_ms,
                         neap_cancel_t *cancel,
                         char **out);

/**
 * A descriptor for poll(2) and its like: readable while an item waits or the stream is over. Read items with
 * neap_stream_next and a timeout of 0 until it says NEAP_ERROR_TIMED_OUT; never read, write or close the descriptor itself.
 * Valid until neap_stream_close. -1 on an error. From any thread.
 */
int32_t neap_stream_fd(neap_stream_t *stream);

/**
 * Has a thread of the library call this function for each item from here on, one after another, with `user` as it is
 * here. Its last call has NULL, once the stream is over (and none comes after neap_stream_close). One callback a stream:
 * a second is refused. From any thread.
 */
int32_t neap_stream_callback(neap_stream_t *stream,
                             neap_stream_fn callback,
                             void *user);

/**
 * Closes a stream. A neap_stream_next that waits on another thread ends with NEAP_ERROR_BAD_HANDLE; a callback that runs is
 * waited for, and none is called afterwards. NEAP_ERROR_WRONG_THREAD inside a callback, and the stream stays open then.
 * Waits for a running callback; from any other thread.
 */
int32_t neap_stream_close(neap_stream_t *stream);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NEAP_H */
