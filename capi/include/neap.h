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
 * A stream of events. A number, never an address.
 */
typedef struct neap_events_t neap_events_t;

/**
 * A supervisor: one of your own (neap_new), or a running instance (neap_connect). A number, never an address.
 */
typedef struct neap_t neap_t;

/**
 * Gets an event as JSON text, which is valid until it returns, and what was given with it.
 */
typedef void (*neap_event_fn)(const char *event_json, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Not there yet.
 */
uint32_t neap_abi_version(void);

/**
 * Not there yet.
 */
int32_t neap_check_abi(uint32_t version);

/**
 * Not there yet.
 */
const char *neap_version(void);

/**
 * Not there yet.
 */
const char *neap_last_error(void);

/**
 * Not there yet.
 */
int32_t neap_last_error_code(void);

/**
 * Not there yet.
 */
void neap_string_free(char *text);

/**
 * Not there yet.
 */
neap_t *neap_new(const char *options_json);

/**
 * Not there yet.
 */
neap_t *neap_connect(const char *address, int64_t timeout_ms);

/**
 * Not there yet.
 */
neap_cancel_t *neap_cancel_new(void);

/**
 * Not there yet.
 */
neap_events_t *neap_events_open(neap_t *neap, uint64_t from_sequence);

/**
 * Not there yet.
 */
int32_t neap_free(neap_t *neap);

/**
 * Not there yet.
 */
int32_t neap_shutdown(neap_t *neap, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_create(neap_t *neap,
                    const char *name,
                    const char *spec_json,
                    int32_t auto_start,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * Not there yet.
 */
int32_t neap_start(neap_t *neap, const char *name, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_stop(neap_t *neap, const char *name, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_restart(neap_t *neap, const char *name, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_delete(neap_t *neap, const char *name, int32_t force, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_wait(neap_t *neap,
                  const char *name,
                  const char *state,
                  int64_t timeout_ms,
                  neap_cancel_t *cancel,
                  char **out);

/**
 * Not there yet.
 */
int32_t neap_list(neap_t *neap, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_describe(neap_t *neap, const char *name, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_update(neap_t *neap,
                    const char *name,
                    const char *spec_json,
                    int32_t restart,
                    neap_cancel_t *cancel,
                    char **out);

/**
 * Not there yet.
 */
int32_t neap_stats(neap_t *neap, const char *name, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_status(neap_t *neap, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_call(neap_t *neap, const char *method, const char *request_json, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_cancel(neap_cancel_t *cancel);

/**
 * Not there yet.
 */
int32_t neap_cancel_free(neap_cancel_t *cancel);

/**
 * Not there yet.
 */
int32_t neap_events_next(neap_events_t *events, int64_t timeout_ms, neap_cancel_t *cancel, char **out);

/**
 * Not there yet.
 */
int32_t neap_events_fd(neap_events_t *events);

/**
 * Not there yet.
 */
int32_t neap_events_callback(neap_events_t *events, neap_event_fn callback, void *user);

/**
 * Not there yet.
 */
int32_t neap_events_close(neap_events_t *events);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NEAP_H */
