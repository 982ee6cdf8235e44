/* Loads files, each in a process of its own, and says what the loader made of them.

   Reads lines "L path" (dlopen with RTLD_NOW) and "X path" (execve, all symbols bound
   at once); answers each with one line: "loaded", "refused WORDS", "killed SIGNAL",
   "ended STATUS WORDS" or "slow". A program is loaded if it says "ran". What a child
   writes is kept apart from the answers, and it may take neither memory, time nor files. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void limit(int what, rlim_t most) {
    struct rlimit both = {most, most};
    setrlimit(what, &both);
}

static void child(char kind, char *path, int said) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_AS, 1ul << 31);
    limit(RLIMIT_CPU, 2);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(said, 1);
    dup2(said, 2);
    if (kind == 'X') {
        char *arguments[] = {path, NULL}, *environment[] = {"LD_BIND_NOW=1", NULL};
        execve(path, arguments, environment);
        dprintf(2, "execve: %s", strerror(errno));
        _exit(126);
    }
    if (dlopen(path, RTLD_NOW)) {
        dprintf(2, "\nloaded\n");
        _exit(0);
    }
    dprintf(2, "%s", dlerror());
    _exit(3);
}

static void answer(char kind, char *path) {
    static char words[4096];
    int ends[2], status = 0, slow = 0;
    size_t size = 0;
    if (pipe2(ends, O_CLOEXEC)) exit(9);
    pid_t pid = fork();
    if (pid < 0) exit(9);
    if (!pid) child(kind, path, ends[1]);
    close(ends[1]);
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (;;) {
        struct pollfd one = {ends[0], POLLIN, 0};
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left = 2000 - (now.tv_sec - begun.tv_sec) * 1000 - (now.tv_nsec - begun.tv_nsec) / 1000000;
        if (left <= 0 || poll(&one, 1, (int)left) == 0) { slow = 1; break; }
        char spare[4096];
        ssize_t got = read(ends[0], spare, sizeof spare);
        if (got <= 0) break;
        if (size + (size_t)got < sizeof words) { memcpy(words + size, spare, (size_t)got); size += (size_t)got; }
    }
    kill(pid, slow ? SIGKILL : 0);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    words[size] = 0;
    int ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    int heard = strstr(words, kind == 'X' ? "ran" : "\nloaded\n") != NULL;
    for (size_t i = 0; i < size; i++) if (words[i] < ' ' || words[i] > '~') words[i] = ' ';
    if (slow) puts("slow");
    else if (ok && heard) puts("loaded");
    else if (WIFSIGNALED(status)) printf("killed %d %s\n", WTERMSIG(status), words);
    else if (kind == 'L' && WIFEXITED(status) && WEXITSTATUS(status) == 3) printf("refused %s\n", words);
    else printf("ended %d %s\n", WEXITSTATUS(status), words);
    fflush(stdout);
}

int main(void) {
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        answer(line[0], line + 2);
    }
    return 0;
}
