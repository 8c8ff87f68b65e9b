/* Every way to hold it wrong has a code and a sentence, and breaks nothing. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* valgrind knows no pidfd, so that no signal comes to a process under it: it is killed when this time is up. */
#define SLEEP "{\"command\": [\"sleep\", \"1000\"], \"stop\": {\"timeout\": \"500ms\"}}"

static void nothing_is_an_error(void) {
    IS(neap_free(NULL), NEAP_ERROR_BAD_HANDLE);
    SAYS(neap_last_error(), "NULL was given");
    IS(neap_last_error_code(), NEAP_ERROR_BAD_HANDLE);
    IS(neap_list(NULL, NULL, out()), NEAP_ERROR_BAD_HANDLE);
    SAYS(said, "{\"code\":9,\"message\":\"a neap_t is wanted, and NULL was given\"");
    IS(neap_list(NULL, NULL, NULL), NEAP_ERROR_BAD_HANDLE);
    IS(neap_start(NULL, NULL, 0, NULL, NULL), NEAP_ERROR_BAD_HANDLE);
    IS(neap_cancel(NULL), NEAP_ERROR_BAD_HANDLE);
    IS(neap_cancel_free(NULL), NEAP_ERROR_BAD_HANDLE);
    IS(neap_stream_close(NULL), NEAP_ERROR_BAD_HANDLE);
    IS(neap_stream_next(NULL, 0, NULL, out()), NEAP_ERROR_BAD_HANDLE);
    IS(neap_stream_fd(NULL), -1);
    IS(neap_events_open(NULL, 0, NULL) == NULL, 1);
    IS(neap_logs_open(NULL, NULL, NULL) == NULL, 1);
    neap_string_free(NULL);
}

static void what_was_never_given_out_is_told(void) {
    int local = 0;
    IS(neap_free((neap_t *)(uintptr_t)4711), NEAP_ERROR_BAD_HANDLE);
    IS(neap_free((neap_t *)&local), NEAP_ERROR_BAD_HANDLE);
    IS(neap_free((neap_t *)UINTPTR_MAX), NEAP_ERROR_BAD_HANDLE);
    neap_cancel_t *cancel = neap_cancel_new();
    IS(neap_list((neap_t *)cancel, NULL, out()), NEAP_ERROR_BAD_HANDLE);
    SAYS(said, "looks like a neap_cancel_t");
    IS(neap_cancel_free(cancel), NEAP_OK);
    IS(neap_cancel_free(cancel), NEAP_ERROR_BAD_HANDLE);
    SAYS(neap_last_error(), "was freed before");
}

static void options_and_addresses_are_looked_at(void) {
    IS(neap_new("{") == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_ARGUMENT);
    SAYS(neap_last_error(), "options_json: is not JSON");
    IS(neap_new("[]") == NULL, 1);
    IS(neap_new("{\"nmae\": \"x\"}") == NULL, 1);
    SAYS(neap_last_error(), "`nmae` is no option; there are name, ");
    IS(neap_new("{\"shutdown_timeout\": \"soon\"}") == NULL, 1);
    IS(neap_connect("/nowhere/neap.sock", 0, NULL) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_ARGUMENT);
    IS(neap_connect("/nowhere/neap.sock", 5000, NULL) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_UNREACHABLE);
    SAYS(neap_last_error(), "/nowhere/neap.sock");
    IS(neap_connect("tcp:nonsense", 5000, NULL) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_ARGUMENT);
    IS(neap_check_abi(NEAP_ABI_VERSION), NEAP_OK);
    IS(neap_check_abi(NEAP_ABI_VERSION + 1), NEAP_ERROR_REFUSED);
    IS(neap_check_abi(0), NEAP_ERROR_REFUSED);
    IS(neap_abi_version(), NEAP_ABI_VERSION);
}

static void arguments_are_looked_at(neap_t *neap) {
    IS(neap_create(neap, NULL, SLEEP, 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "\"field\":\"name\"");
    IS(neap_create(neap, "a", NULL, 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_create(neap, "a", "{\"command\"", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "spec_json: is not JSON");
    IS(neap_create(neap, "a", "7", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_create(neap, "a", "{\"comand\": [\"true\"]}", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "`command`");
    IS(neap_create(neap, "a", "{\"command\": [\"true\"], \"restart\": {\"delay\": \"soon\"}}", 0, NULL, out()),
       NEAP_ERROR_ARGUMENT);
    SAYS(said, "\"field\":\"restart.delay\"");
    SAYS(said, "\"process\":\"a\"");
    IS(neap_create(neap, "a", "{\"name\": \"b\", \"command\": [\"true\"]}", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_create(neap, "not a name", SLEEP, 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_start(neap, "a\xff", -1, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "name: is not UTF-8: the byte at 1 is wrong");
    IS(neap_create(neap, "a", "{\"\xc3\": 1}", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_start(neap, "nobody", -1, NULL, out()), NEAP_ERROR_NO_PROCESS);
    SAYS(said, "\"process\":\"nobody\"");
    SAYS(said, "\"detail\":\"not_found\"");
    IS(neap_describe(neap, "nobody", NULL, out()), NEAP_ERROR_NO_PROCESS);
    IS(neap_call(neap, "Invent", NULL, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "there is no call `Invent`; there are GetStatus, ");
    IS(neap_call(neap, "Watch", NULL, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_call(neap, "Why", "{\"nam\": \"a\"}", NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "did you mean `name`?");
    IS(neap_call(neap, "Apply", NULL, NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "has no configuration");
    IS(neap_call(neap, "Apply", "{\"config\": \"/nowhere/neap.lua\"}", NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "knows no Lua");
    IS(neap_call(neap, "Apply", "{\"config\": \"/nowhere/agent.yaml\"}", NULL, out()), NEAP_ERROR_ARGUMENT);
    SAYS(said, "/nowhere/agent.yaml");
    IS(neap_call(neap, "Upgrade", NULL, NULL, out()), NEAP_ERROR_REFUSED);
    IS(neap_wait(neap, "a", "up", 0, NULL, out()), NEAP_ERROR_ARGUMENT);
    IS(neap_create(neap, "a", SLEEP, 0, NULL, NULL), NEAP_OK);
    IS(neap_create(neap, "a", SLEEP, 0, NULL, out()), NEAP_ERROR_REFUSED);
    SAYS(said, "\"detail\":\"exists\"");
    IS(neap_create(neap, "gone", "{\"command\": [\"/nowhere/program\"]}", 0, NULL, NULL), NEAP_OK);
    IS(neap_start(neap, "gone", -1, NULL, out()), NEAP_ERROR_FAILED);
    SAYS(said, "/nowhere/program");
    IS(neap_wait(neap, "a", "running", 0, NULL, out()), NEAP_ERROR_TIMED_OUT);
    SAYS(said, "`a` is created");
    IS(neap_wait(neap, "a", NULL, 0, NULL, out()), NEAP_ERROR_TIMED_OUT);
    IS(neap_wait(neap, "gone", NULL, 0, NULL, out()), NEAP_ERROR_FAILED);
    SAYS(said, "/nowhere/program");
    IS(neap_wait(neap, "gone", "running", 0, NULL, out()), NEAP_ERROR_TIMED_OUT);
    IS(neap_wait(neap, "a", "running", 30, NULL, out()), NEAP_ERROR_TIMED_OUT);
    IS(neap_start(neap, "a", 0, NULL, out()), NEAP_OK);
    IS(neap_wait(neap, "a", "running", -1, NULL, out()), NEAP_OK);
    SAYS(said, "{\"outcomes\":[{");
    IS(neap_wait(neap, "a", "running,exited", 0, NULL, out()), NEAP_OK);
    IS(neap_delete(neap, "a", 0, NULL, out()), NEAP_ERROR_REFUSED);
    IS(neap_update(neap, "a", "{\"stop\": {\"timeout\": \"2s\"}}", 0, NULL, out()), NEAP_OK);
    SAYS(said, "stop.");
    IS(neap_delete(neap, "a", 1, NULL, out()), NEAP_OK);
    IS(neap_call(neap, "Signal", "{\"names\": [\"gone\"], \"signal\": \"TERM\"}", NULL, out()), NEAP_ERROR_REFUSED);
}

static neap_t *shared;
static neap_cancel_t *shared_cancel;
static neap_stream_t *shared_events;

static void *wait_with_cancel(void *unused) {
    (void)unused;
    IS(neap_wait(shared, "w", "failed", NEAP_FOREVER, shared_cancel, out()), NEAP_ERROR_CANCELLED);
    IS(neap_stream_next(shared_events, NEAP_FOREVER, shared_cancel, out()), NEAP_ERROR_CANCELLED);
    forget();
    return NULL;
}

static void a_wait_is_ended_from_another_thread(neap_t *neap) {
    shared = neap;
    shared_cancel = neap_cancel_new();
    shared_events = neap_events_open(neap, NEAP_FROM_NOW, NULL);
    IS(neap_create(neap, "w", SLEEP, 0, NULL, NULL), NEAP_OK);
    IS(neap_stream_next(shared_events, -1, NULL, out()), NEAP_OK);
    pthread_t thread;
    IS(pthread_create(&thread, NULL, wait_with_cancel, NULL), 0);
    IS(neap_cancel(shared_cancel), NEAP_OK);
    IS(pthread_join(thread, NULL), 0);
    IS(neap_cancel_free(shared_cancel), NEAP_OK);
    IS(neap_stream_next(shared_events, 0, NULL, out()), NEAP_ERROR_TIMED_OUT);
    IS(neap_list(neap, shared_cancel, out()), NEAP_ERROR_BAD_HANDLE);
    IS(neap_stream_close(shared_events), NEAP_OK);
}

static struct sockaddr_un mute = {.sun_family = AF_UNIX};

static void *connect_until_cancelled(void *unused) {
    (void)unused;
    IS(neap_connect(mute.sun_path, NEAP_FOREVER, shared_cancel) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_CANCELLED);
    SAYS(neap_last_error(), "connecting was cancelled");
    return NULL;
}

static void connecting_is_ended_from_another_thread(void) {
    snprintf(mute.sun_path, sizeof mute.sun_path, "/tmp/neap-mute-%d.sock", (int)getpid());
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IS(bind(door, (struct sockaddr *)&mute, sizeof mute), 0);
    IS(listen(door, 1), 0);
    shared_cancel = neap_cancel_new();
    pthread_t thread;
    IS(pthread_create(&thread, NULL, connect_until_cancelled, NULL), 0);
    /* It is let in, and never told anything. */
    int guest = accept(door, NULL, NULL);
    IS(guest >= 0, 1);
    IS(neap_cancel(shared_cancel), NEAP_OK);
    IS(pthread_join(thread, NULL), 0);
    char rest[1024];
    while (read(guest, rest, sizeof rest) > 0) {
    }
    connect_until_cancelled(NULL);
    IS(neap_cancel_free(shared_cancel), NEAP_OK);
    IS(neap_connect(mute.sun_path, NEAP_FOREVER, shared_cancel) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_BAD_HANDLE);
    IS(close(guest), 0);
    IS(close(door), 0);
    IS(unlink(mute.sun_path), 0);
}

static void *next_until_closed(void *unused) {
    (void)unused;
    IS(neap_stream_next(shared_events, NEAP_FOREVER, NULL, out()), NEAP_ERROR_BAD_HANDLE);
    forget();
    return NULL;
}

static void *wait_until_freed(void *unused) {
    (void)unused;
    IS(neap_wait(shared, "w", "failed", NEAP_FOREVER, NULL, out()), NEAP_ERROR_BAD_HANDLE);
    forget();
    return NULL;
}

static void what_is_freed_while_somebody_waits_ends_the_wait(void) {
    neap_t *neap = neap_new(NULL);
    IS(neap_create(neap, "w", SLEEP, 1, NULL, NULL), NEAP_OK);
    shared = neap;
    shared_events = neap_events_open(neap, NEAP_FROM_NOW, NULL);
    IS(neap_wait(neap, "w", NULL, -1, NULL, NULL), NEAP_OK);
    while (neap_stream_next(shared_events, 0, NULL, NULL) == NEAP_OK) {
    }
    pthread_t first, second;
    IS(pthread_create(&first, NULL, next_until_closed, NULL), 0);
    IS(pthread_create(&second, NULL, wait_until_freed, NULL), 0);
    IS(neap_stream_close(shared_events), NEAP_OK);
    IS(neap_free(neap), NEAP_OK);
    IS(pthread_join(first, NULL), 0);
    IS(pthread_join(second, NULL), 0);
    IS(neap_free(neap), NEAP_ERROR_BAD_HANDLE);
    SAYS(neap_last_error(), "this neap_t was freed before");
    IS(neap_stream_close(shared_events), NEAP_ERROR_BAD_HANDLE);
}

static void *work(void *number) {
    char name[16];
    snprintf(name, sizeof name, "p%d", *(int *)number);
    for (int round = 0; round < 3; round++) {
        IS(neap_create(shared, name, SLEEP, 0, NULL, out()), NEAP_OK);
        IS(neap_start(shared, name, -1, NULL, out()), NEAP_OK);
        IS(neap_list(shared, NULL, out()), NEAP_OK);
        IS(neap_start(shared, "nobody", -1, NULL, out()), NEAP_ERROR_NO_PROCESS);
        IS(neap_last_error_code(), NEAP_ERROR_NO_PROCESS);
        IS(neap_delete(shared, name, 1, NULL, out()), NEAP_OK);
    }
    forget();
    return NULL;
}

static void threads_share_a_handle(neap_t *neap) {
    shared = neap;
    pthread_t threads[6];
    int numbers[6];
    for (int i = 0; i < 6; i++) {
        numbers[i] = i;
        IS(pthread_create(&threads[i], NULL, work, &numbers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        IS(pthread_join(threads[i], NULL), 0);
    }
}

struct heard {
    neap_t *neap;
    neap_stream_t *events;
    atomic_int calls;
    int ended;
    pthread_mutex_t lock;
    pthread_cond_t told;
};

static void misbehave(const char *event, void *user) {
    struct heard *heard = user;
    if (event == NULL) {
        pthread_mutex_lock(&heard->lock);
        heard->ended = 1;
        pthread_cond_signal(&heard->told);
        pthread_mutex_unlock(&heard->lock);
        return;
    }
    if (atomic_fetch_add(&heard->calls, 1) == 0) {
        IS(neap_stream_close(heard->events), NEAP_ERROR_WRONG_THREAD);
        SAYS(neap_last_error(), "neap_stream_close waits, and was called from inside a callback");
        IS(neap_free(heard->neap), NEAP_ERROR_WRONG_THREAD);
        IS(neap_list(heard->neap, NULL, out()), NEAP_ERROR_WRONG_THREAD);
        IS(neap_start(heard->neap, "cb", -1, NULL, out()), NEAP_ERROR_WRONG_THREAD);
        IS(neap_stream_next(heard->events, 0, NULL, out()), NEAP_ERROR_WRONG_THREAD);
        IS(neap_events_open(heard->neap, 0, NULL) == NULL, 1);
        IS(neap_new(NULL) == NULL, 1);
        IS(neap_last_error_code(), NEAP_ERROR_WRONG_THREAD);
        IS(neap_logs_open(heard->neap, NULL, NULL) == NULL, 1);
        SAYS(neap_last_error(), "neap_logs_open waits");
        neap_cancel_t *cancel = neap_cancel_new();
        IS(neap_cancel(cancel), NEAP_OK);
        IS(neap_cancel_free(cancel), NEAP_OK);
        forget();
    }
}

static void a_callback_cannot_wait(void) {
    struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
    heard.neap = neap_new(NULL);
    heard.events = neap_events_open(heard.neap, 0, NULL);
    IS(neap_stream_callback(heard.events, NULL, NULL), NEAP_ERROR_ARGUMENT);
    IS(neap_stream_callback(heard.events, misbehave, &heard), NEAP_OK);
    IS(neap_stream_callback(heard.events, misbehave, &heard), NEAP_ERROR_REFUSED);
    IS(neap_stream_next(heard.events, 0, NULL, out()), NEAP_ERROR_REFUSED);
    IS(neap_create(heard.neap, "cb", SLEEP, 1, NULL, NULL), NEAP_OK);
    IS(neap_wait(heard.neap, "cb", NULL, -1, NULL, NULL), NEAP_OK);
    IS(neap_free(heard.neap), NEAP_OK);
    pthread_mutex_lock(&heard.lock);
    while (!heard.ended) {
        pthread_cond_wait(&heard.told, &heard.lock);
    }
    pthread_mutex_unlock(&heard.lock);
    IS(neap_stream_close(heard.events), NEAP_OK);
    IS(atomic_load(&heard.calls) > 4, 1);
}

static sem_t about_to_wait;

static void *next_until_called(void *unused) {
    (void)unused;
    IS(sem_post(&about_to_wait), 0);
    IS(neap_stream_next(shared_events, NEAP_FOREVER, NULL, out()), NEAP_ERROR_REFUSED);
    SAYS(said, "go to a callback");
    forget();
    return NULL;
}

static void count(const char *event, void *user) {
    sem_post(event == NULL ? &((sem_t *)user)[1] : (sem_t *)user);
}

/* Whoever waits already when a callback comes takes nothing from it. */
static void a_callback_gets_all_from_there_on(void) {
    neap_t *neap = neap_new(NULL);
    IS(sem_init(&about_to_wait, 0, 0), 0);
    for (int round = 0; round < 20; round++) {
        sem_t heard[2];
        IS(sem_init(&heard[0], 0, 0), 0);
        IS(sem_init(&heard[1], 0, 0), 0);
        shared_events = neap_events_open(neap, NEAP_FROM_NOW, NULL);
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) {
            IS(pthread_create(&threads[i], NULL, next_until_called, NULL), 0);
        }
        for (int i = 0; i < 3; i++) {
            IS(sem_wait(&about_to_wait), 0);
        }
        IS(neap_stream_callback(shared_events, count, heard), NEAP_OK);
        IS(neap_create(neap, "one", SLEEP, 0, NULL, NULL), NEAP_OK);
        IS(sem_wait(&heard[0]), 0);
        IS(neap_delete(neap, "one", 0, NULL, NULL), NEAP_OK);
        IS(sem_wait(&heard[0]), 0);
        for (int i = 0; i < 3; i++) {
            IS(pthread_join(threads[i], NULL), 0);
        }
        IS(neap_stream_close(shared_events), NEAP_OK);
    }
    IS(neap_free(neap), NEAP_OK);
}

static void what_has_ended_says_so(void) {
    neap_t *neap = neap_new("{\"name\": \"short\"}");
    IS(neap_create(neap, "s", SLEEP, 1, NULL, NULL), NEAP_OK);
    IS(neap_wait(neap, "s", "running", -1, NULL, NULL), NEAP_OK);
    IS(neap_shutdown(neap, NEAP_FOREVER, NULL, out()), NEAP_OK);
    SAYS(said, "\"stuck\":[]");
    IS(neap_list(neap, NULL, out()), NEAP_ERROR_UNREACHABLE);
    IS(neap_start(neap, "s", -1, NULL, out()), NEAP_ERROR_UNREACHABLE);
    IS(neap_shutdown(neap, NEAP_FOREVER, NULL, out()), NEAP_OK);
    IS(neap_free(neap), NEAP_OK);
    IS(neap_list(neap, NULL, out()), NEAP_ERROR_BAD_HANDLE);
}

static void a_forked_copy_is_refused(neap_t *neap) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char *text = NULL;
        int fine = neap_list(neap, NULL, &text) == NEAP_ERROR_BAD_HANDLE && strstr(text, "was forked") != NULL
            && neap_free(neap) == NEAP_ERROR_BAD_HANDLE && neap_new(NULL) == NULL;
        neap_string_free(text);
        /* An exit would have valgrind look for what the copy of the other threads has lost. */
        execl("/bin/sh", "sh", "-c", fine ? "exit 0" : "exit 1", (char *)NULL);
        _exit(2);
    }
    int status = 1;
    IS(waitpid(child, &status, 0), child);
    IS(status, 0);
    IS(neap_list(neap, NULL, out()), NEAP_OK);
}

/* What happened is all there, from the first event on, also what came with the end. */
static void events_are_complete_from_the_first(void) {
    neap_t *neap = neap_new(NULL);
    neap_stream_t *events = neap_events_open(neap, 0, NULL);
    for (int round = 0; round < 40; round++) {
        IS(neap_create(neap, "e", "{\"command\": [\"true\"], \"type\": \"oneshot\"}", 0, NULL, NULL), NEAP_OK);
        IS(neap_start(neap, "e", -1, NULL, NULL), NEAP_OK);
        IS(neap_delete(neap, "e", 1, NULL, NULL), NEAP_OK);
    }
    IS(neap_create(neap, "last", SLEEP, 1, NULL, NULL), NEAP_OK);
    IS(neap_wait(neap, "last", NULL, -1, NULL, NULL), NEAP_OK);
    /* From the middle on it is the same. */
    neap_stream_t *later = neap_events_open(neap, 50, NULL);
    IS(neap_stream_next(later, -1, NULL, out()), NEAP_OK);
    SAYS(said, "{\"sequence\":50,");
    IS(neap_stream_close(later), NEAP_OK);
    IS(neap_free(neap), NEAP_OK);
    struct pollfd ready = {.fd = neap_stream_fd(events), .events = POLLIN};
    unsigned long long sequence = 0;
    int stopped = 0;
    for (;;) {
        IS(poll(&ready, 1, 0), 1);
        IS(neap_stream_next(events, 0, NULL, out()), NEAP_OK);
        if (said == NULL) {
            break;
        }
        char start[64];
        snprintf(start, sizeof start, "{\"sequence\":%llu,\"time\":\"2", ++sequence);
        IS(strncmp(said, start, strlen(start)), 0);
        stopped |= strstr(said, "\"kind\":\"process.stopped\",\"process\":\"last\"") != NULL;
    }
    IS(stopped, 1);
    IS(sequence > 200, 1);
    IS(neap_stream_next(events, -1, NULL, out()), NEAP_OK);
    IS(said == NULL, 1);
    IS(neap_stream_close(events), NEAP_OK);
}

#define PRINTS(shell) \
    "{\"command\": [\"sh\", \"-c\", \"" shell "\"], \"log\": {\"stdout\": \"capture\", \"stderr\": \"capture\"}, " \
    "\"stop\": {\"timeout\": \"500ms\"}, \"type\": "

/* What processes print comes as lines; without `follow` it ends with what there is. */
static void lines_are_read_back_and_followed(void) {
    neap_t *neap = neap_new(NULL);
    IS(neap_logs_open(neap, "{\"names\": [\"nobody\"]}", NULL) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_NO_PROCESS);
    IS(neap_logs_open(neap, "{\"name\": \"job\"}", NULL) == NULL, 1);
    IS(neap_last_error_code(), NEAP_ERROR_ARGUMENT);
    SAYS(neap_last_error(), "request_json: name: there is no such field; did you mean `names`?");
    IS(neap_create(neap, "job", PRINTS("echo one; echo two; echo three") "\"oneshot\"}", 0, NULL, NULL), NEAP_OK);
    IS(neap_create(neap, "web", PRINTS("echo up; exec sleep 1000") "\"simple\"}", 0, NULL, NULL), NEAP_OK);

    neap_stream_t *followed = neap_logs_open(neap, "{\"names\": [\"job\", \"web\"], \"follow\": true}", NULL);
    IS(neap_stream_next(followed, 0, NULL, out()), NEAP_ERROR_TIMED_OUT);
    IS(neap_start(neap, "job", NEAP_FOREVER, NULL, NULL), NEAP_OK);
    const char *texts[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        IS(neap_stream_next(followed, NEAP_FOREVER, NULL, out()), NEAP_OK);
        SAYS(said, "{\"process\":\"job\",");
        SAYS(said, "\"stream\":\"stdout\"");
        SAYS(said, texts[i]);
    }
    IS(neap_start(neap, "web", NEAP_FOREVER, NULL, NULL), NEAP_OK);
    IS(neap_stream_next(followed, NEAP_FOREVER, NULL, out()), NEAP_OK);
    SAYS(said, "\"text\":\"up\"");

    neap_stream_t *kept = neap_logs_open(neap, "{\"names\": [\"job\"], \"tail\": 2}", NULL);
    for (int i = 1; i < 3; i++) {
        IS(neap_stream_next(kept, NEAP_FOREVER, NULL, out()), NEAP_OK);
        SAYS(said, texts[i]);
    }
    IS(neap_stream_next(kept, NEAP_FOREVER, NULL, out()), NEAP_OK);
    IS(said == NULL, 1);
    IS(neap_stream_close(kept), NEAP_OK);
    neap_stream_t *none = neap_logs_open(neap, "{\"since\": \"2999-01-01T00:00:00Z\"}", NULL);
    IS(neap_stream_next(none, NEAP_FOREVER, NULL, out()), NEAP_OK);
    IS(said == NULL, 1);
    IS(neap_stream_close(none), NEAP_OK);

    IS(neap_free(neap), NEAP_OK);
    IS(neap_stream_next(followed, 0, NULL, out()), NEAP_OK);
    IS(said == NULL, 1);
    IS(neap_stream_close(followed), NEAP_OK);
}

int main(void) {
    nothing_is_an_error();
    what_was_never_given_out_is_told();
    options_and_addresses_are_looked_at();
    neap_t *neap = neap_new(NULL);
    neap_t *another = neap_new("{\"name\": \"another\", \"cgroups\": false, \"shutdown_timeout\": \"5s\"}");
    IS(neap != NULL && another != NULL && neap != another, 1);
    arguments_are_looked_at(neap);
    IS(neap_list(another, NULL, out()), NEAP_OK);
    SAYS(said, "[]");
    a_wait_is_ended_from_another_thread(neap);
    connecting_is_ended_from_another_thread();
    threads_share_a_handle(neap);
    a_forked_copy_is_refused(neap);
    IS(neap_free(neap), NEAP_OK);
    IS(neap_free(neap), NEAP_ERROR_BAD_HANDLE);
    IS(neap_free(another), NEAP_OK);
    what_is_freed_while_somebody_waits_ends_the_wait();
    a_callback_cannot_wait();
    a_callback_gets_all_from_there_on();
    what_has_ended_says_so();
    lines_are_read_back_and_followed();
    events_are_complete_from_the_first();
    forget();
    puts("fine");
    return 0;
}
