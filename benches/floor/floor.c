/* The floor that Neap is measured against: the least that does the same thing, in C without a library.
 *
 *   floor nop                      ends at once
 *   floor report SOCKET            sends the moment its main() began to SOCKET, then waits for ever
 *   floor spawn MIB COUNT          touches MIB of memory; COUNT times vfork, exec `floor nop`, wait; prints each time in ns
 *   floor supervise SOCKET         runs `floor report SOCKET`, and again at once whenever it ends, until it is told TERM
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *self = "/proc/self/exe";
static volatile pid_t child;

static unsigned long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int report(const char *path)
{
    unsigned long long began = now();
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    unsigned long long message[2] = { began, (unsigned long long)getpid() };
    if (sendto(s, message, sizeof message, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return 1;
    for (;;)
        pause();
}

static pid_t start(char **argv)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execv(self, argv);
        _exit(127);
    }
    return pid;
}

static int spawn(size_t mib, int count)
{
    char *argv[] = { "floor", "nop", NULL };
    if (mib) {
        char *memory = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(memory, mib << 20, MADV_NOHUGEPAGE);
        memset(memory, 1, mib << 20);
    }
    for (int i = 0; i < count; i++) {
        unsigned long long from = now();
        pid_t pid = start(argv);
        waitpid(pid, NULL, 0);
        printf("%llu\n", now() - from);
    }
    return 0;
}

static void on_term(int signal)
{
    (void)signal;
    if (child > 0)
        kill(child, SIGKILL);
    _exit(0);
}

static int supervise(char *path)
{
    char *argv[] = { "floor", "report", path, NULL };
    signal(SIGTERM, on_term);
    for (;;) {
        child = start(argv);
        if (child < 0)
            return 1;
        waitpid(child, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "report"))
        return report(argv[2]);
    if (argc > 3 && !strcmp(argv[1], "spawn"))
        return spawn(strtoul(argv[2], NULL, 10), atoi(argv[3]));
    if (argc > 2 && !strcmp(argv[1], "supervise"))
        return supervise(argv[2]);
    return argc > 1 && !strcmp(argv[1], "nop") ? 0 : 2;
}
