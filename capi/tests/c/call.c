/* call ADDRESS|- FUNCTION [NAME]: prints the answer. `-` is the instance that nobody names. */
#include "check.h"

int main(int argc, char **argv) {
    IS(argc >= 3, 1);
    neap_t *neap = neap_connect(strcmp(argv[1], "-") == 0 ? NULL : argv[1], 60000, NULL);
    if (neap == NULL) {
        fprintf(stderr, "%d: %s\n", neap_last_error_code(), neap_last_error());
        return 1;
    }
    const char *what = argv[2], *name = argc > 3 ? argv[3] : NULL;
    int32_t code = NEAP_ERROR_ARGUMENT;
    if (strcmp(what, "list") == 0) {
        code = neap_list(neap, NULL, out());
    } else if (strcmp(what, "describe") == 0) {
        code = neap_describe(neap, name, NULL, out());
    } else if (strcmp(what, "status") == 0) {
        code = neap_status(neap, NULL, out());
    } else if (strcmp(what, "stats") == 0) {
        code = neap_stats(neap, name, NULL, out());
    } else if (strcmp(what, "start") == 0) {
        code = neap_start(neap, name, 60000, NULL, out());
    } else if (strcmp(what, "why") == 0) {
        char request[200];
        snprintf(request, sizeof request, "{\"name\": \"%s\"}", name);
        code = neap_call(neap, "Why", request, NULL, out());
    } else if (strcmp(what, "shutdown") == 0) {
        code = neap_shutdown(neap, 60000, NULL, out());
    }
    puts(said != NULL ? said : "");
    IS(neap_free(neap), NEAP_OK);
    forget();
    return code;
}
