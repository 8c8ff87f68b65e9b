/* apply FILE: applies it twice, and waits for `web`. */
#include "check.h"

int main(int argc, char **argv) {
    IS(argc, 2);
    char request[4096];
    snprintf(request, sizeof request, "{\"config\": \"%s\"}", argv[1]);
    neap_t *neap = neap_new(NULL);
    IS(neap_call(neap, "Apply", request, NULL, out()), NEAP_OK);
    puts(said);
    IS(neap_wait(neap, "web", NULL, 60000, NULL, out()), NEAP_OK);
    puts(said);
    IS(neap_call(neap, "Plan", NULL, NULL, out()), NEAP_OK);
    IS(neap_call(neap, "Apply", NULL, NULL, out()), NEAP_OK);
    puts(said);
    IS(neap_status(neap, NULL, out()), NEAP_OK);
    SAYS(said, "\"generation\":2");
    IS(neap_free(neap), NEAP_OK);
    forget();
    return 0;
}
