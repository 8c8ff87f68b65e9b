/*
 * A process made, started, watched and stopped: by a supervisor inside this program, or, when an address is given, by an
 * instance that runs already.
 *
 *     cc -std=c11 supervise.c $(pkg-config --cflags --libs neap) -o supervise
 *     ./supervise                      # a supervisor of its own
 *     ./supervise /run/user/1000/neap/default/neap.sock
 */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <neap.h>

/* Ends the program unless a call has done what it was asked. */
static void must(const char *what, int32_t code, char *answer) {
    if (code != NEAP_OK) {
        fprintf(stderr, "%s: %s (code %d)\n", what, neap_last_error(), code);
        exit(1);
    }
    neap_string_free(answer);
}

/* Whether this event is of this kind. A program that does more with events takes a JSON library. */
static int is(const char *event, const char *kind) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"kind\":\"%s\"", kind);
    return strstr(event, wanted) != NULL;
}

/* What the callback has seen: the library's thread counts, and tells this one when there was the last that matters. */
struct counted {
    int events;
    sem_t stopped;
};

/* Runs on a thread of the library. */
static void count(const char *event, void *user) {
    struct counted *counted = user;
    if (event != NULL) {
        counted->events++;
        if (is(event, "process.stopped")) {
            sem_post(&counted->stopped);
        }
    }
}

/* Reads events until there is one of this kind, in a loop that could wait for other descriptors, too. */
static void watch_until(neap_stream_t *events, const char *kind) {
    struct pollfd ready = {.fd = neap_stream_fd(events), .events = POLLIN};
    for (;;) {
        if (poll(&ready, 1, 60000) != 1) {
            fprintf(stderr, "no event for a minute\n");
            exit(1);
        }
        for (;;) {
            char *event = NULL;
            int32_t code = neap_stream_next(events, 0, NULL, &event);
            if (code == NEAP_ERROR_TIMED_OUT) {
                neap_string_free(event);
                break; /* back to poll */
            }
            if (code != NEAP_OK || event == NULL) {
                fprintf(stderr, "the stream is over\n");
                exit(1);
            }
            puts(event);
            int found = is(event, kind);
            neap_string_free(event);
            if (found) {
                return;
            }
        }
    }
}

int main(int argc, char **argv) {
    if (neap_check_abi(NEAP_ABI_VERSION) != NEAP_OK) {
        fprintf(stderr, "%s\n", neap_last_error());
        return 1;
    }
    neap_t *neap = argc > 1 ? neap_connect(argv[1], 5000, NULL) : neap_new(NULL);
    if (neap == NULL) {
        fprintf(stderr, "%s\n", neap_last_error());
        return 1;
    }

    neap_stream_t *watched = neap_events_open(neap, NEAP_FROM_NOW, NULL);
    neap_stream_t *counted = neap_events_open(neap, NEAP_FROM_NOW, NULL);
    struct counted seen = {.events = 0};
    sem_init(&seen.stopped, 0, 0);
    must("callback", neap_stream_callback(counted, count, &seen), NULL);

    char *answer = NULL;
    const char *spec = "{\"command\": [\"sleep\", \"1000\"], \"restart\": \"always\", \"stop\": {\"timeout\": \"5s\"}}";
    int32_t code = neap_create(neap, "sleeper", spec, 0, NULL, &answer);
    must("create", code, answer);
    code = neap_start(neap, "sleeper", 10000, NULL, &answer);
    must("start", code, answer);
    watch_until(watched, "process.running");

    code = neap_describe(neap, "sleeper", NULL, &answer);
    must("describe", code, answer);
    code = neap_stop(neap, "sleeper", NEAP_FOREVER, NULL, &answer);
    must("stop", code, answer);
    watch_until(watched, "process.stopped");
    code = neap_delete(neap, "sleeper", 0, NULL, &answer);
    must("delete", code, answer);

    /* Each stream has a pace of its own. */
    while (sem_wait(&seen.stopped) != 0) {
    }
    /* A callback runs no more once its stream is closed: what it was given may go. */
    must("close", neap_stream_close(counted), NULL);
    must("close", neap_stream_close(watched), NULL);
    must("free", neap_free(neap), NULL);
    printf("done, after %s\n", seen.events > 3 ? "some events" : "too few events");
    return 0;
}
