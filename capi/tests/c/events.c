/* events ADDRESS PROCESS: prints events from the first on, until this process is deleted. */
#include "check.h"

int main(int argc, char **argv) {
    IS(argc, 3);
    neap_t *neap = neap_connect(argv[1], 60000, NULL);
    IS(neap != NULL, 1);
    neap_stream_t *events = neap_events_open(neap, 0, NULL);
    char last[200];
    snprintf(last, sizeof last, "\"kind\":\"process.deleted\",\"process\":\"%s\"", argv[2]);
    do {
        IS(neap_stream_next(events, 60000, NULL, out()), NEAP_OK);
        IS(said != NULL, 1);
        puts(said);
        fflush(stdout);
    } while (strstr(said, last) == NULL);
    IS(neap_stream_close(events), NEAP_OK);
    IS(neap_free(neap), NEAP_OK);
    forget();
    return 0;
}
