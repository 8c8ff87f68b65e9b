/* logs ADDRESS REQUEST LAST: prints what the request is for, until a line has this text or nothing more comes. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>

#include "check.h"

int main(int argc, char **argv) {
    IS(argc, 4);
    neap_t *neap = neap_connect(argv[1], 60000, NULL);
    IS(neap != NULL, 1);
    neap_stream_t *logs = neap_logs_open(neap, argv[2], NULL);
    if (logs == NULL) {
        fprintf(stderr, "%d: %s\n", neap_last_error_code(), neap_last_error());
        return 1;
    }
    char last[200];
    snprintf(last, sizeof last, "\"text\":\"%s\"", argv[3]);
    struct pollfd ready = {.fd = neap_stream_fd(logs), .events = POLLIN};
    do {
        IS(poll(&ready, 1, 60000), 1);
        IS(neap_stream_next(logs, 0, NULL, out()), NEAP_OK);
        if (said != NULL) {
            puts(said);
            fflush(stdout);
        }
    } while (said != NULL && strstr(said, last) == NULL);
    IS(neap_stream_close(logs), NEAP_OK);
    IS(neap_free(neap), NEAP_OK);
    forget();
    return 0;
}
