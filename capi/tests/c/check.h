/* What the programs of the tests share. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <neap.h>

/* The text of the last call's answer or error, to be looked at. */
static _Thread_local char *said;

static inline char **out(void) {
    neap_string_free(said);
    said = NULL;
    return &said;
}

static inline void forget(void) {
    neap_string_free(said);
    said = NULL;
}

static inline void expect(const char *file, int line, const char *what, long got, long wanted) {
    if (got != wanted) {
        fprintf(stderr, "%s:%d: %s is %ld, not %ld; last error %d: %s; said %s\n", file, line, what, got, wanted,
                neap_last_error_code(), neap_last_error(), said ? said : "nothing");
        exit(1);
    }
}

static inline void expect_text(const char *file, int line, const char *text, const char *part) {
    if (text == NULL || strstr(text, part) == NULL) {
        fprintf(stderr, "%s:%d: no `%s` in: %s\n", file, line, part, text ? text : "NULL");
        exit(1);
    }
}

#define IS(call, wanted) expect(__FILE__, __LINE__, #call, (long)(call), (long)(wanted))
#define SAYS(text, part) expect_text(__FILE__, __LINE__, (text), (part))

#endif
