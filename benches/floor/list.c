/* The least client of the control socket, in C without a library, and a process that talks.
 *
 *   list list SOCKET METHOD        calls METHOD with an empty message over HTTP/2, reads the whole answer, prints its size
 *   list chat MILLISECONDS         prints a line every so often, for ever
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];
static size_t held, at;
static int s;

static void need(size_t count)
{
    if (at) {
        memmove(buffer, buffer + at, held - at);
        held -= at;
        at = 0;
    }
    while (held < count) {
        ssize_t n = read(s, buffer + held, sizeof buffer - held);
        if (n <= 0)
            exit(1);
        held += n;
    }
}

static size_t text(unsigned char *to, const char *name, const char *value)
{
    size_t n = 0;
    if (name) {
        to[n++] = 0;
        to[n++] = strlen(name);
        memcpy(to + n, name, strlen(name));
        n += strlen(name);
    }
    to[n++] = strlen(value);
    memcpy(to + n, value, strlen(value));
    return n + strlen(value);
}

static int list(const char *path, const char *method)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to) < 0)
        return 1;
    static unsigned char out[1024];
    size_t n = 24;
    memcpy(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    /* Settings: streams may be sent 2^31-1 bytes without asking; and so may the connection. */
    memcpy(out + n, "\0\0\6\4\0\0\0\0\0\0\4\177\377\377\377", 15), n += 15;
    memcpy(out + n, "\0\0\4\10\0\0\0\0\0\177\377\0\0", 13), n += 13;
    size_t head = n;
    n += 9;
    out[n++] = 0x83; /* POST */
    out[n++] = 0x86; /* http */
    out[n++] = 0x04; /* path */
    n += text(out + n, NULL, method);
    out[n++] = 0x01; /* authority */
    n += text(out + n, NULL, "localhost");
    n += text(out + n, "content-type", "application/grpc");
    n += text(out + n, "te", "trailers");
    size_t length = n - head - 9;
    unsigned char frame[9] = { 0, length >> 8, length, 1, 4, 0, 0, 0, 1 };
    memcpy(out + head, frame, 9);
    memcpy(out + n, "\0\0\5\0\1\0\0\0\1\0\0\0\0\0", 14), n += 14;
    if (write(s, out, n) != (ssize_t)n)
        return 1;
    size_t total = 0;
    for (;;) {
        need(9);
        size_t size = buffer[0] << 16 | buffer[1] << 8 | buffer[2];
        int kind = buffer[3], flags = buffer[4], stream = buffer[8];
        at = 9;
        need(size);
        at = size;
        if (kind == 0)
            total += size;
        if (kind == 4 && !(flags & 1) && write(s, "\0\0\0\4\1\0\0\0\0", 9) != 9)
            return 1;
        if ((stream == 1 && kind <= 1 && flags & 1) || kind == 3 || kind == 7)
            break;
    }
    printf("%zu\n", total);
    return total < 5;
}

static int chat(long milliseconds)
{
    struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    for (unsigned long n = 0;; n++) {
        char line[96];
        int size = snprintf(line, sizeof line, "%lu requests served, all of them as well as could be hoped for\n", n);
        if (write(1, line, size) != size)
            return 1;
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc > 3 && !strcmp(argv[1], "list"))
        return list(argv[2], argv[3]);
    return argc > 2 && !strcmp(argv[1], "chat") ? chat(atol(argv[2])) : 2;
}
