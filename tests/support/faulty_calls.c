/* Preloaded: counts every call that changes a file, and fails, shortens, kills or ends it at one.
 *
 * Nothing happens until fault_state() is given a block of shared memory. Writes to
 * descriptors 1 and 2 are talk, and are let through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, FAIL_ONCE, KILL, FULL, SHORT, TERMINATE, DEAD };

struct state {
  long mode, number, code, count, hits;
  long room;
  char names[1 << 16];
};
static struct state *state;

void fault_state(struct state *given) { state = given; }

/* allocates: what a full disk refuses. Gives -1 with errno set, 1 for a short write, 0 to go on. */
static int point(const char *name, int allocates) {
  if (!state || state->mode == OFF) return 0;
  long number = state->count++;
  size_t used = state->room, length = strlen(name);
  if (used + length + 2 < sizeof state->names) {
    memcpy(state->names + used, name, length);
    state->names[used + length] = '\n';
    state->room = used + length + 1;
  }
  int here = number == state->number;
  if (state->mode == FULL && number >= state->number && allocates) here = 1;
  else if (state->mode == FULL) here = 0;
  if (state->mode == DEAD && number >= state->number) here = 1;
  if (!here || state->mode == COUNT) return 0;
  state->hits++;
  if (state->mode == KILL) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (state->mode == TERMINATE) {
    kill(getpid(), SIGTERM);
    return 0;
  }
  if (state->mode == SHORT) return 1;
  errno = (int)state->code;
  return -1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define SIMPLE(name, allocates, parameters, arguments) \
  int name parameters {                                \
    REAL(name);                                        \
    return point(#name, allocates) < 0 ? -1 : real arguments; \
  }
#define IS_WRITE(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define MODE                                 \
  mode_t mode = 0;                           \
  if (flags & (O_CREAT | O_TMPFILE)) {       \
    va_list more;                            \
    va_start(more, flags);                   \
    mode = va_arg(more, mode_t);             \
    va_end(more);                            \
  }
#define OPEN(name)                                                               \
  int name(const char *path, int flags, ...) {                                   \
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    MODE if (IS_WRITE(flags) && strcmp(path, "/dev/null") != 0 &&                \
             point("openat", (flags & O_CREAT) != 0) < 0) return -1;             \
    return real(path, flags, mode);                                              \
  }
#define OPENAT(name)                                                             \
  int name(int folder, const char *path, int flags, ...) {                       \
    int (*real)(int, const char *, int, ...) =                                   \
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name);           \
    MODE if (IS_WRITE(flags) && strcmp(path, "/dev/null") != 0 &&                \
             point("openat", (flags & O_CREAT) != 0) < 0) return -1;             \
    return real(folder, path, flags, mode);                                      \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  int verdict = fd == 1 || fd == 2 ? 0 : point("write", 1);
  if (verdict < 0) return -1;
  return real(fd, data, verdict && size > 1 ? size / 2 : size);
}

/* Over bytes that are there already no room is needed. */
static int grows(int fd, off_t end) {
  struct stat status;
  return fstat(fd, &status) == 0 && end > status.st_size;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(pwrite64);
  int verdict = point("pwrite64", grows(fd, at + (off64_t)size));
  if (verdict < 0) return -1;
  return real(fd, data, verdict && size > 1 ? size / 2 : size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(writev);
  return fd != 1 && fd != 2 && point("writev", 1) < 0 ? -1 : real(fd, pieces, count);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
  REAL(copy_file_range);
  int verdict = point("copy_file_range", 1);
  if (verdict < 0) return -1;
  return real(in, from, out, to, verdict && size > 1 ? size / 2 : size, flags);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t size) {
  ssize_t (*real)(int, int, off64_t *, size_t) =
      (ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
  return point("sendfile64", 1) < 0 ? -1 : real(out, in, from, size);
}

SIMPLE(ftruncate64, grows(fd, size), (int fd, off64_t size), (fd, size))
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
SIMPLE(truncate64, 0, (const char *path, off64_t size), (path, size))
int truncate(const char *path, off_t size) { return truncate64(path, size); }
SIMPLE(rename, 0, (const char *from, const char *to), (from, to))
SIMPLE(renameat, 0, (int a, const char *from, int b, const char *to), (a, from, b, to))
SIMPLE(link, 1, (const char *from, const char *to), (from, to))
SIMPLE(linkat, 1, (int a, const char *from, int b, const char *to, int flags),
       (a, from, b, to, flags))
SIMPLE(symlink, 1, (const char *from, const char *to), (from, to))
SIMPLE(symlinkat, 1, (const char *from, int b, const char *to), (from, b, to))
SIMPLE(unlink, 0, (const char *path), (path))
SIMPLE(unlinkat, 0, (int a, const char *path, int flags), (a, path, flags))
SIMPLE(rmdir, 0, (const char *path), (path))
SIMPLE(mkdir, 1, (const char *path, mode_t mode), (path, mode))
SIMPLE(mkdirat, 1, (int a, const char *path, mode_t mode), (a, path, mode))
SIMPLE(chmod, 0, (const char *path, mode_t mode), (path, mode))
SIMPLE(fchmod, 0, (int fd, mode_t mode), (fd, mode))
SIMPLE(fchmodat, 0, (int a, const char *path, mode_t mode, int flags), (a, path, mode, flags))
SIMPLE(chown, 0, (const char *path, uid_t u, gid_t g), (path, u, g))
SIMPLE(fchown, 0, (int fd, uid_t u, gid_t g), (fd, u, g))
SIMPLE(fchownat, 0, (int a, const char *p, uid_t u, gid_t g, int f), (a, p, u, g, f))
SIMPLE(utimensat, 0, (int a, const char *path, const struct timespec times[2], int flags),
       (a, path, times, flags))
SIMPLE(futimens, 0, (int fd, const struct timespec times[2]), (fd, times))
SIMPLE(fsync, 1, (int fd), (fd))
SIMPLE(fdatasync, 1, (int fd), (fd))
SIMPLE(setxattr, 1, (const char *p, const char *n, const void *v, size_t s, int f), (p, n, v, s, f))
SIMPLE(lsetxattr, 1, (const char *p, const char *n, const void *v, size_t s, int f),
       (p, n, v, s, f))
SIMPLE(fsetxattr, 1, (int fd, const char *n, const void *v, size_t s, int f), (fd, n, v, s, f))
