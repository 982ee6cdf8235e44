/*
 * Opens shared libraries as an interpreter would, each in a process of its own.
 *
 * Standard input: one path a line. Standard output, for each path:
 *
 *     open <path>
 *     file <path of a file that the process had mapped>      (any number)
 *     fail <what dlopen said, or what killed the process>    (at most one)
 *     done
 *
 * RTLD_NOW: every symbol must be there, not just every library. The child ends
 * by _exit, so what a library does at exit is not part of the test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int seen_object(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    if (info->dlpi_name && info->dlpi_name[0] == '/')
        fprintf(out, "file %s\n", info->dlpi_name);
    return 0;
}

/* The kernel's list where there is a /proc, the loader's own where there is none. */
static void print_mapped(FILE *out)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[8192], last[8192] = "";

    if (!maps) {
        dl_iterate_phdr(seen_object, out);
        return;
    }
    while (fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (!path || strncmp(path, "/dev/", 5) == 0)
            continue;
        path[strcspn(path, "\n")] = 0;
        if (strcmp(path, last) != 0)
            fprintf(out, "file %s\n", path);
        strcpy(last, path);
    }
    fclose(maps);
}

static void open_here(const char *path, FILE *out)
{
    void *handle;

    alarm(120);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        char *error = dlerror();
        for (char *c = error; *c; c++)
            if (*c == '\n')
                *c = ' ';
        fprintf(out, "fail %s\n", error);
    } else {
        print_mapped(out);
    }
    fflush(out);
}

int main(void)
{
    char *path = NULL;
    size_t room = 0;
    ssize_t length;
    /* Libraries may print while they are loaded: that goes to standard error. */
    FILE *out = fdopen(dup(STDOUT_FILENO), "w");

    dup2(STDERR_FILENO, STDOUT_FILENO);
    while ((length = getline(&path, &room, stdin)) > 0) {
        int status;
        pid_t child;

        if (path[length - 1] == '\n')
            path[length - 1] = 0;
        fprintf(out, "open %s\n", path);
        fflush(out);
        child = fork();
        if (child < 0) {
            perror("fork");
            return 2;
        }
        if (child == 0) {
            open_here(path, out);
            _exit(0);
        }
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            fprintf(out, "fail killed by signal %d while it was loaded\n", WTERMSIG(status));
        else if (WEXITSTATUS(status) != 0)
            fprintf(out, "fail the process ended with status %d while it was loaded\n",
                    WEXITSTATUS(status));
        fprintf(out, "done\n");
        fflush(out);
    }
    return 0;
}
